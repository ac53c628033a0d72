"""Intervals over two things at once: which products are tested, and which seed a model was trained with.

Products are resampled by near-duplicate group, since copies of a product are right or wrong together. All
measurements of a catalogue share the same draws of groups and of seeds, so any difference of two is paired.

The two-way ("pigeonhole") bootstrap is Owen's (2007, *The pigeonhole bootstrap*, Annals of Applied Statistics 1:386).
Of `n` seeds each draw takes `n - 1`, with replacement, after Rao & Wu (1988, *Resampling inference with complex survey
data*, JASA 83:231): taking `n` would understate the variance between a handful of seeds by a factor of (n - 1) / n.

In use: `weights = group_weights(groups)` once, then either `resample` for shares of rows measured with several seeds,
and of the samples `intervals`, `differences`, `conditional`; or `drawn_sums` for sums of any numbers, and of what is
computed from them, row 0 being the estimate and the other rows its draws, `interval`.

>>> groups = np.array([0, 0, 1, 2])
>>> right, rows = drawn_sums(np.array([[1, 1], [1, 1], [0, 1], [1, 1]]), groups, group_weights(3)).T
>>> interval(right / rows).mean
0.75
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

DRAWS = 1000
SEED = 2015
CONFIDENCE = 0.95
DRAWS_AT_ONCE = 100  # draws multiplied at once: bounds the memory of their weights as floats

Floats = npt.NDArray[np.float64]
Method = Literal["linear", "inverted_cdf"]


class Interval(NamedTuple):
    """An estimate with the limits of its interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Sample:
    """One measurement with its bootstrap draws.

    Attributes
    ----------
    seeds
        The seeds measured, ascending.
    values
        (seeds, metrics): what was measured.
    draws
        (draws, seeds, metrics): the same on resampled groups of products. NaN where a draw holds no row.
    """

    seeds: tuple[int, ...]
    values: Floats
    draws: Floats

    def only(self, seeds: Sequence[int]) -> "Sample":
        """Keep some of the seeds."""
        rows = [self.seeds.index(seed) for seed in seeds]
        return replace(self, seeds=tuple(seeds), values=self.values[rows], draws=self.draws[:, rows])

    def column(self, place: int) -> "Sample":
        """Keep one metric."""
        return replace(self, values=self.values[:, [place]], draws=self.draws[..., [place]])


def group_weights(groups: int, draws: int = DRAWS, seed: int = SEED) -> npt.NDArray[np.uint8]:
    """Draw how often each group is taken: `groups` times one of them, with replacement.

    Returns
    -------
    uint8 array (draws, groups); every row sums to `groups`.

    Examples
    --------
    >>> group_weights(4, draws=2).sum(axis=1).tolist()
    [4, 4]
    """
    random = np.random.default_rng([seed, 0])
    rows = (np.bincount(random.integers(groups, size=groups), minlength=groups) for _ in range(draws))
    return np.stack([row.astype(np.uint8) for row in rows])


@lru_cache
def seed_weights(seeds: int, draws: int = DRAWS, seed: int = SEED) -> Floats:
    """Draw the share that each of some training seeds has in a mean: float64 (draws, seeds), rows sum to 1.

    Examples
    --------
    >>> seed_weights(1, draws=2).tolist()
    [[1.0], [1.0]]
    """
    taken = max(seeds - 1, 1)
    picks = np.random.default_rng([seed, 1]).integers(seeds, size=(draws, taken))
    counts: Floats = (picks[:, :, None] == np.arange(seeds)).sum(axis=1) / taken
    return counts


def resample(
    seeds: Sequence[int],
    correct: Sequence[npt.NDArray[np.bool_]],
    groups: Sequence[npt.NDArray[np.integer[Any]]],
    weights: npt.NDArray[np.uint8],
) -> Sample:
    """Measure the share of true values in each column, on the rows as they are and on every draw of groups.

    Works on sums by group and one matrix product, never on rows again. The sums are whole numbers below 2**24, which
    float32 holds exactly: the result does not depend on the number of cores.

    Parameters
    ----------
    seeds
        The training seeds, ascending.
    correct
        For each seed, bool (rows, columns). Seeds may have rows of their own.
    groups
        For each seed, the group number of each row.
    weights
        What `group_weights` returns for all groups of the catalogue.
    """
    present, flat = np.unique(np.concatenate(groups)), []
    for right, members in zip(correct, groups, strict=True):
        columns = np.column_stack([right, np.ones(len(right), bool)])  # the last one counts rows
        flat.append(_group_sums(columns, np.searchsorted(present, members), len(present)).astype(np.float32))
    sums = np.concatenate(flat, axis=1)
    chunks = (weights[start : start + DRAWS_AT_ONCE, present] for start in range(0, len(weights), DRAWS_AT_ONCE))
    totals = np.concatenate([chunk.astype(np.float32) @ sums for chunk in chunks]).astype(np.float64)
    totals = totals.reshape(len(weights), len(seeds), -1)
    with np.errstate(invalid="ignore"):
        draws = totals[..., :-1] / totals[..., -1:]
    return Sample(tuple(seeds), np.stack([rows.mean(axis=0) for rows in correct]), draws)


