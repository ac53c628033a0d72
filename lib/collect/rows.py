"""Readers of a table's file (CSV, TSV, JSON lines, Parquet), a row at a time, whatever its size."""

import codecs
import csv
import gzip
import io
import itertools
import json
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import IO, Annotated, Any, AnyStr, Literal, NamedTuple, get_args

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import AfterValidator
from tqdm import tqdm

from lib.config.base import INVALID, PROGRESS_SECONDS, Reject
from lib.crawl.products import load_json
from lib.exceptions import StudyError, nearest

Format = Literal["csv", "tsv", "jsonl", "parquet"]

_SUFFIXES = {".tab": ".tsv", ".ndjson": ".jsonl", ".pq": ".parquet"}  # other ends of names
_GZIP = b"\x1f\x8b"
_MAX_LINE = 16 * 2**20  # characters or bytes; a longer line is no product
_BROKEN_PARQUET = (pa.ArrowException, OSError, UnicodeDecodeError)
_BATCH = 1024  # rows of Parquet that are held at once
_UNDECODED = re.compile("[\udc80-\udcff]")  # what surrogateescape makes of bytes that are no text

# Where the files of a source are


def _inside(name: str) -> str:
    if PurePath(name).is_absolute() or ".." in PurePath(name).parts:
        raise ValueError(f"expected a name below the catalogue's source folder. Got '{name}' instead")
    return name


Inside = Annotated[str, AfterValidator(_inside)]
"""A name below the source folder, which is all that DVC watches for changes."""


def present(path: Path) -> Path:
    """Return `path`, or raise a `StudyError` that names the file or folder beside it which is nearest."""
    if path.exists():
        return path
    if path.parent.is_file():
        raise StudyError(f"{path.parent} is a file; the source of a catalogue is the folder that holds its files.")
    beside = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
    raise StudyError(
        f"{path} is missing.{nearest(path.name, beside)} The catalogue's file names it below the source folder; "
        "`make data` brings the files of the real catalogue."
    )


# Tables


@dataclass(frozen=True)
class Layout:
    """How a file holds its rows. The encoding and the delimiter are those of CSV and TSV; None stands for the usual."""

    format: Format
    encoding: str | None = None
    delimiter: str | None = None


class Row(NamedTuple):
    """One row, and its place in the file for messages, if it has one."""

    where: str
    values: dict[str, Any]


class Table(NamedTuple):
    """The rows of a file; `fields` are its columns, or None where only the rows tell what they have."""

    fields: list[str] | None
    rows: Iterator[Row | Reject]


def guess_format(file: str) -> Format | None:
    """Tell a file's format from the end of its name.

    >>> guess_format("products.CSV.gz"), guess_format("products.xlsx")
    ('csv', None)
    """
    suffix = Path(file.lower().removesuffix(".gz")).suffix
    formats: dict[str, Format] = {f".{name}": name for name in get_args(Format)}
    return formats.get(_SUFFIXES.get(suffix, suffix))


def read_rows(path: Path, layout: Layout, wanted: set[str]) -> Table:
    """Open a table's file. What is in it and is no row comes as a reject.

    Parameters
    ----------
    path
        The file; text may be compressed by gzip.
    layout
        Its format, and how CSV is written.
    wanted
        The columns that are needed; others of a Parquet file are not read.

    Raises
    ------
    StudyError
        If the file is missing, empty, damaged, or not of this format or encoding; some of it only as rows are read.
    """
    if present(path).is_dir():
        raise StudyError(f"{path} is a folder; a file was expected.")
    if not path.stat().st_size:
        raise StudyError(f"{path} is empty.")
    if layout.format == "parquet":
        return _read_parquet(path, wanted)
    if layout.format == "jsonl":
        return Table(None, _json_rows(path))
    return _read_csv(path, layout, wanted)


def _lines(path: Path, read: Callable[[IO[bytes]], IO[AnyStr]]) -> Iterator[AnyStr]:
    """Yield the lines of a file that may be compressed."""
    size = path.stat().st_size
    with (
        path.open("rb") as file,
        tqdm(total=size, desc=path.name, unit="B", unit_scale=True, mininterval=PROGRESS_SECONDS) as bar,
    ):
        unpacked = gzip.GzipFile(fileobj=file) if file.peek(2).startswith(_GZIP) else file
        try:
            lines = read(io.BufferedReader(unpacked))
            for number in itertools.count(1):
                if not (line := lines.readline(_MAX_LINE)):
                    break
                if len(line) == _MAX_LINE:
                    raise StudyError(f"{path}: line {number} is longer than {_MAX_LINE:,} characters.")
                bar.update(file.tell() - bar.n)
                yield line
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise StudyError(f"{path} is truncated or damaged: {error}.") from error


