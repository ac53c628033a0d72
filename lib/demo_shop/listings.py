"""What the shop lists, one product after the other: the truth about it, and what is wrong with its record."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, islice
from typing import Literal

import numpy as np

from lib.demo_shop.lexicon import DAMAGE, FAMILY, cumulate, pick, pick_index, stream
from lib.demo_shop.photos import PATTERNS
from lib.demo_shop.text import model_name
from lib.demo_shop.world import Path, World, make_world

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

NOT_A_PHOTO = b"<!DOCTYPE html><html><head><title>404</title></head><body>The page was not found.</body></html>\n"

_MOJIBAKE = str.maketrans({"'": "\u00e2\u20ac\u2122", "é": "Ã©", "–": "\u00e2\u20ac\u201c", "©": "Â©"})
_ENTITIES = str.maketrans({"&": "&amp;", "'": "&#39;", "é": "&eacute;", "–": "&ndash;", "©": "&copy;"})
_ESCAPED = str.maketrans({"&": "&amp;", "<": "&lt;"})
_STYLE = "<style>.details{margin:0}</style>"


def draw_damage(rng: np.random.Generator) -> tuple[str, ...]:
    """Draw what is wrong with one product."""
    found = []
    for kinds in EXCLUSIVE:
        chance = rng.random()
        for kind in kinds:
            chance -= RATES[kind]
            if chance < 0:
                found.append(kind)
                break
    return tuple(found)


def damaged_photo(photo: bytes, damage: tuple[str, ...], placeholder: bytes, rng: np.random.Generator) -> bytes | None:
    """Return what is left of a photo."""
    if "no_photo" in damage:
        return None
    if "placeholder_photo" in damage:
        return placeholder
    if "empty_photo" in damage:
        return b""
    if "not_a_photo" in damage:
        return NOT_A_PHOTO
    if "truncated_photo" in damage:
        return photo[: int(len(photo) * (0.3 + 0.4 * rng.random()))]
    return photo


def mistype(rng: np.random.Generator, text: str) -> str:
    """Put typing errors into a text: a letter lost, doubled, or swapped with the next. Slots in braces stay."""
    words = text.split(" ")
    for _ in range(int(len(words) * TYPING_ERRORS * 2 * rng.random() + rng.random())):
        at = int(rng.random() * len(words))
        word = words[at]
        if len(word) > 3 and word.isalpha():
            i, kind = 1 + int(rng.random() * (len(word) - 2)), int(rng.random() * 3)
            words[at] = word[:i] + ("", word[i] * 2, word[i + 1] + word[i])[kind] + word[i + (2 if kind == 2 else 1) :]
    return " ".join(words)


def mark_up(rng: np.random.Generator, sentences: list[str]) -> str:
    """Write a description as a shop would have it: plain, as HTML in some style, or with a broken encoding."""
    kind = rng.random()
    if kind < 0.3:
        return " ".join(sentences)
    if kind < 0.36:
        return " ".join(sentences).translate(_MOJIBAKE)
    escaped = [sentence.translate(_ENTITIES) for sentence in sentences]
    first, rest = escaped[0], escaped[1:]
    if kind < 0.55:
        html = f"<p>{first}</p>\n<p>{' '.join(rest)}</p>"
    elif kind < 0.75:
        html = f"<p><b>{first}</b></p><ul>{''.join(f'<li>{sentence}</li>' for sentence in rest)}</ul>"
    elif kind < 0.95:
        html = f'<div class="details">{"<br />".join(escaped)}</div>'
    else:
        html = _STYLE + "&nbsp;".join(escaped) + "<!-- end -->"
    return html.translate(_ESCAPED) if kind > 0.985 else html


def blank(rng: np.random.Generator) -> str | None:
    """Return a missing text as shops have it."""
    return pick(rng, (None, "", " "))


VARIANTS = cumulate([0.7, 0.16, 0.07, 0.04, 0.02, 0.01])
"""How many listings a product has: itself, and its variants."""

KINDS = cumulate([0.5, 0.38, 0.12])
RECOLOURED = 0.7
"""How many variants differ in colour, in size, or are the same product listed again; and in how many of the first the
photo is recoloured."""

SUBTYPE_PATTERN, PLAIN = 0.35, 0.4
"""How often a product has its subtype's pattern, or none."""

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


def truth(products: int, seed: int, dialect: str | None = None) -> Iterator[Truth]:
    """Yield the truth about each record of `lib.demo_shop.generate` with the same arguments, in the same order."""
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
        for kind, colour, photo_colour, size in _variants(rng, world, family.path):
            damage = draw_damage(stream(world.seed, DAMAGE, index))
            if not previous and "repeated_id" in damage:
                damage = tuple(kind for kind in damage if kind != "repeated_id")
            previous = previous if "repeated_id" in damage else product_id(index)
            yield Listing(index, previous, family, kind, colour, photo_colour, size, damage)
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
    return Family(number, path, world.brands[min(brand, len(world.brands) - 1)], model_name(rng, world.words), pattern)


def _variants(rng: np.random.Generator, world: World, path: Path) -> Iterator[tuple[Kind, str, str, str]]:
    """Yield kind, colour, the colour that the photo shows, and size, for each listing of a family."""
    colours, sizes = list(world.words.colours), _sizes(world, path)
    steps = world.colour_steps[path.department]
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


def _sizes(world: World, path: Path) -> list[str]:
    words = world.words
    kind = words.types[world.types[path.type]].sizes
    of_child = words.departments[world.departments[path.department]].group == "child" and kind == "letter"
    return words.sizes["child" if of_child else kind]
