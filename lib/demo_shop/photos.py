"""Photos: parametric outlines, read from `silhouettes.yaml`, turned into polygons and drawn."""

import io
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import yaml
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Points = NDArray[np.float64]
Raster = NDArray[np.floating]
Colour = tuple[int, int, int]
Role = Literal["fill", "cut", "mark"]

KINDS = {"half", "poly", "oval", "limb"}
"""How an outline is given; see `silhouettes.yaml`."""

SIDE = 80
"""Width and height of a photo in pixels."""

PATTERNS = ("plain", "stripes", "checks", "dots", "speckles")

JITTER = 0.07
"""How far (standard deviation) each free number of a product is from its subtype's."""

_CIRCLE: Points = np.array([[math.cos(a), math.sin(a)] for a in np.arange(24) * math.tau / 24]).round(6)
_SCALE = 2  # masks are drawn this much larger, and reduced, to smooth their edges
_SKINS = ((236, 200, 172), (198, 148, 112), (128, 88, 62), (86, 58, 42))
_Y, _X = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32) / SIDE


class Outline(NamedTuple):
    """A polygon, points (n, 2), and what it does: fill, cut a hole, or mark a detail."""

    points: Points
    role: Role


class Shape(NamedTuple):
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
            points = _polygon(shape.kind, numbers[shape.numbers].reshape(-1, 2))
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
    made = {}
    for name, entries in read_yaml("silhouettes.yaml").items():
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
        made[name] = Silhouette(tuple(shapes), int(free.sum()), lowest, highest - lowest, value)
    return made


def read_yaml(file: str) -> dict[str, Any]:
    """Read one of the shop's own files."""
    content: dict[str, Any] = yaml.safe_load(Path(__file__).with_name(file).read_text("utf-8"))
    return content


def _ranges(node: Any) -> list[tuple[float, float]]:
    """List a shape's numbers in order, each as its lowest and highest value; of `low~high` they differ."""
    if isinstance(node, list):
        return [pair for part in node for pair in _ranges(part)]
    low, high = node.split("~") if isinstance(node, str) else (node, node)
    return [(float(low), float(high))]


def _polygon(kind: str, points: Points) -> Points:
    """Turn the points of a shape into those of its polygon."""
    if kind == "oval":
        oval: Points = _CIRCLE * points[1] + points[0]
        return oval
    if kind == "limb":
        start, end, (first, last) = points
        along = end - start
        across = np.array([-along[1], along[0]]) / max(math.sqrt(along[0] * along[0] + along[1] * along[1]), 1e-6)
        return np.array([start + across * first, end + across * last, end - across * last, start - across * first])
    if kind == "half":
        points = np.concatenate([points, points[::-1] * (-1, 1)])
    following = np.concatenate((points[1:], points[:1]))
    corners = np.empty((len(points), 2, 2))  # which are cut once (Chaikin, 1974)
    corners[:, 0] = 0.8 * points + 0.2 * following
    corners[:, 1] = 0.2 * points + 0.8 * following
    return corners.reshape(-1, 2)


def draw(silhouette: str, shape: tuple[float, ...], colour: Colour, pattern: str, rng: np.random.Generator) -> bytes:
    """Draw a photo and return it as a JPEG.

    The stream decides on all else, so that the same stream with another colour gives the same scene.

    Parameters
    ----------
    silhouette
        One of `silhouettes.yaml`.
    shape
        Its free numbers, in [0, 1].
    colour
        Red, green and blue, 0 to 255.
    pattern
        One of `PATTERNS`.
    rng
        The photo's own random stream.
    """
    template = silhouettes()[silhouette]
    values = np.clip(np.array(shape) + rng.normal(0, JITTER, template.free), 0, 1)
    outlines = _posed(template.outlines(values), rng)
    bodies, marks = ([one for one in outlines if (one.role == "mark") == mark] for mark in (False, True))
    canvas = _background(rng)
    shadow = _mask(bodies, shift=rng.uniform(2, 7)) * np.float32(rng.uniform(0, 0.4))
    canvas += (np.float32(90) - canvas) * shadow
    fabric = _fabric(colour, pattern, rng)
    canvas += (fabric - canvas) * _mask(bodies)
    darker = rng.uniform(0.45, 0.8)
    if marks:
        canvas += (fabric * darker - canvas) * _mask(marks)
    _occlude(canvas, rng)
    noise = (rng.random((SIDE, SIDE), np.float32) - 0.5) * np.float32(rng.uniform(0, 24))
    levels = np.clip(canvas + noise, 0, 255).astype(np.uint8)
    image = Image.fromarray(np.ascontiguousarray(levels.transpose(1, 2, 0)))
    if rng.random() < 0.25:
        image = image.filter(ImageFilter.BoxBlur(1))
    return _jpeg(image, int(rng.uniform(55, 92)))


@cache
def placeholder() -> bytes:
    """Draw the picture that stands in for missing photos: a grey frame with a cross."""
    image = Image.new("RGB", (SIDE, SIDE), (225, 225, 225))
    pen = ImageDraw.Draw(image)
    pen.rectangle((12, 12, SIDE - 13, SIDE - 13), outline=(150, 150, 150), width=3)
    pen.line((12, 12, SIDE - 13, SIDE - 13), fill=(150, 150, 150), width=2)
    pen.line((12, SIDE - 13, SIDE - 13, 12), fill=(150, 150, 150), width=2)
    return _jpeg(image, 90)


