"""Reader of a table: a file with a row a product, photos beside it, and a mapping from its columns."""

import hashlib
import heapq
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from lib import config
from lib.collect.categories import CategoryRule
from lib.collect.mapping import Columns, Level1Instead, Mapping, Product, fields, to_product
from lib.collect.photo_sources import Images, with_photos
from lib.collect.rows import Format, Layout, Row, guess_format, read_rows
from lib.collect.source_files import Inside
from lib.config import Size, Strict
from lib.errors import StudyError, nearest
from lib.records import Record, Reject

_SHOWN = 40  # columns of a file that a message lists


def _encoding(name: str) -> str:
    try:
        " ".encode(name)
    except LookupError as error:
        raise ValueError(f"there is no encoding '{name}'; expected one such as utf-8, cp1252 or utf-16") from error
    return name


class TableSource(Strict):
    """A table and its photos, below the catalogue's source folder, and what its columns mean.

    `format` is told by the end of the file's name if it is not given. `image_name` makes the name of a photo's file, or
    its address, from a product's id, where no column has it.
    """

    file: Inside
    format: Format | None = None
    encoding: Annotated[str, AfterValidator(_encoding)] | None = None
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    columns: Columns
    categories: CategoryRule | None = None
    level_1_instead: Level1Instead | None = None
    images: Images | None = None
    image_name: str | None = None
    sample: Size | None = None

    @model_validator(mode="after")
    def _format_is_known(self) -> Self:
        if self.layout.format in ("jsonl", "parquet") and (self.encoding or self.delimiter):
            raise ValueError(f"`encoding` and `delimiter` are for csv and tsv, and '{self.file}' is neither")
        return self

    @model_validator(mode="after")
    def _categories_are_split(self) -> Self:
        if self.categories and self.columns.category is None:
            raise ValueError("`categories` says how to split a path, but `columns` names no `category`")
        return self

    @model_validator(mode="after")
    def _photos_have_names(self) -> Self:
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

    @property
    def mapping(self) -> Mapping:
        """What turns a row into a product."""
        return Mapping(self.columns, self.categories or CategoryRule(), self.level_1_instead, self.image_name)


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
    _check_texts(name, source.columns)
    items = _read_table(folder / source.file, source, settings)
    work = config.build_dir(name, "work", "photos")
    return with_photos(_sample(items, source.sample) if source.sample else items, source.images, folder, work)


def _check_texts(name: str, columns: Columns) -> None:
    for text in config.load_catalogue(name).text:
        if getattr(columns, text) is None:
            raise StudyError(f"catalogues/{name}.yaml: `text` lists '{text}', for which `table.columns` has no column.")


# The table


def _read_table(path: Path, source: TableSource, settings: str) -> Iterator[Product | Reject]:
    """Map each row, and see that every column that is asked for occurs: before the rows, or else at their end."""
    mapping = source.mapping
    named = mapping.named()
    table = read_rows(path, source.layout, set(named.values()))
    missing, known = set(named.values()), dict.fromkeys(table.fields or [])
    if table.fields is not None:
        missing -= known.keys()
        _check_missing(missing, named, known, path, settings)
    any_row = False
    for row in table.rows:
        if missing and isinstance(row, Row):
            any_row = True
            found = dict.fromkeys(fields(row.values))
            missing -= found.keys()
            known |= found
        yield to_product(row, mapping) if isinstance(row, Row) else row
    if any_row:
        _check_missing(missing, named, known, path, settings)


def _check_missing(missing: set[str], named: dict[str, str], known: Iterable[str], path: Path, settings: str) -> None:
    """Name every column that is asked for and is not there."""
    if not missing:
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
