"""Late fusion: several models' log-probabilities added up, with weights that validation rows choose."""

from collections.abc import Mapping, Sequence
from itertools import chain, combinations
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from lib import config

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


def fit_path_weights(
    parts: Sequence[Sequence[Level]], paths: npt.NDArray[np.integer], truth: npt.NDArray[np.integer]
) -> npt.NDArray[np.float64]:
    """Choose how much each part counts on each level, for whole paths.

    A path's score is the weighted sum of what each part says of its three classes, and its probability the softmax over
    all valid paths. The weights are those, from 0 to `LARGEST_WEIGHT`, under which the true paths are most probable: a
    convex problem again. A normal prior around 1 keeps them sane where there are a few dozen rows.

    Parameters
    ----------
    parts : sequence of sequences of arrays, shape (rows, classes)
        Each part's log-probabilities of each level.
    paths : array, shape (valid paths, 3)
    truth : array, shape (rows,)
        Each row's true path, an index into `paths`.

    Returns
    -------
    array, shape (parts, 3)

    Examples
    --------
    >>> paths = np.array([[0, 0, 0], [1, 1, 1]])
    >>> level = np.log([[0.9, 0.1], [0.2, 0.8]])
    >>> fit_path_weights([[level, level, level]], paths, np.array([0, 1])).round(2).tolist()
    [[1.02, 1.02, 1.02]]
    """
    scores = np.stack([level[:, paths[:, i]] for part in parts for i, level in enumerate(part)]).astype(np.float64)
    rows = np.arange(len(truth))

    def loss(weights: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        pooled = np.einsum("w,wrp->rp", weights, scores)
        likely = log_softmax(pooled, axis=1)
        error = np.exp(likely)
        error[rows, truth] -= 1
        prior = weights - 1
        total = -likely[rows, truth].sum() + (prior**2).sum() / 2
        return total / len(rows), (np.einsum("wrp,rp->w", scores, error) + prior) / len(rows)

    bounds = [(0.0, LARGEST_WEIGHT)] * len(scores)
    found = minimize(loss, np.ones(len(scores)), jac=True, method="L-BFGS-B", bounds=bounds)
    return np.asarray(found.x).reshape(len(parts), -1)


InputSet = tuple[config.Input, ...]
"""Names of inputs, in the order in which a variant lists them."""


def input_sets(inputs: Sequence[config.Input]) -> list[InputSet]:
    """List every set of inputs that a product may have, the empty one included.

    >>> input_sets(["brand", "text"])
    [(), ('brand',), ('text',), ('brand', 'text')]
    """
    return list(chain.from_iterable(combinations(inputs, size) for size in range(len(inputs) + 1)))


def pool_paths(
    parts: Sequence[Sequence[Level]],
    present: Mapping[config.Input, npt.NDArray[np.bool_]],
    weights: Mapping[InputSet, npt.NDArray[np.float64]],
) -> list[npt.NDArray[np.float32]]:
    """Add up what parts say of each level, with the weights of each row's set of inputs.

    Parameters
    ----------
    parts : sequence of sequences of arrays, shape (rows, classes)
        Each part's log-probabilities of each level.
    present : mapping
        Input -> bool (rows,): which rows have it; in the order of the sets' names.
    weights : mapping
        Set of inputs -> array, shape (parts, 3).

    Returns
    -------
    One float32 array (rows, classes) a level, each row less its log-sum-exp: the sum over a path's classes is the
    path's score, up to a constant of the row.
    """
    table = np.stack([weights[inputs] for inputs in input_sets(list(present))])
    number = {inputs: number for number, inputs in enumerate(input_sets(list(present)))}
    rows = zip(*(array.tolist() for array in present.values()), strict=True)
    sets = [number[tuple(name for name, there in zip(present, row, strict=True) if there)] for row in rows]
    of_row = table[np.array(sets, np.intp)]
    return [
        np.asarray(
            log_softmax(sum(of_row[:, i, level, None] * part[level] for i, part in enumerate(parts)), axis=1),
            np.float32,
        )
        for level in range(table.shape[2])
    ]


def path_numbers(codes: npt.NDArray[np.integer], paths: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
    """Return the index in `paths` of each row's path; -1 where it is none of them.

    >>> path_numbers(np.array([[1, 1], [0, 1]]), np.array([[0, 0], [1, 1]])).tolist()
    [1, -1]
    """
    numbers = {tuple(path): number for number, path in enumerate(paths.tolist())}
    return np.array([numbers.get(tuple(row), -1) for row in codes.tolist()], np.int64)
