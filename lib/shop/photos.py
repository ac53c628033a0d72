"""Product photos, drawn with Pillow: a silhouette in some pose, colour and pattern, before some background.

Rasters are computed with additions and multiplications only, which every processor rounds in the same way.
"""

import io
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from lib.shop.shapes import Outline, Points, silhouettes

SIDE = 80
"""Width and height of a photo in pixels."""

PATTERNS = ("plain", "stripes", "checks", "dots", "speckles")
_SCALE = 2  # masks are drawn this much larger, and reduced, to smooth their edges
_SKINS = ((236, 200, 172), (198, 148, 112), (128, 88, 62), (86, 58, 42))

Colour = tuple[int, int, int]
Raster = NDArray[np.floating]

_Y, _X = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32) / SIDE


@dataclass(frozen=True)
class Look:
    """What a photo is of.

    Attributes
    ----------
    silhouette
        One of `silhouettes.yaml`.
    shape
        Its free numbers, in [0, 1].
    pattern
        One of `PATTERNS`.
    """

    silhouette: str
    shape: tuple[float, ...]
    colour: Colour
    pattern: str


def draw(look: Look, rng: np.random.Generator, jitter: float = 0.07) -> bytes:
    """Draw a photo and return it as a JPEG.

    The stream decides on all but the look, so that the same stream with another colour gives the same scene.

    Parameters
    ----------
    look
        What to draw.
    rng
        The photo's own random stream.
    jitter
        How far (standard deviation) each free number of this very product is from its subtype's.
    """
    silhouette = silhouettes()[look.silhouette]
    values = np.clip(np.array(look.shape) + rng.normal(0, jitter, silhouette.free), 0, 1)
    outlines = _posed(silhouette.outlines(values), rng)
    canvas = _background(rng)
    canvas = _blend(canvas, np.full(3, 90, np.float32), _shadow(outlines, rng))
    fabric = _fabric(look, rng)
    canvas = _blend(canvas, fabric, _mask(outlines, ("fill", "cut")))
    canvas = _blend(canvas, fabric * rng.uniform(0.45, 0.8), _mask(outlines, ("mark",)))
    return _jpeg(_occluded(canvas, rng), rng)


def placeholder() -> bytes:
    """Draw the picture that stands in for missing photos: a grey frame with a cross."""
    image = Image.new("RGB", (SIDE, SIDE), (225, 225, 225))
    pen = ImageDraw.Draw(image)
    pen.rectangle((12, 12, SIDE - 13, SIDE - 13), outline=(150, 150, 150), width=3)
    pen.line((12, 12, SIDE - 13, SIDE - 13), fill=(150, 150, 150), width=2)
    pen.line((12, SIDE - 13, SIDE - 13, 12), fill=(150, 150, 150), width=2)
    return _encoded(image, 90)


def _posed(outlines: list[Outline], rng: np.random.Generator) -> list[Outline]:
    """Turn, scale, slant, flip and shift outlines into pixels of the large mask."""
    angle = math.radians(rng.normal(0, 9))
    cos, sin = round(math.cos(angle), 6), round(math.sin(angle), 6)
    size = SIDE * _SCALE / 2
    stretch_x, stretch_y = rng.uniform(0.72, 0.98, 2) * size * (-1 if rng.random() < 0.5 else 1, 1)
    slant, shift_x, shift_y = rng.normal(0, (0.08, 0.06 * size, 0.06 * size))

    def pose(points: Points) -> Points:
        x, y = (points[:, 0] + slant * points[:, 1]) * stretch_x, points[:, 1] * stretch_y
        return np.stack([size + x * cos - y * sin + shift_x, size + x * sin + y * cos + shift_y], axis=1).round(2)

    return [Outline(pose(points), role) for points, role in outlines]


def _mask(outlines: list[Outline], roles: tuple[str, ...], shift: float = 0) -> Raster:
    """Draw outlines into one mask, (SIDE, SIDE), 0-1."""
    image = Image.new("L", (SIDE * _SCALE, SIDE * _SCALE))
    pen = ImageDraw.Draw(image)
    for points, role in outlines:
        if role in roles:
            pen.polygon((points + shift).ravel().tolist(), fill=0 if role == "cut" else 255)
    return np.asarray(image.reduce(_SCALE), np.float32) / 255


