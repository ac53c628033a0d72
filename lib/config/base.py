"""What settings and sources are made of: the terms that all of them share, and the records that a source yields."""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from lib.exceptions import nearest

LEVELS = ("level_1", "level_2", "level_3")
Level = Literal["level_1", "level_2", "level_3"]
ENDS_HERE = "(ends here)"  # the class of a level that a shorter category path does not reach
Input = Literal["brand", "text", "image"]
Column = Annotated[str, Field(pattern=r"^(brand|text|image|(text|image)/[a-z][a-z0-9_]*)$")]
"""What a model reads of products: an input, or something else that is made of it, such as `image/lite2`."""
Text = Literal["plain", "masked", "titled"]
Split = Literal["random", "grouped", "grouped_2", "grouped_3", "loose"]
SPLITS: tuple[Split, ...] = get_args(Split)
PARTS = ("train", "validation", "test")  # of a split, beside what is set aside for development
Share = Annotated[float, Field(gt=0, lt=1)]
Size = Annotated[int, Field(gt=0)]


class Strict(BaseModel):
    """A mapping in which an unknown key is an error, which names the nearest one that is known."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _knows_its_keys(cls, content: Any) -> Any:
        known = sorted(cls.model_fields)
        if isinstance(content, dict) and (unknown := [str(key) for key in content if key not in known]):
            named = [key[:100] for key in unknown[:5]]
            hints, more = "".join(nearest(key, known) for key in named), len(unknown) - len(named)
            keys = ", ".join(map(repr, named)) + (f" and {more:,} more" if more else "")
            raise ValueError(f"unknown key {keys}; expected one of {known}.{hints}")
        return content


# What every source of products yields, whatever kind of catalogue it is

FIELDS = ("product_id", "brand", "title", "description", *LEVELS)
MAX_PHOTO_BYTES = 32 * 2**20  # of a photo's file: no stage reads a larger one
PROGRESS_SECONDS = 5.0  # between two lines of a progress bar, which a notebook keeps

# Why something in a source is not among the products.
MISSING_ID = "missing id"
REPEATED_ID = "repeated id"
INVALID = "invalid record"
CATEGORY_DEPTH = "category depth"
CATEGORY_ID = "category without a name"
SHALLOW = "short category path"

PHOTO = "photo: "
"""Begins the reasons why a product that is kept has no photo, such as *photo: not found*."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a product was read, for messages, and its category path in full.

    Attributes
    ----------
    where
        The place in its file, such as *line 3*.
    category
        The cell of its category as it was read, if there was one.
    names
        The names of its path, however many; None is a gap.
    """

    where: str
    category: str
    names: tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class Record:
    """One product as its source has it: nothing cleaned, HTML included.

    `None` means that the source has no such field. `photo` holds the original bytes of the image file, whatever
    they are; nobody decodes them before the `image` stage. `part` is the one of `PARTS` that a published split puts the
    product in, and `model` a style number, or what else a model's colours and sizes share; both are empty where there
    is none. `origin` is no part of what makes two of them equal.
    """

    product_id: str
    brand: str | None
    title: str | None
    description: str | None
    level_1: str | None
    level_2: str | None
    level_3: str | None
    photo: bytes | None
    origin: Origin | None = field(default=None, compare=False)
    part: str = ""
    model: str = ""


@dataclass(frozen=True, slots=True)
class Reject:
    """Something that was in the source and is not among what was collected, and why: a product, a page, a photo."""

    product_id: str | None
    reason: str
    detail: str
