"""How right the surest products are: no promise can be higher, however many calibration products there are."""

import numpy as np
import pandas as pd

from lib.business_stage import Bools, Judged, Study, groups_of
from lib.fusion import path_numbers

STEPS = 20
"""Shares at which precision is looked at: every 5%."""

SUREST = 0.2
"""The share whose errors are listed."""


def surest(study: Study, test: Judged) -> pd.DataFrame:
    """Measure the precision of the surest test products, by their share and by the depth to which they are tagged.

    Returns
    -------
    DataFrame
        `depth` (3, 2, 1)`, share` (of distinct test products, the surest of that depth first)`, precision, low, high`.
    """
    groups, rows = groups_of(study.test), []
    for depth in (3, 2, 1):
        for share in np.arange(1, STEPS + 1) / STEPS:
            taken = _surest(test.confidence[:, depth - 1], groups.shares, share)
            rows.append((depth, share, *groups.ratio(test.right[:, depth - 1], taken, groups.shares)))
    return pd.DataFrame(rows, columns=["depth", "share", "precision", "low", "high"])


def surest_errors(study: Study, test: Judged) -> pd.DataFrame:
    """List what the surest fifth of test products gets wrong.

    Returns
    -------
    DataFrame
        `true, said` (paths)`, products` (distinct), most frequent first.
    """
    weights, tagger = groups_of(study.test).shares, study.tagger
    wrong = _surest(test.confidence[:, 2], weights, SUREST) & ~test.right[:, 2]
    paths = {"true": path_numbers(study.test.codes[wrong], tagger.paths), "said": test.tags.prefixes.path[wrong, 2]}
    named = {column: [" > ".join(tagger.names(path)) for path in found] for column, found in paths.items()}
    table = pd.DataFrame(named).assign(products=weights[wrong])
    found = table.groupby(["true", "said"])["products"].sum().reset_index()
    return found.sort_values(["products", "true", "said"], ascending=[False, True, True], ignore_index=True)


def _surest(confidence: np.ndarray, weights: np.ndarray, share: float) -> Bools:
    """Return the surest rows that make up so large a share of the weight; equal confidences share a fate."""
    order = np.argsort(-confidence, kind="stable")
    reached = np.searchsorted(np.cumsum(weights[order]), share * weights.sum() - 1e-6)
    taken: Bools = confidence >= confidence[order[min(int(reached), len(order) - 1)]]
    return taken
