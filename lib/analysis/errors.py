"""The `errors` stage: what the best model of a catalogue gets wrong, as tables for `reports/NAME/errors/`.

`open_errors` chooses the model and reads what its runs say of rows that they held out; `error_tables` and `decodings`
count. Every share has a 95% interval over groups of near-duplicates and training seeds. A bootstrap of a few groups, or
of groups that are nearly all right, is too narrow; there Wilson's score interval (1927, JASA 22:209) takes its place,
with each group counted as one trial. SciPy has it for whole numbers of successes only, and ours are means over seeds.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import norm

from lib.config import LEVELS, PathFusionVariant, build_dir, load_params
from lib.evaluation.bootstrap import (
    CONFIDENCE,
    Floats,
    Interval,
    Sample,
    conditional,
    differences,
    group_weights,
    intervals,
    resample,
)
from lib.evaluation.contrasts import main_recipes, verdict
from lib.evaluation.results import Results
from lib.evaluation.samples import SAMPLED, Measure, Truth, load_truth, resample_all
from lib.exceptions import StudyError
from lib.files import existing, read_json
from lib.training.metrics import independent, valid_path
from lib.training.runs import Run, study_of

FOLDER = "errors"
SPLITS = ("grouped", "random")
"""The order in which splits are preferred: grouped shows what to expect of products that have no copy in training."""

DECODING_PAIRS = (("valid_path", "independent"), ("soft", "hard"), ("soft", "soft_child"), ("soft", "valid_path"))
"""Decodings that are compared; *soft* by whole paths is held against everything else that a chain may do."""

FEWEST_GROUPS = 30
"""With fewer groups of near-duplicates of a kind, the interval is Wilson's."""

FEWEST_CASES = 5
"""The same with fewer groups' worth of right answers, or of wrong ones."""

COLUMNS_AT_ONCE = 50  # categories resampled at once: bounds memory
CONFUSIONS_SHOWN = 3

Bools = npt.NDArray[np.bool_]


class Trained(NamedTuple):
    """A variant as it was trained; its seeds are one model."""

    variant: str
    recipe: str
    text: str
    split: str
    train_size: int


@dataclass(frozen=True)
class HeldOut:
    """What a model says of test or validation rows.

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

    def mean_probabilities(self) -> list[Floats]:
        """Return each level's probabilities, float64 (rows, classes), averaged over the seeds; rows sum to 1."""
        means = []
        for arrays in zip(*self.levels, strict=True):
            total = np.mean([np.exp(array.astype(np.float64)) for array in arrays], axis=0)
            means.append(total / total.sum(axis=1, keepdims=True))
        return means


@dataclass(frozen=True)
class Answers:
    """What a model answers for the test rows of a split, and what is so.

    Attributes
    ----------
    seeds
        The training seeds, ascending.
    codes
        int16 (rows, 3): the true classes.
    predicted
        int16 (seeds, rows, 3).
    groups
        intp (rows,): number of the near-duplicate group.
    names
        The classes of each level; a code is an index.
    paths
        int16 (valid paths, 3).
    weights
        What `bootstrap.group_weights` returns for all groups of the catalogue.
    """

    seeds: tuple[int, ...]
    codes: npt.NDArray[np.int16]
    predicted: npt.NDArray[np.int16]
    groups: npt.NDArray[np.intp]
    names: list[list[str]]
    paths: npt.NDArray[np.int16]
    weights: npt.NDArray[np.uint8]

    @property
    def right(self) -> Bools:
        """Which levels are right: (seeds, rows, 3)."""
        return np.equal(self.predicted, self.codes)

    @property
    def wrong_path(self) -> Bools:
        """Where any level is wrong: (seeds, rows)."""
        wrong: Bools = np.any(~self.right, axis=2)
        return wrong


