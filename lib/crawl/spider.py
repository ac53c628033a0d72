"""The spider: from start addresses over sitemaps and listings to product pages and photos, and what is lost."""

import io
import re
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from multiprocessing.connection import Connection
from typing import Any, cast
from urllib.parse import urlsplit

import scrapy
from lxml.etree import LxmlError
from PIL import Image
from scrapy import Request
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

from lib.config.base import INVALID, PHOTO, Reject
from lib.crawl.polite import CLOSED, Refused
from lib.crawl.process import Found, Pages, Told
from lib.crawl.products import PageProduct, parse_page, read_products, resolve
from lib.crawl.spec import CrawlSpec, Hosts
from lib.exceptions import StudyError

Requests = Iterator[Request]

_SITEMAP_BYTES = 50 * 2**20  # the most that a sitemap may have (sitemaps.org)
_FIRST, _NEXT, _LAST = 2, 1, 0  # photos before pages before sitemaps, so that little waits at a time
_PHOTO_FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF")
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
    only_photos
        Whether the start addresses are those of photos. The product that is told with each has the address as its id.
    """

    name = "catalogue"

    def __init__(self, spec: CrawlSpec, out: Connection, only_photos: bool = False) -> None:
        super().__init__()
        self.spec, self.out, self.only_photos = spec, out, only_photos
        self.hosts = Hosts(spec.hosts)
        self.counts: Counter[str] = Counter()
        self._has_products: dict[bytes, bool] = {}  # of the pages that were read

    async def start(self) -> AsyncIterator[Request]:
        """Ask for the start addresses; from now on an error in a callback ends the crawl."""
        self.crawler.signals.connect(self.failed, signal=scrapy.signals.spider_error)
        for address in self.spec.start:
            if self.only_photos:
                item = PageProduct(address, brand=None, title=None, description=None, category=None, photo=address)
                for request in self._with_photo(item):
                    yield request
            else:
                yield self._page(address, _NEXT, sitemap=True, start=True)

    def closed(self, reason: str) -> None:
        """Tell that all is told, and how much there was."""
        if reason == "finished":
            self.tell(self.counts)

    def failed(self, failure: Failure) -> None:
        """End the crawl because of an error of ours."""
        self.fail(f"The crawler failed: {failure.value!r}.")

    def fail(self, message: str) -> None:
        """Tell why the crawl cannot go on; who reads it ends this process."""
        self.tell(StudyError(message))

    def tell(self, told: Told) -> None:
        """Tell something to who started this process."""
        self.out.send(told)

    # -- pages

    def at_start(self, response: Response) -> Requests:
        """Read what a start address or a sitemap leads to: a sitemap, whose pages are asked for, or a page."""
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
            return
        is_index = sitemap.type == "sitemapindex"
        self.counts["sitemaps"] += 1
        self.counts["named pages"] += 0 if is_index else len(entries)
        for named in entries:
            address = resolve(response.url, named)
            if refusal := self.hosts.refusal(address):
                self._reject(refusal, path_of(address, host=True))
            elif is_index:
                yield self._page(address, _LAST, sitemap=True)
            elif self._wanted(address):
                yield self._page(address, _NEXT, named=True)

    def at_page(self, response: Response) -> Requests:
        """Read a page, unless it was read before: products, or links."""
        request = cast(Request, response.request)
        key = self.crawler.request_fingerprinter.fingerprint(request)
        asked = asked_address(request)
        if key in self._has_products:
            self.counts["repeated pages"] += 1
        else:
            self.counts["pages"] += 1
            if self.counts["pages"] == self.spec.max_pages + 1:
                self.fail(f"There are more than {self.spec.max_pages:,} pages. Follow fewer links, or raise max_pages.")
            links, items = [], []
            try:
                page = parse_page(response.url, response.body, response.headers.get("Content-Type"))
                if self.spec.products is None or self._is_product(asked) or self._is_product(response.url):
                    items = read_products(page)
                links = [] if items else page.links()
                self._has_products[key] = bool(items)
            except ValueError as error:
                self._reject(INVALID, f"{path_of(response.url)}: {error}")
                self._has_products[key] = True
            for item in items:
                yield from self._with_photo(item)
            for address in links if self.spec.follow else []:
                if self.hosts.refusal(address):
                    self.counts["links elsewhere"] += 1
                elif self._wanted(address):
                    yield self._page(address, _NEXT)
        if not self._has_products[key] and self._is_product(asked):
            self._reject("not a product", path_of(asked))
        self.tell(Pages(self.counts["pages"], self.counts["named pages"]))

    def _wanted(self, address: str) -> bool:
        if isinstance(self.spec.follow, re.Pattern) and not self._is_product(address):
            return bool(self.spec.follow.search(urlsplit(address).path))
        return bool(self.spec.follow) or self.spec.products is None or self._is_product(address)

    def _is_product(self, address: str) -> bool:
        """Whether the address is surely that of a product's page."""
        return bool(self.spec.products and self.spec.products.search(urlsplit(address).path))

    def _page(self, address: str, priority: int, sitemap: bool = False, **meta: Any) -> Request:
        callback = self.at_start if sitemap else self.at_page
        meta["download_maxsize"] = max(_SITEMAP_BYTES if sitemap else 0, self.spec.max_page_bytes)
        return Request(address, callback, errback=self.lost, priority=priority, meta=meta)

    # -- photos

    def _with_photo(self, item: PageProduct) -> Requests:
        """Ask for a product's photo; if there is none to ask for, the product is complete."""
        if item.photo is None or not self.spec.photos:
            self.tell(Found(item, None))
            return
        try:
            if not (refusal := self.hosts.refusal(item.photo)):
                yield Request(
                    item.photo,
                    self.at_photo,
                    errback=self.lost,
                    cb_kwargs={"item": item},
                    dont_filter=True,
                    priority=_FIRST,
                    meta={"download_maxsize": self.spec.max_photo_bytes},
                )
        except ValueError:  # Scrapy cannot make a request of it
            refusal = "not an address"
        if refusal:
            self._lose_photo(item, refusal, path_of(item.photo, host=True))

    def at_photo(self, response: Response, item: PageProduct) -> None:
        """Take a photo as it is, unless it is larger than anybody wants."""
        if len(response.body) > self.spec.max_photo_bytes:
            self._lose_photo(item, TOO_LARGE, path_of(response.url))
        elif pixels(response.body) > self.spec.max_pixels:
            self._lose_photo(item, "too many pixels", path_of(response.url))
        else:
            self.tell(Found(item, response.body))

    # -- what is lost

    def lost(self, failure: Failure) -> None:
        """Tell that a page or a photo could not be fetched; the photo's product stays."""
        request: Request = failure.request  # type: ignore[attr-defined]
        asked = asked_address(request)
        reason, words = explain(cast(Exception, failure.value))
        detail = path_of(asked) + (f": {words}" if words else "")
        if "item" in request.cb_kwargs:
            self._lose_photo(request.cb_kwargs["item"], reason, detail)
        elif request.meta.get("start"):
            self.fail(f"The start address {asked} cannot be had: {reason}{f' ({words})' if words else ''}.")
        elif reason == CLOSED and not (request.meta.get("named") or self._is_product(asked)):
            self.counts[CLOSED] += 1
        else:
            self._reject(reason, detail)

    def _lose_photo(self, item: PageProduct, reason: str, detail: str) -> None:
        self.tell(Reject(item.product_id, PHOTO + reason, detail))
        self.tell(Found(item, None))

    def _reject(self, reason: str, detail: str) -> None:
        self.tell(Reject(None, reason, detail))


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
    words = (words for kind, words in _BROKEN.items() if isinstance(error, kind))
    return "no answer", next(words, "the answer broke off")


def asked_address(request: Request) -> str:
    """Return the address that was asked for before any redirect."""
    return str(request.meta.get("redirect_urls", [request.url])[0])


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
