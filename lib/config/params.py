"""All of `params.yaml`."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lib.config.base import Share, Size, Split, Strict, Text
from lib.config.variants import FusionVariant, Variant
from lib.errors import nearest


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
    def _fusions_are_of_variants(self) -> Self:
        for name, variant in self.variants.items():
            for part, settings in variant.of.items() if isinstance(variant, FusionVariant) else ():
                _known(f"variants.{name}.of names", "variant", [part], list(self.variants))
                if settings != self.variants[part]:
                    raise ValueError(f"variants.{name}.of.{part} differs from variants.{part}; write {part}: *{part}")
        return self

    @model_validator(mode="after")
    def _runs_name_what_exists(self) -> Self:
        for runs in self.runs:
            _known("runs name", "recipe", [runs.recipe], list(self.recipes))
            _known("runs name", "variant", runs.variants or [], list(self.variants))
        return self


def _known(where: str, kind: str, names: list[str], known: list[str]) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"{where} the {kind} '{name}', which is not among {known}.{nearest(name, known)}")
