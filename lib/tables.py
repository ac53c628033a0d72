"""Numbers of the results as people read them: cells, short tables and sentences."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from lib.artifacts import existing, whole
from lib.figures import look

METRIC_NAMES = {"mean": "mean accuracy of the 3 levels", "path": "path accuracy (all 3 right)"}


BLANK = {name: [""] for name in ("difference", "effect", "mean", "low", "high", "train_size", "seeds")}
"""Columns of tables that hold numbers, and nothing where there is none."""


def write_tables(folder: Path, tables: Mapping[str, pd.DataFrame]) -> None:
    """Write each table to `NAME.csv`, whole or not at all; the same numbers give the same bytes."""
    for name, table in tables.items():
        with whole(folder / f"{name}.csv") as partial:
            table.to_csv(partial, index=False, float_format="%.6f", lineterminator="\n")


def read_table(path: Path) -> pd.DataFrame:
    """Read what `write_tables` wrote; a category may well be called NA.

    Raises
    ------
    StudyError
        If it is missing.
    """
    return pd.read_csv(existing(path), keep_default_na=False, na_values=BLANK)


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a table's rows as mappings from column to value."""
    return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]


def share(mean: float, low: float = math.nan, high: float = math.nan, **_: Any) -> str:
    """Write a share as a percentage, with its interval if there is one.

    >>> share(0.9481, 0.9411, 0.9544), share(0.93)
    ('94.8 (94.1–95.4)', '93.0')
    """
    interval = "" if math.isnan(low) else f" ({100 * low:.1f}–{100 * high:.1f})"
    return f"{100 * mean:.1f}{interval}"


def points(difference: float, low: float, high: float, **_: Any) -> str:
    """Write a difference of shares in percentage points, with its interval.

    >>> points(0.0213, -0.004, 0.05)
    '+2.1 (-0.4 to +5.0)'
    """
    return f"{100 * difference:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"


def contrasts_table(contrasts: pd.DataFrame) -> pd.DataFrame:
    """Lay contrasts of one question out: a row for each, its differences of mean and path accuracy, and the verdicts.

    Parameters
    ----------
    contrasts
        Rows of `contrasts.csv`. What is the same in all of them is left out, but for the variant of a single row.
    """
    names = ("variant", "text", "split", "train_size", "decoding", "measured_on", "a", "b")
    rows = contrasts[contrasts["metric"].isin(list(METRIC_NAMES))]
    keys = [name for name in names if rows[name].nunique() > 1] or ["variant"]
    rows = rows.assign(points=[points(**row) for row in records(rows)])
    wide = rows.pivot(index=keys, columns="metric", values=["points", "verdict"])
    columns = [(metric, column) for metric in METRIC_NAMES for column in ("points", "verdict")]
    return wide.swaplevel(axis=1)[columns].rename(columns={"mean": "mean accuracy", "path": "path accuracy"})


def sentence(contrast: dict[str, Any]) -> str:
    """Say a contrast in words.

    >>> row = {"a": "brand_text_image", "b": "brand_text", "difference": 0.021, "low": 0.015, "high": 0.027}
    >>> sentence({**row, "verdict": "a better"})
    'brand + text + image minus brand + text: +2.1 (+1.5 to +2.7) points, so brand + text + image is better'
    """
    a, b = look(contrast["a"]).label, look(contrast["b"]).label
    verdicts = {"a better": f"so {a} is better", "b better": f"so {b} is better", "inconclusive": "inconclusive"}
    return f"{a} minus {b}: {points(**contrast)} points, {verdicts[contrast['verdict']]}"
