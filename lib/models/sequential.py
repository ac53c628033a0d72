"""The chain of perceptrons: three of them over one shared first layer (paper, section 3.4.1)."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import nn

from lib import config
from lib.models.base import Settings
from lib.models.chains import Chain, initialise
from lib.models.inputs import Batch, Encoder
from lib.models.mlp import InputLayer, make_input_layer, make_trunk


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
        initialise([*self.trunks.modules(), *heads])
        for head, table in zip(heads[1:], parents, strict=True):  # two parts of one matrix
            bound = (6 / (hidden_size + sum(table.shape))) ** 0.5
            nn.init.uniform_(head.weight, -bound, bound)
            nn.init.uniform_(table, -bound, bound)

    @classmethod
    def make(cls, settings: Settings, encoders: Mapping[str, Encoder]) -> "SequentialMLP":
        """Make an untrained network of a variant's and a recipe's settings."""
        variant, recipe = settings.variant, settings.recipe
        assert isinstance(variant, config.SequentialVariant)
        assert recipe is not None
        first = make_input_layer(variant, recipe, encoders)
        layers, dropout = variant.hidden_layers, recipe.hidden_dropout
        network = cls(first, settings.class_counts, layers, dropout, recipe.frozen_trunk)
        network.decodings, network.beam_width = variant.decodings, variant.beam_width
        return network

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
