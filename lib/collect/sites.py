"""Readers of web sites whose product pages have schema.org data: any site, and the embedded shop.

The shop is opened on this machine and crawled like any other site.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

from pydantic import Field

from lib import config
from lib.collect.mapping import Columns, TableMapping, to_product
from lib.collect.paths import CategoryRule, Ids, load_ids
from lib.collect.rows import Row
from lib.config import Strict
from lib.config.base import Record, Reject
from lib.crawl.process import crawl, forget_others
from lib.crawl.spec import CrawlSpec
from lib.demo_shop.server import Shop, running
from lib.exceptions import StudyError
from lib.files import file_sha256, fingerprint, remove


class CrawlSource(CrawlSpec):
    """What to crawl, and how category paths become levels."""

    categories: CategoryRule = CategoryRule()


def read_crawl(name: str, source: CrawlSource, notices: Counter[str] | None = None) -> Iterator[Record | Reject]:
    """Yield the products of a site, and a reject for each page or photo that could not be had.

    What was fetched stays in `build/NAME/work/crawl/`, and is used again for `cache_hours`.

    Raises
    ------
    StudyError
        If a start address cannot be had, if no product is found, or if the crawl cannot go on.
    """
    key = fingerprint([source.hosts, source.user_agent])
    folder = config.build_dir(name, "work", "crawl", key)
    forget_others(folder)
    rule = source.categories
    ids = load_ids(config.studied(name).source / rule.ids, rule) if rule.ids else None
    return read_site(source, folder, notices, ids)


def read_site(
    source: CrawlSource, folder: Path, notices: Counter[str] | None = None, ids: Ids | None = None
) -> Iterator[Record | Reject]:
    """Yield what a crawl finds as records, with what was fetched kept in `folder`."""
    names = {name: name for name in ("brand", "title", "description", "category")}
    mapping = TableMapping(columns=Columns(id="product_id", **names), categories=source.categories)
    for found in crawl(CrawlSpec.model_validate(source.model_dump(exclude={"categories"})), folder):
        if isinstance(found, Reject):
            yield found
            continue
        item = to_product(Row("", asdict(found.product)), mapping, ids, notices)
        yield item if isinstance(item, Reject) else replace(item.record, photo=found.photo)


# The embedded shop


class ShopSource(Strict):
    """The embedded shop: its size, its seed, and what it calls things (`dialects.yaml`), if not as usual."""

    products: Annotated[int, Field(ge=200, le=1_000_000)]
    seed: Annotated[int, Field(ge=0)]
    dialect: str | None = None


def read_shop(name: str, source: ShopSource, notices: Counter[str] | None = None) -> Iterator[Record | Reject]:
    """Open the shop that the catalogue's file asks for, and yield what a crawl of it finds.

    What was fetched is kept in `build/NAME/work/crawl/` until the crawl is through. A shop's pages name its port, so
    that one which goes on from there opens at the same port, if it is free.
    """
    work = config.build_dir(name, "work", "crawl")
    with ExitStack() as stack:
        shop, folder = _open(stack, work, source)
        forget_others(folder)
        yield from read_site(site_of(shop.address), folder, notices)
    remove(work)


def site_of(address: str) -> CrawlSource:
    """Return how to crawl the shop that is open at an address: without sparing it, for it is our own."""
    return CrawlSource(
        start=[f"{address}sitemap.xml"],
        hosts=[address.removeprefix("http://").rstrip("/")],
        user_agent="ProductStudy (its own shop)",
        products=r"^/products/",
        follow=False,
        requests_per_second=None,
        concurrent_requests=16,
        throttle=False,
        retry_seconds=0.05,
        max_pages=2_000_000,
        cache_hours=0,
        private=True,
    )


def _open(stack: ExitStack, work: Path, source: ShopSource) -> tuple[Shop, Path]:
    """Open the shop, at the port of a crawl that was ended if there is one, and return it and the crawl's folder.

    The folder's name says what the shop's pages hang on: its size, its seed, its dialect, its code, and its port.
    """
    code = sorted(path for path in Path(__file__).parents[1].joinpath("demo_shop").rglob("*") if path.is_file())
    hashes = [file_sha256(path) for path in code if path.suffix != ".pyc"]
    key = fingerprint([source.products, source.seed, source.dialect, hashes])
    for kept in sorted(work.glob(f"{key}-*")):
        try:
            port = int(kept.name.rpartition("-")[2])
            return stack.enter_context(running(source.products, source.seed, port, dialect=source.dialect)), kept
        except (StudyError, ValueError):
            continue
    shop = stack.enter_context(running(source.products, source.seed, dialect=source.dialect))
    return shop, work / f"{key}-{shop.address.rstrip('/').rpartition(':')[2]}"
