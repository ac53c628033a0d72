"""Choose hyperparameters on the development part: every trial is logged, and no test product has a say.

`python -m lib.training.search` does what `searches.yaml` says: successive halving (Jamieson & Talwalkar, 2016) over
settings drawn at random (Bergstra & Bengio, 2012). What is in the log is not tried again, so a search that was ended
goes on where it was. `params.yaml` is changed by hand; what the search prints in the end says to what.
"""

import argparse
import sys
import time
from concurrent.futures import as_completed
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field
from scipy.stats import loguniform, uniform
from sklearn.model_selection import ParameterSampler
from tqdm import tqdm

from lib import config, files
from lib.clean.splits import sampling_rank
from lib.exceptions import StudyError, nearest
from lib.processes import worker_pool

SEED = 0
COLUMNS = [
    "search",
    "variant",
    "size",
    "trial",
    "settings",
    "hidden",
    "level_1",
    "level_2",
    "level_3",
    "path",
    "rows",
    "seconds",
]
"""Of the log. A row is one fit, measured on the development part with one input `hidden`, or none (empty)."""


class Between(config.Strict):
    """A number drawn from `low` to `high`: evenly, or by ratio."""

    low: float
    high: float
    log: bool = False


class Search(config.Strict):
    """One search: which settings are tried, of a recipe or of the variants themselves, and how."""

    recipe: str | None = None
    variants: list[str] = Field(min_length=1)
    text: config.Text
    hidden: list[config.Input] = Field(default_factory=list)
    sizes: list[config.Size | Literal["all"]] = Field(min_length=1)
    trials: config.Size
    keep: float = Field(gt=0, le=1)
    space: dict[str, list[Any] | Between] = Field(min_length=1)

    def settings(self, params: config.Params) -> list[dict[str, Any]]:
        """Draw the settings to try, the same ones every time; the first are those of `params.yaml`."""
        owner = params.recipes[self.recipe] if self.recipe else params.variants[self.variants[0]]
        owner = params.variants[self.variants[0]] if not set(self.space) <= set(type(owner).model_fields) else owner
        space = {
            name: one
            if isinstance(one, list)
            else (loguniform if one.log else uniform)(
                *((one.low, one.high) if one.log else (one.low, one.high - one.low))
            )
            for name, one in self.space.items()
        }
        drawn = [
            {name: float(f"{value:.3g}") if isinstance(value, float) else value for name, value in one.items()}
            for one in ParameterSampler(space, self.trials - 1, random_state=SEED)
        ]
        return [{name: getattr(owner, name) for name in sorted(space)}, *drawn]


class Searches(config.Strict):
    """All of `searches.yaml`."""

    catalogue: str
    searches: dict[str, Search]


def search(name: str, of: Searches, params: config.Params, log: Path) -> pd.DataFrame:
    """Carry one search out, and return its part of the log.

    Raises
    ------
    StudyError
        If the catalogue has no development part, or the search names what `params.yaml` lacks.
    """
    asked = of.searches[name]
    for known, given in ((params.variants, asked.variants), (params.recipes, [asked.recipe] if asked.recipe else [])):
        for one in given:
            if one not in known:
                raise StudyError(f"searches.yaml: '{name}' names '{one}'. Known: {sorted(known)}.{nearest(one, known)}")
    settings = asked.settings(params)
    going = list(range(len(settings)))
    for size in asked.sizes:
        done = _read(log)
        done = done[(done["search"] == name) & (done["size"] == str(size))]
        todo = [
            (trial, variant)
            for trial in going
            for variant in asked.variants
            if not ((done["trial"] == trial) & (done["variant"] == variant)).any()
        ]
        with worker_pool(imported="lib.training.run") as pool:
            futures = {
                pool.submit(fit_once, of.catalogue, asked, variant, settings[trial], size): (trial, variant)
                for trial, variant in todo
            }
            for future in tqdm(as_completed(futures), f"{name}, {size} products", len(futures), unit="fit"):
                trial, variant = futures[future]
                rows = [
                    {"search": name, "variant": variant, "size": size, "trial": trial, **row} for row in future.result()
                ]
                _append(log, rows)
        scores = ranking(_read(log), name, str(size))
        going = scores.index[scores.index.isin(going)][: max(1, round(asked.keep * len(going)))].tolist()
    return _read(log).query("search == @name")


def ranking(log: pd.DataFrame, name: str, size: str) -> pd.Series:
    """Return the mean path accuracy of a search's trials at a size, the best first.

    >>> log = pd.DataFrame({"search": "a", "size": "all", "trial": [0, 0, 1], "path": [0.5, 0.7, 0.8]})
    >>> ranking(log, "a", "all").round(2).to_dict()
    {1: 0.8, 0: 0.6}
    """
    rows = log[(log["search"] == name) & (log["size"] == size)]
    return rows.groupby("trial")["path"].mean().sort_values(ascending=False, kind="stable")


