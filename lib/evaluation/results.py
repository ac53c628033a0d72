"""The `results` stage: its tables, and the one reader of them for whoever needs a number."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Self

import pandas as pd

from lib.config import Params, load_catalogue, report_dir
from lib.evaluation.bootstrap import Interval
from lib.evaluation.claims import ledger, load_claims
from lib.evaluation.contrasts import baseline_table, contrast_table, main_recipes
from lib.evaluation.samples import interval_table, list_runs, resample_all, result_table
from lib.exceptions import StudyError
from lib.files import read_table, write_json, write_tables
from lib.training.metrics import usual_decodings
from lib.training.runs import study_of

TABLES = ("results", "intervals", "contrasts", "claims", "baselines")
USUAL = "usual"
"""Stands for each variant's usual decoding: a chain's own first one, independent levels for others."""
MAIN = "main"
"""Stands for each variant's recipe in the main experiment, and for its text there."""


def make_results(catalogue: str) -> "Results":
    """Run the `results` stage: write each of `TABLES` to `reports/CATALOGUE/NAME.csv`, and read them.

    For DVC, `learning_curves.csv` and `summary.json` repeat the numbers that are worth comparing from run to run
    (`Results.learning_curves`, `Results.summary`).

    Raises
    ------
    StudyError
        If a variant's outcomes are missing, malformed, or do not fit the products, or if `claims.yaml` is wrong.
    """
    params, claims = study_of(catalogue), load_claims()
    runs = list_runs(catalogue)
    samples = resample_all(catalogue, runs)
    confirming = {way.split for way in claims.ways.values() if way.rows == "fresh"}
    fresh = resample_all(catalogue, runs[runs["split"].isin(confirming)], fresh=True)
    tables = {
        "results": result_table(samples),
        "intervals": interval_table(samples),
        "contrasts": contrast_table(samples, params.variants),
        "claims": ledger(claims, samples, fresh),
        "baselines": baseline_table(samples, params),
    }
    write_tables(report_dir(catalogue), tables)
    results = Results.read(catalogue)
    write_tables(report_dir(catalogue), {"learning_curves": results.learning_curves()})
    write_json(report_dir(catalogue, "summary.json"), results.summary())
    return results


