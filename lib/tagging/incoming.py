"""New products as they come: which columns of a table hold what, and its rows, cleaned as the study's own.

A field's column is the user's word, what the catalogue's file says, or a plain name.
"""

import itertools
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from lib import config
from lib.clean.masking import Masker
from lib.clean.texts import clean_text, fold
from lib.collect.mapping import Columns, TableMapping, fields, to_product
from lib.collect.rows import Layout, Row, guess_format, read_rows
from lib.collect.table import TableSource
from lib.config.base import REPEATED_ID, Reject
from lib.exceptions import StudyError, nearest
from lib.models.inputs import Products
from lib.tagging.tagger import Tagger

PLAIN = {
    "product_id": ("product_id", "id"),
    "brand": ("brand",),
    "title": ("title",),
    "description": ("description",),
    "image": ("image",),
}
"""What a product may have, and the columns that are looked for where nobody says more."""

_SHOWN = 40  # columns of a table that a message lists
_PEEKED = 1000  # rows of JSON lines whose fields are taken for the table's columns
_NO_CATEGORY = "\0"  # new products have no category; no table has a column of this name


class Wanted(NamedTuple):
    """How a table is to be read.

    Attributes
    ----------
    layout : Layout
    columns : mapping
        Field that must have a column -> the columns that may hold it, the best first.
    image_name : str or None
        How a photo's name is made of the product's id, if it is.
    each_row : bool
        Whether something else goes by the number of the row, so that none may be lost.
    """

    layout: Layout
    columns: Mapping[str, Sequence[str]]
    image_name: str | None = None
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


# Columns


class Usual(NamedTuple):
    """What a catalogue's file says: a column of each field, and how a photo's name is made of a product's id."""

    columns: Mapping[str, str] = {}
    image_name: str | None = None


def usual_columns(catalogue: str) -> Usual:
    """Return what `catalogues/NAME.yaml` says of columns; nothing where it is no table, or there is no such file."""
    if not (config.root() / "catalogues" / f"{catalogue}.yaml").is_file():
        return Usual()
    if config.load_catalogue(catalogue).kind != "table":
        return Usual()
    source = config.load_section(catalogue, TableSource)
    named = {"product_id" if key == "id" else key: name for key, name in source.columns.model_dump().items() if name}
    return Usual({key: name for key, name in named.items() if key in PLAIN}, source.image_name)


def parse_columns(pairs: Iterable[str]) -> dict[str, str]:
    """Read a user's `FIELD=COLUMN`.

    Raises
    ------
    StudyError
        If that is not its form, or there is no such field.

    >>> parse_columns(["brand=maker"])
    {'brand': 'maker'}
    """
    found = {}
    for pair in pairs:
        field, equals, column = pair.partition("=")
        if not equals or not column:
            raise StudyError(f"--column expects FIELD=COLUMN, such as brand=maker. Got '{pair}'.")
        check_field(field)
        found[field] = column
    return found


def check_field(field: str) -> str:
    """Return the name of a field, or raise a `StudyError` that names the nearest one."""
    if field not in PLAIN:
        raise StudyError(f"There is no field '{field}'. Products have {', '.join(PLAIN)}.{nearest(field, PLAIN)}")
    return field


def needed_fields(tagger: Tagger, photos: bool, without: Collection[str] = ()) -> list[str]:
    """List what a tagger must be given of each product.

    Parameters
    ----------
    photos
        Whether photos are looked up by a name that the table holds.
    without
        Fields that the products are known to lack.
    """
    about, inputs = tagger.about, tagger.inputs
    texts = (["title"] if about.text == "titled" else []) + list(about.text_from) if "text" in inputs else []
    fields = ["product_id", *(["brand"] if "brand" in inputs else []), *texts, *(["image"] if photos else [])]
    return [field for field in dict.fromkeys(fields) if field not in without]


def looked_for(field: str, said: Mapping[str, str], usual: Mapping[str, str]) -> list[str]:
    """List the columns that may hold a field, the best first.

    >>> looked_for("product_id", {}, {"product_id": "sku"}), looked_for("brand", {"brand": "maker"}, {})
    (['sku', 'product_id', 'id'], ['maker'])
    """
    if field in said:
        return [said[field]]
    return list(dict.fromkeys([*([usual[field]] if field in usual else []), *PLAIN[field]]))


def find_columns(table: Path, has: Sequence[str], wanted: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return the column of each field.

    Parameters
    ----------
    has
        The table's columns.
    wanted
        As in `Wanted.columns`.

    Raises
    ------
    StudyError
        If some are missing: which, what was looked for, what there is, and the nearest names.
    """
    chosen = {field: name for field, names in wanted.items() for name in reversed(names) if name in has}
    lacking = [field for field in wanted if field not in chosen]
    if not lacking:
        return {field: chosen[field] for field in wanted}
    lines = [f"{table} lacks {len(lacking)} of the {len(wanted)} columns that are needed:"]
    for field in lacking:
        hint = next(filter(None, (nearest(name, has) for name in wanted[field])), "")
        lines.append(f"  {field}: looked for {' or '.join(map(repr, wanted[field]))}.{hint}")
    more = f" and {len(has) - _SHOWN:,} more" if len(has) > _SHOWN else ""
    field = next((field for field in lacking if field != "product_id"), "brand")
    lines += [
        f"Its columns are {list(has[:_SHOWN])}{more}.",
        f"Say which to take with --column {field}=COLUMN, or --without {field} if the products have none.",
        *(["Is that one column? --delimiter says what stands between two."] if len(has) == 1 else []),
    ]
    raise StudyError("\n".join(lines))


# Rows


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
    masker = Masker(itertools.chain(*tagger.levels)) if tagger.about.text == "masked" else None
    read_from = [*(["title"] if tagger.about.text == "titled" else []), *tagger.about.text_from]
    numbered, seen = enumerate(rows), _Ids()
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
                continue
            record = found.record
            if not seen.add(record.product_id):
                where = row.where if isinstance(row, Row) else ""
                chunk.rejects.append(Reject(record.product_id, REPEATED_ID, f"{where}: only the first is tagged"))
                continue
            chunk.ids.append(record.product_id)
            chunk.photos.append(found.image or None)
            chunk.places.append(place)
            brands.append(clean_text(record.brand or ""))
            text = fold(" ".join(clean_text(getattr(record, field) or "") for field in read_from))
            texts.append(masker.mask(text) if masker else text)
        yield chunk._replace(products=Products.of(brands, texts))


def _open(table: Path, wanted: Wanted) -> tuple[Iterator[Row | Reject], TableMapping]:
    """Open a table, and settle which columns hold what before any row is taken."""
    opened = read_rows(table, wanted.layout, set(itertools.chain(*wanted.columns.values())))
    rows, has = opened.rows, opened.fields
    if has is None:  # only the rows tell
        first = list(itertools.islice(rows, _PEEKED))
        rows = itertools.chain(first, rows)
        has = list(dict.fromkeys(name for row in first if isinstance(row, Row) for name in fields(row.values)))
        if not has:
            raise StudyError(f"{table} holds no product.")
    columns = find_columns(table, has, wanted.columns)
    mapped = Columns(id=columns.pop("product_id"), category=_NO_CATEGORY, **columns)
    return rows, TableMapping(columns=mapped, image_name=wanted.image_name)


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
