"""What the shop shows where, what goes wrong on the way, and what its server then answers."""

import struct
import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from itertools import islice
from pathlib import Path

import pandas as pd

from lib.config.base import Record
from lib.demo_shop.lexicon import WEB, stream
from lib.demo_shop.listings import Listing, listings, truth
from lib.demo_shop.markup import category_names, category_path, draw_kind, photo_path, product_path
from lib.demo_shop.world import make_world
from lib.demo_shop.writing import Writer
from lib.files import whole

Names = tuple[str, ...]

_KEPT = 4096  # records, for a photo is asked for soon after its page


class Shelves:
    """The products of a shop by number, from 0; records are made when they are asked for.

    Parameters
    ----------
    products, seed, dialect
        Those of `lib.demo_shop.generate`, whose records these are.

    Attributes
    ----------
    listings
        All listings, in the order of the records.
    categories
        For the path of each category's page, its names from the top, and the numbers of the products that the shop
        shows there; wrong labels and missing levels included. All products are a category without names.
    below
        For the path of each category's page the names and paths of the categories below it.
    """

    def __init__(self, products: int, seed: int, dialect: str | None = None) -> None:
        self.seed, world = seed, make_world(products, seed, dialect)
        self.listings = list(islice(listings(world), products))
        self._writer, self._bare_writer = Writer(world, photos=True), Writer(world, photos=False)
        self.record = lru_cache(_KEPT)(self._record)
        self.categories: dict[str, tuple[Names, list[int]]] = {}
        self.below: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for listing in self.listings:
            self._shelve(self._category(listing), listing.index)

    def product_path(self, number: int, within: str | None = None) -> str:
        """Return the path of a product's page, or a second one of a page that is redirected."""
        return product_path(self.listings[number].family.model, number, within)

    def photo_path(self, number: int) -> str | None:
        """Return the path of a product's photo, or None if it has none."""
        return None if "no_photo" in self.listings[number].damage else photo_path(number)

    def variants(self, number: int) -> list[int]:
        """Return the other listings of a product's family."""
        family, found = self.listings[number].family.number, []
        for step in (-1, 1):
            other = number + step
            while 0 <= other < len(self.listings) and self.listings[other].family.number == family:
                found.append(other)
                other += step
        return sorted(found)

    def _record(self, number: int) -> Record:
        return self._writer.record(self.listings[number])

    def _category(self, listing: Listing) -> Names:
        """Return the names that the shop shows; only a wrong label needs the record to be written."""
        if "wrong_label" in listing.damage:
            return tuple(category_names(self._bare_writer.record(listing)))
        first, second, third = self._writer.world.names(listing.family.path)
        if "no_path" in listing.damage:
            return ()
        return (first, third) if "no_level_2" in listing.damage else (first, second, third)

    def _shelve(self, names: Names, number: int) -> None:
        above = None
        for depth in range(len(names) + 1):
            path = category_path(names[:depth])
            if path not in self.categories:
                self.categories[path] = (names[:depth], [])
                if above is not None:
                    self.below[above].append((names[depth - 1], path))
            self.categories[path][1].append(number)
            above = path


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
    shelves = Shelves(products, seed)
    for listing in shelves.listings:
        faults = draw_faults(listing, products, seed, rates)
        yield WebTruth(listing.product_id, shelves.product_path(listing.index), *faults)


def draw_faults(
    listing: Listing, products: int, seed: int, rates: Mapping[str, float]
) -> tuple[str | None, str | None]:
    """Draw what is wrong with a listing's page, and with its photo."""
    rng = stream(seed, WEB, listing.index)
    limited = {kind: min(rate, AT_MOST.get(kind, products) / products) for kind, rate in rates.items()}
    page = draw_kind(rng, {kind: rate for kind, rate in limited.items() if kind in PAGE_RATES})
    photo = draw_kind(rng, {kind: rate for kind, rate in limited.items() if kind in PHOTO_RATES})
    return page, None if page in LOST_PAGES or "no_photo" in listing.damage else photo


HTML, XML, TEXT = "text/html; charset=utf-8", "application/xml", "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Answer:
    """A response before it is sent.

    Attributes
    ----------
    delay
        Seconds before it is sent.
    filler
        How many spaces follow the body.
    tells_length
        Whether a Content-Length is sent; without, the end comes when it comes.
    """

    body: bytes
    content_type: str = HTML
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0
    filler: int = 0
    tells_length: bool = True


def refusal(status: int, text: str, headers: dict[str, str] | None = None) -> Answer:
    """Return an error page."""
    page = f'<!DOCTYPE html><html lang="en"><head><title>{status}</title></head><body><h1>{text}</h1></body></html>\n'
    return Answer(page.encode(), status=status, headers=headers or {})


def redirection(status: int, address: str) -> Answer:
    """Return what leads to another address."""
    return refusal(status, "It is elsewhere", {"Location": address})


def not_found() -> Answer:
    """Return the answer for what does not exist."""
    return refusal(404, "There is no such page")


def broken(number: int) -> Answer:
    """Return one of the errors of a server that has trouble; a 503 says when to come back."""
    return refusal(503, "We are busy", {"Retry-After": "1"}) if number % 3 == 0 else refusal(500, "Something broke")


def failures(fault: str | None, number: int) -> int:
    """Return how often a transient fault fails."""
    return 1 + number % 2 if fault in ("page_transient", "photo_transient") else 0


def with_fault(answer: Answer, fault: str | None) -> Answer:
    """Return what a fault makes of the right answer for a page or a photo, if it makes anything of it."""
    if fault in ("page_404", "photo_404"):
        return not_found()
    if fault in ("page_500", "photo_500"):
        return refusal(500, "Something broke")
    if fault == "page_slow":
        return replace(answer, delay=SLOW_SECONDS)
    if fault == "page_too_large":
        return replace(answer, filler=TOO_LARGE_BYTES)
    if fault == "photo_too_large":
        return replace(answer, filler=TOO_LARGE_BYTES, tells_length=False)
    if fault == "photo_too_many_pixels":
        return replace(answer, body=claiming_png(CLAIMED_SIDE), content_type="image/png")
    return answer


def claiming_png(side: int) -> bytes:
    """Return a small PNG whose header claims `side` x `side` pixels; its one row of data does not fill them."""
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    row = zlib.compress(bytes(1 + -(-side // 8)))
    chunks = ((b"IHDR", header), (b"IDAT", row), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


def truth_table(products: int, seed: int, rates: Mapping[str, float] = RATES) -> pd.DataFrame:
    """Return the fields of `Truth` and of `WebTruth` as columns, a row for each record, in their order.

    >>> truth_table(200, seed=1).columns.tolist()[:3]
    ['product_id', 'family', 'kind']
    """
    both = zip(truth(products, seed), web_truth(products, seed, rates), strict=True)
    return pd.DataFrame([asdict(row) | asdict(web) for row, web in both])


def write_truth(path: Path, products: int, seed: int) -> None:
    """Write `truth_table` as Parquet.

    Raises
    ------
    StudyError
        If the file cannot be written.
    """
    with whole(path) as partial:
        truth_table(products, seed).to_parquet(partial, index=False)
