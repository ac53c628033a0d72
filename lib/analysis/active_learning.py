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
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from scipy import sparse
from skactiveml.pool import TypiClust, uncertainty_scores
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.preprocessing import OneHotEncoder
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from lib.analysis.labels import limits
from lib.config import LEVELS, build_dir, load_params
from lib.evaluation.bootstrap import Floats, differences, group_weights, intervals, resample, seed_means
from lib.evaluation.contrasts import verdict
from lib.exceptions import StudyError, nearest
from lib.features.text import STOP_WORDS, Texts, count_ngrams
from lib.files import existing, read_json
from lib.models.linear import SoftmaxRegression
from lib.processes import worker_pool
from lib.training.metrics import independent

STRATEGIES = ("random", "one_per_group", "copied", "uncertainty", "diversity", "mixed")
BASELINES = ("random", "one_per_group")
"""What strategies are compared with: the first is what a shop does that does nothing, the second knows its copies."""

LONGEST = "diversity"
MIN_GROUPS, ENOUGH_GROUPS = 10, 40  # to fit a model on, and to choose from
MIN_ROWS = 2  # pool rows that must contain a word, or have a brand, for it to be a column
FIT_ROWS = 10_000  # pool rows that photos' components are computed from, at most
HELD_OUT = 10  # every tenth labelled group
RIDGES = (10.0, 3.0, 1.0, 0.3, 0.1)
MAX_STEPS = 10
CROWD = 3  # times as many uncertain products as `mixed` takes are clustered
CLUSTERING = {"init": "random", "n_init": 1, "max_iter": 5}  # with thousands of clusters, anything better takes minutes
ROWS_AT_ONCE = 4096

Numbers = npt.NDArray[np.intp]
Features = npt.NDArray[np.float32]
Ask = Callable[[Numbers], npt.NDArray[np.int16]]


# Products to choose from


@dataclass(frozen=True)
class Pool:
    """Products to choose from, and products to test on, as features that no label has a say in.

    Attributes
    ----------
    features
        float32 (rows, features): all products of the catalogue, in the order of `clean/products.parquet`.
    codes
        int16 (rows, 3): what a label says.
    groups
        intp (rows,): near-duplicate groups.
    rows
        intp: the products to choose from, training and validation rows of the split.
    test
        intp: the test rows.
    paths
        int16 (valid paths, 3).
    class_counts
        Classes of each level.
    """

    features: Features
    codes: npt.NDArray[np.int16]
    groups: Numbers
    rows: Numbers
    test: Numbers
    paths: npt.NDArray[np.int16]
    class_counts: tuple[int, ...]


def make_pool(catalogue: str) -> Pool:
    """Read a catalogue, and reduce its words, brands and photos to few features, learnt on the pool without labels."""
    params = load_params()
    settings = params.labels
    codes = [f"{level}_code" for level in LEVELS]
    columns = ["brand", "group", f"{settings.split}_split", *codes]
    products = pd.read_parquet(existing(build_dir(catalogue, "clean", "products.parquet")), columns=columns)
    taxonomy = read_json(build_dir(catalogue, "clean", "taxonomy.json"))
    test = (products[f"{settings.split}_split"] == "test").to_numpy()
    rows = np.flatnonzero(~test)
    texts = Texts.read(catalogue, settings.text).without(STOP_WORDS[params.text.stop_words])
    words = count_ngrams(texts, 1)[0]
    image = np.load(existing(build_dir(catalogue, "image", "features.npy")), mmap_mode="r")
    features = [text_features(words, products["brand"], rows, settings.text_components)]
    if image.shape[1]:  # or no product has a photo
        features.append(image_features(image, rows, settings.image_components))
    return Pool(
        np.hstack([_of_unit_variance(part, rows) for part in features]),
        products[codes].to_numpy(np.int16),
        np.unique(products["group"].to_numpy(), return_inverse=True)[1],
        rows,
        np.flatnonzero(test),
        np.array(taxonomy["paths"], np.int16),
        tuple(len(names) for names in taxonomy["levels"]),
    )


