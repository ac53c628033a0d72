"""Models without a network: the plurality class, support vector machines over words, softmax regression over photos."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from scipy.special import log_softmax
from sklearn.svm import LinearSVC
from torch import nn

from lib import config
from lib.features.text import STOP_WORDS, Tfidf
from lib.models.base import Codes, Level, Model, Predictions, Settings, Task, summed_cross_entropy
from lib.models.inputs import Categories, Products, Vectors

TOLERANCE = 0.3  # accuracy is that of smaller ones, within a tenth of a point, in two thirds of the time
STEPS_AT_ONCE = 2  # of L-BFGS, between looks at validation rows
SHARPNESS = 10.0  # of what ridge regression aims at: one-hot classes, times this, are fair logits

BRAND_SCALE = 8.0
"""Of a one-hot brand beside image features of variance 1: a penalty would all but remove its rare ones."""


class NaiveModel(Model):
    """The plurality class of each level, whatever the product (paper, Figure 3).

    Attributes
    ----------
    counts : list of list of int
        Training rows of each class of each level.
    """

    learnt = ("counts",)
    counts: list[list[int]]

    def fit(self, task: Task) -> None:
        """Count the classes."""
        levels = zip(task.codes.T, self.settings.class_counts, strict=True)
        self.counts = [np.bincount(y, minlength=n).tolist() for y, n in levels]

    def _predict(self, products: Products) -> Predictions:
        """Return the classes' log frequencies, one added to each count, for every row."""
        shares = [np.array(counts) + 1 for counts in self.counts]
        logs = [np.log(share / share.sum()).astype(np.float32) for share in shares]
        return Predictions([np.tile(level, (len(products), 1)) for level in logs])


class Machines:
    """A linear support vector machine for each level: the baseline that a neural claim must beat.

    It is that of Crammer and Singer (2001), which looks at all classes together: as accurate as one machine a class,
    in half the time.

    Its scores are turned into something like log-probabilities by a softmax over the margins. That keeps their order
    and lets levels be added up; it does not calibrate them.

    Attributes
    ----------
    coef : float64 array, shape (known classes of all levels, columns)
    intercept : float64 array, shape (known classes of all levels,)
    classes : int64 array, shape (known classes of all levels,)
        Those that training rows have, a level after the other.
    counts : int64 array, shape (2, levels)
        Of each level: how many classes are known, and how many there are.
    """

    learnt = ("coef", "intercept", "classes", "counts")

    def __init__(self, C: float) -> None:
        self.C = C

    def fit(self, X: sparse.csr_array, codes: Codes, class_counts: Sequence[int], seed: int) -> "Machines":
        """Fit one machine a level; `codes` has shape (rows, 3)."""
        known, coefs, intercepts = [np.unique(y) for y in codes.T], [], []
        for y, classes in zip(codes.T, known, strict=True):
            coef, intercept = np.zeros((1, X.shape[1])), np.ones(1)  # where there is one class there is no question
            if len(classes) > 1:
                machine = LinearSVC(C=self.C, tol=TOLERANCE, multi_class="crammer_singer", random_state=seed)
                machine.fit(X, y)
                coef, intercept = machine.coef_, machine.intercept_
            if len(classes) == 2:  # one is the other's opposite
                coef, intercept = np.concatenate([-coef, coef]), np.concatenate([-intercept, intercept])
            coefs.append(coef)
            intercepts.append(intercept)
        self.coef, self.intercept, self.classes = map(np.concatenate, (coefs, intercepts, known))
        self.counts = np.array([[len(classes) for classes in known], class_counts])
        return self

    def log_probabilities(self, X: sparse.csr_array) -> list[Level]:
        """Return each level's log softmax of the margins, float32, shapes (rows, classes).

        A class that no training row has gets the lowest margin of its row, less one.
        """
        ends = np.cumsum(self.counts[0])[:-1]
        margins = np.split(X @ self.coef.T + self.intercept, ends, axis=1)
        levels = []
        for of_level, known, count in zip(margins, np.split(self.classes, ends), self.counts[1], strict=True):
            scores = np.repeat(of_level.min(axis=1, keepdims=True) - 1, count, axis=1)
            scores[:, known] = of_level
            levels.append(np.asarray(log_softmax(scores, axis=1), np.float32))
        return levels


