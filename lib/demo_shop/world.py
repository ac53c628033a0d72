"""The shop's world: what exists and how often, as a generative model whose parameters all stand here, and its words.

Everything is a function of the number of products and the seed. At 750,000 products the sizes are those of the
paper's catalogue (19 / 40 / 270 classes, about 1,200 paths, 2,700 brands; Wang & Guthrie, 2015, section 2.2), at fewer
products they shrink by a power law. Words are read from `lexicon.yaml`; every thing that is made has a random stream.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from itertools import product as pairs
from typing import Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from lib.config import Strict
from lib.demo_shop.photos import read_yaml, silhouettes
from lib.exceptions import StudyError, nearest

FULL_SIZE = 750_000
FULL_COUNTS = {"level_1": 19, "level_2": 40, "level_3": 270, "paths": 1200, "brands": 2700}
SHRINKING = {"level_1": 0.133, "level_2": 0.106, "level_3": 0.205, "paths": 0.27, "brands": 0.455}
"""Counts grow with this power of the number of products."""

PLURALITY = (0.56, 0.37, 0.09)
"""Share of the most common class of each level."""

BRAND_ZIPF = 0.9
FOREIGN_DEPARTMENT = 0.015
RELATED_DEPARTMENT = 0.15
FOREIGN_TYPE = 0.02
"""How likely a brand sells outside its own department or types, relative to within."""

TYPE_TERMS, SUBTYPE_TERMS, TWIN_TERMS = 36, 9, 6
"""Trade terms that a type uses, that a subtype uses, and that confusable twins share."""

COLOUR_ZIPF = 0.7
"""Every department has a colour ranking of its own, and this is its Zipf exponent."""

SHAPE_SPREAD, TWIN_SPREAD = 0.24, 0.12
"""Standard deviation of the free numbers of a type's subtypes, and of a subtype from its confusable twin."""

Floats = NDArray[np.float64]


T = TypeVar("T")

# What a stream is for; with a number, its key.
WORLD, FAMILY, TEXT, RELISTED_TEXT, PHOTO, DAMAGE, RECORD, UNSOLD, PAGE, WEB = range(10)


def stream(seed: int, purpose: int, index: int = 0) -> np.random.Generator:
    """Return the random stream of one thing.

    >>> stream(1, TEXT, 5).random() == stream(1, TEXT, 5).random()
    True
    """
    key = [seed, purpose, index]
    # As an array it takes two thirds of the time that it takes as a list, and gives the same stream.
    return np.random.Generator(np.random.PCG64(np.array(key, np.uint32) if seed < 2**32 else key))


def pick(rng: np.random.Generator, items: Sequence[T]) -> T:
    """Draw one of some items, each as likely as the next (much faster than `Generator.choice`)."""
    return items[int(rng.random() * len(items))]


def pick_index(rng: np.random.Generator, cumulative: Sequence[float]) -> int:
    """Draw an index by cumulative weights that end in 1."""
    return min(bisect_right(cumulative, rng.random()), len(cumulative) - 1)


def cumulate(weights: Sequence[float]) -> tuple[float, ...]:
    """Turn weights into cumulative probabilities.

    >>> cumulate([1, 1, 2])
    (0.25, 0.5, 1.0)
    """
    total = sum(weights)
    return tuple(value / total for value in accumulate(weights))


def draw_kind(rng: np.random.Generator, rates: Mapping[str, float]) -> str | None:
    """Draw one of some kinds that exclude one another, or none."""
    chance = rng.random()
    for kind, rate in rates.items():
        chance -= rate
        if chance < 0:
            return kind
    return None


Group = Literal["her", "him", "child", "house"]


class DepartmentWords(Strict):
    """A class of level 1: what it can sell, and words that hint at it."""

    group: Group
    cues: list[str]


class TypeWords(Strict):
    """A class of level 2: its silhouette, who uses it, its sizes, its parts, and its subtypes with a synonym each."""

    silhouette: str
    groups: list[Group]
    sizes: str
    parts: list[str]
    subtypes: dict[str, str]


