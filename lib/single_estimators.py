"""The variants' own models, each of one kind: plurality, linear, and networks."""

from collections.abc import Collection
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import save_file as save_tensors

from lib import artifacts, config
from lib.chains import Chain
from lib.data import load_catalogue_data, load_ngrams, load_text
from lib.encode import encode_dense, encode_for_linear, encode_for_network
from lib.fit import fit_network
from lib.linear import Linear, SoftmaxRegression
from lib.models import Naive
from lib.networks import NetworkVariant, build_network
from lib.predict import chain_predictions, log_probabilities
from lib.tasks import Predictions, Task
from lib.text import load_words


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
