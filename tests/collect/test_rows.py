"""The rows of a table's file, whatever program wrote it: the right values, or a message that names what would help."""

import bz2
import datetime
import gzip
import html
import io
import json
import random
import re
import tracemalloc
import zipfile

import openpyxl
import pytest
from made_table import as_csv, as_lines, as_parquet

from lib.collect.nested import load_literal
from lib.collect.rows import FileKeys, Layout, read_rows, sniff
from lib.config.base import Reject
from lib.exceptions import StudyError

ROWS = [
    {"id": f"{number:03}", "name": f'{number}" pan, steel', "path": "Home > Kitchen > Pans"} for number in range(1, 41)
]
WANTED = {"id", "name", "path"}


@pytest.fixture
def read(tmp_path):
    """Return a function that writes a file and returns its rows' values; rejects are refused."""

    def rows(content, file="feed.csv", **keys):
        found = rows_and_rejects(tmp_path, content, file, **keys)
        assert not [row.detail for row in found if isinstance(row, Reject)]
        return [row.values for row in found]

    return rows


@pytest.fixture
def rejects(tmp_path):
    """Return a function that writes a file and returns what its rejects say."""

    def details(content, file="feed.csv", **keys):
        return [row.detail for row in rows_and_rejects(tmp_path, content, file, **keys) if isinstance(row, Reject)]

    return details


@pytest.fixture
def sniffed(tmp_path):
    """Return a function that writes a file and returns the keys with which it is read, after it was read so."""

    def keys(content, file="feed.csv", expected=None):
        path = tmp_path / file
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        found = sniff(path).as_keys()
        rows = list(read_rows(path, FileKeys(file=file, **found).layout, WANTED).rows)
        assert [row.values for row in rows] == (expected or ROWS)
        return found

    return keys


def rows_and_rejects(folder, content, file, **keys):
    path = folder / file
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(read_rows(path, FileKeys(file=file, **keys).layout, WANTED).rows)


@pytest.fixture
def message(tmp_path):
    """Return a function that writes a file which cannot be read, and returns what the user reads."""

    def text(content, file="feed.csv", **keys):
        with pytest.raises(StudyError) as error:
            rows_and_rejects(tmp_path, content, file, **keys)
        return str(error.value).replace(f"{tmp_path}/", "")

    return text


def as_xlsx(rows, title="Products", before=()):
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = title
    for row in (*before, list(rows[0]), *(list(row.values()) for row in rows)):
        sheet.append(row)
    return saved(book)


def saved(book):
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def as_feed(rows):
    elements = ("".join(f"<{key}>{html.escape(value)}</{key}>" for key, value in row.items()) for row in rows)
    items = "".join(f"<product>{inner}</product>\n" for inner in elements)
    return f"<?xml version='1.0'?>\n<products>\n{items}</products>".encode()


def packed(name, content, **others):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for other, data in ({name: content} | others).items():
            archive.writestr(other, data)
    return file.getvalue()


KINDS = {
    "csv": as_csv(ROWS),
    "tsv": as_csv(ROWS, "\t"),
    "json": json.dumps(ROWS).encode(),
    "jsonl": as_lines(ROWS),
    "parquet": as_parquet(ROWS),
    "xlsx": as_xlsx(ROWS),
    "xml": as_feed(ROWS),
}


# What a file is


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ending", ["csv", "tsv", "json", "jsonl", "parquet", "xlsx", "xml", "txt", "dat", ""])
def test_a_file_is_told_by_what_is_in_it_and_not_by_its_ending(sniffed, read, kind, ending):
    assert read(KINDS[kind], f"feed.{ending}") == ROWS
    assert sniffed(KINDS[kind], f"feed.{ending}")["format"] == kind


@pytest.mark.parametrize("kind", KINDS)
def test_a_packed_file_is_read_as_what_is_in_it(read, kind):
    content = KINDS[kind]
    for file, data in {
        "feed.gz": gzip.compress(content),
        "feed.csv": bz2.compress(content),
        "feed.json.bz2": bz2.compress(content),
        "feed.zip": packed(f"a/feed.{kind}", content),
        "feed.csv.zip": packed(f"feed.{kind}.gz", gzip.compress(content)),
        "feed.xml": packed("no ending", content, **{"__MACOSX/._x": b"?", ".DS_Store": b"?", "a/": b""}),
    }.items():
        assert read(data, file) == ROWS, file


