"""From new products to category paths, with confidences: what `best` learnt, in one folder.

The folder holds no pickle: safetensors, JSON, and a card for people.

| file | content |
|---|---|
| `tagger.json` | format, the variant's settings, the weights of each set of inputs, stop words, backbone |
| `taxonomy.json` | as in `clean/`: names of each level, and the valid paths |
| `PART.safetensors`, `PART.json` | each part of the fusion, as the `train` stage saved it |
| `promises.json` | calibration, thresholds, candidates (`lib/tagging/promises.py`) |
| `README.md` | the card: data, metrics, limits |
"""

import shutil
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from scipy.special import log_softmax

from lib import artifacts, config
from lib.config import Strict
from lib.config.reading import validate
from lib.errors import StudyError
from lib.fusion import input_sets, pool_paths
from lib.tagging.parts import NewProducts, Part, load_part
from lib.tagging.promises import Prefixes, Promises, Shares, best_prefixes, tagged_depth
from lib.text import STOP_WORDS, tokenize

FORMAT: Literal[1] = 1
"""Of the folder; a tagger reads this one only."""

ABOUT, PROMISES = "tagger.json", "promises.json"


class Backbone(Strict):
    """How photos become the vectors that the tagger reads."""

    settings: config.Backbone
    weights_sha256: str
    dimension: int


class About(Strict):
    """What `tagger.json` holds. A product's text is made of the fields that `text_from` lists, in this order."""

    format: Literal[1] = FORMAT
    catalogue: str
    key: str
    text: config.Text
    text_from: tuple[Literal["title", "description"], ...] = ("description",)
    stop_words: str
    variant: config.PathFusionVariant
    weights: dict[str, dict[str, list[float]]]
    backbone: Backbone | None = None


