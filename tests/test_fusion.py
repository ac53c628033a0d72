"""Late fusion: what its weights do, and what happens where validation rows are few or a part knows nothing."""

import numpy as np
import pytest
from scipy.special import log_softmax

from lib.fusion import LARGEST_WEIGHT, fit_path_weights, fit_weights, input_sets, path_numbers, pool, pool_paths


def said(codes, skill, seed, classes=4):
    """Log-probabilities that favour the true class, more or less."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(len(codes), classes))
    scores[np.arange(len(codes)), codes] += skill
    return log_softmax(scores, axis=1).astype(np.float32)


@pytest.fixture
def codes():
    return np.random.default_rng(0).integers(0, 4, 2000)


def test_two_parts_that_err_apart_are_better_together(codes):
    parts = [said(codes, 1.5, 1), said(codes, 1.5, 2)]
    fused = pool(parts, fit_weights(parts, codes))
    assert (fused.argmax(1) == codes).mean() > max((part.argmax(1) == codes).mean() for part in parts) + 0.05
    np.testing.assert_allclose(np.exp(fused).sum(1), 1, rtol=1e-5)


def test_the_better_part_counts_more_and_an_ignorant_one_not_at_all(codes):
    weights = fit_weights([said(codes, 2.5, 1), said(codes, 1.0, 2), said(codes, 0.0, 3)], codes)
    assert weights[0] > weights[1] > weights[2]
    assert weights[2] < 0.1


def test_a_part_on_another_scale_counts_the_same(codes):
    parts = [said(codes, 1.5, 1), said(codes, 1.5, 2)]
    flat = [parts[0], log_softmax(parts[1] * 0.1, axis=1)]
    np.testing.assert_allclose(pool(flat, fit_weights(flat, codes)), pool(parts, fit_weights(parts, codes)), atol=0.02)


def test_a_single_row_that_is_right_does_not_make_weights_infinite():
    weights = fit_weights([np.log([[0.9, 0.1]]), np.log([[0.8, 0.2]])], np.array([0]))
    assert ((weights >= 0) & (weights <= LARGEST_WEIGHT)).all()


def test_the_same_rows_give_the_same_weights(codes):
    parts = [said(codes, 1.5, 1), said(codes, 1.0, 2)]
    assert fit_weights(parts, codes).tobytes() == fit_weights(parts, codes).tobytes()


PATHS = np.array([[0, 0, 0], [0, 1, 1], [1, 2, 2], [1, 3, 3]])


def of_paths(truth, skills, seed):
    """What a part says of each level of some paths."""
    return [said(PATHS[truth, level], skill, seed + level) for level, skill in enumerate(skills)]


def best_paths(levels):
    return sum(level[:, PATHS[:, i]] for i, level in enumerate(levels)).argmax(axis=1)


def test_path_weights_ignore_what_knows_nothing_and_beat_equal_ones(codes):
    parts = [of_paths(codes, (2.0, 0.0, 2.0), 1), of_paths(codes, (0.0, 2.0, 0.0), 9)]
    weights = fit_path_weights(parts, PATHS, codes)
    assert weights.shape == (2, 3)
    assert weights[0, 0] > 5 * weights[1, 0]
    assert weights[1, 1] > 5 * weights[0, 1]
    everything = {"brand": np.ones(len(codes), bool)}
    fused, plain = (pool_paths(parts, everything, {(): of, ("brand",): of}) for of in (weights, np.ones_like(weights)))
    assert (best_paths(fused) == codes).mean() > (best_paths(plain) == codes).mean()


def test_path_probabilities_are_calibrated_by_their_weights(codes):
    parts = [of_paths(codes, (1.0, 1.0, 1.0), 1)]
    weights = fit_path_weights(parts, PATHS, codes)
    scores = sum(weights[0, i] * level[:, PATHS[:, i]] for i, level in enumerate(parts[0]))
    confidence = np.exp(log_softmax(scores, axis=1)).max(axis=1)
    assert confidence.mean() == pytest.approx((scores.argmax(axis=1) == codes).mean(), abs=0.02)


def test_each_row_is_pooled_with_the_weights_of_its_own_inputs():
    parts = [[np.log([[0.9, 0.1]] * 2)], [np.log([[0.2, 0.8]] * 2)]]
    weights = {(): np.array([[1.0], [0.0]]), ("text",): np.array([[0.0], [1.0]])}
    [level] = pool_paths(parts, {"text": np.array([True, False])}, weights)
    np.testing.assert_allclose(np.exp(level), [[0.2, 0.8], [0.9, 0.1]], rtol=1e-6)


def test_a_few_rows_do_not_carry_weights_far_from_one():
    part = [np.log([[0.9, 0.1]])] * 3
    weights = fit_path_weights([part], np.array([[0, 0, 0], [1, 1, 1]]), np.array([0]))
    assert ((weights > 0.9) & (weights < 1.2)).all()


def test_every_set_of_inputs_is_listed_once():
    sets = input_sets(["brand", "text", "image"])
    assert len(set(sets)) == len(sets) == 8
    assert sets[0] == ()
    assert sets[-1] == ("brand", "text", "image")


def test_a_path_that_is_none_has_no_number():
    assert path_numbers(np.array([[0, 1, 1], [0, 3, 3]]), PATHS).tolist() == [1, -1]
