"""The models inside a tagger: from new products to log-probabilities, without the catalogue that they learnt on."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from safetensors.numpy import load_file as load_arrays
from safetensors.torch import load_file as load_tensors
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.preprocessing import normalize

from lib import artifacts, config
from lib.data import UNKNOWN_BRAND, Batch
from lib.linear import margins_to_log_probabilities
from lib.models import InputLayer, MultitaskMLP
from lib.text import STOP_WORDS, TOKEN

Level = npt.NDArray[np.float32]


class NewProducts(NamedTuple):
    """Products as they come: clean text (`lib.records`), and what the backbone said of the photo.

    Attributes
    ----------
    brand, text : sequence of str, one a row
        Empty where there is none. A brand of None is hidden: unlike an empty one it is nothing that a model has seen.
    image : float array, shape (rows, dimension), or None
        A row of zeros where there is no usable photo; None where no product has one.
    """

    brand: Sequence[str | None]
    text: Sequence[str]
    image: npt.NDArray[np.floating] | None = None

    def without(self, hidden: Collection[str]) -> "NewProducts":
        """Hide inputs."""
        rows = len(self.brand)
        return NewProducts(
            [None] * rows if "brand" in hidden else self.brand,
            [""] * rows if "text" in hidden else self.text,
            None if "image" in hidden else self.image,
        )

    def take(self, rows: npt.NDArray[np.integer]) -> "NewProducts":
        """Take some rows, in that order."""
        places = rows.tolist()
        image = None if self.image is None else self.image[rows]
        return NewProducts([self.brand[i] for i in places], [self.text[i] for i in places], image)


class Part(Protocol):
    """What a tagger asks of a model."""

    def log_probabilities(self, products: NewProducts) -> list[Level]:
        """Return each level's log-probabilities, shapes (rows, classes)."""

    @property
    def brands(self) -> Sequence[str]:
        """The brands that the model knows."""


class LinearPart:
    """What `lib.single_estimators.LinearEstimator` learnt."""

    def __init__(self, stem: Path, variant: config.LinearVariant, class_counts: Sequence[int], stop_words: str) -> None:
        names = artifacts.read_json(stem.with_name(f"{stem.name}.json"))
        arrays = load_arrays(artifacts.existing(stem.with_name(f"{stem.name}.safetensors")))
        self.brands: list[str] = names["brands"]
        self._brand_columns: dict[str | None, int] = {brand: column for column, brand in enumerate(self.brands)}
        self._counts = _counter(names["ngrams"], variant.ngrams, stop_words)
        self._idf = sparse.diags_array(arrays["idf"].astype(np.float32))
        self._class_counts = class_counts
        self._levels = [_Machine.read(arrays, level, names) for level in range(len(class_counts))]

    def log_probabilities(self, products: NewProducts) -> list[Level]:
        """Return each level's log softmax of the margins."""
        X = self._encode(products)
        return [
            margins_to_log_probabilities(machine.margins(X), machine.classes, count)
            for machine, count in zip(self._levels, self._class_counts, strict=True)
        ]

    def contributions(self, products: NewProducts, codes: Sequence[int]) -> list[dict[str, float]]:
        """Say how much each word, word pair and brand of one product adds to the margin of one class of each level."""
        X = self._encode(products)[[0]].tocoo()
        names = [*self._counts.get_feature_names_out(), *(f"brand: {brand}" for brand in self.brands)]
        found = []
        for machine, code in zip(self._levels, codes, strict=True):
            weights = machine.weights_of(code)
            found.append({names[j]: float(x * weights[j]) for j, x in zip(X.coords[1], X.data, strict=True)})
        return found

    def _encode(self, products: NewProducts) -> sparse.csr_array:
        """Return TF-IDF of word n-grams and one-hot brand, side by side, as `lib.encode.encode_for_linear` does."""
        counts = sparse.csr_array(self._counts.transform(products.text), dtype=np.float32)
        counts.data = 1 + np.log(counts.data)
        tfidf = normalize(counts @ self._idf, copy=False)
        return sparse.csr_array(sparse.hstack([tfidf, _one_hot(products.brand, self._brand_columns)], format="csr"))


