"""Laws of learning curves, copied labels, and doubtful ones: known truths are recovered, and nothing else is said."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from made_results import CATALOGUE, make_study

from lib import config
from lib.analysis import labels
from lib.analysis.errors import Trained, open_errors
from lib.analysis.labels import Curve, curve_tables, fit_law
from lib.evaluation.bootstrap import group_weights
from lib.evaluation.results import make_results
from lib.exceptions import StudyError

SIZES = np.array([1000, 3000, 10000, 30000])
NAMES = [["men", "women"], ["shoes", "tops"], ["boots", "flats", "shirts", "never seen"]]


# Laws


def curve(scale, exponent, floor, sizes=SIZES, draws=300, noise=0.003):
    """Return a curve that follows a law, with draws around it: noise that all sizes share, and some of their own."""
    random = np.random.default_rng(0)
    errors = scale * sizes**-exponent + floor
    noisy = errors + noise * (random.normal(size=(draws, 1)) + random.normal(size=(draws, len(sizes))) / 2)
    return Curve(sizes, 1 - np.vstack([errors, noisy]))


@pytest.mark.parametrize(("scale", "exponent", "floor"), [(3, 0.3, 0.0), (3, 0.4, 0.1), (30, 0.7, 0.05)])
def test_a_known_law_is_recovered(scale, exponent, floor):
    law = fit_law(curve(scale, exponent, floor), "floor")
    assert law.exponent[0] == pytest.approx(exponent, rel=0.02)
    assert law.floor[0] == pytest.approx(floor, abs=0.005)
    assert law.errors(100_000.0)[0] == pytest.approx(scale * 1e5**-exponent + floor, abs=0.002)


def test_intervals_contain_the_truth():
    table = curve_tables(curve(3, 0.4, 0.1), [])["laws"].set_index(["law", "parameter"])
    for name, value in {"scale": 3, "exponent": 0.4, "floor": 0.1}.items():
        row = table.loc[("floor", name)]
        assert row["low"] <= value <= row["high"]
    assert table.loc[("floor", "exponent"), "misfit"] < 0.001 < table.loc[("power", "exponent"), "misfit"]
    rows = labels.band(curve(3, 0.4, 0.1), "floor", np.array([1000.0, 10000.0]))
    np.testing.assert_allclose(rows["mean"], 1 - (3 * np.array([1000, 10000]) ** -0.4 + 0.1), atol=1e-3)
    assert (rows["low"] < rows["high"]).all()


def test_the_largest_size_is_predicted_from_the_smaller_ones_and_has_no_say_in_it():
    before = curve(3, 0.4, 0.1)
    table = curve_tables(before, [])["check"].set_index("law")
    assert table.loc["floor", "inside"]
    assert table.loc["floor", "error_low"] <= 0 <= table.loc["floor", "error_high"]
    assert table.loc["power", "error"] > 0  # a law without the floor promises too much
    assert (table["sizes"] == 3).all()
    after = curve_tables(Curve(before.sizes, before.accuracy * np.array([1, 1, 1, 0.5])), [])["check"].set_index("law")
    names = ["predicted", "low", "high"]
    assert table[names].equals(after[names])
    assert not after["inside"].any()


def test_labels_needed_are_those_of_the_law_or_infinite():
    table = curve_tables(curve(3, 0.4, 0.08), [0.9, 0.95])["needed"].set_index(["law", "target"])
    wanted = (0.02 / 3) ** (-1 / 0.4)
    row = table.loc[("floor", 0.9)]
    assert row["labels"] == pytest.approx(wanted, rel=0.2)
    assert row["low"] <= wanted <= row["high"]
    assert row["times_largest"] == pytest.approx(row["labels"] / 30000)
    assert np.isinf(table.loc[("floor", 0.95), "labels"])
    assert np.isfinite(table.loc[("power", 0.95), "labels"])
    assert (table["low"] <= table["high"]).all()


def test_a_curve_that_does_not_rise_has_a_law_too():
    flat = Curve(SIZES, np.full((5, 4), 0.6))
    assert fit_law(flat, "floor").errors(1e6)[0] == pytest.approx(0.4, abs=1e-6)
    falling = Curve(SIZES, np.tile([0.8, 0.7, 0.6, 0.5], (5, 1)))
    assert np.isinf(fit_law(falling, "floor").labels_needed(0.9)).all()


def test_too_few_sizes_have_no_law():
    one, two = curve(3, 0.3, 0, SIZES[:1]), curve(3, 0.3, 0, SIZES[:2])
    assert all(table.empty for table in curve_tables(one, [0.9]).values())
    assert curve_tables(two, [])["check"].empty
    law = fit_law(two, "power")
    assert (law.scale[0], law.exponent[0]) == pytest.approx((3, 0.3), rel=0.01)
    with pytest.raises(StudyError, match=r"needs 3 training sizes. Got \[1000, 3000\]"):
        fit_law(two, "floor")
    with pytest.raises(StudyError, match="no law 'line'"):
        fit_law(two, "line")


# Copies


def test_grouping_counts_groups_of_the_pool():
    row = labels.grouping_table(np.arange(5), np.array([4, 4, 4, 7, 9, 9])).iloc[0]
    assert row.to_dict() == pytest.approx({"products": 5, "groups": 3, "saved": 0.4, "in_groups": 3, "largest": 3})


def test_copied_labels_are_right_as_often_as_when_each_product_is_asked_for_in_turn():
    random = np.random.default_rng(0)
    groups, said, truth = random.integers(20, size=60), random.integers(3, size=60), random.integers(3, size=60)
    for group, (right, own, copies) in zip(np.unique(groups), labels.copied_right(said, truth, groups), strict=True):
        members = np.flatnonzero(groups == group)
        turns = [[said[asked] == truth[other] for other in members if other != asked] for asked in members]
        assert right == pytest.approx(np.mean([sum(turn) for turn in turns]))
        assert own == pytest.approx((said == truth)[members].mean() * (len(members) - 1))
        assert copies == len(members) - 1


# Doubtful labels


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


def test_the_log_odds_are_of_the_path_and_nothing_where_the_model_agrees(held_out):
    true, labelled, probabilities = held_out
    odds = labels.log_odds(probabilities, labelled)
    wrong = (labelled != true).any(axis=1)
    assert odds[wrong] == pytest.approx(np.log(0.94 / 0.02))
    assert not odds[~wrong].any()
    assert np.isfinite(labels.log_odds([np.array([[1.0, 0.0]])], np.array([[1]], np.int16))).all()  # rounded to nothing


def test_suspicions_are_counted_by_category(held_out):
    true, labelled, probabilities = held_out
    said = labels.Labelled(Trained("best", "paper", "plain", "grouped", 300), np.arange(120), labelled, probabilities)
    first = (labelled != true) & (np.arange(len(true)) < 60)[:, None]
    table = labels.suspicions(first, labelled != true, said, NAMES)
    assert set(table["level"]) == {"level_3"}
    assert (table["first"].sum(), table["suspected"].sum()) == (6, 12)
    assert table["products"].sum() <= len(true)
    named = table[table["first"] > 0].set_index("category")["instead"].to_dict()
    before = {"boots": "shirts", "flats": "boots", "shirts": "flats"}  # labels were moved on by one
    assert named == {name: before[name] for name in named}
    none = np.zeros(true.shape, bool)
    empty = labels.suspicions(none, none, said, NAMES)
    assert empty.empty
    assert list(empty.columns) == ["level", "category", "products", "first", "suspected", "instead"]


def test_a_perfect_ranking_beats_a_blind_one_and_nothing_beats_itself():
    there = np.arange(60) % 6 == 0
    scores = {"blind": np.random.default_rng(1).random(60), "perfect": there + 0.0}
    weights = group_weights(60, draws=100)
    table = labels.average_precisions(there, scores, np.arange(60), weights, "blind").set_index("score")
    assert table.loc["perfect", ["average_precision", "low", "high"]].tolist() == [1, 1, 1]
    assert table.loc["blind", ["gain", "gain_low", "gain_high"]].tolist() == [0, 0, 0]
    assert 0 < table.loc["perfect", "gain_low"] <= table.loc["perfect", "gain"]
    assert table.loc["blind", "low"] < table.loc["blind", "average_precision"] < table.loc["blind", "high"]


# A made-up study


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("labels")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STUDY_ROOT", str(root))
        make_study(root, {"linear": 2.4})
        make_results(CATALOGUE)
    return root


@pytest.fixture
def study_root(made, monkeypatch):
    monkeypatch.setenv("STUDY_ROOT", str(made))
    return made


def use_settings(monkeypatch, **settings) -> None:
    params = config.load_params()
    changed = params.labels.model_copy(update={"variant": "linear", "text": "masked", "split": "grouped", **settings})
    monkeypatch.setattr(labels, "study_of", lambda _: params.model_copy(update={"labels": changed}))


def test_the_curve_is_that_of_the_results(study_root, monkeypatch):
    use_settings(monkeypatch)
    measured_curve, measured = labels.open_curve(CATALOGUE)
    results = pd.read_csv(config.report_dir(CATALOGUE, "results.csv"))
    rows = results.query(
        "variant == 'linear' and text == 'masked' and split == 'grouped' and metric == 'path' "
        "and measured_on == 'test' and decoding == 'independent'"
    )
    np.testing.assert_allclose(measured["mean"], rows.groupby("train_size")["value"].mean(), atol=1e-6)
    np.testing.assert_allclose(measured_curve.accuracy[0], measured["mean"], atol=1e-6)
    use_settings(monkeypatch, text="titled", variant="naive")
    assert set(labels.open_curve(CATALOGUE)[1]["text"]) == {"masked"}  # of a variant that reads none


@pytest.mark.parametrize("settings", [{"variant": "lstm"}, {"variant": "of_my_own"}])
def test_a_variant_of_the_main_experiment_stands_in_for_one_that_was_not_trained(study_root, monkeypatch, settings):
    use_settings(monkeypatch, **settings)
    measured = labels.open_curve(CATALOGUE)[1]
    assert set(measured["text"]) == {"masked"}
    assert set(measured["split"]) == {"grouped"}
    most = pd.read_csv(config.report_dir(CATALOGUE, "results.csv")).query("text == 'masked' and split == 'grouped'")
    assert len(measured) == most.groupby("variant")["train_size"].nunique().max()


def test_doubts_are_of_test_and_validation_rows_and_checked_where_the_truth_is_known(study_root, monkeypatch):
    chosen, _ = open_errors(CATALOGUE)
    answers = replace(chosen.answers["grouped"], weights=group_weights(150, draws=20))
    chosen = chosen._replace(answers={"grouped": answers})
    labelled = labels.open_labelled(chosen)
    test = chosen.held_out["grouped"].rows
    assert labelled.model.text == "plain"  # the same variant, that knows more
    assert len(set(labelled.rows)) == len(labelled.rows) > len(test)
    assert set(test) < set(labelled.rows)
    ids, suspected = (
        [f"p{row:03}" for row in labelled.rows],
        labels.log_odds(labelled.probabilities, labelled.codes) > 4,
    )
    damage = [("wrong_label",) if row % 9 == 0 else () for row in range(len(ids))]
    monkeypatch.setattr(labels, "known_truth", lambda _: pd.DataFrame({"product_id": ids, "damage": damage}))
    monkeypatch.setattr(labels, "label_suspicion", lambda products: np.arange(len(products), dtype=float))
    found = labels.check_suspicions(chosen, labelled, np.repeat(suspected[:, None], 3, axis=1))
    check = found["label_check"].set_index("chosen")
    everything = check.loc["all held-out products"]
    assert (everything["products"], everything["wrong"]) == (len(ids), -(-len(ids) // 9))
    assert (everything["recall"], everything["precision"]) == (1, pytest.approx(everything["wrong"] / len(ids)))
    assert check.loc["called wrong by confident learning", "products"] == suspected.sum()
    assert found["label_ranking"].set_index("score").loc[labels.BASELINE, "gain"] == 0
    monkeypatch.setattr(labels, "known_truth", lambda _: None)
    assert labels.check_suspicions(chosen, labelled, np.zeros((len(ids), 3), bool)) is None


def test_where_the_shop_is_known_truth_has_the_products_order(study_root, monkeypatch):
    truth = pd.DataFrame({"product_id": ["p001", "p000"], "level_1": ["0-1", "0-0"],
                          "level_2": ["1-0", "elsewhere"], "level_3": ["2-3", "2-2"]})  # fmt: skip
    monkeypatch.setattr(labels, "known_truth", lambda _: truth)
    assert labels.true_codes(CATALOGUE)[:3].tolist() == [[0, -1, 2], [1, 0, 3], [-1, -1, -1]]
    products = SimpleNamespace(rows=np.arange(300), codes=np.zeros((300, 3), np.int16), groups=np.arange(300) // 2)
    table = labels.copies_table(CATALOGUE, products.rows, products.codes, products.groups)
    assert table["against"].value_counts().to_dict() == {"own label": 4, "truth": 4}
    assert (table[table["against"] == "own label"][["share", "low", "high"]] == 1).all(axis=None)
