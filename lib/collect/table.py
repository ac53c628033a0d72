"""Reader of a table: a file with a row a product, photos beside it or behind addresses, and a mapping of its columns.

A photo's name comes from outside: it is data. Photos behind addresses are fetched as politely as pages are, and only
from hosts that the catalogue's file names.
"""

import hashlib
import heapq
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from lib import config
from lib.collect.mapping import Product, TableMapping, fields, to_product
from lib.collect.rows import Format, Inside, Layout, Row, guess_format, present, read_rows
from lib.config import Size, Strict
from lib.config.base import MAX_PHOTO_BYTES, PHOTO, Record, Reject
from lib.crawl.process import crawl, forget_others
from lib.crawl.spec import CrawlSpec, FetchSpec, Hosts
from lib.exceptions import StudyError, nearest
from lib.files import fingerprint

_SHOWN = 40  # columns of a file that a message lists
_SHOWN_ADDRESS = 200  # characters of an address that a reject quotes
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)


def _encoding(name: str) -> str:
    try:
        " ".encode(name)
    except LookupError as error:
        raise ValueError(f"there is no encoding '{name}'; expected one such as utf-8, cp1252 or utf-16") from error
    return name


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


class TableSource(TableMapping):
    """A table and its photos, below the catalogue's source folder, and what its columns mean.

    `format` is told by the end of the file's name if it is not given.
    """

    file: Inside
    format: Format | None = None
    encoding: Annotated[str, AfterValidator(_encoding)] | None = None
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    images: Images | None = None
    sample: Size | None = None

    @model_validator(mode="after")
    def _keys_agree(self) -> Self:
        if self.layout.format in ("jsonl", "parquet") and (self.encoding or self.delimiter):
            raise ValueError(f"`encoding` and `delimiter` are for csv and tsv, and '{self.file}' is neither")
        if "categories" in self.model_fields_set and self.columns.category is None:
            raise ValueError("`categories` says how to split a path, but `columns` names no `category`")
        names = [name for name in (self.columns.image, self.image_name) if name is not None]
        if len(names) != (1 if self.images else 0):
            raise ValueError("photos need `images` for their place and either `columns.image` or `image_name`")
        if self.image_name is not None and "{id}" not in self.image_name:
            raise ValueError(f"`image_name` should hold '{{id}}' where the product's id goes. Got '{self.image_name}'")
        return self

    @property
    def layout(self) -> Layout:
        """How the file holds its rows.

        Raises
        ------
        ValueError
            If that is not given, and the file's name does not tell.
        """
        form = self.format or guess_format(self.file)
        if form is None:
            raise ValueError(f"`format` should say what '{self.file}' is: csv, tsv, jsonl or parquet")
        return Layout(form, self.encoding, self.delimiter)


def read_products(name: str, source: TableSource) -> Iterator[Record | Reject]:
    """Yield the products of a table with their photos, and a reject for each row that is no product.

    A product whose photo is not there has none; one whose photo cannot be taken has none and a reject that says why.

    Raises
    ------
    StudyError
        If a file is missing, damaged, or not what the catalogue's file says; if the table lacks a column that it
        names; or if no product at all has its photo.
    """
    settings, folder = f"catalogues/{name}.yaml", config.studied(name).source
    for text in config.load_catalogue(name).text:
        if getattr(source.columns, text) is None:
            raise StudyError(f"catalogues/{name}.yaml: `text` lists '{text}', for which `table.columns` has no column.")
    items: Iterable[Product | Reject] = _read_table(folder / source.file, source, settings)
    items = _sample(items, source.sample) if source.sample else items
    if source.images is None:
        return (item.record if isinstance(item, Product) else item for item in items)
    if source.images.addresses is not None:
        return _with_fetched_photos(items, source.images.addresses, config.build_dir(name, "work", "photos"))
    return _with_files(items, source.images, folder)


# The table


def _read_table(path: Path, source: TableSource, settings: str) -> Iterator[Product | Reject]:
    """Map each row, and see that every column that is asked for occurs: before the rows, or else at their end."""
    named = source.named()
    table = read_rows(path, source.layout, set(named.values()))
    known = dict.fromkeys(table.fields or [])
    missing, told = set(named.values()) - known.keys(), table.fields is not None
    for row in () if missing and told else table.rows:
        if missing and isinstance(row, Row):
            told = True
            known |= dict.fromkeys(fields(row.values))
            missing -= known.keys()
        yield to_product(row, source) if isinstance(row, Row) else row
    if not (missing and told):
        return
    has = list(known)
    lines = [f"{settings} names columns that {path} does not have:"]
    lines += [f"  table.{key}: '{name}'.{nearest(name, has)}" for key, name in named.items() if name in missing]
    more = f" and {len(has) - _SHOWN:,} more" if len(has) > _SHOWN else ""
    lines += [f"Its columns are {has[:_SHOWN]}{more}."]
    if len(has) == 1:
        lines += ["Is that one column? `table.delimiter` says what stands between two."]
    raise StudyError("\n".join(lines))


