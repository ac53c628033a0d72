"""New products as they come: a table's rows, cleaned as the study's own, some at a time."""

import itertools
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from lib.clean.clean import clean_text, fold
from lib.clean.masking import Masker
from lib.collect.mapping import Columns, TableMapping, fields, to_product
from lib.collect.rows import Layout, Row, guess_format, read_rows
from lib.config.base import REPEATED_ID, Record, Reject
from lib.exceptions import StudyError, nearest
from lib.models.inputs import Products
from lib.tagging.columns import Usual, find_columns, looked_for
from lib.tagging.tagger import Tagger

_PEEKED = 1000  # rows of JSON lines whose fields are taken for the table's columns
_NO_CATEGORY = "\0"  # new products have no category; no table has a column of this name


class Wanted(NamedTuple):
    """How a table is to be read.

    Attributes
    ----------
    layout : Layout
    needed : list of str
        Fields that must have a column.
    said : mapping
        Field -> column, as the user says.
    usual : Usual
        The same, as the catalogue's file says.
    by_name : bool
        Whether a photo's name is made of the product's id, as the catalogue's file says.
    each_row : bool
        Whether something else goes by the number of the row, so that none may be lost.
    """

    layout: Layout
    needed: list[str]
    said: Mapping[str, str]
    usual: Usual
    by_name: bool = False
    each_row: bool = False


class Chunk(NamedTuple):
    """Some rows of a table.

    Attributes
    ----------
    ids : list of str
    products : Products
        Without photos yet.
    photos : list of str or None
        The name of each photo.
    places : list of int
        The number of each product's row, from 0, rows that are rejected counted.
    rejects : list of Reject
        What else was among these rows.
    """

    ids: list[str]
    products: Products
    photos: list[str | None]
    places: list[int]
    rejects: list[Reject]


class Cleaner:
    """From a product's record to the text and the brand that the tagger reads, cleaned as the study's are."""

    def __init__(self, tagger: Tagger) -> None:
        self.about = tagger.about
        self._masker = Masker(itertools.chain(*tagger.levels)) if self.about.text == "masked" else None

    def brand(self, brand: str | None) -> str:
        """Clean a brand."""
        return clean_text(brand or "")

    def text(self, texts: Mapping[str, str | None]) -> str:
        """Join and clean a product's `title` and `description`, or that of them which the tagger reads."""
        title = ["title"] if self.about.text == "titled" else []
        text = fold(" ".join(clean_text(texts.get(field) or "") for field in [*title, *self.about.text_from]))
        return self._masker.mask(text) if self._masker else text


def layout_of(table: Path, encoding: str | None = None, delimiter: str | None = None) -> Layout:
    """Tell from its name how a table holds its rows.

    Raises
    ------
    StudyError
        If there is no such file, or its name does not tell.
    """
    if not table.is_file():
        beside = [path.name for path in table.parent.iterdir()] if table.parent.is_dir() else []
        raise StudyError(f"There is no table {table}.{nearest(table.name, beside)}")
    form = guess_format(table.name)
    if form is None:
        raise StudyError(
            f"{table}: expected a name that ends in .csv, .tsv, .jsonl or .parquet (or .csv.gz and so on)."
        )
    return Layout(form, encoding, delimiter)


def read_chunks(table: Path, wanted: Wanted, tagger: Tagger, size: int) -> Iterator[Chunk]:
    """Yield a table's products, `size` rows at a time. Nothing but the ids is kept of rows that are through.

    Raises
    ------
    StudyError
        If the table is damaged, or lacks a column; see also `Wanted.each_row`.
    """
    rows, mapping = _open(table, wanted)
    cleaner, seen = Cleaner(tagger), _Ids()
    numbered = enumerate(rows)
    while part := list(itertools.islice(numbered, size)):
        chunk = Chunk([], Products.of([], []), [], [], [])
        brands: list[str | None] = []
        texts: list[str] = []
        for place, row in part:
            if isinstance(row, Reject) and wanted.each_row:
                raise StudyError(f"{table}, {row.detail}. Features go by the number of the row, so none may be lost.")
            found = row if isinstance(row, Reject) else to_product(row, mapping)
            if isinstance(found, Reject):
                chunk.rejects.append(found)
            elif not seen.add(found.record.product_id):
                where = row.where if isinstance(row, Row) else ""
                chunk.rejects.append(Reject(found.record.product_id, REPEATED_ID, f"{where}: only the first is tagged"))
            else:
                chunk.ids.append(found.record.product_id)
                chunk.photos.append(found.image or None)
                chunk.places.append(place)
                brands.append(cleaner.brand(found.record.brand))
                texts.append(cleaner.text(_texts(found.record)))
        yield chunk._replace(products=Products.of(brands, texts))


def _texts(record: Record) -> dict[str, str | None]:
    return {"title": record.title, "description": record.description}


def _open(table: Path, wanted: Wanted) -> tuple[Iterator[Row | Reject], TableMapping]:
    """Open a table, and settle which columns hold what before any row is taken."""
    may_hold = {name for field in wanted.needed for name in looked_for(field, wanted.said, wanted.usual.columns)}
    opened = read_rows(table, wanted.layout, may_hold)
    rows, has = opened.rows, opened.fields
    if has is None:  # only the rows tell
        first = list(itertools.islice(rows, _PEEKED))
        rows = itertools.chain(first, rows)
        has = list(dict.fromkeys(name for row in first if isinstance(row, Row) for name in fields(row.values)))
        if not has:
            raise StudyError(f"{table} holds no product.")
    columns = find_columns(table, has, wanted.needed, wanted.said, wanted.usual.columns)
    product_id = columns.pop("product_id")
    image_name = wanted.usual.image_name if wanted.by_name else None
    mapped = Columns(id=product_id, category=_NO_CATEGORY, **columns)
    return rows, TableMapping(columns=mapped, image_name=image_name)


class _Ids:
    """The ids so far, in a temporary database that goes to disk as it grows: memory does not grow with the rows."""

    def __init__(self) -> None:
        self._base = sqlite3.connect("", isolation_level=None)
        self._base.executescript(
            "PRAGMA cache_size = -8192; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;"
            "CREATE TABLE ids (id TEXT PRIMARY KEY) WITHOUT ROWID; BEGIN;"
        )

    def add(self, product_id: str) -> bool:
        """Keep an id; say whether it is new."""
        return self._base.execute("INSERT OR IGNORE INTO ids VALUES (?)", (product_id,)).rowcount == 1
