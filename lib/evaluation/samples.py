"""What was measured: each model's accuracies, from the outcomes of its runs, with their bootstrap draws."""

import re
from collections.abc import Mapping
from typing import NamedTuple, cast, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from lib.clean.splits import test_rows, training_rows
from lib.config import LEVELS, SPLITS, Split, Text, build_dir
from lib.evaluation.bootstrap import Sample, group_weights, intervals, resample
from lib.exceptions import StudyError
from lib.files import existing, read_json
from lib.training.metrics import Way, path_of, read, unpack
from lib.training.runs import Run, grid, study_of

RUN = ["variant", "recipe", "text", "split", "train_size", "seed"]
NAME = re.compile(rf"(.+)-({'|'.join(get_args(Text))})-({'|'.join(SPLITS)})-([0-9]+)-([0-9]+)")
SAMPLED = (*LEVELS, "mean", "path", "valid_share")
"""The metrics of `results.csv`, each a mean over rows."""
JOINT = ("level_1_and_2", "level_2_and_3")
"""Shares of rows in which two neighbouring levels are right at once."""
MEASURED = (*SAMPLED, *JOINT)
"""A sample's columns: those metrics, and what claims need to tell how errors at two levels go together."""


class Measure(NamedTuple):
    """A model, and where and how it is measured: the key of a row of `intervals.csv`, but for the metric."""

    variant: str
    recipe: str
    text: str
    split: str
    train_size: int
    decoding: str
    measured_on: str


Samples = Mapping[Measure, Sample]
"""Columns of each sample: `MEASURED`."""


class Truth(NamedTuple):
    """What predictions are compared with, rows in the order of `clean/products.parquet`.

    Attributes
    ----------
    codes
        int16 (rows, 3).
    groups
        intp (rows,): number of the near-duplicate group, from 0 without gaps.
    paths
        int16 (valid paths, 3).
    """

    codes: npt.NDArray[np.int16]
    groups: npt.NDArray[np.intp]
    paths: npt.NDArray[np.int16]


def load_truth(catalogue: str) -> Truth:
    """Read the true codes, near-duplicate groups and valid paths of a catalogue."""
    columns = [f"{level}_code" for level in LEVELS]
    products = _read_products(catalogue, *columns, "group")
    groups = np.unique(products["group"].to_numpy(), return_inverse=True)[1]
    paths = read_json(build_dir(catalogue, "clean", "taxonomy.json"))["paths"]
    return Truth(products[columns].to_numpy(np.int16), groups, np.array(paths, np.int16))


def list_runs(catalogue: str) -> pd.DataFrame:
    """List the runs that there are outcomes of: the columns `RUN`, sorted.

    Raises
    ------
    StudyError
        If outcomes that the catalogue's experiments leave are missing, or not named as runs are.
    """
    rows: list[tuple[object, ...]] = []
    params = study_of(catalogue)
    for variant in params.variants:
        if not grid(variant, params, catalogue):
            continue
        path = path_of(catalogue, variant)
        if not (found := read(path)):
            raise StudyError(f"{path} holds no outcomes. Run `dvc repro` to make them again.")
        for key in found:
            if (run := NAME.fullmatch(key)) is None:
                raise StudyError(f"{path}: '{key}' is not the name of a run. Run `dvc repro` to make it again.")
            rows.append((variant, *run.group(1, 2, 3), int(run[4]), int(run[5])))
    return pd.DataFrame(rows, columns=RUN).sort_values(RUN, ignore_index=True)


