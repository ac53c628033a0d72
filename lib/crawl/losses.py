"""What is lost on the way and why, in words that are the same wherever and whenever a crawl ran.

Each reason names the key of the catalogue's file that decides it, if there is one.
"""

from collections.abc import Mapping
from urllib.parse import urlsplit

from scrapy import Request
from scrapy.exceptions import (
    CannotResolveHostError,
    DownloadCancelledError,
    DownloadConnectionRefusedError,
    DownloadTimeoutError,
    IgnoreRequest,
)
from scrapy.spidermiddlewares.httperror import HttpError

from lib.crawl.spec import OFF_HOST, literal_address

CLOSED = "closed by robots.txt"
UNREADABLE = "robots.txt cannot be read"
TOO_SLOW = "robots.txt asks for too long a Crawl-delay"
TOO_LARGE, TOO_MANY_PIXELS = "too large", "too many pixels"
NO_ANSWER = "no answer"
TOO_MANY_REDIRECTS = "too many redirects"

KEYS: Mapping[str, str] = {
    OFF_HOST: "hosts",
    CLOSED: "robots",
    UNREADABLE: "robots",
    TOO_SLOW: "max_crawl_delay",
    TOO_LARGE: "max_{}_bytes",
    TOO_MANY_PIXELS: "max_pixels",
    TOO_MANY_REDIRECTS: "max_redirects",
    "private address": "private",
}
"""Which key of the catalogue's file decides, by the reason; with *page* or *photo* in the braces."""

HINTS: Mapping[str, str] = {
    OFF_HOST: "`hosts` lists {hosts}: add that one, if you may crawl it, or begin at one of these.",
    CLOSED: "Ask its owner; `robots: false` is for a site of your own.",
    UNREADABLE: "While it cannot be, all is closed: try later. `robots: false` is for a site of your own.",
    TOO_SLOW: "Raise that, or ask its owner; `robots: false` is for a site of your own.",
    NO_ANSWER: "Are the host and its port, in `start` and in `hosts`, spelt right, and does it answer a browser?",
    TOO_LARGE: "A page may have `max_page_bytes`, and a sitemap 50 MiB.",
    "private address": "If it is your own machine or network, say `private: true`.",
}
"""What to do if a start address cannot be had, by the reason."""

_BROKEN = {
    CannotResolveHostError: "no name server knows {}",
    DownloadConnectionRefusedError: "{} refused the connection",
    DownloadTimeoutError: "{} took too long",
}
_REASONS = {404: "not found", 410: "not found", 3: "bad redirect", 4: "refused by the server", 5: "server error"}


class Refused(IgnoreRequest):
    """A request that is not made: the reason, and what else there is to say of it."""

    def __init__(self, reason: str, words: str = "") -> None:
        super().__init__(reason)
        self.reason, self.words = reason, words


def explain(error: BaseException, request: Request) -> tuple[str, str]:
    """Return the reason of a loss, and what else there is to say of it."""
    if isinstance(error, HttpError):
        status = error.response.status
        return _REASONS.get(status, _REASONS.get(status // 100, _REASONS[5])), f"status {status}"
    if isinstance(error, Refused):
        return error.reason, error.words
    if isinstance(error, IgnoreRequest) and "redirections" in str(error):
        return TOO_MANY_REDIRECTS, ""
    if isinstance(error, DownloadCancelledError | IgnoreRequest):  # the latter if it is so large when decompressed
        return TOO_LARGE, ""
    words = next((words for kind, words in _BROKEN.items() if isinstance(error, kind)), "the answer of {} broke off")
    return NO_ANSWER, words.format(host_of(request.url))


def asked_address(request: Request) -> str:
    """Return the address that was asked for before any redirect."""
    return str(request.meta.get("redirect_urls", [request.url])[0])


def host_of(address: str) -> str:
    """Return an address's host, as `hosts` would list it.

    A port after numbers is left out: this machine gives the embedded shop another one each time.

    >>> host_of("https://Shop.example:8443/a"), host_of("http://shop.example/"), host_of("http://127.0.0.1:41234/a")
    ('shop.example:8443', 'shop.example', '127.0.0.1')
    """
    try:
        parts = urlsplit(address)
        name, port = parts.hostname or f"{parts.scheme}:", parts.port
    except ValueError:
        return address[:100]
    return f"{name}:{port}"[:100] if port and literal_address(name) is None else name[:100]


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
