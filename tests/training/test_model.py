"""The one model object: every kind of model learns, hides inputs, copes with odd products, and is saved and loaded."""

import shutil
from functools import cache
from itertools import chain, combinations

import numpy as np
import pytest
import torch
from made_products import ALL, COUNTS, MLP, VARIANTS, fitted, model_of, shop

from lib import files
from lib.exceptions import StudyError
from lib.models import classes_of, inputs
from lib.models.base import Task
from lib.models.inputs import Products
from lib.training import model as models
from lib.training.model import load_model

every_model = pytest.mark.parametrize("name", VARIANTS)
HIDDEN = list(chain.from_iterable(combinations(ALL, size) for size in range(4)))
trained = cache(lambda name: fitted(VARIANTS[name]))


def arrays(predictions):
    """All that a model says, by name."""
    return {**dict(enumerate(predictions.levels)), **predictions.decoded}


def assert_same_bits(found, expected):
    found, expected = arrays(found), arrays(expected)
    assert found.keys() == expected.keys()
    for name, array in found.items():
        assert array.dtype == expected[name].dtype
        np.testing.assert_array_equal(array, expected[name])


def differ(some, others):
    return any(bool((a != b).any()) for a, b in zip(some.levels, others.levels, strict=True))


def assert_distributions(model, products):
    said = model.predict(products)
    assert [level.shape for level in said.levels] == [(len(products), count) for count in COUNTS]
    for level in said.levels:
        np.testing.assert_allclose(np.exp(level.astype(float)).sum(axis=1), 1, atol=3e-3)
    return said


@every_model
def test_a_model_learns_what_words_brands_and_photos_say(name):
    products, codes = shop(seed=1)
    levels = trained(name).predict(products).levels
    right = np.mean([level.argmax(axis=1) == true for level, true in zip(levels, codes.T, strict=True)])
    assert right < 0.7 if name == "naive" else right > 0.75


