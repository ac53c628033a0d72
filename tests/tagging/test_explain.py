"""What carried a decision: words, brand, photo and its parts; and the tour and the notebooks that show it."""

import zipfile
from pathlib import Path

import made_tagger
import matplotlib as mpl
import nbformat
import numpy as np
import pandas as pd
import pytest

from lib.config import LEVELS
from lib.exceptions import StudyError
from lib.report import kit
from lib.tagging import explain
from lib.tagging.explain import MADE_UP, Tour
from lib.tagging.photo_vectors import network_of
from lib.tagging.tagger import Tagger

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """Return the root of a study with a tagger for `tiny`, and photos of noise."""
    root = tmp_path_factory.mktemp("explain")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STUDY_ROOT", str(root))
        made_tagger.make(root)
        raw = root / "build/tiny/raw"
        raw.mkdir()
        made_tagger.table(root).to_parquet(raw / "products.parquet")
        with zipfile.ZipFile(raw / "images.zip", "w") as archive:
            for number in range(0, 240, 2):
                archive.writestr(f"{number:07d}.jpg", made_tagger.photo(number % 5))
        yield root


@pytest.fixture
def tagger(shop):
    return Tagger.load(shop / "build/tiny/tagger")


@pytest.fixture
def tour(shop):
    return Tour.open("tiny")


VECTOR = np.eye(6, made_tagger.DIMENSION, dtype=np.float16)[2]


def test_top_paths_are_in_order_of_their_probability(tagger):
    paths = explain.top_paths(tagger, explain.one_product("brand 1", "denim pockets"), 4)
    assert paths["probability"].is_monotonic_decreasing
    assert len(paths) == 4
    assert paths["name"].iloc[0] == " > ".join(tagger.names(int(paths["path"].iloc[0])))


def test_an_effect_is_what_the_path_loses_without_the_word(tagger):
    product = explain.one_product("brand 1", "Denim pockets and denim, new")
    effects = explain.word_effects(tagger, product, 2).set_index("word")
    assert effects.index.tolist() == ["denim", "pockets", "new", explain.BRAND]
    without = explain.one_product("brand 1", "__ pockets and __, new")
    expected = tagger.scores(product)[0, 2] - tagger.scores(without)[0, 2]
    assert effects.loc["denim", "effect"] == pytest.approx(expected, abs=1e-4)
    hidden = tagger.scores(product, ["brand"])[0, 2]
    assert effects.loc[explain.BRAND, "effect"] == pytest.approx(tagger.scores(product)[0, 2] - hidden, abs=1e-4)


def test_the_word_that_tells_the_path_carries_it(tagger):
    product = explain.one_product("brand 2", "denim pockets and soft thing2")
    effects = explain.word_effects(tagger, product, 2).set_index("word")["effect"]
    assert effects.drop(explain.BRAND).idxmax() in ("pockets", "thing2")
    assert effects.max() > effects["soft"]


def test_the_photo_stands_among_the_words(tagger):
    product = explain.one_product("", "denim", VECTOR)
    effects = explain.word_effects(tagger, product, 2).set_index("word")["effect"]
    assert effects.index.tolist() == ["denim", explain.PHOTO]
    expected = tagger.scores(product)[0, 2] - tagger.scores(product, ["image"])[0, 2]
    assert effects[explain.PHOTO] == pytest.approx(expected, abs=1e-4)


def test_the_only_word_leaves_a_product_without_text(tagger):
    product = explain.one_product("brand 1", "denim")
    effect = explain.word_effects(tagger, product, 2).set_index("word").loc["denim", "effect"]
    assert effect == pytest.approx(tagger.scores(product)[0, 2] - tagger.scores(product, ["text"])[0, 2], abs=1e-4)


def test_a_product_without_anything_has_no_effects(tagger):
    assert explain.word_effects(tagger, explain.one_product("", "the of"), 0).empty


def test_heat_is_where_the_photo_matters(tagger):
    """A network that sees the upper left corner alone: hiding anything else changes nothing."""
    network = network_of(tagger.about.backbone, made_tagger.WEIGHTS, 0)

    class Corner:
        setup = network.setup

        def __call__(self, photos):
            light = photos[:, :8, :8].float().mean(dim=(1, 2, 3)).numpy() / 255
            return np.outer(light, VECTOR).astype(np.float16) * 3

    pixels = np.full((64, 64, 3), 255, np.uint8)
    heat = explain.photo_heat(tagger, explain.one_product("", "", VECTOR), pixels, 2, Corner())
    assert heat.shape == (8, 8)
    assert np.abs(heat[2:, 2:]).max() == 0
    assert np.unravel_index(np.abs(heat).argmax(), heat.shape) == (0, 0)


