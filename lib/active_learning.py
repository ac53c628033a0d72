"""Which products to label next: random sampling, and strategies that look at the products first.

A strategy sees the features of all products of the pool, their near-duplicate groups, and the labels that it has asked
for; it sees no other label, and no test product. All strategies but `random` ask for at most one product of a group,
because a copy's label is known with the first. Those that ask a model begin with the same labels as `one_per_group`.

- `random`: products at random.
- `one_per_group`: the same, but copies of products that were drawn before are passed over.
- `copied`: that again, and each label is copied to all products of the group in the pool.
- `uncertainty`: the products for which the model's two best valid paths are closest (margin sampling; scikit-activeml).
- `diversity`: typical products of clusters in which nothing is labelled yet (TypiClust; Hacohen et al., 2022;
  scikit-activeml), among so many candidates at random, as it does not scale to all.
- `mixed`: the most uncertain products, a few times as many as asked for, are clustered, and the most uncertain of each
  cluster is taken (Zhdanov, 2019, *Diverse mini-batch active learning*, arXiv:1901.05954).

Of the labelled groups every tenth does not train the model but chooses its penalty and when to stop.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from skactiveml.pool import TypiClust, uncertainty_scores
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

from lib.errors import StudyError, nearest
from lib.evaluate import independent
from lib.label_pool import Pool
from lib.linear import SoftmaxRegression

STRATEGIES = ("random", "one_per_group", "copied", "uncertainty", "diversity", "mixed")
ASK_A_MODEL = ("uncertainty", "mixed")
MIN_GROUPS = 10
HELD_OUT = 10  # every tenth labelled group
RIDGES = (10.0, 3.0, 1.0, 0.3, 0.1)
MAX_STEPS = 10
CROWD = 3  # times as many uncertain products as `mixed` takes are clustered
CLUSTERING = {"init": "random", "n_init": 1, "max_iter": 5}  # with thousands of clusters, anything better takes minutes
ROWS_AT_ONCE = 4096

Rows = npt.NDArray[np.intp]
Ask = Callable[[Rows], npt.NDArray[np.int16]]


class Round(NamedTuple):
    """The labels after a round, and the model that they make.

    Attributes
    ----------
    asked
        intp (labels,): the products whose labels were asked for, in that order.
    model
        Fitted on them.
    """

    asked: Rows
    model: SoftmaxRegression


def learn(pool: Pool, ask: Ask, strategy: str, budgets: Sequence[int], seed: int, candidates: int) -> Iterator[Round]:
    """Label products by a strategy, and yield when a budget is spent.

    Parameters
    ----------
    pool
        Its codes are not read: labels come from `ask` alone.
    ask
        Returns the labels of some rows, int16 (rows, 3).
    strategy
        One of `STRATEGIES`.
    budgets
        Labels in all after each round, ascending.
    seed
        Draws the order of products, and of clusterings.
    candidates
        Products at random among which `diversity` chooses.

    Raises
    ------
    StudyError
        If there is no such strategy, or the pool has too few groups.
    """
    if strategy not in STRATEGIES:
        raise StudyError(
            f"There is no strategy '{strategy}'. Known: {list(STRATEGIES)}.{nearest(strategy, STRATEGIES)}"
        )
    order = _order(pool, strategy, seed)
    if len(order) < budgets[-1] or len(np.unique(pool.groups[order])) < MIN_GROUPS:
        raise StudyError(
            f"A budget of {budgets[-1]:,} labels needs so many products to choose from. Got {len(order):,}."
        )
    asked, codes, model = np.empty(0, np.intp), np.empty((0, 3), np.int16), None
    for budget in budgets:
        left, number = order[~np.isin(order, asked)], budget - len(asked)
        chosen = _choose(pool, strategy, left, asked, number, model, seed, candidates)
        asked, codes = np.concatenate([asked, chosen]), np.concatenate([codes, ask(chosen)])
        model = fit(pool, *(copy_labels(pool, asked, codes) if strategy == "copied" else (asked, codes)))
        yield Round(asked, model)


def _order(pool: Pool, strategy: str, seed: int) -> Rows:
    """Return the products that may be asked for, in the order of chance; `random` alone does not pass over copies."""
    drawn = np.random.default_rng(seed).permutation(pool.rows)
    if strategy == "random":
        return drawn
    return drawn[np.sort(np.unique(pool.groups[drawn], return_index=True)[1])]


def _choose(
    pool: Pool,
    strategy: str,
    left: Rows,
    asked: Rows,
    number: int,
    model: SoftmaxRegression | None,
    seed: int,
    candidates: int,
) -> Rows:
    if strategy == "diversity":
        return typical(pool.features, asked, left[: max(candidates, number)], number, seed)
    if model is None or strategy not in ASK_A_MODEL:
        return left[:number]
    scores = uncertainty(pool, model, left)
    by_score = np.argsort(-scores, kind="stable")
    if strategy == "uncertainty":
        return left[by_score[:number]]
    crowd = by_score[: CROWD * number]
    return left[crowd[spread(pool.features[left[crowd]], scores[crowd], number, seed)]]


def uncertainty(pool: Pool, model: SoftmaxRegression, rows: Rows) -> npt.NDArray[np.float64]:
    """Return 1 minus the margin between the probabilities of the two most probable valid paths, (rows,)."""
    parts = []
    for start in range(0, len(rows), ROWS_AT_ONCE):
        levels = model.log_probabilities(np.array(pool.features[rows[start : start + ROWS_AT_ONCE]]))
        sums = np.sum([level[:, codes] for level, codes in zip(levels, pool.paths.T, strict=True)], axis=0)
        shares = np.exp(sums - sums.max(axis=1, keepdims=True)).astype(np.float64)
        shares /= shares.sum(axis=1, keepdims=True)
        parts.append(uncertainty_scores(shares, method="margin_sampling"))
    return np.concatenate(parts)


def typical(features: npt.NDArray[np.float32], asked: Rows, left: Rows, number: int, seed: int) -> Rows:
    """Choose some of the rows `left` by TypiClust: the most typical row of each of the largest unlabelled clusters."""
    rows = np.concatenate([asked, left])
    known = np.where(np.arange(len(rows)) < len(asked), 0.0, np.nan)  # that there is a label, not which
    strategy = TypiClust(random_state=seed, cluster_algo=KMeans, cluster_algo_dict=CLUSTERING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct products than clusters
        chosen: Rows = rows[strategy.query(np.array(features[rows]), known, batch_size=number)]
    return chosen


def spread(features: npt.NDArray[np.float32], scores: npt.NDArray[np.float64], number: int, seed: int) -> Rows:
    """Choose the row with the highest score in each of `number` clusters; where clusters are empty, the highest left.

    Parameters
    ----------
    features
        float32 (rows, features).
    scores
        float64 (rows,), descending.
    """
    if len(scores) <= number:
        return np.arange(len(scores))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        clusters = KMeans(number, random_state=seed, **CLUSTERING).fit_predict(features, sample_weight=scores + 1e-9)
    first = np.unique(clusters, return_index=True)[1]
    rest = np.setdiff1d(np.arange(len(scores)), first)
    return np.sort(np.concatenate([first, rest[: number - len(first)]]))


def copy_labels(pool: Pool, asked: Rows, codes: npt.NDArray[np.int16]) -> tuple[Rows, npt.NDArray[np.int16]]:
    """Give every product of the pool the label of its group's product that was asked for, if one was."""
    place = np.full(int(pool.groups.max()) + 1, -1)
    place[pool.groups[asked]] = np.arange(len(asked))
    found = place[pool.groups[pool.rows]]
    return pool.rows[found >= 0], codes[found[found >= 0]]


def fit(pool: Pool, rows: Rows, codes: npt.NDArray[np.int16]) -> SoftmaxRegression:
    """Fit the model that all strategies share; groups are held out whole."""
    numbers = pd.factorize(pool.groups[rows])[0]
    held = numbers % HELD_OUT == min(HELD_OUT - 1, int(numbers.max()))
    features = np.array(pool.features[rows])
    model = SoftmaxRegression(RIDGES, MAX_STEPS)
    return model.fit(features[~held], codes[~held], pool.class_counts, features[held], codes[held])


def right_paths(pool: Pool, model: SoftmaxRegression) -> npt.NDArray[np.bool_]:
    """Say for each test product whether all levels are right, each decoded on its own: bool (test rows,)."""
    parts = []
    for start in range(0, len(pool.test), ROWS_AT_ONCE):
        rows = pool.test[start : start + ROWS_AT_ONCE]
        said = independent(model.log_probabilities(np.array(pool.features[rows])))
        parts.append((said == pool.codes[rows]).all(axis=1))
    return np.concatenate(parts)
