"""Words and chance: the shop's words, read from `lexicon.yaml`, and a random stream for every thing that is made."""

from bisect import bisect_right
from collections.abc import Sequence
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import yaml

from lib.config import Strict
from lib.exceptions import StudyError, nearest

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
    words = Lexicon.model_validate(_read("lexicon.yaml"))
    if dialect is None:
        return words
    dialects = _read("dialects.yaml")
    if dialect not in dialects:
        known = list(dialects)
        raise StudyError(f"shop.dialect: there is no dialect '{dialect}'. Known: {known}.{nearest(dialect, known)}")
    return _spoken(words, Dialect.model_validate(dialects[dialect]))


def _spoken(words: Lexicon, dialect: Dialect) -> Lexicon:
    """Return the words as a dialect has them; all that is drawn from them is drawn at the same places."""
    departments = {dialect.departments[name]: entry for name, entry in words.departments.items()}
    types = {
        dialect.types[name]: entry.model_copy(
            update={"subtypes": {other: own for own, other in entry.subtypes.items()}}
        )
        for name, entry in words.types.items()
    }
    lists = {name: value for name, value in dialect if name not in ("departments", "types")}
    return words.model_copy(update={"departments": departments, "types": types, **lists})


def _read(file: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(Path(__file__).with_name(file).read_text("utf-8"))
    return content
