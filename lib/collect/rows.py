"""Readers of a table's file, a row at a time, whatever its format and size; and what an unknown file seems to hold.

unpacking (bytes) | layout (formats, encodings) | delimited (CSV, TSV), feeds (XML) | rows (JSON, Parquet, spreadsheets)
"""

import ast
import datetime
import io
import json
import re
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, zip_longest
from pathlib import Path
from typing import IO, Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
from openpyxl.utils.escape import unescape
from tqdm import tqdm

from lib.collect.delimited import Names, look, read_csv
from lib.collect.feeds import read_xml
from lib.collect.layout import (
    DELIMITERS,
    MAX_LINE,
    FileKeys,
    Format,
    Inside,
    Layout,
    Row,
    Table,
    fitting_encoding,
    guess_format,
    sniff_encoding,
    tell_format,
    text_encoding,
)
from lib.collect.unpacking import present, unpacked
from lib.config.base import INVALID, PROGRESS_SECONDS, Reject
from lib.crawl.products import MAX_DATA_DEEP, load_json
from lib.exceptions import StudyError, nearest

__all__ = [
    "FileKeys",
    "Inside",
    "Layout",
    "Row",
    "Table",
    "guess_format",
    "load_literal",
    "present",
    "read_rows",
    "sniff",
]

_BROKEN_PARQUET = (pa.ArrowException, OSError, UnicodeDecodeError)
_BATCH = 1024  # rows of Parquet that are held at once
_MAX_ROWS = 2**20  # of a sheet, as Excel has it
_MAX_SHARED = 128 * 2**20  # bytes of a workbook's table of texts, which is held as a whole
_ZEROS = re.compile("0{2,}")  # the number format of ids with zeros before them


def read_rows(path: Path, layout: Layout, wanted: set[str]) -> Table:
    """Open a table's file. What is in it and is no row comes as a reject.

    Parameters
    ----------
    path
        The file; it may be compressed by gzip or bzip2, or be the only one in a zip archive.
    layout
        What is known of how it holds its rows; the file itself tells the rest.
    wanted
        The columns that are needed; others of a Parquet file are not read.

    Raises
    ------
    StudyError
        If the file is missing, empty, damaged, or not of this format or encoding; some of it only as rows are read.
    """
    told, certain = tell_format(path)
    if layout.format and (certain or layout.format in ("parquet", "xlsx")) and layout.format != told:
        return _doubted(path, layout, wanted, told if certain else None)
    if not layout.format:
        layout = replace(layout, format=told) if certain else _told_by_content(path, layout, told)
    return _read(path, layout, wanted)


def sniff(path: Path) -> Layout:
    """Tell how a file of which nothing is known holds its rows, as far as it shows.

    Raises
    ------
    StudyError
        If the file holds no table, or cannot be read.
    """
    told, certain = tell_format(path)
    if not certain:
        return look(path, sniff_encoding(path)).layout
    if told != "json":
        return Layout(told)
    lists = Counter(name for name, _, _ in _json_values(path, Layout("json")))
    return Layout(told, sheet=lists.most_common(1)[0][0] if len(lists) > 1 else None)


def _read(path: Path, layout: Layout, wanted: set[str]) -> Table:
    match layout.format:
        case "parquet":
            return _read_parquet(path, wanted)
        case "jsonl":
            return Table(None, _lines_of_json(path, layout.encoding))
        case "json":
            return Table(None, _rows_of_json(path, layout))
        case "xlsx":
            table = _read_sheet(path, layout)
        case "xml":
            return read_xml(path, layout)
        case _:
            table = read_csv(path, layout)
            if wanted - set(table.fields or []):
                table = table._replace(hint=_reads_better(path, layout))
    _refuse_repeats(path, table.fields or [], wanted)
    return table


def _told_by_content(path: Path, layout: Layout, told: Format | None) -> Layout:
    """Settle what text is that neither its bytes nor, for sure, its name tell."""
    if layout.delimiter:
        return replace(layout, format=told if told in DELIMITERS else "csv")
    seen, columns = look(path, layout.encoding)
    usual = seen.delimiter is None  # a comma or a tab
    if told and (columns < 2 or (told in DELIMITERS and (seen.format == told or not usual))):
        return replace(layout, format=told)
    return replace(layout, format=seen.format, delimiter=seen.delimiter)


