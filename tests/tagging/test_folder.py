"""A tagger's folder is what it says: damage is found by its manifest, and what no tagger can work with by its rules."""

import json
import os
import shutil

import made_tagger
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from lib import files
from lib.exceptions import StudyError
from lib.tagging.tagger import Tagger


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("folder")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STUDY_ROOT", str(root))
        yield made_tagger.make(root).folder


@pytest.fixture
def folder(made, tmp_path):
    """Return a copy of the folder, to be damaged."""
    return shutil.copytree(made, tmp_path / "tagger")


def refusal(folder):
    """Load a folder, which must be refused, and return the message: one paragraph, or a few lines."""
    with pytest.raises(StudyError) as caught:
        Tagger.load(folder)
    assert len(str(caught.value)) < 1000 + 3 * len(str(folder))
    return str(caught.value)


def edit(folder, name, change, consistent=True):
    """Change a JSON file; and the manifest with it, as somebody would who wants it to pass."""
    content = files.read_json(folder / name)
    changed = change(content)
    (folder / name).write_text(json.dumps(changed if changed == [] else content))
    if consistent:
        sign(folder)


def sign(folder):
    files.write_json(folder / files.MANIFEST, {"files": files.file_hashes(folder)})


def test_the_manifest_lists_every_file(made):
    manifest = files.read_json(made / "manifest.json")
    assert manifest == {"files": files.file_hashes(made)}
    parts = [f"model/{part}model.{end}" for part in ("", "linear/", "robust/") for end in ("json", "safetensors")]
    assert sorted(manifest["files"]) == sorted(["README.md", "promises.json", "tagger.json", "taxonomy.json", *parts])
    assert Tagger.load(made).about.format == 4


# Damage, which the manifest finds

NAMES = ["README.md", "taxonomy.json", "promises.json", "model/model.json", "model/robust/model.safetensors"]


@pytest.mark.parametrize("name", NAMES)
def test_a_changed_file_is_named_with_both_hashes(folder, name):
    before = files.file_sha256(folder / name)
    content = bytearray((folder / name).read_bytes())
    content[-2] ^= 1
    (folder / name).write_bytes(content)
    after = files.file_sha256(folder / name)
    expected = f"{folder / name} is damaged or was edited: expected SHA-256 {before}, found {after}."
    assert refusal(folder) == expected


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    assert refusal(folder).startswith(f"{folder / name}: expected a file, found nothing.")


@pytest.mark.parametrize("name", ["more.txt", "model/robust/more.safetensors", "model/other/model.json"])
def test_a_file_that_is_new_is_named(folder, name):
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("{}")
    assert refusal(folder).startswith(f"{folder / name}: expected nothing, found a file.")


def test_promises_that_were_edited_and_names_that_were_swapped_are_found(folder, made):
    edit(folder, "promises.json", lambda c: c["thresholds"]["text"][0].update(confidence=0.01), consistent=False)
    assert "promises.json is damaged or was edited" in refusal(folder)
    shutil.copy(made / "promises.json", folder)
    edit(folder, "taxonomy.json", lambda c: c["levels"][0].reverse(), consistent=False)
    assert "taxonomy.json is damaged or was edited" in refusal(folder)


@pytest.mark.parametrize("name", ["taxonomy.json", "model/robust/model.safetensors", "tagger.json", "manifest.json"])
def test_a_link_is_no_file_of_the_folder(folder, tmp_path, name):
    elsewhere = shutil.move(folder / name, tmp_path / "elsewhere")
    (folder / name).symlink_to(elsewhere)
    assert f"{folder / name}: expected a file, found a link" in refusal(folder)


def test_a_folder_that_is_a_link_within_is_refused_and_a_link_to_the_whole_is_followed(folder, tmp_path):
    (tmp_path / "link").symlink_to(folder)
    assert Tagger.load(tmp_path / "link").about.catalogue == "tiny"
    shutil.move(folder / "model", tmp_path / "model")
    (folder / "model").symlink_to(tmp_path / "model")
    assert f"{folder / 'model'}: expected nothing, found a file." in refusal(folder)


def test_a_pipe_is_not_waited_for(folder):
    (folder / "taxonomy.json").unlink()
    os.mkfifo(folder / "taxonomy.json")
    assert "taxonomy.json: expected a file, found a link or a device" in refusal(folder)
    (folder / "tagger.json").unlink()
    os.mkfifo(folder / "tagger.json")
    assert "tagger.json: expected a file, found a link, a folder or a device" in refusal(folder)


@pytest.mark.parametrize("name", ["tagger.json", "manifest.json"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is missing"),
        (b"", "expected JSON"),
        (b"{", "expected JSON"),
        (b"\xff\xfe{", "expected JSON"),
        (b"[" * 100_000, "expected JSON"),
        (b"[]", "Found None|valid dictionary"),
        (b"{}", "Found None|files: this key is missing"),
        (b'{"files": {"tagger.json": "x"}}', "Found None|should match pattern"),
        (b'{"files": {"../tagger.json": "' + b"0" * 64 + b'"}}', r"Found None|\.\./tagger.json: expected a file"),
    ],
)
def test_what_is_read_first_may_hold_anything(folder, name, content, message):
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    with pytest.raises(StudyError, match=message):
        Tagger.load(folder)


