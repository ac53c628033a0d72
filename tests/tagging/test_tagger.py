"""A tagger: what it says of a product, what it may promise, and a folder that works anywhere or says what is wrong."""

import shutil

import made_tagger
import numpy as np
import pandas as pd
import pytest

from lib.exceptions import StudyError
from lib.models.inputs import Products
from lib.tagging.promises import listed
from lib.tagging.tagger import Tagger
from lib.training.metrics import valid_path

HIDDEN = [(), ("brand",), ("text",), ("image",), ("brand", "text", "image")]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("tagger")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STUDY_ROOT", str(root))
        yield root, made_tagger.make(root)


@pytest.fixture
def tagger(made) -> Tagger:
    return Tagger.load(made[1].folder)


@pytest.fixture
def products(made) -> Products:
    """Return the products of tiny as if they were new."""
    table = pd.read_parquet(made[0] / "build/tiny/clean/products.parquet")
    image = np.load(made[0] / "build/tiny/image/features.npy")
    return Products.of(table["brand"].tolist(), table["text"].tolist(), image)


@pytest.fixture
def folder(made, tmp_path):
    """Return a copy of the folder, to be damaged."""
    return shutil.copytree(made[1].folder, tmp_path / "tagger")


def test_paths_are_the_models_and_probabilities_add_up_to_one_whatever_a_product_lacks(made, tagger, products):
    for hidden in HIDDEN:
        scores = tagger.scores(products, hidden)
        np.testing.assert_allclose(np.exp(scores).sum(axis=1), 1, atol=1e-6)
        expected = valid_path(made[1].model.predict(products, hidden).levels, tagger.paths)
        np.testing.assert_array_equal(tagger.paths[scores.argmax(axis=1)], expected)


def test_a_brand_that_nobody_knows_counts_as_none(tagger):
    sets = tagger.tag(Products.of(["never seen", "brand 1", ""], ["sole", "", "the of"])).sets
    assert sets == ["text", "brand", ""]


def test_a_confidence_is_scaled_by_what_the_product_has(tagger, products):
    with_photo, without = tagger.tag(products), tagger.tag(products, ("image",))
    has = products.image.any(axis=1)
    np.testing.assert_allclose(with_photo.confidence[has], with_photo.prefixes.probability[has], atol=1e-6)
    assert (without.confidence < without.prefixes.probability)[without.prefixes.probability > 0.51].all()


def test_a_product_is_tagged_as_far_down_as_it_is_sure(tagger, products):
    tags = tagger.tag(products)
    for thresholds, depth in (([0, 0, 0], 3), ([0, 0, np.inf], 2), ([0, np.inf, np.inf], 1), ([np.inf] * 3, 0)):
        assert (tags.depth(dict.fromkeys(made_tagger.SETS, thresholds)) == depth).all()


def test_at_least_the_best_path_is_listed():
    assert listed([0.2, 0.5, 0.3], smallest=0.9) == [1]


# The folder


def test_a_folder_can_be_moved_and_keeps_its_promises(made, tagger, folder, products, monkeypatch, tmp_path):
    monkeypatch.setenv("STUDY_ROOT", str(tmp_path))  # nothing of the study is there
    moved = Tagger.load(folder)
    np.testing.assert_array_equal(moved.scores(products), tagger.scores(products))
    assert moved.promises == made_tagger.promises()
    assert {path.suffix for path in folder.rglob("*.*")} == {".json", ".safetensors", ".md"}  # no pickle


def test_vectors_of_another_network_are_refused(tagger, products):
    with pytest.raises(StudyError, match=r"reads image vectors of 256 numbers, from 'small_vgg'. Found 8"):
        tagger.scores(products.having(image=products.image[:, :8]))
