"""The shop's site: what stands at which address, and what goes wrong on the way."""

import re
import struct
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from urllib.parse import parse_qs

from lib.demo_shop import pages
from lib.demo_shop.products import Writer, listings
from lib.demo_shop.world import WEB, draw_kind, make_world, stream

PAGE_RATES = {
    "page_404": 0.002,
    "page_500": 0.0015,
    "page_circle": 0.0015,
    "page_too_large": 0.0005,
    "page_transient": 0.006,
    "page_slow": 0.003,
    "page_moved": 0.01,
}
PHOTO_RATES = {
    "photo_404": 0.002,
    "photo_500": 0.0015,
    "photo_redirected": 0.001,
    "photo_too_large": 0.0005,
    "photo_too_many_pixels": 0.001,
    "photo_elsewhere": 0.001,
    "photo_private": 0.001,
    "photo_transient": 0.004,
}
RATES = PAGE_RATES | PHOTO_RATES
"""Share of the products that have each fault: of their page one at most, and of their photo one at most.

`page_circle` redirects in a circle, `page_moved` to where the page is; `page_transient` and `photo_transient` fail
once or twice, and then there is nothing wrong. `photo_redirected` leads to another host, `photo_elsewhere` and
`photo_private` have an address on another host, or one that no shop should be able to make a crawler ask.
"""

AT_MOST = {"page_too_large": 3, "photo_too_large": 3}
"""How many products of a shop have these faults, on average, however many products there are: they are costly."""

LOST_PAGES = frozenset({"page_404", "page_500", "page_circle", "page_too_large"})
LOST_PHOTOS = frozenset(PHOTO_RATES) - {"photo_transient"}
"""Faults because of which a crawler cannot, or must not, get a page or a photo. The others cost it time only."""

SLOW_SECONDS = 0.3
"""After this time a slow page answers."""

TOO_LARGE_BYTES = 48 * 2**20
"""What follows the content of a page or a photo that is too large."""

CLAIMED_SIDE = 30_000
"""Width and height, in pixels, of a photo that has too many."""

PRIVATE_ADDRESSES = (
    "http://169.254.169.254/latest/photo.jpg",
    "file:///etc/passwd",
    "http://10.0.0.1/photo.jpg",
    "http://[::1]/photo.jpg",
    "http://2130706433/photo.jpg",
    "http://0x7f.1/photo.jpg",
)

ELSEWHERE = "http://elsewhere.example/"
"""A host that is not the shop's, and that pages, photos and redirects lead to."""

PER_PAGE = 48
"""Products on one page of a category."""

PER_SITEMAP = 1000
"""Addresses in one part of the sitemap."""

