"""Masked texts: every word of the taxonomy is removed, whatever the product's own label.

Removing only the product's own label would leak it by absence. Removed are, in any case and with or without accents:

- each word of each class name of each level (function words such as *and* excepted), in singular and plural and
  with a possessive ending: *Dresses* takes *dress*, *dresses* and *dress's*;
- joined and split spellings: *Tshirts* takes *t-shirt* and *T shirts*, *Flip Flops* takes *flipflop*;
- in scripts without spaces (`lib.clean.words`), what a class name has between two signs, wherever a sentence has it; of
  two such names that begin in one place, the longer one;
- in Korean, Arabic and Hebrew also with the particles that are written onto a word.

Nothing takes the place of a removed word. Synonyms (*tee* for *Tshirts*), other derivations (*belted* for *Belts*),
other orthographies (*jewelry* for *Jewellery*) and inflections of other languages than English are not words of the
taxonomy, and stay.
"""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import chain, islice

import regex

from lib.clean.words import UNIT, has_unspaced, is_letter, spaced
from lib.config.base import ENDS_HERE

# A word, with a possessive ending if it has one, or a unit of a script without spaces. An underscore parts words.
_WORD = regex.compile(rf"(?V1)({spaced()}(?:['’][sS](?![\p{{L}}\p{{M}}\p{{N}}]))?|{UNIT})")
_ASCII_WORD = re.compile(r"([a-zA-Z0-9]+(?:'[sS](?![a-zA-Z0-9]))?)")
_RUN = regex.compile(r"[\p{L}\p{M}\p{N}]+")
_POSSESSIVE = re.compile(r"['’]s$", re.IGNORECASE)
_ACCENTED = regex.compile(r"([\p{Latin}\p{Greek}\p{Cyrillic}\p{Arabic}\p{Hebrew}])\p{M}+")
_LOOSE = re.compile(r"(?<!\S)['’\-‐–/_・]+(?!\S)")
_BEFORE_STOP = re.compile(r"\s+(?=[,.;:!?)、。，．；：！？）」』】])")

FUNCTION_WORDS = frozenset({"a", "an", "and", "at", "by", "for", "from", "in", "of", "on", "or", "the", "to", "with"})
_IRREGULAR = (
    ("man", "men"), ("woman", "women"), ("child", "children"), ("person", "people"), ("foot", "feet"),
    ("tooth", "teeth"), ("scarf", "scarves"), ("knife", "knives"), ("shelf", "shelves"), ("leaf", "leaves"),
)  # fmt: skip
# What is written onto a word, before it and after it.
_PARTICLES = {
    "Hangul": ("", "은 는 이 가 을 를 의 에 에서 로 으로 와 과 도 만 용 들 들이 들을 이고 이며 입니다"),
    "Arabic": ("ال و وال ب بال ل لل ف فال ك كال", ""),
    "Hebrew": ("ה ו ב ל מ ש כ וה שה", ""),
}
_LONGEST_RUN = 3  # words of a class name that may be spelled as one
_LONGEST_SPLIT = 4  # words that one spelling may have been split into


def normal(word: str) -> str:
    """Fold case and accents, and drop a possessive ending. Vowel signs are no accents.

    >>> normal("Décolleté's"), normal("कमीज़")
    ('decollete', 'कमीज़')
    """
    word = _POSSESSIVE.sub("", word)
    if not word.isascii():
        word = unicodedata.normalize("NFKC", _ACCENTED.sub(r"\1", unicodedata.normalize("NFKD", word)))
    return word.casefold()


def inflections(word: str) -> set[str]:
    """Return a word with its singular and plural spellings. Spellings that are no words do no harm: no text has them.

    >>> sorted(inflections("dress"))
    ['dress', 'dresses']
    >>> sorted(inflections("women"))
    ['woman', 'womans', 'women', 'womens']
    """
    bases = {word}
    for singular, plural in _IRREGULAR:
        if word in (singular, plural, plural + "s"):
            bases |= {singular, plural}
    if len(word) > 3 and word.endswith("s") and not word.endswith("ss"):
        bases.add(word[:-1])
    if len(word) > 4 and word.endswith(("ses", "xes", "zes", "ches", "shes", "oes")):
        bases.add(word[:-2])
    if len(word) > 4 and word.endswith("ies"):
        bases.add(word[:-3] + "y")
    return bases | {plural for base in bases for plural in _plurals(base)}


