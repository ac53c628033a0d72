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
from scrapy.exceptions import IgnoreRequest
from scrapy.http import Response
from scrapy.utils.gz import gunzip, gzip_magic_number
from scrapy.utils.sitemap import Sitemap
from twisted.python.failure import Failure

from lib.config.base import INVALID, PHOTO, Reject
from lib.crawl.losses import (
    CLOSED,
    HINTS,
    KEYS,
    TOO_LARGE,
    TOO_MANY_PIXELS,
    asked_address,
    explain,
    host_of,
    path_of,
)
from lib.crawl.process import Ended, Found, Pages, Told
from lib.crawl.products import PageProduct, parse_page, read_products, resolve
from lib.crawl.spec import MAX_SITEMAP_BYTES, CrawlSpec, Hosts
from lib.exceptions import StudyError

Requests = Iterator[Request]

_FIRST, _NEXT, _LAST = 2, 1, 0  # photos before pages before sitemaps, so that little waits at a time
_PHOTO_FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF")


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
        self.missed: Counter[str] = Counter()
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
            self.tell(Ended(self.counts, self.missed))

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
            body = gunzip(response.body, max_size=MAX_SITEMAP_BYTES) if gzip_magic_number(response) else response.body
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
                self._reject(refusal, f"{path_of(address, host=True)}: a sitemap names it")
                self._miss("pages that sitemaps name on", address, refusal)
            elif is_index:
                yield self._page(address, _LAST, sitemap=True)
            elif self._wanted(address):
                yield self._page(address, _NEXT, named=True)

    def at_page(self, response: Response) -> Requests:
        """Read a page, unless it was read before: products, or links."""
        request = cast(Request, response.request)
        if len(response.body) > self.spec.max_page_bytes:  # a start address may be a sitemap, which may be larger
            self._lose(request, TOO_LARGE, "")
            return
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
                else:
                    self.counts["pages that `products` leaves out"] += 1
                links = [] if items else page.links()
                self._has_products[key] = bool(items)
            except ValueError as error:
                self._reject(INVALID, f"{path_of(response.url)}: {error}")
                self._has_products[key] = True
            for item in items:
                yield from self._with_photo(item)
            for address in links:
                if refusal := self.hosts.refusal(address):
                    self.counts["links elsewhere"] += 1
                    self._miss("links to", address, refusal)
                elif self.spec.follow and self._wanted(address):
                    yield self._page(address, _NEXT)
                else:
                    self.counts["links that `follow` leaves out"] += 1
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
        meta["download_maxsize"] = max(MAX_SITEMAP_BYTES if sitemap else 0, self.spec.max_page_bytes)
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
            self._miss("photos on", item.photo, refusal)

    def at_photo(self, response: Response, item: PageProduct) -> None:
        """Take a photo as it is, unless it is larger than anybody wants."""
        if len(response.body) > self.spec.max_photo_bytes:
            self._lose(cast(Request, response.request), TOO_LARGE, "")
        elif pixels(response.body) > self.spec.max_pixels:
            self._lose(cast(Request, response.request), TOO_MANY_PIXELS, "")
        else:
            self.tell(Found(item, response.body))

    # -- what is lost

    def lost(self, failure: Failure) -> None:
        """Tell that a page or a photo could not be fetched; the photo's product stays."""
        request: Request = failure.request  # type: ignore[attr-defined]
        self._lose(request, *explain(cast(Exception, failure.value), request))

    def _lose(self, request: Request, reason: str, words: str) -> None:
        asked, is_photo = asked_address(request), "item" in request.cb_kwargs
        detail = path_of(asked) + (f": {words}" if words else "")
        if request.meta.get("start"):
            hint = HINTS.get(reason, "").format(hosts=", ".join(self.spec.hosts))
            self.fail(f"The start address {asked} cannot be had: {reason}{words and f' ({words})'}. {hint}".rstrip())
            return
        kind = "photos" if is_photo else "pages"
        leads = "that lead to" if "redirect_urls" in request.meta else "on"
        self._miss(f"{kind} {leads}", request.url, reason)
        if is_photo:
            self._lose_photo(request.cb_kwargs["item"], reason, detail)
        elif reason == CLOSED and not (request.meta.get("named") or self._is_product(asked)):
            self.counts[CLOSED] += 1
        else:
            self._reject(reason, detail)

    def _miss(self, what: str, address: str, reason: str) -> None:
        """Count what was passed over, by host and reason, with the key that decides it: for the end of the crawl."""
        key = KEYS.get(reason, "").format("photo" if what.startswith("photos") else "page")
        self.missed[f"{what} {host_of(address)}: {reason}{f' (`{key}`)' if key else ''}"] += 1

    def _lose_photo(self, item: PageProduct, reason: str, detail: str) -> None:
        self.tell(Reject(item.product_id, PHOTO + reason, detail))
        self.tell(Found(item, None))

    def _reject(self, reason: str, detail: str) -> None:
        self.tell(Reject(None, reason, detail))


def pixels(photo: bytes) -> int:
    """Return how many pixels a photo's header states; 0 if nothing can be made of it.

    Pillow refuses to open very large ones, unless `Image.MAX_IMAGE_PIXELS` is None, as it is in the crawler's process.
    """
    try:
        with Image.open(io.BytesIO(photo), formats=_PHOTO_FORMATS) as image:
            return image.width * image.height
    except Exception:  # whatever a damaged header makes of Pillow: a later stage says that it is broken
        return 0
