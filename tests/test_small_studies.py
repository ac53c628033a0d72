"""A study that is poorer than the paper's runs to its report: no photos, two variants, one size and one seed."""

import shutil

import made_shop
import pytest
import yaml
from bs4 import BeautifulSoup
from pipeline import TINY_LABELS, copy_project, dvc, edit

from lib.report.guard import LEFT_OUT

PRODUCTS = made_shop.rows(300, names=True)
CLASSES = [row["title"] for row in PRODUCTS if row["category"].endswith(row["title"])]
"""The products that are a category of their own, by their title."""

SHOWN = next(row["title"] for row in PRODUCTS if row["title"] not in CLASSES)
"""The title of a product that a cell shows and should not."""


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Return the words of each page of the report of such a study, made from a table by `dvc repro`."""
    root = copy_project(tmp_path_factory.mktemp("small"))
    made_shop.write(root / "data/shop/products.csv", PRODUCTS)
    columns = {name: name for name in ("id", "brand", "title", "description", "category")}
    catalogue = {
        "title": "Shop",
        "description": "Made by a test.",
        "kind": "table",
        "publish_examples": False,
        "table": {"file": "products.csv", "columns": columns},
        "text": ["description"],
        "image": {"backbone": "small_vgg", "size": 64},
        "train_sizes": ["all"],
        "seeds": 1,
    }
    (root / "catalogues/shop.yaml").write_text(yaml.safe_dump(catalogue))
    params = yaml.safe_load((root / "params.yaml").read_text())
    line = params["runs"]["core"][0] | {"variants": ["naive", "linear"]}
    shop = {"source": "data/shop", "weights": "lib/demo_shop/weights.safetensors"}
    edit(
        root / "params.yaml",
        study={"shop": shop},
        others={},
        runs={"core": [line]},
        labels=params["labels"] | TINY_LABELS,
    )
    notebook = root / "notebooks/03_text_features.ipynb"
    shows = f'"print({SHOWN!r})\\n",'
    notebook.write_text(notebook.read_text().replace('"counts = pd.', f'{shows}\n    "counts = pd.', 1))
    result = dvc(root, "repro", "report@shop")
    assert result.returncode == 0, result.stdout + result.stderr
    site = root / "reports/shop/site"
    yield {path.stem: " ".join(soup(path).get_text(" ").split()) for path in site.glob("*.html")}
    shutil.rmtree(root)


def soup(path):
    return BeautifulSoup(path.read_text("utf-8"), "lxml").select_one("main, body")


@pytest.mark.slow
def test_a_small_study_says_what_is_not_compared(pages):
    assert "No product has a photo that can be used" in pages["index"]
    assert "One training size: what more labels bring is not compared." in pages["index"]
    assert "One seed" in pages["index"]
    assert "Nothing is deployed on this catalogue" in pages["index"]
    assert "Nothing is deployed on this catalogue" in pages["marketplace"]
    assert "`best` was not trained" not in pages["06_results"]
    assert not [name for name, words in pages.items() if "Traceback" in words]


@pytest.mark.slow
def test_what_shows_a_product_is_left_out_and_a_class_of_that_name_is_not(pages):
    assert not [name for name, words in pages.items() if SHOWN in words]
    assert [name for name, words in pages.items() if LEFT_OUT in words] == ["03_text_features"]
    assert [name for name, words in pages.items() if any(title in words for title in CLASSES)]
