"""A chart of differences with their intervals: a line for each model or recipe, two marks on each."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lib.charts import MIN_WIDTH, Chart, one_line
from lib.figures import Look, in_style
from lib.tables import points, records

FILLS: tuple[Literal["full"], Literal["none"]] = ("full", "none")  # of a first and a second mark


class Forest(NamedTuple):
    """What a chart of differences shows.

    Attributes
    ----------
    panels
        Title -> rows with `line, mark, difference, low, high`.
    lines
        A line's key -> how it is drawn; from top to bottom.
    marks
        A mark's key -> its name in the legend; the first is filled, the second hollow.
    unit
        What the horizontal axis shows.
    """

    panels: Mapping[str, pd.DataFrame]
    lines: Mapping[str, Look]
    marks: Mapping[str, str]
    unit: str


def draw_differences(forest: Forest) -> Chart:
    """Draw differences with their intervals; lines that no panel has are left out."""
    present = set().union(*(part["line"] for part in forest.panels.values()))
    shown = forest._replace(lines={key: look for key, look in forest.lines.items() if key in present})
    with in_style():
        figure = Figure(
            figsize=(max(2.0 + 3.3 * len(shown.panels), MIN_WIDTH), 1.9 + 0.36 * len(present)), layout="constrained"
        )
        axes = figure.subplots(1, len(shown.panels), sharex=True, sharey=True, squeeze=False)[0]
        for ax, (title, part) in zip(axes, shown.panels.items(), strict=True):
            ax.set_title(title)
            ax.axvline(0, color="black", linewidth=1)
            for row in records(part[part["mark"].isin(list(shown.marks))]):
                _draw(ax, row, shown)
        axes[0].set_yticks(range(len(present)), [look.label for look in shown.lines.values()])
        axes[0].invert_yaxis()
        figure.supxlabel(shown.unit, fontsize=12)
        _legend(figure, shown.marks)
    return Chart(figure, _describe(shown), _table(shown))


def _draw(ax: Axes, row: dict[str, Any], forest: Forest) -> None:
    place, look = list(forest.marks).index(row["mark"]), forest.lines[row["line"]]
    below, above = row["difference"] - row["low"], row["high"] - row["difference"]
    ax.errorbar(
        100 * row["difference"],
        list(forest.lines).index(row["line"]) + 0.3 * (place - 0.5),
        xerr=[[100 * max(below, 0)], [100 * max(above, 0)]],
        color=look.color,
        marker=look.marker,
        fillstyle=FILLS[place],
        capsize=3,
    )


def _legend(figure: Figure, marks: Mapping[str, str]) -> None:
    fills = FILLS[: len(marks)]
    handles = [Line2D([], [], color="#555555", marker="o", linestyle="", fillstyle=fill) for fill in fills]
    figure.legend(handles, list(marks.values()), loc="outside upper center", ncols=2, frameon=False)


def _describe(forest: Forest) -> str:
    """Say in words what the panels show of each mark."""
    parts = []
    for title, rows in forest.panels.items():
        for mark, name in forest.marks.items():
            found = {row["line"]: 100 * row["difference"] for row in records(rows[rows["mark"] == mark])}
            values = [f"{look.label}: {found[line]:+.1f}" for line, look in forest.lines.items() if line in found]
            where = ", ".join(filter(None, [one_line(title), name]))
            parts += [f"{where} - {'; '.join(values)}."] if values else []
    return f"{forest.unit}, with intervals. {' '.join(parts)}"


def _table(forest: Forest) -> pd.DataFrame:
    """Return a row for each line, and a column for each panel and mark."""
    columns = {}
    for title, rows in forest.panels.items():
        for mark, name in forest.marks.items():
            part = rows[rows["mark"] == mark].set_index("line")
            columns[one_line(title), name] = pd.Series([points(**row) for row in records(part)], part.index, dtype=str)
    table = pd.DataFrame(columns).fillna("")
    table = table.loc[[line for line in forest.lines if line in table.index]]
    return table.rename(index=lambda line: forest.lines[line].label).rename_axis(index=None)