# The tour


def test_a_study_that_was_not_run_is_one_message(study):
    with pytest.raises(StudyError, match=r"Run `make repro` first: it makes build/demo/tagger"):
        Tour.open("demo")


def test_products_of_the_tour_are_test_products_of_different_groups(shop, tour):
    products = pd.read_parquet(shop / "build/tiny/clean/products.parquet")
    test = products[products["grouped_split"] == "test"]
    assert {shown.text for shown in tour.products} <= set(test["text"])
    assert len(tour.products) == min(40, test["group"].nunique())


def test_products_that_may_not_be_shown_are_not(shop, monkeypatch):
    catalogue = shop / "catalogues/tiny.yaml"
    content = catalogue.read_text()
    catalogue.write_text(content.replace("publish_examples: true", "publish_examples: false"))
    try:
        [shown] = Tour.open("tiny").products
    finally:
        catalogue.write_text(content)
    assert (shown.brand, shown.text) == MADE_UP
    assert shown.pixels is None


def test_hiding_the_photo_takes_it_away(tour):
    number = next(number for number, shown in enumerate(tour.products) if shown.pixels is not None)
    shown = tour.products[number]
    assert tour.product(number, shown.brand, shown.text, hide_photo=False).image is not None
    assert tour.product(number, shown.brand, shown.text, hide_photo=True).image is None


# The notebooks that stand beside the pipeline


def run_cells(name, **parameters):
    """Run a notebook's code cells in this process, without a kernel."""
    space = {}
    cells = [
        cell for cell in nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4).cells if cell.cell_type == "code"
    ]
    for number, cell in enumerate(cells):
        exec(compile(cell.source, f"{name}[{number}]", "exec"), space)
        if number == 0:
            assert parameters.keys() <= space.keys()
            space |= parameters
    return space


def test_start_here_shows_what_carried_the_decision_and_its_form_follows_the_product(shop, monkeypatch):
    outputs = []
    monkeypatch.setattr(kit, "publish_display_data", lambda data, metadata: outputs.append(metadata[kit.NAMED]))
    with mpl.rc_context():
        space = run_cells("00_start_here", catalogue="tiny")
        assert {"paths", "words"} <= {output["name"] for output in outputs}
        assert all(output["alt"] and output["caption"] for output in outputs)
        products = space["tour"].products
        number = next(number for number, shown in enumerate(products) if number and shown.pixels is not None)
        outputs.clear()
        space["number"].value = number
        assert (space["brand"].value, space["text"].value) == (products[number].brand, products[number].text)
        assert not outputs, "nothing is drawn before it is asked for"
        space["show"](number, "", "denim", hide_photo=False)
        assert [output["name"] for output in outputs] == ["paths", "words", "photo_parts"]
        outputs.clear()
        space["show"](number, "", "", hide_photo=True)
        assert "No words" in outputs[1]["alt"]
        assert len(outputs) == 2


def test_tag_runs_on_test_products_and_on_a_table(shop, tmp_path):
    space = run_cells("09_tag", catalogue="tiny", precision=0.9)
    test = pd.read_parquet(shop / "build/tiny/clean/products.parquet")["grouped_split"] == "test"
    assert len(space["tagged"]) == test.sum()
    tagged, checked = space["tagged"], space["checked"]
    truth = pd.read_parquet(shop / "build/tiny/clean/products.parquet").set_index("product_id")
    for decision, rows in tagged.groupby("decision"):
        right = [
            all(row[level] in ("", truth.loc[row["product_id"], level]) for level in LEVELS)
            for row in rows.to_dict("records")
        ]
        assert checked.loc[decision, ["products", "right"]].tolist() == [len(rows), round(np.mean(right), 3)]
    made_tagger.table(shop).head(5).to_csv(tmp_path / "mine.csv", index=False)
    space = run_cells("09_tag", catalogue="tiny", precision=0.9, table=str(tmp_path / "mine.csv"))
    assert len(space["tagged"]) == 5
