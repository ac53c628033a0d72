"""What models read: products as they come, what is learnt to encode them, and batches of encoded rows.

CONTRIBUTING lists the places to touch for another input: its name, and a line in `ENCODERS` for how it is read.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from scipy import sparse

from lib import config, files
from lib.features.text import STOP_WORDS, Texts, bag_of_words, fit_vocabulary, places
from lib.models import input_files

UNKNOWN_BRAND = 0

BATCHES_IN_A_POOL = 50  # rows are sorted by length within so many batches: little padding, and still much chance

Column = Texts | npt.NDArray[Any]
Rows = npt.NDArray[np.integer]


@dataclass(frozen=True)
class Products:
    """Products as they come, of a catalogue or new ones.

    Attributes
    ----------
    count : int
    columns : dict
        A value of each product: `brand`, an object array of str, empty where there is none, and None where it is hidden
        (unlike an empty one that is nothing a model has seen); `text`, `Texts` with stop words; `image`, a float array
        (rows, dimension), a row of zeros where there is no usable photo; and vectors, as those of photos, that are
        otherwise made of an input, such as `image/lite2`. What no product has is not there.
    """

    count: int
    columns: Mapping[str, Column]

    @classmethod
    def of(
        cls, brands: Sequence[str | None], strings: Sequence[str], image: npt.NDArray[np.floating] | None = None
    ) -> "Products":
        """Take brands and texts as strings, and what the backbone said of the photos.

        >>> Products.of(["acme", ""], ["A red shoe", "Sandal"]).without(["brand"]).columns["text"].words
        ['red', 'sandal', 'shoe']
        """
        columns: dict[str, Column] = {"brand": np.array(brands, object), "text": Texts.of(strings)}
        return cls(len(brands), columns if image is None else {**columns, "image": image})

    def __len__(self) -> int:
        """Return the number of products."""
        return self.count

    def take(self, rows: Rows) -> "Products":
        """Take some products, in that order."""
        return Products(len(rows), {
            name: column.take(rows) if isinstance(column, Texts) else column[rows]
            for name, column in self.columns.items()
        })  # fmt: skip

    def without(self, hidden: Collection[str]) -> "Products":
        """Hide inputs: a model then sees what it sees of products that lack them."""
        shown = {name: one for name, one in self.columns.items() if config.input_of(name) not in hidden}
        return replace(self, columns=shown)

    def having(self, **columns: Column) -> "Products":
        """Return the products with other values of some inputs."""
        return replace(self, columns={**self.columns, **columns})

    @property
    def brand(self) -> npt.NDArray[np.object_]:
        """The brands; None for each product if they are hidden."""
        return np.asarray(self.columns.get("brand", np.full(self.count, None, object)))

    @property
    def text(self) -> Texts:
        """The texts; without a word if they are hidden."""
        column = self.columns.get("text", Texts([], np.zeros(self.count + 1, np.int64), np.empty(0, np.int32)))
        assert isinstance(column, Texts)
        return column

    @property
    def image(self) -> npt.NDArray[Any] | None:
        """The image vectors; None if there is none, or they are hidden."""
        column = self.columns.get("image")
        return None if column is None else np.asarray(column)


@dataclass(frozen=True)
class CatalogueData:
    """Everything that models may read of a catalogue; rows in the order of `clean/products.parquet`.

    Attributes
    ----------
    products : DataFrame
        Splits, sampling keys and groups.
    codes : int16 array, shape (rows, 3)
        The class of each level.
    class_names : list of list of str
        The classes of each level; a code is an index.
    paths : int16 array, shape (valid paths, 3)
    """

    name: str
    products: pd.DataFrame
    codes: npt.NDArray[np.int16]
    class_names: list[list[str]]
    paths: npt.NDArray[np.int16]

    @property
    def class_counts(self) -> list[int]:
        """Number of classes of each level."""
        return [len(names) for names in self.class_names]

    def as_products(self, columns: Collection[str], text: config.Text) -> Products:
        """Return all rows with some columns; nothing of the others is read (`lib.models.input_files`)."""
        return Products(len(self.codes), {name: self._read(name, text) for name in columns})

    def _read(self, name: str, text: config.Text) -> Column:
        if name == "text":
            return Texts.read(self.name, text)
        for file in input_files(name, text):  # "r" is enough, but PyTorch warns of arrays that cannot be written to
            features: Column = np.load(files.existing(config.build_dir(self.name, file)), mmap_mode="c")
            return features
        path = config.build_dir(self.name, "clean", "products.parquet")
        return pd.read_parquet(path, columns=[name])[name].to_numpy(object)


@lru_cache(maxsize=1)
def load_catalogue_data(catalogue: str) -> CatalogueData:
    """Read what the `clean` stage made; kept in memory for the runs that follow in this process."""
    codes = [f"{level}_code" for level in config.LEVELS]
    path = files.existing(config.build_dir(catalogue, "clean", "products.parquet"))
    columns = ["group", *(f"{split}_split" for split in config.SPLITS), "sampling_key"]
    table = pd.read_parquet(path, columns=columns + codes)
    taxonomy = files.read_json(config.build_dir(catalogue, "clean", "taxonomy.json"))
    return CatalogueData(
        name=catalogue,
        products=table[columns],
        codes=table[codes].to_numpy(np.int16),
        class_names=taxonomy["levels"],
        paths=np.array(taxonomy["paths"], np.int16),
    )


# Encoded rows


class Ragged(NamedTuple):
    """Rows of different lengths, one behind the other: row `i` is `ids[indptr[i] : indptr[i + 1]]`.

    Attributes
    ----------
    padded : bool
        What some rows of it are: `tokens` (rows, longest) with zeros behind each row's end, and `lengths`, on the CPU;
        or else `ids` one row behind the other, and `offsets`, where each row begins.
    """

    indptr: torch.Tensor
    ids: torch.Tensor
    padded: bool

    def rows(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Take some rows, in that order, by whole-tensor operations."""
        starts = self.indptr[rows]
        lengths = self.indptr[rows + 1] - starts
        if self.padded:
            steps = torch.arange(int(lengths.max()), device=rows.device)
            inside = steps < lengths[:, None]
            return self.ids[(starts[:, None] + steps) * inside] * inside, lengths.cpu()
        offsets = lengths.cumsum(0) - lengths
        positions = torch.repeat_interleave(starts - offsets, lengths)
        positions += torch.arange(len(positions), device=positions.device)
        return self.ids[positions], offsets


