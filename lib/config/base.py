"""What the study's settings are made of: names, shares, sizes, and mappings in which an unknown key is an error."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

LEVELS = ("level_1", "level_2", "level_3")
Input = Literal["brand", "text", "image"]
Text = Literal["plain", "masked", "titled"]
Split = Literal["random", "grouped"]
Section = dict[str, Any]
Share = Annotated[float, Field(gt=0, lt=1)]
Size = Annotated[int, Field(gt=0)]


class Strict(BaseModel):
    """A mapping in which an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)
