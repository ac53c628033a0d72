"""What all models share: fit, predict, save; and the two layers' worth of arithmetic that all networks share."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from safetensors.numpy import load_file, save_file
from torch import nn

from lib import config, files
from lib.models.inputs import ENCODERS, Batch, Products, Vectors

FORMAT = 2
"""Of a saved model's folder."""

SETTINGS, ARRAYS = "model.json", "model.safetensors"

Level = npt.NDArray[Any]
Codes = npt.NDArray[np.integer]


class Predictions(NamedTuple):
    """What a model says of some rows.

    Attributes
    ----------
    levels : list of float arrays, shapes (rows, classes)
        Log-probabilities of each level.
    decoded : dict
        Paths that a chain decoded by itself, best first: decoding -> int16 codes, shape (rows, paths, 3); and
        `DECODING_scores` -> float16 log-probability of each class given the one before it; their sum is the path's.
    """

    levels: list[Level]
    decoded: Mapping[str, npt.NDArray[Any]] = MappingProxyType({})


@dataclass(frozen=True)
class Settings:
    """All that a model is told before it is fitted.

    Attributes
    ----------
    variant, recipe, text
        As in `params.yaml`; no recipe where gradient descent trains no part of the model.
    class_counts : list of int
        Classes of each level.
    paths : int array, shape (valid paths, 3), or None
        Only a fusion of whole paths asks for them, when it is fitted.
    accelerator : str
        What networks are trained on, by Lightning's name. They predict on the processor.
    """

    variant: config.Variant
    recipe: config.Recipe | None
    text: config.TextParams
    class_counts: list[int]
    paths: Codes | None = None
    accelerator: str = "cpu"

    @property
    def stop_words(self) -> config.StopWords:
        """The recipe's choice where a network is trained by a recipe that makes one, and else the study's."""
        return (self.recipe and self.recipe.stop_words) or self.text.stop_words


class Task(NamedTuple):
    """What to fit on.

    Attributes
    ----------
    products, held : Products
        To learn from; and validation products, which choose when to stop, and how much each part of a fusion counts.
        There may be none of the latter.
    codes, held_codes : int arrays, shape (rows, 3)
        True classes.
    seed : int
        Draws initial weights, and the order of batches.
    tuning : bool array, shape (validation rows,), or None
        Which of them a fusion of whole paths may use (`lib.clean.splits.tuning_rows`); the others it never sees.
    checkpoints : Path or None
        Where a long fit keeps its last checkpoint, to go on from to the same result.
    """

    products: Products
    codes: Codes
    held: Products
    held_codes: Codes
    seed: int
    tuning: npt.NDArray[np.bool_] | None = None
    checkpoints: Path | None = None


def make_encoders(settings: Settings) -> dict[str, Any]:
    """Return how a perceptron reads each of a variant's columns."""
    text, stop_words, columns = settings.text, settings.stop_words, config.columns_of(settings.variant)
    found = {name: make(text, stop_words) for name, make in ENCODERS.items() if name in columns}
    return found | {name: Vectors(name) for name in columns if name not in found}


