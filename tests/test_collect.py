"""`collect`: products of any source in one form, whole or not at all, and nothing dropped silently."""

import json
import random
import zipfile
from pathlib import Path
from typing import get_args

import pandas as pd
import pytest
import yaml

from lib.collect import KINDS, Summary, collect
from lib.config import Kind
from lib.errors import StudyError
from lib.schemas import RAW_PRODUCTS, REJECTS, read_table, validate


def product(number: int, **fields: object) -> dict:
    """One product as a source could have it."""
    return {
        "code": number,
        "maker": f"Brand {number % 3}",
        "name": f"Thing {number}",
        "texts": {"long": {"value": f"<p>A thing, the {number}th</p>"}},
        "sex": "Men",
        "kind": {"type": "Topwear"},
        "article": "Shirts",
        "department": "Apparel",
    } | fields


COLUMNS = {
    "id": "code",
    "brand": "maker",
    "title": "name",
    "description": "texts.long.value",
    "level_1": "sex",
    "level_2": "kind.type",
    "level_3": "article",
}


class Source:
    """A table of JSON lines and an archive of photos in a study of its own, called `mine`."""

    def __init__(self, root: Path) -> None:
        self.root, self.folder, self.raw = root, root / "data/mine", root / "build/mine/raw"
        self.folder.mkdir(parents=True)
        self.lines = [json.dumps(product(number)).encode() for number in range(40)]
        self.photos = {f"p/{number}.png": f"photo {number}".encode() for number in range(40) if number != 7}
        self.section = {
            "file": "products.jsonl",
            "images": {"zip": "images.zip"},
            "image_name": "p/{id}.png",
            "columns": dict(COLUMNS),
            "level_1_instead": {"column": "department", "values": ["Home"]},
        }

    def collect(self) -> Summary:
        (self.folder / "products.jsonl").write_bytes(b"\n".join(self.lines) + b"\n")
        with zipfile.ZipFile(self.folder / "images.zip", "w") as archive:
            for name, content in self.photos.items():
                archive.writestr(name, content)
        return self.again()

    def again(self) -> Summary:
        """Collect without writing the source's files first."""
        catalogue = yaml.safe_load((self.root / "catalogues/fashion.yaml").read_text("utf-8"))
        catalogue["table"] = self.section
        (self.root / "catalogues/mine.yaml").write_text(yaml.safe_dump(catalogue), "utf-8")
        params = yaml.safe_load((self.root / "params.yaml").read_text("utf-8"))
        params["study"] = {"mine": {"source": "data/mine"}}
        (self.root / "params.yaml").write_text(yaml.safe_dump(params), "utf-8")
        return collect("mine")

    def products(self) -> pd.DataFrame:
        return read_table(self.raw / "products.parquet", RAW_PRODUCTS).set_index("product_id", drop=False)

    def rejects(self) -> pd.DataFrame:
        return read_table(self.raw / "rejects.parquet", REJECTS)

    def photo(self, name: str) -> bytes:
        with zipfile.ZipFile(self.raw / "images.zip") as archive:
            return archive.read(name)

    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.raw.iterdir()}


@pytest.fixture
def source(study) -> Source:
    return Source(study)


# What is made


def test_fields_are_mapped_and_texts_stay_as_they_are(source):
    assert source.collect() == Summary(products=40, photos=39, rejects={})
    row = source.products().loc["12"]
    assert row.to_dict() == {
        "product_id": "12",
        "brand": "Brand 0",
        "title": "Thing 12",
        "description": "<p>A thing, the 12th</p>",
        "level_1": "Men",
        "level_2": "Topwear",
        "level_3": "Shirts",
        "image": "0000004.jpg",
    }


def test_rows_are_sorted_and_photos_have_their_bytes_under_names_of_our_own(source):
    source.collect()
    products = source.products()
    assert list(products["product_id"]) == sorted(str(number) for number in range(40))
    for number in (0, 12, 39):
        assert source.photo(products.loc[str(number), "image"]) == f"photo {number}".encode()
    assert pd.isna(products.loc["7", "image"])


def test_a_department_takes_the_place_of_the_first_level(source):
    source.lines[3] = json.dumps(product(3, department="Home")).encode()
    source.collect()
    assert source.products()["level_1"].value_counts().to_dict() == {"Men": 39, "Home": 1}


def test_what_one_product_lacks_is_null(source):
    bare = product(5, maker=None)
    del bare["texts"]
    source.lines[5] = json.dumps(bare).encode()
    source.collect()
    assert source.products().loc["5", ["brand", "description"]].isna().all()


def test_the_same_bytes_whatever_the_order_of_the_source(source):
    source.lines += [source.lines[0], json.dumps(product(1, name="Another")).encode()]
    source.collect()
    before = source.files()
    random.Random(1).shuffle(source.lines)
    source.photos = dict(reversed(source.photos.items()))
    source.collect()
    assert source.files() == before


def test_a_sample_is_the_same_products_whatever_the_order(source):
    source.section["sample"] = 10
    assert source.collect().products == 10
    before = source.files()
    random.Random(2).shuffle(source.lines)
    source.collect()
    assert source.files() == before


def test_the_shop_goes_through_the_same_contract(study):
    path = study / "catalogues/demo.yaml"
    content = yaml.safe_load(path.read_text("utf-8"))
    content["shop"]["products"] = 200
    path.write_text(yaml.safe_dump(content), "utf-8")
    summary = collect("demo")
    products = read_table(study / "build/demo/raw/products.parquet", RAW_PRODUCTS)
    assert len(products) == summary.products > 100
    assert products["product_id"].is_monotonic_increasing
    with zipfile.ZipFile(study / "build/demo/raw/images.zip") as archive:
        assert archive.namelist() == list(products["image"].dropna())
        assert len(archive.namelist()) == summary.photos > 0