@pytest.mark.parametrize("delimiter", "\t,;|")
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_text_of_unknown_ending_is_told_by_its_line_of_names(read, sniffed, delimiter, encoding):
    content = as_csv(ROWS, delimiter, encoding)
    assert read(content, "feed.txt") == ROWS
    keys = {} if delimiter in "\t," else {"delimiter": delimiter}
    assert sniffed(content) == {"format": "tsv" if delimiter == "\t" else "csv"} | keys


def test_a_given_format_is_obeyed_and_refused_where_it_cannot_be(read, message):
    odd = 'id,"name,path\n1,a,b\n'  # reads as nothing else
    assert message(KINDS["parquet"], format="csv") == (
        "feed.csv is not what the catalogue's file says: `format` says csv, and its first bytes are those of parquet."
    )
    assert "`format` says parquet, and its first bytes are those of text." in message(KINDS["csv"], format="parquet")
    assert "`format` says xlsx, and its first bytes are those of xml." in message(KINDS["xml"], format="xlsx")
    assert "`format` says json, and its first bytes are those of xml." in message(KINDS["xml"], format="json")
    assert read(KINDS["jsonl"], format="json") == ROWS
    assert read(b"[id];name;path\n1;a;b\n", format="csv", delimiter=";") == [{"[id]": "1", "name": "a", "path": "b"}]
    assert "line 1, which should name the columns, cannot be read" in message(odd)
    quoted = '"id";"name"\n"1";"a, b"\n'
    assert message(quoted).endswith("""Its line 1 is '"id";"name"'. With `delimiter: ";"` it could be read.""")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600,
            "feed.csv is an old Excel file (.xls)",
        ),
        (b"%PDF-1.7", "feed.csv is a PDF. Save or unpack it as .csv, .xlsx or another table."),
        (b"<!DOCTYPE html><html><body><table>", "feed.csv is a web page, not a table."),
        (b"\n<?xml version='1.0'?><!-- x --><html>", "feed.csv is a web page, not a table."),
        (packed("mimetype", b"application/vnd.oasis.opendocument.spreadsheet"), "or not an Excel file (.xlsx)"),
        (packed("[Content_Types].xml", b"<x/>"), "feed.csv is damaged, or not an Excel file (.xlsx)"),
        (KINDS["xlsx"][:2000], "feed.csv is truncated, or not a zip archive"),
        (gzip.compress(b"", mtime=0), "feed.csv is empty."),
        (
            packed("a.csv", b"", **{"b.csv": b"x"}),
            "holds 2 files, and one table was expected: 'a.csv', 'b.csv'.",
        ),
        (packed("a/", b""), "feed.csv holds 0 files, and one table was expected: none."),
        (gzip.compress(packed("a.csv", KINDS["csv"]), mtime=0), "or not an Excel file (.xlsx)"),
        (bz2.compress(KINDS["csv"])[:-30], "feed.csv is truncated or damaged"),
        (packed("a.csv", KINDS["csv"]).replace(b"a.csv", b"b.csv", 1), "feed.csv is truncated, or not a zip archive"),
    ],
    ids=lambda value: "content" if isinstance(value, bytes) else None,  # archives have times in them
)
def test_what_is_no_table_is_said_in_words(message, content, expected):
    assert expected in message(content)


def test_an_encrypted_or_damaged_entry_is_refused(message):
    content = bytearray(packed("a.csv", KINDS["csv"]))
    content[content.index(b"PK\x01\x02") + 8] |= 1
    assert message(bytes(content)) == (
        "feed.csv is encrypted. Unpack it with its password, and name the table's own file."
    )
    content = bytearray(packed("a.csv", KINDS["csv"]))
    content[60] ^= 0xFF
    assert "feed.csv is truncated or damaged" in message(bytes(content))


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lambda data: packed("../../etc/feed.csv", data)])
def test_a_file_that_unpacks_to_too_much_is_refused(message, read, monkeypatch, tmp_path, pack):
    monkeypatch.setattr("lib.collect.unpacking._LARGE", 2**17)
    assert "At most 131,072 are read, or 200 times the file's size." in message(pack(b"id,name\n" * 2**16))
    numbers = random.Random(0)
    random_ids = b"id\n" + b"\n".join(numbers.randbytes(8).hex().encode() for _ in range(10_000))
    assert len(read(pack(random_ids))) == 10_000  # much, but not for its size
    assert [path.name for path in tmp_path.iterdir()] == ["feed.csv"]


