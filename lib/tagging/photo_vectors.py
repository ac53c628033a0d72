"""Vectors of new products' photos: from ready features, or through the very network that the tagger learnt with."""

from collections import deque
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from lib import config
from lib.config.base import PHOTO, Reject
from lib.exceptions import StudyError
from lib.features.vectors import Features, Network, compute
from lib.files import existing, read_json
from lib.tagging.folder import Backbone
from lib.tagging.incoming import Chunk
from lib.tagging.tagger import Tagger


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
    network = Network.choose(backbone.settings, weights, config.load_params(), photos)
    found = network.setup.weights_sha256
    if found != backbone.weights_sha256:
        raise StudyError(
            f"{network.pretrained.path} holds other weights than those that this tagger's "
            f"'{backbone.settings.backbone}' had: their SHA-256 begins with {found[:12]}, "
            f"expected {backbone.weights_sha256[:12]}."
        )
    return network


# Ready features


def with_features(chunks: Iterator[Chunk], path: Path, tagger: Tagger) -> Iterator[Chunk]:
    """Give products the vectors of their rows, of an array in a file.

    Raises
    ------
    StudyError
        If it is no array that the tagger can read, or has another number of rows than the table; or if a manifest
        beside it, as the `image` stage writes one, names other weights.
    """
    wanted, manifest, rows = tagger.about.backbone, path.with_name("manifest.json"), 0  # rows of the table
    try:
        features: Features = np.load(existing(path), mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise StudyError(f"{path} is not a NumPy array of numbers: {str(error).rstrip('.')}.") from error
    if wanted is None or features.ndim != 2 or features.shape[1] != wanted.dimension:
        expected = f"vectors of {wanted.dimension} numbers" if wanted else "no photos at all"
        raise StudyError(f"{path}: this tagger reads {expected}. Found an array of the shape {features.shape}.")
    if manifest.is_file() and (found := read_json(manifest).get("weights_sha256", "")) != wanted.weights_sha256:
        raise StudyError(
            f"{path} was made with other weights than this tagger's '{wanted.settings.backbone}' had: {manifest.name} "
            f"beside it says {found[:12]}, expected {wanted.weights_sha256[:12]}."
        )
    count = len(features)
    for chunk in chunks:
        if (rows := chunk.rows) > count:
            raise StudyError(f"{path} holds {count:,} rows, and the table has more.")
        # Opened anew each time: what was read of one mapping would count as this process's memory until its end.
        vectors = np.array(np.load(path, mmap_mode="r", allow_pickle=False)[chunk.places])
        yield chunk._replace(products=chunk.products.having(image=vectors))
    if rows != count:
        raise StudyError(f"{path} holds {count:,} rows, and the table {rows:,}.")


# Photos


def with_photos(chunks: Iterator[Chunk], place: Path, network: Network) -> Iterator[Chunk]:
    """Give products the vectors of their photos, in order; a photo that cannot be used becomes a reject of its own."""
    waiting: deque[Chunk] = deque()

    def names() -> Iterator[list[str | None]]:
        for chunk in chunks:
            waiting.append(chunk)
            yield chunk.photos

    for features, reasons in compute(place, names(), network):
        chunk = waiting.popleft()
        lost = [
            Reject(product_id, f"{PHOTO}{'not found' if reason == 'not found' else 'broken'}", f"'{name}': {reason}")
            for product_id, name, reason in zip(chunk.ids, chunk.photos, reasons, strict=True)
            if reason
        ]
        yield chunk._replace(products=chunk.products.having(image=features), rejects=[*chunk.rejects, *lost])
