"""Words: token sequences for every row, and what a training run fits on its own rows (vocabulary, bag of words)."""

import re
from array import array
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from itertools import count
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from lib import artifacts, config

TOKEN = re.compile(r"\b\w\w+\b")
"""Two or more letters or digits, as in scikit-learn's vectorizers."""

STOP_WORDS: dict[str, frozenset[str]] = {"english": ENGLISH_STOP_WORDS, "none": frozenset()}


class Sequences(NamedTuple):
    """Token sequences of all rows, one after the other: row `i` is `ids[indptr[i] : indptr[i + 1]]`.

    Attributes
    ----------
    indptr : int64 array, shape (rows + 1,)
    ids : int32 array, shape (tokens,)
        Word numbers: indices into the catalogue's sorted list of words.
    """

    indptr: np.ndarray
    ids: np.ndarray


def tokenize(text: str) -> list[str]:
    """Split a text into lower-case words, in order.

    >>> tokenize("The BLUE shirt, with a shirt-tail")
    ['the', 'blue', 'shirt', 'with', 'shirt', 'tail']
    """
    return TOKEN.findall(text.lower())


def intern(*columns: Iterable[str]) -> tuple[list[str], list[Sequences]]:
    """Give every distinct word of some text columns a number, alphabetically, and turn each column into sequences.

    >>> words, [sequences] = intern(["red shoe", "", "blue shoe"])
    >>> words, sequences.indptr.tolist(), sequences.ids.tolist()
    (['blue', 'red', 'shoe'], [0, 2, 2, 4], [1, 2, 0, 2])
    """
    seen = defaultdict[str, int](count().__next__)
    raw = [_number_by_first_use(column, seen) for column in columns]
    words = sorted(seen)
    alphabetical = np.empty(len(words), np.int32)
    alphabetical[[seen[word] for word in words]] = np.arange(len(words))
    return words, [Sequences(indptr, alphabetical[ids]) for indptr, ids in raw]


def _number_by_first_use(texts: Iterable[str], seen: dict[str, int]) -> tuple[np.ndarray, np.ndarray]:
    numbers, ends = array("i"), array("q", [0])
    for text in texts:
        numbers.extend(map(seen.__getitem__, tokenize(text)))
        ends.append(len(numbers))
    return np.array(ends, np.int64), np.array(numbers, np.int32)


def take(sequences: Sequences, rows: np.ndarray) -> Sequences:
    """Return the sequences of some rows, in that order.

    >>> take(Sequences(np.array([0, 2, 2, 3]), np.array([7, 8, 9])), np.array([2, 0])).ids.tolist()
    [9, 7, 8]
    """
    lengths = (sequences.indptr[1:] - sequences.indptr[:-1])[rows]
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    positions = np.arange(indptr[-1]) + np.repeat(sequences.indptr[rows] - indptr[:-1], lengths)
    return Sequences(indptr, sequences.ids[positions])


def without(sequences: Sequences, words: Sequence[str], stop_words: Collection[str]) -> Sequences:
    """Leave out stop words.

    Parameters
    ----------
    words
        The catalogue's sorted list of words, which the sequences number.

    >>> without(Sequences(np.array([0, 2, 3]), np.array([1, 0, 1])), ["shoe", "the"], {"the", "a"}).ids.tolist()
    [0]
    """
    kept = np.array([word not in stop_words for word in words], bool)[sequences.ids]
    indptr = np.concatenate([[0], np.cumsum(kept)])[sequences.indptr]
    return Sequences(indptr, sequences.ids[kept])


def fit_vocabulary(sequences: Sequences, size: int) -> np.ndarray:
    """Choose the most frequent words of (training) sequences, most frequent first (paper, section 3.2.1).

    Returns
    -------
    int64 array, shape (at most `size`,)
        Word numbers. Words of equal frequency stand in alphabetical order.

    >>> fit_vocabulary(Sequences(np.array([0, 4]), np.array([5, 3, 5, 1])), size=2).tolist()
    [5, 1]
    """
    counts = np.bincount(sequences.ids)
    by_frequency = np.lexsort((np.arange(len(counts)), -counts))[:size]
    return by_frequency[counts[by_frequency] > 0]


