"""A table of any format: the same products, whatever holds them, and one clear message for what is wrong."""

import csv
import gzip
import io
import json
import os
import zipfile
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from lib.collect import Summary, collect
from lib.collect.rows import Layout, guess_format, read_rows
from lib.errors import StudyError
from lib.records import CATEGORY_DEPTH, INVALID
from lib.schemas import RAW_PRODUCTS, REJECTS, read_table

ROWS = [
    {
        "sku": f"A{number:02d}",
        "maker": "Nørd, & Sons" if number % 2 else None,
        "name": f"Thing {number}",
        "text": f'<p>A "thing",\nthe {number}th</p>',
        "path": "Women >> Shoes >> Boots",
        "photo": f"p{number}.jpg",
    }
    for number in range(30)
]
COLUMNS = {
    "id": "sku",
    "brand": "maker",
    "title": "name",
    "description": "text",
    "category": "path",
    "image": "photo",
}


def as_csv(rows: list[dict], delimiter: str = ",", encoding: str = "utf-8") -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode(encoding)


def as_parquet(rows: list[dict]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), sink, row_group_size=7)
    return sink.getvalue()


def as_lines(rows: list[dict]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


class Mine:
    """A catalogue of one's own."""

    def __init__(self, root: Path) -> None:
        self.root, self.folder = root, root / "data/mine"
        (self.folder / "photos").mkdir(parents=True)
        for number in range(0, 30, 2):
            (self.folder / f"photos/p{number}.jpg").write_bytes(f"photo {number}".encode())
        self.text, self.source = ["description"], "data/mine"
        self.section: dict = {
            "file": "products.csv",
            "columns": dict(COLUMNS),
            "categories": {"separator": ">>"},
            "images": {"folder": "photos"},
        }

    def collect(self, content: bytes | list[dict] | None = None, file: str | None = None) -> Summary:
        """Collect; `content`, if given, is written first, into a file that the catalogue then names, if `file` is."""
        self.section["file"] = file or self.section["file"]
        file = file or "products.csv"
        if content is not None:
            (self.folder / file).write_bytes(as_csv(content) if isinstance(content, list) else content)
        catalogue = yaml.safe_load((self.root / "catalogues/fashion.yaml").read_text("utf-8"))
        catalogue |= {"table": self.section, "text": self.text}
        (self.root / "catalogues/mine.yaml").write_text(yaml.safe_dump(catalogue), "utf-8")
        params = yaml.safe_load((self.root / "params.yaml").read_text("utf-8"))
        params["study"] = {"mine": {"source": self.source}}
        (self.root / "params.yaml").write_text(yaml.safe_dump(params), "utf-8")
        return collect("mine")

    def message(self, content: bytes | list[dict] | None = None, file: str | None = None) -> str:
        """Collect what cannot be collected, and return what the user reads."""
        with pytest.raises(StudyError) as error:
            self.collect(content, file)
        assert not (self.root / "build/mine/raw").exists()
        return str(error.value).replace(f"{self.folder}/", "")

    def products(self) -> pd.DataFrame:
        path = self.root / "build/mine/raw/products.parquet"
        return read_table(path, RAW_PRODUCTS).set_index("product_id", drop=False)

    def rejects(self) -> pd.DataFrame:
        return read_table(self.root / "build/mine/raw/rejects.parquet", REJECTS)

    def details(self) -> list[str]:
        return self.rejects()["detail"].tolist()

    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (self.root / "build/mine/raw").iterdir()}


@pytest.fixture
def mine(study) -> Mine:
    return Mine(study)


def changed(**fields: object) -> list[dict]:
    """Return the rows, the fourth of them with other fields."""
    return [*ROWS[:3], ROWS[3] | fields, *ROWS[4:]]


# Formats

