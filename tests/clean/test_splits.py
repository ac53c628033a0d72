"""Held-out parts have exact shares, keep groups together and know no order of rows; training sizes are nested."""

import math
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from lib.clean.splits import (
    check_parts,
    development_rows,
    sampling_key,
    sampling_rank,
    split_products,
    training_rows,
    tuning_rows,
)
from lib.clean.splits import grouped_split as split_with_salt
from lib.clean.splits import test_rows as rows_of_test
from lib.config import LEVELS, SPLITS, SplitParams
from lib.exceptions import StudyError

SHARES = SplitParams(test=0.25, validation=0.1)
ROWS = 1_000
KEYS = sampling_key(f"p{row}" for row in range(ROWS))
GROUPS = np.sort(np.random.default_rng(0).integers(0, 400, ROWS))


SALT = 2**63 + 100
PATHS = np.repeat(np.arange(20), 50)[:, None] * np.ones(3, int)


def grouped_split(keys, groups, shares):
    return split_with_salt(keys, groups, shares, SALT)


def random_split(keys, shares):
    return grouped_split(keys, np.arange(len(keys)), shares)


@pytest.fixture
def products():
    return pd.DataFrame(
        {
            "sampling_key": KEYS,
            "random_split": random_split(KEYS, SHARES),
            "grouped_split": grouped_split(KEYS, GROUPS, SHARES),
        }
    )


def counts(part):
    return {name: int((part == name).sum()) for name in ("test", "validation", "train")}


# Parts


def test_random_split_has_exact_shares():
    assert counts(random_split(KEYS, SHARES)) == {"test": 250, "validation": 75, "train": 675}


def test_grouped_split_has_exact_shares_where_single_products_can_fill_them():
    groups = np.r_[np.repeat(np.arange(10), 50), np.arange(10, 510)]
    assert counts(grouped_split(KEYS, groups, SHARES)) == {"test": 250, "validation": 75, "train": 675}


def test_no_group_has_rows_in_two_parts():
    parts = pd.Series(grouped_split(KEYS, GROUPS, SHARES)).groupby(GROUPS).nunique()
    assert parts.max() == 1
    assert set(grouped_split(KEYS, GROUPS, SHARES)) == {"train", "validation", "test"}


def test_group_larger_than_the_test_share_is_trained_on():
    groups = np.r_[np.zeros(600, int), np.arange(1, 401)]
    part = grouped_split(KEYS, groups, SHARES)
    assert set(part[:600]) == {"train"}
    assert counts(part)["test"] == 250


def test_group_that_is_everything_leaves_nothing_to_test():
    assert counts(grouped_split(KEYS, np.zeros(ROWS, int), SHARES)) == {"test": 0, "validation": 0, "train": ROWS}


def test_splits_know_neither_the_order_of_rows_nor_the_numbers_of_groups():
    order = np.random.default_rng(1).permutation(ROWS)
    renumbered = (GROUPS[order] * 7 + 3) % 1009
    assert (random_split(KEYS[order], SHARES) == random_split(KEYS, SHARES)[order]).all()
    assert (grouped_split(KEYS[order], renumbered, SHARES) == grouped_split(KEYS, GROUPS, SHARES)[order]).all()


def test_adding_products_changes_the_part_of_few_others():
    before = random_split(KEYS, SHARES)
    more = sampling_key([*(f"p{row}" for row in range(ROWS)), *(f"q{row}" for row in range(20))])
    assert (random_split(more, SHARES)[:ROWS] != before).mean() < 0.05


def test_no_rows_give_no_parts():
    assert len(random_split(sampling_key([]), SHARES)) == 0


# Every way to split


