"""What each run got right, row by row: all that results, intervals and contrasts are made of, and small enough for git.

An outcome is four bits a row: is each level right, and is the predicted path a valid one? Rows stand in ascending
order of their number, and which rows they are is known from split, training size and seed (`lib/splits.py`). So whoever
has the cleaned products and `reports/` can do all the statistics again without training anything.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lib import artifacts, config
from lib.errors import StudyError

FILE = "outcomes.npz"
"""What a run's own outcomes are called until those of all runs are put together."""

Bits = npt.NDArray[np.uint8]
Right = npt.NDArray[np.bool_]


class Way(NamedTuple):
    """How a model was decoded, and on which rows it was measured (`test` or `train`)."""

    decoding: str
    measured_on: str


def pack(right: Right, rows: npt.NDArray[np.integer]) -> Bits:
    """Pack what `lib.evaluate.correctness` says of some rows.

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


def write(path: Path, outcomes: Mapping[str, Mapping[Way, Bits]]) -> None:
    """Write the outcomes of runs, by the run's key and the way; `path` should be a temporary name."""
    arrays = {
        f"{key}/{way.measured_on}/{way.decoding}": bits
        for key, found in outcomes.items()
        for way, bits in found.items()
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
    found: dict[str, dict[Way, Bits]] = {}
    try:
        with np.load(artifacts.existing(path), allow_pickle=False) as file:
            for name in file.files:
                key, measured_on, decoding = name.split("/")
                found.setdefault(key, {})[Way(decoding, measured_on)] = file[name]
    except ValueError as error:
        raise StudyError(
            f"{path} does not hold outcomes of runs: {error}. Run `dvc repro` to make it again."
        ) from error
    return found


def merge(paths: Iterable[Path]) -> dict[str, dict[Way, Bits]]:
    """Read several files as one."""
    return {key: by for path in paths for key, by in read(path).items()}


def path_of(catalogue: str, variant: str) -> Path:
    """Return where a variant's outcomes stand."""
    return config.report_dir(catalogue, "outcomes", f"{variant}.npz")
