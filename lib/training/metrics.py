"""What a run got right: from log-probabilities to category paths, to outcomes of four bits a row, to accuracies.

An outcome says of one row which levels are right, and whether the predicted path is a valid one. Rows stand in
ascending order of their number, and which rows they are is known from split, training size and seed
(`lib.clean.splits`). So whoever has the cleaned products and `reports/` can do all statistics again without training
anything. Every accuracy is a mean of outcomes: nothing else is measured, and nowhere else. All of it is exact, whatever
the order of rows.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from lib import config, files
from lib.config import LEVELS
from lib.exceptions import StudyError

DECODINGS = ("independent", "valid_path")
"""How any model's log-probabilities are decoded here."""

CHAIN_DECODINGS = ("hard", "soft", "soft_child")
"""How chained models decode by themselves; their predictions hold the paths."""

METRICS = (*LEVELS, "mean", "path", "valid_share")
"""Accuracy of each level; their mean, the paper's number; all levels right; and predicted paths that are valid ones."""

ROWS_AT_ONCE = 1024  # rows scored against every valid path at once: about 5 MB for the paper's 1,200 paths

Codes = npt.NDArray[np.int16]
Bits = npt.NDArray[np.uint8]
Right = npt.NDArray[np.bool_]


class Way(NamedTuple):
    """How a model was decoded, and on which rows it was measured (`test` or `train`)."""

    decoding: str
    measured_on: str


Outcomes = Mapping[str, Mapping[Way, Bits]]
"""By a run's name (`Run.key`), and by the way."""


def independent(log_probabilities: Sequence[npt.NDArray[Any]]) -> Codes:
    """Decode every level on its own: its most probable class, the lowest code where there is a tie.

    Parameters
    ----------
    log_probabilities
        One array a level, (rows, classes of the level), any float type.

    Returns
    -------
    int16 array (rows, 3) of class codes.

    Examples
    --------
    >>> independent([np.log([[0.6, 0.4]]), np.log([[0.3, 0.7]]), np.log([[0.5, 0.5]])]).tolist()
    [[0, 1, 0]]
    """
    return np.stack([level.argmax(axis=1) for level in log_probabilities], axis=1).astype(np.int16)


def valid_path(log_probabilities: Sequence[npt.NDArray[Any]], paths: npt.NDArray[Any]) -> Codes:
    """Decode the levels together: the valid path with the largest sum of log-probabilities.

    Ties go to the first path in the order of its codes, whatever the order of `paths`. Sums are float32.

    Parameters
    ----------
    log_probabilities
        One array a level, (rows, classes of the level), any float type.
    paths
        Integer array (valid paths, 3).

    Returns
    -------
    int16 array (rows, 3); every row is a row of `paths`.

    Examples
    --------
    >>> levels = [np.log([[0.6, 0.4]]), np.log([[0.3, 0.7]]), np.log([[0.5, 0.5]])]
    >>> valid_path(levels, np.array([[0, 0, 0], [1, 1, 1]])).tolist()
    [[1, 1, 1]]
    """
    ordered = np.unique(paths, axis=0)
    best = [np.empty(0, np.intp)]
    for start in range(0, len(log_probabilities[0]), ROWS_AT_ONCE):
        chunk = [level[start : start + ROWS_AT_ONCE] for level in log_probabilities]
        first, *rest = [
            np.ascontiguousarray(level.T, dtype=np.float32) for level in chunk
        ]  # a path's scores: one block
        scores = first[ordered[:, 0]]
        for level, codes in zip(rest, ordered[:, 1:].T, strict=True):
            scores += level[codes]
        best.append(scores.argmax(axis=0))
    return ordered[np.concatenate(best)].astype(np.int16)


def decode(log_probabilities: Sequence[npt.NDArray[Any]], paths: npt.NDArray[Any]) -> dict[str, Codes]:
    """Decode in each way of `DECODINGS`: name -> int16 (rows, 3)."""
    return {"independent": independent(log_probabilities), "valid_path": valid_path(log_probabilities, paths)}