class Chosen(NamedTuple):
    """The model that the stage looks at.

    Attributes
    ----------
    models
        The chosen variant as it was trained on each split, the preferred split first.
    answers
        What it answers for the test rows of each split.
    held_out
        The same with probabilities.
    """

    catalogue: str
    models: dict[str, Trained]
    answers: dict[str, Answers]
    held_out: dict[str, HeldOut]

    @property
    def split(self) -> str:
        """The split that the analysis is mainly of."""
        return next(iter(self.models))


# Which model, and what it says


def open_errors(catalogue: str) -> tuple[Chosen, pd.DataFrame]:
    """Choose the model to look at, and read what it says of the test rows of each split.

    Returns
    -------
    chosen
    choice
        How the variants compare on validation rows: what `compare_variants` returns.

    Raises
    ------
    StudyError
        If results or predictions are missing.
    """
    results, truth = Results.read(catalogue), load_truth(catalogue)
    choice = compare_variants(catalogue, results, truth)
    best = choice.loc[choice["chosen"], "variant"].iloc[0]
    of_split = {model.split: model for model in main_models(results.results) if model.variant == best}
    models = {split: of_split[split] for split in SPLITS if split in of_split}
    names = read_json(build_dir(catalogue, "clean", "taxonomy.json"))["levels"]
    weights = group_weights(int(truth.groups.max()) + 1)
    held_out, answers = {}, {}
    for split, model in models.items():
        said = read_held_out(catalogue, model, seeds_of(model, results.results), "test")
        codes, groups = truth.codes[said.rows], truth.groups[said.rows]
        answers[split] = Answers(said.seeds, codes, said.predicted, groups, names, truth.paths, weights)
        held_out[split] = said
    return Chosen(catalogue, models, answers, held_out), choice


def compare_variants(catalogue: str, results: Results, truth: Truth) -> pd.DataFrame:
    """Compare the variants on the validation rows of the preferred split, with all training rows.

    Returns
    -------
    DataFrame
        The columns of `Trained`, `validation_path` (path accuracy, mean over seeds, decoded as usual), `test_path,
        low, high` (the same on test rows, which have no say), and `chosen`; best first.
    """
    models = main_models(results.results)
    split = next((name for name in SPLITS if name in {model.split for model in models}), None)
    rows = []
    for model in (model for model in models if model.split == split):
        said = read_held_out(catalogue, model, seeds_of(model, results.results), "validation")
        right = (said.predicted == truth.codes[said.rows]).all(axis=2)
        rows.append((*model, float(right.mean(axis=1).mean())))
    if not rows:
        recipe = load_params().main.recipes[0]
        raise StudyError(f"results.csv of '{catalogue}' has no run of the main experiment, recipe '{recipe}'.")
    table = pd.DataFrame(rows, columns=[*Trained._fields, "validation_path"])
    paths = results.intervals[(results.intervals["measured_on"] == "test") & (results.intervals["metric"] == "path")]
    levels = paths[paths["decoding"] == "independent"]  # as the validation rows are decoded, also those of a chain
    whole = paths[~paths["variant"].isin(levels["variant"]) & (paths["decoding"] == "valid_path")]
    tested = pd.concat([levels, whole])[[*Trained._fields, "mean", "low", "high"]].rename(columns={"mean": "test_path"})
    table = table.merge(tested, on=list(Trained._fields), how="left")
    table = table.sort_values(["validation_path", "variant"], ascending=[False, True], ignore_index=True)
    return table.assign(chosen=table.index == 0)


def main_models(results: pd.DataFrame) -> list[Trained]:
    """List the models of the main experiment (`Params.main`), at the largest size of each split.

    A variant that was not trained with all rows of a split is not among that split's models.

    Parameters
    ----------
    results
        The table of `results.csv`.
    """
    rows = main_rows(results)
    rows = rows[rows["train_size"] == rows.groupby("split")["train_size"].transform("max")]
    keys = rows[list(Trained._fields)].drop_duplicates()
    return [Trained(*key) for key in keys.itertuples(index=False, name=None)]