@every_model
def test_a_saved_and_loaded_model_answers_the_same_bits_whatever_is_hidden(name, tmp_path):
    products, model = shop(seed=1)[0], trained(name)
    model.save(tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    for hidden in HIDDEN:
        assert_same_bits(loaded.predict(products, hidden), model.predict(products, hidden))
    assert loaded.known("brand") == model.known("brand")
    assert {file.suffix for file in tmp_path.rglob("*.*")} == {".json", ".safetensors"}  # no pickle


@every_model
def test_the_same_seed_gives_the_same_bits(name):
    products = shop(seed=1)[0]
    assert_same_bits(fitted(VARIANTS[name]).predict(products), trained(name).predict(products))


@every_model
def test_a_hidden_input_is_one_that_the_products_lack(name):
    products, model = shop(seed=1)[0], trained(name)
    for hidden in HIDDEN[1:]:
        lacking = Products(len(products), {n: c for n, c in products.columns.items() if n not in hidden})
        assert_same_bits(model.predict(products, hidden), model.predict(lacking))
        read = set(hidden) & set(model.settings.variant.inputs)
        assert differ(model.predict(products), model.predict(lacking)) is bool(read)


@every_model
def test_what_stands_beside_a_product_does_not_change_what_is_said_of_it(name):
    products, model = shop(rows=30, seed=1)[0], trained(name)
    alone = [model.predict(products.take(np.array([row]))).levels for row in range(30)]
    for together, *each in zip(model.predict(products).levels, *alone, strict=True):
        np.testing.assert_allclose(together, np.concatenate(each), atol=8e-3)


@every_model
def test_products_are_encoded_the_same_part_by_part(name):
    products, (first, last) = shop(rows=30, seed=1)[0], np.split(np.arange(30), [9])
    models_of_it = [trained(name), *trained(name).parts.values()]
    for encoder in (piece for model in models_of_it for piece in model.pieces.values() if hasattr(piece, "encode")):
        parts = [values(encoder.encode(products.take(rows))) for rows in (first, last)]
        assert torch.equal(torch.cat(parts), values(encoder.encode(products)))


def values(column):
    """All values of an encoded column."""
    return column.ids if isinstance(column, inputs.Ragged) else column


@every_model
def test_odd_products_get_an_answer(name):
    odd = Products.of(["never seen", "", None], ["words nobody knows", "", "the of"], np.zeros((3, 8), np.float16))
    assert_distributions(trained(name), odd)
    assert_distributions(trained(name), odd.without(ALL))
    assert [len(level) for level in trained(name).predict(odd.take(np.arange(0))).levels] == [0, 0, 0]


@every_model
def test_a_level_of_one_class_and_no_validation_products_are_no_obstacle(name):
    products, codes = shop()
    codes[:, 0] = 1
    model, nobody = model_of(VARIANTS[name]), np.arange(0)
    model.fit(Task(products.take(np.arange(100)), codes[:100], products.take(nobody), codes[nobody], 0))
    said = assert_distributions(model, products) if name != "path_fusion" else model.predict(products)
    assert (said.levels[0].argmax(axis=1) == 1).all()


def test_a_fusion_of_paths_tunes_on_the_products_that_it_may_see():
    products, codes = shop()
    train, held = np.arange(100), np.arange(100, 160)
    tuning = np.arange(60) % 2 == 0
    wrong = np.where(tuning[:, None], codes[held], codes[held][::-1])  # what it must not see is nonsense
    weights = []
    for truth in (codes[held], wrong):
        model = model_of(VARIANTS["path_fusion"])
        model.fit(Task(products.take(train), codes[train], products.take(held), truth, 0, tuning))
        weights.append(model.weights)
    assert weights[0] == weights[1]
    assert set(weights[0]) == {"+".join(hidden) for hidden in HIDDEN}
    assert set(weights[0]["brand+text"]) == {"robust", "linear"}


def test_a_network_without_a_recipe_is_refused():
    model = models.make_model(model_of(MLP).settings.variant, None, model_of(MLP).settings.text, COUNTS)
    products, codes = shop()
    with pytest.raises(StudyError, match="which needs a recipe"):
        model.fit(Task(products, codes, products, codes, 0))


# Departures of the original code


@pytest.mark.parametrize(
    ("name", "departure"),
    [
        ("mlp", {"brand_encoding": "scalar"}),
        ("mlp", {"stop_words": "none"}),
        ("sequential", {"frozen_trunk": True}),
        ("lstm", {"leak_own_label": True}),
        ("lstm", {"shuffle": False}),
        ("mlp", {"drop_last": True}),
    ],
)
def test_each_departure_of_the_original_code_trains_otherwise(name, departure):
    products, short = shop(seed=1)[0], {"epochs": 2, "patience": None}
    usual, departed = (fitted(VARIANTS[name], **short, **changes) for changes in ({}, departure))
    assert_distributions(departed, products)
    assert differ(usual.predict(products), departed.predict(products))


# The folder


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "model"
    trained("path_fusion").save(folder)
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    """Return a copy of a model's folder, to be damaged."""
    return shutil.copytree(saved, tmp_path / "model")


FILES = [f"{part}{name}" for part in ("", "linear/", "robust/") for name in ("model.json", "model.safetensors")]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["missing", "cut", "other"])
def test_a_damaged_file_is_one_message(folder, name, damage):
    content = (folder / name).read_bytes()
    (folder / name).unlink()
    if damage != "missing":
        (folder / name).write_bytes(content[: len(content) // 2] if damage == "cut" else b"[]")
    with pytest.raises(StudyError, match=r"damaged|missing"):
        load_model(folder)


def test_files_of_two_models_are_refused(folder, tmp_path):
    fitted(MLP | {"hidden_size": 8}, epochs=1).save(tmp_path / "other")
    shutil.copy(tmp_path / "other/model.safetensors", folder / "robust")
    with pytest.raises(StudyError, match="not of one model"):
        load_model(folder)


def test_another_format_is_refused(folder):
    files.write_json(folder / "model.json", files.read_json(folder / "model.json") | {"format": 9})
    with pytest.raises(StudyError, match=r"reads models of format 2\. Found 9"):
        load_model(folder)


def test_a_model_that_cannot_be_finished_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setattr("lib.models.base.save_file", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        trained("linear").save(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_a_fusion_is_built_by_its_class_and_those_of_its_parts():
    names = {"lib.models.fusion.PathFusion", "lib.models.linear.LinearModel", "lib.models.mlp.MultitaskMLP"}
    assert classes_of(model_of(VARIANTS["path_fusion"]).settings.variant) == names
