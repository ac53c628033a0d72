"""What trained models say of rows that they did not learn from, read from `build/NAME/predictions/` over all seeds."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from lib.artifacts import existing, read_json
from lib.config import LEVELS, PathFusionVariant, build_dir, load_params
from lib.errors import StudyError
from lib.evaluate import independent, valid_path
from lib.pairs import main_recipes
from lib.runs import Run

Part = Literal["test", "validation"]


class Model(NamedTuple):
    """A variant as it was trained; its seeds are one model."""

    variant: str
    recipe: str
    text: str
    split: str
    train_size: int


@dataclass(frozen=True)
class HeldOut:
    """One part of a split as a model sees it.

    Attributes
    ----------
    seeds
        The training seeds, ascending.
    rows
        int32 (rows,): row numbers of `clean/products.parquet`, ascending, the same for every seed.
    levels
        For each seed, one float16 array (rows, classes) a level: log-probabilities.
    paths
        The valid paths, (paths, 3), if the model answers no other.
    """

    seeds: tuple[int, ...]
    rows: npt.NDArray[np.int32]
    levels: tuple[tuple[npt.NDArray[np.float16], ...], ...]
    paths: npt.NDArray[np.integer] | None = None

    @property
    def predicted(self) -> npt.NDArray[np.int16]:
        """The most probable class of each level, or of whole paths the best valid one: int16 (seeds, rows, 3)."""
        return np.stack(
            [independent(levels) if self.paths is None else valid_path(levels, self.paths) for levels in self.levels]
        )

    def mean_probabilities(self) -> list[npt.NDArray[np.float64]]:
        """Return each level's probabilities, float64 (rows, classes), averaged over the seeds; rows sum to 1."""
        means = []
        for arrays in zip(*self.levels, strict=True):
            total = np.mean([np.exp(array.astype(np.float64)) for array in arrays], axis=0)
            means.append(total / total.sum(axis=1, keepdims=True))
        return means


def main_models(results: pd.DataFrame) -> list[Model]:
    """List the models of the main experiment (the first line of `runs`), at the largest size of each split.

    A variant that was not trained with all rows of a split is not among that split's models.

    Parameters
    ----------
    results
        The table of `results.csv`.
    """
    rows = main_rows(results)
    rows = rows[rows["train_size"] == rows.groupby("split")["train_size"].transform("max")]
    keys = rows[list(Model._fields)].drop_duplicates()
    return [Model(*key) for key in keys.itertuples(index=False, name=None)]


def main_rows(results: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the main experiment: each variant's recipe in it, and its text if the variant reads any."""
    params = load_params()
    main = params.runs[0]
    reads_text = results["variant"].map({name: "text" in v.inputs for name, v in params.variants.items()})
    text = np.where(reads_text.fillna(False).astype(bool), main.text, "masked")
    recipes = main_recipes(zip(results["variant"], results["recipe"], strict=True), main.recipe)
    return results[(results["recipe"] == results["variant"].map(recipes)) & (results["text"] == text)]


def seeds_of(model: Model, results: pd.DataFrame) -> list[int]:
    """Return the seeds with which a model was trained, ascending."""
    rows = results[(results[list(Model._fields)] == list(model)).all(axis=1)]
    return sorted(rows["seed"].unique().tolist())


def read_held_out(catalogue: str, model: Model, seeds: list[int], part: Part) -> HeldOut:
    """Read what a model says of the rows of one part that all its seeds held out.

    Raises
    ------
    StudyError
        If predictions are missing or lack an array.
    """
    found = [_read(catalogue, model, seed, part) for seed in seeds]
    rows = reduce(np.intersect1d, [np.sort(of) for of, _ in found])
    levels = tuple(tuple(array[_places(rows, of)] for array in arrays) for of, arrays in found)
    return HeldOut(tuple(seeds), rows, levels, _paths(catalogue, model))


def _paths(catalogue: str, model: Model) -> npt.NDArray[np.integer] | None:
    """Return the valid paths if the model answers whole paths."""
    if not isinstance(load_params().variants[model.variant], PathFusionVariant):
        return None
    return np.array(read_json(build_dir(catalogue, "clean", "taxonomy.json"))["paths"], np.int16)


def _places(rows: npt.NDArray[np.int32], of: npt.NDArray[np.int32]) -> npt.NDArray[np.intp]:
    """Say where in `of` each of some rows stands; validation rows are in the order of a seed's draw."""
    order = np.argsort(of)
    places: npt.NDArray[np.intp] = order[np.searchsorted(of, rows, sorter=order)]
    return places


def brands_seen(catalogue: str, model: Model, seeds: list[int], brands: "pd.Series[str]") -> Iterator[set[str]]:
    """Yield for each seed the brands of the rows that it was trained on."""
    for seed in seeds:
        with np.load(_path(catalogue, model, seed), allow_pickle=False) as file:
            yield set(brands.to_numpy()[file["train_rows"]])


def _read(
    catalogue: str, model: Model, seed: int, part: Part
) -> tuple[npt.NDArray[np.int32], list[npt.NDArray[np.float16]]]:
    path = _path(catalogue, model, seed)
    try:
        with np.load(path, allow_pickle=False) as file:
            return file[f"{part}_rows"], [file[f"{part}_{level}"] for level in range(len(LEVELS))]
    except KeyError as error:
        raise StudyError(f"{path} lacks an array: {error}. Run `dvc repro` to make it again.") from error


def _path(catalogue: str, model: Model, seed: int) -> Path:
    run = Run(model.recipe, model.text, model.split, model.train_size, seed)  # type: ignore[arg-type]
    return existing(build_dir(catalogue, "predictions", model.variant, f"{run.key(model.train_size)}.npz"))
