"""What a training run reads: a catalogue's features in memory, and batches of them without per-row Python."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from scipy import sparse
from sklearn.preprocessing import OrdinalEncoder

from lib import artifacts, config
from lib.text import NGrams, Sequences, count_ngrams, load_sequences

UNKNOWN_BRAND = 0


@dataclass(frozen=True)
class CatalogueData:
    """Everything that models may read of a catalogue; rows in the order of `clean/products.parquet`.

    Attributes
    ----------
    products : DataFrame
        Splits, sampling keys, groups and brands.
    codes : int16 array, shape (rows, 3)
        The class of each level.
    class_names : list of list of str
        The classes of each level; a code is an index.
    paths : int16 array, shape (valid paths, 3)
    image : float16 array, shape (rows, dimension), memory-mapped
        Zeros where there is no usable photo.
    """

    products: pd.DataFrame
    codes: np.ndarray
    class_names: list[list[str]]
    paths: np.ndarray
    image: np.ndarray

    @property
    def class_counts(self) -> list[int]:
        """Number of classes of each level."""
        return [len(names) for names in self.class_names]


@lru_cache(maxsize=1)
def load_catalogue_data(catalogue: str) -> CatalogueData:
    """Read what the `clean` and `image` stages made; kept in memory for the runs that follow in this process."""
    columns = ["product_id", "brand", "group", "random_split", "grouped_split", "sampling_key"]
    codes = [f"{level}_code" for level in config.LEVELS]
    table = pd.read_parquet(
        artifacts.existing(config.build_dir(catalogue, "clean", "products.parquet")), columns=columns + codes
    )
    taxonomy = artifacts.read_json(config.build_dir(catalogue, "clean", "taxonomy.json"))
    features = artifacts.existing(config.build_dir(catalogue, "image", "features.npy"))
    return CatalogueData(
        products=table[columns],
        codes=table[codes].to_numpy(np.int16),
        class_names=taxonomy["levels"],
        paths=np.array(taxonomy["paths"], np.int16),
        image=np.load(features, mmap_mode="c"),  # "r" is enough, but PyTorch warns of arrays that cannot be written to
    )


@lru_cache(maxsize=1)
def load_text(catalogue: str, text: config.Text, stop_words: config.StopWords) -> Sequences:
    """Read the token sequences of a catalogue; kept in memory for the runs that follow in this process."""
    return load_sequences(catalogue, text, stop_words)


def load_ngrams(catalogue: str, text: config.Text, stop_words: config.StopWords, n: int) -> NGrams:
    """Count a catalogue's word n-grams; kept in memory for the runs that follow in this process."""
    return _ngrams(config.root(), catalogue, text, stop_words, n)


@lru_cache(maxsize=1)
def _ngrams(root: Path, catalogue: str, text: config.Text, stop_words: config.StopWords, n: int) -> NGrams:
    """Count n-grams. A study of another root has others."""
    return count_ngrams(load_text(catalogue, text, stop_words), n)


def fit_brands(brands: pd.Series) -> OrdinalEncoder:
    """Number the brands of training rows; every other brand becomes `UNKNOWN_BRAND` (0) through `encode_brands`."""
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, dtype=np.int64)
    return encoder.fit(brands.to_numpy(object)[:, None])


def encode_brands(encoder: OrdinalEncoder, brands: pd.Series) -> np.ndarray:
    """Return brand numbers, shape (rows,): 1 .. number of known brands, and 0 for a brand never seen in training."""
    encoded: np.ndarray = encoder.transform(brands.to_numpy(object)[:, None])[:, 0] + 1
    return encoded


class Batch(NamedTuple):
    """Rows that go through a network at once. A field is None where the variant does not read that input.

    Attributes
    ----------
    brand : int64 tensor, shape (rows,), or None
    words, offsets : int64 tensors, shapes (words in all rows,) and (rows,), or None
        The bag of words as indices: row `i` holds `words[offsets[i] : offsets[i + 1]]`.
    image : float32 tensor, shape (rows, dimension), or None
    codes : int64 tensor, shape (rows, 3)
    tokens : int64 tensor, shape (rows, longest), or None
        The text as a sequence (`lib/sequences.py`), padded with zeros behind its end.
    lengths : int64 tensor, shape (rows,), on the CPU, or None
        Tokens of each row, at least one.
    """

    brand: torch.Tensor | None
    words: torch.Tensor | None
    offsets: torch.Tensor | None
    image: torch.Tensor | None
    codes: torch.Tensor
    tokens: torch.Tensor | None = None
    lengths: torch.Tensor | None = None