@pytest.mark.parametrize(
    ("kind", "pack"),
    [
        ("csv", gzip.compress),
        ("json", bz2.compress),
        ("jsonl", gzip.compress),
        ("xml", lambda xml: packed("feed", xml)),
    ],
)
def test_a_packed_file_is_never_held_as_a_whole(tmp_path, kind, pack):
    write = {"csv": as_csv, "json": lambda rows: json.dumps(rows).encode(), "jsonl": as_lines, "xml": as_feed}[kind]
    numbers = random.Random(0)
    content = write([row | {"name": numbers.randbytes(1500).hex()} for row in ROWS * 80])
    (tmp_path / "feed").write_bytes(pack(content))
    tracemalloc.start()
    try:
        count = sum(1 for _ in read_rows(tmp_path / "feed", Layout(kind), WANTED).rows)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 3200
    assert peak < len(content) / 2


# CSV


def test_sep_line_of_excel_is_obeyed(read, sniffed):
    for line in (b"sep=;\r\n", b'"sep=;"\r\n', b"SEP=;\n", b"\xef\xbb\xbfsep=;\r\n", b"sep=;;;\n"):
        assert read(line + as_csv(ROWS, ";")) == ROWS, line
        assert sniffed(line + as_csv(ROWS, ";")) == {"format": "csv"}, line
    assert read(b"sep=\t\n" + as_csv(ROWS, "\t")) == ROWS
    assert read(b"sep=;\n" + as_csv(ROWS, ";"), delimiter=";") == ROWS
    assert read(b"sep=;\n" + as_csv(ROWS, ";"), delimiter=";", skip_lines=1) == ROWS
    assert read("sep=;\n".encode("utf-16") + as_csv(ROWS, ";", "utf-16-le")) == ROWS


@pytest.mark.parametrize("before", ["# exported 2031\n", '# 5" pans, and "more\n\n#\n', "Products of today\n,,\n"])
def test_lines_before_the_names_are_skipped_as_is_said_and_named_if_not(tmp_path, read, sniffed, before):
    content, lines = before.encode() + as_csv(ROWS), before.count("\n")
    assert read(content, skip_lines=lines) == ROWS
    assert sniffed(content) == {"format": "csv", "skip_lines": lines}


def test_the_hint_shows_the_first_line_and_names_what_would_read_the_file(tmp_path):
    def hint(content, **keys):
        (tmp_path / "feed.csv").write_bytes(content)
        return read_rows(tmp_path / "feed.csv", Layout("csv", **keys), WANTED).hint

    assert hint(b"# exported\n" + as_csv(ROWS)) == (
        "Its line 1 is '# exported'. With `skip_lines: 1` it could be read."
    )
    assert 'With `delimiter: ";"` it could be read.' in hint(as_csv(ROWS, ";"))
    assert hint(as_csv(ROWS)) == ""


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
def test_line_ends_and_cells_too_many_that_are_empty(read, rejects, end):
    lines = ["id, name ,path,,", "1,a,b", "2,a,b,,,,", "3,,b,", "", '4,"a\rx\ny",b,,', "5,a,b,c"]
    values = read(end.join(lines[:-1]) + end)
    assert [row["name"] for row in values] == ["a", "a", None, "a\rx\ny"]
    assert read(end.join(lines))[-1] == {"id": "5", "name": "a", "path": "b", "": "c"}
    assert rejects(f"id,name,path{end}1,a,b,,{end}2,a,b,,c{end}3,a{end}") == [
        "line 3: expected 3 fields, got 5",
        "line 4: expected 3 fields, got 2",
    ]


def test_line_ends_may_differ_within_a_file(read):
    assert [row["id"] for row in read("id,name,path\r\n1,a,b\n2,a,b\r3,a,b")] == ["1", "2", "3"]


