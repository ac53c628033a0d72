"""New products as they come: which columns of a table hold what, and its rows, cleaned as the study's own.

A field's column is the user's word, what the catalogue's file says, or a plain name.
"""

import codecs
import itertools
import re
import shlex
import sqlite3
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from lib import config
from lib.clean.masking import Masker
from lib.clean.texts import clean_text, fold
from lib.collect.cells import fields, is_known
from lib.collect.mapping import Columns, TableMapping, left_out, merge, to_product
from lib.collect.rows import FileKeys, Layout, Row, Table, read_rows
from lib.collect.table import TableSource
from lib.collect.unpacking import unpacked
from lib.config.base import REPEATED_ID, Record, Reject
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

_SHOWN, _SHOWN_NAME = 40, 80  # columns of a table that a message lists, and characters of each
_PEEKED = 1000  # rows of JSON lines whose fields are taken for the table's columns
_NO_CATEGORY = "\0"  # new products have no category; no table has a column of this name
_VARIANTS = 1000  # rows that follow one another and are merged into one product
_KEY = re.compile(r"`(format|encoding|delimiter|quoting|escape|skip_lines|sheet)(?:: ([^`]+))?`")


class Wanted(NamedTuple):
    """How a table is to be read.

    Attributes
    ----------
    layout : Layout
        As the user says.
    columns : mapping
        Field that must have a column -> the columns that may hold it, the best first.
    usual : TableSource or None
        What the catalogue's file says of its table, if it is one.
    image_name : str or None
        How a photo's name is made of the product's id, if it is.
    each_row : bool
        Whether something else goes by the number of the row, so that none may be lost.
    """

    layout: Layout
    columns: Mapping[str, Sequence[str]]
    usual: TableSource | None = None
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
        The number of each product's row, from 0, rows that are no products counted.
    rejects : list of Reject
        What else was among these rows.
    rows : int
        Rows that were read so far, from the first of the table on.
    """

    ids: list[str]
    products: Products
    photos: list[str | None]
    places: list[int]
    rejects: list[Reject]
    rows: int = 0


# Columns


def usual_source(catalogue: str) -> TableSource | None:
    """Return what `catalogues/NAME.yaml` says of its table; None where it has none, or there is no such file."""
    if not (config.root() / "catalogues" / f"{catalogue}.yaml").is_file():
        return None
    if config.load_catalogue(catalogue).kind != "table":
        return None
    return config.load_section(catalogue, TableSource)


def usual_columns(source: TableSource | None) -> dict[str, str]:
    """Return the column of each field, as a catalogue's file says."""
    columns = source.columns.model_dump() if source else {}
    return {key: name for key in PLAIN if (name := columns.get("id" if key == "product_id" else key))}


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


def find_columns(
    table: Path, has: Sequence[str], wanted: Mapping[str, Sequence[str]], hint: str = ""
) -> dict[str, str]:
    """Return the column of each field.

    Parameters
    ----------
    has
        The table's columns.
    wanted
        As in `Wanted.columns`.
    hint
        How the table may be meant to be read, as `Table.hint` says it.

    Raises
    ------
    StudyError
        If some are missing: which, what was looked for, what there is, and the nearest names.
    """
    chosen = {field: name for field, names in wanted.items() for name in reversed(names) if is_known(name, has)}
    lacking = [field for field in wanted if field not in chosen]
    if not lacking:
        return {field: chosen[field] for field in wanted}
    lines = [f"{table} lacks {len(lacking)} of the {len(wanted)} columns that are needed:"]
    for field in lacking:
        near = next(filter(None, (nearest(name, has) for name in wanted[field])), "")
        lines.append(f"  {field}: looked for {' or '.join(map(repr, wanted[field]))}.{near}")
    more = f" and {len(has) - _SHOWN:,} more" if len(has) > _SHOWN else ""
    field = next((field for field in lacking if field != "product_id"), "brand")
    lines += [
        f"Its columns are {[name[:_SHOWN_NAME] for name in has[:_SHOWN]]}{more}.",
        f"Say which to take with --column {field}=COLUMN, or --without {field} if the products have none.",
        *([hint] if hint else []),
    ]
    raise StudyError("\n".join(lines))


