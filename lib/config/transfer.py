"""Pairs of catalogues: what was learnt on one tags another."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from lib.config.base import Size, Strict


class Transfer(Strict):
    """One entry of `transfer`.

    Attributes
    ----------
    source, target
        A catalogue whose `best` is trained, and one that is prepared.
    mapping
        What the target's categories are called by the source (`lib/transfer/mapping.py`), relative to the root.
    labels
        How many products of the target are labelled, ascending.
    seeds
        How many samples of labels.
    """

    source: str
    target: str
    mapping: Path
    labels: list[Size] = Field(min_length=1)
    seeds: Annotated[int, Field(ge=1)]

    @model_validator(mode="after")
    def _is_a_pair(self) -> Self:
        if self.source == self.target:
            raise ValueError(f"'source' and 'target' are two catalogues. Got '{self.source}' twice")
        if self.labels != sorted(set(self.labels)):
            raise ValueError(f"'labels' should ascend. Got {self.labels}")
        return self
