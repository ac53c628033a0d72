"""The spider: from start addresses over sitemaps and listings to product pages and their photos."""

import re
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import asdict
from typing import Any, cast
from urllib.parse import urlsplit

import scrapy
from lxml.etree import LxmlError
from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.exceptions import IgnoreRequest
from scrapy.http import Response
from scrapy.utils.gz import gunzip, gzip_magic_number
from scrapy.utils.sitemap import Sitemap
from twisted.python.failure import Failure

from lib.crawl.frames import FrameWriter
from lib.crawl.guard import CLOSED
from lib.crawl.hosts import Hosts
from lib.crawl.losses import NOT_A_PRODUCT, TOO_LARGE, TOO_MANY_PIXELS, explain, path_of, pixels
from lib.crawl.page import Page, parse_page, resolve
from lib.crawl.schema_org import Item, read_products
from lib.crawl.spec import CrawlSpec
from lib.records import INVALID, PHOTO

Requests = Iterator[Request]

_SITEMAP_BYTES = 50 * 2**20  # the most that a sitemap may have (sitemaps.org)
_FIRST, _NEXT, _LAST = 2, 1, 0  # photos before pages before sitemaps, so that little waits at a time


class CatalogueSpider(scrapy.Spider):
    """Collects a catalogue, and tells what it found in frames: items, rejects, and at the end its counts.

    Parameters
    ----------
    spec
        What to crawl.
    out
        Where the frames go.
    """

    name = "catalogue"

    def __init__(self, spec: CrawlSpec, out: FrameWriter) -> None:
        super().__init__()
        self.spec, self.out = spec, out
        self._hosts = Hosts(spec.hosts)
        self._products = re.compile(spec.products) if spec.products else None
        self._follow = re.compile(spec.follow) if isinstance(spec.follow, str) else None
        self.finished = False
        self._has_products: dict[bytes, bool] = {}  # of the pages that were read
        self.counts: Counter[str] = Counter()

    @classmethod
    def from_crawler(cls, crawler: Crawler, *args: Any, **kwargs: Any) -> "CatalogueSpider":
        """Make the spider; an error in it ends the crawl."""
        spider = super().from_crawler(crawler, *args, **kwargs)
        crawler.signals.connect(spider.failed, signal=scrapy.signals.spider_error)
        return spider

    async def start(self) -> AsyncIterator[Request]:
        """Ask for the start addresses."""
        for address in self.spec.start:
            yield self._page(address, self.at_start, _NEXT, size=_SITEMAP_BYTES, start=True)

    def closed(self, reason: str) -> None:
        """Note that the crawl is through."""
        self.finished = reason == "finished"

    def tell_end(self) -> None:
        """Tell that all is told, and how much there was."""
        if self.finished:
            self._tell("done", dict(self.counts))

    def failed(self, failure: Failure) -> None:
        """End the crawl because of an error of ours."""
        self.fail(f"The crawler failed: {failure.value!r}.")

    def fail(self, message: str) -> None:
        """Tell why the crawl cannot go on; who reads it ends this process."""
        self._tell("error", message)

    # -- pages

    def at_start(self, response: Response) -> Requests:
        """Read what a start address leads to: a sitemap, or a page."""
        try:
            body = gunzip(response.body, max_size=_SITEMAP_BYTES) if gzip_magic_number(response) else response.body
            is_sitemap = re.search(rb"<(\w+:)?(urlset|sitemapindex)\b", body[:1000])
            sitemap = Sitemap(body) if is_sitemap else None
            entries = [entry["loc"] for entry in sitemap or () if entry.get("loc")]
        except (OSError, EOFError, zlib.error, StopIteration, IgnoreRequest, LxmlError) as error:
            self._reject(None, INVALID, f"{path_of(response.url)}: it cannot be read as a sitemap: {error}")
            return
        if sitemap is None:
            yield from self.at_page(response)
        else:
            yield from self._named(entries, sitemap.type == "sitemapindex", response.url)

    def _named(self, addresses: list[str], sitemaps: bool, within: str) -> Requests:
        """Ask for what a sitemap names: pages, or other sitemaps."""
        self.counts["sitemaps"] += 1
        self.counts["known sitemaps" if sitemaps else "named pages"] += len(addresses)
        for named in addresses:
            address = resolve(within, named)
            if refusal := self._hosts.refusal(address):
                self._reject(None, refusal, path_of(address, host=True))
            elif sitemaps:
                yield self._page(address, self.at_start, _LAST, size=_SITEMAP_BYTES)
            elif self._wanted(address):
                yield self._page(address, self.at_page, _NEXT, named=True)

    def at_page(self, response: Response) -> Requests:
        """Read a page, unless it was read before: products, or links."""
        request = cast(Request, response.request)
        key = self.crawler.request_fingerprinter.fingerprint(request)
        asked = request.meta.get("redirect_urls", [request.url])[0]
        if key in self._has_products:
            self.counts["repeated pages"] += 1
        else:
            self._has_products[key] = False
            page, items = self._understand(response, self._may_be_product(asked, response.url))
            self._has_products[key] = bool(items) or page is None
            for item in items:
                yield from self._with_photo(item)
            if page is not None and not items:
                yield from self._links(page)
        if not self._has_products[key] and self._is_surely_product(asked):
            self._reject(None, NOT_A_PRODUCT, path_of(asked))
        self._tell("page", None)

    def _understand(self, response: Response, may_be_product: bool) -> tuple[Page | None, list[Item]]:
        """Return a page, None if it cannot be read (which is told), and its products."""
        self.counts["pages"] += 1
        if self.counts["pages"] == self.spec.max_pages + 1:
            self.fail(f"There are more than {self.spec.max_pages:,} pages. Follow fewer links, or raise max_pages.")
        content_type = (response.headers.get("Content-Type") or b"").decode("latin-1")
        try:
            page = parse_page(response.url, response.body, content_type)
            return page, read_products(page) if may_be_product else []
        except (ValueError, RecursionError) as error:
            reason = str(error) if isinstance(error, ValueError) else "its data are nested too deeply"
            self._reject(None, INVALID, f"{path_of(response.url)}: {reason}")
            return None, []

    def _links(self, page: Page) -> Requests:
        if not self.spec.follow:
            return
        for address in page.links():
            if self._hosts.refusal(address):
                self.counts["links elsewhere"] += 1
            elif self._wanted(address):
                yield self._page(address, self.at_page, _NEXT)

    def _wanted(self, address: str) -> bool:
        if self._is_surely_product(address):
            return True
        if self._follow:
            return bool(self._follow.search(urlsplit(address).path))
        return bool(self.spec.follow) or not self._products

    def _may_be_product(self, *addresses: str) -> bool:
        return self._products is None or any(map(self._is_surely_product, addresses))

    def _is_surely_product(self, address: str) -> bool:
        return bool(self._products and self._products.search(urlsplit(address).path))

    def _page(self, address: str, callback: Callable[..., Any], priority: int, size: int = 0, **meta: Any) -> Request:
        if size:
            meta["download_maxsize"] = max(size, self.spec.max_page_bytes)
        return Request(address, callback, errback=self.lost_page, priority=priority, meta=meta)

    def lost_page(self, failure: Failure) -> None:
        """Tell that a page could not be fetched."""
        request: Request = failure.request  # type: ignore[attr-defined]
        asked = request.meta.get("redirect_urls", [request.url])[0]
        reason, words = explain(cast(Exception, failure.value))
        detail = path_of(asked) + (f": {words}" if words else "")
        if request.meta.get("start"):
            self.fail(f"The start address {asked} cannot be had: {reason}{f' ({words})' if words else ''}.")
        elif reason == CLOSED and not (request.meta.get("named") or self._is_surely_product(asked)):
            self.counts[CLOSED] += 1
        else:
            self._reject(None, reason, detail)

    # -- photos

    def _with_photo(self, item: Item) -> Requests:
        """Ask for a product's photo; if there is none to ask for, the product is complete."""
        if item.photo is None or not self.spec.photos:
            self._complete(item, None)
        elif refusal := self._hosts.refusal(item.photo):
            self._lost(item, refusal, path_of(item.photo, host=True))
        else:
            yield Request(
                item.photo,
                self.at_photo,
                errback=self.lost_photo,
                cb_kwargs={"item": item},
                dont_filter=True,
                priority=_FIRST,
                meta={"download_maxsize": self.spec.max_photo_bytes},
            )

    def at_photo(self, response: Response, item: Item) -> None:
        """Take a photo as it is, unless it is larger than anybody wants."""
        if len(response.body) > self.spec.max_photo_bytes:
            self._lost(item, TOO_LARGE, path_of(response.url))
        elif pixels(response.body) > self.spec.max_pixels:
            self._lost(item, TOO_MANY_PIXELS, path_of(response.url))
        else:
            self._complete(item, response.body)

    def lost_photo(self, failure: Failure) -> None:
        """Tell that a photo could not be fetched; its product stays."""
        request: Request = failure.request  # type: ignore[attr-defined]
        reason, words = explain(cast(Exception, failure.value))
        asked = request.meta.get("redirect_urls", [request.url])[0]
        self._lost(request.cb_kwargs["item"], reason, path_of(asked) + (f": {words}" if words else ""))

    def _lost(self, item: Item, reason: str, detail: str) -> None:
        self._reject(item.product_id, PHOTO + reason, detail)
        self._complete(item, None)

    # -- what is told

    def _complete(self, item: Item, photo: bytes | None) -> None:
        self._tell("item", asdict(item) | {"photo": None}, photo)

    def _reject(self, product_id: str | None, reason: str, detail: str) -> None:
        self._tell("reject", [product_id, reason, detail])

    def _tell(self, kind: str, value: Any, content: bytes | None = None) -> None:
        counts = self.counts
        progress = [counts["pages"], counts["named pages"], counts["known sitemaps"], counts["sitemaps"]]
        self.out.write({kind: value, "progress": progress}, content)
