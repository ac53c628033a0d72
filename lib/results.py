"""The `results` stage: one table of numbers, their intervals, the contrasts that may be called, and the verdicts.

Metrics come from `reports/NAME/metrics/`, and what resampling needs, row by row, from `reports/NAME/outcomes/`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, cast, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd
import pandera.errors
import pandera.pandas as pa

from lib.artifacts import existing, read_json
from lib.baselines import baseline_table
from lib.bootstrap import Sample, group_weights, intervals, resample
from lib.claim_quantities import JOINT
from lib.claims import load_claims
from lib.config import LEVELS, Split, Text, build_dir, load_params, report_dir
from lib.contrasts import Measure, Samples, contrast_table
from lib.errors import StudyError
from lib.ledger import ledger
from lib.outcomes import Bits, Way, path_of, read, unpack
from lib.runs import Run
from lib.splits import test_rows, training_rows
from lib.tables import read_table, write_tables

RUN = ["variant", "recipe", "text", "split", "train_size", "seed"]
KEY = [*RUN, "decoding", "measured_on", "metric"]
COLUMNS = [*KEY, "value"]
INTERVAL_COLUMNS = [*Measure._fields, "metric", "mean", "low", "high", "seeds"]
SAMPLED = (*LEVELS, "mean", "path", "valid_share")
"""The metrics of `results.csv` that are means over rows. `macro_f1` is not one."""
MEASURED = (*SAMPLED, *JOINT)
"""A sample's columns: those metrics, and what claims need to tell how errors at two levels go together."""

_TEXT, _COUNT = pa.Column(str), pa.Column(int, pa.Check.ge(0))
SCHEMA = pa.DataFrameSchema(
    {
        **{name: _COUNT if name in ("train_size", "seed") else _TEXT for name in KEY},
        "measured_on": pa.Column(str, pa.Check.isin(["test", "train"])),
        "value": pa.Column(float, pa.Check.in_range(0, 1)),
    },
    strict=True,
    unique=KEY,
)


class Tables(NamedTuple):
    """The tables of a catalogue's results; their columns are in `docs/architecture.md`."""

    results: pd.DataFrame
    intervals: pd.DataFrame
    contrasts: pd.DataFrame
    claims: pd.DataFrame
    baselines: pd.DataFrame


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


def make_results(catalogue: str) -> Tables:
    """Run the `results` stage: write each of `Tables` to `reports/CATALOGUE/NAME.csv`, and return them.

    Raises
    ------
    StudyError
        If a variant's metrics or a run's outcomes are missing, malformed, or do not fit together, or if
        `claims.yaml` is wrong.
    """
    params, claims = load_params(), load_claims()
    results = collect(catalogue)
    samples = resample_all(catalogue, results)
    _require_agreement(results, samples)
    tables = Tables(
        results,
        interval_table(samples),
        contrast_table(samples, MEASURED, params.variants),
        ledger(claims, samples, MEASURED),
        baseline_table(samples, MEASURED, params),
    )
    write_tables(report_dir(catalogue), tables._asdict())
    return tables


def load_results(catalogue: str) -> Tables:
    """Read the tables that `make_results` wrote."""
    return Tables(*(read_table(report_dir(catalogue, f"{name}.csv")) for name in Tables._fields))


def collect(catalogue: str) -> pd.DataFrame:
    """Read the metrics of all variants of `params.yaml` into one sorted table with the columns `COLUMNS`.

    Raises
    ------
    StudyError
        If a variant has no metrics, or they do not have the form of `results.csv`.
    """
    tables = [_variant_metrics(catalogue, variant) for variant in load_params().variants]
    return pd.concat(tables).sort_values(KEY, ignore_index=True)


def resample_all(catalogue: str, results: pd.DataFrame) -> Samples:
    """Measure and resample every model of `results`, on test and on training rows, in each way it was decoded.

    Returns
    -------
    A `Sample` for each `Measure`, its columns being `MEASURED`.
    """
    products = _read_products(catalogue, "sampling_key", *(f"{split}_split" for split in get_args(Split)))
    groups = load_truth(catalogue).groups
    weights = group_weights(int(groups.max()) + 1)
    samples = {}
    for variant, table in results.groupby("variant", sort=False):
        file = path_of(catalogue, str(variant))
        found = read(file)
        for key, rows in table.groupby(RUN[1:-1]):
            model = cast(tuple[str, Text, Split, int], key)
            seeds = sorted(rows["seed"].unique().tolist())
            runs = [_read_run(file, Run(*model, seed), found, products, groups) for seed in seeds]
            for way in runs[0]:
                correct, members = zip(*(run[way] for run in runs), strict=True)
                measure = Measure._make((variant, *model, *way))
                samples[measure] = _with_mean(resample(seeds, correct, members, weights))
    return samples


