"""Texts as sets of hashed shingles (runs of words), and how alike such sets are."""

import hashlib
import re
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import pandas as pd
from datasketch import MinHash
from numpy.typing import NDArray

SHINGLE_WORDS = 3
BLOCK = 50_000  # texts whose words are held at once
MIX = np.uint64(0x9E3779B97F4A7C15)  # an odd multiplier that spreads bits: 2**64 over the golden ratio

Rows = NDArray[np.int64]
Hashes = NDArray[np.uint64]

_WORD = re.compile(r"[^\W_]+")
_HALF = np.uint64(32)


@dataclass(frozen=True)
class Shingles:
    """Sets of 32-bit hashes. Those of row `i` are `hashes[starts[i] : starts[i + 1]]`, sorted, each once.

    Attributes
    ----------
    starts : int64 array, shape (rows + 1,)
    hashes : uint64 array
    """

    starts: Rows
    hashes: Hashes

    @property
    def sizes(self) -> Rows:
        """The number of shingles of each row."""
        return np.diff(self.starts)

    @property
    def rows(self) -> Rows:
        """The row of each hash."""
        return np.repeat(np.arange(len(self.sizes)), self.sizes)


def words(text: str) -> list[str]:
    """Return a text's words in lower case.

    >>> words("Men's T-shirt")
    ['men', 's', 't', 'shirt']
    """
    return _WORD.findall(text.casefold())


def stable_hash(content: bytes) -> int:
    """Hash bytes to 64 bits (BLAKE2b), the same everywhere."""
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big")


def shingles(texts: Iterable[str]) -> Shingles:
    """Hash every run of `SHINGLE_WORDS` words of each text.

    >>> shingles(["one two three four", "one two", "one two three"]).sizes
    array([2, 0, 1])
    """
    of_word, source = _WordHashes(), iter(texts)
    blocks = []
    while block := list(islice(source, BLOCK)):
        blocks.append(_shingles(block, of_word))
    sizes = np.concatenate([np.zeros(1, np.int64), *(block.sizes for block in blocks)])
    return Shingles(np.cumsum(sizes), np.concatenate([np.zeros(0, np.uint64), *(block.hashes for block in blocks)]))


class _WordHashes(dict[str, int]):
    """Hashes of words, each computed once."""

    def __missing__(self, word: str) -> int:
        found = self[word] = stable_hash(word.encode("utf-8", "replace"))
        return found


def _shingles(texts: Sequence[str], of_word: dict[str, int]) -> Shingles:
    """Hash the shingles of some texts; few enough that what is made on the way is small."""
    hashes, ends = array("Q"), []
    for text in texts:
        hashes.extend(map(of_word.__getitem__, words(text)))
        ends.append(len(hashes))
    row = np.repeat(np.arange(len(ends)), np.diff(ends, prepend=0))
    count = max(len(row) - SHINGLE_WORDS + 1, 0)
    of_words, mixed = np.array(hashes, np.uint64), np.zeros(count, np.uint64)
    for place in range(SHINGLE_WORDS):
        mixed = (mixed + of_words[place : place + count]) * MIX
    within = row[:count] == row[len(row) - count :]
    return _sets(row[:count][within], mixed[within] >> _HALF, len(ends))


def without_common(of_texts: Shingles, brands: Rows, limit: int) -> tuple[Shingles, float]:
    """Leave out the shingles that occur under more than `limit` brands; return also the share that they had."""
    rows = of_texts.rows
    common = widespread(of_texts.hashes, brands[rows], limit)
    rest = _sets(rows[~common], of_texts.hashes[~common], len(of_texts.sizes))
    return rest, float(common.mean()) if len(common) else 0.0


def widespread(keys: NDArray[np.integer], brands: Rows, limit: int) -> NDArray[np.bool_]:
    """Mark the places whose key occurs under more than `limit` brands.

    >>> widespread(np.array([7, 7, 7, 8, 8]), np.array([0, 1, 1, 0, 0]), limit=1)
    array([ True,  True,  True, False, False])
    """
    codes, found = pd.factorize(keys)
    seen = np.sort((codes.astype(np.uint64) << _HALF) | brands.astype(np.uint64))
    first = np.ones(len(seen), bool)
    first[1:] = seen[1:] != seen[:-1]
    under = np.bincount((seen[first] >> _HALF).astype(np.int64), minlength=len(found))
    common: NDArray[np.bool_] = (under > limit)[codes]
    return common


def signatures(sets: Shingles, rows: Rows, permutations: int) -> NDArray[np.uint32]:
    """Return MinHash signatures (Broder, 1997) of some rows, shape (rows, permutations).

    The share of places in which two signatures agree estimates the Jaccard similarity of the two sets.
    """
    chosen = (sets.hashes[sets.starts[row] : sets.starts[row + 1]].tolist() for row in rows)
    sketches = MinHash.generator(chosen, num_perm=permutations, hashfunc=int, scheme="affine32")
    signed = np.empty((len(rows), permutations), np.uint32)
    for place, sketch in enumerate(sketches):
        signed[place] = sketch.hashvalues
    return signed


def _sets(rows: Rows, hashes: Hashes, count: int) -> Shingles:
    """Sort 32-bit hashes by row, and keep each once. Sorting is much faster here than `np.unique`, which hashes."""
    both = np.sort((rows.astype(np.uint64) << _HALF) | hashes)
    first = np.ones(len(both), bool)
    first[1:] = both[1:] != both[:-1]
    both = both[first]
    starts = np.searchsorted(both, np.arange(count + 1, dtype=np.uint64) << _HALF)
    return Shingles(starts, both & np.uint64(0xFFFFFFFF))
