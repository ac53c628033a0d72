"""From a catalogue's rows to what a model reads, with everything that is learnt learnt on the training rows alone."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import OneHotEncoder

from lib.data import CatalogueData, Inputs, encode_brands, fit_brands, make_inputs
from lib.sequences import encode_tokens
from lib.text import Sequences, bag_of_words, fit_vocabulary, take


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
    data: CatalogueData,
    sequences: Sequences | None,
    words: Sequence[str],
    inputs: Sequence[str],
    train_rows: np.ndarray,
    ngrams: int,
) -> sparse.csr_array:
    """Encode all rows as TF-IDF of word n-grams, one-hot brand and image features, side by side.

    Returns
    -------
    float CSR array, shape (rows, columns)
    """
    parts = []
    if "text" in inputs and sequences is not None:
        texts = join_words(sequences, words)
        tfidf = TfidfVectorizer(
            tokenizer=str.split, token_pattern=None, lowercase=False, ngram_range=(1, ngrams), sublinear_tf=True
        )
        tfidf.fit([texts[row] for row in train_rows])
        parts.append(tfidf.transform(texts))
    if "brand" in inputs:
        brand = data.products[["brand"]].to_numpy(object)
        parts.append(OneHotEncoder(handle_unknown="ignore").fit(brand[train_rows]).transform(brand))
    if "image" in inputs:
        mean, scale = image_statistics(data.image, train_rows)
        parts.append(sparse.csr_array((data.image.astype(np.float32) - mean) / scale))
    return sparse.csr_array(sparse.hstack(parts, format="csr"))


def join_words(sequences: Sequences, words: Sequence[str]) -> list[str]:
    """Write token sequences out as texts, the tokens parted by single spaces.

    >>> join_words(Sequences(np.array([0, 2, 2]), np.array([1, 0])), ["shoe", "red"])
    ['red shoe', '']
    """
    tokens = np.asarray(words, object)[sequences.ids]
    return [" ".join(tokens[a:b]) for a, b in zip(sequences.indptr[:-1], sequences.indptr[1:], strict=True)]
