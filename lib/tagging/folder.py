"""A tagger's folder: what its files hold, and how it is read, once every file is what the manifest says.

It holds no pickle: safetensors, JSON, and a card for people.

| file | content |
|---|---|
| `tagger.json` | format, and how texts and photos become what the model reads |
| `taxonomy.json` | as in `clean/`: names of each level, and the valid paths |
| `model/` | the fusion, as the `train` stage saved it (`lib/training/model.py`) |
| `promises.json` | calibration, thresholds and candidates for each set of inputs (`lib/tagging/promises.py`) |
| `README.md` | the card: data, metrics, limits |
| `manifest.json` | the SHA-256 of every other file |

The manifest finds damage, and files of two taggers. It is no signature: who edits a file can edit the manifest, too. So
all that is read is checked for what a tagger can work with, as well.
"""

import math
import warnings
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

import numpy as np
import torch
from pydantic import Field, model_validator

from lib import config, files
from lib.config import LEVELS, Size, Strict, validate
from lib.exceptions import StudyError
from lib.models.base import ARRAYS, SETTINGS
from lib.models.fusion import PathFusion, input_sets
from lib.tagging.promises import Promises
from lib.training.model import load_model

FORMAT: Literal[4] = 4
"""Of the folder; a tagger reads this one only."""

ABOUT, TAXONOMY, MODEL, PROMISES, CARD = "tagger.json", "taxonomy.json", "model", "promises.json", "README.md"
_LARGEST, _LARGEST_MODEL = 16 * 2**20, 2**30  # bytes of a JSON file; a model's holds all its words
_SHOWN = 400  # characters of a library's message
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Backbone(Strict):
    """How photos become the vectors that the tagger reads."""

    settings: config.Backbone
    weights_sha256: str
    dimension: Size


class About(Strict):
    """What `tagger.json` holds. A product's text is made of the fields that `text_from` lists, in this order."""

    format: Literal[4] = FORMAT
    catalogue: Annotated[str, Field(pattern=r"^[^/\\\x00]{1,100}$")]
    key: str
    text: config.Text
    text_from: Annotated[tuple[Literal["title", "description"], ...], Field(min_length=1)] = ("description",)
    backbone: Backbone | None = None


class Taxonomy(Strict):
    """What `taxonomy.json` holds: a path is three places in the levels' lists of names."""

    levels: Annotated[list[list[str]], Field(min_length=len(LEVELS), max_length=len(LEVELS))]
    paths: Annotated[list[tuple[int, int, int]], Field(min_length=1)]

    @model_validator(mode="after")
    def _paths_lead_to_names(self) -> Self:
        for level, names in zip(LEVELS, self.levels, strict=True):
            for name, times in Counter(names).items():
                if times > 1:
                    raise ValueError(f"expected each name of {level} once. Got {name!r} {times} times")
        sizes = [len(names) for names in self.levels]
        for path in self.paths:
            if not all(0 <= code < size for code, size in zip(path, sizes, strict=True)):
                raise ValueError(f"expected paths of three numbers, from 0 and below {sizes}. Got {list(path)}")
        return self


class Manifest(Strict):
    """What `manifest.json` holds."""

    files: dict[str, Sha256]


class Content(NamedTuple):
    """What a folder holds."""

    about: About
    taxonomy: Taxonomy
    model: PathFusion
    promises: Promises | None


def read_folder(folder: Path) -> Content:
    """Read a folder that is whole, and whose parts are what they should be, each by itself.

    Raises
    ------
    StudyError
        If a file is missing, new, a link, damaged or edited, or if it holds what no tagger can work with: which file,
        what was expected and what was found. If the folder is of another format, only that is said.
    """
    if not folder.is_dir():
        raise StudyError(f"There is no tagger in {folder}. `dvc repro` makes one for each catalogue.")
    content = _read(folder / ABOUT)
    form = content.get("format") if isinstance(content, dict) else None
    if form != FORMAT:  # before anything else is looked at
        raise StudyError(
            f"{folder / ABOUT}: this program reads taggers of format {FORMAT}. Found {form!r}. Train it again."
        )
    manifest = validate(Manifest, _read(folder / files.MANIFEST), str(folder / files.MANIFEST))
    files.check_files(folder, manifest.files)
    about = validate(About, content, str(folder / ABOUT))
    taxonomy = validate(Taxonomy, _read(folder / TAXONOMY), str(folder / TAXONOMY))
    model = _read_model(folder / MODEL, [len(names) for names in taxonomy.levels])
    inputs = model.settings.variant.inputs
    if "image" in inputs and about.backbone is None:
        raise StudyError(f"{folder / ABOUT}: expected a `backbone`, for the model reads photos. Found none.")
    promises = None
    if PROMISES in manifest.files:
        promises = validate(Promises, _read(folder / PROMISES), str(folder / PROMISES))
        expected, found = sorted("+".join(names) for names in input_sets(inputs)), sorted(promises.scales)
        if found != expected:
            raise StudyError(f"{folder / PROMISES}: `scales`: expected those of the inputs {expected}. Found {found}.")
    return Content(about, taxonomy, model, promises)


def _read(path: Path, largest: int = _LARGEST) -> Any:
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise StudyError(f"{path}: expected a file, found a link, a folder or a device.")
    if (size := files.existing(path).stat().st_size) > largest:
        raise StudyError(f"{path}: expected at most {largest:,} bytes, found {size:,}.")
    try:
        return files.read_json(path)
    except (ValueError, RecursionError) as error:
        raise StudyError(f"{path} is damaged: expected JSON ({error}).") from error


def _read_model(folder: Path, class_counts: list[int]) -> PathFusion:
    """Load a model whose parts stand in folders of their own within, and whose numbers are finite."""
    for path in sorted(folder.rglob(SETTINGS)):  # before a part's name is followed
        content, within = _read(path, _LARGEST_MODEL), sorted(p.name for p in path.parent.iterdir() if p.is_dir())
        parts = content.get("parts") if isinstance(content, dict) else None
        if not isinstance(parts, list) or sorted(map(str, parts)) != within:
            raise StudyError(f"{path}: `parts`: expected the folders beside it, {within}. Found {parts!r}.")
        if content.get("class_counts") != class_counts:
            found = content.get("class_counts")
            raise StudyError(f"{path}: expected {class_counts} classes, as in {TAXONOMY}. Found {found!r}.")
    try:
        with torch.device("meta"), warnings.catch_warnings(action="ignore"):
            load_model(folder)  # so that nothing is made that is larger than its file
        model = load_model(folder)
    except Exception as error:  # whatever a library makes of settings that nobody saved
        words = " ".join(str(error).split())[:_SHOWN]
        raise StudyError(f"{folder} is damaged, or its files are not of one model ({words}).") from error
    if not isinstance(model, PathFusion):
        kind = type(model).__name__
        raise StudyError(f"{folder}: expected a fusion of whole paths (`path_fusion`), found a {kind}.")
    for name, part in {"": model, **model.parts}.items():
        for key, value in part._state().items():
            if not _is_finite(value):
                file = folder / name / (ARRAYS if isinstance(value, np.ndarray) else SETTINGS)
                raise StudyError(f"{file}: `{key}`: expected finite numbers. Found NaN or infinity.")
    return model


def _is_finite(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.dtype.kind != "f" or bool(np.isfinite(value).all())
    if isinstance(value, dict | list):
        return all(map(_is_finite, value.values() if isinstance(value, dict) else value))
    return not isinstance(value, float) or math.isfinite(value)
