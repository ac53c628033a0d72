"""What a tagger may promise, with a finite-sample guarantee: from which confidence on, and how long a list.

Before that, path confidences are calibrated: one logistic curve for each depth and each set of inputs at hand.

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
from scipy.optimize import minimize
from scipy.special import betainc, expit, logit
from scipy.stats import binom

from lib.models.fusion import input_sets
from lib.models.inputs import Products
from lib.tagging.promises import EDGE, Scale, Shares
from lib.tagging.tagger import Tagger, Tags

Bools = npt.NDArray[np.bool_]
DEPTHS = (1, 2, 3)
SMALLEST_SLOPE = 0.01
"""A slope stays above zero, so that calibration never turns the order of two confidences round."""

LARGEST = 20.0
"""Of a slope and of an intercept: where all rows are right, a step of the search may go anywhere."""


# Calibration


def fit_scale(probabilities: Shares, right: Bools, weights: Shares) -> Scale:
    """Fit a logistic curve of right or wrong on the logit of a probability.

    Platt scaling (1999), with a normal prior of variance 1 around the identity: with a few dozen rows, or where all of
    them are right, probabilities are hardly changed, and with none not at all.

    Parameters
    ----------
    probabilities : array, shape (rows,)
        Of the best path down to some depth.
    right : bool array, shape (rows,)
    weights : array, shape (rows,)
        How much a row counts; those of one near-duplicate group sum to 1.

    Examples
    --------
    >>> sure = np.full(400, 0.95)
    >>> scale = fit_scale(sure, np.arange(400) % 5 > 0, np.ones(400))  # right in 80% only
    >>> float(scale(np.array([0.95]))[0].round(2))
    0.8
    >>> fit_scale(np.empty(0), np.empty(0, bool), np.empty(0))
    Scale(slope=1.0, intercept=0.0)
    """
    x, y = logit(np.clip(probabilities, EDGE, 1 - EDGE)), right.astype(np.float64)

    def loss(found: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        z, prior = found[0] * x + found[1], found - [1, 0]
        error = weights * (expit(z) - y)
        total = (weights * (np.logaddexp(0, z) - y * z)).sum() + (prior**2).sum() / 2
        return float(total), np.array([(error * x).sum(), error.sum()]) + prior

    bounds = [(SMALLEST_SLOPE, LARGEST), (-LARGEST, LARGEST)]
    slope, intercept = minimize(loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=bounds).x
    return Scale(slope=float(slope), intercept=float(intercept))


def fit_scales(
    tagger: Tagger, products: Products, codes: npt.NDArray[np.integer], groups: npt.NDArray[np.integer]
) -> dict[str, list[Scale]]:
    """Fit the curves of every set of inputs, on the products that have all of the set, with the others hidden.

    Parameters
    ----------
    products
        Rows that the fusion was tuned on, and none that a promise is made on.
    codes : int array, shape (rows, 3)
        True classes.
    groups : int array, shape (rows,)
        Near-duplicate groups.

    Returns
    -------
    As in `Promises.scales`.
    """
    found, there = {}, tagger.model.present(products)
    for inputs in input_sets(tagger.inputs):
        rows = np.logical_and.reduce([there[name] for name in inputs] or [np.ones(len(groups), bool)])
        if not rows.any():
            found["+".join(inputs)] = [Scale() for _ in DEPTHS]
            continue
        tags = tagger.tag(products.take(np.flatnonzero(rows)), set(tagger.inputs) - set(inputs))
        right, weights = is_right(tags, tagger.paths, codes[rows]), group_shares(groups[rows])
        columns = zip(tags.prefixes.probability.T, right.T, strict=True)
        found["+".join(inputs)] = [fit_scale(*column, weights) for column in columns]
    return found


def is_right(tags: Tags, paths: npt.NDArray[np.integer], codes: npt.NDArray[np.integer]) -> Bools:
    """Say of each row and depth whether the best path down to there is the true one: bool (rows, 3)."""
    right = [(paths[tags.prefixes.path[:, d - 1], :d] == codes[:, :d]).all(axis=1) for d in DEPTHS]
    return np.stack(right, axis=1)


def group_shares(groups: npt.NDArray[np.integer]) -> Shares:
    """Return for each row 1 / the size of its group among these rows: a group counts as one product.

    >>> group_shares(np.array([7, 7, 2])).tolist()
    [0.5, 0.5, 1.0]
    """
    _, member, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    return np.asarray(1 / sizes[member], np.float64)


# Promises


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
