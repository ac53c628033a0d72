"""What the study page says about the data, counted in the tables of earlier stages."""

from dataclasses import dataclass

import pandas as pd

from lib.artifacts import existing, read_json
from lib.config import LEVELS, build_dir
from lib.records import PHOTO

PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Facts:
    """Counts of one catalogue."""

    products: int
    rejected: int
    brands: int
    without_text: int
    levels: tuple[int, ...]
    paths: int
    plurality: tuple[tuple[str, float], ...]  # of each level: its most frequent class and that class's share
    repeated: int  # products with a near-duplicate
    photos: dict[str, int]
    backbone: str
    parts: dict[str, dict[str, int]]  # rows of each part of each split


def facts(catalogue: str) -> Facts:
    """Count what the study page says about a catalogue."""
    products = pd.read_parquet(existing(build_dir(catalogue, "clean", "products.parquet")))
    status = pd.read_parquet(existing(build_dir(catalogue, "image", "status.parquet")), columns=["status"])
    taxonomy = read_json(build_dir(catalogue, "clean", "taxonomy.json"))
    return Facts(
        products=len(products),
        rejected=sum(_rejected(catalogue, stage) for stage in ("raw", "clean")),
        brands=products["brand"][products["brand"] != ""].nunique(),
        without_text=int((products["text"] == "").sum()),
        levels=tuple(len(names) for names in taxonomy["levels"]),
        paths=len(taxonomy["paths"]),
        plurality=tuple(_plurality(products[level]) for level in LEVELS),
        repeated=int(products["group"].duplicated(keep=False).sum()),
        photos={name: int((status["status"] == name).sum()) for name in ("ok", "missing", "broken")},
        backbone=str(read_json(build_dir(catalogue, "image", "manifest.json"))["backbone"]),
        parts={split: _parts(products[f"{split}_split"]) for split in ("random", "grouped")},
    )


def _parts(split: "pd.Series[str]") -> dict[str, int]:
    return {part: int((split == part).sum()) for part in PARTS}


def _plurality(level: "pd.Series[str]") -> tuple[str, float]:
    """Return the most frequent class and its share; among equals the first by name."""
    counts = level.value_counts().sort_index()
    return str(counts.idxmax()), float(counts.max() / len(level))


def _rejected(catalogue: str, stage: str) -> int:
    reasons = pd.read_parquet(existing(build_dir(catalogue, stage, "rejects.parquet")), columns=["reason"])["reason"]
    return int((~reasons.str.startswith(PHOTO)).sum())
