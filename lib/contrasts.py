"""Which measurements are compared with which, and what may be said of each pair."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from lib.bootstrap import Sample, differences
from lib.config import LEVELS, Variant
from lib.evaluate import CHAIN_DECODINGS, usual_decodings
from lib.pairs import ASKED, BEST, CALLED, COUNTERPARTS, DEPARTURES, Asked
from lib.runs import NO_RECIPE

COLUMNS = [
    *("question", "variant", "recipe", "text", "split", "train_size", "decoding", "measured_on"),
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
    """Two measures to compare, and the question that the comparison answers."""

    question: str
    a: Measure
    b: Measure
    metrics: tuple[str, ...]


def contrast_table(samples: Samples, metrics: Sequence[str], variants: Mapping[str, Variant]) -> pd.DataFrame:
    """Return every contrast that the samples allow, with the columns of `contrasts.csv`.

    `question` names the field in which a and b differ; that field's own column is empty, the others describe a. The
    decoding is that of a chain where only one of the two is one. `as_coded` compares variants, a on test rows and b on
    the rows that it was trained on, and its `measured_on` is empty. `train_size` is always that of a.

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
    for pair in sorted(set(_pairs(samples, variants))):
        results = dict(zip(metrics, differences(samples[pair.a], samples[pair.b]), strict=True))
        for metric in pair.metrics:
            difference, low, high = (np.round(results[metric], 6) + 0.0).tolist()
            rows.append((*_labels(pair), metric, *_sides(pair), difference, low, high, verdict(low, high)))
    return pd.DataFrame(rows, columns=COLUMNS)


def verdict(low: float, high: float) -> str:
    """Call a contrast a - b only where its interval excludes zero.

    >>> verdict(0.01, 0.02), verdict(-0.02, -0.01), verdict(-0.01, 0.01), verdict(0.0, 0.0)
    ('a better', 'b better', 'inconclusive', 'inconclusive')
    """
    if low > 0:
        return "a better"
    return "b better" if high < 0 else "inconclusive"


def _labels(pair: Pair) -> list[str | int]:
    """Return the columns of a contrast up to the metric."""
    chained = next((m.decoding for m in (pair.a, pair.b) if m.decoding in CHAIN_DECODINGS), pair.a.decoding)
    differing = {"as_coded": ("variant", "measured_on"), "train_size": ()}.get(pair.question, (pair.question,))
    described = {**pair.a._asdict(), "decoding": chained, **dict.fromkeys(differing, "")}
    return [pair.question, *(described[column] for column in COLUMNS[1:8])]


def _sides(pair: Pair) -> list[str]:
    field = "variant" if pair.question == "as_coded" else pair.question
    return [str(getattr(measure, field)) for measure in (pair.a, pair.b)]


def _pairs(samples: Samples, variants: Mapping[str, Variant]) -> Iterator[Pair]:
    """Find, for every question asked, each measure that may be its a, and the b that belongs to it."""
    usual = usual_decodings((measure.variant, measure.decoding) for measure in samples)
    for asked in (*ASKED, *_naive(variants), *_best(variants), *_sizes(samples)):
        for a in samples:
            if _is_side(a, asked, usual) and (b := _other_side(a, asked, samples, variants, usual)):
                yield Pair(asked.question, a, b, asked.metrics)


def _naive(variants: Mapping[str, Variant]) -> list[Asked]:
    """Ask of every variant whether it beats naming the most frequent classes."""
    naive = [name for name, variant in variants.items() if variant.model == "naive"]
    others = [name for name in variants if name not in naive]
    return [Asked("variant", {"variant": a}, {"variant": b}) for a in others for b in naive]


def _best(variants: Mapping[str, Variant]) -> list[Asked]:
    """Ask of every variant whether the one to deploy beats it."""
    return [Asked("variant", {"variant": a}, {"variant": BEST}) for a in variants if a != BEST]


def _sizes(samples: Samples) -> list[Asked]:
    """Ask of every training size what it adds to the smallest of the same split."""
    found: dict[str, set[int]] = {}
    for measure in samples:
        found.setdefault(measure.split, set()).add(measure.train_size)
    return [
        Asked("train_size", {"split": split, "train_size": size}, {"train_size": min(sizes)}, (*LEVELS, *CALLED))
        for split, sizes in found.items()
        for size in sizes - {min(sizes)}
    ]


def _is_side(measure: Measure, asked: Asked, usual: Mapping[str, str]) -> bool:
    """Tell whether a measure can be a: on test rows and decoded as usual, unless the question says otherwise.

    A recipe that only serves to be compared with another stays out of comparisons between variants, but for those of
    Figures 4 and 5.
    """
    if asked.question == "variant" and measure.recipe in DEPARTURES.keys() - COUNTERPARTS.keys():
        return False
    wanted = {"measured_on": "test", "decoding": usual[measure.variant], **asked.a}
    return all(getattr(measure, field) == value for field, value in wanted.items())


def _other_side(
    a: Measure, asked: Asked, samples: Samples, variants: Mapping[str, Variant], usual: Mapping[str, str]
) -> Measure | None:
    """Find b: a, but for what the question says. A model without text has one text, and not every model a's recipe."""
    variant = str(asked.b.get("variant", a.variant))
    if variant not in usual or variant not in variants:
        return None
    b = a._replace(**{"decoding": usual[variant], "measured_on": "test", **asked.b})  # type: ignore[arg-type]
    if "text" not in variants[variant].inputs:
        b = b._replace(text="masked")
    if asked.question == "split":
        b = b._replace(train_size=_matching_size(a, b.split, samples))
    recipes = [b.recipe]
    if "recipe" not in asked.b:
        recipes += [COUNTERPARTS.get(b.recipe, NO_RECIPE), NO_RECIPE]
    if b.recipe == NO_RECIPE:  # a has no recipe, and b may have one
        recipes += sorted({measure.recipe for measure in samples if measure.variant == variant} - DEPARTURES.keys())
    candidates = (b._replace(recipe=recipe) for recipe in recipes)
    return next((found for found in candidates if found in samples and found != a), None)


def _matching_size(a: Measure, split: str, samples: Samples) -> int:
    """Return a's training size in another split: all there is, if a has all there is."""
    largest: dict[str, int] = {}
    for measure in samples:
        largest[measure.split] = max(measure.train_size, largest.get(measure.split, 0))
    return largest.get(split, 0) if a.train_size == largest[a.split] else a.train_size