def split(development=0.0, paths=PATHS, groups=GROUPS, given=None):
    table = pd.DataFrame({"group": groups, "loose_group": groups // 5})
    return split_products(KEYS, table, paths, SHARES, development, given)


def test_ways_to_split_are_draws_of_their_own_and_know_their_groups():
    found = split()
    tests = {name: set(np.flatnonzero(found[f"{name}_split"] == "test")) for name in SPLITS}
    assert len(tests["random"]) == 250
    for one, other in pairwise(SPLITS):
        assert len(tests[one] & tests[other]) < 110  # by chance some 62
    for name, groups in {"grouped": GROUPS, "grouped_2": GROUPS, "grouped_3": GROUPS, "loose": GROUPS // 5}.items():
        assert found.groupby(groups)[f"{name}_split"].nunique().max() == 1


def test_fresh_rows_are_those_that_no_test_part_of_the_first_edition_had():
    found = split()
    assert not (found["fresh"] & (found["loose_split"] == "test")).any()  # that split is the first edition's
    assert 0.4 < found["fresh"].mean() < 0.7


def test_development_part_is_of_whole_groups_and_the_same_in_every_split():
    found = split(0.1)
    aside = found["random_split"] == "development"
    assert aside.sum() == 100
    for name in SPLITS:
        assert (aside == (found[f"{name}_split"] == "development")).all()
        assert set(found[f"{name}_split"]) == {"train", "validation", "test", "development"}
    assert aside.groupby(GROUPS).nunique().max() == 1


def test_development_part_leaves_every_path_a_product():
    paths = np.arange(ROWS)[:, None] // 2 * np.ones(3, int)
    aside = development_rows(KEYS, np.arange(ROWS), paths, 0.3)
    assert aside.sum() == 300
    assert len(np.unique(paths[~aside], axis=0)) == len(np.unique(paths, axis=0))


def test_development_part_that_would_empty_categories_is_refused():
    with pytest.raises(StudyError, match="300, and only 0 can be set aside without leaving a category path without"):
        development_rows(KEYS, GROUPS, GROUPS[:, None] * np.ones(3, int), 0.3)


def test_given_parts_take_the_place_of_the_random_split():
    given = np.where(np.arange(ROWS) < 700, "train", np.where(np.arange(ROWS) < 800, "validation", "test"))
    found = split(given=given)
    assert (found["random_split"] == given).all()
    assert (found["grouped_split"] == split()["grouped_split"]).all()
    with pytest.raises(StudyError, match="development"):
        split(0.1, given=given)


# Keys and ranks


def test_key_depends_on_the_id_alone():
    assert sampling_key(["1163"]).tolist() == [17098626610622433970]
    assert sampling_key(["x", "1163"])[1] == sampling_key(["1163"])[0]


def test_rank_is_a_permutation_that_the_seed_chooses():
    first, second = sampling_rank(KEYS, 0), sampling_rank(KEYS, 1)
    assert sorted(first) == list(range(ROWS))
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.1


def test_rank_belongs_to_the_product_wherever_its_row_is():
    order = np.random.default_rng(1).permutation(ROWS)
    assert (sampling_rank(KEYS[order], 3) == sampling_rank(KEYS, 3)[order]).all()


def test_equal_keys_keep_their_order():
    assert sampling_rank(np.zeros(5, np.uint64), 0).tolist() == [0, 1, 2, 3, 4]


def test_rank_says_nothing_about_the_part(products):
    test = sampling_rank(KEYS, 0)[products["random_split"] == "test"]
    assert abs(test.mean() - ROWS / 2) < 60


# Training sizes


@pytest.mark.parametrize("split", ["random", "grouped"])
def test_smaller_sample_is_the_beginning_of_a_larger_one(products, split):
    draws = [training_rows(products, split, size, seed=2) for size in (50, 200, "all")]
    for (train, validation), (more_train, more_validation) in pairwise(draws):
        assert (more_train[: len(train)] == train).all()
        assert (more_validation[: len(validation)] == validation).all()


@pytest.mark.parametrize("size", [1, 9, 10, 100])
def test_sample_has_size_training_rows_and_a_ninth_of_it_to_validate_on(products, size):
    train, validation = training_rows(products, "random", size, seed=0)
    assert (len(train), len(validation)) == (size, math.ceil(size / 9))
    assert set(products["random_split"].iloc[train]) == {"train"}
    assert set(products["random_split"].iloc[validation]) == {"validation"}


def test_all_takes_every_row_of_both_parts(products):
    train, validation = training_rows(products, "grouped", "all", seed=0)
    assert sorted(train) == np.flatnonzero(products["grouped_split"] == "train").tolist()
    assert sorted(validation) == np.flatnonzero(products["grouped_split"] == "validation").tolist()


def test_seeds_draw_other_samples_and_leave_the_test_rows(products):
    first, second = (set(training_rows(products, "random", 100, seed)[0]) for seed in (0, 1))
    assert len(first & second) < 40
    test = rows_of_test(products, "random")
    assert len(test) == 250
    assert not (first | second) & set(test)


@pytest.mark.parametrize("size", [676, 10**9, 0])
def test_impossible_size_is_refused_with_the_number_there_is(products, size):
    with pytest.raises(StudyError, match=r"the random split has 675 training rows\. Got"):
        training_rows(products, "random", size, seed=0)


# The part of validation rows that tunes


def test_tuning_takes_its_share_of_whole_groups_and_depends_on_no_other_row(products):
    products["group"] = GROUPS
    rows = np.arange(ROWS)
    tuned = tuning_rows(products, rows, 0.3)
    shares = pd.Series(tuned).groupby(GROUPS).mean()
    assert set(shares) == {0.0, 1.0}
    assert shares.mean() == pytest.approx(0.3, abs=0.07)
    some = np.random.default_rng(0).permutation(rows)[:200]
    assert (tuning_rows(products, some, 0.3) == tuned[some]).all()


# Splits that measure nothing


def catalogue(paths, groups):
    keys = sampling_key(f"p{row}" for row in range(len(paths)))
    table = pd.DataFrame([path.split() for path in paths], columns=list(LEVELS))
    return table.assign(
        group=groups,
        random_split=random_split(keys, SHARES),
        grouped_split=grouped_split(keys, np.array(groups), SHARES),
    )


def test_share_of_test_products_that_nobody_can_get_right_is_returned():
    products = catalogue(["A B C"] * 80 + [f"A B c{n}" for n in range(20)], range(100))
    unseen = check_parts(products, "mine")
    own = products["level_3"] != "C"
    for split in ("random", "grouped"):
        test = products[f"{split}_split"] == "test"
        assert unseen[split] == pytest.approx((own & test).sum() / test.sum())
    assert check_parts(catalogue(["A B C"] * 50 + ["A D E"] * 50, range(100)), "mine") == {"random": 0, "grouped": 0}


SAME, OWN = ["A B C"] * 100, [f"A B c{n}" for n in range(100)]
FIVES = np.arange(100) // 5


@pytest.mark.parametrize(
    ("paths", "groups", "message"),
    [
        (SAME[:7], range(7), r"random .*'mine' .* empty part: 5 train, 0 validation, 2 test\..*7 products are too few"),
        (SAME, [0] * 100, r"grouped .* empty part: 100 train, 0 validation, 0 test\..*largest has 100"),
        (SAME, [0] * 60 + [*range(1, 41)], r"grouped .* keeps most products in one part.*41 groups.*largest has 60"),
        (OWN, range(100), r"random .* tests 25 products, of which 100% .*100 paths.*product_name: drop"),
        ([OWN[five] for five in FIVES], FIVES, r"grouped .* of which 100% .*20 groups"),
    ],
)
def test_a_split_that_measures_nothing_is_refused_with_its_counts_and_what_helps(paths, groups, message):
    with pytest.raises(StudyError, match=message):
        check_parts(catalogue(paths, list(groups)), "mine")


def test_few_test_products_prove_nothing():
    check_parts(catalogue([f"A B c{n}" for n in range(10)], [0] * 6 + [1, 2, 3, 4]), "mine")