def usual_decodings(measured: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Say how each variant is decoded where nothing else is said.

    A chain by its own first way; a model that answers only valid paths so; others independently.

    Parameters
    ----------
    measured
        Pairs of a variant and a decoding that it was measured in.

    Examples
    --------
    >>> usual_decodings([("lstm", "independent"), ("lstm", "soft"), ("lstm", "hard"), ("brand", "independent")])
    {'lstm': 'hard', 'brand': 'independent'}
    """
    decodings: dict[str, set[str]] = {}
    for variant, decoding in measured:
        decodings.setdefault(variant, set()).add(decoding)
    return {
        variant: next((name for name in (*CHAIN_DECODINGS, *DECODINGS) if name in names), DECODINGS[0])
        for variant, names in decodings.items()
    }


def correctness(predicted: npt.NDArray[Any], codes: npt.NDArray[Any], paths: npt.NDArray[Any]) -> Right:
    """Say for every row which levels are right, whether all are, and whether the predicted path is a valid one.

    Parameters
    ----------
    predicted, codes
        Integer arrays (rows, 3): what a model says, and what is so.
    paths
        Integer array (valid paths, 3).

    Returns
    -------
    bool array (rows, 5): level_1, level_2, level_3, path, valid_share. Each column's mean is that metric.
    """
    right = np.equal(predicted, codes)
    sizes = np.maximum(predicted.max(axis=0, initial=0), paths.max(axis=0)).astype(np.int64) + 1
    said, valid = (np.ravel_multi_index(tuple(of.astype(np.int64).T), tuple(sizes)) for of in (predicted, paths))
    return np.column_stack([right, right.all(axis=1), np.isin(said, valid)])


def pack(right: Right, rows: npt.NDArray[np.integer]) -> Bits:
    """Pack what `correctness` says of some rows.

    Parameters
    ----------
    right
        bool (rows, 5): level_1, level_2, level_3, path, valid_share.
    rows
        The rows' numbers, in any order.

    Returns
    -------
    uint8 array (4, bytes): a bit a row for each level, and for the valid path.

    Examples
    --------
    >>> right = np.array([[True, True, True, True, True], [True, False, True, False, False]])
    >>> unpack(pack(right, np.array([7, 3])), 2).astype(int).tolist()
    [[1, 0, 1, 0, 0], [1, 1, 1, 1, 1]]
    """
    ordered = right[np.argsort(rows)]
    return np.packbits(np.delete(ordered, -2, axis=1).T, axis=1)


def unpack(bits: Bits, rows: int) -> Right:
    """Undo `pack`: bool (rows, 5), rows in ascending order of their numbers."""
    *levels, valid = np.unpackbits(bits, axis=1, count=rows).astype(bool)
    return np.column_stack([*levels, np.logical_and.reduce(levels), valid])


def write(path: Path, outcomes: Outcomes) -> None:
    """Write the outcomes of runs; the same bytes whatever their order. `path` should be a temporary name."""
    arrays = {
        f"{key}/{way.measured_on}/{way.decoding}": bits for key, by in outcomes.items() for way, bits in by.items()
    }
    with path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **dict(sorted(arrays.items())))


def read(path: Path) -> dict[str, dict[Way, Bits]]:
    """Read what `write` wrote.

    Raises
    ------
    StudyError
        If the file is missing, or is not one of outcomes.
    """
    outcomes: dict[str, dict[Way, Bits]] = {}
    try:
        with np.load(files.existing(path), allow_pickle=False) as file:
            for name in file.files:
                key, measured_on, decoding = name.split("/")
                outcomes.setdefault(key, {})[Way(decoding, measured_on)] = file[name]
    except ValueError as error:
        raise StudyError(
            f"{path} does not hold outcomes of runs: {error}. Run `dvc repro` to make it again."
        ) from error
    return outcomes


def path_of(catalogue: str, variant: str) -> Path:
    """Return where a variant's outcomes stand."""
    return config.report_dir(catalogue, "outcomes", f"{variant}.npz")


def accuracies(outcomes: Outcomes, test_rows: Mapping[str, int]) -> pd.DataFrame:
    """Measure runs by their outcomes.

    Parameters
    ----------
    test_rows
        How many test rows each split has.

    Returns
    -------
    DataFrame
        A row for each run, way and metric: `recipe, text, split, train_size, seed, decoding, measured_on, metric,
        value`. Values are from 0 to 1, and `METRICS` the metrics.

    Examples
    --------
    >>> right = np.array([[True, True, True, True, True], [True, False, True, False, False]])
    >>> bits = {Way("independent", "test"): pack(right, np.arange(2))}
    >>> accuracies({"tuned-masked-random-40-0": bits}, {"random": 2}).set_index("metric")["value"].round(2).to_dict()
    {'level_1': 1.0, 'level_2': 0.5, 'level_3': 1.0, 'mean': 0.83, 'path': 0.5, 'valid_share': 0.5}
    """
    records = []
    for key, by in outcomes.items():
        recipe, text, split, size, seed = key.rsplit("-", 4)
        run = {"recipe": recipe, "text": text, "split": split, "train_size": int(size), "seed": int(seed)}
        for way, bits in by.items():
            rows = test_rows[split] if way.measured_on == "test" else int(size)
            *levels, path, valid = unpack(bits, rows).mean(axis=0).tolist()
            values = (*levels, sum(levels) / len(levels), path, valid)
            records += [{**run, **way._asdict(), "metric": m, "value": v} for m, v in zip(METRICS, values, strict=True)]
    columns = ["recipe", "text", "split", "train_size", "seed", "decoding", "measured_on", "metric", "value"]
    return pd.DataFrame(records, columns=columns)
