"""Texts as sets of hashed shingles (runs of words), and how alike such sets are."""

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd
from datasketch import MinHash
from numpy.typing import NDArray
from scipy import sparse
from sklearn.feature_extraction.text import HashingVectorizer

from lib.clean.words import words

SHINGLE_WORDS = 3

Rows = NDArray[np.int64]
Pairs = tuple[Rows, Rows]


def shingles(texts: Iterable[str]) -> sparse.csr_matrix:
    """Hash every run of `SHINGLE_WORDS` words of each text to 31 bits.

    Returns
    -------
    csr_matrix, shape (rows, 2**31 - 1)
        The shingles of row `i` are its `indices`, sorted, each once.

    >>> np.diff(shingles(["one two three four", "one two", "one two three"]).indptr)
    array([2, 0, 1], dtype=int32)
    """
    runs = (SHINGLE_WORDS, SHINGLE_WORDS)
    hashed = HashingVectorizer(
        tokenizer=words, token_pattern=None, lowercase=False, ngram_range=runs, n_features=2**31 - 1,
        binary=True, norm=None, alternate_sign=False, dtype=np.float32,
    )  # fmt: skip
    found: sparse.csr_matrix = hashed.transform(texts)
    found.sort_indices()
    return found


def without_common(sets: sparse.csr_matrix, brands: Rows, limit: int) -> tuple[sparse.csr_matrix, float]:
    """Leave out the shingles that occur under more than `limit` brands; return also the share that they had."""
    common = widespread(sets.indices, np.repeat(brands, np.diff(sets.indptr)), limit)
    rest = sets.copy()
    rest.data[common] = 0
    rest.eliminate_zeros()
    return rest, float(common.mean()) if len(common) else 0.0


def widespread(keys: NDArray[np.integer], brands: Rows, limit: int) -> NDArray[np.bool_]:
    """Mark the places whose key occurs under more than `limit` brands.

    >>> widespread(np.array([7, 7, 7, 8, 8]), np.array([0, 1, 1, 0, 0]), limit=1)
    array([ True,  True,  True, False, False])
    """
    codes, found = pd.factorize(keys)
    seen = np.sort(codes.astype(np.int64) << 32 | brands)
    under = np.bincount(seen[np.diff(seen, prepend=-1) > 0] >> 32, minlength=len(found))
    common: NDArray[np.bool_] = (under > limit)[codes]
    return common


def signatures(sets: sparse.csr_matrix, rows: Rows, permutations: int) -> NDArray[np.uint32]:
    """Return MinHash signatures (Broder, 1997) of some rows, shape (rows, permutations).

    The share of places in which two signatures agree estimates the Jaccard similarity of the two sets.
    """
    chosen = (sets.indices[sets.indptr[row] : sets.indptr[row + 1]].tolist() for row in rows)
    sketches = MinHash.generator(chosen, num_perm=permutations, hashfunc=int, scheme="affine32")
    signed = np.empty((len(rows), permutations), np.uint32)
    for place, sketch in enumerate(sketches):
        signed[place] = sketch.hashvalues
    return signed


def bucket_pairs(keys: NDArray[np.integer], window: int) -> Iterator[Pairs]:
    """Yield the pairs of places with equal keys, each place with at most the next `window` of its bucket."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    for offset in range(1, min(window, len(keys) - 1) + 1):
        same = ordered[offset:] == ordered[:-offset]
        if not same.any():
            return
        yield order[:-offset][same], order[offset:][same]