class Dialect(Strict):
    """What a shop calls things that speaks another way; see `dialects.yaml`."""

    departments: dict[str, str]
    types: dict[str, str]
    term_beginnings: list[str]
    term_endings: list[str]
    brand_beginnings: list[str]
    brand_endings: list[str]


class Lexicon(Strict):
    """All words; see the comments in the file."""

    departments: dict[str, DepartmentWords]
    types: dict[str, TypeWords]
    sizes: dict[str, list[str]]
    colours: dict[str, tuple[int, int, int]]
    adjectives: list[str]
    materials: list[str]
    term_beginnings: list[str]
    term_endings: list[str]
    brand_beginnings: list[str]
    brand_middles: list[str]
    brand_endings: list[str]
    brand_styles: list[str]


@cache
def lexicon(dialect: str | None = None) -> Lexicon:
    """Read and validate the words, those of a dialect if one is named.

    A dialect changes words only: all that is drawn from them is drawn at the same places.

    Raises
    ------
    StudyError
        If there is no such dialect.

    Examples
    --------
    >>> len(lexicon().departments), len(lexicon().types)
    (19, 40)
    >>> list(lexicon("british").types)[:2], list(lexicon("british").types["footwear"].subtypes.items())[0]
    (['footwear', 'upper wear'], ('trainers', 'sneakers'))
    """
    words = Lexicon.model_validate(read_yaml("lexicon.yaml"))
    if dialect is None:
        return words
    dialects = read_yaml("dialects.yaml")
    if dialect not in dialects:
        known = list(dialects)
        raise StudyError(f"shop.dialect: there is no dialect '{dialect}'. Known: {known}.{nearest(dialect, known)}")
    spoken = dict(Dialect.model_validate(dialects[dialect]))
    departments, types = spoken.pop("departments"), spoken.pop("types")
    swapped = {
        types[name]: entry.model_copy(update={"subtypes": {other: own for own, other in entry.subtypes.items()}})
        for name, entry in words.types.items()
    }
    renamed = {departments[name]: entry for name, entry in words.departments.items()}
    return words.model_copy(update={"departments": renamed, "types": swapped, **spoken})


def invent_name(rng: np.random.Generator, words: Lexicon) -> str:
    """Invent a name, of a model or of a brand."""
    return pick(rng, words.brand_beginnings) + pick(rng, words.brand_middles) + pick(rng, words.brand_endings)


class Path(NamedTuple):
    """Codes of a path: department, type and subtype."""

    department: int
    type: int
    subtype: int


@dataclass(frozen=True)
class Subtype:
    """A class of level 3.

    Attributes
    ----------
    terms
        Trade terms that its descriptions prefer.
    materials
        The outer and the inner one; a confusable twin has them the other way round.
    shape
        Free numbers of its type's silhouette.
    pattern
        The pattern that its photos prefer, an index.
    """

    name: str
    synonym: str
    type: int
    terms: tuple[str, ...]
    materials: tuple[str, str]
    shape: tuple[float, ...]
    pattern: int


@dataclass(frozen=True)
class World:
    """All that exists; codes are positions in these lists.

    Attributes
    ----------
    paths, path_steps
        Every valid path, and cumulative probabilities.
    brand_steps
        Cumulative probabilities of the brands, for each department and type.
    type_terms
        The trade terms of each type.
    colour_steps
        Cumulative probabilities of the lexicon's colours, for each department.
    words
        The lexicon, as the shop's dialect has it.
    """

    seed: int
    departments: tuple[str, ...]
    types: tuple[str, ...]
    subtypes: tuple[Subtype, ...]
    brands: tuple[str, ...]
    paths: tuple[Path, ...]
    path_steps: tuple[float, ...]
    brand_steps: dict[tuple[int, int], Floats]
    type_terms: tuple[tuple[str, ...], ...]
    colour_steps: tuple[tuple[float, ...], ...]
    words: Lexicon

    def names(self, path: Path) -> tuple[str, str, str]:
        """Return a path's class names."""
        return self.departments[path.department], self.types[path.type], self.subtypes[path.subtype].name


