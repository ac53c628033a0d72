"""Where a classifier goes wrong, category by category, and which categories to watch: pure functions of arrays."""

from collections.abc import Collection

import numpy as np
import pandas as pd

from lib.bootstrap import Floats, Interval
from lib.config import LEVELS
from lib.error_shares import Answers, is_small, shares, wilson

COLUMNS_AT_ONCE = 50  # categories resampled at once: bounds memory
CONFUSIONS_SHOWN = 3


def by_category(tested: Answers, level: int) -> pd.DataFrame:
    """Measure every category of a level that has test products, the one with most errors first.

    Returns
    -------
    DataFrame
        `level`, `category`, `products` (test products), `groups` (of near-duplicates), `share` (of all test products),
        `accuracy, low, high, interval` (bootstrap or Wilson), `errors` (a seed), `error_share` (of the level's errors),
        `taken_for` (the most frequent wrong answers, with the errors a seed).
    """
    codes, right = tested.codes[:, level], tested.right[:, :, level]
    classes, products = np.unique(codes, return_counts=True)
    measured: list[Interval] = []
    for start in range(0, len(classes), COLUMNS_AT_ONCE):
        inside = codes[:, None] == classes[start : start + COLUMNS_AT_ONCE]
        measured += shares(tested, np.repeat(right[:, :, None], inside.shape[1], axis=2), inside)
    groups = [len(np.unique(tested.groups[codes == code])) for code in classes]
    small = [is_small(found.mean, count) for found, count in zip(measured, groups, strict=True)]
    limits = [wilson(one.mean, n) if few else one for one, n, few in zip(measured, groups, small, strict=True)]
    wrong = np.array([(~right[:, codes == code]).sum() for code in classes]) / len(tested.seeds)
    table = pd.DataFrame({
        "level": LEVELS[level],
        "category": [tested.names[level][code] for code in classes],
        "products": products,
        "groups": groups,
        "share": products / len(codes),
        "accuracy": [one.mean for one in limits],
        "low": [one.low for one in limits],
        "high": [one.high for one in limits],
        "interval": np.where(small, "Wilson", "bootstrap"),
        "errors": wrong,
        "error_share": wrong / max(wrong.sum(), 1e-12),
    })  # fmt: skip
    typical = _typical(confusions(tested, level))
    table["taken_for"] = [typical.get(name, "") for name in table["category"]]
    return table.sort_values(["errors", "category"], ascending=[False, True], ignore_index=True)


def confusions(tested: Answers, level: int) -> pd.DataFrame:
    """Count wrong answers: `level`, `true`, `predicted` and `errors` (a seed), the most frequent pair first."""
    true = np.broadcast_to(tested.codes[:, level], tested.predicted.shape[:2])
    wrong = ~tested.right[:, :, level]
    names = np.array(tested.names[level], object)
    said = pd.DataFrame({"true": names[true[wrong]], "predicted": names[tested.predicted[:, :, level][wrong]]})
    table = said.groupby(["true", "predicted"]).size().rename("errors").reset_index()
    table = table.assign(errors=table["errors"] / len(tested.seeds))
    table.insert(0, "level", LEVELS[level])
    return table.sort_values(["errors", "true", "predicted"], ascending=[False, True, True], ignore_index=True)


def _typical(pairs: pd.DataFrame) -> dict[str, str]:
    """Name the most frequent wrong answers for each true category."""
    if pairs.empty:
        return {}
    top = pairs.groupby("true").head(CONFUSIONS_SHOWN)
    said = top["predicted"] + " (" + top["errors"].map("{:.1f}".format) + ")"
    return {str(true): ", ".join(part) for true, part in said.groupby(top["true"])}


def watch(categories: pd.DataFrame, target: float, costly_share: float) -> pd.DataFrame:
    """Say which categories to watch, in two columns that are added to those of `by_category`.

    Parameters
    ----------
    categories
        Of one level, most errors first.
    target
        Accuracy that a category is to reach. `below_target`: its whole interval lies below.
    costly_share
        `costly`: it is among the categories with most errors that together make this share of the level's errors.
    """
    before = categories["error_share"].cumsum() - categories["error_share"]
    costly = (before < costly_share) & (categories["errors"] > 0)
    return categories.assign(below_target=categories["high"] < target, costly=costly)


def share_of_errors(tested: Answers, level: int, categories: Collection[str]) -> Interval:
    """Return what share of a level's errors the products of some categories make."""
    listed = np.isin(tested.codes[:, level], [tested.names[level].index(name) for name in categories])
    wrong = ~tested.right[:, :, level, None]
    return shares(tested, np.broadcast_to(listed[None, :, None], wrong.shape), wrong)[0]


def mean_counts(tested: Answers, level: int) -> Floats:
    """Return the confusion matrix of a level, true classes down and predicted ones across: mean over the seeds."""
    classes = len(tested.names[level])
    true = np.broadcast_to(tested.codes[:, level], tested.predicted.shape[:2]).astype(np.int64)
    flat = (true * classes + tested.predicted[:, :, level]).ravel()
    counts: Floats = np.bincount(flat, minlength=classes**2).reshape(classes, classes) / len(tested.seeds)
    return counts
