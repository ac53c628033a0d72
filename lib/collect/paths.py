"""From a cell to a category path, and from a path of any depth to three levels.

A cell may hold one path or several, as text, as a list of names, a list of paths, or by the ids of categories.
"""

import csv
import html
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from lib.collect.cells import in_language, opened, shortened, text_of
from lib.collect.rows import Inside, present
from lib.config import LEVELS, Strict
from lib.config.base import CATEGORY_DEPTH, CATEGORY_ID, ENDS_HERE, SHALLOW, Record
from lib.exceptions import StudyError

Names = tuple[str | None, ...]
"""The names of a path, the first level first; None is a gap."""
Ids = Mapping[str, str]

Mark = Annotated[str, Field(min_length=1)]

MEANINGLESS = "cells and category names that say nothing (missing)"
WITHOUT_LEVEL = "incomplete category path"
"""Why a product that is collected will be left out when it is cleaned."""

_MAX_ESCAPES = 3  # times that entities may have been escaped
_BROKEN_LIST = re.compile(r"[\[{]+\s*[\"'{]|\{\s*\d")
_ESCAPED = re.compile(r"\\(?=[,;|/>»›])")
LEADING_ID = re.compile(r"(\d+)\s*[-–—:]\s+(?=\S)")
WHOLE_NUMBER = re.compile(r"(\d+)(?:\.0+)?")
_ID_LINE = re.compile(r"^([^\s,;\"]+)\s+-\s+(?=\S)")


class CategoryRule(Strict):
    """How a category path becomes three levels.

    Attributes
    ----------
    separator
        Parts the names of a path that is one text, in which entities are resolved. Blanks around it are no part of the
        names. A backslash before it makes it a part of a name.
    between
        Parts the paths of a cell that holds several.
    take
        Which of several paths is taken: the first, the deepest (of equally deep ones the first), or what all of them
        begin with.
    leave_out
        Names that are no category, such as *Home*, wherever they stand.
    leading_ids
        Names begin with an id, as in *2169 - Home*, which is taken away.
    ids
        A file, below the source, that says which path an id stands for.
    product_name
        What is done with a last name that is the product's title.
    deeper, shallower
        What becomes of a path with more than three names, or fewer. The latter is refused, its product rejected
        (`drop`), or it is filled: by its last name, or by a class of its own. One without any name is never filled.
    """

    separator: Mark = ">"
    between: Mark | None = None
    take: Literal["first", "deepest", "longest_common"] = "first"
    leave_out: tuple[str, ...] = ()
    leading_ids: bool = False
    ids: Inside | None = None
    product_name: Literal["keep", "drop"] = "keep"
    deeper: Literal["refuse", "cut"] = "refuse"
    shallower: Literal["refuse", "ends_here", "repeat", "drop"] = "refuse"


# Cells


def read_paths(value: Any, rule: CategoryRule, ids: Ids, column: str, language: str | None = None) -> list[list[str]]:
    r"""Return the paths of a cell, each as its names.

    Parameters
    ----------
    value
        The cell.
    ids
        The path of each category, if the rule names a file of them.
    column
        Its name, for messages.

    Raises
    ------
    ValueError
        If there are no paths to be found in it.

    Examples
    --------
    >>> several = CategoryRule(separator=">>", between=",")
    >>> read_paths("Home &gt;&gt; Mugs\\, Cups, Sale", several, {}, "category")
    [['Home', 'Mugs, Cups'], ['Sale']]
    >>> read_paths("['Home', 'Mugs']", CategoryRule(), {}, "category")
    [['Home', 'Mugs']]
    >>> read_paths([{"id": "7", "name": "Home"}, {"id": "9", "name": "Mugs"}], CategoryRule(), {}, "category")
    [['Home', 'Mugs']]
    >>> read_paths([["Home", "Mugs"], ["Sale"]], CategoryRule(), {}, "category")
    [['Home', 'Mugs'], ['Sale']]
    >>> read_paths("212", CategoryRule(), {"212": "Home > Mugs"}, "category")
    [['Home', 'Mugs']]
    """
    value = opened(value)
    if isinstance(value, str):
        value = opened(unescaped(text_of(value, column) or ""))
    if isinstance(value, tuple) and len(value) > 1:  # what a page's breadcrumbs are called
        return [[_named(text_of(name, column) or "", rule, ids) for name in value]]
    if not isinstance(value, list | tuple):
        text = text_of(value, column, language) or ""
        if _BROKEN_LIST.match(text):
            raise ValueError(f"'{column}' begins as a list and cannot be read as one: {shortened(text)}")
        return _parted(text, rule, ids)
    members = [opened(member) for member in in_language(value, language) if member is not None]
    if any(isinstance(member, list | tuple) for member in members):
        return [path for member in members for path in read_paths(member, rule, ids, column, language)]
    texts = [found for member in members if (found := text_of(member, column, language)) is not None]
    paths = [path for text in texts for path in _parted(text, rule, ids)]
    if all(len(path) == 1 for path in paths) and not (ids and all(_id(text) in ids for text in texts)):
        return [[_named(text, rule, ids) for text in texts]]
    return paths


