"""How deep category paths are, what each choice of rule does with them, and what looks wrong in them."""

import itertools
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

import pandas as pd

from lib.collect.cells import shortened
from lib.collect.mapping import Product, TableMapping, left_out, to_product
from lib.collect.merging import merge
from lib.collect.paths import CategoryRule, Ids, Names, TooDeep, depth_of, folded, names_of, parting, to_levels
from lib.collect.rows import Row
from lib.config import LEVELS
from lib.config.base import CATEGORY_DEPTH, CATEGORY_ID, SHALLOW, Record, Reject

SEPARATORS = (">>", "::", "->", ">", "›", "»", "→", "|", "/", "\\", ":", ";", " - ", ".", ",")
BETWEEN = (",", "|", ";", "\n")
OF_PATH = {CATEGORY_DEPTH, CATEGORY_ID, SHALLOW}
"""Why a product may be rejected for its category path."""

_MOSTLY = 0.5  # of the cells have a mark, if that may be what parts them
_SAYS_NOTHING = frozenset({"nan", "null", "none", "n/a"})
_NAMED_BY_ID = re.compile(r"\d+\s*[-–—]\s+\S")


@dataclass(frozen=True)
class Survey:
    """The category paths of products.

    Attributes
    ----------
    records
        Products, each once.
    rule
        How their paths become three levels.
    max_share
        How many of them may be lost.
    noticed
        What was counted while they were read.
    """

    records: list[Record]
    rule: CategoryRule
    max_share: float = 0.05
    noticed: Counter[str] = field(default_factory=Counter)

    @cached_property
    def names(self) -> list[Names]:
        """The names of each path, however many."""
        return [names_of(record) for record in self.records]

    @cached_property
    def counts(self) -> Counter[Names]:
        """How many products have each path."""
        return Counter(self.names)

    @cached_property
    def cells(self) -> list[str]:
        """The cells with a category, as they were read, where it was a text."""
        cells = (record.origin.category for record in self.records if record.origin)
        return [cell for cell in cells if cell.strip() and not cell.lstrip().startswith(("[", "{", "("))]

    @cached_property
    def roots(self) -> Counter[str]:
        """How often each first name occurs, folded."""
        roots: Counter[str] = Counter()
        for names, count in self.counts.items():
            if names and names[0]:
                roots[folded(names[0])] += count
        return roots

    def depths(self) -> pd.DataFrame:
        """Count products by how many names their paths have, each with an example as it was read.

        Columns are `products`, `share` and `example`, and what becomes of the example (`becomes`).
        """
        counts = Counter(map(depth_of, self.names))
        examples: dict[int, tuple[str, str]] = {}
        for record, names in zip(self.records, self.names, strict=True):
            read = record.origin.category if record.origin else ""
            shown = (read or " > ".join(name or "" for name in names), self._becomes(names))
            depth = depth_of(names)
            if depth not in examples or shown < examples[depth]:
                examples[depth] = shown
        return pd.DataFrame(
            [(counts[depth], counts[depth] / len(self.records), *examples[depth]) for depth in sorted(counts)],
            columns=["products", "share", "example", "becomes"],
            index=pd.Index(sorted(counts), name="names in the path"),
        )

    def _becomes(self, names: Names) -> str:
        if isinstance(levels := self.levels(names), str):
            return levels
        return " > ".join(level or "(none)" for level in levels)

    def levels(self, names: Names) -> tuple[str | None, str | None, str | None] | str:
        """Return the three levels of a path, or the reason why its product is rejected."""
        if len(names) == 1 and names[0] and names[0].strip().isdecimal():
            return CATEGORY_ID
        if depth_of(names) < len(LEVELS) and self.rule.shallower == "drop":
            return SHALLOW
        try:
            return to_levels(names, self.rule)
        except TooDeep:
            return CATEGORY_DEPTH

    def choices(self) -> pd.DataFrame:
        """Say what each choice of `shallower` and `deeper` would do.

        Columns are `shallower`, `deeper`, `products` with three levels, `rejected` ones, different `paths`, and whether
        the stage would `stop` because too many are lost.
        """
        rows = []
        for shallower, deeper in itertools.product(("refuse", "ends_here", "repeat", "drop"), ("refuse", "cut")):
            rule = self.rule.model_copy(update={"shallower": shallower, "deeper": deeper})
            trial, paths, lost, counted = Survey([], rule), Counter[object](), 0, 0
            for names, count in self.counts.items():
                levels = trial.levels(names)
                if isinstance(levels, str) or None in levels:
                    lost += count
                    counted += count * (levels != SHALLOW)
                else:
                    paths[levels] += count
            stops = not paths or counted > self.max_share * len(self.records)
            rows.append((shallower, deeper, paths.total(), lost, len(paths), stops))
        return pd.DataFrame(rows, columns=["shallower", "deeper", "products", "rejected", "paths", "stops"])

    # What looks wrong

    def rejects(self) -> dict[int, Reject]:
        """Return the products, by their place, whose paths the rule does not take."""
        rejects = {}
        for place, (record, names) in enumerate(zip(self.records, self.names, strict=True)):
            levels = self.levels(names)
            if isinstance(levels, tuple):
                continue
            where = f"{record.origin.where}: " if record.origin and record.origin.where else ""
            shown = " > ".join(name or "" for name in names)
            if levels == CATEGORY_DEPTH:
                detail = f"its category path has {len(names)} levels, not {len(LEVELS)}: {shown}"
            elif levels == SHALLOW:
                detail = f"its category path has {depth_of(names)} levels, not {len(LEVELS)}: {shown or 'none'}"
            else:
                remedy = (
                    "is not in the file of categories.ids" if self.rule.ids else "categories.ids names a file of names"
                )
                detail = f"its category is the number {shown}, which {remedy}"
            rejects[place] = Reject(record.product_id, levels, where + detail)
        return rejects

    def notices(self) -> dict[str, int]:
        """Count what was noticed, and what looks wrong in all paths together, each with the key that changes it."""
        found = Counter(self.noticed)
        deep = any(len(names) > 1 for names in self.counts)
        if len(self.roots) == 1 and deep and len(self.names) > 1:
            root = next(name for names in self.names for name in names[:1] if name)
            found[f"paths that all begin with '{root}' (categories.leave_out: ['{root}'])"] = self.roots.total()
        if self.cells and not deep:
            text = f"paths without the separator '{self.rule.separator}', such as {shortened(min(self.cells))}"
            found[f"{text} ({self.likely_separator(self.cells) or 'categories.separator'})"] = len(self.cells)
        if several := self.several():
            mark, count, example = several
            text = f"cells that look like several paths, such as {shortened(example)}"
            found[f"{text} (categories.between: {mark!r})"] = count
        for names, count in self.counts.items():
            named = [name.strip() for name in names if name]
            if named and _NAMED_BY_ID.match(named[0]):
                found["paths that begin with an id (categories.leading_ids: true)"] += count
            if len(named) > 1 and all(map(str.isdecimal, named)):
                found["paths whose names are all numbers"] += count
            if any(folded(name) in _SAYS_NOTHING for name in named):
                found["products of a category that is called 'nan', 'null', 'none' or 'n/a' (missing)"] += count
        return {text: count for text, count in sorted(found.items()) if count}

    def likely_separator(self, cells: list[str]) -> str | None:
        """Name the mark that most cells have, as the key that would use it."""
        for mark in SEPARATORS:
            count = sum(parting(mark).search(cell.strip()) is not None for cell in cells)
            if count and count >= _MOSTLY * len(cells):
                return f"categories.separator: {mark!r} occurs in {count:,} of {len(cells):,}"
        return None

    def several(self) -> tuple[str, int, str] | None:
        """Find what parts several paths in a cell, if that is not said: a first name behind a mark in a name."""
        if self.rule.between is not None:
            return None
        for mark in BETWEEN:
            looks = set()
            for names in self.counts:
                for place, name in enumerate(names):
                    parts = [folded(part) for part in parting(mark).split(name or "")]
                    known = all(part in self.roots for part in parts) if not place else parts[-1] in self.roots
                    if len(parts) > 1 and known:
                        looks.add(names)
                        break
            if looks:
                example = min(" > ".join(name or "" for name in names) for names in looks)
                return mark, sum(self.counts[names] for names in looks), example
        return None

    def incomplete(self) -> int:
        """Count the products that are not rejected, and lack a level."""
        levels = ((self.levels(names), count) for names, count in self.counts.items())
        return sum(count for found, count in levels if isinstance(found, tuple) and None in found)

    def explain(self) -> list[str]:
        """Say in lines of a message how deep the paths are, with samples as read, and which keys would help."""
        depths = self.depths()
        lines = ["  names in a path | products | such as"]
        lines += [f"  {n:>15} | {row['products']:>8,} | {shortened(row['example'])}" for n, row in depths.iterrows()]
        if self.cells:
            lines.append(f"The separator in use is {self.rule.separator!r} (categories.separator).")
            apart = parting(self.rule.separator)
            likely = self.likely_separator([cell for cell in self.cells if not apart.search(cell)])
            lines += [f"Of the paths without it, {likely}."] if likely else []
            if self.rule.between is None:
                lines.append("`categories.between` parts several paths in one cell.")
        if self.rule.shallower == "refuse" and any(0 < depth < len(LEVELS) for depth in depths.index):
            lines.append("`categories.shallower` says what becomes of fewer names: `ends_here`, `repeat` or `drop`.")
        if self.rule.deeper == "refuse" and depths.index.max() > len(LEVELS):
            lines.append("`categories.deeper: cut` takes the first three of more names.")
        return lines


def survey(
    rows: Iterable[Row | Reject], mapping: TableMapping, ids: Ids | None = None, max_share: float = 0.05
) -> Survey:
    """Return a survey of a table's rows, of which those of one id are merged.

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
    items = [
        to_product(row, mapping, ids, notices) for row in rows if isinstance(row, Row) and not left_out(row, mapping)
    ]
    products, _ = merge((item for item in items if isinstance(item, Product)), notices)
    return Survey([record for record, _ in products], mapping.categories, max_share, notices)
