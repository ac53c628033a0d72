"""Decoding and outcomes: exact, whatever the order of rows or paths; nothing is lost; wrong files are named."""

import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.metrics import accuracy_score

from lib.exceptions import StudyError
from lib.training import metrics
from lib.training.metrics import Way, accuracies, correctness, decode, independent, pack, unpack, valid_path

SIZES = (4, 7, 12)
TEST = Way("independent", "test")


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def paths(random) -> np.ndarray:
    return np.unique(np.stack([random.integers(size, size=40) for size in SIZES], axis=1), axis=0).astype(np.int16)


@pytest.fixture
def levels(random) -> list[np.ndarray]:
    return [log_softmax(random.normal(size=(300, size)), axis=1).astype(np.float16) for size in SIZES]


def test_a_level_alone_is_decoded_as_its_most_probable_class(levels):
    for level, column in zip(levels, independent(levels).T, strict=True):
        np.testing.assert_array_equal(level[np.arange(300), column], level.max(axis=1))


@pytest.mark.parametrize("rows_at_once", [1024, 64])  # 64: several chunks, the last one not full
def test_the_valid_path_is_the_best_of_all(levels, paths, monkeypatch, rows_at_once):
    monkeypatch.setattr(metrics, "ROWS_AT_ONCE", rows_at_once)
    scores = sum(level.astype(np.float32)[:, codes] for level, codes in zip(levels, paths.T, strict=True))
    np.testing.assert_array_equal(valid_path(levels, paths), paths[scores.argmax(axis=1)])


def test_ties_go_to_the_lowest_codes_whatever_the_order_of_the_paths(random, paths):
    flat = [np.full((3, size), -1.0, np.float16) for size in SIZES]
    for order in (paths, paths[::-1], random.permutation(paths)):
        np.testing.assert_array_equal(valid_path(flat, order), np.tile(paths[0], (3, 1)))


def test_no_rows_decode_to_no_rows(levels, paths):
    assert {codes.shape for codes in decode([level[:0] for level in levels], paths).values()} == {(0, 3)}


def test_accuracies_agree_with_scikit_learn(random, levels, paths):
    codes = paths[random.integers(len(paths), size=300)]
    predicted = np.where(random.random(codes.shape) < 0.6, codes, independent(levels))
    outcomes = {
        "my-own-masked-random-40-1": {TEST: pack(correctness(predicted, codes, paths), random.permutation(300))}
    }
    table = accuracies(outcomes, {"random": 300})
    assert table[["recipe", "train_size", "seed"]].drop_duplicates().to_numpy().tolist() == [["my-own", 40, 1]]
    values = table.set_index("metric")["value"]
    expected = [accuracy_score(codes[:, level], predicted[:, level]) for level in range(3)]
    assert values[["level_1", "level_2", "level_3"]].tolist() == pytest.approx(expected)
    assert values["mean"] == pytest.approx(np.mean(expected))
    assert values["path"] == pytest.approx((predicted == codes).all(axis=1).mean())
    assert values["valid_share"] == pytest.approx(np.mean([row in paths.tolist() for row in predicted.tolist()]))


def test_a_predicted_path_is_valid_only_if_it_is_one():
    paths = np.array([[0, 0, 0], [1, 1, 1]], np.int16)
    predicted = np.array([[0, 0, 0], [0, 0, 1], [1, 1, 1], [3, 9, 9]], np.int16)  # the last has codes no path has
    right = correctness(predicted, np.tile(paths[1], (4, 1)), paths)
    np.testing.assert_array_equal(right[:, 4], [True, False, True, False])


def test_nothing_is_lost_and_rows_come_back_in_ascending_order(random):
    codes = random.integers(2, size=(1003, 3))
    right, rows = correctness(codes, np.zeros_like(codes), np.zeros((1, 3), int)), random.permutation(5000)[:1003]
    bits = pack(right, rows)
    assert bits.shape == (4, 126)
    assert (unpack(bits, 1003) == right[np.argsort(rows)]).all()


def test_a_file_holds_every_run_and_way_and_the_same_bytes_whatever_the_order(tmp_path):
    bits = np.arange(8, dtype=np.uint8).reshape(4, 2)
    runs = {key: {TEST: bits, Way("hard", "train"): bits} for key in ("tuned-masked-random-9-0", "a-plain-grouped-9-1")}
    metrics.write(tmp_path / "a.npz", runs)
    metrics.write(tmp_path / "b.npz", {key: dict(reversed(by.items())) for key, by in reversed(runs.items())})
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    again = metrics.read(tmp_path / "a.npz")
    assert {key: set(by) for key, by in again.items()} == {key: set(by) for key, by in runs.items()}
    assert (again["a-plain-grouped-9-1"][TEST] == bits).all()


def test_what_is_no_file_of_outcomes_is_named(tmp_path):
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    with pytest.raises(StudyError, match=r"other\.npz does not hold outcomes of runs"):
        metrics.read(tmp_path / "other.npz")
    with pytest.raises(StudyError, match=r"absent\.npz is missing"):
        metrics.read(tmp_path / "absent.npz")
