"""JSON, one text or a line for each row, and lines as Python writes its objects."""

import ast
import io
import json
import re
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from lib.collect.layout import MAX_LINE, Layout, Row, text_encoding, wrong_encoding
from lib.collect.unpacking import unpacked
from lib.config.base import INVALID, Reject
from lib.crawl.products import MAX_DATA_DEEP, load_json
from lib.exceptions import StudyError

_PYTHON = re.compile(
    r"""[uU]?('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|\b(?:None|True|False|nan)\b|,(?=\s*[\])}])|[()]""", re.S
)
_AS_JSON = {"None": "null", "True": "true", "False": "false", "nan": "NaN", "(": "[", ")": "]", ",": ""}


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


def read_json_lines(path: Path, layout: Layout) -> Iterator[Row | Reject]:
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
                text = line.decode(layout.encoding or json.detect_encoding(line), "surrogatepass")  # as json.loads does
                row = load_literal(text) if re.match(r"\s*\{\s*u?'", text) else load_json(text)
                if not isinstance(row, dict):
                    raise ValueError(f"expected an object, got {type(row).__name__}")
            except ValueError as error:
                yield Reject(None, INVALID, f"line {number}: {error}")
                continue
            yield Row(f"line {number}", row)


def read_json(path: Path, layout: Layout) -> Iterator[Row | Reject]:
    """Yield the objects of a JSON text: those of its one list, wherever that is, or one after the other."""
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


def lists_in(path: Path) -> list[str]:
    """Return the names of the lists of objects in a JSON text, all of which is read; the longest list comes first."""
    return [name for name, _ in Counter(name for name, _, _ in _json_values(path, Layout())).most_common()]


def _json_values(path: Path, layout: Layout) -> Iterator[tuple[str, int, Any]]:
    """Yield what is in the lists of objects in a JSON text: the list's dotted name, the line, and a value."""
    with unpacked(path, progress=True) as opened:
        used = text_encoding(opened.head, layout.encoding)
        text = _Json(path, io.TextIOWrapper(opened.file, used, errors="strict"))
        try:
            yield from text.values()
        except UnicodeError as error:
            raise wrong_encoding(path, used, f"after line {text.line}, {getattr(error, 'reason', error)}") from error


class _Json:
    """A JSON text of any length, of which one value is held at a time."""

    def __init__(self, path: Path, file: IO[str]) -> None:
        self.line = 1
        self._path, self._file = path, file
        self._text, self._at, self._ended = "", 0, False
        self._decoder = json.JSONDecoder()

    def values(self) -> Iterator[tuple[str, int, Any]]:
        """Yield the list, line and value of all that stands in a list of objects, or of objects in a row."""
        if self._one_by_one():
            while self._next() == "{":
                yield "", self.line, self._value()
        elif self._next() in ("[", "{"):
            yield from self._walk("")
        if self._next():
            raise self._broken("expected one list or object")

    def _one_by_one(self) -> bool:
        """Whether one object follows the other, as far as is held."""
        self._next()
        try:
            _, end = self._decoder.raw_decode(self._text, self._at)
        except (ValueError, RecursionError):
            return False
        return self._text[end:].lstrip()[:1] == "{"

    def _walk(self, name: str) -> Iterator[tuple[str, int, Any]]:
        """Go through a list or object; a list is of rows if it is all there is, or begins with an object."""
        opening, closing = ("[", "]") if self._next() == "[" else ("{", "}")
        self._take(opening)
        rows = opening == "[" and (not name or self._next() == "{")
        while self._next() != closing:
            inner, line = name, self.line
            if opening == "{":
                inner = f"{name}.{self._value()}".removeprefix(".")
                self._take(":")
            if opening == "{" and self._next() in ("[", "{") and inner.count(".") < MAX_DATA_DEEP:
                yield from self._walk(inner)
            else:
                value = self._value()
                if rows:
                    yield inner, line, value
            if self._next() != closing:
                self._take(",")
        self._take(closing)

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

    def _take(self, expected: str) -> None:
        if self._next() != expected:
            raise self._broken(f"expected {expected}")
        self._move(self._at + 1)

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