def test_blanks_after_a_comma_are_no_part_of_a_quoted_cell(read, sniffed):
    content = 'id, "name", path\n' + "".join(
        f'{row["id"]}, "{row["name"].replace(chr(34), chr(34) * 2)}",  "{row["path"]}"\n' for row in ROWS
    )
    assert read(content) == ROWS
    assert sniffed(content) == {"format": "csv"}
    assert read('id,name,path\n1,a "b", c') == [{"id": "1", "name": 'a "b"', "path": "c"}]


def test_a_backslash_before_a_quote(read, rejects, sniffed):
    lines = [f'"{r["id"]}","{r["name"].replace(chr(34), chr(92) + chr(34))}","{r["path"]}"' for r in ROWS]
    content = "\n".join(["id,name,path", *lines])
    assert rejects(content)[0] == "line 2: ',' expected after '\"'. With `escape: \"\\\\\"` it could be read"
    assert read(content, escape="\\") == ROWS
    assert sniffed(content) == {"format": "csv", "escape": "\\"}
    nulls = "id\tname\tpath\n1\t\\N\tb\\\tc\n\\N\ta\\\\N\t\\N\n2\tx\\\ny\tz"
    assert [list(row.values()) for row in read(nulls, "feed.tsv", escape="\\")] == [
        ["1", None, "b\tc"],
        [None, "a\\N", None],
        ["2", "x\ny", "z"],
    ]


def test_quote_marks_that_are_inches(read, rejects, sniffed):
    rows = [*ROWS[:9], {"id": "x", "name": '"Best" pan', "path": '"unclosed'}, *ROWS[9:]]
    content = "\n".join("\t".join(row) for row in [["id", "name", "path"], *(row.values() for row in rows)])
    found = rejects(content, "feed.tsv")
    assert found[0] == "line 11: '\t' expected after '\"'. With `quoting: none` it could be read"
    assert read(content, "feed.tsv", quoting="none") == rows
    assert sniffed(content, expected=rows) == {"format": "tsv", "quoting": "none"}
    unclosed = 'id\tname\tpath\n1\t"a\tb\n2\tc\td\n'
    assert rejects(unclosed, "feed.tsv")[0] == (
        "line 2: unexpected end of data in the row of lines 2 to 3; is a quote not closed? "
        "With `quoting: none` it could be read"
    )
    assert rejects(as_csv(ROWS), quoting="none")[0] == (
        'line 2: expected 3 fields, got 4. With `quoting: "\\""` it could be read'
    )


def test_a_quote_that_is_wrong_in_a_file_that_needs_quotes_is_not_laid_to_the_option(rejects):
    content = as_csv(ROWS).decode() + 'x,"a" b,c\n'
    assert rejects(content) == ["line 42: ',' expected after '\"'"]


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1252", "Große Schürze, 5 € – für Köche"),
        ("cp1250", "Patelnia żółta, świetna jakość, uchwyt długi"),
        ("cp1251", "Большая сковорода из стали"),
        ("cp850", "Große Schürze für Köche, schöne Muster"),
        ("cp932", "ステンレスのフライパン お洒落な赤"),
        ("gb18030", "不锈钢平底锅 红色 舒适 家用"),
        ("big5", "不鏽鋼平底鍋 紅色 舒適 家用"),
        ("cp949", "스테인리스 프라이팬 빨간색"),
    ],
)
def test_another_encoding_is_guessed_even_if_it_shows_late(message, sniffed, encoding, text):
    rows = [row | {"name": text} for row in ROWS]
    assert f"such as {encoding}." in message(as_csv(rows, encoding=encoding))
    late = [*ROWS * 300, *rows]
    assert sniffed(as_csv(late, encoding=encoding), expected=late) == {"format": "csv", "encoding": encoding}


def test_an_encoding_that_is_said_wrongly(message):
    assert message("id,name\n1,ü\n", encoding="ascii") == (
        "feed.csv is not ascii: byte 3 of line 2 is 0xc3. Name its encoding in the catalogue's file, such as utf-8."
    )


def test_a_table_of_few_rows_is_looked_at_too(tmp_path):
    def keys(content):
        (tmp_path / "feed.csv").write_text(content)
        return sniff(tmp_path / "feed.csv").as_keys()

    assert keys("id;name\n") == keys("id;name\n1;a\n") == {"format": "csv", "delimiter": ";"}
    assert keys("id,name,path,\n1,a,b\n2,a,b,\n3,a\n") == {"format": "csv"}
    assert keys("id\n1\n2\n") == keys("12345") == {"format": "csv"}


