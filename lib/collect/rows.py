"""Readers of a table's file, a row at a time, whatever its format and size; and what an unknown file seems to hold.

unpacking (bytes) | layout (formats, encodings) | delimited, json_text, feeds, sheets | rows (Parquet, and all of them)
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from lib.collect.delimited import first_lines, look, read_csv, reads_better
from lib.collect.feeds import read_xml
from lib.collect.json_text import lists_in, load_literal, read_json, read_json_lines
from lib.collect.layout import (
    DELIMITERS,
    FileKeys,
    Format,
    Inside,
    Layout,
    Row,
    Table,
    guess_format,
    sniff_encoding,
    tell_format,
)
from lib.collect.sheets import read_sheet
from lib.collect.unpacking import present, unpacked
from lib.config.base import PROGRESS_SECONDS, Reject
from lib.exceptions import StudyError

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
    lists = lists_in(path) if told == "json" else []
    return Layout(told, sheet=lists[0] if len(lists) > 1 else None)


def _read(path: Path, layout: Layout, wanted: set[str]) -> Table:
    """Read a file of a format that is known."""
    if layout.format == "parquet":
        return _read_parquet(path, wanted)
    if layout.format in _WITHOUT_NAMES:
        return Table(None, _WITHOUT_NAMES[layout.format](path, layout))
    table = read_sheet(path, layout) if layout.format == "xlsx" else read_csv(path, layout)
    names = table.fields or []
    _refuse_repeats(path, names, wanted)
    if layout.format != "xlsx" and wanted - set(names):
        table = table._replace(hint=reads_better(path, layout).strip())
    return table


_WITHOUT_NAMES: dict[Format, Callable[[Path, Layout], Iterator[Row | Reject]]] = {
    "json": read_json,
    "jsonl": read_json_lines,
    "xml": read_xml,
}
"""Formats in which each row has its own fields."""


def _told_by_content(path: Path, layout: Layout, told: Format | None) -> Layout:
    """Settle what text is that neither its bytes nor, for sure, its name tell."""
    if layout.delimiter:
        return replace(layout, format=told if told in DELIMITERS else "csv")
    if told in DELIMITERS:  # a comma is not taken for another mark, but a table of tabs is one, whatever its name
        names = "".join(first_lines(path, layout.encoding)[layout.skip_lines :][:1])
        has = [form for form, delimiter in DELIMITERS.items() if delimiter in names]
        return replace(layout, format=has[0] if len(has) == 1 else told)
    seen, columns = look(path, layout.encoding)
    if told and columns < 2:
        return replace(layout, format=told)
    return replace(layout, format=seen.format, delimiter=seen.delimiter)


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


# Parquet


def _read_parquet(path: Path, wanted: set[str]) -> Table:
    try:
        with unpacked(path) as opened:
            file = pq.ParquetFile(opened.copy() if opened.packed else path)
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
