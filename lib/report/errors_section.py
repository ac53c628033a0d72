"""What the study page says of a catalogue's errors: looked up in `reports/NAME/errors/`, if that is there."""

import shutil
from pathlib import Path
from typing import Any

import pandas as pd

from lib.artifacts import existing, read_json
from lib.config import report_dir
from lib.tables import records, share

PAGE = "07_errors"
ROWS = 10


def errors_section(catalogue: str, folder: Path) -> dict[str, Any] | None:
    """Return what `errors.md.j2` shows, with the figures copied into `folder`, or None if the stage has not run."""
    tables = report_dir(catalogue, "errors")
    if not tables.is_dir():
        return None
    choice, categories = (_read(tables / f"{name}.csv") for name in ("choice", "categories"))
    chosen = records(choice[choice["chosen"]])[0]
    rows = categories[(categories["split"] == chosen["split"]) & (categories["level"] == "level_3")]
    rows = rows[rows["below_target"] | rows["costly"]]
    return {
        **{name: chosen[name] for name in ("variant", "split", "train_size")},
        "page": PAGE,
        "watched": [_row(row) for row in records(rows.head(ROWS))],
        "figures": _figures(tables / "figures", folder),
    }


def _read(path: Path) -> pd.DataFrame:
    """Read a table; a category may well be called NA."""
    return pd.read_csv(existing(path), keep_default_na=False)


def _row(row: dict[str, Any]) -> dict[str, Any]:
    reasons = {"below the target": row["below_target"], "costly": row["costly"]}
    return {
        **{name: row[name] for name in ("category", "products", "error_share", "taken_for")},
        "accuracy": share(row["accuracy"], row["low"], row["high"]),
        "why": ", ".join(reason for reason, holds in reasons.items() if holds),
    }


def _figures(source: Path, folder: Path) -> dict[str, dict[str, str]]:
    """Copy the figures beside the page under names that no other stage's figure has."""
    described: dict[str, dict[str, str]] = read_json(source / "figures.json")
    for name, figure in described.items():
        figure["file"] = f"errors_{name}.png"
        shutil.copyfile(existing(source / f"{name}.png"), folder / figure["file"])
    return dict(sorted(described.items()))