# Rows


def layout_of(table: Path, **said: object) -> Layout:
    """Return how a table holds its rows, as far as a user says it; the table itself tells the rest.

    Parameters
    ----------
    said
        Keys of `lib.collect.layout.FileKeys`; None for what is not said.

    Raises
    ------
    StudyError
        If there is no such file, or a key is wrong.
    """
    if table.exists() and not table.is_file():
        raise StudyError(f"{table}: expected a table's file, found a folder or a device.")
    if not table.is_file():
        beside = [path.name for path in table.parent.iterdir()] if table.parent.is_dir() else []
        raise StudyError(f"There is no table {table}.{nearest(table.name, beside)}")
    given = {key: value for key, value in said.items() if value is not None}
    try:
        return config.validate(FileKeys, {"file": table.name, **given}, "The command", "--").layout
    except StudyError as error:
        raise StudyError(as_options(str(error).replace("  --: ", "  ").replace("--skip_", "--skip-"))) from error


def as_options(text: str) -> str:
    """Turn the keys of a catalogue's file, in a message about a table, into options of the command.

    >>> as_options("It could be read with `delimiter: ;`, `skip_lines: 2`.")
    "It could be read with --delimiter ';', --skip-lines 2."
    """

    def option(found: re.Match[str]) -> str:
        name = f"--{found[1].replace('_', '-')}"
        value = found[2] and (r"\t" if found[2] == "\t" else found[2].strip('"').replace(r"\\", "\\"))
        return f"{name} {shlex.quote(value)}" if value else name

    text = re.sub(r" in the catalogue's file, such as ([\w-]+)", r", such as `encoding: \1`", text)
    return _KEY.sub(option, text.replace("what the catalogue's file says", "what was said"))


def read_chunks(
    table: Path, wanted: Wanted, tagger: Tagger, size: int, notices: Counter[str] | None = None
) -> Iterator[Chunk]:
    """Yield a table's products, some rows at a time. Nothing but the ids is kept of rows that are through.

    Rows of one product that follow one another are merged, as the study does it; of others only the first are taken.

    Parameters
    ----------
    size
        Products of a chunk.
    notices
        Counts what a user should know of.

    Raises
    ------
    StudyError
        If the table is damaged, or lacks a column; see also `Wanted.each_row`.
    """
    notices = Counter() if notices is None else notices
    try:
        yield from _chunks(table, wanted, tagger, size, notices)
    except StudyError as error:
        raise StudyError(as_options(str(error))) from error


def _chunks(table: Path, wanted: Wanted, tagger: Tagger, size: int, notices: Counter[str]) -> Iterator[Chunk]:
    rows, mapping = _open(table, wanted)
    masker = Masker(itertools.chain(*tagger.levels)) if tagger.about.text == "masked" else None
    read_from = [*(["title"] if tagger.about.text == "titled" else []), *tagger.about.text_from]
    read, seen = 0, _Ids()

    def numbered() -> Iterator[tuple[int, Row | Reject]]:
        nonlocal read
        for read, row in enumerate(rows, 1):
            if isinstance(row, Reject) and wanted.each_row:
                raise StudyError(f"{table}, {row.detail}. Features go by the number of the row, so none may be lost.")
            yield read - 1, row

    items = _products(numbered(), mapping, wanted.each_row, notices)
    while part := list(itertools.islice(items, size)):
        chunk = Chunk([], Products.of([], []), [], [], [], read)
        brands: list[str | None] = []
        texts: list[str] = []
        for group in part:
            if isinstance(group, Reject):
                chunk.rejects.append(replace(group, detail=as_options(group.detail)))
                continue
            if not seen.add(group[0][0].product_id):
                chunk.rejects.extend(_repeated(record) for record, _ in group)
                continue
            [(record, photo)], others = merge(group, notices)
            chunk.rejects.extend(others)
            chunk.ids.append(record.product_id)
            chunk.photos.append(photo.name if photo else None)
            chunk.places.append(photo.place if photo else -1)
            brands.append(clean_text(record.brand or ""))
            text = fold(" ".join(clean_text(getattr(record, field) or "") for field in read_from))
            texts.append(masker.mask(text) if masker else text)
        yield chunk._replace(products=Products.of(brands, texts))
    yield Chunk([], Products.of([], []), [], [], [], read)  # how many rows there were in all


