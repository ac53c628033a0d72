"""Parameters of the study: read from `params.yaml` and `catalogues/NAME.yaml`, validated, and typed.

A wrong key or value raises one `StudyError` that says where it stands, what was expected and what was found.
"""

import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from lib.errors import StudyError, nearest

LEVELS = ("level_1", "level_2", "level_3")
Input = Literal["brand", "text", "image"]
Text = Literal["plain", "masked"]
Split = Literal["random", "grouped"]
Decoding = Literal["hard", "soft", "soft_child"]
BrandEncoding = Literal["one_hot", "scalar"]
Kind = Literal["table", "crawl", "shop"]
Section = dict[str, Any]
Share = Annotated[float, Field(gt=0, lt=1)]
Size = Annotated[int, Field(gt=0)]
Model = TypeVar("Model", bound=BaseModel)


def root() -> Path:
    """Return the study's folder: the `STUDY_ROOT` variable, or the folder that holds `lib`."""
    return Path(os.environ.get("STUDY_ROOT") or Path(__file__).parents[1]).resolve()


class Strict(BaseModel):
    """A mapping in which an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Studied(Strict):
    """The files that a studied catalogue hangs on, relative to the root."""

    source: Path
    weights: Path | None = None


class SplitParams(Strict):
    """Shares of the two held-out parts."""

    test: Share
    validation: Share


class CleanParams(Strict):
    """Knobs of the `clean` stage."""

    max_reject_share: Annotated[float, Field(ge=0, le=1)]
    minhash_threshold: Share
    minhash_permutations: Annotated[int, Field(ge=16)]
    photo_distance: Annotated[int, Field(ge=0, le=64)]


class TextParams(Strict):
    """Knobs of the `text` stage, and of the vocabularies that are fitted on training rows."""

    stop_words: Literal["english", "none"]
    max_bag_words: Size
    max_sequence_words: Size
    sequence_length: Size


class ImageParams(Strict):
    """Knobs of the `image` stage."""

    precision: Literal["auto", "float32", "bfloat16"]
    compile: Literal["auto", "always", "never"]
    batch_size: Size


class NaiveVariant(Strict):
    """The plurality class of each level."""

    model: Literal["naive"]
    inputs: list[Input] = Field(max_length=0)


class LinearVariant(Strict):
    """TF-IDF, one-hot brand and a linear support vector machine for each level."""

    model: Literal["linear"]
    inputs: list[Input] = Field(min_length=1)
    ngrams: Annotated[int, Field(ge=1, le=3)]
    C: Annotated[float, Field(gt=0)]


class DenseVariant(Strict):
    """What every multilayer perceptron has.

    `brand_encoding: scalar` reads the brand as one number, as the original code did for a while.
    """

    inputs: list[Input] = Field(min_length=1)
    hidden_layers: Size
    hidden_size: Size
    brand_encoding: BrandEncoding = "one_hot"

    @model_validator(mode="after")
    def _encodes_what_it_reads(self) -> Self:
        if self.brand_encoding == "scalar" and "brand" not in self.inputs:
            raise ValueError(f"'brand_encoding: scalar' needs the brand among the inputs, which are {self.inputs}")
        return self


class RecurrentVariant(Strict):
    """What every LSTM has."""

    inputs: list[Input] = Field(min_length=1)
    embedding_size: Size
    hidden_size: Size

    @model_validator(mode="after")
    def _reads_text(self) -> Self:
        if "text" not in self.inputs:
            raise ValueError(f"an LSTM reads text, which is not among the inputs {self.inputs}")
        return self


class ChainVariant(Strict):
    """What every chain of levels has: how its paths are decoded, and how many a beam keeps.

    `hard` takes the best class of each level in turn. `soft` is a beam that ranks paths by their probability;
    `soft_child` one that ranks them by the last level's conditional probability alone, as the original code did.
    """

    decodings: list[Decoding] = Field(default=["hard", "soft"], min_length=1)
    beam_width: Size = 5

    @model_validator(mode="after")
    def _decodes_once(self) -> Self:
        if len(set(self.decodings)) < len(self.decodings):
            raise ValueError(f"'decodings' should name each once. Got {self.decodings}")
        return self


class MLPVariant(DenseVariant):
    """A multitask multilayer perceptron: one trunk, one softmax a level."""

    model: Literal["mlp"]


class SequentialVariant(DenseVariant, ChainVariant):
    """Three multilayer perceptrons in a chain.

    `frozen_trunk`: the hidden layers learn from level 1 alone, and all levels read them (original code).
    """

    model: Literal["sequential"]
    frozen_trunk: bool = False


class LSTMVariant(RecurrentVariant, ChainVariant):
    """Three LSTMs in a chain.

    `leak_own_label`: in training, the place of the parent's class is taken by the level's own (original code).
    """

    model: Literal["lstm"]
    leak_own_label: bool = False

    @model_validator(mode="after")
    def _reads_no_photo(self) -> Self:
        if "image" in self.inputs:
            raise ValueError(f"'lstm' reads brand and text; 'lstm_multitask' also reads photos. Got {self.inputs}")
        return self


class LSTMMultitaskVariant(RecurrentVariant):
    """One LSTM, one softmax a level."""

    model: Literal["lstm_multitask"]


Variant = Annotated[
    NaiveVariant | LinearVariant | MLPVariant | SequentialVariant | LSTMVariant | LSTMMultitaskVariant,
    Field(discriminator="model"),
]


class Recipe(Strict):
    """How a network is trained.

    The original code did not shuffle, and dropped each epoch's last batch where it was not full.
    """

    optimizer: Literal["adadelta", "adamw"]
    lr: Annotated[float, Field(gt=0)]
    weight_decay: Annotated[float, Field(ge=0)]
    batch_size: Size
    epochs: Size
    min_updates: Annotated[int, Field(ge=0)]
    validate_every: Size
    hidden_dropout: Annotated[float, Field(ge=0, lt=1)]
    input_dropout: Annotated[float, Field(ge=0, lt=1)]
    schedule: Literal["constant", "one_cycle"]
    patience: Size | None
    standardize_image: bool
    shuffle: bool = True
    drop_last: bool = False


class Runs(Strict):
    """One line of the experiment grid: for every variant, or for some.

    `train_sizes` are each of the catalogue's, only the largest, or all but the largest; `seeds` at most so many.
    """

    recipe: str
    text: Text
    splits: list[Split] = Field(min_length=1)
    train_sizes: Literal["each", "largest", "smaller"]
    variants: list[str] | None = None
    seeds: Size | None = None


class Params(Strict):
    """All of `params.yaml`."""

    study: dict[str, Studied] = Field(min_length=1)
    accelerator: Literal["auto", "cpu", "gpu"]
    split: SplitParams
    clean: CleanParams
    text: TextParams
    image: ImageParams
    variants: dict[str, Variant] = Field(min_length=1)
    recipes: dict[str, Recipe] = Field(min_length=1)
    runs: list[Runs] = Field(min_length=1)

    @model_validator(mode="after")
    def _runs_name_what_exists(self) -> Self:
        for runs in self.runs:
            _known("recipe", [runs.recipe], list(self.recipes))
            _known("variant", runs.variants or [], list(self.variants))
        return self


def _known(kind: str, names: list[str], known: list[str]) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"runs name the {kind} '{name}', which is not among {known}.{nearest(name, known)}")


class Backbone(Strict):
    """The pretrained image network, and the side in pixels of the square photo that it reads.

    `weights` names weights of torchvision, which then replace the file in `params.yaml`. `batch_norm_epsilon` is for
    weights that were trained with another epsilon than torchvision's network has.
    """

    backbone: str
    size: Annotated[int, Field(ge=16, le=1024)]
    weights: str | None = None
    batch_norm_epsilon: Annotated[float, Field(gt=0)] | None = None


class Catalogue(Strict):
    """All of one `catalogues/NAME.yaml`.

    The section that is called like `kind` says where the products come from. Only `lib/collect/` knows its keys
    (`load_section`), so that a new kind of source is no change to any later stage.
    """

    title: str
    description: str
    kind: Kind
    publish_examples: bool
    table: Section | None = None
    crawl: Section | None = None
    shop: Section | None = None
    text: list[Literal["title", "description"]] = Field(min_length=1)
    image: Backbone
    train_sizes: list[Size | Literal["all"]] = Field(min_length=1)
    seeds: Size

    @model_validator(mode="after")
    def _kind_has_its_section(self) -> Self:
        if getattr(self, self.kind) is None:
            raise ValueError(f"a catalogue of kind '{self.kind}' needs a section '{self.kind}:'")
        return self


def load_params() -> Params:
    """Read and validate `params.yaml`."""
    return _load(Params, root() / "params.yaml")


def load_catalogue(name: str) -> Catalogue:
    """Read and validate `catalogues/NAME.yaml`.

    Raises
    ------
    StudyError
        If there is no such catalogue, or its file is wrong.
    """
    path = root() / "catalogues" / f"{name}.yaml"
    if not path.is_file():
        names = sorted(p.stem for p in path.parent.glob("*.yaml"))
        raise StudyError(f"There is no catalogue '{name}': {path} is missing. Known: {names}.{nearest(name, names)}")
    return _load(Catalogue, path)


def load_section(name: str, model: type[Model]) -> Model:
    """Read and validate the section of `catalogues/NAME.yaml` that says where its products come from."""
    catalogue = load_catalogue(name)
    return _validate(model, getattr(catalogue, catalogue.kind), f"{name}.yaml", f"{catalogue.kind}.")


def get_variant(params: Params, name: str) -> Variant:
    """Return a variant by name, or raise a `StudyError` that names the nearest one."""
    if name not in params.variants:
        hint = nearest(name, params.variants)
        raise StudyError(f"There is no variant '{name}' in params.yaml. Known: {list(params.variants)}.{hint}")
    return params.variants[name]


def studied(name: str) -> Studied:
    """Return the `study` entry of a catalogue, with absolute paths that exist.

    Raises
    ------
    StudyError
        If the catalogue is not listed, or one of its files is missing.
    """
    study = load_params().study
    if name not in study:
        raise StudyError(f"params.yaml: study does not list '{name}'. It lists {list(study)}.{nearest(name, study)}")
    entry = Studied(
        source=root() / study[name].source,
        weights=(root() / weights) if (weights := study[name].weights) else None,
    )
    for path in (entry.source, entry.weights):
        if path is not None and not path.exists():
            raise StudyError(f"The catalogue '{name}' needs {path}, which is missing. Run `make data` to fetch it.")
    return entry


def build_dir(catalogue: str, *parts: str) -> Path:
    """Return a path below `build/CATALOGUE/`."""
    return root().joinpath("build", catalogue, *parts)


def report_dir(catalogue: str, *parts: str) -> Path:
    """Return a path below `reports/CATALOGUE/`."""
    return root().joinpath("reports", catalogue, *parts)


def _load(model: type[Model], path: Path) -> Model:
    if not path.is_file():
        raise StudyError(f"{path} is missing.")
    try:
        return _validate(model, yaml.safe_load(path.read_text("utf-8")), path.name)
    except yaml.YAMLError as error:
        raise StudyError(f"{path} is not valid YAML: {error}") from error


def _validate(model: type[Model], content: object, file: str, within: str = "") -> Model:
    """Validate a file's content, or a part of it, whose place in the file is `within`."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        lines = [_explain(model, problem, within) for problem in error.errors()]
        raise StudyError("\n".join([f"{file} is wrong:", *lines])) from error


