"""Category paths of any depth, as sources have them, to three levels."""

import json
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from lib.config import LEVELS, Strict

Levels = tuple[str | None, str | None, str | None]


class CategoryRule(Strict):
    """How a category path becomes three levels.

    `separator` parts the names of a path that is one text. Names in `leave_out`, such as *Home*, are no category,
    wherever they stand. A path with more than three names is refused, or cut to its first three.
    """

    separator: Annotated[str, Field(min_length=1)] = ">"
    leave_out: tuple[str, ...] = ()
    deeper: Literal["refuse", "cut"] = "refuse"


def split_path(path: str, rule: CategoryRule) -> list[str]:
    """Split a path that is one text, or a JSON list of names.

    >>> split_path("Home >> Women >> Shoes", CategoryRule(separator=">>"))
    ['Home', 'Women', 'Shoes']
    >>> split_path('["Women", "Shoes"]', CategoryRule())
    ['Women', 'Shoes']
    """
    if path.lstrip().startswith("["):
        try:
            names = json.loads(path)
        except json.JSONDecodeError:
            names = None
        if isinstance(names, list) and all(isinstance(name, str) for name in names):
            return [name.strip() for name in names]
    return [name.strip() for name in path.split(rule.separator)]


def to_levels(names: Sequence[str], rule: CategoryRule) -> Levels:
    """Return the three levels of a path; what a shallower one lacks is None, and later costs the product its place.

    Raises
    ------
    ValueError
        If the path is deeper, and the rule refuses that.

    Examples
    --------
    >>> to_levels(["Home", "Women", "Shoes"], CategoryRule(leave_out=("Home",)))
    ('Women', 'Shoes', None)
    >>> to_levels(["Women", "Shoes", "Boots", "Ankle"], CategoryRule(deeper="cut"))
    ('Women', 'Shoes', 'Boots')
    """
    left_out = {name.strip().casefold() for name in rule.leave_out}
    kept = [name for name in names if name.strip() and name.strip().casefold() not in left_out]
    if len(kept) > len(LEVELS) and rule.deeper == "refuse":
        raise ValueError(f"its category path has {len(kept)} levels, not {len(LEVELS)}: {' > '.join(kept)}")
    first, second, third = (*kept[: len(LEVELS)], *[None] * len(LEVELS))[: len(LEVELS)]
    return first, second, third
