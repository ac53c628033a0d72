"""Intervals: right about as often as they say, paired, and the same on every machine."""

import numpy as np
import pytest

from lib.evaluation import bootstrap
from lib.evaluation.bootstrap import Sample, differences, group_weights, intervals, resample, seed_weights

GROUPS = 120
TRUTH = 0.7


@pytest.fixture(scope="module")
def weights() -> np.ndarray:
    return group_weights(GROUPS, draws=400)


def make_correct(random: np.random.Generator, seeds: int, shift: float = 0.0) -> tuple[list[np.ndarray], np.ndarray]:
    """Rows in groups of up to 5 that share a difficulty, and seeds that share a luck; `TRUTH` + `shift` on average."""
    groups = np.repeat(np.arange(GROUPS), random.integers(1, 6, size=GROUPS))
    difficulty = random.uniform(-0.25, 0.25, size=GROUPS)[groups]
    lucks = random.uniform(-0.02, 0.02, size=seeds)
    chances = [TRUTH + shift + difficulty + luck for luck in lucks]
    return [(random.random(len(groups)) < chance)[:, None] for chance in chances], groups


def make_sample(random: np.random.Generator, weights: np.ndarray, seeds: int = 5, shift: float = 0.0) -> Sample:
    correct, groups = make_correct(random, seeds, shift)
    return resample(range(seeds), correct, [groups] * seeds, weights)


def test_an_interval_covers_the_truth_about_95_percent_of_the_time(weights):
    random = np.random.default_rng(1)
    covered = [low <= TRUTH <= high for _ in range(200) for _, low, high in intervals(make_sample(random, weights))]
    assert 0.90 <= np.mean(covered) <= 0.995


def test_ignoring_groups_would_cover_less(weights):
    """What the groups are for: with every row for itself, copies of a product count as if they were news."""
    random = np.random.default_rng(2)
    groups = np.repeat(np.arange(GROUPS), 5)
    correct = np.repeat(random.random((GROUPS, 1)) < TRUTH, 5, axis=0)  # copies: all right or all wrong
    grouped = resample([0], [correct], [groups], weights)
    alone = resample([0], [correct], [np.arange(len(groups))], group_weights(len(groups), draws=400))
    widths = [high - low for sample in (grouped, alone) for _, low, high in intervals(sample)]
    assert widths[0] > 1.8 * widths[1]  # in theory the square root of 5


def test_draws_equal_resampling_the_rows_themselves(weights):
    random = np.random.default_rng(3)
    correct, groups = make_correct(random, 2)
    sample = resample([0, 1], correct, [groups, groups], weights)
    for draw in (0, 17, 399):
        rows = np.repeat(np.arange(len(groups)), weights[draw][groups])
        for seed in (0, 1):
            assert sample.draws[draw, seed, 0] == pytest.approx(correct[seed][rows].mean(), abs=1e-12)
    assert sample.values[1, 0] == correct[1].mean()


def test_seeds_may_have_rows_of_their_own(weights):
    random = np.random.default_rng(4)
    (first, second), groups = make_correct(random, 2)
    sample = resample([0, 1], [first[:100], second[50:]], [groups[:100], groups[50:]], weights)
    assert sample.values[:, 0].tolist() == [first[:100].mean(), second[50:].mean()]


def test_a_draw_of_seeds_takes_one_less_than_there_are():
    shares = seed_weights(5, draws=200)
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert set(np.unique(shares * 4)) <= {0, 1, 2, 3, 4}
    variance = (shares @ np.arange(5.0)).var()
    assert variance == pytest.approx(np.var(np.arange(5), ddof=1) / 5, rel=0.25)


def test_chunks_and_the_number_of_draws_at_once_make_no_difference(weights, monkeypatch):
    correct, groups = make_correct(np.random.default_rng(5), 3)
    whole = resample(range(3), correct, [groups] * 3, weights)
    monkeypatch.setattr(bootstrap, "DRAWS_AT_ONCE", 7)
    np.testing.assert_array_equal(resample(range(3), correct, [groups] * 3, weights).draws, whole.draws)


def test_the_order_of_rows_makes_no_difference(weights):
    correct, groups = make_correct(np.random.default_rng(6), 1)
    order = np.random.default_rng(7).permutation(len(groups))
    shuffled = resample([0], [correct[0][order]], [groups[order]], weights)
    np.testing.assert_array_equal(shuffled.draws, resample([0], correct, [groups], weights).draws)


@pytest.mark.parametrize(("shift", "sign"), [(0.2, 1), (-0.2, -1)])
def test_a_large_difference_has_an_interval_on_its_side_of_zero(weights, shift, sign):
    a, b = make_sample(np.random.default_rng(8), weights, shift=shift), make_sample(np.random.default_rng(9), weights)
    ((difference, low, high),) = differences(a, b)
    assert np.sign([difference, low, high]).tolist() == [sign] * 3


def test_the_same_model_twice_differs_by_exactly_nothing(weights):
    sample = make_sample(np.random.default_rng(10), weights)
    assert differences(sample, sample) == [(0.0, 0.0, 0.0)]


def test_pairing_narrows_the_interval(weights):
    """Two models that fail on the same products are told apart by the few on which they differ."""
    correct, groups = make_correct(np.random.default_rng(11), 1)
    better = correct[0] | (np.random.default_rng(12).random(correct[0].shape) < 0.2)
    a, b = (resample([0], [rows], [groups], weights) for rows in (better, correct[0]))
    ((_, low, high),) = differences(a, b)
    widths = [upper - lower for sample in (a, b) for _, lower, upper in intervals(sample)]
    assert low > 0
    assert high - low < np.hypot(*widths) / 1.5


def test_a_model_with_one_seed_is_compared_with_every_seed_of_the_other(weights):
    a, b = (make_sample(np.random.default_rng(seed), weights, seeds) for seed, seeds in ((13, 5), (14, 1)))
    ((difference, _, _),) = differences(a, b)
    assert difference == pytest.approx(a.values.mean() - b.values.mean())


def test_only_common_seeds_are_compared_where_there_are_several(weights):
    a = make_sample(np.random.default_rng(15), weights, 3)
    ((difference, _, _),) = differences(a, a.only([0, 2]))
    assert difference == 0


def test_a_draw_that_misses_all_rows_is_left_out():
    few = group_weights(3, draws=200)
    sample = resample([0], [np.array([[True], [False]])], [np.array([0, 0])], few)  # all rows in one group of three
    assert np.isnan(sample.draws).any()
    assert intervals(sample) == [(0.5, 0.5, 0.5)]