def main_rows(results: pd.DataFrame) -> pd.DataFrame:
    """Return the main experiment's rows: its splits, each variant's recipe in it, its text if the variant reads any."""
    params = load_params()
    main = params.main
    reads_text = results["variant"].map({name: "text" in v.inputs for name, v in params.variants.items()})
    text = np.where(reads_text.fillna(False).astype(bool), main.text, "masked")
    recipes = main_recipes(zip(results["variant"], results["recipe"], strict=True), main.recipes[0])
    here = (results["text"] == text) & results["split"].isin(main.splits)
    return results[here & (results["recipe"] == results["variant"].map(recipes))]


def seeds_of(model: Trained, results: pd.DataFrame) -> list[int]:
    """Return the seeds with which a model was trained, ascending."""
    rows = results[(results[list(Trained._fields)] == list(model)).all(axis=1)]
    return sorted(rows["seed"].unique().tolist())


def read_held_out(catalogue: str, model: Trained, seeds: Sequence[int], part: str) -> HeldOut:
    """Read what a model says of the `test` or `validation` rows that all its seeds held out.

    Raises
    ------
    StudyError
        If predictions are missing or lack an array.
    """
    read = []
    for path in (_predictions(catalogue, model, seed) for seed in seeds):
        try:
            with np.load(path, allow_pickle=False) as file:
                read.append((file[f"{part}_rows"], [file[f"{part}_{level}"] for level in range(len(LEVELS))]))
        except KeyError as error:
            raise StudyError(f"{path} lacks an array: {error}. Run `dvc repro` to make it again.") from error
    rows = reduce(np.intersect1d, [np.sort(of) for of, _ in read])
    # Validation rows are in the order of a seed's draw: put each seed's in that of `rows`.
    places = [np.argsort(of)[np.searchsorted(np.sort(of), rows)] for of, _ in read]
    levels = tuple(tuple(array[at] for array in arrays) for at, (_, arrays) in zip(places, read, strict=True))
    paths = None
    if isinstance(load_params().variants[model.variant], PathFusionVariant):
        paths = np.array(read_json(build_dir(catalogue, "clean", "taxonomy.json"))["paths"], np.int16)
    return HeldOut(tuple(seeds), rows, levels, paths)


def _predictions(catalogue: str, model: Trained, seed: int) -> Path:
    run = Run(model.recipe, model.text, model.split, model.train_size, seed)  # type: ignore[arg-type]
    return existing(build_dir(catalogue, "predictions", model.variant, f"{run.key(model.train_size)}.npz"))


# Shares with their intervals


def shares(answers: Answers, kinds: Bools, among: Bools) -> list[Interval]:
    """Return what share of some rows is of a kind, for each of several kinds.

    Parameters
    ----------
    kinds
        bool (seeds, rows, columns).
    among
        bool, of a shape that fits: the rows that count. A share of no row is not a number.
    """
    return intervals(_sample(answers, kinds, among))


def _sample(answers: Answers, kinds: Bools, among: Bools) -> Sample:
    among = np.broadcast_to(among, kinds.shape)
    groups = [answers.groups] * len(answers.seeds)
    both = list(np.concatenate([kinds & among, among], axis=2))
    return conditional(resample(answers.seeds, both, groups, answers.weights))


def wilson(share: float, trials: float) -> Interval:
    """Return Wilson's 95% score interval of a share that was seen in a number of trials.

    >>> [round(value, 3) for value in wilson(1.0, 10)]
    [1.0, 0.722, 1.0]
    """
    z2 = norm.ppf((1 + CONFIDENCE) / 2) ** 2
    middle = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = np.sqrt(z2 * (share * (1 - share) / trials + z2 / (4 * trials**2))) / (1 + z2 / trials)
    return Interval(share, float(max(middle - half, 0)), float(min(middle + half, 1)))


