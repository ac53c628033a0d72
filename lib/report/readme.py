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
FINDING = "<!-- finding:begin -->", "<!-- finding:end -->"


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


def readme_finding() -> str:
    """Return what training rows are worth by the paper's recipe, of each catalogue that it was run on."""
    said = {one["catalogue"]: one.get("worth", "") for one in summaries()}
    return "\n\n".join(f"{text} (`{name}`)" for name, text in said.items() if text and "Not run" not in text)


def update_readme() -> None:
    """Rewrite the parts of README.md between the markers.

    Raises
    ------
    StudyError
        If README.md is missing, or lacks markers.
    """
    path = root() / "README.md"
    content = existing(path).read_text("utf-8")
    for (begin, end), said in (((BEGIN, END), readme_table()), (FINDING, readme_finding())):
        part = f"{begin}\n{said}\n{end}".replace("\\", r"\\")
        content, count = re.subn(f"{begin}.*?{end}", part, content, flags=re.DOTALL)
        if count != 1:
            raise StudyError(f"{path} must hold {begin} and {end} once, in this order; found {count} such places.")
    path.write_text(content, "utf-8")


if __name__ == "__main__":
    try:
        update_readme()
    except StudyError as error:
        sys.exit(f"readme: {error}")
