"""Labels of held-out products that are likely to be wrong, counted, and checked where the truth is known."""

from dataclasses import asdict
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from lib.artifacts import existing
from lib.bootstrap import Floats
from lib.confident_learning import average_precisions, label_quality, suspected_labels, suspicions
from lib.config import build_dir
from lib.error_stage import Study
from lib.held_out import read_held_out
from lib.label_noise import label_suspicion
from lib.results import load_truth
from lib.truth import MAX_LABELS, WRONG_LABEL, Score, known_truth

BASELINE = "linear baseline"


class Suspects(NamedTuple):
    """Held-out rows and how their labels fit.

    Attributes
    ----------
    rows
        (rows,): row numbers of `clean/products.parquet`.
    suspected
        bool (rows, 3): labels that confident learning calls wrong.
    quality
        (rows,): from 0 to 1, small where a label is likely to be wrong.
    counts
        What `confident_learning.suspicions` returns.
    """

    rows: npt.NDArray[np.int32]
    suspected: npt.NDArray[np.bool_]
    quality: Floats
    counts: pd.DataFrame


def suspect_labels(study: Study) -> Suspects:
    """Search the test and validation rows of the preferred split, with probabilities averaged over the seeds.

    No seed has been fitted on any of them. Validation rows had a say in when training stopped, but not more.
    """
    test = study.held_out[study.split]
    validation = read_held_out(study.catalogue, study.models[study.split], list(test.seeds), "validation")
    rows = np.concatenate([test.rows, validation.rows])
    pairs = zip(test.mean_probabilities(), validation.mean_probabilities(), strict=True)
    probabilities = [np.concatenate(pair) for pair in pairs]
    codes = load_truth(study.catalogue).codes[rows]
    suspected = suspected_labels(probabilities, codes)
    counts = suspicions(suspected, probabilities, codes, study.tested[study.split].names)
    return Suspects(rows, suspected, label_quality(probabilities, codes), counts)


def check_labels(study: Study, suspects: Suspects) -> tuple[dict[str, float], pd.DataFrame] | None:
    """Compare suspicions with what is true of a catalogue, or return None where nobody knows.

    Returns
    -------
    found
        `products`, `wrong` (labels that are), `found, right, there, precision` and `recall` of confident learning,
        where a product counts if any of its three labels is called wrong.
    ranking
        What `confident_learning.average_precisions` returns. A score that knows nothing has an average precision of
        `wrong / products`.
    """
    true = known_truth(study.catalogue)
    if true is None:
        return None
    products = pd.read_parquet(existing(build_dir(study.catalogue, "clean", "products.parquet")))
    damage = products["product_id"].iloc[suspects.rows].map(dict(zip(true["product_id"], true["damage"], strict=True)))
    known = damage.notna().to_numpy()
    there = np.array([WRONG_LABEL in kinds for kinds in damage[known]], bool)
    called: npt.NDArray[np.bool_] = np.any(suspects.suspected[known], axis=1)
    score = Score(int(called.sum()), int((called & there).sum()), int(there.sum()))
    found = {"products": len(there), "wrong": score.there, **asdict(score), **score.shares}
    if not there.any():
        return found, pd.DataFrame()
    scores = {BASELINE: baseline(products, suspects.rows)[known], "confident learning": 1 - suspects.quality[known]}
    tested = study.tested[study.split]
    groups = load_truth(study.catalogue).groups[suspects.rows[known]]
    return found, average_precisions(there, scores, groups, tested.weights, BASELINE)


def baseline(products: pd.DataFrame, rows: npt.NDArray[np.int32]) -> Floats:
    """Return the suspicion of the linear baseline for some rows; it may also learn from others, `MAX_LABELS` in all."""
    others = products.drop(index=products.index[rows]).nsmallest(max(MAX_LABELS - len(rows), 0), "sampling_key")
    return label_suspicion(pd.concat([products.iloc[rows], others]))[: len(rows)]
