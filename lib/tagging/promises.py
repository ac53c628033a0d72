"""What a tagger may promise: how sure it must be to tag without a person, and which paths a person is shown."""

from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator
from scipy.special import expit, logit

from lib.config import Share, Strict
from lib.exceptions import StudyError

Shares = npt.NDArray[np.float64]

_POWERS, _HALVINGS = 4.0, 24
"""`tempered` tries powers from exp(-4) to exp(4), and halves that range so often: to a millionth."""

_SMALLEST = 1e-30

Probability = Annotated[float, Field(ge=0, le=1)]

EDGE = 1e-9
"""Confidences are kept this far from 0 and 1, where their logit ends."""


class Scale(Strict):
    """Turns a path's probability into a calibrated confidence: logit -> slope * logit + intercept (Platt, 1999)."""

    slope: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    intercept: Annotated[float, Field(allow_inf_nan=False)] = 0.0

    def __call__(self, probabilities: Shares) -> Shares:
        """Calibrate probabilities; their order stays."""
        found: Shares = expit(self.slope * logit(np.clip(probabilities, EDGE, 1 - EDGE)) + self.intercept)
        return found


class Threshold(Strict):
    """The lowest confidence at which a promise holds.

    Attributes
    ----------
    precision
        The promise: so large a share of what is tagged automatically is right, at least.
    depth
        Levels that are tagged: 3 is the whole path, 1 the first level. A promise of depth 2 is of products that are
        tagged to level 2 and no deeper.
    confidence
        None where no threshold can be promised.
    """

    precision: Share
    depth: Literal[1, 2, 3]
    confidence: Probability | None


class Candidates(Strict):
    """Which paths a person is shown of a product whose whole path a promise does not tag.

    Attributes
    ----------
    precision
        The promise.
    share
        Share of these lists that should hold the right path.
    probability
        The smallest of a path on a list, not calibrated.
    """

    precision: Share
    share: Share
    probability: Probability

    @property
    def key(self) -> tuple[float, float]:
        """The promise, and the share of lists."""
        return self.precision, self.share


class Promises(Strict):
    """All that `08_business` found out on calibration rows.

    Each set of inputs that a product may have (names joined by `+`, empty for none) has promises of its own.

    Attributes
    ----------
    certainty
        Probability, over the draw of calibration rows, with which no promise of one set of inputs, precision and depth
        is broken. Draws on which none can be made count as well.
    scales
        By the set of inputs at hand, for each depth 1, 2, 3.
    coverage
        Share of lists that should hold the right path, where no other is asked for.
    thresholds, candidates
        By the set of inputs at hand; empty where nothing has been promised yet.
    """

    certainty: Share
    coverage: Share
    scales: dict[str, Annotated[list[Scale], Field(min_length=3, max_length=3)]]
    thresholds: dict[str, list[Threshold]]
    candidates: dict[str, list[Candidates]]

    @model_validator(mode="after")
    def _each_set_and_precision_has_three_thresholds_and_its_lists(self) -> Self:
        sets, precisions = sorted(self.thresholds), self.precisions
        if sorted(self.candidates) != sets or (sets and sets != sorted(self.scales)):
            raise ValueError(
                "expected `scales`, `thresholds` and `candidates` for the same sets of inputs. "
                f"Got {sorted(self.scales)}, {sets} and {sorted(self.candidates)}"
            )
        shares = sorted({c.share for made in self.candidates.values() for c in made})
        if precisions and self.coverage not in shares:
            raise ValueError(f"expected `coverage` to be one of the candidates' shares {shares}. Got {self.coverage}")
        for name in sets:
            found = sorted((t.precision, t.depth) for t in self.thresholds[name])
            if found != [(precision, depth) for precision in precisions for depth in (1, 2, 3)]:
                raise ValueError(
                    f"expected a threshold of each depth, 1 to 3, for each precision. Got {found} for {name!r}"
                )
            listed = sorted({(c.precision, c.share) for c in self.candidates[name]})
            if listed != [(precision, share) for precision in precisions for share in shares]:
                raise ValueError(
                    f"expected candidates of each share {shares} for each precision {precisions}. "
                    f"Got {listed} for {name!r}"
                )
        return self

    @property
    def precisions(self) -> list[float]:
        """The precisions that thresholds were worked out for, ascending."""
        return sorted({t.precision for made in self.thresholds.values() for t in made})

    @property
    def together(self) -> float:
        """Certainty with which none of the promises of the three depths is broken, by the union bound."""
        return max(1 - 3 * (1 - self.certainty), 0.0)

    def thresholds_for(self, precision: float) -> dict[str, list[float]]:
        """Return the lowest confidence for each set of inputs and depth, 1 to 3; infinity where nothing is promised.

        Raises
        ------
        StudyError
            If nobody has worked out the thresholds of this precision.
        """
        if not any(abs(known - precision) < EDGE for known in self.precisions):
            known = self.precisions
            raise StudyError(f"This model has no thresholds for a precision of {precision}. It has those of {known}.")
        limits = {name: [np.inf] * 3 for name in self.thresholds}
        for name, made in self.thresholds.items():
            for one in made:
                if abs(one.precision - precision) < EDGE and one.confidence is not None:
                    limits[name][one.depth - 1] = one.confidence
        return limits

    def smallest_listed(self, precision: float, share: float | None = None) -> dict[str, float]:
        """Return, for each set of inputs, the smallest probability of a path that a person is shown.

        Parameters
        ----------
        share
            Share of lists that should hold the right path; None for `coverage`.

        Raises
        ------
        StudyError
            If nobody has worked it out for this share.
        """
        share = self.coverage if share is None else share
        known = sorted({c.share for made in self.candidates.values() for c in made})
        if not any(abs(known_share - share) < EDGE for known_share in known):
            raise StudyError(f"This model has no candidates for a share of {share}. It has those of {known}.")
        return {
            name: next(c.probability for c in made if max(abs(c.precision - precision), abs(c.share - share)) < EDGE)
            for name, made in self.candidates.items()
        }


