"""Errors taken apart: on cases small enough to be counted by hand, and on a made-up study with its files."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_results import CATALOGUE, make_study
from tiny import REPOSITORY

from lib import config
from lib.analysis import errors
from lib.analysis.errors import Answers, Trained
from lib.evaluation.bootstrap import Interval, group_weights
from lib.evaluation.results import Results, make_results
from lib.exceptions import StudyError
from lib.files import write_tables

NAMES = [["men", "women"], ["shoes", "tops"], ["boots", "flats", "shirts", "vests"]]
PATHS = np.array([[0, 0, 0], [0, 0, 1], [0, 1, 2], [1, 0, 0], [1, 1, 2], [1, 1, 3]], np.int16)
TRUE = [[0, 0, 0]] * 4 + [[0, 1, 2]] * 2 + [[1, 1, 3]] * 2
# The first seed gets these rows wrong: 0 (level 3), 1 (level 1), 2 (levels 2 and 3), 4 (all); the second only row 1.
FIRST = [[0, 0, 1], [1, 0, 0], [0, 1, 2], [0, 0, 0], [1, 0, 0], [0, 1, 2], [1, 1, 3], [1, 1, 3]]
SECOND = [[0, 0, 0], [1, 0, 0], [0, 0, 0], [0, 0, 0], [0, 1, 2], [0, 1, 2], [1, 1, 3], [1, 1, 3]]
SKILL = {"linear": 2.4, "brand": 0.4, "brand_text_image": 3.4, "sequential": 1.8}


def make(*predicted: list, true: list = TRUE, groups: list | None = None) -> Answers:
    numbers = np.arange(len(true)) if groups is None else np.array(groups)
    weights = group_weights(int(numbers.max()) + 1, draws=200)
    said = np.array(predicted, np.int16)
    return Answers(tuple(range(len(said))), np.array(true, np.int16), said, numbers, NAMES, PATHS, weights)


@pytest.fixture
def answers() -> Answers:
    return make(FIRST, SECOND)


# Counted by hand


def test_copies_of_a_product_count_as_one_trial():
    many, half = [[0, 0, 0]] * 400, [[0, 0, 1]] * 200 + [[0, 0, 0]] * 200
    apart = errors.by_category(make(half, true=many), 2).iloc[0]
    copies = errors.by_category(make(half, true=many, groups=[row // 10 for row in range(400)]), 2).iloc[0]
    assert apart["accuracy"] == copies["accuracy"] == 0.5
    assert apart["interval"] == copies["interval"] == "bootstrap"
    assert copies["high"] - copies["low"] > 2 * (apart["high"] - apart["low"])


def test_intervals_agree_with_published_examples():
    """81 of 263 in Newcombe (1998), Statistics in Medicine 17:857, Table I; 56/70 - 48/80 in 17:873, Table II."""
    one = errors.wilson(81 / 263, 263)
    assert (round(one.low, 4), round(one.high, 4)) == (0.2553, 0.3662)
    difference = errors.newcombe(errors.wilson(56 / 70, 70), errors.wilson(48 / 80, 80))
    assert (round(difference.low, 4), round(difference.high, 4)) == (0.0524, 0.3339)


def test_categories_are_counted_and_the_costliest_comes_first(answers):
    table = errors.by_category(answers, 2)
    assert table["category"].tolist() == ["boots", "shirts", "vests"]
    assert table["products"].tolist() == [4, 2, 2]
    assert table["errors"].tolist() == [1.0, 0.5, 0.0]
    assert table["error_share"].tolist() == pytest.approx([2 / 3, 1 / 3, 0])
    assert table["accuracy"].tolist() == [0.75, 0.75, 1.0]
    assert table["taken_for"].tolist() == ["flats (0.5), shirts (0.5)", "boots (0.5)", ""]
    assert table["interval"].tolist() == ["Wilson"] * 3
    assert table["low"].iloc[2] < 0.5  # two right answers of two do not prove a category perfect
    people = errors.confusions(answers, 0)
    assert people[["true", "predicted", "errors"]].to_numpy().tolist() == [["men", "women", 1.5]]


def test_the_watch_list_has_what_is_reliably_bad_and_what_is_costly():
    table = pd.DataFrame({
        "category": list("abcd"),
        "high": [0.95, 0.7, 0.85, 1.0],
        "errors": [50.0, 30.0, 20.0, 0.0],
        "error_share": [0.5, 0.3, 0.2, 0.0],
    })  # fmt: skip
    listed = errors.watch(table, 0.8, 0.5)
    assert listed["below_target"].tolist() == [False, True, False, False]
    assert listed["costly"].tolist() == [True, False, False, False]
    assert errors.watch(table, 0.8, 0.51)["costly"].tolist() == [True, True, False, False]


def test_what_share_of_the_errors_some_categories_make():
    first = make(FIRST)
    assert errors.share_of_errors(first, 2, ["boots"]).mean == pytest.approx(2 / 3)
    assert errors.share_of_errors(first, 2, ["boots", "shirts", "vests"]) == Interval(1, 1, 1)


def test_wrong_paths_are_parted_by_the_levels_that_are_wrong(answers):
    table = errors.wrong_levels(answers)
    counts = {"level 1": 1.0, "level 1 + level 2 + level 3": 0.5, "level 2 + level 3": 0.5, "level 3": 0.5}
    assert {wrong: count for wrong, count in table.set_index("wrong")["errors"].items() if count} == counts
    assert len(table) == 7
    assert table["share"].sum() == pytest.approx(1)
    assert table["first"].tolist() == [wrong.split(" + ")[0] for wrong in table["wrong"]]


def test_siblings_cousins_and_the_rest(answers):
    counts = errors.relations(answers).set_index(["level", "relation"])["errors"]
    assert counts["level_2"].to_dict() == {"sibling": 1.0, "elsewhere": 0.0}
    # Boots for flats are siblings; boots for shirts and shirts for boots are not, but men have both.
    assert counts["level_3"].to_dict() == {"sibling": 0.5, "cousin": 1.0, "elsewhere": 0.0}
    other = errors.relations(make([[0, 1, 3]], true=[[0, 1, 2]])).set_index(["level", "relation"])["errors"]
    assert other["level_3"].to_dict() == {"sibling": 0, "cousin": 0, "elsewhere": 1}


def test_where_level_1_alone_is_wrong_the_path_may_be_valid(answers):
    share, pairs = errors.only_level_1(answers)
    assert share.mean == pytest.approx((1 / 4 + 1) / 2)  # of each seed's wrong paths
    assert pairs[["true", "predicted", "errors", "both_valid"]].to_numpy().tolist() == [["men", "women", 1.0, 1.0]]
    assert errors.only_level_1(make([[0, 1, 3]], true=[[1, 1, 3]]))[1]["both_valid"].tolist() == [0.0]


def test_products_that_lack_something_are_compared_with_the_others(answers):
    by_seed = np.zeros((2, 8), bool)
    by_seed[0, :3] = by_seed[1, :2] = True
    kinds = {"no photo": np.arange(8) == 0, "all": np.ones(8, bool), "none": np.zeros(8, bool), "new brand": by_seed}
    table = errors.compare_products(answers, kinds)
    assert table["kind"].tolist() == ["no photo", "new brand"]
    row, others = table.iloc[0], (4 / 7 + 6 / 7) / 2
    assert (row["products"], row["accuracy"]) == (1, 0.5)
    assert row["others"] == pytest.approx(others)
    assert row["difference"] == pytest.approx(0.5 - others)
    assert row["difference_low"] < row["difference"] < row["difference_high"]
    assert table[["products", "accuracy"]].iloc[1].tolist() == [2.5, (0 + 1 / 2) / 2]


def test_a_kind_with_many_products_has_a_bootstrapped_difference():
    said = [[0, 0, int(row % 4 == 0)] for row in range(200)] + [[0, 0, row % 2] for row in range(200)]
    row = errors.compare_products(make(said, said, true=[[0, 0, 0]] * 400), {"one": np.arange(400) < 200}).iloc[0]
    assert row["difference"] == 0.25
    assert 0.1 < row["difference_low"] < 0.25 < row["difference_high"] < 0.4


@pytest.mark.filterwarnings("ignore:All-NaN slice")
def test_a_model_without_errors_has_empty_tables():
    perfect = make(TRUE, TRUE)
    assert errors.confusions(perfect, 2).empty
    assert errors.by_category(perfect, 2)["taken_for"].tolist() == ["", "", ""]
    assert errors.wrong_levels(perfect)["errors"].sum() == errors.relations(perfect)["errors"].sum() == 0
    assert errors.only_level_1(perfect)[1].empty


def test_the_notebooks_pairs_add_up_both_directions(answers):
    notebook = json.loads((REPOSITORY / "notebooks/07_errors.ipynb").read_text("utf-8"))
    (source,) = ("".join(cell["source"]) for cell in notebook["cells"] if cell["id"] == "pairs")
    own = {"confusions": errors.confusions(answers, 2).assign(level="level_3")}
    space = {"np": np, "own": own, "level_3": errors.by_category(answers, 2)}
    exec(source, space)
    row = space["pairs"].set_index(["one", "other"]).loc[("boots", "shirts")]
    assert row[["one_for_other", "other_for_one", "errors"]].tolist() == [0.5, 0.5, 1.0]
    assert row["share"] == pytest.approx(1 / 6)
    assert space["pairs"]["errors"].is_monotonic_decreasing


# A made-up study


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STUDY_ROOT", str(root))
        make_study(root, SKILL)
        make_results(CATALOGUE)
    return root


@pytest.fixture
def study_root(made, tmp_path, monkeypatch) -> Path:
    """Return a copy of the made study that a test may spoil."""
    root = tmp_path / "study"
    shutil.copytree(made, root)
    monkeypatch.setenv("STUDY_ROOT", str(root))
    return root


def edit(name: str, change) -> None:
    path = config.report_dir(CATALOGUE, f"{name}.csv")
    change(pd.read_csv(path, keep_default_na=False)).to_csv(path, index=False)


def test_the_model_is_the_best_on_validation_rows_of_the_grouped_split_and_test_rows_have_no_say(study_root):
    chosen, choice = errors.open_errors(CATALOGUE)
    assert set(choice["variant"]) == {"naive", *SKILL}
    assert choice["validation_path"].is_monotonic_decreasing
    assert choice["chosen"].tolist() == [True] + [False] * len(SKILL)
    assert list(chosen.models) == ["grouped", "random"]
    assert {model.variant for model in chosen.models.values()} == {choice["variant"][0]}
    assert {model.recipe for model in chosen.models.values()} <= {"tuned", "none"}
    edit("intervals", lambda table: table.assign(**{name: 1 - table[name] for name in ("mean", "low", "high")}))
    after = errors.open_errors(CATALOGUE)[1]
    assert after["variant"].tolist() == choice["variant"].tolist()
    assert after["test_path"].tolist() != choice["test_path"].tolist()


def test_models_with_a_recipe_of_their_own_belong_to_the_main_experiment():
    names = ["linear", "brand_text", "lstm", "lstm_multitask"]
    recipes = {"linear": ["none"], "brand_text": ["tuned", "paper"], "lstm": ["tuned_lstm", "paper_lstm"]}
    rows = [(name, recipe, "masked", "random", 9) for name in names for recipe in recipes.get(name, ["tuned_lstm"])]
    models = errors.main_models(pd.DataFrame(rows, columns=Trained._fields))
    assert [(model.variant, model.recipe) for model in models] == [
        *[("linear", "none"), ("brand_text", "tuned"), ("lstm", "tuned_lstm"), ("lstm_multitask", "tuned_lstm")]
    ]


def test_only_rows_that_every_seed_held_out_are_read_and_in_one_order(study_root):
    model = Trained("brand", "tuned", "masked", "random", 60)  # the largest size has one validation set for all seeds
    each = [errors.read_held_out(CATALOGUE, model, [seed], "validation") for seed in (0, 1)]
    both = errors.read_held_out(CATALOGUE, model, [0, 1], "validation")
    assert [len(one.rows) for one in each] == [7] * 2
    assert both.rows.tolist() == sorted(set(each[0].rows) & set(each[1].rows))
    assert 0 < len(both.rows) < 7
    for seed, one in enumerate(each):
        places = np.searchsorted(one.rows, both.rows)
        np.testing.assert_array_equal(both.levels[seed][2], one.levels[0][2][places])
    assert np.allclose([level.sum(axis=1) for level in both.mean_probabilities()], 1)


def test_errors_add_up_to_those_of_the_results_and_two_runs_write_the_same_bytes(study_root, tmp_path):
    for folder in ("one", "two"):
        chosen, choice = errors.open_errors(CATALOGUE)
        tables = {"choice": choice, **errors.error_tables(chosen, 0.8, 0.5), **errors.decodings(CATALOGUE)}
        write_tables(tmp_path / folder, tables)
    for path in (tmp_path / "one").glob("*.csv"):
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
    results = Results.read(CATALOGUE).intervals
    for split, answers in chosen.answers.items():
        model = chosen.models[split]
        rows = results[(results[list(Trained._fields)] == list(model)).all(axis=1)]
        rows = rows[(rows["measured_on"] == "test") & (rows["decoding"] == "independent")].set_index("metric")
        own = {name: table[table["split"] == split] for name, table in tables.items()}
        counts = own["categories"].groupby("level")["errors"].sum()
        for level in config.LEVELS:
            assert counts[level] == pytest.approx((1 - rows.loc[level, "mean"]) * len(answers.codes), abs=1e-3)
        paths = own["wrong_levels"]["errors"].sum()
        assert paths == pytest.approx((1 - rows.loc["path", "mean"]) * len(answers.codes), abs=1e-3)
        assert own["confusions"].groupby("level")["errors"].sum().to_dict() == pytest.approx(counts.to_dict())


def test_inputs_that_are_missing_are_found_where_the_model_reads_them(study_root):
    chosen, _ = errors.open_errors(CATALOGUE)
    assert chosen.models["grouped"].variant == "brand_text_image"
    missing = errors.missing_inputs(chosen, "grouped")
    rows = chosen.held_out["grouped"].rows
    np.testing.assert_array_equal(missing["no photo that can be used"], rows % 6 == 0)
    np.testing.assert_array_equal(missing["no description"], rows % 8 == 0)
    np.testing.assert_array_equal(missing["no brand"], rows % 10 == 0)
    assert missing["brand not seen in training"].shape == (len(chosen.answers["grouped"].seeds), len(rows))
    brand = chosen._replace(models={"grouped": chosen.models["grouped"]._replace(variant="brand")})
    assert set(errors.missing_inputs(brand, "grouped")) == {"no brand", "brand not seen in training"}


def test_invalid_paths_and_decodings_are_of_every_variant(study_root):
    tables = errors.decodings(CATALOGUE)
    invalid, gains = tables["invalid_paths"], tables["decodings"]
    assert set(invalid["variant"]) == set(gains["variant"]) == {"naive", *SKILL}
    assert invalid["train_size"].nunique() == 3  # the smaller one, and the largest of each split
    assert (invalid["low"] <= invalid["high"]).all()
    contrasts = Results.read(CATALOGUE).contrasts.query("question == 'decoding' and metric == 'path'")
    both = gains.merge(contrasts[contrasts["text"] == "masked"], on=["variant", "split", "train_size", "a", "b"])
    both = both[both["recipe"].isin(["tuned", "none"])]
    assert {"soft", "valid_path"} <= set(both["a"])
    np.testing.assert_allclose(both["difference_x"], both["difference_y"], atol=1e-6)


def test_a_study_with_one_split_and_no_largest_runs_of_a_variant_does_without(study_root):
    def fewer(table):
        small = (table["variant"] == "brand_text_image") & (table["train_size"] > 60)
        return table[(table["split"] == "random") & ~small]

    for name in ("results", "intervals", "contrasts"):
        edit(name, fewer)
    chosen, choice = errors.open_errors(CATALOGUE)
    assert list(chosen.models) == ["random"]
    assert "brand_text_image" not in set(choice["variant"])
    assert set(errors.error_tables(chosen, 0.8, 0.5)["categories"]["split"]) == {"random"}


def test_what_is_missing_or_damaged_is_named(study_root):
    for path in config.build_dir(CATALOGUE, "predictions", "brand").glob("tuned-masked-grouped-*-0.npz"):
        with np.load(path) as file:
            kept = {name: file[name] for name in file.files if name != "validation_1"}
        np.savez_compressed(path, **kept)
    with pytest.raises(StudyError, match=r"lacks an array: .*validation_1"):
        errors.open_errors(CATALOGUE)
    edit("results", lambda table: table[table["recipe"] == "paper"])
    with pytest.raises(StudyError, match="no run of the main experiment, recipe 'tuned'"):
        errors.open_errors(CATALOGUE)
