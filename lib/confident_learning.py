"""Which labels are likely to be wrong, by what a model says of rows that it was not trained on.

Confident learning: Northcutt, Jiang & Chuang (2021), *Confident Learning: Estimating Uncertainty in Dataset Labels*,
JAIR 70:1373. `lib/label_noise.py` is the baseline that it is to beat.
"""

import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from lib.bootstrap import CONFIDENCE, Floats, Interval
from lib.config import LEVELS

Codes = NDArray[np.int16]
LEAST = 1e-6  # no probability counts as less: predictions are stored with 16 bits


def label_quality(probabilities: Sequence[Floats], codes: Codes) -> Floats:
    """Measure how well each row's labels fit what a model says of the row.

    Parameters
    ----------
    probabilities
        One array a level, (rows, classes), of a model that was not trained on these rows. Rows sum to 1.
    codes
        (rows, 3): the labels that the rows have.

    Returns
    -------
    float64 array, shape (rows,)
        From 0 to 1: the probability of the label's own class, at the level where that is least.
    """
    scores = [get_label_quality_scores(codes[:, level].astype(int), array) for level, array in enumerate(probabilities)]
    quality: Floats = np.min(scores, axis=0)
    return quality


def log_odds(probabilities: Sequence[Floats], codes: Codes) -> Floats:
    """Measure how much likelier a model holds its own answer than a row's labels, all three levels together.

    A level that is hard to tell has answers of about the same probability, and adds little.

    Parameters
    ----------
    probabilities, codes
        As `label_quality` has them.

    Returns
    -------
    float64 array, shape (rows,)
        Natural logarithm, at least 0: the sum over the levels of log(largest probability / that of the label).

    Examples
    --------
    >>> log_odds([np.array([[0.8, 0.2], [0.2, 0.8]])], np.array([[1], [1]])).round(2).tolist()
    [1.39, 0.0]
    """
    rows = np.arange(len(codes))
    odds = [np.log(p.max(axis=1) / np.maximum(p[rows, codes[:, i]], LEAST)) for i, p in enumerate(probabilities)]
    total: Floats = np.sum(odds, axis=0)
    return total


def suspected_labels(probabilities: Sequence[Floats], codes: Codes) -> NDArray[np.bool_]:
    """Find the labels that confident learning calls wrong, in cleanlab's strictest way: by class and by noise rate.

    The label of a class that no other row has is never called wrong.

    Parameters
    ----------
    probabilities, codes
        As `label_quality` has them.

    Returns
    -------
    bool array, shape (rows, 3)
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="May not flag all label issues")
        pairs = zip(codes.astype(int).T, probabilities, strict=True)
        found = [find_label_issues(labels, array, filter_by="both", n_jobs=1) for labels, array in pairs]
    return np.stack(found, axis=1)


def suspicions(
    first: NDArray[np.bool_],
    suspected: NDArray[np.bool_],
    probabilities: Sequence[Floats],
    codes: Codes,
    names: list[list[str]],
) -> pd.DataFrame:
    """Count suspected labels by category, most first.

    Parameters
    ----------
    first
        bool (rows, 3): labels to look at first.
    suspected
        bool (rows, 3): labels that confident learning calls wrong.

    Returns
    -------
    DataFrame
        `level`, `category` (the label), `products`, of them `first` and `suspected`, and `instead`: the class that the
        model most often holds to be right where one is to be looked at first.
    """
    parts = []
    for level, answers in enumerate(probabilities):
        named = np.array(names[level], object)
        rows = pd.DataFrame({
            "category": named[codes[:, level]],
            "first": first[:, level],
            "suspected": suspected[:, level],
            "instead": named[answers.argmax(axis=1)],
        })  # fmt: skip
        part = rows.groupby("category").agg(
            products=("first", "size"), first=("first", "sum"), suspected=("suspected", "sum")
        )
        instead = rows[rows["first"]].groupby("category")["instead"].agg(lambda said: said.mode().iloc[0])
        part = part.assign(instead=instead.reindex(part.index).fillna("")).reset_index()
        parts.append(part[(part["first"] > 0) | (part["suspected"] > 0)].assign(level=LEVELS[level]))
    table = pd.concat(parts)
    order = ["level", "first", "suspected", "category"]
    table = table.sort_values(order, ascending=[True, False, False, True], ignore_index=True)
    return table[["level", "category", "products", "first", "suspected", "instead"]]


def average_precisions(
    there: NDArray[np.bool_],
    scores: dict[str, Floats],
    groups: NDArray[np.integer],
    weights: NDArray[np.uint8],
    base: str,
) -> pd.DataFrame:
    """Measure how well scores put what is there before what is not, and by how much each beats a baseline.

    Parameters
    ----------
    there
        bool (rows,); true somewhere.
    scores
        Name -> float (rows,), greater where something is more likely to be there.
    groups, weights
        The group of each row, and what `bootstrap.group_weights` returns: intervals are over groups.
    base
        Name of the baseline among the scores.

    Returns
    -------
    DataFrame
        `score`, `average_precision, low, high`, and `gain, gain_low, gain_high` over the baseline, paired.
    """
    found: dict[str, list[float]] = {name: [] for name in scores}
    for draw in weights:
        taken = draw[groups].astype(np.float64)
        if taken[there].any():
            for name, score in scores.items():
                found[name].append(average_precision_score(there, score, sample_weight=taken))
    once = {name: float(average_precision_score(there, score)) for name, score in scores.items()}
    draws, rows = {name: np.array(values) for name, values in found.items()}, []
    for name in scores:
        gain = _interval(once[name] - once[base], draws[name] - draws[base])
        rows.append((name, *_interval(once[name], draws[name]), *gain))
    columns = ["score", "average_precision", "low", "high", "gain", "gain_low", "gain_high"]
    return pd.DataFrame(rows, columns=columns)


def _interval(mean: float, draws: Floats) -> Interval:
    tail = (1 - CONFIDENCE) / 2
    return Interval(mean, *map(float, np.quantile(draws, [tail, 1 - tail])))
