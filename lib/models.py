"""The models: a multitask MLP over sparse and dense inputs, and the plurality class."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from lib.data import UNKNOWN_BRAND, Batch


class Dropout(nn.Module):
    """Leave out a random share of a tensor in training, and scale the rest to keep its expectation.

    What `torch.nn.Dropout` does, several times faster on a processor: one 64-bit draw decides on eight elements. So the
    share is a multiple of 1/256, the nearest to the one asked for.

    Parameters
    ----------
    p : float
        Share that is left out, from 0 to 1, 1 excluded.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.threshold = min(round(p * 256), 255)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return `x`, or in training a new tensor of the same shape."""
        return x * self.factor(x.shape, x.device) if self.training and self.threshold else x

    def factor(self, shape: torch.Size, device: torch.device) -> torch.Tensor:
        """Draw what each element is multiplied with: 0, or 1 / (1 - p)."""
        draws = torch.empty((shape.numel() + 7) // 8, dtype=torch.int64, device=device).random_(-(2**63), None)
        kept = draws.view(torch.uint8)[: shape.numel()].view(shape) >= self.threshold
        return kept * (256 / (256 - self.threshold))


class InputLayer(nn.Module):
    """The first dense layer over the concatenation of one-hot brand, binary bag of words and image vector.

    A dense layer over a concatenation is the sum of one matrix product for each part, and the product of a one-hot or
    binary row with a matrix is a sum of that matrix's rows. So the sparse parts are looked up and never made dense.

    Parameters
    ----------
    brands : int
        Number of known brands; 0 if the brand is not an input. An unknown brand adds nothing.
    words : int
        Size of the vocabulary; 0 if the text is not an input.
    image_size : int
        Dimension of the image vector; 0 if the photo is not an input.
    hidden_size : int
        Units of the layer.
    dropout : float
        Share of the inputs that is left out in training (paper, section 3.3).
    scalar_brand : bool
        Whether the brand's number is one input, as it is, beside or instead of the one-hot brand.
    modality_dropout : float
        Share of the rows whose brand is hidden in training, and likewise their words and their photo; never all of
        them. A layer that is trained so takes an image vector of zeros for a photo that is missing, and lets it add
        nothing.
    """

    def __init__(
        self,
        brands: int,
        words: int,
        image_size: int,
        hidden_size: int,
        dropout: float,
        scalar_brand: bool = False,
        modality_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.dropout, self.modality_dropout = Dropout(dropout), modality_dropout
        self.brand = nn.Embedding(brands + 1, hidden_size, padding_idx=UNKNOWN_BRAND) if brands else None
        self.words = nn.EmbeddingBag(words, hidden_size, mode="sum") if words else None
        self.image = nn.Linear(image_size, hidden_size, bias=False) if image_size else None
        self.brand_number = nn.Linear(1, hidden_size, bias=False) if scalar_brand else None
        self.bias = nn.Parameter(torch.zeros(hidden_size))
        self.image_mean = nn.Buffer(torch.zeros(image_size))
        self.image_scale = nn.Buffer(torch.ones(image_size))
        self._initialise(brands + words + image_size + scalar_brand + hidden_size)

    def _initialise(self, fan_in_and_out: int) -> None:
        """Draw the parts of the weight matrix as Glorot and Bengio (2010) would for the whole."""
        bound = (6 / fan_in_and_out) ** 0.5
        for part in (self.brand, self.words, self.image, self.brand_number):
            if part is not None:
                nn.init.uniform_(part.weight, -bound, bound)
        if self.brand is not None:
            nn.init.zeros_(self.brand.weight[UNKNOWN_BRAND : UNKNOWN_BRAND + 1].detach())

    def standardize(self, mean: torch.Tensor, scale: torch.Tensor) -> None:
        """Set what is subtracted from and divided out of every image vector; both of shape (dimension,)."""
        self.image_mean.copy_(mean)
        self.image_scale.copy_(scale)

    def forward(self, batch: Batch) -> torch.Tensor:
        """Return the layer's output before its activation, shape (rows, hidden size)."""
        if self.modality_dropout:
            return self._forward_some(batch)
        output = self.bias.expand(len(batch.codes), -1)
        if self.brand is not None and batch.brand is not None:
            brand, kept = self.brand(batch.brand), self._kept(batch.brand)
            output = output + (brand if kept is None else brand * kept[:, None])
        if self.brand_number is not None and batch.brand is not None:
            output = output + self.brand_number(self.dropout(batch.brand[:, None].float()))
        if self.words is not None and batch.words is not None:
            output = output + self.words(batch.words, batch.offsets, per_sample_weights=self._kept(batch.words))
        if self.image is not None and batch.image is not None:
            output = output + self.image(self.dropout((batch.image - self.image_mean) / self.image_scale))
        return output

    def _forward_some(self, batch: Batch) -> torch.Tensor:
        """Do the same with some rows' inputs hidden."""
        shown, output = self._shown(batch), self.bias.expand(len(batch.codes), -1)
        if self.brand is not None and batch.brand is not None:
            brand, kept = self.brand(batch.brand), self._kept(batch.brand)
            output = output + (brand if kept is None else brand * kept[:, None]) * shown[0, :, None]
        if self.words is not None and batch.words is not None:
            words = self.words(batch.words, batch.offsets, per_sample_weights=self._kept(batch.words))
            output = output + words * shown[1, :, None]
        if self.image is not None and batch.image is not None:
            there = (batch.image != 0).any(dim=1) * shown[2]
            image = self.image(self.dropout((batch.image - self.image_mean) / self.image_scale))
            output = output + image * there[:, None]
        return output

    def _shown(self, batch: Batch) -> torch.Tensor:
        """Draw which of brand, words and photo are shown, shape (3, rows): all of them where all would be hidden."""
        inputs = torch.tensor([part is not None for part in (self.brand, self.words, self.image)])
        inputs, rows = inputs.to(batch.codes.device)[:, None], len(batch.codes)
        if not self.training:
            return inputs.expand(3, rows).float()
        shown = inputs & (torch.rand(3, rows, device=batch.codes.device) >= self.modality_dropout)
        return torch.where(shown.any(dim=0), shown, inputs).float()

    def _kept(self, indices: torch.Tensor) -> torch.Tensor | None:
        """Draw dropout's factor for each sparse input; None where nothing is left out."""
        dropout = self.dropout
        return dropout.factor(indices.shape, indices.device) if self.training and dropout.threshold else None


