"""The variants' models behind one interface: fit a task, give log-probabilities for any rows, save what was learnt."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import save_file as save_tensors

from lib import artifacts, config
from lib.chains import Chain
from lib.data import load_catalogue_data, load_text
from lib.encode import encode_for_linear, encode_for_network
from lib.evaluate import Decoded
from lib.fit import fit_network
from lib.models import Linear, Naive
from lib.networks import NetworkVariant, build_network
from lib.predict import chain_predictions, log_probabilities
from lib.runs import Run
from lib.text import load_words

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

    def predict(self, rows: np.ndarray) -> Predictions:
        """Predict rows of the task's catalogue."""

    def save(self, stem: Path) -> None:
        """Write what was learnt to files that begin with `stem`."""


def make_estimator(variant: config.Variant) -> Estimator:
    """Return the untrained model of a variant."""
    if isinstance(variant, config.NaiveVariant):
        return NaiveEstimator()
    if isinstance(variant, config.LinearVariant):
        return LinearEstimator(variant)
    return NetworkEstimator(variant)


class NaiveEstimator:
    """The plurality class."""

    def fit(self, task: Task) -> None:
        """Count the classes."""
        data = load_catalogue_data(task.catalogue)
        self.model = Naive().fit(data.codes[task.train_rows], data.class_counts)

    def predict(self, rows: np.ndarray) -> Predictions:
        """Return the same frequencies for every row."""
        return Predictions(self.model.log_probabilities(len(rows)))

    def save(self, stem: Path) -> None:
        """Write the classes' counts."""
        counts = {f"counts_{level}": array for level, array in enumerate(self.model.counts)}
        save_arrays(counts, f"{stem}.safetensors")


class LinearEstimator:
    """TF-IDF, one-hot brand, and a linear support vector machine a level."""

    def __init__(self, variant: config.LinearVariant) -> None:
        self.variant = variant

    def fit(self, task: Task) -> None:
        """Fit the encoders and the machines."""
        data, stop_words = load_catalogue_data(task.catalogue), config.load_params().text.stop_words
        reads_text = "text" in self.variant.inputs
        sequences = load_text(task.catalogue, task.run.text, stop_words) if reads_text else None
        words = load_words(task.catalogue)
        self.X = encode_for_linear(data, sequences, words, self.variant.inputs, task.train_rows, self.variant.ngrams)
        self.model = Linear(self.variant.C, task.run.seed)
        self.model.fit(self.X[task.train_rows], data.codes[task.train_rows], data.class_counts)

    def predict(self, rows: np.ndarray) -> Predictions:
        """Return the log softmax of the margins."""
        return Predictions(self.model.log_probabilities(self.X[rows]))

    def save(self, stem: Path) -> None:
        """Write each level's coefficients in single precision."""
        arrays = {}
        for level, machine in enumerate(self.model.machines):
            if not isinstance(machine, int):
                arrays[f"coef_{level}"] = machine.coef_.astype(np.float32)
                arrays[f"intercept_{level}"] = machine.intercept_.astype(np.float32)
                arrays[f"classes_{level}"] = machine.classes_.astype(np.int16)
        save_arrays(arrays, f"{stem}.safetensors")


class NetworkEstimator:
    """Any network that gradient descent trains."""

    def __init__(self, variant: NetworkVariant) -> None:
        self.variant = variant

    def fit(self, task: Task) -> None:
        """Encode the inputs and train by the run's recipe."""
        params, data = config.load_params(), load_catalogue_data(task.catalogue)
        recipe, run = params.recipes[task.run.recipe], task.run
        stop_words, reads_text = recipe.stop_words or params.text.stop_words, "text" in self.variant.inputs
        sequences = load_text(task.catalogue, run.text, stop_words) if reads_text else None
        self.catalogue = task.catalogue
        recurrent = isinstance(self.variant, config.RecurrentVariant)
        words = params.text.max_sequence_words if recurrent else params.text.max_bag_words
        length = params.text.sequence_length if recurrent else None
        self.encoded = encode_for_network(data, sequences, self.variant.inputs, task.train_rows, words, length)
        torch.manual_seed(run.seed)
        self.network = build_network(self.variant, recipe, self.encoded, data.class_counts)
        fit_network(
            self.network,
            self.encoded.inputs,
            task.train_rows,
            task.validation_rows,
            recipe,
            run.seed,
            params.accelerator,
            task.checkpoint_dir,
        )

    def predict(self, rows: np.ndarray) -> Predictions:
        """Return the log softmax of the network's logits, and the paths that a chain decodes."""
        network, inputs, variant = self.network, self.encoded.inputs, self.variant
        if isinstance(network, Chain):
            assert isinstance(variant, config.ChainVariant)
            return Predictions(*chain_predictions(network, inputs, rows, variant.decodings, variant.beam_width))
        return Predictions(log_probabilities(network, inputs, rows))

    def save(self, stem: Path) -> None:
        """Write the weights as safetensors, and beside them in JSON what the inputs were encoded with."""
        words = load_words(self.catalogue)
        save_tensors(
            {name: tensor.contiguous() for name, tensor in self.network.state_dict().items()}, f"{stem}.safetensors"
        )
        vocabulary = [words[number] for number in self.encoded.vocabulary]
        encoding = {"brands": self.encoded.brands, "vocabulary": vocabulary}
        artifacts.write_json(stem.with_name(f"{stem.name}.json"), encoding)