class Batch(NamedTuple):
    """Rows that go through a network at once.

    Attributes
    ----------
    codes : int64 tensor, shape (rows, 3)
        True classes; zeros where they are to be predicted.
    columns : dict
        Input -> tensor (rows, ...), or of a ragged one what `Ragged.rows` returns.
    """

    codes: torch.Tensor
    columns: dict[str, Any]


@dataclass
class Inputs:
    """Encoded products as tensors on one device; `batch` takes any of them by whole-tensor operations."""

    codes: torch.Tensor
    columns: dict[str, torch.Tensor | Ragged]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.codes)

    def batch(self, rows: torch.Tensor) -> Batch:
        """Take some rows, an int64 tensor of their numbers, in that order."""
        columns = {n: c.rows(rows) if isinstance(c, Ragged) else c[rows] for n, c in self.columns.items()}
        return Batch(self.codes[rows], columns)


class Batches:
    """One pass over rows in batches, in an order drawn from `seed`; as they are, or sorted by length, if there is none.

    Sequences go in batches of about the same length: shuffled, sorted within pools of some batches, and the batches
    shuffled. A pass is a pure function of its arguments: a resumed training sees the batches that it would have seen.

    Parameters
    ----------
    by_length : bool
        Whether sequences, if there are any, are put together by length.
    drop_last : bool
        Whether a batch that is not full is left out.

    Attributes
    ----------
    order : int64 tensor, shape (rows,)
        The rows of the pass.
    """

    def __init__(
        self,
        inputs: Inputs,
        batch_size: int,
        seed: int | None = None,
        by_length: bool = True,
        drop_last: bool = False,
    ) -> None:
        self.inputs = inputs
        sequences = [c for c in inputs.columns.values() if isinstance(c, Ragged) and c.padded] if by_length else []
        if sequences:
            order = _by_length(np.diff(sequences[0].indptr.cpu().numpy()), batch_size, seed)
        else:
            order = np.arange(len(inputs)) if seed is None else np.random.default_rng(seed).permutation(len(inputs))
        chunks = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
        if sequences and seed is not None:
            chunks = [chunks[i] for i in np.random.default_rng([seed, 1]).permutation(len(chunks))]
        self.chunks = [
            torch.from_numpy(chunk).to(inputs.codes.device)
            for chunk in chunks
            if len(chunk) == batch_size or not drop_last
        ]
        self.order = torch.cat([torch.empty(0, dtype=torch.int64, device=inputs.codes.device), *self.chunks])

    def __len__(self) -> int:
        """Return the number of batches."""
        return len(self.chunks)

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches; one may be smaller, unless it is dropped."""
        return (self.inputs.batch(chunk) for chunk in self.chunks)


def _by_length(lengths: npt.NDArray[np.int64], batch_size: int, seed: int | None) -> npt.NDArray[np.int64]:
    """Order rows by length: all of them, or with a seed a shuffled pool at a time."""
    if seed is None:
        return np.argsort(lengths, kind="stable")
    shuffled = np.random.default_rng([seed, 0]).permutation(len(lengths))
    pool = batch_size * BATCHES_IN_A_POOL
    pools = [shuffled[start : start + pool] for start in range(0, len(shuffled), pool)]
    return np.concatenate([rows[np.argsort(lengths[rows], kind="stable")] for rows in pools])


# What is learnt of training products to encode any


class Categories:
    """Numbers of categories, such as brands: 1, 2, ... in alphabetical order, and 0 for one that no training row has.

    Attributes
    ----------
    values : list of str
        The known ones: category `i` is `values[i - 1]`.
    """

    learnt = ("values",)

    def __init__(self, name: config.Input) -> None:
        self.name = name
        self.values: list[str] = []

    def fit(self, products: Products) -> "Categories":
        """Learn the categories that there are."""
        self.values = sorted(set(np.asarray(products.columns[self.name])) - {None})
        return self

    def numbers(self, products: Products) -> npt.NDArray[np.int64]:
        """Return the number of each product's category, shape (rows,)."""
        if self.name not in products.columns:
            return np.zeros(len(products), np.int64)
        return places(self.values, np.asarray(products.columns[self.name])) + 1

    def one_hot(self, products: Products) -> sparse.csr_array:
        """Return a float32 CSR array, shape (rows, categories): a row of zeros for an unknown one."""
        numbers = self.numbers(products).astype(np.int32)  # scikit-learn wants no wider indices
        rows = np.flatnonzero(numbers).astype(np.int32)
        shape = (len(products), len(self.values))
        return sparse.csr_array((np.ones(len(rows), np.float32), (rows, numbers[rows] - 1)), shape=shape)

    def encode(self, products: Products) -> torch.Tensor:
        """Return the numbers as a tensor."""
        return torch.from_numpy(self.numbers(products))


