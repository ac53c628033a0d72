"""What a process does that computes the vectors of new products' photos, and no more than it has to import for that."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from lib.extractor import Extractor, Features
from lib.photos import PhotoError, Pixels, decode_photo
from lib.shards import Network
from lib.tagging.photo_store import Store, open_store


class Computed(NamedTuple):
    """What a process makes of some photos: a row each, zeros where there is none, and why there is none, or empty."""

    features: Features
    reasons: list[str]


def compute(source: Path, names: Sequence[str | None], network: Network, threads: int) -> Computed:
    """Compute the vectors of some photos, in this process."""
    extractor, store = _loaded(network), _opened(source)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return _compute(store, names, extractor, threads)
    finally:
        torch.set_num_threads(before)


def _compute(store: Store, names: Sequence[str | None], extractor: Extractor, threads: int) -> Computed:
    features = np.zeros((len(names), extractor.dimension), np.float16)
    reasons = [""] * len(names)
    there = [row for row, name in enumerate(names) if name]

    def decode(row: int) -> Pixels | str:
        try:
            return decode_photo(store.read(names[row] or ""), extractor.setup.size)
        except PhotoError as error:
            return str(error)

    with ThreadPoolExecutor(threads) as decoders:
        decoded = decoders.map(decode, there) if threads > 1 else map(decode, there)
        usable = []
        for row, photo in zip(there, decoded, strict=True):
            if isinstance(photo, str):
                reasons[row] = photo
            else:
                usable.append((row, photo))
            if len(usable) == extractor.setup.batch_size:
                _extract(usable, extractor, features)
        _extract(usable, extractor, features)
    return Computed(features, reasons)


def _extract(usable: list[tuple[int, Pixels]], extractor: Extractor, features: Features) -> None:
    """Fill in the vectors of a batch, and begin a new one."""
    if usable:
        rows, photos = zip(*usable, strict=True)
        features[list(rows)] = extractor(torch.from_numpy(np.stack(photos)))
        usable.clear()


@cache
def _loaded(network: Network) -> Extractor:
    """Load a network once a process."""
    return network.load()


@cache
def _opened(source: Path) -> Store:
    """Open photos once a process."""
    return open_store(source)
