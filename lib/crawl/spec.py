"""What to crawl, how politely, and where it may go: to hosts that are named, at public addresses, over HTTP only."""

import re
import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StrictBool, model_validator

from lib.config import Size, Strict
from lib.config.base import MAX_PHOTO_BYTES
from lib.exceptions import nearest

OFF_HOST = "off host"
_PORTS = {"http": 80, "https": 443}
MAX_SITEMAP_BYTES = 50 * 2**20  # the most that a sitemap may have (sitemaps.org)
_NAT64 = range(0x0064_FF9B << 96, (0x0064_FF9B << 96) + 2**32)  # 64:ff9b::/96, which embeds IPv4


class Hosts:
    """The hosts that a catalogue names, each as `name` or `name:port`.

    Examples
    --------
    >>> hosts = Hosts(["shop.example", "127.0.0.1:8000"])
    >>> hosts.refusal("https://SHOP.example/a"), hosts.refusal("http://127.0.0.1:8000/")
    (None, None)
    >>> hosts.refusal("https://shop.example:8443/"), hosts.refusal("file:///etc/passwd")
    ('off host', 'not http or https')
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._known = {split_host(name) for name in names}

    def refusal(self, address: str) -> str | None:
        """Say why an address may not be asked for; None if it may."""
        try:
            parts = urlsplit(address)
            if parts.scheme not in _PORTS:
                return "not http or https"
            if "@" in parts.netloc:
                return "credentials in the address"
            usual = _PORTS[parts.scheme]
            name, port = _canonical(parts.hostname or ""), usual if parts.port is None else parts.port
        except ValueError:
            return "not an address"
        known = (name, port) in self._known or (port == usual and (name, None) in self._known)
        return None if known else OFF_HOST


def split_host(name: str) -> tuple[str, int | None]:
    """Split a host as a catalogue's file names it into name and port.

    Raises
    ------
    ValueError
        If it is anything but a name with or without a port.

    Examples
    --------
    >>> split_host("Shop.Example:8080"), split_host("[::1]:80")
    (('shop.example', 8080), ('::1', 80))
    """
    parts = urlsplit(f"//{name}")
    if parts.netloc != name or "@" in name or not parts.hostname:
        raise ValueError(f"expected a host such as 'www.example.com' or 'localhost:8000', got '{name}'")
    return _canonical(parts.hostname), parts.port


def _canonical(name: str) -> str:
    """Write a name in lower case, in ASCII, and without a final dot."""
    name = name.lower().rstrip(".")
    try:
        return name if name.isascii() else name.encode("idna").decode()
    except UnicodeError:
        return name


def literal_address(host: str) -> IPv4Address | IPv6Address | None:
    """Return the IP address that a host's name spells in any way that systems understand, if it is no name.

    >>> [str(literal_address(host)) for host in ("127.1", "0x7f000001", "2130706433", "0177.0.0.1", "shop.example")]
    ['127.0.0.1', '127.0.0.1', '127.0.0.1', '127.0.0.1', 'None']
    """
    try:
        return ip_address(host.partition("%")[0])
    except ValueError:
        pass
    try:
        return IPv4Address(socket.inet_aton(host)) if re.fullmatch(r"[0-9a-fx.]+", host, re.IGNORECASE) else None
    except OSError:
        return None


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address is one of the public internet: not of this machine, a private network, a link or a group.

    >>> [is_public(ip_address(name)) for name in ("8.8.8.8", "169.254.169.254", "::ffff:10.0.0.1")]
    [True, False, False]
    """
    if isinstance(address, IPv6Address):
        if int(address) in _NAT64:
            return is_public(IPv4Address(int(address) & 0xFFFF_FFFF))
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo and address.teredo[1])
        if inner:
            return is_public(inner)
        if address.is_site_local:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def is_private_host(name: str) -> bool:
    """Whether a catalogue names a host that is plainly of this machine or of a private network."""
    host, _ = split_host(name)
    literal = literal_address(host)
    if literal is not None:
        return not is_public(literal)
    return host == "localhost" or host.endswith((".localhost", ".local", ".internal", ".lan", ".home.arpa"))


