"""Readers of a table's file, a row at a time, whatever its format and size; and what an unknown file seems to hold.

unpacking (bytes) | layout (formats, encodings) | delimited, nested | rows (Parquet, spreadsheets, and all of them)
"""

import datetime
import re
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
from openpyxl.utils.escape import unescape
from tqdm import tqdm

from lib.collect.delimited import core, hint, look, read_csv, told_by_content
from lib.collect.layout import FileKeys, Inside, Layout, Row, Table, guess_format, sniff_encoding, tell_format
from lib.collect.nested import lists_in, read_json, read_json_lines, read_xml
from lib.collect.unpacking import present, seekable
from lib.config.base import INVALID, PROGRESS_SECONDS, Reject
from lib.exceptions import StudyError, nearest

__all__ = ["FileKeys", "Inside", "Layout", "Row", "Table", "guess_format", "present", "read_rows", "sniff"]

_BROKEN_PARQUET = (pa.ArrowException, OSError, UnicodeDecodeError)
_BATCH = 1024  # rows of Parquet that are held at once
_MAX_ROWS = 2**20  # of a sheet, as Excel has it
_MAX_SHARED = 128 * 2**20  # bytes of a workbook's table of texts, which is held as a whole


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
    either = certain and {layout.format, told} == {"json", "jsonl"}
    if not layout.format or either:
        layout = replace(layout, format=told) if certain else told_by_content(path, layout, told)
    elif layout.format != told and (certain or layout.format in ("parquet", "xlsx")):
        doubt = f"`format` says {layout.format}, and its first bytes are those of {told if certain else 'text'}"
        raise StudyError(f"{path} is not what the catalogue's file says: {doubt}.")
    if layout.format in ("json", "jsonl", "xml"):
        read = {"json": read_json, "jsonl": read_json_lines, "xml": read_xml}[layout.format]
        return Table(None, read(path, layout))
    if layout.format == "parquet":
        return _read_parquet(path, wanted)
    table = _read_sheet(path, layout) if layout.format == "xlsx" else read_csv(path, layout)
    _refuse_repeats(path, table.fields or [], wanted)
    if layout.format != "xlsx" and wanted - set(table.fields or []):
        table = table._replace(hint=hint(path, layout))
    return table


def sniff(path: Path) -> Layout:
    """Tell how a file of which nothing is known holds its rows, as far as it shows.

    Raises
    ------
    StudyError
        If the file holds no table, or cannot be read.
    """
    told, certain = tell_format(path)
    if not certain:
        return look(path, sniff_encoding(path))[0]
    lists = lists_in(path) if told == "json" else []
    return Layout(told, sheet=lists[0] if len(lists) > 1 else None)


def _refuse_repeats(path: Path, names: list[str], wanted: set[str]) -> None:
    repeated = sorted(name for name, count in Counter(names).items() if count > 1 and name in wanted)
    if repeated:
        raise StudyError(f"{path} has more than one column of the name {', '.join(map(repr, repeated))}.")


# Parquet


def _read_parquet(path: Path, wanted: set[str]) -> Table:
    try:
        file = pq.ParquetFile(seekable(path))
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


# Spreadsheets: what a cell shows, as text


def _read_sheet(path: Path, layout: Layout) -> Table:
    """Read a sheet: its first row that is not empty names the columns."""
    file = seekable(path)
    try:
        with warnings.catch_warnings(action="ignore"):
            parts = zipfile.ZipFile(file).infolist()
            shared = sum(part.file_size for part in parts if "sharedstrings" in part.filename.lower())
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
    rows = _cells(path, sheets[title], layout.skip_lines)
    first, cells = next(rows, (0, []))
    names = [(name or "").strip() for name in cells]
    if not core(names):
        raise StudyError(f"{path}: the sheet '{title}' is empty. It has the sheets {list(sheets)}.")

    def products() -> Iterator[Row | Reject]:
        for number, cells in rows:
            if any(cells[len(names) :]):
                yield Reject(None, INVALID, f"row {number}: expected {len(names)} cells, got {len(cells)}")
            else:
                yield Row(f"row {number}", dict(zip_longest(core(names), cells[: len(core(names))])))

    hint = f"They are in row {first} of the sheet '{title}'; `skip_lines` says how many rows come before the names."
    others = [other for other in sheets if other != title]
    return Table(core(names), products(), hint + f" `sheet` can name another of {others}." * bool(others))


def _cells(path: Path, sheet: Any, skipped: int) -> Iterator[tuple[int, list[str | None]]]:
    """Yield the number and cells of each row that is not empty."""
    sheet.reset_dimensions()  # some programs state wrong ones
    number = 0
    with tqdm(desc=path.name, unit=" rows", mininterval=PROGRESS_SECONDS) as bar:
        try:
            for number, row in enumerate(sheet.iter_rows(), 1):
                if number > _MAX_ROWS:
                    raise ValueError(f"it has more than {_MAX_ROWS:,} rows, which no spreadsheet has")
                cells = [_cell_text(cell) for cell in row]
                bar.update()
                if number > skipped and any(cells):
                    yield number, cells
        except Exception as error:
            raise StudyError(f"{path} is damaged after row {number:,} of its sheet: {error}.") from error


def _cell_text(cell: Any) -> str | None:
    """Return what is in a cell as text: a whole number without fraction, a date as ISO 8601 has it."""
    value = cell.value
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, int | float):
        text = str(int(value)) if float(value).is_integer() else repr(value)
        zeros = re.fullmatch("0{2,}", cell.number_format)  # the number format of ids with zeros before them
        return text.zfill(len(cell.number_format)) if zeros else text
    if isinstance(value, datetime.datetime):
        return value.isoformat().removesuffix("T00:00:00")
    return unescape(str(value)) or None if value is not None else None
