"""The three figures of the error analysis."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from lib.bootstrap import Floats
from lib.charts import Chart
from lib.figures import in_style
from lib.tables import records, share

PAIRS_SHOWN = 12
CATEGORIES_SHOWN = 15
COLOURS = {"below_target": "#D55E00", "costly": "#0072B2"}


def draw_level_1(counts: Floats, names: list[str]) -> Chart:
    """Draw the confusion matrix of level 1, as a share of each true class; classes without test products are left out.

    Parameters
    ----------
    counts
        (classes, classes): true classes down, predicted ones across.
    names
        The classes.
    """
    there = counts.sum(axis=1) > 0
    kept = np.flatnonzero(there)
    said = np.flatnonzero(there | (counts.sum(axis=0) > 0))
    table = pd.DataFrame(counts[np.ix_(kept, said)], [names[i] for i in kept], [names[i] for i in said])
    table = table.div(table.sum(axis=1), axis=0)
    with in_style():
        figure = Figure(figsize=(2.5 + 0.5 * len(said), 1.8 + 0.4 * len(kept)), layout="constrained")
        ax = figure.subplots()
        labels = table.map(lambda value: f"{100 * value:.0f}" if value >= 0.005 else "")
        sns.heatmap(table, annot=labels, fmt="", cmap="Blues", vmin=0, vmax=1, cbar=False, ax=ax)
        ax.grid(False)
        ax.set(xlabel="Predicted", ylabel="True (each row: 100%)")
        ax.tick_params(axis="x", rotation=60)
        ax.tick_params(axis="y", rotation=0)
    right = "; ".join(f"{name}: {100 * table.loc[name, name]:.0f}" for name in table.index)
    alt = f"Heatmap: true classes of level 1 down, predicted ones across, in percent of each row. Right: {right}."
    return Chart(figure, alt, table)


def mutual_pairs(confusions: pd.DataFrame, categories: pd.DataFrame) -> pd.DataFrame:
    """Add up the confusions of each two categories of one level in both directions, most errors first.

    Returns
    -------
    DataFrame
        `a`, `b` (a is more often taken for b than b for a), `a_for_b`, `b_for_a`, `errors` (a seed), `share` (of the
        products of both).
    """
    true, predicted, errors = confusions["true"], confusions["predicted"], confusions["errors"]
    forward = true < predicted
    table = pd.DataFrame({
        "a": true.where(forward, predicted),
        "b": predicted.where(forward, true),
        "a_for_b": errors.where(forward, 0.0),
        "b_for_a": errors.where(~forward, 0.0),
    })  # fmt: skip
    table = table.groupby(["a", "b"], as_index=False).sum()
    turned = table["b_for_a"] > table["a_for_b"]
    swapped = table[turned].rename(columns={"a": "b", "b": "a", "a_for_b": "b_for_a", "b_for_a": "a_for_b"})
    table = pd.concat([table[~turned], swapped])
    products = categories.set_index("category")["products"]
    both = table["a"].map(products).fillna(0) + table["b"].map(products).fillna(0)
    table = table.assign(errors=table["a_for_b"] + table["b_for_a"])
    table = table.assign(share=table["errors"] / both)
    return table.sort_values(["errors", "a", "b"], ascending=[False, True, True], ignore_index=True)


def draw_pairs(pairs: pd.DataFrame) -> Chart:
    """Draw the pairs of categories that are confused most, as bars in both directions; `pairs` is of `mutual_pairs`."""
    rows = pairs.head(PAIRS_SHOWN)
    labels = [f"{row['a']} / {row['b']}" for row in records(rows)]
    with in_style():
        figure = Figure(figsize=(8, 1.6 + 0.36 * max(len(rows), 1)), layout="constrained")
        ax = figure.subplots()
        ax.barh(labels, rows["a_for_b"], color="#0072B2", label="first taken for second")
        ax.barh(labels, rows["b_for_a"], left=rows["a_for_b"], color="#E69F00", label="second taken for first")
        ax.invert_yaxis()
        ax.set_xlabel("Errors on test products (mean over seeds)")
        ax.grid(axis="y", visible=False)
        figure.legend(loc="outside upper center", ncols=2, frameon=False)
    said = "; ".join(f"{label}: {row['errors']:.1f}" for label, row in zip(labels, records(rows), strict=True))
    return Chart(figure, f"Bars: errors between two categories of level 3, in both directions. {said}.", rows)


def draw_watch(categories: pd.DataFrame, target: float) -> Chart:
    """Draw the accuracy of the watched categories of one level that make most errors, with intervals and the target.

    Parameters
    ----------
    categories
        What `error_analysis.watch` returns, most errors first.
    """
    rows = categories[categories["below_target"] | categories["costly"]].head(CATEGORIES_SHOWN)
    labels = [f"{row['category']} ({100 * row['error_share']:.1f}% of errors)" for row in records(rows)]
    with in_style():
        figure = Figure(figsize=(8, 1.6 + 0.36 * max(len(rows), 1)), layout="constrained")
        ax = figure.subplots()
        ax.axvline(100 * target, color="black", linestyle="--", linewidth=1)
        for place, row in enumerate(records(rows)):
            colour = COLOURS["below_target" if row["below_target"] else "costly"]
            limits = [[100 * max(row["accuracy"] - row["low"], 0)], [100 * max(row["high"] - row["accuracy"], 0)]]
            ax.errorbar(100 * row["accuracy"], place, xerr=limits, color=colour, marker="o", capsize=3)
        ax.set_yticks(range(len(rows)), labels)
        ax.invert_yaxis()
        ax.set(xlim=(-2, 102), xlabel=f"Accuracy on test products (%); dashed: target {100 * target:.0f}%")
        marks = [Patch(color=COLOURS["below_target"], label="reliably below the target"),
                 Patch(color=COLOURS["costly"], label="costly, not reliably below")]  # fmt: skip
        figure.legend(handles=marks, loc="outside upper center", ncols=2, frameon=False)
    said = "; ".join(f"{row['category']}: {share(row['accuracy'], row['low'], row['high'])}" for row in records(rows))
    return Chart(figure, f"Accuracy in percent, with interval, of the categories to watch at level 3. {said}.", rows)