def interval_table(samples: Samples) -> pd.DataFrame:
    """Return mean over seeds and 95% interval of each metric of each sample, with the columns of `intervals.csv`."""
    rows = [
        (*measure, metric, *(np.round(interval, 6) + 0.0), len(sample.seeds))
        for measure, sample in samples.items()
        for metric, interval in zip(MEASURED, intervals(sample), strict=True)
        if metric in SAMPLED
    ]
    table = pd.DataFrame(rows, columns=INTERVAL_COLUMNS)
    return table.sort_values(INTERVAL_COLUMNS[: len(Measure._fields) + 1], ignore_index=True)


def load_truth(catalogue: str) -> Truth:
    """Read the true codes, near-duplicate groups and valid paths of a catalogue."""
    columns = [f"{level}_code" for level in LEVELS]
    products = _read_products(catalogue, *columns, "group")
    groups = np.unique(products["group"].to_numpy(), return_inverse=True)[1]
    paths = read_json(build_dir(catalogue, "clean", "taxonomy.json"))["paths"]
    return Truth(products[columns].to_numpy(np.int16), groups, np.array(paths, np.int16))


def _read_products(catalogue: str, *columns: str) -> pd.DataFrame:
    return pd.read_parquet(existing(build_dir(catalogue, "clean", "products.parquet")), columns=list(columns))


def _variant_metrics(catalogue: str, variant: str) -> pd.DataFrame:
    path = report_dir(catalogue, "metrics", f"{variant}.json")
    records = read_json(path)
    if not records:
        raise StudyError(f"{path} holds no metrics. Run `dvc repro` to make them again.")
    table = pd.DataFrame(records)
    try:
        table = SCHEMA.validate(table, lazy=True)
    except pandera.errors.SchemaErrors as error:
        raise StudyError(f"{path} is not a table of metrics: {_first_failure(error)}.") from error
    if others := sorted(set(table["variant"]) - {variant}):
        raise StudyError(f"{path} should hold the variant '{variant}' only. Found {others}.")
    return table[COLUMNS]


def _first_failure(error: pandera.errors.SchemaErrors) -> str:
    case = error.failure_cases.iloc[0]
    return f"column {case['column']}: expected {case['check']}, found {case['failure_case']!r}"


def _read_run(
    file: Path, run: Run, found: Mapping[str, Mapping[Way, Bits]], products: pd.DataFrame, groups: npt.NDArray[np.intp]
) -> dict[Way, tuple[npt.NDArray[np.bool_], npt.NDArray[np.intp]]]:
    """Return for each way what was right, row by row, and each row's group."""
    key = run.key(int(run.size))
    if key not in found:
        raise StudyError(f"{file} has no run '{key}'. Run `dvc repro` to make it again.")
    rows = {
        "test": test_rows(products, run.split),
        "train": np.sort(training_rows(products, run.split, run.size, run.seed)[0]),
    }
    read = {}
    for way, bits in found[key].items():
        numbers = rows[way.measured_on]
        if bits.shape[1] != -(-len(numbers) // 8):
            raise StudyError(f"{file} does not fit the clean products. Run `dvc repro` to make it again.")
        right = unpack(bits, len(numbers))
        joint = [right[:, level] & right[:, level + 1] for level in range(len(JOINT))]
        read[way] = (np.column_stack([right, *joint]), groups[numbers])
    return read


def _with_mean(sample: Sample) -> Sample:
    """Put the mean of the levels after them."""
    levels = len(LEVELS)
    values, draws = (
        np.insert(array, levels, array[..., :levels].mean(axis=-1), axis=-1) for array in (sample.values, sample.draws)
    )
    return Sample(sample.seeds, values, draws)


def _require_agreement(results: pd.DataFrame, samples: Samples) -> None:
    """Refuse metrics and outcomes that are not of the same training."""
    rows = [
        (*measure[:5], seed, *measure[5:], metric, value)
        for measure, sample in samples.items()
        for seed, values in zip(sample.seeds, sample.values, strict=True)
        for metric, value in zip(MEASURED, values, strict=True)
    ]
    both = results.merge(pd.DataFrame(rows, columns=COLUMNS), on=KEY, suffixes=("", "_again"))
    wrong = both[(both["value"] - both["value_again"]).abs() > 1e-6]
    if len(wrong):
        run = wrong.iloc[0]
        raise StudyError(
            f"Metrics and outcomes of '{run['variant']}' do not belong together: {run['metric']} of "
            f"{'-'.join(str(run[name]) for name in RUN[1:])} is {run['value']:.6f} in the one and "
            f"{run['value_again']:.6f} by the other. Train it again: `dvc repro --force --single-item` its train stage."
        )
