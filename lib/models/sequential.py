"""The chain of perceptrons: three of them over one shared first layer (paper, section 3.4.1)."""

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import nn

from lib import config
from lib.models.base import Settings
from lib.models.chains import Chain, initialise
from lib.models.inputs import Batch, Encoder
from lib.models.mlp import InputLayer, make_trunk


class SequentialMLP(Chain):
    """Three multilayer perceptrons over one shared first layer; each softmax also sees the one-hot parent.

    With the recipe's `frozen_trunk`, one trunk serves all levels and only level 1 trains it, as in the original code.
    (That trained level 1 first. Here all levels train at once, and levels 2 and 3 send no gradient into the trunk.)
    A level sees the class of the level before, as in that code; with `parents: all`, level 3 sees both (paper, Figure
    5).
    """

    def __init__(self, settings: Settings, encoders: Mapping[str, Encoder]) -> None:
        super().__init__(settings, encoders)
        variant, recipe, counts = settings.variant, settings.recipe, settings.class_counts
        assert isinstance(variant, config.SequentialVariant)
        assert recipe is not None
        size, layers, dropout = variant.hidden_size, variant.hidden_layers, recipe.hidden_dropout
        self.frozen_trunk = recipe.frozen_trunk
        self.input_layer = InputLayer(encoders, size, recipe)
        trunks = 1 if self.frozen_trunk else len(counts)
        self.trunks = nn.ModuleList(make_trunk(size, layers, dropout) for _ in range(trunks))
        heads = [nn.Linear(size, classes) for classes in counts]
        parents = [torch.empty(pair) for pair in pairwise(counts)]
        self.heads, self.parents = nn.ModuleList(heads), nn.ParameterList(map(nn.Parameter, parents))
        initialise([*self.trunks.modules(), *heads])
        for head, table in zip(heads[1:], parents, strict=True):  # two parts of one matrix
            bound = (6 / (size + sum(table.shape))) ** 0.5
            nn.init.uniform_(head.weight, -bound, bound)
            nn.init.uniform_(table, -bound, bound)
        self.grandparents = None
        if recipe.parents == "all":
            self.grandparents = nn.Parameter(torch.empty(counts[0], counts[2]).uniform_(-bound, bound))

    def forward(self, batch: Batch) -> list[torch.Tensor]:
        """Return each level's logits given the true class of the level before, shapes (rows, classes)."""
        first, *rest = self._without_parents(batch)
        true = zip(rest, self.parents, batch.codes.T[:-1], strict=True)
        second, third = (logits + nn.functional.embedding(codes, table) for logits, table, codes in true)
        if self.grandparents is not None:
            third = third + nn.functional.embedding(batch.codes[:, 0], self.grandparents)
        return [first, second, third]

    def conditional_logits(self, batch: Batch) -> list[torch.Tensor]:
        """Return each level's logits given each class that it may see (`lib.models.chains`)."""
        first, *rest = self._without_parents(batch)
        second, third = (logits[:, None] + table for logits, table in zip(rest, self.parents, strict=True))
        if self.grandparents is not None:
            third = third[:, None] + self.grandparents[:, None]
        return [first, second, third]

    def _without_parents(self, batch: Batch) -> list[torch.Tensor]:
        embedded = self.input_layer(batch)
        if self.frozen_trunk:
            hidden = self.trunks[0](embedded)
            hiddens = [hidden, *[hidden.detach()] * (len(self.heads) - 1)]
        else:
            hiddens = [trunk(embedded) for trunk in self.trunks]
        return [head(hidden) for head, hidden in zip(self.heads, hiddens, strict=True)]
