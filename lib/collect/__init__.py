"""The `collect` stage: from a source of any kind to `raw/`, whole or not at all.

`rows` reads a table's file and `mapping` makes products of rows; `table` and `sites` are the kinds of source. Whatever
the kind, this module counts, refuses what is too bad, and writes.

rows | mapping | table, sites | collect
"""

import hashlib
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

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
class Reader:
    """Reads a kind of source: the keys of its section in `catalogues/NAME.yaml`, and a function of name and section."""

    section: type[Strict]
    read: Callable[[str, Any], Iterator[Record | Reject]]


KINDS = {
    "table": Reader(TableSource, read_products),
    "crawl": Reader(CrawlSource, read_crawl),
    "shop": Reader(ShopSource, read_shop),
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
        lost = rejects[~rejects["reason"].str.startswith(PHOTO)]  # a lost photo does not cost its product
        count = len(products) + len(lost)
        if not count:
            raise StudyError(f"The source of the catalogue '{name}' holds no product.")
        if len(lost) / count > max_share:
            examples = lost.groupby("reason").agg(count=("reason", "size"), example=("detail", "first"))
            lines = [f"  {reason}: {row['count']:,}, such as {row['example']}" for reason, row in examples.iterrows()]
            raise StudyError(
                f"{len(lost):,} of {count:,} records of the catalogue '{name}' were rejected, more than the "
                f"{max_share:.2%} that params.yaml allows (clean.max_reject_share):\n" + "\n".join(lines)
            )
    reasons = rejects["reason"].value_counts().sort_index()
    return Summary(len(products), int(products["image"].notna().sum()), {str(k): int(v) for k, v in reasons.items()})


def _write_raw(folder: Path, items: Iterable[Record | Reject]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Write products, photos and rejects into `folder`, which is made; return both tables.

    Texts are held in memory; photos go through a temporary file, for they are written in the order of the ids. Rows are
    sorted by id, then by content, so that the order in the source has no say in which of two equal ids stays.
    """
    folder.mkdir(parents=True)
    rows: list[tuple[object, ...]] = []
    rejects: list[Reject] = []
    content = [*FIELDS, "photo"]
    with tempfile.TemporaryFile(dir=folder) as spool:
        for item in items:
            if isinstance(item, Reject):
                rejects.append(item)
                continue
            fields, photo = (getattr(item, name) for name in FIELDS), item.photo
            digest = hashlib.sha256(photo or b"").hexdigest()
            rows.append((*fields, digest, spool.tell(), -1 if photo is None else spool.write(photo)))
        found = pd.DataFrame(rows, columns=[*content, "offset", "size"]).astype(dict.fromkeys(FIELDS, "str"))
        found = found.sort_values(content, na_position="first", kind="stable", ignore_index=True)
        kinds = found.groupby(content, dropna=False).ngroup()
        same = kinds == kinds.groupby(found["product_id"]).transform("first")
        repeated = found.duplicated("product_id")
        for product_id, equal in zip(found["product_id"][repeated], same[repeated], strict=True):
            detail = f"{'the same' if equal else 'other'} content than the one that is kept"
            rejects.append(Reject(product_id, REPEATED_ID, detail))
        products = found[~repeated].reset_index(drop=True)
        names = [None if size < 0 else f"{number:07d}.jpg" for number, size in enumerate(products["size"])]
        products["image"] = pd.Series(names, dtype="str")

        def photos() -> Iterator[tuple[str, bytes]]:
            for name, offset, size in zip(names, products["offset"], products["size"], strict=True):
                if name:
                    spool.seek(offset)
                    yield name, spool.read(size)

        write_zip(folder / "images.zip", photos())
    products = products[[*FIELDS, "image"]]
    rejected = sorted(rejects, key=lambda reject: (reject.reason, reject.product_id or "", reject.detail))
    rejects_table = pd.DataFrame([astuple(reject) for reject in rejected], columns=list(REJECTS.columns), dtype="str")
    write_table(folder / "products.parquet", products, RAW_PRODUCTS)
    write_table(folder / "rejects.parquet", rejects_table, REJECTS)
    return products, rejects_table
