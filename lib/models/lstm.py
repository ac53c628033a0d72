"""LSTMs over token sequences: what they read, the encoder that all have, the multitask one and the chained one.

On a processor `lib/models/lstm_kernel.py` runs the recurrence; elsewhere PyTorch does.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from lib import config
from lib.models.base import Dropout, Network, Settings, make_encoders
from lib.models.chains import Chain, initialise
from lib.models.inputs import UNKNOWN_BRAND, Bag, Batch, Categories, Products, Ragged
from lib.models.lstm_kernel import Ends, run_lstm

NO_TOKENS, UNKNOWN = 0, 1
"""The token that stands for a row without any, and that of a brand that no training row has."""

OWN_TOKENS = 2
"""Tokens before that of the first word."""


class Tokens(Bag):
    """Texts as sequences of tokens, with the brand as the last one if it is an input.

    A word outside the vocabulary is left out before a text is cut. Word `j` of the vocabulary is token `j + 2`, and
    brand `b`, from 1, is token `len(vocabulary) + 1 + b`.
    """

    def __init__(self, max_words: int, length: int, stop_words: config.StopWords, brand: Categories | None) -> None:
        super().__init__(max_words, stop_words)
        self.length, self.brand = length, brand

    @property
    def count(self) -> int:
        """Number of distinct tokens."""
        return OWN_TOKENS + len(self.vocabulary) + (len(self.brand.values) if self.brand else 0)

    def encode(self, products: Products) -> Ragged:
        """Return the tokens of each row, at least one."""
        columns = products.text.columns(self.vocabulary)
        known, tokens = products.text.select(columns >= 0), columns[columns >= 0] + OWN_TOKENS
        rows = np.repeat(np.arange(len(known)), np.diff(known.indptr))
        inside = np.arange(len(rows)) - known.indptr[rows] < self.length
        tokens, rows = tokens[inside], rows[inside]
        if self.brand is not None:
            brand, last_rows = self.brand.numbers(products), np.arange(len(products))
            last = np.where(brand == UNKNOWN_BRAND, UNKNOWN, len(self.vocabulary) + OWN_TOKENS - 1 + brand)
        else:
            last_rows = np.setdiff1d(np.arange(len(products)), rows)
            last = np.full(len(last_rows), NO_TOKENS)
        rows = np.concatenate([rows, last_rows])
        order = np.argsort(rows, kind="stable")
        indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(products)))])
        return Ragged(torch.from_numpy(indptr), torch.from_numpy(np.concatenate([tokens, last])[order]), padded=True)


def encoders_of(settings: Settings) -> dict[str, Any]:
    """Return what is to be fitted on training products, by input."""
    text, encoders = settings.text, make_encoders(settings)
    words = text.max_sequence_words, text.sequence_length
    return encoders | {"text": Tokens(*words, settings.stop_words, encoders.get("brand"))}


class Packed(NamedTuple):
    """A batch's tokens without padding, each distinct one once. Encoders that read the same rows share it.

    Attributes
    ----------
    words : int64 tensor, shape (distinct tokens,)
    places : PackedSequence
        Of int64: which of `words` stands where.
    lengths : int64 tensor, shape (rows,)
        Tokens of each row, on the device of the others.
    """

    words: torch.Tensor
    places: PackedSequence
    lengths: torch.Tensor


def pack(batch: Batch) -> Packed:
    """Pack the sequences of a batch."""
    tokens, lengths = batch.columns["text"]
    packed = pack_padded_sequence(tokens, lengths, batch_first=True, enforce_sorted=False)
    words, places = torch.unique(packed.data, return_inverse=True)
    return Packed(words, PackedSequence(places, *packed[1:]), lengths.to(words.device))


class Encoder(nn.Module):
    """Word embedding, LSTM, and the mean of its outputs over the tokens of a row (paper, section 3.3).

    No step is spent on padding. Each distinct token of a batch is looked up once, with a sparse gradient. `lstm` holds
    the weights; on a processor `lib.models.lstm_kernel` applies them, elsewhere PyTorch does.

    Parameters
    ----------
    tokens : int
        Number of distinct tokens.
    activation : str
        What squashes candidates and the cell: `tanh`, or `sigmoid` (paper, section 3.3).
    """

    def __init__(self, tokens: int, embedding_size: int, hidden_size: int, activation: str) -> None:
        super().__init__()
        self.embedding = nn.Parameter(torch.empty(tokens, embedding_size))
        nn.init.normal_(self.embedding, std=0.1)
        nn.init.zeros_(self.embedding[:OWN_TOKENS].detach())
        self.lstm = nn.LSTM(embedding_size, hidden_size, batch_first=True)
        self.slope, self.squash = (2, torch.tanh) if activation == "tanh" else (1, torch.sigmoid)

    def forward(self, packed: Packed) -> torch.Tensor:
        """Return the mean output of each row, shape (rows, hidden size)."""
        return self.run(packed).total / packed.lengths[:, None]

    def run(self, packed: Packed) -> Ends:
        """Read each row to its end."""
        embedded, places = self._embedded(packed.words), packed.places
        if embedded.device.type != "cpu" and self.squash is torch.tanh:
            sequences = PackedSequence(nn.functional.embedding(places.data, embedded), *places[1:])
            outputs, (hidden, cell) = self.lstm(sequences)
            return Ends(pad_packed_sequence(outputs, batch_first=True)[0].sum(dim=1), hidden[0], cell[0])
        weight_ih, weight_hh, bias_ih, bias_hh = self.lstm.all_weights[0]
        projected = nn.functional.linear(embedded, weight_ih, bias_ih + bias_hh)
        ends = run_lstm(projected, places.data, places.batch_sizes, weight_hh, self.slope)
        return Ends(*(part[places.unsorted_indices] for part in ends))

    def _embedded(self, tokens: torch.Tensor) -> torch.Tensor:
        return nn.functional.embedding(tokens, self.embedding, sparse=True)

    def mean_after(self, packed: Packed, ends: Ends, tokens: torch.Tensor) -> torch.Tensor:
        """Return the mean output of each row if one more token followed, for each of some tokens.

        One step of an LSTM, its two products taken apart: one a row and one a token, instead of one for each pair.

        Parameters
        ----------
        ends : Ends
            What `run` returned for the same rows.
        tokens : int64 tensor, shape (tokens,), or (rows, tokens) if each row has its own

        Returns
        -------
        tensor, shape (rows, tokens, hidden size)
        """
        weight_ih, weight_hh, bias_ih, bias_hh = self.lstm.all_weights[0]
        of_rows = nn.functional.linear(ends.hidden, weight_hh, bias_hh)
        of_tokens = nn.functional.linear(self._embedded(tokens), weight_ih, bias_ih)
        enter, forget, candidate, leave = (of_rows[:, None] + of_tokens).chunk(4, dim=2)
        cell = forget.sigmoid() * ends.cell[:, None] + enter.sigmoid() * self.squash(candidate)
        outputs = leave.sigmoid() * self.squash(cell)
        return (ends.total[:, None] + outputs) / (packed.lengths[:, None, None] + 1)


class MultitaskLSTM(Network):
    """One LSTM over words and brand, optionally beside the photo, and a softmax for each level (paper, section 5)."""

    rows_at_once = 512  # with outputs of every token
    make_encoders = staticmethod(encoders_of)

    def __init__(self, settings: Settings, encoders: Mapping[str, Any]) -> None:
        super().__init__(settings, encoders)
        variant, recipe, image = settings.variant, settings.recipe, encoders.get("image")
        assert isinstance(variant, config.LSTMMultitaskVariant)
        assert recipe is not None
        size, image_size = variant.hidden_size, 0 if image is None else len(image.mean)
        self.encoder = Encoder(encoders["text"].count, variant.embedding_size, size, recipe.activation)
        self.dropout, self.input_dropout = Dropout(recipe.hidden_dropout), Dropout(recipe.input_dropout)
        self.image = nn.Linear(image_size, size) if image_size else None
        self.image_mean, self.image_scale = nn.Buffer(torch.zeros(image_size)), nn.Buffer(torch.ones(image_size))
        if image is not None and recipe.standardize_image:
            self.image_mean.copy_(torch.from_numpy(image.mean))
            self.image_scale.copy_(torch.from_numpy(image.scale))
        self.heads = nn.Linear(size * (2 if image_size else 1), sum(self.class_counts))
        initialise([self.heads] if self.image is None else [self.image, self.heads])

    def forward(self, batch: Batch) -> list[torch.Tensor]:
        """Return each level's logits, shapes (rows, classes)."""
        hidden = self.encoder(pack(batch))
        if self.image is not None:
            image = self.input_dropout((batch.columns["image"].float() - self.image_mean) / self.image_scale)
            hidden = torch.cat([hidden, self.image(image).relu()], dim=1)
        return list(torch.split(self.heads(self.dropout(hidden)), self.class_counts, dim=1))


