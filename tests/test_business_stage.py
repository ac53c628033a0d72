"""The `business` stage on a tiny catalogue with a model trained on it, and the page that is made of its tables."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import tiny

from lib import artifacts, config, figures
from lib import business_charts as charts
from lib import business_missing as missing
from lib import business_promises as promises
from lib import business_queue as queue
from lib import business_stage as stage
from lib.business_answer import answer, card, summary
from lib.business_measure import Groups, calibration_error, reliability
from lib.business_surest import surest, surest_errors
from lib.errors import StudyError
from lib.estimators import make_estimator
from lib.report.business_section import business_section, promises_sentence
from lib.report.study import environment
from lib.runs import Run
from lib.splits import training_rows
from lib.tables import write_tables
from lib.tagging.calibrate import fit_scale
from lib.tagging.promises import Threshold
from lib.tagging.tagger import Tagger
from lib.tasks import Task

INTERVALS = "variant,recipe,text,split,train_size,decoding,measured_on,metric,mean,low,high,seeds"


def write_study(root):
    """Train the deployed model on a tiny catalogue, and write what else the stage reads."""
    tiny.write(root, 900)
    params = tiny.params()
    params["business"] |= {"precisions": [0.5, 0.9, 0.99], "precision": 0.9, "resamplings": 30, "bins": 5}
    (root / "params.yaml").write_text(json.dumps(params))
    manifest = {"weights_sha256": "0", "dimension": 8, "backbone": "small_vgg"}
    artifacts.write_json(root / "build/tiny/image/manifest.json", manifest)
    products = pd.read_parquet(root / "build/tiny/clean/products.parquet")
    run = Run("tuned", "plain", "grouped", "all", 0)
    train, held = training_rows(products, "grouped", "all", 0)
    model = make_estimator(config.get_variant(config.load_params(), "best"))
    model.fit(Task("tiny", run, train, held))
    folder = root / "build/tiny/models/best"
    folder.mkdir(parents=True)
    model.save(folder / run.key(len(train)))
    (root / "reports/tiny").mkdir(parents=True)
    lines = [f"{name},tuned,{text},grouped,{size},{how},test,path,{mean},{mean - 0.1},{mean + 0.05},2"
             for name, text, size, how, mean in (
                 ("brand_text", "plain", len(train), "independent", 0.7), ("best", "plain", 40, "valid_path", 0.88),
                 ("best", "plain", len(train), "valid_path", 0.9), ("robust", "plain", len(train), "independent", 0.2),
             )]  # fmt: skip
    (root / "reports/tiny/intervals.csv").write_text("\n".join([INTERVALS, *lines]) + "\n")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return the study, what is said of it, and its tables, as the notebook makes them."""
    root = tmp_path_factory.mktemp("business")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STUDY_ROOT", str(root))
        write_study(root)
        study = stage.open_study("tiny")
        stage.calibrate(study)
        tuning, calibration, test = (stage.judge(study.tagger, part) for part in study[3:6])
        stage.promise(study, calibration, tuning)
        without = {"": test, "image": stage.judge(study.tagger, study.test, ("image",))}
        kept = promises.kept_on_test(study, test)
        draws = promises.resample_promises(study, calibration, tuning, test)
        errors, diagram = promises.calibrations(study, [(), ("image",)])
        accuracy, tagged = missing.with_inputs_missing(study, without)
        listed, lengths = queue.candidates(study, test)
        curves, areas = queue.queue(study, test)
        curve, marks = queue.costs(study, calibration, test)
        tables = {
            "calibration": errors, "reliability": diagram, "promises": kept, "missing_accuracy": accuracy,
            "missing_promises": tagged, "thousand": missing.of_a_thousand(kept, 30.0), "candidates": listed,
            "candidate_lengths": lengths, "queue": areas, "curves": curves, "costs": marks, "cost_curve": curve,
            "how_often_kept": promises.how_often_kept(draws), "draws": draws, "study": summary(study),
            "surest": surest(study, test), "surest_errors": surest_errors(study, test),
            "categories": missing.by_category(study, test, study.tagger.levels[0]),
        }  # fmt: skip
        yield study, test, tables


def test_no_group_is_in_two_parts_and_one_product_stands_for_each(made):
    study = made[0]
    groups = [set(part.groups.tolist()) for part in study[3:6]]
    assert not groups[0] & groups[1] | groups[1] & groups[2] | groups[0] & groups[2]
    for part in study[3:6]:
        assert sorted(part.groups[part.one_each]) == sorted(set(part.groups.tolist()))


def test_test_products_have_no_say_in_promises(made, monkeypatch):
    study = made[0]
    before = study.tagger.promises
    turned = study._replace(test=study.test._replace(codes=study.test.codes[::-1]))
    stage.calibrate(turned)
    stage.promise(turned, *(stage.judge(study.tagger, part) for part in (study.calibration, study.tuning)))
    assert study.tagger.promises == before


