r"""Learning curves: a law of error by training size, how sure it is, and how many labels it asks for.

Two laws are fitted, because a few sizes cannot tell them apart and they differ where it matters, beyond the largest:

.. math:: \text{error}(n) = a n^{-b} \qquad\text{and}\qquad \text{error}(n) = a n^{-b} + c, \quad a, c \ge 0

The first (`power`) goes on to no error at all, so that it asks for as few labels as one may hope; the second (`floor`)
may end at an error `c` that no number of labels removes. Power laws of learning curves: Cortes et al. (1994, *Learning
curves: asymptotic values and rate of convergence*, NIPS 6); Viering & Loog (2023, *The shape of learning curves: a
review*, IEEE TPAMI 45:7799).

Given `b`, both are linear in `a` and `c`. So `b` is searched on a grid, and the rest is weighted least squares
(variable projection; Golub & Pereyra, 1973): it cannot fail to converge, and every draw of the curve is fitted at once.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from lib.bootstrap import CONFIDENCE, Interval
from lib.errors import StudyError

LAWS = {"power": 2, "floor": 3}
"""The laws, and the number of their parameters: so many sizes are needed."""

EXPONENTS = np.geomspace(0.01, 3, 241)
REFINED = 41  # exponents between two neighbours of the best one
LEAST_DEVIATION = 1e-4  # of an error: no size counts for infinitely much

Floats = npt.NDArray[np.float64]


class Laws(NamedTuple):
    """Fitted laws, one a row of what was fitted: each a float64 array (fits,)."""

    scale: Floats
    exponent: Floats
    floor: Floats

    def errors(self, size: float) -> Floats:
        """Return the error that each law says for a training size."""
        found: Floats = self.scale * size**-self.exponent + self.floor
        return found

    def labels_needed(self, accuracy: float) -> Floats:
        """Return the training size at which each law reaches an accuracy; infinite where it never does.

        >>> Laws(np.array([2.0, 2.0]), np.array([0.5, 0.5]), np.array([0.0, 0.2])).labels_needed(0.9).round(6).tolist()
        [400.0, inf]
        """
        above = (1 - accuracy) - self.floor
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            size = np.exp(-np.log(above / self.scale) / self.exponent)
        found: Floats = np.where(above > 0, np.maximum(size, 1), np.inf)
        return found


class Curve(NamedTuple):
    """A learning curve.

    Attributes
    ----------
    sizes
        int (sizes,), ascending.
    accuracy
        float64 (1 + draws, sizes): as measured in row 0, then on every bootstrap draw. A row's values belong together.
    """

    sizes: npt.NDArray[np.int64]
    accuracy: Floats

    def before(self, sizes: int) -> "Curve":
        """Return the curve without its last sizes, so that `sizes` are left."""
        return Curve(self.sizes[:sizes], self.accuracy[:, :sizes])


def fit(curve: Curve, law: str) -> Laws:
    """Fit a law to the measured curve and to every draw of it, a size weighing by the inverse variance of its draws.

    Raises
    ------
    StudyError
        If there is no such law, or it has more parameters than the curve has sizes.
    """
    if law not in LAWS:
        raise StudyError(f"There is no law '{law}' of learning curves. Known: {list(LAWS)}.")
    if len(curve.sizes) < LAWS[law]:
        raise StudyError(f"The law '{law}' needs {LAWS[law]} training sizes. Got {curve.sizes.tolist()}.")
    errors = 1 - curve.accuracy
    deviations = np.maximum(errors[1:].std(axis=0), LEAST_DEVIATION) if len(errors) > 1 else np.ones(len(curve.sizes))
    weights, sizes = deviations**-2, curve.sizes / curve.sizes[0]
    coarse, _, _ = _best(errors, sizes, weights, EXPONENTS[None], law == "floor")
    step = EXPONENTS[1] / EXPONENTS[0]
    finer = coarse[:, None] * np.geomspace(1 / step, step, REFINED)
    exponent, scale, floor = _best(errors, sizes, weights, finer, law == "floor")
    return Laws(scale * float(curve.sizes[0]) ** exponent, exponent, floor)


def _best(
    errors: Floats, sizes: Floats, weights: Floats, exponents: Floats, with_floor: bool
) -> tuple[Floats, Floats, Floats]:
    """Return the exponent of least squares among some, with its scale and floor: three arrays (fits,)."""
    x = sizes ** -exponents[..., None]  # (fits or 1, exponents, sizes)
    y, share = errors[:, None], weights / weights.sum()
    scale = (share * x * y).sum(axis=-1) / (share * x * x).sum(axis=-1)
    floor = np.zeros_like(scale)
    if with_floor:
        x_mean, y_mean = (share * x).sum(axis=-1), (share * y).sum(axis=-1)
        spread = (share * (x - x_mean[..., None]) ** 2).sum(axis=-1)
        slope = np.maximum((share * (x - x_mean[..., None]) * y).sum(axis=-1) / spread, 0)
        above = y_mean - slope * x_mean
        scale, floor = np.where(above > 0, slope, scale), np.maximum(above, 0)
    residuals = y - scale[..., None] * x - floor[..., None]
    best = (share * residuals**2).sum(axis=-1).argmin(axis=1)
    rows = np.arange(len(errors))
    return np.broadcast_to(exponents, scale.shape)[rows, best], scale[rows, best], floor[rows, best]


def law_table(curve: Curve) -> pd.DataFrame:
    """Return the fitted laws with intervals.

    Returns
    -------
    DataFrame
        A row for each law that the sizes allow and each of its parameters: `law, parameter, value, low, high`, and
        `misfit`, the law's largest deviation from the curve as a share.
    """
    rows = []
    for law in possible(curve):
        laws = fit(curve, law)
        said = np.array([laws.errors(size)[0] for size in curve.sizes])
        misfit = float(np.abs(said - (1 - curve.accuracy[0])).max())
        for name, values in laws._asdict().items():
            if name != "floor" or law == "floor":
                rows.append((law, name, *interval(values), misfit))
    return pd.DataFrame(rows, columns=["law", "parameter", "value", "low", "high", "misfit"])


def check_table(curve: Curve) -> pd.DataFrame:
    """Predict the accuracy at the largest size from the smaller ones, by each law that these allow.

    Returns
    -------
    DataFrame
        `law, train_size, sizes` (those fitted)`, predicted, low, high, measured, measured_low, measured_high, error,
        error_low, error_high` (predicted minus measured, paired)`, inside` (the measured value lies in the interval).
    """
    rows, smaller = [], curve.before(len(curve.sizes) - 1)
    for law in possible(smaller):
        predicted, measured = 1 - fit(smaller, law).errors(float(curve.sizes[-1])), curve.accuracy[:, -1]
        said = interval(predicted)
        inside = said.low <= measured[0] <= said.high
        rows.append((law, int(curve.sizes[-1]), len(smaller.sizes), *said, *interval(measured),
                     *interval(predicted - measured), inside))  # fmt: skip
    names = (
        "predicted",
        "low",
        "high",
        "measured",
        "measured_low",
        "measured_high",
        "error",
        "error_low",
        "error_high",
    )
    return pd.DataFrame(rows, columns=["law", "train_size", "sizes", *names, "inside"])


def needed_table(curve: Curve, targets: list[float]) -> pd.DataFrame:
    """Return how many labels each law asks for.

    Returns
    -------
    DataFrame
        `law, target, labels, low, high` (infinite where the law never gets there)`, reached` (share of the draws that
        do)`, times_largest` (labels by the largest size that was measured: above 1, the law is extrapolated).
    """
    rows = []
    for law in possible(curve):
        laws = fit(curve, law)
        for target in targets:
            labels = laws.labels_needed(target)
            reached = float(np.isfinite(labels[1:]).mean()) if len(labels) > 1 else math.nan
            rows.append((law, target, *interval(labels), reached, labels[0] / curve.sizes[-1]))
    return pd.DataFrame(rows, columns=["law", "target", "labels", "low", "high", "reached", "times_largest"])


def band(curve: Curve, law: str, sizes: Floats) -> pd.DataFrame:
    """Return a law's accuracy at some sizes: `train_size, mean, low, high`."""
    laws = fit(curve, law)
    rows = [(size, *interval(1 - laws.errors(float(size)))) for size in sizes]
    return pd.DataFrame(rows, columns=["train_size", "mean", "low", "high"])


def possible(curve: Curve) -> list[str]:
    """List the laws that have no more parameters than the curve has sizes."""
    return [law for law, parameters in LAWS.items() if len(curve.sizes) >= parameters]


def interval(values: Floats) -> Interval:
    """Return the estimate in `values[0]` with its interval by percentiles of the draws after it, which may be infinite.

    >>> interval(np.array([7.0, 5.0, 6.0, 8.0, np.inf]))
    Interval(mean=7.0, low=5.0, high=inf)
    """
    if len(values) == 1:
        return Interval(float(values[0]), math.nan, math.nan)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(values[1:], [tail, 1 - tail], method="inverted_cdf")  # takes no means of infinities
    return Interval(float(values[0]), float(low), float(high))
