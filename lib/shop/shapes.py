"""Silhouettes: parametric outlines, read from `silhouettes.yaml` and turned into polygons."""

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import yaml
from numpy.typing import NDArray

Points = NDArray[np.float64]
Role = Literal["fill", "cut", "mark"]

KINDS = {"half", "poly", "oval", "limb"}
"""How an outline is given; see `silhouettes.yaml`."""

_CIRCLE: Points = np.array([[math.cos(a), math.sin(a)] for a in np.arange(24) * math.tau / 24]).round(6)


class Outline(NamedTuple):
    """A polygon, points (n, 2), and what it does: fill, cut a hole, or mark a detail."""

    points: Points
    role: Role


@dataclass(frozen=True)
class Shape:
    """One outline of a silhouette, of one of the `KINDS`; `numbers` says which of the silhouette's are its own."""

    kind: str
    numbers: slice
    role: Role
    mirror: bool


@dataclass(frozen=True)
class Silhouette:
    """A template of shapes; `free` is how many of its numbers are free.

    A number is `lowest + span * value`: the span of one that is not free is 0, and which value it has does not matter.
    """

    name: str
    shapes: tuple[Shape, ...]
    free: int
    lowest: Points
    span: Points
    value: NDArray[np.int64]

    def outlines(self, values: Points) -> list[Outline]:
        """Draw the silhouette for free numbers in [0, 1], shape (free,)."""
        numbers = self.lowest + values[self.value] * self.span
        outlines = []
        for shape in self.shapes:
            points = _polygon(shape.kind, numbers[shape.numbers])
            outlines.append(Outline(points, shape.role))
            if shape.mirror:
                outlines.append(Outline(points * (-1, 1), shape.role))
        return outlines


@cache
def silhouettes() -> dict[str, Silhouette]:
    """Read all silhouettes.

    >>> silhouettes()["top"].free > 10
    True
    """
    content = yaml.safe_load(Path(__file__).with_name("silhouettes.yaml").read_text("utf-8"))
    return {name: _silhouette(name, shapes) for name, shapes in content.items()}


def _silhouette(name: str, entries: list[dict[str, Any]]) -> Silhouette:
    shapes: list[Shape] = []
    ranges: list[tuple[float, float]] = []
    for entry in entries:
        [kind] = entry.keys() & KINDS
        start = len(ranges)
        ranges += _ranges(entry[kind])
        shapes.append(Shape(kind, slice(start, len(ranges)), entry.get("as", "fill"), entry.get("mirror", False)))
    lowest, highest = np.array(ranges).T
    free = lowest != highest
    value = np.maximum(np.cumsum(free) - 1, 0)
    return Silhouette(name, tuple(shapes), int(free.sum()), lowest, highest - lowest, value)


def _ranges(node: Any) -> list[tuple[float, float]]:
    """List a shape's numbers in order, each as its lowest and highest value; of `low~high` they differ."""
    if isinstance(node, list):
        return [pair for part in node for pair in _ranges(part)]
    low, high = node.split("~") if isinstance(node, str) else (node, node)
    return [(float(low), float(high))]


def _polygon(kind: str, numbers: Points) -> Points:
    points = numbers.reshape(-1, 2)
    if kind == "half":
        return _rounded(np.concatenate([points, points[::-1] * (-1, 1)]))
    if kind == "poly":
        return _rounded(points)
    if kind == "oval":
        oval: Points = _CIRCLE * points[1] + points[0]
        return oval
    return _stroke(points[0], points[1], *points[2].tolist())


def _stroke(start: Points, end: Points, first: float, last: float) -> Points:
    along = end - start
    across = np.array([-along[1], along[0]]) / max(math.sqrt(along[0] * along[0] + along[1] * along[1]), 1e-6)
    return np.array([start + across * first, end + across * last, end - across * last, start - across * first])


def _rounded(points: Points) -> Points:
    """Cut the corners once (Chaikin, 1974)."""
    following = np.concatenate((points[1:], points[:1]))
    corners = np.empty((len(points), 2, 2))
    corners[:, 0] = 0.8 * points + 0.2 * following
    corners[:, 1] = 0.2 * points + 0.8 * following
    return corners.reshape(-1, 2)