def _parted(text: str, rule: CategoryRule, ids: Ids) -> list[list[str]]:
    """Part a text into paths, and these into names."""
    text, parts = unescaped(text), []
    for part in [text] if rule.between is None else parting(rule.between).split(text):
        path = ids.get(_id(part), part)
        # The file of ids may be Google's own, whatever the table is written with.
        mark = rule.separator if path is part or rule.separator.strip() in path else ">"
        parts.append([_named(name, rule, ids) for name in parting(mark).split(path)])
    return parts


def unescaped(text: str) -> str:
    """Resolve entities, which may have been escaped themselves."""
    for _ in range(_MAX_ESCAPES):
        text = html.unescape(text)
    return text


def _id(text: str) -> str:
    text = text.strip()
    return found[1] if (found := WHOLE_NUMBER.fullmatch(text)) else text


def _named(name: str, rule: CategoryRule, ids: Ids) -> str:
    name = unescaped(_ESCAPED.sub("", name)).strip()
    if (found := LEADING_ID.match(name)) and (rule.leading_ids or found[1] in ids):
        return name[found.end() :].strip()
    return name


@lru_cache
def parting(mark: str) -> re.Pattern[str]:
    r"""Return what finds a mark that stands between names, unless a backslash is before it.

    Blanks around the mark are no part of it where it is made of arrows or bars; a slash with blanks around it is
    another mark than one without.

    >>> parting(" > ").split("Home>Mugs"), parting(" / ").split("TV/Video / Cables /")
    (['Home', 'Mugs'], ['TV/Video ', ' Cables ', ''])
    """
    mark = html.unescape(mark)
    core = mark.strip()
    if not core:
        return re.compile(re.escape(mark))
    loose = re.fullmatch("[>›»→＞|:;,<‹«←]+", core) is not None
    before = "" if loose or not mark[0].isspace() else r"(?:(?<=\s)|^)"
    after = "" if loose or not mark[-1].isspace() else r"(?=\s|$)"
    return re.compile(rf"{before}(?<!\\){re.escape(core)}{after}")


def load_ids(path: Path, rule: CategoryRule) -> dict[str, str]:
    """Read which path an id stands for, from lines `ID - PATH`, or from CSV or TSV with the id first.

    Raises
    ------
    StudyError
        If the file is missing, or holds nothing of this form.
    """
    try:
        text = present(path).read_text("utf-8-sig")
    except (OSError, UnicodeError) as error:
        raise StudyError(f"{path} (categories.ids) cannot be read as UTF-8: {error}.") from error
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    lines = [_ID_LINE.sub(r"\1\t", line.strip(), count=1) for line in lines]
    delimiter = max("\t;,", key=lambda mark: sum(mark in line for line in lines))
    mark = rule.separator.strip() or rule.separator  # levels may stand in cells of their own
    ids = {
        _id(key): f" {mark} ".join(names)
        for key, *cells in csv.reader(lines, delimiter=delimiter)
        if key.strip() and (names := [cell.strip() for cell in cells if cell.strip()])
    }
    if not ids:
        raise StudyError(
            f"{path} (categories.ids) should say which path an id stands for, in lines such as `212 - Home > Kitchen` "
            f"or `212,Home > Kitchen`. Its first line is {shortened(lines[0] if lines else '')}."
        )
    return ids


