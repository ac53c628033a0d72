"""Variants: what a model sees, and the model that it is."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lib.config.base import Input, Size, Strict

Decoding = Literal["hard", "soft", "soft_child"]


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
    """What every multilayer perceptron has."""

    inputs: list[Input] = Field(min_length=1)
    hidden_layers: Size
    hidden_size: Size


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
    NaiveVariant | LinearVariant | MLPVariant | SequentialVariant | LSTMVariant | LSTMMultitaskVariant,
    Field(discriminator="model"),
]
