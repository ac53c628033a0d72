"""What the study page says of a catalogue's errors: looked up in `reports/NAME/errors/`, if that is there."""

from pathlib import Path
from typing import Any

from lib.config import report_dir
from lib.figures import copy_figures
from lib.tables import read_table, records, share

PAGE = "07_errors"
ROWS = 10


def errors_section(catalogue: str, folder: Path) -> dict[str, Any] | None:
    """Return what `errors.md.j2` shows, with the figures copied into `folder`, or None if the stage has not run."""
    tables = report_dir(catalogue, "errors")
    if not tables.is_dir():
        return None
    choice, categories = (read_table(tables / f"{name}.csv") for name in ("choice", "categories"))
    chosen = records(choice[choice["chosen"]])[0]
    rows = categories[(categories["split"] == chosen["split"]) & (categories["level"] == "level_3")]
    rows = rows[rows["below_target"] | rows["costly"]]
    return {
        **{name: chosen[name] for name in ("variant", "split", "train_size")},
        "page": PAGE,
        "watched": [_row(row) for row in records(rows.head(ROWS))],
        "figures": copy_figures(tables / "figures", folder, "errors_"),
    }


def _row(row: dict[str, Any]) -> dict[str, Any]:
    reasons = {"below the target": row["below_target"], "costly": row["costly"]}
    return {
        **{name: row[name] for name in ("category", "products", "error_share", "taken_for")},
        "accuracy": share(row["accuracy"], row["low"], row["high"]),
        "why": ", ".join(reason for reason, holds in reasons.items() if holds),
    }
