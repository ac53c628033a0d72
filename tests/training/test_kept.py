"""Kept runs: what makes a run another one and what does not; and only a whole run of that key is found again."""

import errno
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny
import yaml

from lib import config
from lib.exceptions import StudyError
from lib.models.inputs import load_catalogue_data
from lib.training import kept
from lib.training.runs import NO_RECIPE, Run, has_recipe

ALL = {"linear", "brand", "brand_text_image", "lstm", "best"}
MADE_BY = {"inputs": {"products": "1"}, "run": {"seed": 0}}
KEY = kept.key_of(MADE_BY)


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.setenv("STUDY_ROOT", str(tmp_path))
    tiny.write(tmp_path, products=60)
    return tmp_path


@pytest.fixture
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "elsewhere"
    monkeypatch.setenv("STUDY_CACHE", str(folder))
    return folder / "train"


def keys():
    """The key of one run of each variant, of the study as it is now."""
    params, names = config.load_params(), {}
    for name in ALL:
        variant = params.variants[name]
        run = Run("tuned" if has_recipe(variant) else NO_RECIPE, "masked", "grouped", "all", 0)
        names[name] = kept.key_of(kept.ingredients("tiny", variant, run, params))
    return names


def differing(before):
    after = keys()
    return {name for name in ALL if before[name] != after[name]}


# What a run is made of


@pytest.mark.parametrize(
    ("change", "again"),
    [
        (lambda p: p["variants"]["brand"].update(hidden_size=8), {"brand"}),
        (lambda p: p["variants"]["linear"].update(C=2.0), {"best", "linear"}),
        (lambda p: p["recipes"]["tuned"].update(lr=0.5), ALL - {"linear"}),
        (lambda p: p["recipes"]["paper"].update(lr=0.5), set()),
        (lambda p: p["text"].update(max_bag_words=7), ALL - {"brand"}),
        (lambda p: p["runs"]["core"].append({**p["runs"]["core"][0], "text": "plain"}), set()),
        (lambda p: p["errors"].update(target=0.5), set()),
    ],
    ids=[
        "a variant",
        "a variant that is a part, too",
        "its recipe",
        "another recipe",
        "text",
        "the grid",
        "a later stage",
    ],
)
def test_a_changed_setting_makes_again_what_uses_it(study, change, again):
    before, content = keys(), tiny.params()
    change(content)
    (study / "params.yaml").write_text(yaml.safe_dump(content))
    assert differing(before) == again


@pytest.mark.parametrize(
    ("column", "value", "again"),
    [("brand", "another", ALL), ("level_1_code", 1, ALL), ("random_split", "test", set()), ("title", "new", set())],
)
def test_a_changed_column_makes_again_what_reads_it(study, column, value, again):
    before, path = keys(), config.build_dir("tiny", "clean", "products.parquet")
    table = pd.read_parquet(path)
    table[column] = value
    table.to_parquet(path)
    assert differing(before) == again


def test_vectors_of_another_network_are_an_input_like_the_catalogues_own(study):
    folder, params, run = (
        config.build_dir("tiny", "image"),
        config.load_params(),
        Run("tuned", "masked", "random", 40, 0),
    )
    shutil.copytree(folder, folder / "lite2")

    def inputs(name):
        return kept.ingredients("tiny", params.variants[name], run, params)["inputs"]

    assert {name for name in inputs("brand_image_lite2") if "image" in name} == {"image/lite2/features.npy"}
    before = {name: inputs(name) for name in ("brand_image", "brand_image_lite2")}
    np.save(folder / "lite2/features.npy", np.ones((60, 3), np.float16))
    assert [name for name in before if inputs(name) != before[name]] == ["brand_image_lite2"]
    made = load_catalogue_data("tiny").as_products(["image/lite2"], "masked")
    assert made.columns["image/lite2"].shape == (60, 3)
    assert not made.without(["image"]).columns


