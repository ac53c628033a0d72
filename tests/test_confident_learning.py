"""Wrong labels among held-out rows: found where a model is sure, left alone where it is not."""

import numpy as np
import pytest

from lib.bootstrap import group_weights
from lib.confident_learning import average_precisions, label_quality, log_odds, suspected_labels, suspicions

NAMES = [["men", "women"], ["shoes", "tops"], ["boots", "flats", "shirts", "never seen"]]


def sure(codes: np.ndarray, classes: int) -> np.ndarray:
    """A model that is 94% or more sure of a class."""
    return np.full((len(codes), classes), 0.02) + np.eye(classes)[codes] * (1 - 0.02 * classes)


@pytest.fixture
def held_out():
    """Return true codes, codes as labelled (every tenth row is wrong at level 3), and what a model says."""
    true = np.random.default_rng(0).integers([2, 2, 3], size=(120, 3)).astype(np.int16)
    labelled = true.copy()
    labelled[::10, 2] = (labelled[::10, 2] + 1) % 3
    return true, labelled, [sure(true[:, level], len(NAMES[level])) for level in range(3)]


def test_wrong_labels_are_found_at_their_level_and_no_others(held_out):
    true, labelled, probabilities = held_out
    np.testing.assert_array_equal(suspected_labels(probabilities, labelled), labelled != true)


def test_the_quality_of_a_label_is_its_probability_at_the_worst_level(held_out):
    true, labelled, probabilities = held_out
    quality = label_quality(probabilities, labelled)
    wrong = (labelled != true).any(axis=1)
    assert quality[wrong] == pytest.approx(0.02)
    assert (quality[~wrong] > 0.9).all()


def test_the_log_odds_are_of_the_path_and_nothing_where_the_model_agrees(held_out):
    true, labelled, probabilities = held_out
    odds = log_odds(probabilities, labelled)
    wrong = (labelled != true).any(axis=1)
    assert odds[wrong] == pytest.approx(np.log(0.94 / 0.02))
    assert not odds[~wrong].any()


def test_a_probability_that_was_rounded_to_nothing_has_finite_odds():
    assert np.isfinite(log_odds([np.array([[1.0, 0.0]])], np.array([[1]], np.int16))).all()


def test_suspicions_are_counted_by_category(held_out):
    true, labelled, probabilities = held_out
    first = (labelled != true) & (np.arange(len(true)) < 60)[:, None]
    table = suspicions(first, labelled != true, probabilities, labelled, NAMES)
    assert set(table["level"]) == {"level_3"}
    assert (table["first"].sum(), table["suspected"].sum()) == (6, 12)
    assert table["products"].sum() <= len(true)
    named = table[table["first"] > 0].set_index("category")["instead"].to_dict()
    before = {"boots": "shirts", "flats": "boots", "shirts": "flats"}  # labels were moved on by one
    assert named == {name: before[name] for name in named}


def test_no_suspicion_is_an_empty_table(held_out):
    true, _, probabilities = held_out
    none = np.zeros(true.shape, bool)
    table = suspicions(none, none, probabilities, true, NAMES)
    assert table.empty
    assert list(table.columns) == ["level", "category", "products", "first", "suspected", "instead"]


def test_a_perfect_ranking_beats_a_blind_one_and_nothing_beats_itself():
    there = np.arange(60) % 6 == 0
    blind = np.random.default_rng(1).random(60)
    scores = {"blind": blind, "perfect": there + 0.0}
    table = average_precisions(there, scores, np.arange(60), group_weights(60, draws=200), "blind").set_index("score")
    assert table.loc["perfect", ["average_precision", "low", "high"]].tolist() == [1, 1, 1]
    assert table.loc["blind", ["gain", "gain_low", "gain_high"]].tolist() == [0, 0, 0]
    assert 0 < table.loc["perfect", "gain_low"] <= table.loc["perfect", "gain"]
    assert table.loc["blind", "low"] < table.loc["blind", "average_precision"] < table.loc["blind", "high"]
