"""Active learning on a made pool: what strategies may look at, what they choose, and what copies are worth."""

import numpy as np
import pytest
import tiny

from lib.analysis import active_learning
from lib.analysis.active_learning import (
    STRATEGIES,
    Pool,
    affordable,
    copy_labels,
    image_features,
    labels_to_reach,
    learn,
    right_paths,
    run_strategies,
    spread,
    strategy_tables,
    uncertainty,
)
from lib.exceptions import StudyError

PATHS = np.array([(0, 0, 0), (0, 0, 1), (0, 1, 2), (1, 0, 0), (1, 1, 2), (1, 1, 3)], np.int16)
BUDGETS = [20, 40, 60]
EVERY = pytest.mark.parametrize("strategy", STRATEGIES)


def make_pool(products=400, noise=0.5) -> Pool:
    """Return a pool whose features tell the paths apart, more or less; groups have up to three products."""
    random = np.random.default_rng(0)
    groups = np.sort(random.integers(products // 2, size=products))
    path = random.choice(len(PATHS), products // 2, p=[0.4, 0.2, 0.15, 0.1, 0.1, 0.05])[groups]
    features = np.eye(len(PATHS), 8)[path] + random.normal(0, noise, (products, 8))
    test = groups % 4 == 0
    return Pool(
        features.astype(np.float32), PATHS[path], groups, np.flatnonzero(~test), np.flatnonzero(test), PATHS, (2, 2, 4)
    )


class Oracle:
    """Answers with labels, and remembers what it was asked."""

    def __init__(self, pool):
        self.pool, self.asked = pool, []

    def __call__(self, rows):
        self.asked += rows.tolist()
        return self.pool.codes[rows]


def run(pool, strategy, ask=None, seed=0):
    return list(learn(pool, ask or Oracle(pool), strategy, BUDGETS, seed, 100))


@EVERY
def test_budgets_are_kept_and_no_test_product_or_copy_is_asked_for(strategy):
    pool = make_pool()
    oracle = Oracle(pool)
    rounds = run(pool, strategy, oracle)
    assert [len(one.asked) for one in rounds] == BUDGETS
    assert rounds[-1].asked.tolist() == oracle.asked
    assert len(set(oracle.asked)) == BUDGETS[-1]
    assert set(oracle.asked) <= set(pool.rows.tolist())
    groups = pool.groups[oracle.asked]
    assert (len(set(groups)) == len(groups)) == (strategy != "random")


@EVERY
def test_labels_that_were_not_asked_for_have_no_say(strategy):
    pool = make_pool()
    rounds = run(pool, strategy)
    hidden = np.setdiff1d(np.arange(len(pool.codes)), rounds[-1].asked)
    pool.codes[hidden] = PATHS[np.random.default_rng(1).integers(len(PATHS), size=len(hidden))]
    again = run(pool, strategy)
    for one, other in zip(rounds, again, strict=True):
        np.testing.assert_array_equal(one.asked, other.asked)
        np.testing.assert_array_equal(one.model.weights, other.model.weights)


def test_strategies_that_ask_a_model_begin_as_one_per_group_does():
    pool = make_pool()
    first = run(pool, "one_per_group")[0].asked
    for strategy in ("copied", "uncertainty", "mixed"):
        np.testing.assert_array_equal(run(pool, strategy)[0].asked, first)
    assert run(pool, "one_per_group", seed=1)[0].asked.tolist() != first.tolist()


def test_uncertainty_takes_the_smallest_margins():
    pool = make_pool()
    first, second, _ = run(pool, "uncertainty")
    taken = second.asked[len(first.asked) :]
    unlabelled = np.setdiff1d(pool.rows, pool.rows[np.isin(pool.groups[pool.rows], pool.groups[second.asked])])
    assert uncertainty(pool, first.model, taken).min() >= np.median(uncertainty(pool, first.model, unlabelled))


def test_a_copied_label_is_that_of_the_group():
    pool = make_pool()
    asked = run(pool, "copied")[-1].asked
    rows, codes = copy_labels(pool, asked, pool.codes[asked])
    assert set(rows) == set(pool.rows[np.isin(pool.groups[pool.rows], pool.groups[asked])])
    np.testing.assert_array_equal(codes, pool.codes[rows])  # groups of the made pool agree


def test_spread_takes_as_many_as_asked_for_though_clusters_are_few():
    features, scores = np.zeros((30, 2), np.float32), np.linspace(1, 0, 30)
    chosen = spread(features, scores, 10, seed=0)
    assert len(set(chosen)) == 10
    assert spread(features[:5], scores[:5], 10, seed=0).tolist() == list(range(5))


def test_the_model_learns():
    pool = make_pool(noise=0.2)
    assert right_paths(pool, run(pool, "random")[-1].model, pool.test).mean() > 0.8


def test_wrong_input_is_refused():
    pool = make_pool()
    with pytest.raises(StudyError, match=r"There is no strategy 'randon'.*'random'"):
        run(pool, "randon")
    with pytest.raises(StudyError, match="budget of 1,000 labels"):
        list(learn(pool, Oracle(pool), "random", [1000], 0, 100))
    assert affordable([20, 10_000], pool) == [20]
    groups = len(set(pool.groups[pool.rows]))
    assert affordable([10_000], pool) == [groups // 2, groups]
    with pytest.raises(StudyError, match="near-duplicate groups to choose from"):
        affordable([20], make_pool(60))


def test_two_runs_are_the_same_and_their_tables_fit_together():
    pool = make_pool()
    first, second = (run_strategies(pool, BUDGETS, 2, 100, workers=0) for _ in range(2))
    assert set(first) == {(name, seed) for name in STRATEGIES for seed in (0, 1)}
    for call, outcome in first.items():
        np.testing.assert_array_equal(outcome.right, second[call].right)
        np.testing.assert_array_equal(outcome.asked, second[call].asked)
    tables = strategy_tables(pool, BUDGETS, first)
    table = tables["strategies"].set_index(["strategy", "labels"])
    assert table.loc[("random", 60), "mean"] == pytest.approx(np.mean([first["random", s].right[2] for s in (0, 1)]))
    assert table.loc[("one_per_group", 40), "groups"] == 40
    row = tables["contrasts"].set_index(["strategy", "against", "labels"]).loc[("mixed", "random", 60)]
    assert row["difference"] == pytest.approx(table.loc[("mixed", 60), "mean"] - table.loc[("random", 60), "mean"])
    assert row["low"] <= row["difference"] <= row["high"]
    assert len(tables["contrasts"]) == (5 + 4) * len(BUDGETS)
    assert tables["saved"]["strategy"].tolist() == list(STRATEGIES[1:])


def test_the_first_crossing_counts():
    curves = np.array([[0.9, 0.5, 0.9], [0.1, 0.8, 0.2], [0.1, 0.2, 0.3]])
    found = labels_to_reach(curves, [10, 100, 1000], np.array([0.8, 0.8, 0.8]))
    assert found.tolist() == pytest.approx([10, 100, np.inf])


def test_components_are_learnt_on_the_rows_that_are_named():
    random = np.random.default_rng(0)
    image = random.normal(size=(60, 12)).astype(np.float16)
    rows = np.arange(40)
    found = image_features(image, rows, 5)
    image[40:] = 0
    np.testing.assert_array_equal(image_features(image, rows, 5)[:40], found[:40])
    assert found.shape == (60, 5)


def test_the_pool_of_a_catalogue_has_no_test_product_and_its_features_no_scale(tmp_path, monkeypatch):
    monkeypatch.setenv("STUDY_ROOT", str(tmp_path))
    settings = tiny.params()["labels"] | {"split": "grouped", "text_components": 10, "image_components": 5}
    tiny.write(tmp_path, labels=settings)
    pool = active_learning.make_pool("tiny")
    assert not set(pool.rows) & set(pool.test)
    assert not set(pool.groups[pool.rows]) & set(pool.groups[pool.test])
    assert pool.features[pool.rows].mean() == pytest.approx(0, abs=1e-4)
    assert pool.features.dtype == np.float32