@dataclass
class Results:
    """What the `results` stage says of one catalogue, and which of it is the main experiment.

    Attributes
    ----------
    results, intervals, contrasts, claims, baselines
        The tables of that name. Columns: `samples.result_table`, `samples.interval_table`, `contrasts.COLUMNS`,
        `claims.COLUMNS`, `contrasts.BASELINE_COLUMNS`.
    params
        Which of its `runs` is the main experiment (`Params.main`).
    recipes, decodings
        Of each variant: its recipe in the main experiment, and how it is decoded where nothing else is said.
    named_sizes
        The training sizes that the catalogue gives as numbers; any other is all there is.
    experiment_size
        The training size of experiments that need only one: the catalogue's second largest.
    """

    results: pd.DataFrame
    intervals: pd.DataFrame
    contrasts: pd.DataFrame
    claims: pd.DataFrame
    baselines: pd.DataFrame
    params: Params
    recipes: Mapping[str, str]
    decodings: Mapping[str, str]
    named_sizes: tuple[int, ...] = ()
    experiment_size: int | None = None

    @classmethod
    def read(cls, catalogue: str) -> Self:
        """Read what the stage wrote; a `StudyError` says what is missing."""
        tables = {name: read_table(report_dir(catalogue, f"{name}.csv")) for name in TABLES}
        settings = load_catalogue(catalogue)
        sizes = tuple(sorted(size for size in settings.train_sizes if size != "all"))
        smaller = sizes if "all" in settings.train_sizes else sizes[:-1]
        rows, params = tables["intervals"], study_of(catalogue)
        recipes = main_recipes(zip(rows["variant"], rows["recipe"], strict=True), params.main.recipes[0])
        how = usual_decodings(zip(rows["variant"], rows["decoding"], strict=True))
        usual = max(smaller, default=None)
        return cls(**tables, params=params, recipes=recipes, decodings=how, named_sizes=sizes, experiment_size=usual)

    @property
    def text(self) -> str:
        """The text of the main experiment."""
        return str(self.params.main.text)

    @property
    def splits(self) -> list[str]:
        """The splits of the main experiment."""
        return list(self.params.main.splits)

    @property
    def main(self) -> dict[str, Any]:
        """The fields of the runs of the main experiment."""
        return {"recipe": MAIN, "text": self.text}

    @property
    def variants(self) -> list[str]:
        """The variants of `params.yaml` that have results, in its order."""
        present = set(self.intervals["variant"])
        return [name for name in self.params.variants if name in present]

    def measured(self, *, on: str | None = "test", decoding: str | None = USUAL, **fields: object) -> pd.DataFrame:
        """Choose rows of `intervals.csv`, in order of training size.

        Unless said otherwise on test rows and the splits of the main experiment. A field's value may be one, or a
        collection that stands for any of its members. None stands for all.
        """
        rows = self._where(self.intervals, {"split": self.splits, **fields, "measured_on": on})
        if decoding:
            wanted = rows["variant"].map(self.decodings) if decoding == USUAL else decoding
            rows = rows[rows["decoding"] == wanted]
        return rows.sort_values("train_size", kind="stable")

    def compared(self, question: str, *, largest: bool = False, **fields: object) -> pd.DataFrame:
        """Choose rows of `contrasts.csv`, of each split the largest training size alone if asked.

        Unless said otherwise on the splits of the main experiment, and where splits are compared, of all that are.
        """
        rows = self._where(self.contrasts, {"question": question, "split": [*self.splits, ""], **fields})
        if largest:
            rows = rows[rows["train_size"] == rows.groupby("split")["train_size"].transform("max")]
        return rows

    def number(self, variant: str, metric: str = "mean", split: str = "random", on: str = "test") -> Interval | None:
        """Look one number of the main experiment up: by default on test rows, with the most training rows.

        What reads no text counts as masked. There may be no such number, and then the answer is None.
        """
        of_split = self._where(self.intervals, {"split": split, "text": self.text})
        text = self.text if "text" in self.params.variants[variant].inputs else "masked"
        size = max(of_split["train_size"], default=0)
        where: dict[str, Any] = {"variant": variant, "metric": metric, "split": split, "text": text, "train_size": size}
        found = self.measured(on=on, **where, recipe=MAIN)[["mean", "low", "high"]].to_numpy().tolist()
        return Interval(*found[0]) if found else None

    def best(self, metric: str = "path", split: str = "random") -> str:
        """Return the variant with the highest test accuracy in the main experiment."""
        scores = {v: found.mean for v in self.variants if (found := self.number(v, metric, split=split))}
        if not scores:
            raise StudyError(f"intervals.csv has no '{metric}' on the test rows of the {split} split.")
        return max(scores, key=lambda variant: scores[variant])

    def headline(self) -> dict[str, dict[str, Interval | None]]:
        """Return for each variant of the main experiment mean and path accuracy on each split, and on training rows."""
        rows = {}
        for variant in self.variants:
            cells = {
                f"{metric}, {split}": self.number(variant, metric, split=split)
                for split in ("random", "grouped")
                for metric in ("mean", "path")
            }
            rows[variant] = cells | {"mean, training rows": self.number(variant, on="train")}
        return {variant: cells for variant, cells in rows.items() if any(cells.values())}

    def learning_curves(self) -> pd.DataFrame:
        """Return the main experiment's mean accuracy on test rows: `split, variant, train_size, mean, low, high`."""
        rows = self.measured(metric="mean", **self.main).sort_values(["split", "variant", "train_size"])
        return rows[["split", "variant", "train_size", "mean", "low", "high"]]

    def summary(self) -> dict[str, Any]:
        """Return a few numbers that `dvc metrics` shows, nested, with four decimals.

        Of each variant of the main experiment, with the most training rows: mean accuracy on the random split, which is
        the paper's number, and path accuracy on the grouped split, which is what new products can expect. Of the
        paper's claims, as intended: how many there are of each verdict.
        """
        headline, verdicts = self.headline(), self.claims.loc[self.claims["way"] == "intended", "verdict"]

        def column(name: str) -> dict[str, float]:
            return {variant: round(found.mean, 4) for variant, cells in headline.items() if (found := cells[name])}

        return {
            "random": {"mean": column("mean, random")},
            "grouped": {"path": column("path, grouped")},
            "claims": verdicts.str.replace(" ", "_").value_counts().sort_index().to_dict(),
        }

    def _where(self, table: pd.DataFrame, fields: dict[str, Any]) -> pd.DataFrame:
        for name, value in fields.items():
            if value == MAIN:
                variants = table["variant"].mask(table["variant"] == "", table.get("a"))
                table = table[table["recipe"] == variants.map(self.recipes)]
            elif value is None:
                continue
            elif isinstance(value, Collection) and not isinstance(value, str):
                table = table[table[name].isin(list(value))]
            else:
                table = table[table[name] == value]
        return table
