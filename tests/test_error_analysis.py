"""Errors taken apart, on cases small enough to be counted by hand."""

import numpy as np
import pandas as pd
import pytest

from lib.bootstrap import Interval, conditional, group_weights, resample
from lib.error_analysis import by_category, confusions, mean_counts, share_of_errors, watch
from lib.error_charts import draw_level_1, draw_pairs, draw_watch, mutual_pairs
from lib.error_paths import only_level_1, relations, wrong_levels
from lib.error_shares import Answers, compare_products, is_small, newcombe, shares, wilson

NAMES = [["men", "women"], ["shoes", "tops"], ["boots", "flats", "shirts", "vests"]]
PATHS = np.array([[0, 0, 0], [0, 0, 1], [0, 1, 2], [1, 0, 0], [1, 1, 2], [1, 1, 3]], np.int16)
TRUE = [[0, 0, 0]] * 4 + [[0, 1, 2]] * 2 + [[1, 1, 3]] * 2
# The first seed gets these rows wrong: 0 (level 3), 1 (level 1), 2 (levels 2 and 3), 4 (all); the second only row 1.
FIRST = [[0, 0, 1], [1, 0, 0], [0, 1, 2], [0, 0, 0], [1, 0, 0], [0, 1, 2], [1, 1, 3], [1, 1, 3]]
SECOND = [[0, 0, 0], [1, 0, 0], [0, 0, 0], [0, 0, 0], [0, 1, 2], [0, 1, 2], [1, 1, 3], [1, 1, 3]]


def make(*predicted: list, true: list = TRUE, groups: list | None = None) -> Answers:
    numbers = np.arange(len(true)) if groups is None else np.array(groups)
    weights = group_weights(int(numbers.max()) + 1)
    answers = np.array(predicted, np.int16)
    return Answers(tuple(range(len(answers))), np.array(true, np.int16), answers, numbers, NAMES, PATHS, weights)


@pytest.fixture
def tested() -> Answers:
    return make(FIRST, SECOND)


@pytest.fixture
def perfect() -> Answers:
    return make(TRUE, TRUE)


def test_a_share_is_of_the_rows_that_count(tested):
    men = tested.codes[:, 0] == 0
    found = shares(tested, np.stack([tested.right[:, :, 0]] * 2, axis=2), np.stack([men, ~men], axis=1))
    assert [one.mean for one in found] == [pytest.approx(9 / 12), 1]
    assert found[0].low < found[0].mean < found[0].high


def test_a_share_of_nothing_is_not_a_number():
    sample = conditional(resample([0], [np.array([[False, False]])], [np.array([0])], group_weights(1)))
    assert np.isnan(sample.values).all()


