"""What every source of products yields, whatever kind of catalogue it is."""

from dataclasses import dataclass

FIELDS = ("product_id", "brand", "title", "description", "level_1", "level_2", "level_3")
PROGRESS_SECONDS = 5.0  # between two lines of a progress bar, which a notebook keeps

# Why something in a source is not among the products.
MISSING_ID = "missing id"
REPEATED_ID = "repeated id"
INVALID = "invalid record"
CATEGORY_DEPTH = "category depth"

PHOTO = "photo: "
"""Begins the reasons why a product that is kept has no photo, such as *photo: not found*."""


@dataclass(frozen=True, slots=True)
class Record:
    """One product as its source has it: nothing cleaned, HTML included.

    `None` means that the source has no such field. `photo` holds the original bytes of the image file, whatever
    they are; nobody decodes them before the `image` stage.
    """

    product_id: str
    brand: str | None
    title: str | None
    description: str | None
    level_1: str | None
    level_2: str | None
    level_3: str | None
    photo: bytes | None


@dataclass(frozen=True, slots=True)
class Reject:
    """Something that was in the source and is not among what was collected, and why: a product, a page, a photo."""

    product_id: str | None
    reason: str
    detail: str

    @property
    def of_photo(self) -> bool:
        """Whether only a product's photo is lost, and the product kept."""
        return self.reason.startswith(PHOTO)
