"""From a row of a table to a product, as the mapping of columns in `catalogues/NAME.yaml` says."""

import re
from collections import Counter
from functools import cached_property
from sys import intern
from typing import Any, NamedTuple, Self

from pydantic import Field, model_validator

from lib.collect.cells import fields, first_address, get, text_of
from lib.collect.paths import MEANINGLESS, CategoryRule, Ids, Names, folded, read_paths, settle
from lib.collect.rows import Row
from lib.config import LEVELS, Strict
from lib.config.base import INVALID, MISSING_ID, Origin, Record, Reject

__all__ = ["CategoryRule", "Columns", "Product", "TableMapping", "fields", "get", "left_out", "to_product"]

_SHOWN_CELL = 200  # characters of a category's cell that are kept for messages
_ROUNDED_ID = re.compile(r"\d(?:[.,]\d+)?E\+?\d{1,2}", re.IGNORECASE)
_LINE_BREAK = re.compile(r"\\r\\n|\\n")


class Columns(Strict):
    """Which column of a table holds what; a dot goes into a nested object, and `[0]` into a list.

    The categories stand in three columns, or as a path in the one that is called `category`. `image` holds the name
    of a photo's file, or its address. What the table lacks is left out, but for `id`: it decides what is tested on, so
    it must stay when rows come, go, move or are corrected, and neither a row's number nor its content does.
    """

    id: str
    brand: str | None = None
    title: str | None = None
    description: str | None = None
    level_1: str | None = None
    level_2: str | None = None
    level_3: str | None = None
    category: str | None = None
    image: str | None = None

    @model_validator(mode="after")
    def _categories_are_somewhere(self) -> Self:
        levels = [getattr(self, level) for level in LEVELS]
        if self.category is None and None in levels:
            raise ValueError("expected `level_1`, `level_2` and `level_3`, or else `category` for a whole path")
        if self.category is not None and any(levels):
            raise ValueError("expected `level_1`, `level_2` and `level_3`, or else `category`, and not both")
        return self


class Level1Instead(Strict):
    """Where `column` holds one of `values`, that value is the product's first level."""

    column: str
    values: list[str]


class TableMapping(Strict):
    """All that turns a row into a product.

    Attributes
    ----------
    missing
        What a cell, or a name of a path, holds that has nothing to say; in any letter case.
    language
        The beginning of the tag, such as `en`, of what is taken where a field has several languages.
    leave_out_rows
        By column, the values of rows that are no products.
    image_name
        Makes the name of a photo's file, or its address, from a product's id, where no column has it.
    """

    columns: Columns
    categories: CategoryRule = CategoryRule()
    missing: tuple[str, ...] = ("nan", "null", "none", "n/a", "#n/a", "-", "--")
    language: str | None = None
    leave_out_rows: dict[str, tuple[str | int | float | bool, ...]] = Field(default_factory=dict)
    level_1_instead: Level1Instead | None = None
    image_name: str | None = None

    def named(self) -> dict[str, str]:
        """Return the columns of the table that are asked for, by the key in the catalogue's file that names them."""
        named = {f"columns.{key}": column for key, column in self.columns.model_dump().items() if column is not None}
        named |= {f"leave_out_rows.{column}": column for column in self.leave_out_rows}
        return named | ({"level_1_instead.column": self.level_1_instead.column} if self.level_1_instead else {})

    @cached_property
    def says_nothing(self) -> frozenset[str]:
        """What is missing, folded."""
        return frozenset(map(folded, self.missing))


class Product(NamedTuple):
    """A record that has no photo yet, and what the table says of where it is."""

    record: Record
    image: str | None


def left_out(row: Row, mapping: TableMapping) -> bool:
    """Say whether a row is no product, by what stands in it."""
    for column, values in mapping.leave_out_rows.items():
        found = get(row.values, column)
        number = isinstance(found, float) and found.is_integer()
        text = "" if found is None else str(int(found) if number else found)
        if folded(text) in {folded(str(value)) for value in values}:
            return True
    return False


def to_product(
    row: Row, mapping: TableMapping, ids: Ids | None = None, notices: Counter[str] | None = None
) -> Product | Reject:
    """Map a row to a product, or say why it is none.

    Parameters
    ----------
    row
        The row.
    mapping
        What its columns mean.
    ids
        Which category path an id stands for (`lib.collect.paths.load_ids`).
    notices
        Counts what was noticed.
    """
    columns, where = mapping.columns, f"{row.where}: " if row.where else ""
    counts: Counter[str] = Counter() if notices is None else notices

    def text(column: str | None) -> str | None:
        found = text_of(get(row.values, column), column, mapping.language) if column is not None else None
        if found is not None and folded(found) in mapping.says_nothing:
            counts[MEANINGLESS] += 1
            return None
        return found

    product_id = None
    try:
        product_id = (text(columns.id) or "").strip()
        if not product_id:
            return Reject(None, MISSING_ID, f"{where}'{columns.id}' is missing or empty")
        brand, title, description = text(columns.brand), text(columns.title), text(columns.description)
        if description and "\\n" in description:
            description = _LINE_BREAK.sub("\n", description)  # as WooCommerce writes them
        names, cell = _names(row.values, mapping, ids or {}, title, counts)
        if (instead := mapping.level_1_instead) and (value := text(instead.column)) in instead.values:
            names = (value, *names[1:])
        image = None
        if columns.image is not None:
            image = first_address(get(row.values, columns.image), columns.image)
            image = None if folded(image or "") in mapping.says_nothing else image
    except ValueError as error:
        return Reject(product_id, INVALID, f"{where}{error}")
    if mapping.image_name is not None:
        image = mapping.image_name.replace("{id}", product_id)
    if _ROUNDED_ID.fullmatch(product_id):
        counts["ids such as 1.23E+12, which a spreadsheet has rounded: write them as text (columns.id)"] += 1
    names = tuple(name and intern(name) for name in names)  # few names in many products
    first, second, third = (*names[: len(LEVELS)], None, None, None)[: len(LEVELS)]
    origin = Origin(row.where, intern(cell), names)
    return Product(
        Record(product_id, brand, title, description, first, second, third, None, origin), image and image.strip()
    )


def _names(
    values: dict[str, Any], mapping: TableMapping, ids: Ids, title: str | None, counts: Counter[str]
) -> tuple[Names, str]:
    """Return the names of a row's category path, of any depth, and its cell for messages."""
    columns, nothing = mapping.columns, mapping.says_nothing
    if columns.category is not None:
        cell = get(values, columns.category)
        paths = read_paths(cell, mapping.categories, ids, columns.category, mapping.language)
        shown = cell if isinstance(cell, str) else "" if cell is None else str(cell)
        return settle(paths, mapping.categories, nothing, title, counts), shown[:_SHOWN_CELL]
    levels = [text_of(get(values, level), level, mapping.language) for level in map(columns.__getattribute__, LEVELS)]
    names = [level if level and level.strip() and folded(level) not in nothing else None for level in levels]
    counts[MEANINGLESS] += sum(folded(level) in nothing for level in levels if level)
    while names and names[-1] is None:
        names.pop()
    return tuple(names), ""
