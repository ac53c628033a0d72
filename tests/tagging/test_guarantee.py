"""Promises: kept as often as promised, refused where nothing can be promised, and those of MAPIE where it is exact."""

import numpy as np
import pytest
from mapie.classification import SplitConformalClassifier
from mapie.risk_control import BinaryClassificationController
from scipy.stats import binom
from sklearn.base import BaseEstimator, ClassifierMixin

from lib.tagging.guarantee import needed, p_values, sequence, smallest_listed, threshold, thresholds
from lib.tagging.promises import tagged_depth

CERTAINTY = 0.9


def draw(rng, products, noise=0.0):
    """Confidences of three nested depths, and whether each is right; calibrated but for some noise of the labels."""
    deepest = rng.beta(4, 0.6, products)
    confidence = np.stack([deepest**0.3, deepest**0.6, deepest], axis=1)
    luck = rng.random(products)[:, None]
    right = (luck < confidence) & (rng.random(products)[:, None] >= noise)
    return confidence, right


def achieved(lowest, confidence, right):
    """Precision of what is tagged to each depth and no deeper; NaN where nothing is."""
    depth = tagged_depth(confidence, lowest)
    return [right[depth == d, d - 1].mean() if (depth == d).any() else np.nan for d in (1, 2, 3)]


@pytest.mark.parametrize("precision", [0.9, 0.95])
@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_a_promise_is_kept_at_least_as_often_as_promised(precision, noise):
    rng = np.random.default_rng(1)
    world = draw(rng, 100_000, noise)
    tuning = draw(rng, 150)[0]
    broken, together, made, trials = np.zeros(3), 0, 0, 300
    for _ in range(trials):
        calibration = draw(rng, 400, noise)
        found = thresholds(*calibration, tuning, precision, CERTAINTY, steps=100)
        made += any(value is not None for value in found)
        missed = np.nan_to_num(achieved(found, *world), nan=1.0) < precision
        broken, together = broken + missed, together + missed.any()
    assert made > trials / 3, "a promise that is never made is kept easily"
    assert (broken <= binom.ppf(0.999, trials, 1 - CERTAINTY)).all(), broken / trials
    assert together <= binom.ppf(0.999, trials, 3 * (1 - CERTAINTY)), "the union bound"


def test_nothing_is_promised_with_too_few_products_or_too_many_errors():
    surest = np.full((needed(0.99, CERTAINTY) - 1, 3), 0.999)
    assert thresholds(surest, surest > 0, surest, 0.99, CERTAINTY, 100) == [None] * 3
    enough = np.full((needed(0.99, CERTAINTY), 3), 0.999)
    assert thresholds(enough, enough > 0, enough, 0.99, CERTAINTY, 100) == [None, None, 0.999]
    confidence, right = draw(np.random.default_rng(0), 400, noise=0.2)
    assert thresholds(confidence, right, confidence, 0.99, CERTAINTY, 100) == [None] * 3
    assert thresholds(np.empty((0, 3)), np.empty((0, 3), bool), np.empty((0, 3)), 0.9, CERTAINTY, 100) == [None] * 3
    assert tagged_depth(confidence, [None] * 3).tolist() == [0] * 400


def test_what_is_not_sure_enough_backs_off_to_its_parent():
    confidence, right = draw(np.random.default_rng(2), 3000)
    found = thresholds(confidence, right, confidence, 0.95, CERTAINTY, 100)
    assert found[2] is not None
    assert found[:2] != [None, None]
    depth = tagged_depth(confidence, found)
    assert set(depth) == {0, *(d for d in (1, 2, 3) if found[d - 1] is not None)}
    assert (confidence[depth == 3, 2] >= found[2]).all()
    assert (confidence[depth < 3, 2] < found[2]).all()
    assert np.nanmin(achieved(found, confidence, right)) >= 0.95


def test_a_stricter_or_surer_promise_tags_less():
    confidence, right = draw(np.random.default_rng(3), 3000)
    order = sequence(confidence[:, 2], 3000, 0.9, 100)
    found = [threshold(confidence[:, 2], right[:, 2], order, *how) for how in ((0.9, 0.8), (0.9, 0.99), (0.93, 0.99))]
    assert found == sorted(found)


def test_the_first_thresholds_tested_are_the_likeliest_and_all_are_of_tuning_products():
    confidence = draw(np.random.default_rng(4), 200)[0][:, 2]
    order = sequence(confidence, 1000, 0.95, 50)
    assert set(order) <= set(confidence)
    assert (np.diff(order) < 0).all()
    assert len(order) <= 50
    assert len(sequence(np.empty(0), 1000, 0.95, 50)) == 0


def test_mapie_promises_the_same_but_where_it_rounds_an_error_up():
    confidence, right = (array[:, 2] for array in draw(np.random.default_rng(5), 600))
    order = sequence(confidence, 600, 0.9, 40)
    controller = BinaryClassificationController(
        lambda x: np.column_stack([1 - x, x]),
        "precision",
        0.9,
        confidence_level=CERTAINTY,
        list_predict_params=order,
        fwer_method="fixed_sequence",
    )
    controller.calibrate(confidence, right.astype(int))
    theirs, ours = controller.p_values.ravel(), p_values(confidence, right, order, 0.9)
    same = np.isclose(theirs, ours)
    assert same.any()
    assert (theirs[~same] > ours[~same]).all()
    assert threshold(confidence, right, order, 0.9, CERTAINTY) <= min(controller.valid_predict_params)


class Said(ClassifierMixin, BaseEstimator):
    """A classifier whose probabilities are its inputs."""

    def __init__(self, classes=5):
        self.classes = classes
        self.classes_ = np.arange(classes)

    def fit(self, X, y):
        return self

    def __sklearn_is_fitted__(self):
        return True

    def predict_proba(self, X):
        return X

    def predict(self, X):
        return X.argmax(axis=1)


def test_lists_of_candidates_are_those_of_split_conformal_prediction():
    rng = np.random.default_rng(6)
    X, new = rng.dirichlet(np.full(5, 0.5), 300), rng.dirichlet(np.full(5, 0.5), 4000)
    y, truth = (np.array([rng.choice(5, p=p) for p in array]) for array in (X, new))
    mapie = SplitConformalClassifier(Said(), confidence_level=0.9, conformity_score="lac", prefit=True)
    mapie.conformalize(X, y)
    sets = mapie.predict_set(new)[1][:, :, 0]
    smallest = smallest_listed(X[np.arange(300), y], 0.9)
    assert ((new >= smallest - 1e-9) == sets).mean() > 0.999
    assert (new[np.arange(4000), truth] >= smallest).mean() > 0.87


def test_candidates_are_listed_as_often_as_asked_on_average():
    rng = np.random.default_rng(7)
    found = [(rng.random(2000) >= smallest_listed(rng.random(40), 0.9)).mean() for _ in range(300)]
    assert 0.9 <= np.mean(found) + 0.01 <= 0.94
