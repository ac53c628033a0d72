"""Features of many photos, a shard at a time: a process on every core, or this one with a GPU."""

from collections.abc import Iterator
from concurrent.futures import as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from lib.backbones import Pretrained, load_backbone
from lib.config import Backbone
from lib.extractor import Extractor, Features, Setup
from lib.photos import Photos, batches
from lib.workers import cores, worker_pool

SHARD = 256  # photos
MAX_PROCESSES = 16  # each holds a network of its own

Entries = dict[str, str]
"""The hash of each photo's content, and the name of an entry of the archive that holds it."""


class Shard(NamedTuple):
    """Some photos: hashes of their contents, their features (float16, a row each), and why there are none, or empty."""

    hashes: list[str]
    features: Features
    reasons: list[str]


@dataclass(frozen=True)
class Network:
    """All that a process needs to know to load a pretrained network."""

    wanted: Backbone
    pretrained: Pretrained
    setup: Setup
    device: torch.device

    def load(self) -> Extractor:
        """Build the network, and read its weights."""
        return Extractor(load_backbone(self.wanted, self.pretrained), self.setup, self.device)


def compute(archive: Path, entries: Entries, network: Network) -> Iterator[Shard]:
    """Compute the features of photos, and yield shards of them as they are finished, in no particular order.

    On a processor every core has a process with one thread, which decodes photos as well. Cores that work on one photo
    together wait for one another after every layer: on a quiet machine that costs a little, and on a busy one most of
    the time. The sums are the same.
    """
    if network.device.type == "cuda":
        yield from _stream(archive, entries, network.load(), workers=max(1, min(8, cores() // 2)))
        return
    names = iter(entries.items())
    parts = [dict(part) for part in iter(lambda: list(islice(names, SHARD)), [])]
    processes = min(cores(), MAX_PROCESSES)
    threads = cores() // processes
    if len(parts) <= 1:  # less work than starting a process
        yield from (_compute_part(archive, part, network, threads) for part in parts)
        return
    with worker_pool(min(processes, len(parts)), __name__) as pool:
        try:
            for part in as_completed([pool.submit(_compute_part, archive, part, network, threads) for part in parts]):
                yield part.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _compute_part(archive: Path, part: Entries, network: Network, threads: int) -> Shard:
    with _threads(threads):
        (shard,) = _stream(archive, part, _loaded(network), workers=0)
    return shard


@cache
def _loaded(network: Network) -> Extractor:
    """Load a network once a process."""
    return network.load()


def _stream(archive: Path, entries: Entries, extractor: Extractor, workers: int) -> Iterator[Shard]:
    photos, hashes = Photos(archive, list(entries.values()), extractor.setup.size), iter(entries)
    decoded = batches(photos, extractor.setup.batch_size, workers)
    rows = chain.from_iterable(zip(extractor(pixels), reasons, strict=True) for pixels, reasons in decoded)
    while shard := list(islice(rows, SHARD)):
        features, reasons = zip(*shard, strict=True)
        yield Shard(list(islice(hashes, len(shard))), np.stack(features), list(reasons))


@contextmanager
def _threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