# JSON


def test_a_list_of_objects_may_stand_within_an_object(read, sniffed, tmp_path):
    inner = {"count": 2, "page": {"next": None}, "data": {"names": ["a", ["b"]], "items": ROWS}, "none": []}
    for indent in (None, 2):
        assert read(json.dumps(inner, indent=indent), "feed.json") == ROWS
        assert sniffed(json.dumps(inner, indent=indent), "feed.json") == {"format": "json"}
    two = {"stores": [{"id": "s"}], "products": ROWS}
    with pytest.raises(StudyError, match="holds more than one list, 'stores' and 'products'; `sheet` says which"):
        read(json.dumps(two), "feed.json")
    assert read(json.dumps(two), "feed.json", sheet="products") == ROWS
    assert sniffed(json.dumps(two), "feed.json") == {"format": "json", "sheet": "products"}


def test_json_of_any_shape_and_size(read, rejects, message, monkeypatch):
    assert read("\n".join(json.dumps(row, indent=1) for row in ROWS), "feed.json") == ROWS  # as jq writes
    assert read("\ufeff" + json.dumps(ROWS), "feed.json") == ROWS
    assert read(json.dumps(ROWS).encode("utf-16"), "feed.json") == ROWS
    long = [row | {"name": "ü" * 300_000} for row in ROWS[:3]]
    assert read(json.dumps(long, ensure_ascii=False), "feed.json") == long
    assert read(json.dumps(ROWS[0]), "feed.json") == ROWS[:1]  # one line, one object
    assert rejects('[{"id": 1},\n[2], null]', "feed.json") == [
        "row 2: expected an object, got list",
        "row 3: expected an object, got NoneType",
    ]
    cut = json.dumps(ROWS, indent=1)[:-100]
    assert message(cut, "feed.json").startswith("feed.json is truncated, or no JSON: ")
    assert "no JSON: it is nested more than 32 deep" in message("[" + '{"a":' * 40 + "1" + "}" * 40 + "]", "feed.json")
    assert "nested more than 32 deep" in message('[{"a":' + "[" * 200_000, "feed.json")
    assert "feed.json is truncated, or no JSON: " in message(json.dumps(ROWS) + "x", "feed.json")
    assert message('{"a": {"b": 1},\n"c": [1]}', "feed.json") == "feed.json holds no list of objects."
    assert "such as cp1252." in message('[{"id": "Köln, Größe"}]'.encode("cp1252"), "feed.json")
    assert read('[{"id": "Köln"}]'.encode("cp1252"), "feed.json", encoding="cp1252") == [{"id": "Köln"}]


def test_lines_as_python_writes_them(read, rejects):
    rows = [row | {"more": ["it's", 'a "b"', None, True, 1.5, ("x",)], "text": "ü\n\\x\x92"} for row in ROWS]
    expected = [row | {"more": [*row["more"][:-1], ["x"]]} for row in rows]
    content = gzip.compress("\n".join(map(repr, rows)).encode())
    assert read(content, "meta.json.gz") == expected
    assert read("{u'id': u'1'}\n{\"id\": '2'}\n".replace("\"id\": '2'", "'id': '2'"), "meta.json") == [
        {"id": "1"},
        {"id": "2"},
    ]
    assert len(rejects("{'id': __import__('os').getpid()}\n{'id': '1'}\n{'id': 1 + 1}", "meta.json")) == 2
    with pytest.raises(ValueError, match="too many nested parentheses"):
        load_literal("{'a': " + "(" * 100_000)


# XML


ATOM = """<?xml version="1.0" encoding="iso-8859-1"?>
<!-- a comment --><feed xmlns="http://www.w3.org/2005/Atom" xmlns:g="http://base.google.com/ns/1.0">
<title>Shop</title><link rel="self" href="http://shop.test/"/><author><name>A</name></author>
<entry><g:id>1</g:id><title><![CDATA[<b>Größe</b> & mehr]]></title><link href="http://shop.test/1"/>
<g:shipping><g:country>DE</g:country><g:price>1 EUR</g:price></g:shipping>
<g:additional_image_link>a.jpg</g:additional_image_link><g:additional_image_link>b.jpg</g:additional_image_link>
<summary>  two <!-- no -->words </summary><g:brand/></entry>
</feed>"""


