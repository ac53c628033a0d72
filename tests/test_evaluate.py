"""Decoding and metrics: exact, whatever the order of rows or paths."""

import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.metrics import accuracy_score, f1_score

from lib import evaluate
from lib.evaluate import METRICS, correctness, decode, independent, metrics, run_records, tidy, valid_path

SIZES = (4, 7, 12)


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(0)


def make_paths(random: np.random.Generator, count: int = 20) -> np.ndarray:
    return np.unique(np.stack([random.integers(size, size=count) for size in SIZES], axis=1), axis=0).astype(np.int16)


def make_levels(random: np.random.Generator, rows: int = 500) -> list[np.ndarray]:
    return [log_softmax(random.normal(size=(rows, size)), axis=1).astype(np.float16) for size in SIZES]


def test_independent_decoding_takes_the_most_probable_class_of_each_level(random):
    levels = make_levels(random)
    predicted = independent(levels)
    assert predicted.dtype == np.int16
    for level, column in zip(levels, predicted.T, strict=True):
        np.testing.assert_array_equal(level[np.arange(500), column], level.max(axis=1))


def test_valid_path_decoding_equals_brute_force(random, monkeypatch):
    levels, paths = make_levels(random), make_paths(random)
    monkeypatch.setattr(evaluate, "ROWS_AT_ONCE", 64)  # several chunks, the last one not full
    predicted = valid_path(levels, paths)
    for row in range(500):
        scores = {
            tuple(path): sum(np.float32(level[row, code]) for level, code in zip(levels, path, strict=True))
            for path in paths
        }
        assert scores[tuple(predicted[row])] == max(scores.values())


def test_ties_go_to_the_lowest_codes_whatever_the_order_of_the_paths(random):
    paths = make_paths(random)
    flat = [np.full((3, size), -1.0, np.float16) for size in SIZES]
    for order in (paths, paths[::-1], random.permutation(paths)):
        np.testing.assert_array_equal(valid_path(flat, order), np.tile(paths[0], (3, 1)))


def test_chunks_make_no_difference(random, monkeypatch):
    levels, paths = make_levels(random), make_paths(random)
    whole = valid_path(levels, paths)
    monkeypatch.setattr(evaluate, "ROWS_AT_ONCE", 7)
    np.testing.assert_array_equal(valid_path(levels, paths), whole)


def test_no_rows_decode_to_no_rows(random):
    levels = [level[:0] for level in make_levels(random)]
    assert {name: codes.shape for name, codes in decode(levels, make_paths(random)).items()} == {
        "independent": (0, 3),
        "valid_path": (0, 3),
    }


@pytest.mark.parametrize("absent", [False, True], ids=["every class occurs", "a class is absent"])
def test_metrics_agree_with_scikit_learn(random, absent):
    paths = make_paths(random, 60)
    codes = paths[random.integers(len(paths), size=800)]
    if absent:
        codes = codes[(codes[:, 2] != 3) & (codes[:, 1] != 0)]
    predicted = np.where(random.random(codes.shape) < 0.6, codes, make_codes(random, len(codes)))
    found = metrics(predicted, codes, paths)
    accuracies = [accuracy_score(codes[:, level], predicted[:, level]) for level in range(3)]
    f1 = [
        f1_score(codes[:, k], predicted[:, k], labels=np.unique(codes[:, k]), average="macro", zero_division=0)
        for k in range(3)
    ]
    assert [found[f"level_{k}"] for k in (1, 2, 3)] == pytest.approx(accuracies)
    assert found["mean"] == pytest.approx(np.mean(accuracies))
    assert found["path"] == pytest.approx(np.mean((predicted == codes).all(axis=1)))
    assert found["macro_f1"] == pytest.approx(np.mean(f1))
    assert tuple(found) == METRICS


def make_codes(random: np.random.Generator, rows: int) -> np.ndarray:
    return np.stack([random.integers(size, size=rows) for size in SIZES], axis=1).astype(np.int16)


def test_valid_share_counts_predicted_paths_that_exist():
    paths = np.array([[0, 0, 0], [1, 1, 1]], np.int16)
    predicted = np.array([[0, 0, 0], [0, 0, 1], [1, 1, 1], [3, 9, 9]], np.int16)  # the last has codes no path has
    codes = np.tile(paths[1], (4, 1))
    assert metrics(predicted, codes, paths)["valid_share"] == 0.5
    np.testing.assert_array_equal(correctness(predicted, codes, paths)[:, 4], [True, False, True, False])


def test_independent_decoding_may_leave_the_taxonomy_and_valid_path_decoding_never_does(random):
    levels, paths = make_levels(random), make_paths(random)
    shares = {how: metrics(codes, codes, paths)["valid_share"] for how, codes in decode(levels, paths).items()}
    assert shares["independent"] < 1
    assert shares["valid_path"] == 1


def test_a_valid_path_can_be_right_where_the_most_probable_classes_are_not():
    levels = [np.log([[0.9, 0.1]]), np.log([[0.4, 0.6]]), np.log([[0.5, 0.5]])]
    paths, codes = np.array([[0, 0, 0], [1, 1, 1]]), np.array([[0, 0, 0]])
    found = {how: metrics(predicted, codes, paths)["path"] for how, predicted in decode(levels, paths).items()}
    assert found == {"independent": 0.0, "valid_path": 1.0}


def test_tidy_rows_carry_the_run_and_six_decimals():
    run = {"variant": "brand", "recipe": "tuned", "text": "masked", "split": "random", "train_size": 10, "seed": 1}
    (row,) = tidy(run, "test", "valid_path", {"path": 2 / 3})
    assert row == {**run, "decoding": "valid_path", "measured_on": "test", "metric": "path", "value": 0.666667}


def test_a_run_is_measured_on_test_rows_in_both_decodings_and_on_training_rows(random):
    levels, paths = make_levels(random, 50), make_paths(random)
    codes = make_codes(random, 50)
    said = {"test": decode(levels, paths), "train": {"independent": codes[:20]}}
    records = run_records({"variant": "brand"}, said, {"test": codes, "train": codes[:20]}, paths)
    places = {(record["measured_on"], record["decoding"]) for record in records}
    assert places == {("test", "independent"), ("test", "valid_path"), ("train", "independent")}
    assert [r["value"] for r in records if r["measured_on"] == "train" and r["metric"] == "path"] == [1.0]
    assert len(records) == 3 * len(METRICS)
