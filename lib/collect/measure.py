"""Which columns of a table hold its category paths, and by which rule these are read, measured from what they hold."""

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from lib.collect.columns import MISSING, Column, Feed, joined, strings_of, tokens
from lib.collect.paths import CategoryRule, Names, depth_of, folded, load_ids, parting, read_paths, settle
from lib.config import LEVELS
from lib.exceptions import StudyError

FACTS: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("forms.yaml").read_text("utf-8"))

_LEADING_ID = re.compile(r"\d+\s*[-–—:]\s+(?=\S)")
MARKS = (">>", "::", "->", ">", "›", "»", "→", "＞", "|", " / ", "/", "／", "\\", ":", ";", " - ", ",")
BETWEEN = (",", "|", ";", "\n")
_LEVEL_WORDS = re.compile(
    "cat|kat|lev|lvl|ni[vl]|dep|gr[uo]+p|typ|class|se[ck]|gender|univers|rayon|rub|fam|sub|sous|unter"
)


@dataclass(frozen=True)
class Form:
    """What is known of a table before its rows are looked at."""

    name: str = "no known form"
    has: tuple[tuple[str, ...], ...] = ()
    columns: dict[str, list[str]] = field(default_factory=dict)
    no_rows: dict[str, str] = field(default_factory=dict)
    several: bool = False
    categories: dict[str, Any] = field(default_factory=dict)


def form_of(names: Iterable[str]) -> Form:
    """Return the form whose columns are all there, of several the one that names most.

    >>> form_of(["Handle", "Title", "Body (HTML)", "Vendor", "Image Src"]).name
    'Shopify (its CSV export)'
    """
    there = {joined(name) for name in names}
    forms = [Form(name, **facts) for name, facts in FACTS["forms"].items()]
    fit = [form for form in forms if all(there & set(map(joined, group)) for group in form.has)]
    return max(fit, key=lambda form: len(form.has), default=Form())


@dataclass(frozen=True)
class Paths:
    """The categories of a table: where they are, by which rule they are read, why so, and the path of each product."""

    columns: dict[str, str]
    rule: dict[str, Any]
    why: dict[str, str]
    names: list[Names]
    ids_alone: float = 0.0
    ids: Path | None = None

    @property
    def levels(self) -> float:
        """How many levels a product has, on average, up to three."""
        return sum(map(_levels, self.names)) / max(len(self.names), 1)


def is_id_alone(texts: list[str]) -> bool:
    """Say whether a cell holds the id of a category and no name."""
    return len(texts) == 1 and texts[0].isdecimal()


def likely_separator(texts: list[str], marks: Sequence[str] = MARKS) -> tuple[str, float] | None:
    """Return which of some marks parts names in most texts, and their share."""
    plain = [_LEADING_ID.sub("", text) for text in texts]
    shares = {mark: sum(_parts(text, mark) for text in plain) / max(len(plain), 1) for mark in marks}
    enough = {mark: share for mark, share in shares.items() if share >= (0.2 if mark in FACTS["arrows"] else 0.5)}
    return next(((m, share) for m, share in enough.items() if share >= 0.9 * max(enough.values())), None)


def likely_between(texts: list[str], separator: str, sure: bool = True) -> tuple[str, int] | None:
    """Return what parts several paths, and in how many texts.

    In most texts that have it, all behind it begins as some text does, or follows many different names: *Sale* does, in
    `Clothing > Shirts, Sale` and `Home > Mugs, Sale`, but not *Pans* in `Kitchen > Pots, Pans`. Where it need not be
    `sure`, one text is enough that goes on with the beginning of another.
    """
    for mark in BETWEEN:
        if mark == separator:
            continue
        paths = [[_names(part, separator) for part in parting(mark).split(text)] for text in texts]
        several = [[path for path in of if path] for of in paths if sum(map(bool, of)) > 1]
        roots = {of[0][0] for of in paths if of[0]}
        before: dict[str, set[str]] = {}
        for of in several:
            for path, behind in itertools.pairwise(of):
                before.setdefault(behind[0], set()).add(path[-1])
        free = roots | {name for name, others in before.items() if sure and len(others) > 2}
        known = sum(all(path[0] in free for path in of) for of in several)
        if known >= max(sure * 0.5 * len(several), sure * 0.02 * len(texts), 1):
            return mark, known
    return None


def _names(path: str, separator: str) -> list[str]:
    return [folded(name) for name in parting(separator).split(path) if name.strip()]


def _parts(text: str, mark: str) -> bool:
    return len(_names(text, mark)) > 1


def _ids_file(folder: Path, rule: CategoryRule, alone: list[str]) -> tuple[Path, dict[str, str]] | None:
    """Return a file beside the table that says what most of these ids stand for."""
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in (".txt", ".csv", ".tsv") and re.search("taxonom|categor|kategor", path.name.lower()):
            with suppress(StudyError):
                ids = load_ids(path, rule)
                if sum(text in ids for text in alone) > 0.5 * len(alone):
                    return path, ids
    return None


