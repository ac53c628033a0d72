"""Linear models: machines over sparse inputs, and softmax regression over dense ones."""

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from lib.linear import Linear, SoftmaxRegression


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def clusters(rows=600, features=12, seed=0):
    """Rows around the centres of four classes, of different scales; levels 1 and 2 are functions of level 3."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 4, rows)
    X = np.random.default_rng(1).normal(size=(4, features))[y] + rng.normal(size=(rows, features))
    codes = np.stack([y // 2, y % 2, y], axis=1)
    return (X * np.linspace(0.1, 5, features)).astype(np.float32), codes


def fitted(ridges=(1.0, 0.01), max_steps=24):
    X, codes = clusters()
    return SoftmaxRegression(ridges, max_steps).fit(X[:400].copy(), codes[:400], [2, 2, 4], X[400:], codes[400:])


def test_linear_ranks_classes_as_its_machines_do():
    rng = np.random.default_rng(0)
    X, codes = sparse.csr_array(rng.normal(size=(90, 5))), rng.integers(0, 3, (90, 3))
    model = Linear(C=1.0, seed=0).fit(X, codes, [3, 3, 3])
    for level, machine in zip(model.log_probabilities(X), model.machines, strict=True):
        assert (level.argmax(1) == machine.predict(X)).all()


@pytest.mark.parametrize("present", [[1], [0, 2], [0, 2, 3]])
def test_linear_copes_with_training_rows_that_lack_classes(present):
    rng = np.random.default_rng(0)
    dense = rng.normal(size=(200, 5))
    codes = np.repeat(np.array(present)[dense[:, : len(present)].argmax(1)][:, None], 3, axis=1)
    X = sparse.csr_array(dense)
    levels = Linear(C=1.0, seed=0).fit(X[:100], codes[:100], [5, 5, 5]).log_probabilities(X[100:])
    assert all(level.shape == (100, 5) and np.isfinite(level).all() for level in levels)
    assert set(levels[0].argmax(1)) <= set(present)
    assert (levels[0].argmax(1) == codes[100:, 0]).mean() > 0.9


def test_softmax_regression_is_as_accurate_as_scikit_learns_on_rows_it_has_not_seen():
    X, codes = clusters()
    new, truth = clusters(seed=2)
    levels = fitted().log_probabilities(new)
    for level, learnt, true in zip(levels, codes[:400].T, truth.T, strict=True):
        theirs = LogisticRegression(max_iter=1000).fit(X[:400], learnt).score(new, true)
        assert (level.argmax(1) == true).mean() > theirs - 0.02
        np.testing.assert_allclose(np.exp(level).sum(1), 1, rtol=1e-5)


def test_softmax_regression_gives_the_same_bits_again():
    first, second = fitted(), fitted()
    assert first.weights.tobytes() == second.weights.tobytes()
    assert first.bias.tobytes() == second.bias.tobytes()


def test_softmax_regression_keeps_the_steps_that_are_best_on_validation_rows():
    """Labels that are mostly noise: more steps learn the noise, and still cost nothing."""
    X, codes = clusters()
    noisy = codes[:60].copy()
    noisy[:40] = np.random.default_rng(3).permutation(noisy[:40])
    accuracies = []
    for max_steps in (4, 8, 20, 40):
        model = SoftmaxRegression([1.0, 0.01], max_steps).fit(X[:60].copy(), noisy, [2, 2, 4], X[400:], codes[400:])
        found = model.log_probabilities(X[400:])
        accuracies.append([(level.argmax(1) == y).mean() for level, y in zip(found, codes[400:].T, strict=True)])
        assert all(step <= max_steps for step in model.steps)
    assert (np.diff(accuracies, axis=0) >= -0.006).all()  # but for a row whose best classes are as good as equal


@pytest.mark.parametrize("rows", [1, 3])
def test_softmax_regression_copes_with_few_rows_and_features_that_never_vary(rows):
    X, codes = clusters()
    X[:, 0] = 7
    model = SoftmaxRegression([0.1], 8).fit(X[:rows].copy(), codes[:rows], [2, 2, 6], X[:2], codes[:2])
    levels = model.log_probabilities(X)
    assert [level.shape for level in levels] == [(600, 2), (600, 2), (600, 6)]
    assert all(np.isfinite(level).all() for level in levels)
