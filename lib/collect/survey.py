"""How deep category paths are, what each choice of rule does with them, and what looks wrong in them."""

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import pandas as pd

from lib.collect.cells import shortened
from lib.collect.mapping import TableMapping
from lib.collect.paths import (
    LEADING_ID,
    WITHOUT_LEVEL,
    CategoryRule,
    Names,
    depth_of,
    folded,
    names_of,
    parting,
    problem_of,
    shown,
    to_levels,
    unescaped,
)
from lib.config import LEVELS
from lib.config.base import CATEGORY_DEPTH, CATEGORY_ID, PHOTO, REPEATED_ID, SHALLOW, Record, Reject
from lib.exceptions import StudyError

OF_PATH = {CATEGORY_DEPTH, CATEGORY_ID, SHALLOW, WITHOUT_LEVEL}
"""What may be wrong with the category path of a product."""

MISSING = frozenset(map(folded, TableMapping.model_fields["missing"].default))
MARKS = (">>", "::", "->", ">", "›", "»", "→", "＞", "|", " / ", "/", "／", "\\", ":", ";", " - ", ",")
"""What may part the names of a path, likelier ones first."""

_BETWEEN = (",", "|", ";", "\n")
_ARROWS = (">>", "->", ">", "›", "»", "→", "|")  # part names wherever they stand; others count if most paths have them
_SELDOM_IN_NAMES = MARKS[: MARKS.index("/") + 1]  # the only hints where the separator parts some paths
_BEGINS_WITH_ID = re.compile(r"\d+(\s*[-–—]\s+\S|$)")
_CELL = 60  # characters of a cell that a table shows


def share_parted(texts: list[str], mark: str) -> float:
    """Return in which share of texts a mark parts names."""
    return sum(len(_names(LEADING_ID.sub("", text), mark)) > 1 for text in texts) / max(len(texts), 1)


def likely_separator(texts: list[str], marks: Sequence[str] = MARKS) -> tuple[str, float] | None:
    """Return which of some marks parts names in most texts, and their share."""
    shares = {mark: share_parted(texts, mark) for mark in marks}
    enough = {mark: share for mark, share in shares.items() if share >= (0.2 if mark in _ARROWS else 0.5)}
    return next(((m, share) for m, share in enough.items() if share >= 0.9 * max(enough.values())), None)


def likely_between(texts: list[str], separator: str, sure: bool = True) -> tuple[str, int] | None:
    """Return what parts several paths, and in how many texts.

    In most texts that have it, all behind it begins as some text does, or follows many different names: *Sale* does, in
    `Clothing > Shirts, Sale` and `Home > Mugs, Sale`, but not *Pans* in `Kitchen > Pots, Pans`. Where it need not be
    `sure`, one text is enough that goes on with the beginning of another.
    """
    for mark in _BETWEEN:
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
        found = zip((unescaped(cell).strip() for cell in self.cells), self.names, strict=True)
        return [(cell, names) for cell, names in found if cell and cell[0] not in "[{("]

    @cached_property
    def whole(self) -> list[str]:
        """The cells that the separator does not part, though they are no lists."""
        return [cell for cell, _ in self.texts if not parting(self.rule.separator).search(cell)]

    def problems(self, records: list[Record]) -> dict[int, Reject]:
        """Return the products, by their place, of whose paths the rule does not make three levels."""
        found = {}
        for place, (record, names) in enumerate(zip(records, self.names, strict=True)):
            reason, detail = problem_of(names, self.rule)
            if reason:
                where = f"{record.origin.where}: " if record.origin and record.origin.where else ""
                found[place] = Reject(record.product_id, reason, where + detail)
        return found

    def depths(self) -> pd.DataFrame:
        """Count products by how many names their paths have.

        Columns are `products`, their `share`, an `example` as it was read, and what it `becomes` by the rule.
        """
        examples = [cell or shown(names) for cell, names in zip(self.cells, self.names, strict=True)]
        table = pd.DataFrame({"depth": map(depth_of, self.names), "example": examples, "names": self.names})
        first = table.sort_values(["depth", "example"]).drop_duplicates("depth").set_index("depth")
        products = table["depth"].value_counts().reindex(first.index)
        becomes = [
            " > ".join(level or "(none)" for level in to_levels(names, self.rule))
            if (reason := problem_of(names, self.rule)[0]) in ("", WITHOUT_LEVEL)
            else reason
            for names in first["names"]
        ]
        columns = {"products": products, "share": products / len(table), "example": first["example"]}
        return pd.DataFrame(columns | {"becomes": becomes}).rename_axis("names in the path")

    def choices(self) -> pd.DataFrame:
        """Say what each choice of `shallower` and `deeper` would do.

        Columns are the two, how many `products` have three levels then, how many are `rejected`, how many different
        `paths` there are, and whether the stage `stops` because too many are lost.
        """
        rows = []
        for shallower, deeper in itertools.product(("refuse", "ends_here", "repeat", "drop"), ("refuse", "cut")):
            rule = self.rule.model_copy(update={"shallower": shallower, "deeper": deeper})
            reasons, paths = Counter[str](), set[Names]()
            for names, count in self.counts.items():
                reason, _ = problem_of(names, rule)
                reasons[reason] += count
                paths |= set() if reason else {to_levels(names, rule)}
            lost = len(self.names) - reasons[""]
            stops = not paths or lost - reasons[SHALLOW] > self.max_share * len(self.names)
            rows.append((shallower, deeper, reasons[""], lost, len(paths), stops))
        return pd.DataFrame(rows, columns=["shallower", "deeper", "products", "rejected", "paths", "stops"])

    def tables(self) -> list[str]:
        """Say in lines how deep the paths are, and, if some have not three levels, what each choice would do."""
        tables = {"How many names category paths have:": self.depths().reset_index()}
        if any(depth_of(names) != len(LEVELS) for names in self.counts):
            choices = self.choices()
            chosen = (choices["shallower"] == self.rule.shallower) & (choices["deeper"] == self.rule.deeper)
            choices["chosen"] = chosen.map({True: "<-", False: ""})
            tables["What becomes of other depths (categories.shallower and .deeper):"] = choices
        lines = []
        for title, table in tables.items():
            text = table.to_string(index=False, max_colwidth=_CELL, float_format="{:.1%}".format)
            lines += ["", title, *(f"  {row.rstrip()}" for row in text.splitlines())]
        return lines

    def notices(self) -> dict[str, int]:
        """Count what was noticed, and what looks wrong in all paths together, each with the key that changes it."""
        found = Counter(self.noticed)
        deep = any(len(names) > 1 for names in self.counts)
        roots = {folded(name or ""): name for names in self.counts for name in names[:1]}
        if len(roots) == 1 and deep and len(self.names) > 1:
            (root,) = roots.values()
            found[f"paths that all begin with '{root}' (categories.leave_out: ['{root}'])"] = len(self.names)
        likely = likely_separator(self.whole, MARKS if len(self.whole) == len(self.texts) else _SELDOM_IN_NAMES)
        if self.whole and (likely or not deep):
            text = f"paths without the separator {self.rule.separator!r}, such as {shortened(min(self.whole))}"
            would = f": {likely[0]!r} would part {likely[1]:.0%} of them" if likely else ""
            found[f"{text} (categories.separator{would})"] = len(self.whole)
        if several := self.several:
            text = f"cells that look like several paths, such as {shortened(several[2])}"
            found[f"{text} (categories.between: {several[0]!r})"] = several[1]
        for names, count in self.counts.items():
            if names and _BEGINS_WITH_ID.match(names[0] or ""):
                found["paths that begin with an id (categories.leading_ids: true, or categories.ids)"] += count
            if any(folded(name or "") in MISSING for name in names):
                found["products of a category whose name says nothing, such as 'nan' (missing)"] += count
        return {text: count for text, count in sorted(found.items()) if count}

    @cached_property
    def several(self) -> tuple[str, int, str] | None:
        """What seems to part several paths in a cell, if that is not said; in how many cells, and one of these."""
        cells = [cell for cell, _ in self.texts] if self.rule.between is None else []
        if found := likely_between(cells, self.rule.separator, sure=False):
            return found[0], found[1], min(cell for cell in cells if parting(found[0]).search(cell))
        return None