def test_a_file_without_end_is_not_read(folder):
    os.truncate(folder / "tagger.json", 2**30)
    assert refusal(folder) == f"{folder / 'tagger.json'}: expected at most 16,777,216 bytes, found 1,073,741,824."


def test_of_an_older_folder_only_the_format_is_said(folder):
    (folder / "manifest.json").unlink()
    edit(folder, "tagger.json", lambda c: c.update(format=3, more="new"), consistent=False)
    (folder / "manifest.json").unlink(missing_ok=True)
    expected = f"{folder / 'tagger.json'}: this program reads taggers of format 4. Found 3. Train it again."
    assert refusal(folder) == expected


def test_a_folder_that_is_none_is_said(tmp_path):
    with pytest.raises(StudyError, match=r"There is no tagger in .*nowhere"):
        Tagger.load(tmp_path / "nowhere")


# What the manifest agrees with, and no tagger can work with


def name_twice(content):
    content["levels"][2][1] = content["levels"][2][0]


TAXONOMIES = {
    "a name twice": (name_twice, r"expected each name of level_3 once. Got 'class 0' 2 times"),
    "a negative path": (lambda c: c["paths"].append([0, -1, 0]), r"0 and below \[2, 2, 4\]. Got \[0, -1, 0\]"),
    "a path out of range": (lambda c: c["paths"].append([0, 0, 4]), r"below \[2, 2, 4\]. Got \[0, 0, 4\]"),
    "a path of two": (lambda c: c["paths"].append([0, 0]), r"paths\.6\.2: this key is missing"),
    "a large number": (lambda c: c["paths"].append([0, 0, 10**30]), r"paths\.6\.2|below \[2, 2, 4\]"),
    "a path of words": (lambda c: c["paths"].append(["a", "b", "c"]), r"paths\.6\.0: .* Got 'a'"),
    "no path": (lambda c: c.update(paths=[]), r"paths: .* at least 1 item"),
    "two levels": (lambda c: c["levels"].pop(), r"levels: .* at least 3 items"),
    "another key": (lambda c: c.update(more=1), r"unknown key 'more'"),
    "a list": (lambda c: [], r"taxonomy.json is wrong"),
    "one more class": (lambda c: c["levels"][2].append("more"), r"expected \[2, 2, 5\] classes, as in taxonomy.json"),
}


@pytest.mark.parametrize("case", TAXONOMIES)
def test_names_and_paths_are_those_of_a_taxonomy(folder, case):
    change, message = TAXONOMIES[case]
    edit(folder, "taxonomy.json", change)
    with pytest.raises(StudyError, match=message):
        Tagger.load(folder)
    assert str(folder) in refusal(folder)


def threshold(value, key="confidence"):
    return lambda content: content["thresholds"]["text"][0].update({key: value})


PROMISES = {
    "above one": (threshold(1.5), r"thresholds\.text\.0\.confidence: .* less than or equal to 1. Got 1.5"),
    "below zero": (threshold(-0.1), r"thresholds\.text\.0\.confidence: .* greater than or equal to 0"),
    "not a number": (threshold(float("nan")), r"thresholds\.text\.0\.confidence"),
    "infinite": (threshold(float("inf")), r"thresholds\.text\.0\.confidence"),
    "a fourth level": (
        threshold(4, "depth"),
        r"thresholds\.text\.0\.depth: .*1, 2 or 3",
    ),
    "a depth twice": (threshold(2, "depth"), r"a threshold of each depth, 1 to 3"),
    "a depth missing": (lambda c: c["thresholds"]["text"].pop(), r"a threshold of each depth, 1 to 3"),
    "no list": (lambda c: c["candidates"]["text"].clear(), r"expected candidates of each share .* for 'text'"),
    "a list's probability": (
        lambda c: c["candidates"]["text"][0].update(probability=-1),
        r"candidates\.text\.0\.probability",
    ),
    "another coverage": (lambda c: c.update(coverage=0.5), r"one of the candidates' shares \[0.9, 0.95\]. Got 0.5"),
    "a set of inputs missing": (lambda c: c["scales"].pop("brand"), r"for the same sets of inputs"),
    "a set without thresholds": (lambda c: c["thresholds"].pop("brand"), r"for the same sets of inputs"),
    "a set that is none": (
        lambda c: [c[key].update(smell=c[key]["brand"]) for key in ("scales", "thresholds", "candidates")],
        r"`scales`: expected those of the inputs",
    ),
    "a scale missing": (lambda c: c["scales"]["brand"].pop(), r"scales\.brand: .* at least 3 items"),
    "a slope that turns": (lambda c: c["scales"]["brand"][0].update(slope=-1), r"scales\.brand\.0\.slope"),
    "an infinite slope": (lambda c: c["scales"]["brand"][0].update(slope=float("inf")), r"brand\.0\.slope: .*finite"),
    "null": (lambda c: [], r"promises.json is wrong"),
}


