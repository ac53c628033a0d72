"""A tagger of the tiny catalogue, trained in a second, for tests of what a tagger is good for."""

import io
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import tiny
from PIL import Image
from safetensors.numpy import load_file, save_file

from lib import artifacts, config
from lib.data import load_catalogue_data
from lib.estimators import make_estimator
from lib.fusion_estimators import PathFusionEstimator
from lib.runs import Run
from lib.splits import training_rows
from lib.tagging.promises import Candidates, Promises, Scale, Threshold
from lib.tagging.tagger import About, Backbone, write_folder
from lib.tasks import Task

WEIGHTS = tiny.REPOSITORY / "lib/shop/weights.safetensors"
DIMENSION = 256  # of the demo's own network
SETS = ["", "brand", "text", "image", "brand+text", "brand+image", "text+image", "brand+text+image"]


class Made(NamedTuple):
    """The folder, and the estimator that is in it."""

    folder: Path
    estimator: PathFusionEstimator
    about: About


def promises(**thresholds: float | None) -> Promises:
    """Promises of a precision of 0.9, and with other slopes for products without a photo."""
    confidence = {"level_1": 0.5, "level_2": 0.6, "level_3": 0.7} | thresholds
    return Promises(
        certainty=0.95,
        coverage=0.95,
        scales={name: [Scale(slope=1.0 if "image" in name else 0.8)] * 3 for name in SETS},
        thresholds=[
            Threshold(precision=0.9, depth=depth, confidence=confidence[f"level_{depth}"]) for depth in (1, 2, 3)
        ],
        candidates=[Candidates(precision=0.9, share=share, probability=p) for share, p in ((0.9, 0.2), (0.95, 0.05))],
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
    load_catalogue_data.cache_clear()
    data = load_catalogue_data("tiny")
    run = Run("tuned", text, "grouped", "all", 0)
    train, validation = training_rows(data.products, "grouped", "all", 0)
    variant = config.get_variant(config.load_params(), "best")
    estimator = make_estimator(variant)
    assert isinstance(estimator, PathFusionEstimator)
    estimator.fit(Task("tiny", run, train, validation))
    key, model = run.key(len(train)), root / "build/tiny/models/best"
    model.mkdir(parents=True)
    estimator.save(model / key)
    about = About(
        catalogue="tiny",
        key=key,
        text=text,
        stop_words="english",
        variant=variant,
        weights=artifacts.read_json(model / f"{key}.json")["weights"],
        backbone=Backbone(
            settings=config.load_catalogue("tiny").image,
            weights_sha256=artifacts.file_sha256(WEIGHTS),
            dimension=DIMENSION,
        ),
    )
    taxonomy = artifacts.read_json(root / "build/tiny/clean/taxonomy.json")
    folder = root / "build/tiny/tagger"
    write_folder(folder, about, model, taxonomy, promises(), "# A card\n")
    return Made(folder, estimator, about)


def table(root: Path) -> pd.DataFrame:
    """The tiny catalogue's products as if they were new."""
    products = pd.read_parquet(root / "build/tiny/clean/products.parquet")
    return products.rename(columns={"text": "description"})[["product_id", "brand", "title", "description", "image"]]


@cache
def photo(number: int) -> bytes:
    """A photo of noise."""
    pixels = np.random.default_rng(number).integers(0, 256, (8, 6, 3), np.uint8)
    Image.fromarray(pixels).resize((60, 80)).save(file := io.BytesIO(), "JPEG")
    return file.getvalue()


def arrays_of(path: Path) -> dict[str, np.ndarray]:
    """Read arrays."""
    return load_file(path)


def write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write arrays."""
    save_file(arrays, path)