def newcombe(a: Interval, b: Interval) -> Interval:
    """Return the interval of the difference a - b of two independent shares, from the interval of each.

    >>> [round(value, 3) for value in newcombe(wilson(0.7, 50), wilson(0.5, 50))]
    [0.2, 0.008, 0.372]
    """
    apart = a.mean - b.mean
    down, up = np.hypot(a.mean - a.low, b.high - b.mean), np.hypot(a.high - a.mean, b.mean - b.low)
    return Interval(apart, float(apart - down), float(apart + up))


def is_small(share: float, groups: int) -> bool:
    """Say whether a share in a number of groups has Wilson's interval instead of the bootstrap's.

    >>> is_small(0.5, 29), is_small(0.99, 100), is_small(0.5, 30)
    (True, True, False)
    """
    return groups < FEWEST_GROUPS or groups * min(share, 1 - share) < FEWEST_CASES


def _with_limits(table: pd.DataFrame, measured: Sequence[Interval]) -> pd.DataFrame:
    """Put the columns `share, low, high` after those of a table."""
    return table.join(pd.DataFrame(measured, columns=["share", "low", "high"]))


# What goes wrong


def error_tables(chosen: Chosen, target: float, costly_share: float) -> dict[str, pd.DataFrame]:
    """Make the tables of the errors of the chosen model, each with a column `split`.

    Parameters
    ----------
    target
        Accuracy that every category is to reach.
    costly_share
        Share of a level's errors that the costliest categories make together.
    """
    made: dict[str, list[pd.DataFrame]] = {}
    for split, answers in chosen.answers.items():
        levels = range(len(LEVELS))
        tables = {
            "categories": pd.concat([watch(by_category(answers, level), target, costly_share) for level in levels]),
            "confusions": pd.concat([confusions(answers, level) for level in levels]),
            "wrong_levels": wrong_levels(answers),
            "relations": relations(answers),
            "only_level_1": only_level_1(answers)[1],
            "missing_inputs": compare_products(answers, missing_inputs(chosen, split)),
        }
        for name, table in tables.items():
            table.insert(0, "split", split)
            made.setdefault(name, []).append(table)
    return {name: pd.concat(parts, ignore_index=True) for name, parts in made.items()}


def by_category(answers: Answers, level: int) -> pd.DataFrame:
    """Measure every category of a level that has test products, the one with most errors first.

    Returns
    -------
    DataFrame
        `level`, `category`, `products` (test products), `groups` (of near-duplicates), `share` (of all test products),
        `accuracy, low, high, interval` (bootstrap or Wilson), `errors` (a seed), `error_share` (of the level's errors),
        `taken_for` (the most frequent wrong answers, with the errors a seed).
    """
    codes, right = answers.codes[:, level], answers.right[:, :, level]
    classes, products = np.unique(codes, return_counts=True)
    measured: list[Interval] = []
    for start in range(0, len(classes), COLUMNS_AT_ONCE):
        inside = codes[:, None] == classes[start : start + COLUMNS_AT_ONCE]
        measured += shares(answers, np.repeat(right[:, :, None], inside.shape[1], axis=2), inside)
    groups = [len(np.unique(answers.groups[codes == code])) for code in classes]
    small = [is_small(one.mean, count) for one, count in zip(measured, groups, strict=True)]
    limits = [wilson(one.mean, n) if few else one for one, n, few in zip(measured, groups, small, strict=True)]
    wrong = np.array([(~right[:, codes == code]).sum() for code in classes]) / len(answers.seeds)
    table = pd.DataFrame({
        "level": LEVELS[level],
        "category": [answers.names[level][code] for code in classes],
        "products": products,
        "groups": groups,
        "share": products / len(codes),
        "accuracy": [one.mean for one in limits],
        "low": [one.low for one in limits],
        "high": [one.high for one in limits],
        "interval": np.where(small, "Wilson", "bootstrap"),
        "errors": wrong,
        "error_share": wrong / max(wrong.sum(), 1e-12),
    })  # fmt: skip
    top = confusions(answers, level).groupby("true").head(CONFUSIONS_SHOWN)
    counted = top["predicted"] + " (" + top["errors"].map("{:.1f}".format) + ")"
    taken_for = {str(true): ", ".join(part) for true, part in counted.groupby(top["true"])}
    table["taken_for"] = [taken_for.get(name, "") for name in table["category"]]
    return table.sort_values(["errors", "category"], ascending=[False, True], ignore_index=True)


