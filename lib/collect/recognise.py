"""Recognises a table of products that nobody has described: what form it has, and which column is what.

A few facts about the exports of shops and public data sets, and what columns are called, stand in `forms.yaml`. All
else is measured from the first rows: which column is unique, which is a path, what parts its names, how deep it is.

columns (what they hold) | measure (category paths) | recognise | draft (the catalogue's file)
"""

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from lib.collect.cells import first_address
from lib.collect.columns import Column, Feed, Unrecognised, joined, strings_of, tokens, told
from lib.collect.measure import FACTS, Form, Paths, form_of, is_id_alone, measure_levels, measure_path
from lib.collect.paths import folded

NAMELESS = (
    "Its categories are ids without names. Put a file that names them beside the table, such as Google's "
    "taxonomy-with-ids.en-US.txt, or `categories.csv` with lines such as `212,Home > Kitchen`, and look again."
)
_SHOWN = 40  # columns that a message lists
_TRIED = 1_000  # products on which columns are compared
_PRICE = re.compile(r"\d+[.,]\d{1,2}")
_ADDRESS = re.compile(r"(?:https?:)?//\S")
_PHOTO = re.compile(r".+\.(?:jpe?g|png|webp|gif|avif|tiff?|bmp)(?:\?.*)?", re.IGNORECASE)
_PROSE = re.compile(r"\S\s+\S|[^\W\d_a-zA-Z]{2}")  # several words, or letters of a script that may have no spaces


class Roles:
    """Chooses columns: by the names that a form gives, or else by usual names, and always by what they hold."""

    def __init__(self, feed: Feed, form: Form) -> None:
        self.feed, self.form = feed, form
        self.columns = {name: column for name in feed.names if (column := feed.column(name)).held}
        self.chosen: dict[str, Column] = {}
        wanted = {role: [tokens(name) for name in names] for role, names in FACTS["names"].items()}
        self._ranks: dict[str, dict[str, int]] = {role: {} for role in wanted}
        for name in self.columns:
            words = tokens(name)
            exact = {
                role: [*map("".join, names)].index("".join(words))
                for role, names in wanted.items()
                if "".join(words) in map("".join, names)
            }
            parts = {
                role: len(names) + rank
                for role, names in wanted.items()
                for rank, of in reversed([*enumerate(names)])
                if of in (words[: len(of)], words[-len(of) :])
            }
            for role, rank in (exact or parts).items():
                self._ranks[role][name] = rank

    def named(self, role: str) -> list[Column]:
        """Return the columns that are called like a role, the best name first, but for those that have another."""
        taken = [column.name for column in self.chosen.values()]
        if role in self.form.columns:
            there = {joined(name): name for name in reversed(self.columns)}
            exact = [name if name in self.columns else there.get(joined(name)) for name in self.form.columns[role]]
            names = [name for name in dict.fromkeys(exact) if name]
        else:
            names = sorted(self._ranks[role], key=self._ranks[role].__getitem__)
        return [self.columns[name] for name in names if name not in taken]

    def choose(self, role: str, fits: Callable[[Column], bool], best: Callable[[list[Column]], Column | None]) -> None:
        """Choose the first column of a role's name that can be it, or the best of all others."""
        found: Column | None = next(filter(fits, self.named(role)), None)
        if found is None and role not in self.form.columns:
            free = [column for column in self.columns.values() if column not in self.chosen.values()]
            found = best([column for column in free if fits(column)])
        if found is not None:
            self.chosen[role] = found


def _no_rows(feed: Feed, form: Form) -> dict[str, list[str]]:
    """Leave out rows that are no products, and return the values that say so."""
    out: dict[str, list[str]] = {}
    for name, begin in form.no_rows.items():
        for column in [feed.column(there) for there in feed.names if joined(there) == joined(name)]:
            values = sorted({text for text in column.held if folded(text).startswith(begin.casefold())})
            kept = [row for row, text in zip(feed.rows, column.texts, strict=True) if text not in values]
            if values and kept:
                feed.rows, out[column.name] = kept, values
    return out


def _is_id(column: Column, several: bool) -> bool:
    return (
        column.filled >= 0.99
        and (several or column.unique >= 0.98)
        and column.length <= 100
        and column.share(_PRICE.fullmatch) < 0.5
    )


def _is_photo(column: Column) -> bool:
    def shows(text: str) -> bool:
        first = ""
        with suppress(ValueError):
            first = first_address(text, column.name) or ""
        return bool(_ADDRESS.match(first) or _PHOTO.fullmatch(first))

    return column.share(shows) >= 0.5


def _is_text(column: Column) -> bool:
    return column.share(_PROSE.search) >= 0.5 and column.share(_ADDRESS.match) < 0.5


def _is_title(column: Column) -> bool:
    repeated = column.unique < 0.3 and column.distinct < 30
    return column.filled >= 0.3 and not repeated and column.length <= 200 and column.share(_ADDRESS.match) < 0.5


# All together


@dataclass(frozen=True)
class Recognised:
    """What a table seems to be.

    Attributes
    ----------
    feed
        Its first rows, one a product.
    form
        Which form it has.
    columns
        What was found, by role: `id`, `title`, `description`, `brand` and `image`.
    paths
        Its categories.
    out
        By column, the values of rows that are no products.
    """

    feed: Feed
    form: Form
    columns: dict[str, Column]
    paths: Paths
    out: dict[str, list[str]]


