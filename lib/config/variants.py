"""Variants: what a model sees, and the model that it is."""

from contextlib import suppress
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from lib.config.base import Column, Input, Share, Size, Strict

Decoding = Literal["hard", "soft", "soft_child"]


class NaiveVariant(Strict):
    """The plurality class of each level."""

    model: Literal["naive"]
    inputs: list[Input] = Field(max_length=0)


class LinearVariant(Strict):
    """TF-IDF, one-hot brand and a linear support vector machine for each level.

    `min_rows`: training rows that must contain an n-gram for it to count.
    """

    model: Literal["linear"]
    inputs: list[Literal["brand", "text"]] = Field(min_length=1)
    ngrams: Annotated[int, Field(ge=1, le=3)]
    min_rows: Size = 2
    C: Annotated[float, Field(gt=0)]


class LinearImageVariant(Strict):
    """Image vector, one-hot brand, and softmax regression for each level.

    Validation rows choose one of `ridges` (added to the features' variances), and after how many steps of L-BFGS, up to
    `max_steps`, each level's regression is at its best.
    """

    model: Literal["linear_image"]
    inputs: list[Literal["brand", "image"]] = Field(min_length=1)
    ridges: list[Annotated[float, Field(gt=0)]] = Field(min_length=1)
    max_steps: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def _reads_photos(self) -> Self:
        if "image" not in self.inputs:
            raise ValueError(f"'linear_image' reads photos; 'linear' does without. Its inputs are {self.inputs}")
        return self


class NetworkVariant(Strict):
    """What gradient descent trains, by a recipe."""

    inputs: list[Input] = Field(min_length=1)


class DenseVariant(NetworkVariant):
    """What every multilayer perceptron has."""

    hidden_layers: Size
    hidden_size: Size


class MLPVariant(DenseVariant):
    """A multitask multilayer perceptron: one trunk, one softmax a level.

    `modality_dropout`: share of the products in training whose brand is hidden, and likewise their text and their
    photo, so that the network learns to do without. `reads`: the columns that it reads, where these are not its inputs
    as they are: `image/NAME` is what another network makes of the photos (`image: also:` of the catalogue's file).
    """

    model: Literal["mlp"]
    modality_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    reads: list[Column] | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _reads_its_inputs(self) -> Self:
        if self.reads and {input_of(column) for column in self.reads} != set(self.inputs):
            raise ValueError(f"'reads' should have a column of each input, and the inputs are {self.inputs}")
        return self

    @model_validator(mode="after")
    def _has_another_input_to_read(self) -> Self:
        if self.modality_dropout and len(self.inputs) < 2:
            raise ValueError(f"'modality_dropout' hides one of several inputs. Its only one is {self.inputs}")
        return self


PartVariant = Annotated[NaiveVariant | LinearVariant | LinearImageVariant | MLPVariant, Field(discriminator="model")]


class PartsVariant(Strict):
    """Other variants, each fitted by itself, whose log-probabilities are added up with weights.

    `of` has the parts' settings by their names; `params.yaml` lists the names alone.
    """

    inputs: list[Input] = Field(min_length=1)
    of: dict[str, PartVariant] = Field(min_length=2)

    @model_validator(mode="after")
    def _reads_what_its_parts_read(self) -> Self:
        for name, part in self.of.items():  # a tagger computes no others
            if other := [column for column in columns_of(part) if "/" in column]:
                raise ValueError(f"the parts of a fusion read inputs as they are. '{name}' reads {other}")
        read: set[str] = set().union(*(part.inputs for part in self.of.values()))
        if set(self.inputs) != read:
            raise ValueError(f"the parts of this fusion read {sorted(read)}, and its 'inputs' are {self.inputs}")
        return self


class FusionVariant(PartsVariant):
    """Late fusion, level by level."""

    model: Literal["fusion"]


class PathFusionVariant(PartsVariant):
    """Late fusion of whole paths: it answers valid paths only, and has weights for each set of inputs at hand.

    `tuning_share` of the validation rows choose when to stop and the weights; what is left of them is seen by nothing
    that is fitted, so that promises can be made on it (`lib/clean/splits.py`).
    """

    model: Literal["path_fusion"]
    tuning_share: Share = 1 / 3


class RecurrentVariant(NetworkVariant):
    """What every LSTM has."""

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


class SequentialVariant(DenseVariant, ChainVariant):
    """Three multilayer perceptrons in a chain."""

    model: Literal["sequential"]


class LSTMVariant(RecurrentVariant, ChainVariant):
    """Three LSTMs in a chain."""

    model: Literal["lstm"]

    @model_validator(mode="after")
    def _reads_no_photo(self) -> Self:
        if "image" in self.inputs:
            raise ValueError(f"'lstm' reads brand and text; 'lstm_multitask' also reads photos. Got {self.inputs}")
        return self


class LSTMMultitaskVariant(RecurrentVariant):
    """One LSTM, one softmax a level."""

    model: Literal["lstm_multitask"]


Variant = Annotated[
    NaiveVariant
    | LinearVariant
    | LinearImageVariant
    | FusionVariant
    | PathFusionVariant
    | MLPVariant
    | SequentialVariant
    | LSTMVariant
    | LSTMMultitaskVariant,
    Field(discriminator="model"),
]


def input_of(column: str) -> str:
    """Name the input that a column is made of.

    >>> input_of("image/lite2"), input_of("brand")
    ('image', 'brand')
    """
    return column.partition("/")[0]


def columns_of(variant: Variant) -> list[str]:
    """List the columns that a variant reads, in the order of its inputs."""
    parts = variant.of.values() if isinstance(variant, PartsVariant) else ()
    read = [column for part in parts for column in columns_of(part)] or (
        variant.reads if isinstance(variant, MLPVariant) and variant.reads else variant.inputs
    )
    return [column for name in variant.inputs for column in dict.fromkeys(read) if input_of(column) == name]


def without(variant: Variant, name: Input) -> Variant | None:
    """Return a variant as it is where no product has an input; None where it is not trained.

    What reads the input would be another variant under this one's name. A fusion is made of the parts that can do
    without, if two of them can.
    """
    if name not in variant.inputs or not isinstance(variant, PartsVariant):
        return None if name in variant.inputs else variant
    parts = {}
    for part, settings in variant.of.items():
        with suppress(ValidationError):  # it reads nothing else
            left: dict[str, list[Any]] = {"inputs": [one for one in settings.inputs if one != name]}
            if isinstance(settings, MLPVariant) and settings.reads:
                left["reads"] = [column for column in settings.reads if input_of(column) != name]
            parts[part] = type(settings).model_validate(settings.model_dump() | left)
    with suppress(ValidationError):  # fewer than two parts are left
        inputs = [one for one in variant.inputs if one != name]
        return type(variant).model_validate(variant.model_dump() | {"inputs": inputs, "of": parts})
    return None