def test_copies_of_a_product_count_as_one_trial():
    many, half = [[0, 0, 0]] * 400, [[0, 0, 1]] * 200 + [[0, 0, 0]] * 200
    apart = by_category(make(half, true=many), 2).iloc[0]
    copies = by_category(make(half, true=many, groups=[row // 10 for row in range(400)]), 2).iloc[0]
    assert apart["accuracy"] == copies["accuracy"] == 0.5
    assert apart["interval"] == copies["interval"] == "bootstrap"
    assert copies["high"] - copies["low"] > 2 * (apart["high"] - apart["low"])


def test_wilson_agrees_with_a_published_example():
    """81 of 263 in Newcombe (1998), Statistics in Medicine 17:857, Table I."""
    found = wilson(81 / 263, 263)
    assert (round(found.low, 4), round(found.high, 4)) == (0.2553, 0.3662)


def test_newcombe_agrees_with_a_published_example():
    """56/70 - 48/80 in Newcombe (1998), Statistics in Medicine 17:873, Table II."""
    found = newcombe(wilson(56 / 70, 70), wilson(48 / 80, 80))
    assert (round(found.low, 4), round(found.high, 4)) == (0.0524, 0.3339)


def test_few_groups_or_few_errors_are_small():
    assert is_small(0.5, 10)
    assert is_small(1.0, 1000)
    assert not is_small(0.9, 1000)


def test_categories_are_counted_and_the_costliest_comes_first(tested):
    table = by_category(tested, 2)
    assert table["category"].tolist() == ["boots", "shirts", "vests"]
    assert table["products"].tolist() == [4, 2, 2]
    assert table["errors"].tolist() == [1.0, 0.5, 0.0]
    assert table["error_share"].tolist() == pytest.approx([2 / 3, 1 / 3, 0])
    assert table["accuracy"].tolist() == [0.75, 0.75, 1.0]
    assert table["share"].tolist() == [0.5, 0.25, 0.25]
    assert table["taken_for"].tolist() == ["flats (0.5), shirts (0.5)", "boots (0.5)", ""]


def test_two_right_answers_of_two_do_not_prove_a_category_perfect(tested):
    vests = by_category(tested, 2).set_index("category").loc["vests"]
    assert (vests["interval"], vests["accuracy"]) == ("Wilson", 1)
    assert vests["low"] < 0.5


def test_confusions_name_who_is_taken_for_whom(tested):
    assert confusions(tested, 0)[["true", "predicted", "errors"]].to_numpy().tolist() == [["men", "women", 1.5]]
    assert mean_counts(tested, 0).tolist() == [[4.5, 1.5], [0, 2]]


def test_the_watch_list_has_what_is_reliably_bad_and_what_is_costly():
    table = pd.DataFrame({
        "category": list("abcd"),
        "high": [0.95, 0.7, 0.85, 1.0],
        "errors": [50.0, 30.0, 20.0, 0.0],
        "error_share": [0.5, 0.3, 0.2, 0.0],
    })  # fmt: skip
    found = watch(table, 0.8, 0.5)
    assert found["below_target"].tolist() == [False, True, False, False]
    assert found["costly"].tolist() == [True, False, False, False]
    assert watch(table, 0.8, 0.51)["costly"].tolist() == [True, True, False, False]


def test_what_share_of_the_errors_some_categories_make():
    first = make(FIRST)
    assert share_of_errors(first, 2, ["boots"]).mean == pytest.approx(2 / 3)
    assert share_of_errors(first, 2, ["boots", "shirts", "vests"]) == Interval(1, 1, 1)


def test_wrong_paths_are_parted_by_the_levels_that_are_wrong(tested):
    table = wrong_levels(tested)
    errors = {"level 1": 1.0, "level 1 + level 2 + level 3": 0.5, "level 2 + level 3": 0.5, "level 3": 0.5}
    assert {wrong: count for wrong, count in table.set_index("wrong")["errors"].items() if count} == errors
    assert len(table) == 7
    assert table["share"].sum() == pytest.approx(1)
    assert table["first"].tolist() == [wrong.split(" + ")[0] for wrong in table["wrong"]]


def test_siblings_cousins_and_the_rest(tested):
    errors = relations(tested).set_index(["level", "relation"])["errors"]
    assert errors["level_2"].to_dict() == {"sibling": 1.0, "elsewhere": 0.0}
    # Boots for flats are siblings; boots for shirts and shirts for boots are not, but men have both.
    assert errors["level_3"].to_dict() == {"sibling": 0.5, "cousin": 1.0, "elsewhere": 0.0}


def test_what_only_another_department_has_is_elsewhere():
    errors = relations(make([[0, 1, 3]], true=[[0, 1, 2]])).set_index(["level", "relation"])["errors"]
    assert errors["level_3"].to_dict() == {"sibling": 0, "cousin": 0, "elsewhere": 1}


def test_where_level_1_alone_is_wrong_the_path_may_be_valid(tested):
    share, pairs = only_level_1(tested)
    assert share.mean == pytest.approx((1 / 4 + 1) / 2)  # of each seed's wrong paths
    assert pairs[["true", "predicted", "errors", "both_valid"]].to_numpy().tolist() == [["men", "women", 1.0, 1.0]]
    assert only_level_1(make([[0, 1, 3]], true=[[1, 1, 3]]))[1]["both_valid"].tolist() == [0.0]


def test_products_that_lack_something_are_compared_with_the_others(tested):
    kinds = {"no photo": np.arange(8) == 0, "all": np.ones(8, bool), "none": np.zeros(8, bool)}
    table = compare_products(tested, kinds)
    assert table["kind"].tolist() == ["no photo"]
    row, others = table.iloc[0], (4 / 7 + 6 / 7) / 2
    assert (row["products"], row["accuracy"]) == (1, 0.5)
    assert row["others"] == pytest.approx(others)
    assert row["difference"] == pytest.approx(0.5 - others)
    assert row["difference_low"] < row["difference"] < row["difference_high"]


def test_a_kind_with_many_products_has_a_bootstrapped_difference():
    answers = [[0, 0, int(row % 4 == 0)] for row in range(200)] + [[0, 0, row % 2] for row in range(200)]
    row = compare_products(make(answers, answers, true=[[0, 0, 0]] * 400), {"one": np.arange(400) < 200}).iloc[0]
    assert row["difference"] == 0.25
    assert 0.1 < row["difference_low"] < 0.25 < row["difference_high"] < 0.4


def test_a_kind_may_differ_between_seeds(tested):
    unknown = np.zeros((2, 8), bool)
    unknown[0, :3] = unknown[1, :2] = True
    row = compare_products(tested, {"brand not seen": unknown}).iloc[0]
    assert (row["products"], row["accuracy"]) == (2.5, (0 + 1 / 2) / 2)


@pytest.mark.filterwarnings("ignore:All-NaN slice")
def test_a_model_without_errors_has_empty_tables(perfect):
    assert confusions(perfect, 2).empty
    assert by_category(perfect, 2)["taken_for"].tolist() == ["", "", ""]
    assert wrong_levels(perfect)["errors"].sum() == 0
    assert relations(perfect)["errors"].sum() == 0
    assert only_level_1(perfect)[1].empty


def test_pairs_add_up_both_directions(tested):
    pairs = mutual_pairs(confusions(tested, 2), by_category(tested, 2))
    row = pairs.set_index(["a", "b"]).loc[("boots", "shirts")]
    assert row[["a_for_b", "b_for_a", "errors"]].tolist() == [0.5, 0.5, 1.0]
    assert row["share"] == pytest.approx(1 / 6)
    assert pairs["errors"].is_monotonic_decreasing


def test_a_pair_is_named_in_its_more_frequent_direction():
    table = pd.DataFrame({"true": ["x", "b"], "predicted": ["b", "x"], "errors": [3.0, 1.0]})
    pairs = mutual_pairs(table, pd.DataFrame({"category": ["b", "x"], "products": [4, 4]}))
    assert pairs.iloc[0].tolist() == ["x", "b", 3.0, 1.0, 4.0, 0.5]


def test_figures_say_in_words_what_they_show(tested):
    categories = watch(by_category(tested, 2), 0.8, 0.5)
    assert "women: 100" in draw_level_1(mean_counts(tested, 0), NAMES[0]).alt
    assert "boots / shirts: 1.0" in draw_pairs(mutual_pairs(confusions(tested, 2), categories)).alt
    assert "boots: 75.0" in draw_watch(categories, 0.8).alt
