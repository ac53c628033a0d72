"""What the executed notebooks gave a name (`lib/report/kit.py`), for pages to take."""

import re
from base64 import b64decode
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path

import nbformat
import nh3
from markdown_it import MarkdownIt
from nbformat import NotebookNode

from lib.config import build_dir, root
from lib.exceptions import StudyError, nearest
from lib.files import existing
from lib.report.kit import NAMED

# fmt: off
TAGS = {
    "a", "b", "blockquote", "br", "caption", "code", "col", "colgroup", "dd", "del", "div", "dl", "dt", "em",
    "figcaption", "figure", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "i", "img", "kbd", "li", "mark", "ol", "p",
    "pre", "s", "small", "span", "strong", "sub", "sup", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "ul",
}
# fmt: on
ATTRIBUTES = {"*": {"class", "title"}, "a": {"href"}, "img": {"src", "alt"}} | {
    cell: {"colspan", "rowspan", "scope"} for cell in ("td", "th")
}
IMAGE = re.compile(r'<img((?: [\w-]+="[^"]*")*)>')
IMAGES = ("data:image/png;base64,", "data:image/jpeg;base64,")


@dataclass(frozen=True)
class Output:
    """One named output. `html` is safe: nothing in it runs or loads. `png` is the picture of a figure, else None."""

    name: str
    caption: str
    alt: str
    text: str
    html: str
    png: bytes | None

    @classmethod
    def of(cls, output: NotebookNode, described: dict[str, str]) -> "Output":
        """Read an output that a notebook displayed through the kit."""
        data, caption, alt = output.data, described.get("caption", ""), described.get("alt", "")
        html = data.get("text/html") or markdown_to_html(data.get("text/markdown", ""))
        picture = b64decode(data["image/png"]) if "image/png" in data else None
        return cls(described["name"], caption, alt, data.get("text/plain", ""), clean_html(html), picture)


class Outputs:
    """The executed notebooks of one catalogue, and what they gave a name."""

    def __init__(self, catalogue: str) -> None:
        self.catalogue = catalogue
        self.paths = executed(catalogue)

    @cached_property
    def named(self) -> dict[str, dict[str, list[Output]]]:
        """Notebook -> name -> what was given that name."""
        found: dict[str, dict[str, list[Output]]] = {path.stem: defaultdict(list) for path in self.paths}
        for path in self.paths:
            for cell in read(path).cells:
                for output in cell.get("outputs", []):
                    if described := output.get("metadata", {}).get(NAMED):
                        found[path.stem][described["name"]].append(Output.of(output, described))
        return found

    def take(self, notebook: str, name: str) -> Output:
        """Return a named output.

        Raises
        ------
        StudyError
            If that notebook was not executed, or gave nothing that name, or two outputs. A report with a hole in it is
            not published.
        """
        if notebook not in self.named:
            hint = nearest(notebook, self.named)
            raise StudyError(
                f"The report asks for {notebook}.ipynb, which was not run. There are {list(self.named)}.{hint}"
            )
        of = self.named[notebook]
        if name not in of:
            raise StudyError(
                f"The report asks {notebook}.ipynb for '{name}', and no cell of it gives that name. "
                f"It gives {sorted(of)}.{nearest(name, of)}"
            )
        if len(of[name]) > 1:
            raise StudyError(f"{notebook}.ipynb gives the name '{name}' to {len(of[name])} outputs: which is meant?")
        return of[name][0]


def executed(catalogue: str) -> list[Path]:
    """List the executed notebooks in reading order.

    Raises
    ------
    StudyError
        If there are none.
    """
    folder = existing(build_dir(catalogue, "notebooks"))
    paths = sorted(folder.glob("*.ipynb"))
    if not paths:
        raise StudyError(f"{folder} holds no executed notebook. Run `dvc repro` to make them.")
    return paths


def read(path: Path) -> NotebookNode:
    """Read an executed notebook, without the paths of this machine.

    Raises
    ------
    StudyError
        If it is not a notebook, or if a cell of it failed.
    """
    content = path.read_text("utf-8").replace(f"{root()}/", "").replace(f"{Path.home()}/", "~/")
    try:
        notebook: NotebookNode = nbformat.reads(content, as_version=4)
    except nbformat.reader.NotJSONError as error:
        raise StudyError(f"{path} is not a notebook: {error}. Run `dvc repro` to make it again.") from error
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                problem = f"{output.ename}: {output.evalue}"
                raise StudyError(f"{path} has a cell that failed: {problem}. Run `dvc repro` again.")
    return notebook


def clean_html(html: str, alt: str = "") -> str:
    """Return `html` with nothing in it that runs or loads; an image without a description gets `alt`.

    Names and texts from outside may be in what a notebook displays: only what draws a table or a photo passes.

    >>> clean_html('<table onclick="x()"><tr><td><script>x()</script>&lt;b&gt;</td></tr></table>')
    '<table><tbody><tr><td>&lt;b&gt;</td></tr></tbody></table>'
    """

    def keep(tag: str, attribute: str, value: str) -> str | None:
        if attribute == "src" and not value.startswith(IMAGES):
            return None
        if attribute == "href" and not value.startswith(("https://", "http://", "#")):
            return None
        return value

    def picture(found: re.Match[str]) -> str:
        if ' src="' not in found[0]:
            return ""
        return found[0] if ' alt="' in found[0] else f'<img alt="{escape(alt)}"{found[1]}>'

    cleaned = nh3.clean(
        html,
        tags=TAGS,
        attributes=ATTRIBUTES,
        attribute_filter=keep,
        url_schemes={"http", "https", "data"},
        link_rel=None,
    )
    return IMAGE.sub(picture, cleaned)


def markdown_to_html(text: str) -> str:
    r"""Render Markdown that a cell displayed; HTML inside it stays text.

    >>> markdown_to_html("**12** of <b>40</b>")
    '<p><strong>12</strong> of &lt;b&gt;40&lt;/b&gt;</p>\n'
    """
    return str(MarkdownIt("commonmark", {"html": False}).enable("table").render(text))
