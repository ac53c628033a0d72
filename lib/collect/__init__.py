"""The `collect` stage: from a source of any kind to `raw/`, whole or not at all.

`rows` reads a table's file, `cells` and `paths` what stands in a cell, and `mapping` makes products of rows; `table`
and `sites` are the kinds of source. Whatever the kind, this module counts, refuses what is too bad with a `survey` of
the category paths, and writes. `measure` and `recognise` look at the first rows of a table that nobody has described;
`lib.check` writes `catalogues/NAME.yaml` for it.

rows | cells | paths | mapping | survey | table, sites | collect | measure | recognise
"""

import hashlib
import itertools
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path
from typing import IO, Any, NamedTuple

import pandas as pd

from lib import config
from lib.collect.mapping import Found, Product, merge
from lib.collect.paths import WITHOUT_LEVEL, CategoryRule, names_of, to_levels
from lib.collect.sites import CrawlSource, ShopSource, read_crawl, read_shop
from lib.collect.survey import Survey, refuse_too_many
from lib.collect.table import TableSource, read_products, with_photos
from lib.config import Strict
from lib.config.base import FIELDS, PARTS, Record, Reject
from lib.exceptions import StudyError
from lib.files import whole, write_zip
from lib.schemas import RAW_PRODUCTS, REJECTS, write_table


@dataclass(frozen=True)
class Reader:
    """Reads a kind of source.

    Attributes
    ----------
    section
        The keys of its section in `catalogues/NAME.yaml`.
    read
        A function of the catalogue's name, its section, and the notices that it counts.
    photos
        A function of name, section and products which brings their photos, where these are not read at once.
    """

    section: type[Strict]
    read: Callable[[str, Any, Counter[str]], Iterable[Record | Product | Reject]]
    photos: Callable[[str, Any, Iterable[Product]], Iterable[Record | Reject]] | None = None


KINDS = {
    "table": Reader(TableSource, read_products, with_photos),
    "crawl": Reader(CrawlSource, read_crawl),
    "shop": Reader(ShopSource, read_shop),
}


class Photo(NamedTuple):
    """Where a photo is in the temporary file; the hash of its bytes comes first, so that they sort by content."""

    digest: str
    offset: int
    size: int


@dataclass(frozen=True)
class Summary:
    """What was collected.

    Attributes
    ----------
    products, photos
        How many.
    rejects
        Their counts by reason.
    notices
        How often something was met that a user should know, by what it is and the key that changes it. Two summaries
        are equal whatever was noticed.
    survey
        The category paths.
    """

    products: int
    photos: int
    rejects: dict[str, int]
    notices: dict[str, int] = field(default_factory=dict, compare=False)
    survey: Survey | None = field(default=None, compare=False, repr=False)


def collect(name: str) -> Summary:
    """Read the catalogue `name` from its source and write `build/NAME/raw/`.

    Raises
    ------
    StudyError
        If the source is missing, damaged or lacks a field that the catalogue's file names, if it holds no product, or
        if more than `clean.max_reject_share` of what it holds is rejected, or lacks a level. Nothing is written then.
    """
    max_share = config.load_params().clean.max_reject_share
    kind = KINDS[config.load_catalogue(name).kind]
    section, notices = config.load_section(name, kind.section), Counter[str]()
    rule = getattr(section, "categories", CategoryRule())
    with whole(config.build_dir(name, "raw")) as folder:
        folder.mkdir(parents=True)
        with tempfile.TemporaryFile(dir=folder) as spool:
            read, rejects = _spool(kind.read(name, section, notices), spool)
            found, repeated = merge(read, notices)
            records = [record for record, _ in found]
            survey = Survey.of(records, rule, max_share, notices)
            problems = survey.problems(records)
            refuse_too_many(name, [*rejects, *repeated, *problems.values()], survey)
            _check_parts(name, Counter(record.part for record in records))
            refused = {place: reject for place, reject in problems.items() if reject.reason != WITHOUT_LEVEL}
            rejects += [*repeated, *refused.values()]
            kept = [one for place, one in enumerate(found) if place not in refused]
            if kind.photos:
                kept, lost = _spool(kind.photos(name, section, itertools.starmap(Product, kept)), spool)
                rejects += lost
            products = _write_products(folder, kept, spool, rule)
        rejects.sort(key=lambda reject: (reject.reason, reject.product_id or "", reject.detail))
        table = pd.DataFrame([astuple(reject) for reject in rejects], columns=list(REJECTS.columns), dtype="str")
        write_table(folder / "rejects.parquet", table, REJECTS)
    reasons = dict(Counter(reject.reason for reject in rejects))
    return Summary(len(products), int(products["image"].notna().sum()), reasons, survey.notices(), survey)


def _spool(items: Iterable[Record | Product | Reject], spool: IO[bytes]) -> tuple[list[Found], list[Reject]]:
    """Hold texts in memory and put photos into a file, for they are written in the order of the ids."""
    found: list[Found] = []
    rejects: list[Reject] = []
    for item in items:
        if isinstance(item, Reject):
            rejects.append(item)
        elif isinstance(item, Record) and item.photo is not None:
            photo = Photo(hashlib.sha256(item.photo).hexdigest(), spool.tell(), spool.write(item.photo))
            found.append((replace(item, photo=None), photo))
        else:
            found.append(item if isinstance(item, Product) else (item, None))
    return found, rejects


def _check_parts(name: str, sizes: Counter[str]) -> None:
    """See that a split, if the source has one, has a part for every product, and a product in every part."""
    if {*sizes} not in ({""}, {*PARTS}):
        found = ", ".join(f"'{part[:100]}' ({size:,})" for part, size in sorted(sizes.items())[:10])
        raise StudyError(
            f"catalogues/{name}.yaml: `table.columns.part` should hold one of {list(PARTS)} for every product, "
            f"and each for some. Found {found}."
        )


def _write_products(folder: Path, kept: list[Found], spool: IO[bytes], rule: CategoryRule) -> pd.DataFrame:
    """Write the products, in the order of their ids, and their photos; return their table."""
    kept.sort(key=lambda one: one[0].product_id)
    names = [None if photo is None else f"{number:07d}.jpg" for number, (_, photo) in enumerate(kept)]
    rows = [
        (
            record.product_id,
            record.brand,
            record.title,
            record.description,
            *to_levels(names_of(record), rule),
            image,
            record.part,
            record.model,
        )
        for (record, _), image in zip(kept, names, strict=True)
    ]
    products = pd.DataFrame(rows, columns=[*FIELDS, "image", "part", "model"], dtype="str")

    def photos() -> Iterator[tuple[str, bytes]]:
        for image, (_, photo) in zip(names, kept, strict=True):
            if image and isinstance(photo, Photo):
                spool.seek(photo.offset)
                yield image, spool.read(photo.size)

    write_zip(folder / "images.zip", photos())
    write_table(folder / "products.parquet", products, RAW_PRODUCTS)
    return products
