"""Estimators that are made of others, each fitted by itself: late fusion by level, and by path."""

from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np

from lib import artifacts, config
from lib.data import CatalogueData, load_catalogue_data, load_text
from lib.fusion import fit_path_weights, fit_weights, input_sets, path_numbers, pool, pool_paths
from lib.splits import tuning_rows
from lib.tasks import Estimator, Levels, Predictions, Task


class FusionEstimator:
    """Other estimators, and how much each counts."""

    def __init__(self, parts: Mapping[str, Estimator]) -> None:
        self.parts = parts

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

    def __init__(self, variant: config.PathFusionVariant, parts: Mapping[str, Estimator]) -> None:
        self.variant, self.parts = variant, parts

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
