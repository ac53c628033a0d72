"""The first rows of a table of which nothing is known, and what its columns hold."""

import html
import itertools
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from lib.collect.cells import get, opened, text_of
from lib.collect.mapping import TableMapping
from lib.collect.paths import folded
from lib.collect.rows import Layout, Row, read_rows, sniff
from lib.exceptions import StudyError

ROWS = 10_000
"""So many rows are looked at; all are read when the table is collected."""

MISSING = {folded(text) for text in TableMapping.model_fields["missing"].default}


class Unrecognised(StudyError):
    """A table in which something that a catalogue needs could not be found."""


@dataclass(frozen=True)
class Column:
    """What a column holds, in text; None where a row has nothing."""

    name: str
    texts: list[str | None]

    @cached_property
    def held(self) -> list[str]:
        """The texts that there are."""
        return [text for text in self.texts if text is not None]

    @cached_property
    def filled(self) -> float:
        """How many of its cells hold something, as a share."""
        return len(self.held) / max(len(self.texts), 1)

    @cached_property
    def distinct(self) -> int:
        """How many different texts there are."""
        return len(set(self.held))

    @cached_property
    def unique(self) -> float:
        """How many of its texts are different, as a share."""
        return self.distinct / max(len(self.held), 1)

    @cached_property
    def length(self) -> float:
        """Characters of a text, on average."""
        return sum(map(len, self.held)) / max(len(self.held), 1)

    def share(self, holds: Callable[[str], Any]) -> float:
        """Return for how many of its texts something holds, as a share."""
        return sum(1 for text in self.held if holds(text)) / max(len(self.held), 1)

    @property
    def told(self) -> str:
        """What a person wants to know of it."""
        return f"filled in {self.filled:.0%} of products, {self.distinct:,} different ones"


def tokens(name: str) -> tuple[str, ...]:
    """Return the words of a column's name, without case, accents and marks.

    >>> tokens("Body (HTML)"), tokens("productDisplayName"), tokens("g:Catégorie_1"), tokens("brand.name")
    (('body', 'html'), ('product', 'display', 'name'), ('categorie', '1'), ('brand',))
    """
    name = re.sub(r"^g:", "", name)
    name = re.sub(r"(?<=.)\.(name|value|text|content)$|\[0\]", "", name)
    name = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[a-z])(?=\d)", " ", name)
    plain = "".join(c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c))
    return tuple(re.findall(r"\w+", plain.casefold().replace("_", " ").replace("ß", "ss")))


def joined(name: str) -> str:
    """Return a column's name so that it can be compared with others."""
    return "".join(tokens(name))


def _leaves(node: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """List the names of columns that a row has, those within objects and within the first object of a list too."""
    for key, value in node.items():
        yield prefix + key
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            yield from (f"{prefix}{key}[0].{inner}" for inner in value[0])


@dataclass
class Feed:
    """The first rows of a table.

    Attributes
    ----------
    path
        Its file.
    layout
        How that holds its rows.
    read_rows
        At most `ROWS`, as they were read.
    rows
        Those that are products; later one for each product.
    names
        The columns' names.
    bad
        Rows that could not be read.
    whole
        Whether these are all rows.
    language
        The beginning of the tag that most rows have in lists of texts by language, if there are several.
    """

    path: Path
    layout: Layout
    read_rows: list[Row]
    rows: list[dict[str, Any]]
    names: list[str]
    bad: int
    whole: bool
    language: str | None

    @classmethod
    def read(cls, path: Path) -> "Feed":
        """Read the first rows of a file of which nothing is known."""
        layout = sniff(path)
        named = read_rows(path, layout, set()).fields
        items = list(itertools.islice(read_rows(path, layout, set(named or ())).rows, ROWS + 1))
        found = [item for item in items[:ROWS] if isinstance(item, Row)]
        rows = [row.values for row in found]
        if not rows:
            raise Unrecognised(f"{path} has no row that can be read. It was read as {told(layout)}.")
        counts = Counter(name for row in rows for name in dict.fromkeys(_leaves(row)))
        twice = {name for name in counts if ":" in name and name.split(":")[-1] in counts}  # as XML has them
        names = [name for name, count in counts.items() if count >= len(rows) / 100 and name not in twice]
        bad, whole = len(items[:ROWS]) - len(rows), len(items) <= ROWS
        return cls(path, layout, found, rows, names, bad, whole, _language(rows))

    def column(self, name: str) -> Column:
        """Return what a column holds."""
        return Column(name, [self.text(row, name) for row in self.rows])

    def cell(self, row: dict[str, Any], name: str) -> Any:
        """Return what a row has in a column; None if there is no way to it."""
        with suppress(ValueError):
            return get(row, name)
        return None

    def text(self, row: dict[str, Any], name: str) -> str | None:
        """Return what a row has in a column; None if that is no text, or says nothing."""
        value = self.cell(row, name)
        try:
            text = text_of(value, name, self.language)
        except ValueError:
            text = "\n".join(strings_of(value)) if isinstance(value, list) else None  # a list of lists
        return text.strip() if text and text.strip() and folded(text) not in MISSING else None

    def merge(self, key: str) -> None:
        """Make one row of those with the same id: for each column the first that is not blank."""
        merged: dict[str, dict[str, Any]] = {}
        for row in self.rows:
            if (found := self.text(row, key)) is not None:
                of = merged.setdefault(found, {})
                of.update({name: value for name, value in row.items() if of.get(name) in (None, "", [])})
        self.rows = list(merged.values())


def told(layout: Layout) -> str:
    """Say how a file is read.

    >>> told(Layout("csv", "cp1252", ";"))
    "csv, encoding 'cp1252', delimiter ';'"
    """
    keys = layout.as_keys()
    return ", ".join([str(keys.pop("format")), *(f"{key} {value!r}" for key, value in keys.items())])


def _language(rows: list[dict[str, Any]]) -> str | None:
    lists = (value for row in rows for value in row.values() if isinstance(value, list))
    tags = Counter(
        tag
        for value in lists
        for tag in {
            re.split("[_-]", str(member["language_tag"]))[0]
            for member in value
            if isinstance(member, dict) and "language_tag" in member
        }
    )
    return max(tags, key=lambda tag: (tags[tag], tag == "en")) if len(tags) > 1 else None


def strings_of(value: Any) -> list[str]:
    """Return the texts that a cell holds, whatever it is."""
    value = opened(value)
    if isinstance(value, list | tuple):
        return [text for member in value for text in strings_of(member)]
    with suppress(ValueError):
        text = html.unescape(text_of(value, None) or "").strip()
        return [text] if text and folded(text) not in MISSING else []
    return []
