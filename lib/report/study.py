"""The source of a site: the study page, written from templates, and the notebooks behind it."""

import re
from pathlib import Path
from typing import Any

import nbformat
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from lib import findings
from lib.config import Catalogue, report_dir
from lib.figures import copy_figures, look
from lib.published import published
from lib.report import notebooks
from lib.report.business_section import business_section
from lib.report.claims import claims_context
from lib.report.errors_section import errors_section
from lib.report.facts import Facts, facts
from lib.report.numbers import Results, percent, signed
from lib.report.readme import cell
from lib.view import View

MARKUP = re.compile(r"([\\`*_{}\[\]()<>#+!|$~&^:@=-])")
HEADLINE_METRICS = ("mean", "path")


def environment() -> Environment:
    """Return the templates: HTML is escaped by itself, Markdown through the filter `md`."""
    loader = FileSystemLoader(Path(__file__).parent / "templates")
    found = Environment(
        loader=loader,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=select_autoescape(["html.j2"]),
    )
    found.filters |= {"md": markdown, "label": label, "count": count}
    found.filters |= {"percent": percent, "signed": signed, "number": cell}
    return found


def markdown(text: str) -> str:
    r"""Escape text that is data, so that Markdown shows it as it is.

    >>> markdown("*A* <b>")
    '\\*A\\* \\<b\\>'
    """
    return MARKUP.sub(r"\\\1", " ".join(str(text).split()))


def count(number: int) -> str:
    """Write a count with thousands separators.

    >>> count(44441)
    '44,441'
    """
    return f"{number:,}"


def label(variant: str) -> str:
    """Name a variant as the figures do.

    >>> label("brand_text")
    'brand + text'
    """
    return look(variant).label


def write_source(catalogue: str, settings: Catalogue, results: Results, folder: Path) -> dict[str, Any]:
    """Write what Sphinx reads into `folder`, and return what `reports/index.html` says of the site.

    Raises
    ------
    StudyError
        If an earlier stage's output is missing.
    """
    folder.mkdir(parents=True)
    data = facts(catalogue)
    pages = []
    for path in notebooks.executed(catalogue):
        page = notebooks.page(path)
        nbformat.write(page, folder / f"{path.stem}.ipynb")
        pages.append({"name": path.stem, "title": notebooks.title(page)})
    context = {
        "catalogue": catalogue,
        "settings": settings,
        "results": results,
        "facts": data,
        "figures": copy_figures(report_dir(catalogue, "figures"), folder),
        "errors": errors_section(catalogue, folder),
        "business": business_section(catalogue, folder),
        "pages": pages,
        "published": _published(),
        **claims_context(catalogue),
        "said": findings.all_findings(View.read(catalogue)),
    }
    text = environment().get_template("index.md.j2").render(context)
    (folder / "index.md").write_text(text, "utf-8")
    if context["business"]:
        text = environment().get_template("marketplace.md.j2").render(context)
        (folder / f"{context['business']['page']}.md").write_text(text, "utf-8")
    return _summary(catalogue, settings, data) | {"marketplace": context["business"] is not None}


def index_entry(summary: dict[str, Any], results: Results) -> dict[str, Any]:
    """Add to a site's summary the headline numbers, as the results have them now."""
    best, rows = results.best(), []
    for metric in HEADLINE_METRICS:
        rows.append({split: cell(results.number(best, metric, split=split)) for split in ("random", "grouped")})
    numbers = {"best": label(best), "rows": dict(zip(HEADLINE_METRICS, rows, strict=True))}
    return {"marketplace": False, **summary, **numbers}


def _published() -> dict[str, float]:
    """Return the mean accuracy that the paper reports for each variant with the most training rows."""
    bars = published().query("figure == 'figure_2'")
    largest = bars[bars["train_size"] == bars["train_size"].max()]
    return dict(zip(largest["variant"], largest["value"], strict=True))


def _summary(catalogue: str, settings: Catalogue, data: Facts) -> dict[str, Any]:
    return {
        "catalogue": catalogue,
        "title": settings.title,
        "description": settings.description,
        "products": data.products,
        "levels": list(data.levels),
    }
