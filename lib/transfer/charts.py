"""The two figures of a pair: what labels bring, and what each input is worth in the other shop."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lib.charts import Chart
from lib.figures import Look, in_style
from lib.tables import records, share
from lib.transfer.stage import ALONE, AS_IT_IS, BOTH, HOME, OWN

LOOKS = {
    HOME: Look("source's model, in its own shop", "#000000", "D"),
    OWN: Look("source's model as it is", "#7f7f7f", "p"),
    AS_IT_IS: Look("source's model, target's paths", "#009E73", "^"),
    ALONE: Look("target's labels alone", "#0072B2", "s"),
    BOTH: Look("source's model and target's labels", "#D55E00", "o"),
}


def draw_curve(curve: pd.DataFrame) -> Chart:
    """Draw path accuracy by the number of labels; what needs no label is a line across, with its interval as a band."""
    path = curve[curve["metric"] == "path"]
    with in_style():
        figure = Figure(figsize=(8.4, 5.4), layout="constrained")
        ax = figure.subplots()
        ax.set_xscale("log")
        for way in (HOME, AS_IT_IS, OWN):
            row, look = records(path[path["way"] == way])[0], LOOKS[way]
            ax.axhline(100 * row["mean"], color=look.color, linestyle="--", label=look.label)
            ax.axhspan(100 * row["low"], 100 * row["high"], color=look.color, alpha=0.1, linewidth=0)
        for way in (ALONE, BOTH):
            rows, look = path[path["way"] == way].sort_values("labels"), LOOKS[way]
            bars = 100 * rows[["low", "high"]].sub(rows["mean"], axis=0).abs().to_numpy().T
            beside = 0.99 if way == ALONE else 1.01
            ax.errorbar(rows["labels"] * beside, 100 * rows["mean"], yerr=bars, label=look.label, color=look.color,
                        marker=look.marker, capsize=3)  # fmt: skip
        sizes = sorted(path.loc[path["way"] == ALONE, "labels"])
        ax.set_xticks(sizes, [f"{size:,}" for size in sizes])
        ax.minorticks_off()
        ax.set(
            xlabel="Labelled products of the target (logarithmic)", ylabel="Path accuracy, target's test products (%)"
        )
        ax.set_ylim(0, 102)
        figure.legend(loc="outside upper center", ncols=2, frameon=False)
    table = path.assign(cell=[share(r["mean"], r["low"], r["high"]) for r in records(path)])
    table = table.pivot(index="labels", columns="way", values="cell").fillna("")
    said = "; ".join(
        f"{LOOKS[r['way']].label}, {r['labels']:,} labels: {share(r['mean'], r['low'], r['high'])}"
        for r in records(path)
    )
    caption = (
        "Path accuracy on the target's test products by the number of its products that are labelled, with 95% "
        "intervals. Dashed: what needs no label. The rightmost size is all training products of the target."
    )
    return Chart(figure, f"Curves of path accuracy in percent by number of labels. {said}.", table, caption)


def draw_inputs(inputs: pd.DataFrame) -> Chart:
    """Draw path accuracy at home and on the target for every set of inputs."""
    places = np.arange(len(inputs))
    with in_style():
        figure = Figure(figsize=(8.4, 1.8 + 0.5 * len(inputs)), layout="constrained")
        ax = figure.subplots()
        for what, look, shift in (("home", LOOKS[HOME], -0.12), ("away", LOOKS[AS_IT_IS], 0.12)):
            mean = inputs[what]
            bars = 100 * np.abs(np.stack([inputs[f"{what}_{end}"] - mean for end in ("low", "high")]))
            ax.errorbar(100 * mean, places + shift, xerr=bars, fmt=look.marker, color=look.color, capsize=3,
                        label="in its own shop" if what == "home" else "in the other shop")  # fmt: skip
        ax.set_yticks(places, [shown.replace("+", " + ") for shown in inputs["shown"]])
        ax.invert_yaxis()
        ax.set(xlim=(0, 102), xlabel="Path accuracy on test products (%)", ylabel="What the model is shown")
        figure.legend(loc="outside upper center", ncols=2, frameon=False)
    said = "; ".join(
        f"{r['shown']}: {100 * r['home']:.0f} at home, {100 * r['away']:.0f} away" for r in records(inputs)
    )
    caption = "The same model on test products of its own shop and of the other one, shown some of the inputs only."
    return Chart(figure, f"Path accuracy in percent by what the model is shown. {said}.", inputs, caption)
