"""Token sequences for recurrent networks, and batches of rows of about the same length."""

from collections.abc import Iterator

import numpy as np
import torch

from lib.data import UNKNOWN_BRAND, Batch, Batches, Inputs
from lib.text import Sequences

NO_TOKENS, UNKNOWN = 0, 1
"""The token that stands for a row without any, and that of a brand that no training row has."""

OWN_TOKENS = 2
"""Tokens before that of the first word."""

BATCHES_IN_A_POOL = 50  # rows are sorted by length within so many batches: little padding, and still much chance


def encode_tokens(
    sequences: Sequences, vocabulary: np.ndarray, length: int, brand: np.ndarray | None = None
) -> Sequences:
    """Number each row's words by the vocabulary, cut the row to a length, and put the brand behind the words.

    A word outside the vocabulary is left out before the cut. Word `j` of the vocabulary is token `j + 2`, and brand
    `b`, from 1, is token `len(vocabulary) + 1 + b`.

    >>> words = Sequences(np.array([0, 4, 4]), np.array([7, 5, 9, 7]))
    >>> encode_tokens(words, np.array([7, 9]), length=2, brand=np.array([1, 0])).ids.tolist()
    [2, 3, 4, 1]
    >>> encode_tokens(words, np.array([7, 9]), length=2).ids.tolist()
    [2, 3, 0]
    """
    token_of = np.zeros(max(sequences.ids.max(initial=-1), vocabulary.max(initial=-1)) + 1, np.int64)
    token_of[vocabulary] = np.arange(len(vocabulary)) + OWN_TOKENS
    tokens, rows = token_of[sequences.ids], _row_numbers(sequences.indptr)
    tokens, rows = tokens[tokens > 0], rows[tokens > 0]
    inside = np.arange(len(rows)) - np.searchsorted(rows, rows) < length
    tokens, rows = tokens[inside], rows[inside]
    count = len(sequences.indptr) - 1
    if brand is not None:
        last = np.where(brand == UNKNOWN_BRAND, UNKNOWN, len(vocabulary) + OWN_TOKENS - 1 + brand)
        last_rows = np.arange(count)
    else:
        last_rows = np.setdiff1d(np.arange(count), rows)
        last = np.full(len(last_rows), NO_TOKENS)
    rows = np.concatenate([rows, last_rows])
    order = np.argsort(rows, kind="stable")
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=count))])
    return Sequences(indptr, np.concatenate([tokens, last])[order])


def _row_numbers(indptr: np.ndarray) -> np.ndarray:
    """Return the row that each token is in."""
    return np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))


class LengthBatches:
    """One pass over some rows in batches of about the same length, in an order drawn from `seed`.

    Rows are shuffled, sorted by length within pools of some batches, and the batches are shuffled. Without a seed all
    rows are sorted. A pass is a pure function of its arguments, as that of `lib.data.Batches`.

    Attributes
    ----------
    order : int64 tensor, shape (rows,)
        Position in `rows` of each row of the pass.
    """

    def __init__(
        self, inputs: Inputs, rows: np.ndarray, batch_size: int, seed: int | None = None, drop_last: bool = False
    ) -> None:
        self.inputs = inputs
        order = _by_length(_lengths(inputs, rows), batch_size, seed)
        chunks = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
        if seed is not None:
            chunks = [chunks[i] for i in np.random.default_rng([seed, 1]).permutation(len(chunks))]
        if drop_last:
            chunks = [chunk for chunk in chunks if len(chunk) == batch_size]
        self.order = torch.from_numpy(np.concatenate([np.empty(0, np.int64), *chunks]))
        device = inputs.codes.device
        self.chunks = [torch.from_numpy(rows[chunk].astype(np.int64)).to(device) for chunk in chunks]

    def __len__(self) -> int:
        """Return the number of batches."""
        return len(self.chunks)

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches."""
        return (self.inputs.batch(chunk) for chunk in self.chunks)


def make_batches(
    inputs: Inputs, rows: np.ndarray, batch_size: int, seed: int | None = None, drop_last: bool = False
) -> Batches | LengthBatches:
    """Return a pass over rows: in batches of about the same length where the inputs are sequences."""
    kind = Batches if inputs.tokens is None else LengthBatches
    return kind(inputs, rows, batch_size, seed, drop_last)


def _lengths(inputs: Inputs, rows: np.ndarray) -> np.ndarray:
    if inputs.token_indptr is None:
        return np.zeros(len(rows), np.int64)
    lengths: np.ndarray = np.diff(inputs.token_indptr.cpu().numpy())[rows]
    return lengths


def _by_length(lengths: np.ndarray, batch_size: int, seed: int | None) -> np.ndarray:
    """Order rows by length: all of them, or with a seed a shuffled pool at a time."""
    if seed is None:
        return np.argsort(lengths, kind="stable")
    shuffled = np.random.default_rng([seed, 0]).permutation(len(lengths))
    pool = batch_size * BATCHES_IN_A_POOL
    pools = [shuffled[start : start + pool] for start in range(0, len(shuffled), pool)]
    return np.concatenate([rows[np.argsort(lengths[rows], kind="stable")] for rows in pools])