# What a catalogue's file says


Host = Annotated[str, AfterValidator(lambda name: split_host(name) and name)]


class FetchSpec(Strict):
    """Whom to ask, how politely, and within which limits.

    Attributes
    ----------
    hosts
        The only hosts that are ever asked for anything, with a port where it is not the usual one.
    user_agent
        How the crawler names itself, with an address at which its owner can be reached.
    requests_per_second
        At most so many to a host; None is no limit.
    concurrent_requests
        At most so many at a time to a host.
    throttle
        Whether to slow down with the server (Scrapy's AutoThrottle).
    robots
        Whether robots.txt is obeyed, its Crawl-delay too: of that and `requests_per_second` the slower one counts.
    max_crawl_delay
        A host whose robots.txt asks for more seconds than these between two requests is asked for nothing.
    retries, retry_seconds
        How often a page is asked for again after a passing fault, and how long after the first; then twice as long.
    timeout_seconds
        How long an answer may take.
    max_photo_bytes, max_pixels, max_redirects
        What is larger, or leads further, is rejected.
    cache_hours
        How long what was fetched is used again by later runs; 0 is for ever.
    private
        Whether the hosts may be on this machine or in a private network, as one's own shop is.
    """

    hosts: Annotated[list[Host], Field(min_length=1)]
    user_agent: Annotated[str, Field(pattern=r"^[\x20-\x7e]+$")]
    requests_per_second: Annotated[float, Field(gt=0)] | None = 1.0
    concurrent_requests: Annotated[int, Field(ge=1, le=64)] = 4
    throttle: bool = True
    robots: bool = True
    max_crawl_delay: Annotated[float, Field(ge=0)] = 60.0
    retries: Annotated[int, Field(ge=0, le=10)] = 3
    retry_seconds: Annotated[float, Field(gt=0)] = 2.0
    timeout_seconds: Annotated[float, Field(gt=0)] = 60.0
    max_photo_bytes: Annotated[int, Field(gt=0, le=MAX_PHOTO_BYTES)] = 16 * 2**20
    max_pixels: Size = 50_000_000
    max_redirects: Annotated[int, Field(ge=0)] = 5
    cache_hours: Annotated[float, Field(ge=0)] = 24.0
    private: bool = False

    @model_validator(mode="after")
    def _asks_as_it_may(self) -> Self:
        for name in self.hosts:
            if not self.private and is_private_host(name):
                raise ValueError(f"the host '{name}' is on this machine or in a private network; say 'private: true'")
        if not self.private and not re.search(r"@|https?://", self.user_agent):
            raise ValueError(f"user_agent must hold an e-mail or web address of yours, got '{self.user_agent}'")
        return self


class CrawlSpec(FetchSpec):
    """What to crawl, and all that `FetchSpec` says.

    Attributes
    ----------
    start
        Addresses to begin with: sitemaps, listings or product pages.
    follow
        Which of the links of pages that are no products are followed: all, none, or those with such a path. (Sitemaps
        and `start` are followed in any case; off-host links never.)
    products
        The paths of product pages; without it, any page that describes a product is one.
    photos
        Whether to fetch photos.
    max_pages
        More pages than these are an error.
    max_page_bytes
        A larger page is rejected. (A sitemap may have 50 MiB.)
    """

    start: Annotated[list[str], Field(min_length=1)]
    follow: StrictBool | re.Pattern[str] = True
    products: re.Pattern[str] | None = None
    photos: bool = True
    max_pages: Size = 100_000
    max_page_bytes: Annotated[int, Field(gt=0, le=MAX_SITEMAP_BYTES)] = 4 * 2**20

    @model_validator(mode="after")
    def _starts_where_it_may(self) -> Self:
        hosts = Hosts(self.hosts)
        for address in self.start:
            if refusal := hosts.refusal(address):
                hint = nearest(address, self.hosts)
                raise ValueError(f"start has '{address}', which is refused ({refusal}); hosts are {self.hosts}.{hint}")
        return self