class _Machine(NamedTuple):
    """One level's support vector machine; with a single known class it has no coefficients."""

    coef: npt.NDArray[np.float32]
    intercept: npt.NDArray[np.float32]
    classes: npt.NDArray[np.int64]

    @classmethod
    def read(cls, arrays: Mapping[str, np.ndarray], level: int, names: Mapping[str, object]) -> "_Machine":
        if f"coef_{level}" not in arrays:
            only = np.array([names["only_class"][str(level)]])  # type: ignore[index]
            return cls(np.empty((0, 0), np.float32), np.ones(1, np.float32), only)
        return cls(arrays[f"coef_{level}"], arrays[f"intercept_{level}"], arrays[f"classes_{level}"].astype(np.int64))

    def margins(self, X: sparse.csr_array) -> npt.NDArray[np.float32]:
        if not self.coef.size:
            return np.ones((X.shape[0], 1), np.float32)
        margins = X @ self.coef.T + self.intercept
        return np.hstack([-margins, margins]) if len(self.coef) == 1 else margins

    def weights_of(self, code: int) -> npt.NDArray[np.float32]:
        places = np.flatnonzero(self.classes == code)
        if not self.coef.size or not len(places):
            return np.zeros(self.coef.shape[-1] or 1, np.float32)
        if len(self.coef) == 1:
            return np.asarray(self.coef[0] * (1 if places[0] == 1 else -1))
        return np.asarray(self.coef[places[0]])


class NetworkPart:
    """What `lib.single_estimators.NetworkEstimator` learnt, where the network is a multitask perceptron."""

    def __init__(self, stem: Path, variant: config.MLPVariant, class_counts: Sequence[int], stop_words: str) -> None:
        names = artifacts.read_json(stem.with_name(f"{stem.name}.json"))
        tensors = load_tensors(artifacts.existing(stem.with_name(f"{stem.name}.safetensors")))
        self.brands: list[str] = names["brands"]
        self._brand_numbers: dict[str | None, int] = {
            brand: number for number, brand in enumerate(self.brands, UNKNOWN_BRAND + 1)
        }
        self._counts = _counter(names["vocabulary"], 1, stop_words) if names["vocabulary"] else None
        first = InputLayer(
            brands=len(self.brands),
            words=len(names["vocabulary"]),
            image_size=len(tensors["input_layer.image_mean"]),
            hidden_size=variant.hidden_size,
            dropout=0.0,
            modality_dropout=variant.modality_dropout,
        )
        self.network = MultitaskMLP(first, class_counts, variant.hidden_layers, dropout=0.0)
        self.network.load_state_dict(tensors)
        self.network.eval()

    @property
    def image_size(self) -> int:
        """Dimension of the image vectors that the network reads; 0 if it reads none."""
        return len(self.network.input_layer.image_mean)

    def log_probabilities(self, products: NewProducts) -> list[Level]:
        """Return each level's log softmax."""
        with torch.inference_mode():
            return [logits.log_softmax(dim=1).numpy() for logits in self.network(self._batch(products))]

    def _batch(self, products: NewProducts) -> Batch:
        rows, image, words, offsets, brand = len(products.brand), None, None, None, None
        if self._counts is not None:
            bag = sparse.csr_array(self._counts.transform(products.text))
            bag.sort_indices()
            words = torch.from_numpy(bag.indices.astype(np.int64))
            offsets = torch.from_numpy(bag.indptr[:-1].astype(np.int64))
        if self.brands:
            brand = torch.tensor([self._brand_numbers.get(name, UNKNOWN_BRAND) for name in products.brand])
        if self.image_size:
            zeros = np.zeros((rows, self.image_size), np.float32)
            image = torch.from_numpy(zeros if products.image is None else products.image.astype(np.float32))
        return Batch(brand, words, offsets, image, codes=torch.zeros((rows, 3), dtype=torch.int64))


def load_part(stem: Path, variant: config.PartVariant, class_counts: Sequence[int], stop_words: str) -> Part:
    """Load one part of a fusion from the files whose names begin with `stem`."""
    if isinstance(variant, config.LinearVariant):
        return LinearPart(stem, variant, class_counts, stop_words)
    if isinstance(variant, config.MLPVariant):
        return NetworkPart(stem, variant, class_counts, stop_words)
    raise TypeError(f"A tagger has no part of the model '{variant.model}'.")


def _counter(terms: Sequence[str], n: int, stop_words: str) -> CountVectorizer:
    """Count known words and n-grams as the `text` stage and `lib.text.count_ngrams` do."""
    return CountVectorizer(
        vocabulary={term: column for column, term in enumerate(terms)},
        ngram_range=(1, n),
        token_pattern=TOKEN.pattern,
        stop_words=list(STOP_WORDS[stop_words]) or None,
    )


def _one_hot(brands: Sequence[str | None], columns: Mapping[str | None, int]) -> sparse.csr_array:
    """Return one-hot brands, a row of zeros for one that is not known."""
    known = [(row, columns[brand]) for row, brand in enumerate(brands) if brand in columns]
    rows, places = np.array(known, np.int64).reshape(-1, 2).T
    return sparse.csr_array((np.ones(len(rows), np.float32), (rows, places)), shape=(len(brands), len(columns)))
