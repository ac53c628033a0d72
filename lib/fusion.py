"""Late fusion: several models' log-probabilities added up, with weights that validation rows choose."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

LARGEST_WEIGHT = 20.0
"""Where validation rows are few, all of them may be right, and then no weight is large enough."""

Level = npt.NDArray[Any]


def fit_weights(parts: Sequence[Level], codes: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """Choose how much each part counts on one level.

    A logarithmic pool: the fused log-probabilities are the log softmax of the parts' weighted sum. The weights are
    those, from 0 to `LARGEST_WEIGHT`, under which the true classes are most probable: a convex problem. They hold a
    temperature as well, so the parts need not be calibrated.

    Parameters
    ----------
    parts : sequence of arrays, shape (rows, classes)
        Each part's log-probabilities of validation rows.
    codes : array, shape (rows,)
        True classes.

    Returns
    -------
    array, shape (parts,)

    Examples
    --------
    >>> codes = np.array([0, 1, 0, 1])
    >>> informed = np.log([[0.7, 0.3], [0.3, 0.7], [0.7, 0.3], [0.7, 0.3]])
    >>> wrong = np.log([[0.4, 0.6], [0.6, 0.4], [0.4, 0.6], [0.6, 0.4]])
    >>> fit_weights([informed, wrong], codes).round(2).tolist()
    [1.3, 0.0]
    """
    stacked = np.stack([part.astype(np.float64) for part in parts])
    rows = np.arange(len(codes))

    def loss(weights: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        pooled = np.einsum("p,prc->rc", weights, stacked)  # in one thread, unlike a matrix product
        error = softmax(pooled, axis=1)
        error[rows, codes] -= 1
        likelihood = log_softmax(pooled, axis=1)[rows, codes]
        return -likelihood.mean(), np.einsum("prc,rc->p", stacked, error) / len(rows)

    bounds = [(0.0, LARGEST_WEIGHT)] * len(parts)
    found = minimize(loss, np.ones(len(parts)), jac=True, method="L-BFGS-B", bounds=bounds)
    return np.asarray(found.x)


def pool(parts: Sequence[Level], weights: Sequence[float] | npt.NDArray[np.float64]) -> Level:
    """Return the log softmax of the weighted sum of log-probabilities, float32, shape (rows, classes)."""
    pooled = sum(weight * part.astype(np.float64) for weight, part in zip(weights, parts, strict=True))
    return np.asarray(log_softmax(pooled, axis=1), np.float32)
