"""The page for a marketplace's manager, and what the study page says of it: looked up in `reports/NAME/business/`."""

from pathlib import Path
from typing import Any

from lib.config import report_dir
from lib.figures import copy_figures
from lib.tables import read_table, records

PAGE = "marketplace"
NOTEBOOK = "08_business"
ENOUGH = 0.05
"""Labels are enough where path accuracy is within so many points of what all of them give."""

FIGURES = ("promises", "queue")


def business_section(catalogue: str, folder: Path) -> dict[str, Any] | None:
    """Return what `marketplace.md.j2` shows, with the figures copied into `folder`; None if the stage has not run."""
    tables = report_dir(catalogue, "business")
    if not tables.is_dir():
        return None
    study = records(read_table(tables / "study.csv"))[0]
    rows = _promised(tables)
    shown = next(row for row in rows if row["precision"] == study["shown_precision"])
    main = next(row for row in rows if row["precision"] == study["precision"])
    candidates = read_table(tables / "candidates.csv")
    listed = candidates[candidates["precision"] == study["shown_precision"]]
    surest = records(read_table(tables / "surest.csv").query("depth == 3"))
    often = read_table(tables / "how_often_kept.csv")
    often = often[(often["precision"] == study["shown_precision"]) & (often["depth"] != "any level")]
    queue = records(read_table(tables / "queue.csv"))
    figures = copy_figures(tables / "figures", folder, "business_")
    return {
        "page": PAGE,
        "notebook": NOTEBOOK,
        "study": study,
        "shown": shown,
        "main": main,
        "rows": rows,
        "candidates": records(listed[listed["coverage"] == study["coverage"]])[0],
        "surest": max(surest, key=lambda row: row["precision"]),
        "kept": float(often["kept"].min()),
        "draws": int(often["draws"].iloc[0]),
        "queue": max(queue, key=lambda row: row["area"]) if queue and queue[0]["errors"] else None,
        "labels": labels_to_start_with(catalogue, study),
        "figures": {name: figure for name, figure in figures.items() if name in FIGURES},
    }


def promises_sentence(catalogue: str) -> str | None:
    """Say in one Markdown sentence what may run without people; None if the stage has not run."""
    tables = report_dir(catalogue, "business")
    if not tables.is_dir():
        return None
    shown = read_table(tables / "study.csv")["shown_precision"].item()
    row = next(row for row in _promised(tables) if row["precision"] == shown)
    return (
        f"Of 1,000 new products, at {100 * shown:g}% promised precision, {row['whole']:,} get their whole path "
        f"without a person and {row['parent']:,} a part of it; {row['review']:,} go to a person."
    )


def labels_to_start_with(catalogue: str, study: dict[str, Any]) -> dict[str, Any] | None:
    """Return how many labelled products to begin with and why, or None if nobody has measured it.

    It is the smallest training size of the deployed variant at which it is nearly as good as with all products.
    """
    table = read_table(report_dir(catalogue, "intervals.csv"))
    same = {name: study[name] for name in ("variant", "recipe", "text", "split")}
    same |= {"metric": "path", "measured_on": "test", "decoding": "valid_path"}
    table = table[(table[list(same)] == list(same.values())).all(axis=1)].sort_values("train_size")
    if table["train_size"].nunique() < 2:
        return None
    *_, before, last = records(table)
    enough = records(table[table["mean"] >= last["mean"] - ENOUGH])[0]
    other = last if enough["train_size"] < last["train_size"] else before
    first, second = sorted((enough, other), key=lambda row: int(row["train_size"]))
    why = (
        f"with {first['train_size']:,} training products the model gets {100 * first['mean']:.0f}% of whole paths "
        f"right, and with {second['train_size']:,} it gets {100 * second['mean']:.0f}%"
    )
    return {"labels": int(enough["train_size"]), "why": why}


def _promised(tables: Path) -> list[dict[str, Any]]:
    thousand = read_table(tables / "thousand.csv")
    return [_row(row) for row in records(thousand[thousand["unit"] == "distinct products"])]


def _row(row: dict[str, Any]) -> dict[str, Any]:
    whole = {name: round(value) for name, value in row.items() if name not in ("precision", "unit")}
    return {**whole, "precision": row["precision"], "tagged": whole["whole"] + whole["parent"]}
