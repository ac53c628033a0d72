"""From a catalogue's rows to what a model reads, with everything that is learnt learnt on the training rows alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.preprocessing import OneHotEncoder

from lib.data import CatalogueData, Inputs, encode_brands, fit_brands, make_inputs
from lib.sequences import encode_tokens
from lib.text import NGrams, Sequences, bag_of_words, fit_vocabulary, take

BRAND_SCALE = 8.0
"""Of a one-hot brand beside image features of variance 1: a penalty would all but remove its rare ones."""


class Encoded(NamedTuple):
    """Rows of a catalogue as a network's inputs, and what was learnt to make them.

    Attributes
    ----------
    inputs : Inputs
        All rows of the catalogue.
    brands : list of str
        Known brands: brand `i` of the inputs is `brands[i - 1]`; 0 is an unknown one. Empty if not an input.
    vocabulary : int64 array
        Word numbers of the bag's columns, or of a sequence's tokens from `lib.sequences.OWN_TOKENS` on. Empty if the
        text is not an input.
    image_mean, image_scale : float32 arrays, shape (dimension,)
        Over the training rows. Empty if the photo is not an input.
    """

    inputs: Inputs
    brands: list[str]
    vocabulary: np.ndarray
    image_mean: np.ndarray
    image_scale: np.ndarray


class EncodedSparse(NamedTuple):
    """Rows of a catalogue as a linear model's sparse input, and what was learnt to make them.

    Attributes
    ----------
    X : float32 CSR array, shape (rows, n-grams + brands)
    brands : list of str
        Empty if the brand is not an input.
    words : int32 array, shape (n-grams, n)
        As in `lib.text.NGrams`, of those that are columns. Empty if the text is not an input.
    idf : float32 array, shape (n-grams,)
    """

    X: sparse.csr_array
    brands: list[str]
    words: np.ndarray
    idf: np.ndarray


def encode_for_network(
    data: CatalogueData,
    sequences: Sequences | None,
    inputs: Sequence[str],
    train_rows: np.ndarray,
    max_words: int,
    sequence_length: int | None = None,
) -> Encoded:
    """Encode all rows with brands, vocabulary and image statistics of the training rows.

    Parameters
    ----------
    sequences : Sequences or None
        All rows' words; needed if "text" is among `inputs`.
    inputs : sequence of "brand", "text", "image"
    sequence_length : int, optional
        Words to which a text is cut if it is to be a sequence, the brand its last token; without, it is a bag of words.
    """
    brand, brands = None, []
    if "brand" in inputs:
        encoder = fit_brands(data.products["brand"].iloc[train_rows])
        brand, brands = encode_brands(encoder, data.products["brand"]), encoder.categories_[0].tolist()
    bag, tokens, vocabulary = None, None, np.empty(0, np.int64)
    if "text" in inputs and sequences is not None:
        vocabulary = fit_vocabulary(take(sequences, train_rows), max_words)
        if sequence_length is None:
            bag = bag_of_words(sequences, vocabulary)
        else:
            tokens = encode_tokens(sequences, vocabulary, sequence_length, brand)
    image = data.image if "image" in inputs else None
    mean, scale = image_statistics(data.image, train_rows) if image is not None else (np.empty(0, np.float32),) * 2
    return Encoded(make_inputs(data.codes, brand, bag, image, tokens), brands, vocabulary, mean, scale)


def image_statistics(image: np.ndarray, rows: np.ndarray, rows_at_once: int = 4096) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of each image feature over some rows; 1 where a feature never varies.

    >>> mean, scale = image_statistics(np.array([[1, 5], [3, 5], [9, 9]], np.float16), np.array([0, 1]))
    >>> mean.tolist(), scale.tolist()
    ([2.0, 5.0], [1.0, 1.0])
    """
    total, squares = np.zeros(image.shape[1]), np.zeros(image.shape[1])
    for start in range(0, len(rows), rows_at_once):
        part = image[rows[start : start + rows_at_once]].astype(np.float64)
        total += part.sum(axis=0)
        squares += (part**2).sum(axis=0)
    mean = total / len(rows)
    scale = np.sqrt(np.maximum(squares / len(rows) - mean**2, 0))
    scale[scale < 1e-6] = 1
    return mean.astype(np.float32), scale.astype(np.float32)


def encode_for_linear(
    data: CatalogueData, ngrams: NGrams | None, inputs: Sequence[str], train_rows: np.ndarray, min_rows: int
) -> EncodedSparse:
    """Encode all rows as TF-IDF of word n-grams and one-hot brand, side by side.

    Parameters
    ----------
    ngrams : NGrams or None
        All rows' n-grams; needed if "text" is among `inputs`.
    inputs : sequence of "brand", "text"
    min_rows : int
        Training rows that must contain an n-gram for it to be a column.
    """
    brands: list[str] = []
    parts, idf, words = [], np.empty(0, np.float32), np.empty((0, 0), np.int32)
    if "text" in inputs and ngrams is not None:
        frequent = np.bincount(ngrams.counts[train_rows].indices, minlength=len(ngrams.words)) >= min_rows
        counts, words = ngrams.counts[:, np.flatnonzero(frequent)], ngrams.words[frequent]
        tfidf = TfidfTransformer(sublinear_tf=True).fit(counts[train_rows])
        parts.append(tfidf.transform(counts))
        idf = tfidf.idf_.astype(np.float32)
    if "brand" in inputs:
        one_hot, brands = one_hot_brands(data, train_rows)
        parts.append(one_hot)
    return EncodedSparse(sparse.csr_array(sparse.hstack(parts, format="csr")), brands, words, idf)


@dataclass(frozen=True)
class EncodedDense:
    """What was learnt to turn rows of a catalogue into a linear model's dense input, and the rows.

    Attributes
    ----------
    image : float16 array, shape (rows, dimension)
    mean, scale : float32 arrays, shape (dimension,)
        Of the image features, over the training rows.
    one_hot : float32 CSR array, shape (rows, brands), or None
    brands : list of str
        Empty if the brand is not an input.
    """

    image: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    one_hot: sparse.csr_array | None
    brands: list[str]

    def rows(self, rows: np.ndarray) -> np.ndarray:
        """Return some rows as a float32 array, shape (rows, dimension + brands): standardised image, scaled brand."""
        image = (self.image[rows].astype(np.float32) - self.mean) / self.scale
        return image if self.one_hot is None else np.hstack([image, BRAND_SCALE * self.one_hot[rows].toarray()])


def encode_dense(data: CatalogueData, inputs: Sequence[str], train_rows: np.ndarray) -> EncodedDense:
    """Learn from training rows how the image, and the brand if it is among `inputs`, become a dense input."""
    mean, scale = image_statistics(data.image, train_rows)
    one_hot, brands = one_hot_brands(data, train_rows) if "brand" in inputs else (None, [])
    return EncodedDense(data.image, mean, scale, one_hot, brands)


def one_hot_brands(data: CatalogueData, train_rows: np.ndarray) -> tuple[sparse.csr_array, list[str]]:
    """Return all rows' one-hot brand, zeros where it is none of the training rows', and the brands of the columns."""
    brand = data.products[["brand"]].to_numpy(object)
    encoder = OneHotEncoder(handle_unknown="ignore", dtype=np.float32).fit(brand[train_rows])
    return sparse.csr_array(encoder.transform(brand)), encoder.categories_[0].tolist()