WAYS = {
    "tsv": ("products.tsv", as_csv(ROWS, "\t"), {}),
    "jsonl": ("products.jsonl", as_lines(ROWS), {}),
    "parquet": ("products.parquet", as_parquet(ROWS), {}),
    "gzip": ("products.csv.gz", gzip.compress(as_csv(ROWS)), {}),
    "gzip, jsonl": ("products.ndjson.gz", gzip.compress(as_lines(ROWS)), {}),
    "gzip by another name": ("products.csv", gzip.compress(as_csv(ROWS)), {}),
    "semicolons": ("products.csv", as_csv(ROWS, ";"), {"delimiter": ";"}),
    "utf-8 with a mark": ("products.csv", as_csv(ROWS, encoding="utf-8-sig"), {}),
    "utf-8 with a mark, said": ("products.csv", as_csv(ROWS, encoding="utf-8-sig"), {"encoding": "UTF-8"}),
    "jsonl with a mark": ("products.jsonl", b"\xef\xbb\xbf" + as_lines(ROWS), {}),
    "utf-16 with a mark": ("products.tsv", as_csv(ROWS, "\t", "utf-16"), {}),
    "utf-16-le": ("products.tsv", as_csv(ROWS, "\t", "utf-16-le"), {"encoding": "utf-16-le"}),
    "cp1252": ("products.csv", as_csv(ROWS, encoding="cp1252"), {"encoding": "cp1252"}),
    "format said": ("products.txt", as_csv(ROWS), {"format": "csv"}),
    "blank lines, spaces in the header": (
        "products.csv",
        as_csv(ROWS).replace(b",maker", b", maker") + b"\r\n\r\n",
        {},
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_same_products_in_any_format_are_the_same_bytes(mine, way):
    file, content, keys = WAYS[way]
    assert mine.collect(ROWS) == Summary(products=30, photos=15, rejects={})
    expected = mine.files()
    mine.section |= keys
    mine.collect(content, file)
    assert mine.files() == expected


def test_fields_are_what_the_table_holds(mine):
    mine.collect(ROWS)
    assert mine.products().loc["A04"].dropna().to_dict() == {
        "product_id": "A04",
        "title": "Thing 4",
        "description": '<p>A "thing",\nthe 4th</p>',
        "level_1": "Women",
        "level_2": "Shoes",
        "level_3": "Boots",
        "image": "0000004.jpg",
    }


def test_what_the_source_has_not_is_left_out(mine):
    mine.section["columns"] = {"id": "sku", "title": "name", "level_1": "a", "level_2": "b", "level_3": "c"}
    del mine.section["categories"], mine.section["images"]
    mine.text = ["title"]
    rows = [{"sku": str(number), "name": "x", "a": "A", "b": "B", "c": "C"} for number in range(3)]
    assert mine.collect(rows) == Summary(products=3, photos=0, rejects={})
    products = mine.products()
    assert products[["brand", "description", "image"]].isna().all(axis=None)
    assert products[["level_1", "level_2", "level_3"]].drop_duplicates().to_numpy().tolist() == [["A", "B", "C"]]


def test_nested_columns_and_numbers_of_parquet(mine):
    mine.section["columns"] |= {"id": "code", "brand": "about.maker", "title": "about.price", "description": "size"}
    rows = [row | {"about": {"maker": "M", "price": Decimal("9.90")}, "size": 3.5} for row in ROWS]
    # As pandas writes numbers of which one is missing
    rows = [row | {"code": float(number)} for number, row in enumerate(rows)]
    rows[3]["size"] = float("nan")
    mine.collect(as_parquet(rows), "products.parquet")
    row = mine.products().loc["3"]
    assert (row["brand"], row["title"]) == ("M", "9.90")
    assert pd.isna(row["description"])
    assert mine.products().loc["4", "description"] == "3.5"


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("products.csv", as_csv(ROWS * 1000) + b"\xff"),
        ("products.csv.gz", gzip.compress(as_csv(ROWS * 1000))[:-20]),
        ("products.jsonl.gz", gzip.compress(as_lines(ROWS * 1000))[:-20]),
    ],
)
def test_rows_come_one_at_a_time_whatever_is_behind_them(tmp_path, file, content):
    (tmp_path / file).write_bytes(content)
    rows = read_rows(tmp_path / file, Layout(guess_format(file)), {"sku"}).rows
    assert [next(rows).values["sku"] for _ in range(5)] == ["A00", "A01", "A02", "A03", "A04"]
    with pytest.raises(StudyError, match=r"truncated|not utf-8"):
        list(rows)


# Category paths


@pytest.mark.parametrize(
    ("path", "levels"),
    [
        ('["Women", "Shoes", "Boots"]', ["Women", "Shoes", "Boots"]),
        ("Women>>Shoes >>  Boots ", ["Women", "Shoes", "Boots"]),
        ("Women >> Shoes", ["Women", "Shoes", None]),
        (None, [None, None, None]),
    ],
)
def test_a_path_is_split_and_a_shallow_one_is_left_for_cleaning(mine, path, levels):
    assert mine.collect(changed(path=path)).products == 30
    row = mine.products().loc["A03", ["level_1", "level_2", "level_3"]]
    assert row.astype(object).where(row.notna(), None).tolist() == levels


