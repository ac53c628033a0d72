"""What a catalogue's categories are called by another one: a mapping of names, level by level, or of whole paths."""

from collections.abc import Mapping as Names
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field

from lib.config import LEVELS, Strict
from lib.config.reading import load
from lib.errors import StudyError, nearest

SEPARATOR = " > "
APART = -1
"""The code of a category, and the number of a path, that has no counterpart."""

Taxonomy = Names[str, Any]
"""What `clean/taxonomy.json` holds: `levels`, the names of each, and `paths`, their codes."""


class LevelNames(Strict):
    """Name of the target -> name of the source, or None where the source has no such category."""

    level_1: dict[str, str | None] = Field(default_factory=dict)
    level_2: dict[str, str | None] = Field(default_factory=dict)
    level_3: dict[str, str | None] = Field(default_factory=dict)


class CategoryMapping(Strict):
    """One file of `catalogues/mappings/`.

    Attributes
    ----------
    absent
        What to do with a category that is mapped to a name that the source has not: an error, or its products are set
        apart (a mapping that serves catalogues of several sizes).
    levels
        A name that is not among them is taken for the same name of the source.
    paths
        Whole paths, `A > B > C`, where the levels' names alone do not say it, or None; they have precedence.
    """

    absent: Literal["error", "apart"] = "error"
    levels: LevelNames = LevelNames()
    paths: dict[str, str | None] = Field(default_factory=dict)


class Mapped(NamedTuple):
    """A target's taxonomy in the codes of the source.

    Attributes
    ----------
    paths : int array, shape (target paths, 3)
        What each valid path of the target is for the source; a row of `APART` where it has no counterpart.
    known : bool array, shape (target paths,)
        The source has products on this very path.
    """

    paths: npt.NDArray[np.int64]
    known: npt.NDArray[np.bool_]

    @property
    def apart(self) -> npt.NDArray[np.bool_]:
        """Which paths of the target have no counterpart."""
        return np.asarray((self.paths == APART).any(axis=1))


def read_mapping(path: Path) -> CategoryMapping:
    """Read and validate a mapping."""
    return load(CategoryMapping, path)


def map_taxonomy(mapping: CategoryMapping, target: Taxonomy, source: Taxonomy) -> Mapped:
    """Translate every valid path of the target.

    Raises
    ------
    StudyError
        If a name leads nowhere: it is not mapped and the source has no such name, or it is mapped to one that the
        source has not (and these are not to be set apart). All such names are listed, each with the nearest one.

    Examples
    --------
    >>> shop = {"levels": [["men", "women"], ["shoes"], ["boots"]], "paths": [[0, 0, 0], [1, 0, 0]]}
    >>> other = {"levels": [["ladies"], ["shoes"], ["boots"]], "paths": [[0, 0, 0]]}
    >>> map_taxonomy(CategoryMapping(levels={"level_1": {"ladies": "women"}}), other, shop).paths.tolist()
    [[1, 0, 0]]
    """
    codes = [{name: code for code, name in enumerate(names)} for names in source["levels"]]
    strict, wrong = mapping.absent == "error", list[str]()
    whole = {name: _path(name, other, codes, strict, wrong) for name, other in mapping.paths.items()}
    names = [[level[code] for level, code in zip(target["levels"], path, strict=True)] for path in target["paths"]]
    by_name = [path for path in names if SEPARATOR.join(path) not in whole]
    by_level = [
        _level(level, getattr(mapping.levels, level), sorted(set(used)), known, strict, wrong)
        for level, used, known in zip(LEVELS, zip(*by_name, strict=True) if by_name else [()] * 3, codes, strict=True)
    ]
    if wrong:
        raise StudyError("\n".join(["The mapping of categories is wrong:", *wrong]))
    found = [
        whole.get(SEPARATOR.join(path)) or [level[name] for level, name in zip(by_level, path, strict=True)]
        for path in names
    ]
    paths = np.array(found, np.int64).reshape(-1, len(LEVELS))
    paths[(paths == APART).any(axis=1)] = APART
    there = {tuple(path) for path in source["paths"]}
    return Mapped(paths, np.array([tuple(path) in there for path in paths.tolist()], bool))


def _level(
    level: str, given: Names[str, str | None], names: list[str], codes: Names[str, int], strict: bool, wrong: list[str]
) -> dict[str, int]:
    """Translate the names of one level; what leads nowhere is told to `wrong`."""
    found = {}
    for name in names:
        other = given.get(name, name)
        if other is not None and other not in codes and (strict or name not in given):
            wrong.append(_explain(level, name, other, codes, given))
        found[name] = APART if other is None else codes.get(other, APART)
    return found


def _explain(level: str, name: str, other: str, codes: Names[str, int], given: Names[str, str | None]) -> str:
    if name in given:
        return f"  levels.{level}: '{name}' is mapped to '{other}', which the source has not.{nearest(other, codes)}"
    hint = nearest(name, codes) or nearest(name, given)
    return f"  levels.{level}: the target's '{name}' is not mapped, and the source has no such name.{hint}"


def _path(name: str, other: str | None, codes: list[dict[str, int]], strict: bool, wrong: list[str]) -> list[int]:
    """Translate a whole path."""
    if other is None:
        return [APART] * len(codes)
    parts = other.split(SEPARATOR)
    if len(parts) != len(codes):
        raise StudyError(
            f"The mapping of categories is wrong:\n  paths: '{name}' is mapped to '{other}'; expected A > B > C."
        )
    for level, part, known in zip(LEVELS, parts, codes, strict=True):
        if part not in known and strict:
            wrong.append(f"  paths: '{name}' is mapped to '{other}'; {level} has no '{part}'.{nearest(part, known)}")
    return [known.get(part, APART) for part, known in zip(parts, codes, strict=True)]
