"""LSTMs over token sequences: the encoder that every recurrent variant has, and the multitask one."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from lib.data import Batch
from lib.lstm import Ends, run_lstm
from lib.models import Dropout, summed_cross_entropy
from lib.sequences import OWN_TOKENS


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
    assert batch.tokens is not None
    assert batch.lengths is not None
    packed = pack_padded_sequence(batch.tokens, batch.lengths, batch_first=True, enforce_sorted=False)
    words, places = torch.unique(packed.data, return_inverse=True)
    return Packed(words, PackedSequence(places, *packed[1:]), batch.lengths.to(words.device))


class Encoder(nn.Module):
    """Word embedding, LSTM, and the mean of its outputs over the tokens of a row (paper, section 3.3).

    No step is spent on padding. Each distinct token of a batch is looked up once, with a sparse gradient. `lstm` holds
    the weights; on a processor `lib.lstm` applies them, elsewhere PyTorch does.

    Parameters
    ----------
    tokens : int
        Number of distinct tokens.
    """

    def __init__(self, tokens: int, embedding_size: int, hidden_size: int) -> None:
        super().__init__()
        self.embedding = nn.Parameter(torch.empty(tokens, embedding_size))
        nn.init.normal_(self.embedding, std=0.1)
        nn.init.zeros_(self.embedding[:OWN_TOKENS].detach())
        self.lstm = nn.LSTM(embedding_size, hidden_size, batch_first=True)

    def forward(self, packed: Packed) -> torch.Tensor:
        """Return the mean output of each row, shape (rows, hidden size)."""
        return self.run(packed).total / packed.lengths[:, None]

    def run(self, packed: Packed) -> Ends:
        """Read each row to its end."""
        embedded = self._embedded(packed.words)
        if embedded.device.type != "cpu":
            return self._run_by_pytorch(embedded, packed.places)
        weight_ih, weight_hh, bias_ih, bias_hh = self.lstm.all_weights[0]
        projected = nn.functional.linear(embedded, weight_ih, bias_ih + bias_hh)
        ends = run_lstm(projected, packed.places.data, packed.places.batch_sizes, weight_hh)
        return Ends(*(part[packed.places.unsorted_indices] for part in ends))

    def _run_by_pytorch(self, embedded: torch.Tensor, places: PackedSequence) -> Ends:
        sequences = PackedSequence(nn.functional.embedding(places.data, embedded), *places[1:])
        outputs, (hidden, cell) = self.lstm(sequences)
        return Ends(pad_packed_sequence(outputs, batch_first=True)[0].sum(dim=1), hidden[0], cell[0])

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
        cell = forget.sigmoid() * ends.cell[:, None] + enter.sigmoid() * candidate.tanh()
        outputs = leave.sigmoid() * cell.tanh()
        return (ends.total[:, None] + outputs) / (packed.lengths[:, None, None] + 1)


class MultitaskLSTM(nn.Module):
    """One LSTM over words and brand, optionally beside the photo, and a softmax for each level (paper, section 5).

    Parameters
    ----------
    image_size : int
        Dimension of the image vector; 0 if the photo is not an input.
    dropout, input_dropout : float
        On what the softmax reads, and on the image vector.
    """

    def __init__(
        self, encoder: Encoder, class_counts: Sequence[int], image_size: int, dropout: float, input_dropout: float
    ) -> None:
        super().__init__()
        hidden_size = encoder.lstm.hidden_size
        self.encoder, self.class_counts = encoder, list(class_counts)
        self.dropout, self.input_dropout = Dropout(dropout), Dropout(input_dropout)
        self.image = nn.Linear(image_size, hidden_size) if image_size else None
        self.image_mean = nn.Buffer(torch.zeros(image_size))
        self.image_scale = nn.Buffer(torch.ones(image_size))
        self.heads = nn.Linear(hidden_size * (2 if image_size else 1), sum(class_counts))
        for layer in (self.image, self.heads):
            if layer is not None:
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)

    def standardize(self, mean: torch.Tensor, scale: torch.Tensor) -> None:
        """Set what is subtracted from and divided out of every image vector; both of shape (dimension,)."""
        self.image_mean.copy_(mean)
        self.image_scale.copy_(scale)

    def forward(self, batch: Batch) -> list[torch.Tensor]:
        """Return each level's logits, shapes (rows, classes)."""
        hidden = self.encoder(pack(batch))
        if self.image is not None and batch.image is not None:
            image = self.input_dropout((batch.image - self.image_mean) / self.image_scale)
            hidden = torch.cat([hidden, self.image(image).relu()], dim=1)
        return list(torch.split(self.heads(self.dropout(hidden)), self.class_counts, dim=1))

    def loss(self, batch: Batch) -> torch.Tensor:
        """Return the sum over the levels of the mean cross-entropy."""
        return summed_cross_entropy(self(batch), batch.codes)

    def predict(self, batch: Batch) -> torch.Tensor:
        """Return the most probable class of each level, shape (rows, 3)."""
        return torch.stack([logits.argmax(dim=1) for logits in self(batch)], dim=1)