class Prefixes(NamedTuple):
    """The most probable class path down to each depth.

    Attributes
    ----------
    path : int array, shape (rows, 3)
        For each depth the index of a valid path that begins with it; only its first `depth` levels count.
    probability : float64 array, shape (rows, 3)
        Not calibrated.
    """

    path: npt.NDArray[np.int64]
    probability: Shares


def best_prefixes(probabilities: Shares, paths: npt.NDArray[np.integer]) -> Prefixes:
    """Find for each depth the most probable beginning of a path.

    Parameters
    ----------
    probabilities : array, shape (rows, valid paths)
    paths : array, shape (valid paths, 3)
        Sorted.

    Examples
    --------
    >>> paths = np.array([[0, 0, 0], [0, 0, 1], [1, 1, 2]])
    >>> found = best_prefixes(np.array([[0.3, 0.3, 0.4]]), paths)
    >>> found.path.tolist(), found.probability.round(2).tolist()
    ([[0, 0, 2]], [[0.6, 0.6, 0.4]])
    """
    best, probability = [], []
    for depth in (1, 2, 3):
        _, first, member = np.unique(paths[:, :depth], axis=0, return_index=True, return_inverse=True)
        starts = np.cumsum(np.bincount(member)) - np.bincount(member)  # of each prefix's paths, once in order
        sums = np.add.reduceat(probabilities[:, np.argsort(member, kind="stable")], starts, axis=1)
        best.append(first[sums.argmax(axis=1)])
        probability.append(sums.max(axis=1))
    return Prefixes(np.stack(best, axis=1), np.stack(probability, axis=1))


def tagged_depth(confidence: Shares, thresholds: Sequence[float | None] | Shares) -> npt.NDArray[np.int64]:
    """Return how many levels of each row may be tagged without a person: 3, or fewer, or 0.

    Parameters
    ----------
    confidence : array, shape (rows, 3)
        Of the best path down to each depth.
    thresholds
        Lowest confidence for each depth, 1 to 3, infinite or None where nothing can be promised; or an array, shape
        (rows, 3), of those of each row.

    Examples
    --------
    >>> tagged_depth(np.array([[0.9, 0.9, 0.9], [0.99, 0.6, 0.5]]), [0.95, None, 0.8]).tolist()
    [3, 1]
    """
    sure = confidence >= np.asarray(thresholds, np.float64)  # None becomes NaN, which nothing reaches
    return np.where(sure.any(axis=1), 3 - np.argmax(sure[:, ::-1], axis=1), 0)


def tempered(probabilities: Shares, confidence: Shares) -> Shares:
    """Sharpen or flatten the probabilities of each row until the largest is as high as the calibrated confidence.

    Each row is raised to a power and made to add up to 1 again, so that the order of its paths stays.

    Parameters
    ----------
    probabilities : array, shape (rows, paths)
    confidence : array, shape (rows,)
        From 1 / paths to 1; the nearest power that there is otherwise.

    Examples
    --------
    >>> tempered(np.array([[0.8, 0.15, 0.05]]), np.array([0.6])).round(3).tolist()
    [[0.6, 0.255, 0.145]]
    """
    logs = np.log(np.maximum(probabilities, _SMALLEST)).astype(np.float32)  # single precision is three times as fast
    logs -= logs.max(axis=1, keepdims=True)
    low, high = np.full(len(logs), -_POWERS, np.float32), np.full(len(logs), _POWERS, np.float32)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        flat = 1 / np.exp(logs * np.exp(middle)[:, None]).sum(axis=1) < confidence
        low, high = np.where(flat, middle, low), np.where(flat, high, middle)
    found = np.exp(logs * np.exp((low + high) / 2)[:, None]).astype(np.float64)
    shares: Shares = found / found.sum(axis=1, keepdims=True)
    return shares


def listed(probabilities: Sequence[float] | Shares, smallest: float) -> list[int]:
    """Return the paths that a person is shown for one product, most probable first: at least the best one.

    >>> listed([0.1, 0.7, 0.2], smallest=0.15)
    [1, 2]
    """
    order = np.argsort(-np.asarray(probabilities), kind="stable")
    enough = int((np.asarray(probabilities) >= smallest).sum())
    return [int(path) for path in order[: max(enough, 1)]]