# JSON lines


def _json_rows(path: Path) -> Iterator[Row | Reject]:
    for number, line in enumerate(_lines(path, lambda file: file), 1):
        if not line.strip():
            continue
        try:
            row = load_json(line.decode(json.detect_encoding(line), "surrogatepass"))  # as json.loads does
            if not isinstance(row, dict):
                raise ValueError(f"expected an object, got {type(row).__name__}")
        except ValueError as error:
            yield Reject(None, INVALID, f"line {number}: {error}")
            continue
        yield Row(f"line {number}", row)


# CSV and TSV


def _read_csv(path: Path, layout: Layout, wanted: set[str]) -> Table:
    """Read the line of names; the rows follow from the same reader."""
    delimiter = layout.delimiter or ("\t" if layout.format == "tsv" else ",")
    csv.field_size_limit(_MAX_LINE)
    reader = csv.reader(_decoded(path, layout.encoding), delimiter=delimiter, strict=True)
    try:
        names = [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        raise StudyError(f"{path}: line 1, which should name the columns, cannot be read: {error}.") from error
    if not any(names):
        raise StudyError(f"{path}: line 1 should name the columns, and is blank.")
    _refuse_repeats(path, names, wanted)
    return Table(names, _csv_rows(reader, names))


def _csv_rows(reader: Any, names: list[str]) -> Iterator[Row | Reject]:
    """Yield rows in which an empty cell is None: CSV has no other way to say that there is nothing.

    Of a bad row each line is rejected: a quote that is not closed swallows rows, which should all count.
    """
    while True:
        first, problem = reader.line_num + 1, ""
        cells: list[str] | None = []
        try:
            cells = next(reader, None)
        except csv.Error as error:
            problem = str(error)
        if cells is None:
            return
        if cells and len(cells) != len(names):
            problem = f"expected {len(names)} fields, got {len(cells)}"
        if problem and reader.line_num > first:
            problem += f" in the row of lines {first} to {reader.line_num}; is a quote not closed?"
        if problem:
            yield from (Reject(None, INVALID, f"line {n}: {problem}") for n in range(first, reader.line_num + 1))
        elif cells:
            yield Row(f"line {first}", {name: cell or None for name, cell in zip(names, cells, strict=True)})


def _decoded(path: Path, encoding: str | None) -> Iterator[str]:
    """Yield lines of text. A table of another encoding than was said is all wrong, even where it looks right."""
    used, number = [""], 0

    def read(file: IO[bytes]) -> IO[str]:
        start: bytes = file.peek(2)[:2]  # type: ignore[attr-defined]
        marked = encoding is None and start in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
        name = "utf-16" if marked else codecs.lookup(encoding or "utf-8").name
        used[0] = "utf-8-sig" if name == "utf-8" else name  # as a spreadsheet writes it, with a mark at the beginning
        return io.TextIOWrapper(file, used[0], errors="surrogateescape", newline="")

    try:
        for number, line in enumerate(_lines(path, read), 1):
            if bad := _UNDECODED.search(line):
                place = len(line[: bad.start()].encode(used[0].removesuffix("-sig"), "surrogateescape")) + 1
                raise _wrong_encoding(path, used[0], f"byte {place} of line {number} is 0x{ord(bad[0]) & 0xFF:02x}")
            yield line
    except UnicodeError as error:
        problem = f"after line {number}, {getattr(error, 'reason', error)}"
        raise _wrong_encoding(path, used[0], problem) from error


def _wrong_encoding(path: Path, encoding: str, problem: str) -> StudyError:
    name = encoding.removesuffix("-sig")
    return StudyError(f"{path} is not {name}: {problem}. Name its encoding in the catalogue's file, such as cp1252.")


# Parquet


def _read_parquet(path: Path, wanted: set[str]) -> Table:
    try:
        file = pq.ParquetFile(path)
        names, leaves = file.schema_arrow.names, list(_leaves(file.schema_arrow))
    except _BROKEN_PARQUET as error:
        raise StudyError(f"{path} is damaged, or not a Parquet file: {error}") from error
    needed = {name if name in names else name.partition(".")[0] for name in wanted}
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