def test_google_merchant_as_atom_and_rss(read):
    (row,) = read(ATOM.encode("latin-1"), "feed.xml")
    assert row["g:id"] == row["id"] == "1"
    assert row["title"] == "<b>Größe</b> & mehr"
    assert row["link"]["href"] == "http://shop.test/1"
    assert row["g:shipping"]["g:country"] == row["shipping"]["country"] == "DE"
    assert row["additional_image_link"] == ["a.jpg", "b.jpg"]
    assert row["summary"] == "two words"
    assert row["brand"] is None
    rss = """<rss xmlns:g="http://base.google.com/ns/1.0"><channel><title>Shop</title><image><url>u</url></image>
    <item><title>Own</title><g:title>Theirs</g:title><g:id>1</g:id></item><item><g:id>2</g:id></item></channel></rss>"""
    first, second = read(rss, "feed.xml")
    assert (first["title"], first["g:title"], second["id"]) == ("Own", "Theirs", "2")


def test_other_feeds(read, message):
    yml = """<?xml version="1.0" encoding="UTF-8"?><!DOCTYPE yml_catalog SYSTEM "shops.dtd"><yml_catalog><shop>
    <categories><category id="1">Home</category><category id="2" parentId="1">Pans</category></categories>
    <offers><offer id="7" available="true"><name>Pan&nbsp;1</name><id2>x</id2><param name="a">b</param></offer>
    <offer id="8"><name>Pan</name><pictures><picture><url>1</url></picture><picture><url>2</url></picture></pictures>
    </offer></offers></shop></yml_catalog>"""
    first, second = read(yml, "feed.xml")
    assert (first["id"], first["@id"], first["available"], first["name"]) == ("7", "7", "true", "Pan&nbsp;1")
    assert second["pictures"]["picture"] == [{"url": "1"}, {"url": "2"}]
    assert [row["id"] for row in read(yml, "feed.xml", sheet="category")] == ["1", "2"]
    attributes = "<t><r id='1' name='a'/><r id='2' name='b'/></t>"
    assert [row["name"] for row in read(attributes, "feed.xml")] == ["a", "b"]
    markup = """<shop><thing><t>a</t><text>Soft <b>wool</b>, warm</text></thing><thing><t>b</t></thing></shop>"""
    assert read(markup, "feed.xml")[0]["text"] == "Soft wool, warm"
    assert "feed.xml has no element 'gone'." in message(yml, "feed.xml", sheet="gone")
    assert "has no element that is repeated and holds others." in message("<a><b>1</b></a>", "feed.xml")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("<?xml version='1.0'?><!DOCTYPE x [<!ENTITY a 'aaaa'>]><x><item><id>&a;</id></item></x>", "declares entities"),
        ("<!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><x><item><id>&a;</id></item></x>", "declares entities"),
        (
            "<!DOCTYPE x [<!ENTITY % a SYSTEM 'http://127.0.0.1:1/a'> %a;]><x><item><id>1</id></item></x>",
            "declares entities",
        ),
        ("<x><item><id>1</id></item><item><id>2", "feed.xml is truncated, or no XML: "),
        ("<x><item><id>1</id></item><item><id>fish & chips</id></item></x>", "feed.xml is truncated, or no XML: "),
        ("<x><item><id>" + "<a/>" * 100_001 + "</id></item></x>", "has more than 100,000 elements"),
        ("<x>" + "<a>" * 1000, "feed.xml is truncated, or no XML: "),
    ],
)
def test_a_hostile_or_broken_feed_is_refused_in_words(message, content, expected):
    assert expected in message(content, "feed.xml")


# Spreadsheets


