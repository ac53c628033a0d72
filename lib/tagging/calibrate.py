"""Calibration of path confidences: one logistic curve for each depth and each set of inputs at hand."""

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit, logit

from lib.models.fusion import input_sets
from lib.models.inputs import Products
from lib.tagging.promises import EDGE, Scale, Shares
from lib.tagging.tagger import Tagger, Tags

DEPTHS = (1, 2, 3)
SMALLEST_SLOPE = 0.01
"""A slope stays above zero, so that calibration never turns the order of two confidences round."""

LARGEST = 20.0
"""Of a slope and of an intercept: where all rows are right, a step of the search may go anywhere."""

Bools = npt.NDArray[np.bool_]


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
