"""The `business` stage on a tiny catalogue with a model that is trained on it."""

from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import tiny
import yaml

from lib import config, files
from lib.analysis import business, review
from lib.analysis.business import Deployed, Groups, Judgement
from lib.exceptions import StudyError
from lib.tagging.guarantee import fit_scale
from lib.tagging.promises import Threshold, tagged_depth
from lib.tagging.tagger import Tagger

INTERVALS = "variant,recipe,text,split,train_size,decoding,measured_on,metric,mean,low,high,seeds"


class Made(NamedTuple):
    """What the notebook makes, in its order."""

    deployed: Deployed
    calibration: Judgement
    tuning: Judgement
    test: Judgement
    tables: dict[str, pd.DataFrame]


def write_study(root):
    """Train the deployed model on a tiny catalogue, and write what else the stage reads."""
    asked = tiny.params()["business"] | {"precisions": [0.5, 0.9, 0.99], "precision": 0.9, "resamplings": 30, "bins": 5}
    tiny.write(root, 900, business=asked)
    manifest = {"weights_sha256": "0" * 64, "dimension": 8, "backbone": "small_vgg"}
    files.write_json(root / "build/tiny/image/manifest.json", manifest)
    size = int(tiny.train_best()[1].split("-")[3])
    (root / "reports/tiny").mkdir(parents=True)
    known = [("brand_text", "independent", 0.7), ("best", "valid_path", 0.9), ("robust", "independent", 0.2)]
    lines = [
        f"{name},tuned,plain,grouped,{size},{how},test,path,{mean},{mean - 0.1},{mean + 0.05},2"
        for name, how, mean in known
    ]
    (root / "reports/tiny/intervals.csv").write_text("\n".join([INTERVALS, *lines]) + "\n")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return the deployed model, what it says of the held-out products, and the stage's tables."""
    root = tmp_path_factory.mktemp("business")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STUDY_ROOT", str(root))
        write_study(root)
        deployed = business.open_deployed("tiny")
        parts = deployed.calibration, deployed.tuning, deployed.test
        calibration, tuning, test = (business.judge(deployed.tagger, part) for part in parts)
        deployed = business.make_promises(deployed)
        without = {"": test, "image": business.judge(deployed.tagger, deployed.test, ("image",))}
        tables = {"promises": business.kept_on_test(deployed, test), "surest": business.surest(deployed, test)}
        draws = business.resample_promises(deployed, calibration, tuning, test)
        tables |= {"draws": draws, "how_often_kept": business.how_often_kept(draws)}
        tables["thresholds"] = business.all_thresholds(deployed)
        tables["surest_errors"] = business.surest_errors(deployed, test)
        tables["categories"] = business.by_category(deployed, test)
        tables["missing_accuracy"], tables["missing_promises"] = business.with_inputs_missing(deployed, without)
        tables["candidates"], tables["candidate_lengths"] = review.candidates(deployed, test)
        tables["curves"], tables["queue"] = review.queue(deployed, test)
        tables["costs"] = review.costs(deployed, calibration, test)
        tables["calibration"], tables["reliability"] = business.calibrations(deployed, [()])
        yield Made(deployed, calibration, tuning, test, tables)
    tiny.forget()


def test_no_group_is_in_two_parts_and_one_product_stands_for_each(made):
    parts = made.deployed.tuning, made.deployed.calibration, made.deployed.test
    groups = [set(part.group.tolist()) for part in parts]
    assert sum(map(len, groups)) == len(set().union(*groups))
    for part in parts:
        assert sorted(part.group[part.one_each]) == sorted(set(part.group.tolist()))


def test_test_products_have_no_say_in_promises(made):
    turned = made.deployed._replace(test=made.deployed.test._replace(codes=made.deployed.test.codes[::-1]))
    again = business.make_promises(turned)
    assert again.promises == made.deployed.promises


def test_what_is_promised_and_what_is_not_stands_in_the_tables(made):
    kept = made.tables["promises"]
    impossible = kept.query("precision == 0.99 and depth == 'any level'")
    assert (impossible["share"] == 0).all()
    assert impossible["achieved"].isna().all()
    easy = kept.query("precision == 0.5 and depth == 'any level'")
    assert (easy["share"] > 0.5).all()
    assert (easy["achieved"] >= 0.5).all()
    assert (made.tables["how_often_kept"]["broken"] <= 0.2).all()
    sure = business.depths(made.deployed, made.test, 0.5) > 0
    assert easy[easy["unit"] == "products"]["share"].item() == pytest.approx(sure.mean())


