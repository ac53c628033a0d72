"""Tables of new products in any form, and those of the catalogue's own form as the study reads them."""

import json
import os
import re
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_tagger import arguments

from lib import tag
from lib.collect.table import TableSource
from lib.exceptions import StudyError
from lib.models.inputs import Products
from lib.tagging import incoming, stream
from lib.tagging.incoming import usual_columns, usual_source
from lib.tagging.stream import Job
from lib.tagging.tagger import Tagger

# Any size, any form


@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_streaming_gives_what_one_piece_gives(new, tagged, monkeypatch, rows):
    expected, *_ = tagged(new)
    monkeypatch.setattr(stream, "ROWS", rows)
    found, *_ = tagged(new)
    pd.testing.assert_frame_equal(found, expected, check_exact=False, atol=1.1e-4)


def test_formats_say_the_same(new, tagged, tmp_path):
    expected, *_ = tagged(new)
    lines = "\n".join(json.dumps(row) for row in new.to_dict("records"))
    for found, *_ in (tagged(new, "new.parquet"), tagged(lines, "new.jsonl")):
        pd.testing.assert_frame_equal(found, expected)
    parquet, *_ = tagged(new, output="tagged.parquet")
    pd.testing.assert_frame_equal(parquet, expected, check_dtype=False, atol=1e-6)


def test_ids_are_kept_outside_memory_and_still_found(tagged):
    count = 3000
    rows = "\n".join(f"p{number % (count - 1)},brand 1,sole" for number in range(count))
    _, rejects, summary = tagged(f"product_id,brand,description\n{rows}\n")
    assert summary.products == count - 1
    assert rejects["product_id"].tolist() == ["p0"]


# Columns


def test_misnamed_columns_are_named_with_what_was_looked_for(new, tagged, tmp_path):
    table = new.rename(columns={"product_id": "sku", "brand": "Brand", "description": "descripton"})
    with pytest.raises(StudyError) as error:
        tagged(table)
    message = str(error.value)
    assert "lacks 3 of the 3 columns" in message
    assert "product_id: looked for 'product_id' or 'id'." in message
    assert "brand: looked for 'brand'. Did you mean 'Brand'?" in message
    assert "description: looked for 'description'. Did you mean 'descripton'?" in message
    assert "Its columns are ['sku', 'Brand', 'title', 'descripton', 'image']." in message
    assert [path.name for path in tmp_path.iterdir()] == ["new.csv"]


def test_columns_can_be_named(new, tagged):
    table = new.rename(columns={"product_id": "sku", "brand": "maker"})
    pd.testing.assert_frame_equal(tagged(table, columns={"product_id": "sku", "brand": "maker"})[0], tagged(new)[0])


def test_a_field_that_no_product_has_may_be_left_out(new, tagged):
    found, *_ = tagged(new.drop(columns="brand"), without=["brand"])
    assert set(found["inputs"]) == {"text"}


def test_columns_of_json_lines_are_those_of_its_first_rows(new, tagged):
    lines = "\n".join(json.dumps(row) for row in new.rename(columns={"brand": "make"}).to_dict("records"))
    with pytest.raises(StudyError, match=r"brand: looked for 'brand'"):
        tagged(lines, "new.jsonl")


def test_one_column_may_be_a_wrong_delimiter(tagged):
    with pytest.raises(StudyError, match=r"With --delimiter ';' it could be read\."):
        tagged("product_id;brand;description\na;b;c\n")
    assert tagged("product_id;brand;description\na;brand 1;sole\n", delimiter=";")[2].products == 1


def source(**keys):
    """What a catalogue's file would say of its table."""
    columns = {"id": "sku", "brand": "maker", "title": "name", "description": "about", "category": "path"}
    return TableSource(**{"file": "products.csv", "columns": columns} | keys)


@pytest.fixture
def usual(monkeypatch):
    """Return a function that lets the catalogue be a table."""

    def use(**keys):
        monkeypatch.setattr(stream, "usual_source", lambda name: source(**keys))

    return use


def test_the_catalogues_own_names_are_known(new, tagged, usual):
    usual()
    table = new.rename(columns={"product_id": "sku", "brand": "maker", "description": "about"})
    assert tagged(table)[2].products == len(new)


def test_columns_of_a_catalogues_file_are_read(study):
    fashion = usual_source("fashion")
    assert usual_columns(fashion)["description"] == "productDescriptors.description.value"
    assert usual_columns(fashion)["product_id"] == "id"
    assert fashion.image_name == "{id}.jpg"
    assert usual_source("demo") is usual_source("no such catalogue") is None
    assert usual_columns(None) == {}


