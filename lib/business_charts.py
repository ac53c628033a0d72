"""The figures of `08_business`."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lib.business_missing import NOTHING
from lib.business_promises import CALIBRATED, SOME_LEVEL, UNCALIBRATED, UNITS
from lib.charts import Chart
from lib.figures import in_style
from lib.tables import records, share

DEPTH_LOOKS = {"whole path": "#004488", "level 2 only": "#BB5566", "level 1 only": "#DDAA33", "people": "#BBBBBB"}
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00")
MODELS = {UNCALIBRATED: "#D55E00", CALIBRATED: "#0072B2"}


def hidden_name(hidden: str) -> str:
    """Name what is hidden.

    >>> hidden_name(""), hidden_name("image")
    ('all inputs', 'without image')
    """
    return "all inputs" if hidden == NOTHING else f"without {hidden}"


def draw_reliability(diagram: pd.DataFrame, errors: pd.DataFrame) -> Chart:
    """Draw accuracy against confidence, before and after calibration, a panel for each input that is hidden."""
    hidden = list(diagram["hidden"].unique())
    said = []
    with in_style():
        figure = Figure(figsize=(3.2 * len(hidden), 4.2), layout="constrained")
        for ax, name in zip(figure.subplots(1, len(hidden), sharey=True, squeeze=False)[0], hidden, strict=True):
            ax.plot([0, 100], [0, 100], color="black", linestyle=":", linewidth=1)
            for model, colour in MODELS.items():
                rows = diagram[(diagram["hidden"] == name) & (diagram["model"] == model)]
                limits = 100 * np.clip(
                    np.array([rows["accuracy"] - rows["low"], rows["high"] - rows["accuracy"]]), 0, 1
                )
                label = {UNCALIBRATED: "before", CALIBRATED: "after"}[model]
                ax.errorbar(100 * rows["confidence"], 100 * rows["accuracy"], yerr=limits, color=colour, marker="o",
                            markersize=5, linewidth=1.5, capsize=2, label=label)  # fmt: skip
                found = errors[(errors["hidden"] == name) & (errors["model"] == model) & (errors["depth"] == 3)]
                said.append(f"{hidden_name(name)}, {label}: {share(found['error'].iloc[0])}")
            ax.set(title=hidden_name(name), xlim=(0, 100), ylim=(0, 102), xlabel="Confidence (%)")
        figure.axes[0].set_ylabel("Right whole paths (%)")
        figure.axes[0].legend(frameon=False)
    alt = f"Reliability diagrams. Expected calibration error in percent: {'; '.join(said)}."
    caption = (
        "How often a path is right, by how sure the model is of it: the parts simply added up (before), and fitted "
        "and calibrated on tuning products (after). On the dotted line both are the same. Test products."
    )
    return Chart(figure, alt, diagram, caption)


def draw_depths(kept: pd.DataFrame) -> Chart:
    """Draw how many distinct products are tagged, and how deep, at each promise."""
    rows = kept[kept["unit"] == UNITS[0]]
    wide = rows.pivot(index="precision", columns="depth", values="share")
    parts = {"whole path": wide["3"], "level 2 only": wide["2"], "level 1 only": wide["1"]}
    parts["people"] = 1 - wide[SOME_LEVEL]
    labels = [f"{100 * value:g}% promised" for value in wide.index]
    return _stacked(
        labels, pd.DataFrame(parts), "of distinct test products", "How far products are tagged without a person."
    )


def draw_surest(table: pd.DataFrame, precisions: Sequence[float]) -> Chart:
    """Draw the precision of the surest products by their share, and the promises that were asked for."""
    said = []
    with in_style():
        figure = Figure(figsize=(8.4, 4.2), layout="constrained")
        ax = figure.subplots()
        for colour, depth in zip(DEPTH_LOOKS.values(), (3, 2, 1), strict=False):
            rows = table[table["depth"] == depth]
            label = "whole path" if depth == 3 else f"down to level {depth}"
            ax.plot(100 * rows["share"], 100 * rows["precision"], color=colour, marker=".", label=label)
            ax.fill_between(100 * rows["share"], 100 * rows["low"], 100 * rows["high"], color=colour, alpha=0.15)
            shown = rows[rows["share"].isin([rows["share"].min(), 0.5, 1.0])]
            said += [f"{label}, surest {share(row['share'])}: {share(row['precision'])}" for row in records(shown)]
        for precision in precisions:
            ax.axhline(100 * precision, color="black", linestyle=":", linewidth=1)
        ax.set(xlabel="Surest of the distinct test products (%)", ylabel="Right (%)", xlim=(0, 100))
        ax.legend(frameon=False, loc="lower left")
    caption = (
        "How many of the surest products are right, by how many are taken, and the promises that are asked for "
        "(dotted). Bands: 95% intervals over groups. A promise above a curve is beyond this model and these labels."
    )
    return Chart(figure, f"Curves, in percent. {'; '.join(said)}.", table, caption)


def draw_categories(table: pd.DataFrame, precision: float) -> Chart:
    """Draw how far the products of each class of level 1 are tagged."""
    columns = ["whole", "level_2", "level_1", "people"]
    rows = table.head(20).rename(columns=dict(zip(columns, DEPTH_LOOKS, strict=True)))
    labels = [f"{row['category']} ({row['products']:.0f})" for row in records(rows)]
    caption = (
        f"How far products are tagged without a person at {100 * precision:g}% promised precision, by their class of "
        "level 1 (distinct test products)."
    )
    return _stacked(labels, rows[list(DEPTH_LOOKS)], "of the class's distinct test products", caption)


def _stacked(labels: list[str], parts: pd.DataFrame, of: str, caption: str) -> Chart:
    with in_style():
        figure = Figure(figsize=(8.4, 1.7 + 0.36 * max(len(labels), 1)), layout="constrained")
        ax, start = figure.subplots(), np.zeros(len(labels))
        for name, colour in DEPTH_LOOKS.items():
            width = 100 * parts[name].to_numpy()
            ax.barh(range(len(labels)), width, left=start, color=colour, label=name)
            start = start + width
        ax.set_yticks(range(len(labels)), labels)
        ax.invert_yaxis()
        ax.set(xlim=(0, 100), xlabel=f"Percent {of}")
        ax.grid(axis="y", visible=False)
        figure.legend(loc="outside upper center", ncols=4, frameon=False)
    cells = [
        f"{label}: {', '.join(f'{name} {share(row[name])}' for name in DEPTH_LOOKS)}"
        for label, row in zip(labels, records(parts), strict=True)
    ]
    return Chart(figure, f"Stacked bars, percent {of}. {'; '.join(cells)}.", parts, caption)


def draw_resamplings(draws: pd.DataFrame, often: pd.DataFrame, certainty: float) -> Chart:
    """Draw the precision that was achieved in each redrawn test part, against what was promised."""
    depths = [("3", "whole path"), ("2", "level 2 only"), ("1", "level 1 only"), (SOME_LEVEL, "any level")]
    precisions = sorted(draws["precision"].unique())
    said = []
    with in_style():
        figure = Figure(figsize=(3.0 * len(precisions), 4.4), layout="constrained")
        for ax, precision in zip(figure.subplots(1, len(precisions), squeeze=False)[0], precisions, strict=True):
            for place, (depth, name) in enumerate(depths):
                mine = often[(often["precision"] == precision) & (often["depth"] == depth)].iloc[0]
                values = draws[(draws["precision"] == precision) & (draws["depth"] == depth)]["achieved"].dropna()
                if len(values) > 1:
                    box = ax.boxplot(100 * values, positions=[place], whis=(5, 95), widths=0.6, showfliers=False,
                                     patch_artist=True)  # fmt: skip
                    box["boxes"][0].set_facecolor("#CCDDEE")
                ax.text(place, 1.02, f"{100 * mine['kept']:.0f}%", ha="center", fontsize=9,
                        transform=ax.get_xaxis_transform())  # fmt: skip
                said.append(f"{100 * precision:g}%, {name}: {share(mine['kept'], mine['kept_low'], mine['kept_high'])}")
            if draws[draws["precision"] == precision]["achieved"].isna().all():
                ax.text(0.5, 0.6, "nothing could\nbe promised", ha="center", transform=ax.transAxes)
                ax.set_yticks([])
            ax.axhline(100 * precision, color="#D55E00", linestyle="--", linewidth=1.5)
            ax.set_xticks(range(len(depths)), [name for _, name in depths], rotation=60, ha="right", fontsize=10)
            ax.set_title(f"{100 * precision:g}% promised\n", fontsize=11)
            ax.set_xlim(-0.6, len(depths) - 0.4)
        figure.axes[0].set_ylabel("Precision on test products (%)")
    alt = f"Precision on redrawn test parts. Share of draws in which the promise was not broken: {'; '.join(said)}."
    caption = (
        "Precision on test products when calibration and test parts are drawn again: quartiles, and whiskers to the "
        "5th and 95th percentile of the draws in which something was tagged. Above each box, in how many of all draws "
        f"the promise was not broken: {100 * certainty:g}% or more is what was promised (for any level, it is no "
        "promise of its own)."
    )
    return Chart(figure, alt, often, caption)


def draw_missing(promises: pd.DataFrame, precision: float) -> Chart:
    """Draw share and precision of what is tagged, with an input hidden."""
    rows = promises[(promises["depth"] == SOME_LEVEL) & (promises["precision"] == precision)]
    labels = [hidden_name(name) for name in rows["hidden"]]
    with in_style():
        figure = Figure(figsize=(8.4, 1.6 + 0.42 * len(rows)), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        left.barh(labels, 100 * rows["share"], color="#0072B2")
        left.set(xlabel="Tagged to any level (%)", xlim=(0, 100))
        left.invert_yaxis()
        right.axvline(100 * precision, color="#D55E00", linestyle="--", linewidth=1.5)
        for place, row in enumerate(records(rows)):
            if not np.isnan(row["achieved"]):
                limits = [[100 * max(row["achieved"] - row["low"], 0)], [100 * max(row["high"] - row["achieved"], 0)]]
                right.errorbar(100 * row["achieved"], place, xerr=limits, color="#0072B2", marker="o", capsize=3)
        right.set_xlabel("Right, of what is tagged (%)")
    cells = [
        f"{label}: tagged {share(row['share'])}"
        + ("" if np.isnan(row["achieved"]) else f", right {share(row['achieved'], row['low'], row['high'])}")
        for label, row in zip(labels, records(rows), strict=True)
    ]
    caption = (
        f"What is tagged at {100 * precision:g}% promised precision (dashed) when an input of every test product is "
        "hidden. The promise is of products as they come, and not of these."
    )
    return Chart(figure, f"Percent, with all inputs and without each. {'; '.join(cells)}.", rows, caption)


def draw_lengths(lengths: pd.DataFrame, table: pd.DataFrame, precision: float) -> Chart:
    """Draw the distribution of the number of candidates at one promise."""
    said, table = [], table[table["precision"] == precision]
    lengths = lengths[lengths["precision"] == precision]
    with in_style():
        figure = Figure(figsize=(8.4, 4.0), layout="constrained")
        ax = figure.subplots()
        for colour, row in zip(COLOURS, records(table), strict=False):
            mine = lengths[lengths["coverage"] == row["coverage"]].sort_values("length")
            label = f"{100 * row['coverage']:g}% asked, {share(row['achieved'])}% achieved"
            ax.step(mine["length"], 100 * mine["share"].cumsum(), where="post", color=colour, label=label)
            said.append(f"{label}: median {row['median']}, mean {row['mean']:.1f} paths")
        ax.set(
            xscale="log", xlabel="Paths on the list (logarithmic)", ylabel="Lists at most so long (%)", ylim=(0, 102)
        )
        ax.legend(frameon=False, loc="lower right")
    caption = (
        "How long the lists of candidate paths are, for distinct test products whose whole path is not tagged at "
        f"{100 * precision:g}% promised precision, by the share of lists that is to hold the right path."
    )
    return Chart(figure, f"Cumulative curves of list lengths. {'; '.join(said)}.", table, caption)


def draw_queue(curves: pd.DataFrame, areas: pd.DataFrame) -> Chart:
    """Draw the errors avoided by the number of reviews, for each order of the queue."""
    with in_style():
        figure = Figure(figsize=(8.4, 4.2), layout="constrained")
        ax = figure.subplots()
        for colour, (name, rows) in zip(COLOURS, curves.groupby("order", sort=False), strict=False):
            ax.plot(100 * rows["reviewed"], 100 * rows["avoided"], color=colour, label=name)
        ax.set(xlabel="Groups of the queue reviewed (%)", ylabel="Errors avoided (%)", xlim=(0, 100), ylim=(0, 102))
        ax.legend(frameon=False, loc="lower right")
    found = areas.dropna(subset=["area"])
    cells = [f"{row['order']}: {share(row['area'], row['low'], row['high'])}" for row in records(found)]
    said = "; ".join(cells) or "there are no errors to avoid"
    caption = (
        "The review queue: share of its errors that are avoided, by how far people have come, in four orders. One "
        "review settles a group of near-duplicates."
    )
    return Chart(figure, f"Curves. Area under each in percent: {said}.", areas, caption)


def draw_costs(curve: pd.DataFrame, marks: pd.DataFrame) -> Chart:
    """Draw the costs of a thousand products by the share that is tagged, with the rules marked."""
    with in_style():
        figure = Figure(figsize=(8.4, 4.4), layout="constrained")
        ax = figure.subplots()
        ax.plot(100 * curve["tagged"], curve["cost"], color="#555555")
        markers = "osD^v<>P"
        for place, row in enumerate(records(marks)):
            ax.plot(100 * row["tagged"], row["cost"], marker=markers[place % len(markers)], linestyle="", markersize=9,
                    color=COLOURS[place % len(COLOURS)], label=f"{row['rule']}: {row['cost']:,.0f}")  # fmt: skip
        ax.set(xlabel="Products whose whole path is tagged (%)", ylabel="Cost of 1,000 products")
        ax.set_ylim(0, None)
        ax.legend(frameon=False, fontsize=10)
    said = "; ".join(f"{row['rule']}: {row['cost']:,.0f} with {share(row['tagged'])}% tagged" for row in records(marks))
    caption = (
        "What 1,000 distinct products cost, wrong tags and reviews together, by how many are tagged without a person."
    )
    return Chart(figure, f"Cost curve. {said}.", marks, caption)
