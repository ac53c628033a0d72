"""The experiment grid: which runs a variant has."""

from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np

from lib import config

NO_RECIPE = "none"
"""What the results call the recipe of a model that is not trained by gradient descent."""


@dataclass(frozen=True, order=True)
class Run:
    """One fit of one variant.

    Attributes
    ----------
    size : int or 'all'
        Rows to fit on.
    seed : int
        Draws the rows of a training size, the initial weights and the order of batches.
    """

    recipe: str
    text: config.Text
    split: config.Split
    size: int | Literal["all"]
    seed: int

    def key(self, train_size: int | str) -> str:
        """Name the run's files by the number of rows it was really fitted on.

        >>> Run("tuned", "masked", "random", "all", 0).key(30000)
        'tuned-masked-random-30000-0'
        """
        return f"{self.recipe}-{self.text}-{self.split}-{train_size}-{self.seed}"


def has_photos(catalogue: str) -> bool:
    """Tell whether any product has a photo that can be used: without one, the `image` stage leaves no columns."""
    path = config.build_dir(catalogue, "image", "features.npy")
    return not path.exists() or np.load(path, mmap_mode="r").shape[1] > 0


def study_of(catalogue: str) -> config.Params:
    """Return `params.yaml` as it holds for a catalogue: without what needs photos, or vectors, that it lacks."""
    also = config.load_catalogue(catalogue).image.also
    params = config.load_params().with_columns(f"image/{name}" for name in also)
    return params if has_photos(catalogue) else params.without("image")


def grid(name: str, params: config.Params, catalogue: str) -> list[Run]:
    """List a variant's runs in the experiments of a catalogue, largest training sizes first.

    What cannot differ is run once: a model without a recipe once for all recipes, a variant that reads no text once
    for both texts, and a model that has no chance in it once for all seeds where the seed draws no rows either.
    """
    variant, facts, found = config.get_variant(params, name), config.load_catalogue(catalogue), set()
    lines = [line for experiment in config.experiments(catalogue, params) for line in params.runs.get(experiment, [])]
    for line in (line for line in lines if line.variants is None or name in line.variants):
        recipes = line.recipes if has_recipe(variant) else [NO_RECIPE]
        text: config.Text = line.text if "text" in variant.inputs else "masked"
        for recipe, split, size in product(recipes, line.splits, _sizes(line, facts)):
            has_chance = size != "all" or recipe != NO_RECIPE
            seeds = min(line.seeds or facts.seeds, facts.seeds) if has_chance else 1
            found |= {Run(recipe, text, split, size, seed) for seed in range(seeds)}
    return sorted(found, key=lambda run: (-rows_of(run.size), run.recipe, run.text, run.split, run.seed))


def has_recipe(variant: config.Variant) -> bool:
    """Tell whether gradient descent trains a model, or a part of it."""
    parts = variant.of.values() if isinstance(variant, config.PartsVariant) else ()
    return isinstance(variant, config.NetworkVariant) or any(map(has_recipe, parts))


def _sizes(line: config.Runs, catalogue: config.Catalogue) -> list[int | Literal["all"]]:
    """Return the training sizes that a line of the grid asks for."""
    *smaller, largest = sizes = sorted(catalogue.train_sizes, key=rows_of)
    chosen = {
        "each": sizes,
        "smaller": smaller,
        "smallest": sizes[:1],
        "second_smallest": smaller[:2][-1:] or sizes,  # with two sizes the smallest
        "second_largest": smaller[-1:] or sizes,
        "largest": [largest],
    }
    return chosen[line.train_sizes]


def rows_of(size: int | str) -> float:
    """Return a training size as a number to sort by: `all` is the largest."""
    return float("inf") if size == "all" else float(size)