def _sample(items: Iterable[Product | Reject], size: int) -> list[Product | Reject]:
    """Take those whose id has the smallest hashes: the same ones whatever their order."""

    def key(item: Product | Reject) -> tuple[bytes, str]:
        name = item.record.product_id if isinstance(item, Product) else item.detail
        return hashlib.sha256(name.encode(errors="surrogatepass")).digest(), repr(item)

    return heapq.nsmallest(size, items, key)


# Photos in a folder or in a zip archive


class _PhotoLost(Exception):
    """A photo that is there cannot be taken. The text says why, in words that are the same for many photos."""


def _refuse_large(size: int) -> None:
    """Refuse a photo of more than `MAX_PHOTO_BYTES` before it is read: a small archive may hold a huge one."""
    if size > MAX_PHOTO_BYTES:
        raise _PhotoLost("too large")


def _with_files(items: Iterable[Product | Reject], images: Images, source: Path) -> Iterator[Record | Reject]:
    place = present(source / (images.folder or images.zip or "")).resolve()
    if images.folder is not None and not place.is_dir():
        raise StudyError(f"{place} is not a folder; `images: {{zip: ...}}` is for an archive.")
    try:
        archive = zipfile.ZipFile(place) if images.zip is not None else None
    except _DAMAGED as error:
        raise StudyError(f"{place} is truncated, or not a zip archive: {error}.") from error
    asked, found, example, lost = 0, 0, "", ""
    with archive or nullcontext():
        for item in items:
            if isinstance(item, Reject):
                yield item
                continue
            photo = None
            if item.image:
                asked, example = asked + 1, item.image
                try:
                    photo = _from_archive(archive, item.image) if archive else _from_folder(place, item.image)
                except _PhotoLost as error:
                    lost = lost or f" The first that is there, '{item.image}', is {error}."
                    yield Reject(item.record.product_id, f"{PHOTO}{error}", f"'{item.image}'")
            found += photo is not None
            yield replace(item.record, photo=photo)
    if asked and not found:
        held = archive.namelist() if archive else []
        holds = f", which holds {len(held):,} such as '{held[0]}'" if held else ""
        raise StudyError(
            f"None of {asked:,} products has its photo. One was sought as '{example}' in {place}{holds}.{lost}"
        )


def _from_folder(folder: Path, name: str) -> bytes | None:
    """Return the original bytes of a photo in a folder, or in one within it; None if there is none of this name."""
    try:
        path = (folder / name).resolve()  # follows links, and takes `..` and absolute names for what they are
        if not path.is_relative_to(folder):
            raise _PhotoLost("outside the folder")
        if not path.is_file():  # a device or a pipe might never end
            return None
        with path.open("rb") as file:
            _refuse_large(size := path.stat().st_size)
            return file.read(size)  # no more, should it grow meanwhile
    except ValueError:  # no file can have such a name
        return None
    except (OSError, RuntimeError) as error:  # the latter: a link to itself
        raise _PhotoLost("cannot be read") from error


def _from_archive(archive: zipfile.ZipFile, name: str) -> bytes | None:
    """Return the original bytes of a photo in an archive: a name is looked up in its list, and never used as a path."""
    try:
        _refuse_large(archive.getinfo(name).file_size)
        with archive.open(name) as file:
            return file.read()
    except KeyError:
        return None
    except _DAMAGED as error:
        raise StudyError(f"{archive.filename} is damaged at its entry '{name}': {error}.") from error


# Photos behind addresses


def _with_fetched_photos(items: Iterable[Product | Reject], spec: FetchSpec, work: Path) -> Iterator[Record | Reject]:
    """Fetch each photo once, for all products that have its address, and yield products as their photos come.

    What was fetched is kept in `work`, so that a run that was killed goes on from there.
    """
    hosts, waiting = Hosts(spec.hosts), defaultdict[str, list[Record]](list)
    found, lost = False, None
    for item in items:
        if isinstance(item, Product) and item.image and not (refusal := hosts.refusal(item.image)):
            waiting[item.image].append(item.record)
            continue
        if isinstance(item, Product) and item.image:
            reject = Reject(item.record.product_id, f"{PHOTO}{refusal}", item.image[:_SHOWN_ADDRESS])
            lost = lost or reject
            yield reject
        yield item.record if isinstance(item, Product) else item
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
