"""What no request gets around, whoever makes it: hosts, addresses, robots.txt, and patience with servers."""

import asyncio
import time
from email.utils import parsedate_to_datetime
from typing import Any, ClassVar, Self

from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.downloadermiddlewares.redirect import RedirectMiddleware
from scrapy.downloadermiddlewares.retry import RetryMiddleware
from scrapy.downloadermiddlewares.robotstxt import RobotsTxtMiddleware
from scrapy.exceptions import IgnoreRequest
from scrapy.http import Response
from scrapy.resolver import CachingHostnameResolver
from scrapy.robotstxt import RobotParser
from scrapy.utils.httpobj import urlparse_cached

from lib.crawl.hosts import Hosts, is_public, literal_address

CLOSED = "closed by robots.txt"
UNREAD = "robots.txt cannot be read"
CIRCLE = "redirect circle"
PRIVATE = "private address"
_LONGEST_WAIT_SECONDS = 120.0  # a server that asks for more patience is asked no more
_ALLOW, _CLOSE = b"", b"User-agent: *\nDisallow: /"


class Refused(IgnoreRequest):
    """A request that is not made, and why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class HostsMiddleware:
    """Lets nothing through to other hosts."""

    def __init__(self, hosts: Hosts) -> None:
        self._hosts = hosts

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Make it for the hosts of the settings."""
        return cls(Hosts(crawler.settings.getlist("CRAWL_HOSTS")))

    def process_request(self, request: Request) -> None:
        """Refuse an address."""
        if refusal := self._hosts.refusal(request.url):
            raise Refused(refusal)


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
        self._found = self._passed = 0

    def resolutionBegan(self, resolution: Any) -> None:
        self._receiver.resolutionBegan(resolution)

    def addressResolved(self, address: Any) -> None:
        self._found += 1
        literal = literal_address(address.host)
        if literal is not None and is_public(literal):
            self._passed += 1
            self._receiver.addressResolved(address)

    def resolutionComplete(self) -> None:
        if self._found and not self._passed:
            PublicResolver.refused.add(self._name)
        self._receiver.resolutionComplete()


class RobotsMiddleware(RobotsTxtMiddleware):
    """Obeys robots.txt as RFC 9309 has it: without one all is open, and while it cannot be read all is closed."""

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        self._unread: set[str] = set()

    def process_request_2(self, rp: RobotParser | None, request: Request) -> None:
        """Refuse what is closed."""
        try:
            super().process_request_2(rp, request)
        except IgnoreRequest as error:
            raise Refused(UNREAD if urlparse_cached(request).netloc in self._unread else CLOSED) from error

    async def _parse_robots(self, response: Response, netloc: str, request: Request) -> None:
        if 400 <= response.status < 500:
            response = response.replace(body=_ALLOW)
        elif response.status != 200:
            self._unread.add(netloc)
            response = response.replace(body=_CLOSE)
        await super()._parse_robots(response, netloc, request)

    def _robots_error(self, exc: Exception, netloc: str) -> None:
        self._unread.add(netloc)
        waiting: Any = self._parsers[netloc]
        self._parsers[netloc] = closed = self._parserimpl.from_crawler(self.crawler, _CLOSE)
        waiting.callback(closed)


class CircleMiddleware(RedirectMiddleware):
    """Follows redirects, but not in circles."""

    def _engine_started(self) -> None:
        """Do without referrers, and without a warning of it."""

    def _redirect(self, redirected: Request, request: Request, reason: Any) -> Request:
        if redirected.url in (request.url, *request.meta.get("redirect_urls", [])):
            raise Refused(CIRCLE)
        try:
            following = super()._redirect(redirected, request, reason)
        except IgnoreRequest as error:
            raise Refused("too many redirects") from error
        following.dont_filter = True  # the spider sees whether it has the page already, and says so
        return following


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
            wait = self._wait(request, response.headers.get("Retry-After"))
            if wait > _LONGEST_WAIT_SECONDS:
                return response
            if response.status == 429:
                self._quiet_until[urlparse_cached(request).netloc] = time.monotonic() + wait
            await asyncio.sleep(wait)
        return result

    async def process_exception(self, request: Request, exception: Exception) -> Request | Response | None:  # type: ignore[override]
        """Ask again if the server did not answer."""
        if urlparse_cached(request).hostname in PublicResolver.refused:
            raise Refused(PRIVATE) from exception
        result = super().process_exception(request, exception)
        if result is not None:
            await asyncio.sleep(self._wait(request, None))
        return result

    def _wait(self, request: Request, asked_for: bytes | None) -> float:
        """Return how many seconds to wait, given the header in which a server asks for some."""
        doubled: float = self._first_wait * 2.0 ** request.meta.get("retry_times", 0)
        return max(min(doubled, _LONGEST_WAIT_SECONDS), retry_after(asked_for, time.time()))


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