class Model(ABC):
    """A variant's model: what the study trains, and what a tagger loads.

    Attributes
    ----------
    settings : Settings
    learnt : tuple of str
        The attributes that hold what it learnt: arrays, which are saved as safetensors, and everything else, which is
        saved as JSON.
    pieces : dict
        Name -> what learns beside it, such as an encoder, with a `learnt` of its own.
    parts : dict
        Name -> model, of a fusion.
    history : list of dict
        How the training of its networks went (`lib.training.loop.fit_network`), by `part` of a fusion. It is not saved.
    """

    learnt: tuple[str, ...] = ()

    def __init__(self, settings: Settings, parts: Mapping[str, "Model"] = MappingProxyType({})) -> None:
        self.settings, self.parts = settings, dict(parts)
        self.pieces: dict[str, Any] = {}
        self.history: list[dict[str, Any]] = []

    @abstractmethod
    def fit(self, task: Task) -> None:
        """Learn from training products."""

    @abstractmethod
    def _predict(self, products: Products) -> Predictions: ...

    def predict(self, products: Products, hidden: Collection[config.Input] = ()) -> Predictions:
        """Predict products, as if they lacked the inputs that are to be hidden."""
        if not len(products):
            return Predictions([np.empty((0, classes), np.float32) for classes in self.settings.class_counts])
        return self._predict(products.without(hidden))

    def known(self, name: config.Input) -> set[str]:
        """Return the categories of an input, such as the brands, that the model, or a part of it, knows."""
        own: list[str] = getattr(self.pieces.get(name), "values", [])
        return set(own).union(*(part.known(name) for part in self.parts.values()))

    def save(self, folder: Path) -> None:
        """Write the model to a folder of its own, whole or not at all; each part of a fusion has one within."""
        with files.whole(folder) as partial:
            self._write(partial)

    def _write(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        state = self._state()
        arrays = {name: np.ascontiguousarray(value) for name, value in state.items() if isinstance(value, np.ndarray)}
        settings = {
            "format": FORMAT,
            "variant": self.settings.variant.model_dump(),
            "recipe": self.settings.recipe and self.settings.recipe.model_dump(),
            "text": self.settings.text.model_dump(),
            "class_counts": self.settings.class_counts,
            "parts": list(self.parts),
            "learnt": {name: value for name, value in state.items() if name not in arrays},
        }
        files.write_json(folder / SETTINGS, settings)
        save_file(arrays, folder / ARRAYS)
        for name, part in self.parts.items():
            part._write(folder / name)

    def read(self, folder: Path, learnt: Mapping[str, Any]) -> None:
        """Take over what a fitted model of these settings learnt; its parts are there already."""
        self._restore({**learnt, **load_file(files.existing(folder / ARRAYS))})

    def _state(self) -> dict[str, Any]:
        """Return all that was learnt, by names that are parted by dots."""
        pieces = {**self.pieces, "model": self}.items()
        return {f"{name}.{key}": getattr(piece, key) for name, piece in pieces for key in piece.learnt}

    def _restore(self, state: dict[str, Any]) -> None:
        for name, piece in {**self.pieces, "model": self}.items():
            for key in piece.learnt:
                setattr(piece, key, state[f"{name}.{key}"])


class Network(nn.Module, ABC):
    """A network: how it is made, its loss, and what it says of rows. `forward` returns logits, shapes (rows, classes).

    Parameters
    ----------
    settings : Settings
    encoders : dict
        Input -> its fitted encoder.
    """

    rows_at_once = 4096
    """Rows that go through it at once when nothing is learnt."""

    make_encoders: Callable[[Settings], dict[str, Any]] = staticmethod(make_encoders)
    """Returns what is to be fitted on training products, by input."""

    @abstractmethod
    def __init__(self, settings: Settings, encoders: Mapping[str, Any]) -> None:
        super().__init__()
        self.class_counts = settings.class_counts

    def loss(self, batch: Batch) -> torch.Tensor:
        """Return what training minimises."""
        return summed_cross_entropy(self(batch), batch.codes)

    def predict(self, batch: Batch) -> torch.Tensor:
        """Return the most probable class of each level, shape (rows, 3)."""
        return torch.stack([logits.argmax(dim=1) for logits in self(batch)], dim=1)

    def read(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Return each level's log-probabilities, by its number, and what a chain decoded (`Predictions.decoded`)."""
        return {str(level): nn.functional.log_softmax(logits, dim=1) for level, logits in enumerate(self(batch))}


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
        factor = self.factor(x)
        return x if factor is None else x * factor

    def factor(self, x: torch.Tensor) -> torch.Tensor | None:
        """Draw what each element is multiplied with: 0, or 1 / (1 - p). None where nothing is left out."""
        if not (self.training and self.threshold):
            return None
        count = x.shape.numel()
        draws = torch.empty((count + 7) // 8, dtype=torch.int64, device=x.device).random_(-(2**63), None)
        kept = draws.view(torch.uint8)[:count].view(x.shape) >= self.threshold
        return kept * (256 / (256 - self.threshold))


def summed_cross_entropy(logits: Sequence[torch.Tensor], codes: torch.Tensor) -> torch.Tensor:
    """Return the sum over the levels of the mean cross-entropy; `codes` has shape (rows, 3)."""
    losses = [nn.functional.cross_entropy(z, y) for z, y in zip(logits, codes.T, strict=True)]
    return torch.stack(losses).sum()
