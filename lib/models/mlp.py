"""The multitask multilayer perceptron (paper, section 3.3 and Figure 1): its input layer, its layers, its loss.

Brand, words and photo go into one first dense layer; behind it are more dense layers, which all levels of the category
path share (the trunk); behind these, each level has a softmax of its own (a head). Read from top to bottom. How inputs
become numbers stands in `lib/models/inputs.py`, and how it is trained in `lib/training/loop.py`.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from lib import config
from lib.models.base import Dropout, Network, Settings
from lib.models.inputs import UNKNOWN_BRAND, Bag, Batch, Categories, Encoder, Vectors


class OneHot(nn.Embedding):
    """The part of the first layer that reads one category of a product; one that is not known adds nothing."""

    def __init__(self, encoder: Categories, hidden_size: int) -> None:
        self.inputs = len(encoder.values)
        super().__init__(self.inputs + 1, hidden_size, padding_idx=UNKNOWN_BRAND)

    def forward(self, numbers: torch.Tensor, dropout: Dropout) -> torch.Tensor:  # type: ignore[override]
        """Return (rows, hidden size); `numbers` has shape (rows,)."""
        kept = dropout.factor(numbers)
        return super().forward(numbers) if kept is None else super().forward(numbers) * kept[:, None]


class BinaryBag(nn.EmbeddingBag):
    """The part of the first layer that reads a bag of words."""

    def __init__(self, encoder: Bag, hidden_size: int) -> None:
        self.inputs = len(encoder.vocabulary)
        super().__init__(self.inputs, hidden_size, mode="sum")

    def forward(self, bag: tuple[torch.Tensor, torch.Tensor], dropout: Dropout) -> torch.Tensor:  # type: ignore[override]
        """Return (rows, hidden size); `bag` is what `Ragged.rows` returns."""
        words, offsets = bag
        return super().forward(words, offsets, per_sample_weights=dropout.factor(words))


class Dense(nn.Linear):
    """The part of the first layer that reads a vector, less `mean` and divided by `scale`."""

    def __init__(self, inputs: int, hidden_size: int) -> None:
        self.inputs = inputs
        super().__init__(inputs, hidden_size, bias=False)
        self.mean, self.scale = nn.Buffer(torch.zeros(inputs)), nn.Buffer(torch.ones(inputs))

    def forward(self, vectors: torch.Tensor, dropout: Dropout) -> torch.Tensor:  # type: ignore[override]
        """Return (rows, hidden size); `vectors` has shape (rows, dimension), or (rows,) if they are numbers."""
        return super().forward(dropout((vectors.reshape(-1, self.inputs).float() - self.mean) / self.scale))


class InputLayer(nn.Module):
    """The first dense layer over the concatenation of one-hot brand, binary bag of words and image vector.

    A dense layer over a concatenation is the sum of one matrix product for each part, and the product of a one-hot or
    binary row with a matrix is a sum of that matrix's rows. So the sparse parts are looked up and never made dense.

    Parameters
    ----------
    encoders : dict
        Column -> its fitted encoder.
    recipe : Recipe
        It says what share of the inputs is left out in training (paper, section 3.3), whether vectors are standardised,
        and whether the brand's number is one input, as it is (the original code), instead of the one-hot brand.
    modality_dropout : float
        Share of the rows whose brand is hidden in training, and likewise each other input; never all of them. A layer
        that is trained so takes an image vector of zeros for a photo that is missing, and lets it add nothing.
    """

    def __init__(
        self, encoders: Mapping[str, Encoder], hidden_size: int, recipe: config.Recipe, modality_dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.dropout, self.modality_dropout = Dropout(recipe.input_dropout), modality_dropout
        scalar = "brand" if recipe.brand_encoding == "scalar" else None
        layers: dict[str, Any] = {}
        for name, encoder in sorted(encoders.items(), key=lambda item: item[0] == scalar):
            if isinstance(encoder, Vectors):
                layers[name] = Dense(len(encoder.mean), hidden_size)
                if recipe.standardize_image:
                    layers[name].mean.copy_(torch.from_numpy(encoder.mean))
                    layers[name].scale.copy_(torch.from_numpy(encoder.scale))
            elif isinstance(encoder, Bag):
                layers[name] = BinaryBag(encoder, hidden_size)
            else:
                layers[name] = Dense(1, hidden_size) if name == scalar else OneHot(encoder, hidden_size)
        # The parts of the weight matrix are drawn as Glorot and Bengio (2010) would draw the whole.
        bound = (6 / (sum(layer.inputs for layer in layers.values()) + hidden_size)) ** 0.5
        for layer in layers.values():
            nn.init.uniform_(layer.weight, -bound, bound)
            if isinstance(layer, OneHot):
                nn.init.zeros_(layer.weight[UNKNOWN_BRAND].detach())
        self.layers = nn.ModuleDict({name: layers[name] for name in encoders})
        self.bias = nn.Parameter(torch.zeros(hidden_size))

    def forward(self, batch: Batch) -> torch.Tensor:
        """Return the layer's output before its activation, shape (rows, hidden size)."""
        shown = self.shown(batch) if self.modality_dropout else {}
        output = self.bias.expand(len(batch.codes), -1)
        for name, layer in self.layers.items():
            part = layer(batch.columns[name], self.dropout)
            output = output + (part * shown[name][:, None] if shown else part)
        return output

    def shown(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Say which inputs each row shows, 1 or 0, shape (rows,): in training a draw; all where all would be hidden."""
        rows, device = len(batch.codes), batch.codes.device
        inputs = list(dict.fromkeys(map(config.input_of, self.layers)))  # all that is made of one is hidden with it
        if self.training:
            drawn = torch.rand(len(inputs), rows, device=device) >= self.modality_dropout
            drawn = drawn | ~drawn.any(dim=0)
        else:
            drawn = torch.ones(len(inputs), rows, dtype=torch.bool, device=device)
        shown = {name: drawn[inputs.index(config.input_of(name))] for name in self.layers}
        for name, layer in self.layers.items():
            if isinstance(layer, Dense):
                shown[name] = shown[name] & (batch.columns[name].reshape(rows, -1) != 0).any(dim=1)
        return {name: flags.float() for name, flags in shown.items()}


def make_trunk(hidden_size: int, hidden_layers: int, dropout: float) -> nn.Sequential:
    """Make what follows a first dense layer: ReLU and dropout, and the other hidden layers with theirs."""
    layers: list[nn.Module] = [nn.ReLU(), Dropout(dropout)]
    for _ in range(hidden_layers - 1):
        layers += [nn.Linear(hidden_size, hidden_size), nn.ReLU(), Dropout(dropout)]
    return nn.Sequential(*layers)


class MultitaskMLP(Network):
    """One trunk of dense layers with ReLU and dropout, and a softmax for each level (paper, Figure 1)."""

    def __init__(self, settings: Settings, encoders: Mapping[str, Encoder]) -> None:
        super().__init__(settings, encoders)
        variant, recipe = settings.variant, settings.recipe
        assert isinstance(variant, config.MLPVariant)
        assert recipe is not None
        self.input_layer = InputLayer(encoders, variant.hidden_size, recipe, variant.modality_dropout)
        self.trunk = make_trunk(variant.hidden_size, variant.hidden_layers, recipe.hidden_dropout)
        self.heads = nn.Linear(variant.hidden_size, sum(self.class_counts))  # all levels' softmaxes in one matrix
        for module in [*self.trunk, self.heads]:
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, batch: Batch) -> list[torch.Tensor]:
        """Return each level's logits, shapes (rows, classes)."""
        hidden = self.trunk(self.input_layer(batch))
        return list(torch.split(self.heads(hidden), self.class_counts, dim=1))

    def loss(self, batch: Batch) -> torch.Tensor:
        """Return the sum over the levels of the mean cross-entropy (paper, section 3.3)."""
        levels = zip(self(batch), batch.codes.T, strict=True)
        return torch.stack([nn.functional.cross_entropy(logits, codes) for logits, codes in levels]).sum()