def _explain(model: type[BaseModel], problem: ErrorDetails, within: str) -> str:
    where = (within + ".".join(str(part) for part in problem["loc"])).strip(".") or "the file"
    if problem["type"] == "extra_forbidden":
        key, valid = str(problem["loc"][-1]), _valid_keys(model, problem["loc"][:-1])
        return f"  {where}: unknown key '{key}'; expected one of {valid}.{nearest(key, valid)}"
    if problem["type"] == "missing":
        return f"  {where}: this key is missing."
    if problem["type"] == "value_error":
        return f"  {where}: {problem['ctx']['error']}"
    return f"  {where}: {problem['msg']}. Got {problem['input']!r} instead."


def _valid_keys(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """Follow `loc` through the model's JSON schema to the mapping that it names, and list that mapping's keys."""
    schema = model.model_json_schema()
    definitions: dict[str, Any] = schema.get("$defs", {})
    node: dict[str, Any] = schema

    def resolve(node: dict[str, Any]) -> dict[str, Any]:
        for option in node.get("anyOf", []):
            if "$ref" in option:
                node = option
        return definitions[node["$ref"].rsplit("/", 1)[-1]] if "$ref" in node else node

    for part in loc:
        node = resolve(node)
        mapping = node.get("discriminator", {}).get("mapping", {})
        if part in mapping:
            node = {"$ref": mapping[str(part)]}
        elif part in node.get("properties", {}):
            node = node["properties"][str(part)]
        else:
            extra = node.get("additionalProperties") or node.get("items") or {}
            node = extra if isinstance(extra, dict) else {}
    return sorted(resolve(node).get("properties", {}))
