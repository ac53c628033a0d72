"""The `labels` stage on a tiny catalogue that is really trained: its tables, its figures and its answer."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny
import yaml

from lib import config, label_charts, label_stage
from lib.charts import publish
from lib.errors import StudyError
from lib.label_answer import answer
from lib.label_groups import copies_table, grouping_table, true_codes
from lib.label_pool import make_pool
from lib.outcomes import path_of
from lib.results import collect
from lib.tables import write_tables
from lib.train import train

SETTINGS = {
    "variant": "linear", "text": "masked", "split": "grouped", "targets": [0.9, 0.999], "budgets": [20, 40, 5000],
    "seeds": 2, "text_components": 10, "image_components": 5, "candidates": 50,
}  # fmt: skip
RUNS = [{"recipe": "tuned", "text": "masked", "splits": ["grouped"], "train_sizes": "each"}]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("labels")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STUDY_ROOT", str(root))
        variants = {"linear": {"model": "linear", "inputs": ["brand", "text"], "ngrams": 2, "min_rows": 1, "C": 1.0}}
        tiny.write(root, variants=variants, runs=RUNS, labels=SETTINGS)
        tiny_file = root / "catalogues/tiny.yaml"
        tiny_file.write_text(yaml.safe_dump(tiny.catalogue(train_sizes=[20, 40, 80, "all"])))
        train("tiny", "linear", workers=0)
        collect("tiny").to_csv(config.report_dir("tiny", "results.csv"), index=False)
    return root


@pytest.fixture
def study_root(made, monkeypatch) -> Path:
    monkeypatch.setenv("STUDY_ROOT", str(made))
    return made


def all_tables() -> dict[str, pd.DataFrame]:
    curve, measured = label_stage.open_curve("tiny")
    tables = {"curve": measured, **label_stage.curve_tables(curve, SETTINGS["targets"])}
    pool = make_pool("tiny")
    budgets = label_stage.affordable(SETTINGS["budgets"], pool)
    learning = label_stage.run_strategies(pool, budgets, 2, SETTINGS["candidates"], workers=0)
    tables |= label_stage.strategy_tables(learning)
    return tables | {"grouping": grouping_table(pool), "copies": copies_table("tiny", pool)}


def test_the_stage_writes_the_same_bytes_twice_and_computes_its_answer(study_root):
    contents = []
    for _ in range(2):
        tables = all_tables()
        write_tables(config.report_dir("tiny", label_stage.FOLDER), tables)
        contents.append({path.name: path.read_bytes() for path in config.report_dir("tiny", "labels").glob("*.csv")})
    assert contents[0] == contents[1]
    assert set(contents[0]) == {f"{name}.csv" for name in label_stage.TABLES}
    assert tables["curve"]["train_size"].tolist()[:3] == [20, 40, 80]
    assert set(tables["strategies"]["labels"]) == {20, 40}
    said = answer(tables)
    assert "nan" not in said
    assert re.search(r"one of each group\* is [a-z ]+ random sampling", said)
    curve, measured = label_stage.open_curve("tiny")
    charts = {
        "laws": label_charts.draw_laws(curve, measured, SETTINGS["targets"]),
        "strategies": label_charts.draw_strategies(tables["strategies"], tables["contrasts"]),
        "copies": label_charts.draw_copies(tables["copies"]),
    }
    for name, chart in charts.items():
        assert chart.alt in publish("tiny", name, chart, f"{label_stage.FOLDER}/figures").data


def test_the_curve_is_that_of_the_results(study_root):
    curve, measured = label_stage.open_curve("tiny")
    results = pd.read_csv(config.report_dir("tiny", "results.csv"))
    rows = results.query("metric == 'path' and measured_on == 'test' and decoding == 'independent'")
    np.testing.assert_allclose(measured["mean"], rows.groupby("train_size")["value"].mean(), atol=1e-6)
    np.testing.assert_allclose(curve.accuracy[0], measured["mean"], atol=1e-6)
    assert path_of("tiny", "linear").exists()


def test_a_variant_that_was_not_trained_is_named(study_root, monkeypatch):
    params = config.load_params()
    labels = params.labels.model_copy(update={"text": "plain"})
    monkeypatch.setattr(label_stage, "load_params", lambda: params.model_copy(update={"labels": labels}))
    with pytest.raises(StudyError, match="no run of 'linear' on plain text and the grouped split"):
        label_stage.open_curve("tiny")


def test_features_learn_from_no_test_product(study_root):
    pool = make_pool("tiny")
    assert not set(pool.rows) & set(pool.test)
    assert not set(pool.groups[pool.rows]) & set(pool.groups[pool.test])
    assert pool.features[pool.rows].mean() == pytest.approx(0, abs=1e-4)
    assert pool.features.dtype == np.float32


def test_where_the_shop_is_known_truth_has_the_products_order(study_root, monkeypatch):
    truth = pd.DataFrame({"product_id": ["p00001", "p00000"], "level_1": ["class 1", "class 0"],
                          "level_2": ["class 0", "elsewhere"], "level_3": ["class 3", "class 2"]})  # fmt: skip
    monkeypatch.setattr("lib.label_groups.known_truth", lambda catalogue: truth)
    codes = true_codes("tiny")
    assert codes[:3].tolist() == [[0, -1, 2], [1, 0, 3], [-1, -1, -1]]
