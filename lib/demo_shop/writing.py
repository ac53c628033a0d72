"""Turns listings into records: words, photos, and what is wrong with them."""

from collections.abc import Iterator
from itertools import islice

import numpy as np

from lib.config.base import Record
from lib.demo_shop.lexicon import PHOTO, RECORD, RELISTED_TEXT, TEXT, pick, pick_index, stream
from lib.demo_shop.listings import Listing, blank, damaged_photo, listings, mark_up, mistype
from lib.demo_shop.photos import Look, draw, placeholder
from lib.demo_shop.text import COLOUR, SIZE, write
from lib.demo_shop.world import Path, World, make_world

SIBLING = 0.6
"""How many wrong labels are of the right type."""


def generate(products: int, seed: int, photos: bool = True, dialect: str | None = None) -> Iterator[Record]:
    """Yield the records of a shop, one at a time.

    Parameters
    ----------
    products
        How many records, variants and damaged ones included.
    seed
        The same number gives the same bytes.
    photos
        Without, every photo is None, and all else is the same.
    dialect
        One of `dialects.yaml`: what the shop calls things, in the place of the usual words.

    Examples
    --------
    >>> first = next(generate(200, seed=1, photos=False))
    >>> first == next(generate(200, seed=1, photos=False)), first.photo
    (True, None)
    """
    world = make_world(products, seed, dialect)
    writer = Writer(world, photos)
    return (writer.record(listing) for listing in islice(listings(world), products))


class Writer:
    """Writes listings; what the listings of one family share is made once.

    Parameters
    ----------
    world
        The shop's world.
    photos
        Whether to draw photos.
    """

    def __init__(self, world: World, photos: bool) -> None:
        self.world, self.photos = world, photos
        self._family = -1
        self._wording = ("", "")
        self._drawn: dict[str, bytes] = {}
        self._placeholder = placeholder()

    def record(self, listing: Listing) -> Record:
        """Write one record."""
        family, damage = listing.family, listing.damage
        if family.number != self._family:
            self._family, self._drawn = family.number, {}
            self._wording = self._write(listing, TEXT, family.number)
        wording = self._write(listing, RELISTED_TEXT, listing.index) if listing.kind == "relisted" else self._wording
        title, description = (text.replace(COLOUR, listing.colour).replace(SIZE, listing.size) for text in wording)
        names, photo = self.world.names(family.path), self._photo(listing) if self.photos else None
        record = Record(listing.product_id, family.brand, title, description, *names, photo)
        return self._damaged(record, listing) if damage else record

    def _damaged(self, record: Record, listing: Listing) -> Record:
        """Return what the listing's damage leaves of a record."""
        rng, damage = stream(self.world.seed, RECORD, listing.index), listing.damage
        brand = blank(rng) if "no_brand" in damage else record.brand
        description = blank(rng) if "no_description" in damage else record.description
        labels = _labels(rng, self.world, listing)
        photo = record.photo and damaged_photo(record.photo, damage, self._placeholder, rng)
        return Record(record.product_id, brand, record.title, description, *labels, photo)

    def _write(self, listing: Listing, purpose: int, number: int) -> tuple[str, str]:
        rng, family = stream(self.world.seed, purpose, number), listing.family
        title, sentences = write(rng, self.world, family.path, family.brand, family.model)
        return title, mark_up(rng, [mistype(rng, sentence) for sentence in sentences])

    def _photo(self, listing: Listing) -> bytes:
        colour, family = listing.photo_colour, listing.family
        if colour not in self._drawn:
            subtype = self.world.subtypes[family.path.subtype]
            words = self.world.words
            silhouette = words.types[self.world.types[family.path.type]].silhouette
            look = Look(silhouette, subtype.shape, words.colours[colour], family.pattern)
            self._drawn[colour] = draw(look, stream(self.world.seed, PHOTO, family.number))
        return self._drawn[colour]


def _labels(rng: np.random.Generator, world: World, listing: Listing) -> tuple[str | None, str | None, str | None]:
    """Return the category that the shop shows."""
    path = _wrong(rng, world, listing.family.path) if "wrong_label" in listing.damage else listing.family.path
    level_1, level_2, level_3 = world.names(path)
    if "no_path" in listing.damage:
        return None, None, None
    return level_1, None if "no_level_2" in listing.damage else level_2, level_3


def _wrong(rng: np.random.Generator, world: World, right: Path) -> Path:
    """Draw another path: often of the same type, as people mislabel, and else any."""
    siblings = [path for path in world.paths if path.type == right.type and path != right]
    if siblings and rng.random() < SIBLING:
        return pick(rng, siblings)
    while (path := world.paths[pick_index(rng, world.path_steps)]) == right:
        pass
    return path
