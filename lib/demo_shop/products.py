"""What the shop lists, one product after the other: the truth about it, its record, and what is wrong with that."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import count, islice
from typing import Literal

import numpy as np

from lib.config.base import Record
from lib.demo_shop.photos import PATTERNS, draw, placeholder
from lib.demo_shop.text import COLOUR, SIZE, write
from lib.demo_shop.world import (
    DAMAGE,
    FAMILY,
    PHOTO,
    RECORD,
    RELISTED_TEXT,
    TEXT,
    Path,
    World,
    cumulate,
    draw_kind,
    invent_name,
    make_world,
    pick,
    pick_index,
    stream,
)

RATES = {
    "wrong_label": 0.015,
    "no_brand": 0.012,
    "no_description": 0.01,
    "no_photo": 0.01,
    "placeholder_photo": 0.01,
    "truncated_photo": 0.006,
    "empty_photo": 0.004,
    "not_a_photo": 0.004,
    "no_path": 0.004,
    "no_level_2": 0.004,
    "repeated_id": 0.004,
}
"""Share of the products that have each kind of damage. Of one of the `EXCLUSIVE` sets a product has one at most."""

EXCLUSIVE = (
    ("wrong_label", "no_path", "no_level_2"),
    ("no_photo", "placeholder_photo", "truncated_photo", "empty_photo", "not_a_photo"),
    ("no_brand",),
    ("no_description",),
    ("repeated_id",),
)

BROKEN_PHOTOS = frozenset({"truncated_photo", "empty_photo", "not_a_photo"})
"""Damage that leaves bytes which do not decode."""

TYPING_ERRORS = 0.008
"""Share of a description's words with a typing error."""

SIBLING = 0.6
"""How many wrong labels are of the right type."""

VARIANTS = cumulate([0.7, 0.16, 0.07, 0.04, 0.02, 0.01])
"""How many listings a product has: itself, and its variants."""

KINDS = cumulate([0.5, 0.38, 0.12])
RECOLOURED = 0.7
"""How many variants differ in colour, in size, or are the same product listed again; and in how many of the first the
photo is recoloured."""

SUBTYPE_PATTERN, PLAIN = 0.35, 0.4
"""How often a product has its subtype's pattern, or none."""

NOT_A_PHOTO = b"<!DOCTYPE html><html><head><title>404</title></head><body>The page was not found.</body></html>\n"

_MISSING = (None, "", " ")  # a missing text, as shops have it
_MOJIBAKE = str.maketrans({"'": "\u00e2\u20ac\u2122", "é": "Ã©", "–": "\u00e2\u20ac\u201c", "©": "Â©"})
_ENTITIES = str.maketrans({"&": "&amp;", "'": "&#39;", "é": "&eacute;", "–": "&ndash;", "©": "&copy;"})
_ESCAPED = str.maketrans({"&": "&amp;", "<": "&lt;"})
_KEPT = 512  # texts and photos that are kept, for the variants of a product share them

Kind = Literal["original", "colour", "size", "relisted"]


@dataclass(frozen=True, slots=True)
class Truth:
    """What is true of a record, and never part of it.

    Attributes
    ----------
    product_id
        The record's.
    family
        Equal for the variants and copies of one product.
    kind
        What the record is of its family: the original, another colour or size, or the same product listed again, with
        the same photo and another text.
    level_1, level_2, level_3
        The right classes; the record's are others where `damage` has `wrong_label`.
    damage
        What is wrong with the record: keys of `RATES`.
    """

    product_id: str
    family: int
    kind: Kind
    level_1: str
    level_2: str
    level_3: str
    damage: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Family:
    """What the variants of one product have in common."""

    number: int
    path: Path
    brand: str
    model: str
    pattern: str


