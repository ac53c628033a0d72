"""The figures of the study's own experiments, on what the paper left open. Each is None where its runs are missing."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from lib.charts import Chart, Panel, Series, draw_curves
from lib.figures import LOOKS, Look, look, recipe_label
from lib.forests import Forest, draw_differences
from lib.pairs import DEPARTURES
from lib.tables import METRIC_NAMES
from lib.view import NETWORKS, ORDERS, SIMPLE, View

UNIT = "Difference of accuracy on test rows (percentage points)"
MEAN = "Mean accuracy of the 3 levels (%)"
TRAINING_TIMES = {
    "paper": Look("as many epochs at every size", "#0072B2", "s"),
    "paper_fixed_updates": Look("as many updates at every size", "#D55E00", "o"),
}
ROWS = {"test": "Test rows", "train": "Training rows"}
SPLITS = {"random": "Random split", "grouped": "Grouped split"}


def figure_training_time(view: View, variant: str = "brand_text") -> Chart | None:
    """Draw the paper's fixed number of epochs beside a fixed number of updates, by training size."""
    panels = []
    for on, title in ROWS.items():
        rows = view.measured(variant=variant, text=view.text, split="random", metric="mean", on=on)
        series = [Series(rows[rows["recipe"] == recipe], shown) for recipe, shown in TRAINING_TIMES.items()]
        panels.append(Panel(title, [one for one in series if len(one.rows)], view.named_sizes))
    if any(len(panel.series) < len(TRAINING_TIMES) for panel in panels):
        return None
    return draw_curves(panels, MEAN)._replace(
        caption=f"Data or training time? The paper's recipe on {look(variant).label}, random split. With a fixed "
        "number of epochs, larger training sets also get more updates. Bars: 95% intervals."
    )


def figure_leakage(view: View) -> Chart | None:
    """Draw what near-duplicates and category words are worth at the largest training size."""
    plain = {"question": "text", "a": "plain"}
    return _effects(
        view,
        {
            "Random minus grouped split\nmasked text": {"question": "split", "text": "masked"},
            "Plain minus masked text\nrandom split": {**plain, "split": "random"},
            "Plain minus masked text\ngrouped split": {**plain, "split": "grouped"},
        },
        "Leakage at the largest training size. An interval that crosses the line at zero leaves the question open.",
    )


def figure_titles(view: View) -> Chart | None:
    """Draw what a title adds to the plain description, which it leaks most."""
    titled = {"question": "text", "a": "titled"}
    return _effects(
        view,
        {
            "Title and text minus text\nrandom split": {**titled, "split": "random"},
            "Title and text minus text\ngrouped split": {**titled, "split": "grouped"},
        },
        "What the title adds to the plain description at the largest training size. A title often names the category.",
    )


def figure_word_order(view: View) -> Chart | None:
    """Draw the bag of words beside the LSTMs, by training size."""
    panels = []
    for split, title in SPLITS.items():
        where = {**view.main, "split": split, "metric": "mean"}
        found = {name: view.measured(variant=name, decoding=how, **where) for name, how in ORDERS.items()}
        sizes = set().union(*(found[name]["train_size"] for name in ORDERS if name != "brand_text"))
        series = [Series(rows[rows["train_size"].isin(sizes)], look(name)) for name, rows in found.items() if len(rows)]
        panels += [Panel(f"{title}\ntest rows", series, view.named_sizes)] if sizes else []
    if not panels:
        return None
    return draw_curves(panels, MEAN)._replace(
        caption="Word order: the bag of words (brand + text) beside the chain of LSTMs, decoded soft, and the "
        "multitask LSTM, all on the same words. Bars: 95% intervals."
    )


def figure_departures(view: View) -> Chart | None:
    """Draw what each departure of the original code from the paper does to the printed and to the true number."""
    rows = view.departures()
    if not len(rows):
        return None
    lines = {recipe: _departure_look(recipe, rows) for recipe in DEPARTURES if recipe in set(rows["a"])}
    panels = {"": rows.assign(line=rows["a"], mark=rows["measured_on"])}
    marks = {"test": "on test rows", "train": "on training rows, as printed"}
    chart = draw_differences(
        Forest(panels, lines, marks, "Mean accuracy, minus the paper's recipe (percentage points)")
    )
    return chart._replace(
        caption="The paper's recipe with one thing changed: each departure of the original code, and what it did not "
        "try. Filled: the true effect, on test rows. Hollow: the effect on the number that the code printed. Colours: "
        "the model."
    )


def figure_baselines(view: View) -> Chart | None:
    """Draw the simple baselines beside the networks that see the same, by training size and split."""
    panels = []
    for split, title in SPLITS.items():
        rows = view.measured(**view.main, split=split, metric="path")
        series = [Series(rows[rows["variant"] == name], look(name), "-." if name in SIMPLE else "-") for name in LOOKS]
        series = [one for one in series if len(one.rows) and one.rows["variant"].iloc[0] in (*SIMPLE, *NETWORKS)]
        panels += [Panel(f"{title}\ntest rows", series, view.named_sizes)] if series else []
    if not any(one.line == "-." for panel in panels for one in panel.series):
        return None
    return draw_curves(panels, "Path accuracy: all 3 levels right (%)")._replace(
        caption="Strong baselines. Dash-dotted: linear models, and the late fusion of the two. Solid: multitask "
        "networks with the same inputs. Test rows. Bars: 95% intervals."
    )


def _departure_look(recipe: str, rows: pd.DataFrame) -> Look:
    variant = str(rows[rows["a"] == recipe]["variant"].iloc[0])
    return look(variant)._replace(label=f"{recipe_label(recipe)} ({look(variant).label})")


def _effects(view: View, wanted: Mapping[str, Mapping[str, Any]], caption: str) -> Chart | None:
    """Draw contrasts of the main experiment, a line a variant."""
    panels: dict[str, pd.DataFrame] = {}
    for title, fields in wanted.items():
        rows = view.compared(recipe=view.main["recipe"], metric=tuple(METRIC_NAMES), largest=True, **fields)
        panels |= {title: rows.assign(line=rows["variant"], mark=rows["metric"])} if len(rows) else {}
    if not panels:
        return None
    present = set().union(*(part["line"] for part in panels.values()))
    lines = {name: look(name) for name in [*LOOKS, *sorted(present - LOOKS.keys())]}
    return draw_differences(Forest(panels, lines, METRIC_NAMES, UNIT))._replace(caption=caption)
