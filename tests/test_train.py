"""The train stage on a tiny catalogue: what it leaves, that it repeats, that it resumes, that test rows stay out."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny

from lib import config, data, train
from lib.evaluate import metrics
from lib.runs import Run, grid

VARIANTS = ["naive", "linear", "linear_image", "late_fusion", "brand", "brand_text_image"]


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.setenv("STUDY_ROOT", str(tmp_path))
    data.load_catalogue_data.cache_clear()
    data.load_text.cache_clear()
    tiny.write(tmp_path)
    return tmp_path


def outputs(root: Path, variant: str) -> dict[str, bytes]:
    folders = [root / "build/tiny/predictions" / variant, root / "build/tiny/models" / variant, root / "reports"]
    return {str(f.relative_to(root)): f.read_bytes() for folder in folders for f in folder.rglob("*") if f.is_file()}


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_run_of_the_grid_leaves_predictions_and_metrics(study, variant):
    table = train.train("tiny", variant, workers=0)
    runs = grid(variant, config.load_params(), config.load_catalogue("tiny"))
    files = list((study / "build/tiny/predictions" / variant).glob("*.npz"))
    assert len(files) == len(runs)
    run_columns = ["recipe", "text", "split", "train_size", "seed"]
    assert len(table[run_columns].drop_duplicates()) == len(runs)
    assert table["value"].between(0, 1).all()
    assert list((study / "build/tiny/models" / variant).glob("*.safetensors"))
    assert not (study / "build/tiny/work/train" / variant).exists()


def test_the_stored_probabilities_give_the_stored_metrics(study):
    table = train.train("tiny", "brand_text_image", workers=0)
    catalogue = data.load_catalogue_data("tiny")
    key = "tuned-masked-grouped-40-1"
    with np.load(study / f"build/tiny/predictions/brand_text_image/{key}.npz") as file:
        predicted = np.stack([file[f"test_{level}"].argmax(1) for level in range(3)], axis=1)
        again = metrics(predicted, catalogue.codes[file["test_rows"]], catalogue.paths)
        assert len(file["train_rows"]) == 40
        assert len(file["validation_rows"]) == 5
    recipe, text, split, size, seed = key.split("-")
    stored = table.query(
        "recipe == @recipe and text == @text and split == @split and train_size == @size and seed == @seed "
        "and measured_on == 'test' and decoding == 'independent'",
        local_dict={"recipe": recipe, "text": text, "split": split, "size": int(size), "seed": int(seed)},
    ).set_index("metric")["value"]
    assert {name: round(value, 6) for name, value in again.items()} == stored.to_dict()


def test_informative_inputs_beat_the_plurality_class(study):
    def path_accuracy(variant):
        table = train.train("tiny", variant, workers=0).query(
            "measured_on == 'test' and metric == 'path' and text == 'masked'"
        )
        return table[table["train_size"] == table["train_size"].max()]["value"].mean()

    assert path_accuracy("linear") > path_accuracy("naive") + 0.2


def test_two_trainings_leave_the_same_bytes_however_many_processes_share_the_runs(study):
    train.train("tiny", "brand_text_image", workers=0)
    first = outputs(study, "brand_text_image")
    train.train("tiny", "brand_text_image", workers=2)
    assert outputs(study, "brand_text_image") == first


def test_what_is_learnt_does_not_depend_on_test_rows(study):
    """Whatever stands in the test rows, the weights, the vocabulary and the brands stay the same."""
    train.train("tiny", "brand_text_image", workers=0)
    before = outputs(study, "brand_text_image")
    path = study / "build/tiny/clean/products.parquet"
    table = pd.read_parquet(path)
    held_out = (table["random_split"] == "test") & (table["grouped_split"] == "test")
    assert held_out.sum() > 5
    table.loc[held_out, "brand"] = "a brand of test rows"
    table.loc[held_out, ["level_1_code", "level_2_code", "level_3_code"]] = 0
    table.to_parquet(path)
    features = np.load(study / "build/tiny/image/features.npy")
    features[held_out] = 100
    np.save(study / "build/tiny/image/features.npy", features)
    data.load_catalogue_data.cache_clear()
    train.train("tiny", "brand_text_image", workers=0)
    after = outputs(study, "brand_text_image")
    models = [name for name in before if "/models/" in name]
    assert models
    assert all(before[name] == after[name] for name in models)


@pytest.mark.slow
def test_a_killed_stage_leaves_nothing_to_be_mistaken_and_resumes_to_the_same_bytes(study):
    command = [sys.executable, "-c", "from lib.train import train; train('tiny', 'brand_text_image')"]
    environment = os.environ | {"PYTHONPATH": str(tiny.REPOSITORY)}
    process = subprocess.Popen(command, env=environment, start_new_session=True, stderr=subprocess.DEVNULL)
    work = study / "build/tiny/work/train/brand_text_image"
    while not list(work.glob("*/*/metrics.json")):
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (study / "build/tiny/predictions").exists()
    assert not (study / "reports").exists()
    kept = {path: path.stat().st_mtime_ns for path in work.glob("*/*/metrics.json")}
    assert kept

    seen = []
    original = train._publish

    def look(*arguments):
        seen.extend(path for path, time_ns in kept.items() if path.stat().st_mtime_ns == time_ns)
        return original(*arguments)

    train._publish = look
    try:
        train.train("tiny", "brand_text_image", workers=0)
    finally:
        train._publish = original
    assert set(seen) == set(kept)
    resumed = outputs(study, "brand_text_image")
    train.train("tiny", "brand_text_image", workers=0)
    assert outputs(study, "brand_text_image") == resumed


def test_what_cannot_differ_is_run_once():
    params = config.load_params()
    demo = config.load_catalogue("demo")
    naive = grid("naive", params, demo)
    assert {run.recipe for run in naive} == {"none"}
    assert {run.text for run in naive} == {"masked"}
    assert [run.seed for run in naive if run.size == "all" and run.split == "random"] == [0]
    image = grid("brand_image", params, demo)
    assert len(image) == len(set(image))
    assert {run.text for run in image} == {"masked"}


def test_a_run_is_named_by_what_it_was_fitted_on():
    assert Run("tuned", "plain", "grouped", "all", 2).key(321) == "tuned-plain-grouped-321-2"


def test_models_are_saved_with_what_their_inputs_were_encoded_with(study):
    train.train("tiny", "brand_text_image", workers=0)
    [file] = (study / "build/tiny/models/brand_text_image").glob("tuned-masked-random-*.json")
    encoding = json.loads(file.read_text())
    assert "denim" in encoding["vocabulary"]
    assert "brand 0" in encoding["brands"]
