"""How deep category paths are, what each choice of rule does with them, and what looks wrong in them."""

import itertools
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import pandas as pd

from lib.collect.cells import shortened
from lib.collect.mapping import Product, TableMapping, left_out, to_product
from lib.collect.merging import merge
from lib.collect.paths import (
    WHOLE_NUMBER,
    Categories,
    CategoryRule,
    Ids,
    Names,
    TooDeep,
    depth_of,
    folded,
    names_of,
    parting,
    to_levels,
)
from lib.collect.rows import Row
from lib.config import LEVELS
from lib.config.base import CATEGORY_DEPTH, CATEGORY_ID, PHOTO, REPEATED_ID, SHALLOW, Record, Reject
from lib.exceptions import StudyError

OF_PATH = {CATEGORY_DEPTH, CATEGORY_ID, SHALLOW}
"""Why a product may be rejected for its category path."""

SEPARATORS = (">>", "::", "->", ">", "›", "»", "→", "＞", "|", "/", "／", "\\", ":", ";", " - ", ".", ",")
BETWEEN = (",", "|", ";", "\n")
_SELDOM_IN_NAMES = 11  # of the separators: the only hints where some paths are parted by the one in use
_MOSTLY = 0.5  # of the cells have a mark, if that may be what parts them
_SAYS_NOTHING = frozenset({"nan", "null", "none", "n/a"})
_BEGINS_WITH_ID = re.compile(r"\d+\s*[-–—]\s+\S")


def shown(names: Names) -> str:
    """Show a path in a message."""
    return " > ".join(name or "" for name in names)


