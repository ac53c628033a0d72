"""The shop's words, read from `lexicon.yaml`: departments, types and subtypes from most to least common."""

from functools import cache
from pathlib import Path
from typing import Literal

import yaml

from lib.config import Strict

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
def lexicon() -> Lexicon:
    """Read and validate the words.

    >>> len(lexicon().departments), len(lexicon().types)
    (19, 40)
    """
    return Lexicon.model_validate(yaml.safe_load(Path(__file__).with_name("lexicon.yaml").read_text("utf-8")))
