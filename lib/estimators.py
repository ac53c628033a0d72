"""The variants' models behind one interface: fit a task, give log-probabilities for any rows, save what was learnt."""

from collections.abc import Collection, Mapping
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
from lib.data import CatalogueData, load_catalogue_data, load_ngrams, load_text
from lib.encode import encode_dense, encode_for_linear, encode_for_network
from lib.evaluate import Decoded
from lib.fit import fit_network
from lib.fusion import fit_path_weights, fit_weights, input_sets, path_numbers, pool, pool_paths
from lib.linear import Linear, SoftmaxRegression
from lib.models import Naive
from lib.networks import NetworkVariant, build_network
from lib.predict import chain_predictions, log_probabilities
from lib.runs import Run
from lib.splits import tuning_rows
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

    def predict(self, rows: np.ndarray, hidden: Collection[config.Input] = ()) -> Predictions:
        """Predict rows of the task's catalogue, as if they lacked the inputs that are to be hidden."""

    def save(self, stem: Path) -> None:
        """Write what was learnt to files that begin with `stem`."""


def make_estimator(variant: config.Variant) -> Estimator:
    """Return the untrained model of a variant."""
    if isinstance(variant, config.NaiveVariant):
        return NaiveEstimator()
    if isinstance(variant, config.LinearVariant):
        return LinearEstimator(variant)
    if isinstance(variant, config.LinearImageVariant):
        return LinearImageEstimator(variant)
    if isinstance(variant, config.FusionVariant):
        return FusionEstimator(variant)
    if isinstance(variant, config.PathFusionVariant):
        return PathFusionEstimator(variant)
    return NetworkEstimator(variant)


class NaiveEstimator:
    """The plurality class."""

    def fit(self, task: Task) -> None:
        """Count the classes."""
        data = load_catalogue_data(task.catalogue)
        self.model = Naive().fit(data.codes[task.train_rows], data.class_counts)

    def predict(self, rows: np.ndarray, hidden: Collection[config.Input] = ()) -> Predictions:
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
        data, variant, ngrams = load_catalogue_data(task.catalogue), self.variant, None
        if "text" in variant.inputs:
            stop_words = config.load_params().text.stop_words
            ngrams = load_ngrams(task.catalogue, task.run.text, stop_words, variant.ngrams)
        self.catalogue = task.catalogue
        self.encoded = encode_for_linear(data, ngrams, variant.inputs, task.train_rows, variant.min_rows)
        self.model = Linear(variant.C, task.run.seed)
        self.model.fit(self.encoded.X[task.train_rows], data.codes[task.train_rows], data.class_counts)

    def predict(self, rows: np.ndarray, hidden: Collection[config.Input] = ()) -> Predictions:
        """Return the log softmax of the margins."""
        X, ngrams = self.encoded.X[rows], len(self.encoded.words)
        if "text" in hidden:
            X.data[X.indices < ngrams] = 0
        if "brand" in hidden:
            X.data[X.indices >= ngrams] = 0
        return Predictions(self.model.log_probabilities(X))

    def save(self, stem: Path) -> None:
        """Write each level's coefficients in single precision, and in JSON their columns: n-grams, then brands."""
        arrays, only = {"idf": self.encoded.idf}, {}
        for level, machine in enumerate(self.model.machines):
            if isinstance(machine, int):
                only[str(level)] = machine
            else:
                arrays[f"coef_{level}"] = np.ascontiguousarray(machine.coef_, np.float32)  # it was columns first
                arrays[f"intercept_{level}"] = machine.intercept_.astype(np.float32)
                arrays[f"classes_{level}"] = machine.classes_.astype(np.int16)
        save_arrays(arrays, f"{stem}.safetensors")
        words = load_words(self.catalogue)
        ngrams = [" ".join(words[word] for word in ngram if word >= 0) for ngram in self.encoded.words.tolist()]
        artifacts.write_json(
            stem.with_name(f"{stem.name}.json"), {"brands": self.encoded.brands, "ngrams": ngrams, "only_class": only}
        )


class LinearImageEstimator:
    """Standardised image vector, one-hot brand, and a softmax regression a level."""

    def __init__(self, variant: config.LinearImageVariant) -> None:
        self.variant = variant

    def fit(self, task: Task) -> None:
        """Fit the encoders and the regressions; validation rows say when to stop."""
        data, train, validation = load_catalogue_data(task.catalogue), task.train_rows, task.validation_rows
        self.encoded = encode_dense(data, self.variant.inputs, train)
        self.model = SoftmaxRegression(self.variant.ridges, self.variant.max_steps)
        self.model.fit(
            self.encoded.rows(train),
            data.codes[train],
            data.class_counts,
            self.encoded.rows(validation),
            data.codes[validation],
        )

    def predict(self, rows: np.ndarray, hidden: Collection[config.Input] = ()) -> Predictions:
        """Return the log-probabilities."""
        X, features = self.encoded.rows(rows), self.encoded.image.shape[1]
        if "image" in hidden:
            X[:, :features] = 0
        if "brand" in hidden:
            X[:, features:] = 0
        return Predictions(self.model.log_probabilities(X))

    def save(self, stem: Path) -> None:
        """Write the coefficients, the image features' statistics, and in JSON the brands, which follow the features."""
        encoded, model = self.encoded, self.model
        arrays = {
            "weights": np.ascontiguousarray(model.weights),
            "bias": model.bias,
            "image_mean": encoded.mean,
            "image_scale": encoded.scale,
        }
        save_arrays(arrays, f"{stem}.safetensors")
        artifacts.write_json(stem.with_name(f"{stem.name}.json"), {"brands": encoded.brands})


