"""The `errors` stage: what the best model of a catalogue gets wrong, as tables in `reports/NAME/errors/`."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from lib.artifacts import existing, read_json
from lib.bootstrap import differences, group_weights
from lib.config import LEVELS, build_dir, load_params
from lib.contrasts import Measure, verdict
from lib.error_analysis import by_category, confusions, watch
from lib.error_paths import only_level_1, relations, wrong_levels
from lib.error_shares import Answers, Bools, compare_products
from lib.errors import StudyError
from lib.evaluate import correctness
from lib.held_out import HeldOut, Model, brands_seen, main_models, main_rows, read_held_out, seeds_of
from lib.results import SAMPLED, Tables, Truth, load_results, load_truth, resample_all

FOLDER = "errors"
SPLITS = ("grouped", "random")
"""The order in which splits are preferred: grouped shows what to expect of products that have no copy in training."""

DECODING_PAIRS = (("valid_path", "independent"), ("soft", "hard"), ("soft", "soft_child"), ("soft", "valid_path"))
"""Decodings that are compared; *soft* by whole paths is held against everything else that a chain may do."""

TABLES = (
    "choice",
    "categories",
    "confusions",
    "wrong_levels",
    "relations",
    "only_level_1",
    "missing_inputs",
    "invalid_paths",
    "decodings",
)


class Study(NamedTuple):
    """What the analyses of a catalogue share.

    Attributes
    ----------
    models
        The chosen variant's models by split, the preferred split first.
    tested
        What they say of the test rows.
    held_out
        The same with probabilities, of each split.
    """

    catalogue: str
    models: dict[str, Model]
    tested: dict[str, Answers]
    held_out: dict[str, HeldOut]

    @property
    def split(self) -> str:
        """The split that the analysis is mainly of."""
        return next(iter(self.models))


def open_study(catalogue: str) -> tuple[Study, dict[str, pd.DataFrame]]:
    """Choose the model to look at, and read what it says of the test rows of each split.

    Returns
    -------
    study
    tables
        `choice`: how the variants compare on validation rows.

    Raises
    ------
    StudyError
        If results or predictions are missing.
    """
    results, truth = load_results(catalogue), load_truth(catalogue)
    choice = choose(catalogue, results, truth)
    best = choice.loc[choice["chosen"], "variant"].iloc[0]
    models = {m.split: m for m in main_models(results.results) if m.variant == best}
    models = {split: models[split] for split in SPLITS if split in models}
    names = read_json(build_dir(catalogue, "clean", "taxonomy.json"))["levels"]
    weights = group_weights(int(truth.groups.max()) + 1)
    held_out, tested = {}, {}
    for split, model in models.items():
        found = read_held_out(catalogue, model, seeds_of(model, results.results), "test")
        codes, groups = truth.codes[found.rows], truth.groups[found.rows]
        tested[split] = Answers(found.seeds, codes, found.predicted, groups, names, truth.paths, weights)
        held_out[split] = found
    return Study(catalogue, models, tested, held_out), {"choice": choice}


def choose(catalogue: str, results: Tables, truth: Truth) -> pd.DataFrame:
    """Compare the variants on the validation rows of the preferred split, with all training rows.

    Returns
    -------
    DataFrame
        The columns of `Model`, `validation_path` (path accuracy, mean over seeds, decoded as usual), `test_path,
        low, high` (the same on test rows, which have no say), and `chosen`; best first.
    """
    models = main_models(results.results)
    split = next((name for name in SPLITS if name in {model.split for model in models}), None)
    rows = []
    for model in (model for model in models if model.split == split):
        found = read_held_out(catalogue, model, seeds_of(model, results.results), "validation")
        paths = [correctness(one, truth.codes[found.rows], truth.paths)[:, 3].mean() for one in found.predicted]
        rows.append((*model, float(np.mean(paths))))
    if not rows:
        recipe = load_params().runs[0].recipe
        raise StudyError(f"results.csv of '{catalogue}' has no run of the main experiment, recipe '{recipe}'.")
    table = pd.DataFrame(rows, columns=[*Model._fields, "validation_path"])
    table = table.merge(_test_paths(results.intervals), on=list(Model._fields), how="left")
    table = table.sort_values(["validation_path", "variant"], ascending=[False, True], ignore_index=True)
    return table.assign(chosen=table.index == 0)


def _test_paths(intervals: pd.DataFrame) -> pd.DataFrame:
    rows = intervals[(intervals["measured_on"] == "test") & (intervals["metric"] == "path")]
    levels = rows[rows["decoding"] == "independent"]  # as the validation rows are decoded, also those of a chain
    rows = pd.concat([levels, rows[~rows["variant"].isin(levels["variant"]) & (rows["decoding"] == "valid_path")]])
    return rows[[*Model._fields, "mean", "low", "high"]].rename(columns={"mean": "test_path"})


def analyse(study: Study, target: float, costly_share: float) -> dict[str, pd.DataFrame]:
    """Make the tables of the errors of the chosen model, each with a column `split`.

    Parameters
    ----------
    target
        Accuracy that every category is to reach.
    costly_share
        Share of a level's errors that the costliest categories make together.
    """
    made: dict[str, list[pd.DataFrame]] = {name: [] for name in TABLES[1:7]}
    for split, tested in study.tested.items():
        found = {
            "categories": pd.concat([watch(by_category(tested, i), target, costly_share) for i in range(len(LEVELS))]),
            "confusions": pd.concat([confusions(tested, level) for level in range(len(LEVELS))]),
            "wrong_levels": wrong_levels(tested),
            "relations": relations(tested),
            "only_level_1": only_level_1(tested)[1],
            "missing_inputs": compare_products(tested, missing_inputs(study, split)),
        }
        for name, table in found.items():
            table.insert(0, "split", split)
            made[name].append(table)
    return {name: pd.concat(parts, ignore_index=True) for name, parts in made.items()}


def missing_inputs(study: Study, split: str) -> dict[str, Bools]:
    """Say which test rows lack an input that the model reads.

    Returns
    -------
    Name -> bool (rows,), or (seeds, rows) where it is the training rows that decide.
    """
    model, found = study.models[split], study.held_out[split]
    text = "text" if model.text == "plain" else "masked_text"
    folder = build_dir(study.catalogue)
    products = pd.read_parquet(existing(folder / "clean" / "products.parquet"), columns=["brand", text])
    status = pd.read_parquet(existing(folder / "image" / "status.parquet"), columns=["status"])
    brands = products["brand"].to_numpy()[found.rows]
    seen = brands_seen(study.catalogue, model, list(found.seeds), products["brand"])
    kinds = {
        "no photo that can be used": ("image", (status["status"] != "ok").to_numpy()[found.rows]),
        "no description": ("text", (products[text] == "").to_numpy()[found.rows]),
        "no brand": ("brand", brands == ""),
        "brand not seen in training": ("brand", np.array([[b != "" and b not in k for b in brands] for k in seen])),
    }
    inputs = load_params().variants[model.variant].inputs
    return {name: rows for name, (of, rows) in kinds.items() if of in inputs}


def decodings(catalogue: str) -> dict[str, pd.DataFrame]:
    """Measure invalid paths, and what each way of decoding gains over another, for every variant.

    Returns
    -------
    Two tables of the main experiment on test rows. `invalid_paths`, at each size: `variant, split, train_size,
    decoding, share, low, high`. `decodings`, at the largest size: `variant, split, train_size, a, b`, and
    `difference, low, high, verdict` of path accuracy, paired.
    """
    results = load_results(catalogue)
    rows = main_rows(results.intervals)
    rows = rows[
        (rows["measured_on"] == "test") & (rows["metric"] == "valid_share") & (rows["decoding"] != "valid_path")
    ]
    invalid = rows[["variant", "split", "train_size", "decoding"]].assign(
        share=1 - rows["mean"], low=1 - rows["high"], high=1 - rows["low"]
    )
    return {"invalid_paths": invalid.reset_index(drop=True), "decodings": _decoding_gains(catalogue, results)}


def _decoding_gains(catalogue: str, results: Tables) -> pd.DataFrame:
    largest = pd.DataFrame(main_models(results.results), columns=Model._fields)
    samples = resample_all(catalogue, results.results.merge(largest, on=list(Model._fields)))
    path, rows = SAMPLED.index("path"), []
    for model in main_models(results.results):
        for a, b in DECODING_PAIRS:
            first, second = (samples.get(Measure(*model, decoding, "test")) for decoding in (a, b))
            if first and second:
                found = differences(first, second)[path]
                rows.append(
                    (model.variant, model.split, model.train_size, a, b, *found, verdict(found.low, found.high))
                )
    columns = ["variant", "split", "train_size", "a", "b", "difference", "low", "high", "verdict"]
    return pd.DataFrame(rows, columns=columns)
