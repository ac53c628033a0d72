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
SHARPNESS = 10.0  # zeros and ones, times this, are fair logits

BRAND_SCALE = 8.0
"""Of a one-hot brand beside image features of variance 1: a penalty would all but remove its rare ones."""


class Plurality:
    """The plurality class of each level, whatever the product (paper, Figure 3).

    Attributes
    ----------
    counts : list of list of int
        Training rows of each class of each level.
    """

    learnt = ("counts",)
    counts: list[list[int]]


class NaiveModel(Model):
    """The plurality class."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.plurality = Plurality()
        self.pieces = {"plurality": self.plurality}

    def _fit(self, task: Task) -> None:
        levels = zip(task.codes.T, self.settings.class_counts, strict=True)
        self.plurality.counts = [np.bincount(y, minlength=n).tolist() for y, n in levels]

    def _predict(self, products: Products) -> Predictions:
        """Return the classes' log frequencies, one added to each count, for every row."""
        shares = [np.array(counts) + 1 for counts in self.plurality.counts]
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
    """The columns of a linear model: TF-IDF of word n-grams and one-hot brand, side by side."""

    def __init__(self, variant: config.LinearVariant, stop_words: config.StopWords) -> None:
        self.tfidf = Tfidf(variant.ngrams, variant.min_rows) if "text" in variant.inputs else None
        self.brand = Categories("brand") if "brand" in variant.inputs else None
        self.stop_words = STOP_WORDS[stop_words]

    @property
    def pieces(self) -> dict[str, Any]:
        """What learns."""
        return {name: piece for name, piece in (("text", self.tfidf), ("brand", self.brand)) if piece is not None}

    def fit(self, products: Products) -> "WordsAndBrand":
        """Choose the columns by what training products have."""
        if self.tfidf is not None:
            self.tfidf.fit(products.text.without(self.stop_words))
        if self.brand is not None:
            self.brand.fit(products)
        return self

    def encode(self, products: Products) -> sparse.csr_array:
        """Return a float32 CSR array, shape (rows, n-grams + brands)."""
        parts = [] if self.tfidf is None else [self.tfidf.transform(products.text.without(self.stop_words))]
        parts += [] if self.brand is None else [self.brand.one_hot(products)]
        return sparse.csr_array(sparse.hstack(parts, format="csr"))

    @property
    def names(self) -> list[str]:
        """What each column stands for: an n-gram, or `brand: NAME`."""
        brands = [] if self.brand is None else [f"brand: {brand}" for brand in self.brand.values]
        return [*([] if self.tfidf is None else self.tfidf.ngrams), *brands]


class LinearModel(Model):
    """Words and brand, and a linear support vector machine a level."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        assert isinstance(settings.variant, config.LinearVariant)
        self.columns = WordsAndBrand(settings.variant, settings.text.stop_words)
        self.machines = Machines(settings.variant.C)
        self.pieces = {**self.columns.pieces, "machines": self.machines}

    def _fit(self, task: Task) -> None:
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

    def _fit(self, task: Task) -> None:
        """Fit the encoders and the regressions; validation rows say when to stop."""
        self.image.fit(task.products)
        if self.brand is not None:
            self.brand.fit(task.products)
        X, X_held = self._encode(task.products), self._encode(task.held)
        self.regression.fit(X, task.codes, self.settings.class_counts, X_held, task.held_codes)

    def _encode(self, products: Products) -> npt.NDArray[np.float32]:
        """Return a float32 array, shape (rows, dimension + brands); a hidden photo is the average one."""
        image = standardize(self.image, products)
        return image if self.brand is None else np.hstack([image, BRAND_SCALE * self.brand.one_hot(products).toarray()])

    def _predict(self, products: Products) -> Predictions:
        return Predictions(self.regression.log_probabilities(self._encode(products)))


def standardize(vectors: Vectors, products: Products) -> npt.NDArray[np.float32]:
    """Return photos' vectors less their mean, divided by their scale; zeros if there are none."""
    image = products.image
    if image is None:
        return np.zeros((len(products), len(vectors.mean)), np.float32)
    return np.asarray((image.astype(np.float32) - vectors.mean) / vectors.scale)


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
        targets = _targets(y, self.class_counts)
        mean, bias = rows.mean(dim=0), targets.mean(dim=0)
        rows -= mean
        covariance, cross = rows.T @ rows / len(rows), rows.T @ targets / len(rows)
        held, truth = torch.from_numpy(X_held) - mean, torch.from_numpy(held_codes.astype(np.int64)).T

        def accuracies(whitening: torch.Tensor, weights: torch.Tensor, bias: torch.Tensor) -> list[float]:
            logits = torch.split(held @ (whitening @ weights) + bias, self.class_counts, dim=1)
            return [float((z.argmax(dim=1) == true).float().mean()) for z, true in zip(logits, truth, strict=True)]

        def of_ridge(ridge: float) -> float:
            whitening = _whitening(covariance, ridge)
            return sum(accuracies(whitening, whitening.T @ cross, bias))

        self.ridge = max(self.ridges, key=of_ridge)
        whitening = _whitening(covariance, self.ridge)
        whitened = rows @ whitening
        del rows
        search = _Search(whitened, y, self.class_counts, whitening.T @ cross, bias)
        kept = _Kept(self.class_counts)
        kept.look(0, accuracies(whitening, *search.coefficients()), *search.coefficients())
        for steps in range(STEPS_AT_ONCE, self.max_steps + 1, STEPS_AT_ONCE):
            search.go_on()
            kept.look(steps, accuracies(whitening, *search.coefficients()), *search.coefficients())
        weights = whitening @ kept.weights
        self.weights, self.bias, self.steps = weights.numpy(), (kept.bias - mean @ weights).numpy(), kept.steps
        return self

    def log_probabilities(self, X: np.ndarray) -> list[np.ndarray]:
        """Return each level's log-probabilities, float32, shapes (rows, classes)."""
        logits = torch.from_numpy(X) @ torch.from_numpy(self.weights) + torch.from_numpy(self.bias)
        return [level.log_softmax(dim=1).numpy() for level in torch.split(logits, self.class_counts, dim=1)]


