"""Reader of a table: a file with a row a product, photos beside it or behind addresses, and a mapping of its columns.

A photo's name comes from outside: it is data. Photos behind addresses are fetched as politely as pages are, and only
from hosts that the catalogue's file names.
"""

import hashlib
import heapq
import zipfile
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Self

from pydantic import model_validator

from lib import config
from lib.collect.cells import fields, is_known
from lib.collect.mapping import Product, TableMapping, left_out, to_product
from lib.collect.paths import load_ids
from lib.collect.rows import FileKeys, Inside, Row, present, read_rows
from lib.config import Size, Strict
from lib.config.base import MAX_PHOTO_BYTES, PHOTO, Record, Reject
from lib.crawl.process import crawl, forget_others
from lib.crawl.spec import CrawlSpec, FetchSpec, Hosts
from lib.exceptions import StudyError, nearest
from lib.files import fingerprint

_SHOWN = 40  # columns of a file that a message lists
_SHOWN_ADDRESS = 200  # characters of an address that a reject quotes
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)


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


class TableSource(FileKeys, TableMapping):
    """A table and its photos, below the catalogue's source folder, and what its columns mean."""

    images: Images | None = None
    sample: Size | None = None

    @model_validator(mode="after")
    def _keys_agree(self) -> Self:
        given = self.categories.model_fields_set if "categories" in self.model_fields_set else {"shallower"}
        if self.columns.category is None and given != {"shallower"}:
            raise ValueError("`categories` says how to split a path, but `columns` names no `category`")
        names = [name for name in (self.columns.image, self.image_name) if name is not None]
        if len(names) != (1 if self.images else 0):
            raise ValueError("photos need `images` for their place and either `columns.image` or `image_name`")
        if self.image_name is not None and "{id}" not in self.image_name:
            raise ValueError(f"`image_name` should hold '{{id}}' where the product's id goes. Got '{self.image_name}'")
        return self


def read_products(name: str, source: TableSource, notices: Counter[str] | None = None) -> Iterable[Product | Reject]:
    """Yield the products of a table, and a reject for each row that is no product.

    Raises
    ------
    StudyError
        If a file is missing, damaged, or not what the catalogue's file says, or if the table lacks a column that it
        names.
    """
    settings, folder = f"catalogues/{name}.yaml", config.studied(name).source
    for text in config.load_catalogue(name).text:
        if getattr(source.columns, text) is None:
            raise StudyError(f"catalogues/{name}.yaml: `text` lists '{text}', for which `table.columns` has no column.")
    if source.images and (place := source.images.folder or source.images.zip):
        present(folder / place)
    items = _read_table(folder, source, settings, Counter() if notices is None else notices)
    return _sample(items, source.sample) if source.sample else items


def with_photos(name: str, source: TableSource, products: Iterable[Product]) -> Iterator[Record | Reject]:
    """Yield products with their photos.

    One whose photo is not there has none; one whose photo cannot be taken has none and a reject that says why.

    Raises
    ------
    StudyError
        If the place of the photos is missing or damaged, or if no product at all has its photo.
    """
    if source.images is None:
        return (product.record for product in products)
    if source.images.addresses is not None:
        return _with_fetched_photos(products, source.images.addresses, config.build_dir(name, "work", "photos"))
    return _with_files(products, source.images, config.studied(name).source)


# The table


def _read_table(folder: Path, source: TableSource, settings: str, notices: Counter[str]) -> Iterator[Product | Reject]:
    """Map each row, and see that every column that is asked for occurs: before the rows, or else at their end."""
    path, named, rule = folder / source.file, source.named(), source.categories
    ids = load_ids(folder / rule.ids, rule) if rule.ids else None
    table = read_rows(path, source.layout, set(named.values()))
    known = dict.fromkeys(table.fields or [])
    missing, told = {column for column in named.values() if not is_known(column, known)}, table.fields is not None
    for row in () if missing and told else table.rows:
        if not isinstance(row, Row):
            yield row
            continue
        if missing:
            told = True
            known |= dict.fromkeys(fields(row.values))
            missing = {column for column in missing if not is_known(column, known)}
        if left_out(row, source):
            notices["rows that are no products (leave_out_rows)"] += 1
            continue
        yield to_product(row, source, ids, notices)
    if missing and told:
        has = list(known)
        lines = [f"{settings} names columns that {path} does not have:"]
        lines += [f"  table.{key}: '{name}'.{nearest(name, has)}" for key, name in named.items() if name in missing]
        lines += [f"Its columns are {has[:_SHOWN]}{f' and {len(has) - _SHOWN:,} more' * (len(has) > _SHOWN)}."]
        lines += ["Is that one column? `table.delimiter` says what stands between two."] * (len(has) == 1)
        raise StudyError("\n".join([*lines, *filter(None, [table.hint])]))


