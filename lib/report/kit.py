"""What the notebooks draw and say with: one look, intervals, and outputs that have a name.

A notebook draws its own charts with matplotlib or seaborn. From here come the colour of each variant, marks with
intervals, an axis of training sizes, the legend, and four functions that give an output a name: `publish` (a figure),
`table`, `say` (sentences) and `number`. The report finds them by notebook and name (`lib.report.pages`).

Colours are Okabe and Ito's (2008), which people with any kind of colour blindness can tell apart.
"""

import math
import warnings
from base64 import b64encode
from collections.abc import Collection, Iterable, Mapping, Sequence
from io import BytesIO
from typing import Any, NamedTuple, Never

import matplotlib as mpl
import matplotlib.font_manager
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import publish_display_data
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from lib.config import LEVELS

Sizes = Collection[int]
Panels = Mapping[str, pd.DataFrame]  # the title of each panel of a figure, and the rows that it shows

NAMED = "study"
"""The key of an output's metadata under which its name, caption and alt text stand."""

NONE = "–"
"""What stands in the place of a number that there is not."""

REST = "rest"
"""The name of the sentence that stands for whatever a notebook that ended early did not come to."""

DPI, COLOURS, MIN_WIDTH = 110, 256, 8.4  # inches: room for the legend of a figure with few panels
STYLE: dict[Any, Any] = {
    "font.size": 12,
    "axes.titlesize": 13,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "lines.linewidth": 2.0,
    "lines.markersize": 7.0,
    "figure.constrained_layout.use": True,
    "text.parse_math": False,  # names of products and classes are no formulas, dollar signs or not
}
FONTS = (
    "DejaVu Sans",
    "Noto Sans CJK JP",
    "Noto Sans Devanagari",
    "Noto Sans Thai",
    "Noto Sans Arabic",
    "Arial Unicode MS",
)
"""What letters are looked for in, in this order, where a font is installed."""


class Look(NamedTuple):
    """How a series is drawn and named in every figure."""

    label: str
    color: str
    marker: str


LOOKS = {
    "naive": Look("naive", "#7f7f7f", "p"),
    "linear": Look("brand + text, linear", "#000000", "D"),
    "brand": Look("brand", "#E69F00", "v"),
    "brand_text": Look("brand + text", "#0072B2", "s"),
    "brand_image": Look("brand + image", "#009E73", "^"),
    "brand_image_lite2": Look("brand + image, EfficientNet-Lite2", "#44BB99", "4"),
    "brand_image_random": Look("brand + image, random weights", "#99AABB", "x"),
    "brand_text_image": Look("brand + text + image", "#D55E00", "o"),
    "linear_image": Look("brand + image, linear", "#6B4C1E", "d"),
    "late_fusion": Look("late fusion of both linear", "#661188", "*"),
    "image": Look("image", "#117733", "1"),
    "text_image": Look("text + image", "#999933", "8"),
    "robust": Look("brand + text + image, modality dropout", "#EE7733", "H"),
    "best": Look("best", "#000088", "h"),
    "best_fragile": Look("best without modality dropout", "#4477AA", ">"),
    "best_by_level": Look("best, level by level", "#88CCEE", "."),
    "sequential": Look("sequential", "#CC79A7", "<"),
    "lstm": Look("LSTM", "#56B4E9", "P"),
    "lstm_multitask": Look("multitask LSTM", "#882255", "X"),
    "level_1": Look("level 1", "#004488", "o"),
    "level_2": Look("level 2", "#BB5566", "s"),
    "level_3": Look("level 3", "#DDAA33", "^"),
    "naive_level_1": Look("level 1, naive", "#004488", "."),
    "naive_level_2": Look("level 2, naive", "#BB5566", "."),
    "naive_level_3": Look("level 3, naive", "#DDAA33", "."),
    "lstm_hard": Look("LSTM, hard", "#56B4E9", "v"),
    "lstm_soft": Look("LSTM, soft", "#56B4E9", "P"),
    "brand_text_train": Look("brand + text, training rows", "#0072B2", "s"),
    "paper": Look("the paper's recipe", "#0072B2", "s"),
    "paper_fixed_updates": Look("2,400 updates at every size", "#D55E00", "o"),
    "paper_70k_updates": Look("70,000 updates", "#009E73", "^"),
}


