"""The `errors` stage on made-up predictions: which model it looks at, and the tables that it writes."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_results import CATALOGUE, SKILL, make_study

from lib import config, error_stage, figures
from lib.error_answer import answer
from lib.error_charts import draw_watch
from lib.error_labels import suspect_labels
from lib.errors import StudyError
from lib.held_out import Model, main_models, read_held_out
from lib.report.errors_section import errors_section
from lib.report.study import environment
from lib.results import load_results, load_truth, make_results
from lib.tables import write_tables


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STUDY_ROOT", str(root))
        make_study(root)
        make_results(CATALOGUE)
    return root


@pytest.fixture
def study_root(made, tmp_path, monkeypatch) -> Path:
    """Return a copy of the made study that a test may spoil."""
    root = tmp_path / "study"
    shutil.copytree(made, root)
    monkeypatch.setenv("STUDY_ROOT", str(root))
    return root


def all_tables(target: float = 0.8) -> tuple[error_stage.Study, dict[str, pd.DataFrame]]:
    study, tables = error_stage.open_study(CATALOGUE)
    tables |= error_stage.analyse(study, target, 0.5)
    return study, tables | error_stage.decodings(CATALOGUE)


def test_the_model_is_the_best_on_validation_rows_of_the_grouped_split(study_root):
    study, tables = error_stage.open_study(CATALOGUE)
    choice = tables["choice"]
    assert set(choice["variant"]) == {"naive", *SKILL}
    assert choice["validation_path"].is_monotonic_decreasing
    assert choice["chosen"].tolist() == [True] + [False] * len(SKILL)
    assert list(study.models) == ["grouped", "random"]
    assert {model.variant for model in study.models.values()} == {choice["variant"][0]}
    assert {model.recipe for model in study.models.values()} <= {"tuned", "none"}


def test_test_rows_have_no_say_in_the_choice(study_root):
    before = error_stage.open_study(CATALOGUE)[1]["choice"]
    path = config.report_dir(CATALOGUE, "intervals.csv")
    table = pd.read_csv(path, keep_default_na=False)
    table.assign(**{name: 1 - table[name] for name in ("mean", "low", "high")}).to_csv(path, index=False)
    after = error_stage.open_study(CATALOGUE)[1]["choice"]
    assert after["variant"].tolist() == before["variant"].tolist()
    assert after["test_path"].tolist() != before["test_path"].tolist()


def test_models_with_a_recipe_of_their_own_belong_to_the_main_experiment():
    names = ["linear", "brand_text", "lstm", "lstm_multitask"]
    recipes = {"linear": ["none"], "brand_text": ["tuned", "paper"], "lstm": ["tuned_lstm", "paper_lstm"]}
    rows = [(name, recipe, "masked", "random", 9) for name in names for recipe in recipes.get(name, ["tuned_lstm"])]
    models = main_models(pd.DataFrame(rows, columns=Model._fields))
    assert [(model.variant, model.recipe) for model in models] == [
        *[("linear", "none"), ("brand_text", "tuned"), ("lstm", "tuned_lstm"), ("lstm_multitask", "tuned_lstm")]
    ]


def test_only_rows_that_every_seed_held_out_are_read_and_in_one_order(study_root):
    models = main_models(load_results(CATALOGUE).results)
    model = next(model for model in models if model[:4] == ("brand", "tuned", "masked", "random"))
    model = model._replace(train_size=60)  # the largest size has the same validation rows for every seed
    each = [read_held_out(CATALOGUE, model, [seed], "validation") for seed in (0, 1)]
    both = read_held_out(CATALOGUE, model, [0, 1], "validation")
    assert [len(one.rows) for one in each] == [7] * 2
    assert both.rows.tolist() == sorted(set(each[0].rows) & set(each[1].rows))
    assert 0 < len(both.rows) < 7
    for seed, one in enumerate(each):
        places = np.searchsorted(one.rows, both.rows)
        np.testing.assert_array_equal(both.levels[seed][2], one.levels[0][2][places])
    assert np.allclose([level.sum(axis=1) for level in both.mean_probabilities()], 1)


def test_errors_add_up_to_those_of_the_results(study_root):
    study, tables = all_tables()
    results = load_results(CATALOGUE).intervals
    for split, tested in study.tested.items():
        model = study.models[split]
        rows = results[(results[list(Model._fields)] == list(model)).all(axis=1)]
        rows = rows[(rows["measured_on"] == "test") & (rows["decoding"] == "independent")].set_index("metric")
        own = {name: table[table["split"] == split] for name, table in tables.items()}
        errors = own["categories"].groupby("level")["errors"].sum()
        for level in config.LEVELS:
            assert errors[level] == pytest.approx((1 - rows.loc[level, "mean"]) * len(tested.codes), abs=1e-3)
        paths = own["wrong_levels"]["errors"].sum()
        assert paths == pytest.approx((1 - rows.loc["path", "mean"]) * len(tested.codes), abs=1e-3)
        assert own["confusions"].groupby("level")["errors"].sum().to_dict() == pytest.approx(errors.to_dict())


def test_inputs_that_are_missing_are_found(tmp_path, monkeypatch):
    monkeypatch.setenv("STUDY_ROOT", str(tmp_path))
    make_study(tmp_path, {"brand_text_image": 3.4})
    make_results(CATALOGUE)
    study, _ = error_stage.open_study(CATALOGUE)
    found = error_stage.missing_inputs(study, "grouped")
    rows = study.held_out["grouped"].rows
    np.testing.assert_array_equal(found["no photo that can be used"], rows % 6 == 0)
    np.testing.assert_array_equal(found["no description"], rows % 8 == 0)
    np.testing.assert_array_equal(found["no brand"], rows % 10 == 0)
    assert found["brand not seen in training"].shape == (len(study.tested["grouped"].seeds), len(rows))


def test_an_input_that_the_model_does_not_read_is_not_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("STUDY_ROOT", str(tmp_path))
    make_study(tmp_path, {"brand": 3.4})
    make_results(CATALOGUE)
    study, _ = error_stage.open_study(CATALOGUE)
    assert set(error_stage.missing_inputs(study, "grouped")) == {"no brand", "brand not seen in training"}


def test_invalid_paths_and_decodings_are_of_every_variant(study_root):
    tables = error_stage.decodings(CATALOGUE)
    invalid, gains = tables["invalid_paths"], tables["decodings"]
    assert set(invalid["variant"]) == set(gains["variant"]) == {"naive", *SKILL}
    assert invalid["train_size"].nunique() == 3  # the smaller one, and the largest of each split
    assert (invalid["low"] <= invalid["high"]).all()
    contrasts = load_results(CATALOGUE).contrasts.query("question == 'decoding' and metric == 'path'")
    both = gains.merge(contrasts[contrasts["text"] == "masked"], on=["variant", "split", "train_size"])
    both = both[both["recipe"].isin(["tuned", "none"])]
    np.testing.assert_allclose(both["difference_x"], both["difference_y"], atol=1e-6)


def test_a_study_with_one_split_and_no_largest_runs_of_a_variant_does_without(study_root):
    for name in ("results", "intervals", "contrasts"):
        path = config.report_dir(CATALOGUE, f"{name}.csv")
        table = pd.read_csv(path, keep_default_na=False)
        small = (table["variant"] == "brand_text_image") & (table["train_size"] > 60)
        table[(table["split"] == "random") & ~small].to_csv(path, index=False)
    study, tables = all_tables()
    assert list(study.models) == ["random"]
    assert "brand_text_image" not in set(tables["choice"]["variant"])
    assert answer(study, tables, 0.8)


def test_results_without_the_main_experiment_are_refused(study_root):
    path = config.report_dir(CATALOGUE, "results.csv")
    table = pd.read_csv(path, keep_default_na=False)
    table[table["recipe"] == "paper"].to_csv(path, index=False)
    with pytest.raises(StudyError, match="no run of the main experiment, recipe 'tuned'"):
        error_stage.open_study(CATALOGUE)


def test_two_runs_write_the_same_bytes_and_the_study_page_reads_them(study_root, tmp_path):
    contents = []
    for _ in range(2):
        study, tables = all_tables()
        tables["suspected_labels"] = suspect_labels(study).counts
        folder = config.report_dir(CATALOGUE, error_stage.FOLDER)
        write_tables(folder, tables)
        contents.append({path.name: path.read_bytes() for path in folder.glob("*.csv")})
    assert contents[0] == contents[1]
    assert set(contents[0]) == {f"{name}.csv" for name in (*error_stage.TABLES, "suspected_labels")}
    chart = draw_watch(tables["categories"], 0.8)
    figures.save(chart.figure, CATALOGUE, "watch_list", "What to watch.", chart.alt, "errors/figures")
    section = errors_section(CATALOGUE, tmp_path)
    assert section["variant"] == study.models["grouped"].variant
    assert all(row["why"] for row in section["watched"])
    assert (tmp_path / section["figures"]["watch_list"]["file"]).is_file()
    page = environment().get_template("errors.md.j2").render(errors=section)
    assert "## What it gets wrong" in page
    assert page.count("\n| ") == 1 + len(section["watched"])
    assert environment().get_template("errors.md.j2").render(errors=None).strip() == ""


def test_a_study_without_the_stage_has_no_section(study_root, tmp_path):
    assert errors_section(CATALOGUE, tmp_path) is None


def test_suspects_are_test_and_validation_rows(study_root):
    study, _ = error_stage.open_study(CATALOGUE)
    suspects = suspect_labels(study)
    test = study.held_out["grouped"].rows
    assert len(set(suspects.rows)) == len(suspects.rows) > len(test)
    assert set(test) < set(suspects.rows)
    assert ((suspects.quality >= 0) & (suspects.quality <= 1)).all()
    codes = load_truth(CATALOGUE).codes[suspects.rows]
    assert suspects.suspected.shape == codes.shape


def test_the_answer_computes_every_number(study_root):
    study, tables = all_tables()
    said = answer(study, tables, 0.8)
    wrong = study.tested["grouped"].wrong_path.mean()
    assert f"{100 * wrong:.1f}%" in said
    assert "go wrong first" in said
    assert "valid path" in said
    assert "nan" not in said


def test_damaged_predictions_are_named(study_root):
    for path in config.build_dir(CATALOGUE, "predictions", "brand").glob("tuned-masked-grouped-*-0.npz"):
        with np.load(path) as file:
            kept = {name: file[name] for name in file.files if name != "validation_1"}
        np.savez_compressed(path, **kept)
    with pytest.raises(StudyError, match=r"lacks an array: .*validation_1"):
        error_stage.open_study(CATALOGUE)