@pytest.mark.parametrize("file", ["products.jsonl", "products.parquet"])
def test_a_path_may_be_a_real_list(mine, file):
    rows = [row | {"path": ["Women", "Shoes", "Boots"]} for row in ROWS]
    mine.collect(as_lines(rows) if file.endswith("jsonl") else as_parquet(rows), file)
    assert mine.products()["level_3"].eq("Boots").all()


def test_a_deeper_path_is_refused_or_cut_as_the_mapping_says(mine):
    rows = changed(path="Women >> Shoes >> Boots >> Ankle")
    assert mine.collect(rows).rejects == {CATEGORY_DEPTH: 1}
    assert mine.rejects()["product_id"].tolist() == ["A03"]
    assert "line 8: its category path has 4 levels, not 3: Women > Shoes > Boots > Ankle" in mine.details()
    mine.section["categories"]["deeper"] = "cut"
    assert mine.collect(rows).rejects == {}
    assert mine.products().loc["A03", "level_3"] == "Boots"


def test_names_that_are_no_category_are_left_out(mine):
    mine.section["categories"]["leave_out"] = ["Home"]
    mine.collect(changed(path="home >> Women >> Shoes >> Boots"))
    assert mine.products().loc["A03", "level_1"] == "Women"


# Rows that are no products


def test_a_row_of_another_length_is_counted(mine):
    content = as_csv(ROWS).replace(b"A03,", b"A03,one,more,").replace(b"A05,", b"")
    mine.section["columns"].pop("image")
    del mine.section["images"]
    lines = content.splitlines(keepends=True)
    assert len(lines) == 61  # a description has two lines
    params = yaml.safe_load((mine.root / "params.yaml").read_text("utf-8"))
    params["clean"]["max_reject_share"] = 0.5
    (mine.root / "params.yaml").write_text(yaml.safe_dump(params), "utf-8")
    assert mine.collect(content).rejects == {INVALID: 4}  # each line of the two rows
    assert mine.details()[0] == "line 12: expected 6 fields, got 5 in the row of lines 12 to 13; is a quote not closed?"
    assert len(mine.products()) == 28


def test_a_quote_that_is_not_closed_fails_the_stage_and_is_named(mine):
    rows = [row | {"text": "short", "maker": "M"} for row in ROWS]
    content = as_csv(rows).replace(b"Thing 3,", b'"Thing 3,')
    message = mine.message(content)
    assert "invalid record: 27, such as line 10: unexpected end of data in the row of lines 5 to 31" in message


def test_a_badly_quoted_row_costs_no_other(mine):
    rows = [row | {"text": "short"} for row in ROWS]
    assert mine.collect(as_csv(rows).replace(b"Thing 3,", b'"Thing" 3,')).rejects == {INVALID: 1}
    assert mine.details() == ["line 5: ',' expected after '\"'"]


@pytest.mark.parametrize("file", ["products.csv", "products.jsonl", "products.parquet"])
@pytest.mark.parametrize("field", ["text", "path", "sku"])
def test_a_null_character_is_rejected(mine, file, field):
    rows = changed(**{field: "A\0B"})
    content = {"csv": as_csv, "jsonl": as_lines, "parquet": as_parquet}[file.rpartition(".")[2]](rows)
    assert mine.collect(content, file).rejects == {INVALID: 1}
    assert f"'{field}' holds a NUL character" in mine.details()[0]


@pytest.mark.parametrize("value", [True, [1], {"a": 1}])
def test_a_value_that_is_no_text_is_rejected(mine, value):
    assert mine.collect(as_lines(changed(name=value)), "products.jsonl").rejects == {INVALID: 1}
    assert "line 4: 'name' should be text, got" in mine.details()[0]


def test_a_row_without_an_id_and_a_repeated_one(mine):
    rows = changed(sku="  ")
    assert mine.collect([*rows, *[row | {"sku": f"B{n}"} for n, row in enumerate(ROWS)], ROWS[4]]).rejects == {
        "missing id": 1,
        "repeated id": 1,
    }


# What a user can get wrong: the file


def test_columns_that_are_not_there_are_named_at_once_with_the_nearest(mine):
    mine.section["columns"] |= {"brand": "makr", "image": "fotos", "title": "zzzz"}
    assert mine.message(ROWS).splitlines() == [
        "catalogues/mine.yaml names columns that products.csv does not have:",
        "  table.columns.brand: 'makr'. Did you mean 'maker'?",
        "  table.columns.title: 'zzzz'.",
        "  table.columns.image: 'fotos'. Did you mean 'photo'?",
        "Its columns are ['sku', 'maker', 'name', 'text', 'path', 'photo'].",
    ]
    assert "'makr'. Did you mean 'maker'?" in mine.message(as_parquet(ROWS), "products.parquet")
    assert "'makr'. Did you mean 'maker'?" in mine.message(as_lines(ROWS), "products.jsonl")


