"""The experiment grid: which runs a variant has."""

from dataclasses import dataclass
from typing import Literal

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

    def key(self, train_size: int) -> str:
        """Name the run's files by the number of rows it was really fitted on.

        >>> Run("tuned", "masked", "random", "all", 0).key(30000)
        'tuned-masked-random-30000-0'
        """
        return f"{self.recipe}-{self.text}-{self.split}-{train_size}-{self.seed}"


def grid(name: str, params: config.Params, catalogue: str) -> list[Run]:
    """List a variant's runs in the experiments of a catalogue, largest training sizes first.

    What cannot differ is run once: a model without a recipe once for all recipes, a variant that reads no text once
    for both texts, and a model that has no chance in it once for all seeds where the seed draws no rows either.
    """
    variant, facts = config.get_variant(params, name), config.load_catalogue(catalogue)
    found = {
        Run(recipe if has_recipe(variant) else NO_RECIPE, _text(variant, line), split, size, seed)
        for experiment in config.experiments(catalogue, params)
        for line in params.runs.get(experiment, [])
        if line.variants is None or name in line.variants
        for recipe in line.recipes
        for split in line.splits
        for size in _sizes(line, facts)
        for seed in range(_seeds(variant, line, size, facts))
    }
    return sorted(found, key=lambda run: (-rows_of(run.size), run.recipe, run.text, run.split, run.seed))


def has_recipe(variant: config.Variant) -> bool:
    """Tell whether gradient descent trains a model, or a part of it."""
    if isinstance(variant, config.PartsVariant):
        return any(map(has_recipe, variant.of.values()))
    return not isinstance(variant, config.NaiveVariant | config.LinearVariant | config.LinearImageVariant)


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


def _seeds(variant: config.Variant, line: config.Runs, size: int | str, catalogue: config.Catalogue) -> int:
    if size == "all" and not has_recipe(variant):
        return 1
    return min(line.seeds or catalogue.seeds, catalogue.seeds)


def _text(variant: config.Variant, line: config.Runs) -> config.Text:
    return line.text if "text" in variant.inputs else "masked"


def rows_of(size: int | str) -> float:
    """Return a training size as a number to sort by: `all` is the largest."""
    return float("inf") if size == "all" else float(size)