def confusions(answers: Answers, level: int) -> pd.DataFrame:
    """Count wrong answers: `level`, `true`, `predicted` and `errors` (a seed), the most frequent pair first."""
    true = np.broadcast_to(answers.codes[:, level], answers.predicted.shape[:2])
    wrong = ~answers.right[:, :, level]
    names = np.array(answers.names[level], object)
    pairs = pd.DataFrame({"true": names[true[wrong]], "predicted": names[answers.predicted[:, :, level][wrong]]})
    table = pairs.groupby(["true", "predicted"]).size().rename("errors").reset_index()
    table = table.assign(errors=table["errors"] / len(answers.seeds))
    table.insert(0, "level", LEVELS[level])
    return table.sort_values(["errors", "true", "predicted"], ascending=[False, True, True], ignore_index=True)


def watch(categories: pd.DataFrame, target: float, costly_share: float) -> pd.DataFrame:
    """Say which categories to watch, in two columns that are added to those of `by_category`.

    Parameters
    ----------
    categories
        Of one level, most errors first.
    target
        Accuracy that a category is to reach. `below_target`: its whole interval lies below.
    costly_share
        `costly`: it is among the categories with most errors that together make this share of the level's errors.
    """
    before = categories["error_share"].cumsum() - categories["error_share"]
    costly = (before < costly_share) & (categories["errors"] > 0)
    return categories.assign(below_target=categories["high"] < target, costly=costly)


def share_of_errors(answers: Answers, level: int, categories: Collection[str]) -> Interval:
    """Return what share of a level's errors the products of some categories make."""
    listed = np.isin(answers.codes[:, level], [answers.names[level].index(name) for name in categories])
    wrong = ~answers.right[:, :, level, None]
    return shares(answers, np.broadcast_to(listed[None, :, None], wrong.shape), wrong)[0]


def wrong_levels(answers: Answers) -> pd.DataFrame:
    """Say which levels are wrong where a path is.

    Returns
    -------
    DataFrame
        `first` (the first level that is wrong), `wrong` (all that are), `errors` (a seed), and `share, low, high` of
        all wrong paths; the seven cases in the order of their first level.
    """
    wrong, path = ~answers.right, answers.wrong_path
    cases = ((0,), (0, 1), (0, 2), (0, 1, 2), (1,), (1, 2), (2,))
    kinds = np.stack([(wrong == np.isin(range(3), case)).all(axis=2) for case in cases], axis=2)
    named = [[LEVELS[level].replace("_", " ") for level in case] for case in cases]
    table = pd.DataFrame({"first": [case[0] for case in named], "wrong": [" + ".join(case) for case in named]})
    table["errors"] = kinds.sum(axis=(0, 1)) / len(answers.seeds)
    return _with_limits(table, shares(answers, kinds, path[:, :, None]))


