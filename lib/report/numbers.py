"""Numbers for prose and tables, looked up in `intervals.csv` and `contrasts.csv` and never typed."""

from dataclasses import dataclass, fields
from functools import cached_property

import pandas as pd

from lib.config import Params, load_params, report_dir
from lib.errors import StudyError
from lib.evaluate import usual_decodings
from lib.pairs import INPUT_PAIRS, main_recipes
from lib.tables import points, read_table, share

VERDICTS = {"a better": "beats", "b better": "is beaten by", "inconclusive": "cannot be told from"}
KEY = ["variant", "recipe", "text", "split", "train_size", "decoding", "measured_on", "metric"]
VALUES = ["mean", "low", "high"]


@dataclass(frozen=True)
class Number:
    """A share between 0 and 1 with its 95% interval.

    >>> print(Number(0.9481, 0.9411, 0.9544))
    94.8 (94.1–95.4)
    """

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return share(self.mean, self.low, self.high)


@dataclass(frozen=True)
class Contrast:
    """A row of `contrasts.csv`: a paired difference `a - b` with its 95% interval, and what may be said of it."""

    question: str  # the column in which a and b differ
    variant: str
    recipe: str
    text: str
    split: str
    train_size: int
    decoding: str
    measured_on: str
    metric: str
    a: str
    b: str
    difference: float
    low: float
    high: float
    verdict: str

    def __str__(self) -> str:
        return points(self.difference, self.low, self.high)

    @property
    def words(self) -> str:
        """Say the verdict as a verb between `a` and `b`."""
        return VERDICTS[self.verdict]


def percent(value: float) -> str:
    """Write a share as a percentage without its sign.

    >>> percent(0.8984)
    '89.8'
    """
    return share(value)


def signed(difference: float) -> str:
    """Write a difference of shares in percentage points, with its sign.

    >>> signed(-0.0421)
    '-4.2'
    """
    return f"{100 * difference:+.1f}"


class Results:
    """The results of one catalogue. The first line of `runs` in `params.yaml` is the main experiment."""

    def __init__(self, catalogue: str) -> None:
        self.params: Params = load_params()
        self.recipe, self.text = self.params.runs[0].recipe, str(self.params.runs[0].text)
        self.frame = _read(catalogue, "intervals.csv", [*KEY, *VALUES])
        rows = self.frame.itertuples(index=False, name=None)
        self._numbers = {row[: len(KEY)]: Number(*row[len(KEY) :]) for row in rows}
        self._recipe = main_recipes(zip(self.frame["variant"], self.frame["recipe"], strict=True), self.recipe)
        self._usual = usual_decodings(zip(self.frame["variant"], self.frame["decoding"], strict=True))
        self.catalogue = catalogue

    @cached_property
    def contrasts(self) -> "list[Contrast]":
        """All contrasts, in the order of the table."""
        table = _read(self.catalogue, "contrasts.csv", [field.name for field in fields(Contrast)])
        return [Contrast(*row) for row in table.itertuples(index=False, name=None)]

    @property
    def variants(self) -> list[str]:
        """Variants that have results of the main experiment, in the order of `params.yaml`."""
        known = set(zip(self.frame["variant"], self.frame["text"], strict=True))
        return [name for name in self.params.variants if (name, self._text_of(name, self.text)) in known]

    @property
    def splits(self) -> list[str]:
        """Splits that have results of the main experiment, the paper's first."""
        main = self.frame[self.frame["text"] == self.text]
        return [split for split in ("random", "grouped") if split in set(main["split"])]

    def recipes(self, variant: str) -> list[str]:
        """Return the recipes that a variant was trained with, the main experiment's first."""
        known = set(self.frame[self.frame["variant"] == variant]["recipe"])
        return sorted(known, key=lambda recipe: (recipe != self._recipe[variant], recipe))

    def sizes(self, split: str = "random", text: str | None = None) -> list[int]:
        """Return the training sizes of a split, ascending."""
        frame = self.frame
        chosen = frame[(frame["split"] == split) & (frame["text"] == (text or self.text))]
        return sorted({int(size) for size in chosen["train_size"]})

    def number(
        self,
        variant: str,
        metric: str = "mean",
        *,
        split: str = "random",
        on: str = "test",
        text: str | None = None,
        recipe: str | None = None,
        size: int | None = None,
    ) -> Number | None:
        """Look one number up: by default the main experiment's, on test rows, with the most training rows.

        Each variant has its recipe in the main experiment, what reads no text counts as masked, and a chain is decoded
        in its usual way. There may be no such number, and then the answer is None.
        """
        text = self._text_of(variant, text or self.text)
        sizes = self.sizes(split, text)
        trained, decoding = recipe or self._recipe.get(variant, self.recipe), self._usual.get(variant, "independent")
        key = (variant, trained, text, split, size or max(sizes, default=0), decoding, on, metric)
        return self._numbers.get(key)

    def between(self, split: str, metric: str) -> list[Contrast]:
        """Return what the main experiment says of inputs, and of all against the naive model, at the largest size.

        What it says of chains, word order and simple baselines is in `lib.findings`.
        """
        naive = [name for name, variant in self.params.variants.items() if variant.model == "naive"]
        chosen = [
            found
            for found in self._asked("variant", metric)
            if found.split == split
            and found.text == self._text_of(found.a, self.text)
            and ((found.a, found.b) in INPUT_PAIRS or found.b in naive)
        ]
        largest = max((found.train_size for found in chosen), default=0)
        return [found for found in chosen if found.train_size == largest]

    def effect(self, question: str, variant: str, metric: str, split: str = "", a: str = "") -> Contrast | None:
        """Return what one choice does to one variant in the main experiment, with the most training rows.

        The question is `split`, `text` or `measured_on`: random - grouped, plain - masked (or titled - plain, where
        that is a), training - test rows.
        """
        a = a or {"split": "random", "text": "plain", "measured_on": "train"}[question]
        chosen = [
            found
            for found in self._asked(question, metric)
            if found.variant == variant
            and (found.split, found.a) == (split, a)
            and found.text == ("" if question == "text" else self._text_of(variant, self.text))
        ]
        return max(chosen, key=lambda found: found.train_size, default=None)

    def _asked(self, question: str, metric: str) -> list[Contrast]:
        return [
            found
            for found in self.contrasts
            if (found.question, found.metric) == (question, metric)
            and found.recipe == self._recipe.get(found.variant or found.a)
            and found.measured_on in ("test", "")
        ]

    def _text_of(self, variant: str, text: str) -> str:
        return text if "text" in self.params.variants[variant].inputs else "masked"

    def best(self, metric: str = "path", split: str = "random") -> str:
        """Return the variant with the highest test accuracy in the main experiment."""
        scores = {v: found.mean for v in self.variants if (found := self.number(v, metric, split=split))}
        if not scores:
            raise StudyError(f"intervals.csv has no '{metric}' on the test rows of the {split} split.")
        return max(scores, key=lambda variant: scores[variant])


def _read(catalogue: str, name: str, columns: list[str]) -> pd.DataFrame:
    frame = read_table(path := report_dir(catalogue, name))
    if missing := [column for column in columns if column not in frame.columns]:
        raise StudyError(f"{path} lacks the columns {missing}. It has {list(frame.columns)}.")
    return frame[columns]
