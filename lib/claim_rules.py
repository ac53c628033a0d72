"""From a rule to the comparisons that it asks for: sums of measured quantities with signs."""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise, product
from typing import NamedTuple

from lib.bootstrap import Sample
from lib.claims import Bounded, Difference, Gain, Order, Rule, Sizes, Slowdown, Term, Threshold, Trend, terms


class Part(NamedTuple):
    """One quantity of one model at one training size, and what it counts for in a comparison."""

    weight: float
    term: Term
    metric: str
    train_size: int


class Comparison(NamedTuple):
    """Parts whose weighted sum is the effect; the first `firsts` of them are a, the others b."""

    parts: tuple[Part, ...]
    firsts: int


class Seen(NamedTuple):
    """What one way of judging has: models by variant, decoding and training size, and the largest size of all.

    `recipes` and `places` say what each variant's recipe is and which rows it is measured on.
    """

    samples: Mapping[tuple[str, str, int], Sample]
    recipes: Mapping[str, str]
    places: Mapping[str, str]
    largest: int

    def sizes(self, of: Sequence[Term]) -> list[int]:
        """Return the training sizes at which every term was measured, ascending."""
        by_term = [{s for variant, decoding, s in self.samples if (variant, decoding) == key(term)} for term in of]
        return sorted(set.intersection(*by_term))


class NotMeasuredError(Exception):
    """A rule asks for what was not measured. Its text says for what."""


def key(term: Term) -> tuple[str, str]:
    """Return a term's variant and decoding."""
    return term.variant, term.decoding


def comparisons(rule: Rule, seen: Seen) -> list[Comparison]:
    """Return every comparison that a rule asks for; the claim holds if it does in each of them.

    Raises
    ------
    NotMeasuredError
        If something that the rule asks for is not among what was measured.
    """
    sizes = seen.sizes(terms(rule))
    missing = [" ".join(key(term)) for term in terms(rule) if not seen.sizes([term])]
    if missing:
        raise NotMeasuredError(f"no runs of {', '.join(missing)}")
    found = list(_comparisons(rule, sizes, seen.largest))
    if not found:
        raise NotMeasuredError(f"measured together at the training sizes {sizes}, which is not what the rule needs")
    return found


def _comparisons(rule: Rule, sizes: list[int], largest: int) -> Iterator[Comparison]:
    match rule:
        case Threshold():
            for size in select(rule.train_sizes, sizes, largest):
                yield Comparison((Part(1, rule.of, rule.metric, size),), 1)
        case Difference():
            for size, metric, a, b in product(select(rule.train_sizes, sizes, largest), rule.metric, rule.a, rule.b):
                yield Comparison((Part(1, a, metric, size), Part(-1, b, metric, size)), 1)
        case Order():
            for size, other in product(select(rule.train_sizes, sizes, largest), rule.others):
                yield Comparison((Part(1, rule.of, rule.metric, size), Part(-1, rule.of, other, size)), 1)
        case Gain():
            for term, step in product(rule.of, _steps(sizes) if rule.steps == "each" else _steps(sizes)[-1:]):
                yield Comparison(_per_doubling(1, term, rule.metric, step), 1)
        case Slowdown():
            for before, last in list(pairwise(_steps(sizes)))[-1:]:
                first = _per_doubling(1, rule.of, rule.metric, before)
                yield Comparison((*first, *_per_doubling(-1, rule.of, rule.metric, last)), 2)
        case Trend():
            if len(sizes) > 1:
                leads = [(Part(1, rule.a, rule.metric, s), Part(-1, rule.b, rule.metric, s)) for s in sizes]
                yield Comparison((*leads[0], *(part._replace(weight=-part.weight) for part in leads[-1])), 2)


def select(which: Sizes, sizes: list[int], largest: int) -> list[int]:
    """Choose among the training sizes at which all was measured, given the largest size of any run.

    `smallest` and `second_largest` are what claims on little data are judged at, and never the largest size of all.

    >>> [select(which, [100, 300, 900], 900) for which in ("smallest", "second_largest", "largest", "each")]
    [[100], [300], [900], [100, 300, 900]]
    >>> select("second_largest", [900], 900)
    []
    """
    smaller = [size for size in sizes if size < largest]
    return {"smallest": smaller[:1], "second_largest": smaller[-1:], "largest": sizes[-1:], "each": sizes}[which]


def verdict(bound: Bounded, low: float, high: float) -> str:
    """Say whether an interval lies inside the bound, outside it, or on both sides.

    >>> rule = {"kind": "threshold", "metric": "mean", "of": "brand", "train_sizes": "largest"}
    >>> above, within = Threshold(**rule, above=0.0), Threshold(**rule, within=0.1)
    >>> [verdict(above, *pair) for pair in ((0.1, 0.2), (-0.2, 0.0), (-0.1, 0.1), (0.0, 0.0))]
    ['holds', 'fails', 'inconclusive', 'fails']
    >>> [verdict(within, *pair) for pair in ((-0.05, 0.05), (0.1, 0.2), (-0.3, -0.2), (0.0, 0.2))]
    ['holds', 'fails', 'fails', 'inconclusive']
    """
    inner, outer = slack(bound, low), slack(bound, high)
    if inner > 0 and outer > 0:
        return "holds"
    astride = bound.within is not None and low < 0 < high
    return "fails" if inner <= 0 and outer <= 0 and not astride else "inconclusive"


def slack(bound: Bounded, effect: float) -> float:
    """Return by how much an effect keeps a bound; negative by how much it breaks it.

    >>> rule = {"kind": "threshold", "metric": "mean", "of": "brand", "train_sizes": "largest"}
    >>> slack(Threshold(**rule, below=0.5), 0.25), slack(Threshold(**rule, within=0.5), -0.75)
    (0.25, -0.25)
    """
    if bound.above is not None:
        return effect - bound.above
    if bound.below is not None:
        return bound.below - effect
    return (bound.within or 0.0) - abs(effect)


def _steps(sizes: list[int]) -> list[tuple[int, int]]:
    return list(pairwise(sizes))


def _per_doubling(sign: float, term: Term, metric: str, step: tuple[int, int]) -> tuple[Part, Part]:
    """Return the parts of what a doubling of the training rows brings between two sizes."""
    weight = sign / math.log2(step[1] / step[0])
    return Part(weight, term, metric, step[1]), Part(-weight, term, metric, step[0])
