"""Recognises a table of products that nobody has described: what form it has, and which column is what.

A few facts about the exports of shops and public data sets, and what columns are called, stand in `forms.yaml`. All
else is measured from the first rows: which column is unique, which is a path, what parts its names, how deep it is.

measure (columns, category paths) | recognise; `lib.check` writes the catalogue's file, from `catalogue.yaml.j2`
"""

from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from lib.collect.measure import FACTS, Feed, Form, Paths, measure_columns, measure_levels, measure_path, tokens
from lib.collect.paths import folded
from lib.exceptions import StudyError

NAMELESS = (
    "Its categories are ids without names. Put a file that names them beside the table, such as Google's "
    "taxonomy-with-ids.en-US.txt, or `categories.csv` with lines such as `212,Home > Kitchen`, and look again."
)
_SHOWN = 40  # columns that a message lists
_TRIED = 1_000  # products on which columns of categories are compared

_CAN_BE = {
    "id": "filled >= 0.99 and unique >= @least and length <= 100 and price < 0.5",
    "image": "photo >= 0.5 or address >= 0.5",
    "brand": "filled >= 0.02 and length <= 80",
    "title": "filled >= 0.3 and (unique >= 0.3 or distinct >= 30) and length <= 200 and address < 0.5",
    "description": "filled >= @least and prose >= 0.5 and address < 0.5",
}
"""What a column of a role holds (`lib.collect.measure.measure_columns`)."""
_UNNAMED = {
    "id": ("blanks == 0 and photo < 0.5", "address", True),
    "image": ("photo >= 0.5", "photo", False),
    "description": ("length > 0", "length", False),
    "title": ("prose >= 0.5", "unique", False),
}
"""Which of them is taken if none is called so, and the measure by which it is the first, or the last."""


