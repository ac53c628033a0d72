"""Silhouettes: parametric outlines, read from `silhouettes.yaml` and turned into polygons."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import yaml
from numpy.typing import NDArray

Points = NDArray[np.float64]
Role = Literal["fill", "cut", "mark"]

_CIRCLE: Points = np.array([[math.cos(a), math.sin(a)] for a in np.arange(24) * math.tau / 24]).round(6)


class Outline(NamedTuple):
    """A polygon, points (n, 2), and what it does: fill, cut a hole, or mark a detail."""

    points: Points
    role: Role


@dataclass(frozen=True)
class Silhouette:
    """A template of shapes; `free` is how many of its numbers are free."""

    name: str
    shapes: tuple[dict[str, Any], ...]
    free: int

    def outlines(self, values: Points) -> list[Outline]:
        """Draw the silhouette for free numbers in [0, 1], shape (free,)."""
        numbers = iter(values.tolist())
        return [
            Outline(points * side, shape.get("as", "fill"))
            for shape in self.shapes
            for points in [_polygon(_resolve(shape, numbers))]
            for side in ([(1, 1), (-1, 1)] if shape.get("mirror") else [(1, 1)])
        ]


@cache
def silhouettes() -> dict[str, Silhouette]:
    """Read all silhouettes.

    >>> silhouettes()["top"].free > 10
    True
    """
    content = yaml.safe_load(Path(__file__).with_name("silhouettes.yaml").read_text("utf-8"))
    templates = {name: tuple(_template(shape) for shape in shapes) for name, shapes in content.items()}
    return {name: Silhouette(name, shapes, _count(shapes)) for name, shapes in templates.items()}


def _template(node: Any) -> Any:
    """Turn every `low~high` into a pair (low, high); all else stays."""
    if isinstance(node, dict):
        return {key: _template(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_template(value) for value in node]
    if isinstance(node, str) and "~" in node:
        low, high = node.split("~")
        return (float(low), float(high))
    return node


def _count(node: Any) -> int:
    if isinstance(node, dict):
        node = list(node.values())
    if isinstance(node, tuple) and all(isinstance(part, float) for part in node):
        return 1
    return sum(_count(part) for part in node) if isinstance(node, list | tuple) else 0


def _resolve(node: Any, numbers: Iterator[float]) -> Any:
    """Put free numbers into the places of a template, in order."""
    if isinstance(node, dict):
        return {key: _resolve(value, numbers) for key, value in node.items()}
    if isinstance(node, list):
        return [_resolve(value, numbers) for value in node]
    if isinstance(node, tuple):
        return node[0] + next(numbers) * (node[1] - node[0])
    return node


def _polygon(shape: dict[str, Any]) -> Points:
    if "half" in shape:
        right = np.array(shape["half"], float)
        return _rounded(np.concatenate([right, right[::-1] * (-1, 1)]))
    if "poly" in shape:
        return _rounded(np.array(shape["poly"], float))
    if "oval" in shape:
        centre, radii = shape["oval"]
        oval: Points = _CIRCLE * np.array(radii, float) + np.array(centre, float)
        return oval
    start, end, first, last = shape["limb"]
    return _stroke(np.array(start, float), np.array(end, float), first, last)


def _stroke(start: Points, end: Points, first: float, last: float) -> Points:
    along = end - start
    across = np.array([-along[1], along[0]]) / max(math.sqrt(along[0] * along[0] + along[1] * along[1]), 1e-6)
    return np.array([start + across * first, end + across * last, end - across * last, start - across * first])


def _rounded(points: Points) -> Points:
    """Cut the corners once (Chaikin, 1974)."""
    following = np.roll(points, -1, axis=0)
    return np.stack([0.8 * points + 0.2 * following, 0.2 * points + 0.8 * following], axis=1).reshape(-1, 2)
