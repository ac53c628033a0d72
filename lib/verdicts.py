"""The verdicts of `claims.csv` and `baselines.csv`, as people read them."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd
from IPython.display import HTML

from lib.figures import look
from lib.tables import points, records, share

VERDICTS = {  # the worst first; in prose of one claim and of several
    "fails": ("fails", "fail"),
    "inconclusive": ("is inconclusive", "are inconclusive"),
    "holds": ("holds", "hold"),
    "not measured": ("was not measured", "were not measured"),
}


def overview(claims: pd.DataFrame) -> pd.DataFrame:
    """Lay the ledger out for reading: a row a claim, a column a way, and in each cell the verdict and its effect.

    Parameters
    ----------
    claims
        The table of `claims.csv`.
    """
    cells = claims.assign(cell=[cell(row) for row in records(claims)])
    rows = cells.groupby("id", sort=False).agg(claim=("claim", "first"), source=("source", "first"))
    for label, of_way in cells.groupby("label", sort=False):
        rows[label] = of_way.set_index("id")["cell"]
    return rows.set_index(["claim", "source"])


def in_full(table: pd.DataFrame) -> HTML:
    """Return a table to be displayed with all its words, which pandas would cut short."""
    with pd.option_context("display.max_colwidth", None):
        return HTML(table.to_html(classes="claims", na_rep=""))  # type: ignore[no-untyped-call]


def cell(row: Mapping[str, Any]) -> str:
    """Write a row's verdict with its effect, in percentage points; a quantity by itself in percent.

    >>> cell({"verdict": "holds", "effect": 0.021, "low": 0.015, "high": 0.027, "b": "brand test mean @500"})
    'holds: +2.1 (+1.5 to +2.7)'
    >>> cell({"verdict": "fails", "effect": 0.89, "low": math.nan, "high": math.nan, "b": ""})
    'fails: 89.0'
    >>> cell({"verdict": "not measured", "effect": math.nan, "low": math.nan, "high": math.nan, "b": ""})
    'not measured'
    """
    effect, low, high = (float(row[name]) for name in ("effect", "low", "high"))
    if math.isnan(effect):
        return str(row["verdict"])
    if not row["b"]:
        return f"{row['verdict']}: {share(effect, low, high)}"
    number = f"{100 * effect:+.1f}" if math.isnan(low) else points(effect, low, high)
    return f"{row['verdict']}: {number}"


def tallies(claims: pd.DataFrame) -> list[str]:
    """Count the verdicts of each way, best first.

    >>> tallies(pd.DataFrame({"label": ["as coded"] * 3, "verdict": ["fails", "holds", "holds"]}))
    ['as coded: 2 hold, 1 fails']
    """
    said = []
    for label, rows in claims.groupby("label", sort=False):
        counts = rows["verdict"].value_counts()
        order = ("holds", "fails", "inconclusive", "not measured")
        parts = [f"{counts[name]} {VERDICTS[name][int(counts[name] > 1)]}" for name in order if name in counts]
        said.append(f"{label}: {', '.join(parts)}")
    return said


def headlines(baselines: pd.DataFrame) -> list[str]:
    """Say, a sentence a split, whether a simple model beats every network; if none does, what beats what.

    Parameters
    ----------
    baselines
        The table of `baselines.csv`; an empty one gives no sentence.
    """
    return [_of_split(rows) for _, rows in baselines.groupby("split", sort=False)]


def _of_split(rows: pd.DataFrame) -> str:
    """Speak of the simple model that does best against the network that is hardest for it, and of that network."""
    hardest = rows.loc[rows.groupby("a")["difference"].idxmin()]
    best = records(hardest.sort_values(["difference", "a"], ascending=[False, True]))[0]
    simple, network = f"“{look(best['a']).label}”", f"“{look(best['b']).label}”"
    if best["decoding"] != "independent":
        network += f" (decoded {best['decoding']})"
    if (rows["verdict"][rows["a"] == best["a"]] == "a better").all():
        said = f"a simple model, {simple}, beats every network; the best of these is {network}"
    elif best["verdict"] == "b better":
        said = f"the network {network} beats the best simple model, {simple}"
    else:
        said = f"the best network, {network}, cannot be told from the best simple model, {simple}"
    where = f"{str(best['split']).capitalize()} split, {best['train_size']:,} training products"
    return f"{where}: {said}. The simple model minus the network is {points(**best)} points of path accuracy."
