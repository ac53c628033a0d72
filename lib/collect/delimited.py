"""CSV and TSV as programs write them, and how a text of which nothing is said seems to hold a table."""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain, islice, product
from pathlib import Path
from typing import Any

from lib.collect.layout import DELIMITERS, MAX_LINE, Format, Layout, Row, Table, text_encoding, wrong_encoding
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


def core(names: list[str]) -> list[str]:
    """Return the names of columns without those at the end that are blank."""
    return names[: max((n for n, name in enumerate(names, 1) if name), default=0)]


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
    layout = replace(layout, delimiter=delimiter)
    reader = _reader(chain([first], lines), layout)
    names, problem = next(_parsed(reader), ([], ""))
    if problem:
        problem = f"line {skipped + 1}, which should name the columns, cannot be read: {problem}."
        raise StudyError(f"{path}: {problem} {hint(path, layout)}".strip())
    if not core(names := [name.strip() for name in names]):
        raise StudyError(f"{path}: line {skipped + 1} should name the columns, and is blank.")
    return Table(core(names), _rows(path, reader, names, layout, skipped))


def _rows(path: Path, reader: Any, names: list[str], layout: Layout, skipped: int) -> Iterator[Row | Reject]:
    """Yield rows in which an empty cell is None: CSV has no other way to say that there is nothing.

    Of a bad row each line is rejected: a quote that is not closed swallows rows, which should all count.
    """
    remedy, last = None, skipped + reader.line_num
    for cells, problem in _parsed(reader):
        first, last = last + 1, skipped + reader.line_num
        if cells and not _fit(cells, names):
            problem = f"expected {len(names)} fields, got {len(cells)}"
        if problem:
            remedy = _remedy(path, layout, "quoting", "escape") if remedy is None else remedy
            swallowed = f" in the row of lines {first} to {last}; is a quote not closed?" if last > first else ""
            problem += (swallowed or "." * bool(remedy)) + f" {remedy}".rstrip()
            yield from (Reject(None, INVALID, f"line {n}: {problem}") for n in range(first, last + 1))
        elif cells:
            yield Row(f"line {first}", {name: cell or None for name, cell in zip(names, cells, strict=False)})


def _reader(lines: Iterable[str], layout: Layout) -> Any:
    delimiter = layout.delimiter or ","
    if layout.escape == "\\":  # where MySQL writes these, it means nothing
        null = re.compile(rf"(?:^|(?<={re.escape(delimiter)}))\\N(?=[{re.escape(delimiter)}\r\n]|$)")
        lines = (null.sub("", line) for line in lines)
    return csv.reader(
        lines,
        delimiter=delimiter,
        quoting=csv.QUOTE_NONE if layout.quoting else csv.QUOTE_MINIMAL,
        escapechar=layout.escape,
        skipinitialspace=delimiter != " ",
        strict=True,
    )


def _parsed(reader: Any) -> Iterator[tuple[list[str], str]]:
    """Yield the cells of each row, or none and what is wrong."""
    while True:
        try:
            cells, problem = next(reader), ""
        except StopIteration:
            return
        except csv.Error as error:
            cells, problem = [], str(error)
        yield cells, problem


def _fit(cells: list[str], names: list[str]) -> bool:
    """Whether a row has a cell for each name; it may have more only if they are empty."""
    return len(cells) == len(names) or (len(cells) >= len(core(names)) and not any(cells[len(names) :]))


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


def told_by_content(path: Path, layout: Layout, told: Format | None) -> Layout:
    """Settle what text is that neither its bytes nor, for sure, its name tell."""
    if layout.delimiter:
        return replace(layout, format=told if told in DELIMITERS else "csv")
    if told in DELIMITERS:  # a comma is not taken for another mark, but a table of tabs is one, whatever its name
        names = "".join(first_lines(path, layout.encoding)[layout.skip_lines :][:1])
        has = [form for form, delimiter in DELIMITERS.items() if delimiter in names]
        return replace(layout, format=has[0] if len(has) == 1 else told)
    seen, columns = look(path, layout.encoding)
    fits = columns > 1 or not told
    return replace(layout, format=seen.format, delimiter=seen.delimiter) if fits else replace(layout, format=told)


def look(path: Path, encoding: str | None = None) -> tuple[Layout, int]:
    """Tell how a text holds a table, and how many columns it then has.

    That is the way in which most of its first rows have a cell for each name.
    """
    lines = first_lines(path, encoding)
    said = _SEPARATOR.fullmatch(lines[0]) if lines else None
    delimiters, before = (said[1], 1) if said else (_DELIMITERS, 0)
    skips = range(before, min(_MAX_SKIPPED + 1, len(lines)))
    skip = next((skip for skip in skips if _best(lines[skip:_TRIED], delimiters)[0] >= _ENOUGH), before)
    _, way, columns = _best(lines[skip:], delimiters)
    form: Format = "tsv" if way.delimiter == "\t" else "csv"
    usual = skip == 1 if said else way.delimiter in DELIMITERS.values()  # needs not be said
    skipped = 0 if said and usual else skip
    delimiter = None if usual else way.delimiter
    return replace(way, format=form, encoding=encoding, delimiter=delimiter, skip_lines=skipped), columns


def _best(lines: list[str], delimiters: str) -> tuple[float, Layout, int]:
    """Try all ways to read lines: return the share of rows that fit, the best way, and how many columns it gives.

    Of those that fit nearly all rows, the one with most columns is best, and then what is usual.
    """
    found = []
    for (quoting, escape), delimiter in product(_WAYS, delimiters):
        way = Layout(delimiter=delimiter, quoting=quoting, escape=escape)
        (names, _), *others = [*_parsed(_reader(lines, way))] or [([], "")]
        fits = [not problem and _fit(cells, names) for cells, problem in others if cells or problem]
        columns = sum(bool(name.strip()) for name in names)
        share = sum(fits) / len(fits) if fits else _ENOUGH / 2
        found.append((share if columns > 1 else 0.0, way, columns))
    return max(found, key=lambda tried: (min(tried[0], _ENOUGH), tried[0] * (tried[2] - 1)))


def hint(path: Path, layout: Layout) -> str:
    """Say with which keys a file could be read, if they are others than those that were used."""
    remedy = _remedy(path, layout, "delimiter", "quoting", "escape", "skip_lines")
    return f"Its line 1 is {first_lines(path, layout.encoding)[0].strip()[:_SHOWN]!r}. {remedy}." if remedy else ""


def _remedy(path: Path, layout: Layout, *keys: str) -> str:
    usual = {"quoting": '"'}
    used, seen = usual | layout.as_keys(), usual | look(path, layout.encoding)[0].as_keys()
    other = {key: seen[key] for key in keys if key in seen and seen[key] != used.get(key)}
    shown = {key: value if str(value).isalnum() else json.dumps(value) for key, value in other.items()}
    return f"With {', '.join(f'`{key}: {value}`' for key, value in shown.items())} it could be read" if other else ""


def first_lines(path: Path, encoding: str | None) -> list[str]:
    """Return the first lines, without the last one if it is cut."""
    with unpacked(path) as opened:
        head = opened.head
    text = head.decode(text_encoding(head, encoding), "replace")
    lines = list(io.StringIO(text, newline=""))
    return lines[:-1] if len(head) == HEAD and len(lines) > 1 else lines