@dataclass(frozen=True, slots=True)
class Listing:
    """One record before it is written: its place in the shop, its family, and how it differs from the rest of it."""

    index: int
    product_id: str
    family: Family
    kind: Kind
    colour: str
    photo_colour: str
    size: str
    damage: tuple[str, ...]


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
    writer = Writer(world)
    return (writer.record(listing, photos) for listing in islice(listings(world), products))


def truth(products: int, seed: int, dialect: str | None = None) -> Iterator[Truth]:
    """Yield the truth about each record of `generate` with the same arguments, in the same order."""
    world = make_world(products, seed, dialect)
    for listing in islice(listings(world), products):
        names = world.names(listing.family.path)
        yield Truth(listing.product_id, listing.family.number, listing.kind, *names, listing.damage)


def listings(world: World) -> Iterator[Listing]:
    """Yield all listings of a world, family by family, without an end."""
    index, previous = 0, ""
    for number in count():
        rng = stream(world.seed, FAMILY, number)
        family = _family(rng, world, number)
        for variant in _variants(rng, world, family.path):
            damaged = stream(world.seed, DAMAGE, index)
            drawn = [draw_kind(damaged, {kind: RATES[kind] for kind in kinds}) for kinds in EXCLUSIVE]
            damage = tuple(kind for kind in drawn if kind and (previous or kind != "repeated_id"))
            previous = previous if "repeated_id" in damage else product_id(index)
            yield Listing(index, previous, family, *variant, damage)
            index += 1


def product_id(index: int) -> str:
    """Return the id of the record at a place; ids are in no order, and no two of the first 10^8 are equal.

    >>> product_id(0), product_id(1)
    ('20150000', '68421003')
    """
    return f"{(20_150_000 + index * 48_271_003) % 10**8:08d}"


def _family(rng: np.random.Generator, world: World, number: int) -> Family:
    path = world.paths[pick_index(rng, world.path_steps)]
    brand = int(np.searchsorted(world.brand_steps[path.department, path.type], rng.random()))
    chance = rng.random()
    own = PATTERNS[world.subtypes[path.subtype].pattern]
    pattern = own if chance < SUBTYPE_PATTERN else "plain" if chance < SUBTYPE_PATTERN + PLAIN else pick(rng, PATTERNS)
    return Family(number, path, world.brands[min(brand, len(world.brands) - 1)], invent_name(rng, world.words), pattern)


def _variants(rng: np.random.Generator, world: World, path: Path) -> Iterator[tuple[Kind, str, str, str]]:
    """Yield kind, colour, the colour that the photo shows, and size, for each listing of a family."""
    words, steps = world.words, world.colour_steps[path.department]
    letter = words.types[world.types[path.type]].sizes
    of_child = letter == "letter" and words.departments[world.departments[path.department]].group == "child"
    colours, sizes = list(words.colours), words.sizes["child" if of_child else letter]
    first = shown = colours[pick_index(rng, steps)]
    size = pick(rng, sizes)
    yield "original", first, first, size
    for _ in range(pick_index(rng, VARIANTS)):
        kind: Kind = ("colour", "size", "relisted")[pick_index(rng, KINDS)]
        if kind == "colour":
            colour = colours[pick_index(rng, steps)]
            yield kind, colour, colour if rng.random() < RECOLOURED else shown, size
        else:
            yield kind, first, shown, pick(rng, sizes) if kind == "size" else size


