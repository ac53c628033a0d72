"""The table of results as Markdown, and its place in README.md."""

import re

from lib.artifacts import existing
from lib.config import load_catalogue, root
from lib.errors import StudyError
from lib.figures import look
from lib.report.business_section import promises_sentence
from lib.report.numbers import Number, Results

BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
HEAD = (
    "| inputs | mean, random | path, random | mean, grouped | path, grouped | mean, training rows |",
    "|---|---:|---:|---:|---:|---:|",
)


def results_summary(catalogue: str) -> str:
    """Return a catalogue's headline table: a row a variant, with all training rows, in percent with 95% intervals."""
    results = Results(catalogue)
    rows = []
    for variant in results.variants:
        numbers = [results.number(variant, m, split=s) for s in ("random", "grouped") for m in ("mean", "path")]
        numbers.append(results.number(variant, on="train"))
        if any(numbers):
            rows.append(f"| {look(variant).label} | {' | '.join(map(cell, numbers))} |")
    return "\n".join([*HEAD, *rows])


def readme_table() -> str:
    """Return for all catalogues that have results their title, their headline table, and what may run by itself."""
    parts: list[str | None] = []
    for path in sorted(root().glob("reports/*/intervals.csv")):
        name = path.parent.name
        parts += [f"**{load_catalogue(name).title}** (`{name}`)", results_summary(name), promises_sentence(name)]
    return "\n\n".join(filter(None, parts))


def update_readme() -> None:
    """Rewrite the part of README.md between the two markers.

    Raises
    ------
    StudyError
        If README.md is missing, or has no markers.
    """
    path = root() / "README.md"
    content = existing(path).read_text("utf-8")
    table = f"{BEGIN}\n{readme_table()}\n{END}"
    updated, count = re.subn(f"{BEGIN}.*?{END}", lambda _: table, content, flags=re.DOTALL)
    if count != 1:
        raise StudyError(f"{path} must hold {BEGIN} and {END} once, in this order; found {count} such places.")
    path.write_text(updated, "utf-8")


def cell(number: Number | None) -> str:
    """Write a number for a table; a dash where there is none.

    >>> cell(None)
    '–'
    """
    return "–" if number is None else str(number)
