"""CSV and TSV as programs write them: what a row's own lines say of how it should have been read is in the message."""

import csv
import io
import re
from collections.abc import Iterable, Iterator
from itertools import islice, product
from pathlib import Path
from typing import Any, NamedTuple

from lib.collect.layout import (
    DELIMITERS,
    MAX_LINE,
    Format,
    Layout,
    Row,
    Table,
    as_yaml,
    text_encoding,
    wrong_encoding,
)
from lib.collect.unpacking import HEAD, unpacked
from lib.config.base import INVALID, Reject
from lib.exceptions import StudyError

_UNDECODED = re.compile("[\udc80-\udcff]")  # what surrogateescape makes of bytes that are no text
_SEPARATOR = re.compile(r'"?sep=(.)"?\1*\s*', re.I)  # the line for Excel that comes before all others
_DELIMITERS = ",\t;|"  # which are tried where nobody says
_WAYS = ((None, None), (None, "\\"), ("none", None))  # quoting and escape, what is usual first
_MAX_SKIPPED = 20  # lines before the one of names that are tried
_SHOWN = 100  # characters of a line that a message quotes
_TRIED = 200  # lines on which that is tried
_ENOUGH = 0.9  # share of rows that fit, above which a way to read a file is taken for the right one


class _Dialect(NamedTuple):
    """What the `csv` module is told."""

    delimiter: str
    quoting: str | None = None
    escape: str | None = None
    spaced: bool = False  # blanks before a quote are skipped

    def reader(self, lines: Iterable[str]) -> Any:
        if self.escape == "\\":  # where MySQL writes these, it means nothing
            null = re.compile(rf"(?:^|(?<={re.escape(self.delimiter)}))\\N(?=[{re.escape(self.delimiter)}\r\n]|$)")
            lines = (null.sub("", line) for line in lines)
        return csv.reader(
            lines,
            delimiter=self.delimiter,
            quoting=csv.QUOTE_NONE if self.quoting else csv.QUOTE_MINIMAL,
            escapechar=self.escape,
            skipinitialspace=self.spaced,
            strict=True,
        )


class Names(NamedTuple):
    """The names of columns; those at the end that are blank are left out of `core`."""

    all: list[str]
    core: list[str]

    @classmethod
    def of(cls, cells: list[str]) -> "Names":
        """Make names of the cells of a line."""
        names = [cell.strip() for cell in cells]
        return cls(names, names[: max((n for n, name in enumerate(names, 1) if name), default=0)])

    def fit(self, cells: list[str]) -> bool:
        """Whether a row has a cell for each name; it may have more only if they are empty."""
        return len(cells) >= len(self.core) and not any(cells[len(self.all) :])


# Reading


def read_csv(path: Path, layout: Layout) -> Table:
    """Read the line of names; the rows follow from the same reader.

    Raises
    ------
    StudyError
        If the file cannot be read as `unpacked` says, is of another encoding, or has no line of names.
    """
    csv.field_size_limit(MAX_LINE)
    lines, skipped = _decoded(path, layout.encoding), layout.skip_lines
    first = next(islice(lines, skipped, None), "")
    if said := _SEPARATOR.fullmatch(first):
        first, skipped = next(lines, ""), skipped + 1
    delimiter = layout.delimiter or (said and said[1]) or DELIMITERS.get(layout.format or "csv", ",")
    dialect = _Dialect(delimiter, layout.quoting, layout.escape)
    dialect = _better(dialect, first_lines(path, layout.encoding)[skipped:])
    held: list[str] = []

    def kept() -> Iterator[str]:
        yield first
        for line in lines:
            held.append(line)
            yield line

    reader = dialect.reader(kept())
    try:
        names = Names.of(next(reader, []))
    except csv.Error as error:
        problem = f"line {skipped + 1}, which should name the columns, cannot be read: {error}."
        raise StudyError(f"{path}: {problem}{reads_better(path, layout)}") from error
    if not names.core:
        raise StudyError(f"{path}: line {skipped + 1} should name the columns, and is blank.")
    return Table(names.core, _rows(reader, held, names, dialect, skipped))


def _rows(reader: Any, held: list[str], names: Names, dialect: _Dialect, skipped: int) -> Iterator[Row | Reject]:
    """Yield rows in which an empty cell is None: CSV has no other way to say that there is nothing.

    Of a bad row each line is rejected: a quote that is not closed swallows rows, which should all count.
    """
    quoted, mark = False, re.compile(rf'(?:^|{re.escape(dialect.delimiter)}) *"')
    while True:
        held.clear()
        first, problem = skipped + reader.line_num + 1, ""
        cells: list[str] | None = []
        try:
            cells = next(reader, None)
        except csv.Error as error:
            problem = str(error)
        if cells is None:
            return
        last = skipped + reader.line_num
        if cells and not problem and not names.fit(cells):
            problem = f"expected {len(names.all)} fields, got {len(cells)}"
        remedy = _remedy(held, names, dialect, quoted) if problem else ""
        if problem and last > first:
            problem += f" in the row of lines {first} to {last}; is a quote not closed?"
        if problem:
            problem += ("" if problem.endswith("?") or not remedy else ".") + remedy
            yield from (Reject(None, INVALID, f"line {n}: {problem}") for n in range(first, last + 1))
        elif cells:
            quoted = quoted or any('"' in line and mark.search(line) for line in held)
            yield Row(f"line {first}", {name: cell or None for name, cell in zip(names.all, cells, strict=False)})


