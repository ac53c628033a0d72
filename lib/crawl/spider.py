"""The spiders: from start addresses over sitemaps and listings to product pages and photos, and what is lost."""

import io
import re
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any, cast
from urllib.parse import urlsplit

import scrapy
from lxml.etree import LxmlError
from PIL import Image
from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.exceptions import (
    CannotResolveHostError,
    DownloadCancelledError,
    DownloadConnectionRefusedError,
    DownloadTimeoutError,
    IgnoreRequest,
)
from scrapy.http import Response
from scrapy.spidermiddlewares.httperror import HttpError
from scrapy.utils.gz import gunzip, gzip_magic_number
from scrapy.utils.sitemap import Sitemap
from twisted.python.failure import Failure

from lib.config.records import INVALID, PHOTO, Reject
from lib.crawl.polite import CLOSED, Refused
from lib.crawl.process import Done, Failed, Found, Pages, Told
from lib.crawl.products import Page, PageProduct, parse_page, read_products, resolve
from lib.crawl.spec import CrawlSpec, Hosts

Requests = Iterator[Request]

_SITEMAP_BYTES = 50 * 2**20  # the most that a sitemap may have (sitemaps.org)
_FIRST, _NEXT, _LAST = 2, 1, 0  # photos before pages before sitemaps, so that little waits at a time
_PHOTO_FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF")
TOO_LARGE = "too large"
_BROKEN = {
    CannotResolveHostError: "the host's name is unknown",
    DownloadConnectionRefusedError: "the connection was refused",
    DownloadTimeoutError: "it took too long",
}
_REASONS = {404: "not found", 410: "not found", 3: "bad redirect", 4: "refused by the server", 5: "server error"}


class CatalogueSpider(scrapy.Spider):
    """Collects a catalogue, and tells what it finds as it finds it, and at the end how much there was.

    Parameters
    ----------
    spec
        What to crawl.
    out
        Where it is told.
    """

    name = "catalogue"

    def __init__(self, spec: CrawlSpec, out: Connection) -> None:
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
            self.tell(Done(dict(self.counts)))

    def failed(self, failure: Failure) -> None:
        """End the crawl because of an error of ours."""
        self.fail(f"The crawler failed: {failure.value!r}.")

    def fail(self, message: str) -> None:
        """Tell why the crawl cannot go on; who reads it ends this process."""
        self.tell(Failed(message))

    # -- pages

    def at_start(self, response: Response) -> Requests:
        """Read what a start address leads to: a sitemap, or a page."""
        try:
            body = gunzip(response.body, max_size=_SITEMAP_BYTES) if gzip_magic_number(response) else response.body
            is_sitemap = re.search(rb"<(\w+:)?(urlset|sitemapindex)\b", body[:1000])
            sitemap = Sitemap(body) if is_sitemap else None
            entries = [entry["loc"] for entry in sitemap or () if entry.get("loc")]
        except (OSError, EOFError, zlib.error, StopIteration, IgnoreRequest, LxmlError) as error:
            self._reject(INVALID, f"{path_of(response.url)}: it cannot be read as a sitemap: {error}")
            return
        if sitemap is None:
            yield from self.at_page(response)
        else:
            yield from self._named(entries, sitemap.type == "sitemapindex", response.url)

    def _named(self, addresses: list[str], sitemaps: bool, within: str) -> Requests:
        """Ask for what a sitemap names: pages, or other sitemaps."""
        self.counts["sitemaps"] += 1
        self.counts["named pages"] += 0 if sitemaps else len(addresses)
        for named in addresses:
            address = resolve(within, named)
            if refusal := self._hosts.refusal(address):
                self._reject(refusal, path_of(address, host=True))
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
            self._reject("not a product", path_of(asked))
        self.tell(Pages(self.counts["pages"], self.counts["named pages"]))

    def _understand(self, response: Response, may_be_product: bool) -> tuple[Page | None, list[PageProduct]]:
        """Return a page, None if it cannot be read (which is told), and its products."""
        self.counts["pages"] += 1
        if self.counts["pages"] == self.spec.max_pages + 1:
            self.fail(f"There are more than {self.spec.max_pages:,} pages. Follow fewer links, or raise max_pages.")
        content_type = (response.headers.get("Content-Type") or b"").decode("latin-1")
        try:
            page = parse_page(response.url, response.body, content_type)
            return page, read_products(page) if may_be_product else []
        except ValueError as error:
            self._reject(INVALID, f"{path_of(response.url)}: {error}")
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
            self._reject(reason, detail)

    # -- photos

    def _with_photo(self, item: PageProduct) -> Requests:
        """Ask for a product's photo; if there is none to ask for, the product is complete."""
        if item.photo is None or not self.spec.photos:
            self.tell(Found(item, None))
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

    def at_photo(self, response: Response, item: PageProduct) -> None:
        """Take a photo as it is, unless it is larger than anybody wants."""
        if len(response.body) > self.spec.max_photo_bytes:
            self._lost(item, TOO_LARGE, path_of(response.url))
        elif pixels(response.body) > self.spec.max_pixels:
            self._lost(item, "too many pixels", path_of(response.url))
        else:
            self.tell(Found(item, response.body))

    def lost_photo(self, failure: Failure) -> None:
        """Tell that a photo could not be fetched; its product stays."""
        request: Request = failure.request  # type: ignore[attr-defined]
        reason, words = explain(cast(Exception, failure.value))
        asked = request.meta.get("redirect_urls", [request.url])[0]
        self._lost(request.cb_kwargs["item"], reason, path_of(asked) + (f": {words}" if words else ""))

    def _lost(self, item: PageProduct, reason: str, detail: str) -> None:
        self.tell(Reject(item.product_id, PHOTO + reason, detail))
        self.tell(Found(item, None))

    # -- what is told

    def _reject(self, reason: str, detail: str) -> None:
        self.tell(Reject(None, reason, detail))

    def tell(self, told: Told) -> None:
        """Tell something to who started this process."""
        self.out.send(told)