# A new feed of the catalogue's own form is read as the study reads the catalogue


def test_cells_that_mean_nothing_are_read_as_missing(tagged, usual):
    table = "product_id,brand,description\na,brand 1,sole\nb,NULL,sole\nc,brand 1,n/a\n-,brand 1,sole\n"
    found, rejects, summary = tagged(table)
    assert found["inputs"].tolist() == ["brand+text", "text", "brand"]
    assert rejects["reason"].tolist() == ["missing id"]
    assert "Noticed: 3 " in summary.text(Job(Path("a"), Path("b"), Path("c"), 0.9))
    usual(missing=["nothing"])
    found, rejects, _ = tagged(table.replace("n/a", "Nothing"))
    assert found["inputs"].tolist() == ["brand+text", "text", "brand", "brand+text"]
    assert rejects.empty


def test_a_field_of_several_languages_is_read_in_the_catalogues(tagged, usual):
    names = [{"language_tag": "de_DE", "value": "und"}, {"language_tag": "en_US", "value": "sole laces"}]
    row = {"sku": "a", "maker": [{"language_tag": "en_GB", "value": "brand 1"}], "about": names}
    usual(language="en")
    english, *_ = tagged(json.dumps(row), "new.jsonl")
    usual(language="de")
    german, *_ = tagged(json.dumps(row), "new.jsonl")
    expected, *_ = tagged("product_id,brand,description\na,brand 1,sole laces\n")
    pd.testing.assert_frame_equal(english, expected)
    assert german["inputs"].tolist() == ["text"]  # no brand in German, and 'und'


def test_rows_that_are_no_products_are_left_out_and_counted(tagged, usual, tmp_path):
    usual(leave_out_rows={"Type": ["variation"]})
    table = "sku,Type,maker,about\na,variable,brand 1,sole\na-1,Variation,,\na-2,variation,,\nb,simple,brand 1,sole\n"
    found, rejects, summary = tagged(table)
    assert found["product_id"].tolist() == ["a", "b"]
    assert rejects.empty
    assert summary.notices["rows that are no products (leave_out_rows)"] == 2
    with pytest.raises(StudyError, match="holds no product"):
        tagged("sku,Type,maker,about\na-1,variation,,\n", output="again.csv")
    assert not (tmp_path / "again.csv").exists()
    assert tagged("sku,maker,about\na,brand 1,sole\n")[2].products == 1  # a table without that column


def test_rows_of_one_product_that_follow_one_another_are_merged(tagged, usual):
    usual()
    table = "sku,name,maker,about\na,Boot,,sole\na,,brand 1,sole laces\na,,,\nb,Shoe,brand 1,denim\n"
    found, rejects, summary = tagged(table)
    expected, *_ = tagged("product_id,brand,description\na,brand 1,sole laces\nb,brand 1,denim\n")
    pd.testing.assert_frame_equal(found, expected)
    assert rejects.empty
    assert [count for text, count in summary.notices.items() if "merged" in text] == [2]


def test_rows_of_one_id_that_contradict_or_stand_apart_are_rejects(tagged, usual):
    usual()
    table = "sku,name,maker,about\na,Boot,brand 1,sole\na,Dress,,denim\nb,Shoe,,sole\na,Boot,,sole\na,Boot,,x\n"
    found, rejects, _ = tagged(table)
    assert found["product_id"].tolist() == ["a", "b"]
    assert found["inputs"].tolist() == ["brand+text", "text"]
    assert rejects["product_id"].tolist() == ["a", "a", "a"]
    assert set(rejects["reason"]) == {"repeated id"}
    assert "line 2" in rejects["detail"][0]
    assert "line 3" in rejects["detail"][0]
    assert rejects["detail"][1] == "line 5: only the first rows that follow one another are tagged"


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_merging_hangs_on_no_chunk(tagged, usual, monkeypatch, rows):
    usual()
    table = "sku,name,maker,about\na,Boot,,sole\na,,brand 1,\nb,Shoe,,sole\nb,,brand 1,\nb,,,\nc,X,brand 1,sole\n"
    expected, *_ = tagged(table)
    monkeypatch.setattr(stream, "ROWS", rows)
    found, *_ = tagged(table)
    pd.testing.assert_frame_equal(found, expected)
    assert found["inputs"].tolist() == ["brand+text"] * 3


def test_a_column_of_one_value_for_ids_takes_no_memory(tagged, monkeypatch):
    monkeypatch.setattr(incoming, "_VARIANTS", 10)
    _, rejects, summary = tagged("product_id,brand,description\n" + "a,brand 1,sole\n" * 25)
    assert summary.products == 1
    assert len(rejects) == 15