def recognise(path: Path) -> Recognised:
    """Look at the first rows of a table, and tell its form, its columns and its categories.

    Raises
    ------
    Unrecognised
        If it cannot be told what tells its products apart, what describes them, or what their categories are.
    """
    feed = Feed.read(path)
    form = form_of(feed.names)
    out = _no_rows(feed, form)
    roles = Roles(feed, form)
    roles.choose("id", lambda c: _is_id(c, form.several), _best_id)
    if "id" not in roles.chosen and (variants := _of_variants(roles)):
        roles.chosen["id"] = variants
    if "id" not in roles.chosen:
        called = [f"'{c.name}' is {c.told.replace('products', 'rows')}." for c in roles.named("id")[:3]]
        raise _nothing("tells each product from all others", "id", "sku", feed, form, called)
    identity = roles.chosen["id"].name
    if roles.chosen["id"].unique < 1:
        feed.merge(identity)
        roles = Roles(feed, form)
    roles.chosen["id"] = roles.columns[identity]
    roles.choose("image", _is_photo, lambda free: next((c for c in free if c.share(_PHOTO.fullmatch) >= 0.5), None))
    roles.choose("brand", lambda c: c.filled >= 0.02 and c.length <= 80, lambda free: None)
    paths = _paths(roles)
    taken = {*(column for column in paths.columns.values())} if paths else set()
    for name in taken:
        roles.columns.pop(name, None)
    roles.choose("title", _is_title, lambda free: None)
    described = roles.named("description")
    roles.choose(
        "description",
        lambda c: c.filled >= min(0.5, max((of.filled for of in described if _is_text(of)), default=0)) and _is_text(c),
        lambda free: max(free, key=lambda c: c.length, default=None),
    )
    if "title" not in roles.chosen:
        roles.choose("title", _is_title, lambda free: max(filter(_is_text, free), key=lambda c: c.unique, default=None))
    if not {"title", "description"} & roles.chosen.keys():
        raise _nothing("describes or names products", "description", "text", feed, form)
    if paths is None or paths.ids_alone > 0.5:
        raise _nothing("holds categories", "category", "category", feed, form, [NAMELESS] if paths else [])
    if "title" in roles.chosen and "category" in paths.columns:
        paths = measure_path(feed, paths.columns["category"], form, roles.chosen["title"].texts)
    if paths.ids_alone:
        column = paths.columns["category"]
        numbers = {texts[0] for row in feed.rows if is_id_alone(texts := strings_of(feed.cell(row, column)))}
        out = {**out, column: sorted(numbers, key=int)}
    return Recognised(feed, form, roles.chosen, paths, out)


def _best_id(columns: list[Column]) -> Column | None:
    """Return the first column without white space, or else the first of addresses, for neither is called an id."""
    plain = [c for c in columns if not c.share(re.compile(r"\s").search) and c.share(_PHOTO.fullmatch) < 0.5]
    return min(plain, key=lambda c: c.share(_ADDRESS.match) >= 0.5, default=None)


def _of_variants(roles: Roles) -> Column | None:
    """Return a column that is called an id and has one title for each, if variants have rows of their own."""
    for title in filter(_is_title, roles.named("title")[:1]):
        for column in roles.named("id"):
            pairs = {pair for pair in zip(column.texts, title.texts, strict=True) if None not in pair}
            if _is_id(column, several=True) and len(pairs) <= 1.02 * column.distinct and column.distinct > 1:
                return column if title.distinct > 0.5 * column.distinct else None
    return None


def _paths(roles: Roles) -> Paths | None:
    """Return the categories that give products the most levels."""
    rows, form = roles.feed.rows, roles.form
    feed = replace(roles.feed, rows=rows[:: max(len(rows) // _TRIED, 1)])
    found = [measure_path(feed, column.name, form) for column in roles.named("category")]
    found = [paths for paths in found if _repeats(paths, 1, 0.8)]
    if "category" not in form.columns:
        known = {paths.columns["category"] for paths in found} | {column.name for column in roles.chosen.values()}
        for column in roles.columns.values():
            letters = column.share(lambda text: any(map(str.isalpha, text))) >= 0.5
            if column.name in known or not letters or column.share(_ADDRESS.match) > 0.5 or column.length > 200:
                continue
            paths = measure_path(feed, column.name, form, named=False)
            if "separator" in paths.rule and paths.levels >= 1.5 and _repeats(paths, 2, 0.5):
                found.append(paths)
        named = {column.name for role in ("title", "description") for column in roles.named(role)[:1]}
        free = [c for c in roles.columns.values() if c not in roles.chosen.values() and c.name not in named]
        found += [levels] if (levels := measure_levels(free)) else []
    return max(found, key=lambda paths: round(paths.levels, 2), default=None)


def _repeats(paths: Paths, levels: int, most: float) -> bool:
    """Say whether products share the first levels of their paths: at most such a share of these is different."""
    held = [names[:levels] for names in paths.names if names]
    return bool(held) and len(set(held)) <= most * len(held)


def _nothing(what: str, key: str, example: str, feed: Feed, form: Form, more: Sequence[str] = ()) -> Unrecognised:
    """Say what was not found, what there is, and what to write."""
    others = f" and {len(feed.names) - _SHOWN:,} more" if len(feed.names) > _SHOWN else ""
    lines = [
        f"No column of {feed.path} {what}. It was read as {told(feed.layout)}, a table of {form.name}.",
        f"Its columns are {feed.names[:_SHOWN]}{others}.",
        *more,
    ]
    if key == "id":
        lines.append(
            "An id should be there in every row, and in one product alone. Add a column of it once, and keep it."
        )
    lines.append(
        f"If one of them does, write catalogues/NAME.yaml with its name, such as `columns: {{{key}: {example}}}`; "
        "docs/add-a-catalogue.md has a whole one, and explains the keys."
    )
    return Unrecognised("\n".join(lines))