class FusionEstimator:
    """Other estimators, and how much each counts."""

    def __init__(self, variant: config.FusionVariant) -> None:
        self.parts = {name: make_estimator(part) for name, part in variant.of.items()}

    def fit(self, task: Task) -> None:
        """Fit each part on the training rows, then each level's weights on the validation rows."""
        _fit_parts(self.parts, task)
        codes = load_catalogue_data(task.catalogue).codes[task.validation_rows]
        said = self._said(task.validation_rows)
        self.weights = [fit_weights(parts, y) for parts, y in zip(said, codes.T, strict=True)]

    def predict(self, rows: np.ndarray, hidden: Collection[config.Input] = ()) -> Predictions:
        """Return the pooled log-probabilities."""
        return Predictions([pool(parts, w) for parts, w in zip(self._said(rows, hidden), self.weights, strict=True)])

    def _said(self, rows: np.ndarray, hidden: Collection[config.Input] = ()) -> list[Levels]:
        """Return for each level what the parts say of it."""
        said = (part.predict(rows, hidden).levels for part in self.parts.values())
        return [list(level) for level in zip(*said, strict=True)]

    def save(self, stem: Path) -> None:
        """Write each part to files of its own, whose names it begins, and each level's weights in JSON."""
        for name, part in self.parts.items():
            part.save(stem.with_name(f"{name}-{stem.name}"))
        weights = [dict(zip(self.parts, level.tolist(), strict=True)) for level in self.weights]
        artifacts.write_json(stem.with_name(f"{stem.name}.json"), {"weights": weights})


class PathFusionEstimator:
    """Other estimators, and how much each counts in a path, for each set of inputs that a product may have."""

    def __init__(self, variant: config.PathFusionVariant) -> None:
        self.variant, self.parts = variant, {name: make_estimator(part) for name, part in variant.of.items()}

    def fit(self, task: Task) -> None:
        """Fit each part on the training rows, then the weights on the tuning part of the validation rows.

        For each set of inputs they are fitted on the rows that have all of them, with the others hidden.
        """
        data, held = load_catalogue_data(task.catalogue), task.validation_rows
        tuning = held[tuning_rows(data.products, held, self.variant.tuning_share)]
        self.task = task._replace(validation_rows=tuning if len(tuning) else held)
        _fit_parts(self.parts, self.task)
        tuning = self.task.validation_rows
        paths = np.unique(data.paths, axis=0)
        truth, present = path_numbers(data.codes[tuning], paths), self._present(data, tuning)
        self.weights = {}
        for inputs in input_sets(self.variant.inputs):
            rows = np.logical_and.reduce([present[name] for name in inputs] or [np.ones(len(tuning), bool)])
            hidden = set(self.variant.inputs) - set(inputs)
            said = [part.predict(tuning[rows], hidden).levels for part in self.parts.values()] if rows.any() else []
            neutral = np.ones((len(self.parts), len(config.LEVELS)))
            self.weights[inputs] = fit_path_weights(said, paths, truth[rows]) if said else neutral

    def predict(self, rows: np.ndarray, hidden: Collection[config.Input] = ()) -> Predictions:
        """Return each level's share in the path's score, as log-probabilities: a path's score is the sum of its three.

        They are not the probabilities of the level's classes: only the softmax of sums over valid paths is one.
        """
        present = self._present(load_catalogue_data(self.task.catalogue), rows)
        there = {name: present[name] & (name not in hidden) for name in self.variant.inputs}
        said = [part.predict(rows, hidden).levels for part in self.parts.values()]
        return Predictions(pool_paths(said, there, self.weights))

    def _present(self, data: CatalogueData, rows: np.ndarray) -> dict[config.Input, np.ndarray]:
        """Say which rows have an input: a brand that training rows have, a word, a photo."""
        brands = data.products["brand"]
        found: dict[config.Input, np.ndarray] = {}
        if "brand" in self.variant.inputs:
            known = brands.iloc[self.task.train_rows]
            found["brand"] = brands.iloc[rows].isin(known[known != ""]).to_numpy()
        if "text" in self.variant.inputs:
            stop_words = config.load_params().text.stop_words
            found["text"] = np.diff(load_text(self.task.catalogue, self.task.run.text, stop_words).indptr)[rows] > 0
        if "image" in self.variant.inputs:
            found["image"] = data.image[rows].any(axis=1)
        return found

    def save(self, stem: Path) -> None:
        """Write each part to files of its own, whose names it begins, and in JSON the weights of each set of inputs."""
        for name, part in self.parts.items():
            part.save(stem.with_name(f"{name}-{stem.name}"))
        weights = {
            "+".join(inputs): dict(zip(self.parts, table.tolist(), strict=True))
            for inputs, table in self.weights.items()
        }
        artifacts.write_json(stem.with_name(f"{stem.name}.json"), {"weights": weights})


def _fit_parts(parts: Mapping[str, Estimator], task: Task) -> None:
    """Fit each part, with a folder of its own for checkpoints."""
    for name, part in parts.items():
        folder = task.checkpoint_dir
        part.fit(task._replace(checkpoint_dir=None if folder is None else folder / name))


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

    def predict(self, rows: np.ndarray, hidden: Collection[config.Input] = ()) -> Predictions:
        """Return the log softmax of the network's logits, and the paths that a chain decodes."""
        network, inputs, variant = self.network, self.encoded.inputs.without(hidden), self.variant
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
