"""The `collect` stage: from a source of any kind to `raw/`, whole or not at all.

categories, source_files | rows | mapping | photo_files, photo_addresses | photo_sources | table, crawl | shop
| writer | collect
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from lib import config
from lib.artifacts import whole
from lib.collect.crawl import CrawlSource, read_crawl
from lib.collect.shop import ShopSource, read_shop
from lib.collect.table import TableSource, read_products
from lib.collect.writer import write_raw
from lib.config import Strict
from lib.errors import StudyError
from lib.records import PHOTO, Record, Reject


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
        products, rejects = write_raw(folder, items)
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