class WordsAndBrand:
    """The columns of a linear model: TF-IDF of word n-grams and one-hot brand, side by side.

    Attributes
    ----------
    pieces : dict
        What learns: `text`, `brand`, or both.
    """

    def __init__(self, variant: config.LinearVariant, stop_words: config.StopWords) -> None:
        self.stop_words = STOP_WORDS[stop_words]
        pieces = {"text": Tfidf(variant.ngrams, variant.min_rows), "brand": Categories("brand")}
        self.pieces: dict[str, Any] = {name: pieces[name] for name in pieces if name in variant.inputs}

    def fit(self, products: Products) -> "WordsAndBrand":
        """Choose the columns by what training products have."""
        for name, piece in self.pieces.items():
            piece.fit(products.text.without(self.stop_words) if name == "text" else products)
        return self

    def encode(self, products: Products) -> sparse.csr_array:
        """Return a float32 CSR array, shape (rows, n-grams + brands)."""
        parts = [
            piece.transform(products.text.without(self.stop_words)) if name == "text" else piece.one_hot(products)
            for name, piece in self.pieces.items()
        ]
        return sparse.csr_array(sparse.hstack(parts, format="csr"))

    @property
    def names(self) -> list[str]:
        """What each column stands for: an n-gram, or `brand: NAME`."""
        values = {name: piece.ngrams if name == "text" else piece.values for name, piece in self.pieces.items()}
        return [*values.get("text", []), *(f"brand: {brand}" for brand in values.get("brand", []))]


class LinearModel(Model):
    """Words and brand, and a linear support vector machine a level."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        assert isinstance(settings.variant, config.LinearVariant)
        self.columns = WordsAndBrand(settings.variant, settings.text.stop_words)
        self.machines = Machines(settings.variant.C)
        self.pieces = {"machines": self.machines} | self.columns.pieces

    def fit(self, task: Task) -> None:
        """Choose the columns, and fit the machines."""
        X = self.columns.fit(task.products).encode(task.products)
        self.machines.fit(X, task.codes, self.settings.class_counts, task.seed)

    def _predict(self, products: Products) -> Predictions:
        return Predictions(self.machines.log_probabilities(self.columns.encode(products)))

    def contributions(self, product: Products, codes: Sequence[int]) -> list[dict[str, float]]:
        """Say how much each n-gram, and the brand, of one product adds to the margin of one class of each level."""
        X, names, machines = self.columns.encode(product)[[0]].tocoo(), self.columns.names, self.machines
        ends = np.cumsum(machines.counts[0])[:-1]
        levels = zip(np.split(machines.coef, ends), np.split(machines.classes, ends), codes, strict=True)
        weights = [coef[classes == code].sum(axis=0) for coef, classes, code in levels]  # of one class, or of none
        return [{names[j]: float(x * row[j]) for j, x in zip(X.coords[1], X.data, strict=True)} for row in weights]


class LinearImageModel(Model):
    """Standardised image vector, one-hot brand, and a softmax regression a level."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        assert isinstance(settings.variant, config.LinearImageVariant)
        self.image = Vectors("image")
        self.brand = Categories("brand") if "brand" in settings.variant.inputs else None
        self.regression = SoftmaxRegression(settings.variant.ridges, settings.variant.max_steps)
        self.pieces = {"image": self.image, "regression": self.regression}
        self.pieces |= {"brand": self.brand} if self.brand else {}

    def fit(self, task: Task) -> None:
        """Fit the encoders and the regressions; validation rows say when to stop."""
        self.image.fit(task.products)
        if self.brand is not None:
            self.brand.fit(task.products)
        X, X_held = self._encode(task.products), self._encode(task.held)
        self.regression.fit(X, task.codes, self.settings.class_counts, X_held, task.held_codes)

    def _encode(self, products: Products) -> npt.NDArray[np.float32]:
        """Return a float32 array, shape (rows, dimension + brands); a hidden photo is the average one."""
        image = self.image.standardize(products)
        return image if self.brand is None else np.hstack([image, BRAND_SCALE * self.brand.one_hot(products).toarray()])

    def _predict(self, products: Products) -> Predictions:
        return Predictions(self.regression.log_probabilities(self._encode(products)))


