"""Shares of a model's errors, each with a 95% interval over groups of near-duplicates and training seeds.

A bootstrap (`lib/bootstrap.py`) of a few groups, or of groups that are nearly all right, is too narrow; there Wilson's
score interval (1927, JASA 22:209) takes its place, with each group of near-duplicates counted as one trial.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import norm

from lib.bootstrap import CONFIDENCE, Interval, Sample, conditional, differences, intervals, resample

FEWEST_GROUPS = 30
"""With fewer groups of near-duplicates of a kind, the interval is Wilson's."""

FEWEST_CASES = 5
"""The same with fewer groups' worth of right answers, or of wrong ones."""

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Answers:
    """What a model says of the test rows of a split, and what is so.

    Attributes
    ----------
    seeds
        The training seeds, ascending.
    codes
        int16 (rows, 3): the true classes.
    predicted
        int16 (seeds, rows, 3).
    groups
        intp (rows,): number of the near-duplicate group.
    names
        The classes of each level; a code is an index.
    paths
        int16 (valid paths, 3).
    weights
        What `bootstrap.group_weights` returns for all groups of the catalogue.
    """

    seeds: tuple[int, ...]
    codes: npt.NDArray[np.int16]
    predicted: npt.NDArray[np.int16]
    groups: npt.NDArray[np.intp]
    names: list[list[str]]
    paths: npt.NDArray[np.int16]
    weights: npt.NDArray[np.uint8]

    @property
    def right(self) -> Bools:
        """Which levels are right: (seeds, rows, 3)."""
        return np.equal(self.predicted, self.codes)

    @property
    def wrong_path(self) -> Bools:
        """Where any level is wrong: (seeds, rows)."""
        wrong: Bools = np.any(~self.right, axis=2)
        return wrong


def shares(tested: Answers, kinds: Bools, among: Bools) -> list[Interval]:
    """Return what share of some rows is of a kind, for each of several kinds.

    Parameters
    ----------
    kinds
        bool (seeds, rows, columns).
    among
        bool, of a shape that fits: the rows that count. A share of no row is not a number.
    """
    return intervals(_sample(tested, kinds, among))


def _sample(tested: Answers, kinds: Bools, among: Bools) -> Sample:
    among = np.broadcast_to(among, kinds.shape)
    groups = [tested.groups] * len(tested.seeds)
    return conditional(resample(tested.seeds, list(np.concatenate([kinds & among, among], 2)), groups, tested.weights))


def wilson(share: float, trials: float) -> Interval:
    """Return Wilson's 95% score interval of a share that was seen in a number of trials.

    >>> [round(value, 3) for value in wilson(1.0, 10)]
    [1.0, 0.722, 1.0]
    """
    z2 = norm.ppf((1 + CONFIDENCE) / 2) ** 2
    middle = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = np.sqrt(z2 * (share * (1 - share) / trials + z2 / (4 * trials**2))) / (1 + z2 / trials)
    return Interval(share, float(max(middle - half, 0)), float(min(middle + half, 1)))


def newcombe(a: Interval, b: Interval) -> Interval:
    """Return the interval of the difference a - b of two independent shares, from the interval of each.

    >>> [round(value, 3) for value in newcombe(wilson(0.7, 50), wilson(0.5, 50))]
    [0.2, 0.008, 0.372]
    """
    apart = a.mean - b.mean
    down, up = np.hypot(a.mean - a.low, b.high - b.mean), np.hypot(a.high - a.mean, b.mean - b.low)
    return Interval(apart, float(apart - down), float(apart + up))


def is_small(share: float, groups: int) -> bool:
    """Say whether a share in a number of groups has Wilson's interval instead of the bootstrap's.

    >>> is_small(0.5, 29), is_small(0.99, 100), is_small(0.5, 30)
    (True, True, False)
    """
    return groups < FEWEST_GROUPS or groups * min(share, 1 - share) < FEWEST_CASES


def compare_products(tested: Answers, kinds: dict[str, Bools]) -> pd.DataFrame:
    """Compare the path accuracy on products of some kind with that on all others.

    The interval of the difference is the bootstrap's, or Newcombe's (1998, Statistics in Medicine 17:873, method 10)
    where either accuracy has Wilson's.

    Parameters
    ----------
    kinds
        Name -> bool (rows,) or (seeds, rows). A kind that no row has, or all have, is left out.

    Returns
    -------
    DataFrame
        `kind`, `products` (a seed), `accuracy, low, high`, `others` (their accuracy), and
        `difference, difference_low, difference_high`.
    """
    rows = []
    for name, kind in kinds.items():
        inside = np.broadcast_to(kind, tested.predicted.shape[:2])
        if inside.any() and not inside.all():
            rows.append({"kind": name, "products": inside.sum() / len(tested.seeds), **_compare(tested, inside)})
    return pd.DataFrame(rows)


def _compare(tested: Answers, inside: Bools) -> dict[str, float]:
    right = ~tested.wrong_path
    sample = _sample(tested, np.stack([right, right], axis=2), np.stack([inside, ~inside], axis=2))
    found, sizes = intervals(sample), [_mean_groups(tested, part) for part in (inside, ~inside)]
    small = [is_small(one.mean, int(size)) for one, size in zip(found, sizes, strict=True)]
    a, b = (wilson(one.mean, size) if few else one for one, size, few in zip(found, sizes, small, strict=True))
    one, other = (Sample(sample.seeds, sample.values[:, i : i + 1], sample.draws[:, :, i : i + 1]) for i in (0, 1))
    apart = newcombe(a, b) if any(small) else differences(one, other)[0]
    limits = {"difference": apart.mean, "difference_low": apart.low, "difference_high": apart.high}
    return {"accuracy": a.mean, "low": a.low, "high": a.high, "others": b.mean, **limits}


def _mean_groups(tested: Answers, inside: Bools) -> float:
    """Count the groups of near-duplicates that have a row of a kind, on average over the seeds that have one."""
    return float(np.mean([max(len(np.unique(tested.groups[rows])), 1) for rows in inside if rows.any()]))


def limits_table(found: list[Interval]) -> pd.DataFrame:
    """Return the columns `share, low, high`."""
    return pd.DataFrame([(one.mean, one.low, one.high) for one in found], columns=["share", "low", "high"])
