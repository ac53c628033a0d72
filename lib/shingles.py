"""Texts as sets of hashed shingles (runs of words), and how alike such sets are."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

import numpy as np
from datasketch import MinHash
from numpy.typing import NDArray

SHINGLE_WORDS = 3
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
    numbers: dict[str, int] = {}
    tokens = [[numbers.setdefault(word, len(numbers)) for word in words(text)] for text in texts]
    row = np.repeat(np.arange(len(tokens)), [len(one) for one in tokens])
    of_number = np.array([stable_hash(word.encode("utf-8", "replace")) for word in numbers], np.uint64)
    hashes = of_number[np.fromiter(chain.from_iterable(tokens), np.int64, len(row))]
    count = max(len(row) - SHINGLE_WORDS + 1, 0)
    mixed = np.zeros(count, np.uint64)
    for place in range(SHINGLE_WORDS):
        mixed = (mixed + hashes[place : place + count]) * MIX
    within = row[:count] == row[len(row) - count :]
    return _sets(row[:count][within], mixed[within] >> _HALF, len(tokens))


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
    order = np.lexsort((brands, keys))
    new_key = np.ones(len(order), bool)
    new_key[1:] = np.diff(keys[order]) != 0
    new_brand = new_key.copy()
    new_brand[1:] |= np.diff(brands[order]) != 0
    run = np.cumsum(new_key) - 1
    marked = np.empty(len(order), bool)
    marked[order] = (np.bincount(run, new_brand) > limit)[run]
    return marked


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
