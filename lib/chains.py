"""Chained models: each level is predicted from the product and from the class of the level before (paper, section 3.4).

In training the true class of the level before is given. When predicting, `conditionals` says for every class that it
may be what the next level's probabilities are, and `lib/decode.py` makes paths of that.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import nn

from lib.data import Batch
from lib.decode import beam
from lib.models import Dropout, InputLayer, make_trunk, summed_cross_entropy
from lib.recurrent import Encoder, pack


class Chain(nn.Module, ABC):
    """What the chained models share."""

    class_counts: list[int]

    @abstractmethod
    def forward(self, batch: Batch) -> list[torch.Tensor]:
        """Return each level's logits given the true class of the level before, shapes (rows, classes)."""

    @abstractmethod
    def conditional_logits(self, batch: Batch) -> list[torch.Tensor]:
        """Return each level's logits given each class of the level before, shape (rows, parents, classes).

        The first level's have shape (rows, classes).
        """

    def conditionals(self, batch: Batch) -> list[torch.Tensor]:
        """Return the log conditional probabilities that `lib.decode` reads."""
        return [nn.functional.log_softmax(logits, dim=-1) for logits in self.conditional_logits(batch)]

    def loss(self, batch: Batch) -> torch.Tensor:
        """Return the sum over the levels of the mean cross-entropy, given the true parents."""
        return summed_cross_entropy(self(batch), batch.codes)

    def predict(self, batch: Batch) -> torch.Tensor:
        """Return each row's path, decoded hard, shape (rows, 3)."""
        return beam(self.conditionals(batch), 1).codes[:, 0]


class SequentialMLP(Chain):
    """Three multilayer perceptrons over one shared first layer; each softmax also sees the one-hot parent.

    Parameters
    ----------
    input_layer : InputLayer
        The shared embedding of the inputs.
    frozen_trunk : bool
        Whether one trunk serves all levels and only level 1 trains it, as in the original code. (That trained level 1
        first. Here all levels train at once, and levels 2 and 3 send no gradient into the trunk.)
    """

    def __init__(
        self,
        input_layer: InputLayer,
        class_counts: Sequence[int],
        hidden_layers: int,
        dropout: float,
        frozen_trunk: bool,
    ) -> None:
        super().__init__()
        hidden_size = len(input_layer.bias)
        self.input_layer, self.class_counts, self.frozen_trunk = input_layer, list(class_counts), frozen_trunk
        trunks = 1 if frozen_trunk else len(class_counts)
        self.trunks = nn.ModuleList(make_trunk(hidden_size, hidden_layers, dropout) for _ in range(trunks))
        heads = [nn.Linear(hidden_size, classes) for classes in class_counts]
        parents = [torch.empty(pair) for pair in pairwise(class_counts)]
        self.heads, self.parents = nn.ModuleList(heads), nn.ParameterList(map(nn.Parameter, parents))
        _initialise(self.modules())
        for head, table in zip(heads[1:], parents, strict=True):  # two parts of one matrix
            bound = (6 / (hidden_size + sum(table.shape))) ** 0.5
            nn.init.uniform_(head.weight, -bound, bound)
            nn.init.uniform_(table, -bound, bound)

    def forward(self, batch: Batch) -> list[torch.Tensor]:
        """Return each level's logits given the true class of the level before, shapes (rows, classes)."""
        first, *rest = self._without_parents(batch)
        true = zip(rest, self.parents, batch.codes.T[:-1], strict=True)
        return [first, *(logits + nn.functional.embedding(codes, table) for logits, table, codes in true)]

    def conditional_logits(self, batch: Batch) -> list[torch.Tensor]:
        """Return each level's logits given each class of the level before."""
        first, *rest = self._without_parents(batch)
        every = zip(rest, self.parents, strict=True)
        return [first, *(logits[:, None] + table for logits, table in every)]

    def _without_parents(self, batch: Batch) -> list[torch.Tensor]:
        embedded = self.input_layer(batch)
        if self.frozen_trunk:
            hidden = self.trunks[0](embedded)
            hiddens = [hidden, *[hidden.detach()] * (len(self.heads) - 1)]
        else:
            hiddens = [trunk(embedded) for trunk in self.trunks]
        return [head(hidden) for head, hidden in zip(self.heads, hiddens, strict=True)]


class ChainedLSTM(Chain):
    """Three LSTMs, each over words, brand and, as the last token, the class of the level before.

    Parameters
    ----------
    tokens : int
        Number of distinct tokens of words and brands; the classes' tokens come behind them.
    leak_own_label : bool
        Whether the last token is the level's own class in training, and the parent's when predicting (original code).
    """

    def __init__(
        self,
        tokens: int,
        embedding_size: int,
        hidden_size: int,
        class_counts: Sequence[int],
        dropout: float,
        leak_own_label: bool,
    ) -> None:
        super().__init__()
        self.tokens, self.class_counts, self.leak_own_label = tokens, list(class_counts), leak_own_label
        parents = [0, *class_counts[:-1]]
        if leak_own_label:
            parents = [0, *map(max, class_counts[:-1], class_counts[1:])]
        self.encoders = nn.ModuleList(Encoder(tokens + extra, embedding_size, hidden_size) for extra in parents)
        self.heads = nn.ModuleList(nn.Linear(hidden_size, classes) for classes in class_counts)
        self.dropout = Dropout(dropout)
        _initialise(self.heads)

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


def _initialise(modules: Iterable[nn.Module]) -> None:
    """Draw the dense layers' weights as Glorot and Bengio (2010) do."""
    for module in modules:
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
