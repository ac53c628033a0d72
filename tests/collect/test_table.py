"""A table of any format: the same products, whatever holds them, and one clear message for what is wrong."""

import gzip
import os
import re
import tracemalloc
import zipfile
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest
from made_table import COLUMNS, ROWS, Mine, as_csv, as_lines, as_parquet

from lib.collect import Summary
from lib.collect.rows import Layout, guess_format, read_rows
from lib.config.base import CATEGORY_DEPTH, INVALID
from lib.exceptions import StudyError

WRITERS = {"products.csv": as_csv, "products.jsonl": as_lines, "products.parquet": as_parquet}
SHORT = [row | {"text": "short", "maker": "M"} for row in ROWS]


@pytest.fixture
def mine(study) -> Mine:
    return Mine(study)


def changed(**fields: object) -> list[dict]:
    """Return the rows, the fourth of them with other fields."""
    return [*ROWS[:3], ROWS[3] | fields, *ROWS[4:]]


def test_the_same_products_in_any_format_are_the_same_bytes(mine):
    mine.collect(ROWS)
    expected, usual = mine.files(), dict(mine.section)
    for file, content, keys in [
        ("products.tsv", as_csv(ROWS, "\t"), {}),
        ("products.jsonl", as_lines(ROWS), {}),
        ("products.parquet", as_parquet(ROWS), {}),
        ("products.csv.gz", gzip.compress(as_csv(ROWS), mtime=0), {}),
        ("products.ndjson.gz", gzip.compress(as_lines(ROWS), mtime=0), {}),
        ("products.csv", gzip.compress(as_csv(ROWS), mtime=0), {}),
        ("products.csv", as_csv(ROWS, ";"), {"delimiter": ";"}),
        ("products.csv", as_csv(ROWS, encoding="utf-8-sig"), {}),
        ("products.csv", as_csv(ROWS, encoding="utf-8-sig"), {"encoding": "UTF-8"}),
        ("products.jsonl", b"\xef\xbb\xbf" + as_lines(ROWS), {}),
        ("products.tsv", as_csv(ROWS, "\t", "utf-16"), {}),
        ("products.tsv", as_csv(ROWS, "\t", "utf-16-le"), {"encoding": "utf-16-le"}),
        ("products.csv", as_csv(ROWS, encoding="cp1252"), {"encoding": "cp1252"}),
        ("products.txt", as_csv(ROWS), {"format": "csv"}),
        ("products.csv", as_csv(ROWS).replace(b",maker", b", maker") + b"\r\n\r\n", {}),  # blank lines, spaces in names
    ]:
        mine.section = usual | keys
        mine.collect(content, file)
        assert mine.files() == expected, (file, keys)


def test_what_the_source_has_not_is_left_out(mine):
    mine.section["columns"] = {"id": "sku", "title": "name", "level_1": "a", "level_2": "b", "level_3": "c"}
    mine.section |= {"level_1_instead": {"column": "d", "values": ["Home"]}}
    del mine.section["categories"], mine.section["images"]
    mine.text = ["title"]
    rows = [{"sku": str(n), "name": "x", "a": "A", "b": "B", "c": "C", "d": "Home" if n else "x"} for n in range(3)]
    assert mine.collect(rows) == Summary(products=3, photos=0, rejects={})
    products = mine.products()
    assert products[["brand", "description", "image"]].isna().all(axis=None)
    assert products[["level_1", "level_2", "level_3"]].agg("".join, axis=1).tolist() == ["ABC", "HomeBC", "HomeBC"]


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
        ("products.csv.gz", gzip.compress(as_csv(ROWS * 1000), mtime=0)[:-20]),
        ("products.jsonl.gz", gzip.compress(as_lines(ROWS * 1000), mtime=0)[:-20]),
    ],
)
def test_rows_come_one_at_a_time_whatever_is_behind_them(tmp_path, file, content):
    (tmp_path / file).write_bytes(content)
    rows = read_rows(tmp_path / file, Layout(guess_format(file)), {"sku"}).rows
    assert [next(rows).values["sku"] for _ in range(5)] == ["A00", "A01", "A02", "A03", "A04"]
    with pytest.raises(StudyError, match=r"truncated|not utf-8"):
        list(rows)