def test_cells_of_a_spreadsheet_are_the_texts_that_they_show(read):
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(["id", " name ", "path", None, "when", None])
    sheet.append([12.0, "a", True, None, datetime.datetime(2031, 2, 3)])
    sheet.append([1230000000000, "b_x000D_\nc", 0.1, None, datetime.datetime(2031, 2, 3, 4, 5)])
    sheet.append([])
    sheet.append([123, None, -7, None, datetime.time(4, 5)])
    sheet["A5"].number_format = "00000"
    sheet.append(["00123", "=A2", "#N/A", "", datetime.date(2031, 2, 3), None, None])
    rows = read(saved(book), "feed.xlsx")
    assert [list(row.values()) for row in rows] == [
        ["12", "a", "TRUE", None, "2031-02-03"],
        ["1230000000000", "b\r\nc", "0.1", None, "2031-02-03T04:05:00"],
        ["00123", None, "-7", None, "04:05:00"],
        ["00123", None, "#N/A", None, "2031-02-03"],
    ]
    assert list(rows[0]) == ["id", "name", "path", "", "when"]


def test_which_sheet_and_which_row_of_names(read, message, tmp_path, sniffed):
    book = openpyxl.load_workbook(io.BytesIO(as_xlsx(ROWS, before=[["Our products"], []])))
    book.create_sheet("Notes").append(["nothing"])
    book.create_sheet("Hidden", 0).sheet_state = "hidden"
    content = saved(book)
    assert read(content, "feed.xlsx", skip_lines=2) == read(content, "feed.xlsx", skip_lines=1) == ROWS
    assert read(content, "feed.xlsx", skip_lines=1, sheet="Products") == ROWS
    assert message(content, "feed.xlsx", sheet="Product").endswith("Did you mean 'Products'?")
    assert "the sheet 'Hidden' is empty" in message(content, "feed.xlsx", sheet="Hidden")
    hint = read_rows(tmp_path / "feed.xlsx", Layout(), WANTED).hint
    assert hint.startswith("They are in row 1 of the sheet 'Products'; `skip_lines` says how many rows come before")
    assert "['Hidden', 'Notes']" in hint


def test_a_spreadsheet_that_states_a_wrong_size_or_too_much(read, message):
    def changed(content, part, change):
        file = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(content)) as before, zipfile.ZipFile(file, "w") as after:
            for info in before.infolist():
                data = before.read(info)
                after.writestr(info, change(data) if info.filename == part else data)
        return file.getvalue()

    sheet = "xl/worksheets/sheet1.xml"
    content = KINDS["xlsx"]
    assert read(changed(content, sheet, lambda data: re.sub(rb'ref="A1:C41"', b'ref="A1"', data)), "feed.xlsx") == ROWS
    far = changed(content, sheet, lambda data: data.replace(b'<row r="41"', b'<row r="999999999"'))
    assert "more than 1,048,576 rows" in message(far, "feed.xlsx")
    assert "damaged after row" in message(changed(content, sheet, lambda data: data[:-400]), "feed.xlsx")
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaa">]>'
    evil = changed(content, sheet, lambda data: re.sub(rb"(<worksheet)", bomb + rb"\1", data))
    assert "is damaged" in message(evil, "feed.xlsx")


def test_texts_that_cells_share(read, message, monkeypatch):
    main = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    texts = ["id", "name", "path", "1", "a <b>", "Home > Pans"]
    shared = "".join(f"<si><t>{html.escape(text)}</t></si>" for text in texts)
    cells = "".join(
        f'<row r="{r + 1}">{"".join(f"""<c t="s"><v>{3 * r + c}</v></c>""" for c in range(3))}</row>' for r in (0, 1)
    )

    def changed(part, data):
        if part == "[Content_Types].xml":
            kind = "application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"
            return data.replace(
                b"</Types>", f'<Override PartName="/xl/sharedStrings.xml" ContentType="{kind}"/></Types>'.encode()
            )
        return f"<worksheet {main}><sheetData>{cells}</sheetData></worksheet>".encode() if "sheet1" in part else data

    with zipfile.ZipFile(io.BytesIO(KINDS["xlsx"])) as before:
        parts = {part: changed(part, before.read(part)) for part in before.namelist()}
    content = packed("xl/sharedStrings.xml", f"<sst {main}>{shared}</sst>", **parts)
    assert read(content, "feed.xlsx") == [{"id": "1", "name": "a <b>", "path": "Home > Pans"}]
    monkeypatch.setattr("lib.collect.rows._MAX_SHARED", 100)
    assert "bytes of texts, more than 100. Save it as .csv." in message(content, "feed.xlsx")
