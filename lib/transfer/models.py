"""What a few labels of the target teach: models of their own, and how much these and the source's model count."""

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse

from lib import config
from lib.data import load_ngrams
from lib.encode import encode_dense, encode_for_linear
from lib.fusion import Level, fit_path_weights, path_numbers, pool_paths
from lib.linear import Linear
from lib.tagging.tagger import Tagger
from lib.transfer.shops import TEXT, Shop, in_scope

FOLDS = 5
"""Folds of the labelled products, by near-duplicate group, in which the models are asked about products that they have
not seen, so that it can be chosen how much each counts."""

LINEAR = "linear"
"""The variant whose settings (n-grams, penalty) the models of words have."""

Rows = npt.NDArray[np.int64]
Levels = list[Level]


class Learnt(NamedTuple):
    """What the labelled products of the target teach.

    Attributes
    ----------
    alone, both : int arrays, shape (rows, 3)
        Paths of the asked rows: by these labels alone, and together with the source's model.
    weights : array, shape (parts, 3)
        How much each part counts on each level, together: what the source says in each way, words, and photos.
    """

    alone: Rows
    both: Rows
    weights: npt.NDArray[np.float64]


def source_levels(tagger: Tagger, shop: Shop) -> list[Levels]:
    """Return what the source's model says of the classes of each level, for all rows of the target.

    Returns
    -------
    For each way to ask it, an array (rows, classes) a level: with all that is known of a product, and without its
    photo. The target's labels decide which to listen to on which level: a photo of another shop may mislead.
    """
    shown = [shop.products] if shop.products.image is None else [shop.products, shop.products.without(["image"])]
    found = []
    for products in shown:
        said = [part.log_probabilities(products) for part in tagger.parts.values()]
        found.append(list(pool_paths(said, tagger.present(products), tagger.weights)))
    return found


def learn(shop: Shop, labelled: Rows, asked: Rows, source: Sequence[Levels], paths: Rows, seed: int) -> Learnt:
    """Learn from labelled products, and say what the asked ones are.

    Words and brand, and the photo, have a linear support vector machine a level each, fitted on the labelled products
    only. Path by path they are added up (`lib.fusion.fit_path_weights`), with and without what the source's model
    says; its own fit is left as it is, so that this takes seconds and needs none of the source's products.

    Parameters
    ----------
    labelled, asked
        Row numbers of the target.
    source
        What `source_levels` returns.
    paths
        The paths to choose from, in the codes of the source.
    """
    labelled = in_scope(shop, labelled)
    inputs = encode(shop, labelled)
    counts = [level.shape[1] for level in source[0]]
    truth = path_numbers(shop.codes[labelled], paths)
    fold = np.unique(shop.groups[labelled], return_inverse=True)[1] % FOLDS
    held = [[np.zeros((len(labelled), n), np.float32) for n in counts] for _ in inputs]
    for k in np.unique(fold):
        train, out = labelled[fold != k], labelled[fold == k]
        for part, X in zip(held, inputs, strict=True):
            for whole, level in zip(part, _fit(X, shop.codes, train, out, counts, seed), strict=True):
                whole[fold == k] = level
    final = [_fit(X, shop.codes, labelled, asked, counts, seed) for X in inputs]
    alone = fit_path_weights(held, paths, truth)
    both = fit_path_weights([*_rows(source, labelled), *held], paths, truth)
    return Learnt(choose(final, alone, paths), choose([*_rows(source, asked), *final], both, paths), both)


def _rows(parts: Sequence[Levels], rows: Rows) -> list[Levels]:
    return [[level[rows] for level in part] for part in parts]


def choose(parts: Sequence[Sequence[Level]], weights: npt.NDArray[np.float64], paths: Rows) -> Rows:
    """Return each row's path with the highest weighted sum of what the parts say of its three classes.

    >>> level = np.log([[0.9, 0.1], [0.2, 0.8]])
    >>> choose([[level] * 3], np.ones((1, 3)), np.array([[0, 0, 0], [1, 1, 1]])).tolist()
    [[0, 0, 0], [1, 1, 1]]
    """
    scores = sum(
        weights[i, level] * part[level][:, paths[:, level]] for i, part in enumerate(parts) for level in range(3)
    )
    return np.asarray(paths[np.argmax(scores, axis=1)])


def encode(shop: Shop, labelled: Rows) -> list[sparse.csr_array]:
    """Encode all products of the target by what the labelled ones have: words and brand, and the photo."""
    params = config.load_params()
    variant = config.get_variant(params, LINEAR)
    assert isinstance(variant, config.LinearVariant)
    ngrams = load_ngrams(shop.name, TEXT, params.text.stop_words, variant.ngrams)
    words = encode_for_linear(shop.data, ngrams, variant.inputs, labelled, variant.min_rows).X
    photos = encode_dense(shop.data, ["image"], labelled).rows(np.arange(len(shop.codes)))
    photos[~np.asarray(shop.data.image).any(axis=1)] = 0  # no photo: the average one
    return [words, sparse.csr_array(photos / np.sqrt(photos.shape[1]))]


def _fit(X: sparse.csr_array, codes: Rows, train: Rows, asked: Rows, counts: list[int], seed: int) -> Levels:
    variant = config.get_variant(config.load_params(), LINEAR)
    assert isinstance(variant, config.LinearVariant)
    with warnings.catch_warnings():  # scikit-learn doubts that so many classes of so few rows are meant
        warnings.filterwarnings("ignore", "The number of unique classes")
        return Linear(variant.C, seed).fit(X[train], codes[train], counts).log_probabilities(X[asked])