class ChainedLSTM(Chain):
    """Three LSTMs, each over words, brand and, as the last token, the class of the level before.

    The classes' tokens come behind those of words and brands. With the recipe's `leak_own_label`, the last token is the
    level's own class in training, and the parent's when predicting (original code).
    """

    make_encoders = staticmethod(encoders_of)

    def __init__(self, settings: Settings, encoders: Mapping[str, Any]) -> None:
        super().__init__(settings, encoders)
        variant, recipe, counts = settings.variant, settings.recipe, settings.class_counts
        assert isinstance(variant, config.LSTMVariant)
        assert recipe is not None
        self.tokens, self.leak_own_label = encoders["text"].count, recipe.leak_own_label
        sizes, parents = (variant.embedding_size, variant.hidden_size, recipe.activation), [0, *counts[:-1]]
        if self.leak_own_label:
            parents = [0, *map(max, counts[:-1], counts[1:])]
        self.encoders = nn.ModuleList(Encoder(self.tokens + extra, *sizes) for extra in parents)
        self.heads = nn.ModuleList(nn.Linear(variant.hidden_size, classes) for classes in counts)
        self.dropout = Dropout(recipe.hidden_dropout)
        initialise(self.heads)

    def forward(self, batch: Batch) -> list[torch.Tensor]:
        """Return each level's logits, with the class as last token that training gives, shapes (rows, classes)."""
        codes = batch.codes[:, 1:] if self.leak_own_label else batch.codes
        first, *rest = self._hidden(batch, [codes[:, level, None] for level in range(len(self.heads) - 1)])
        return [self._logits(level, hidden) for level, hidden in enumerate([first, *(each[:, 0] for each in rest)])]

    def conditional_logits(self, batch: Batch) -> list[torch.Tensor]:
        """Return each level's logits given each class of the level before."""
        classes = [torch.arange(count, device=batch.codes.device) for count in self.class_counts[:-1]]
        return [self._logits(level, hidden) for level, hidden in enumerate(self._hidden(batch, classes))]

    def _hidden(self, batch: Batch, classes: list[torch.Tensor]) -> list[torch.Tensor]:
        """Return the first level's mean outputs, and each other level's after each of its `classes` as last token.

        A class comes last, so that the words are read once for all classes.
        """
        packed = pack(batch)
        first, *rest = (cast(Encoder, encoder) for encoder in self.encoders)
        after = zip(rest, classes, strict=True)
        return [first(packed), *(e.mean_after(packed, e.run(packed), self.tokens + c) for e, c in after)]

    def _logits(self, level: int, hidden: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.heads[level](self.dropout(hidden))
        return logits