def test_what_is_promised_and_what_is_not_stands_in_the_tables(made):
    study, test, tables = made
    kept = tables["promises"]
    impossible = kept[(kept["precision"] == 0.99) & (kept["depth"] == "any level")]
    assert (impossible["share"] == 0).all()
    assert impossible["achieved"].isna().all()
    easy = kept[(kept["precision"] == 0.5) & (kept["depth"] == "any level")]
    assert (easy["share"] > 0.5).all()
    assert (easy["achieved"] >= 0.5).all()
    assert (tables["how_often_kept"]["kept"] >= 0.8).all()
    limits = study.tagger.promises.thresholds_for(0.5)
    sure = (test.confidence >= limits).any(axis=1)
    rows = easy[easy["unit"] == "products"]
    assert rows["share"].iloc[0] == pytest.approx(sure.mean())


def test_a_thousand_products_are_all_accounted_for(made):
    table = made[2]["thousand"]
    np.testing.assert_allclose(table["whole"] + table["parent"] + table["review"], 1000)
    np.testing.assert_allclose(table["minutes"], table["review"] / 2)
    assert (table["whole_wrong"] <= table["whole"]).all()


def test_a_model_trained_without_the_input_stands_beside(made):
    rows = made[2]["missing_accuracy"].set_index("hidden")
    assert rows.loc["image", "variant"] == "brand_text"
    assert rows.loc["image", "variant_accuracy"] == 0.7
    assert rows.loc["", "variant"] == "", "one with dropout of inputs is no peer"


def test_longer_lists_hold_the_right_path_more_often(made):
    for _, table in made[2]["candidates"].groupby("precision"):
        assert table["achieved"].is_monotonic_increasing
        assert table["mean"].is_monotonic_increasing
        assert (table["mean"] >= 1).all()
    np.testing.assert_allclose(made[2]["candidate_lengths"].groupby(["precision", "coverage"])["share"].sum(), 1)


def test_lists_are_of_the_products_that_a_promise_leaves_to_people(made):
    study, test, tables = made
    for row in tables["candidates"].itertuples():
        limit = study.tagger.promises.thresholds_for(row.precision)[2]
        asked = test.confidence[:, 2] < limit
        shares = Groups.of(study.test.groups).shares[asked]
        listed = (test.tags.probabilities >= row.smallest).sum(axis=1).clip(1)[asked]
        assert row.mean == pytest.approx(np.average(listed, weights=shares))


def test_the_surest_are_more_often_right_and_their_errors_are_listed(made):
    study, test, tables = made
    for depth, rows in tables["surest"].groupby("depth"):
        whole = rows[rows["share"] == 1]["precision"].item()
        groups = Groups.of(study.test.groups)
        assert whole == pytest.approx(np.average(test.right[:, depth - 1], weights=groups.shares))
        assert rows["precision"].iloc[0] >= whole
    rows = tables["surest"].query("depth == 3 and share == 0.2")
    wrong = (1 - rows["precision"].item()) * 0.2 * len(study.test.one_each)
    assert tables["surest_errors"]["products"].sum() == pytest.approx(wrong, abs=1)
    assert not (tables["surest_errors"]["true"] == tables["surest_errors"]["said"]).any()


def test_what_is_shown_is_the_highest_promise_of_whole_paths(made):
    study = made[0]

    def shown(*thresholds):
        promises = study.tagger.promises.model_copy(update={"thresholds": [
            Threshold(precision=precision, depth=depth, confidence=value) for precision, depth, value in thresholds
        ]})  # fmt: skip
        return missing.shown_precision(study._replace(tagger=SimpleNamespace(promises=promises)))

    assert shown((0.5, 3, 0.4), (0.9, 3, None), (0.9, 1, 0.8), (0.99, 3, 0.999)) == 0.5, "0.99 is beyond the main one"
    assert shown((0.5, 1, 0.4), (0.9, 3, None), (0.9, 1, 0.8)) == 0.9
    assert shown((0.5, 1, None), (0.9, 3, None)) == study.settings.precision


def test_the_queue_ends_where_all_is_reviewed_and_the_costs_where_nothing_is(made):
    tables, price = made[2], made[0].settings.costs
    for _, rows in tables["curves"].groupby("order"):
        assert rows["avoided"].is_monotonic_increasing
        assert rows["avoided"].iloc[-1] in (0, pytest.approx(1))
    marks = tables["costs"].set_index("rule")
    assert marks.loc["review all", "cost"] == pytest.approx(1000 * price.review)
    assert marks.loc["review all", "tagged"] == 0
    assert marks.loc["tag all", "tagged"] == 1
    assert tables["cost_curve"]["cost"].iloc[0] == pytest.approx(1000 * price.review)


def test_answer_and_card_compute_every_number(made):
    study, _, tables = made
    said = answer(study, tables)
    assert "**99%** cannot be promised" in said
    assert "**50%** promised" in said
    assert "nan" not in said
    text = card(study, tables, "Tiny")
    assert text.startswith("# ")
    assert "nothing can be promised" in text
    assert f"{study.trained_on:,} products" in text