def bag_of_words(sequences: Sequences, vocabulary: np.ndarray) -> sparse.csr_array:
    """Mark which words of the vocabulary each row contains: binary, no term weights (paper, section 3.2.1).

    Returns
    -------
    float32 CSR array, shape (rows, len(vocabulary))
        Column `j` is the vocabulary's word `j`; column numbers are sorted within a row.

    >>> bag_of_words(Sequences(np.array([0, 3, 4]), np.array([5, 5, 1, 2])), np.array([5, 1])).toarray().tolist()
    [[1.0, 1.0], [0.0, 0.0]]
    """
    column_of = np.full(max(sequences.ids.max(initial=-1), vocabulary.max(initial=-1)) + 1, -1, np.int32)
    column_of[vocabulary] = np.arange(len(vocabulary))
    columns = column_of[sequences.ids]
    known = columns >= 0
    indptr = np.concatenate([[0], np.cumsum(known)])[sequences.indptr]
    shape = (len(sequences.indptr) - 1, len(vocabulary))
    bag = sparse.csr_array((np.ones(int(known.sum()), np.float32), columns[known], indptr), shape=shape)
    bag.sum_duplicates()
    bag.data[:] = 1.0
    return bag


class NGrams(NamedTuple):
    """Which n-grams every row contains, and how often.

    Attributes
    ----------
    counts : float32 CSR array, shape (rows, n-grams)
        Column numbers are sorted within a row.
    words : int32 array, shape (n-grams, n)
        The words of each column's n-gram; -1 behind the end of a shorter one.
    """

    counts: sparse.csr_array
    words: np.ndarray


def count_ngrams(sequences: Sequences, n: int) -> NGrams:
    """Count every sequence of up to `n` words that follow one another in a row.

    Nothing is chosen here: which columns a model reads is up to its training rows.

    >>> ngrams = count_ngrams(Sequences(np.array([0, 3, 4]), np.array([5, 5, 1, 5])), n=2)
    >>> ngrams.words.tolist()
    [[1, -1], [5, -1], [5, 1], [5, 5]]
    >>> ngrams.counts.toarray().tolist()
    [[1.0, 2.0, 1.0, 1.0], [0.0, 1.0, 0.0, 0.0]]
    """
    rows = np.repeat(np.arange(len(sequences.indptr) - 1, dtype=np.int32), np.diff(sequences.indptr))
    known, numbers = np.empty((1, 0), np.int32), np.zeros(len(sequences.ids), np.int64)
    base = int(sequences.ids.max(initial=0)) + 1
    parts, names = [], []
    for length in range(1, n + 1):
        last = sequences.ids[length - 1 :]
        inside = rows[: len(last)] == rows[length - 1 :]
        codes = np.where(inside, numbers[: len(last)] * base + last, -1)
        found, columns = np.unique(codes, return_inverse=True)
        unknown = int(len(found) > 0 and found[0] < 0)
        numbers, found = columns - unknown, found[unknown:]
        known = np.column_stack([known[found // base], found % base]).astype(np.int32)
        ones = np.ones(int(inside.sum()), np.float32)
        shape = (len(sequences.indptr) - 1, len(found))
        parts.append(
            sparse.csr_array((ones, (rows[: len(last)][inside], numbers[inside].astype(np.int32))), shape=shape)
        )
        names.append(np.pad(known, ((0, 0), (0, n - length)), constant_values=-1))
    return NGrams(sparse.csr_array(sparse.hstack(parts, format="csr")), np.concatenate(names))


def load_sequences(catalogue: str, text: config.Text, stop_words: config.StopWords) -> Sequences:
    """Read what the `text` stage made of a catalogue's texts, without stop words unless they are `none`."""
    with np.load(artifacts.existing(config.build_dir(catalogue, "text", f"{text}.npz"))) as file:
        sequences = Sequences(file["indptr"], file["ids"])
    return without(sequences, load_words(catalogue), STOP_WORDS[stop_words])


def load_words(catalogue: str) -> list[str]:
    """Read the catalogue's sorted list of words."""
    words: list[str] = artifacts.read_json(config.build_dir(catalogue, "text", "words.json"))
    return words


def extract_text(catalogue: str) -> dict[str, int]:
    """Run the `text` stage: write `words.json`, `plain.npz`, `masked.npz` and `titled.npz`, and return counts.

    Returns
    -------
    dict
        `words` (distinct), and `plain_tokens`, `masked_tokens` and `titled_tokens`, all with stop words.
    """
    products = pd.read_parquet(
        artifacts.existing(config.build_dir(catalogue, "clean", "products.parquet")),
        columns=["title", "text", "masked_text"],
    )
    titled = (f"{title} {text}" for title, text in zip(products["title"], products["text"], strict=True))
    words, texts = intern(products["text"], products["masked_text"], titled)
    named = dict(zip(("plain", "masked", "titled"), texts, strict=True))
    with artifacts.whole(config.build_dir(catalogue, "text")) as folder:
        folder.mkdir(parents=True)
        artifacts.write_json(folder / "words.json", words)
        for name, sequences in named.items():
            _write(folder / f"{name}.npz", sequences)
    return {"words": len(words), **{f"{name}_tokens": len(sequences.ids) for name, sequences in named.items()}}


def _write(path: Path, sequences: Sequences) -> None:
    np.savez(path, indptr=sequences.indptr, ids=sequences.ids)
