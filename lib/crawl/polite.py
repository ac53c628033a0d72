"""What no request gets around, whoever makes it: hosts, addresses, robots.txt, patience with servers, and the cache.

All of it stands on what Scrapy and Twisted document: middlewares, a filter of duplicates, a resolver, a storage of
responses, and settings. What to crawl and for whom is the spider's: its `spec` and `hosts`.
"""

import asyncio
import sqlite3
import time
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, ClassVar

from scrapy import Request, signals
from scrapy.downloadermiddlewares.retry import RetryMiddleware
from scrapy.dupefilters import RFPDupeFilter
from scrapy.http import Headers, Response
from scrapy.http.request import NO_CALLBACK
from scrapy.resolver import CachingHostnameResolver
from scrapy.responsetypes import responsetypes
from scrapy.robotstxt import ProtegoRobotParser
from scrapy.settings import Settings
from scrapy.utils.httpobj import urlparse_cached
from w3lib.http import headers_dict_to_raw, headers_raw_to_dict

from lib.crawl.losses import CLOSED, TOO_SLOW, UNREADABLE, Refused, explain, host_of
from lib.crawl.spec import CrawlSpec, is_public, literal_address, split_host
from lib.files import remove

_LONGEST_WAIT_SECONDS = 120.0  # a server that asks for more patience is asked no more
_OFF = ("COOKIES", "METAREFRESH", "HTTPPROXY", "TELNETCONSOLE", "REMOTE_CONTROL", "MEMUSAGE")
_KEPT = frozenset({200, 301, 302, 303, 307, 308, 404, 410})  # the same is answered if it is asked again soon


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


class PoliteMiddleware(RetryMiddleware):
    """Refuses what may not be asked for, waits, and asks again after a passing fault.

    Nothing gets through to other hosts, round in a circle of redirects, or where robots.txt closes the site. robots.txt
    is obeyed as RFC 9309 has it: without one all is open, and while it cannot be read all is closed. Scrapy's own
    middleware takes what cannot be read for open, and has no documented place where to say otherwise. A Crawl-delay
    lies between any two requests to a host; what was fetched before does not wait.

    After a passing fault it asks again later, and later still, or when the server says; after *429 Too Many Requests*
    the whole host is left in peace until then.
    """

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self._rules: dict[str, asyncio.Future[ProtegoRobotParser | Refused]] = {}
        self._quiet_until: dict[str, float] = {}
        self._delays: dict[str, float] = {}  # of Scrapy's slots, which are called like hosts, without a port

    async def process_request(self, request: Request) -> None:
        """Refuse an address, or wait while its host is to be left in peace."""
        spider: Any = self.crawler.spider
        site = urlparse_cached(request)
        if refusal := spider.hosts.refusal(request.url):
            raise Refused(refusal, f"it leads to {host_of(request.url)}" if "redirect_urls" in request.meta else "")
        if request.url in request.meta.get("redirect_urls", ()):
            raise Refused("redirect circle")
        if spider.spec.robots and not request.meta.get("robots"):
            if site.netloc not in self._rules:
                address = f"{site.scheme}://{site.netloc}/robots.txt"
                self._rules[site.netloc] = asyncio.ensure_future(self._read_rules(address))
            rules = await self._rules[site.netloc]
            if isinstance(rules, Refused):
                raise Refused(rules.reason, rules.words)
            if not rules.allowed(request.url, spider.spec.user_agent):
                raise Refused(CLOSED)
        while (wait := self._quiet_until.get(site.netloc, 0.0) - time.monotonic()) > 0:
            await asyncio.sleep(wait)

    async def _read_rules(self, address: str) -> ProtegoRobotParser | Refused:
        engine: Any = self.crawler.engine
        ask = Request(address, NO_CALLBACK, priority=1000, meta={"robots": True})
        try:
            response = await engine.download_async(ask)
        except Exception as error:  # whatever keeps it from us
            return Refused(*explain(error, ask))
        if response.status != 200 and not 400 <= response.status < 500:
            return Refused(UNREADABLE, f"status {response.status}")
        rules = ProtegoRobotParser.from_crawler(self.crawler, response.body if response.status == 200 else b"")
        spider: Any = self.crawler.spider
        delay, most = rules.crawl_delay(spider.spec.user_agent) or 0.0, spider.spec.max_crawl_delay
        if delay > most:
            return Refused(TOO_SLOW, f"{delay:g} seconds, and `max_crawl_delay` is {most:g}")
        if delay:
            self._slow_down(urlparse_cached(ask).hostname or "", delay)
            spider.tell(f"robots.txt of {host_of(address)} asks for {delay:g} seconds between two requests.")
        return rules

    def _slow_down(self, slot: str, delay: float) -> None:
        """Let no less than `delay` lie between two requests of a slot, exactly, whatever AutoThrottle makes of it."""
        engine: Any = self.crawler.engine
        downloader = engine.downloader
        if not self._delays:  # after AutoThrottle, which listens from the start
            self.crawler.signals.connect(self.keep_delay, signals.response_downloaded)
        delay = self._delays[slot] = max(delay, self._delays.get(slot, 0.0), downloader.settings["DOWNLOAD_DELAY"])
        for_new = downloader.per_slot_settings.setdefault(slot, {})  # one that is made after a pause
        for_new |= {"delay": delay, "jitter": 0.0}
        if known := downloader.slots.get(slot):
            known.delay, known.jitter = max(delay, known.delay), 0.0

    def keep_delay(self, request: Request) -> None:
        """Take back what AutoThrottle has shortened."""
        engine: Any = self.crawler.engine
        name = request.meta["download_slot"]
        engine.downloader.slots[name].delay = max(engine.downloader.slots[name].delay, self._delays.get(name, 0.0))

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
        spider: Any = self.crawler.spider
        return min(float(spider.spec.retry_seconds * 2.0 ** request.meta.get("retry_times", 0)), _LONGEST_WAIT_SECONDS)


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