# Category paths


def test_a_path_is_a_text_or_a_list_and_a_shallow_one_is_left_for_cleaning(mine):
    mine.section["categories"]["leave_out"] = ["Home"]
    boots = ["Women", "Shoes", "Boots"]
    paths = {
        '["Women", "Shoes", "Boots"]': boots,
        "home >> Women>>Shoes >>  Boots ": boots,
        "Women >> Shoes": ["Women", "Shoes", None],
        None: [None] * 3,
        "[" * 100_000: ["[" * 100_000, None, None],
    }
    rows = [*(row | {"path": path} for row, path in zip(ROWS, paths, strict=False)), ROWS[5] | {"path": boots}]
    mine.allow_rejects(0.9)
    mine.collect(as_lines(rows), "products.jsonl")
    levels = mine.products()[["level_1", "level_2", "level_3"]].astype(object)
    assert levels.where(levels.notna(), None).to_numpy().tolist() == [*paths.values(), boots]
    mine.collect(as_parquet([row | {"path": boots} for row in ROWS]), "products.parquet")
    assert mine.products()["level_3"].eq("Boots").all()


def test_a_deeper_path_is_refused_or_cut_as_the_mapping_says(mine):
    rows = changed(path="Women >> Shoes >> Boots >> Ankle")
    assert mine.collect(rows).rejects == {CATEGORY_DEPTH: 1}
    assert mine.rejects().iloc[0].tolist() == [
        *("A03", CATEGORY_DEPTH, "line 8: its category path has 4 levels, not 3: Women > Shoes > Boots > Ankle")
    ]
    mine.section["categories"]["deeper"] = "cut"
    assert mine.collect(rows).rejects == {}
    assert mine.products().loc["A03", "level_3"] == "Boots"


# Rows that are no products


def test_a_row_of_another_length_costs_its_lines_and_no_other(mine):
    content = as_csv(ROWS).replace(b"A03,", b"A03,one,more,").replace(b"A05,", b"")
    mine.allow_rejects(0.5)
    assert mine.collect(content).rejects == {INVALID: 4}  # a description has two lines
    detail = "line 12: expected 6 fields, got 5 in the row of lines 12 to 13; is a quote not closed?"
    assert mine.rejects()["detail"][0] == detail
    assert len(mine.products()) == 28


def test_a_quote_that_is_not_closed_or_in_the_midst_of_a_field(mine):
    message = mine.message(as_csv(SHORT).replace(b"Thing 3,", b'"Thing 3,'))
    assert "invalid record: 27, such as line 10: unexpected end of data in the row of lines 5 to 31" in message
    assert mine.collect(as_csv(SHORT).replace(b"Thing 3,", b'"Thing" 3,')).rejects == {INVALID: 1}
    assert mine.rejects()["detail"].tolist() == [
        "line 5: ',' expected after '\"'. With `quoting: none` it could be read"
    ]


@pytest.mark.parametrize("file", WRITERS)
def test_a_null_character_is_rejected(mine, file):
    mine.allow_rejects(0.5)
    rows = [*changed(text="A\0B"), ROWS[0] | {"path": "A\0B"}, ROWS[0] | {"sku": "A\0B"}]
    assert mine.collect(WRITERS[file](rows), file).rejects == {INVALID: 3}
    fields = {detail.partition(": ")[2] for detail in mine.rejects()["detail"]}
    assert fields == {f"'{field}' holds a NUL character" for field in ("text", "path", "sku")}