def test_products_that_lack_an_input_have_promises_of_their_own(made):
    deployed, rows = made.deployed, made.tables["missing_promises"].query("hidden == 'image' and depth == 'any level'")
    sets = made.tables["thresholds"]["inputs"]
    assert set(sets) == set(deployed.promises.scales)
    hidden = business.judge(deployed.tagger, deployed.calibration, ("image",))
    one = deployed.calibration.distinct(hidden, "brand+text")
    assert len(one) == len(set(deployed.calibration.group[hidden.having("brand+text")]))
    limit = deployed.promises.thresholds_for(0.5)["brand+text"]
    tagged = tagged_depth(hidden.confidence[one], limit) == 3
    assert hidden.right[one][tagged, 2].mean() >= 0.5
    easy = rows[rows["precision"] == 0.5]
    assert (easy["achieved"] >= 0.5).all()
    assert easy["unadapted"].notna().all()


def test_a_draw_without_a_promise_is_no_draw_in_which_it_was_kept():
    found = [(0.95, 0.5), (0.85, 0.95), (np.nan, np.nan), (np.nan, np.nan)]  # of depth 3 and 2, in four draws
    draws = pd.DataFrame(
        [
            (i, 0.9, depth, 0.5, value, value)
            for i, pair in enumerate(found)
            for depth, value in zip("32", pair, strict=True)
        ],
        columns=["draw", "precision", "depth", "share", "achieved", "achieved_all"],
    )
    table = business.how_often_kept(draws).set_index("depth")
    assert table.loc["3", ["draws", "promised", "kept", "broken"]].tolist() == [4, 2, 0.5, 0.25]
    assert table.loc[business.TOGETHER, ["promised", "kept", "broken"]].tolist() == [2, 0, 0.5]
    never = business.how_often_kept(draws[draws["draw"] > 1]).set_index("depth")
    assert never["kept"].isna().all()


def test_a_promise_that_test_products_miss_is_marked(made):
    kept = made.tables["promises"]
    assert (kept["missed"] == (kept["achieved"] < kept["precision"])).all()


def test_a_thousand_products_are_all_accounted_for(made):
    table = business.of_a_thousand(made.tables["promises"], 30.0)
    np.testing.assert_allclose(table["whole"] + table["parent"] + table["review"], 1000)
    np.testing.assert_allclose(table["minutes"], table["review"] / 2)
    assert (table["whole_wrong"] <= table["whole"]).all()


def test_a_model_trained_without_the_input_stands_beside(made):
    rows = made.tables["missing_accuracy"].set_index("hidden")
    assert rows.loc["image", ["variant", "variant_accuracy"]].tolist() == ["brand_text", 0.7]
    assert rows.loc["", "variant"] == "", "one with dropout of inputs is no peer"


def test_lists_of_candidates_are_of_the_products_that_a_promise_leaves_to_people(made):
    for _, table in made.tables["candidates"].groupby("precision"):
        assert table["achieved"].is_monotonic_increasing
        assert table["mean"].is_monotonic_increasing
    lengths = made.tables["candidate_lengths"].groupby(["precision", "coverage"])["share"].sum()
    np.testing.assert_allclose(lengths, 1)
    for row in made.tables["candidates"].itertuples():
        asked = business.depths(made.deployed, made.test, row.precision) < 3
        lists = made.deployed.promises.smallest_listed(row.precision, row.coverage)
        smallest = np.array([[lists[name]] for name in made.test.tags.sets])
        listed = (made.test.tags.probabilities >= smallest).sum(axis=1).clip(1)[asked]
        shares = Groups.of(made.deployed.test.group).shares[asked]
        assert row.mean == pytest.approx(np.average(listed, weights=shares))


def test_the_surest_are_more_often_right_and_their_errors_are_listed(made):
    shares = Groups.of(made.deployed.test.group).shares
    for depth, rows in made.tables["surest"].groupby("depth"):
        whole = rows[rows["share"] == 1]["precision"].item()
        assert whole == pytest.approx(np.average(made.test.right[:, depth - 1], weights=shares))
        assert rows["precision"].iloc[0] >= whole
    right = made.tables["surest"].query("depth == 3 and share == 0.2")["precision"].item()
    listed = made.tables["surest_errors"]
    assert listed["products"].sum() == pytest.approx((1 - right) * 0.2 * len(made.deployed.test.one_each), abs=1)
    assert not (listed["true"] == listed["said"]).any()


@pytest.mark.parametrize(
    ("thresholds", "shown"),
    [
        ([(0.5, 3, 0.4), (0.9, 3, None), (0.9, 1, 0.8), (0.99, 3, 0.999)], 0.5),  # 0.99 is beyond the main one
        ([(0.5, 1, 0.4), (0.9, 3, None), (0.9, 1, 0.8)], 0.9),
        ([(0.5, 1, None), (0.9, 3, None)], 0.9),  # the main one
    ],
)
def test_what_is_shown_is_the_highest_promise_of_whole_paths(made, thresholds, shown):
    listed = [Threshold(precision=p, depth=depth, confidence=value) for p, depth, value in thresholds]
    promises = made.deployed.promises.model_copy(update={"thresholds": {made.deployed.usual: listed}})
    assert business.shown_precision(made.deployed.promising(promises)) == shown