def counts(products: int) -> dict[str, int]:
    """Return the sizes of a shop's taxonomy and its number of brands.

    >>> counts(750_000)["level_3"], counts(6000)["level_3"]
    (270, 100)
    """
    scale = min(products / FULL_SIZE, 1)
    return {name: max(2, round(full * scale ** SHRINKING[name])) for name, full in FULL_COUNTS.items()}


def head_and_tail(count: int, head: float) -> Floats:
    """Return probabilities: `head` for the first of `count`, and a Zipf tail (exponent 1) for the others.

    >>> head_and_tail(3, 0.4).round(2).tolist()
    [0.4, 0.4, 0.2]
    """
    tail = 1 / np.arange(1, count)
    return np.concatenate([[head], (1 - head) * tail / tail.sum()])


def make_world(products: int, seed: int, dialect: str | None = None) -> World:
    """Make the world of a shop with about this many products, which speaks a dialect if one is named."""
    rng, size, words = stream(seed, WORLD), counts(products), lexicon(dialect)
    departments = tuple(words.departments)[: size["level_1"]]
    types = tuple(words.types)[: size["level_2"]]
    terms = [start + end for start, end in pairs(words.term_beginnings, words.term_endings)]
    type_terms = tuple(tuple(terms[i] for i in rng.permutation(len(terms))[:TYPE_TERMS]) for _ in words.types)
    type_terms = type_terms[: len(types)]  # two types may share some
    subtypes = _subtypes(rng, words, type_terms, size["level_3"])
    paths, shares = _paths(rng, words, departments, types, subtypes, size["paths"])
    brands = dict[str, None]()
    while len(brands) < size["brands"]:
        stem = invent_name(rng, words)
        brands[pick(rng, words.brand_styles).format(stem)] = None
    brand_steps = _brand_steps(rng, words, departments, types, len(brands))
    zipf = 1 / np.arange(1, len(words.colours) + 1) ** COLOUR_ZIPF
    colour_steps = tuple(cumulate(zipf[rng.permutation(len(zipf))].tolist()) for _ in departments)
    return World(
        *(seed, departments, types, subtypes, tuple(brands), paths),
        *(cumulate(shares.tolist()), brand_steps, type_terms, colour_steps, words),
    )


def _subtypes(
    rng: np.random.Generator, words: Lexicon, type_terms: tuple[tuple[str, ...], ...], count: int
) -> tuple[Subtype, ...]:
    """Make the subtypes of all types, and keep the most common of each, `count` in all.

    The first and second of a type, its third and fourth, ... are twins that are easily confused.
    """
    ranked: list[tuple[float, int, Subtype]] = []
    for code, (terms, entry) in enumerate(zip(type_terms, words.types.values(), strict=False)):
        centre, twin = rng.uniform(0.15, 0.85, silhouettes()[entry.silhouette].free), None
        for place, (name, synonym) in enumerate(entry.subtypes.items()):
            own = tuple(terms[i] for i in rng.permutation(len(terms))[:SUBTYPE_TERMS])
            outer, inner = (words.materials[i] for i in rng.permutation(len(words.materials))[:2])
            materials = (outer, inner)
            if twin:
                own, materials = twin.terms[:TWIN_TERMS] + own[TWIN_TERMS:], twin.materials[::-1]
            spread = rng.normal(0, TWIN_SPREAD if twin else SHAPE_SPREAD, len(centre))
            shape = np.clip((np.array(twin.shape) if twin else centre) + spread, 0, 1).round(6)
            pattern = int(rng.random() * 5)
            made = Subtype(name, synonym, code, own, materials, tuple(shape.tolist()), pattern)
            ranked.append((place / len(entry.subtypes), code, made))
            twin = None if twin else made
    kept = sorted(ranked, key=lambda entry: entry[:2])[:count]
    return tuple(subtype for _, _, subtype in sorted(kept, key=lambda entry: (entry[1], entry[0])))


