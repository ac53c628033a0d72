"""Which columns of a table of new products hold what: by the user's word, the catalogue's file, or a plain name."""

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from lib import config
from lib.collect.table import TableSource
from lib.exceptions import StudyError, nearest
from lib.tagging.tagger import Tagger

PLAIN = {
    "product_id": ("product_id", "id"),
    "brand": ("brand",),
    "title": ("title",),
    "description": ("description",),
    "image": ("image",),
}
"""What a product may have, and the columns that are looked for where nobody says more."""

_SHOWN = 40  # columns of a table that a message lists


class Usual(NamedTuple):
    """What a catalogue's file says: a column of each field, and how a photo's name is made of a product's id."""

    columns: Mapping[str, str] = {}
    image_name: str | None = None


def usual_columns(catalogue: str) -> Usual:
    """Return what `catalogues/NAME.yaml` says of columns; nothing where it is no table, or there is no such file."""
    if not (config.root() / "catalogues" / f"{catalogue}.yaml").is_file():
        return Usual()
    if config.load_catalogue(catalogue).kind != "table":
        return Usual()
    source = config.load_section(catalogue, TableSource)
    named = {"product_id" if key == "id" else key: name for key, name in source.columns.model_dump().items() if name}
    return Usual({key: name for key, name in named.items() if key in PLAIN}, source.image_name)


def parse_columns(pairs: Iterable[str]) -> dict[str, str]:
    """Read a user's `FIELD=COLUMN`.

    Raises
    ------
    StudyError
        If that is not its form, or there is no such field.

    >>> parse_columns(["brand=maker"])
    {'brand': 'maker'}
    """
    found = {}
    for pair in pairs:
        field, equals, column = pair.partition("=")
        if not equals or not column:
            raise StudyError(f"--column expects FIELD=COLUMN, such as brand=maker. Got '{pair}'.")
        check_field(field)
        found[field] = column
    return found


def check_field(field: str) -> str:
    """Return the name of a field, or raise a `StudyError` that names the nearest one."""
    if field not in PLAIN:
        raise StudyError(f"There is no field '{field}'. Products have {', '.join(PLAIN)}.{nearest(field, PLAIN)}")
    return field


def needed_fields(tagger: Tagger, photos: bool, without: Collection[str] = ()) -> list[str]:
    """List what a tagger must be given of each product.

    Parameters
    ----------
    photos
        Whether photos are looked up by a name that the table holds.
    without
        Fields that the products are known to lack.
    """
    about, inputs = tagger.about, tagger.inputs
    texts = (["title"] if about.text == "titled" else []) + list(about.text_from) if "text" in inputs else []
    fields = ["product_id", *(["brand"] if "brand" in inputs else []), *texts, *(["image"] if photos else [])]
    return [field for field in dict.fromkeys(fields) if field not in without]


def looked_for(field: str, said: Mapping[str, str], usual: Mapping[str, str]) -> list[str]:
    """List the columns that may hold a field, the best first.

    >>> looked_for("product_id", {}, {"product_id": "sku"}), looked_for("brand", {"brand": "maker"}, {})
    (['sku', 'product_id', 'id'], ['maker'])
    """
    if field in said:
        return [said[field]]
    return list(dict.fromkeys([*([usual[field]] if field in usual else []), *PLAIN[field]]))


def find_columns(
    table: Path, has: Sequence[str], needed: Sequence[str], said: Mapping[str, str], usual: Mapping[str, str]
) -> dict[str, str]:
    """Return the column of each field.

    Raises
    ------
    StudyError
        If some are missing: which, what was looked for, what there is, and the nearest names.
    """
    chosen, lines = {}, []
    for field in needed:
        names = looked_for(field, said, usual)
        there = [name for name in names if name in has]
        if there:
            chosen[field] = there[0]
        else:
            lines.append(f"  {field}: looked for {' or '.join(map(repr, names))}.{_nearest(names, has)}")
    if not lines:
        return chosen
    more = f" and {len(has) - _SHOWN:,} more" if len(has) > _SHOWN else ""
    lacking = next((field for field in needed if field not in chosen and field != "product_id"), "brand")
    raise StudyError(
        "\n".join([
            f"{table} lacks {len(lines)} of the {len(needed)} columns that are needed:",
            *lines,
            f"Its columns are {list(has[:_SHOWN])}{more}.",
            f"Say which to take with --column {lacking}=COLUMN, or --without {lacking} if the products have none.",
            *(["Is that one column? --delimiter says what stands between two."] if len(has) == 1 else []),
        ])
    )  # fmt: skip


def _nearest(names: Sequence[str], has: Sequence[str]) -> str:
    """Name the column that is spelt most like one of some names, whatever its case."""
    spelt = {name.casefold(): name for name in has}
    for name in names:
        if close := difflib.get_close_matches(name.casefold(), list(spelt), n=1):
            return f" Did you mean '{spelt[close[0]]}'?"
    return ""
