"""Which words and which part of the photo carried a tagger's decision for one product."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from lib.clean.photos import Pixels
from lib.features.text import STOP_WORDS
from lib.features.vectors import Extractor
from lib.models.inputs import Products
from lib.models.linear import LinearModel
from lib.tagging.promises import Shares
from lib.tagging.tagger import Tagger

BRAND, PHOTO = "(brand)", "(photo)"
"""What stands among the words for the other inputs."""

_BLANK = "__"
"""Takes the place of a word that is left out, so that its neighbours do not become a pair; of a text that has no other
word, nothing is left."""

Extract = Callable[[torch.Tensor], npt.NDArray[np.floating]]


class Heat(NamedTuple):
    """How much each cell of a photo speaks for a path.

    Attributes
    ----------
    effect : float64 array, shape (cells, cells)
        Mean fall of the path's log-probability where a grey patch hides the cell. Negative: the cell speaks against it.
    cell : int
        Side of a cell in pixels.
    """

    effect: Shares
    cell: int


def one_product(brand: str, text: str, vector: npt.NDArray[np.floating] | None = None) -> Products:
    """Return a product as a tagger reads it; `vector` of shape (dimension,) is the photo's."""
    return Products.of([brand], [text], None if vector is None else vector[None])


def top_paths(tagger: Tagger, product: Products, shown: int = 8) -> pd.DataFrame:
    """Return the most probable paths of one product: `path` (its number), `name`, `probability`."""
    probabilities = np.exp(tagger.scores(product)[0])
    best = np.argsort(-probabilities, kind="stable")[:shown]
    names = [" > ".join(tagger.names(path)) for path in best.tolist()]
    return pd.DataFrame({"path": best, "name": names, "probability": probabilities[best]})


def word_effects(tagger: Tagger, product: Products, path: int) -> pd.DataFrame:
    """Leave each word out, then the brand, then the photo, and see what the path's log-probability loses.

    A word is left out wherever it stands. The rest of the product stays, so effects do not add up: of two words that
    say the same, neither may be missed.

    Returns
    -------
    DataFrame
        A row for each word of the text in order of its first use, and one for each other input that is there: `word`,
        `effect` (positive: it speaks for the path), `margin` (what the word and its pairs add to the margins of the
        path's classes in the linear part; NaN where that does not read it).
    """
    [brand], tokens = product.brand, _tokens(product)
    stop_words, text = STOP_WORDS[tagger.model.settings.text.stop_words], " ".join(tokens)
    words = [word for word in dict.fromkeys(tokens) if word not in stop_words and word != _BLANK]
    brands: list[str | None] = [brand] * (len(words) + 1)
    left_out = ["" if len(words) == 1 else " ".join(_BLANK if t == word else t for t in tokens) for word in words]
    texts = [text, *left_out]
    names, hidden_photo = list(words), []
    if brand:
        names, brands, texts = [*names, BRAND], [*brands, None], [*texts, text]
    if product.image is not None and product.image.any():
        names, brands, texts = [*names, PHOTO], [*brands, brand], [*texts, text]
        hidden_photo = [len(texts) - 1]
    image = None
    if product.image is not None:
        image = np.repeat(product.image, len(texts), axis=0)
        image[hidden_photo] = 0
    scores = tagger.scores(Products.of(brands, texts, image))[:, path]
    margins = _margins(tagger, product, path)
    return pd.DataFrame({
        "word": names,
        "effect": scores[0] - scores[1:],
        "margin": [margins.get(name, np.nan) for name in names],
    })  # fmt: skip


def photo_heat(
    tagger: Tagger, product: Products, pixels: Pixels, path: int, extractor: Extractor, cells: int = 8
) -> Heat:
    """Hide one patch of the photo after the other, and see what the path's log-probability loses.

    After Zeiler & Fergus (2014). A patch is grey, two cells wide and high, and moves by one cell: most cells are
    hidden four times.

    Parameters
    ----------
    pixels : uint8 array, shape (size, size, 3)
        The photo as the network reads it (`lib.clean.photos.decode_photo`).
    cells
        Cells of a row and of a column.
    """
    size = len(pixels)
    cell = -(-size // cells)  # rounded up
    grey = np.array(255 * np.array(extractor.setup.mean), np.uint8)
    corners = [(row, column) for row in range(cells - 1) for column in range(cells - 1)]
    photos = np.repeat(pixels[None], len(corners) + 1, axis=0)
    for photo, (row, column) in zip(photos[1:], corners, strict=True):
        photo[row * cell : (row + 2) * cell, column * cell : (column + 2) * cell] = grey
    vectors = extract_all(photos, extractor)
    rows = len(photos)
    scores = tagger.scores(product.take(np.zeros(rows, np.intp)).having(image=vectors))[:, path]
    total, times = np.zeros((cells, cells)), np.zeros((cells, cells))
    for (row, column), score in zip(corners, scores[1:], strict=True):
        total[row : row + 2, column : column + 2] += scores[0] - score
        times[row : row + 2, column : column + 2] += 1
    return Heat(total / times, cell)


def extract_all(photos: Pixels, extractor: Extractor) -> npt.NDArray[np.floating]:
    """Return the vectors of photos (photos, size, size, 3), a batch after the other."""
    batch = extractor.setup.batch_size
    parts = [extractor(torch.from_numpy(photos[at : at + batch])) for at in range(0, len(photos), batch)]
    return np.concatenate(parts)


def _tokens(product: Products) -> list[str]:
    """Return the words of one product's text, in order."""
    return [product.text.words[token] for token in product.text.ids]


def _margins(tagger: Tagger, product: Products, path: int) -> dict[str, float]:
    """Add up for each word, and for the brand, what n-grams that hold it add to the margins of a path's classes."""
    found: dict[str, float] = {}
    linear = [part for part in tagger.model.parts.values() if isinstance(part, LinearModel)]
    for part in linear:
        for level in part.contributions(product, tagger.paths[path].tolist()):
            for term, margin in level.items():
                for name in [BRAND] if term.startswith("brand: ") else set(term.split()):
                    found[name] = found.get(name, 0.0) + margin
    return found