@dataclass(frozen=True)
class Survey:
    """The category paths of products.

    Attributes
    ----------
    names
        The names of each product's path, however many.
    cells
        The cell of each as it was read; empty where the levels stand in columns of their own.
    rule
        How paths become three levels.
    max_share
        How many products may be lost.
    noticed
        What was counted while they were read.
    """

    names: list[Names]
    cells: list[str]
    rule: CategoryRule
    max_share: float
    noticed: Counter[str]

    @classmethod
    def of(cls, records: Iterable[Record], rule: CategoryRule, max_share: float, noticed: Counter[str]) -> Self:
        """Survey products, each of which is there once."""
        found = [(names_of(record), record.origin.category if record.origin else "") for record in records]
        return cls([names for names, _ in found], [cell for _, cell in found], rule, max_share, noticed)

    @cached_property
    def counts(self) -> Counter[Names]:
        """How many products have each path."""
        return Counter(self.names)

    @cached_property
    def texts(self) -> list[tuple[str, Names]]:
        """The cells that are no lists, with their names."""
        found = zip(self.cells, self.names, strict=True)
        return [
            (cell, names) for cell, names in found if cell.strip() and not cell.lstrip().startswith(("[", "{", "("))
        ]

    @cached_property
    def whole(self) -> list[str]:
        """The cells that the separator does not part, though they are no lists."""
        apart = parting(self.rule.separator)
        return [cell.strip() for cell, _ in self.texts if not apart.search(cell)]

    def levels(self, names: Names) -> Categories | str:
        """Return the three levels of a path, or the reason why its product is rejected."""
        if len(names) == 1 and WHOLE_NUMBER.fullmatch((names[0] or "").strip()):
            return CATEGORY_ID
        if depth_of(names) < len(LEVELS) and self.rule.shallower == "drop":
            return SHALLOW
        try:
            return to_levels(names, self.rule)
        except TooDeep:
            return CATEGORY_DEPTH

    def rejects(self, records: list[Record]) -> dict[int, Reject]:
        """Return the products, by their place, whose paths the rule does not take."""
        rejects = {}
        for place, (record, names) in enumerate(zip(records, self.names, strict=True)):
            reason = self.levels(names)
            if not isinstance(reason, str):
                continue
            if reason == CATEGORY_ID:
                known = "does not name" if self.rule.ids else "could give a name"
                problem = f"its category is the number {shown(names)}, which `categories.ids` {known}"
            else:
                depth = len(names) if reason == CATEGORY_DEPTH else depth_of(names)
                problem = f"its category path has {depth} levels, not {len(LEVELS)}: {shown(names) or 'none'}"
            where = f"{record.origin.where}: " if record.origin and record.origin.where else ""
            rejects[place] = Reject(record.product_id, reason, where + problem)
        return rejects

    # Tables

    def depths(self) -> pd.DataFrame:
        """Count products by how many names their paths have.

        Columns are `products`, their `share`, an `example` as it was read, and what it `becomes` by the rule.
        """
        counts = Counter(map(depth_of, self.names))
        examples: dict[int, tuple[str, Names]] = {}
        for cell, names in zip(self.cells, self.names, strict=True):
            found = (cell or shown(names), names)
            depth = depth_of(names)
            examples[depth] = min(examples.get(depth, found), found, key=lambda example: example[0])
        rows = []
        for depth in sorted(counts):
            example, names = examples[depth]
            levels = self.levels(names)
            becomes = levels if isinstance(levels, str) else " > ".join(level or "(none)" for level in levels)
            rows.append((counts[depth], counts[depth] / len(self.names), example, becomes))
        index = pd.Index(sorted(counts), name="names in the path")
        return pd.DataFrame(rows, columns=["products", "share", "example", "becomes"], index=index)

    def choices(self) -> pd.DataFrame:
        """Say what each choice of `shallower` and `deeper` would do.

        Columns are the two, how many `products` have three levels then, how many are `rejected`, how many different
        `paths` there are, and whether the stage `stops` because too many are lost.
        """
        rows = []
        for shallower, deeper in itertools.product(("refuse", "ends_here", "repeat", "drop"), ("refuse", "cut")):
            rule = self.rule.model_copy(update={"shallower": shallower, "deeper": deeper})
            trial = Survey([], [], rule, self.max_share, Counter())
            paths, lost, counted = set(), 0, 0
            for names, count in self.counts.items():
                levels = trial.levels(names)
                if isinstance(levels, str) or None in levels:
                    lost += count
                    counted += count * (levels != SHALLOW)
                else:
                    paths.add(levels)
            stops = not paths or counted > self.max_share * len(self.names)
            rows.append((shallower, deeper, len(self.names) - lost, lost, len(paths), stops))
        return pd.DataFrame(rows, columns=["shallower", "deeper", "products", "rejected", "paths", "stops"])

    # What looks wrong

    def notices(self) -> dict[str, int]:
        """Count what was noticed, and what looks wrong in all paths together, each with the key that changes it."""
        found = Counter(self.noticed)
        deep = any(len(names) > 1 for names in self.counts)
        roots = {folded(name or ""): name for names in self.counts for name in names[:1]}
        if len(roots) == 1 and deep and len(self.names) > 1:
            (root,) = roots.values()
            found[f"paths that all begin with '{root}' (categories.leave_out: ['{root}'])"] = len(self.names)
        likely = self.likely_separator
        if self.whole and (likely or not deep):
            text = f"paths without the separator {self.rule.separator!r}, such as {shortened(min(self.whole))}"
            found[f"{text} ({likely or 'categories.separator'})"] = len(self.whole)
        if several := self.several:
            mark, count, example = several
            text = f"cells that look like several paths, such as {shortened(example)}"
            found[f"{text} (categories.between: {mark!r})"] = count
        for names, count in self.counts.items():
            named = [name.strip() for name in names if name]
            if named and _BEGINS_WITH_ID.match(named[0]):
                found["paths that begin with an id (categories.leading_ids: true)"] += count
            if len(named) > 1 and all(map(str.isdecimal, named)):
                found["paths whose names are all numbers"] += count
            if any(folded(name) in _SAYS_NOTHING for name in named):
                found["products of a category that is called 'nan', 'null', 'none' or 'n/a' (missing)"] += count
        return {text: count for text, count in sorted(found.items()) if count}

    @cached_property
    def likely_separator(self) -> str | None:
        """The mark that most cells have which lack the one in use."""
        for mark in SEPARATORS if len(self.whole) == len(self.texts) else SEPARATORS[:_SELDOM_IN_NAMES]:
            count = sum(parting(mark).search(cell) is not None for cell in self.whole)
            if count and count >= _MOSTLY * len(self.whole):
                return f"categories.separator: {mark!r} would part {count:,} of {len(self.whole):,}"
        return None

    @cached_property
    def several(self) -> tuple[str, int, str] | None:
        """What parts several paths in a cell, if that is not said: in a name, a first name stands behind it.

        The mark, how many products have such a path, and one of these.
        """
        written = {names for _, names in self.texts}
        begin = {name or "" for names in written for name in names[:1]}.union(self.rule.leave_out)
        for mark in BETWEEN if self.rule.between is None else ():
            looks, roots = [], {folded(name) for root in begin for name in (root, parting(mark).split(root)[0])}
            for names in written:
                parts = [[folded(part) for part in parting(mark).split(name or "")] for name in names]
                inner = any(len(part) > 1 and part[-1] in roots for part in parts[1:])
                if inner or (parts and len(parts[0]) > 1 and roots.issuperset(parts[0])):
                    looks.append(names)
            if looks:
                return mark, sum(self.counts[names] for names in looks), min(map(shown, looks))
        return None

    def incomplete(self) -> int:
        """Count the products that are not rejected, and lack a level."""
        levels = ((self.levels(names), count) for names, count in self.counts.items())
        return sum(count for found, count in levels if not isinstance(found, str) and None in found)

    def explain(self) -> list[str]:
        """Say in lines of a message how deep the paths are, with samples as read, and which keys would help."""
        depths = self.depths()
        lines = ["  names in a path | products | such as"]
        lines += [f"  {n:>15} | {row['products']:>8,} | {shortened(row['example'])}" for n, row in depths.iterrows()]
        if self.texts:
            parted = len(self.texts) - len(self.whole)
            lines.append(
                f"`categories.separator: {self.rule.separator!r}` parts {parted:,} of {len(self.texts):,} paths."
            )
            if likely := self.likely_separator:
                lines.append(f"{likely} of the others.")
            if self.rule.between is None and (depths.index.max() > len(LEVELS) or self.several):
                lines.append("`categories.between` would part several paths in one cell.")
        if self.rule.shallower == "refuse" and any(0 < depth < len(LEVELS) for depth in depths.index):
            lines.append("`categories.shallower` says what becomes of fewer names: `ends_here`, `repeat` or `drop`.")
        if self.rule.deeper == "refuse" and depths.index.max() > len(LEVELS):
            lines.append("`categories.deeper: cut` takes the first three of more names.")
        if 0 in depths.index and self.rule.shallower != "drop":
            lines.append(
                "A product without any category is never filled: `categories.shallower: drop` leaves it out, or else "
                "a larger clean.max_reject_share does."
            )
        return lines


