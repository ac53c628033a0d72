"""What a chart is, and the first of three kinds: curves by training size."""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from IPython.display import HTML
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lib.figures import FOLDER, Look, in_style, save, show
from lib.tables import records, share

MIN_WIDTH = 8.4  # inches: room for the legend of a figure with few panels


class Series(NamedTuple):
    """One line of a panel. `rows` has `train_size, mean, low, high`; shares from 0 to 1, no interval where NaN."""

    rows: pd.DataFrame
    look: Look
    line: str = "-"


class Chart(NamedTuple):
    """A figure, its description in words, the numbers that it shows as a table to read, and what to see in it."""

    figure: Figure
    alt: str
    table: pd.DataFrame
    caption: str = ""


class Panel(NamedTuple):
    """One plot of a figure. `named_sizes`: the training sizes to name by number, see `size_label`."""

    title: str
    series: Sequence[Series]
    named_sizes: Collection[int] = ()


def publish(catalogue: str, name: str, chart: Chart, place: str = FOLDER) -> HTML:
    """Save a chart among the figures of a stage, and return it to be displayed in a notebook."""
    save(chart.figure, catalogue, name, chart.caption, chart.alt, place)
    return show(catalogue, name, place)


def size_label(size: int, named_sizes: Collection[int] = ()) -> str:
    r"""Label a training size on an axis.

    >>> size_label(10_000, [1_000, 10_000]), size_label(29_998, [1_000, 10_000]), size_label(1_500)
    ('10k', 'all\n(29,998)', '1,500')
    """
    if named_sizes and size not in named_sizes:
        return f"all\n({size:,})"
    return f"{size // 1000}k" if size % 1000 == 0 else f"{size:,}"


def draw_curves(panels: Sequence[Panel], unit: str) -> Chart:
    """Draw accuracy by training size, a panel a place where it was measured, under one legend.

    Parameters
    ----------
    panels
        From left to right; each has a series.
    unit
        What the vertical axis shows.
    """
    with in_style():
        figure = Figure(figsize=(max(3.3 * len(panels), MIN_WIDTH), 5.2), layout="constrained")
        axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for ax, panel in zip(axes, panels, strict=True):
            _draw_panel(ax, panel)
        axes[0].set_ylim(0, 102)
        axes[0].set_ylabel(unit)
        figure.supxlabel("Training products (logarithmic)", fontsize=12)
        legend(figure, axes)
    return Chart(figure, _describe_curves(panels, unit), _table_curves(panels))


def _draw_panel(ax: Axes, panel: Panel) -> None:
    ax.set_title(panel.title)
    ax.set_xscale("log")
    sizes = sorted({int(size) for one in panel.series for size in one.rows["train_size"]})
    for place, one in enumerate(panel.series):
        rows = one.rows.sort_values("train_size")
        beside = 1.012 ** (place - len(panel.series) / 2)  # so that intervals do not hide one another
        bars = rows[["low", "high"]].sub(rows["mean"], axis=0).abs().to_numpy().T
        ax.errorbar(
            rows["train_size"] * beside,
            rows["mean"] * 100,
            yerr=None if np.isnan(bars).all() else bars * 100,
            label=one.look.label,
            color=one.look.color,
            marker=one.look.marker,
            linestyle=one.line,
            capsize=3,
        )
    ax.set_xticks(sizes, [size_label(size, panel.named_sizes) for size in sizes])
    ax.minorticks_off()
    ax.margins(x=0.12)
    if len(sizes) == 1:  # or else the axis would be as narrow as the shifts between the series
        ax.set_xlim(sizes[0] / 1.5, sizes[0] * 1.5)


def legend(figure: Figure, axes: Sequence[Axes]) -> None:
    """Put one legend above the panels, with a line for each series that is in any of them."""
    columns = max(2 * len(axes) - 2, 1)
    entries: dict[str, Any] = {}
    for ax in axes:
        handles, labels = ax.get_legend_handles_labels()
        entries |= {label: handle for handle, label in zip(handles, labels, strict=True) if label not in entries}
    figure.legend(list(entries.values()), list(entries), loc="outside upper center", ncols=columns, frameon=False)


def _describe_curves(panels: Sequence[Panel], unit: str) -> str:
    """Say in words what the panels show at their largest training size."""
    parts = []
    for title, series, _ in panels:
        size = max(int(one.rows["train_size"].max()) for one in series)
        last = [one.rows[one.rows["train_size"] == size]["mean"] for one in series]
        values = [
            f"{one.look.label}: {100 * mean.iloc[0]:.0f}" for one, mean in zip(series, last, strict=True) if len(mean)
        ]
        parts.append(f"{one_line(title)}, {size:,} products - {'; '.join(values)}.")
    return f"{unit} by number of training products, {len(panels)} panels. At the largest size: {' '.join(parts)}"


def _table_curves(panels: Sequence[Panel]) -> pd.DataFrame:
    """Return a row for each training size of each panel, and a column for each series."""
    cells = [
        {
            "measured on": one_line(title),
            "products": int(row["train_size"]),
            "series": one.look.label,
            "cell": share(**row),
        }
        for title, series, _ in panels
        for one in series
        for row in records(one.rows[["train_size", "mean", "low", "high"]])
    ]
    table = pd.DataFrame(cells)
    wide = table.pivot(index=["measured on", "products"], columns="series", values="cell").fillna("")
    wide = wide.loc[table["measured on"].unique(), table["series"].unique()]
    return wide.rename_axis(columns=None)


def one_line(title: str) -> str:
    """Write a title that has two lines in one."""
    return title.replace("\n", ", ")