def look(name: str) -> Look:
    """Return how a variant or a level is drawn; one without a colour of its own is named as it is, and pink.

    >>> look("brand_text").label, look("my_own").label
    ('brand + text', 'my own')
    """
    return LOOKS.get(name, Look(name.replace("_", " "), "#F781BF", "h"))


def use_style() -> None:
    """Draw all that follows in the study's style, whatever the user's own settings of matplotlib."""
    known = {font.name for font in mpl.font_manager.fontManager.ttflist}
    mpl.rcdefaults()
    mpl.rcParams.update(STYLE | {"font.family": [name for name in FONTS if name in known]})
    warnings.filterwarnings("ignore", "Glyph .* missing from")  # it is seen in the figure


def marks(
    ax: Axes,
    places: Sequence[float] | np.ndarray | pd.Series,
    rows: pd.DataFrame,
    style: Look,
    *,
    value: str = "mean",
    across: bool = False,
    line: str = "",
    hollow: bool = False,
    label: str | None = None,
) -> None:
    """Draw one series in percent, each value with its interval.

    Parameters
    ----------
    places
        Where on the horizontal axis each row stands; with `across` on the vertical one.
    rows
        With the columns `low`, `high` and the one named by `value`: shares from 0 to 1. No interval where NaN.
    line
        A matplotlib line style; by default the marks are not joined.
    hollow
        Draw marks that are not filled: for training rows, and for the second of two series of one colour.
    """
    values = rows[value].to_numpy(float)
    bars = 100 * np.abs(rows[["low", "high"]].to_numpy(float).T - values)
    intervals = None if np.isnan(bars).all() else bars
    x, y = (100 * values, places) if across else (places, 100 * values)
    ax.errorbar(
        x,
        y,
        xerr=intervals if across else None,
        yerr=None if across else intervals,
        label=style.label if label is None else label,
        color=style.color,
        marker=style.marker,
        fillstyle="none" if hollow else "full",
        linestyle=line,
        capsize=3,
    )


def size_axis(ax: Axes, sizes: Iterable[int], named: Sizes = ()) -> None:
    """Make the horizontal axis one of training sizes, logarithmic, with a label for each size."""
    ticks = sorted({int(size) for size in sizes})
    ax.set_xscale("log")
    ax.set_xticks(ticks, [size_label(size, named) for size in ticks])
    ax.minorticks_off()
    ax.margins(x=0.12)
    if len(ticks) == 1:  # or the axis would be as narrow as the shifts between the series
        ax.set_xlim(ticks[0] / 1.5, ticks[0] * 1.5)


def size_label(size: int, named: Sizes = ()) -> str:
    r"""Label a training size. Where sizes are named by number, any other is all there is.

    >>> size_label(10_000, [1_000, 10_000]), size_label(29_998, [1_000, 10_000]), size_label(1_500)
    ('10k', 'all\n(29,998)', '1,500')
    """
    if named and size not in named:
        return f"all\n({size:,})"
    return f"{size // 1000}k" if size % 1000 == 0 else f"{size:,}"


def legend(figure: Figure, columns: int = 4) -> None:
    """Put one legend above all panels, with an entry for each series in any of them; in fewer columns if too wide."""
    entries: dict[str, Any] = {}
    for ax in figure.axes:
        handles, labels = ax.get_legend_handles_labels()
        entries = dict(zip(labels, handles, strict=True)) | entries
    for ncols in range(columns, 0, -1):
        drawn = figure.legend(
            list(entries.values()), list(entries), loc="outside upper center", ncols=ncols, frameon=False
        )
        if ncols == 1 or drawn.get_window_extent().width <= figure.bbox.width:
            break
        drawn.remove()


def describe(unit: str, panels: Mapping[str, Mapping[str, float]], digits: int = 0) -> str:
    """Say in words what a figure shows: its unit, and of each panel each series and its value, a share.

    >>> describe("Accuracy (%)", {"test rows": {"brand": 0.5, "best": 0.912}})
    'Accuracy (%). test rows - brand: 50; best: 91.'
    """
    said = {
        title: "; ".join(
            f"{name}: {NONE if math.isnan(value) else f'{100 * value:.{digits}f}'}" for name, value in values.items()
        )
        for title, values in panels.items()
    }
    parts = [f"{title} - {values}." for title, values in said.items()]
    return " ".join([f"{unit}.", *parts]).replace("\n", ", ")


