"""Gives a table's products their photos: from a folder, from a zip archive, or from addresses."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Self

from pydantic import model_validator

from lib.collect.mapping import Product
from lib.collect.photo_addresses import with_fetched_photos
from lib.collect.photo_files import PhotoLost, Photos, open_photos
from lib.collect.source_files import Inside
from lib.config import Strict
from lib.crawl.spec import FetchSpec
from lib.errors import StudyError
from lib.records import PHOTO, Record, Reject


class Images(Strict):
    """Where photos are: a folder or an archive below the catalogue's source folder, or web servers."""

    folder: Inside | None = None
    zip: Inside | None = None
    addresses: FetchSpec | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if sum(place is not None for place in (self.folder, self.zip, self.addresses)) != 1:
            raise ValueError("expected one of `folder`, `zip` and `addresses`")
        return self


def with_photos(
    items: Iterable[Product | Reject], images: Images | None, source: Path, work: Path
) -> Iterator[Record | Reject]:
    """Yield products with their photos. A product whose photo cannot be taken has none, and a reject that says why.

    Parameters
    ----------
    items
        The products, whose `image` is the name of a photo's file or its address.
    images
        Where photos are; None if there are none.
    source, work
        The folder that holds the catalogue's files, and one to keep in what is fetched.

    Raises
    ------
    StudyError
        If the photos' place is missing or damaged, or if no product at all has its photo.
    """
    if images is None:
        yield from (item.record if isinstance(item, Product) else item for item in items)
    elif images.addresses is not None:
        yield from with_fetched_photos(items, images.addresses, work)
    else:
        with open_photos(source / (images.folder or images.zip or ""), archive=images.folder is None) as photos:
            yield from _with_files(items, photos)


def _with_files(items: Iterable[Product | Reject], photos: Photos) -> Iterator[Record | Reject]:
    asked, found, example = 0, 0, ""
    for item in items:
        if isinstance(item, Reject):
            yield item
            continue
        record, photo = item.record, None
        if item.image:
            asked, example = asked + 1, item.image
            try:
                photo = photos.read(item.image)
            except PhotoLost as error:
                yield Reject(record.product_id, f"{PHOTO}{error}", f"'{item.image}'")
        found += photo is not None
        yield replace(record, photo=photo)
    if asked and not found:
        raise StudyError(f"None of {asked:,} products has its photo. One was sought as '{example}' in {photos}.")