# Paths


def settle(
    paths: Sequence[Sequence[str]],
    rule: CategoryRule,
    missing: Collection[str],
    title: str | None,
    notices: Counter[str],
) -> Names:
    """Take one of the paths, without what is no category, and count what was noticed."""
    left_out = {folded(name) for name in rule.leave_out}
    kept: dict[Names, None] = {}
    for path in paths:
        names = [None if folded(name) in missing else name for name in path if name.strip()]
        notices[MEANINGLESS] += names.count(None)
        names = [name for name in names if name is None or folded(name) not in left_out]
        while names and names[-1] is None:
            names.pop()
        if names and title and _is_title(names[-1] or "", title):
            own = f"category paths that end in the product's own title (categories.product_name: {rule.product_name})"
            notices[own] += 1
            names = names[:-1] if rule.product_name == "drop" else names
        if names:
            kept[tuple(names)] = None
    first = next(iter(kept), ())
    if len(kept) > 1:
        text = "category paths that were not taken, of products with several (categories.take: {})"
        notices[text.format(rule.take)] += len(kept) - 1
    if rule.take == "longest_common":
        same = [len({folded(name or "") for name in names}) == 1 for names in zip(*kept, strict=False)]
        return first[: [*same, False].index(False)]
    return max(kept, key=len, default=()) if rule.take == "deepest" else first


def folded(text: str) -> str:
    r"""Return a text without regard to letter case and blanks.

    >>> folded("  Home  &\n garden")
    'home & garden'
    """
    return " ".join(text.split()).casefold()


def _is_title(name: str, title: str) -> bool:
    """Compare a category's name with a title; some exports shorten the former."""
    name, title = folded(name), folded(unescaped(title))
    stem = name.removesuffix("…").removesuffix("...").rstrip()
    return name == title or (stem != name and len(stem) > 10 and title.startswith(stem))


def names_of(record: Record) -> Names:
    """Return the names of a product's category path, however many."""
    return record.origin.names if record.origin else (record.level_1, record.level_2, record.level_3)


def shown(names: Names) -> str:
    """Show a path in a message."""
    return " > ".join(name or "" for name in names)


def depth_of(names: Names) -> int:
    """Return how many levels a path has before it ends, or has a gap."""
    return [*names, None].index(None)


def to_levels(names: Names, rule: CategoryRule) -> Names:
    """Return the three levels of a path; what a shallower one lacks, and is not filled, is None.

    Examples
    --------
    >>> to_levels(("Women", "Shoes"), CategoryRule())
    ('Women', 'Shoes', None)
    >>> to_levels(("Women", "Shoes"), CategoryRule(shallower="ends_here"))
    ('Women', 'Shoes', '(ends here)')
    >>> to_levels(("Women", "Shoes", "Boots", "Ankle"), CategoryRule(deeper="cut"))
    ('Women', 'Shoes', 'Boots')
    """
    fill = {"ends_here": ENDS_HERE, "repeat": names[-1] if names else None}.get(rule.shallower)
    lacking = len(LEVELS) - len(names)
    return (*names, *lacking * [fill if names and None not in names else None])[: len(LEVELS)]


def problem_of(names: Names, rule: CategoryRule) -> tuple[str, str]:
    """Return why a rule makes no three levels of a path, and what is said of its product; no text if it does.

    >>> problem_of(("Women", "Shoes"), CategoryRule())
    ('incomplete category path', 'its category path has 2 levels, not 3: Women > Shoes')
    """
    if len(names) == 1 and WHOLE_NUMBER.fullmatch((names[0] or "").strip()):
        known = "does not name" if rule.ids else "could give a name"
        return CATEGORY_ID, f"its category is the number {names[0]}, which `categories.ids` {known}"
    if len(names) > len(LEVELS) and rule.deeper == "refuse":
        reason, depth = CATEGORY_DEPTH, len(names)
    elif None in to_levels(names, rule):
        reason, depth = SHALLOW if rule.shallower == "drop" else WITHOUT_LEVEL, depth_of(names)
    else:
        return "", ""
    return reason, f"its category path has {depth} levels, not {len(LEVELS)}: {shown(names) or 'none'}"