class _Kept:
    """Each level's best coefficients so far."""

    def __init__(self, class_counts: list[int]) -> None:
        self.class_counts = class_counts
        self.best, self.steps = [-1.0] * len(class_counts), [0] * len(class_counts)
        self.weights, self.bias = torch.empty(0), torch.empty(0)

    def look(self, steps: int, accuracies: list[float], weights: torch.Tensor, bias: torch.Tensor) -> None:
        """Take over the columns of the levels that have become more accurate."""
        if not len(self.bias):
            self.weights, self.bias = weights.clone(), bias.clone()
        ends = np.cumsum([0, *self.class_counts])
        for level, accuracy in enumerate(accuracies):
            if accuracy > self.best[level]:
                self.best[level], self.steps[level] = accuracy, steps
                columns = slice(ends[level], ends[level + 1])
                self.weights[:, columns], self.bias[columns] = weights[:, columns], bias[columns]


class _Search:
    """L-BFGS on the summed cross-entropy of all levels, a few steps at a time, over whitened features."""

    def __init__(
        self, X: torch.Tensor, y: torch.Tensor, class_counts: list[int], weights: torch.Tensor, bias: torch.Tensor
    ) -> None:
        self.X, self.y, self.class_counts = X, y, class_counts
        self.weights, self.bias = weights.clone().requires_grad_(), bias.clone().requires_grad_()
        self.optimizer = torch.optim.LBFGS(
            [self.weights, self.bias], max_iter=STEPS_AT_ONCE, history_size=10, line_search_fn="strong_wolfe"
        )

    def go_on(self) -> None:
        """Take some steps."""
        self.optimizer.step(self._loss)  # type: ignore[no-untyped-call]

    def coefficients(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return weights and bias as they are now."""
        return self.weights.detach(), self.bias.detach()

    def _loss(self) -> torch.Tensor:
        self.optimizer.zero_grad()
        logits = torch.split(self.X @ self.weights + self.bias, self.class_counts, dim=1)
        loss = summed_cross_entropy(logits, self.y)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()


def _targets(y: torch.Tensor, class_counts: list[int]) -> torch.Tensor:
    """Return what ridge regression aims at, shape (rows, classes of all levels): one-hot classes as fair logits."""
    one_hot = [nn.functional.one_hot(level, n) for level, n in zip(y.T, class_counts, strict=True)]
    return SHARPNESS * torch.cat(one_hot, dim=1).float()


def _whitening(covariance: torch.Tensor, ridge: float) -> torch.Tensor:
    """Return a matrix that turns features of this covariance, plus `ridge` on its diagonal, into uncorrelated ones."""
    identity = torch.eye(len(covariance))
    upper = torch.linalg.cholesky(covariance + ridge * identity).T
    whitening: torch.Tensor = torch.linalg.solve_triangular(upper, identity, upper=True)
    return whitening
