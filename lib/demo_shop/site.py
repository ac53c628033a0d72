"""The shop's site: what stands at which address."""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from functools import lru_cache
from urllib.parse import parse_qs

from lib.demo_shop.answers import (
    PRIVATE_ADDRESSES,
    RATES,
    TEXT,
    XML,
    Answer,
    Shelves,
    broken,
    draw_faults,
    failures,
    not_found,
    redirection,
    refusal,
    with_fault,
)
from lib.demo_shop.markup import HOME, ROBOTS, SITEMAP, category_path, page_shape
from lib.demo_shop.pages import (
    PER_PAGE,
    PER_SITEMAP,
    TEMPLATES,
    Frame,
    Tile,
    category_page,
    home_page,
    product_page,
    robots_file,
    sitemap,
    sitemap_index,
)

ELSEWHERE = "http://elsewhere.example/"
"""A host that is not the shop's, and that pages, photos and redirects lead to."""

_KEPT = 4096  # faults of products, for a photo is asked for soon after its page
_STATIC = {"shop.css": "text/css; charset=utf-8", "logo.svg": "image/svg+xml"}


class Site:
    """Answers for paths; it counts what was asked for, and what is transient knows how often it was.

    Parameters
    ----------
    products, seed
        Those of `lib.demo_shop.generate`.
    base
        The shop's own address, without a slash at its end.
    rates
        How often each fault of the web occurs.
    elsewhere
        The address of another host.
    dialect
        That of `lib.demo_shop.generate`.

    Examples
    --------
    >>> site = Site(200, 1, "http://shop.example")
    >>> site.answer("/robots.txt").status, site.answer("/nothing").status
    (200, 404)
    >>> site.counts["robots"], site.counts["unknown"]
    (1, 1)
    """

    def __init__(
        self,
        products: int,
        seed: int,
        base: str,
        rates: Mapping[str, float] = RATES,
        elsewhere: str = ELSEWHERE,
        dialect: str | None = None,
    ) -> None:
        self.shelves = shelves = Shelves(products, seed, dialect)
        self._products, self._seed = products, seed
        self._faults = lru_cache(_KEPT)(lambda number: draw_faults(shelves.listings[number], products, seed, rates))
        self._frame = Frame(base, elsewhere, self.shelves.below[category_path(())])
        self.counts: Counter[str] = Counter()
        self._attempts: Counter[tuple[str, int]] = Counter()
        routes: tuple[tuple[str, str, Callable[..., Answer | None]], ...] = (
            ("product", r"(/products/(?:(moved|circle)/)?[a-z-]+-(\d{6,9})\.html)", self._product),
            ("photo", r"(/photos/(\d{6,9})\.jpg)", self._photo),
            ("category", "(/c/.*)", self._category),
            ("home", HOME, self._home),
            ("robots", ROBOTS, self._robots),
            ("sitemap", SITEMAP, self._sitemap_index),
            ("sitemap", r"/sitemap-(\d{1,9})\.xml", self._sitemap),
            ("static", r"/static/([a-z.]+)", self._static),
            ("private", "/private/.*", lambda: refusal(403, "This is private")),
        )
        self._routes = [(kind, re.compile(pattern), reply) for kind, pattern, reply in routes]

    def answer(self, target: str) -> Answer:
        """Answer a request for a path, with or without a query, and count it by what it is for."""
        path, _, query = target.partition("?")
        for kind, pattern, reply in self._routes:
            if found := pattern.fullmatch(path):
                answer = reply(*found.groups(), *([query] if kind == "category" else []))
                if answer is not None:
                    self.counts[kind] += 1
                    return answer
        self.counts["unknown"] += 1
        return not_found()

    def _product(self, path: str, within: str | None, digits: str) -> Answer | None:
        number = int(digits)
        if number >= self._products or self.shelves.product_path(number, within) != path:
            return None
        fault, photo_fault = self._faults(number)
        if fault == "page_circle":
            within = None if within == "circle" else "circle"
            return redirection(302, self._frame.base + self.shelves.product_path(number, within))
        if fault == "page_moved" and not within:
            return redirection(301, self._frame.base + self.shelves.product_path(number, "moved"))
        if within and fault != f"page_{within}":
            return None
        if self._fails_once_more(fault, number):
            return broken(number)
        return with_fault(self._product_page(number, within, photo_fault), fault)

    def _product_page(self, number: int, within: str | None, photo_fault: str | None) -> Answer:
        shelves, shape = self.shelves, page_shape(self._seed, number)
        record = shelves.record(number)
        address = self._frame.base + shelves.product_path(number, within)
        variants = [shelves.product_path(other) for other in shelves.variants(number)]
        photo = self._photo_address(number, photo_fault, shape.relative_photo)
        body, charset = product_page(self._frame, record, photo, address, shape, variants)
        return Answer(body, "text/html" if shape.charset == "meta" else f"text/html; charset={charset}")

    def _photo_address(self, number: int, fault: str | None, relative: bool) -> str | None:
        path = self.shelves.photo_path(number)
        if path is None:
            return None
        if fault == "photo_private":
            return PRIVATE_ADDRESSES[number % len(PRIVATE_ADDRESSES)]
        if fault == "photo_elsewhere":
            return self._frame.elsewhere.rstrip("/") + path
        return path if relative else self._frame.base + path

    def _photo(self, path: str, digits: str) -> Answer | None:
        number = int(digits)
        if number >= self._products or self.shelves.photo_path(number) != path:
            return None
        _, fault = self._faults(number)
        if fault == "photo_redirected":
            return redirection(302, self._frame.elsewhere.rstrip("/") + path)
        if self._fails_once_more(fault, number):
            return broken(number)
        return with_fault(Answer(self.shelves.record(number).photo or b"", "image/jpeg"), fault)

    def _fails_once_more(self, fault: str | None, number: int) -> bool:
        """Whether a transient fault, if it is one, has not failed often enough yet; this request counts."""
        if not fault or not (times := failures(fault, number)):
            return False
        self._attempts[fault, number] += 1
        return self._attempts[fault, number] <= times

    def _category(self, path: str, query: str) -> Answer | None:
        if path not in self.shelves.categories:
            return None
        (names, numbers), below = self.shelves.categories[path], self.shelves.below.get(path, [])
        wanted, pages = parse_qs(query).get("page", ["1"])[0], -(-len(numbers) // PER_PAGE)
        page = int(wanted) if re.fullmatch(r"\d{1,9}", wanted) else 0
        if not 1 <= page <= pages:
            return None
        tiles = [self._tile(number) for number in numbers[(page - 1) * PER_PAGE : page * PER_PAGE]]
        return Answer(category_page(self._frame, names, below, tiles, page, pages).encode())

    def _tile(self, number: int) -> Tile:
        listing = self.shelves.listings[number]
        photo = None if self._faults(number)[1] else self.shelves.photo_path(number)
        return Tile(f"{listing.family.model}, {listing.colour}", self.shelves.product_path(number), photo)

    def _home(self) -> Answer:
        return Answer(home_page(self._frame, self._products).encode())

    def _robots(self) -> Answer:
        return Answer(robots_file(self._frame.base).encode(), TEXT)

    def _sitemap_index(self) -> Answer:
        return Answer(sitemap_index(self._frame.base, self._products).encode(), XML)

    def _sitemap(self, part: str) -> Answer | None:
        first = (int(part) - 1) * PER_SITEMAP
        numbers = range(max(first, 0), min(first + PER_SITEMAP, self._products))
        if not numbers or first < 0:
            return None
        return Answer(
            sitemap(self._frame.base, [self.shelves.product_path(number) for number in numbers]).encode(), XML
        )

    def _static(self, name: str) -> Answer | None:
        return Answer((TEMPLATES / name).read_bytes(), _STATIC[name]) if name in _STATIC else None