def _shadow(outlines: list[Outline], rng: np.random.Generator) -> Raster:
    return _mask(outlines, ("fill", "cut"), shift=rng.uniform(2, 7)) * np.float32(rng.uniform(0, 0.4))


def _blend(below: Raster, above: Raster, mask: Raster) -> Raster:
    return below + (above - below) * mask[..., None]


def _background(rng: np.random.Generator) -> Raster:
    """Draw a plain wall, a gradient, or a room."""
    kind = rng.random()
    wall = rng.uniform(215, 255, 3) if kind < 0.6 else rng.uniform(70, 250, 3)
    canvas = np.empty((SIDE, SIDE, 3), np.float32)
    canvas[:] = wall
    if kind > 0.45:
        canvas += ((_X - 0.5) * rng.normal(0, 50) + (_Y - 0.5) * rng.normal(0, 50)).astype(np.float32)[..., None]
    if kind > 0.75:
        canvas[int(rng.uniform(0.55, 0.95) * SIDE) :] = rng.uniform(60, 230, 3)
        left, top, width, height = rng.uniform((-0.2, -0.2, 0.1, 0.1), (1, 0.8, 0.5, 0.6)) * SIDE
        canvas[max(int(top), 0) : max(int(top + height), 0), max(int(left), 0) : max(int(left + width), 0)] = (
            rng.uniform(60, 230, 3)
        )
    return canvas


def _fabric(look: Look, rng: np.random.Generator) -> Raster:
    """Fill a raster with the colour, the pattern, and light that falls from one side."""
    colour = np.array(look.colour, np.float32) + rng.normal(0, 10, 3).astype(np.float32)
    contrast = np.float32(rng.uniform(0.35, 0.7) if colour.mean() > 90 else rng.uniform(1.6, 2.6))
    turn, period, dense = rng.uniform(-1, 1), rng.uniform(4, 14), rng.uniform(0.25, 0.5)
    u, v = (_X + np.float32(turn) * _Y) * np.float32(period), (_Y - np.float32(turn) * _X) * np.float32(period)
    light = 1 + (_X - 0.5) * np.float32(rng.normal(0, 0.35)) + (_Y - 0.5) * np.float32(rng.normal(0, 0.35))
    noise = rng.random((SIDE, SIDE), np.float32)
    ink = _ink(look.pattern, u % 1, v % 1, noise, dense)
    shade = np.where(ink, contrast, np.float32(1)) * light + (noise - 0.5) * np.float32(0.1)
    fabric: Raster = np.clip(colour * shade[..., None].astype(np.float32), 0, 255)
    return fabric


def _ink(pattern: str, u: Raster, v: Raster, noise: Raster, dense: float) -> NDArray[np.bool_]:
    """Say where a pattern's second colour is; `u` and `v` run from 0 to 1 through each of its periods."""
    if pattern == "stripes":
        return u < dense
    if pattern == "checks":
        return (u < dense) ^ (v < dense)
    if pattern == "dots":
        return (u - 0.5) ** 2 + (v - 0.5) ** 2 < dense * 0.2
    if pattern == "speckles":
        return noise < dense * 0.6
    return np.zeros((SIDE, SIDE), bool)


def _occluded(canvas: Raster, rng: np.random.Generator) -> Raster:
    """Put a hand, a tag or a neighbouring thing in front, sometimes."""
    if rng.random() > 0.3:
        return canvas
    colour = np.array(_SKINS[int(rng.random() * 4)] if rng.random() < 0.5 else rng.uniform(20, 250, 3), np.float32)
    x, y, width, height = rng.uniform((0, 0, 0.1, 0.1), (1, 1, 0.3, 0.35))
    inside = ((_X - x) / width) ** 2 + ((_Y - y) / height) ** 2 < 1
    if rng.random() < 0.5:
        inside = (abs(_X - x) < width * 0.7) & (abs(_Y - y) < height * 0.7)
    return _blend(canvas, colour, inside.astype(np.float32))


def _jpeg(canvas: Raster, rng: np.random.Generator) -> bytes:
    noise = (rng.random((SIDE, SIDE, 1), np.float32) - 0.5) * np.float32(rng.uniform(0, 24))
    image = Image.fromarray(np.clip(canvas + noise, 0, 255).astype(np.uint8))
    if rng.random() < 0.25:
        image = image.filter(ImageFilter.BoxBlur(1))
    return _encoded(image, int(rng.uniform(55, 92)))


def _encoded(image: Image.Image, quality: int) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()