def relations(answers: Answers) -> pd.DataFrame:
    """Say how far a wrong class is from the right one.

    Returns
    -------
    DataFrame
        `level`, `relation`, `errors` (a seed) and `share, low, high` of the level's errors. A *sibling* is valid
        below the true parents; a *cousin* (of level 3) only below the true level 1; all others are *elsewhere*.
    """

    def below(level: int, parents: list[int]) -> Bools:
        """Say of each answer whether its class is valid below some of the row's true classes."""
        known = answers.paths[:, [*parents, level]]
        each = [np.column_stack([answers.codes[:, parents], said[:, level]]) for said in answers.predicted]
        return np.array([_among(rows, known) for rows in each])

    parts = []
    for level in (1, 2):
        wrong = ~answers.right[:, :, level]
        sibling, below_top = below(level, list(range(level))), below(level, [0])
        kinds = {"sibling": sibling, "cousin": ~sibling & below_top, "elsewhere": ~below_top}
        if level == 1:  # the only parent is level 1
            del kinds["cousin"]
        stacked = np.stack(list(kinds.values()), axis=2)
        part = pd.DataFrame({"level": LEVELS[level], "relation": list(kinds)})
        part["errors"] = (stacked & wrong[:, :, None]).sum(axis=(0, 1)) / len(answers.seeds)
        parts.append(_with_limits(part, shares(answers, stacked, wrong[:, :, None])))
    return pd.concat(parts, ignore_index=True)


def _among(rows: npt.NDArray[Any], known: npt.NDArray[Any]) -> Bools:
    """Say which rows of one table are in another."""
    found: Bools = pd.MultiIndex.from_arrays(list(rows.T)).isin(pd.MultiIndex.from_arrays(list(known.T)))
    return found


def only_level_1(answers: Answers) -> tuple[Interval, pd.DataFrame]:
    """Find the errors where level 1 alone is wrong.

    Returns
    -------
    share
        Of all wrong paths.
    pairs
        `true`, `predicted` (classes of level 1), `errors` (a seed), `share, low, high` of these errors, and
        `both_valid`: for which share of them the predicted path is valid too, so that both classes have such products.
    """
    right = answers.right
    alone = ~right[:, :, 0] & right[:, :, 1] & right[:, :, 2]
    share = shares(answers, alone[:, :, None], answers.wrong_path[:, :, None])[0]
    seed, row = np.nonzero(alone)
    said = answers.predicted[seed, row]
    valid = _among(said, answers.paths)
    table = pd.DataFrame({"true": answers.codes[row, 0], "predicted": said[:, 0], "both_valid": valid})
    pairs = table.groupby(["true", "predicted"])["both_valid"].agg(["size", "mean"]).reset_index()
    true, predicted = (pairs[side].to_numpy() for side in ("true", "predicted"))
    kinds = (answers.codes[:, 0, None] == true) & (answers.predicted[:, :, 0, None] == predicted)
    measured = shares(answers, kinds, alone[:, :, None]) if len(pairs) else []
    names = np.array(answers.names[0], object)
    errors = pairs["size"] / len(answers.seeds)
    named = pd.DataFrame({"true": names[true], "predicted": names[predicted], "errors": errors})
    named = _with_limits(named, measured).assign(both_valid=pairs["mean"])
    return share, named.sort_values(["errors", "true"], ascending=[False, True], ignore_index=True)


# Products that lack something


def missing_inputs(chosen: Chosen, split: str) -> dict[str, Bools]:
    """Say which test rows lack an input that the model reads.

    Returns
    -------
    Name -> bool (rows,), or (seeds, rows) where it is the training rows that decide.
    """
    model, held_out = chosen.models[split], chosen.held_out[split]
    text, folder = "text" if model.text == "plain" else "masked_text", build_dir(chosen.catalogue)
    products = pd.read_parquet(existing(folder / "clean" / "products.parquet"), columns=["brand", text])
    products["status"] = pd.read_parquet(existing(folder / "image" / "status.parquet"), columns=["status"])
    held, unseen = products.iloc[held_out.rows], []
    for seed in held_out.seeds:
        with np.load(_predictions(chosen.catalogue, model, seed), allow_pickle=False) as file:
            unseen.append((held["brand"] != "") & ~held["brand"].isin(products["brand"].iloc[file["train_rows"]]))
    kinds = {
        "no photo that can be used": ("image", (held["status"] != "ok").to_numpy()),
        "no description": ("text", (held[text] == "").to_numpy()),
        "no brand": ("brand", (held["brand"] == "").to_numpy()),
        "brand not seen in training": ("brand", np.array(unseen)),
    }
    inputs = study_of(chosen.catalogue).variants[model.variant].inputs
    return {name: rows for name, (of, rows) in kinds.items() if of in inputs}