def test_a_row_of_brackets_without_end_is_no_program_error(mine):
    mine.collect(as_lines(ROWS) + b'{"sku": ' + b"[" * 100_000 + b"\n", "products.jsonl")
    assert mine.rejects()["detail"].tolist() == ["line 31: it is nested more than 32 deep"]


# What a user can get wrong: the file


@pytest.mark.parametrize("file", WRITERS)
def test_columns_that_are_not_there_are_named_at_once_with_the_nearest(mine, file):
    mine.section["columns"] |= {"brand": "makr", "image": "fotos", "title": "zzzz"}
    assert mine.message(WRITERS[file](ROWS), file).splitlines() == [
        f"catalogues/mine.yaml names columns that {file} does not have:",
        "  table.columns.brand: 'makr'. Did you mean 'maker'?",
        "  table.columns.title: 'zzzz'.",
        "  table.columns.image: 'fotos'. Did you mean 'photo'?",
        "Its columns are ['sku', 'maker', 'name', 'text', 'path', 'photo'].",
    ]


NOTHING = "The source of the catalogue 'mine' holds no product."
BAD_PARQUET = "products.parquet is damaged, or not a Parquet file: "
BAD_GZIP = "products.csv.gz is truncated or damaged"
CP1252 = (
    "products.csv is not utf-8: byte 7 of line 3 is 0xf8. Name its encoding in the catalogue's file, such as cp1252."
)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("products.csv", as_csv(ROWS, ";"), "Is that one column? `table.delimiter` says what stands between two."),
        ("products.csv", as_csv(ROWS).replace(b"text", b"name", 1), "has more than one column of the name 'name'."),
        *((file, b"", f"{file} is empty.") for file in WRITERS),
        ("products.csv", as_csv(ROWS).splitlines(keepends=True)[0], NOTHING),
        ("products.jsonl", b"\n", NOTHING),
        ("products.csv", b"\n" + as_csv(ROWS), "products.csv: line 1 should name the columns, and is blank."),
        ("products.csv.gz", gzip.compress(as_csv(ROWS), mtime=0)[:30], BAD_GZIP),
        ("products.csv.gz", gzip.compress(as_csv(ROWS), mtime=0)[:-12], BAD_GZIP),
        ("products.parquet", as_parquet(ROWS)[:-20], BAD_PARQUET),
        ("products.parquet", b"PAR1 is how it begins", BAD_PARQUET),
        ("products.parquet", as_parquet(ROWS)[:4] + b"\xff" * 56 + as_parquet(ROWS)[60:], "damaged after its row 0: "),
    ],
)
def test_a_file_that_is_not_what_it_should_be(mine, file, content, message):
    assert message in mine.message(content, file)


def test_another_encoding_is_named_by_line_and_byte(mine):
    content = as_csv([row | {"text": "short"} for row in ROWS], encoding="cp1252")
    assert mine.message(content) == (
        "products.csv is not utf-8: byte 7 of line 3 is 0xf8. "
        "Name its encoding in the catalogue's file, such as cp1252."
    )
    mine.section["encoding"] = "utf-16"
    assert "products.csv is not utf-16: after line 0" in mine.message(content[:-1])


def test_a_file_that_is_missing_or_a_folder_or_where_a_folder_should_be(mine):
    (mine.folder / "product.csv").touch()
    assert mine.message().startswith("products.csv is missing. Did you mean 'product.csv'?")
    (mine.folder / "products.csv").mkdir()
    assert mine.message() == "products.csv is a folder; a file was expected."
    mine.source = "data/mine/product.csv"
    assert mine.message() == "product.csv is a file; the source of a catalogue is the folder that holds its files."


def test_a_line_that_never_ends(mine, monkeypatch):
    monkeypatch.setattr("lib.collect.nested.MAX_LINE", 100)
    assert mine.message(b"{" * 1000, "products.jsonl") == "products.jsonl: line 1 is longer than 100 characters."


