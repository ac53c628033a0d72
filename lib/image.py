"""The `image` stage: photos to features, one row a product, through a cache keyed by what the photos contain."""

import sys
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Never

import numpy as np
import pandas as pd
from tqdm import tqdm

from lib.artifacts import existing, fingerprint, remove, whole, write_json
from lib.backbones import find_weights
from lib.config import build_dir, load_catalogue, load_params, root, studied
from lib.errors import StudyError
from lib.extractor import choose_device, choose_setup
from lib.photos import PhotoError, content_hash, open_archive, read_photo
from lib.shards import Entries, Network, Shard, compute


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
    entries: Entries = dict(zip(usable["hash"], usable["image"], strict=True))
    device = choose_device(params.accelerator)
    pretrained = find_weights(wanted, studied(catalogue).weights)
    setup = choose_setup(wanted, pretrained, params.image, device, len(entries))
    network = Network(wanted, pretrained, setup, device)
    dimension = network.load().dimension
    cache = FeatureCache(root() / "build" / "cache" / "image" / setup.key)
    extract(archive, entries, cache, network)
    with whole(build_dir(catalogue, "image")) as folder:
        folder.mkdir()
        status = write_features(folder / "features.npy", photos, cache.shards(), dimension)
        status.to_parquet(folder / "status.parquet", index=False)
        counts = {name: int((status["status"] == name).sum()) for name in ("ok", "missing", "broken")}
        manifest = {**asdict(setup), "dimension": dimension, "photos": len(entries), "products": counts}
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


def extract(archive: Path, entries: Entries, cache: FeatureCache, network: Network) -> None:
    """Compute the features of the photos that the cache does not have yet."""
    known = {name for shard in cache.shards() for name in shard.hashes}
    waiting = {name: entries[name] for name in sorted(entries.keys() - known)}
    with progress(len(entries), len(entries) - len(waiting)) as bar:
        for shard in compute(archive, waiting, network):
            cache.write(shard)
            bar.update(len(shard.hashes))


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