class PhotoSpider(CatalogueSpider):
    """Fetches the start addresses as photos. The product that it tells with each has the address as its id."""

    name = "photos"

    async def start(self) -> AsyncIterator[Request]:
        """Ask for every photo."""
        for address in self.spec.start:
            item = PageProduct(address, brand=None, title=None, description=None, category=None, photo=address)
            try:
                requests = list(self._with_photo(item))
            except ValueError:  # Scrapy cannot make a request of it
                self._lost(item, "not an address", path_of(address, host=True))
                continue
            for request in requests:
                yield request


# What is lost, in words that are the same wherever and whenever the crawl ran


def explain(error: BaseException) -> tuple[str, str]:
    """Return the reason of a loss, and what else there is to say of it."""
    if isinstance(error, HttpError):
        status = error.response.status
        return _REASONS.get(status, _REASONS.get(status // 100, _REASONS[5])), f"status {status}"
    if isinstance(error, Refused):
        return error.reason, ""
    if isinstance(error, IgnoreRequest) and "redirections" in str(error):
        return "too many redirects", ""
    if isinstance(error, DownloadCancelledError | IgnoreRequest):  # the latter if it is so large when decompressed
        return TOO_LARGE, ""
    for kind, words in _BROKEN.items():
        if isinstance(error, kind):
            return "no answer", words
    return "no answer", "the answer broke off"


def path_of(address: str, host: bool = False) -> str:
    """Return an address's path and query, and before it, if asked, the host without a port.

    >>> path_of("http://127.0.0.1:8000/a?b=1#c"), path_of("http://169.254.169.254/a", host=True)
    ('/a?b=1', '169.254.169.254/a')
    """
    try:
        parts = urlsplit(address)
        name = (parts.hostname or f"{parts.scheme}:") if host else ""
    except ValueError:
        return address[:200]
    return f"{name}{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"[:200]


def pixels(photo: bytes) -> int:
    """Return how many pixels a photo's header states; 0 if nothing can be made of it.

    Pillow refuses to open very large ones, unless `Image.MAX_IMAGE_PIXELS` is None, as it is in the crawler's process.
    """
    try:
        with Image.open(io.BytesIO(photo), formats=_PHOTO_FORMATS) as image:
            return image.width * image.height
    except Exception:  # whatever a damaged header makes of Pillow: a later stage says that it is broken
        return 0