class MultitaskMLP(nn.Module):
    """One trunk of dense layers with ReLU and dropout, and a softmax for each level (paper, Figure 1).

    Parameters
    ----------
    input_layer : InputLayer
        The first hidden layer.
    class_counts : sequence of int
        Number of classes of each level.
    hidden_layers : int
        Number of hidden layers, the first included.
    dropout : float
        Dropout on every hidden layer.
    """

    def __init__(
        self, input_layer: InputLayer, class_counts: Sequence[int], hidden_layers: int, dropout: float
    ) -> None:
        super().__init__()
        hidden_size = len(input_layer.bias)
        self.input_layer = input_layer
        self.trunk = make_trunk(hidden_size, hidden_layers, dropout)
        self.class_counts = list(class_counts)
        self.heads = nn.Linear(hidden_size, sum(class_counts))
        for module in [*self.trunk, self.heads]:
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, batch: Batch) -> list[torch.Tensor]:
        """Return each level's logits, shapes (rows, classes)."""
        logits: torch.Tensor = self.heads(self.trunk(self.input_layer(batch)))
        return list(torch.split(logits, self.class_counts, dim=1))

    def loss(self, batch: Batch) -> torch.Tensor:
        """Return the sum over the levels of the mean cross-entropy."""
        return summed_cross_entropy(self(batch), batch.codes)

    def predict(self, batch: Batch) -> torch.Tensor:
        """Return the most probable class of each level, shape (rows, 3)."""
        return torch.stack([logits.argmax(dim=1) for logits in self(batch)], dim=1)


def make_trunk(hidden_size: int, hidden_layers: int, dropout: float) -> nn.Sequential:
    """Make what follows a first dense layer: ReLU and dropout, and the other hidden layers with theirs."""
    layers: list[nn.Module] = [nn.ReLU(), Dropout(dropout)]
    for _ in range(hidden_layers - 1):
        layers += [nn.Linear(hidden_size, hidden_size), nn.ReLU(), Dropout(dropout)]
    return nn.Sequential(*layers)


def summed_cross_entropy(logits: Sequence[torch.Tensor], codes: torch.Tensor) -> torch.Tensor:
    """Return the sum over the levels of the mean cross-entropy; `codes` has shape (rows, 3)."""
    losses = [nn.functional.cross_entropy(z, y) for z, y in zip(logits, codes.T, strict=True)]
    return torch.stack(losses).sum()


class Naive:
    """The plurality class of each level, whatever the product (paper, Figure 3)."""

    def fit(self, codes: np.ndarray, class_counts: Sequence[int]) -> "Naive":
        """Count the classes of training rows; `codes` has shape (rows, 3)."""
        self.counts = [np.bincount(y, minlength=n) for y, n in zip(codes.T, class_counts, strict=True)]
        return self

    def log_probabilities(self, rows: int) -> list[np.ndarray]:
        """Return for each level the classes' log frequencies (one added to each count), shapes (rows, classes)."""
        shares = [np.log((counts + 1) / (counts + 1).sum()) for counts in self.counts]
        return [np.tile(share.astype(np.float32), (rows, 1)) for share in shares]
