"""What a catalogue's categories are called by another one: a mapping of names, level by level, or of whole paths."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from lib.config import LEVELS, Strict, load
from lib.exceptions import StudyError, nearest

SEPARATOR = " > "
APART = -1
"""The code of a category that has no counterpart."""

Taxonomy = Mapping[str, Any]
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

    def translate(self, path: tuple[str, ...]) -> list[str | None]:
        """Return the source's names of a path of the target; None where it has none."""
        whole = SEPARATOR.join(path)
        if whole in self.paths:
            other = self.paths[whole]
            return [None] * len(LEVELS) if other is None else [*other.split(SEPARATOR)]
        return [getattr(self.levels, level).get(name, name) for level, name in zip(LEVELS, path, strict=True)]


def read_mapping(path: Path) -> CategoryMapping:
    """Read and validate a mapping."""
    return load(CategoryMapping, path)


def map_taxonomy(mapping: CategoryMapping, target: Taxonomy, source: Taxonomy) -> npt.NDArray[np.int64]:
    """Translate every valid path of the target.

    Returns
    -------
    int array, shape (target paths, 3)
        What each is in the codes of the source; a row of `APART` where it has no counterpart.

    Raises
    ------
    StudyError
        If a name leads nowhere: it is not mapped and the source has no such name, or it is mapped to one that the
        source has not (and these are not to be set apart). All such names are listed, each with the nearest one.

    Examples
    --------
    >>> shop = {"levels": [["men", "women"], ["shoes"], ["boots"]], "paths": [[0, 0, 0], [1, 0, 0]]}
    >>> other = {"levels": [["ladies"], ["shoes"], ["boots"]], "paths": [[0, 0, 0]]}
    >>> map_taxonomy(CategoryMapping(levels={"level_1": {"ladies": "women"}}), other, shop).tolist()
    [[1, 0, 0]]
    """
    named = [tuple(level[code] for level, code in zip(target["levels"], path, strict=True)) for path in target["paths"]]
    wrong = [*_wrong_paths(mapping, source), *_wrong_names(mapping, named, source)]
    if wrong:
        raise StudyError("\n".join(["The mapping of categories is wrong:", *wrong]))
    codes: list[dict[str | None, int]] = [{name: code for code, name in enumerate(names)} for names in source["levels"]]
    paths = [
        [known.get(name, APART) for known, name in zip(codes, mapping.translate(path), strict=True)] for path in named
    ]
    mapped = np.array(paths, np.int64).reshape(-1, len(LEVELS))
    return np.where((mapped == APART).any(axis=1, keepdims=True), APART, mapped)


def _wrong_paths(mapping: CategoryMapping, source: Taxonomy) -> Iterator[str]:
    """Say which whole paths are mapped to what cannot be one of the source's."""
    for name, other in mapping.paths.items():
        parts = [] if other is None else other.split(SEPARATOR)
        if len(parts) not in (0, len(LEVELS)):
            yield f"  paths: '{name}' is mapped to '{other}'; expected A > B > C."
        elif mapping.absent == "error":
            for level, part, known in zip(LEVELS, parts, source["levels"], strict=False):
                if part not in known:
                    yield f"  paths: '{name}' is mapped to '{other}'; {level} has no '{part}'.{nearest(part, known)}"


def _wrong_names(mapping: CategoryMapping, named: list[tuple[str, ...]], source: Taxonomy) -> Iterator[str]:
    """Say which names lead nowhere, of the paths that are mapped level by level."""
    used = [path for path in named if SEPARATOR.join(path) not in mapping.paths]
    for place, (level, known) in enumerate(zip(LEVELS, source["levels"], strict=True)):
        given = getattr(mapping.levels, level)
        for name in sorted({path[place] for path in used}):
            other = given.get(name, name)
            if other is None or other in known:
                continue
            if name not in given:
                hint = nearest(name, known) or nearest(name, given)
                yield f"  levels.{level}: the target's '{name}' is not mapped, and the source has no such name.{hint}"
            elif mapping.absent == "error":
                hint = nearest(other, known)
                yield f"  levels.{level}: '{name}' is mapped to '{other}', which the source has not.{hint}"