class SoftmaxRegression:
    """Multinomial logistic regression of all levels on the same dense features, started at ridge regression.

    Once the features' covariance is known, ridge regression costs little, so several penalties are tried and validation
    accuracy chooses. The features, whitened with that penalty, then need few steps of L-BFGS, and each level keeps the
    coefficients at which validation accuracy was highest: with few training rows it stays with ridge regression, with
    many it goes on. All of it is done by PyTorch, in its one thread, so that the same rows give the same bits.

    Attributes
    ----------
    weights : float32 array, shape (features, classes of all levels)
    bias : float32 array, shape (classes of all levels,)
    class_counts : list of int
        Of each level.
    ridge : float
        The chosen penalty.
    steps : list of int
        L-BFGS steps behind each level's coefficients; 0 is ridge regression.
    """

    learnt = ("weights", "bias", "class_counts")

    def __init__(self, ridges: Sequence[float], max_steps: int) -> None:
        self.ridges, self.max_steps = ridges, max_steps

    def fit(
        self, X: np.ndarray, codes: np.ndarray, class_counts: Sequence[int], X_held: np.ndarray, held_codes: np.ndarray
    ) -> "SoftmaxRegression":
        """Fit all levels.

        Parameters
        ----------
        X, X_held : float32 arrays, shape (rows, features)
            Training rows and validation rows; the training rows are overwritten, so that there is one copy of them.
        codes, held_codes : int arrays, shape (rows, 3)
        """
        self.class_counts = list(class_counts)
        rows, y = torch.from_numpy(X), torch.from_numpy(codes.astype(np.int64))
        del X
        one_hot = [nn.functional.one_hot(level, n) for level, n in zip(y.T, self.class_counts, strict=True)]
        targets = SHARPNESS * torch.cat(one_hot, dim=1).float()
        mean, bias = rows.mean(dim=0), targets.mean(dim=0)
        rows -= mean
        covariance, cross = rows.T @ rows / len(rows), rows.T @ targets / len(rows)
        held, truth = torch.from_numpy(X_held) - mean, torch.from_numpy(held_codes.astype(np.int64)).T

        def accuracies(whitening: torch.Tensor, weights: torch.Tensor, bias: torch.Tensor) -> list[float]:
            logits = torch.split(held @ (whitening @ weights) + bias, self.class_counts, dim=1)
            return [float((z.argmax(dim=1) == true).float().mean()) for z, true in zip(logits, truth, strict=True)]

        whitenings = {ridge: _whitening(covariance, ridge) for ridge in self.ridges}
        self.ridge = max(self.ridges, key=lambda r: sum(accuracies(whitenings[r], whitenings[r].T @ cross, bias)))
        whitening = whitenings[self.ridge]
        whitened = rows @ whitening
        del rows
        weights = whitening.T @ cross
        best, ends = [-1.0] * len(self.class_counts), np.cumsum([0, *self.class_counts])
        self.steps, best_weights, best_bias = [0] * len(best), weights.clone(), bias.clone()
        moving = [weights.requires_grad_(), bias.requires_grad_()]
        optimizer = torch.optim.LBFGS(moving, max_iter=STEPS_AT_ONCE, history_size=10, line_search_fn="strong_wolfe")

        def loss() -> torch.Tensor:
            optimizer.zero_grad()
            total = summed_cross_entropy(torch.split(whitened @ weights + bias, self.class_counts, dim=1), y)
            total.backward()  # type: ignore[no-untyped-call]
            return total.detach()

        for step in range(0, self.max_steps + 1, STEPS_AT_ONCE):
            if step:
                optimizer.step(loss)  # type: ignore[no-untyped-call]
            for level, accuracy in enumerate(accuracies(whitening, weights.detach(), bias.detach())):
                if accuracy > best[level]:
                    best[level], self.steps[level] = accuracy, step
                    columns = slice(ends[level], ends[level + 1])
                    best_weights[:, columns], best_bias[columns] = weights.detach()[:, columns], bias.detach()[columns]
        learnt = whitening @ best_weights
        self.weights, self.bias = learnt.numpy(), (best_bias - mean @ learnt).numpy()
        return self

    def log_probabilities(self, X: np.ndarray) -> list[np.ndarray]:
        """Return each level's log-probabilities, float32, shapes (rows, classes)."""
        logits = torch.from_numpy(X) @ torch.from_numpy(self.weights) + torch.from_numpy(self.bias)
        return [level.log_softmax(dim=1).numpy() for level in torch.split(logits, self.class_counts, dim=1)]


def _whitening(covariance: torch.Tensor, ridge: float) -> torch.Tensor:
    """Return a matrix that turns features of this covariance, plus `ridge` on its diagonal, into uncorrelated ones."""
    identity = torch.eye(len(covariance))
    upper = torch.linalg.cholesky(covariance + ridge * identity).T
    whitening: torch.Tensor = torch.linalg.solve_triangular(upper, identity, upper=True)
    return whitening