class Bag:
    """Binary bags of words: which of the most frequent words of training rows are in a text.

    Attributes
    ----------
    vocabulary : list of str
        The words, most frequent first.
    """

    learnt = ("vocabulary",)

    def __init__(self, max_words: int, stop_words: config.StopWords) -> None:
        self.max_words, self.stop_words = max_words, STOP_WORDS[stop_words]
        self.vocabulary: list[str] = []

    def fit(self, products: Products) -> "Bag":
        """Choose the words."""
        self.vocabulary = fit_vocabulary(products.text.without(self.stop_words), self.max_words)
        return self

    def encode(self, products: Products) -> Ragged:
        """Return the words of each row."""
        bag = bag_of_words(products.text, self.vocabulary)
        indptr, ids = (torch.from_numpy(array.astype(np.int64)) for array in (bag.indptr, bag.indices))
        return Ragged(indptr, ids, padded=False)


class Vectors:
    """Dense vectors, such as photos' features, as they come; and their statistics over training rows.

    Attributes
    ----------
    mean, scale : float32 arrays, shape (dimension,)
        Mean and standard deviation of each feature; 1 for the latter where it never varies.

    Examples
    --------
    >>> vectors = Vectors("image").fit(Products(2, {"image": np.array([[1, 5], [3, 5]], np.float16)}))
    >>> vectors.mean.tolist(), vectors.scale.tolist()
    ([2.0, 5.0], [1.0, 1.0])
    """

    learnt = ("mean", "scale")

    def __init__(self, name: str) -> None:
        self.name = name

    def fit(self, products: Products, rows_at_once: int = 4096) -> "Vectors":
        """Learn mean and standard deviation of each feature, in float64."""
        vectors = np.asarray(products.columns[self.name])
        total, squares = np.zeros(vectors.shape[1]), np.zeros(vectors.shape[1])
        for start in range(0, len(vectors), rows_at_once):
            part = vectors[start : start + rows_at_once].astype(np.float64)
            total += part.sum(axis=0)
            squares += (part**2).sum(axis=0)
        mean = total / len(vectors)
        scale = np.sqrt(np.maximum(squares / len(vectors) - mean**2, 0))
        scale[scale < 1e-6] = 1
        self.mean, self.scale = mean.astype(np.float32), scale.astype(np.float32)
        return self

    def encode(self, products: Products) -> torch.Tensor:
        """Return the vectors, neither copied nor standardised; zeros if there are none."""
        if self.name not in products.columns:
            return torch.zeros(1, len(self.mean)).expand(len(products), -1)
        return torch.from_numpy(np.asarray(products.columns[self.name]))

    def standardize(self, products: Products) -> npt.NDArray[np.float32]:
        """Return the vectors less their mean, divided by their scale; zeros if there are none."""
        if self.name not in products.columns:
            return np.zeros((len(products), len(self.mean)), np.float32)
        return np.asarray((np.asarray(products.columns[self.name]).astype(np.float32) - self.mean) / self.scale)


Encoder = Categories | Bag | Vectors

ENCODERS: dict[str, Callable[[config.TextParams, config.StopWords], Encoder]] = {
    "brand": lambda text, stop_words: Categories("brand"),
    "text": lambda text, stop_words: Bag(text.max_bag_words, stop_words),
    "image": lambda text, stop_words: Vectors("image"),
}
"""How a perceptron reads each input; whatever else is made of one is read as `Vectors`."""
