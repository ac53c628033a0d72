"""The first rows of a table of which nothing is known: what its columns hold, and by which rule its paths are read."""

import html
import itertools
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from lib.collect.cells import get, opened, text_of
from lib.collect.paths import CategoryRule, Names, depth_of, folded, load_ids, read_paths, settle
from lib.collect.rows import Layout, Row, read_rows, sniff
from lib.collect.survey import MARKS, MISSING, likely_between, likely_separator, share_parted
from lib.config import LEVELS
from lib.exceptions import StudyError

FACTS: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("forms.yaml").read_text("utf-8"))

ROWS = 10_000
"""So many rows are looked at; all are read when the table is collected."""

HOLDS = {
    "price": re.compile(r"^\d+[.,]\d{1,2}$"),
    "address": re.compile(r"^(?:https?:)?//\S"),
    "photo": re.compile(r"^[^\n,;|]*\.(?:jpe?g|png|webp|gif|avif|tiff?|bmp)(?:\?|\s*[\n,;|]|$)", re.IGNORECASE),
    "prose": re.compile(r"\S\s+\S|[^\W\d_a-zA-Z]{2}"),  # several words, or letters of a script without blanks
    "letters": re.compile(r"[^\W\d_]"),
    "blanks": re.compile(r"\s"),
}
"""What is looked for in the texts of a column."""

_LOOKED = 1_000  # texts of a column in which that is done
_LEVEL_WORDS = "cat|kat|lev|lvl|ni[vl]|dep|gr[uo]+p|typ|class|se[ck]|gender|univers|rayon|rub|fam|sub|sous|unter"


# Columns


def tokens(name: str) -> tuple[str, ...]:
    """Return the words of a column's name, without case, accents and marks.

    >>> tokens("Body (HTML)"), tokens("productDisplayName"), tokens("g:Catégorie_1"), tokens("brand.name")
    (('body', 'html'), ('product', 'display', 'name'), ('categorie', '1'), ('brand',))
    """
    name = re.sub(r"^g:|(?<=.)\.(?:name|value|text|content)$|\[0\]", "", name)
    name = re.sub(r"(?<=[a-z])(?=[A-Z]|\d)", " ", name)
    plain = "".join(c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c))
    return tuple(re.findall(r"\w+", plain.casefold().replace("_", " ")))


@dataclass(frozen=True)
class Form:
    """What is known of a table before its rows are looked at; `forms.yaml` explains it."""

    name: str = "no known form"
    has: tuple[tuple[str, ...], ...] = ()
    columns: dict[str, list[str]] = field(default_factory=dict)
    no_rows: dict[str, str] = field(default_factory=dict)
    several: bool = False
    categories: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, names: Iterable[str]) -> "Form":
        """Return the form whose columns are all there, of several the one that names most.

        >>> Form.of(["Handle", "Title", "Body (HTML)", "Vendor", "Image Src"]).name
        'Shopify (its CSV export)'
        """
        there = set(map(tokens, names))
        forms = [cls(name, **facts) for name, facts in FACTS["forms"].items()]
        fit = [form for form in forms if all(there & set(map(tokens, group)) for group in form.has)]
        return max(fit, key=lambda form: len(form.has), default=cls())


@dataclass
class Feed:
    """The first rows of a table.

    Attributes
    ----------
    path, layout
        Its file, and how that holds its rows.
    read
        At most `ROWS`, as they were read.
    bad
        How many rows could not be.
    names
        The columns' names.
    rows
        Those that are products; later one for each product.
    language
        The beginning of the tag that most rows have in lists of texts by language, if there are several.
    """

    path: Path
    layout: Layout
    read: list[Row]
    bad: int
    names: list[str]
    rows: list[dict[str, Any]]
    language: str | None

    @classmethod
    def of(cls, path: Path) -> "Feed":
        """Read the first rows of a file of which nothing is known."""
        layout = sniff(path)
        named = read_rows(path, layout, set()).fields
        items = list(itertools.islice(read_rows(path, layout, set(named or ())).rows, ROWS))
        read = [item for item in items if isinstance(item, Row)]
        if not read:
            raise StudyError(f"{path} has no row that can be read. It was read as {layout.told()}.")
        counts, tags = Counter[str](), Counter[str]()
        for row in read:
            counts.update([*dict.fromkeys(_leaves(row.values))])
            members = [member for value in row.values.values() if isinstance(value, list) for member in value]
            found = [one["language_tag"] for one in members if isinstance(one, dict) and "language_tag" in one]
            tags.update({re.split("[_-]", str(tag))[0] for tag in found})
        twice = {name for name in counts if ":" in name and name.split(":")[-1] in counts}  # as XML has them
        names = [name for name, count in counts.items() if count >= len(read) / 100 and name not in twice]
        language = max(tags, key=lambda tag: (tags[tag], tag == "en")) if len(tags) > 1 else None
        bad, rows = len(items) - len(read), [row.values for row in read]
        return cls(path, layout, read, bad, names, rows, language)

    def cells(self, name: str) -> list[Any]:
        """Return what the products have in a column; None if there is no way to it."""
        found: list[Any] = []
        for row in self.rows:
            try:
                found.append(get(row, name))
            except ValueError:
                found.append(None)
        return found

    def texts(self, name: str) -> list[str | None]:
        """Return the texts of a column; None where it holds none, or one that says nothing."""
        found: list[str | None] = []
        for value in self.cells(name):
            try:
                text = (text_of(value, name, self.language) or "").strip()
            except ValueError:
                text = "\n".join(_strings(value)) if isinstance(value, list) else ""  # a list of lists
            found.append(text if text and folded(text) not in MISSING else None)
        return found

    def merge(self, key: str) -> None:
        """Make one row of those with the same id: for each column the first that is not blank."""
        merged: dict[str, dict[str, Any]] = {}
        for row, found in zip(self.rows, self.texts(key), strict=True):
            if found is not None:
                of = merged.setdefault(found, {})
                of.update({name: value for name, value in row.items() if of.get(name) in (None, "", [])})
        self.rows = list(merged.values())


