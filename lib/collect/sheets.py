"""Spreadsheets (.xlsx): what a cell shows, as text."""

import datetime
import re
import warnings
import zipfile
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import openpyxl
from openpyxl.utils.escape import unescape
from tqdm import tqdm

from lib.collect.delimited import Names
from lib.collect.layout import Layout, Row, Table
from lib.collect.unpacking import unpacked
from lib.config.base import INVALID, PROGRESS_SECONDS, Reject
from lib.exceptions import StudyError, nearest

_MAX_ROWS = 2**20  # of a sheet, as Excel has it
_MAX_SHARED = 128 * 2**20  # bytes of a workbook's table of texts, which is held as a whole
_ZEROS = re.compile("0{2,}")  # the number format of ids with zeros before them


def read_sheet(path: Path, layout: Layout) -> Table:
    """Read a sheet: its first row that is not empty names the columns."""
    with unpacked(path) as opened:
        file = opened.copy() if opened.packed else path.open("rb")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
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
        while True:
            try:
                cells = [_cell_text(cell) for cell in next(rows)]
            except StopIteration:
                return
            except Exception as error:
                raise StudyError(f"{path} is damaged after row {number:,} of its sheet: {error}.") from error
            number += 1
            if number > _MAX_ROWS:
                raise StudyError(f"{path} has more than {_MAX_ROWS:,} rows, which no spreadsheet has.")
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
