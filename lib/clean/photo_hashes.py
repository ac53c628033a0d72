"""Hashes of photos: of their bytes, and of what they show."""

from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import imagehash
import numpy as np
import pandas as pd
from PIL import Image
from tqdm import tqdm

from lib.clean.photos import Archive, PhotoError, decode_photo
from lib.clean.splits import stable_hash
from lib.processes import worker_pool

CHUNK = 500  # photos that a worker process takes at once
WORKERS_FROM = 10_000  # photos that are worth starting processes for
SIDE = 32  # pixels that the perceptual hash looks at
FLAT = 8  # grey values, of 256, that a photo which shows something spans at least
_UNUSABLE = (0, 0, False)

Row = tuple[int, int, bool]


def photo_hashes(archive: Path, names: Sequence[str | None]) -> pd.DataFrame:
    """Hash photos, in worker processes where there are many.

    Parameters
    ----------
    archive
        A ZIP file.
    names
        The entry of each row; None where a product has no photo.

    Returns
    -------
    DataFrame
        A row for each name: `content` and `perceptual` (uint64), and `usable` (bool), which is False where there is
        no photo, where it cannot be decoded, and where it shows nothing but one colour.

    Raises
    ------
    StudyError
        If the archive is missing or damaged.
    """
    Archive(archive)
    entries = sorted({name for name in names if isinstance(name, str)})
    chunks = [entries[start : start + CHUNK] for start in range(0, len(entries), CHUNK)]
    hashes: dict[str, Row] = {}
    with worker_pool() if len(entries) >= WORKERS_FROM else nullcontext() as pool:
        found = (pool.map if pool else map)(partial(_hash_entries, archive), chunks)
        for chunk in tqdm(found, total=len(chunks), desc="Photos", unit=f"{CHUNK} photos"):
            hashes.update(chunk)
    rows = [hashes[name] if isinstance(name, str) else _UNUSABLE for name in names]
    types = {"content": "uint64", "perceptual": "uint64", "usable": "bool"}
    return pd.DataFrame(rows, columns=list(types)).astype(types)


def _hash_entries(archive: Path, names: list[str]) -> dict[str, Row]:
    photos = Archive(archive)
    return {name: _hash_entry(photos, name) for name in names}


def _hash_entry(photos: Archive, name: str) -> Row:
    try:
        content = photos.read(name)
        grey = Image.fromarray(decode_photo(content, SIDE)).convert("L")
    except PhotoError:
        return _UNUSABLE
    if np.ptp(np.asarray(grey)) < FLAT:
        return _UNUSABLE
    bits = np.packbits(imagehash.phash(grey).hash)
    return stable_hash(content), int.from_bytes(bits.tobytes(), "big"), True
