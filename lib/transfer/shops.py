"""The two catalogues of a pair: what their products are for the model of one of them."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from lib import artifacts, config
from lib.data import CatalogueData, load_catalogue_data
from lib.errors import StudyError, nearest
from lib.pairs import BEST
from lib.tagging.parts import NewProducts
from lib.tagging.tagger import Tagger
from lib.tagging.trained import backbone_of, trained_tagger
from lib.transfer.mapping import APART, Mapped, Taxonomy, map_taxonomy, read_mapping

MODEL, RECIPE, SEED = BEST, "tuned", 0
TEXT: config.Text = "plain"
SPLIT: config.Split = "grouped"
"""The model that is deployed: see `docs/architecture.md`."""

Codes = npt.NDArray[np.int64]


class Shop(NamedTuple):
    """One catalogue.

    Attributes
    ----------
    codes : int array, shape (rows, 3)
        The classes of each product, in the codes of the source; `APART` where its path has no counterpart there.
    """

    name: str
    data: CatalogueData
    products: NewProducts
    codes: Codes

    @property
    def groups(self) -> npt.NDArray[np.int64]:
        """The near-duplicate group of each row."""
        return self.data.products["group"].to_numpy(np.int64)


class Pair(NamedTuple):
    """A source and a target.

    Attributes
    ----------
    mapped
        The target's paths in the codes of the source.
    own : Tagger
        The source's model as it is: it answers with paths of the source.
    tagger : Tagger
        The same model, which answers with the target's paths instead. No label is needed for that, only the mapping.
    comparable : bool
        Both catalogues' photos went through the same backbone with the same weights. Where they did not, the source's
        model is shown no photo of the target.
    """

    settings: config.Transfer
    source: Shop
    target: Shop
    mapped: Mapped
    own: Tagger
    tagger: Tagger
    comparable: bool


def open_pair(name: str) -> Pair:
    """Open a pair of `params.yaml`.

    Raises
    ------
    StudyError
        If there is no such pair, if anything that it needs has not been made, or if its mapping is wrong.
    """
    pairs = config.load_params().transfer
    if name not in pairs:
        raise StudyError(f"params.yaml: transfer has no pair '{name}'. Known: {list(pairs)}.{nearest(name, pairs)}")
    settings = pairs[name]
    taxonomies = [_taxonomy(shop) for shop in (settings.source, settings.target)]
    mapped = map_taxonomy(read_mapping(config.root() / settings.mapping), taxonomies[1], taxonomies[0])
    if mapped.apart.all():
        raise StudyError(f"{settings.mapping}: no category path of '{settings.target}' has a counterpart.")
    own = open_tagger(settings.source)
    tree = np.unique(mapped.paths[~mapped.apart], axis=0)
    tagger = Tagger(own.about, {"levels": own.levels, "paths": tree.tolist()}, own.parts)
    comparable = backbone_of(settings.source) == backbone_of(settings.target)
    source, target = _open(settings.source, None), _open(settings.target, mapped)
    if not comparable:
        target = target._replace(products=target.products._replace(image=None))
    return Pair(settings, source, target, mapped, own, tagger, comparable)


def open_tagger(catalogue: str) -> Tagger:
    """Open the model that the `train` stage saved for a catalogue: plain text, grouped split, all rows, the first seed.

    Raises
    ------
    StudyError
        If it is not there.
    """
    folder = config.build_dir(catalogue, "models", MODEL)
    found = sorted(folder.glob(f"{RECIPE}-{TEXT}-{SPLIT}-*-{SEED}.json"))
    if not found:
        raise StudyError(
            f"'{catalogue}' has no trained '{MODEL}' in {folder}: run `dvc repro train@{catalogue}-{MODEL}`."
        )
    return trained_tagger(catalogue, MODEL, found[0].stem, TEXT)


def _open(catalogue: str, mapped: Mapped | None) -> Shop:
    data = load_catalogue_data(catalogue)
    table = pd.read_parquet(config.build_dir(catalogue, "clean", "products.parquet"), columns=["brand", "text"])
    products = NewProducts(table["brand"].tolist(), table["text"].tolist(), np.asarray(data.image))
    codes = data.codes.astype(np.int64)
    if mapped is not None:
        numbers = {tuple(path): number for number, path in enumerate(data.paths.tolist())}
        codes = mapped.paths[[numbers[tuple(row)] for row in data.codes.tolist()]]
    return Shop(catalogue, data, products, codes)


def _taxonomy(catalogue: str) -> Taxonomy:
    found: Taxonomy = artifacts.read_json(config.build_dir(catalogue, "clean", "taxonomy.json"))
    return found


def in_scope(shop: Shop, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Keep the rows whose path the source has a counterpart of."""
    return np.asarray(rows[shop.codes[rows, 0] != APART])
