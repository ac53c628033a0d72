"""Reader of the embedded shop: opens it on this machine, and crawls it like any other."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

from pydantic import Field

from lib import config
from lib.artifacts import file_sha256, fingerprint, remove
from lib.collect.crawl import CrawlSource, read_site
from lib.config import Strict
from lib.crawl.process import forget_others
from lib.errors import StudyError
from lib.records import Record, Reject
from lib.shop.server import Shop, running


class ShopSource(Strict):
    """The embedded shop: its size, its seed, and what it calls things (`lib/shop/dialects.yaml`), if not as usual."""

    products: Annotated[int, Field(ge=200, le=1_000_000)]
    seed: Annotated[int, Field(ge=0)]
    dialect: str | None = None


def read_shop(name: str, source: ShopSource) -> Iterator[Record | Reject]:
    """Open the shop that the catalogue's file asks for, and yield what a crawl of it finds.

    What was fetched is kept in `build/NAME/work/crawl/` until the crawl is through. A shop's pages name its port, so
    that one which goes on from there opens at the same port, if it is free.
    """
    work = config.build_dir(name, "work", "crawl")
    with ExitStack() as stack:
        shop, folder = _open(stack, work, source)
        forget_others(folder)
        yield from read_site(site_of(shop.address), folder)
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
    """Open the shop, at the port of a crawl that was ended if there is one, and return it and the crawl's folder."""
    key = _key(source)
    for kept in sorted(work.glob(f"{key}-*")):
        try:
            port = int(kept.name.rpartition("-")[2])
            return stack.enter_context(running(source.products, source.seed, port, dialect=source.dialect)), kept
        except (StudyError, ValueError):
            continue
    shop = stack.enter_context(running(source.products, source.seed, dialect=source.dialect))
    return shop, work / f"{key}-{shop.address.rstrip('/').rpartition(':')[2]}"


def _key(source: ShopSource) -> str:
    """Hash what the shop's pages hang on: its size, its seed, its dialect and its code."""
    code = sorted(path for path in Path(__file__).parents[1].joinpath("shop").rglob("*") if path.is_file())
    hashes = [file_sha256(path) for path in code if path.suffix != ".pyc"]
    return fingerprint([source.products, source.seed, source.dialect, hashes])
