"""Reader of a web site whose product pages have schema.org data."""

from collections.abc import Iterator
from pathlib import Path

from lib import config
from lib.artifacts import fingerprint
from lib.collect.categories import CategoryRule, Levels, split_path, to_levels
from lib.crawl.process import crawl, forget_others
from lib.crawl.schema_org import Item
from lib.crawl.spec import CrawlSpec
from lib.records import CATEGORY_DEPTH, Record, Reject


class CrawlSource(CrawlSpec):
    """What to crawl, and how category paths become levels."""

    categories: CategoryRule = CategoryRule()


def read_crawl(name: str, source: CrawlSource) -> Iterator[Record | Reject]:
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
    return read_site(source, folder)


def read_site(source: CrawlSource, folder: Path) -> Iterator[Record | Reject]:
    """Yield what a crawl finds as records, with what was fetched kept in `folder`."""
    spec = CrawlSpec.model_validate(source.model_dump(exclude={"categories"}))
    for found in crawl(spec, folder):
        yield found if isinstance(found, Reject) else _record(*found, source.categories)


def _record(item: Item, photo: bytes | None, rule: CategoryRule) -> Record | Reject:
    try:
        levels = _levels(item.category, rule)
    except ValueError as error:
        return Reject(item.product_id, CATEGORY_DEPTH, str(error))
    return Record(item.product_id, item.brand, item.title, item.description, *levels, photo)


def _levels(category: tuple[str, ...] | str | None, rule: CategoryRule) -> Levels:
    if category is None:
        return None, None, None
    return to_levels(split_path(category, rule) if isinstance(category, str) else category, rule)
