"""Labels of held-out products that are likely to be wrong, counted, and checked where the truth is known."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from lib.artifacts import existing
from lib.bootstrap import Floats
from lib.confident_learning import average_precisions, label_quality, log_odds, suspected_labels, suspicions
from lib.config import build_dir
from lib.error_shares import wilson
from lib.error_stage import Study
from lib.held_out import Model, Part, read_held_out, seeds_of
from lib.label_noise import label_suspicion
from lib.results import load_results, load_truth
from lib.truth import MAX_LABELS, WRONG_LABEL, Score, known_truth

PARTS: tuple[Part, Part] = ("test", "validation")
BASELINE = "linear baseline"
ODDS = "log odds of the path"
REVIEWED = 0.02  # share of the held-out products that are to be looked at first
BUDGETS = (0.01, REVIEWED, 0.05)


class Suspects(NamedTuple):
    """Held-out rows and how their labels fit.

    Attributes
    ----------
    rows
        (rows,): row numbers of `clean/products.parquet`.
    model
        Whose probabilities they were.
    suspected
        bool (rows, 3): labels that confident learning calls wrong.
    odds
        (rows,): what `confident_learning.log_odds` returns.
    quality
        (rows,): from 0 to 1, small where a label is likely to be wrong.
    counts
        What `confident_learning.suspicions` returns.
    """

    rows: npt.NDArray[np.int32]
    model: Model
    suspected: npt.NDArray[np.bool_]
    odds: Floats
    quality: Floats
    counts: pd.DataFrame


def suspect_labels(study: Study) -> Suspects:
    """Search the test and validation rows of the preferred split, with probabilities averaged over the seeds.

    No seed has been fitted on any of them. Validation rows had a say in when training stopped, but not more. Where the
    same variant was trained on plain text, that model is asked: a description that names another category is evidence.
    """
    model, seeds = _most_informed(study)
    test, validation = (read_held_out(study.catalogue, model, seeds, part) for part in PARTS)
    rows = np.concatenate([test.rows, validation.rows])
    pairs = zip(test.mean_probabilities(), validation.mean_probabilities(), strict=True)
    probabilities = [np.concatenate(pair) for pair in pairs]
    codes = load_truth(study.catalogue).codes[rows]
    suspected = suspected_labels(probabilities, codes)
    odds = log_odds(probabilities, codes)
    answers = np.column_stack([level.argmax(axis=1) for level in probabilities])
    first = (answers != codes) & most(odds, REVIEWED)[:, None]
    counts = suspicions(first, suspected, probabilities, codes, study.tested[study.split].names)
    return Suspects(rows, model, suspected, odds, label_quality(probabilities, codes), counts)


def most(scores: Floats, share: float) -> npt.NDArray[np.bool_]:
    """Mark the greatest share of some scores, rounded up; of equal ones the first.

    >>> most(np.array([0.1, 0.9, 0.5, 0.7]), 0.5).tolist()
    [False, True, False, True]
    """
    marked = np.zeros(len(scores), bool)
    marked[np.argsort(-scores, kind="stable")[: int(np.ceil(share * len(scores)))]] = True
    return marked


def _most_informed(study: Study) -> tuple[Model, list[int]]:
    """Return the chosen variant's model on plain text, if there is one, with its seeds."""
    results, model = load_results(study.catalogue).results, study.models[study.split]
    plain = model._replace(text="plain")
    chosen = plain if seeds_of(plain, results) else model
    return chosen, seeds_of(chosen, results)


def check_labels(study: Study, suspects: Suspects) -> dict[str, pd.DataFrame] | None:
    """Compare suspicions with what is true of a catalogue, or return None where nobody knows.

    Returns
    -------
    `label_check`: for each way to choose labels to look at (`chosen`), how many `products` that are, `wrong` (of them),
    and `precision` and `recall` with the limits of Wilson's interval; one row is of all held-out products, and its
    precision is that of chance. `label_ranking`: what `confident_learning.average_precisions` returns; without wrong
    labels empty.
    """
    true = known_truth(study.catalogue)
    if true is None:
        return None
    products = pd.read_parquet(existing(build_dir(study.catalogue, "clean", "products.parquet")))
    damage = products["product_id"].iloc[suspects.rows].map(dict(zip(true["product_id"], true["damage"], strict=True)))
    known = damage.notna().to_numpy()
    there = np.array([WRONG_LABEL in kinds for kinds in damage[known]], bool)
    odds, quality = suspects.odds[known], suspects.quality[known]
    chosen = {"all held-out products": np.ones(len(there), bool)}
    chosen["called wrong by confident learning"] = np.any(suspects.suspected[known], axis=1)
    chosen |= {f"first {100 * share:.0f}% by {ODDS}": most(odds, share) for share in BUDGETS}
    check = pd.DataFrame([_score(name, found, there) for name, found in chosen.items()])
    if not there.any():
        return {"label_check": check, "label_ranking": pd.DataFrame({"score": []})}
    scores = {BASELINE: baseline(products, suspects.rows)[known], ODDS: odds, "cleanlab's label quality": 1 - quality}
    groups = load_truth(study.catalogue).groups[suspects.rows[known]]
    weights = study.tested[study.split].weights
    return {"label_check": check, "label_ranking": average_precisions(there, scores, groups, weights, BASELINE)}


def _score(name: str, found: npt.NDArray[np.bool_], there: npt.NDArray[np.bool_]) -> dict[str, str | float]:
    score = Score(int(found.sum()), int((found & there).sum()), int(there.sum()))
    row: dict[str, str | float] = {"chosen": name, "products": score.found, "wrong": score.right}
    for kind, of in (("precision", score.found), ("recall", score.there)):
        share, low, high = wilson(score.shares[kind], max(of, 1))
        row |= {kind: share, f"{kind}_low": low, f"{kind}_high": high}
    return row


def baseline(products: pd.DataFrame, rows: npt.NDArray[np.int32]) -> Floats:
    """Return the suspicion of the linear baseline for some rows; it may also learn from others, `MAX_LABELS` in all."""
    others = products.drop(index=products.index[rows]).nsmallest(max(MAX_LABELS - len(rows), 0), "sampling_key")
    return label_suspicion(pd.concat([products.iloc[rows], others]))[: len(rows)]
