"""The train stage on a tiny catalogue: what it leaves, that it repeats, that it trains only what is missing."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import tiny
import yaml

from lib import config
from lib.exceptions import StudyError
from lib.models.inputs import load_catalogue_data
from lib.models.mlp import MultitaskMLP
from lib.training import kept, loop, metrics, run, stage
from lib.training.model import load_model
from lib.training.runs import grid

VARIANTS = ["naive", "linear_image", "late_fusion", "lstm", "brand_text_image"]
LINE = {"recipes": ["tuned"], "text": "masked", "splits": ["grouped"], "train_sizes": "each"}
ONE = {"core": [{**LINE, "train_sizes": "largest", "seeds": 1}]}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A study of which the variants are trained, for all tests that look at it or go on from it."""
    root = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STUDY_ROOT", str(root))
        patch.setenv("STUDY_CACHE", str(root / "cache"))
        tiny.write(root, runs={"core": [LINE]})
        stage.train("tiny", [*VARIANTS, "linear", "brand"], workers=0)
    return root


@pytest.fixture
def study(made, tmp_path, monkeypatch):
    """A copy of that study, which a test may change: its runs are kept."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("STUDY_ROOT", str(tmp_path))
    monkeypatch.setenv("STUDY_CACHE", str(tmp_path / "cache"))
    tiny.forget()
    yield tmp_path
    tiny.forget()


def outputs(root, variant):
    folders = [root / "build/tiny/predictions" / variant, root / "build/tiny/models" / variant, root / "reports"]
    return {str(f.relative_to(root)): f.read_bytes() for folder in folders for f in folder.rglob("*") if f.is_file()}


def kept_runs(root):
    return {path.parent.name for path in root.glob("cache/train/*/manifest.json")}


def train(variant, workers=0):
    return stage.train("tiny", [variant], workers)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_run_of_the_grid_leaves_what_it_said_and_got_right(study, variant):
    table = train(variant)
    runs = grid(variant, config.load_params(), "tiny")
    data = load_catalogue_data("tiny")
    assert len(table[["train_size", "seed"]].drop_duplicates()) == len(runs)
    of_key = metrics.read(metrics.path_of("tiny", variant))
    histories = json.loads((study / f"build/tiny/predictions/{variant}/history.json").read_text())
    files = {path.stem: path for path in study.glob(f"build/tiny/predictions/{variant}/*.npz")}
    assert set(files) == set(of_key) == set(histories)
    assert len(files) == len(runs)
    for key, path in files.items():
        with np.load(path) as file:
            decoded = metrics.decode([file[f"test_{level}"] for level in range(3)], data.paths)
            rows = file["test_rows"]
        for name, codes in decoded.items():
            right = metrics.pack(metrics.correctness(codes, data.codes[rows], data.paths), rows)
            np.testing.assert_array_equal(of_key[key][metrics.Way(name, "test")], right)
        trained = variant in {"lstm", "brand_text_image"}
        assert bool(histories[key]) == trained
        assert all(np.isfinite(epoch["loss"]) for epoch in histories[key])


def test_the_model_of_all_rows_is_the_one_that_predicted(study):
    train("brand_text_image")
    (folder,) = study.glob("build/tiny/models/brand_text_image/*")
    data = load_catalogue_data("tiny")
    with np.load(study / f"build/tiny/predictions/brand_text_image/{folder.name}.npz") as file:
        products = data.as_products(["brand", "text", "image"], "masked").take(file["test_rows"])
        for level, said in enumerate(load_model(folder).predict(products).levels):
            np.testing.assert_array_equal(said, file[f"test_{level}"])


def test_informative_inputs_beat_the_plurality_class(study):
    path = {
        name: train(name).query("measured_on == 'test' and metric == 'path' and train_size > 40")["value"].mean()
        for name in ("linear", "naive")
    }
    assert path["linear"] > path["naive"] + 0.2


def test_a_second_call_trains_nothing_and_leaves_the_same_bytes(study, monkeypatch):
    train("brand_text_image")
    before = outputs(study, "brand_text_image")
    shutil.rmtree(study / "build/tiny/predictions")
    with monkeypatch.context() as patched:
        patched.setattr(run, "do_run", lambda *_: pytest.fail("a run that is kept was made again"))
        train("brand_text_image")
    assert outputs(study, "brand_text_image") == before
    shutil.rmtree(study / "cache")
    train("brand_text_image", workers=2)  # from nothing kept, and in other processes
    assert outputs(study, "brand_text_image") == before


def test_runs_share_a_gpu_and_are_kept_apart_from_those_of_a_processor(study, monkeypatch):
    asked, pool = [], stage.worker_pool

    def counted(workers, imported):
        asked.append(workers)
        return pool(1, imported)

    monkeypatch.setattr(stage, "worker_pool", counted)
    monkeypatch.setattr(stage, "_device", lambda accelerator: "a GPU")
    monkeypatch.setattr(stage, "cores", lambda: 16)
    before, runs = kept_runs(study), len(stage.plan("tiny", ["brand"]))
    stage.train("tiny", ["brand"])
    assert asked == [min(stage.ON_GPU, runs)]
    assert asked[0] > 1
    assert len(kept_runs(study) - before) == runs


def test_nothing_missing_needs_no_torch(study):
    train("linear_image")
    program = "import sys; from lib.training.stage import train; train('tiny', ['linear_image']); print(*sys.modules)"
    command = [sys.executable, "-c", program]
    loaded = subprocess.run(command, cwd=tiny.REPOSITORY, check=True, capture_output=True, text=True).stdout.split()
    assert "lib.training.stage" in loaded
    assert "torch" not in loaded


def test_an_interrupted_run_goes_on_from_its_checkpoint_to_the_same_bytes(study, monkeypatch):
    (study / "params.yaml").write_text(yaml.safe_dump(tiny.params(runs=ONE)))
    updates, loss, fails = [], MultitaskMLP.loss, [False]

    def counted(network, batch):
        updates.append(batch)
        if fails[0] and len(updates) == 30:
            raise ZeroDivisionError
        return loss(network, batch)

    monkeypatch.setattr(MultitaskMLP, "loss", counted)
    monkeypatch.setattr(loop, "UPDATES_BETWEEN_CHECKPOINTS", 1)
    shutil.rmtree(study / "cache")
    train("brand")
    before, needed = outputs(study, "brand"), len(updates)
    shutil.rmtree(study / "cache")
    updates.clear()
    fails[0] = True
    with pytest.raises(ZeroDivisionError):
        train("brand")
    assert not kept_runs(study)
    train("brand")
    assert outputs(study, "brand") == before
    assert len(updates) < needed + 15  # an epoch is done twice, and not all of them


def test_only_what_is_new_in_the_grid_is_trained_and_what_is_gone_is_not_published(study):
    before = kept_runs(study)
    lines = [{**LINE, "train_sizes": "largest"}, {**LINE, "splits": ["random"], "train_sizes": "smallest", "seeds": 1}]
    (study / "params.yaml").write_text(yaml.safe_dump(tiny.params(runs={"core": lines})))
    train("brand")
    assert len(kept_runs(study) - before) == 1
    assert before < kept_runs(study)
    published = {path.stem.split("-")[2] + path.stem[-2:] for path in study.glob("build/tiny/predictions/brand/*.npz")}
    assert published == {"grouped-0", "grouped-1", "random-0"}
    assert len(metrics.read(metrics.path_of("tiny", "brand"))) == 3


def test_a_damaged_run_is_trained_again_and_no_other(study):
    before = outputs(study, "brand")
    names = sorted(kept.key_of(one.made_by) for one in stage.plan("tiny", ["brand"]))
    folders = [study / "cache/train" / name for name in names]
    (folders[0] / "predictions.npz").write_bytes(b"nothing")
    times = {folder: (folder / "manifest.json").stat().st_mtime_ns for folder in folders}
    train("brand")
    assert outputs(study, "brand") == before
    again = [folder for folder in folders if (folder / "manifest.json").stat().st_mtime_ns != times[folder]]
    assert again == folders[:1]


def test_what_is_learnt_does_not_depend_on_test_rows(study):
    """Whatever stands in the test rows, the weights, the vocabulary and the brands stay the same."""
    train("brand_text_image")
    before = outputs(study, "brand_text_image")
    path, photos = study / "build/tiny/clean/products.parquet", study / "build/tiny/image/features.npy"
    table, features = pd.read_parquet(path), np.load(photos)
    held_out = table["grouped_split"] == "test"
    assert held_out.sum() > 5
    table.loc[held_out, "brand"] = "a brand of test rows"
    table.loc[held_out, ["level_1_code", "level_2_code", "level_3_code"]] = 0
    table.to_parquet(path)
    features[held_out] = 100
    np.save(photos, features)
    load_catalogue_data.cache_clear()
    train("brand_text_image")
    after = outputs(study, "brand_text_image")
    assert {name for name in before if before[name] != after[name]} != set()
    assert [name for name in before if "/models/" in name and before[name] != after[name]] == []


def test_a_chain_is_measured_in_each_of_its_decodings_and_its_predictions_hold_the_paths(study):
    (study / "params.yaml").write_text(yaml.safe_dump(tiny.params(runs=ONE)))
    table = train("sequential")
    own = set(config.get_variant(config.load_params(), "sequential").decodings)
    for part, more in (("test", {"valid_path"}), ("train", set())):
        assert set(table[table["measured_on"] == part]["decoding"]) == own | {"independent"} | more
    data, of_key = load_catalogue_data("tiny"), metrics.read(metrics.path_of("tiny", "sequential"))
    for path in study.glob("build/tiny/predictions/sequential/*.npz"):
        with np.load(path) as file:
            rows = file["test_rows"]
            for name in own:
                codes, scores = file[f"test_{name}"], file[f"test_{name}_scores"]
                assert codes.shape == scores.shape == (len(rows), 1 if name == "hard" else codes.shape[1], 3)
                first = np.take_along_axis(file["test_0"], codes[:, :, 0].astype(int), axis=1)
                np.testing.assert_array_equal(first, scores[:, :, 0])
                right = metrics.pack(metrics.correctness(codes[:, 0], data.codes[rows], data.paths), rows)
                np.testing.assert_array_equal(of_key[path.stem][metrics.Way(name, "test")], right)
            assert (np.diff(file["test_soft_scores"].astype(float).sum(2), axis=1) <= 0.02).all()  # best first


def test_best_answers_valid_paths_only(study):
    (study / "params.yaml").write_text(yaml.safe_dump(tiny.params(runs=ONE)))
    table = train("best").query("measured_on == 'test'")
    assert set(table["decoding"]) == {"valid_path"}
    assert table.groupby("metric")["value"].min()["valid_share"] == 1
    assert table.query("metric == 'path'")["value"].item() > 0.7


def test_a_sitting_on_another_machine_takes_up_what_is_only_measured(study, monkeypatch):
    """Smaller training sizes are taken from the folder; what later stages read in full is made here."""
    monkeypatch.setenv("STUDY_SITTINGS", "sittings")
    first = train("brand_text_image")
    left = {path.stem for path in (study / "sittings/brand_text_image").glob("*.npz")}
    runs = grid("brand_text_image", config.load_params(), "tiny")
    assert left == {run.key(run.size) for run in runs if run.size != "all"} != set()

    monkeypatch.setenv("STUDY_CACHE", str(study / "another"))
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default")  # counts as another processor
    again = train("brand_text_image")
    assert len(list(study.glob("another/train/*/manifest.json"))) == len(runs) - len(left)
    pd.testing.assert_frame_equal(again, first)  # this processor is the same one, after all
    assert len(list(study.glob("build/tiny/predictions/brand_text_image/*.npz"))) == len(runs) - len(left)


@pytest.mark.parametrize("changed", ["recipe", "input"])
def test_a_sitting_takes_nothing_that_was_made_of_something_else(study, monkeypatch, changed):
    monkeypatch.setenv("STUDY_SITTINGS", "sittings")
    train("brand")
    if changed == "recipe":
        params = yaml.safe_load((study / "params.yaml").read_text())
        params["recipes"]["tuned"]["lr"] *= 2
        (study / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    else:
        path = study / "build/tiny/clean/products.parquet"
        products = pd.read_parquet(path)
        products.assign(brand=products["brand"].to_numpy()[::-1]).to_parquet(path)
    tiny.forget()
    monkeypatch.setenv("STUDY_CACHE", str(study / "another"))
    train("brand")
    assert len(list(study.glob("another/train/*/manifest.json"))) == len(grid("brand", config.load_params(), "tiny"))


def test_a_damaged_file_of_a_sitting_is_named(study, monkeypatch):
    monkeypatch.setenv("STUDY_SITTINGS", "sittings")
    train("brand")
    path = next((study / "sittings/brand").glob("*.npz"))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(StudyError, match=f"{path.name} is not what a sitting left.*Delete it"):
        train("brand")