def text_features(words: sparse.csr_array, brands: "pd.Series[str]", rows: Numbers, components: int) -> Features:
    """Reduce words (TF-IDF) and one-hot brands, side by side, by a truncated SVD that is fitted on some rows.

    Returns
    -------
    float32 (all rows, at most `components`)
    """
    frequent = np.bincount(words[rows].indices, minlength=words.shape[1]) >= MIN_ROWS
    counts = words[:, np.flatnonzero(frequent)]
    brand = brands.to_numpy(object)[:, None]
    encoder = OneHotEncoder(handle_unknown="ignore", min_frequency=MIN_ROWS, dtype=np.float32).fit(brand[rows])
    parts = [TfidfTransformer(sublinear_tf=True).fit(counts[rows]).transform(counts), encoder.transform(brand)]
    X = sparse.csr_matrix(sparse.hstack(parts, format="csr", dtype=np.float32))
    svd = TruncatedSVD(min(components, X.shape[1] - 1), n_iter=3, random_state=0).fit(X[rows])
    return np.asarray(svd.transform(X), np.float32)


def image_features(image: npt.NDArray[np.float16], rows: Numbers, components: int) -> Features:
    """Reduce photos' features by principal components that are computed from at most `FIT_ROWS` of some rows.

    Returns
    -------
    float32 (all rows, at most `components`)
    """
    drawn = np.sort(np.random.default_rng(0).permutation(rows)[:FIT_ROWS])
    sample = image[drawn].astype(np.float32)
    pca = PCA(min(components, *sample.shape), svd_solver="covariance_eigh").fit(sample)
    chunks = (image[start : start + ROWS_AT_ONCE] for start in range(0, len(image), ROWS_AT_ONCE))
    return np.concatenate([pca.transform(chunk.astype(np.float32)) for chunk in chunks]).astype(np.float32)


def _of_unit_variance(features: Features, rows: Numbers) -> Features:
    """Centre features and give them a mean variance of 1, all by one factor, so that words and photos count alike."""
    mean, variance = features[rows].mean(axis=0), features[rows].var(axis=0).mean()
    scaled: Features = ((features - mean) / np.sqrt(max(float(variance), 1e-12))).astype(np.float32)
    return scaled


def too_few(pool: Pool) -> str | None:
    """Say that there are too few groups for anything, if so."""
    groups = len(np.unique(pool.groups[pool.rows]))
    if groups >= ENOUGH_GROUPS:
        return None
    return f"Active learning needs {ENOUGH_GROUPS} near-duplicate groups to choose from. This catalogue has {groups}."


