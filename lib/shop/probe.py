"""What can be read from one input alone, with few products to learn from: linear classifiers on small training sets."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from sklearn.linear_model import RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lib.bootstrap import CONFIDENCE, Interval
from lib.config import LEVELS

TEST_SHARE = 0.25
PENALTIES = {"brand": 1.0}
"""Ridge penalty of an input whose columns are left as they are, zeros and ones."""

IMAGE_PENALTY = 300.0
"""Ridge penalty of all other inputs, whose columns are standardised."""


def probe(
    features: Mapping[str, NDArray[np.floating]], products: pd.DataFrame, sizes: Sequence[int], seeds: int
) -> pd.DataFrame:
    """Measure how often each input alone tells each level, by a linear classifier.

    Every seed draws its own test products and an order of the others, of which a training size takes the first. All
    variants of a product are in the test part, or none. All inputs see the same products.

    Parameters
    ----------
    features
        A table for each input, with a row for each product.
    products
        Columns `family` and `level_1` to `level_3`.
    sizes
        How many products to learn from.
    seeds
        How many draws.

    Returns
    -------
    DataFrame
        Accuracies in columns `level_1` to `level_3` and `mean`, by `seed`, `train_size` and `input`.
    """
    rows = []
    for seed in range(seeds):
        train, test = _split(products["family"].to_numpy(), np.random.default_rng(seed))
        for size in sizes:
            for name, table in features.items():
                scores = [_accuracy(name, table, products[level].to_numpy(), train[:size], test) for level in LEVELS]
                rows.append((seed, size, name, *scores, np.mean(scores)))
    columns = ["seed", "train_size", "input", *LEVELS, "mean"]
    return pd.DataFrame(rows, columns=columns).set_index(columns[:3])


def interval(values: NDArray[np.floating]) -> Interval:
    """Return the mean of some draws and its 95% interval by Student's t.

    >>> interval(np.array([0.1, 0.2, 0.3])).mean.round(3)
    np.float64(0.2)
    """
    low, high = stats.t.interval(CONFIDENCE, len(values) - 1, np.mean(values), stats.sem(values))
    return Interval(np.mean(values), low, high)


def _split(families: NDArray[np.int64], rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows to learn from, shuffled, and those to test on."""
    names = rng.permutation(np.unique(families))
    held_out = np.isin(families, names[: int(len(names) * TEST_SHARE)])
    return rng.permutation(np.flatnonzero(~held_out)), np.flatnonzero(held_out)


def _accuracy(
    name: str, table: NDArray[np.floating], y: NDArray[np.object_], train: NDArray[np.int64], test: NDArray[np.int64]
) -> float:
    if name in PENALTIES:
        model = RidgeClassifier(alpha=PENALTIES[name])
    else:
        model = make_pipeline(StandardScaler(), RidgeClassifier(alpha=IMAGE_PENALTY))
    return float((model.fit(table[train], y[train]).predict(table[test]) == y[test]).mean())
