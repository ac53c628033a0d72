"""Intervals over two things at once: which products are tested, and which seed a model was trained with.

Products are resampled by near-duplicate group, since copies of a product are right or wrong together. All
measurements of a catalogue share the same draws of groups and of seeds, so any difference of two is paired.

The two-way ("pigeonhole") bootstrap is Owen's (2007, *The pigeonhole bootstrap*, Annals of Applied Statistics 1:386).
Of `n` seeds each draw takes `n - 1`, with replacement, after Rao & Wu (1988, *Resampling inference with complex survey
data*, JASA 83:231): taking `n` would understate the variance between a handful of seeds by a factor of (n - 1) / n.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

DRAWS = 1000
SEED = 2015
CONFIDENCE = 0.95
DRAWS_AT_ONCE = 100  # draws multiplied at once: bounds the memory of their weights as floats

Floats = npt.NDArray[np.float64]


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
    present = np.unique(np.concatenate(groups))
    sums = np.stack([_group_sums(*pair, present) for pair in zip(correct, groups, strict=True)], axis=1)
    flat = sums.reshape(len(present), -1)
    totals = np.concatenate([chunk @ flat for chunk in _float_weights(weights, present)])
    totals = totals.reshape(len(weights), *sums.shape[1:]).astype(np.float64)
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
    return _summarise(sample.values.mean(axis=0), _mean_draws(sample))


def differences(a: Sample, b: Sample) -> list[Interval]:
    """Return the difference a - b of each metric, paired by seed and by group of products.

    Where both have several seeds, the seeds that both have are compared. A sample with a single seed is one that no
    seed changes: it is compared with every seed of the other.
    """
    common = sorted(set(a.seeds) & set(b.seeds))
    if len(common) > 1:
        a, b = a.only(common), b.only(common)
    means = a.values.mean(axis=0) - b.values.mean(axis=0)
    return _summarise(means, _mean_draws(a) - _mean_draws(b))


def _group_sums(
    correct: npt.NDArray[np.bool_], groups: npt.NDArray[np.integer[Any]], present: npt.NDArray[Any]
) -> npt.NDArray[np.float32]:
    """Add up each column, and a last one that counts rows, within each group: (groups present, columns + 1)."""
    place = np.searchsorted(present, groups)
    columns = [*correct.T, np.ones(len(correct), bool)]
    sums = [np.bincount(place, weights=column, minlength=len(present)) for column in columns]
    return np.stack(sums, axis=1).astype(np.float32)


def _float_weights(weights: npt.NDArray[np.uint8], present: npt.NDArray[Any]) -> Iterator[npt.NDArray[np.float32]]:
    for start in range(0, len(weights), DRAWS_AT_ONCE):
        yield weights[start : start + DRAWS_AT_ONCE, present].astype(np.float32)


def _mean_draws(sample: Sample) -> Floats:
    shares = seed_weights(len(sample.seeds), len(sample.draws))
    mean: Floats = np.einsum("ds,dsm->dm", shares, sample.draws)
    return mean


def _summarise(means: Floats, draws: Floats) -> list[Interval]:
    tail = (1 - CONFIDENCE) / 2
    low, high = np.nanquantile(draws, [tail, 1 - tail], axis=0)
    return [Interval(*map(float, row)) for row in zip(means, low, high, strict=True)]