HTML, XML, TEXT = "text/html; charset=utf-8", "application/xml", "text/plain; charset=utf-8"
_STATIC = {"shop.css": "text/css; charset=utf-8", "logo.svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class Answer:
    """A response before it is sent.

    Attributes
    ----------
    delay
        Seconds before it is sent.
    tells_length
        Whether a Content-Length is sent; without, the end comes when it comes.
    """

    body: bytes
    content_type: str = HTML
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0
    tells_length: bool = True


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

    Attributes
    ----------
    listings
        All listings, in the order of the records.
    categories
        For the path of each category's page, its names from the top, and the numbers of the products that the shop
        shows there; wrong labels and missing levels included. All products are a category without names.

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
        world = make_world(products, seed, dialect)
        self.listings, self._writer = list(islice(listings(world), products)), Writer(world)
        self._products, self._seed, self._base, self._elsewhere = products, seed, base, elsewhere
        self._rates = {kind: min(rate, AT_MOST.get(kind, products) / products) for kind, rate in rates.items()}
        self.categories: dict[str, tuple[tuple[str, ...], list[int]]] = {}
        self._below = defaultdict[str, list[tuple[str, str]]](list)
        for number, listing in enumerate(self.listings):
            damaged = pages.category_names(self._writer.record(listing, photo=False)) if listing.damage else None
            self._shelve(world.names(listing.family.path) if damaged is None else damaged, number)
        self._templates = pages.templates(elsewhere=elsewhere, departments=self._below[pages.category_path(())])
        self.counts: Counter[str] = Counter()
        self._attempts: Counter[tuple[str, int]] = Counter()
        routes: tuple[tuple[str, str, Callable[..., Answer | None]], ...] = (
            ("product", r"(/products/(?:(moved|circle)/)?[a-z-]+-(\d{6,9})\.html)", self._product),
            ("photo", r"(/photos/(\d{6,9})\.jpg)", self._photo),
            ("category", "(/c/.*)", self._category),
            ("home", pages.HOME, self._home),
            ("robots", pages.ROBOTS, self._robots),
            ("sitemap", pages.SITEMAP, self._sitemap_index),
            ("sitemap", r"/sitemap-(\d{1,9})\.xml", self._sitemap),
            ("static", r"/static/([a-z.]+)", self._static),
            ("private", f"{pages.PRIVATE}.*", lambda: _error(403, "This is private")),
        )
        self._routes = [(kind, re.compile(pattern), reply) for kind, pattern, reply in routes]

    def _shelve(self, names: tuple[str, ...], number: int) -> None:
        """Put a product into its category, and into all above it."""
        for depth in range(len(names) + 1):
            path = pages.category_path(names[:depth])
            if path not in self.categories:
                self.categories[path] = (names[:depth], [])
                if depth:
                    self._below[pages.category_path(names[: depth - 1])].append((names[depth - 1], path))
            self.categories[path][1].append(number)

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
        return _NOT_FOUND

    def product_path(self, number: int, within: str | None = None) -> str:
        """Return the path of a product's page; `within` is a second place of a page that is redirected."""
        place = f"{within}/" if within else ""
        return f"/products/{place}{pages.slug(self.listings[number].family.model)}-{number:06d}.html"

    def faults(self, number: int) -> tuple[str | None, str | None]:
        """Draw what is wrong with a product's page, and with its photo."""
        rng = stream(self._seed, WEB, number)
        page, photo = (
            draw_kind(rng, {kind: rate for kind, rate in self._rates.items() if kind in kinds})
            for kinds in (PAGE_RATES, PHOTO_RATES)
        )
        return page, None if page in LOST_PAGES or "no_photo" in self.listings[number].damage else photo

    def _product(self, path: str, within: str | None, digits: str) -> Answer | None:
        number = int(digits)
        if number >= self._products or self.product_path(number, within) != path:
            return None
        fault, photo_fault = self.faults(number)
        if fault == "page_circle":
            return _redirection(302, self._base + self.product_path(number, None if within == "circle" else "circle"))
        if fault == "page_moved" and not within:
            return _redirection(301, self._base + self.product_path(number, "moved"))
        if within and fault != f"page_{within}":
            return None
        shape, photo = pages.page_shape(self._seed, number), pages.photo_path(number)
        address = photo if shape.relative_photo else self._base + photo
        if photo_fault == "photo_private":
            address = PRIVATE_ADDRESSES[number % len(PRIVATE_ADDRESSES)]
        elif photo_fault == "photo_elsewhere":
            address = self._elsewhere.rstrip("/") + photo
        listing = self.listings[number]
        body, charset = pages.product_page(
            self._templates,
            self._base,
            self._writer.record(listing, photo=False),
            None if "no_photo" in listing.damage else address,
            path,
            shape,
            self._variants(number),
        )
        answer = Answer(body, "text/html" if shape.charset == "meta" else f"text/html; charset={charset}")
        return self._with_fault(answer, fault, number)

    def _variants(self, number: int) -> list[str]:
        """Return the pages of the other listings of a product's family, which stand beside it."""
        family, first, end = self.listings[number].family, number, number + 1
        while first and self.listings[first - 1].family == family:
            first -= 1
        while end < self._products and self.listings[end].family == family:
            end += 1
        return [self.product_path(other) for other in range(first, end) if other != number]

    def _photo(self, path: str, digits: str) -> Answer | None:
        number = int(digits)
        if number >= self._products or pages.photo_path(number) != path or "no_photo" in self.listings[number].damage:
            return None
        _, fault = self.faults(number)
        if fault == "photo_redirected":
            return _redirection(302, self._elsewhere.rstrip("/") + path)
        photo = self._writer.record(self.listings[number]).photo
        return self._with_fault(Answer(photo or b"", "image/jpeg"), fault, number)

    def _with_fault(self, answer: Answer, fault: str | None, number: int) -> Answer:
        """Return what a fault makes of the right answer for a page or a photo, if it makes anything of it."""
        match fault:
            case "page_404" | "photo_404":
                return _NOT_FOUND
            case "page_500" | "photo_500":
                return _BROKEN
            case "page_slow":
                return replace(answer, delay=SLOW_SECONDS)
            case "page_too_large" | "photo_too_large":
                body = answer.body + b" " * TOO_LARGE_BYTES
                return replace(answer, body=body, tells_length=fault == "page_too_large")
            case "photo_too_many_pixels":
                return replace(answer, body=_claiming_png(CLAIMED_SIDE), content_type="image/png")
            case "page_transient" | "photo_transient":
                self._attempts[fault, number] += 1
                if self._attempts[fault, number] <= failures(fault, number):
                    return _BROKEN if number % 3 else _error(503, "We are busy", {"Retry-After": "1"})
        return answer

    def _category(self, path: str, query: str) -> Answer | None:
        if path not in self.categories:
            return None
        names, numbers = self.categories[path]
        wanted, last = parse_qs(query).get("page", ["1"])[0], -(-len(numbers) // PER_PAGE)
        page = int(wanted) if re.fullmatch(r"\d{1,9}", wanted) else 0
        if not 1 <= page <= last:
            return None
        tiles = []
        for number in numbers[(page - 1) * PER_PAGE : page * PER_PAGE]:
            listing, (_, fault) = self.listings[number], self.faults(number)
            photo = None if fault or "no_photo" in listing.damage else pages.photo_path(number)
            name = f"{listing.family.model}, {listing.colour}"
            tiles.append({"name": name, "path": self.product_path(number), "photo": photo})
        shown = {"crumbs": pages.breadcrumbs(names, self._base), "below": self._below.get(path, []), "tiles": tiles}
        title = " ".join(names) or "All products"
        return self._page("category.html", title=title, page=page, pages=last, **shown)

    def _page(self, template: str, **values: object) -> Answer:
        return Answer(self._templates.get_template(template).render(values).encode())

    def _home(self) -> Answer:
        return self._page("home.html", title="Everything for everybody", products=f"{self._products:,}")

    def _robots(self) -> Answer:
        return Answer(
            f"User-agent: *\nDisallow: {pages.PRIVATE}\n\nSitemap: {self._base}{pages.SITEMAP}\n".encode(), TEXT
        )

    def _sitemap_index(self) -> Answer:
        parts = range(1, -(-self._products // PER_SITEMAP) + 1)
        return self._xml("sitemapindex", "sitemap", [f"/sitemap-{part}.xml" for part in parts])

    def _sitemap(self, part: str) -> Answer | None:
        numbers = range(self._products)[max(int(part) - 1, 0) * PER_SITEMAP :][:PER_SITEMAP]
        paths = [self.product_path(number) for number in numbers]
        return self._xml("urlset", "url", paths) if int(part) and numbers else None

    def _xml(self, name: str, entry: str, paths: list[str]) -> Answer:
        schema = "http://www.sitemaps.org/schemas/sitemap/0.9"
        entries = "".join(f"<{entry}><loc>{self._base}{path}</loc></{entry}>\n" for path in paths)
        body = f'<?xml version="1.0" encoding="UTF-8"?>\n<{name} xmlns="{schema}">\n{entries}</{name}>\n'
        return Answer(body.encode(), XML)

    def _static(self, name: str) -> Answer | None:
        return Answer((pages.TEMPLATES / name).read_bytes(), _STATIC[name]) if name in _STATIC else None


def _error(status: int, text: str, headers: dict[str, str] | None = None) -> Answer:
    """Return an error page."""
    page = f'<!DOCTYPE html><html lang="en"><head><title>{status}</title></head><body><h1>{text}</h1></body></html>\n'
    return Answer(page.encode(), status=status, headers=headers or {})


_NOT_FOUND, _BROKEN = _error(404, "There is no such page"), _error(500, "Something broke")


def _redirection(status: int, address: str) -> Answer:
    return _error(status, "It is elsewhere", {"Location": address})


def _claiming_png(side: int) -> bytes:
    """Return a small PNG whose header claims `side` x `side` pixels; its one row of data does not fill them."""
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    row = zlib.compress(bytes(1 + -(-side // 8)))
    chunks = ((b"IHDR", header), (b"IDAT", row), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


def failures(fault: str | None, number: int) -> int:
    """Return how often a transient fault fails."""
    return 1 + number % 2 if fault in ("page_transient", "photo_transient") else 0


@dataclass(frozen=True, slots=True)
class WebTruth:
    """What a crawler meets on its way to one record, and never part of the record.

    Attributes
    ----------
    product_id
        The record's.
    path
        The path of its page, as the sitemap has it.
    page_fault, photo_fault
        Keys of `RATES`, or None. A photo that the shop does not have, or to which no page leads, has no fault.
    """

    product_id: str
    path: str
    page_fault: str | None
    photo_fault: str | None


def web_truth(products: int, seed: int, rates: Mapping[str, float] = RATES) -> Iterator[WebTruth]:
    """Yield what is wrong on the way to each record of `lib.demo_shop.generate(products, seed)`, in the same order.

    Parameters
    ----------
    products, seed
        The shop's.
    rates
        Other rates than `RATES`; a fault that is not there does not occur.
    """
    site = Site(products, seed, "", rates)
    for number, listing in enumerate(site.listings):
        yield WebTruth(listing.product_id, site.product_path(number), *site.faults(number))
