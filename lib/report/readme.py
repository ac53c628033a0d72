"""The table of results as Markdown, and its place in README.md: `python -m lib.report.readme` rewrites it."""

import re
import sys

from lib.config import root
from lib.evaluation.results import Results
from lib.exceptions import StudyError
from lib.files import existing
from lib.report.kit import look, share
from lib.report.pages import summaries

BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"


def results_summary(catalogue: str) -> str:
    """Return a catalogue's headline table: a row a variant, with all training rows, in percent with 95% intervals."""
    rows = Results.read(catalogue).headline()
    columns = list(next(iter(rows.values())))
    lines = [f"| inputs | {' | '.join(columns)} |", f"|---|{'---:|' * len(columns)}"]
    for variant, cells in rows.items():
        shown = (share(*cell) if cell else "–" for cell in cells.values())
        lines.append(f"| {look(variant).label} | {' | '.join(shown)} |")
    return "\n".join(lines)


def readme_table() -> str:
    """Return for all catalogues that have a report their title, their headline table, and what may run by itself."""
    parts: list[str] = []
    for said in summaries():
        parts += [f"**{said['title']}** (`{said['catalogue']}`)", results_summary(said["catalogue"]), said["promise"]]
    return "\n\n".join(parts)


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


if __name__ == "__main__":
    try:
        update_readme()
    except StudyError as error:
        sys.exit(f"readme: {error}")
