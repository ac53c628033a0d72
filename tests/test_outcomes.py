"""Outcomes: packed and unpacked without loss, whatever the order of rows; files that are wrong are named."""

import numpy as np
import pytest

from lib import outcomes
from lib.errors import StudyError
from lib.evaluate import correctness

PATHS = np.array([[0, 0, 0], [0, 1, 1], [1, 1, 2]])


@pytest.fixture
def right():
    random = np.random.default_rng(0)
    codes = PATHS[random.integers(3, size=1003)]
    predicted = np.where(random.random(codes.shape) < 0.3, 0, codes)
    return correctness(predicted, codes, PATHS)


def test_nothing_is_lost(right):
    bits = outcomes.pack(right, np.arange(len(right)))
    assert bits.shape == (4, 126)
    assert (outcomes.unpack(bits, len(right)) == right).all()


def test_rows_come_back_in_ascending_order(right):
    rows = np.random.default_rng(1).permutation(5000)[: len(right)]
    again = outcomes.unpack(outcomes.pack(right, rows), len(rows))
    assert (again == right[np.argsort(rows)]).all()


def test_a_file_holds_every_run_and_way_and_the_same_bytes_whatever_the_order(right, tmp_path):
    bits = outcomes.pack(right, np.arange(len(right)))
    ways = [outcomes.Way("independent", "test"), outcomes.Way("hard", "train")]
    runs = {key: dict.fromkeys(ways, bits) for key in ("tuned-masked-random-40-0", "paper-plain-grouped-60-1")}
    outcomes.write(tmp_path / "a.npz", runs)
    outcomes.write(tmp_path / "b.npz", {key: dict(reversed(by.items())) for key, by in reversed(runs.items())})
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    found = outcomes.read(tmp_path / "a.npz")
    assert {key: set(by) for key, by in found.items()} == {key: set(ways) for key in runs}
    assert (found["paper-plain-grouped-60-1"][ways[0]] == bits).all()


def test_files_are_read_as_one(right, tmp_path):
    bits = {outcomes.Way("independent", "test"): outcomes.pack(right, np.arange(len(right)))}
    outcomes.write(tmp_path / "a.npz", {"a": bits})
    outcomes.write(tmp_path / "b.npz", {"b": bits})
    assert set(outcomes.merge([tmp_path / "a.npz", tmp_path / "b.npz"])) == {"a", "b"}


def test_what_is_no_file_of_outcomes_is_named(tmp_path):
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    with pytest.raises(StudyError, match=r"other\.npz does not hold outcomes of runs"):
        outcomes.read(tmp_path / "other.npz")
    with pytest.raises(StudyError, match=r"absent\.npz is missing"):
        outcomes.read(tmp_path / "absent.npz")