def conditional(sample: Sample) -> Sample:
    """Divide the first half of the columns by the second: the share of the rows of a kind that have a property.

    NaN where a seed, or a draw, holds no row of the kind.
    """
    half = sample.values.shape[1] // 2
    with np.errstate(invalid="ignore", divide="ignore"):
        values, draws = (array[..., :half] / array[..., half:] for array in (sample.values, sample.draws))
    return replace(sample, values=values, draws=draws)


def intervals(sample: Sample) -> list[Interval]:
    """Return the mean over seeds of each metric, with its 95% interval (percentiles of the draws)."""
    return [interval(metric) for metric in seed_means([sample])[0].T]


def differences(a: Sample, b: Sample) -> list[Interval]:
    """Return the difference a - b of each metric, paired by seed and by group of products (see `seed_means`)."""
    first, second = seed_means([a, b])
    return [interval(metric) for metric in (first - second).T]


def seed_means(samples: Sequence[Sample]) -> list[Floats]:
    """Average each sample over the training seeds: as measured in row 0, then on every draw.

    Of the samples with several seeds, those seeds are taken that all of them have, where these are more than one. A
    sample with a single seed is one that no seed changes: it is compared with every seed of the others.

    Returns
    -------
    For each sample an array (1 + draws, metrics). Row by row they belong together: any function of them is paired.
    """
    if len(common := common_seeds(samples)) > 1:
        samples = [sample.only(common) if len(sample.seeds) > 1 else sample for sample in samples]
    shares = [seed_weights(len(sample.seeds), len(sample.draws)) for sample in samples]
    drawn = [np.einsum("ds,dsm->dm", share, sample.draws) for share, sample in zip(shares, samples, strict=True)]
    return [np.vstack([sample.values.mean(axis=0), means]) for sample, means in zip(samples, drawn, strict=True)]


def common_seeds(samples: Sequence[Sample]) -> list[int]:
    """Return the seeds that all samples with several seeds have, ascending."""
    several = [set(sample.seeds) for sample in samples if len(sample.seeds) > 1]
    return sorted(set.intersection(*several)) if several else []


def interval(values: Floats, confidence: float = CONFIDENCE, method: Method = "linear") -> Interval:
    """Return the estimate in `values[0]` with its interval by percentiles of the draws after it.

    Parameters
    ----------
    values
        (1 + draws,). Draws that are NaN are left out; with no draw left, or none at all, the limits are NaN.
    method
        How `numpy.quantile` goes between two draws: `inverted_cdf` takes no means, which draws of infinity need.

    Examples
    --------
    >>> interval(np.array([0.5, 0.4, 0.5, 0.6]), confidence=0.5)
    Interval(mean=0.5, low=0.45, high=0.55)
    >>> interval(np.array([7.0, 5.0, 6.0, 8.0, np.inf]), method="inverted_cdf")
    Interval(mean=7.0, low=5.0, high=inf)
    """
    drawn, tail = values[1:][~np.isnan(values[1:])], (1 - confidence) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail], method=method) if len(drawn) else (np.nan, np.nan)
    return Interval(float(values[0]), float(low), float(high))


def drawn_sums(values: npt.NDArray[Any], groups: npt.NDArray[np.integer[Any]], weights: npt.NDArray[Any]) -> Floats:
    """Add up each column of some numbers, on the rows as they are in row 0, then on every draw of groups.

    Draws are added up in the weights' precision if that is a float's, else in float64, and in the same order on any
    number of cores.

    Parameters
    ----------
    values
        (rows, columns).
    groups
        (rows,): the number of each row's group.
    weights
        (draws, groups): what `group_weights` returns.

    Returns
    -------
    float64 (1 + draws, columns).
    """
    weights = weights if np.issubdtype(weights.dtype, np.floating) else weights.astype(np.float64)
    by_group = _group_sums(values, groups, weights.shape[1])
    drawn = np.einsum("dg,gc->dc", weights, by_group.astype(weights.dtype), optimize=False)
    return np.vstack([by_group.sum(axis=0), drawn])


def _group_sums(values: npt.NDArray[Any], groups: npt.NDArray[np.integer[Any]], count: int) -> Floats:
    """Add up each column within each group: (groups, columns)."""
    return np.stack([np.bincount(groups, column, count) for column in values.T], axis=1)
