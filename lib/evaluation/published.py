"""The paper's published numbers: the one place where they stand.

Read off the bar labels of the plots behind Figures 2 to 5 of Wang & Guthrie (2015), *Multimodal and Multitask
Classification Using Artificial Neural Networks*, in the authors' public repository (GitHub
`LucyWang2014/NLP_Product_Classification`, commit `2c9c3e8`); within one percentage point.

The script behind Figures 2 and 3 computed its final "test" accuracy over the *training* rows. Both stored prediction
files that survive, of brand-only runs, confirm it; for the other bars it is inferred from the same script and dates.
The scripts behind Figure 4's LSTMs and Figure 5's sequential network do measure test rows.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lib.config import LEVELS

COLUMNS = ["figure", "variant", "decoding", "measured_on", "train_size", "metric", "value"]
SOURCE = "Wang & Guthrie (2015), plots in the authors' repository at commit 2c9c3e8, within one percentage point"

READING_ERROR = 0.01
"""How far a published value may be from the one that was measured: bar labels are read off to a percentage point."""

MODELS = (
    *("naive", "brand", "brand_text", "brand_image", "brand_text_image"),
    *("sequential", "lstm", "lstm_multitask"),
)
"""The models that the paper measures, or proposes (the last one): claims may be about them whatever is run here."""

_FIGURE_2 = {  # mean accuracy of the three levels, %, at 10k, 50k and 100k training rows
    "brand": (36, 33, 61),
    "brand_image": (80, 85, 90),
    "brand_text": (72, 83, 92),
    "brand_text_image": (82, 88, 93),
}
_SIZES = (10_000, 50_000, 100_000)
_FIGURE_3 = {10_000: (81, 92, 73), 50_000: (84, 96, 82), 100_000: (89, 99, 91)}  # brand_text_image, % by level
_NAIVE = (56, 37, 9)  # Figure 3, % by level: the share of the plurality class, given without a training size
_FIGURE_4 = {  # 10k training rows, % by level
    ("lstm", "hard", "test"): (68, 86, 68),
    ("lstm", "soft", "test"): (76, 95, 80),
    ("brand_text", "independent", "train"): (74, 86, 57),
}
_FIGURE_5 = {  # 50k training rows, % by level
    ("sequential", "hard", "test"): (70, 47, 17),  # what its greedy choices reach
    ("brand_text", "independent", "train"): (80, 93, 75),
}

CODED = {"lstm": "paper_lstm_leaked_label", "sequential": "paper_frozen_trunk"}
WRITTEN = {"lstm": "paper_lstm", "sequential": "paper"}
"""The recipe of each chain that does what the original code did, and the one that does what the paper says. The code's
beam is the decoding `soft_child`."""

_STORED = {10_000: 9_960, 50_000: 49_800}  # size of the sample -> predictions in results_10k.npz, results_50k.npz
_BATCH = 256

Bar = tuple[str, str, str, str, int | None, str, int]


def published() -> pd.DataFrame:
    """Return every published number as a tidy table with the columns `COLUMNS`.

    `train_size` is missing where none was given (`naive`); `value` is from 0 to 1; `measured_on` says which rows were
    really measured.

    >>> table = published()
    >>> float(table.query("figure == 'figure_2' and variant == 'brand_text_image'").value.max())
    0.93
    """
    rows: list[Bar] = [
        ("figure_2", variant, "independent", "train", size, "mean", percent)
        for variant, percents in _FIGURE_2.items()
        for size, percent in zip(_SIZES, percents, strict=True)
    ]
    for size, percents in _FIGURE_3.items():
        rows += _levels("figure_3", ("brand_text_image", "independent", "train"), size, percents)
    rows += _levels("figure_3", ("naive", "independent", "train"), None, _NAIVE)
    for figure, size, bars in (("figure_4", 10_000, _FIGURE_4), ("figure_5", 50_000, _FIGURE_5)):
        for model, percents in bars.items():
            rows += _levels(figure, model, size, percents)
    table = pd.DataFrame(rows, columns=COLUMNS)
    return table.assign(train_size=table["train_size"].astype("Int64"), value=table["value"] / 100)


def _levels(figure: str, model: tuple[str, str, str], size: int | None, percents: Sequence[int]) -> list[Bar]:
    return [(figure, *model, size, level, percent) for level, percent in zip(LEVELS, percents, strict=True)]


def stored_predictions() -> pd.DataFrame:
    """Count the predictions in the two files that the authors kept, and those of either kind of rows.

    `columns` is what a file holds. The script puts as many zeros first as there are test rows (a tenth of the sample),
    and then predicts whole batches. So `of_training_rows` are those zeros, and whole batches of what validation,
    another tenth, leaves of the sample; `of_test_rows` the same zeros, and whole batches of test rows.

    >>> bool(stored_predictions()["columns"].eq(stored_predictions()["of_training_rows"]).all())
    True
    """
    rows = []
    for sample, columns in _STORED.items():
        tenth = sample // 10
        of = {"of_training_rows": sample - tenth, "of_test_rows": tenth}
        rows.append({"sample": sample, "columns": columns} | {k: tenth + n // _BATCH * _BATCH for k, n in of.items()})
    return pd.DataFrame(rows)


def beside_published(measured: pd.DataFrame) -> pd.DataFrame:
    """Set every published bar beside what was measured here, on training rows and on test rows.

    Parameters
    ----------
    measured : DataFrame
        Rows of `intervals.csv`, of one split and text.

    Returns
    -------
    DataFrame
        A row a bar and kind of rows, by the recipe `paper`, or `CODED` for chains, at the nearest training size that
        was run: the columns of `published` (`value`, and `rows`, the kind that was really measured), `recipe`,
        `here_size`, `measured_on`, `mean`, `low`, `high`, and `difference` to the bar with `difference_low` and
        `difference_high`, which its reading error widens.
    """
    bars = published().rename(columns={"measured_on": "rows"})
    bars["recipe"] = bars["variant"].map({"naive": "none"} | CODED).fillna("paper")
    bars.loc[bars["decoding"] == "soft", "decoding"] = "soft_child"
    here = measured.rename(columns={"train_size": "here_size"}).drop(columns=["split", "text"])
    found = bars.merge(here, on=["variant", "recipe", "decoding", "metric"])
    there = found["train_size"].astype(float).fillna(max(_SIZES))  # a bar without a size: the largest
    found["apart"] = np.log(found["here_size"] / there).abs()
    bar = [*COLUMNS[:3], "train_size", "metric", "measured_on"]
    found = found.sort_values("apart", kind="stable").drop_duplicates(bar).sort_values(bar, ignore_index=True)
    for side, name, error in (("mean", "", 0.0), ("low", "_low", -READING_ERROR), ("high", "_high", READING_ERROR)):
        found[f"difference{name}"] = found[side] - found["value"] + error
    columns = [*COLUMNS[:3], "train_size", "metric", "value", "rows", "recipe", "here_size", "measured_on"]
    return found[[*columns, "mean", "low", "high", "difference", "difference_low", "difference_high"]]


def chain_beside(measured: pd.DataFrame, chain: str, size: int) -> dict[str, pd.DataFrame]:
    """Return what Figure 4 or 5 is here, at the training size nearest to the published one that was run.

    Returns
    -------
    dict
        `As coded`: the chain as the code had it (`CODED`), beside the bag of words by `paper_as_coded` on training
        rows. `Paper's recipe`: both as the paper says, the bag of words on training and on test rows.
    """
    own, bag = (measured[measured["variant"] == name] for name in (chain, "brand_text"))
    of_training = (bag["recipe"] == "paper_as_coded") & (bag["measured_on"] == "train")
    coded = own[(own["recipe"] == CODED[chain]) & (own["decoding"] != "soft")]
    written = own[(own["recipe"] == WRITTEN[chain]) & (own["decoding"] != "soft_child")]
    panels = {}
    for title, rows, beside in (
        ("As coded", coded, bag[of_training]),
        ("Paper's recipe", written, bag[bag["recipe"] == "paper"]),
    ):
        sizes = rows["train_size"].unique().tolist()
        nearest = min(sizes, key=lambda run: abs(np.log(run / size)), default=0)
        panels[title] = pd.concat([part[part["train_size"] == nearest] for part in (rows, beside)])
    return panels
