"""The figures of the `results` stage: the paper's Figures 2 and 3 measured again, and what they leave out."""

from collections.abc import Collection

import numpy as np
import pandas as pd

from lib.charts import Chart, Panel, Series, draw_curves, draw_differences
from lib.config import LEVELS
from lib.errors import StudyError
from lib.figures import LEVEL_LOOKS, LOOKS, look
from lib.runs import NO_RECIPE

MEAN = "Mean accuracy of the 3 levels (%)"
PUBLISHED = "Published\ntraining rows"
METRICS = {"mean": "mean accuracy of the 3 levels", "path": "path accuracy (all 3 right)"}
PLACES = {
    "Random split\ntest rows": ("random", "test"),
    "Grouped split\ntest rows": ("grouped", "test"),
    "Random split\ntraining rows": ("random", "train"),
}


def figure_2(
    intervals: pd.DataFrame,
    published: pd.DataFrame,
    named_sizes: Collection[int] = (),
    recipe: str = "tuned",
    text: str = "masked",
) -> Chart:
    """Draw Figure 2: mean accuracy of the three levels by input and training size, beside the published numbers.

    Parameters
    ----------
    intervals
        The table of `intervals.csv`.
    published
        What `lib.published.published` returns.
    named_sizes
        The training sizes that the catalogue gives as numbers; any other is labelled as 'all'.
    recipe, text
        Which of the catalogue's runs to draw. Variants without a recipe are drawn too.
    """
    rows = _runs(intervals, recipe, text).query("metric == 'mean'")
    panels = [Panel(title, _by_variant(part), named_sizes) for title, part in _places(rows).items()]
    panels.append(Panel(PUBLISHED, _by_variant(_published(published, "figure_2"))))
    return draw_curves(panels, MEAN)


def figure_3(
    intervals: pd.DataFrame,
    published: pd.DataFrame,
    named_sizes: Collection[int] = (),
    recipe: str = "tuned",
    text: str = "masked",
    variant: str = "brand_text_image",
) -> Chart:
    """Draw Figure 3: accuracy of each level by training size, with the naive model. Parameters as in `figure_2`."""
    rows = _runs(intervals, recipe, text)
    panels = [Panel(title, _by_level(part, variant), named_sizes) for title, part in _places(rows).items()]
    panels.append(Panel(PUBLISHED, _by_level(_published(published, "figure_3"), "brand_text_image")))
    return draw_curves(panels, "Accuracy (%)")


def figure_as_published(
    intervals: pd.DataFrame,
    published: pd.DataFrame,
    named_sizes: Collection[int] = (),
    recipe: str = "paper",
    text: str = "masked",
) -> Chart:
    """Draw the paper's recipe measured as it was published, on training rows, and as was meant, on test rows."""
    rows = _runs(intervals, recipe, text, ()).query("metric == 'mean' and split == 'random'")
    panels = [Panel(PUBLISHED, _by_variant(_published(published, "figure_2")))]
    for measured_on, title in (("train", "Measured as published\ntraining rows"), ("test", "As intended\ntest rows")):
        part = rows[rows["measured_on"] == measured_on]
        panels.append(Panel(title, _by_variant(part), named_sizes))
    return draw_curves(panels, MEAN)


def figure_leakage(contrasts: pd.DataFrame, recipe: str = "tuned") -> Chart:
    """Draw what near-duplicates and category words are worth: differences of accuracy at the largest size.

    Parameters
    ----------
    contrasts
        The table of `contrasts.csv`.
    recipe
        Whose runs to draw, beside variants without one.
    """
    rows = contrasts[contrasts["recipe"].isin([recipe, NO_RECIPE])]
    panels = {
        "Random minus grouped split\nmasked text": rows.query("question == 'split' and text == 'masked'"),
        "Plain minus masked text\nrandom split": rows.query("question == 'text' and split == 'random'"),
        "Plain minus masked text\ngrouped split": rows.query("question == 'text' and split == 'grouped'"),
    }
    panels = {title: part[part["train_size"] == part["train_size"].max()] for title, part in panels.items()}
    return draw_differences({title: part for title, part in panels.items() if len(part)}, METRICS)


def _runs(intervals: pd.DataFrame, recipe: str, text: str, others: Collection[str] = (NO_RECIPE,)) -> pd.DataFrame:
    """Choose the runs to draw: those of one recipe and text, and with them those of `others`."""
    rows = intervals[(intervals["text"] == text) & (intervals["decoding"] == "independent")]
    if recipe not in set(rows["recipe"]):
        there = sorted(set(rows["recipe"]))
        raise StudyError(f"The results have no runs of the recipe '{recipe}' on {text} text. They have {there}.")
    return rows[rows["recipe"].isin([recipe, *others])]


def _places(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Part the rows by where they were measured."""
    parts = {
        title: rows[(rows["split"] == split) & (rows["measured_on"] == on)] for title, (split, on) in PLACES.items()
    }
    return {title: part for title, part in parts.items() if len(part)}


def _published(published: pd.DataFrame, figure: str) -> pd.DataFrame:
    """Bring a published figure into the columns of `intervals.csv`; what has no training size gets all of them."""
    rows = published[published["figure"] == figure].rename(columns={"value": "mean"}).assign(low=np.nan, high=np.nan)
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
