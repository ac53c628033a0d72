"""From a row of a table to a product, as the mapping of columns in `catalogues/NAME.yaml` says.

Category paths may be of any depth, one text or a list of names; they become three levels here.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from lib.collect.rows import Row
from lib.config import LEVELS, Strict
from lib.config.base import CATEGORY_DEPTH, INVALID, MISSING_ID, Record, Reject
from lib.crawl.products import load_json

Categories = tuple[str | None, str | None, str | None]


class CategoryRule(Strict):
    """How a category path becomes three levels.

    `separator` parts the names of a path that is one text. Names in `leave_out`, such as *Home*, are no category,
    wherever they stand. A path with more than three names is refused, or cut to its first three.
    """

    separator: Annotated[str, Field(min_length=1)] = ">"
    leave_out: tuple[str, ...] = ()
    deeper: Literal["refuse", "cut"] = "refuse"


class TooDeep(ValueError):
    """A category path has more levels than are taken."""


def split_path(path: str, rule: CategoryRule) -> list[str]:
    """Split a path that is one text, or a JSON list of names.

    >>> split_path("Home >> Women >> Shoes", CategoryRule(separator=">>"))
    ['Home', 'Women', 'Shoes']
    >>> split_path('["Women", "Shoes"]', CategoryRule())
    ['Women', 'Shoes']
    """
    names: Any = None
    if path.lstrip().startswith("["):
        with suppress(ValueError):
            names = load_json(path)
    if not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        names = path.split(rule.separator)
    return [name.strip() for name in names]


def to_levels(names: Sequence[str], rule: CategoryRule) -> Categories:
    """Return the three levels of a path; what a shallower one lacks is None, and later costs the product its place.

    Raises
    ------
    TooDeep
        If the path is deeper, and the rule refuses that.

    Examples
    --------
    >>> to_levels(["Home", "Women", "Shoes"], CategoryRule(leave_out=("Home",)))
    ('Women', 'Shoes', None)
    >>> to_levels(["Women", "Shoes", "Boots", "Ankle"], CategoryRule(deeper="cut"))
    ('Women', 'Shoes', 'Boots')
    """
    left_out = {name.strip().casefold() for name in rule.leave_out}
    kept = [name for name in names if name.strip() and name.strip().casefold() not in left_out]
    if len(kept) > len(LEVELS) and rule.deeper == "refuse":
        raise TooDeep(f"its category path has {len(kept)} levels, not {len(LEVELS)}: {' > '.join(kept)}")
    first, second, third = (*kept[: len(LEVELS)], *[None] * len(LEVELS))[: len(LEVELS)]
    return first, second, third


class Columns(Strict):
    """Which column of a table holds what; a dot goes into a nested object.

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

    `image_name` makes the name of a photo's file, or its address, from a product's id, where no column has it.
    """

    columns: Columns
    categories: CategoryRule = CategoryRule()
    level_1_instead: Level1Instead | None = None
    image_name: str | None = None

    def named(self) -> dict[str, str]:
        """Return the columns of the table that are asked for, by the key in the catalogue's file that names them."""
        named = {f"columns.{key}": column for key, column in self.columns.model_dump().items() if column is not None}
        return named | ({"level_1_instead.column": self.level_1_instead.column} if self.level_1_instead else {})


class Product(NamedTuple):
    """A record that has no photo yet, and what the table says of where it is."""

    record: Record
    image: str | None


def to_product(row: Row, mapping: TableMapping) -> Product | Reject:
    """Map a row to a product, or say why it is none."""
    columns, product_id, where = mapping.columns, None, f"{row.where}: " if row.where else ""
    try:
        product_id = (_text(row.values, columns.id) or "").strip()
        if not product_id:
            return Reject(None, MISSING_ID, f"{where}'{columns.id}' is missing or empty")
        brand, title, description, image = (
            _text(row.values, column) for column in (columns.brand, columns.title, columns.description, columns.image)
        )
        levels, instead = _levels(row.values, columns, mapping.categories), mapping.level_1_instead
        if instead and (value := _text(row.values, instead.column)) in instead.values:
            levels = (value, *levels[1:])
    except TooDeep as error:
        return Reject(product_id, CATEGORY_DEPTH, f"{where}{error}")
    except ValueError as error:
        return Reject(product_id, INVALID, f"{where}{error}")
    if mapping.image_name is not None:
        image = mapping.image_name.replace("{id}", product_id)
    return Product(Record(product_id, brand, title, description, *levels, photo=None), image and image.strip())


def _levels(values: dict[str, Any], columns: Columns, rule: CategoryRule) -> Categories:
    if columns.category is None:
        return _text(values, columns.level_1), _text(values, columns.level_2), _text(values, columns.level_3)
    path = get(values, columns.category)
    if not (isinstance(path, list | tuple) and all(isinstance(name, str) for name in path)):
        path = split_path(_text(values, columns.category) or "", rule)
    return to_levels([checked(name, columns.category) for name in path], rule)


def _text(values: dict[str, Any], column: str | None) -> str | None:
    value = get(values, column) if column is not None else None
    if isinstance(value, float):
        if value != value:  # not a number: how a table of numbers says that there is none
            return None
        # A column of whole numbers of which one is missing becomes one of fractions in many programs.
        value = int(value) if value.is_integer() else value
    if value is None:
        return None
    if isinstance(value, str):
        return checked(value, column)
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return str(value)
    raise ValueError(f"'{column}' should be text, got {type(value).__name__}")


def checked(text: str, column: str | None) -> str:
    """Return a text that every file can hold, and every reader of one reads to its end.

    Raises
    ------
    ValueError
        If it is not, with the name of its column.
    """
    if "\0" in text:
        raise ValueError(f"'{column}' holds a NUL character")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"'{column}' is not valid Unicode: {error.reason}") from error
    return text


def get(values: dict[str, Any], column: str) -> Any:
    """Follow a dotted name into nested objects; `None` if it leads nowhere."""
    if column in values:
        return values[column]
    node: Any = values
    for key in column.split("."):
        node = node.get(key) if isinstance(node, dict) else None
    return node


def fields(node: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """List the dotted names of an object's values."""
    for key, value in node.items():
        if isinstance(value, dict):
            yield from fields(value, f"{prefix}{key}.")
        else:
            yield prefix + key
