"""Linear models: support vector machines over sparse inputs, and softmax regression over dense ones."""

from collections.abc import Sequence

import numpy as np
import torch
from scipy import sparse
from scipy.special import log_softmax
from sklearn.svm import LinearSVC
from torch import nn

from lib.models import summed_cross_entropy

TOLERANCE = 0.3  # accuracy is that of smaller ones, within a tenth of a point, in two thirds of the time
STEPS_AT_ONCE = 2  # of L-BFGS, between looks at validation rows
SHARPNESS = 10.0  # zeros and ones, times this, are fair logits


class Linear:
    """A linear support vector machine for each level: the baseline that a neural claim must beat.

    It is that of Crammer and Singer (2001), which looks at all classes together: as accurate as one machine a class,
    in half the time.

    Its scores are turned into something like log-probabilities by a softmax over the margins. That keeps their order
    and lets levels be added up; it does not calibrate them.
    """

    def __init__(self, C: float, seed: int) -> None:
        self.C, self.seed = C, seed

    def fit(self, X: sparse.csr_array, codes: np.ndarray, class_counts: Sequence[int]) -> "Linear":
        """Fit one classifier a level; `codes` has shape (rows, 3)."""
        self.class_counts = list(class_counts)
        self.machines = [self._fit_level(X, y) for y in codes.T]
        return self

    def _fit_level(self, X: sparse.csr_array, y: np.ndarray) -> LinearSVC | int:
        """Fit one level, or remember its only class where the training rows have just one."""
        if (y == y[0]).all():
            return int(y[0])
        machine = LinearSVC(C=self.C, tol=TOLERANCE, multi_class="crammer_singer", random_state=self.seed)
        return machine.fit(X, y)

    def log_probabilities(self, X: sparse.csr_array) -> list[np.ndarray]:
        """Return each level's log softmax of the margins, shapes (rows, classes)."""
        return [
            self._level(machine, X, classes) for machine, classes in zip(self.machines, self.class_counts, strict=True)
        ]

    @staticmethod
    def _level(machine: LinearSVC | int, X: sparse.csr_array, classes: int) -> np.ndarray:
        if isinstance(machine, int):
            margins, known = np.ones((X.shape[0], 1)), np.array([machine])
        else:
            margins, known = machine.decision_function(X), machine.classes_
        if margins.ndim == 1:
            margins = np.stack([-margins, margins], axis=1)
        return margins_to_log_probabilities(margins, known, classes)


def margins_to_log_probabilities(margins: np.ndarray, known: np.ndarray, classes: int) -> np.ndarray:
    """Return the log softmax of margins, float32, shape (rows, classes).

    Parameters
    ----------
    margins : array, shape (rows, known classes)
    known : int array, shape (known classes,)
        The classes that training rows have. Any other gets the lowest margin of its row, less one.
    classes : int
        Classes of the level.
    """
    scores = np.repeat(margins.min(axis=1, keepdims=True) - 1, classes, axis=1)
    scores[:, known] = margins
    return np.asarray(log_softmax(scores, axis=1), np.float32)


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
    ridge : float
        The chosen penalty.
    steps : list of int
        L-BFGS steps behind each level's coefficients; 0 is ridge regression.
    """

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