def _paths(
    rng: np.random.Generator,
    words: Lexicon,
    departments: tuple[str, ...],
    types: tuple[str, ...],
    subtypes: tuple[Subtype, ...],
    count: int,
) -> tuple[tuple[Path, ...], Floats]:
    """Choose the valid paths, and give them probabilities with the stated plurality classes and Zipf tails."""
    rows, columns = head_and_tail(len(departments), PLURALITY[0]), _subtype_shares(len(types), subtypes)
    groups = [words.departments[name].group for name in departments]
    sellable = np.array([[group in words.types[types[s.type]].groups for s in subtypes] for group in groups])
    score = np.log(rows)[:, None] + np.log(columns) + rng.normal(0, 1, sellable.shape)
    score[~sellable] = -np.inf
    valid = score >= np.sort(score[sellable])[::-1][min(count, sellable.sum()) - 1]
    valid[np.arange(len(rows)), score.argmax(1)] = True  # nothing is without a path
    valid[score.argmax(0), np.arange(len(columns))] = True
    table = valid * np.exp(rng.normal(0, 0.5, valid.shape))
    for _ in range(200):  # iterative proportional fitting (Deming & Stephan, 1940)
        table *= (columns / table.sum(0))[None, :]
        table *= (rows / table.sum(1))[:, None]
    at = [(int(d), int(s)) for d, s in np.argwhere(valid)]
    return tuple(Path(d, subtypes[s].type, s) for d, s in at), np.array([table[d, s] for d, s in at])


def _subtype_shares(types: int, subtypes: tuple[Subtype, ...]) -> Floats:
    """Return the share of each subtype: Zipf within its type, `PLURALITY` for the first of the first."""
    of_type = head_and_tail(types, PLURALITY[1])
    shares = []
    for code, share in enumerate(of_type):
        siblings = sum(subtype.type == code for subtype in subtypes)
        zipf = 1 / np.arange(1, siblings + 1)
        within = head_and_tail(siblings, PLURALITY[2] / PLURALITY[1]) if code == 0 else zipf / zipf.sum()
        shares.append(share * within)
    return np.concatenate(shares)


def _brand_steps(
    rng: np.random.Generator, words: Lexicon, departments: tuple[str, ...], types: tuple[str, ...], brands: int
) -> dict[tuple[int, int], Floats]:
    """Give every brand a department and one to three types of its own, and make p(brand | department, type)."""
    popularity = 1 / np.arange(1, brands + 1) ** BRAND_ZIPF
    group = np.array([words.departments[name].group for name in departments])
    home = rng.choice(len(departments), brands, p=_flatter(head_and_tail(len(departments), PLURALITY[0])))
    by_department = np.where(group[home][:, None] == group, RELATED_DEPARTMENT, FOREIGN_DEPARTMENT)
    by_department[np.arange(brands), home] = 1
    by_type = np.full((brands, len(types)), FOREIGN_TYPE)
    chances = _flatter(head_and_tail(len(types), PLURALITY[1]))
    for brand, kinds in enumerate(rng.integers(1, 4, brands)):
        by_type[brand, rng.choice(len(types), kinds, p=chances)] = 1
    weights = popularity[:, None, None] * by_department[:, :, None] * by_type[:, None, :]
    steps = np.cumsum(weights, axis=0) / weights.sum(0)
    return {(d, t): steps[:, d, t] for d in range(len(departments)) for t in range(len(types))}


def _flatter(shares: Floats) -> Floats:
    """Return shares to the power .7: brands are spread more evenly than products."""
    flatter: Floats = shares**0.7 / (shares**0.7).sum()
    return flatter
