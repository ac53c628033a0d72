"""The paper's published numbers: the one place where they stand.

Read off the bar labels of the plots behind Figures 2 to 5 of Wang & Guthrie (2015), *Multimodal and Multitask
Classification Using Artificial Neural Networks*, in the authors' public repository (GitHub
`LucyWang2014/NLP_Product_Classification`, commit `2c9c3e8`); within one percentage point.

The script behind Figures 2 and 3 computed its final "test" accuracy over the *training* rows. Both stored prediction
files that survive, of brand-only runs, confirm it; for the other bars it is inferred from the same script and dates.
The scripts behind Figure 4's LSTMs and Figure 5's sequential network do measure test rows.
"""

from collections.abc import Sequence

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