class Writer:
    """Writes the records of a world's listings; what the listings of one family share is made once."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._text, self._photo = lru_cache(_KEPT)(self._write), lru_cache(_KEPT)(self._draw)

    def record(self, listing: Listing, photo: bool = True) -> Record:
        """Write one record, with what its damage leaves of it; without `photo`, that is None."""
        family, damage = listing.family, listing.damage
        of = (RELISTED_TEXT, listing.index) if listing.kind == "relisted" else (TEXT, family.number)
        texts = [text.replace(COLOUR, listing.colour).replace(SIZE, listing.size) for text in self._text(family, *of)]
        content = self._photo(family, listing.photo_colour) if photo else None
        if not damage:
            return Record(listing.product_id, family.brand, texts[0], texts[1], *self.world.names(family.path), content)
        rng = stream(self.world.seed, RECORD, listing.index)
        brand = pick(rng, _MISSING) if "no_brand" in damage else family.brand
        description = pick(rng, _MISSING) if "no_description" in damage else texts[1]
        path = _wrong(rng, self.world, family.path) if "wrong_label" in damage else family.path
        level_1, level_2, level_3 = (None, None, None) if "no_path" in damage else self.world.names(path)
        level_2 = None if "no_level_2" in damage else level_2
        content = content and _damaged(content, damage, rng)
        return Record(listing.product_id, brand, texts[0], description, level_1, level_2, level_3, content)

    def _write(self, family: Family, purpose: int, number: int) -> tuple[str, str]:
        rng = stream(self.world.seed, purpose, number)
        title, sentences = write(rng, self.world, family.path, family.brand, family.model)
        return title, _mark_up(rng, [_mistype(rng, sentence) for sentence in sentences])

    def _draw(self, family: Family, colour: str) -> bytes:
        subtype, words = self.world.subtypes[family.path.subtype], self.world.words
        silhouette = words.types[self.world.types[family.path.type]].silhouette
        rng = stream(self.world.seed, PHOTO, family.number)
        return draw(silhouette, subtype.shape, words.colours[colour], family.pattern, rng)


def _wrong(rng: np.random.Generator, world: World, right: Path) -> Path:
    """Draw another path: often of the same type, as people mislabel, and else any."""
    siblings = [path for path in world.paths if path.type == right.type and path != right]
    if siblings and rng.random() < SIBLING:
        return pick(rng, siblings)
    while (path := world.paths[pick_index(rng, world.path_steps)]) == right:
        pass
    return path


def _damaged(photo: bytes, damage: tuple[str, ...], rng: np.random.Generator) -> bytes | None:
    """Return what is left of a photo."""
    if "truncated_photo" in damage:
        return photo[: int(len(photo) * (0.3 + 0.4 * rng.random()))]
    instead = {"no_photo": None, "placeholder_photo": placeholder(), "empty_photo": b"", "not_a_photo": NOT_A_PHOTO}
    return next((instead[kind] for kind in damage if kind in instead), photo)


def _mistype(rng: np.random.Generator, text: str) -> str:
    """Put typing errors into a text: a letter lost, doubled, or swapped with the next. Slots in braces stay."""
    words = text.split(" ")
    for _ in range(int(len(words) * TYPING_ERRORS * 2 * rng.random() + rng.random())):
        at = int(rng.random() * len(words))
        word = words[at]
        if len(word) > 3 and word.isalpha():
            i, kind = 1 + int(rng.random() * (len(word) - 2)), int(rng.random() * 3)
            words[at] = word[:i] + ("", word[i] * 2, word[i + 1] + word[i])[kind] + word[i + (2 if kind == 2 else 1) :]
    return " ".join(words)


def _mark_up(rng: np.random.Generator, sentences: list[str]) -> str:
    """Write a description as a shop would have it: plain, as HTML in some style, or with a broken encoding."""
    kind = rng.random()
    if kind < 0.36:
        return " ".join(sentences).translate({} if kind < 0.3 else _MOJIBAKE)
    escaped = [sentence.translate(_ENTITIES) for sentence in sentences]
    first, rest = escaped[0], escaped[1:]
    if kind < 0.55:
        return f"<p>{first}</p>\n<p>{' '.join(rest)}</p>"
    if kind < 0.75:
        return f"<p><b>{first}</b></p><ul>{''.join(f'<li>{sentence}</li>' for sentence in rest)}</ul>"
    if kind < 0.95:
        return f'<div class="details">{"<br />".join(escaped)}</div>'
    html = "<style>.details{margin:0}</style>" + "&nbsp;".join(escaped) + "<!-- end -->"
    return html.translate(_ESCAPED) if kind > 0.985 else html
