"""Writer of `raw/`, the same for every kind of source."""

import hashlib
import itertools
import tempfile
from collections.abc import Iterable
from dataclasses import astuple
from pathlib import Path
from typing import IO, NamedTuple

import pandas as pd

from lib.records import FIELDS, INVALID, MISSING_ID, REPEATED_ID, Record, Reject
from lib.schemas import RAW_PRODUCTS, REJECTS, write_table
from lib.zips import write_zip


class _Row(NamedTuple):
    """A product without its photo, which waits in the spool."""

    fields: tuple[str | None, ...]
    photo_digest: bytes
    offset: int
    size: int | None

    @property
    def product_id(self) -> str:
        return self.fields[0] or ""

    def order(self) -> tuple[object, ...]:
        """By id, then by content, so that the order in the source has no say in which of two equal ids stays."""
        return *((value is not None, value or "") for value in self.fields), self.photo_digest


def write_raw(folder: Path, items: Iterable[Record | Reject]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Write products, photos and rejects into `folder`, which is made; return both tables.

    Texts are held in memory; photos go through a temporary file, for they are written in the order of the ids.
    """
    folder.mkdir(parents=True)
    with tempfile.TemporaryFile(dir=folder) as spool:
        rows, rejects = _receive(items, spool)
        rows, repeated = _without_repeats(rows)
        with_photo = [(f"{number:07d}.jpg", row) for number, row in enumerate(rows) if row.size is not None]
        write_zip(folder / "images.zip", ((name, _content(spool, row)) for name, row in with_photo))
    products = pd.DataFrame([row.fields for row in rows], columns=list(FIELDS), dtype="str")
    names = {row.product_id: name for name, row in with_photo}
    products["image"] = products["product_id"].map(names).astype("str")
    rejected = sorted(rejects + repeated, key=lambda reject: (reject.reason, reject.product_id or "", reject.detail))
    rejects_table = pd.DataFrame([astuple(reject) for reject in rejected], columns=list(REJECTS.columns), dtype="str")
    write_table(folder / "products.parquet", products, RAW_PRODUCTS)
    write_table(folder / "rejects.parquet", rejects_table, REJECTS)
    return products, rejects_table


def _receive(items: Iterable[Record | Reject], spool: IO[bytes]) -> tuple[list[_Row], list[Reject]]:
    """Read the whole source: texts into rows, photos into the spool."""
    rows: list[_Row] = []
    rejects: list[Reject] = []
    for item in items:
        checked = _checked(item)
        if isinstance(checked, Reject):
            rejects.append(checked)
            continue
        photo = checked.photo
        digest = hashlib.sha256(photo or b"").digest()
        fields = tuple(getattr(checked, name) for name in FIELDS)
        rows.append(_Row(fields, digest, spool.tell(), None if photo is None else spool.write(photo)))
    return rows, rejects


def _checked(item: Record | Reject) -> Record | Reject:
    """Turn a record that no table can hold into a reject."""
    if isinstance(item, Reject):
        return item
    if not item.product_id.strip():
        return Reject(None, MISSING_ID, f"titled {item.title!r}")
    for name in FIELDS:
        try:
            (getattr(item, name) or "").encode()
        except UnicodeEncodeError as error:
            return Reject(None, INVALID, f"'{name}' is not valid Unicode: {error.reason}")
    return item


def _without_repeats(rows: list[_Row]) -> tuple[list[_Row], list[Reject]]:
    """Sort the rows and keep one of each id."""
    kept: list[_Row] = []
    repeated: list[Reject] = []
    for product_id, same in itertools.groupby(sorted(rows, key=_Row.order), key=lambda row: row.product_id):
        first, *others = same
        kept.append(first)
        for other in others:
            content = "the same" if other.order() == first.order() else "other"
            repeated.append(Reject(product_id, REPEATED_ID, f"{content} content than the one that is kept"))
    return kept, repeated


def _content(spool: IO[bytes], row: _Row) -> bytes:
    spool.seek(row.offset)
    return spool.read(row.size or 0)
