"""The `image` stage: photos to features, one row a product, through a cache keyed by what the photos contain."""

import itertools
import os
import sys
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple, Never

import numpy as np
import pandas as pd
from tqdm import tqdm

from lib.artifacts import existing, fingerprint, remove, whole, write_json
from lib.backbones import find_weights, load_backbone
from lib.config import build_dir, load_catalogue, load_params, root, studied
from lib.errors import StudyError
from lib.extractor import Extractor, Features, choose_device, choose_setup
from lib.photos import PhotoError, Photos, batches, content_hash, open_archive, read_photo

SHARD = 1_024  # photos between two writes to the cache


class Shard(NamedTuple):
    """Some photos: hashes of their contents, their features (float16, a row each), and why there are none, or empty."""

    hashes: list[str]
    features: Features
    reasons: list[str]


class FeatureCache:
    """Features by the content of the photo, in a folder of shards, each of which is written whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, shard: Shard) -> None:
        """Keep a shard, under a name that follows from the photos in it."""
        path = self.folder / f"{fingerprint(shard.hashes)}.npz"
        with whole(path) as partial, partial.open("wb") as file:
            np.savez(
                file, hashes=np.array(shard.hashes), features=shard.features, reasons=np.array(shard.reasons, dtype=str)
            )

    def shards(self) -> Iterator[Shard]:
        """Read all shards, in the order of their names. A damaged one is deleted: its photos will be done again."""
        for path in sorted(self.folder.glob("*.npz")):
            try:
                with np.load(path, allow_pickle=False) as file:
                    shard = Shard(file["hashes"].tolist(), file["features"], file["reasons"].tolist())
                if not len(shard.hashes) == len(shard.features) == len(shard.reasons):
                    raise ValueError("its parts differ in length")
            except (zipfile.BadZipFile, ValueError, KeyError, EOFError, OSError) as error:
                print(f"{path} is damaged and will be made again: {error}", file=sys.stderr)
                remove(path)
            else:
                yield shard


def extract_catalogue(catalogue: str) -> dict[str, Any]:
    """Compute the features of every product's photo, and write `build/CATALOGUE/image/`.

    Returns
    -------
    dict
        The manifest: how the features were computed, their dimension, and how many products have which status.

    Raises
    ------
    StudyError
        If the photos' archive is missing or damaged, or the network cannot be had as the catalogue wants it.
    """
    params, wanted = load_params(), load_catalogue(catalogue).image
    archive = build_dir(catalogue, "raw", "images.zip")
    photos = find_photos(archive, _products(catalogue))
    usable = photos.dropna(subset="hash").drop_duplicates("hash")
    entries: dict[str, str] = dict(zip(usable["hash"], usable["image"], strict=True))
    device = choose_device(params.accelerator)
    pretrained = find_weights(wanted, studied(catalogue).weights)
    setup = choose_setup(wanted, pretrained, params.image, device, len(entries))
    extractor = Extractor(load_backbone(wanted, pretrained), setup, device)
    cache = FeatureCache(root() / "build" / "cache" / "image" / setup.key)
    extract(archive, entries, cache, extractor)
    with whole(build_dir(catalogue, "image")) as folder:
        folder.mkdir()
        status = write_features(folder / "features.npy", photos, cache.shards(), extractor.dimension)
        status.to_parquet(folder / "status.parquet", index=False)
        counts = {name: int((status["status"] == name).sum()) for name in ("ok", "missing", "broken")}
        manifest = {**asdict(setup), "dimension": extractor.dimension, "photos": len(entries), "products": counts}
        write_json(folder / "manifest.json", manifest)
    return manifest


def _products(catalogue: str) -> pd.DataFrame:
    path = existing(build_dir(catalogue, "clean", "products.parquet"))
    return pd.read_parquet(path, columns=["product_id", "image"])


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
    with open_archive(path) as archive:
        rows = [_find(archive, image if isinstance(image, str) else "") for image in products["image"]]
    found = pd.DataFrame(rows, columns=["status", "detail", "hash"], index=products.index, dtype=object)
    return pd.concat([products[["product_id", "image"]], found], axis=1).reset_index(drop=True)


def _find(archive: zipfile.ZipFile, image: str) -> tuple[str, str, str | None]:
    try:
        return "ok", "", content_hash(read_photo(archive, image))
    except KeyError:
        return "missing", "no such photo in the archive" if image else "the product has no photo", None
    except PhotoError as error:
        return "broken", str(error), None


def extract(archive: Path, entries: dict[str, str], cache: FeatureCache, extractor: Extractor) -> None:
    """Compute the features of the photos that the cache does not have yet.

    Parameters
    ----------
    archive
        The archive of photos.
    entries
        The hash of each photo's content, and the name of an entry that holds it.
    """
    known = {name for shard in cache.shards() for name in shard.hashes}
    waiting = sorted(entries.keys() - known)
    photos = Photos(archive, [entries[name] for name in waiting], extractor.setup.size)
    with progress(len(entries), len(entries) - len(waiting)) as bar:
        stream = _computed(photos, extractor, bar)
        while rows := list(itertools.islice(stream, SHARD)):
            hashes, waiting = waiting[: len(rows)], waiting[len(rows) :]
            cache.write(Shard(hashes, np.stack([features for features, _ in rows]), [reason for _, reason in rows]))


def _computed(photos: Photos, extractor: Extractor, bar: "tqdm[Never]") -> Iterator[tuple[Features, str]]:
    workers = max(1, min(8, (os.cpu_count() or 2) // 2))
    for pixels, reasons in batches(photos, extractor.setup.batch_size, workers):
        yield from zip(extractor(pixels), reasons, strict=True)
        bar.update(len(reasons))


def progress(total: int, done: int) -> "tqdm[Never]":
    """Show a bar with an estimate: often in a terminal, twice a minute in a log or a notebook's output."""
    seconds = 0.5 if sys.stderr.isatty() else 30.0
    return tqdm(total=total, initial=done, unit=" photos", mininterval=seconds, maxinterval=seconds)


def write_features(path: Path, photos: pd.DataFrame, shards: Iterable[Shard], dimension: int) -> pd.DataFrame:
    """Write a row of features for every product, zeros where there is no usable photo, a shard at a time.

    Returns
    -------
    pandas.DataFrame
        `product_id`, `status` and `detail` of every product, now with those whose photo could not be decoded.

    Raises
    ------
    StudyError
        If a photo's features are not in the shards.
    """
    features = np.lib.format.open_memmap(path, "w+", np.float16, (len(photos), dimension))
    status = photos[["product_id", "status", "detail"]].copy()
    rows = photos.groupby("hash").indices
    for shard in shards:
        for place, (name, reason) in enumerate(zip(shard.hashes, shard.reasons, strict=True)):
            where = rows.pop(name, [])
            if reason:
                status.loc[where, ["status", "detail"]] = "broken", reason
            else:
                features[where] = shard.features[place]
    if rows:
        raise StudyError(f"The feature cache lost {len(rows)} photos while the stage ran. Run it again.")
    features.flush()
    return status