def test_another_delimiter_is_suspected(mine):
    message = mine.message(as_csv(ROWS, ";"))
    assert message.endswith("Is that one column? `table.delimiter` says what stands between two.")


def test_two_columns_of_one_name(mine):
    assert mine.message(as_csv(ROWS).replace(b"text", b"name", 1)).startswith(
        "products.csv has more than one column of the name 'name'."
    )


def test_a_missing_file_is_named_with_the_nearest(mine):
    (mine.folder / "product.csv").touch()
    assert mine.message().startswith("products.csv is missing. Did you mean 'product.csv'?")


def test_a_source_that_is_a_file(mine):
    mine.source = "data/mine/products.csv"
    assert mine.message(ROWS) == "products.csv is a file; the source of a catalogue is the folder that holds its files."


def test_a_folder_is_no_file(mine):
    (mine.folder / "products.csv").mkdir()
    assert mine.message() == "products.csv is a folder; a file was expected."


@pytest.mark.parametrize("file", ["products.csv", "products.jsonl", "products.parquet"])
def test_an_empty_file(mine, file):
    assert mine.message(b"", file) == f"{file} is empty."


def test_a_file_of_names_alone(mine):
    assert (
        mine.message(as_csv(ROWS).splitlines(keepends=True)[0])
        == "The source of the catalogue 'mine' holds no product."
    )
    assert mine.message(b"\n" + as_csv(ROWS)) == "products.csv: line 1 should name the columns, and is blank."


def test_another_encoding_is_named_by_line_and_byte(mine):
    content = as_csv([row | {"text": "short"} for row in ROWS], encoding="cp1252")
    assert mine.message(content) == (
        "products.csv is not utf-8: byte 7 of line 3 is 0xf8. "
        "Name its encoding in the catalogue's file, such as cp1252."
    )
    mine.section["encoding"] = "utf-16"
    assert "products.csv is not utf-16: after line 0" in mine.message(content[:-1])


@pytest.mark.parametrize("cut", [30, -12])
def test_a_truncated_archive(mine, cut):
    assert "products.csv.gz is truncated or damaged" in mine.message(
        gzip.compress(as_csv(ROWS))[:cut], "products.csv.gz"
    )


@pytest.mark.parametrize("damage", [lambda b: b[:-20], lambda b: b"PAR1 is how it begins", lambda b: as_csv(ROWS)])
def test_a_damaged_parquet_file(mine, damage):
    message = mine.message(damage(as_parquet(ROWS)), "products.parquet")
    assert message.startswith("products.parquet is damaged, or not a Parquet file: ")


def test_parquet_that_is_damaged_inside(mine):
    content = bytearray(as_parquet(ROWS))
    content[4:60] = b"\xff" * 56
    assert mine.message(bytes(content), "products.parquet").startswith("products.parquet is damaged after its row 0: ")


def test_a_line_that_never_ends(mine, monkeypatch):
    monkeypatch.setattr("lib.collect.rows._MAX_LINE", 100)
    assert mine.message(b"{" * 1000, "products.jsonl") == "products.jsonl: line 1 is longer than 100 characters."


# What a user can get wrong: the catalogue's file


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"file": "products.xlsx"}, "`format` should say what 'products.xlsx' is: csv, tsv, jsonl or parquet"),
        ({"format": "xlsx"}, "Input should be 'csv', 'tsv', 'jsonl' or 'parquet'. Got 'xlsx' instead."),
        ({"file": "../products.csv"}, "table.file: expected a name below the catalogue's source folder."),
        ({"file": "/products.csv"}, "table.file: expected a name below the catalogue's source folder."),
        ({"encoding": "utf-9"}, "table.encoding: there is no encoding 'utf-9'"),
        ({"encoding": "rot13"}, "table.encoding: there is no encoding 'rot13'"),
        ({"delimiter": "||"}, "table.delimiter: String should have at most 1 character"),
        ({"file": "products.parquet", "encoding": "utf-8"}, "`encoding` and `delimiter` are for csv and tsv"),
        ({"columns": COLUMNS | {"level_1": "path"}}, "or else `category`, and not both"),
        (
            {"columns": {"id": "sku", "level_1": "path"}},
            "table.columns: expected `level_1`, `level_2` and `level_3`, or",
        ),
        ({"columns": {"category": "path"}}, "table.columns.id: this key is missing."),
        ({"columns": COLUMNS | {"titel": "name"}}, "unknown key 'titel'; expected one of"),
        ({"images": None}, "photos need `images` for their place and either `columns.image` or `image_name`"),
        ({"image_name": "{id}.jpg"}, "photos need `images` for their place and either"),
        ({"images": {"folder": "a", "zip": "b"}}, "table.images: expected one of `folder`, `zip` and `addresses`"),
        ({"images": {"zip": "../a.zip"}}, "table.images.zip: expected a name below the catalogue's source folder."),
        ({"images": {"foldr": "a"}}, "Did you mean 'folder'?"),
        ({"categories": {"deeper": "drop"}}, "table.categories.deeper: Input should be 'refuse' or 'cut'"),
    ],
)
def test_a_wrong_key_or_value(mine, keys, message):
    mine.section |= keys
    assert message in mine.message(ROWS)