def refuse_too_many(name: str, rejects: list[Reject], survey: Survey) -> None:
    """See that there are products, and that not too many are rejected or lack a level.

    Parameters
    ----------
    name
        Of the catalogue.
    rejects
        All, and those products whose path has not all levels. A lost photo does not cost its product.

    Raises
    ------
    StudyError
        If not, with what was found, samples of it, and the keys that would help.
    """
    kept = len(survey.names) - sum(reject.reason in OF_PATH for reject in rejects)
    rejects = [reject for reject in rejects if not reject.reason.startswith(PHOTO)]
    lost = [reject for reject in rejects if not (kept and reject.reason == SHALLOW)]
    count = len(survey.names) + sum(reject.reason not in OF_PATH for reject in lost)
    if not count:
        raise StudyError(f"The source of the catalogue '{name}' holds no product.")
    if len(lost) > survey.max_share * count:
        lines = [
            f"{len(lost):,} of {count:,} records of the catalogue '{name}' are rejected or lack a category, more than "
            f"the {survey.max_share:.2%} that params.yaml allows (clean.max_reject_share):"
        ]
        lost.sort(key=lambda reject: (reject.reason, reject.detail))
        for reason, group in itertools.groupby(lost, key=lambda reject: reject.reason):
            first, *others = group
            lines.append(f"  {reason}: {1 + len(others):,}, such as {first.detail}")
    elif survey.several and survey.several[1] > survey.max_share * kept:
        lines = [
            f"The catalogue '{name}' seems to have several category paths in a cell. If these are names, let "
            "`categories.between` be a character that is in none of them, such as '~'."
        ]
    else:
        return
    if () in survey.counts or any(reject.reason == REPEATED_ID for reject in lost):
        lines.append(
            "`leave_out_rows` leaves out rows by a column. Variants of a product are merged if they share "
            "`columns.id`, and another `columns.id` tells products apart. `python -m lib.check --source` proposes both."
        )
    if survey.texts:
        parted = f"{len(survey.texts) - len(survey.whole):,} of {len(survey.texts):,} paths"
        lines.append(f"`categories.separator: {survey.rule.separator!r}` parts {parted}.")
    lines += [f"Noticed: {number:,} {text}." for text, number in survey.notices().items()]
    raise StudyError("\n".join([*lines, *survey.tables()]))