@pytest.mark.parametrize("case", PROMISES)
def test_promises_are_probabilities_for_each_depth_and_set_of_inputs(folder, case):
    change, message = PROMISES[case]
    edit(folder, "promises.json", change)
    with pytest.raises(StudyError, match=message):
        Tagger.load(folder)
    assert f"{folder / 'promises.json'}" in refusal(folder)


ABOUTS = {
    "a name that leads elsewhere": (lambda c: c.update(catalogue="../../etc"), r"catalogue: .*pattern"),
    "no text": (lambda c: c.update(text_from=[]), r"text_from: .* at least 1 item"),
    "no backbone": (lambda c: c.update(backbone=None), r"expected a `backbone`, for the model reads photos"),
    "no dimension": (lambda c: c["backbone"].update(dimension=0), r"backbone\.dimension: .* greater than 0"),
    "another dimension": (lambda c: c["backbone"].update(dimension=8), r"not of one tagger"),
}


@pytest.mark.parametrize("case", ABOUTS)
def test_settings_are_those_of_a_tagger(folder, case):
    change, message = ABOUTS[case]
    edit(folder, "tagger.json", change)
    with pytest.raises(StudyError, match=message):
        Tagger.load(folder)


MODELS = {
    "a part elsewhere": ("model", lambda c: c.update(parts=["../model/linear", "robust"]), r"the folders beside it"),
    "itself": ("model", lambda c: c.update(parts=["."]), r"expected the folders beside it, \['linear', 'robust'\]"),
    "no part": ("model", lambda c: c.update(parts=[]), r"the folders beside it"),
    "classes of another": ("model/robust", lambda c: c.update(class_counts=[2, 2, 3]), r"\[2, 2, 4\] classes"),
    "a network without end": ("model/robust", lambda c: c["variant"].update(hidden_size=10**9), r"size mismatch"),
    "no recipe": ("model/robust", lambda c: c.update(recipe=None), r"not of one model"),
    "another kind": ("model/robust", lambda c: c["variant"].update(model="naive"), r"not of one model"),
    "no words": ("model/linear", lambda c: c["learnt"].update({"text.ngrams": []}), r"not of one tagger"),
    "words that are none": ("model/robust", lambda c: c["learnt"].update({"text.vocabulary": 7}), r"not of one model"),
    "lists for words": (
        "model/linear",
        lambda c: c["learnt"].update({"text.ngrams": [[n] for n in c["learnt"]["text.ngrams"]]}),
        r"not of one tagger",
    ),
    "weights that are no numbers": (
        "model",
        lambda c: c["learnt"]["model.weights"]["brand"].update(linear=[1.0, float("nan"), 1.0]),
        r"model/model.json: `model.weights`: expected finite numbers",
    ),
    "weights of a set missing": ("model", lambda c: c["learnt"]["model.weights"].pop(""), r"not of one tagger"),
    "weights of another part": (
        "model",
        lambda c: c["learnt"]["model.weights"]["brand"].pop("robust"),
        r"not of one tagger",
    ),
}


@pytest.mark.parametrize("case", MODELS)
def test_settings_of_a_model_that_nobody_saved_are_one_message(folder, case):
    name, change, message = MODELS[case]
    edit(folder, f"{name}/model.json", change)
    with pytest.raises(StudyError, match=message):
        Tagger.load(folder)
    assert str(folder) in refusal(folder)


@pytest.mark.parametrize(("part", "array"), [("linear", "machines.coef"), ("robust", "network.heads.weight")])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_are_finite(folder, part, array, value):
    path = folder / "model" / part / "model.safetensors"
    arrays = load_file(path)
    arrays[array].reshape(-1)[3] = value
    save_file(arrays, path)
    sign(folder)
    assert refusal(folder) == f"{path}: `{array}`: expected finite numbers. Found NaN or infinity."


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 8,  # a header without end
        (2**40).to_bytes(8, "little") + b"{}",
        (4).to_bytes(8, "little") + b"nope",
        (99).to_bytes(8, "little") + b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,999999]}}'.ljust(99),
        (2).to_bytes(8, "little") + b"{}",  # no array
    ],
)
@pytest.mark.parametrize("part", ["linear", "robust"])
def test_weights_with_a_wrong_header_are_one_message(folder, part, content):
    (folder / "model" / part / "model.safetensors").write_bytes(content)
    sign(folder)
    assert "not of one model" in refusal(folder)


def test_arrays_of_another_shape_are_one_message(folder):
    path = folder / "model/linear/model.safetensors"
    arrays = load_file(path)
    save_file(arrays | {"machines.coef": arrays["machines.coef"][:, 1:].copy()}, path)
    sign(folder)
    assert "not of one tagger" in refusal(folder)
