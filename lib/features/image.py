"""The `image` stage: photos to features, one row a product, through a cache keyed by what the photos contain."""

import hashlib
import sys
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Never

import numpy as np
import pandas as pd
from tqdm import tqdm

from lib.clean.photos import Archive, PhotoError, PhotoMissing
from lib.config import Backbone, build_dir, cache_dir, load_catalogue, load_params, studied
from lib.exceptions import StudyError
from lib.features.vectors import PART, Network, Vectors, compute
from lib.files import existing, fingerprint, remove, reserve, whole, write_json

Kept = tuple[list[str], Vectors]
"""Some photos: the hashes of their contents (SHA-256, hexadecimal), and their vectors in the same order."""


class FeatureCache:
    """Features by the content of the photo, in a folder of parts, each of which is written whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, hashes: list[str], vectors: Vectors) -> None:
        """Keep some photos' vectors, under a name that follows from the photos."""
        with whole(self.folder / f"{fingerprint(hashes)}.npz") as partial, partial.open("wb") as file:
            reasons = np.array(vectors.reasons, dtype=str)
            np.savez(file, hashes=np.array(hashes), features=vectors.features, reasons=reasons)

    def read(self) -> Iterator[Kept]:
        """Read all parts, in the order of their names. A damaged one is deleted: its photos will be done again."""
        for path in sorted(self.folder.glob("*.npz")):
            try:
                with np.load(path, allow_pickle=False) as file:
                    hashes, vectors = file["hashes"].tolist(), Vectors(file["features"], file["reasons"].tolist())
                if not len(hashes) == len(vectors.features) == len(vectors.reasons):
                    raise ValueError("its arrays differ in length")
            except (zipfile.BadZipFile, ValueError, KeyError, EOFError, OSError) as error:
                print(f"{path} is damaged and will be made again: {error}", file=sys.stderr)
                remove(path)
            else:
                yield hashes, vectors


def extract_catalogue(catalogue: str) -> dict[str, Any]:
    """Compute the features of every product's photo, and write `build/CATALOGUE/image/`.

    Other networks that the catalogue's file names (`image: also:`) have a folder each within. Where no product has a
    photo that can be used, the features have no column, and variants that need one are not trained
    (`lib.training.runs.study_of`).

    Returns
    -------
    dict
        The manifest: how the features were computed, their dimension, and how many products have which status. Those of
        other networks are beside their features.

    Raises
    ------
    StudyError
        If the photos' archive is missing or damaged, or the network cannot be had as the catalogue wants it.
    """
    products = existing(build_dir(catalogue, "clean", "products.parquet"))
    archive = build_dir(catalogue, "raw", "images.zip")
    photos = find_photos(archive, pd.read_parquet(products, columns=["product_id", "image"]))
    usable = photos.dropna(subset="hash").drop_duplicates("hash")
    entries = dict(zip(usable["hash"], usable["image"], strict=True))
    image = load_catalogue(catalogue).image
    others = {name: (other, None) for name, other in image.also.items()}
    asked: dict[str, tuple[Backbone, Path | None]] = {"": (image.own, studied(catalogue).weights), **others}
    networks = {name: Network.choose(*one, load_params(), len(entries)) for name, one in asked.items()}
    dimensions = {name: network.load().dimension for name, network in networks.items()}  # before the work of hours
    caches = {name: FeatureCache(cache_dir("image", network.setup.key)) for name, network in networks.items()}
    for name, network in networks.items():
        extract(archive, entries, caches[name], network, name)
    manifests: dict[str, dict[str, Any]] = {}
    with whole(build_dir(catalogue, "image")) as folder:
        for name, network in networks.items():
            path, dimension = folder / name / "features.npy", dimensions[name]
            path.parent.mkdir()
            status = write_features(path, photos, caches[name].read(), dimension)
            if not (status["status"] == "ok").any():
                dimension = 0
                np.save(path, np.zeros((len(photos), dimension), np.float16))
            counts = {kind: int((status["status"] == kind).sum()) for kind in ("ok", "missing", "broken")}
            setup = asdict(network.setup)
            manifests[name] = {**setup, "dimension": dimension, "photos": len(entries), "products": counts}
            write_json(path.with_name("manifest.json"), manifests[name])
        status.to_parquet(folder / "status.parquet", index=False)  # whichever network reads them, photos are the same
    return manifests[""]


def find_photos(path: Path, products: pd.DataFrame) -> pd.DataFrame:
    """Look every product's photo up in the archive.

    Parameters
    ----------
    path
        The archive of photos.
    products
        Columns `product_id` and `image`, the entry in the archive or nothing.

    Returns
    -------
    pandas.DataFrame
        A row a product: `product_id`, `image`, `status` (`ok`, `missing` or `broken`), `detail` (why it is not ok)
        and `hash` (SHA-256 of the photo's bytes; nothing unless ok).
    """
    archive = Archive(path)

    def find(name: object) -> tuple[str, str, str | None]:
        if not isinstance(name, str) or not name:
            return "missing", "the product has no photo", None
        try:
            return "ok", "", hashlib.sha256(archive.read(name)).hexdigest()
        except PhotoMissing:
            return "missing", "no such photo in the archive", None
        except PhotoError as error:
            return "broken", str(error), None

    columns = ["status", "detail", "hash"]
    found = pd.DataFrame([find(name) for name in products["image"]], columns=columns, dtype=object)
    return pd.concat([products[["product_id", "image"]].reset_index(drop=True), found], axis=1)


def extract(archive: Path, entries: dict[str, str], cache: FeatureCache, network: Network, name: str = "") -> None:
    """Compute the features of the photos (hash -> an entry of the archive) that the cache does not have yet.

    `name` tells the network from the catalogue's own, where it is another.
    """
    known = {one for hashes, _ in cache.read() for one in hashes}
    waiting = sorted(entries.keys() - known)
    parts = [waiting[begin : begin + PART] for begin in range(0, len(waiting), PART)]
    computed = compute(archive, ([entries[one] for one in part] for part in parts), network)
    with progress(len(entries), len(entries) - len(waiting), name) as bar:
        for part, vectors in zip(parts, computed, strict=True):
            cache.write(part, vectors)
            bar.update(len(part))


def progress(total: int, done: int, name: str = "") -> "tqdm[Never]":
    """Show a bar with an estimate: often in a terminal, twice a minute in a log or a notebook's output."""
    seconds = 0.5 if sys.stderr.isatty() else 30.0
    timing: dict[str, Any] = {"mininterval": seconds, "maxinterval": seconds}
    return tqdm(desc=name or None, total=total, initial=done, unit=" photos", **timing)


def write_features(path: Path, photos: pd.DataFrame, kept: Iterable[Kept], dimension: int) -> pd.DataFrame:
    """Write a row of features for every product, zeros where there is no usable photo, a part of the cache at a time.

    Returns
    -------
    pandas.DataFrame
        `product_id`, `status` and `detail` of every product, now with those whose photo could not be decoded.

    Raises
    ------
    StudyError
        If a photo's features are not in the cache.
    """
    features = np.lib.format.open_memmap(path, "w+", np.float16, (len(photos), dimension))
    reserve(path)
    status = photos[["product_id", "status", "detail"]].copy()
    rows = photos.groupby("hash").indices
    for hashes, vectors in kept:
        for name, vector, reason in zip(hashes, *vectors, strict=True):
            where = rows.pop(name, [])
            if reason:
                status.loc[where, ["status", "detail"]] = "broken", reason
            else:
                features[where] = vector
    if rows:
        raise StudyError(f"The feature cache lost {len(rows)} photos while the stage ran. Run it again.")
    features.flush()
    return status
