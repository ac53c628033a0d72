"""Late fusion: several models' log-probabilities added up, with weights that validation rows choose."""

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from itertools import chain, combinations

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from lib import config
from lib.features.text import STOP_WORDS, Texts
from lib.models.base import Codes, Level, Model, Predictions, Task
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


def pool(parts: Sequence[Sequence[Level]], weights: npt.NDArray[np.float64]) -> list[Level]:
    """Return the log softmax, float32, of the weighted sum of what parts say of each level.

    Parameters
    ----------
    parts : sequence of sequences of arrays, shape (rows, classes)
        Each part's log-probabilities of each level.
    weights : array, shape (rows, parts, levels)
        With one row only, they hold for all.
    """
    levels = enumerate(zip(*parts, strict=True))
    sums = [sum(weights[:, i, level, None] * part for i, part in enumerate(said)) for level, said in levels]
    return [np.asarray(log_softmax(of_level, axis=1), np.float32) for of_level in sums]


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
    weights : dict
        Set of inputs, joined by `+` -> part -> weight of each level. Here there is one set, *any*.
    """

    learnt = ("weights",)
    weights: dict[str, dict[str, list[float]]]

    def fit(self, task: Task) -> None:
        """Fit each part on the training products, then the weights on the validation products that may tune."""
        held, codes, tuning = task.held, task.held_codes, task.tuning
        if tuning is not None and tuning.any():
            held, codes = held.take(np.flatnonzero(tuning)), codes[tuning]
        for name, part in self.parts.items():
            folder = None if task.checkpoints is None else task.checkpoints / name
            part.fit(task._replace(held=held, held_codes=codes, tuning=None, checkpoints=folder))
        self.history = [{"part": name, **record} for name, part in self.parts.items() for record in part.history]
        self.weights = {name: dict(zip(self.parts, fitted, strict=True)) for name, fitted in self._fit(held, codes)}

    def _fit(self, held: Products, codes: Codes) -> Iterator[tuple[str, list[list[float]]]]:
        """Yield the weights of each part on each level, by set of inputs."""
        parts = [part.predict(held).levels for part in self.parts.values()]
        fitted = [fit_weights(level, y) for *level, y in zip(*parts, codes.T, strict=True)]
        yield "any", np.transpose(fitted).tolist()

    def _sets(self, products: Products) -> list[str]:
        """Name the set of inputs whose weights hold, for each row."""
        return ["any"] * len(products)

    def _predict(self, products: Products) -> Predictions:
        """Return each level's log softmax of the weighted sum of what the parts say, with the weights of each row.

        Of a fusion of paths that is the level's share in the path's score: a path's score is the sum of its three. They
        are not the probabilities of the level's classes: only the softmax of sums over valid paths is one.
        """
        parts = [part.predict(products).levels for part in self.parts.values()]
        weights = {name: np.array([of[part] for part in self.parts]) for name, of in self.weights.items()}
        return Predictions(pool(parts, np.stack([weights[name] for name in self._sets(products)])))


class PathFusion(LevelFusion):
    """Other models, and how much each counts in a path, for each set of inputs that a product may have."""

    def _fit(self, held: Products, codes: Codes) -> Iterator[tuple[str, list[list[float]]]]:
        """Yield them for each set of inputs, fitted on the products that have all of them, with the others hidden."""
        assert self.settings.paths is not None
        paths = np.unique(self.settings.paths, axis=0)
        truth, present, inputs = path_numbers(codes, paths), self.present(held), self.settings.variant.inputs
        for there in input_sets(inputs):
            rows = np.flatnonzero(np.all([np.ones(len(held), bool), *(present[name] for name in there)], axis=0))
            fitted = np.ones((len(self.parts), len(config.LEVELS)))
            if len(rows):
                some, hidden = held.take(rows), set(inputs) - set(there)
                said = [part.predict(some, hidden).levels for part in self.parts.values()]
                fitted = fit_path_weights(said, paths, truth[rows])
            yield "+".join(there), fitted.tolist()

    def _sets(self, products: Products) -> list[str]:
        return set_names(self.present(products), len(products))

    def present(self, products: Products) -> dict[config.Input, npt.NDArray[np.bool_]]:
        """Say which products have an input that tells something: a brand that a part knows, a word, a photo."""
        return {name: self._tells(name, products) for name in self.settings.variant.inputs}

    def _tells(self, name: config.Input, products: Products) -> npt.NDArray[np.bool_]:
        column = next((one for key, one in products.columns.items() if config.input_of(key) == name), None)
        if column is None:
            return np.zeros(len(products), bool)
        if isinstance(column, Texts):
            return np.diff(column.without(STOP_WORDS[self.settings.text.stop_words]).indptr) > 0
        if column.ndim > 1:
            return np.asarray(column.any(axis=1))
        return pd.Series(column).isin(self.known(name) - {""}).to_numpy()

    def with_weights(self, weights: dict[str, dict[str, list[float]]]) -> "PathFusion":
        """Return the same parts with other weights."""
        other = copy(self)
        other.weights = weights
        return other
