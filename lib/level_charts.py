"""A chart of accuracy level by level: a mark for each model, hollow where it was measured on training rows."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lib.charts import MIN_WIDTH, Chart, Panel, legend, one_line
from lib.config import LEVELS
from lib.figures import LEVEL_LOOKS, in_style
from lib.tables import records, share

UNIT = "Accuracy (%)"
SPREAD = 0.6  # of the marks of one level; levels are 1 apart


def draw_levels(panels: Sequence[Panel]) -> Chart:
    """Draw accuracy by level, a panel a place where it was measured, under one legend.

    Parameters
    ----------
    panels
        From left to right. The rows of a series have `metric, mean, low, high`; a dashed series is drawn hollow.
    """
    order = list(dict.fromkeys(one.look.label for panel in panels for one in panel.series))
    with in_style():
        figure = Figure(figsize=(max(1.2 + 2.4 * len(panels), MIN_WIDTH), 5.2), layout="constrained")
        axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for ax, panel in zip(axes, panels, strict=True):
            _draw_panel(ax, panel, order)
        axes[0].set_ylim(0, 102)
        axes[0].set_ylabel(UNIT)
        legend(figure, axes)
    return Chart(figure, _describe(panels), _table(panels, order))


def _draw_panel(ax: Axes, panel: Panel, order: Sequence[str]) -> None:
    ax.set_title(panel.title)
    for one in panel.series:
        rows = one.rows.set_index("metric").reindex(list(LEVELS))
        bars = rows[["low", "high"]].sub(rows["mean"], axis=0).abs().to_numpy(float).T
        beside = SPREAD * (order.index(one.look.label) - (len(order) - 1) / 2) / len(order)
        ax.errorbar(
            np.arange(len(LEVELS)) + beside,
            rows["mean"] * 100,
            yerr=None if np.isnan(bars).all() else bars * 100,
            label=one.look.label,
            color=one.look.color,
            marker=one.look.marker,
            fillstyle="none" if one.line == "--" else "full",
            linestyle="",
            capsize=3,
        )
    ax.set_xticks(range(len(LEVELS)), [LEVEL_LOOKS[level].label for level in LEVELS])
    ax.set_xlim(-0.5, len(LEVELS) - 0.5)


def _describe(panels: Sequence[Panel]) -> str:
    """Say in words what every panel shows."""
    parts = []
    for title, series, _ in panels:
        values = [
            f"{one.look.label}: {' / '.join(f'{100 * mean:.0f}' for mean in one.rows.set_index('metric')['mean'])}"
            for one in series
        ]
        parts.append(f"{one_line(title)} - {'; '.join(values)}.")
    return f"{UNIT} at levels 1 / 2 / 3, {len(panels)} panels. {' '.join(parts)}"


def _table(panels: Sequence[Panel], order: Sequence[str]) -> pd.DataFrame:
    """Return a row for each level of each panel, and a column for each series."""
    cells = [
        {"measured": one_line(title), "level": row["metric"], "series": one.look.label, "cell": share(**row)}
        for title, series, _ in panels
        for one in series
        for row in records(one.rows[["metric", "mean", "low", "high"]])
    ]
    wide = pd.DataFrame(cells).pivot(index=["measured", "level"], columns="series", values="cell").fillna("")
    wide = wide.loc[[one_line(panel.title) for panel in panels], list(order)]
    return wide.rename(index=lambda name: LEVEL_LOOKS[name].label if name in LEVEL_LOOKS else name).rename_axis(
        columns=None
    )
