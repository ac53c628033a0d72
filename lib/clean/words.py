"""The words of a text, in any script: what shingles, masking and models take for a word.

A word is a run of letters, marks and digits. Vowel signs and accents that are characters of their own belong to the
letter before them: without them, Hindi words would fall to pieces.

Where no spaces part words (Chinese, Japanese, Thai, Lao, Khmer, Burmese), a run is parted into *units*, and its words
are all pairs of units that follow one another, or the unit if there is but one. A unit is a character with what cannot
stand without it: its marks, vowels written before or after their consonant, a consonant below, small kana.
"""

import re
from collections.abc import Callable
from functools import cache
from itertools import pairwise

import regex

UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}ー"
"""Of scripts that part words by nothing; to stand in a set of a pattern of the package `regex`."""

_MARKS = r"\p{M}--\p{Variation_Selector}"  # a variation selector says how an emoji is drawn


def spaced(joint: str = "") -> str:
    """Return a pattern (of `regex`, version 1) for a word of a script that parts words by spaces."""
    return rf"[[\p{{L}}\p{{N}}{joint}]--[{UNSPACED}]][[\p{{L}}\p{{N}}{joint}[{_MARKS}]]--[{UNSPACED}]]*"


UNIT = (
    rf"[เแโใไເແໂໃໄ]?[[\p{{L}}\p{{N}}]&&[{UNSPACED}]]"
    rf"(?:[\u17d2\u1039]\p{{L}}|[[{_MARKS}]ะาำๅະາຳーァィゥェォッャュョヮぁぃぅぇぉゃゅょゎ])*"
)
"""A pattern for a unit of a script that does not."""

has_unspaced = regex.compile(rf"[{UNSPACED}]").search
"""Find the first character of a script that does not."""

_units = regex.compile(f"(?V1){UNIT}").findall
_syllable = regex.compile(rf"[{UNSPACED}\p{{Hangul}}]").match


def words(text: str, joint: str = "") -> list[str]:
    """Return a text's words in lower case, in order.

    Parameters
    ----------
    joint
        A character that joins what stands on both sides of it to one word.

    >>> words("Men's T-shirt"), words("size_chart", joint="_")
    (['men', 's', 't', 'shirt'], ['size_chart'])
    >>> words("Tシャツ、綿100%"), words("मुलायम कमीज़")
    (['t', 'シャツ', '綿', '100'], ['मुलायम', 'कमीज़'])
    """
    text = text.casefold()
    if text.isascii() or not has_unspaced(text):
        return _finder(joint, text.isascii())(text)
    found = []
    for word in _finder(joint, ascii_only=False)(text):
        units = _units(word)
        found += [one + other for one, other in pairwise(units)] if len(units) > 1 else [word]
    return found


def is_letter(word: str) -> bool:
    """Say whether a word is one letter of an alphabet. A single syllable or ideogram is a word of its own.

    >>> [is_letter(word) for word in ("x", "7", "ox", "茶", "옷")]
    [True, True, False, False, False]
    """
    return len(word) == 1 and not _syllable(word)


@cache
def _finder(joint: str, ascii_only: bool) -> Callable[[str], list[str]]:
    """Return what finds words of spaced scripts and, if not `ascii_only`, also whole runs of units."""
    if ascii_only:
        return re.compile(f"[a-z0-9{joint}]+").findall
    return regex.compile(f"(?V1){spaced(joint)}|(?:{UNIT})+").findall