def test_vectors_of_merged_rows_are_those_of_the_fullest(shop, tagged, usual, tmp_path):
    usual(leave_out_rows={"name": ["Variation"]})
    vectors = np.load(shop / "build/tiny/image/features.npy")[1:6]
    np.save(tmp_path / "new.npy", vectors)
    table = "sku,name,maker,about\na,Boot,brand 1,sole\na,,,\nx,Variation,,\nb,Shoe,brand 1,denim\ny,Variation,,\n"
    found, *_ = tagged(table, features=tmp_path / "new.npy")
    tagger = Tagger.load(shop / "build/tiny/tagger")
    tags = tagger.tag(Products.of(["brand 1"] * 2, ["sole", "denim"], vectors[[0, 3]]))
    whole = found["decision"].isin(["auto", "review"]).to_numpy()
    np.testing.assert_allclose(found["confidence"][whole], tags.confidence[whole, 2], atol=1e-4)
    np.save(tmp_path / "new.npy", vectors[:4])
    with pytest.raises(StudyError, match=r"holds 4 rows, and the table has more|holds 4 rows, and the table 5"):
        tagged(table, features=tmp_path / "new.npy")


def test_nested_columns_of_the_catalogue_are_followed_in_every_form(tagged, usual, tmp_path):
    columns = {"id": "sku", "brand": "makers[0].name", "description": "about.text", "category": "path"}
    usual(columns=columns)
    rows = [{"sku": "a", "makers": [{"name": "brand 1"}, {"name": "x"}], "about": {"text": "sole laces"}}]
    expected, *_ = tagged("product_id,brand,description\na,brand 1,sole laces\n")
    pd.DataFrame(rows).to_parquet(tmp_path / "new.parquet")
    for name, text in (("new.json", json.dumps(rows)), ("new.jsonl", json.dumps(rows[0])), ("new.parquet", None)):
        pd.testing.assert_frame_equal(tagged(text, name)[0], expected)


LAYOUT = {"delimiter": ";", "encoding": "cp1252", "skip_lines": 1, "escape": "\\"}


def test_a_table_with_the_catalogues_columns_is_read_as_its_file_says(tagged, usual, tmp_path):
    usual(**LAYOUT)
    text = 'Made by a shop\nsku;maker;about\na;brand 1;"a \\"sole\\" caf\xe9"\n'
    (tmp_path / "new.csv").write_bytes(text.encode("cp1252"))
    found, rejects, _ = tagged(None)
    assert found["inputs"].tolist() == ["brand+text"]
    assert rejects.empty
    (tmp_path / "new.csv").write_bytes(text.encode())  # UTF-8 beyond doubt
    assert tagged(None)[2].products == 1


def test_a_table_of_another_form_is_read_as_it_is(new, tagged, usual):
    expected, *_ = tagged(new)
    usual(**LAYOUT)
    pd.testing.assert_frame_equal(tagged(new)[0], expected)


# How a table is read


READ = {
    "another delimiter": ("new.csv", "product_id|brand|description\na|brand 1|sole\n", {"delimiter": "|"}),
    "marks that are no quotes": ("new.csv", 'product_id,brand,description\na,brand 1,"7" sole\n', {"quoting": "none"}),
    "an escape": ("new.csv", 'product_id,brand,description\na,brand 1,"7\\" sole"\n', {"escape": "\\"}),
    "lines before": ("new.csv", "A shop\n\nproduct_id,brand,description\na,brand 1,sole\n", {"skip_lines": 2}),
    "a separator line": ("new.csv", "sep=;\nproduct_id;brand;description\na;brand 1;sole\n", {}),
    "text": ("new.txt", "product_id\tbrand\tdescription\na\tbrand 1\tsole\n", {}),
    "a wrong ending": ("new.csv", '[{"product_id": "a", "brand": "brand 1", "description": "sole"}]', {}),
    "xml": (
        "new.xml",
        "<f><item><product_id>a</product_id><brand>brand 1</brand><description>sole</description></item></f>",
        {},
    ),
    "a list": (
        "new.json",
        '{"old": [{"x": 1}], "new": [{"product_id": "a", "brand": "brand 1", "description": "sole"}]}',
        {"sheet": "new"},
    ),
    "a name that says nothing": (
        "new.data",
        '{"product_id": "a", "brand": "brand 1", "description": "sole"}\n',
        {"format": "jsonl"},
    ),
}