class Storage:
    """What was fetched, kept in one SQLite file, so that a crawl that was ended goes on where it was.

    SQLite keeps a row whole or not at all, so that no half of a response is ever taken for one. A file that is no
    database is made anew; one that cannot be written ends the crawl.
    """

    def __init__(self, settings: Settings) -> None:
        self._path = Path(settings["HTTPCACHE_DIR"]) / "responses.sqlite"
        self._keep_seconds = settings.getfloat("HTTPCACHE_EXPIRATION_SECS")

    def open_spider(self, spider: Any) -> None:
        """Open the file, and forget what is too old, unless all is kept for ever."""
        self._spider = spider
        try:
            self._file = self._open()
        except sqlite3.OperationalError as error:
            spider.fail(f"Cannot write {self._path}: {error}.")
        except sqlite3.DatabaseError:
            for damaged in self._path.parent.glob(f"{self._path.name}*"):
                remove(damaged)
            self._file = self._open()

    def _open(self) -> sqlite3.Connection:
        file = sqlite3.connect(self._path, isolation_level=None)
        file.execute("PRAGMA journal_mode=WAL")
        file.execute("PRAGMA synchronous=NORMAL")
        file.execute("CREATE TABLE IF NOT EXISTS kept (key BLOB PRIMARY KEY, time REAL, status, headers, body)")
        if self._keep_seconds:
            file.execute("DELETE FROM kept WHERE time < ?", (time.time() - self._keep_seconds,))
        return file

    def close_spider(self, spider: Any) -> None:
        """Close the file."""
        self._file.close()

    def retrieve_response(self, spider: Any, request: Request) -> Response | None:
        """Return a kept response, if there is one."""
        key = spider.crawler.request_fingerprinter.fingerprint(request)
        row = self._file.execute("SELECT status, headers, body FROM kept WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        status, fields, body = row
        headers = Headers(headers_raw_to_dict(fields))
        kind = responsetypes.from_args(headers=headers, url=request.url, body=body)
        return kind(url=request.url, status=status, headers=headers, body=body)

    def store_response(self, spider: Any, request: Request, response: Response) -> None:
        """Keep a response."""
        key = spider.crawler.request_fingerprinter.fingerprint(request)
        row = (key, time.time(), response.status, headers_dict_to_raw(response.headers), response.body)
        try:
            self._file.execute("INSERT OR REPLACE INTO kept VALUES (?, ?, ?, ?, ?)", row)
        except sqlite3.Error as error:
            spider.fail(f"Cannot write what was fetched to {self._path.parent}: {error}.")


def make_settings(spec: CrawlSpec, folder: Path) -> dict[str, Any]:
    """Return the settings for a crawl whose cache is in `folder`.

    Of Scrapy's parts those are off that would talk to others, follow what we do not (proxies, whose addresses nobody
    checks, and cookies), or only cost time.
    """
    delay = 1 / spec.requests_per_second if spec.requests_per_second else 0.0
    return {
        **{f"{part}_ENABLED": False for part in _OFF},
        "USER_AGENT": spec.user_agent,
        "REFERRER_POLICY": "no-referrer",
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
            "scrapy.downloadermiddlewares.retry.RetryMiddleware": None,
            "lib.crawl.polite.PoliteMiddleware": 550,
        },
        "DUPEFILTER_CLASS": "lib.crawl.polite.Unrepeated",
        "DOWNLOADER_STATS": False,
        "DOWNLOAD_VERIFY_CERTIFICATES": True,
        "URLLENGTH_LIMIT": 0,  # longer ones would be dropped without a word to anybody, and products wait for photos
        "HTTPCACHE_ENABLED": True,
        "HTTPCACHE_DIR": str(folder.resolve()),
        "HTTPCACHE_EXPIRATION_SECS": spec.cache_hours * 3600,
        "HTTPCACHE_STORAGE": "lib.crawl.polite.Storage",
        "HTTPCACHE_IGNORE_HTTP_CODES": sorted(set(range(1000)) - _KEPT),
        **({} if spec.private else {"TWISTED_DNS_RESOLVER": "lib.crawl.polite.PublicResolver"}),
        "LOG_LEVEL": "WARNING",
    }