# What a user can get wrong: the catalogue's file


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"format": "xlsx"}, "products.csv is not what the catalogue's file says: `format` says xlsx"),
        ({"format": "xls"}, "Input should be 'csv', 'tsv', 'json', 'jsonl', 'parquet', 'xlsx' or 'xml'. Got 'xls'"),
        ({"file": "../products.csv"}, "table.file: expected a name below the catalogue's source folder."),
        ({"file": "/products.csv"}, "table.file: expected a name below the catalogue's source folder."),
        ({"encoding": "utf-9"}, "table.encoding: there is no encoding 'utf-9'"),
        ({"encoding": "rot13"}, "table.encoding: there is no encoding 'rot13'"),
        ({"delimiter": "||"}, "table.delimiter: String should have at most 1 character"),
        (
            {"file": "products.parquet", "encoding": "utf-8"},
            "`encoding` is for csv, tsv, json, jsonl and xml, and not for",
        ),
        ({"file": "products.jsonl", "delimiter": ";"}, "`delimiter` is for csv and tsv, and not for jsonl"),
        ({"columns": COLUMNS | {"level_1": "path"}}, "or else `category`, and not both"),
        ({"columns": {"id": "sku", "level_1": "path"}}, "table.columns: expected `level_1`, `level_2` and `level_3`"),
        ({"columns": {"category": "path"}}, "table.columns.id: this key is missing."),
        ({"columns": COLUMNS | {"titel": "name"}}, "unknown key 'titel'; expected one of"),
        ({"columns": COLUMNS | {"description": None}}, "`text` lists 'description', for which `table.columns` has no"),
        ({"images": None}, "photos need `images` for their place and either `columns.image` or `image_name`"),
        ({"image_name": "{id}.jpg"}, "photos need `images` for their place and either"),
        ({"images": {"folder": "a", "zip": "b"}}, "table.images: expected one of `folder`, `zip` and `addresses`"),
        ({"images": {"zip": "../a.zip"}}, "table.images.zip: expected a name below the catalogue's source folder."),
        ({"images": {"foldr": "a"}}, "Did you mean 'folder'?"),
        ({"categories": {"deeper": "drop"}}, "table.categories.deeper: Input should be 'refuse' or 'cut'"),
        ({"images": {"folder": "fotos"}}, "fotos is missing. Did you mean 'photos'?"),
        ({"images": {"folder": "products.csv"}}, "products.csv is not a folder"),
        ({"images": {"zip": "products.csv"}}, "products.csv is truncated, or not a zip archive"),
    ],
)
def test_a_wrong_key_or_value(mine, keys, message):
    mine.section |= keys
    assert message in mine.message(ROWS)


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


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda archive: archive[: len(archive) // 2], "photos.zip is truncated, or not a zip archive"),
        (lambda archive: b"", "photos.zip is truncated, or not a zip archive"),
        (lambda archive: archive.replace(b"photo 4", b"PHOTO 4"), "photos.zip is damaged at its entry 'p4.jpg'"),
    ],
)
def test_a_damaged_archive_is_named(mine, damage, message):
    with zipfile.ZipFile(mine.folder / "photos.zip", "w") as archive:
        archive.writestr("p4.jpg", b"photo 4")
    mine.section["images"] = {"zip": "photos.zip"}
    (mine.folder / "photos.zip").write_bytes(damage((mine.folder / "photos.zip").read_bytes()))
    assert message in mine.message(ROWS)


def test_a_photo_may_be_called_by_the_id_which_is_never_a_path(mine):
    (mine.folder / "secret.jpg").write_bytes(b"secret")
    with zipfile.ZipFile(mine.folder / "photos.zip", "w") as archive:
        archive.writestr("small/A03.jpg", b"three")
    del mine.section["columns"]["image"]
    mine.section |= {"image_name": "small/{id}.jpg", "images": {"zip": "photos.zip"}}
    assert mine.collect([*ROWS, ROWS[0] | {"sku": "../../secret"}]).photos == 1
    assert pd.notna(mine.products().loc["A03", "image"])
    mine.section["images"] = {"folder": "photos"}
    (mine.raw / "products.parquet").parent.rename(mine.root / "before")
    message = "None of 30 products has its photo. One was sought as 'small/A29.jpg' in photos."
    assert mine.message(ROWS) == message