def _reads_better(path: Path, layout: Layout) -> str:
    seen = look(path, layout.encoding).layout.as_keys()
    used = layout.as_keys()
    other = {key: value for key, value in seen.items() if key != "format" and used.get(key) != value}
    return f"It could be read with {', '.join(f'`{key}: {value}`' for key, value in other.items())}." if other else ""


def _doubted(path: Path, layout: Layout, wanted: set[str], told: Format | None) -> Table:
    """Read a file as is said, though its bytes say otherwise; where that fails, the message says so."""
    doubt = f"`format` says {layout.format}, and its first bytes are those of {told or 'text'}"
    if {layout.format, told} & {"parquet", "xlsx"}:
        raise StudyError(f"{path} is not what the catalogue's file says: {doubt}.")
    table = _read(path, layout, wanted)

    def rows() -> Iterator[Row | Reject]:
        try:
            for row in table.rows:
                yield replace(row, detail=f"{row.detail} ({doubt})") if isinstance(row, Reject) else row
        except StudyError as error:
            raise StudyError(f"{error} ({doubt}.)") from error

    return table._replace(rows=rows(), hint=f"{table.hint} {doubt}.".strip())


# JSON


def load_literal(text: str) -> Any:
    """Read texts, numbers, lists and objects as Python writes them; they are never run.

    Raises
    ------
    ValueError
        If it is nothing of this kind, or nested too deep.

    >>> load_literal("{'id': 1, 'names': (u'A', None,)}")
    {'id': 1, 'names': ['A', None]}
    """
    return load_json(_PYTHON.sub(_as_json, text))


_PYTHON = re.compile(
    r"""[uU]?('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|\b(?:None|True|False|nan)\b|,(?=\s*[\])}])|[()]""", re.S
)
_AS_JSON = {"None": "null", "True": "true", "False": "false", "nan": "NaN", "(": "[", ")": "]", ",": ""}


def _as_json(token: re.Match[str]) -> str:
    if not (literal := token[1]):
        return _AS_JSON[token[0]]
    if "\\" not in literal:
        return json.dumps(literal[1:-1])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return json.dumps(ast.literal_eval(literal))
    except SyntaxError as error:
        raise ValueError(f"it is no text as Python writes it: {error.msg}") from error


def _lines_of_json(path: Path, encoding: str | None) -> Iterator[Row | Reject]:
    """Yield a row for each line that is an object, in JSON or as Python writes it."""
    with unpacked(path, progress=True) as opened:
        number = 0
        while line := opened.file.readline(MAX_LINE):
            number += 1
            if len(line) == MAX_LINE:
                raise StudyError(f"{path}: line {number} is longer than {MAX_LINE:,} characters.")
            if not line.strip():
                continue
            try:
                text = line.decode(encoding or json.detect_encoding(line), "surrogatepass")  # as json.loads does
                row = load_literal(text) if re.match(r"\s*\{\s*u?'", text) else load_json(text)
                if not isinstance(row, dict):
                    raise ValueError(f"expected an object, got {type(row).__name__}")
            except ValueError as error:
                yield Reject(None, INVALID, f"line {number}: {error}")
                continue
            yield Row(f"line {number}", row)


def _rows_of_json(path: Path, layout: Layout) -> Iterator[Row | Reject]:
    first = None
    for name, line, value in _json_values(path, layout):
        if layout.sheet and layout.sheet not in (name, name.rpartition(".")[2]):
            continue
        first = name if first is None else first
        if name != first:
            raise StudyError(f"{path} holds more than one list, '{first}' and '{name}'; `sheet` says which to read.")
        if isinstance(value, dict):
            yield Row(f"line {line}", value)
        else:
            yield Reject(None, INVALID, f"line {line}: expected an object, got {type(value).__name__}")
    if first is None:
        sought = f"list '{layout.sheet}', which `sheet` names" if layout.sheet else "list of objects"
        raise StudyError(f"{path} holds no {sought}.")


def _json_values(path: Path, layout: Layout) -> Iterator[tuple[str, int, Any]]:
    """Yield what is in the lists of objects in a JSON text: the list's dotted name, the line, and a value."""
    with unpacked(path, progress=True) as opened:
        used = text_encoding(opened.head, layout.encoding)
        text = _Json(path, io.TextIOWrapper(opened.file, used, errors="strict"))
        try:
            yield from text.values()
        except UnicodeError as error:
            raise StudyError(
                f"{path} is not {used.removesuffix('-sig')} after line {text.line}. Name its encoding in the "
                f"catalogue's file, such as {fitting_encoding(opened.head)}."
            ) from error