def publish(figure: Figure, name: str, caption: str, alt: str) -> None:
    """Show a figure under a name, with what to see in it, and its description for those who cannot see it."""
    drawn, packed = BytesIO(), BytesIO()
    figure.savefig(drawn, format="png", dpi=DPI)
    plt.close(figure)
    image = Image.open(drawn).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)  # a third of the bytes
    image.save(packed, "PNG", optimize=True)
    data = {"image/png": b64encode(packed.getvalue()).decode(), "text/plain": alt}
    publish_display_data(data, {NAMED: {"name": name, "caption": caption, "alt": alt}})


def not_run(experiment: str) -> str:
    """Say that the catalogue has no such runs of an experiment, and how it would.

    >>> not_run("word_order")[:55]
    'Not run on this catalogue: the experiment `word_order`,'
    """
    how = "add its name to `experiments` in `catalogues/NAME.yaml`, its variants to `params.yaml`, and run `make repro`"
    return f"Not run on this catalogue: the experiment `{experiment}`, or what this needs of it. To run it, {how}."


def curves(
    name: str,
    panels: Panels,
    unit: str,
    caption: str,
    by: str = "variant",
    named: Sizes = (),
    levels: bool = False,
    experiment: str = "core",
    alike: bool = False,
) -> None:
    """Publish accuracy by training size in panels under one legend, or say that its experiment was not run.

    Parameters
    ----------
    panels
        Title -> rows with `train_size, metric, measured_on, mean, low, high`; a panel without rows is left out. What is
        measured on training rows is dashed. A panel whose title begins with `Published` is shown beside others only.
    by
        The column that tells the series apart: names that `look` knows.
    named
        See `size_label`.
    levels
        Draw accuracy by level instead, at one size: marks are not joined, and hollow instead of dashed.
    experiment
        The one of `params.yaml` whose runs are shown.
    alike
        Give all panels the same range of training sizes.
    """
    panels = {title: rows for title, rows in panels.items() if len(rows)}
    if all(title.startswith("Published") for title in panels):
        return say(name, not_run(experiment))
    size = (max(3.3 * len(panels), MIN_WIDTH), 5.2)
    figure, axes = plt.subplots(1, len(panels), sharey=True, squeeze=False, figsize=size)
    last: dict[str, dict[str, float]] = {}
    for ax, (title, rows) in zip(axes[0], panels.items(), strict=True):
        series = sorted(rows[by].unique(), key=[*LOOKS, *sorted(rows[by].unique())].index)
        for place, key in enumerate(series):
            part = rows[rows[by] == key].sort_values(["train_size", "metric"])
            aside, train = place - (len(series) - 1) / 2, (part["measured_on"] == "train").all()
            if levels:  # marks stand beside one another, so that intervals do not hide one another
                x, line = part["metric"].map(LEVELS.index) + 0.6 * aside / len(series), ""
            else:
                x, line = part["train_size"] * 1.012**aside, "--" if train else "-"
            marks(ax, x, part, look(key), line=line, hollow=levels and bool(train))
            last.setdefault(title, {})[look(key).label] = part["mean"].iloc[-1]
        ax.set_title(title)
        if levels:
            ax.set_xticks(range(len(LEVELS)), [look(level).label for level in LEVELS])
        else:
            size_axis(ax, rows["train_size"], () if title.startswith("Published") else named)
            ax.set_xlabel("training products")
    if alike:
        limits = np.ravel([ax.get_xlim() for ax in axes[0]])
        for ax in axes[0]:
            ax.set_xlim(limits.min(), limits.max())
    axes[0][0].set(ylim=(0, 102), ylabel=unit)
    legend(figure)
    publish(figure, name, caption, describe(f"{unit}, the last of each series", last))


