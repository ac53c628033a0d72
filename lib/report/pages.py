"""The source of a site: pages that frame what the notebooks gave a name, and the executed notebooks themselves."""

import json
import re
import subprocess
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

import nbformat
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from lib.config import Catalogue, load_params, root
from lib.exceptions import StudyError
from lib.files import read_json
from lib.report import notebooks
from lib.report.notebooks import Output, Outputs

MARKUP = re.compile(r"([\\`*_{}\[\]()<>#+!|$~&^:@=-])")
CODE = ("lib", "notebooks", "params.yaml", "claims.yaml", "deviations.yaml", "catalogues")
"""What a report hangs on; changes elsewhere make no other report."""

PAGES = {name: f"{name}.md.j2" for name in ("index", "evidence", "marketplace")}
HEADLINES = ("mean", "path")
SUMMARY = {"catalogue", "commit", "title", "description", "counts", "best", "rows", "promise"}


def environment() -> Environment:
    """Return the templates: HTML is escaped by itself, Markdown through the filter `md`."""
    found = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=select_autoescape(["html.j2"]),
    )
    found.filters |= {"md": markdown, "count": "{:,}".format}
    return found


def markdown(text: str) -> str:
    r"""Escape text that is data, so that Markdown shows it as it is.

    >>> markdown("*A* <b>")
    '\\*A\\* \\<b\\>'
    """
    return MARKUP.sub(r"\\\1", " ".join(str(text).split()))


def commit() -> str:
    """Name the last commit that changed the code, and its day; `unknown` where there is no git, or no history."""

    def git(*arguments: str) -> str:
        command = ["git", "--no-optional-locks", *arguments, "--", *CODE]
        return subprocess.run(command, cwd=root(), capture_output=True, text=True, check=False).stdout.strip()

    try:
        last = git("log", "-1", "--abbrev=7", "--format=%h of %cs")
        return f"{last}, with changes" if last and git("status", "--porcelain") else last or "unknown"
    except OSError:
        return "unknown"


def write_source(catalogue: str, settings: Catalogue, folder: Path) -> dict[str, Any]:
    """Write what Sphinx reads into `folder`, and return what `reports/index.html` says of the site.

    Raises
    ------
    StudyError
        If a notebook was not run, or if a page asks for a name that no notebook gives.
    """
    folder.mkdir(parents=True)
    outputs = Outputs(catalogue)
    pages = []
    for path in outputs.paths:
        page = notebooks.page(path)
        nbformat.write(page, folder / f"{path.stem}.ipynb")
        pages.append({"name": path.stem, "title": notebooks.title(page)})
    pairs = [name for name, other in load_params().others.items() if other.tagged_by == catalogue]
    context = {"catalogue": catalogue, "settings": settings, "pages": pages, "pairs": pairs, "commit": commit()}
    for name, template in PAGES.items():
        text = environment().get_template(template).render(context, **_takers(outputs, folder))
        (folder / f"{name}.md").write_text(text, "utf-8")
    return _summary(context, outputs)


def summaries() -> list[dict[str, Any]]:
    """Read what every site says of itself, by name; its notebooks may be of an older commit.

    Raises
    ------
    StudyError
        If a site was made before sites said by which commit.
    """
    found = []
    for path in sorted(root().glob("reports/*/site/summary.json")):
        found.append(read_json(path))
        if missing := SUMMARY - set(found[-1]):
            name = path.parents[1].name
            raise StudyError(f"{path} lacks {sorted(missing)}. Run `python -m lib.report {name}` to make it again.")
    return found


def _takers(outputs: Outputs, folder: Path) -> dict[str, Callable[[str, str], str]]:
    """Return what templates take named outputs with: `show` whatever it is, and `number` within a sentence."""
    ended: set[str] = set()

    def show(notebook: str, name: str) -> str:
        output = outputs.take(notebook, name)
        if output is outputs.rest(notebook):
            again = notebook in ended
            ended.add(notebook)
            return "" if again else _raw(output)
        if output.png is None:
            return _raw(output)
        file = Path(notebook, f"{name}.png")  # Sphinx calls it _images/NAME.png, which others may link to
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_bytes(output.png)
        alt = "".join(filter(str.isprintable, " ".join(output.alt.split())))
        options = f":alt: {json.dumps(alt, ensure_ascii=False)}\n\n{markdown(output.caption)}"
        return f":::{{figure}} {file}\n{options}\n:::\n\n[How it was made]({notebook}.ipynb)\n"

    return {"show": show, "number": lambda notebook, name: markdown(outputs.take(notebook, name).text)}


def _raw(output: Output) -> str:
    """Return a table or sentences as HTML in a fence that nothing in it can close."""
    caption = f'<p class="caption">{escape(output.caption)}</p>' if output.caption else ""
    longest = max((len(run) for run in re.findall("`+", output.html)), default=0)
    fence = "`" * max(longest + 1, 3)
    return f'{fence}{{raw}} html\n<div class="taken">{caption}{output.html}</div>\n{fence}\n'


def _summary(context: dict[str, Any], outputs: Outputs) -> dict[str, Any]:
    """Return what `reports/index.html` and README.md say of a site, as text that is ready to be read."""

    def headline(metric: str) -> dict[str, str]:
        return {split: outputs.take("06_results", f"best_{metric}_{split}").text for split in ("random", "grouped")}

    settings: Catalogue = context["settings"]
    return {
        "catalogue": context["catalogue"],
        "commit": context["commit"],
        "title": settings.title,
        "description": settings.description,
        "counts": outputs.take("02_clean", "counts").text,
        "best": outputs.take("06_results", "best").text,
        "rows": {metric: headline(metric) for metric in HEADLINES},
        "promise": outputs.take("08_business", "in_short").text,
        "worth": outputs.take("12_paper", "worth").text,
    }
