"""Shares and calibration errors on held-out products, with intervals over groups of near-duplicates."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from lib.bootstrap import CONFIDENCE, Floats, Interval, group_weights
from lib.tagging.calibrate import group_shares

Bools = npt.NDArray[np.bool_]


class Groups(NamedTuple):
    """The groups of some rows, and how often each bootstrap draw takes each of them.

    Attributes
    ----------
    member : int array, shape (rows,)
        Number of each row's group, from 0.
    shares : array, shape (rows,)
        1 / size of the row's group: so weighted, a group counts as one distinct product.
    draws : array, shape (draws, groups)
    """

    member: npt.NDArray[np.int64]
    shares: Floats
    draws: npt.NDArray[np.float32]

    @classmethod
    def of(cls, groups: npt.NDArray[np.integer]) -> "Groups":
        """Draw from the groups of some rows."""
        present, member = np.unique(groups, return_inverse=True)
        return cls(member, group_shares(groups), group_weights(len(present)).astype(np.float32))

    def sums(self, values: Floats) -> Floats:
        """Add up values (rows, columns) on the rows as they are, and on each draw: (1 + draws, columns)."""
        per_group = np.zeros((self.draws.shape[1], values.shape[1]))
        np.add.at(per_group, self.member, values)
        drawn = np.einsum("dg,gc->dc", self.draws, per_group.astype(np.float32), optimize=False)
        return np.vstack([per_group.sum(axis=0), drawn.astype(np.float64)])

    def ratio(self, top: Floats | Bools, bottom: Floats | Bools, weights: Floats | None = None) -> Interval:
        """Return the share of `bottom` that is `top` as well; NaN where there is none of it.

        Parameters
        ----------
        top, bottom : arrays, shape (rows,)
        weights
            `shares` for distinct products; by default each row counts as one.
        """
        weights = np.ones(len(self.member)) if weights is None else weights
        sums = self.sums(np.stack([top * bottom * weights, bottom * weights], axis=1))
        return summarise(np.divide(sums[:, 0], sums[:, 1], out=np.full(len(sums), np.nan), where=sums[:, 1] > 0))


def summarise(values: Floats) -> Interval:
    """Return `values[0]` with the 95% interval of the draws after it, NaN left out."""
    drawn = values[1:][~np.isnan(values[1:])]
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail]) if len(drawn) else (np.nan, np.nan)
    return Interval(float(values[0]), float(low), float(high))


def bins_of(confidence: Floats, weights: Floats, bins: int) -> npt.NDArray[np.int64]:
    """Sort rows into bins of equal weight by their confidence; equal confidences share a bin."""
    order = np.argsort(confidence, kind="stable")
    place = np.cumsum(weights[order]) - weights[order] / 2
    edges = confidence[order][np.searchsorted(place, np.arange(1, bins) / bins * weights.sum())]
    return np.searchsorted(np.unique(edges), confidence, side="right")


def reliability(confidence: Floats, right: Bools, groups: Groups, bins: int) -> pd.DataFrame:
    """Compare confidence and accuracy in each bin, over distinct products.

    Returns
    -------
    DataFrame
        `bin, confidence, accuracy, low, high, share` (of the distinct products).
    """
    weights, number = groups.shares, bins_of(confidence, groups.shares, bins)
    rows = []
    for place in np.unique(number):
        inside = number == place
        found = groups.ratio(right, inside, weights)
        mean = float(np.average(confidence[inside], weights=weights[inside]))
        rows.append((int(place), mean, *found, weights[inside].sum() / weights.sum()))
    return pd.DataFrame(rows, columns=["bin", "confidence", "accuracy", "low", "high", "share"])


def calibration_error(confidence: Floats, right: Bools, groups: Groups, bins: int) -> Interval:
    """Return the expected calibration error over distinct products, with bins of equal mass.

    The mean gap between confidence and accuracy of a bin (Naeini, Cooper & Hauskrecht, 2015). Noise adds to a mean of
    absolute gaps, so that the interval of a well-calibrated model lies above zero.
    """
    weights, number = groups.shares, bins_of(confidence, groups.shares, bins)
    count = int(number.max()) + 1
    values = np.zeros((len(number), count + 1))
    values[np.arange(len(number)), number] = weights * (confidence - right)
    values[:, count] = weights
    sums = groups.sums(values)
    return summarise(np.abs(sums[:, :count]).sum(axis=1) / sums[:, count])
