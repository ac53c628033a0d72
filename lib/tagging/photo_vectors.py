"""Vectors of new products' photos: from ready features, or through the very network that the tagger learnt with."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from itertools import chain, islice
from pathlib import Path

import numpy as np

from lib import config
from lib.artifacts import existing, file_sha256, read_json
from lib.backbones import find_weights
from lib.errors import StudyError
from lib.extractor import Features, choose_device, choose_setup
from lib.records import PHOTO, Reject
from lib.shards import MAX_PROCESSES, Network
from lib.tagging import photo_network
from lib.tagging.incoming import Chunk
from lib.tagging.photo_network import Computed, compute
from lib.tagging.photo_store import open_store
from lib.tagging.tagger import Backbone, Tagger
from lib.workers import cores, worker_pool

PART = 256  # photos that a process is given at once


def network_of(backbone: Backbone, weights: Path | None, photos: int) -> Network:
    """Return the network that made the vectors which a tagger learnt from.

    Parameters
    ----------
    weights
        Their file; None where the settings name weights of torchvision.
    photos
        About how many there are: compiling the network takes a minute or two, and pays from some thousands on.

    Raises
    ------
    StudyError
        If the weights are others, or cannot be had.
    """
    params = config.load_params()
    pretrained = find_weights(backbone.settings, weights)
    found = file_sha256(existing(pretrained.path))
    if found != backbone.weights_sha256:
        raise StudyError(
            f"{pretrained.path} holds other weights than those that this tagger's '{backbone.settings.backbone}' had: "
            f"their SHA-256 begins with {found[:12]}, expected {backbone.weights_sha256[:12]}."
        )
    device = choose_device(params.accelerator)
    setup = choose_setup(backbone.settings, pretrained, params.image, device, photos)
    return Network(backbone.settings, pretrained, setup, device)


# Ready features


def count_features(path: Path, tagger: Tagger) -> int:
    """Count the rows of an array of vectors, after a look at whether the tagger can read them.

    Raises
    ------
    StudyError
        If it is no such array; or if a manifest beside it, as the `image` stage writes one, names other weights.
    """
    wanted = tagger.about.backbone
    try:
        features: Features = np.load(existing(path), mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise StudyError(f"{path} is not a NumPy array of numbers: {error}.") from error
    if wanted is None or features.ndim != 2 or features.shape[1] != wanted.dimension:
        expected = f"vectors of {wanted.dimension} numbers" if wanted else "no photos at all"
        raise StudyError(f"{path}: this tagger reads {expected}. Found an array of the shape {features.shape}.")
    manifest = path.with_name("manifest.json")
    if manifest.is_file() and (found := read_json(manifest).get("weights_sha256", "")) != wanted.weights_sha256:
        raise StudyError(
            f"{path} was made with other weights than this tagger's '{wanted.settings.backbone}' had: {manifest.name} "
            f"beside it says {found[:12]}, expected {wanted.weights_sha256[:12]}."
        )
    return len(features)


def with_features(chunks: Iterator[Chunk], path: Path, count: int) -> Iterator[Chunk]:
    """Give products the vectors of their rows.

    Raises
    ------
    StudyError
        If they are not as many (`count`) as the rows.
    """
    rows = 0
    for chunk in chunks:
        rows += len(chunk.places) + len(chunk.rejects)
        if rows > count:
            raise StudyError(f"{path} holds {count:,} rows, and the table has more.")
        # Opened anew each time: what was read of one mapping would count as this process's memory until its end.
        vectors = np.array(np.load(path, mmap_mode="r", allow_pickle=False)[chunk.places])
        yield chunk._replace(products=chunk.products._replace(image=vectors))
    if rows != count:
        raise StudyError(f"{path} holds {count:,} rows, and the table {rows:,}.")


# Photos


def with_photos(chunks: Iterator[Chunk], source: Path, network: Network) -> Iterator[Chunk]:
    """Give products the vectors of their photos, in order; a photo that cannot be used becomes a reject of its own.

    On a processor every core has a process with one thread, as in the `image` stage, and only so many chunks are under
    way that none of them waits. On a GPU the photos are decoded in threads.
    """
    open_store(source)  # a wrong one is an error before anything is computed
    first = list(islice(chunks, 2))
    chunks = chain(first, chunks)
    processes = min(cores(), MAX_PROCESSES)
    if network.device.type == "cuda" or len(first) < 2:  # or less work than starting a process
        for chunk in chunks:
            yield _joined(chunk, compute(source, chunk.photos, network, cores()))
        return
    waiting: deque[tuple[Chunk, Future[Computed]]] = deque()
    with worker_pool(processes, photo_network.__name__) as pool:
        try:
            for chunk in chunks:
                waiting.append((chunk, pool.submit(compute, source, chunk.photos, network, cores() // processes)))
                if len(waiting) > 2 * processes:
                    done, future = waiting.popleft()
                    yield _joined(done, future.result())
            while waiting:
                done, future = waiting.popleft()
                yield _joined(done, future.result())
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _joined(chunk: Chunk, computed: Computed) -> Chunk:
    lost = [
        Reject(product_id, f"{PHOTO}{'not found' if reason == 'not found' else 'broken'}", f"'{name}': {reason}")
        for product_id, name, reason in zip(chunk.ids, chunk.photos, computed.reasons, strict=True)
        if reason
    ]
    products = chunk.products._replace(image=computed.features)
    return chunk._replace(products=products, rejects=[*chunk.rejects, *lost])
