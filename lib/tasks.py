"""What every model of a variant can do: fit a task, give log-probabilities for any rows, save what was learnt."""

from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from lib import config
from lib.evaluate import Decoded
from lib.runs import Run

Levels = list[npt.NDArray[Any]]
"""One array of log-probabilities a level, shapes (rows, classes)."""


class Predictions(NamedTuple):
    """What a model says of some rows.

    Attributes
    ----------
    levels : Levels
    decoded : dict
        Decoding -> paths; empty unless the model is a chain.
    """

    levels: Levels
    decoded: Mapping[config.Decoding, Decoded] = MappingProxyType({})


class Task(NamedTuple):
    """What to fit on: row numbers of a catalogue, and where a long fit may keep its checkpoints."""

    catalogue: str
    run: Run
    train_rows: np.ndarray
    validation_rows: np.ndarray
    checkpoint_dir: Path | None = None


class Estimator(Protocol):
    """What every variant can do."""

    def fit(self, task: Task) -> None:
        """Learn from the task's training rows."""

    def predict(self, rows: np.ndarray, hidden: Collection[config.Input] = ()) -> Predictions:
        """Predict rows of the task's catalogue, as if they lacked the inputs that are to be hidden."""

    def save(self, stem: Path) -> None:
        """Write what was learnt to files that begin with `stem`."""
