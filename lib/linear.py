"""Linear models: support vector machines over sparse inputs, and softmax regression over dense ones."""

from collections.abc import Sequence

import numpy as np
import torch
from scipy import sparse
from scipy.special import log_softmax
from sklearn.svm import LinearSVC

from lib.models import summed_cross_entropy

TOLERANCE = 0.1  # LIBLINEAR's own
STEPS_AT_ONCE = 4  # of L-BFGS, between looks at validation rows


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
        """Return each level's log softmax of the margins, shapes (rows, classes).

        A class without a training row gets the lowest margin of its row, less one.
        """
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
        scores = np.repeat(margins.min(axis=1, keepdims=True) - 1, classes, axis=1)
        scores[:, known] = margins
        return np.asarray(log_softmax(scores, axis=1), np.float32)


class SoftmaxRegression:
    """Multinomial logistic regression of all levels on the same dense features.

    The features are whitened first, with a ridge, so that L-BFGS needs tens of steps and not hundreds. It starts at
    zero, and what keeps the coefficients small is that each level keeps those at which validation accuracy was highest.
    All of it is done by PyTorch, in its one thread, so that the same rows give the same bits.

    Attributes
    ----------
    weights : float32 array, shape (features, classes of all levels)
        Of the features as they are, not whitened.
    bias : float32 array, shape (classes of all levels,)
    steps : list of int
        L-BFGS steps behind each level's coefficients.
    """

    def __init__(self, ridge: float, max_steps: int) -> None:
        self.ridge, self.max_steps = ridge, max_steps

    def fit(
        self, X: np.ndarray, codes: np.ndarray, class_counts: Sequence[int], X_held: np.ndarray, held_codes: np.ndarray
    ) -> "SoftmaxRegression":
        """Fit all levels.

        Parameters
        ----------
        X, X_held : float32 arrays, shape (rows, features)
            Training rows and validation rows.
        codes, held_codes : int arrays, shape (rows, 3)
        """
        self.class_counts = list(class_counts)
        mean, whitening = _whitening(torch.from_numpy(X), self.ridge)
        held, held_y = (torch.from_numpy(X_held) - mean) @ whitening, torch.from_numpy(held_codes.astype(np.int64))
        white = (torch.from_numpy(X) - mean) @ whitening
        search = _Search(white, torch.from_numpy(codes.astype(np.int64)), self.class_counts)
        best, self.steps = [-1.0] * len(class_counts), [0] * len(class_counts)
        kept = search.coefficients()
        for step in range(STEPS_AT_ONCE, self.max_steps + 1, STEPS_AT_ONCE):
            search.go_on()
            for level, (weights, bias) in enumerate(search.coefficients()):
                accuracy = ((held @ weights + bias).argmax(1) == held_y[:, level]).float().mean().item()
                if accuracy > best[level]:
                    best[level], kept[level], self.steps[level] = accuracy, (weights, bias), step
        weights = whitening @ torch.cat([weights for weights, _ in kept], dim=1)
        self.weights, self.bias = weights.numpy(), (torch.cat([bias for _, bias in kept]) - mean @ weights).numpy()
        return self

    def log_probabilities(self, X: np.ndarray) -> list[np.ndarray]:
        """Return each level's log-probabilities, float32, shapes (rows, classes)."""
        logits = torch.from_numpy(X) @ torch.from_numpy(self.weights) + torch.from_numpy(self.bias)
        return [level.log_softmax(dim=1).numpy() for level in logits.split(self.class_counts, dim=1)]


class _Search:
    """L-BFGS on the summed cross-entropy of all levels, a few steps at a time."""

    def __init__(self, X: torch.Tensor, codes: torch.Tensor, class_counts: list[int]) -> None:
        self.X, self.codes, self.class_counts = X, codes, class_counts
        self.weights = torch.zeros(X.shape[1], sum(class_counts), requires_grad=True)
        self.bias = torch.zeros(sum(class_counts), requires_grad=True)
        self.optimizer = torch.optim.LBFGS(
            [self.weights, self.bias], max_iter=STEPS_AT_ONCE, history_size=10, line_search_fn="strong_wolfe"
        )

    def go_on(self) -> None:
        """Take some steps."""
        self.optimizer.step(self._loss)

    def coefficients(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Return a copy of each level's weights and bias."""
        weights = self.weights.detach().clone().split(self.class_counts, dim=1)
        return list(zip(weights, self.bias.detach().clone().split(self.class_counts), strict=True))

    def _loss(self) -> float:
        self.optimizer.zero_grad()
        logits = (self.X @ self.weights + self.bias).split(self.class_counts, dim=1)
        loss = summed_cross_entropy(logits, self.codes)
        loss.backward()
        return float(loss.detach())


def _whitening(X: torch.Tensor, ridge: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the features' mean, and a matrix that turns their covariance, plus `ridge`, into the identity."""
    mean = X.mean(dim=0)
    covariance = X.T @ X / len(X) - torch.outer(mean, mean)
    covariance.diagonal().add_(ridge)
    upper = torch.linalg.cholesky(covariance).T
    return mean, torch.linalg.solve_triangular(upper, torch.eye(len(mean)), upper=True)