# Rejects


def test_bad_records_are_counted_with_their_reason(source):
    source.lines += [json.dumps(product(number)).encode() for number in range(100, 200)]
    source.lines += [b"{not json", b"[1, 2]", b'{"code": "x", "name": "\xff"}', b""]
    source.lines += [
        json.dumps(product(300, maker=["a", "list"])).encode(),
        json.dumps(product(301, code=" ")).encode(),
    ]
    source.lines += [source.lines[0]]
    assert source.collect().rejects == {"invalid record": 4, "missing id": 1, "repeated id": 1}
    rejects = source.rejects()
    assert list(rejects["reason"]) == sorted(rejects["reason"])
    details = " | ".join(rejects["detail"])
    assert "line 142: expected an object, got list" in details
    assert "'maker' should be text, got list" in details
    assert "'code' is missing or empty" in details
    assert rejects.loc[rejects["reason"] == "repeated id", "product_id"].tolist() == ["0"]


def test_text_that_no_file_can_hold_is_rejected(source):
    source.lines[0] = b'{"code": 0, "name": "\\ud800"}'
    assert source.collect().rejects == {"invalid record": 1}
    assert source.rejects()["detail"][0].startswith("line 1: 'name' is not valid Unicode")


def test_too_many_rejects_fail_the_stage_and_write_nothing(source):
    source.lines += [b"{"] * 10
    with pytest.raises(StudyError, match=r"(?s)10 of 50 records .* more than the 5\.00% .*invalid record: 10, such as"):
        source.collect()
    assert not source.raw.exists()


def test_a_failed_run_leaves_the_last_good_one(source):
    source.collect()
    before = source.files()
    source.lines += [b"{"] * 10
    with pytest.raises(StudyError):
        source.collect()
    assert source.files() == before
    assert [path.name for path in source.raw.parent.iterdir()] == ["raw"]


# What a user can get wrong


def test_fields_that_no_product_has_are_named_all_at_once(source):
    source.section["columns"] |= {"description": "texts.lang.value", "brand": "makr"}
    with pytest.raises(StudyError) as error:
        source.collect()
    assert str(error.value).splitlines() == [
        f"catalogues/mine.yaml names columns that {source.folder}/products.jsonl does not have:",
        "  table.columns.brand: 'makr'. Did you mean 'maker'?",
        "  table.columns.description: 'texts.lang.value'. Did you mean 'texts.long.value'?",
        "Its columns are ['code', 'maker', 'name', 'texts.long.value', 'sex', 'kind.type', 'article', 'department'].",
    ]


def test_an_empty_source(source):
    source.lines = []
    with pytest.raises(StudyError, match="no product"):
        source.collect()


@pytest.mark.parametrize("name", ["products.jsonl", "images.zip"])
def test_a_missing_file(source, name):
    source.collect()
    (source.folder / name).unlink()
    with pytest.raises(StudyError, match=f"{name} is missing"):
        source.again()


def test_missing_data_says_how_to_get_it(source):
    source.folder.rmdir()
    with pytest.raises(StudyError, match="Run `make data`"):
        source.again()


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"not a zip", lambda b: b""])
def test_a_truncated_archive(source, damage):
    source.collect()
    archive = source.folder / "images.zip"
    archive.write_bytes(damage(archive.read_bytes()))
    with pytest.raises(StudyError, match=r"images\.zip is truncated, or not a zip archive"):
        source.again()


def test_a_damaged_entry_is_named(source):
    source.collect()
    archive = source.folder / "images.zip"
    archive.write_bytes(archive.read_bytes().replace(b"photo 20", b"PHOTO 20"))
    with pytest.raises(StudyError, match=r"images\.zip is damaged at its entry 'p/20\.png'"):
        source.again()


def test_an_id_only_names_an_entry_and_never_a_file(source):
    (source.root / "secret.png").write_bytes(b"secret")
    source.section["image_name"] = "{id}.png"
    source.lines[0] = json.dumps(product(0, code="../../secret")).encode()
    source.photos = {"1.png": b"one"}
    assert source.collect().photos == 1
    assert pd.isna(source.products().loc["../../secret", "image"])


# The schema


def test_a_table_that_does_not_fit_is_explained_in_one_message():
    table = pd.DataFrame({"product_id": ["1", "1"], "brnd": ["a", "b"], "title": [1, 2]})
    with pytest.raises(StudyError) as error:
        validate(table, RAW_PRODUCTS, "products.parquet")
    message = str(error.value)
    assert message.startswith("products.parquet does not fit the table 'raw products':\n")
    assert "brnd: unknown column" in message
    assert "Did you mean 'brand'?" in message
    assert "description: this column is missing" in message


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
    good = {name: ["1", "2"] for name in RAW_PRODUCTS.columns} | {"image": ["0000000.jpg", None]}
    validate(pd.DataFrame(good), RAW_PRODUCTS, "good")
    with pytest.raises(StudyError) as error:
        validate(pd.DataFrame(good | {column: values}), RAW_PRODUCTS, "products.parquet")
    assert message in str(error.value)


def test_every_kind_has_a_reader():
    assert set(KINDS) == set(get_args(Kind))