def fit_once(
    catalogue: str, asked: Search, variant: str, settings: dict[str, Any], size: int | str
) -> list[dict[str, Any]]:
    """Fit one variant with these settings, and measure it on the development part; a worker does it."""
    import torch

    from lib.models.base import Task
    from lib.training.metrics import correctness, independent
    from lib.training.model import make_model

    torch.set_num_threads(1)
    params, data = config.load_params(), _data(catalogue)
    kind, recipe = params.variants[variant], params.recipes[asked.recipe] if asked.recipe else None
    if recipe and set(settings) <= set(type(recipe).model_fields):
        recipe = recipe.model_copy(update=settings)
    else:
        kind = type(kind).model_validate({**kind.model_dump(), **settings})
    train, held, development = parts(data.products, size)
    products = data.as_products(config.columns_of(kind), asked.text)
    began = time.process_time()
    model = make_model(kind, recipe, params.text, data.class_counts, data.paths, "cpu")
    model.fit(Task(products.take(train), data.codes[train], products.take(held), data.codes[held], SEED, None, None))
    seconds, found = time.process_time() - began, []
    for hidden in [None, *asked.hidden]:
        said = model.predict(products.take(development), hidden=[hidden] if hidden else [])
        right = correctness(independent(said.levels), data.codes[development], data.paths).mean(axis=0)
        found.append(
            {
                "settings": ", ".join(f"{key}={value}" for key, value in sorted(settings.items())),
                "hidden": hidden or "",
                **{
                    level: round(float(share), 5) for level, share in zip((*config.LEVELS, "path"), right, strict=False)
                },
                "rows": len(train),
                "seconds": round(seconds, 1),
            }
        )
    return found


def parts(products: pd.DataFrame, size: int | str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the rows to fit on, those to validate on, and the development part.

    The first two come from the products that no main split tests on; of these, one in ten is validated on.
    """
    free = (products[["random_split", "grouped_split"]].isin(["train", "validation"])).all(axis=1).to_numpy()
    development = np.flatnonzero(products["random_split"] == "development")
    if not len(development):
        raise StudyError(
            "A search needs a development part. Expected `development: 0.1`, say, in the catalogue's file."
        )
    order = np.argsort(sampling_rank(products["sampling_key"].to_numpy(np.uint64), SEED))
    rows = order[free[order]]
    held, train = rows[: len(rows) // 10], rows[len(rows) // 10 :]
    if size == "all":
        return train, held, development
    return train[: int(size)], held[: -(-int(size) // 9)], development


@cache
def _data(catalogue: str) -> Any:
    from lib.models.inputs import load_catalogue_data

    return load_catalogue_data(catalogue)


def _read(log: Path) -> pd.DataFrame:
    if not log.exists():
        return pd.DataFrame(columns=COLUMNS)
    return pd.read_csv(log, dtype={"size": str}, keep_default_na=False)


def _append(log: Path, rows: list[dict[str, Any]]) -> None:
    table = pd.concat([_read(log), pd.DataFrame(rows).astype({"size": str})])
    table = table.sort_values(["search", "size", "trial", "variant", "hidden"], kind="stable")
    with files.whole(log) as partial:
        table[COLUMNS].to_csv(partial, index=False)


def main(arguments: list[str] | None = None) -> None:
    """Do the searches that are named, or all."""
    asked = config.load(Searches, config.root() / "searches.yaml")
    parser = argparse.ArgumentParser("python -m lib.training.search", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(asked.searches)}; all by default")
    names = parser.parse_args(arguments).names or list(asked.searches)
    log, params = config.report_dir(asked.catalogue, "search.csv"), config.load_params()
    try:
        for name in names:
            if name not in asked.searches:
                hint = nearest(name, asked.searches)
                raise StudyError(f"searches.yaml has no search '{name}'. It has {sorted(asked.searches)}.{hint}")
            table = search(name, asked, params, log)
            last = str(asked.searches[name].sizes[-1])
            best = ranking(table, name, last)
            rows = table[table["size"] == last].drop_duplicates("trial")
            said = dict(zip(rows["trial"], rows["settings"], strict=True))
            print(f"\n{name}: path accuracy on the development part, {last} products")
            for trial, score in best.items():
                print(f"  {score:.4f}  {said[trial]}{'  (as in params.yaml)' if trial == 0 else ''}")
    except StudyError as error:
        print(error, file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
