"""From log-probabilities to category paths, and from paths to the study's metrics.

Everything here is exact and independent of row order, so that the same predictions give the same numbers anywhere.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lib.config import LEVELS

DECODINGS = ("independent", "valid_path")
"""How any model's log-probabilities are decoded here."""

CHAIN_DECODINGS = ("hard", "soft", "soft_child")
"""How chained models decode by themselves; their predictions hold the paths (`lib/decode.py`)."""

METRICS = (*LEVELS, "mean", "path", "macro_f1", "valid_share")
ROWS_AT_ONCE = 1024  # rows scored against every valid path at once: about 5 MB for the paper's 1,200 paths

Codes = npt.NDArray[np.int16]
Record = dict[str, str | int | float]


class Decoded(NamedTuple):
    """Paths that a chained model decoded by itself, best first.

    Attributes
    ----------
    codes
        int16 (rows, paths, 3).
    scores
        float16 (rows, paths, 3): log-probability of each class given the one before it; their sum is the path's.
    """

    codes: npt.NDArray[np.int16]
    scores: npt.NDArray[np.float16]


def usual_decodings(found: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Say how each variant is decoded where nothing else is said.

    A chain by its own first way; a model that answers only valid paths so; others independently.

    Parameters
    ----------
    found
        Pairs of a variant and a decoding that it was measured in.

    Examples
    --------
    >>> usual_decodings([("lstm", "independent"), ("lstm", "soft"), ("lstm", "hard"), ("brand", "independent")])
    {'lstm': 'hard', 'brand': 'independent'}
    """
    decodings: dict[str, set[str]] = {}
    for variant, decoding in found:
        decodings.setdefault(variant, set()).add(decoding)
    return {
        variant: next((name for name in (*CHAIN_DECODINGS, *DECODINGS) if name in names), DECODINGS[0])
        for variant, names in decodings.items()
    }


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
    best = [_best_path(chunk, ordered) for chunk in _chunks(log_probabilities)]
    rows = np.concatenate(best) if best else np.empty(0, np.intp)
    return ordered[rows].astype(np.int16)


def decode(log_probabilities: Sequence[npt.NDArray[Any]], paths: npt.NDArray[Any]) -> dict[str, Codes]:
    """Decode in each way of `DECODINGS`: name -> int16 (rows, 3)."""
    return {"independent": independent(log_probabilities), "valid_path": valid_path(log_probabilities, paths)}


def correctness(predicted: npt.NDArray[Any], codes: npt.NDArray[Any], paths: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
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
    return np.column_stack([right, right.all(axis=1), _is_valid(predicted, paths)])


def metrics(predicted: npt.NDArray[Any], codes: npt.NDArray[Any], paths: npt.NDArray[Any]) -> dict[str, float]:
    """Measure predictions against the true codes.

    Parameters
    ----------
    predicted, codes
        Integer arrays (rows, 3); at least one row.
    paths
        Integer array (valid paths, 3).

    Returns
    -------
    Values from 0 to 1: the accuracy of each level, their `mean` (the paper's number), `path` (all three right),
    `macro_f1` (mean over the levels of the mean F1 over the classes that occur in `codes`) and `valid_share`
    (predicted paths that are valid ones).

    Examples
    --------
    >>> paths = np.array([[0, 0, 0], [1, 1, 1]])
    >>> metrics(np.array([[0, 0, 0], [1, 1, 0]]), paths, paths)["path"]
    0.5
    """
    *levels, path, valid = correctness(predicted, codes, paths).mean(axis=0).tolist()
    f1 = [_macro_f1(predicted[:, level], codes[:, level]) for level in range(len(LEVELS))]
    values = (*levels, sum(levels) / len(levels), path, sum(f1) / len(f1), valid)
    return dict(zip(METRICS, values, strict=True))


def tidy(run: Mapping[str, str | int], measured_on: str, decoding: str, values: Mapping[str, float]) -> list[Record]:
    """Make the rows of `results.csv` that hold one set of metrics.

    Parameters
    ----------
    run
        `variant, recipe, text, split, train_size, seed`.
    measured_on
        `test` or `train`.
    decoding
        How the levels were decoded, one of `DECODINGS` or `CHAIN_DECODINGS`.
    values
        What `metrics` returns; rounded to 6 decimals here.

    Examples
    --------
    >>> tidy({"variant": "naive", "seed": 0}, "test", "independent", {"path": 1 / 3})  # doctest: +ELLIPSIS
    [{'variant': 'naive', 'seed': 0, 'decoding': 'independent', ..., 'metric': 'path', 'value': 0.333333}]
    """
    where = {**run, "decoding": decoding, "measured_on": measured_on}
    return [{**where, "metric": metric, "value": round(float(value), 6)} for metric, value in values.items()]


def run_records(
    run: Mapping[str, str | int],
    predicted: Mapping[str, Mapping[str, Codes]],
    codes: Mapping[str, npt.NDArray[Any]],
    paths: npt.NDArray[Any],
) -> list[Record]:
    """Measure one run on its test rows and on its training rows, in each way that they were decoded.

    Parameters
    ----------
    run
        `variant, recipe, text, split, train_size, seed`.
    predicted
        `test` and `train` -> decoding -> integer array (rows, 3): what the model says.
    codes
        `test` and `train` -> integer array (rows, 3): what is so.
    paths
        Integer array (valid paths, 3).
    """
    records = []
    for measured_on, decoded in predicted.items():
        for decoding, said in decoded.items():
            records += tidy(run, measured_on, decoding, metrics(said, codes[measured_on], paths))
    return records


def _chunks(arrays: Sequence[npt.NDArray[Any]]) -> Iterator[list[npt.NDArray[Any]]]:
    for start in range(0, len(arrays[0]), ROWS_AT_ONCE):
        yield [array[start : start + ROWS_AT_ONCE] for array in arrays]


def _best_path(levels: list[npt.NDArray[Any]], paths: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    """Return the index of each row's best path. Classes come first here, so that a path's scores are one block."""
    columns = [np.ascontiguousarray(level.T, dtype=np.float32) for level in levels]
    scores = columns[0][paths[:, 0]]
    for column, codes in zip(columns[1:], paths[:, 1:].T, strict=True):
        scores += column[codes]
    best: npt.NDArray[np.intp] = scores.argmax(axis=0)
    return best


def _is_valid(predicted: npt.NDArray[Any], paths: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    sizes = np.maximum(predicted.max(axis=0, initial=0), paths.max(axis=0)).astype(np.int64) + 1
    return np.isin(_path_numbers(predicted, sizes), _path_numbers(paths, sizes))


def _path_numbers(codes: npt.NDArray[Any], sizes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Give each path of codes a number of its own: equal paths, and only those, share one."""
    first, second, third = codes.astype(np.int64).T
    numbers: npt.NDArray[np.int64] = (first * sizes[1] + second) * sizes[2] + third
    return numbers


def _macro_f1(predicted: npt.NDArray[Any], codes: npt.NDArray[Any]) -> float:
    classes = int(max(predicted.max(), codes.max())) + 1
    true, said = np.bincount(codes, minlength=classes), np.bincount(predicted, minlength=classes)
    right = np.bincount(codes[predicted == codes], minlength=classes)
    present = true > 0
    return float(np.mean(2 * right[present] / (true + said)[present]))