class Tagger:
    """A loaded tagger.

    Attributes
    ----------
    about : About
    levels : list of list of str
        The classes of each level.
    paths : int array, shape (valid paths, 3)
        Sorted; a path's number is its place here.
    parts : dict
        Name -> model.
    promises : Promises or None
        None in a folder that `08_business` has not finished.
    """

    def __init__(
        self, about: About, taxonomy: dict[str, Any], parts: dict[str, Part], promises: Promises | None = None
    ) -> None:
        self.about, self.parts, self.promises = about, parts, promises
        self.levels: list[list[str]] = taxonomy["levels"]
        self.paths = np.unique(np.array(taxonomy["paths"], np.int64), axis=0)
        self.inputs = about.variant.inputs
        sets = input_sets(self.inputs)
        self.weights = {inputs: np.array([about.weights["+".join(inputs)][name] for name in parts]) for inputs in sets}
        self._brands = set().union(*(part.brands for part in parts.values())) - {""}

    @classmethod
    def load(cls, folder: Path) -> "Tagger":
        """Load a folder.

        Raises
        ------
        StudyError
            If a file is missing or damaged, if files do not fit one another, or if the folder is of another format.
        """
        if not folder.is_dir():
            raise StudyError(f"There is no tagger in {folder}. `dvc repro` makes one for each catalogue.")
        about = _read_about(folder / ABOUT)
        try:
            return cls._load(folder, about)
        except (SafetensorError, RuntimeError, ValueError, LookupError, TypeError, AttributeError) as error:
            problem = f"{type(error).__name__}: {error}"
            raise StudyError(f"{folder} is damaged, or its files are not of one tagger ({problem}).") from error

    @classmethod
    def _load(cls, folder: Path, about: About) -> "Tagger":
        taxonomy = artifacts.read_json(folder / "taxonomy.json")
        counts = [len(names) for names in taxonomy["levels"]]
        parts = {
            name: load_part(folder / name, settings, counts, about.stop_words)
            for name, settings in about.variant.of.items()
        }
        promises = folder / PROMISES
        found = validate(Promises, artifacts.read_json(promises), str(promises)) if promises.exists() else None
        return cls(about, taxonomy, parts, found)

    def scores(self, products: NewProducts, hidden: Collection[str] = ()) -> npt.NDArray[np.float64]:
        """Return the log-probability of each valid path, shape (rows, paths), with some inputs hidden if asked.

        Raises
        ------
        StudyError
            If the image vectors are of another dimension than the backbone's.
        """
        shown = products.without(hidden)
        return self._scores(shown, self.present(shown))

    def _scores(
        self, products: NewProducts, present: dict[config.Input, npt.NDArray[np.bool_]]
    ) -> npt.NDArray[np.float64]:
        self._check_image(products)
        said = [part.log_probabilities(products) for part in self.parts.values()]
        levels = pool_paths(said, present, self.weights)
        wide = (level.astype(np.float64) for level in levels)  # float32 cannot tell a probability of 1 - 1e-9 from 1
        return np.asarray(log_softmax(sum(level[:, self.paths[:, i]] for i, level in enumerate(wide)), axis=1))

    def tag(self, products: NewProducts, hidden: Collection[str] = ()) -> "Tags":
        """Tag products."""
        shown = products.without(hidden)
        present = self.present(shown)
        probabilities = np.exp(self._scores(shown, present))
        rows = zip(*(array.tolist() for array in present.values()), strict=True)
        sets = ["+".join(name for name, there in zip(present, row, strict=True) if there) for row in rows]
        found = best_prefixes(probabilities, self.paths)
        return Tags(probabilities, found, self._confidence(found.probability, sets), sets)

    def present(self, products: NewProducts) -> dict[config.Input, npt.NDArray[np.bool_]]:
        """Say which rows have an input that tells something: a brand that the model knows, a word, a photo."""
        stop_words = STOP_WORDS[self.about.stop_words]
        words = (any(word not in stop_words for word in tokenize(text)) for text in products.text)
        found: dict[config.Input, npt.NDArray[np.bool_]] = {
            "brand": np.array([brand in self._brands for brand in products.brand], bool),
            "text": np.fromiter(words, bool, len(products.text)),
            "image": np.zeros(len(products.brand), bool)
            if products.image is None
            else np.asarray(products.image.any(axis=1)),
        }
        return {name: found[name] for name in self.inputs}

    def names(self, path: int) -> list[str]:
        """Return the names of a path's three classes."""
        return [names[code] for names, code in zip(self.levels, self.paths[path].tolist(), strict=True)]

    def _confidence(self, probability: Shares, sets: list[str]) -> Shares:
        """Calibrate the probabilities of each depth, by each row's set of inputs."""
        if self.promises is None:
            return probability
        found, of_row = probability.copy(), np.array(sets, dtype=object)
        for name in set(sets):
            rows = of_row == name
            for column, scale in enumerate(self.promises.scales[name]):
                found[rows, column] = scale(probability[rows, column])
        return found

    def _check_image(self, products: NewProducts) -> None:
        wanted = self.about.backbone.dimension if self.about.backbone else 0
        if "image" in self.inputs and products.image is not None and products.image.shape[1] != wanted:
            name = self.about.backbone.settings.backbone if self.about.backbone else "no backbone"
            raise StudyError(
                f"This model reads image vectors of {wanted} numbers, from '{name}'. Found {products.image.shape[1]}."
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

    def depth(self, thresholds: Sequence[float | None]) -> npt.NDArray[np.int64]:
        """Return how many levels of each row may be tagged without a person (`promises.tagged_depth`)."""
        return tagged_depth(self.confidence, thresholds)


def write_folder(
    folder: Path, about: About, model: Path, taxonomy: dict[str, Any], promises: Promises | None, card: str
) -> None:
    """Write a tagger's folder, whole or not at all.

    Parameters
    ----------
    model
        The folder in which the `train` stage saved the variant; the parts' files begin with `PART-KEY`.
    card
        Markdown.
    """
    with artifacts.whole(folder) as partial:
        partial.mkdir(parents=True)
        for part in about.variant.of:
            for ending in (".safetensors", ".json"):
                source = artifacts.existing(model / f"{part}-{about.key}{ending}")
                shutil.copyfile(source, partial / f"{part}{ending}")
        artifacts.write_json(partial / ABOUT, about.model_dump(mode="json"))
        artifacts.write_json(partial / "taxonomy.json", {name: taxonomy[name] for name in ("levels", "paths")})
        if promises is not None:
            artifacts.write_json(partial / PROMISES, promises.model_dump(mode="json"))
        (partial / "README.md").write_text(card, "utf-8")


def _read_about(path: Path) -> About:
    """Read `tagger.json`; its format is looked at before anything else."""
    try:
        content = artifacts.read_json(path)
    except ValueError as error:
        raise StudyError(f"{path} is damaged: {error}.") from error
    found = content.get("format") if isinstance(content, dict) else None
    if found != FORMAT:
        raise StudyError(f"{path}: this program reads taggers of format {FORMAT}. Found {found!r}. Train it again.")
    return validate(About, content, str(path))