def test_the_queue_ends_where_all_is_reviewed_and_the_costs_where_nothing_is(made):
    for _, rows in made.tables["curves"].groupby("order"):
        assert rows["avoided"].is_monotonic_increasing
        assert rows["avoided"].iloc[-1] in (0, pytest.approx(1))
    rules, price = made.tables["costs"].set_index("rule"), made.deployed.settings.costs
    assert rules.loc["review all", "cost"] == pytest.approx(1000 * price.review)
    assert rules.loc[["review all", "tag all"], "tagged"].tolist() == [0, 1]


def test_every_class_of_level_1_is_tagged_or_goes_to_people(made):
    table = made.tables["categories"]
    np.testing.assert_allclose(table[["whole", "level_2", "level_1", "people"]].sum(axis=1), 1)
    assert table["products"].sum() == pytest.approx(len(made.deployed.test.one_each))


def test_the_folder_keeps_its_promises_and_two_runs_write_the_same_bytes(made):
    contents = []
    for _ in range(2):
        review.publish(made.deployed, made.tables)
        paths = [*config.report_dir("tiny").rglob("*.csv"), config.build_dir("tiny", "tagger") / "README.md"]
        contents.append({path.name: path.read_bytes() for path in paths})
    assert contents[0] == contents[1]
    assert config.report_dir("tiny", "reliability.csv").is_file()
    text = contents[0]["README.md"].decode()
    assert text.startswith("# ")
    assert "nothing can be promised" in text
    assert f"{made.deployed.trained_on:,} products" in text
    assert "nan" not in text
    loaded = Tagger.load(config.build_dir("tiny", "tagger"))
    assert loaded.promises == made.deployed.promises
    np.testing.assert_array_equal(loaded.tag(made.deployed.test.products).confidence, made.test.confidence)


def test_a_model_that_is_not_there_is_named(made):
    folder = config.build_dir("tiny", "models", "best")
    folder.rename(folder.with_name("moved"))
    try:
        why = business.hindrance("tiny")
        assert why.startswith("Nothing is deployed on this catalogue: `best`")
        with pytest.raises(StudyError, match="Only a `path_fusion` can be deployed"):
            business.open_deployed("tiny")
    finally:
        folder.with_name("moved").rename(folder)


def test_where_nothing_is_deployed_the_reason_stands_in_its_place(tmp_path, monkeypatch):
    monkeypatch.setenv("STUDY_ROOT", str(tmp_path))
    review.publish_nothing("tiny", "There is nothing.")
    assert "There is nothing." in (tmp_path / "build/tiny/tagger/README.md").read_text()
    assert files.read_table(tmp_path / "reports/tiny/business/not_run.csv")["why"].tolist() == ["There is nothing."]
    assert files.read_table(tmp_path / "reports/tiny/reliability.csv").empty


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"variant": "linear"}, "only a 'path_fusion' can be deployed, and 'linear' is none"),
        ({"precision": 0.98}, "'precision' should be one of"),
    ],
)
def test_what_cannot_be_deployed_or_promised_is_refused(tmp_path, monkeypatch, change, message):
    monkeypatch.setenv("STUDY_ROOT", str(tmp_path))
    params = tiny.params()
    params["business"] |= change
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    with pytest.raises(StudyError, match=message):
        config.load_params()


# Measures


def test_calibration_makes_overconfident_probabilities_honest():
    rng = np.random.default_rng(0)
    honest = rng.beta(3, 1, 4000)
    right = rng.random(4000) < honest
    boasting = honest ** (1 / 3)
    scale = fit_scale(boasting[:2000], right[:2000], np.ones(2000))
    groups = Groups.of(np.arange(2000))
    tried = boasting[2000:], scale(boasting[2000:])
    before, after = (business.calibration_error(values, right[2000:], groups, 10) for values in tried)
    assert after.mean < 0.04 < before.low
    assert after.low <= after.mean


def test_copies_count_once():
    confidence, right = np.array([0.9, 0.9, 0.9, 0.2]), np.array([True, True, True, False])
    groups = Groups.of(np.array([5, 5, 5, 9]))
    assert groups.ratio(right, np.ones(4)).mean == 0.5
    assert groups.ratio(right, np.ones(4), np.ones(4)).mean == 0.75
    assert np.isnan(groups.ratio(right, np.zeros(4)).mean)
    assert business.reliability(confidence, right, groups, 2)["share"].tolist() == [0.5, 0.5]


def test_one_set_of_labels_only_hardly_moves_a_probability():
    scale = fit_scale(np.full(20, 0.8), np.ones(20, bool), np.ones(20))
    assert 0.8 < scale(np.array([0.8]))[0] < 0.99
