"""The figures of the `labels` stage: the learning curve with its laws, strategies by budget, and copied labels."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lib.charts import Chart
from lib.figures import LEVEL_LOOKS, Look, in_style, look
from lib.label_curve import Curve, band, possible
from lib.tables import points, records, share

BEYOND = 10.0  # times the largest size: how far laws are drawn
LAW_LOOKS = {"power": ("without a floor", "#0072B2", "--"), "floor": ("with a floor", "#D55E00", "-")}
STRATEGY_LOOKS = {
    "random": Look("random", "#7f7f7f", "p"),
    "one_per_group": Look("one of each group", "#0072B2", "s"),
    "copied": Look("one of each group, copied", "#56B4E9", "D"),
    "uncertainty": Look("uncertainty", "#D55E00", "o"),
    "diversity": Look("diversity", "#009E73", "^"),
    "mixed": Look("uncertainty and diversity", "#CC79A7", "v"),
}


def draw_laws(curve: Curve, table: pd.DataFrame, targets: list[float]) -> Chart:
    """Draw the measured curve, the laws fitted to it with their bands, and the targets.

    Parameters
    ----------
    table
        The measured curve as `label_stage.open_curve` returns it.
    """
    variant = look(str(table["variant"].iloc[0]))
    sizes = np.geomspace(curve.sizes[0], BEYOND * curve.sizes[-1], 40)
    with in_style():
        figure = Figure(figsize=(8, 5), layout="constrained")
        ax = figure.subplots()
        for law in possible(curve):
            label, color, line = LAW_LOOKS[law]
            rows = band(curve, law, sizes)
            ax.plot(sizes, 100 * rows["mean"], line, color=color, label=f"law {label}")
            ax.fill_between(sizes, 100 * rows["low"], 100 * rows["high"], color=color, alpha=0.15, linewidth=0)
        bars = table[["low", "high"]].sub(table["mean"], axis=0).abs().to_numpy().T
        ax.errorbar(table["train_size"], 100 * table["mean"], yerr=100 * bars, fmt=variant.marker,
                    color="black", capsize=3, label=f"measured: {variant.label}", zorder=3)  # fmt: skip
        for target in targets:
            ax.axhline(100 * target, color="black", linestyle=":", linewidth=1)
        ax.axvline(curve.sizes[-1], color="#999999", linewidth=1)
        ax.set(xscale="log", ylim=(0, 102), xlabel="Labelled products (logarithmic; measured left of the line)",
               ylabel="Path accuracy on test products (%)")  # fmt: skip
        figure.legend(loc="outside upper center", ncols=3, frameon=False)
    said = "; ".join(f"{row['train_size']:,} products: {share(**row)}" for row in records(table))
    caption = "The learning curve with the laws fitted to it: 95% intervals and bands; dotted: targets."
    return Chart(figure, f"Path accuracy in percent by number of labels, with fitted laws. {said}.", table, caption)


def draw_strategies(strategies: pd.DataFrame, contrasts: pd.DataFrame) -> Chart:
    """Draw accuracy by budget for every strategy, and beside it the difference to random sampling."""
    with in_style():
        figure = Figure(figsize=(11, 5), layout="constrained")
        axes = figure.subplots(1, 2)
        for place, (name, rows) in enumerate(strategies.groupby("strategy", sort=False)):
            style = STRATEGY_LOOKS[str(name)]
            drawn = {"color": style.color, "marker": style.marker, "capsize": 3}
            bars = rows[["low", "high"]].sub(rows["mean"], axis=0).abs().to_numpy().T
            beside = 1.015 ** (place - 2)  # so that intervals do not hide one another
            axes[0].errorbar(rows["labels"] * beside, 100 * rows["mean"], 100 * bars, label=style.label, **drawn)
            gains = contrasts[(contrasts["strategy"] == name) & (contrasts["against"] == "random")]
            if len(gains):
                bars = gains[["low", "high"]].sub(gains["difference"], axis=0).abs().to_numpy().T
                axes[1].errorbar(gains["labels"] * beside, 100 * gains["difference"], 100 * bars, **drawn)
        axes[1].axhline(0, color=STRATEGY_LOOKS["random"].color)
        sizes = sorted(strategies["labels"].unique())
        for ax, unit in zip(axes, ("Path accuracy on test products (%)", "Points above random sampling"), strict=True):
            ax.set(xscale="log", ylabel=unit, xlabel="Labels (logarithmic)")
            ax.set_xticks(sizes, [f"{size:,}" for size in sizes])
            ax.minorticks_off()
        figure.legend(loc="outside upper center", ncols=3, frameon=False)
    last = contrasts[(contrasts["against"] == "random") & (contrasts["labels"] == contrasts["labels"].max())]
    said = "; ".join(f"{STRATEGY_LOOKS[row['strategy']].label}: {points(**row)}" for row in records(last))
    caption = "Left: accuracy by labels spent. Right: the difference to random sampling, paired. 95% intervals."
    alt = f"Two panels of path accuracy by labels. Points above random with the largest budget: {said}."
    return Chart(figure, alt, strategies, caption)


def draw_copies(copies: pd.DataFrame) -> Chart:
    """Draw how often a copied label agrees with the product's own, and with the truth where it is known."""
    markers = {"own label": ("o", "with the product's own label"), "truth": ("s", "with the truth")}
    names = list(copies["level"].unique())
    with in_style():
        figure = Figure(figsize=(8, 1.6 + 0.5 * max(len(names), 1)), layout="constrained")
        ax = figure.subplots()
        for shift, (against, rows) in enumerate(copies.groupby("against", sort=False)):
            marker, label = markers[str(against)]
            bars = rows[["low", "high"]].sub(rows["share"], axis=0).abs().to_numpy().T
            places = [names.index(name) + 0.15 * shift for name in rows["level"]]
            ax.errorbar(100 * rows["share"], places, xerr=100 * bars, fmt=marker, capsize=3, label=f"agrees {label}",
                        color=["#0072B2", "#D55E00"][shift])  # fmt: skip
        ax.set_yticks(range(len(names)), [LEVEL_LOOKS[n].label if n in LEVEL_LOOKS else "all levels" for n in names])
        ax.invert_yaxis()
        ax.set(xlabel="Copied labels (%)")
        figure.legend(loc="outside upper center", ncols=2, frameon=False)
    said = "; ".join(f"{r['level']}, {r['against']}: {share(r['share'], r['low'], r['high'])}" for r in records(copies))
    caption = "How often a label copied within a near-duplicate group is right, with 95% intervals over groups."
    return Chart(figure, f"Percentage of copied labels that agree. {said}.", copies, caption)
