"""From new products to category paths, with confidences: a trained model and what is promised of it."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import log_softmax

from lib import config, files
from lib.exceptions import StudyError
from lib.models.fusion import PathFusion, input_sets, set_names
from lib.models.inputs import Products
from lib.tagging.folder import ABOUT, CARD, MODEL, PROMISES, TAXONOMY, About, Backbone, read_folder
from lib.tagging.promises import Prefixes, Promises, Shares, best_prefixes, tagged_depth
from lib.training.model import load_model


class Tagger:
    """A model at work.

    Attributes
    ----------
    about : About
    levels : list of list of str
        The classes of each level.
    paths : int array, shape (valid paths, 3)
        Sorted; a path's number is its place here.
    model : PathFusion
    promises : Promises or None
        None where nothing has been promised yet.
    """

    def __init__(
        self, about: About, taxonomy: dict[str, Any], model: PathFusion, promises: Promises | None = None
    ) -> None:
        self.about, self.model, self.promises = about, model, promises
        self.levels: list[list[str]] = taxonomy["levels"]
        self.paths = np.unique(np.array(taxonomy["paths"], np.int64), axis=0)
        self.inputs = model.settings.variant.inputs

    @classmethod
    def load(cls, folder: Path) -> "Tagger":
        """Load a folder (`lib.tagging.folder`).

        Raises
        ------
        StudyError
            If a file is missing, new, damaged or edited, if files do not fit one another, or if the folder is of
            another format.
        """
        content = read_folder(folder)
        tagger = cls(content.about, content.taxonomy.model_dump(), content.model, content.promises)
        try:
            tagger._try()
        except Exception as error:  # whatever a library makes of arrays that are not of one model
            raise StudyError(f"{folder} is damaged, or its files are not of one tagger ({error!r}).") from error
        return tagger

    def _try(self) -> None:
        """Tag a product with each set of inputs, and see that nothing is raised."""
        brand = min(self.model.known("brand") - {""}, default="")
        backbone = self.about.backbone
        image = None if backbone is None else np.full((1, backbone.dimension), 0.01, np.float32)
        for inputs in input_sets(self.inputs):
            self.tag(Products.of([brand], ["example"], image), set(self.inputs) - set(inputs))

    def save(self, folder: Path, card: str) -> None:
        """Write the folder, whole or not at all, with a card in Markdown."""
        with files.whole(folder) as partial:
            partial.mkdir(parents=True)
            self.model.save(partial / MODEL)
            files.write_json(partial / ABOUT, self.about.model_dump(mode="json"))
            files.write_json(partial / TAXONOMY, {"levels": self.levels, "paths": self.paths.tolist()})
            if self.promises is not None:
                files.write_json(partial / PROMISES, self.promises.model_dump(mode="json"))
            (partial / CARD).write_text(card, "utf-8")
            files.write_json(partial / files.MANIFEST, {"files": files.file_hashes(partial)})

    def scores(self, products: Products, hidden: Collection[config.Input] = ()) -> npt.NDArray[np.float64]:
        """Return the log-probability of each valid path, shape (rows, paths), with some inputs hidden if asked.

        Raises
        ------
        StudyError
            If the image vectors are of another dimension than the backbone's.
        """
        backbone, image = self.about.backbone, products.image
        wanted = backbone.dimension if backbone else 0
        if "image" in self.inputs and image is not None and image.shape[1] != wanted:
            name = backbone.settings.backbone if backbone else "no backbone"
            raise StudyError(
                f"This model reads image vectors of {wanted} numbers, from '{name}'. Found {image.shape[1]}."
            )
        levels = self.model.predict(products, hidden).levels
        wide = (level.astype(np.float64) for level in levels)  # float32 cannot tell a probability of 1 - 1e-9 from 1
        return np.asarray(log_softmax(sum(level[:, self.paths[:, i]] for i, level in enumerate(wide)), axis=1))

    def tag(self, products: Products, hidden: Collection[config.Input] = ()) -> "Tags":
        """Tag products."""
        shown = products.without(hidden)
        probabilities, sets = np.exp(self.scores(shown)), set_names(self.model.present(shown), len(shown))
        prefixes = best_prefixes(probabilities, self.paths)
        confidence = prefixes.probability.copy()
        if self.promises is not None:  # calibrate each depth, by each row's set of inputs
            of_row = np.array(sets, dtype=object)
            for name in set(sets):
                rows = of_row == name
                for column, scale in enumerate(self.promises.scales[name]):
                    confidence[rows, column] = scale(confidence[rows, column])
        return Tags(probabilities, prefixes, confidence, sets)

    def names(self, path: int) -> list[str]:
        """Return the names of a path's three classes."""
        return [names[code] for names, code in zip(self.levels, self.paths[path].tolist(), strict=True)]


def trained_tagger(catalogue: str, name: str, key: str, text: config.Text) -> Tagger:
    """Put a trained variant together, before anything is promised of it.

    Parameters
    ----------
    name
        A variant of `params.yaml`.
    key
        Of the run (`lib.training.runs.Run.key`).

    Raises
    ------
    StudyError
        If the variant cannot be deployed, or a file is missing.
    """
    if not isinstance(config.get_variant(config.load_params(), name), config.PathFusionVariant):
        raise StudyError(f"business.variant: only a 'path_fusion' can be deployed, and '{name}' is none.")
    model = load_model(config.build_dir(catalogue, "models", name, key))
    assert isinstance(model, PathFusion)
    about = About(
        catalogue=catalogue,
        key=key,
        text=text,
        text_from=tuple(config.load_catalogue(catalogue).text),
        backbone=backbone_of(catalogue) if "image" in model.settings.variant.inputs else None,
    )
    return Tagger(about, files.read_json(config.build_dir(catalogue, "clean", TAXONOMY)), model)


def backbone_of(catalogue: str) -> Backbone | None:
    """Return how a catalogue's photos became vectors; None if it has no photos."""
    manifest = files.read_json(config.build_dir(catalogue, "image", "manifest.json"))
    if not manifest["dimension"]:
        return None
    return Backbone(
        settings=config.load_catalogue(catalogue).image.own,
        weights_sha256=manifest["weights_sha256"],
        dimension=manifest["dimension"],
    )


class Tags(NamedTuple):
    """What a tagger says of some products.

    Attributes
    ----------
    probabilities : float64 array, shape (rows, paths)
        Of each valid path.
    prefixes : Prefixes
        The best path down to each depth, and its probability.
    confidence : float64 array, shape (rows, 3)
        The same probabilities, calibrated.
    sets : list of str
        The inputs that each row has.
    """

    probabilities: Shares
    prefixes: Prefixes
    confidence: Shares
    sets: list[str]

    def depth(self, limits: Mapping[str, Sequence[float]]) -> npt.NDArray[np.int64]:
        """Return how many levels of each row may be tagged without a person (`promises.tagged_depth`).

        Parameters
        ----------
        limits
            Set of inputs -> lowest confidence for each depth, 1 to 3 (`Promises.thresholds_for`).
        """
        return tagged_depth(self.confidence, np.array([limits[name] for name in self.sets]).reshape(-1, 3))
