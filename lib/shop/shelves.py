"""What the shop shows where: every listing by its number, and the numbers of each category."""

from collections import defaultdict
from functools import lru_cache
from itertools import islice

from lib.records import Record
from lib.shop.addresses import category_path, photo_path, product_path
from lib.shop.listings import Listing, listings
from lib.shop.markup import category_names
from lib.shop.world import make_world
from lib.shop.writing import Writer

Names = tuple[str, ...]

_KEPT = 4096  # records, for a photo is asked for soon after its page


class Shelves:
    """The products of a shop by number, from 0; records are made when they are asked for.

    Parameters
    ----------
    products, seed, dialect
        Those of `lib.shop.generate`, whose records these are.

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
