"""A tagger's folder says what the study's own model says, on any machine, and a damaged one says that it is."""

import json
import shutil

import made_tagger
import numpy as np
import pandas as pd
import pytest

from lib import artifacts
from lib.data import load_catalogue_data
from lib.errors import StudyError
from lib.evaluate import valid_path
from lib.splits import test_rows as rows_of_test
from lib.tagging.parts import LinearPart, NewProducts
from lib.tagging.promises import Promises, listed
from lib.tagging.tagger import Tagger, write_folder

HIDDEN = [(), ("brand",), ("text",), ("image",), ("brand", "text"), ("text", "image"), ("brand", "text", "image")]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return the root, the folder, the estimator, the tagger, and the catalogue's test rows as new products."""
    root = tmp_path_factory.mktemp("tagging")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STUDY_ROOT", str(root))
        found = made_tagger.make(root)
        rows = rows_of_test(load_catalogue_data("tiny").products, "grouped")
        products = pd.read_parquet(root / "build/tiny/clean/products.parquet").iloc[rows]
        image = np.array(load_catalogue_data("tiny").image[rows])
        new = NewProducts(products["brand"].tolist(), products["text"].tolist(), image)
        yield root, found, Tagger.load(found.folder), rows, new


@pytest.fixture
def folder(made, tmp_path):
    """Return a copy of the folder, to be damaged."""
    return shutil.copytree(made[1].folder, tmp_path / "tagger")


# The same as in the study


@pytest.mark.parametrize("hidden", HIDDEN, ids=lambda names: "+".join(names) or "nothing")
def test_parts_say_what_the_estimators_say(made, hidden):
    _, found, tagger, rows, new = made
    for name, part in tagger.parts.items():
        expected = found.estimator.parts[name].predict(rows, hidden).levels
        for mine, theirs in zip(part.log_probabilities(new.without(hidden)), expected, strict=True):
            np.testing.assert_allclose(mine, theirs, atol=5e-3)


@pytest.mark.parametrize("hidden", HIDDEN, ids=lambda names: "+".join(names) or "nothing")
def test_paths_are_the_estimators(made, hidden):
    _, found, tagger, rows, new = made
    expected = valid_path(found.estimator.predict(rows, hidden).levels, load_catalogue_data("tiny").paths)
    np.testing.assert_array_equal(tagger.paths[tagger.scores(new, hidden).argmax(axis=1)], expected)


def test_probabilities_of_a_product_add_up_to_one_whatever_it_lacks(made):
    *_, tagger, _, new = made
    for hidden in HIDDEN:
        np.testing.assert_allclose(np.exp(tagger.scores(new, hidden)).sum(axis=1), 1, atol=1e-6)


def test_what_stands_beside_a_product_does_not_change_its_tag(made):
    *_, tagger, _, new = made
    alone = [
        tagger.scores(NewProducts([brand], [text], vector[None]))[0]
        for brand, text, vector in zip(new.brand, new.text, new.image, strict=True)
    ]
    np.testing.assert_allclose(tagger.scores(new), alone, atol=1e-4)


def test_a_brand_that_nobody_knows_counts_as_none(made):
    *_, tagger, _, _ = made
    assert tagger.tag(NewProducts(["never seen", "brand 1", ""], ["sole", "", "the of"])).sets == [
        "text",
        "brand",
        "",
    ]


def test_a_level_of_one_class_is_always_that_class(made, folder):
    *_, new = made
    names = artifacts.read_json(folder / "linear.json")
    arrays = {
        name: array
        for name, array in made_tagger.arrays_of(folder / "linear.safetensors").items()
        if not name.endswith("_0")
    }
    made_tagger.write_arrays(folder / "linear.safetensors", arrays)
    artifacts.write_json(folder / "linear.json", names | {"only_class": {"0": 1}})
    levels = Tagger.load(folder).parts["linear"].log_probabilities(new)
    assert (levels[0].argmax(axis=1) == 1).all()


def test_contributions_add_up_to_the_margins(made):
    *_, tagger, _, new = made
    part = tagger.parts["linear"]
    assert isinstance(part, LinearPart)
    one = NewProducts(new.brand[:1], new.text[:1])
    [level_1, _, level_3] = part.contributions(one, [1, 0, 2])
    assert set(level_1) == set(level_3)
    assert sum(level_1.values()) != sum(level_3.values())
    other = part.contributions(one, [0, 0, 2])[0]  # of two classes one is the other's opposite
    assert sum(other.values()) == pytest.approx(-sum(level_1.values()))


