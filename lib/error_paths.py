"""Which levels of a wrong path are wrong, and how far the answers are from the truth: pure functions of arrays."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from lib.bootstrap import Interval
from lib.config import LEVELS
from lib.error_shares import Answers, Bools, limits_table, shares

LEVEL_NAMES = tuple(level.replace("_", " ") for level in LEVELS)


def wrong_levels(tested: Answers) -> pd.DataFrame:
    """Say which levels are wrong where a path is.

    Returns
    -------
    DataFrame
        `first` (the first level that is wrong), `wrong` (all that are), `errors` (a seed), and `share, low, high` of
        all wrong paths; the seven cases in the order of their first level.
    """
    wrong, path = ~tested.right, tested.wrong_path
    cases = [[bool(number & bit) for bit in (4, 2, 1)] for number in (4, 6, 5, 7, 2, 3, 1)]
    kinds = np.stack([(wrong == case).all(axis=2) for case in cases], axis=2)
    named = [[name for name, there in zip(LEVEL_NAMES, case, strict=True) if there] for case in cases]
    table = pd.DataFrame({"first": [case[0] for case in named], "wrong": [" + ".join(case) for case in named]})
    table["errors"] = kinds.sum(axis=(0, 1)) / len(tested.seeds)
    return table.join(limits_table(shares(tested, kinds, path[:, :, None])))


def relations(tested: Answers) -> pd.DataFrame:
    """Say how far a wrong class is from the right one.

    Returns
    -------
    DataFrame
        `level`, `relation`, `errors` (a seed) and `share, low, high` of the level's errors. A *sibling* is valid
        below the true parents; a *cousin* (of level 3) only below the true level 1; all others are *elsewhere*.
    """
    parts = []
    for level in (1, 2):
        wrong = ~tested.right[:, :, level]
        parent = [_valid(tested, answer, level, list(range(level))) for answer in tested.predicted]
        top = [_valid(tested, answer, level, [0]) for answer in tested.predicted]
        sibling, below_top = np.array(parent), np.array(top)
        kinds = {"sibling": sibling, "cousin": ~sibling & below_top, "elsewhere": ~below_top}
        if level == 1:  # the only parent is level 1
            del kinds["cousin"]
        stacked = np.stack(list(kinds.values()), axis=2)
        part = pd.DataFrame({"level": LEVELS[level], "relation": list(kinds)})
        part["errors"] = (stacked & wrong[:, :, None]).sum(axis=(0, 1)) / len(tested.seeds)
        parts.append(part.join(limits_table(shares(tested, stacked, wrong[:, :, None]))))
    return pd.concat(parts, ignore_index=True)


def _valid(tested: Answers, predicted: npt.NDArray[np.int16], level: int, parents: Sequence[int]) -> Bools:
    """Say of each row whether its predicted class is valid below some of its true classes."""
    found = np.column_stack([tested.codes[:, parents], predicted[:, level]])
    return _among(found, tested.paths[:, [*parents, level]])


def _among(found: npt.NDArray[Any], known: npt.NDArray[Any]) -> Bools:
    """Say which rows of one table are in another."""
    sizes = np.maximum(found.max(axis=0, initial=0), known.max(axis=0)).astype(np.int64) + 1
    numbers = (np.ravel_multi_index(tuple(table.T.astype(np.int64)), tuple(sizes)) for table in (found, known))
    return np.isin(*numbers)


def only_level_1(tested: Answers) -> tuple[Interval, pd.DataFrame]:
    """Find the errors where level 1 alone is wrong.

    Returns
    -------
    share
        Of all wrong paths.
    pairs
        `true`, `predicted` (classes of level 1), `errors` (a seed), `share, low, high` of these errors, and
        `both_valid`: for which share of them the predicted path is valid too, so that both classes have such products.
    """
    right = tested.right
    alone = ~right[:, :, 0] & right[:, :, 1] & right[:, :, 2]
    share = shares(tested, alone[:, :, None], tested.wrong_path[:, :, None])[0]
    seed, row = np.nonzero(alone)
    answers = tested.predicted[seed, row]
    table = pd.DataFrame({
        "true": tested.codes[row, 0],
        "predicted": answers[:, 0],
        "both_valid": _among(answers, tested.paths),
    })  # fmt: skip
    pairs = table.groupby(["true", "predicted"])["both_valid"].agg(["size", "mean"]).reset_index()
    kinds = np.zeros((*alone.shape, len(pairs)), bool)
    for place, (true, predicted) in enumerate(pairs[["true", "predicted"]].to_numpy()):
        kinds[:, :, place] = (tested.codes[:, 0] == true) & (tested.predicted[:, :, 0] == predicted)
    limits = limits_table(shares(tested, kinds, alone[:, :, None]) if len(pairs) else [])
    names = np.array(tested.names[0], object)
    named = pd.DataFrame({
        "true": names[pairs["true"]],
        "predicted": names[pairs["predicted"]],
        "errors": pairs["size"] / len(tested.seeds),
    })  # fmt: skip
    named = named.join(limits).assign(both_valid=pairs["mean"])
    return share, named.sort_values(["errors", "true"], ascending=[False, True], ignore_index=True)
