"""What goes wrong on the web between the shop and who collects it, and how often: in known places and amounts.

It is drawn apart from the damage of `lib.shop.dirt`, which is in the products themselves.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lib.shop.listings import Listing
from lib.shop.markup import draw_kind
from lib.shop.shelves import Shelves
from lib.shop.streams import WEB, stream

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
    """Yield what is wrong on the way to each record of `lib.shop.generate(products, seed)`, in the same order.

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
