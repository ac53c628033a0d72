"""Titles and descriptions, from a small grammar in which the choice of words, and their order, carry information.

A description names its category in about half of all products, and other categories in some, as what the product
goes with. What else tells the category: trade terms, parts and synonyms. Confusable twins have the same two
materials, and only the order of the words says which of them is outside. The department sometimes shows nowhere.
"""

import re
from collections.abc import Callable, Iterator

import numpy as np

from lib.demo_shop.world import Path, World, pick

NAMES_CATEGORY = 0.5
NAMES_DEPARTMENT = 0.3
NAMES_ANOTHER = 0.3
HINTS_DEPARTMENT = 0.85
TELLS_MATERIALS = 0.6
HAS_SYNONYM = 0.2
HAS_BOILERPLATE = 0.6
"""How often a description has each of these."""

OWN_TERM, TYPE_TERM = 0.62, 0.24
"""How often a trade term is one that the subtype prefers, one of its type, or else of any type."""

OWN_PART = 0.85
ORDER_KEPT = 0.9
"""How often a part is one of the type's own, and materials are named in the right order."""

COLOUR, SIZE = "{colour}", "{size}"
"""Stand for the words that differ between variants of one product."""

_NAMED = [
    "The {model} {noun} by {brand} are {adjective} and {adjective}.",
    "{Adjective} {noun} with a {adjective} {part}.",
    "Our idea of {noun}: {adjective}, {adjective}, and never dull.",
    "{Term} meets {noun} in a {adjective} design.",
    "{Noun} to wear or give with {other}.",
    "{Noun} for {other} lovers, with a {adjective} {part}.",
]
_UNNAMED = [
    "The {model} by {brand} is {adjective} and {adjective}.",
    "A {adjective} favourite with a {adjective} {part}.",
    "{Adjective}, {adjective}, and never dull: meet the {model}.",
    "{Term} meets a {adjective} design.",
    "You'll reach for the {model} again and again.",
]
_CUES = [
    "Features {term} and a {adjective} {part}.",
    "The {part} has {term}, the {part} stays {adjective}.",
    "With {term}, {term} and a {part} that's {adjective}.",
    "{Term} at the {part}.",
    "{Adjective} {part}; {adjective} {term}.",
    "We've added {term} for a {adjective} feel.",
]
_MATERIALS = [
    "{Outer} outside, {inner} inside.",
    "A {outer} face over a {inner} core.",
    "Made of {outer} and backed with {inner}.",
    "{Outer} first, then a layer of {inner}.",
]
_ANOTHER = [
    "Pairs well with {other}.",
    "Goes next to your {other}.",
    "Not to be confused with our {other}.",
    "Lovely with {other} from the same line.",
]
_HINTS = ["Made with {cue} in mind.", "Think {cue} and {cue}.", "Because {cue} matters.", "Ready for {cue}."]
_SYNONYMS = ["Also known as {synonym}.", "One of our {synonym}.", "If you like {synonym}, it's for you."]
_VARIANT = [f"Shown in {COLOUR}, size {SIZE}.", f"Colour: {COLOUR}. Size: {SIZE}.", f"In {COLOUR}. Also in {SIZE}."]
_BOILERPLATE = [
    "Free returns within 30 days.",
    "Imported. See label for care.",
    "Photos may differ slightly from what you'll receive.",
    "Shop all shoes, bags and jewelry & save.",
    "We're proud of our fair trade café in the flagship store.",
    "Sign up for our newsletter and don't miss a thing.",
    "Ships in 2-3 working days; gift wrapping at checkout.",
    "© all rights reserved – prices subject to change.",
]


_SOMETIMES = (
    (TELLS_MATERIALS, _MATERIALS),
    (NAMES_ANOTHER, _ANOTHER),
    (HINTS_DEPARTMENT, _HINTS),
    (HAS_SYNONYM, _SYNONYMS),
)
_SLOT = re.compile(r"\{(\w+)\}")


def possessive(word: str) -> str:
    """Return a word's possessive.

    >>> possessive("girls"), possessive("men")
    ("girls'", "men's")
    """
    return f"{word}'" if word.endswith("s") else f"{word}'s"


def write(rng: np.random.Generator, world: World, path: Path, brand: str, model: str) -> tuple[str, list[str]]:
    """Write a product's title, and the sentences of its description; see `COLOUR` and `SIZE`."""
    words, subtype, department = world.words, world.subtypes[path.subtype], world.departments[path.department]
    of_type = words.types[world.types[path.type]]
    outer, inner = subtype.materials if rng.random() < ORDER_KEPT else subtype.materials[::-1]

    def term() -> str:
        chance = rng.random()
        if chance < OWN_TERM:
            return pick(rng, subtype.terms)
        return pick(rng, world.type_terms[path.type] if chance < OWN_TERM + TYPE_TERM else pick(rng, world.type_terms))

    def part() -> str:
        return pick(rng, of_type.parts if rng.random() < OWN_PART else words.types[pick(rng, world.types)].parts)

    slots: dict[str, Callable[[], str]] = {
        "model": lambda: model,
        "brand": lambda: brand,
        "noun": lambda: subtype.name,
        "synonym": lambda: subtype.synonym,
        "other": lambda: pick(rng, world.subtypes).name,
        "adjective": lambda: pick(rng, words.adjectives),
        "cue": lambda: pick(rng, words.departments[department].cues),
        "outer": lambda: outer,
        "inner": lambda: inner,
        "term": term,
        "part": part,
    }

    def filled(slot: re.Match[str]) -> str:
        """Fill a slot; one with a capital letter gets one."""
        if slot[0] in (COLOUR, SIZE):
            return slot[0]
        word = slots[slot[1].lower()]()
        return word[0].upper() + word[1:] if slot[1][0].isupper() else word

    opening = pick(rng, _NAMED if rng.random() < NAMES_CATEGORY else _UNNAMED)
    middle = list(_body(rng, department))
    start = int(rng.random() * len(middle))
    templates = [opening, *middle[start:], *middle[:start], pick(rng, _VARIANT)]
    if rng.random() < HAS_BOILERPLATE:
        templates.append(pick(rng, _BOILERPLATE))
    noun = f"{possessive(department)} {subtype.name}" if rng.random() < 0.7 else subtype.name
    title = f"{brand} {model} {pick(rng, words.adjectives)} {noun} in {COLOUR}, {SIZE}"
    return title, [_SLOT.sub(filled, template) for template in templates]


def _body(rng: np.random.Generator, department: str) -> Iterator[str]:
    """Yield the sentences between the first and the last, as templates."""
    for _ in range(2 + int(rng.random() * 2)):
        yield pick(rng, _CUES)
    for share, sentences in _SOMETIMES:
        if rng.random() < share:
            yield pick(rng, sentences)
    if rng.random() < NAMES_DEPARTMENT:
        yield f"From our {department} collection."
