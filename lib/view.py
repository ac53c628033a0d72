"""What figures, tables and sentences of the results are made from: `intervals.csv`, `contrasts.csv` and the grid."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import pandas as pd

from lib.config import load_catalogue, load_params, report_dir
from lib.evaluate import usual_decodings
from lib.pairs import DEPARTURES, main_recipes
from lib.tables import read_table

USUAL = "usual"
"""Stands for each variant's usual decoding: a chain's own first one, independent levels for others."""

MAIN = "main"
"""Stands for each variant's recipe in the main experiment."""

ORDERS = {"brand_text": "independent", "lstm": "soft", "lstm_multitask": "independent"}
"""The models without and with word order, and how each is decoded to be compared."""

SIMPLE = ("linear", "linear_image", "late_fusion")
NETWORKS = ("brand_text", "brand_image", "brand_text_image")
"""The networks that see what the simple models see."""


@dataclass(frozen=True)
class View:
    """The results of one catalogue, and which of them are the main experiment.

    Attributes
    ----------
    intervals, contrasts
        The tables of that name.
    recipe, text
        Of the main experiment, the first line of `runs` in `params.yaml`.
    named_sizes
        The training sizes that the catalogue gives as numbers; any other is labelled as 'all'.
    experiment_size
        The training size of experiments that need only one: the catalogue's second largest.
    """

    intervals: pd.DataFrame
    contrasts: pd.DataFrame
    recipe: str = "tuned"
    text: str = "masked"
    named_sizes: tuple[int, ...] = ()
    experiment_size: int | None = None

    @classmethod
    def read(cls, catalogue: str) -> "View":
        """Read what the `results` stage wrote."""
        intervals, contrasts = (read_table(report_dir(catalogue, f"{name}.csv")) for name in ("intervals", "contrasts"))
        main, settings = load_params().runs[0], load_catalogue(catalogue)
        sizes = tuple(sorted(size for size in settings.train_sizes if size != "all"))
        smaller = sizes if "all" in settings.train_sizes else sizes[:-1]
        return cls(intervals, contrasts, main.recipe, str(main.text), sizes, max(smaller, default=None))

    def measured(self, *, on: str | None = "test", decoding: str = USUAL, **fields: object) -> pd.DataFrame:
        """Choose rows of `intervals.csv`, in order of training size; unless said otherwise on test rows."""
        rows = self._where(self.intervals, {**fields, **({"measured_on": on} if on else {})})
        if decoding == USUAL:
            usual = usual_decodings(zip(self.intervals["variant"], self.intervals["decoding"], strict=True))
            rows = rows[rows["decoding"] == rows["variant"].map(usual)]
        else:
            rows = rows[rows["decoding"] == decoding]
        return rows.sort_values("train_size", kind="stable")

    def compared(self, question: str, *, largest: bool = False, **fields: object) -> pd.DataFrame:
        """Choose rows of `contrasts.csv`, of each split the largest training size alone if asked."""
        rows = self._where(self.contrasts, {"question": question, **fields})
        if largest:
            rows = rows[rows["train_size"] == rows.groupby("split")["train_size"].transform("max")]
        return rows

    def departures(self) -> pd.DataFrame:
        """Return what each departure does to mean accuracy, at one size: the one that most of them have."""
        rows = self.compared("recipe", metric="mean", a=tuple(DEPARTURES), split="random", text=self.text)
        recipes = rows.groupby("train_size")["a"].nunique()
        shared = recipes.index[recipes == recipes.max()].max()
        sizes = {name: shared if shared in set(part) else part.max() for name, part in rows.groupby("a")["train_size"]}
        return rows[rows["train_size"] == rows["a"].map(sizes)]

    @property
    def main(self) -> dict[str, Any]:
        """The fields of the runs of the main experiment: each variant's recipe in it, and its text."""
        return {"recipe": MAIN, "text": self.text}

    @property
    def deployed(self) -> dict[str, Any]:
        """The fields of the runs of the model that is deployed: plain text, near-duplicates kept together."""
        return {"recipe": MAIN, "text": "plain", "split": "grouped"}

    def size_for(self, rows: pd.DataFrame) -> int | None:
        """Choose the one training size to show of some rows: the experiment's, or else the largest; None if none."""
        sizes = set(rows["train_size"])
        return self.experiment_size if self.experiment_size in sizes else max(sizes, default=None)

    def _where(self, table: pd.DataFrame, fields: dict[str, Any]) -> pd.DataFrame:
        """Keep the rows whose columns have these values; a tuple, list or set stands for any of its members."""
        for name, value in fields.items():
            if value == MAIN:
                main = main_recipes(zip(self.intervals["variant"], self.intervals["recipe"], strict=True), self.recipe)
                variants = (
                    table["variant"].where(table["variant"] != "", table["a"]) if "a" in table else table["variant"]
                )
                table = table[table["recipe"] == variants.map(main)]
            elif isinstance(value, Collection) and not isinstance(value, str):
                table = table[table[name].isin(list(value))]
            else:
                table = table[table[name] == value]
        return table