class _Json:
    """A JSON text of any length, of which one value is held at a time."""

    def __init__(self, path: Path, file: IO[str]) -> None:
        self.line = 1
        self._path, self._file = path, file
        self._text, self._at, self._ended = "", 0, False
        self._decoder = json.JSONDecoder()

    def values(self) -> Iterator[tuple[str, int, Any]]:
        start = self._next()
        if start == "[":
            yield from self._list("")
        elif start == "{" and self._one_by_one():
            while self._next() == "{":
                yield "", self.line, self._value()
        elif start == "{":
            yield from self._object("")
        if self._next() or not start:
            raise self._broken("expected one list or object")

    def _one_by_one(self) -> bool:
        """Whether one object follows the other, as far as is held."""
        try:
            _, end = self._decoder.raw_decode(self._text, self._at)
        except (ValueError, RecursionError):
            return False
        return self._text[end:].lstrip()[:1] == "{"

    def _list(self, name: str) -> Iterator[tuple[str, int, Any]]:
        self._take("[")
        if self._next() == "]":
            self._take("]")
            return
        while True:
            self._next()
            line = self.line
            yield name, line, self._value()
            if self._take(",]") == "]":
                return

    def _object(self, prefix: str) -> Iterator[tuple[str, int, Any]]:
        self._take("{")
        if self._next() == "}":
            self._take("}")
            return
        while True:
            name = f"{prefix}{self._value()}"
            self._take(":")
            start = self._next()
            if start == "{" and name.count(".") < MAX_DATA_DEEP:
                yield from self._object(f"{name}.")
            elif start == "[":
                values = self._list(name)
                first = next(values, None)
                rows = first is not None and isinstance(first[2], dict)
                yield from (value for value in chain([first] if first else [], values) if rows)
            else:
                self._value()
            if self._take(",}") == "}":
                return

    def _value(self) -> Any:
        self._next()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
                if end < len(self._text) or self._ended:
                    break
            except RecursionError:
                raise self._broken(f"it is nested more than {MAX_DATA_DEEP} deep") from None
            except ValueError as error:
                if self._ended:
                    raise self._broken(str(error)) from error
            if len(self._text) - self._at > MAX_LINE:
                raise self._broken(f"a value of more than {MAX_LINE:,} characters, or none")
            self._fill()
        taken = self._text[self._at : end]
        if taken.count("[") + taken.count("{") > MAX_DATA_DEEP:
            try:
                load_json(taken)
            except ValueError as error:
                raise self._broken(str(error)) from error
        self._move(end)
        return value

    def _take(self, expected: str) -> str:
        found = self._next()
        if not found or found not in expected:
            raise self._broken(f"expected {' or '.join(expected)}")
        self._move(self._at + 1)
        return found

    def _next(self) -> str:
        """Go to the next character that is not blank; there is none at the end."""
        while True:
            blank = re.compile(r"\s*").match(self._text, self._at)
            self._move(blank.end() if blank else self._at)
            if self._at < len(self._text):
                return self._text[self._at]
            if self._ended:
                return ""
            self._fill()

    def _move(self, to: int) -> None:
        self.line += self._text.count("\n", self._at, to)
        self._at = to

    def _fill(self) -> None:
        held = self._text[self._at :]
        more = self._file.read(max(2**18, len(held)))
        self._text, self._at, self._ended = held + more, 0, not more

    def _broken(self, problem: str) -> StudyError:
        return StudyError(f"{self._path} is truncated, or no JSON, at line {self.line}: {problem}.")


# Parquet


def _read_parquet(path: Path, wanted: set[str]) -> Table:
    try:
        with unpacked(path) as opened:
            file = pq.ParquetFile(path if opened.file.seekable() else opened.seekable())
        names, leaves = file.schema_arrow.names, list(_leaves(file.schema_arrow))
    except _BROKEN_PARQUET as error:
        raise StudyError(f"{path} is damaged, or not a Parquet file: {error}") from error
    needed = {name if name in names else re.split(r"[.\[]", name)[0] for name in wanted}
    _refuse_repeats(path, names, needed)

    def rows() -> Iterator[Row]:
        number, columns = 0, sorted(needed & set(names))
        total = file.metadata.num_rows
        with file, tqdm(total=total, desc=path.name, unit=" rows", mininterval=PROGRESS_SECONDS) as bar:
            try:
                for batch in file.iter_batches(_BATCH, columns=columns):
                    for values in batch.to_pylist():
                        number += 1
                        yield Row(f"row {number}", values)
                    bar.update(len(batch))
            except _BROKEN_PARQUET as error:
                raise StudyError(f"{path} is damaged after its row {number:,}: {error}") from error

    return Table(leaves, rows())