def _jpeg(image: Image.Image, quality: int) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


def _posed(outlines: list[Outline], rng: np.random.Generator) -> list[Outline]:
    """Turn, scale, slant, flip and shift outlines into pixels of the large mask."""
    angle = math.radians(rng.normal(0, 9))
    cos, sin = round(math.cos(angle), 6), round(math.sin(angle), 6)
    size = SIDE * _SCALE / 2
    stretch_x, stretch_y = rng.uniform(0.72, 0.98, 2) * size * (-1 if rng.random() < 0.5 else 1, 1)
    slant, shift_x, shift_y = rng.normal(0, (0.08, 0.06 * size, 0.06 * size))

    points = np.concatenate([points for points, _ in outlines])  # one after the other would take longer
    x, y = (points[:, 0] + slant * points[:, 1]) * stretch_x, points[:, 1] * stretch_y
    points[:, 0] = size + x * cos - y * sin + shift_x
    points[:, 1] = size + x * sin + y * cos + shift_y
    ends = np.cumsum([len(points) for points, _ in outlines])[:-1]
    parts = np.split(points.round(2), ends)
    return [Outline(part, role) for part, (_, role) in zip(parts, outlines, strict=True)]


def _mask(outlines: list[Outline], shift: float = 0) -> Raster:
    """Draw outlines into one mask, (SIDE, SIDE), 0-1."""
    image = Image.new("L", (SIDE * _SCALE, SIDE * _SCALE))
    pen = ImageDraw.Draw(image)
    for points, role in outlines:
        pen.polygon((points + shift).ravel().tolist(), fill=0 if role == "cut" else 255)
    return np.asarray(image.reduce(_SCALE), np.float32) / 255


def _background(rng: np.random.Generator) -> Raster:
    """Draw a plain wall, a gradient, or a room."""
    kind = rng.random()
    wall = rng.uniform(215, 255, 3) if kind < 0.6 else rng.uniform(70, 250, 3)
    canvas = np.empty((3, SIDE, SIDE), np.float32)
    canvas[:] = wall[:, None, None]
    if kind > 0.45:
        canvas += ((_X - 0.5) * rng.normal(0, 50) + (_Y - 0.5) * rng.normal(0, 50)).astype(np.float32)
    if kind > 0.75:
        canvas[:, int(rng.uniform(0.55, 0.95) * SIDE) :] = rng.uniform(60, 230, (3, 1, 1))
        left, top, width, height = (rng.uniform((-0.2, -0.2, 0.1, 0.1), (1, 0.8, 0.5, 0.6)) * SIDE).tolist()
        rows = slice(max(int(top), 0), max(int(top + height), 0))
        canvas[:, rows, max(int(left), 0) : max(int(left + width), 0)] = rng.uniform(60, 230, (3, 1, 1))
    return canvas


def _fabric(main: Colour, pattern: str, rng: np.random.Generator) -> Raster:
    """Fill a raster with the colour, the pattern, and light that falls from one side."""
    colour = np.array(main, np.float32) + rng.normal(0, 10, 3).astype(np.float32)
    contrast = np.float32(rng.uniform(0.35, 0.7) if colour.mean() > 90 else rng.uniform(1.6, 2.6))
    turn, period, dense = rng.uniform(-1, 1), rng.uniform(4, 14), rng.uniform(0.25, 0.5)
    light = 1 + (_X - 0.5) * np.float32(rng.normal(0, 0.35)) + (_Y - 0.5) * np.float32(rng.normal(0, 0.35))
    noise = rng.random((SIDE, SIDE), np.float32)
    if pattern != "plain":
        ink = _ink(pattern, np.float32(turn), np.float32(period), noise, dense)
        light = np.where(ink, contrast, np.float32(1)) * light
    shade = light + (noise - 0.5) * np.float32(0.1)
    fabric: Raster = np.clip(colour[:, None, None] * shade, 0, 255)
    return fabric


def _ink(pattern: str, turn: np.float32, period: np.float32, noise: Raster, dense: float) -> NDArray[np.bool_]:
    """Say where a pattern's second colour is."""
    if pattern == "speckles":
        return noise < dense * 0.6
    u = _fraction((_X + turn * _Y) * period)
    if pattern == "stripes":
        return u < dense
    v = _fraction((_Y - turn * _X) * period)
    if pattern == "checks":
        return (u < dense) ^ (v < dense)
    return (u - 0.5) ** 2 + (v - 0.5) ** 2 < dense * 0.2


def _fraction(values: Raster) -> Raster:
    """Return how far each value is above the whole number below it; `values % 1` takes four times as long."""
    return values - np.floor(values)


def _occlude(canvas: Raster, rng: np.random.Generator) -> None:
    """Put a hand, a tag or a neighbouring thing in front, sometimes."""
    if rng.random() > 0.3:
        return
    colour = np.array(_SKINS[int(rng.random() * 4)] if rng.random() < 0.5 else rng.uniform(20, 250, 3), np.float32)
    x, y, width, height = rng.uniform((0, 0, 0.1, 0.1), (1, 1, 0.3, 0.35))
    inside = ((_X - x) / width) ** 2 + ((_Y - y) / height) ** 2 < 1
    if rng.random() < 0.5:
        inside = (abs(_X - x) < width * 0.7) & (abs(_Y - y) < height * 0.7)
    canvas += (colour[:, None, None] - canvas) * inside.astype(np.float32)
