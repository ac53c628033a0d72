"""Rows of one id become one product: variants in rows of their own have blank cells, or the same texts again."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from itertools import groupby
from typing import Any

from lib.collect.paths import folded, names_of
from lib.config.base import LEVELS, REPEATED_ID, Origin, Record, Reject

Found = tuple[Record, Any]
"""A product, and where its photo is; None if it has none."""

MERGED = "rows that were merged with another of the same id (columns.id)"


def merge(found: Iterable[Found], notices: Counter[str]) -> tuple[list[Found], list[Reject]]:
    """Make one product of all that have an id, whatever their order, and return them in the order of their ids.

    A field that is blank in one is taken from another. Where two differ, the longer text is taken, and the photo of the
    one with the fewest blank fields. One that is called otherwise, or is of another category, is another product: it
    is rejected, unless it has the fewest blank fields itself.
    """
    products: list[Found] = []
    rejects: list[Reject] = []
    for _, group in groupby(sorted(found, key=lambda one: one[0].product_id), key=lambda one: one[0].product_id):
        rows = list(group)
        if len(rows) > 1:
            rows.sort(key=_fullest_first)
        kept = rows[0]
        for other in rows[1:]:
            if difference := _difference(kept[0], other[0]):
                rejects.append(Reject(kept[0].product_id, REPEATED_ID, difference))
            else:
                kept = _merged(kept, other)
                notices[MERGED] += 1
        products.append(kept)
    return products, rejects


def _fullest_first(one: Found) -> tuple[int, list[str], str]:
    """Sort by how many fields are blank; then by content, so that the order of the rows has no say."""
    record, photo = one
    fields = (record.brand, record.title, record.description, *(getattr(record, level) for level in LEVELS))
    texts = [text or "" for text in fields]
    blank = sum(not text.strip() for text in texts) + (photo is None)
    return blank, texts, repr((names_of(record), photo))


def _difference(kept: Record, other: Record) -> str:
    """Say in what two products differ so that they are not one, or nothing."""
    first, second = ([folded(name or "") for name in names_of(record)] for record in (kept, other))
    if kept.title and other.title and folded(kept.title) != folded(other.title):
        what, values = "title", (kept.title, other.title)
    elif first[: len(second)] != second[: len(first)]:
        what, values = "category", (" > ".join(first), " > ".join(second))
    else:
        return ""
    if not (kept.origin and other.origin and kept.origin.where and other.origin.where):
        return "other content than the one that is kept"
    return (
        f"'{kept.product_id}' is in {kept.origin.where}, which is kept, and in {other.origin.where}, with another "
        f"{what}: {values[0]!r} and {values[1]!r}"
    )


def _merged(kept: Found, other: Found) -> Found:
    (first, photo), (second, instead) = kept, other
    texts = {
        field: max(
            (getattr(first, field), getattr(second, field)), key=lambda text: (len((text or "").strip()), text or "")
        )
        for field in ("brand", "title", "description")
    }
    longer = max((first, second), key=lambda record: len(names_of(record)))
    levels = {level: getattr(longer, level) for level in LEVELS}
    origin = first.origin
    if origin and longer.origin:
        origin = Origin(origin.where, longer.origin.category, longer.origin.names)
    return replace(first, **texts, **levels, origin=origin), instead if photo is None else photo
