"""Labelled pairs say how well groups mean copies; a file that cannot be so is one message."""

import numpy as np
import pandas as pd
import pytest

from lib.clean import pairs
from lib.exceptions import StudyError

IDS = pd.Series([f"p{n}" for n in range(8)])
ROWS = [
    ("p0", "p1", "yes", "yes", 1, 1.0, "choose"),
    ("p2", "p3", "no", "no", 1, 1.0, "choose"),
    ("p4", "p5", "yes", "no", 0, 10.0, "choose"),
    ("p0", "p2", "no", "no", 0, 10.0, "confirm"),
    ("p6", "p7", "yes", "yes", 0, 2.0, "confirm"),
]


def write(study, rows=ROWS, columns=pairs.COLUMNS):
    pd.DataFrame(rows, columns=columns).to_csv(study / "catalogues/mine_pairs.csv", index=False)


def test_precision_and_recall_weight_pairs_back_and_count_a_disagreement_half(study):
    write(study)
    found = pairs.load_pairs("mine", IDS)
    assert found["copy"].tolist() == [1, 0, 0.5, 0, 1]
    groups = {"all": np.zeros(8, int), "none": np.arange(8), "first": np.array([0, 0, 1, 1, 2, 3, 4, 4])}
    rows = pairs.measure(found, groups).set_index(["groups", "half"])
    assert rows.loc[("all", "choose"), ["precision", "recall"]].tolist() == [0.5, 1.0]
    assert rows.loc[("first", "choose"), "precision"] == 0.5
    assert rows.loc[("first", "choose"), "recall"] == pytest.approx(1 / 6)
    assert rows.loc[("first", "confirm"), ["precision", "recall"]].tolist() == [1.0, 1.0]
    assert rows.loc[("none", "choose"), "recall"] == 0
    assert np.isnan(rows.loc[("none", "choose"), "precision"])
    assert (rows["recall_low"] <= rows["recall"] + 1e-9).all()


def test_agreement_of_two_readings(study):
    write(study)
    same, kappa = pairs.agreement(pairs.load_pairs("mine", IDS))
    assert same == 0.8
    assert kappa == pytest.approx((0.8 - 0.48) / 0.52)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([*ROWS, ("p0", "gone", "no", "no", 0, 1.0, "choose")], r"1 ids are not in the catalogue, such as \['gone'\]"),
        ([*ROWS, ("p0", "p3", "maybe", "no", 0, 1.0, "choose")], r"'first' should be yes or no\. Found \['maybe'\]"),
        (ROWS[:3], "half 'confirm' has 0 pairs"),
        (ROWS[:4], "half 'confirm' has 1 pairs, and no copy"),
    ],
)
def test_pairs_that_say_nothing_are_refused(study, rows, message):
    write(study, rows)
    with pytest.raises(StudyError, match=message):
        pairs.load_pairs("mine", IDS)


def test_another_column_is_named(study):
    write(study, columns=[*pairs.COLUMNS[:-1], "part"])
    with pytest.raises(StudyError, match="expected the columns"):
        pairs.load_pairs("mine", IDS)


def test_committed_pairs_are_ids_and_verdicts_in_even_halves():
    table = pd.read_csv(pairs.path_of("fashion"), dtype={"a": str, "b": str})
    assert list(table) == pairs.COLUMNS
    assert len(table) == 600
    assert not table.duplicated(["a", "b"]).any()
    assert table["half"].value_counts().to_dict() == {"choose": 300, "confirm": 300}
    assert (table["first"] == table["second"]).mean() > 0.95
