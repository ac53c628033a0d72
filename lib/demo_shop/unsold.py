"""Things that the shop does not sell, for its image network to be trained on.

They come from the same drawing engine, but no outline of theirs is near one that the shop sells.
"""

from collections.abc import Iterator

import numpy as np

from lib.demo_shop.lexicon import UNSOLD, lexicon, pick, stream
from lib.demo_shop.photos import PATTERNS, Look, draw, silhouettes
from lib.demo_shop.world import FULL_SIZE, make_world

DISTANCE = 0.25
"""Root mean square difference of free numbers that keeps an outline apart from all that are sold."""

Shape = tuple[str, tuple[float, ...]]


def unsold_shapes(each: int, seed: int) -> list[Shape]:
    """Return outlines that the shop of this seed sells at no size: `each` of every silhouette.

    >>> len(unsold_shapes(2, seed=1)) == 2 * len(silhouettes())
    True
    """
    rng, sold = stream(seed, UNSOLD), _sold(seed)
    shapes = []
    for name, silhouette in silhouettes().items():
        found = 0
        while found < each:
            shape = rng.random(silhouette.free).round(6)
            if all(np.sqrt(np.mean((shape - other) ** 2)) >= DISTANCE for other in sold.get(name, [])):
                shapes.append((name, tuple(shape.tolist())))
                found += 1
    return shapes


def unsold_photos(shapes: list[Shape], photos: int, seed: int) -> Iterator[tuple[bytes, int]]:
    """Yield photos of these outlines in any colour and pattern, each with the index of its outline."""
    for number in range(photos):
        rng = stream(seed, UNSOLD, number + 1)
        label = number % len(shapes)
        red, green, blue = rng.integers(20, 245, 3).tolist()
        yield draw(Look(*shapes[label], (red, green, blue), pick(rng, PATTERNS)), rng), label


def _sold(seed: int) -> dict[str, list[np.ndarray]]:
    """Return the shapes of every subtype of the full-size shop, by silhouette."""
    world = make_world(FULL_SIZE, seed)
    sold: dict[str, list[np.ndarray]] = {}
    for subtype in world.subtypes:
        silhouette = lexicon().types[world.types[subtype.type]].silhouette
        sold.setdefault(silhouette, []).append(np.array(subtype.shape))
    return sold