def test_no_name_and_no_link_leads_out_of_the_folder(mine):
    (mine.folder / "secret.jpg").write_bytes(b"secret")
    (mine.folder / "photos/link.jpg").symlink_to("../secret.jpg")
    (mine.folder / "photos/out").symlink_to("..")
    (mine.folder / "photos/loop.jpg").symlink_to("loop.jpg")
    names = ["../secret.jpg", f"{mine.folder}/secret.jpg", "a/../../secret.jpg", "link.jpg", "out/secret.jpg"]
    rows = [row | {"photo": name} for row, name in zip(ROWS[1::2], [*names, "loop.jpg"], strict=False)]
    summary = mine.collect([*ROWS[0::2], *rows])
    assert summary == Summary(21, 15, {"photo: outside the folder": 4, "photo: cannot be read": 1})
    below = f"{mine.folder}/secret.jpg"  # is sought below the folder, as `/m/a.jpg` is, and is not there
    assert set(mine.rejects()["detail"]) == {f"'{name}'" for name in [*names, "loop.jpg"] if name != below}
    assert mine.products().loc[[row["sku"] for row in rows], "image"].isna().all()


def test_a_photo_that_is_not_there_costs_nothing_but_itself(mine):
    (mine.folder / "photos/sub").mkdir()
    os.mkfifo(mine.folder / "photos/pipe.jpg")
    names = ["none.jpg", None, "", ".", "sub", "x" * 300, "pipe.jpg"]
    rows = [row | {"photo": name} for row, name in zip(ROWS[1::2], names, strict=False)]
    assert mine.collect([*ROWS[0::2], *rows]) == Summary(22, 15, {"photo: cannot be read": 1})  # the long name