class Masker:
    """Finds and removes the words of a taxonomy, in time that grows with the text and not with the taxonomy.

    Parameters
    ----------
    class_names
        The classes of all levels.

    Examples
    --------
    >>> masker = Masker(["Men", "Flip Flops", "Tshirts"])
    >>> masker.mask("Light T-shirt, worn with men's flip-flops.")
    'Light, worn with.'
    >>> masker.leaked_words("Two tshirts")
    ['tshirts']
    """

    def __init__(self, class_names: Iterable[str]) -> None:
        names = [name for name in class_names if name != ENDS_HERE]
        self.words = frozenset(form for name in names for form in _forms(name))
        self._runs = defaultdict[str, list[list[str]]](list)  # of scripts without spaces, by their first unit
        runs = {run for name in names for run in _RUN.findall(name) if has_unspaced(run)}
        for units in sorted(([*map(normal, _WORD.findall(run))] for run in runs), key=len, reverse=True):
            self._runs[units[0]].append(units)
        self._endings = frozenset(word[start:] for word in self.words for start in range(1, len(word)))
        self._normal = cache(normal)

    def mask(self, text: str) -> str:
        """Remove every word of the taxonomy from a text, and fold the white space that is left."""
        return self._mask(text)[0]

    def leaked_words(self, text: str) -> list[str]:
        """Return the words of the taxonomy that are in a text, in normal form; a masked text has none."""
        return self._mask(text)[1]

    def mask_all(self, texts: Iterable[str]) -> tuple[list[str], Counter[str]]:
        """Mask many texts, and count how often each word was removed."""
        masked, removed = [], Counter[str]()
        for text in texts:
            kept, gone = self._mask(text)
            masked.append(kept)
            removed.update(gone)
        return masked, removed

    def _mask(self, text: str) -> tuple[str, list[str]]:
        """Return the masked text and what was removed.

        The words that are kept lie on a stack, so that those which meet only because what stood between them was
        removed are also looked at together.
        """
        pieces = (_ASCII_WORD if text.isascii() else _WORD).split(text)
        words, endings, known = self.words, self._endings, self._normal
        kept: list[tuple[int, str]] = []
        removed, end = [], 0
        for position in range(1, len(pieces), 2):
            if position < end:
                continue
            word = known(pieces[position])
            if word in self._runs and (length := self._begins_here(pieces, position)):
                end = position + 2 * length - 1
                removed.append("".join(map(known, pieces[position:end:2])))
                pieces[position:end] = [" "] * (end - position)
                continue
            parts = self._ends_here(kept, word) if word in endings else 0 if word in words else None
            if parts is None:
                kept.append((position, word))
                continue
            first = len(kept) - parts
            removed.append("".join(part for _, part in kept[first:]) + word)
            for gone, _ in [*kept[first:], (position, word)]:
                pieces[gone] = " "
            del kept[first:]
        if not removed:
            return text, removed
        # Punctuation that has lost its words goes, and white space is folded.
        masked = " ".join(_BEFORE_STOP.sub("", _LOOSE.sub("", "".join(pieces))).split())
        if not self._runs:
            return masked, removed
        masked, more = self._mask(masked)  # what stood between the parts of a name may have gone
        return masked, removed + more

    def _begins_here(self, pieces: list[str], position: int) -> int:
        """Return of how many words and units the longest name is that begins at one; 0 if there is none.

        Nothing stands between its units. A blank or a hyphen may part them from a word of another script.
        """
        for name in self._runs[self._normal(pieces[position])]:
            found = pieces[position : position + 2 * len(name) - 1]
            if [*map(self._normal, found[::2])] == name and all(map(_touch, found[::2], found[1::2], found[2::2])):
                return len(name)
        return 0

    def _ends_here(self, kept: list[tuple[int, str]], word: str) -> int | None:
        """Return how many of the last kept words make, with `word`, a word of the taxonomy; None if there is none."""
        joined = word
        found = 0 if word in self.words else None
        for parts, (_, before) in enumerate(islice(reversed(kept), _LONGEST_SPLIT - 1), 1):
            joined = before + joined
            if joined in self.words:
                found = parts
        return found


def _forms(name: str) -> Iterator[str]:
    """Yield all that a class name takes: its words, and runs of them spelled as one, all with their inflections."""
    words = [normal(word) for word in _WORD.findall(name) if not has_unspaced(word)]
    for start, first in enumerate(words):
        for length in range(1, min(_LONGEST_RUN, len(words) - start) + 1):
            joined = {""}
            for word in words[start : start + length]:
                joined = {left + right for left in joined for right in inflections(word)}
            if first not in FUNCTION_WORDS and (length > 1 or not is_letter(first)):
                yield from (spelling for spelling in joined if not spelling.isdigit())
                yield from chain.from_iterable(map(_with_particles, joined))


def _touch(left: str, between: str, right: str) -> bool:
    """Say whether two pieces of a text may be parts of one name."""
    return between == "" or (between in (" ", "-") and not (has_unspaced(left) and has_unspaced(right)))


def _plurals(word: str) -> Iterator[str]:
    yield word if word.endswith("s") else word + "s"
    if word.endswith(("s", "x", "z", "ch", "sh", "o")):
        yield word + "es"
    if word.endswith("y"):
        yield word[:-1] + "ies"


def _with_particles(word: str) -> Iterator[str]:
    for script, (before, after) in _PARTICLES.items():
        if len(word) > 1 and regex.fullmatch(rf"\p{{{script}}}+", word):
            yield from (particle + word for particle in before.split())
            yield from (word + particle for particle in after.split())
