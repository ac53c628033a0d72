"""Late fusion: what its weights do, and what happens where validation rows are few or a part knows nothing."""

import numpy as np
import pytest
from scipy.special import log_softmax

from lib.fusion import LARGEST_WEIGHT, fit_weights, pool


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
