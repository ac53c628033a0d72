"""A tagger of the tiny catalogue, trained in a second, for tests of what a tagger is good for."""

import io
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import tiny
from PIL import Image

from lib import files
from lib.models.fusion import PathFusion
from lib.tagging.promises import Candidates, Promises, Scale, Threshold
from lib.tagging.tagger import Tagger, trained_tagger

WEIGHTS = tiny.REPOSITORY / "lib/demo_shop/weights.safetensors"
DIMENSION = 256  # of the demo's own network
SETS = ["", "brand", "text", "image", "brand+text", "brand+image", "text+image", "brand+text+image"]


class Made(NamedTuple):
    """The folder, the model that was trained, and the tagger as it was written."""

    folder: Path
    model: PathFusion
    tagger: Tagger


def promises(**thresholds: float | None) -> Promises:
    """Promises of a precision of 0.9, and with other slopes for products without a photo."""
    confidence = {"level_1": 0.5, "level_2": 0.6, "level_3": 0.7} | thresholds
    limits = [Threshold(precision=0.9, depth=depth, confidence=confidence[f"level_{depth}"]) for depth in (1, 2, 3)]
    lists = [Candidates(precision=0.9, share=share, probability=p) for share, p in ((0.9, 0.2), (0.95, 0.05))]
    return Promises(
        certainty=0.95,
        coverage=0.95,
        scales={name: [Scale(slope=1.0 if "image" in name else 0.8)] * 3 for name in SETS},
        thresholds=dict.fromkeys(SETS, limits),
        candidates=dict.fromkeys(SETS, lists),
    )


def make(root: Path, text: str = "plain", **changes: object) -> Made:
    """Write the tiny catalogue below `root`, train its `best`, and write `build/tiny/tagger`."""
    tiny.write(root, study={"tiny": {"source": ".", "weights": str(WEIGHTS)}}, **changes)
    image = root / "build/tiny/image/features.npy"
    features = np.load(image)
    rows = len(features)
    wide = np.hstack([features, np.zeros((rows, DIMENSION - features.shape[1]))]).astype(np.float16)
    wide[::9] = 0  # products without a photo
    np.save(image, wide)
    manifest = {"weights_sha256": files.file_sha256(WEIGHTS), "dimension": DIMENSION}
    files.write_json(root / "build/tiny/image/manifest.json", manifest)
    tiny.forget()
    model, key = tiny.train_best(text)
    tagger = trained_tagger("tiny", "best", key, text)
    tagger.promises = promises()
    folder = root / "build/tiny/tagger"
    tagger.save(folder, "# A card\n")
    return Made(folder, model, tagger)


def promising(folder: Path, other: Path, **thresholds: float | None) -> Tagger:
    """Write the tagger of a folder to another one, with other promises."""
    tagger = Tagger.load(folder)
    tagger.promises = promises(**thresholds)
    tagger.save(other, "# A card\n")
    return tagger


def table(root: Path) -> pd.DataFrame:
    """The tiny catalogue's products as if they were new."""
    products = pd.read_parquet(root / "build/tiny/clean/products.parquet")
    return products.rename(columns={"text": "description"})[["product_id", "brand", "title", "description", "image"]]


def arguments(table: Path | str, output: Path | str, *more: str) -> list[str]:
    """Arguments of `python -m lib.tag`."""
    return [str(table), "--catalogue", "tiny", "--precision", "0.9", "-o", str(output), *more]


@cache
def photo(number: int) -> bytes:
    """A photo of noise."""
    pixels = np.random.default_rng(number).integers(0, 256, (8, 6, 3), np.uint8)
    Image.fromarray(pixels).resize((60, 80)).save(file := io.BytesIO(), "JPEG")
    return file.getvalue()