def test_a_text_that_no_column_holds(mine):
    del mine.section["columns"]["description"]
    assert mine.message(ROWS) == (
        "catalogues/mine.yaml: `text` lists 'description', for which `table.columns` has no column."
    )


# Photos


def test_photos_of_a_folder_and_of_an_archive_are_the_same_bytes(mine):
    mine.collect(ROWS)
    expected = mine.files()
    with zipfile.ZipFile(mine.folder / "photos.zip", "w") as archive:
        for path in (mine.folder / "photos").iterdir():
            archive.write(path, path.name)
    mine.section["images"] = {"zip": "photos.zip"}
    mine.collect(ROWS)
    assert mine.files() == expected


def test_a_photo_may_be_called_by_the_id(mine):
    del mine.section["columns"]["image"]
    mine.section["image_name"] = "small/{id}.png"
    (mine.folder / "photos/small").mkdir()
    (mine.folder / "photos/small/A03.png").write_bytes(b"three")
    assert mine.collect(ROWS).photos == 1
    assert pd.notna(mine.products().loc["A03", "image"])


@pytest.mark.parametrize(
    "name", ["../secret.jpg", "/{folder}/secret.jpg", "a/../../secret.jpg", "link.jpg", "out/secret.jpg"]
)
def test_no_name_and_no_link_leads_out_of_the_folder(mine, name):
    (mine.folder / "secret.jpg").write_bytes(b"secret")
    (mine.folder / "photos/link.jpg").symlink_to("../secret.jpg")
    (mine.folder / "photos/out").symlink_to("..")
    name = name.replace("{folder}", str(mine.folder))
    summary = mine.collect(changed(photo=name))
    assert summary == Summary(products=30, photos=15, rejects={"photo: outside the folder": 1})
    assert mine.rejects().iloc[0].to_dict() == {
        "product_id": "A03",
        "reason": "photo: outside the folder",
        "detail": f"'{name}'",
    }
    assert pd.isna(mine.products().loc["A03", "image"])


@pytest.mark.parametrize("name", ["none.jpg", None, "", ".", "sub", "x" * 300, "pipe.jpg"])
def test_a_photo_that_is_not_there_costs_nothing_but_itself(mine, name):
    (mine.folder / "photos/sub").mkdir()
    os.mkfifo(mine.folder / "photos/pipe.jpg")
    summary = mine.collect(changed(photo=name))
    assert (summary.products, summary.photos) == (30, 15)


def test_a_photo_that_cannot_be_read_is_counted(mine):
    (mine.folder / "photos/loop.jpg").symlink_to("loop.jpg")
    assert mine.collect(changed(photo="loop.jpg")).rejects == {"photo: cannot be read": 1}


def test_more_of_a_photo_than_the_limit_is_not_read(mine, monkeypatch):
    monkeypatch.setattr("lib.collect.photo_files._MAX_PHOTO_BYTES", 5)
    mine.collect(ROWS)
    with zipfile.ZipFile(mine.root / "build/mine/raw/images.zip") as archive:
        assert {info.file_size for info in archive.infolist()} == {5}


def test_no_photo_at_all_is_a_wrong_name(mine):
    del mine.section["columns"]["image"]
    mine.section["image_name"] = "{id}.jpg"
    assert mine.message(ROWS) == ("None of 30 products has its photo. One was sought as 'A29.jpg' in photos.")


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ({"folder": "fotos"}, "fotos is missing. Did you mean 'photos'?"),
        ({"folder": "products.csv"}, "products.csv is not a folder"),
        ({"zip": "products.csv"}, "products.csv is truncated, or not a zip archive"),
    ],
)
def test_photos_that_are_not_where_they_should_be(mine, images, message):
    mine.section["images"] = images
    assert message in mine.message(ROWS)