def _leaves(node: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """List the names of columns that a row has, those within objects and within the first object of a list too."""
    for key, value in node.items():
        yield prefix + key
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            yield from (f"{prefix}{key}[0].{inner}" for inner in value[0])


def _strings(value: Any) -> list[str]:
    """Return the texts that a cell holds, whatever it is."""
    value = opened(value)
    if isinstance(value, list | tuple):
        return [text for member in value for text in _strings(member)]
    with suppress(ValueError):
        text = html.unescape(text_of(value, None) or "").strip()
        return [text] if text and folded(text) not in MISSING else []
    return []


def measure_columns(texts: pd.DataFrame) -> pd.DataFrame:
    """Measure the texts of each column that has some.

    Returns
    -------
    pandas.DataFrame
        A row for each column: the share of products in which it is `filled`, how many `distinct` texts it has, which
        share that is (`unique`), their `length` on average, and a share for each of `HOLDS`.
    """
    held, distinct = texts.notna().sum(), texts.nunique()
    facts = {"filled": held / len(texts), "distinct": distinct, "unique": distinct / held}
    table = pd.DataFrame(facts | {"length": texts.apply(lambda column: column.dropna().map(len).mean())})
    some = {name: column.dropna().head(_LOOKED) for name, column in texts.items()}
    for what, pattern in HOLDS.items():
        table[what] = {name: sum(map(bool, map(pattern.search, of))) / max(len(of), 1) for name, of in some.items()}
    return table[held > 0]


# Category paths


@dataclass(frozen=True)
class Paths:
    """The categories of a table: where they are, by which rule they are read, why so, and the path of each product."""

    columns: dict[str, str]
    rule: dict[str, Any]
    why: dict[str, str]
    names: list[Names]
    unnamed: list[str] = field(default_factory=list)
    ids: dict[str, str] = field(default_factory=dict)

    @property
    def levels(self) -> float:
        """How many levels a product has, on average, up to three."""
        return sum(map(_levels, self.names)) / max(len(self.names), 1)

    def repeat(self, levels: int, most: float) -> bool:
        """Say whether products share the first levels of their paths: at most such a share of these is different."""
        held = [names[:levels] for names in self.names if names]
        return bool(held) and len(set(held)) <= most * len(held)


def measure_path(
    feed: Feed, column: str, form: Form, titles: list[str | None] | None = None, named: bool = True
) -> Paths:
    """Find by which rule a column's paths are read, from what it holds.

    Parameters
    ----------
    titles
        Of the products, which some sources end their paths with.
    named
        Whether the column is called like one of categories: only then do commas part names.
    """
    cells = feed.cells(column)
    strings = [_strings(cell) for cell in cells]
    texts, total = [text for of in strings for text in of], len(cells)
    rule, why, ids = dict[str, Any](), dict[str, str](), dict[str, str]()

    def read(**keys: Any) -> list[Names]:
        made, out = CategoryRule(**rule | keys), []
        for cell, title in zip(cells, titles or [None] * total, strict=True):
            paths: list[list[str]] = []
            with suppress(ValueError):
                paths = read_paths(cell, made, ids, column, feed.language)
            out.append(settle(paths, made, MISSING, title, Counter()))
        return out

    fixed = {key: value for key, value in form.categories.items() if key != "leave_out"}
    if fixed and share_parted(texts, fixed["separator"]):
        rule, why = dict(fixed), dict.fromkeys(fixed, f"as {form.name} writes it")
    elif found := likely_separator(texts, [mark for mark in MARKS if named or mark not in (",", ";")]):
        rule["separator"], why["separator"] = found[0], f"parts names in {found[1]:.0%} of the cells"
    if "between" not in rule and (several := likely_between(texts, rule.get("separator", ">"))):
        rule["between"], why["between"] = several[0], f"parts several paths in {several[1]:,} cells"
    alone = [of[0] for of in strings if len(of) == 1 and of[0].isdecimal()]
    for path in sorted(feed.path.parent.iterdir()) if alone else ():
        if path.suffix in (".txt", ".csv", ".tsv") and re.search("taxonom|categor|kategor", path.name.lower()):
            with suppress(StudyError):
                beside = load_ids(path, CategoryRule(**rule))
                if not ids and sum(text in beside for text in alone) > 0.5 * len(alone):
                    ids, rule["ids"] = beside, path.name
                    why["ids"] = f"{len(alone):,} products have the id of a category alone"
    names = read()
    for key, value, reason in (
        ("leading_ids", True, "{:,} paths have names that begin with an id"),
        ("take", "deepest", "of several paths, which is not the first for {:,} products"),
        ("product_name", "drop", "{:,} paths end in the product's own title"),
    ):
        other = read(**{key: value})
        changed = sum(one != two for one, two in zip(names, other, strict=True))
        if changed >= max(0.01 * total, 1):
            rule[key], why[key], names = value, reason.format(changed), other
    nothing = {folded(name) for name in (*FACTS["no_category"], *form.categories.get("leave_out", ()))}
    out = list(dict.fromkeys(of[0] for of in names if of and folded(of[0] or "") in nothing))
    while root := _root(names := read(leave_out=out) if out else names):
        out.append(root)
    if out:
        rule["leave_out"], why["leave_out"] = out, "no categories, or the beginning of every path"
    return Paths({"category": column}, rule, why, names, [] if ids else alone, ids)


def _levels(names: Names) -> int:
    """Return how many levels a path has, up to three. A number that stands alone is an id, which is none."""
    return 0 if len(names) == 1 and (names[0] or "").isdecimal() else min(depth_of(names), len(LEVELS))


def _root(paths: list[Names]) -> str | None:
    """Return the first name of all paths: as a level it would have a single class, and there is nothing to predict.

    That of nearly all is one too, if it says nothing.
    """
    roots = [folded(names[0] or "") for names in paths if names]
    root, count = next(iter(Counter(roots).most_common(1)), ("", 0))
    deep = sum(len(names) > 1 for names in paths)
    if not root or deep < 0.9 * count or count < len(roots) * (0.99 if root in map(folded, FACTS["roots"]) else 1):
        return None
    return next(names[0] for names in paths if names and folded(names[0] or "") == root)


def measure_levels(texts: pd.DataFrame) -> Paths | None:
    """Find three columns, or two, each of whose values mostly has one value of the column before it above it."""
    facts = measure_columns(texts).query("distinct >= 2 and unique <= 0.5 and filled >= 0.3 and length <= 60")
    few = [str(name) for name in facts[facts["letters"] >= 0.5].index[:30]]
    named = {name: re.search(_LEVEL_WORDS, "".join(tokens(name))) is not None for name in few}
    nested = dict[tuple[str, str], bool]()  # of the pairs that can be one above the other
    finer = sorted(few, key=facts["distinct"].__getitem__)
    for upper, lower in itertools.combinations(finer, 2):
        pairs = texts[[upper, lower]].value_counts()
        below = pairs.groupby(level=lower).max().sum() >= 0.95 * pairs.sum()
        if len(pairs) and (below or (named[upper] and named[lower])):
            nested[upper, lower] = bool(below)
    three = [(a, b, c) for a, b in nested for c in few if (b, c) in nested]
    chains: list[tuple[str, ...]] = [*three] or [*nested]
    if not chains:
        return None

    def likely(chain: tuple[str, ...]) -> tuple[int, ...]:
        below = sum(nested[pair] for pair in itertools.pairwise(chain))
        return below, sum(map(named.__getitem__, chain)), -sum(map(few.index, chain))

    chain = max(chains, key=likely)
    columns = dict(zip(LEVELS, (*chain, chain[-1]), strict=False))
    rows = texts[[*chain]].astype(object).where(texts[[*chain]].notna(), None)
    return Paths(columns, {}, {}, list(rows.itertuples(index=False, name=None)))
