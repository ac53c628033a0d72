"""One product being tagged, to be looked at and changed: what `00_start_here` shows."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from lib import config
from lib.clean.photos import Archive, PhotoError, Pixels, decode_photo
from lib.exceptions import StudyError
from lib.features.vectors import Extractor
from lib.files import existing
from lib.models.inputs import Products
from lib.tagging.explain import extract_all, one_product
from lib.tagging.photo_vectors import network_of
from lib.tagging.stream import known_weights
from lib.tagging.tagger import Tagger

EXAMPLES = 40
MADE_UP = ("", "Soft cotton shirt with long sleeves and a buttoned collar")
"""What a catalogue whose products may not be shown begins with: a brand, which is left to the reader, and a text."""


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
    return [
        Shown(brand, words, _decoded(archive, image, size), " > ".join(levels))
        for brand, words, image, *levels in one_each[["brand", text, "image", *config.LEVELS]].itertuples(
            index=False, name=None
        )
    ]


def _decoded(archive: Archive, name: str, size: int) -> Pixels | None:
    try:
        return decode_photo(archive.read(name), size)
    except PhotoError:
        return None


def example_table(catalogue: str) -> Path:
    """Write the catalogue's test products, as they were collected, as if they were new; return the file.

    Raises
    ------
    StudyError
        If the study was not run yet.
    """
    products = pd.read_parquet(existing(config.build_dir(catalogue, "clean", "products.parquet")))
    raw = pd.read_parquet(existing(config.build_dir(catalogue, "raw", "products.parquet")))
    test = products.loc[products["grouped_split"] == "test", "product_id"]
    new = raw[raw["product_id"].isin(test)][["product_id", "brand", "title", "description", "image"]]
    path = config.build_dir(catalogue, "tagged", "new.csv")
    path.parent.mkdir(parents=True, exist_ok=True)
    content = io.StringIO()
    new.to_csv(content, index=False)
    path.write_text(content.getvalue(), "utf-8")
    return path


def compare(catalogue: str, tagged: pd.DataFrame) -> pd.DataFrame:
    """Compare tags of a catalogue's own products with where the shop puts them.

    Parameters
    ----------
    tagged
        The columns of `lib.tagging.tagged.Tagged`.

    Returns
    -------
    DataFrame
        By decision: `products`, `share` of all, `right` (share whose tagged levels are all right; of products for
        review whose best path is).
    """
    clean = existing(config.build_dir(catalogue, "clean", "products.parquet"))
    truth = pd.read_parquet(clean, columns=["product_id", *config.LEVELS]).set_index("product_id")
    truth = truth.loc[tagged["product_id"]].reset_index(drop=True)
    levels = tagged[list(config.LEVELS)].reset_index(drop=True)
    right = ((levels == truth) | (levels == "")).all(axis=1)
    by_decision = right.groupby(tagged["decision"].reset_index(drop=True))
    table = pd.DataFrame({"products": by_decision.size(), "right": by_decision.mean()})
    table.insert(1, "share", table["products"] / len(tagged))
    return table.sort_values("products", ascending=False)