def _sample(items: Iterable[Product | Reject], size: int) -> Iterator[Product | Reject]:
    """Take all rows of the ids that have the smallest hashes: the same ones whatever their order."""
    taken: dict[bytes, list[Product | Reject]] = {}
    for item in items:
        name = item.record.product_id if isinstance(item, Product) else item.detail
        key = hashlib.sha256(name.encode(errors="surrogatepass")).digest()
        taken.setdefault(key, []).append(item)
        if len(taken) > 2 * size:
            taken = {key: taken[key] for key in heapq.nsmallest(size, taken)}
    return chain.from_iterable(taken[key] for key in heapq.nsmallest(size, taken))


# Photos in a folder or in a zip archive


def _with_files(products: Iterable[Product], images: Images, source: Path) -> Iterator[Record | Reject]:
    place = present(source / (images.folder or images.zip or "")).resolve()
    if images.folder is not None and not place.is_dir():
        raise StudyError(f"{place} is not a folder; `images: {{zip: ...}}` is for an archive.")
    try:
        archive = zipfile.ZipFile(place) if images.zip is not None else None
    except _DAMAGED as error:
        raise StudyError(f"{place} is truncated, or not a zip archive: {error}.") from error
    asked, found, example, lost = 0, 0, "", ""
    with archive or nullcontext():
        for item in products:
            photo = None
            if item.image:
                asked, example = asked + 1, item.image
                photo = _photo(place, archive, item.image.lstrip("/"))  # Magento writes `/m/a.jpg`
            if isinstance(photo, str):
                lost = lost or f" The first that is there, '{item.image}', is {photo}."
                yield Reject(item.record.product_id, f"{PHOTO}{photo}", f"'{item.image}'")
            found += isinstance(photo, bytes)
            yield replace(item.record, photo=photo if isinstance(photo, bytes) else None)
    if asked and not found:
        held = archive.namelist() if archive else []
        holds = f", which holds {len(held):,} such as '{held[0]}'" if held else ""
        raise StudyError(
            f"None of {asked:,} products has its photo. One was sought as '{example}' in {place}{holds}.{lost}"
        )


def _photo(place: Path, archive: zipfile.ZipFile | None, name: str) -> bytes | str | None:
    """Return the original bytes of a photo; None if there is none of this name, and a text if it cannot be taken: why.

    In an archive a name is looked up in its list, and never used as a path. In a folder it may lead into one within.
    """
    try:
        # Follows links, and takes `..` and absolute names for what they are
        path = place if archive else (place / name).resolve()
        if not path.is_relative_to(place):
            return "outside the folder"
        if not path.is_file():  # a device or a pipe might never end
            return None
        size = archive.getinfo(name).file_size if archive else path.stat().st_size
        if size > MAX_PHOTO_BYTES:  # seen before it is read: a small archive may hold a huge one
            return "too large"
        with archive.open(name) if archive else path.open("rb") as file:
            return file.read(size)  # no more, should it grow meanwhile
    except (KeyError, ValueError):  # the latter: no file can have such a name
        return None
    except (*_DAMAGED, OSError) as error:  # a link to itself, too
        if archive is None:
            return "cannot be read"
        raise StudyError(f"{archive.filename} is damaged at its entry '{name}': {error}.") from error


# Photos behind addresses


def _with_fetched_photos(products: Iterable[Product], spec: FetchSpec, work: Path) -> Iterator[Record | Reject]:
    """Fetch each photo once, for all products that have its address, and yield products as their photos come.

    What was fetched is kept in `work`, so that a run that was killed goes on from there.
    """
    hosts, waiting = Hosts(spec.hosts), defaultdict[str, list[Record]](list)
    found, lost = False, None
    for record, image in products:
        if image and not (refusal := hosts.refusal(image)):
            waiting[image].append(record)
            continue
        if image:
            reject = Reject(record.product_id, f"{PHOTO}{refusal}", image[:_SHOWN_ADDRESS])
            lost = lost or reject
            yield reject
        yield record
    kept = work / fingerprint([spec.hosts, spec.user_agent])
    if waiting:
        forget_others(kept)
        everything = CrawlSpec(start=sorted(waiting), **spec.model_dump(include=set(FetchSpec.model_fields)))
        for result in crawl(everything, kept, only_photos=True):
            if isinstance(result, Reject):
                lost = lost or result
                yield from (replace(result, product_id=of.product_id) for of in waiting[result.product_id or ""])
            else:
                found |= result.photo is not None
                yield from (replace(of, photo=result.photo) for of in waiting[result.product.product_id])
    if lost and not found:
        raise StudyError(
            f"Not one photo could be fetched. The first: {lost.reason}: {lost.detail}. "
            f"`table.images.addresses.hosts` lists {', '.join(spec.hosts)}."
        )
