"""From the rows of a table to products, as the mapping of columns in `catalogues/NAME.yaml` says.

Rows of one id become one product: variants in rows of their own have blank cells, or the same texts again.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property
from itertools import groupby
from sys import intern
from typing import Any, NamedTuple, Self

from pydantic import Field, model_validator

from lib.collect.cells import first_address, get, text_of
from lib.collect.paths import MEANINGLESS, CategoryRule, Ids, folded, names_of, read_paths, settle, shown
from lib.collect.rows import Row
from lib.config import LEVELS, Strict
from lib.config.base import INVALID, MISSING_ID, REPEATED_ID, Origin, Record, Reject

_SHOWN_CELL = 200  # characters of a category's cell that are kept for messages
_ROUNDED_ID = re.compile(r"\d(?:[.,]\d+)?E\+?\d{1,2}", re.IGNORECASE)
_LINE_BREAK = re.compile(r"\\r\\n|\\n")


class Columns(Strict):
    """Which column of a table holds what; a dot goes into a nested object, and `[0]` into a list.

    The categories stand in three columns, or as a path in the one that is called `category`. `image` holds the name
    of a photo's file, or its address; `part` the part of a published split that a product is in; `model` a style
    number, or a feed's `item_group_id`: what the colours and sizes of one model share. What the table lacks is left
    out, but for `id`: it decides what is tested on, so it must stay when rows come, go, move or are corrected, and
    neither a row's number nor its content does.
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
    part: str | None = None
    model: str | None = None

    @model_validator(mode="after")
    def _categories_are_somewhere(self) -> Self:
        given = {key for key in (*LEVELS, "category") if getattr(self, key) is not None}
        if given not in ({"category"}, {*LEVELS}):
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


Found = tuple[Record, Any]
"""A product, and where its photo is; None if it has none."""


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

    product_id, cell, image = None, "", None
    try:
        product_id = (text(columns.id) or "").strip()
        if not product_id:
            return Reject(None, MISSING_ID, f"{where}'{columns.id}' is missing or empty")
        brand, title, description = text(columns.brand), text(columns.title), text(columns.description)
        part, model = intern(text(columns.part) or ""), (text(columns.model) or "").strip()
        if columns.category is not None:
            value = get(row.values, columns.category)
            paths = read_paths(value, mapping.categories, ids or {}, columns.category, mapping.language)
            names = settle(paths, mapping.categories, mapping.says_nothing, title, counts)
            cell = "" if value is None else str(value)[:_SHOWN_CELL]
        else:
            levels = [text(column) for column in (columns.level_1, columns.level_2, columns.level_3)]
            levels = [level if level and level.strip() else None for level in levels]
            while levels and levels[-1] is None:
                levels.pop()
            names = tuple(levels)
        if (instead := mapping.level_1_instead) and (value := text(instead.column)) in instead.values:
            names = (value, *names[1:])
        if columns.image is not None:
            image = first_address(get(row.values, columns.image), columns.image)
    except ValueError as error:
        return Reject(product_id, INVALID, f"{where}{error}")
    if mapping.image_name is not None:
        image = mapping.image_name.replace("{id}", product_id)
    if _ROUNDED_ID.fullmatch(product_id):
        counts["ids such as 1.23E+12, which a spreadsheet has rounded: write them as text (columns.id)"] += 1
    names = tuple(name and intern(name) for name in names)  # few names in many products
    first, second, third = (*names, None, None, None)[:3]
    description = description and _LINE_BREAK.sub("\n", description)  # as WooCommerce writes them
    origin = Origin(row.where, intern(cell), names)
    record = Record(product_id, brand, title, description, first, second, third, None, origin, part, model)
    return Product(record, None if folded(image or "") in mapping.says_nothing else image)


def merge(found: Iterable[Found], notices: Counter[str]) -> tuple[list[Found], list[Reject]]:
    """Make one product of all that have an id, whatever their order, and return them in the order of their ids.

    A field that is blank in one is taken from another. Where two differ, the longer text is taken, and the photo of the
    one with the fewest blank fields. One that is called otherwise, or is of another category, is another product: it
    is rejected, unless it has the fewest blank fields itself.
    """
    products: list[Found] = []
    rejects: list[Reject] = []
    for product_id, group in groupby(sorted(found, key=lambda one: one[0].product_id), lambda one: one[0].product_id):
        rows = list(group)
        (kept, photo), *others = sorted(rows, key=_fullest_first) if len(rows) > 1 else rows
        for other, instead in others:
            if difference := _difference(kept, other):
                rejects.append(Reject(product_id, REPEATED_ID, difference))
                continue
            notices["rows that were merged with another of the same id (columns.id)"] += 1
            longer = max(kept, other, key=lambda record: len(names_of(record)))
            kept = replace(
                longer,
                brand=_fuller(kept.brand, other.brand),
                title=_fuller(kept.title, other.title),
                description=_fuller(kept.description, other.description),
            )
            photo = instead if photo is None else photo
        products.append((kept, photo))
    return products, rejects


def _fullest_first(one: Found) -> tuple[int, list[str], str]:
    """Sort by how many fields are blank; then by content, so that the order of the rows has no say."""
    record, photo = one
    fields = (record.brand, record.title, record.description, record.level_1, record.level_2, record.level_3)
    texts = [text or "" for text in fields]
    return sum(not text.strip() for text in texts) + (photo is None), texts, repr((names_of(record), photo))


def _fuller(*texts: str | None) -> str | None:
    return max(texts, key=lambda text: (len((text or "").strip()), text or ""))


def _difference(kept: Record, other: Record) -> str:
    """Say in what two products differ so that they are not one, or nothing. A category may go on in the other."""
    paths = [folded(shown(names_of(record))) for record in (kept, other)]
    parts = kept.part, other.part
    for what, (first, second) in {
        "title": (kept.title, other.title),
        "category": (paths[0], paths[1]),
        "part": parts,
    }.items():
        one, two = (f"{folded(text or '')} > " for text in (first, second))
        if first and second and not one.startswith(two) and not two.startswith(one):
            lines = [record.origin.where for record in (kept, other) if record.origin and record.origin.where]
            if len(lines) < 2:
                return "other content than the one that is kept"
            where = f"'{kept.product_id}' is in {lines[0]}, which is kept, and in {lines[1]}"
            return f"{where}, with another {what}: {first!r} and {second!r}"
    return ""