def test_the_folder_keeps_its_promises(made):
    study, test, tables = made
    stage.write_tagger(study, card(study, tables, "Tiny"))
    loaded = Tagger.load(config.build_dir("tiny", "tagger"))
    assert loaded.promises == study.tagger.promises
    np.testing.assert_allclose(loaded.tag(study.test.products).confidence, test.confidence, atol=1e-6)


def test_charts_are_described(made):
    tables, study = made[2], made[0]
    shown = missing.shown_precision(study)
    drawn = [
        charts.draw_reliability(tables["reliability"], tables["calibration"]),
        charts.draw_depths(tables["promises"]),
        charts.draw_resamplings(tables["draws"], tables["how_often_kept"], 0.9),
        charts.draw_missing(tables["missing_promises"], shown),
        charts.draw_categories(tables["categories"], shown),
        charts.draw_lengths(tables["candidate_lengths"], tables["candidates"], shown),
        charts.draw_surest(tables["surest"], study.settings.precisions),
        charts.draw_queue(tables["curves"], tables["queue"]),
        charts.draw_costs(tables["cost_curve"], tables["costs"]),
    ]
    for chart in drawn:
        assert chart.caption
        assert len(chart.alt) > 40
        assert "nan" not in chart.alt


def test_two_runs_write_the_same_bytes_and_the_managers_page_reads_them(made, tmp_path):
    study, _, tables = made
    assert business_section("tiny", tmp_path) is None, "the stage has not run"
    assert promises_sentence("tiny") is None
    contents = []
    for _ in range(2):
        write_tables(config.report_dir("tiny", stage.FOLDER), tables)
        contents.append({path.name: path.read_bytes() for path in config.report_dir("tiny", "business").glob("*.csv")})
    assert contents[0] == contents[1]
    chart = charts.draw_queue(tables["curves"], tables["queue"])
    figures.save(chart.figure, "tiny", "queue", chart.caption, chart.alt, f"{stage.FOLDER}/figures")
    section = business_section("tiny", tmp_path)
    page = environment().get_template("marketplace.md.j2").render(business=section)
    assert page.startswith("# For the marketplace")
    assert f"**{section['shown']['review']:,}** go to a person" in page
    assert "**40** products labelled" in page
    assert f"{section['shown']['review']:,} go to a person" in promises_sentence("tiny")
    assert page.count("\n| ") == 1 + len(study.settings.precisions)
    assert (tmp_path / section["figures"]["queue"]["file"]).is_file()
    assert "marketplace.md" in environment().get_template("business.md.j2").render(business=section)
    assert environment().get_template("business.md.j2").render(business=None).strip() == ""


def test_a_model_that_is_not_there_is_named(made):
    folder = config.build_dir("tiny", "models", "best")
    folder.rename(folder.with_name("moved"))
    try:
        with pytest.raises(StudyError, match=r"models/best/tuned-plain-grouped-\d+-0\.json is missing"):
            stage.open_study("tiny")
    finally:
        folder.with_name("moved").rename(folder)


def test_only_a_fusion_of_paths_can_be_deployed(study):
    path = study / "params.yaml"
    path.write_text(path.read_text().replace("  variant: best ", "  variant: linear "))
    with pytest.raises(StudyError, match="only a 'path_fusion' can be deployed, and 'linear' is none"):
        config.load_params()


def test_the_main_precision_is_one_of_those_promised(study):
    path = study / "params.yaml"
    path.write_text(path.read_text().replace("  precision: 0.99 ", "  precision: 0.98 "))
    with pytest.raises(StudyError, match="'precision' should be one of"):
        config.load_params()


# Measures


def test_calibration_makes_overconfident_probabilities_honest():
    rng = np.random.default_rng(0)
    honest = rng.beta(3, 1, 4000)
    right = rng.random(4000) < honest
    boasting = honest ** (1 / 3)
    scale = fit_scale(boasting[:2000], right[:2000], np.ones(2000))
    groups = Groups.of(np.arange(2000))
    before, after = (
        calibration_error(values, right[2000:], groups, 10) for values in (boasting[2000:], scale(boasting[2000:]))
    )
    assert after.mean < 0.04 < before.low
    assert after.low <= after.mean


def test_copies_count_once():
    confidence, right = np.array([0.9, 0.9, 0.9, 0.2]), np.array([True, True, True, False])
    groups = Groups.of(np.array([5, 5, 5, 9]))
    assert groups.ratio(right, np.ones(4), groups.shares).mean == 0.5
    assert groups.ratio(right, np.ones(4)).mean == 0.75
    assert np.isnan(groups.ratio(right, np.zeros(4)).mean)
    table = reliability(confidence, right, groups, 2)
    assert table["share"].tolist() == [0.5, 0.5]


def test_one_set_of_labels_only_hardly_moves_a_probability():
    scale = fit_scale(np.full(20, 0.8), np.ones(20, bool), np.ones(20))
    assert 0.8 < scale(np.array([0.8]))[0] < 0.99
