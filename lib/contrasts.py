"""Which measurements are compared with which, and what may be said of each pair."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from lib.bootstrap import Sample, differences
from lib.config import Variant
from lib.runs import NO_RECIPE

CALLED = ("mean", "path")
"""The metrics that contrasts are made of."""

INPUT_PAIRS = (
    ("brand_text_image", "brand_text"),
    ("brand_text_image", "brand_image"),
    ("brand_text_image", "linear"),
    ("brand_text", "brand_image"),
    ("brand_text", "linear"),
)
FIELD_PAIRS = {  # the one field that differs, and its values in a and in b
    "text": ("plain", "masked"),
    "split": ("random", "grouped"),
    "measured_on": ("train", "test"),
    "decoding": ("valid_path", "independent"),
    "recipe": ("tuned", "paper"),
}
USUAL = {"decoding": "independent", "measured_on": "test"}
COLUMNS = [
    *("question", "variant", "recipe", "text", "split", "train_size"),
    *("metric", "a", "b", "difference", "low", "high", "verdict"),
]


class Measure(NamedTuple):
    """A model, and where and how it is measured: the key of a row of `intervals.csv`, but for the metric."""

    variant: str
    recipe: str
    text: str
    split: str
    train_size: int
    decoding: str
    measured_on: str


Samples = Mapping[Measure, Sample]


class Pair(NamedTuple):
    """Two measures that differ in one field, the `question`."""

    question: str
    a: Measure
    b: Measure


def contrast_table(samples: Samples, metrics: Sequence[str], variants: Mapping[str, Variant]) -> pd.DataFrame:
    """Return every contrast that the samples allow, with the columns of `contrasts.csv`.

    `question` names the field in which a and b differ; that field's own column is empty, the others describe a.

    Parameters
    ----------
    samples
        What was measured; columns are `metrics`.
    metrics
        Names of the samples' columns.
    variants
        The variants of `params.yaml`: which reads text, which is naive.
    """
    rows = []
    for pair in sorted({*_variant_pairs(samples, variants), *_field_pairs(samples)}):
        results = dict(zip(metrics, differences(samples[pair.a], samples[pair.b]), strict=True))
        for metric in CALLED:
            difference, low, high = (np.round(results[metric], 6) + 0.0).tolist()
            rows.append((*_labels(pair, metric), difference, low, high, verdict(low, high)))
    return pd.DataFrame(rows, columns=COLUMNS)


def verdict(low: float, high: float) -> str:
    """Call a contrast a - b only where its interval excludes zero.

    >>> verdict(0.01, 0.02), verdict(-0.02, -0.01), verdict(-0.01, 0.01), verdict(0.0, 0.0)
    ('a better', 'b better', 'inconclusive', 'inconclusive')
    """
    if low > 0:
        return "a better"
    return "b better" if high < 0 else "inconclusive"


def _labels(pair: Pair, metric: str) -> list[str | int]:
    """Return the columns of a contrast up to `b`."""
    described = {**pair.a._asdict(), pair.question: ""}
    a, b = (getattr(measure, pair.question) for measure in (pair.a, pair.b))
    return [pair.question, *(described[column] for column in COLUMNS[1:6]), metric, a, b]


def _variant_pairs(samples: Samples, variants: Mapping[str, Variant]) -> Iterator[Pair]:
    naive = [name for name, variant in variants.items() if variant.model == "naive"]
    for a in _usual(samples, ()):
        others = [second for first, second in INPUT_PAIRS if first == a.variant]
        for other in [*others, *(name for name in naive if a.variant not in naive)]:
            if other in variants and (b := _same_runs(samples, a, other, "text" in variants[other].inputs)):
                yield Pair("variant", a, b)


def _same_runs(samples: Samples, a: Measure, variant: str, reads_text: bool) -> Measure | None:
    """Find the measure of another variant on a's rows: a model without a recipe, or without text, has only one."""
    text = a.text if reads_text else "masked"
    candidates = (a._replace(variant=variant, recipe=recipe, text=text) for recipe in (a.recipe, NO_RECIPE))
    return next((b for b in candidates if b in samples), None)


def _field_pairs(samples: Samples) -> Iterator[Pair]:
    largest: dict[str, int] = {}
    for measure in samples:
        largest[measure.split] = max(measure.train_size, largest.get(measure.split, 0))
    for field, (first, second) in FIELD_PAIRS.items():
        for a in _usual(samples, (field,)):
            b = Measure(**{**a._asdict(), field: second})
            if a.train_size == largest[a.split]:
                b = b._replace(train_size=largest.get(b.split, 0))
            if getattr(a, field) == first and b in samples:
                yield Pair(field, a, b)


def _usual(samples: Samples, but: Collection[str]) -> list[Measure]:
    """Return the measures on test rows with each level decoded on its own; fields in `but` may be anything."""
    fixed = {field: value for field, value in USUAL.items() if field not in but}
    return [m for m in samples if all(getattr(m, field) == value for field, value in fixed.items())]