def affordable(budgets: Sequence[int], pool: Pool) -> list[int]:
    """Return the budgets that the pool has enough groups for; where it has for none, half and all of its groups.

    Raises
    ------
    StudyError
        If there are too few groups for anything.
    """
    if problem := too_few(pool):
        raise StudyError(f"labels: {problem}")
    groups = len(np.unique(pool.groups[pool.rows]))
    return [budget for budget in budgets if budget <= groups] or [groups // 2, groups]


# Rounds of labelling


class Round(NamedTuple):
    """The labels after a round, and the model that they make.

    Attributes
    ----------
    asked
        intp (labels,): the products whose labels were asked for, in that order.
    model
        Fitted on them.
    """

    asked: Numbers
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
    order = np.random.default_rng(seed).permutation(pool.rows)
    if strategy != "random":
        order = one_per_group(pool, order)
    if len(order) < budgets[-1] or len(np.unique(pool.groups[order])) < MIN_GROUPS:
        raise StudyError(
            f"A budget of {budgets[-1]:,} labels needs so many products to choose from. Got {len(order):,}."
        )
    asked, codes, model = np.empty(0, np.intp), np.empty((0, 3), np.int16), None
    for budget in budgets:
        left, number = order[~np.isin(order, asked)], budget - len(asked)
        if strategy == "diversity":
            chosen = typical(pool.features, asked, left[: max(candidates, number)], number, seed)
        elif model is None or strategy not in ("uncertainty", "mixed"):
            chosen = left[:number]
        else:
            scores = uncertainty(pool, model, left)
            crowd = np.argsort(-scores, kind="stable")
            if strategy == "mixed":
                crowd = crowd[: CROWD * number]
                crowd = crowd[spread(pool.features[left[crowd]], scores[crowd], number, seed)]
            chosen = left[crowd[:number]]
        asked, codes = np.concatenate([asked, chosen]), np.concatenate([codes, ask(chosen)])
        model = fit(pool, *(copy_labels(pool, asked, codes) if strategy == "copied" else (asked, codes)))
        yield Round(asked, model)


def one_per_group(pool: Pool, order: Numbers) -> Numbers:
    """Pass over copies of products that come earlier."""
    return order[np.sort(np.unique(pool.groups[order], return_index=True)[1])]


def uncertainty(pool: Pool, model: SoftmaxRegression, rows: Numbers) -> Floats:
    """Return 1 minus the margin between the probabilities of the two most probable valid paths, (rows,)."""
    parts = []
    for _, levels in _asked(pool, model, rows):
        sums = np.sum([level[:, codes] for level, codes in zip(levels, pool.paths.T, strict=True)], axis=0)
        shares = np.exp(sums - sums.max(axis=1, keepdims=True)).astype(np.float64)
        shares /= shares.sum(axis=1, keepdims=True)
        parts.append(uncertainty_scores(shares, method="margin_sampling"))
    return np.concatenate(parts)


def typical(features: Features, asked: Numbers, left: Numbers, number: int, seed: int) -> Numbers:
    """Choose some of the rows `left` by TypiClust: the most typical row of each of the largest unlabelled clusters."""
    rows = np.concatenate([asked, left])
    known = np.where(np.arange(len(rows)) < len(asked), 0.0, np.nan)  # that there is a label, not which
    strategy = TypiClust(random_state=seed, cluster_algo=KMeans, cluster_algo_dict=CLUSTERING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct products than clusters
        chosen: Numbers = rows[strategy.query(features[rows], known, batch_size=number)]
    return chosen


def spread(features: Features, scores: Floats, number: int, seed: int) -> Numbers:
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


def copy_labels(pool: Pool, asked: Numbers, codes: npt.NDArray[np.int16]) -> tuple[Numbers, npt.NDArray[np.int16]]:
    """Give every product of the pool the label of its group's product that was asked for, if one was."""
    place = np.full(int(pool.groups.max()) + 1, -1)
    place[pool.groups[asked]] = np.arange(len(asked))
    source = place[pool.groups[pool.rows]]
    return pool.rows[source >= 0], codes[source[source >= 0]]


def fit(pool: Pool, rows: Numbers, codes: npt.NDArray[np.int16]) -> SoftmaxRegression:
    """Fit the model that all strategies share; groups are held out whole."""
    numbers = pd.factorize(pool.groups[rows])[0]
    held = numbers % HELD_OUT == min(HELD_OUT - 1, int(numbers.max()))
    features = pool.features[rows]
    model = SoftmaxRegression(RIDGES, MAX_STEPS)
    return model.fit(features[~held], codes[~held], pool.class_counts, features[held], codes[held])


def right_paths(pool: Pool, model: SoftmaxRegression, rows: Numbers) -> npt.NDArray[np.bool_]:
    """Say for some products whether all levels are right, each decoded on its own: bool (rows,)."""
    right = [(independent(levels) == pool.codes[part]).all(axis=1) for part, levels in _asked(pool, model, rows)]
    return np.concatenate(right)


def _asked(pool: Pool, model: SoftmaxRegression, rows: Numbers) -> Iterator[tuple[Numbers, list[Features]]]:
    """Yield some rows at a time, and the model's log-probabilities of each level."""
    for start in range(0, len(rows), ROWS_AT_ONCE):
        part = rows[start : start + ROWS_AT_ONCE]
        yield part, model.log_probabilities(pool.features[part])


# All strategies side by side


class Outcome(NamedTuple):
    """What one strategy made of its budgets with one seed.

    Attributes
    ----------
    right
        bool (budgets, test rows): whether the path is right.
    asked
        intp (largest budget,): the products that were labelled, in order; each budget is a beginning of it.
    """

    right: npt.NDArray[np.bool_]
    asked: Numbers


def run_strategies(
    pool: Pool, budgets: Sequence[int], seeds: int, candidates: int, workers: int | None = None
) -> dict[tuple[str, int], Outcome]:
    """Run every strategy with every seed, side by side: each in a process of its own, on one thread.

    Parameters
    ----------
    workers
        Processes; by default one a core. 0: all in this process.

    Returns
    -------
    (strategy, seed) -> what came of it.
    """
    calls = [(strategy, seed) for strategy in STRATEGIES for seed in range(seeds)]
    calls.sort(key=lambda call: call[0] != LONGEST)  # so that the longest ones do not end alone
    if workers == 0:
        return {call: _run_strategy(pool, *call, budgets, candidates) for call in calls}
    outcomes = {}
    with worker_pool(workers, __name__) as processes:
        try:
            futures = {processes.submit(_run_strategy, pool, *call, budgets, candidates): call for call in calls}
            for future in tqdm(as_completed(futures), "active learning", len(calls), unit="run"):
                outcomes[futures[future]] = future.result()
        finally:
            processes.shutdown(wait=False, cancel_futures=True)
    return outcomes


def _run_strategy(pool: Pool, strategy: str, seed: int, budgets: Sequence[int], candidates: int) -> Outcome:
    torch.set_num_threads(1)  # the same sums in the same order, however many cores there are
    with threadpool_limits(1):
        rounds = list(learn(pool, pool.codes.__getitem__, strategy, budgets, seed, candidates))
        right = np.stack([right_paths(pool, one.model, pool.test) for one in rounds])
    return Outcome(right, rounds[-1].asked)


def strategy_tables(
    pool: Pool, budgets: Sequence[int], outcomes: Mapping[tuple[str, int], Outcome]
) -> dict[str, pd.DataFrame]:
    """Measure the strategies, and compare each with the baselines, all on the same draws of test groups and of seeds.

    Returns
    -------
    strategies
        `strategy, labels, mean, low, high, groups` (among the labels, mean over seeds)`, seeds`.
    contrasts
        Paired by seed and test group: `strategy, against, labels, difference, low, high, verdict`.
    saved
        With how many labels each strategy is as accurate as `random` is with the largest budget: `strategy, accuracy,
        labels, low, high` (infinite where it is not with the largest budget)`, saved, saved_low, saved_high` (share of
        the largest budget; minus infinity)`, reached` (share of the draws in which it is).
    """
    weights, samples = group_weights(int(pool.groups.max()) + 1), {}
    strategies, contrasts, saved = [], [], []
    for strategy in (name for name in STRATEGIES if (name, 0) in outcomes):
        seeds = sorted(seed for name, seed in outcomes if name == strategy)
        runs = [outcomes[strategy, seed] for seed in seeds]
        sample = resample(seeds, [run.right.T for run in runs], [pool.groups[pool.test]] * len(seeds), weights)
        samples[strategy] = sample
        for budget, measured in zip(budgets, intervals(sample), strict=True):
            groups = np.mean([len(np.unique(pool.groups[run.asked[:budget]])) for run in runs])
            strategies.append((strategy, budget, *measured, groups, len(seeds)))
        for against in BASELINES[: BASELINES.index(strategy) if strategy in BASELINES else None]:
            for budget, gain in zip(budgets, differences(sample, samples[against]), strict=True):
                contrasts.append((strategy, against, budget, *gain, verdict(gain.low, gain.high)))
    target, *others = seed_means(list(samples.values()))
    for strategy, accuracy in zip(list(samples)[1:], others, strict=True):
        labels = labels_to_reach(accuracy, budgets, target[:, -1])
        reached = float(np.isfinite(labels[1:]).mean())
        saved.append((strategy, target[0, -1], *limits(labels), *limits(1 - labels / budgets[-1]), reached))
    of_saved = ["strategy", "accuracy", "labels", "low", "high", "saved", "saved_low", "saved_high", "reached"]
    of_strategies = ["strategy", "labels", "mean", "low", "high", "groups", "seeds"]
    of_contrasts = ["strategy", "against", "labels", "difference", "low", "high", "verdict"]
    return {
        "strategies": pd.DataFrame(strategies, columns=of_strategies),
        "contrasts": pd.DataFrame(contrasts, columns=of_contrasts),
        "saved": pd.DataFrame(saved, columns=of_saved),
    }


def labels_to_reach(accuracy: Floats, budgets: Sequence[int], target: Floats) -> Floats:
    """Interpolate, on a logarithmic scale of labels, where curves first reach a target.

    Parameters
    ----------
    accuracy
        (curves, budgets)
    target
        (curves,)

    Returns
    -------
    float64 (curves,): at least the smallest budget; infinite where a curve does not get there.

    Examples
    --------
    >>> labels_to_reach(np.array([[0.5, 0.7], [0.5, 0.7]]), [100, 400], np.array([0.6, 0.8])).round(6).tolist()
    [200.0, inf]
    """
    labels = np.where(accuracy[:, 0] >= target, float(budgets[0]), np.inf)
    sizes = np.log(np.array(budgets, float))
    for place in range(1, len(budgets)):
        before, after = accuracy[:, place - 1], accuracy[:, place]
        crossing = np.isinf(labels) & (after >= target)
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):  # of curves that do not cross here
            part = (target - before) / (after - before)
            here = np.exp(sizes[place - 1] + part * (sizes[place] - sizes[place - 1]))
        labels = np.where(crossing, here, labels)
    return labels