@dataclass(frozen=True)
class Inputs:
    """Encoded rows of one run as tensors on one device; `batch` takes any of them by whole-tensor operations."""

    codes: torch.Tensor
    brand: torch.Tensor | None = None
    words: torch.Tensor | None = None
    indptr: torch.Tensor | None = None
    image: torch.Tensor | None = None
    tokens: torch.Tensor | None = None
    token_indptr: torch.Tensor | None = None

    def batch(self, rows: torch.Tensor) -> Batch:
        """Take some rows, in that order.

        Parameters
        ----------
        rows : int64 tensor, shape (batch,)
        """
        words, offsets = self._bags(rows)
        tokens, lengths = self._sequences(rows)
        return Batch(
            brand=None if self.brand is None else self.brand[rows],
            words=words,
            offsets=offsets,
            image=None if self.image is None else self.image[rows].float(),
            codes=self.codes[rows],
            tokens=tokens,
            lengths=lengths,
        )

    def _bags(self, rows: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        if self.words is None or self.indptr is None:
            return None, None
        starts = self.indptr[rows]
        lengths = self.indptr[rows + 1] - starts
        offsets = lengths.cumsum(0) - lengths
        positions = torch.repeat_interleave(starts - offsets, lengths)
        positions += torch.arange(len(positions), device=positions.device)
        return self.words[positions], offsets

    def _sequences(self, rows: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        if self.tokens is None or self.token_indptr is None:
            return None, None
        starts = self.token_indptr[rows]
        lengths = self.token_indptr[rows + 1] - starts
        steps = torch.arange(int(lengths.max()), device=rows.device)
        inside = steps < lengths[:, None]
        return self.tokens[(starts[:, None] + steps) * inside] * inside, lengths.cpu()

    def without(self, hidden: Collection[config.Input]) -> "Inputs":
        """Hide inputs: an unknown brand, no words, an image vector of zeros. Sequences cannot be hidden.

        Only what is read is copied; the image is a view on a single row of zeros.
        """
        hide: dict[str, Any] = {}
        if "brand" in hidden and self.brand is not None:
            hide["brand"] = torch.full_like(self.brand, UNKNOWN_BRAND)
        if "text" in hidden and self.indptr is not None:
            hide["indptr"] = torch.zeros_like(self.indptr)
        if "image" in hidden and self.image is not None:
            hide["image"] = torch.zeros_like(self.image[:1]).expand_as(self.image)
        return replace(self, **hide)

    def to(self, device: torch.device) -> "Inputs":
        """Copy all tensors to a device."""
        tensors = {name: tensor for name, tensor in vars(self).items() if tensor is not None}
        return Inputs(**{name: tensor.to(device) for name, tensor in tensors.items()})


def make_inputs(
    codes: np.ndarray,
    brand: np.ndarray | None = None,
    bag: sparse.csr_array | None = None,
    image: np.ndarray | None = None,
    tokens: Sequences | None = None,
) -> Inputs:
    """Wrap encoded rows as tensors. Image features stay as they are stored (float16, shared, not copied)."""
    return Inputs(
        codes=torch.from_numpy(codes.astype(np.int64)),
        brand=None if brand is None else torch.from_numpy(brand),
        words=None if bag is None else torch.from_numpy(bag.indices.astype(np.int64)),
        indptr=None if bag is None else torch.from_numpy(bag.indptr.astype(np.int64)),
        image=None if image is None else torch.from_numpy(image),
        tokens=None if tokens is None else torch.from_numpy(tokens.ids.astype(np.int64)),
        token_indptr=None if tokens is None else torch.from_numpy(tokens.indptr.astype(np.int64)),
    )


class Batches:
    """One pass over some rows, in an order drawn from `seed`, or as they are if there is none.

    A pass is a pure function of its arguments: a resumed training sees the batches that it would have seen.

    Attributes
    ----------
    order : int64 tensor, shape (rows,)
        Position in `rows` of each row of the pass. A last batch that is not full may be dropped.
    """

    def __init__(
        self, inputs: Inputs, rows: np.ndarray, batch_size: int, seed: int | None = None, drop_last: bool = False
    ) -> None:
        self.inputs = inputs
        order = np.arange(len(rows)) if seed is None else np.random.default_rng(seed).permutation(len(rows))
        if drop_last:
            order = order[: len(order) // batch_size * batch_size]
        self.order = torch.from_numpy(order)
        self.chunks = torch.split(torch.from_numpy(rows[order].astype(np.int64)).to(inputs.codes.device), batch_size)

    def __len__(self) -> int:
        """Return the number of batches."""
        return len(self.chunks)

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches; the last one may be smaller, unless it is dropped."""
        return (self.inputs.batch(chunk) for chunk in self.chunks)