@pytest.mark.parametrize("case", READ)
def test_tables_are_read_as_the_study_reads_them(tagged, case):
    name, text, options = READ[case]
    found, rejects, _ = tagged(text, name, **options)
    assert found["product_id"].tolist() == ["a"]
    assert found["inputs"].tolist() == ["brand+text"]
    assert rejects.empty


def test_spreadsheets_and_archives_are_read(new, tagged, tmp_path):
    expected, *_ = tagged(new)
    with pd.ExcelWriter(tmp_path / "new.xlsx") as writer:
        pd.DataFrame({"note": ["made by a shop"]}).to_excel(writer, sheet_name="About", index=False)
        new.to_excel(writer, sheet_name="Products", index=False)
    pd.testing.assert_frame_equal(tagged(None, "new.xlsx", sheet="Products")[0], expected)
    with zipfile.ZipFile(tmp_path / "new.zip", "w") as archive:
        archive.writestr("export/products.csv", new.to_csv(index=False))
    pd.testing.assert_frame_equal(tagged(None, "new.zip")[0], expected)


UNREAD = {
    "cp1252": (
        "product_id,brand,description\na,brand 1,caf\xe9 sole\n".encode("cp1252"),
        [],
        r"is not utf-8: byte 14 of line 2 is 0xe9\. Name its encoding, such as --encoding cp1252\.",
    ),
    "cyrillic": (
        ("product_id,brand,description\n" + "a,brand 1,Кожаные ботинки со шнуровкой и подошвой\n" * 9).encode("cp1251"),
        [],
        r"is not utf-8: .* Name its encoding, such as --encoding (cp1251|windows-1251|mac_cyrillic)\.",
    ),
    "no encoding": (b"product_id,brand,description\n", ["--encoding", "utf-9"], r"--encoding: there is no encoding"),
    "two delimiters": (b"product_id,brand,description\n", ["--delimiter", ";;"], r"--delimiter: .*1 character"),
    "lines before": (b"A shop\nid,brand,description\na,b,c\nd,e,f\n", [], r"With --skip-lines 1 it could be read\."),
    "negative lines": (b"id,brand,description\na,b,c\n", ["--skip-lines", "-1"], r"--skip-lines: .*equal to 0"),
    "a key of another format": (
        b"id,brand,description\na,b,c\n",
        ["--sheet", "x"],
        r"--sheet is for xlsx, json and xml, and not for csv",
    ),
    "another format": (b"id,brand,description\na,b,c\n", ["--format", "xlsx"], r"--format says xlsx, and its first"),
    "an escape": (
        b'id,brand,description\na,brand 1,"7\\" sole, x"\n',
        [],
        r"With --escape '\\' it could be read",
    ),
}


@pytest.mark.parametrize("case", UNREAD)
def test_a_table_that_cannot_be_read_so_names_the_option(shop, tmp_path, capsys, case):
    content, more, message = UNREAD[case]
    (tmp_path / "new.csv").write_bytes(content)
    assert tag.main(arguments(tmp_path / "new.csv", tmp_path / "out.csv", *more)) == 1
    said = capsys.readouterr().err
    assert re.search(message, said), said
    assert "`" not in said
    assert "catalogue's file" not in said
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize("row", ['{"product_id": ' + "[" * 1000 + "]" * 1000 + "}", '{"product_id": 1', "7"])
def test_a_table_of_nothing_but_rejects_says_why(tagged, tmp_path, row):
    with pytest.raises(StudyError, match=r"can be tagged; .*\n  invalid record: 2, such as \(line 1: "):
        tagged(f"{row}\n{row}\n", "new.jsonl", format="jsonl")
    assert len(pd.read_csv(tmp_path / "tagged.rejects.csv")) == 2


@pytest.mark.parametrize("kind", ["folder", "loop", "pipe"])
def test_a_table_that_is_no_file_is_one_message(tagged, tmp_path, kind):
    path = tmp_path / "new.csv"
    {"folder": path.mkdir, "loop": lambda: path.symlink_to(path), "pipe": lambda: os.mkfifo(path)}[kind]()
    with pytest.raises(
        StudyError, match=r"new\.csv: expected a table's file, found a folder or a device|There is no table"
    ):
        tagged(None)


def test_help_names_every_option(capsys):
    with pytest.raises(SystemExit) as left:
        tag.main(["--help"])
    assert left.value.code == 0
    said = capsys.readouterr().out
    options = ("format", "encoding", "delimiter", "quoting", "escape", "skip-lines", "sheet", "max-candidates", "raw")
    for option in options:
        assert f"  --{option}" in said