def resample_all(catalogue: str, runs: pd.DataFrame, *, fresh: bool = False) -> dict[Measure, Sample]:
    """Measure and resample models on test and on training rows, in each way they were decoded.

    Parameters
    ----------
    runs
        With the columns `RUN`: rows of `list_runs` or `results.csv`.
    fresh
        Measure on the test rows alone that no test part of the study's first edition held. There may be none, and then
        there are no samples.

    Raises
    ------
    StudyError
        If a run is not among the outcomes, or does not fit the clean products.
    """
    columns = ["sampling_key", *(f"{split}_split" for split in SPLITS), *(["fresh"] if fresh else [])]
    products = _read_products(catalogue, *columns)
    counts = products["fresh"].to_numpy(bool) if fresh else np.ones(len(products), bool)
    groups = load_truth(catalogue).groups
    weights = group_weights(int(groups.max()) + 1)
    samples = {}
    for variant, table in runs.groupby("variant", sort=False):
        file = path_of(catalogue, str(variant))
        outcomes = read(file)
        for model, rows in table.groupby(RUN[1:-1]):
            recipe, text, split, size = cast(tuple[str, Text, Split, int], model)
            seeds = sorted(rows["seed"].unique().tolist())
            measured: dict[Way, list[tuple[npt.NDArray[np.bool_], npt.NDArray[np.intp]]]] = {}
            for seed in seeds:
                if (key := Run(recipe, text, split, size, seed).key(size)) not in outcomes:
                    raise StudyError(f"{file} has no run '{key}'. Run `dvc repro` to make it again.")
                numbers = {
                    "test": test_rows(products, split),
                    "train": np.sort(training_rows(products, split, size, seed)[0]),
                }
                for way, bits in outcomes[key].items():
                    here = numbers[way.measured_on]
                    if bits.shape[1] != -(-len(here) // 8):
                        raise StudyError(f"{file} does not fit the clean products. Run `dvc repro` to make it again.")
                    kept = counts[here]
                    if fresh and (way.measured_on != "test" or not kept.any()):
                        continue
                    right, here = unpack(bits, len(here))[kept], here[kept]
                    both = np.column_stack([right, right[:, 0] & right[:, 1], right[:, 1] & right[:, 2]])
                    measured.setdefault(way, []).append((both, groups[here]))
            for way, found in measured.items():
                if len(found) != len(seeds):
                    raise StudyError(f"{file}: not every seed of '{key}' is measured alike. Run `dvc repro` again.")
                correct, members = zip(*found, strict=True)
                measure = Measure(str(variant), recipe, text, split, size, way.decoding, way.measured_on)
                samples[measure] = _with_mean(resample(seeds, correct, members, weights))
    return samples


def result_table(samples: Samples) -> pd.DataFrame:
    """Return each metric of each run: the columns of `results.csv`, one row a number."""
    rows = [
        {**measure._asdict(), "seed": seed, "metric": metric, "value": round(float(value), 6)}
        for measure, sample in samples.items()
        for seed, values in zip(sample.seeds, sample.values, strict=True)
        for metric, value in zip(MEASURED, values, strict=True)
        if metric in SAMPLED
    ]
    columns = [*RUN, "decoding", "measured_on", "metric"]
    return pd.DataFrame(rows, columns=[*columns, "value"]).sort_values(columns, ignore_index=True)


def interval_table(samples: Samples) -> pd.DataFrame:
    """Return mean over seeds and 95% interval of each metric of each sample: the columns of `intervals.csv`."""
    rows = [
        (*measure, metric, *(np.round(interval, 6) + 0.0), len(sample.seeds))
        for measure, sample in samples.items()
        for metric, interval in zip(MEASURED, intervals(sample), strict=True)
        if metric in SAMPLED
    ]
    columns = [*Measure._fields, "metric"]
    table = pd.DataFrame(rows, columns=[*columns, "mean", "low", "high", "seeds"])
    return table.sort_values(columns, ignore_index=True)


def _read_products(catalogue: str, *columns: str) -> pd.DataFrame:
    return pd.read_parquet(existing(build_dir(catalogue, "clean", "products.parquet")), columns=list(columns))


def _with_mean(sample: Sample) -> Sample:
    """Put the mean of the levels after them."""
    levels = len(LEVELS)
    values, draws = (
        np.insert(array, levels, array[..., :levels].mean(axis=-1), axis=-1) for array in (sample.values, sample.draws)
    )
    return Sample(sample.seeds, values, draws)
