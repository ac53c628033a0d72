"""Late fusion: several models' log-probabilities added up, with weights that validation rows choose."""

from collections.abc import Mapping, Sequence
from copy import copy
from itertools import chain, combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from lib import config
from lib.features.text import STOP_WORDS
from lib.models.base import Codes, Level, Model, Predictions, Settings, Task
from lib.models.inputs import Products

LARGEST_WEIGHT = 20.0
"""Where validation rows are few, all of them may be right, and then no weight is large enough."""


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
    if not len(codes):
        return np.ones(len(parts))
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


def input_sets(inputs: Sequence[config.Input]) -> list[tuple[config.Input, ...]]:
    """List every set of inputs that a product may have, the empty one included.

    >>> input_sets(["brand", "text"])
    [(), ('brand',), ('text',), ('brand', 'text')]
    """
    return list(chain.from_iterable(combinations(inputs, size) for size in range(len(inputs) + 1)))


def set_names(present: Mapping[config.Input, npt.NDArray[np.bool_]], rows: int) -> list[str]:
    """Name the set of inputs that each row has, joined by `+`.

    >>> set_names({"brand": np.array([True, False]), "text": np.array([True, True])}, 2)
    ['brand+text', 'text']
    """
    flags = zip(*(array.tolist() for array in present.values()), strict=True) if present else [()] * rows
    return ["+".join(name for name, there in zip(present, row, strict=True) if there) for row in flags]


def pool_paths(
    parts: Sequence[Sequence[Level]],
    present: Mapping[config.Input, npt.NDArray[np.bool_]],
    weights: Mapping[str, npt.NDArray[np.float64]],
) -> list[npt.NDArray[np.float32]]:
    """Add up what parts say of each level, with the weights of each row's set of inputs.

    Parameters
    ----------
    parts : sequence of sequences of arrays, shape (rows, classes)
        Each part's log-probabilities of each level.
    present : mapping
        Input -> bool (rows,): which rows have it; in the order of the sets' names.
    weights : mapping
        Set of inputs, joined by `+` -> array, shape (parts, 3).

    Returns
    -------
    One float32 array (rows, classes) a level, each row less its log-sum-exp: the sum over a path's classes is the
    path's score, up to a constant of the row.
    """
    number = {name: number for number, name in enumerate(weights)}
    names = set_names(present, len(parts[0][0]))
    of_row = np.stack(list(weights.values()))[[number[name] for name in names]]
    return [
        np.asarray(
            log_softmax(sum(of_row[:, i, level, None] * part[level] for i, part in enumerate(parts)), axis=1),
            np.float32,
        )
        for level in range(of_row.shape[2])
    ]


def path_numbers(codes: npt.NDArray[np.integer], paths: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
    """Return the index in `paths` of each row's path; -1 where it is none of them.

    >>> path_numbers(np.array([[1, 1], [0, 1]]), np.array([[0, 0], [1, 1]])).tolist()
    [1, -1]
    """
    numbers = {tuple(path): number for number, path in enumerate(paths.tolist())}
    return np.array([numbers.get(tuple(row), -1) for row in codes.tolist()], np.int64)


class LevelFusion(Model):
    """Other models, and how much each counts on each level.

    Attributes
    ----------
    weights : list of dict
        For each level, part -> its weight.
    """

    learnt = ("weights",)

    def __init__(self, settings: Settings, parts: Mapping[str, Model]) -> None:
        super().__init__(settings, parts)
        self.pieces = {"fusion": self}

    def _fit(self, task: Task) -> None:
        """Fit each part on the training products, then the weights on the validation products that may tune."""
        held, codes, tuning = task.held, task.held_codes, task.tuning
        if tuning is not None and tuning.any():
            held, codes = held.take(np.flatnonzero(tuning)), codes[tuning]
        for name, part in self.parts.items():
            folder = None if task.checkpoints is None else task.checkpoints / name
            part.fit(task.products, task.codes, held, codes, task.seed, checkpoints=folder)
        self._fit_weights(held, codes)

    def _fit_weights(self, held: Products, codes: Codes) -> None:
        fitted = [fit_weights(parts, y).tolist() for parts, y in zip(self._levels(held), codes.T, strict=True)]
        self.weights: Any = [dict(zip(self.parts, of_level, strict=True)) for of_level in fitted]

    def _levels(self, products: Products) -> list[tuple[Level, ...]]:
        """Return for each level what the parts say of it."""
        return list(zip(*(part.predict(products).levels for part in self.parts.values()), strict=True))

    def _predict(self, products: Products) -> Predictions:
        """Return the pooled log-probabilities."""
        levels = zip(self._levels(products), self.weights, strict=True)
        return Predictions([pool(parts, [weights[name] for name in self.parts]) for parts, weights in levels])


class PathFusion(LevelFusion):
    """Other models, and how much each counts in a path, for each set of inputs that a product may have.

    Attributes
    ----------
    weights : dict
        Set of inputs, joined by `+` -> part -> weight of each level.
    """

    def _fit_weights(self, held: Products, codes: Codes) -> None:
        """Fit them for each set of inputs on the products that have all of them, with the others hidden."""
        assert self.settings.paths is not None
        paths = np.unique(self.settings.paths, axis=0)
        truth, present, inputs = path_numbers(codes, paths), self.present(held), self.settings.variant.inputs
        self.weights = {}
        for there in input_sets(inputs):
            rows = np.flatnonzero(np.all([np.ones(len(held), bool), *(present[name] for name in there)], axis=0))
            fitted = np.ones((len(self.parts), len(config.LEVELS)))
            if len(rows):
                some, hidden = held.take(rows), set(inputs) - set(there)
                said = [part.predict(some, hidden).levels for part in self.parts.values()]
                fitted = fit_path_weights(said, paths, truth[rows])
            self.weights["+".join(there)] = dict(zip(self.parts, fitted.tolist(), strict=True))

    def _predict(self, products: Products) -> Predictions:
        """Return each level's share in the path's score, as log-probabilities: a path's score is the sum of its three.

        They are not the probabilities of the level's classes: only the softmax of sums over valid paths is one.
        """
        said = [part.predict(products).levels for part in self.parts.values()]
        weights = {name: np.array([of[part] for part in self.parts]) for name, of in self.weights.items()}
        return Predictions(list(pool_paths(said, self.present(products), weights)))

    def present(self, products: Products) -> dict[config.Input, npt.NDArray[np.bool_]]:
        """Say which products have an input that tells something: a brand that a part knows, a word, a photo."""
        image = np.zeros((len(products), 1)) if products.image is None else products.image
        tells: dict[config.Input, npt.NDArray[np.bool_]] = {
            "brand": pd.Series(products.brand).isin(set(self.brands) - {""}).to_numpy(),
            "text": np.diff(products.text.without(STOP_WORDS[self.settings.text.stop_words]).indptr) > 0,
            "image": np.asarray(image.any(axis=1)),
        }
        return {name: tells[name] for name in self.settings.variant.inputs}

    def with_weights(self, weights: dict[str, dict[str, list[float]]]) -> "PathFusion":
        """Return the same parts with other weights."""
        other = copy(self)
        other.weights, other.pieces = weights, {"fusion": other}
        return other
