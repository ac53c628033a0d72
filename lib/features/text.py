"""Words: texts as numbered tokens, and what is counted in them: vocabularies, bags of words, TF-IDF of n-grams."""

from array import array
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain, count
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, TfidfTransformer

from lib import config, files
from lib.clean.words import is_letter, words

STOP_WORDS: dict[str, frozenset[str]] = {"english": ENGLISH_STOP_WORDS, "none": frozenset()}


def tokenize(text: str) -> list[str]:
    """Split a text into lower-case words, in order (`lib.clean.words`).

    As in scikit-learn's vectorizers, a single letter is none, and an underscore joins words.

    >>> tokenize("The BLUE shirt, with a shirt-tail"), tokenize("綿のシャツ")
    (['the', 'blue', 'shirt', 'with', 'shirt', 'tail'], ['綿の', 'のシャ', 'シャツ'])
    """
    return [word for word in words(text, joint="_") if not is_letter(word)]


def places(values: Sequence[str], wanted: Iterable[str | None]) -> npt.NDArray[np.int64]:
    """Return where each of some strings stands among distinct values; -1 if it does not.

    >>> places(["sole", "lace"], ["lace", None, "sole"]).tolist()
    [1, -1, 0]
    """
    place: dict[str | None, int] = {value: number for number, value in enumerate(values)}
    return np.array([place.get(value, -1) for value in wanted], np.int64)


@dataclass(frozen=True)
class Texts:
    """Texts as numbers of words, one behind the other: row `i` is `ids[indptr[i] : indptr[i + 1]]`.

    Attributes
    ----------
    words : list of str
        Every word that may occur, sorted; a number is an index.
    indptr : int64 array, shape (rows + 1,)
    ids : int32 array, shape (tokens,)
    """

    words: list[str] = field(repr=False)
    indptr: npt.NDArray[np.int64]
    ids: npt.NDArray[np.int32]

    @classmethod
    def of(cls, strings: Iterable[str]) -> "Texts":
        """Split texts into words, and number these alphabetically.

        >>> texts = Texts.of(["red shoe", "", "blue shoe"])
        >>> texts.words, texts.indptr.tolist(), texts.ids.tolist()
        (['blue', 'red', 'shoe'], [0, 2, 2, 4], [1, 2, 0, 2])
        """
        first_use = defaultdict[str, int](count().__next__)
        numbers, ends = array("i"), array("q", [0])
        for text in strings:
            numbers.extend(map(first_use.__getitem__, tokenize(text)))
            ends.append(len(numbers))
        words = sorted(first_use)
        alphabetical = np.empty(len(words), np.int32)
        alphabetical[[first_use[word] for word in words]] = np.arange(len(words))
        return cls(words, np.array(ends, np.int64), alphabetical[np.array(numbers, np.int32)])

    @classmethod
    def read(cls, catalogue: str, text: config.Text) -> "Texts":
        """Read what the `text` stage made of a catalogue; kept in memory for the runs that follow in this process."""
        return _read(config.build_dir(catalogue, "text"), text)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.indptr) - 1

    def take(self, rows: npt.NDArray[np.integer]) -> "Texts":
        """Return some rows, in that order.

        >>> Texts.of(["red shoe", "", "blue"]).take(np.array([2, 0])).ids.tolist()
        [0, 1, 2]
        """
        lengths = np.diff(self.indptr)[rows]
        indptr = np.concatenate([[0], np.cumsum(lengths)])
        positions = np.arange(indptr[-1]) + np.repeat(self.indptr[rows] - indptr[:-1], lengths)
        return Texts(self.words, indptr, self.ids[positions])

    def without(self, words: Collection[str]) -> "Texts":
        """Leave some words out, such as stop words.

        >>> Texts.of(["the red shoe", "a the shoe"]).without({"the", "a"}).indptr.tolist()
        [0, 2, 3]
        """
        return self.select(np.array([word not in words for word in self.words], bool)[self.ids])

    def select(self, kept: npt.NDArray[np.bool_]) -> "Texts":
        """Leave out the tokens that are not to be kept."""
        return Texts(self.words, np.concatenate([[0], np.cumsum(kept)])[self.indptr], self.ids[kept])

    def columns(self, vocabulary: list[str]) -> npt.NDArray[np.int64]:
        """Return the place in a vocabulary of every token; -1 for a word that is not in it."""
        return places(vocabulary, self.words)[self.ids]


@lru_cache(maxsize=1)
def _read(folder: Path, text: str) -> Texts:
    with np.load(files.existing(folder / f"{text}.npz")) as file:
        return Texts(files.read_json(folder / "words.json"), file["indptr"], file["ids"])


forget = _read.cache_clear  # for whoever writes a catalogue's texts anew


def fit_vocabulary(texts: Texts, size: int) -> list[str]:
    """Choose the most frequent words of (training) texts, most frequent first (paper, section 3.2.1).

    Words of equal frequency stand in alphabetical order.

    >>> fit_vocabulary(Texts.of(["sole lace", "sole", "buckle"]), size=2)
    ['sole', 'buckle']
    """
    counts = np.bincount(texts.ids, minlength=len(texts.words))
    by_frequency = np.lexsort((np.arange(len(counts)), -counts))[:size]
    return [texts.words[word] for word in by_frequency if counts[word]]