class Roles:
    """Chooses columns: by the names that a form gives, or else by usual names, and always by what they hold."""

    def __init__(self, feed: Feed, form: Form) -> None:
        self.form = form
        self.texts = pd.DataFrame({name: feed.texts(name) for name in feed.names}, dtype=object)
        self.facts = measure_columns(self.texts)
        self.chosen: dict[str, str] = {}
        found = [
            (name, role, "".join(of) != "".join(words), rank)
            for name, words in zip(self.facts.index, map(tokens, self.facts.index), strict=True)
            for role, names in FACTS["names"].items()
            for rank, of in enumerate(map(tokens, names))
            if "".join(of) == "".join(words) or of in (words[: len(of)], words[-len(of) :])
        ]
        called = pd.DataFrame(found, columns=["name", "role", "part", "rank"])
        called = called[called["part"] == called.groupby("name")["part"].transform("min")]  # a whole name is worth more
        called = called.sort_values(["part", "rank"], kind="stable")
        self.named = {role: list(dict.fromkeys(called[called["role"] == role]["name"])) for role in FACTS["names"]}
        for role, names in form.columns.items():
            there = sorted(self.facts.index, key=lambda name: name not in names)  # `node` is also `node[0].value`
            self.named[role] = [name for of in names for name in there if tokens(name) == tokens(of)]

    def fit(self, role: str, least: float = 0) -> pd.DataFrame:
        """Return the columns that can be it, of those that have no role yet."""
        return self.facts.drop(list(self.chosen.values())).query(_CAN_BE[role], local_dict={"least": least})

    def choose(self, role: str, least: float = 0, unnamed: bool = True) -> bool:
        """Choose the first column of a role's name that can be it, or the best of all others."""
        fit = self.fit(role, least)
        names = [name for name in self.named[role] if name in fit.index]
        if unnamed and not names and role in _UNNAMED and role not in self.form.columns:
            which, by, ascending = _UNNAMED[role]
            names = list(fit.query(which).sort_values(by, ascending=ascending, kind="stable").index)
        if names:
            self.chosen[role] = names[0]
        return bool(names)


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
        Its columns, by role: `id`, `title`, `description`, `brand` and `image`.
    facts
        What was measured of all columns.
    paths
        Its categories.
    out
        By column, the values of rows that are no products.
    """

    feed: Feed
    form: Form
    columns: dict[str, str]
    facts: pd.DataFrame
    paths: Paths
    out: dict[str, list[str]]


def recognise(path: Path) -> Recognised:
    """Look at the first rows of a table, and tell its form, its columns and its categories.

    Raises
    ------
    StudyError
        If it cannot be told what tells its products apart, what describes them, or what their categories are.
    """
    feed = Feed.of(path)
    form, out = Form.of(feed.names), dict[str, list[str]]()
    marks = {tokens(name): begin.casefold() for name, begin in form.no_rows.items()}
    for name in [name for name in feed.names if tokens(name) in marks]:
        texts = feed.texts(name)
        values = {text for text in texts if text and folded(text).startswith(marks[tokens(name)])}
        kept = [row for row, text in zip(feed.rows, texts, strict=True) if text not in values]
        if values and kept:
            feed.rows, out[name] = kept, sorted(values)
    roles = Roles(feed, form)
    # What is called an id and is not unique is one of variants; collecting says so if rows of one id contradict.
    if not roles.choose("id", 0 if form.several else 0.98) and not roles.choose("id", 0.1, unnamed=False):
        more = "An id should be there in every row, and in one product alone. Add a column of it once, and keep it.\n"
        raise _nothing("tells each product from all others", "id: sku", feed, form, more)
    identity = roles.chosen["id"]
    if roles.facts["unique"][identity] < 1:
        feed.merge(identity)
        roles = Roles(feed, form)
        roles.chosen["id"] = identity
    roles.choose("image")
    roles.choose("brand")
    paths = _paths(feed, roles)
    if paths:
        roles.facts = roles.facts.drop(list(set(paths.columns.values())))
    roles.choose("title", unnamed=False)
    called = roles.fit("description").filter(roles.named["description"], axis="index")
    roles.choose("description", least=min(0.5, called["filled"].max() if len(called) else 0))
    if "title" not in roles.chosen:
        roles.choose("title")
    if not {"title", "description"} & roles.chosen.keys():
        raise _nothing("describes or names products", "description: text", feed, form)
    if paths is None or 2 * len(paths.unnamed) > len(paths.names):
        raise _nothing("holds categories", "category: category", feed, form, f"{NAMELESS}\n" if paths else "")
    if column := paths.columns.get("category"):
        titles = feed.texts(roles.chosen["title"]) if "title" in roles.chosen else None
        paths = measure_path(feed, column, form, titles)
        if paths.unnamed:
            out[column] = sorted({*out.get(column, ()), *paths.unnamed})
    return Recognised(feed, form, roles.chosen, roles.facts, paths, out)


def _paths(feed: Feed, roles: Roles) -> Paths | None:
    """Return the categories that give products the most levels."""
    form, chosen = roles.form, set(roles.chosen.values())
    some = replace(feed, rows=feed.rows[:: max(len(feed.rows) // _TRIED, 1)])
    called = [name for name in roles.named["category"] if name not in chosen]
    found = [paths for name in called if (paths := measure_path(some, name, form)).repeat(1, 0.8)]
    if "category" not in form.columns:
        known = chosen | {paths.columns["category"] for paths in found}
        others = roles.facts.query("letters >= 0.5 and address <= 0.5 and length <= 200").index
        for name in others.difference(list(known), sort=False):
            paths = measure_path(some, name, form, named=False)
            if "separator" in paths.rule and paths.levels >= 1.5 and paths.repeat(2, 0.5):
                found.append(paths)
        texts = {name for role in ("title", "description") for name in roles.named[role][:1]}
        found += [levels] if (levels := measure_levels(roles.texts.drop(columns=list(chosen | texts)))) else []
    return max(found, key=lambda paths: round(paths.levels, 2), default=None)


def _nothing(what: str, key: str, feed: Feed, form: Form, more: str = "") -> StudyError:
    """Say what was not found, what there is, and what to write."""
    return StudyError(
        f"No column of {feed.path} {what}. It was read as {feed.layout.told()}, a table of {form.name}.\n"
        f"Its columns are {feed.names[:_SHOWN]}, {len(feed.names):,} in all.\n{more}"
        f"If one of them does, write catalogues/NAME.yaml with its name, such as `columns: {{{key}}}`; "
        "docs/add-a-catalogue.md has a whole one, and explains the keys."
    )
