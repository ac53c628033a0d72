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
from lib.collect.paths import load_ids, names_of
from lib.collect.rows import FileKeys, Inside, Row, present, read_rows
from lib.config import Size, Strict
from lib.config.base import MAX_PHOTO_BYTES, PHOTO, Record, Reject
from lib.crawl.process import crawl, forget_others
from lib.crawl.spec import CrawlSpec, FetchSpec, Hosts
from lib.exceptions import StudyError, nearest
from lib.files import fingerprint

_SHOWN = 40  # columns of a file that a message lists
_SHOWN_ADDRESS = 200  # characters of an address that a reject quotes
_ROWS_COMPARED, _MOSTLY = 5_000, 0.8  # rows in which a column of variants is sought; their share that has it
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
    path, named, below = folder / source.file, source.named(), _Below(source.columns.id)
    rule = source.categories
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
        item = to_product(row, source, ids, notices)
        if isinstance(item, Product):
            below.add(row, bool(names_of(item.record)))
        yield item
    notices.update(below.notice())
    if not (missing and told):
        return
    has = list(known)
    lines = [f"{settings} names columns that {path} does not have:"]
    lines += [f"  table.{key}: '{name}'.{nearest(name, has)}" for key, name in named.items() if name in missing]
    more = f" and {len(has) - _SHOWN:,} more" if len(has) > _SHOWN else ""
    lines += [f"Its columns are {has[:_SHOWN]}{more}."]
    if len(has) == 1:
        lines += ["Is that one column? `table.delimiter` says what stands between two."]
    lines += [table.hint] if table.hint else []
    raise StudyError("\n".join(lines))


class _Below:
    """Finds what rows without a category have in common: they may be variants, or no products at all."""

    def __init__(self, used: str) -> None:
        self._used, self._above = used, dict[str, str]()
        self._rows, self._blank = 0, 0
        self._same, self._own = Counter[str](), Counter[tuple[str, str]]()
        self._values = defaultdict[str, set[str]](set)

    def add(self, row: Row, complete: bool) -> None:
        """Take the next row; it is complete if it has a category."""
        if self._rows >= _ROWS_COMPARED:
            return
        self._rows += 1
        texts = {name: text for name, text in row.values.items() if isinstance(text, str) and name != self._used}
        if complete:
            self._above = texts
            for name, text in texts.items():
                self._values[name].add(text)
        else:
            self._blank += 1
            self._same.update(name for name, text in texts.items() if text == self._above.get(name))
            self._own.update((name, text) for name, text in texts.items() if len(text) < _SHOWN)

    def notice(self) -> dict[str, int]:
        """Name the column that tells products apart, where there is one, or what tells these rows from products."""
        alike = [name for name, count in self._same.items() if count >= _MOSTLY * self._blank]
        column = max(alike, key=lambda name: len(self._values[name]), default="")
        if alike and len(self._values[column]) >= _MOSTLY * (self._rows - self._blank):
            text = f"rows without a category have the '{column}' of the row above them"
            return {f"{text} (columns.id: {column} would merge them)": self._same[column]}
        for (name, value), count in self._own.most_common() if self._above else ():
            if count < _MOSTLY * self._blank or count < 2:
                break
            if self._values[name] and value not in self._values[name]:
                text = f"rows without a category have '{value}' as their '{name}', and no others do"
                return {f"{text} (leave_out_rows: {{{name}: [{value}]}} would leave them out)": count}
        return {}


def _sample(items: Iterable[Product | Reject], size: int) -> Iterator[Product | Reject]:
    """Take all rows of the ids that have the smallest hashes: the same ones whatever their order."""
    taken: dict[bytes, list[Product | Reject]] = {}
    bound = b"\xff" * 32
    for item in items:
        name = item.record.product_id if isinstance(item, Product) else item.detail
        key = hashlib.sha256(name.encode(errors="surrogatepass")).digest()
        if key <= bound:
            taken.setdefault(key, []).append(item)
        if len(taken) > 2 * size:
            taken = {key: taken[key] for key in heapq.nsmallest(size, taken)}
            bound = max(taken)
    return chain.from_iterable(taken[key] for key in heapq.nsmallest(size, taken))


# Photos in a folder or in a zip archive


class _PhotoLost(Exception):
    """A photo that is there cannot be taken. The text says why, in words that are the same for many photos."""


def _refuse_large(size: int) -> None:
    """Refuse a photo of more than `MAX_PHOTO_BYTES` before it is read: a small archive may hold a huge one."""
    if size > MAX_PHOTO_BYTES:
        raise _PhotoLost("too large")


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
                try:
                    image = item.image.lstrip("/")  # as Magento writes names: `/m/a.jpg` is below the folder
                    photo = _from_archive(archive, image) if archive else _from_folder(place, image)
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
