"""The `collect` stage: from a source of any kind to `raw/`, whole or not at all.

`rows` reads a table's file and `mapping` makes products of rows; `table` and `sites` are the kinds of source. Whatever
the kind, this module counts, refuses what is too bad, and writes.

rows | mapping | table, sites | collect
"""

import hashlib
import itertools
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

import pandas as pd

from lib import config
from lib.collect.sites import CrawlSource, ShopSource, read_crawl, read_shop
from lib.collect.table import TableSource, read_products
from lib.config import Strict
from lib.config.base import FIELDS, PHOTO, REPEATED_ID, Record, Reject
from lib.exceptions import StudyError
from lib.files import whole, write_zip
from lib.schemas import RAW_PRODUCTS, REJECTS, write_table


@dataclass(frozen=True)
class Kind:
    """A kind of source: the keys of its section in `catalogues/NAME.yaml`, and who reads it, given name and section."""

    section: type[Strict]
    read: Callable[[str, Any], Iterator[Record | Reject]]


KINDS = {
    "table": Kind(TableSource, read_products),
    "crawl": Kind(CrawlSource, read_crawl),
    "shop": Kind(ShopSource, read_shop),
}


@dataclass(frozen=True)
class Summary:
    """What was collected: counts of products, of photos, and of rejects by reason."""

    products: int
    photos: int
    rejects: dict[str, int]


def collect(name: str) -> Summary:
    """Read the catalogue `name` from its source and write `build/NAME/raw/`.

    Raises
    ------
    StudyError
        If the source is missing, damaged or lacks a field that the catalogue's file names, if it holds no product, or
        if more than `clean.max_reject_share` of what it holds is rejected. Nothing is written then.
    """
    max_share = config.load_params().clean.max_reject_share
    kind = KINDS[config.load_catalogue(name).kind]
    items = kind.read(name, config.load_section(name, kind.section))
    with whole(config.build_dir(name, "raw")) as folder:
        products, rejects = _write_raw(folder, items)
        _check_rejects(name, len(products), rejects, max_share)
    reasons = rejects["reason"].value_counts().sort_index()
    return Summary(len(products), int(products["image"].notna().sum()), {str(k): int(v) for k, v in reasons.items()})


def _check_rejects(name: str, products: int, rejects: pd.DataFrame, max_share: float) -> None:
    """Refuse a source that holds nothing, or too much that is no product. A lost photo does not cost its product."""
    rejects = rejects[~rejects["reason"].str.startswith(PHOTO)]
    if not products and rejects.empty:
        raise StudyError(f"The source of the catalogue '{name}' holds no product.")
    share = len(rejects) / (products + len(rejects))
    if share > max_share:
        examples = rejects.groupby("reason").agg(count=("reason", "size"), example=("detail", "first"))
        lines = [f"  {reason}: {row['count']:,}, such as {row['example']}" for reason, row in examples.iterrows()]
        raise StudyError(
            f"{len(rejects):,} of {products + len(rejects):,} records of the catalogue '{name}' were rejected, more "
            f"than the {max_share:.2%} that params.yaml allows (clean.max_reject_share):\n" + "\n".join(lines)
        )


# Writing `raw/`, the same for every kind of source


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


def _write_raw(folder: Path, items: Iterable[Record | Reject]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Write products, photos and rejects into `folder`, which is made; return both tables.

    Texts are held in memory; photos go through a temporary file, for they are written in the order of the ids.
    """
    folder.mkdir(parents=True)
    rows: list[_Row] = []
    rejects: list[Reject] = []
    with tempfile.TemporaryFile(dir=folder) as spool:
        for item in items:
            if isinstance(item, Reject):
                rejects.append(item)
                continue
            fields, photo = tuple(getattr(item, name) for name in FIELDS), item.photo
            digest = hashlib.sha256(photo or b"").digest()
            rows.append(_Row(fields, digest, spool.tell(), None if photo is None else spool.write(photo)))
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
