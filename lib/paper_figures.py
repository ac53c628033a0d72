"""The paper's Figures 2 to 5 measured again, each beside the published numbers."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from lib.charts import Chart, Panel, Series, draw_curves, size_label
from lib.config import LEVELS
from lib.errors import StudyError
from lib.figures import LEVEL_LOOKS, LOOKS, Look, look
from lib.level_charts import draw_levels
from lib.published import SOURCE, published
from lib.view import MAIN, View

MEAN = "Mean accuracy of the 3 levels (%)"
PUBLISHED = "Published\ntraining rows"
PLACES = {
    "Random split\ntest rows": ("random", "test"),
    "Grouped split\ntest rows": ("grouped", "test"),
    "Random split\ntraining rows": ("random", "train"),
}
ELSEWHERE = ("linear_image", "late_fusion", "sequential", "lstm", "lstm_multitask")
"""Variants that have a figure of their own, and would crowd Figure 2."""


class Mark(NamedTuple):
    """A series of Figure 4 or 5."""

    variant: str
    decoding: str
    on: str
    look: Look


_BAG = LOOKS["brand_text"]
_LSTM = LOOKS["lstm"]
FIGURE_4 = (
    Mark("lstm", "hard", "test", _LSTM._replace(label="LSTM, hard", marker="v")),
    Mark("lstm", "soft", "test", _LSTM._replace(label="LSTM, soft")),
    Mark("lstm_multitask", "independent", "test", LOOKS["lstm_multitask"]),
    Mark("brand_text", "independent", "test", _BAG._replace(label="bag of words")),
    Mark("brand_text", "independent", "train", _BAG._replace(label="bag of words, training rows")),
)
FIGURE_5 = (
    Mark("sequential", "hard", "test", LOOKS["sequential"]),
    Mark("brand_text", "independent", "test", _BAG._replace(label="multitask MLP")),
    Mark("brand_text", "independent", "train", _BAG._replace(label="multitask MLP, training rows")),
)
LIKE_THE_PAPER = {
    "The paper's recipe": {"lstm": "paper_lstm"},
    "The same as coded": {"lstm": "paper_lstm_leaked_label", "sequential": "paper_frozen_trunk"},
}
"""The recipe of a chain beside the recipe `paper` of the other networks; `paper` where nothing is said."""


def figure_2(view: View) -> Chart:
    """Draw Figure 2: mean accuracy of the three levels by input and training size, beside the published numbers."""
    rows = _runs(view, metric="mean")
    rows = rows[~rows["variant"].isin(ELSEWHERE)]
    panels = [Panel(title, _by_variant(part), view.named_sizes) for title, part in _places(rows).items()]
    panels.append(Panel(PUBLISHED, _by_variant(_published("figure_2"))))
    return draw_curves(panels, MEAN)._replace(
        caption="Figure 2. Mean accuracy of the three levels by input and number of training products. Solid: test "
        f"rows. Dashed: the rows trained on, as in the published figure (right; {SOURCE}). "
        "Bars: 95% intervals over products and seeds."
    )


def figure_3(view: View, variant: str = "brand_text_image") -> Chart:
    """Draw Figure 3: accuracy of each level by training size, with the naive model."""
    panels = [Panel(title, _by_level(part, variant), view.named_sizes) for title, part in _places(_runs(view)).items()]
    panels = [panel for panel in panels if panel.series]
    panels.append(Panel(PUBLISHED, _by_level(_published("figure_3"), "brand_text_image")))
    return draw_curves(panels, "Accuracy (%)")._replace(
        caption=f"Figure 3. Accuracy of {look(variant).label} at each level (lines), and of the naive model (dotted), "
        f"by number of training products. Dashed: the rows trained on. Right: as published ({SOURCE})."
    )


def figure_4(view: View) -> Chart | None:
    """Draw Figure 4: chained LSTMs and the bag of words, level by level; None where no LSTM was run."""
    chart = _levels(view, "lstm", FIGURE_4, "figure_4")
    return chart and chart._replace(
        caption="Figure 4. Does word order help? Accuracy by level of the chain of LSTMs, decoded hard and soft, and "
        "of the bag of words. Filled: test rows. Hollow: the rows trained on, as the published bag of words "
        f"probably was (left; {SOURCE}). Bars: 95% intervals over products and seeds."
    )


def figure_5(view: View) -> Chart | None:
    """Draw Figure 5: the sequential and the multitask network, level by level; None where no sequential one was run."""
    chart = _levels(view, "sequential", FIGURE_5, "figure_5")
    return chart and chart._replace(
        caption="Figure 5. Is it better to predict all levels at once? Accuracy by level of the chain of networks and "
        "of the multitask network. Filled: test rows. Hollow: the rows trained on, as the published multitask "
        f"network probably was (left; {SOURCE}). Bars: 95% intervals over products and seeds."
    )


def figure_as_published(view: View, recipe: str = "paper") -> Chart | None:
    """Draw the paper's recipe as it was published, on training rows, and as was meant, on test rows."""
    panels = [Panel(PUBLISHED, _by_variant(_published("figure_2")))]
    for on, title in (("train", "Measured as published\ntraining rows"), ("test", "As intended\ntest rows")):
        part = view.measured(recipe=recipe, text=view.text, split="random", metric="mean", on=on)
        panels.append(Panel(title, _by_variant(part), view.named_sizes))
    if not panels[-1].series:
        return None
    return draw_curves(panels, MEAN)._replace(
        caption="The paper's recipe. Left: as published. Middle: measured here in the same way, on the rows trained "
        "on. Right: measured on test rows, as was intended."
    )