# What is promised


def test_a_confidence_is_scaled_by_what_the_product_has(made):
    *_, tagger, _, new = made
    with_photo, without = tagger.tag(new), tagger.tag(new, ("image",))
    has = new.image.any(axis=1)
    np.testing.assert_allclose(with_photo.confidence[has], with_photo.prefixes.probability[has], atol=1e-6)
    assert (without.confidence < without.prefixes.probability)[without.prefixes.probability > 0.51].all()


def test_a_product_is_tagged_as_far_down_as_it_is_sure(made):
    *_, tagger, _, new = made
    tags = tagger.tag(new)
    assert (tags.depth([0, 0, 0]) == 3).all()
    assert (tags.depth([0, 0, np.inf]) == 2).all()
    assert (tags.depth([0, np.inf, np.inf]) == 1).all()
    assert (tags.depth([np.inf] * 3) == 0).all()


def test_a_precision_that_nobody_worked_out_is_refused():
    with pytest.raises(StudyError, match=r"no thresholds for a precision of 0.8. It has those of \[0.9\]"):
        made_tagger.promises().thresholds_for(0.8)


def test_at_least_the_best_path_is_listed():
    assert listed([0.2, 0.5, 0.3], smallest=0.9) == [1]


# The folder


def test_no_file_is_a_pickle(made):
    endings = {path.suffix for path in made[1].folder.iterdir()}
    assert endings == {".json", ".safetensors", ".md"}


def test_a_folder_can_be_moved(made, folder, monkeypatch, tmp_path):
    *_, tagger, _, new = made
    monkeypatch.setenv("STUDY_ROOT", str(tmp_path))  # nothing of the study is there
    np.testing.assert_array_equal(Tagger.load(folder).scores(new), tagger.scores(new))


def test_another_format_is_refused_before_anything_else_is_read(folder):
    content = json.loads((folder / "tagger.json").read_text()) | {"format": 2, "something": "new"}
    (folder / "tagger.json").write_text(json.dumps(content))
    with pytest.raises(StudyError, match=r"reads taggers of format 1. Found 2"):
        Tagger.load(folder)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(StudyError, match=r"There is no tagger in .*nowhere"):
        Tagger.load(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["tagger.json", "taxonomy.json", "linear.json", "robust.safetensors"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(StudyError, match=rf"{name}|damaged"):
        Tagger.load(folder)


@pytest.mark.parametrize(
    "name", ["tagger.json", "taxonomy.json", "promises.json", "linear.json", "linear.safetensors", "robust.safetensors"]
)
@pytest.mark.parametrize("damage", ["cut", "other"])
def test_a_damaged_file_is_one_message(folder, name, damage):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2] if damage == "cut" else b"[]")
    with pytest.raises(StudyError, match=rf"damaged|wrong|{name}"):
        Tagger.load(folder)


def test_files_of_two_taggers_are_refused(folder):
    taxonomy = artifacts.read_json(folder / "taxonomy.json")
    taxonomy["levels"][2].append("one more")
    artifacts.write_json(folder / "taxonomy.json", taxonomy)
    with pytest.raises(StudyError, match="not of one tagger"):
        Tagger.load(folder)


def test_vectors_of_another_network_are_refused(made):
    *_, tagger, _, new = made
    with pytest.raises(StudyError, match=r"reads image vectors of 256 numbers, from 'small_vgg'. Found 8"):
        tagger.scores(new._replace(image=new.image[:, :8]))


def test_a_folder_that_cannot_be_finished_is_not_there(made, tmp_path):
    root, found, *_ = made
    with pytest.raises(StudyError, match="missing"):
        write_folder(tmp_path / "tagger", found.about, root / "nowhere", {"levels": [], "paths": []}, None, "")
    assert list(tmp_path.iterdir()) == []


def test_promises_survive_the_folder(made):
    *_, tagger, _, _ = made
    assert tagger.promises == made_tagger.promises()
    assert isinstance(tagger.promises, Promises)
