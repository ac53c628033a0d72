"""One product being tagged, to be looked at and changed, and which words and which part of its photo decided."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from lib import config
from lib.clean.photos import Archive, PhotoError, Pixels, decode_photo
from lib.exceptions import StudyError
from lib.features.text import STOP_WORDS
from lib.features.vectors import Extractor
from lib.files import existing
from lib.models.inputs import Products
from lib.models.linear import LinearModel
from lib.tagging.photo_vectors import network_of
from lib.tagging.promises import Shares
from lib.tagging.stream import known_weights
from lib.tagging.tagger import Tagger

BRAND, PHOTO = "(brand)", "(photo)"
"""What stands among the words for the other inputs."""

_BLANK = "__"
"""Takes the place of a word that is left out, so that its neighbours do not become a pair; of a text that has no other
word, nothing is left."""

EXAMPLES = 40
MADE_UP = ("", "Soft cotton shirt with long sleeves and a buttoned collar")
"""What a catalogue whose products may not be shown begins with: a brand, which is left to the reader, and a text."""


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
    [brand], tokens = product.brand, [product.text.words[token] for token in product.text.ids]
    stop_words, text = STOP_WORDS[tagger.model.settings.text.stop_words], " ".join(tokens)
    words = [word for word in dict.fromkeys(tokens) if word not in stop_words and word != _BLANK]
    left_out = ["" if len(words) == 1 else " ".join(_BLANK if t == word else t for t in tokens) for word in words]
    photo = product.image is not None and bool(product.image.any())
    others = [*([BRAND] if brand else []), *([PHOTO] if photo else [])]
    names = ["", *words, *others]  # what each row lacks, nothing first
    brands = [None if name == BRAND else brand for name in names]
    lacks_photo = np.array([[name == PHOTO] for name in names])
    image = None if product.image is None else np.where(lacks_photo, 0, product.image).astype(product.image.dtype)
    scores = tagger.scores(Products.of(brands, [text, *left_out, *[text] * len(others)], image))[:, path]
    margins = _margins(tagger, product, path)
    return pd.DataFrame({
        "word": names[1:],
        "effect": scores[0] - scores[1:],
        "margin": [margins.get(name, np.nan) for name in names[1:]],
    })  # fmt: skip


def photo_heat(
    tagger: Tagger, product: Products, pixels: Pixels, path: int, extractor: Extractor, cells: int = 8
) -> Shares:
    """Hide one patch of the photo after the other, and see what the path's log-probability loses.

    After Zeiler & Fergus (2014). A patch is grey, two cells wide and high, and moves by one cell: most cells are
    hidden four times.

    Parameters
    ----------
    pixels : uint8 array, shape (size, size, 3)
        The photo as the network reads it (`lib.clean.photos.decode_photo`).
    cells
        Cells of a row and of a column.

    Returns
    -------
    float64 array, shape (cells, cells)
        Mean fall of the path's log-probability where a patch hides the cell. Negative: the cell speaks against it.
    """
    size = len(pixels)
    cell = -(-size // cells)  # rounded up
    grey = np.array(255 * np.array(extractor.setup.mean), np.uint8)
    corners = [(row, column) for row in range(cells - 1) for column in range(cells - 1)]
    photos = np.repeat(pixels[None], len(corners) + 1, axis=0)
    for photo, (row, column) in zip(photos[1:], corners, strict=True):
        photo[row * cell : (row + 2) * cell, column * cell : (column + 2) * cell] = grey
    same = product.take(np.zeros(len(photos), np.intp))
    scores = tagger.scores(same.having(image=extract_all(photos, extractor)))[:, path]
    total, times = np.zeros((cells, cells)), np.zeros((cells, cells))
    for (row, column), score in zip(corners, scores[1:], strict=True):
        total[row : row + 2, column : column + 2] += scores[0] - score
        times[row : row + 2, column : column + 2] += 1
    return np.asarray(total / times)


def extract_all(photos: Pixels, extractor: Extractor) -> npt.NDArray[np.floating]:
    """Return the vectors of photos (photos, size, size, 3), a batch after the other."""
    batch = extractor.setup.batch_size
    parts = [extractor(torch.from_numpy(photos[at : at + batch])) for at in range(0, len(photos), batch)]
    return np.concatenate(parts)


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


# A tour of a catalogue


class Shown(NamedTuple):
    """A product to look at, and where the shop puts it: empty if nobody knows."""

    brand: str
    text: str
    pixels: Pixels | None
    label: str


@dataclass(frozen=True)
class Tour:
    """A catalogue's tagger, the network that reads photos, and test products, which neither has learnt from."""

    tagger: Tagger
    extractor: Extractor
    products: Sequence[Shown]
    _vectors: dict[int, npt.NDArray[np.floating]] = field(default_factory=dict)

    @classmethod
    def open(cls, catalogue: str) -> "Tour":
        """Load all that is needed.

        Raises
        ------
        StudyError
            If the study was not run yet.
        """
        folder = config.build_dir(catalogue, "tagger")
        if not folder.is_dir():
            raise StudyError(
                f"There is no trained tagger for '{catalogue}' yet. Run `make repro` first: it makes "
                f"{folder.relative_to(config.root())}."
            )
        tagger = Tagger.load(folder)
        backbone = tagger.about.backbone
        if backbone is None:
            raise StudyError(f"The tagger of '{catalogue}' does not look at photos; this tour shows one that does.")
        extractor = network_of(backbone, known_weights(catalogue, backbone), 0).load()
        return cls(tagger, extractor, read_examples(catalogue, tagger, extractor.setup.size))

    def product(self, number: int, brand: str, text: str, hide_photo: bool) -> Products:
        """Return a product as the tagger reads it, with its own photo or none, and any words."""
        pixels = self.products[number].pixels
        if pixels is None or hide_photo:
            return one_product(brand, text)
        if number not in self._vectors:
            self._vectors[number] = extract_all(pixels[None], self.extractor)[0]
        return one_product(brand, text, self._vectors[number])


def read_examples(catalogue: str, tagger: Tagger, size: int) -> list[Shown]:
    """Read some test products with their photos; where they may not be shown, a made-up one without a photo."""
    if not config.load_catalogue(catalogue).publish_examples:
        return [Shown(*MADE_UP, None, "")]
    path = existing(config.build_dir(catalogue, "clean", "products.parquet"))
    products = pd.read_parquet(path)
    held = products[(products["grouped_split"] == "test") & products["image"].notna() & (products["text"] != "")]
    one_each = held[~held["group"].duplicated()].sort_values("sampling_key").head(EXAMPLES)
    text = "masked_text" if tagger.about.text == "masked" else "text"
    archive = Archive(config.build_dir(catalogue, "raw", "images.zip"))
    shown = []
    for product in one_each.to_dict("records"):
        try:
            pixels = decode_photo(archive.read(product["image"]), size)
        except PhotoError:
            pixels = None
        label = " > ".join(product[level] for level in config.LEVELS)
        shown.append(Shown(product["brand"], product[text], pixels, label))
    return shown
