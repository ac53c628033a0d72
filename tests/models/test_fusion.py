"""Late fusion: what its weights do, and what happens where validation rows are few or a part knows nothing."""

import numpy as np
import pytest
from made_products import VARIANTS, fitted, shop
from scipy.special import log_softmax
from tiny import PATHS as SHOP_PATHS

from lib.models.fusion import LARGEST_WEIGHT, fit_path_weights, fit_weights, pool
from lib.training.metrics import valid_path

CODES = np.random.default_rng(0).integers(0, 4, 2000)
PATHS = np.array([[0, 0, 0], [0, 1, 1], [1, 2, 2], [1, 3, 3]])


def said(codes, skill, seed, classes=4):
    """Log-probabilities that favour the true class, more or less."""
    scores = np.random.default_rng(seed).normal(size=(len(codes), classes))
    scores[np.arange(len(codes)), codes] += skill
    return log_softmax(scores, axis=1).astype(np.float32)


def fused_of(parts):
    """Fit the weights of one level, and pool."""
    return pool([[part] for part in parts], fit_weights(parts, CODES)[None, :, None])[0]


def test_two_parts_that_err_apart_are_better_together_whatever_their_scale():
    parts = [said(CODES, 1.5, 1), said(CODES, 1.5, 2)]
    fused = fused_of(parts)
    assert (fused.argmax(1) == CODES).mean() > max((part.argmax(1) == CODES).mean() for part in parts) + 0.05
    np.testing.assert_allclose(np.exp(fused).sum(1), 1, rtol=1e-5)
    flat = [parts[0], log_softmax(parts[1] * 0.1, axis=1)]
    np.testing.assert_allclose(fused_of(flat), fused, atol=0.02)


def test_the_better_part_counts_more_and_an_ignorant_one_not_at_all():
    weights = fit_weights([said(CODES, 2.5, 1), said(CODES, 1.0, 2), said(CODES, 0.0, 3)], CODES)
    assert weights[0] > weights[1] > weights[2]
    assert weights[2] < 0.1


def test_few_rows_do_not_carry_weights_away():
    weights = fit_weights([np.log([[0.9, 0.1]]), np.log([[0.8, 0.2]])], np.array([0]))
    assert ((weights >= 0) & (weights <= LARGEST_WEIGHT)).all()
    of_paths = fit_path_weights([[np.log([[0.9, 0.1]])] * 3], np.array([[0, 0, 0], [1, 1, 1]]), np.array([0]))
    assert ((of_paths > 0.9) & (of_paths < 1.2)).all()


# Whole paths


def of_paths(skills, seed):
    """What a part says of each level of some paths."""
    return [said(PATHS[CODES, level], skill, seed + level) for level, skill in enumerate(skills)]


def path_scores(levels):
    return sum(level[:, PATHS[:, i]] for i, level in enumerate(levels))


def test_path_weights_ignore_what_knows_nothing_and_beat_equal_ones():
    parts = [of_paths((2.0, 0.0, 2.0), 1), of_paths((0.0, 2.0, 0.0), 9)]
    weights = fit_path_weights(parts, PATHS, CODES)
    assert weights[0, 0] > 5 * weights[1, 0]
    assert weights[1, 1] > 5 * weights[0, 1]
    right = [
        (path_scores(pool(parts, of[None])).argmax(axis=1) == CODES).mean() for of in (weights, np.ones_like(weights))
    ]
    assert right[0] > right[1]


def test_path_probabilities_are_calibrated_by_their_weights():
    parts = [of_paths((1.0, 1.0, 1.0), 1)]
    scores = path_scores(pool(parts, fit_path_weights(parts, PATHS, CODES)[None]))
    confidence = np.exp(log_softmax(scores, axis=1)).max(axis=1)
    assert confidence.mean() == pytest.approx((scores.argmax(axis=1) == CODES).mean(), abs=0.02)


def test_each_row_is_pooled_with_its_own_weights():
    parts = [[np.log([[0.9, 0.1]] * 2)], [np.log([[0.2, 0.8]] * 2)]]
    [level] = pool(parts, np.array([[[0.0], [1.0]], [[1.0], [0.0]]]))
    np.testing.assert_allclose(np.exp(level), [[0.2, 0.8], [0.9, 0.1]], rtol=1e-6)


def test_a_fusion_of_paths_does_without_an_input_that_is_hidden():
    model, (products, codes), paths = fitted(VARIANTS["path_fusion"]), shop(400, seed=1), np.array(SHOP_PATHS)

    def accuracy(*hidden):
        return (valid_path(model.predict(products, hidden).levels, paths) == codes).all(axis=1).mean()

    everything, nothing = accuracy(), accuracy("brand", "text", "image")
    assert everything > 0.9 > 0.4 > nothing
    for name in ("brand", "text", "image"):
        assert nothing + 0.2 < accuracy(name) <= everything + 0.02