def _runs(view: View, **fields: Any) -> pd.DataFrame:
    """Choose the runs of the main experiment; refuse if it has none."""
    rows = view.measured(on=None, **view.main, **fields)
    if view.recipe not in set(rows["recipe"]):
        there = sorted(set(view.measured(text=view.text)["recipe"]))
        raise StudyError(
            f"The results have no runs of the recipe '{view.recipe}' on {view.text} text. They have {there}."
        )
    return rows


def _places(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Part the rows by where they were measured."""
    parts = {
        title: rows[(rows["split"] == split) & (rows["measured_on"] == on)] for title, (split, on) in PLACES.items()
    }
    return {title: part for title, part in parts.items() if len(part)}


def _published(figure: str) -> pd.DataFrame:
    """Bring a published figure into the columns of `intervals.csv`; what has no training size gets all of them."""
    rows = published().rename(columns={"value": "mean"}).assign(low=np.nan, high=np.nan)
    rows = rows[rows["figure"] == figure]
    sized, unsized = rows[rows["train_size"].notna()], rows[rows["train_size"].isna()]
    everywhere = unsized.drop(columns="train_size").merge(sized[["train_size"]].drop_duplicates(), how="cross")
    return pd.concat([sized, everywhere]).astype({"train_size": int})


def _by_variant(rows: pd.DataFrame) -> list[Series]:
    present = set(rows["variant"])
    order = [*LOOKS, *sorted(present - LOOKS.keys())]
    return [Series(rows[rows["variant"] == name], look(name), _line(rows)) for name in order if name in present]


def _by_level(rows: pd.DataFrame, variant: str) -> list[Series]:
    series = []
    for name, line, suffix in ((variant, _line(rows), ""), ("naive", ":", ", naive")):
        for level in LEVELS:
            part = rows[(rows["variant"] == name) & (rows["metric"] == level)]
            shown = LEVEL_LOOKS[level]
            series.append(Series(part, shown._replace(label=shown.label + suffix), line))
    return [one for one in series if len(one.rows)]


def _line(rows: pd.DataFrame) -> str:
    """Draw accuracy on training rows dashed."""
    return "--" if (rows["measured_on"] == "train").all() else "-"


def _levels(view: View, chain: str, marks: Sequence[Mark], figure: str) -> Chart | None:
    """Draw a figure level by level: as published, in the main experiment, and in the paper's recipes."""
    main = dict.fromkeys(LOOKS, MAIN)
    panels = [
        _level_panel(view, "Random split", chain, marks, main, "random"),
        _level_panel(view, "Grouped split", chain, marks, main, "grouped"),
        *(_level_panel(view, title, chain, marks, recipes, "random") for title, recipes in LIKE_THE_PAPER.items()),
    ]
    measured = [panel for panel in panels if panel]
    return draw_levels([_published_panel(figure, marks), *measured]) if measured else None


def _level_panel(
    view: View, title: str, chain: str, marks: Sequence[Mark], recipes: Mapping[str, str], split: str
) -> Panel | None:
    """Make a panel of one training size of the chain; None where the chain was not run."""
    where: dict[str, Any] = {"text": view.text, "split": split, "metric": LEVELS}
    chains = view.measured(variant=chain, recipe=recipes.get(chain, "paper"), **where)
    size = view.size_for(chains)
    if size is None:
        return None
    series = []
    for mark in marks:
        recipe = recipes.get(mark.variant, "paper")
        rows = view.measured(
            variant=mark.variant, decoding=mark.decoding, on=mark.on, recipe=recipe, train_size=size, **where
        )
        series += [Series(rows, mark.look, _line(rows))] if len(rows) else []
    return Panel(f"{title}\n{size:,} products", series)


def _published_panel(figure: str, marks: Sequence[Mark]) -> Panel:
    rows = _published(figure)
    series = []
    for mark in marks:
        how = (rows["measured_on"] == mark.on) & rows["decoding"].isin([mark.decoding, "independent"])
        part = rows[how & (rows["variant"] == mark.variant)]
        series += [Series(part, mark.look, _line(part))] if len(part) else []
    return Panel(f"Published\n{size_label(int(rows['train_size'].iloc[0]))} products", series)