def survey(
    rows: Iterable[Row | Reject], mapping: TableMapping, ids: Ids | None = None, max_share: float = 0.05
) -> Survey:
    """Survey a table's rows, of which those of one id are merged.

    Parameters
    ----------
    rows
        All of them, or the first.
    mapping, ids
        As in `lib.collect.mapping.to_product`.
    max_share
        How many products may be lost.
    """
    notices: Counter[str] = Counter()
    wanted = (row for row in rows if isinstance(row, Row) and not left_out(row, mapping))
    items = (to_product(row, mapping, ids, notices) for row in wanted)
    products, _ = merge((item for item in items if isinstance(item, Product)), notices)
    return Survey.of((record for record, _ in products), mapping.categories, max_share, notices)


def refuse_too_many(name: str, rejects: list[Reject], survey: Survey) -> None:
    """See that there are products and not too many are lost; a lost photo does not cost its product.

    Raises
    ------
    StudyError
        If not, with what was found, samples of it, and the keys that would help.
    """
    found, max_share = len(survey.names), survey.max_share
    lost = [reject for reject in rejects if not reject.reason.startswith(PHOTO) and reject.reason != SHALLOW]
    count = found + sum(reject.reason not in OF_PATH for reject in lost)
    if not count:
        raise StudyError(f"The source of the catalogue '{name}' holds no product.")
    kept, incomplete = found - sum(reject.reason in OF_PATH for reject in rejects), survey.incomplete()
    about_paths, several = True, survey.several
    if len(lost) > max_share * count:
        about_paths = any(reject.reason in OF_PATH for reject in lost)
        lines = [
            f"{len(lost):,} of {count:,} records of the catalogue '{name}' were rejected, more than the "
            f"{max_share:.2%} that params.yaml allows (clean.max_reject_share):"
        ]
        reasons = Counter(reject.reason for reject in lost)
        for reason, number in sorted(reasons.items()):
            example = min(reject.detail for reject in lost if reject.reason == reason)
            lines.append(f"  {reason}: {number:,}, such as {example}")
        if REPEATED_ID in reasons:
            lines.append("`leave_out_rows` leaves out rows by a column; another `columns.id` would tell them apart.")
    elif not kept or incomplete > max_share * kept:
        lacking = incomplete if kept else found
        lines = [
            f"The catalogue '{name}' has {lacking:,} of {found:,} products without a complete category path. "
            f"Expected at most {max_share:.1%} (clean.max_reject_share), found {lacking / found:.1%}."
        ]
    elif several and several[1] > max_share * kept:
        lines = [
            f"The catalogue '{name}' seems to have several category paths in a cell. If these are names, let "
            "`categories.between` be a character that is in none of them, such as '~'."
        ]
    else:
        return
    lines += survey.explain() if about_paths else []
    lines += [f"Noticed: {number:,} {text}." for text, number in survey.notices().items()]
    raise StudyError("\n".join(lines))
