"""What to crawl, how politely, and within which limits."""

import re
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from lib.config import Size, Strict
from lib.crawl.hosts import Hosts, is_private_host, split_host
from lib.errors import nearest


def _regular_expression(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"'{pattern}' is not a regular expression: {error}") from error
    return pattern


def _host(name: str) -> str:
    split_host(name)
    return name


Pattern = Annotated[str, AfterValidator(_regular_expression)]
Host = Annotated[str, AfterValidator(_host)]


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
        Whether robots.txt is obeyed.
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
    retries: Annotated[int, Field(ge=0, le=10)] = 3
    retry_seconds: Annotated[float, Field(gt=0)] = 2.0
    timeout_seconds: Annotated[float, Field(gt=0)] = 60.0
    max_photo_bytes: Size = 16 * 2**20
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
        A larger page is rejected.
    """

    start: Annotated[list[str], Field(min_length=1)]
    follow: bool | Pattern = True
    products: Pattern | None = None
    photos: bool = True
    max_pages: Size = 100_000
    max_page_bytes: Size = 4 * 2**20

    @model_validator(mode="after")
    def _starts_where_it_may(self) -> Self:
        hosts = Hosts(self.hosts)
        for address in self.start:
            if refusal := hosts.refusal(address):
                hint = nearest(address, self.hosts)
                raise ValueError(f"start has '{address}', which is refused ({refusal}); hosts are {self.hosts}.{hint}")
        return self
