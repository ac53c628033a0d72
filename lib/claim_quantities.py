"""The quantities that claims are about, each computed from shares of rows.

A share is an array of any shape, one value a bootstrap draw; so is every quantity.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Shares = Mapping[str, Floats]

JOINT = ("level_1_and_2", "level_2_and_3")
"""Shares of rows in which two neighbouring levels are right at once."""


class Quantity(NamedTuple):
    """A quantity's name in prose, and how it is made from shares of rows."""

    label: str
    of: Callable[[Shares], Floats]


def right_after(shares: Shares, parent: str, child: str, joint: str) -> tuple[Floats, Floats]:
    """Return a level's accuracy where the level before is right, and where it is wrong; NaN where no row is.

    >>> shares = {"level_1": np.array(0.8), "level_2": np.array(0.7), "level_1_and_2": np.array(0.6)}
    >>> [round(float(share), 3) for share in right_after(shares, "level_1", "level_2", "level_1_and_2")]
    [0.75, 0.5]
    """
    right = np.asarray(shares[parent], np.float64)
    # What sums of rounded shares leave of zero is no row.
    of_right, of_wrong = (np.where(share > 1e-9, share, np.nan) for share in (right, 1 - right))
    both = np.asarray(shares[joint], np.float64)
    return both / of_right, (np.asarray(shares[child], np.float64) - both) / of_wrong


def _share(name: str) -> Callable[[Shares], Floats]:
    return lambda shares: shares[name]


def _fall(before: str, after: str) -> Callable[[Shares], Floats]:
    return lambda shares: shares[before] - shares[after]


def _dependence(parent: str, child: str, joint: str) -> Callable[[Shares], Floats]:
    def of(shares: Shares) -> Floats:
        right, wrong = right_after(shares, parent, child, joint)
        return right - wrong

    return of


QUANTITIES = {
    "level_1": Quantity("accuracy of level 1", _share("level_1")),
    "level_2": Quantity("accuracy of level 2", _share("level_2")),
    "level_3": Quantity("accuracy of level 3", _share("level_3")),
    "mean": Quantity("mean accuracy of the levels", _share("mean")),
    "path": Quantity("path accuracy", _share("path")),
    "valid_share": Quantity("share of valid paths", _share("valid_share")),
    "fall_to_level_2": Quantity("accuracy of level 1 minus that of level 2", _fall("level_1", "level_2")),
    "fall_to_level_3": Quantity("accuracy of level 2 minus that of level 3", _fall("level_2", "level_3")),
    "level_2_where_level_1_is_wrong": Quantity(
        "accuracy of level 2 where level 1 is wrong",
        lambda shares: right_after(shares, "level_1", "level_2", JOINT[0])[1],
    ),
    "level_2_hangs_on_level_1": Quantity(
        "accuracy of level 2 where level 1 is right, minus where it is wrong",
        _dependence("level_1", "level_2", JOINT[0]),
    ),
    "level_3_hangs_on_level_2": Quantity(
        "accuracy of level 3 where level 2 is right, minus where it is wrong",
        _dependence("level_2", "level_3", JOINT[1]),
    ),
}
"""Name -> quantity. The names are those of a rule's `metric` in `claims.yaml`."""
