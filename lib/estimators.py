"""The variants' models behind one interface: fit a task, give log-probabilities for any rows, save what was learnt."""

from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import save_file as save_tensors

from lib import artifacts, config
from lib.data import load_catalogue_data, load_text
from lib.encode import Encoded, encode_for_linear, encode_for_network
from lib.fit import fit_network, log_probabilities
from lib.models import InputLayer, Linear, MultitaskMLP, Naive
from lib.runs import Run

Levels = list[np.ndarray]
"""One array of log-probabilities a level, shapes (rows, classes)."""


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

    def log_probabilities(self, rows: np.ndarray) -> Levels:
        """Return each level's log-probabilities for rows of the task's catalogue."""

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

    def log_probabilities(self, rows: np.ndarray) -> Levels:
        """Return the same frequencies for every row."""
        return self.model.log_probabilities(len(rows))

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
        data = load_catalogue_data(task.catalogue)
        sequences = load_text(task.catalogue, task.run.text) if "text" in self.variant.inputs else None
        words = artifacts.read_json(config.build_dir(task.catalogue, "text", "words.json"))
        self.X = encode_for_linear(data, sequences, words, self.variant.inputs, task.train_rows, self.variant.ngrams)
        self.model = Linear(self.variant.C, task.run.seed)
        self.model.fit(self.X[task.train_rows], data.codes[task.train_rows], data.class_counts)

    def log_probabilities(self, rows: np.ndarray) -> Levels:
        """Return the log softmax of the margins."""
        return self.model.log_probabilities(self.X[rows])

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
    """The multitask MLP."""

    def __init__(self, variant: config.MLPVariant) -> None:
        self.variant = variant

    def fit(self, task: Task) -> None:
        """Encode the inputs and train by the run's recipe."""
        params, data = config.load_params(), load_catalogue_data(task.catalogue)
        recipe, run = params.recipes[task.run.recipe], task.run
        sequences = load_text(task.catalogue, run.text) if "text" in self.variant.inputs else None
        self.catalogue = task.catalogue
        self.encoded = encode_for_network(
            data, sequences, self.variant.inputs, task.train_rows, params.text.max_bag_words
        )
        torch.manual_seed(run.seed)
        self.network = build_mlp(self.variant, recipe, self.encoded, data.class_counts)
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

    def log_probabilities(self, rows: np.ndarray) -> Levels:
        """Return the log softmax of the network's logits."""
        return log_probabilities(self.network, self.encoded.inputs, rows)

    def save(self, stem: Path) -> None:
        """Write the weights as safetensors, and beside them in JSON what the inputs were encoded with."""
        words = artifacts.read_json(config.build_dir(self.catalogue, "text", "words.json"))
        save_tensors(
            {name: tensor.contiguous() for name, tensor in self.network.state_dict().items()}, f"{stem}.safetensors"
        )
        vocabulary = [words[number] for number in self.encoded.vocabulary]
        encoding = {"brands": self.encoded.brands, "vocabulary": vocabulary}
        artifacts.write_json(stem.with_name(f"{stem.name}.json"), encoding)


def build_mlp(
    variant: config.MLPVariant, recipe: config.Recipe, encoded: Encoded, class_counts: list[int]
) -> MultitaskMLP:
    """Make an untrained network that fits a run's encoded inputs."""
    first = InputLayer(
        brands=len(encoded.brands),
        words=len(encoded.vocabulary),
        image_size=len(encoded.image_mean),
        hidden_size=variant.hidden_size,
        dropout=recipe.input_dropout,
    )
    if recipe.standardize_image:
        first.standardize(torch.from_numpy(encoded.image_mean), torch.from_numpy(encoded.image_scale))
    return MultitaskMLP(first, class_counts, variant.hidden_layers, recipe.hidden_dropout)