def _leaves(fields: Any, prefix: str = "") -> Iterator[str]:
    for field in fields:
        if pa.types.is_struct(field.type):
            yield from _leaves(field.type, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name


def _refuse_repeats(path: Path, names: list[str], wanted: set[str]) -> None:
    repeated = sorted(name for name, count in Counter(names).items() if count > 1 and name in wanted)
    if repeated:
        raise StudyError(f"{path} has more than one column of the name {', '.join(map(repr, repeated))}.")


# Spreadsheets


def _read_sheet(path: Path, layout: Layout) -> Table:
    """Read a sheet: its first row that is not empty names the columns."""
    with unpacked(path) as opened:
        file = path.open("rb") if opened.file.seekable() else opened.seekable()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            shared = [
                info.file_size for info in zipfile.ZipFile(file).infolist() if "sharedstrings" in info.filename.lower()
            ]
            book = openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False)
            sheets = {sheet.title: sheet for sheet in book.worksheets}
    except Exception as error:  # openpyxl fails in many ways
        raise StudyError(f"{path} is damaged, or not an Excel file (.xlsx): {error}.") from error
    if shared > _MAX_SHARED:
        raise StudyError(f"{path} has {shared:,} bytes of texts, more than {_MAX_SHARED:,}. Save it as .csv.")
    if layout.sheet and layout.sheet not in sheets:
        raise StudyError(f"{path} has no sheet '{layout.sheet}', but {list(sheets)}.{nearest(layout.sheet, sheets)}")
    visible = [title for title, sheet in sheets.items() if sheet.sheet_state == "visible"]
    title = layout.sheet or next(iter(visible or sheets))
    rows = _cells(path, sheets[title])
    for _ in range(layout.skip_lines):
        next(rows, None)
    first, cells = next(((number, cells) for number, cells in rows if any(cells)), (0, []))
    names = Names.of([cell or "" for cell in cells])
    if not names.core:
        raise StudyError(f"{path}: the sheet '{title}' is empty. It has the sheets {list(sheets)}.")

    def products() -> Iterator[Row | Reject]:
        for number, cells in rows:
            if not any(cells):
                continue
            if any(cells[len(names.all) :]):
                yield Reject(None, INVALID, f"row {number}: expected {len(names.all)} cells, got {len(cells)}")
                continue
            yield Row(f"row {number}", dict(zip_longest(names.core, cells[: len(names.core)])))

    others = [other for other in sheets if other != title]
    hint = f"They are in row {first} of the sheet '{title}'; `skip_lines` says how many rows come before the names."
    hint += f" `sheet` can name another of {others}." if others else ""
    return Table(names.core, products(), hint)


def _cells(path: Path, sheet: Any) -> Iterator[tuple[int, list[str | None]]]:
    sheet.reset_dimensions()  # some programs state wrong ones
    rows, number = sheet.iter_rows(), 0
    with tqdm(desc=path.name, unit=" rows", mininterval=PROGRESS_SECONDS) as bar:
        while number <= _MAX_ROWS:
            try:
                cells = [_cell_text(cell) for cell in next(rows, ())]
            except Exception as error:
                raise StudyError(f"{path} is damaged after row {number:,} of its sheet: {error}.") from error
            number += 1
            bar.update()
            yield number, cells


def _cell_text(cell: Any) -> str | None:
    """Return what is in a cell as text: a whole number without fraction, a date as ISO 8601 has it."""
    value = cell.value
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, int | float):
        text = str(int(value)) if float(value).is_integer() else repr(value)
        return text.zfill(len(cell.number_format)) if _ZEROS.fullmatch(cell.number_format) else text
    if isinstance(value, datetime.datetime):
        return value.isoformat().removesuffix("T00:00:00")
    return unescape(str(value)) or None if value is not None else None