def _remedy(lines: list[str], names: Names, dialect: _Dialect, quoted: bool) -> str:
    """Name the options with which each of these lines is a row, unless rows before them need their quotes."""
    for quoting, escape in _WAYS:
        other = dialect._replace(quoting=quoting, escape=escape)
        rows = _parsed(lines, other) if other != dialect and not (quoted and quoting) else []
        if rows and all(row is not None and names.fit(row) for row in rows if row != []):
            changed = {"quoting": quoting or '"'} if quoting != dialect.quoting else {}
            changed |= {"escape": escape} if escape != dialect.escape and escape else {}
            return f" With {as_yaml(changed)} it could be read" if changed else ""
    return ""


def _decoded(path: Path, encoding: str | None) -> Iterator[str]:
    """Yield lines of text. A table of another encoding than was said is all wrong, even where it looks right."""
    number, used = 0, ""
    try:
        with unpacked(path, progress=True) as opened:
            used = text_encoding(opened.head, encoding)
            text = io.TextIOWrapper(opened.file, used, errors="surrogateescape", newline="")
            while line := text.readline(MAX_LINE):
                number += 1
                if len(line) == MAX_LINE:
                    raise StudyError(f"{path}: line {number} is longer than {MAX_LINE:,} characters.")
                if bad := _UNDECODED.search(line):
                    plain = used.removesuffix("-sig")
                    place = len(line[: bad.start()].encode(plain, "surrogateescape")) + 1
                    byte = f"0x{ord(bad[0]) & 0xFF:02x}"
                    raise wrong_encoding(path, used, f"byte {place} of line {number} is {byte}")
                yield line
    except UnicodeError as error:
        raise wrong_encoding(path, used, f"after line {number}, {getattr(error, 'reason', error)}") from error


# Looking at a file of which nothing is said


class Seen(NamedTuple):
    """How a file seems to hold a table, and how many columns it then has."""

    layout: Layout
    columns: int


def look(path: Path, encoding: str | None = None) -> Seen:
    """Tell how a text holds a table: the way in which most of its first rows have a cell for each name."""
    lines = first_lines(path, encoding)
    said = _SEPARATOR.fullmatch(lines[0]) if lines else None
    delimiters, before = (said[1], 1) if said else (_DELIMITERS, 0)
    skips = range(before, min(_MAX_SKIPPED + 1, len(lines)))
    skip = next((skip for skip in skips if _best(lines[skip:_TRIED], delimiters)[0] >= _ENOUGH), before)
    _, (delimiter, quoting, escape, _), columns = _best(lines[skip:], delimiters)
    usual = skip == 1 if said else delimiter in DELIMITERS.values()  # needs not be said
    form: Format = "tsv" if delimiter == "\t" else "csv"
    skipped = 0 if said and usual else skip
    return Seen(Layout(form, encoding, None if usual else delimiter, quoting, escape, skipped), columns)


def reads_better(path: Path, layout: Layout) -> str:
    """Say with which keys a file could be read, if they are others than those that were used."""
    lines, used = first_lines(path, layout.encoding), layout.as_keys()
    seen = look(path, layout.encoding).layout.as_keys()
    other = {key: value for key, value in seen.items() if key != "format" and used.get(key) != value}
    return f" Its line 1 is {lines[0].strip()[:_SHOWN]!r}. With {as_yaml(other)} it could be read." if other else ""


def _best(lines: list[str], delimiters: str) -> tuple[float, _Dialect, int]:
    """Try all ways to read lines: return the share of rows that fit, the best way, and how many columns it gives.

    Of those that fit nearly all rows, the one with most columns is best, and then what is usual.
    """
    found = []
    for (quoting, escape), delimiter in product(_WAYS, delimiters):
        dialect = _better(_Dialect(delimiter, quoting, escape), lines)
        columns, share = _fit(_parsed(lines, dialect))
        found.append((share if columns > 1 else 0.0, dialect, columns))
    return max(found, key=lambda way: (min(way[0], _ENOUGH), way[0] * (way[2] - 1)))


def _fit(rows: list[list[str] | None]) -> tuple[int, float]:
    """Return how many names the first of some rows has, and the share of the others that fit."""
    if not rows or not rows[0]:
        return 0, 0.0
    names = Names.of(rows[0])
    others = [row for row in rows[1:] if row != []]
    fit = sum(row is not None and names.fit(row) for row in others)
    return sum(map(bool, names.core)), fit / len(others) if others else _ENOUGH / 2


def _better(dialect: _Dialect, lines: list[str]) -> _Dialect:
    """Let blanks before quotes be skipped where some cell begins so, and no fewer rows fit then."""
    if dialect.quoting or not re.search(rf'{re.escape(dialect.delimiter)} +"', "".join(lines)):
        return dialect
    plain, spaced = _parsed(lines, dialect), _parsed(lines, dialect._replace(spaced=True))
    begins = any(re.match(' +"', cell) for row in plain for cell in row or ())
    return dialect._replace(spaced=True) if begins and _fit(spaced)[1] >= _fit(plain)[1] else dialect


def _parsed(lines: list[str], dialect: _Dialect) -> list[list[str] | None]:
    """Return the rows of some lines; None for one that cannot be read."""
    rows: list[list[str] | None] = []
    reader = dialect.reader(iter(lines))
    while True:
        try:
            rows.append(next(reader))
        except StopIteration:
            return rows
        except csv.Error:
            rows.append(None)


def first_lines(path: Path, encoding: str | None) -> list[str]:
    """Return the first lines, without the last one if it is cut."""
    with unpacked(path) as opened:
        head = opened.head
    text = head.decode(text_encoding(head, encoding), "replace")
    lines = list(io.StringIO(text, newline=""))
    return lines[:-1] if len(head) == HEAD and len(lines) > 1 else lines