def differences(
    name: str,
    panels: Panels,
    unit: str,
    caption: str,
    kind: str,
    kinds: Mapping[str, str],
    by: str = "variant",
    experiment: str = "core",
) -> None:
    """Publish differences of shares in panels, a line for each `by`, or say that their experiment was not run.

    Parameters
    ----------
    panels
        Title -> rows with `variant, difference, low, high`; a panel without rows is left out.
    kind, kinds
        The column that tells two kinds of marks apart, and what the legend calls them. The second kind is hollow.
    by
        The column that tells the lines apart: names that `look` knows. Colours are those of `variant`.
    """
    panels = {title: rows for title, rows in panels.items() if len(rows)}
    if not panels:
        return say(name, not_run(experiment))
    present = set(pd.concat(list(panels.values()))[by])
    lines = sorted(present, key=[*LOOKS, *sorted(present)].index)
    size = (max(2 + 3.3 * len(panels), MIN_WIDTH), 1.9 + 0.36 * len(lines))
    figure, axes = plt.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False, figsize=size)
    shown: dict[str, dict[str, float]] = {}
    for ax, (title, rows) in zip(axes[0], panels.items(), strict=True):
        for place, (of, label) in enumerate(kinds.items()):
            for key, part in rows[rows[kind] == of].groupby(by):
                y, style = np.full(len(part), lines.index(key) + 0.3 * (place - 0.5)), look(part["variant"].iloc[0])
                marks(ax, y, part, style, value="difference", across=True, hollow=place == 1, label=label)
                where = ", ".join(filter(None, [title, label]))
                shown.setdefault(where, {})[look(str(key)).label] = part["difference"].iloc[0]
        ax.set_title(title)
        ax.axvline(0, color="black", linewidth=1)
    labels = [look(key).label for key in lines]
    axes[0][0].set(ylim=(len(lines) - 0.5, -0.5), yticks=range(len(lines)), yticklabels=labels)
    figure.supxlabel(unit)
    legend(figure, 2)
    publish(figure, name, caption, describe(unit, shown, 1))


def table(frame: pd.DataFrame, name: str, caption: str = "", experiment: str = "core") -> None:
    """Show a table under a name; one without rows says that its experiment was not run."""
    if frame.empty:
        return say(name, not_run(experiment))
    data = {"text/html": frame.to_html(border=0, na_rep=NONE), "text/plain": frame.to_string(na_rep=NONE)}
    publish_display_data(data, {NAMED: {"name": name, "caption": caption}})


def say(name: str, *lines: str) -> None:
    """Show sentences under a name, as Markdown: one as a paragraph, several as a list."""
    text = lines[0] if len(lines) == 1 else "\n".join(f"- {line}" for line in lines)
    publish_display_data({"text/markdown": text, "text/plain": text}, {NAMED: {"name": name}})


def end(why: str) -> Never:
    """Say why the rest of a notebook is not run, and end it; pages show that wherever they ask for something of it."""
    say(REST, why)
    warnings.filterwarnings("ignore", "To exit")  # what IPython says of it
    raise SystemExit(0)  # which Papermill takes for an end, and not for a failure


def number(name: str, value: object) -> None:
    """Show one number, or one word, under a name; as text, formatted as it is to be read."""
    publish_display_data({"text/plain": str(value)}, {NAMED: {"name": name}})


def runs_of(rows: pd.DataFrame) -> str:
    """End a caption: say of which runs a figure or table is, as far as its rows tell.

    >>> runs_of(pd.DataFrame({"recipe": ["tuned", "none"], "split": "random", "train_size": [3000, 1000], "seeds": 5}))
    'Recipe: tuned; split: random; training products: 1,000, 3,000; seeds: 5.'
    """
    columns, said = ("recipe", "split", "text", "decoding", "train_size", "seeds"), []
    for column in columns:
        found = sorted(set(rows[column]) - {"", "none"}) if column in rows else []
        values = [f"{value:,}" if isinstance(value, int) else str(value).replace("_", " ") for value in found]
        name = "training products" if column == "train_size" else column
        said += [f"{name}: {', '.join(values)}"] if values else []
    return f"{'; '.join(said).capitalize()}."


def share(mean: float, low: float = math.nan, high: float = math.nan, **_: Any) -> str:
    """Write a share as a percentage, with its interval if there is one.

    >>> share(0.9481, 0.9411, 0.9544), share(0.93)
    ('94.8 (94.1–95.4)', '93.0')
    """
    interval = "" if math.isnan(low) else f" ({100 * low:.1f}–{100 * high:.1f})"
    return f"{100 * mean:.1f}{interval}"


def points(difference: float, low: float = math.nan, high: float = math.nan, **_: Any) -> str:
    """Write a difference of shares in percentage points, with its interval if there is one.

    >>> points(0.0213, -0.004, 0.05)
    '+2.1 (-0.4 to +5.0)'
    """
    interval = "" if math.isnan(low) else f" ({100 * low:+.1f} to {100 * high:+.1f})"
    return f"{100 * difference:+.1f}{interval}"
