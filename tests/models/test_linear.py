"""Linear models: machines over sparse columns, and softmax regression over dense ones."""

import numpy as np
import pytest
import torch
from made_products import LINEAR, fitted, shop
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from lib.models.linear import TOLERANCE, LinearModel, Machines, SoftmaxRegression


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_naive_says_the_plurality_class_whatever_the_product():
    (products, codes), model = shop(), fitted({"model": "naive", "inputs": []})
    for level, y in zip(model.predict(products).levels, codes[:100].T, strict=True):
        assert set(level.argmax(1)) == {np.bincount(y).argmax()}
        np.testing.assert_allclose(np.exp(level).sum(1), 1, rtol=1e-5)


def test_machines_rank_classes_as_scikit_learns_do():
    rng = np.random.default_rng(0)
    X, codes = sparse.csr_array(rng.normal(size=(90, 5))), rng.integers(0, 3, (90, 3))
    levels = Machines(C=1.0).fit(X, codes, [3, 3, 3], seed=0).log_probabilities(X)
    for level, y in zip(levels, codes.T, strict=True):
        machine = LinearSVC(C=1.0, tol=TOLERANCE, multi_class="crammer_singer", random_state=0).fit(X, y)
        np.testing.assert_array_equal(level.argmax(1), machine.predict(X))


@pytest.mark.parametrize("present", [[1], [0, 2], [0, 2, 3]])
def test_machines_cope_with_training_rows_that_lack_classes(present):
    dense = np.random.default_rng(0).normal(size=(200, 5))
    codes = np.repeat(np.array(present)[dense[:, : len(present)].argmax(1)][:, None], 3, axis=1)
    X = sparse.csr_array(dense)
    levels = Machines(C=1.0).fit(X[:100], codes[:100], [5, 5, 5], seed=0).log_probabilities(X[100:])
    assert all(level.shape == (100, 5) and np.isfinite(level).all() for level in levels)
    assert set(levels[0].argmax(1)) <= set(present)
    assert (levels[0].argmax(1) == codes[100:, 0]).mean() > 0.9


def test_contributions_are_of_the_columns_that_a_product_has_and_add_up_to_the_margins():
    model, (products, _) = fitted(LINEAR), shop(seed=1)
    assert isinstance(model, LinearModel)
    one = products.take(np.array([1]))
    said = [model.contributions(one, [code, 0, 0])[0] for code in (0, 1)]
    assert set(said[0]) == set(said[1])
    assert f"brand: {one.brand[0]}" in said[0]
    assert sum(said[0].values()) == pytest.approx(-sum(said[1].values()))  # of two classes one is the other's opposite
    margins = model.predict(one).levels[0][0]
    ours = [sum(by.values()) + model.machines.intercept[code] for code, by in enumerate(said)]
    assert margins[1] - margins[0] == pytest.approx(ours[1] - ours[0], abs=1e-5)


# Softmax regression


def clusters(rows=600, features=12, seed=0):
    """Rows around the centres of four classes, of different scales; levels 1 and 2 are functions of level 3."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 4, rows)
    X = np.random.default_rng(1).normal(size=(4, features))[y] + rng.normal(size=(rows, features))
    return (X * np.linspace(0.1, 5, features)).astype(np.float32), np.stack([y // 2, y % 2, y], axis=1)


def right(model, X, codes):
    return [(level.argmax(1) == y).mean() for level, y in zip(model.log_probabilities(X), codes.T, strict=True)]


def test_softmax_regression_is_as_accurate_as_scikit_learns_on_rows_it_has_not_seen():
    (X, codes), (new, truth) = clusters(), clusters(seed=2)
    model = SoftmaxRegression([1.0, 0.01], 24).fit(X[:400].copy(), codes[:400], [2, 2, 4], X[400:], codes[400:])
    for ours, learnt, true in zip(right(model, new, truth), codes[:400].T, truth.T, strict=True):
        assert ours > LogisticRegression(max_iter=1000).fit(X[:400], learnt).score(new, true) - 0.02


def test_softmax_regression_keeps_the_steps_that_are_best_on_validation_rows():
    """Labels that are mostly noise: more steps learn the noise, and still cost nothing."""
    X, codes = clusters()
    noisy, accuracies = codes[:60].copy(), []
    noisy[:40] = np.random.default_rng(3).permutation(noisy[:40])
    for max_steps in (4, 8, 20, 40):
        model = SoftmaxRegression([1.0, 0.01], max_steps).fit(X[:60].copy(), noisy, [2, 2, 4], X[400:], codes[400:])
        accuracies.append(right(model, X[400:], codes[400:]))
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
