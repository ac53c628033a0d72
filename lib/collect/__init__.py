"""The `collect` stage: from a source of any kind to `raw/`, whole or not at all.

`rows` reads a table's file, `cells` and `paths` what stands in a cell, and `mapping` makes products of rows; `merging`
makes one of the rows of an id; `table` and `sites` are the kinds of source. Whatever the kind, this module counts,
refuses what is too bad with a `survey` of the category paths, and writes.

rows | cells | paths | mapping, merging, survey | table, sites | collect
"""

import hashlib
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path
from typing import IO, Any, NamedTuple

import pandas as pd

from lib import config
from lib.collect.merging import merge
from lib.collect.paths import CategoryRule, names_of, to_levels
from lib.collect.sites import CrawlSource, ShopSource, read_crawl, read_shop
from lib.collect.survey import OF_PATH, Survey
from lib.collect.table import TableSource, read_products
from lib.config import Strict
from lib.config.base import FIELDS, PHOTO, SHALLOW, Record, Reject
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
    """

    section: type[Strict]
    read: Callable[[str, Any, Counter[str]], Iterator[Record | Reject]]


KINDS = {
    "table": Reader(TableSource, read_products),
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
            found, rejects = _spool(kind.read(name, section, notices), spool)
            found, repeated = merge(found, notices)
            survey = Survey([record for record, _ in found], rule, max_share, notices)
            refused = survey.rejects()
            rejects += [*repeated, *refused.values()]
            kept = [one for place, one in enumerate(found) if place not in refused]
            _refuse_too_many(name, rejects, survey)
            products = _write_products(folder, kept, spool, rule)
        rejected = sorted(rejects, key=lambda reject: (reject.reason, reject.product_id or "", reject.detail))
        table = pd.DataFrame([astuple(reject) for reject in rejected], columns=list(REJECTS.columns), dtype="str")
        write_table(folder / "rejects.parquet", table, REJECTS)
    reasons = Counter(reject.reason for reject in rejected)
    return Summary(
        products=len(products),
        photos=int(products["image"].notna().sum()),
        rejects=dict(sorted(reasons.items())),
        notices=survey.notices(),
        survey=survey,
    )


def _spool(
    items: Iterable[Record | Reject], spool: IO[bytes]
) -> tuple[list[tuple[Record, Photo | None]], list[Reject]]:
    """Hold texts in memory and put photos into a file, for they are written in the order of the ids."""
    found: list[tuple[Record, Photo | None]] = []
    rejects: list[Reject] = []
    for item in items:
        if isinstance(item, Reject):
            rejects.append(item)
        elif item.photo is None:
            found.append((item, None))
        else:
            photo = Photo(hashlib.sha256(item.photo).hexdigest(), spool.tell(), spool.write(item.photo))
            found.append((replace(item, photo=None), photo))
    return found, rejects


def _refuse_too_many(name: str, rejects: list[Reject], survey: Survey) -> None:
    """Raise an error if there is no product, or if too many are lost: it shows what was found, and what would help."""
    found = len(survey.records)
    lost = [reject for reject in rejects if not reject.reason.startswith(PHOTO) and reject.reason != SHALLOW]
    count = found + sum(reject.reason not in OF_PATH for reject in lost)
    if not count:
        raise StudyError(f"The source of the catalogue '{name}' holds no product.")
    kept, max_share = found - sum(reject.reason in OF_PATH for reject in rejects), survey.max_share
    several, incomplete = survey.several(), survey.incomplete()
    if len(lost) / count > max_share:
        examples: dict[str, tuple[int, str]] = {}
        for reject in sorted(lost, key=lambda reject: (reject.reason, reject.detail)):
            number, example = examples.get(reject.reason, (0, reject.detail))
            examples[reject.reason] = number + 1, example
        problem = (
            f"{len(lost):,} of {count:,} records of the catalogue '{name}' were rejected, more than the "
            f"{max_share:.2%} that params.yaml allows (clean.max_reject_share):"
        )
        lines = [f"  {reason}: {number:,}, such as {example}" for reason, (number, example) in examples.items()]
    elif not kept or incomplete > max_share * kept:
        bad = incomplete or found
        problem = (
            f"The catalogue '{name}' has {bad:,} of {found:,} products without a complete category "
            f"path. Expected at most {max_share:.1%} (clean.max_reject_share), found {bad / found:.1%}."
        )
        lines = []
    elif several and several[1] > max_share * kept:
        problem = f"The catalogue '{name}' seems to have several category paths in a cell."
        lines = ["If they are names, let `categories.between` be a character that occurs in none of them, such as '~'."]
    else:
        return
    if OF_PATH & {reject.reason for reject in lost} or not lines or several:
        lines += survey.explain()
    lines += [f"Noticed: {number:,} {text}." for text, number in survey.notices().items()]
    raise StudyError("\n".join([problem, *lines]))


def _write_products(
    folder: Path, kept: list[tuple[Record, Photo | None]], spool: IO[bytes], rule: CategoryRule
) -> pd.DataFrame:
    """Write the products, which are in the order of their ids, and their photos; return their table."""
    names = [None if photo is None else f"{number:07d}.jpg" for number, (_, photo) in enumerate(kept)]
    rows = [
        (record.product_id, record.brand, record.title, record.description, *to_levels(names_of(record), rule), image)
        for (record, _), image in zip(kept, names, strict=True)
    ]
    products = pd.DataFrame(rows, columns=[*FIELDS, "image"], dtype="str")

    def photos() -> Iterator[tuple[str, bytes]]:
        for image, (_, photo) in zip(names, kept, strict=True):
            if image and photo:
                spool.seek(photo.offset)
                yield image, spool.read(photo.size)

    write_zip(folder / "images.zip", photos())
    write_table(folder / "products.parquet", products, RAW_PRODUCTS)
    return products