def measure_path(
    feed: Feed, column: str, form: Form, titles: list[str | None] | None = None, named: bool = True
) -> Paths:
    """Find by which rule a column's paths are read, from what it holds.

    Parameters
    ----------
    titles
        Of the products, which some sources end their paths with.
    named
        Whether the column is called like one of categories.
    """
    cells = [feed.cell(row, column) for row in feed.rows]
    strings = [strings_of(cell) for cell in cells]
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
    if any(_parts(text, fixed["separator"]) for text in texts) if fixed else False:
        rule, why = dict(fixed), dict.fromkeys(fixed, f"as {form.name} writes it")
    elif found := likely_separator(texts, [mark for mark in MARKS if named or mark not in (",", ";")]):
        rule["separator"], why["separator"] = found[0], f"parts names in {found[1]:.0%} of the cells"
    if "between" not in rule and (several := likely_between(texts, rule.get("separator", ">"))):
        rule["between"], why["between"] = several[0], f"parts several paths in {several[1]:,} cells"
    alone = [of[0] for of in strings if is_id_alone(of)]
    ids_file = _ids_file(feed.path.parent, CategoryRule(**rule), alone) if alone else None
    if ids_file:
        ids, rule["ids"] = ids_file[1], ids_file[0].name
        why["ids"] = f"{len(alone):,} products have the id of a category alone"
    if (leading := sum(_LEADING_ID.match(text) is not None for text in texts)) > 0.02 * len(texts):
        rule["leading_ids"], why["leading_ids"] = True, f"{leading:,} names begin with an id"
    names = read()
    if sum(map(_levels, deepest := read(take="deepest"))) > sum(map(_levels, names)):
        changed = sum(one != other for one, other in zip(names, deepest, strict=True))
        rule["take"], why["take"] = "deepest", f"of several paths; it is not the first one for {changed:,} products"
        names = deepest
    dropped = read(product_name="drop")
    own = sum(one != other for one, other in zip(names, dropped, strict=True))
    if own and own >= 0.01 * total:
        rule["product_name"], why["product_name"] = "drop", f"{own:,} paths end in the product's own title"
        names = dropped
    nothing = {folded(name) for name in (*FACTS["no_category"], *form.categories.get("leave_out", ()))}
    out = list(dict.fromkeys(of[0] for of in names if of and of[0] and folded(of[0]) in nothing))
    reasons = {"no categories": None} if out else {}
    names = read(leave_out=out)
    while root := _root(names):
        out, reasons = [*out, root], {**reasons, "the beginning of every path": None}
        names = read(leave_out=out)
    if out:
        rule["leave_out"], why["leave_out"] = out, ", ".join(reasons)
    unnamed = 0.0 if ids else len(alone) / max(total, 1)
    return Paths({"category": column}, rule, why, names, unnamed, ids_file[0] if ids_file else None)


def _levels(names: Names) -> int:
    """Return how many levels a path has, up to three. A number that stands alone is an id, which is none."""
    alone = len(names) == 1 and names[0] is not None and names[0].isdecimal()
    return 0 if alone else min(depth_of(names), len(LEVELS))


def _root(paths: list[Names]) -> str | None:
    """Return the first name of all paths: as a level it would have a single class, and there is nothing to predict.

    That of nearly all is one too, if it says nothing, or if it leaves them three names.
    """
    held = [names for names in paths if names]
    firsts = Counter(folded(names[0] or "") for names in held)
    root, count = next(iter(firsts.most_common(1)), ("", 0))
    if not root or count < 0.99 * len(held) or sum(len(names) > 1 for names in held) < 0.9 * count:
        return None
    complete, left = (sum(len(names) >= length for names in held) for length in (len(LEVELS), len(LEVELS) + 1))
    if count < len(held) and left < 0.9 * max(complete, 1) and root not in map(folded, FACTS["roots"]):
        return None
    return next(names[0] for names in held if folded(names[0] or "") == root)


def measure_levels(columns: Sequence[Column]) -> Paths | None:
    """Find three columns, or two, each of whose values mostly has one value of the column before it above it."""
    few = [c for c in columns if c.distinct >= 2 and c.unique <= 0.5 and c.filled >= 0.3 and c.length <= 60]
    few = [c for c in few if c.share(lambda text: any(map(str.isalpha, text))) >= 0.5][:30]
    named = {c.name: _LEVEL_WORDS.search("".join(tokens(c.name))) is not None for c in few}

    nested = dict[tuple[str, str], bool]()

    def above(upper: Column, lower: Column) -> bool:
        pairs = Counter(
            (b, a) for a, b in zip(upper.texts, lower.texts, strict=True) if a is not None and b is not None
        )
        most = dict[str, int]()
        for (value, _), count in pairs.items():
            most[value] = max(most.get(value, 0), count)
        nested[upper.name, lower.name] = sum(most.values()) >= 0.95 * max(pairs.total(), 1)
        finer = (upper.distinct, few.index(upper)) < (lower.distinct, few.index(lower))
        called = named[upper.name] and named[lower.name]
        return bool(pairs) and finer and (nested[upper.name, lower.name] or called)

    over = {(a.name, b.name) for a in few for b in few if a is not b and above(a, b)}
    chains = [
        chain
        for length in (3, 2)
        for chain in itertools.permutations(few, length)
        if all((a.name, b.name) in over for a, b in itertools.pairwise(chain))
    ]
    if not chains:
        return None

    def likely(chain: tuple[Column, ...]) -> tuple[int, ...]:
        below = sum(nested[a.name, b.name] for a, b in itertools.pairwise(chain))
        return len(chain), below, sum(named[c.name] for c in chain), -sum(map(few.index, chain))

    chain = max(chains, key=likely)
    chosen = [c.name for c in (*chain, chain[-1])[: len(LEVELS)]]
    names = [tuple(texts) for texts in zip(*(c.texts for c in chain), strict=True)]
    third = "the second again: there is no third" if len(chain) == 2 else "below the second"
    why = {"level_2": "below the first: each of its values is mostly under one of those", "level_3": third}
    return Paths(dict(zip(LEVELS, chosen, strict=True)), {}, why, names)