def archive_of(folder: Path, **photos: bytes) -> None:
    with zipfile.ZipFile(folder / "photos.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in photos.items():
            archive.writestr(f"{name}.jpg", content)


@pytest.mark.parametrize("place", ["folder", "zip"])
def test_a_photo_that_is_too_large_is_not_read_and_said(mine, monkeypatch, place):
    monkeypatch.setattr("lib.collect.table.MAX_PHOTO_BYTES", 7)
    (mine.folder / "photos/p1.jpg").write_bytes(b"x" * 8)
    for number in range(10, 30, 2):
        (mine.folder / f"photos/p{number}.jpg").write_bytes(b"x" * 7)  # as many as may be
    archive_of(mine.folder, **{path.stem: path.read_bytes() for path in mine.folder.glob("photos/*.jpg")})
    mine.section["images"] = {place: {"folder": "photos", "zip": "photos.zip"}[place]}
    assert mine.collect(ROWS) == Summary(30, 15, {"photo: too large": 1})
    assert mine.rejects()["detail"].tolist() == ["'p1.jpg'"]
    monkeypatch.setattr("lib.collect.table.MAX_PHOTO_BYTES", 1)
    (mine.raw / "products.parquet").parent.rename(mine.root / "before")
    assert mine.message(ROWS).endswith(". The first that is there, 'p0.jpg', is too large.")


@pytest.mark.parametrize("place", ["folder", "zip"])
def test_a_huge_photo_takes_no_memory(mine, place):
    """A zip bomb is small itself; a file with a hole, too."""
    with (mine.folder / "photos/p1.jpg").open("wb") as file:
        file.truncate(400 * 2**20)
    with zipfile.ZipFile(mine.folder / "photos.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("p0.jpg", b"photo 0")
        with archive.open("p1.jpg", "w") as entry:
            for _ in range(100):
                entry.write(bytes(2**20))
    mine.section["images"] = {place: {"folder": "photos", "zip": "photos.zip"}[place]}
    tracemalloc.start()
    summary = mine.collect(ROWS)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert summary.rejects == {"photo: too large": 1}
    assert peak < 20 * 2**20


def test_names_in_an_archive_are_looked_up_and_lead_nowhere(mine):
    (mine.folder / "secret.jpg").write_bytes(b"secret")
    names = ["../secret", f"{mine.folder}/secret", "../../../tmp/evil", "a\\..\\secret", "p2.jpg\0x", "\u202egpj"]
    archive_of(mine.folder, **dict.fromkeys([*names, "p0"], b"inside"))
    mine.section["images"] = {"zip": "photos.zip"}
    before = {*mine.folder.rglob("*"), mine.folder / "products.csv"}
    rows = [
        row | {"photo": f"{name}.jpg"} for row, name in zip(ROWS[1:], [*names, "secret", "//etc/passwd"], strict=False)
    ]
    mine.allow_rejects(0.5)
    mine.collect([ROWS[0], *rows])
    assert set(mine.folder.rglob("*")) == before
    with zipfile.ZipFile(mine.raw / "images.zip") as archive:
        assert {archive.read(name) for name in archive.namelist()} == {b"inside"}
        assert all(re.fullmatch(r"\d{7}\.jpg", name) for name in archive.namelist())


def test_an_encrypted_archive_and_one_that_lies_about_a_size_are_named(mine):
    archive_of(mine.folder, p0=b"photo 0", p1=b"x" * 5000)
    mine.section["images"] = {"zip": "photos.zip"}
    path = mine.folder / "photos.zip"
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        local, listed = archive.infolist()[0].header_offset, content.index(b"PK\1\2")
    content[local + 6] |= 1
    content[listed + 8] |= 1
    path.write_bytes(content)
    assert "photos.zip is damaged at its entry 'p0.jpg': File 'p0.jpg' is encrypted, password required" in mine.message(
        ROWS
    )
    archive_of(mine.folder, p0=b"photo 0", p1=b"x" * 5000)
    content = path.read_bytes().replace((5000).to_bytes(4, "little"), (50).to_bytes(4, "little"))
    path.write_bytes(content)
    assert "photos.zip is damaged at its entry 'p1.jpg'" in mine.message(ROWS)


PARTS = ["train", "validation", "test"]


def test_the_part_of_a_published_split_is_taken_and_empty_where_there_is_none(mine):
    mine.collect(ROWS)
    assert set(mine.products()["part"]) == {""}
    mine.section["columns"]["part"] = "split"
    mine.collect([row | {"split": PARTS[number % 3]} for number, row in enumerate(ROWS)])
    assert mine.products()["part"].tolist() == [PARTS[number % 3] for number in range(30)]


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["train", "validation", "dev"], "Found 'dev' (10), 'train' (10), 'validation' (10)."),
        (["train", "test", ""], "Found '' (10), 'test' (10), 'train' (10)."),
        (["train", "test", "train"], "Found 'test' (10), 'train' (20)."),
    ],
    ids=["unknown", "missing", "empty part"],
)
def test_a_published_split_with_unknown_missing_or_empty_parts_is_refused(mine, names, found):
    mine.section["columns"]["part"] = "split"
    said = mine.message([row | {"split": names[number % 3]} for number, row in enumerate(ROWS)])
    assert said == (
        "catalogues/mine.yaml: `table.columns.part` should hold one of ['train', 'validation', 'test'] for every "
        f"product, and each for some. {found}"
    )


def test_a_product_in_two_parts_is_rejected(mine):
    mine.section["columns"]["part"] = "split"
    rows = [row | {"split": PARTS[number % 3]} for number, row in enumerate(ROWS)]
    mine.collect([*rows, rows[0] | {"split": "test"}])
    assert mine.rejects()["detail"].str.contains("with another part: 't").tolist() == [True]
