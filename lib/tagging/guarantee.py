"""Promises with a finite-sample guarantee: from which confidence on, and how long a list of candidates.

A promise is over *distinct* products: near-duplicates share their errors, so that one product stands for each group.
Those are independent draws, and then the number of errors above a threshold that was fixed beforehand is binomial,
exactly.

*Learn then test* (Angelopoulos, Bates, Candès, Jordan & Lei, 2021, *Learn then test: calibrating predictive
algorithms to achieve risk control*): each threshold is a hypothesis, "the precision above it is below the promise".
They are tested in a fixed order, each at the full error rate, until the first that cannot be rejected (fixed-sequence
testing). The thresholds to try, and with which to begin, are chosen on tuning products, so that calibration products
only test.

The order of testing is MAPIE's (`control_fwer`). Its p-values are not used: version 1.6 computes the number of errors
as `ceil(n * (1 - precision))`, which rounding makes one too many in about two of five cases. That is safe but wasteful.
"""

import numpy as np
import numpy.typing as npt
from mapie.risk_control.fwer_control import control_fwer
from scipy.special import betainc
from scipy.stats import binom

from lib.tagging.promises import Shares

Bools = npt.NDArray[np.bool_]


def representatives(groups: npt.NDArray[np.integer], keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """Return one row of each group, the one with the smallest sampling key: a draw that no label has a say in.

    >>> representatives(np.array([5, 5, 3]), np.array([9, 4, 6], np.uint64)).tolist()
    [2, 1]
    """
    order = np.lexsort((keys, groups))
    return order[np.unique(groups[order], return_index=True)[1]]


def p_values(confidence: Shares, right: Bools, thresholds: Shares, precision: float) -> Shares:
    """Return the exact binomial p-value of each threshold: how probable so few errors are if the promise is broken.

    Parameters
    ----------
    confidence, right : arrays, shape (products,)
        Distinct products.
    thresholds : array, shape (thresholds,)

    Examples
    --------
    >>> p_values(np.full(29, 0.9), np.ones(29, bool), np.array([0.9, 0.95]), precision=0.9).round(3).tolist()
    [0.047, 1.0]
    """
    order = np.argsort(-confidence, kind="stable")
    tagged = np.searchsorted(-confidence[order], -thresholds, side="right")
    errors = np.concatenate([[0], np.cumsum(~right[order])])[tagged]
    return np.asarray(binom.cdf(errors, tagged, 1 - precision), np.float64)


def sequence(confidence: Shares, products: int, precision: float, steps: int) -> Shares:
    """Choose the thresholds to test, and their order: from the one most likely to hold down to the widest.

    Parameters
    ----------
    confidence : array
        Calibrated confidences of distinct tuning products. They say how many errors to expect above each threshold.
    products : int
        Distinct products that there will be to test with.
    steps : int
        Thresholds, at most.

    Returns
    -------
    Descending; empty if there are no tuning products.
    """
    if not len(confidence):
        return np.empty(0)
    descending = np.sort(confidence)[::-1]
    counts = np.unique(np.ceil(np.linspace(0, 1, steps + 1)[1:] * len(descending)).astype(np.int64))
    expected = np.cumsum(1 - descending)[counts - 1] * products / len(descending)
    tagged = counts * products / len(descending)
    chance = betainc(np.maximum(tagged - expected, 1e-9), expected + 1, precision)  # binomial, between whole numbers
    return descending[counts[int(chance.argmin()) :] - 1]


def threshold(confidence: Shares, right: Bools, thresholds: Shares, precision: float, certainty: float) -> float | None:
    """Return the lowest of the thresholds, in the order given, up to which all keep the promise; None if none does."""
    if not len(thresholds) or not len(confidence):
        return None
    kept = control_fwer(p_values(confidence, right, thresholds, precision), 1 - certainty, "fixed_sequence")
    return float(thresholds[kept[-1]]) if len(kept) else None


def thresholds(
    confidence: Shares, right: Bools, tuning: Shares, precision: float, certainty: float, steps: int
) -> list[float | None]:
    """Find the thresholds of a promise for whole paths, and then for what backs off to level 2, and to level 1.

    A promise of depth 2 is of the products that are tagged to level 2 and no deeper, and likewise for depth 1. Which
    these are hangs on the threshold before. Labels of products below it were not looked at when it was found, but for
    those of the one step at which testing stopped, where there were many errors: they make the next promise safer.

    Parameters
    ----------
    confidence, right : arrays, shape (products, 3)
        Distinct calibration products, for each depth.
    tuning : array, shape (tuning products, 3)
        Confidences of distinct tuning products.

    Returns
    -------
    For depth 1, 2, 3.
    """
    found: list[float | None] = []
    left, tuned = np.ones(len(confidence), bool), np.ones(len(tuning), bool)
    for column in (2, 1, 0):
        order = sequence(tuning[tuned, column], int(left.sum()), precision, steps)
        lowest = threshold(confidence[left, column], right[left, column], order, precision, certainty)
        found.insert(0, lowest)
        if lowest is not None:
            left &= confidence[:, column] < lowest
            tuned &= tuning[:, column] < lowest
    return found


def smallest_listed(probabilities: Shares, coverage: float) -> float:
    """Return the smallest probability of a path on a list, so that a new product's right path is listed often enough.

    Split conformal prediction with the score 1 - probability (Sadinle, Lei & Wasserman, 2019, *Least ambiguous
    set-valued classifiers with bounded error levels*): of `n` distinct products, so many may be missed that one more,
    drawn like them, is missed with a probability of at most 1 - `coverage`.

    Parameters
    ----------
    probabilities : array, shape (products,)
        Of each product's right path.

    Returns
    -------
    0 where there are too few products to leave any path out.

    Examples
    --------
    >>> smallest_listed(np.arange(1, 20) / 20, coverage=0.9), smallest_listed(np.array([0.5]), coverage=0.9)
    (0.1, 0.0)
    """
    missed = int(np.floor((len(probabilities) + 1) * (1 - coverage) + 1e-9))
    return float(np.sort(probabilities)[missed - 1]) if missed else 0.0


def needed(precision: float, certainty: float) -> int:
    """Return how many distinct products it takes to promise anything: that many, all right, and no fewer.

    >>> needed(0.99, 0.9), needed(0.95, 0.9)
    (230, 45)
    """
    return int(np.ceil(np.log(1 - certainty) / np.log(precision)))
