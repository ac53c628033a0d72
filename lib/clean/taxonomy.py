"""Class names: spellings that are one class, what is no good name, and the taxonomy that products make up."""

import unicodedata
from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lib.config import LEVELS
from lib.config.base import ENDS_HERE
from lib.exceptions import StudyError

MISSING_LIKE = frozenset({
    "nan", "null", "nil", "none", "n/a", "#n/a", "na", "n.a.", "n.a", "-", "--", "---", ".", "?", "unknown",
    "undefined", "unspecified", "not available", "not applicable", "not specified", "no brand", "no category",
    "uncategorized", "uncategorised",
})  # fmt: skip
"""Names, in lower case, that say that there is none."""


def spelling_key(name: str) -> str:
    """Return what spellings of one name have in common: letter case, blanks and the form of characters are folded.

    >>> spelling_key("T  Shirts") == spelling_key("TSHIRTS")
    True
    """
    return "".join(unicodedata.normalize("NFKC", name).casefold().split())


def fold_spellings(products: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, int]]:
    """Give all spellings of a class (`spelling_key`) its most frequent one; of equally frequent ones the first by text.

    Returns
    -------
    products : DataFrame
        With other names in the columns of the levels.
    respelled : dict
        Products by what was changed: `level_1: SHOES → Shoes`.
    """
    respelled: dict[str, int] = {}
    for level in LEVELS:
        counts = Counter(products[level])
        chosen: dict[str, str] = {}
        for name in sorted(counts, key=lambda name: (-counts[name], name)):
            of_all = chosen.setdefault(spelling_key(name), name)
            if of_all != name:
                respelled[f"{level}: {name} → {of_all}"] = counts[name]
        names = {name: chosen[spelling_key(name)] for name in counts}
        products = products.assign(**{level: products[level].map(names).astype("str")})
    return products, respelled


def encode_levels(products: pd.DataFrame, name: str) -> tuple[dict[str, list[Any]], NDArray[np.int16]]:
    """Make the taxonomy (`levels` and valid `paths`) and each product's codes, shape (rows, 3).

    Raises
    ------
    StudyError
        If a level has a single class: there is nothing to predict.
    """
    levels = [sorted(products[level].unique().tolist()) for level in LEVELS]
    for level, names in zip(LEVELS, levels, strict=True):
        if len(names) < 2:
            hint = f"`python -m lib.check {name}` shows what its category paths are."
            if level == LEVELS[0]:
                hint += f" If every path begins with a root that is no category: `categories.leave_out: {names}`."
            elif names == [ENDS_HERE]:
                hint = "No path is so deep: `categories.shallower: repeat` takes a path's last name again."
            raise StudyError(
                f"The catalogue '{name}' has the single class {names} in {level}. Expected two or more: "
                f"with one there is nothing to predict. {hint}"
            )
    encoded = [pd.Categorical(products[level], names).codes for level, names in zip(LEVELS, levels, strict=True)]
    codes = np.stack(encoded, axis=1).astype(np.int16)
    return {"levels": levels, "paths": np.unique(codes, axis=0).tolist()}, codes


def called_missing(products: pd.DataFrame) -> dict[str, int]:
    """Count the products whose brand or class is called as if there were none: `brand: N/A`.

    >>> products = {"brand": ["N/A", ""], "level_1": "Men", "level_2": ["None", "Tops"], "level_3": "Tees"}
    >>> called_missing(pd.DataFrame(products))
    {'brand: N/A': 1, 'level_2: None': 1}
    """
    return {
        f"{column}: {name}": count
        for column in ("brand", *LEVELS)
        for name, count in sorted(Counter(products[column]).items())
        if name.casefold() in MISSING_LIKE
    }


def named_like_product(products: pd.DataFrame) -> tuple[int, int]:
    """Count the category paths whose last name is the title of each of their products, and those products.

    >>> products = {"level_1": "Men", "level_2": "Tops", "level_3": ["Ines", "Tees"], "title": ["INES", "Plain tee"]}
    >>> named_like_product(pd.DataFrame(products))
    (1, 1)
    """
    same = products["title"].map(spelling_key) == products[LEVELS[-1]].map(spelling_key)
    only = same.groupby([products[level] for level in LEVELS]).transform("all")
    return len(products.loc[only, list(LEVELS)].drop_duplicates()), int(only.sum())