def bag_of_words(texts: Texts, vocabulary: list[str]) -> sparse.csr_array:
    """Mark which words of the vocabulary each row contains: binary, no term weights (paper, section 3.2.1).

    Returns
    -------
    float32 CSR array, shape (rows, len(vocabulary))
        Column numbers are sorted within a row.

    >>> bag_of_words(Texts.of(["sole lace sole", "buckle"]), ["sole", "lace"]).toarray().tolist()
    [[1.0, 1.0], [0.0, 0.0]]
    """
    columns = texts.columns(vocabulary)
    known = texts.select(columns >= 0)
    ones = np.ones(len(known.ids), np.float32)
    shape = (len(texts), len(vocabulary))
    bag = sparse.csr_array((ones, columns[columns >= 0].astype(np.int32), known.indptr), shape=shape)
    bag.sum_duplicates()
    bag.data[:] = 1.0
    return bag


def count_ngrams(texts: Texts, n: int) -> tuple[sparse.csr_array, list[str]]:
    """Count every sequence of up to `n` words that follow one another in a row.

    Returns
    -------
    counts : float32 CSR array, shape (rows, n-grams)
        Column numbers are sorted within a row.
    ngrams : list of str
        Of each column, words parted by spaces: shorter n-grams first, each length in alphabetical order.

    >>> counts, ngrams = count_ngrams(Texts.of(["sole sole lace", "sole"]), n=2)
    >>> ngrams, counts.toarray().tolist()
    (['lace', 'sole', 'sole lace', 'sole sole'], [[1.0, 2.0, 1.0, 1.0], [0.0, 1.0, 0.0, 0.0]])
    """
    rows = np.repeat(np.arange(len(texts), dtype=np.int32), np.diff(texts.indptr))
    numbers, base = np.zeros(len(texts.ids), np.int64), max(len(texts.words), 1)
    parts, names, shorter = [], list[str](), [""]
    for length in range(1, n + 1):
        last = texts.ids[length - 1 :]
        inside = rows[: len(last)] == rows[length - 1 :]
        codes, columns = np.unique(np.where(inside, numbers[: len(last)] * base + last, -1), return_inverse=True)
        outside = int(len(codes) > 0 and codes[0] < 0)
        numbers, codes = columns - outside, codes[outside:]
        shorter = [f"{shorter[code // base]} {texts.words[code % base]}".lstrip() for code in codes.tolist()]
        cells = rows[: len(last)][inside], numbers[inside].astype(np.int32)
        ones = np.ones(int(inside.sum()), np.float32)
        parts.append(sparse.csr_array((ones, cells), shape=(len(texts), len(codes))))
        names += shorter
    return sparse.csr_array(sparse.hstack(parts, format="csr")), names


class Tfidf:
    """TF-IDF of word n-grams, with sublinear term frequencies and rows of length 1, as scikit-learn defines it.

    Parameters
    ----------
    n : int
        Words of the longest n-gram.
    min_rows : int
        Rows that must contain an n-gram for it to be a column.

    Attributes
    ----------
    ngrams : list of str
        The columns, in the order of `count_ngrams`.
    idf : float32 array, shape (n-grams,)
    """

    learnt = ("ngrams", "idf")

    def __init__(self, n: int, min_rows: int) -> None:
        self.n, self.min_rows = n, min_rows

    def fit(self, texts: Texts) -> "Tfidf":
        """Choose the columns and count the rows that have them."""
        counts, ngrams = count_ngrams(texts, self.n)
        frequent = np.flatnonzero(np.bincount(counts.indices, minlength=len(ngrams)) >= self.min_rows)
        self.ngrams = [ngrams[column] for column in frequent]
        self.idf = TfidfTransformer().fit(counts[:, frequent]).idf_ if len(frequent) else np.empty(0, np.float32)
        return self

    def transform(self, texts: Texts) -> sparse.csr_array:
        """Return a float32 CSR array, shape (rows, n-grams); an n-gram that is no column adds nothing.

        >>> tfidf = Tfidf(1, 1).fit(Texts.of(["sole lace", "sole"]))
        >>> tfidf.transform(Texts.of(["sole", "buckle"])).toarray().tolist()
        [[0.0, 1.0], [0.0, 0.0]]
        """
        counts, ngrams = count_ngrams(texts, self.n)
        columns = places(self.ngrams, ngrams)
        known = counts[:, columns >= 0]
        indices = columns[columns >= 0].astype(np.int32)[known.indices]
        wide = sparse.csr_array((known.data, indices, known.indptr), shape=(len(texts), len(self.ngrams)))
        if 0 in wide.shape:
            return wide
        weigh = TfidfTransformer(sublinear_tf=True)
        weigh.idf_ = self.idf
        return sparse.csr_array(weigh.transform(wide))


def extract_text(catalogue: str) -> dict[str, int]:
    """Run the `text` stage: write `words.json`, `plain.npz`, `masked.npz` and `titled.npz`, and return counts.

    Returns
    -------
    dict
        `words` (distinct), and `plain_tokens`, `masked_tokens` and `titled_tokens`, all with stop words.
    """
    products = pd.read_parquet(
        files.existing(config.build_dir(catalogue, "clean", "products.parquet")),
        columns=["title", "text", "masked_text"],
    )
    titled = (f"{title} {text}" for title, text in zip(products["title"], products["text"], strict=True))
    every = Texts.of(chain(products["text"], products["masked_text"], titled))  # one list of words for all
    rows = np.arange(len(products))
    named = {name: every.take(rows + i * len(rows)) for i, name in enumerate(("plain", "masked", "titled"))}
    with files.whole(config.build_dir(catalogue, "text")) as folder:
        folder.mkdir(parents=True)
        files.write_json(folder / "words.json", every.words)
        for name, texts in named.items():
            np.savez(folder / f"{name}.npz", indptr=texts.indptr, ids=texts.ids)
    return {"words": len(every.words), **{f"{name}_tokens": len(texts.ids) for name, texts in named.items()}}