def test_a_changed_photo_or_text_makes_again_what_reads_it(study):
    for file, again in (
        ("image/features.npy", {"brand_text_image", "best"}),
        ("text/words.json", ALL - {"brand"}),
        ("text/masked.npz", ALL - {"brand"}),
        ("text/plain.npz", set()),
    ):
        before, path = keys(), config.build_dir("tiny", file)
        path.write_bytes(path.read_bytes() + b" ")
        assert differing(before) == again, file


@pytest.mark.parametrize(
    ("file", "old", "new", "again"),
    [
        ("models/mlp.py", "nn.ReLU()", "nn.GELU()", {"brand", "brand_text_image", "best"}),
        ("models/lstm_kernel.py", "import torch\n", "import torch\nX = 1\n", {"lstm"}),
        ("models/linear.py", "np.bincount", "np.size", {"linear", "best"}),
        ("features/text.py", "\n\n\ndef ", "\n\n\nX = 1\n\n\ndef ", ALL),
        ("training/loop.py", 'mode="max"', 'mode="min"', ALL),
        ("models/mlp.py", '"""The multi', '"""A changed sentence. The multi', set()),
        ("models/mlp.py", "class Multi", "# A comment\nclass Multi", set()),
        ("evaluation/bootstrap.py", "import ", "import os, ", set()),
        ("training/kept.py", "import ast", "import ast, os", set()),
        ("files.py", "import ", "import os, ", set()),
    ],
)
def test_changed_code_makes_again_what_it_defines_and_words_nothing(tmp_path, file, old, new, again):
    variants = {name: config.load_params().variants[name] for name in ALL}
    shutil.copytree(tiny.REPOSITORY / "lib", tmp_path / "lib", ignore=shutil.ignore_patterns("__pycache__"))
    before = {name: kept.sources(variant, tmp_path) for name, variant in variants.items()}
    path = tmp_path / "lib" / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    assert {name for name in ALL if kept.sources(variants[name], tmp_path) != before[name]} == again


def test_the_code_of_what_is_only_read_elsewhere_has_no_say():
    of = {name: set(kept.sources(config.load_params().variants[name])) for name in ALL}
    ground = {"lib.files", "lib.config", "lib.training.stage", "lib.training.kept", "lib.schemas", "lib.notebook"}
    assert not ground & set.union(*of.values())
    assert not [name for name in set.union(*of.values()) if name.startswith(("lib.evaluation", "lib.report"))]
    assert {"lib.training.run", "lib.training.metrics", "lib.clean.splits"} < set.intersection(*of.values())
    assert "lib.models.mlp" not in of["lstm"]


# What is found again


def fill(folder, checkpoints):
    (folder / "model").mkdir()
    (folder / "model/weights").write_text("1 2 3")
    (folder / "outcomes.npz").write_bytes(b"right")


