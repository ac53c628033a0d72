"""What no request gets around, whoever makes it: hosts, addresses, robots.txt, and patience with servers.

All of it stands on what Scrapy and Twisted document: middlewares, a filter of duplicates, a resolver and settings.
"""

import asyncio
import time
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, ClassVar, Self

from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.downloadermiddlewares.retry import RetryMiddleware
from scrapy.dupefilters import RFPDupeFilter
from scrapy.exceptions import IgnoreRequest
from scrapy.http import Response
from scrapy.http.request import NO_CALLBACK
from scrapy.resolver import CachingHostnameResolver
from scrapy.robotstxt import ProtegoRobotParser
from scrapy.utils.httpobj import urlparse_cached

from lib.crawl.spec import CrawlSpec, Hosts, is_public, literal_address, split_host

CLOSED = "closed by robots.txt"
_LONGEST_WAIT_SECONDS = 120.0  # a server that asks for more patience is asked no more
_OFF = ("COOKIES", "METAREFRESH", "HTTPPROXY", "TELNETCONSOLE", "REMOTE_CONTROL", "MEMUSAGE")
_UNUSED = ("logstats.LogStats", "feedexport.FeedExporter", "closespider.CloseSpider", "spiderstate.SpiderState")


class Refused(IgnoreRequest):
    """A request that is not made, and why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Unrepeated(RFPDupeFilter):
    """Drops what was asked for before, but nothing that a redirect leads to: the spider sees to that, and says so."""

    def request_seen(self, request: Request) -> bool:
        """Whether to drop a request."""
        return "redirect_urls" not in request.meta and super().request_seen(request)


class PublicResolver(CachingHostnameResolver):
    """Resolves names, and keeps those addresses only that are of the public internet.

    The connection is made to an address that passed here, so that a name which means something else a moment later
    leads nowhere either. All hosts pass here, those that are addresses themselves too.
    """

    refused: ClassVar[set[str]] = set()  # the names of which no address was left

    def resolveHostName(self, resolutionReceiver: Any, hostName: str, *args: Any, **kwargs: Any) -> Any:
        """Resolve a name (an interface of Twisted's)."""
        receiver: Any = _PublicOnly(resolutionReceiver, hostName)
        return super().resolveHostName(receiver, hostName, *args, **kwargs)


class _PublicOnly:
    """Receives the addresses of a name (an interface of Twisted's), and passes on those that are public."""

    def __init__(self, receiver: Any, name: str) -> None:
        self._receiver, self._name = receiver, name
        self._met = self._passed = 0

    def resolutionBegan(self, resolution: Any) -> None:
        self._receiver.resolutionBegan(resolution)

    def addressResolved(self, address: Any) -> None:
        self._met += 1
        literal = literal_address(address.host)
        if literal is not None and is_public(literal):
            self._passed += 1
            self._receiver.addressResolved(address)

    def resolutionComplete(self) -> None:
        if self._met and not self._passed:
            PublicResolver.refused.add(self._name)
        self._receiver.resolutionComplete()


class GateMiddleware:
    """Lets nothing through to other hosts, nor round in a circle of redirects, nor where robots.txt closes the site.

    robots.txt is obeyed as RFC 9309 has it: without one all is open, and while it cannot be read all is closed.
    Scrapy's own middleware takes what cannot be read for open, and has no documented place where to say otherwise.
    """

    def __init__(self, crawler: Crawler) -> None:
        self._crawler: Any = crawler
        self._hosts = Hosts(crawler.settings.getlist("CRAWL_HOSTS"))
        self._obeys = crawler.settings.getbool("ROBOTSTXT_OBEY")
        self._agent: str = crawler.settings["USER_AGENT"]
        self._rules: dict[str, asyncio.Future[ProtegoRobotParser | None]] = {}

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Make it as the settings say."""
        return cls(crawler)

    async def process_request(self, request: Request) -> None:
        """Refuse an address."""
        if refusal := self._hosts.refusal(request.url):
            raise Refused(refusal)
        if request.url in request.meta.get("redirect_urls", ()):
            raise Refused("redirect circle")
        if not self._obeys or request.meta.get("robots"):
            return
        site = urlparse_cached(request)
        if site.netloc not in self._rules:
            self._rules[site.netloc] = asyncio.ensure_future(self._read(f"{site.scheme}://{site.netloc}/robots.txt"))
        rules = await self._rules[site.netloc]
        if rules is None:
            raise Refused("robots.txt cannot be read")
        if not rules.allowed(request.url, self._agent):
            raise Refused(CLOSED)

    async def _read(self, address: str) -> ProtegoRobotParser | None:
        ask = Request(address, NO_CALLBACK, priority=1000, meta={"robots": True})
        try:
            response = await self._crawler.engine.download_async(ask)
        except Exception:  # whatever keeps it from us
            return None
        if response.status != 200 and not 400 <= response.status < 500:
            return None
        return ProtegoRobotParser.from_crawler(self._crawler, response.body if response.status == 200 else b"")


class PatientMiddleware(RetryMiddleware):
    """Asks again after a passing fault: later, and later still, or when the server says.

    After *429 Too Many Requests* the whole host is left in peace until then.
    """

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self._first_wait = settings.getfloat("CRAWL_RETRY_SECONDS")
        self._quiet_until: dict[str, float] = {}

    async def process_request(self, request: Request) -> None:
        """Wait while the host is to be left in peace."""
        while (wait := self._quiet_until.get(urlparse_cached(request).netloc, 0.0) - time.monotonic()) > 0:
            await asyncio.sleep(wait)

    async def process_response(self, request: Request, response: Response) -> Request | Response:  # type: ignore[override]
        """Ask again if the response is a passing fault."""
        result = super().process_response(request, response)
        if isinstance(result, Request):
            wait = max(self._usual_wait(request), retry_after(response.headers.get("Retry-After"), time.time()))
            if wait > _LONGEST_WAIT_SECONDS:
                return response
            if response.status == 429:
                self._quiet_until[urlparse_cached(request).netloc] = time.monotonic() + wait
            await asyncio.sleep(wait)
        return result

    async def process_exception(self, request: Request, exception: Exception) -> Request | Response | None:  # type: ignore[override]
        """Ask again if the server did not answer."""
        if urlparse_cached(request).hostname in PublicResolver.refused:
            raise Refused("private address") from exception
        result = super().process_exception(request, exception)
        if result is not None:
            await asyncio.sleep(self._usual_wait(request))
        return result

    def _usual_wait(self, request: Request) -> float:
        """Return how many seconds to wait if the server asks for none."""
        return min(float(self._first_wait * 2.0 ** request.meta.get("retry_times", 0)), _LONGEST_WAIT_SECONDS)


def retry_after(header: bytes | None, now: float) -> float:
    """Return the seconds that a *Retry-After* header asks for: a number, or a date.

    >>> retry_after(b"7", 0), retry_after(b"Thu, 01 Jan 1970 00:01:00 GMT", 20), retry_after(b"soon", 0)
    (7.0, 40.0, 0.0)
    """
    text = (header or b"").decode("latin-1").strip()
    if text.isdecimal() and text.isascii():
        return float(text)
    try:
        return max(parsedate_to_datetime(text).timestamp() - now, 0.0)
    except ValueError:
        return 0.0


def make_settings(spec: CrawlSpec, folder: Path) -> dict[str, Any]:
    """Return the settings for a crawl whose cache is in `folder`.

    Of Scrapy's parts those are off that would talk to others, follow what we do not (proxies, whose addresses nobody
    checks, and cookies), or only cost time.
    """
    theirs = "scrapy.downloadermiddlewares"
    delay = 1 / spec.requests_per_second if spec.requests_per_second else 0.0
    return {
        **{f"{part}_ENABLED": False for part in _OFF},
        "USER_AGENT": spec.user_agent,
        "REFERRER_POLICY": "no-referrer",
        "ROBOTSTXT_OBEY": spec.robots,
        "AUTOTHROTTLE_ENABLED": spec.throttle,
        "AUTOTHROTTLE_START_DELAY": max(delay, 1.0),
        "AUTOTHROTTLE_TARGET_CONCURRENCY": float(spec.concurrent_requests),
        "DOWNLOAD_DELAY": delay,
        # more may wait for a second try than may be under way
        "CONCURRENT_REQUESTS": 4 * spec.concurrent_requests * len(spec.hosts),
        "DOWNLOAD_SLOTS": {split_host(name)[0]: {"concurrency": spec.concurrent_requests} for name in spec.hosts},
        # how many connections stay open: more, for one that is free again is known as such only a moment later
        "CONCURRENT_REQUESTS_PER_DOMAIN": 2 * spec.concurrent_requests,
        "CONCURRENT_ITEMS": 1,  # Scrapy makes so many tasks for each response
        "DOWNLOAD_TIMEOUT": spec.timeout_seconds,
        "DOWNLOAD_MAXSIZE": spec.max_page_bytes,
        "RETRY_GIVE_UP_LOG_LEVEL": "DEBUG",  # it is told as a reject
        "RETRY_TIMES": spec.retries,
        "REDIRECT_MAX_TIMES": spec.max_redirects,
        "DOWNLOAD_HANDLERS": dict.fromkeys(("file", "ftp", "s3", "data")),
        "DOWNLOADER_MIDDLEWARES": {
            f"{theirs}.offsite.OffsiteMiddleware": None,
            f"{theirs}.robotstxt.RobotsTxtMiddleware": None,
            f"{theirs}.retry.RetryMiddleware": None,
            f"{theirs}.httpauth.HttpAuthMiddleware": None,
            "lib.crawl.polite.GateMiddleware": 10,
            "lib.crawl.polite.PatientMiddleware": 550,
        },
        "DUPEFILTER_CLASS": "lib.crawl.polite.Unrepeated",
        "DOWNLOADER_STATS": False,
        "DOWNLOAD_VERIFY_CERTIFICATES": True,
        "EXTENSIONS": dict.fromkeys(f"scrapy.extensions.{name}" for name in _UNUSED),
        # The latter drops what is longer than 2,083 characters without a word to anybody, and products wait for photos.
        "SPIDER_MIDDLEWARES": dict.fromkeys(
            f"scrapy.spidermiddlewares.{name}" for name in ("depth.DepthMiddleware", "urllength.UrlLengthMiddleware")
        ),
        "HTTPCACHE_ENABLED": True,
        "HTTPCACHE_DIR": str(folder.resolve()),
        "HTTPCACHE_EXPIRATION_SECS": spec.cache_hours * 3600,
        "HTTPCACHE_STORAGE": "lib.crawl.cache.Storage",
        "HTTPCACHE_POLICY": "lib.crawl.cache.Lasting",
        **({} if spec.private else {"TWISTED_DNS_RESOLVER": "lib.crawl.polite.PublicResolver"}),
        "CRAWL_HOSTS": spec.hosts,
        "CRAWL_RETRY_SECONDS": spec.retry_seconds,
        "LOG_LEVEL": "WARNING",
        "STATS_DUMP": False,
    }