def compare_products(answers: Answers, kinds: Mapping[str, Bools]) -> pd.DataFrame:
    """Compare the path accuracy on products of some kind with that on all others.

    The interval of the difference is the bootstrap's, or Newcombe's (1998, Statistics in Medicine 17:873, method 10)
    where either accuracy has Wilson's.

    Parameters
    ----------
    kinds
        Name -> bool (rows,) or (seeds, rows). A kind that no row has, or all have, is left out.

    Returns
    -------
    DataFrame
        `kind`, `products` (a seed), `accuracy, low, high`, `others` (their accuracy), and
        `difference, difference_low, difference_high`.
    """
    right, rows = ~answers.wrong_path, []
    for name, kind in kinds.items():
        inside = np.broadcast_to(kind, right.shape)
        if not inside.any() or inside.all():
            continue
        sample = _sample(answers, np.stack([right, right], axis=2), np.stack([inside, ~inside], axis=2))
        measured, sizes = intervals(sample), [_mean_groups(answers, part) for part in (inside, ~inside)]
        small = [is_small(one.mean, int(size)) for one, size in zip(measured, sizes, strict=True)]
        a, b = (wilson(one.mean, size) if few else one for one, size, few in zip(measured, sizes, small, strict=True))
        apart = newcombe(a, b) if any(small) else differences(sample.column(0), sample.column(1))[0]
        rows.append((name, inside.sum() / len(answers.seeds), *a, b.mean, *apart))
    columns = ["kind", "products", "accuracy", "low", "high", "others"]
    return pd.DataFrame(rows, columns=[*columns, "difference", "difference_low", "difference_high"])


def _mean_groups(answers: Answers, inside: Bools) -> float:
    """Count the groups of near-duplicates that have a row of a kind, on average over the seeds that have one."""
    return float(np.mean([max(len(np.unique(answers.groups[rows])), 1) for rows in inside if rows.any()]))


# Decodings


def decodings(catalogue: str) -> dict[str, pd.DataFrame]:
    """Measure invalid paths, and what each way of decoding gains over another, for every variant.

    Returns
    -------
    Two tables of the main experiment on test rows. `invalid_paths`, at each size: `variant, split, train_size,
    decoding, share, low, high`. `decodings`, at the largest size: `variant, split, train_size, a, b`, and
    `difference, low, high, verdict` of path accuracy, paired.
    """
    results = Results.read(catalogue)
    rows = main_rows(results.intervals)
    rows = rows[
        (rows["measured_on"] == "test") & (rows["metric"] == "valid_share") & (rows["decoding"] != "valid_path")
    ]
    invalid = rows[["variant", "split", "train_size", "decoding"]].assign(
        share=1 - rows["mean"], low=1 - rows["high"], high=1 - rows["low"]
    )
    models = main_models(results.results)
    largest = pd.DataFrame(models, columns=Trained._fields)
    samples = resample_all(catalogue, results.results.merge(largest, on=list(Trained._fields)))
    path, gains = SAMPLED.index("path"), []
    for model in models:
        for a, b in DECODING_PAIRS:
            first, second = (samples.get(Measure(*model, decoding, "test")) for decoding in (a, b))
            if first and second:
                gain = differences(first, second)[path]
                called = verdict(gain.low, gain.high)
                gains.append((model.variant, model.split, model.train_size, a, b, *gain, called))
    columns = ["variant", "split", "train_size", "a", "b", "difference", "low", "high", "verdict"]
    return {"invalid_paths": invalid.reset_index(drop=True), "decodings": pd.DataFrame(gains, columns=columns)}