def edit_manifest(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["made_by"]["run"]["seed"] = 1
    (folder / "manifest.json").write_text(json.dumps(manifest))


def make_foreign(folder):
    other = kept.make({"another": "run"}, fill)
    shutil.rmtree(folder)
    other.rename(folder)


def put_a_file_in_its_place(folder):
    shutil.rmtree(folder)
    folder.write_text("no folder")


DAMAGES = {
    "edited": lambda folder: (folder / "model/weights").write_text("1 2 4"),
    "cut off": lambda folder: (folder / "outcomes.npz").write_bytes(b"ri"),
    "a file is missing": lambda folder: (folder / "outcomes.npz").unlink(),
    "a file too many": lambda folder: (folder / "model/more").write_text("4"),
    "no manifest": lambda folder: (folder / "manifest.json").unlink(),
    "half a manifest": lambda folder: (folder / "manifest.json").write_text('{"files": {'),
    "a manifest of another kind": lambda folder: (folder / "manifest.json").write_text("[]"),
    "an edited manifest": edit_manifest,
    "another run": make_foreign,
    "a file": put_a_file_in_its_place,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_what_is_not_whole_or_not_this_run_is_made_again(cache, damage):
    folder = kept.make(MADE_BY, fill)
    assert kept.find(KEY) == folder == cache / KEY
    damage(folder)
    assert kept.find(KEY) is None
    assert kept.make(MADE_BY, fill) == folder
    assert kept.find(KEY) == folder
    assert (folder / "model/weights").read_text() == "1 2 3"


def test_a_run_that_is_kept_is_not_made_again(cache):
    folder = kept.make(MADE_BY, fill)
    assert kept.make(MADE_BY, lambda *_: pytest.fail("it was made again")) == folder


def test_an_error_leaves_nothing_but_checkpoints(cache):
    def fail(folder, checkpoints):
        checkpoints.mkdir(parents=True)
        (checkpoints / "last").write_text("half way")
        (folder / "half").write_text("")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        kept.make(MADE_BY, fail)
    assert kept.find(KEY) is None
    assert [path.name for path in cache.iterdir()] == [".checkpoints"]

    def go_on(folder, checkpoints):
        assert (checkpoints / "last").read_text() == "half way"
        fill(folder, checkpoints)

    kept.make(MADE_BY, go_on)
    assert [path.name for path in (cache / ".checkpoints").iterdir()] == ["lock"]


SCRIPT = """
import sys, time
from pathlib import Path
from lib.models.inputs import load_catalogue_data
from lib.training import kept
def fill(folder, checkpoints):
    with Path(sys.argv[1]).open("a") as log:
        log.write("begun\\n")
    (folder / "half").write_text("")
    time.sleep(float(sys.argv[2]))
    (folder / "half").rename(folder / "whole")
kept.make({"inputs": {"products": "1"}, "run": {"seed": 0}}, fill)
"""


def start(log: Path, seconds: float) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", SCRIPT, str(log), str(seconds)], cwd=tiny.REPOSITORY)


def wait_for(path: Path, process: "subprocess.Popen[bytes]") -> None:
    while not path.exists():
        assert process.poll() is None
        time.sleep(0.02)


def test_two_processes_that_want_the_same_run_make_it_once(cache, tmp_path):
    both = [start(tmp_path / "log", 0.5) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert (tmp_path / "log").read_text() == "begun\n"
    assert kept.find(KEY) is not None


def test_a_killed_process_leaves_nothing_to_be_mistaken_and_no_lock(cache, tmp_path):
    process = start(tmp_path / "log", 600)
    wait_for(tmp_path / "log", process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert kept.find(KEY) is None
    kept.make(MADE_BY, fill)
    assert sorted(path.name for path in cache.iterdir()) == [".checkpoints", KEY]


# A cache that cannot be written to


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        RuntimeError("I/O error: No space left on device (os error 28)"),  # as safetensors says it
    ],
    ids=["full", "quota", "from Rust"],
)
def test_a_full_disk_is_one_message_that_names_the_folder_and_the_way_out(cache, error):
    def fail(folder, checkpoints):
        raise error

    with pytest.raises(StudyError, match=r"elsewhere/train.*STUDY_CACHE"):
        kept.make(MADE_BY, fail)
    assert kept.find(KEY) is None


def test_a_folder_that_cannot_be_written_to_is_one_message(cache, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "mkdir", refuse)
        with pytest.raises(StudyError, match=r"elsewhere/train: Read-only file system.*STUDY_CACHE"):
            kept.make(MADE_BY, fill)
    (tmp_path / "elsewhere").write_text("a file")
    with pytest.raises(StudyError, match=r"elsewhere/train: Not a directory.*STUDY_CACHE"):
        kept.make(MADE_BY, fill)


def test_other_errors_are_what_they_are(cache):
    def fail(folder, checkpoints):
        raise StudyError("28 products have no path.")

    with pytest.raises(StudyError, match=r"^28 products have no path\.$"):
        kept.make(MADE_BY, fail)