class _Photo(NamedTuple):
    """The name of a product's photo, and the number of its row."""

    name: str | None
    place: int


def _products(
    rows: Iterable[tuple[int, Row | Reject]], mapping: TableMapping, each_row: bool, notices: Counter[str]
) -> Iterator[list[tuple[Record, _Photo | None]] | Reject]:
    """Yield what rows that follow one another say of one product, and what is no product."""
    group: list[tuple[Record, _Photo | None]] = []
    for place, row in rows:
        if isinstance(row, Row) and left_out(row, mapping):
            notices["rows that are no products (leave_out_rows)"] += 1
            continue
        found = to_product(row, mapping, notices=notices) if isinstance(row, Row) else row
        if isinstance(found, Reject):
            yield found
            continue
        if group and (group[0][0].product_id != found.record.product_id or len(group) == _VARIANTS):
            yield group
            group = []
        group.append((found.record, _Photo(found.image or None, place) if found.image or each_row else None))
    if group:
        yield group


def _repeated(record: Record) -> Reject:
    where = f"{record.origin.where}: " if record.origin else ""
    return Reject(record.product_id, REPEATED_ID, f"{where}only the first rows that follow one another are tagged")


def _open(table: Path, wanted: Wanted) -> tuple[Iterator[Row | Reject], TableMapping]:
    """Open a table, and settle which columns hold what before any row is taken.

    One that has the catalogue's own column of ids, where it is read as the catalogue's file says, is read so.
    """
    usual, asked = wanted.usual, set(itertools.chain(*wanted.columns.values()))
    titles = looked_for("title", {}, usual_columns(usual))  # two rows with other titles are no one product
    asked |= {*titles, *(usual.leave_out_rows if usual else ())}
    opened = None
    if usual and not wanted.layout.as_keys() and usual.layout.as_keys().keys() - {"format"}:
        with suppress(StudyError):
            opened = _peeked(read_rows(table, _fitting(table, usual.layout), asked))
    if opened is None or usual is None or not is_known(usual.columns.id, opened.fields or ()):
        opened = _peeked(read_rows(table, wanted.layout, asked))
    columns = {field: names[0] for field, names in wanted.columns.items()}
    if has := opened.fields:  # else nothing but rejects comes
        columns = find_columns(table, has, wanted.columns, opened.hint)
    title = next((name for name in titles if is_known(name, has or ())), None)
    mapped = Columns(id=columns.pop("product_id"), category=_NO_CATEGORY, **{"title": title} | columns)
    same = {key: getattr(usual, key) for key in ("missing", "language", "leave_out_rows")} if usual else {}
    return opened.rows, TableMapping(columns=mapped, image_name=wanted.image_name, **same)


def _fitting(table: Path, layout: Layout) -> Layout:
    """Leave the catalogue's encoding out where a table's first bytes are UTF-8 beyond doubt."""
    with unpacked(table) as opened, suppress(UnicodeDecodeError):
        if not opened.head.isascii() and codecs.getincrementaldecoder("utf-8")().decode(opened.head):
            return replace(layout, encoding=None)
    return layout


def _peeked(table: Table) -> Table:
    """Let the first rows tell the columns, where nothing else does."""
    if table.fields is not None:
        return table
    first = list(itertools.islice(table.rows, _PEEKED))
    has = dict.fromkeys(name for row in first if isinstance(row, Row) for name in fields(row.values))
    return table._replace(fields=list(has), rows=itertools.chain(first, table.rows))


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
        try:
            return self._base.execute("INSERT OR IGNORE INTO ids VALUES (?)", (product_id,)).rowcount == 1
        except sqlite3.Error as error:
            raise StudyError(
                f"Cannot keep the ids of the table: {error}. SQLITE_TMPDIR names another folder."
            ) from error
