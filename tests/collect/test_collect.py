"""`collect`: products of any source in one form, whole or not at all, and nothing dropped silently."""

import random
import zipfile
from typing import get_args

import pandas as pd
import pytest
import yaml
from made_table import ROWS, Mine, as_lines

from lib import config
from lib.collect import KINDS, Summary
from lib.config import Kind
from lib.exceptions import StudyError
from lib.schemas import RAW_PRODUCTS, validate


@pytest.fixture
def mine(study) -> Mine:
    return Mine(study)


def test_products_are_what_the_source_holds_under_names_of_our_own(mine):
    assert mine.collect(ROWS) == Summary(products=30, photos=15, rejects={})
    products = mine.products()
    assert list(products["product_id"]) == [row["sku"] for row in ROWS]
    assert products.loc["A04"].dropna().to_dict() == {
        "product_id": "A04",
        "title": "Thing 4",
        "description": '<p>A "thing",\nthe 4th</p>',
        "level_1": "Women",
        "level_2": "Shoes",
        "level_3": "Boots",
        "image": "0000004.jpg",
        "part": "",
        "model": "",
    }
    with zipfile.ZipFile(mine.raw / "images.zip") as archive:
        assert archive.namelist() == list(products["image"].dropna())
        assert archive.read("0000004.jpg") == b"photo 4"


@pytest.mark.parametrize("sample", [None, 10])
def test_the_same_bytes_whatever_the_order_of_the_source(mine, sample):
    rows = [*ROWS, ROWS[0] | {"text": None}, *(ROWS[number] | {"name": "Another"} for number in range(1, 30, 7))]
    mine.section |= {"sample": sample}
    mine.allow_rejects(0.5)
    assert mine.collect(rows).products == (sample or 30)
    before, rejects = mine.files(), mine.rejects()
    mine.collect(random.Random(1).sample(rows, len(rows)))
    assert {name: content for name, content in mine.files().items() if name != "rejects.parquet"} == {
        name: content for name, content in before.items() if name != "rejects.parquet"
    }
    assert mine.rejects()[["product_id", "reason"]].equals(rejects[["product_id", "reason"]])  # details name lines


def test_bad_records_are_counted_with_their_reason(mine):
    bad = [b"{not json", b"[1, 2]", b'{"sku": "x", "name": "\xff"}', b"", b'{"sku": "x", "name": "\\ud800"}']
    odd = [ROWS[0], ROWS[1] | {"sku": " "}, *(ROWS[2] | {"sku": "B", "name": odd} for odd in (True, [1], {"a": 1}))]
    mine.allow_rejects(0.5)
    content = as_lines(ROWS) + b"\n".join(bad) + b"\n" + as_lines(odd)
    assert mine.collect(content, "products.jsonl").rejects == {"invalid record": 7, "missing id": 1}
    rejects = mine.rejects()
    assert list(rejects["reason"]) == sorted(rejects["reason"])
    details = " | ".join(rejects["detail"])
    for part in (
        "line 32: expected an object, got list",
        "line 35: 'name' is not valid Unicode: surrogates not allowed",
        "line 38: 'name' should be text, got bool",
        "line 37: 'sku' is missing or empty",
    ):
        assert part in details


def test_too_many_rejects_fail_the_stage_and_leave_the_last_good_run(mine):
    mine.collect(as_lines(ROWS), "products.jsonl")
    before = mine.files()
    with pytest.raises(StudyError, match=r"(?s)8 of 38 records .* more than the 5\.00% .*invalid record: 8, such as"):
        mine.collect(as_lines(ROWS) + b"{\n" * 8, "products.jsonl")
    assert mine.files() == before
    assert [path.name for path in mine.raw.parent.iterdir()] == ["raw"]


def test_missing_data_says_how_to_get_it(mine):
    assert "`make data`" in mine.message(file="none.csv")


def test_a_table_that_does_not_fit_is_explained_in_one_message():
    table = pd.DataFrame({"product_id": ["1", "1"], "brnd": ["a", "b"], "title": [1, 2]})
    with pytest.raises(StudyError) as error:
        validate(table, RAW_PRODUCTS, "products.parquet")
    message = str(error.value)
    assert message.startswith("products.parquet does not fit the table 'raw products':\n")
    for part in ("brnd: unknown column", "Did you mean 'brand'?", "description: this column is missing"):
        assert part in message


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("product_id", ["1", "1"], "product_id: expected each value once. Got '1' instead in row 0 (2 in all)."),
        ("product_id", ["1", None], "product_id: expected a value in every row."),
        ("title", [1, 2], "title: expected text. Got '1' instead in row 0 (2 in all)."),
        ("image", ["../1.jpg", None], "image: expected str_matches"),
    ],
)
def test_a_value_that_does_not_fit_is_named(column, values, message):
    good = {name: ["1", "2"] for name in RAW_PRODUCTS.columns} | {"image": ["0000000.jpg", None], "part": ["", "test"]}
    validate(pd.DataFrame(good), RAW_PRODUCTS, "good")
    with pytest.raises(StudyError) as error:
        validate(pd.DataFrame(good | {column: values}), RAW_PRODUCTS, "products.parquet")
    assert message in str(error.value)


def test_every_kind_has_a_reader_and_every_catalogue_a_source_that_is_valid(study):
    assert set(KINDS) == set(get_args(Kind))
    for path in (study / "catalogues").glob("*.yaml"):
        if isinstance(yaml.safe_load(path.read_text("utf-8")), dict):
            kind = config.load_catalogue(path.stem).kind
            assert config.load_section(path.stem, KINDS[kind].section)
