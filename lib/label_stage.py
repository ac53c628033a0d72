"""The `labels` stage: how many labels are needed, and which, as tables in `reports/NAME/labels/`."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from lib.bootstrap import Sample, differences, group_weights, intervals, resample, seed_means
from lib.config import get_variant, load_params, report_dir
from lib.contrasts import verdict
from lib.errors import StudyError
from lib.evaluate import usual_decodings
from lib.label_curve import Curve, check_table, interval, law_table, needed_table
from lib.label_pool import Pool
from lib.label_runs import Outcome, run_all
from lib.pairs import main_recipes
from lib.results import SAMPLED, resample_all
from lib.tables import read_table

FOLDER = "labels"
BASELINES = ("random", "one_per_group")
"""What strategies are compared with: the first is what a shop does that does nothing, the second knows its copies."""

MIN_GROUPS = 40
STRATEGIES = ("random", "one_per_group", "copied", "uncertainty", "diversity", "mixed")  # of lib.active_learning
TABLES = ("curve", "laws", "check", "needed", "strategies", "contrasts", "saved", "grouping", "copies")

Floats = npt.NDArray[np.float64]


class Learning(NamedTuple):
    """What active learning came to.

    Attributes
    ----------
    budgets
        Labels in all after each round.
    samples
        Strategy -> its path accuracy on test products, a column a budget.
    groups
        Strategy -> near-duplicate groups among its labels, mean over seeds, one number a budget.
    """

    budgets: list[int]
    samples: dict[str, Sample]
    groups: dict[str, list[float]]


def open_curve(catalogue: str) -> tuple[Curve, pd.DataFrame]:
    """Read the learning curve that `params.yaml` names: path accuracy on test products, decoded as usual.

    Returns
    -------
    curve
        Resampled by near-duplicate group and by seed, all sizes on the same draws.
    table
        `variant, recipe, text, split, train_size, mean, low, high, seeds`.

    Raises
    ------
    StudyError
        If there is no such run.
    """
    params, results = load_params(), read_table(report_dir(catalogue, "results.csv"))
    settings = params.labels
    text = settings.text if "text" in get_variant(params, settings.variant).inputs else "masked"
    recipes = main_recipes(zip(results["variant"], results["recipe"], strict=True), params.runs[0].recipe)
    wanted = {"variant": settings.variant, "text": text, "split": settings.split}
    wanted["recipe"] = recipes.get(settings.variant, "")
    found = results[(results[list(wanted)] == list(wanted.values())).all(axis=1)]
    if not len(found):
        raise StudyError(
            f"labels: no run of '{settings.variant}' on {text} text and the {settings.split} split is in results.csv "
            f"of '{catalogue}'. Add one to runs in params.yaml, or choose another variant or text."
        )
    samples = {m: s for m, s in resample_all(catalogue, found).items() if m.measured_on == "test"}
    decoding = usual_decodings((measure.variant, measure.decoding) for measure in samples)[settings.variant]
    ordered = sorted((m.train_size, m, s) for m, s in samples.items() if m.decoding == decoding)
    path = SAMPLED.index("path")
    rows = [(m.variant, m.recipe, m.text, m.split, size, *intervals(s)[path], len(s.seeds)) for size, m, s in ordered]
    columns = ["variant", "recipe", "text", "split", "train_size", "mean", "low", "high", "seeds"]
    accuracy = np.stack([means[:, path] for means in seed_means([sample for *_, sample in ordered])], axis=1)
    return Curve(np.array([size for size, *_ in ordered]), accuracy), pd.DataFrame(rows, columns=columns)


def curve_tables(curve: Curve, targets: list[float]) -> dict[str, pd.DataFrame]:
    """Fit the laws, check them, and ask them for labels; see `lib.label_curve`."""
    return {"laws": law_table(curve), "check": check_table(curve), "needed": needed_table(curve, targets)}


def affordable(budgets: Sequence[int], pool: Pool) -> list[int]:
    """Return the budgets that the pool has enough groups for; where it has for none, half and all of its groups.

    Raises
    ------
    StudyError
        If there are too few groups for anything.
    """
    groups = len(np.unique(pool.groups[pool.rows]))
    if groups < MIN_GROUPS:
        raise StudyError(
            f"labels: active learning needs {MIN_GROUPS} near-duplicate groups to choose from. Got {groups}."
        )
    return [budget for budget in budgets if budget <= groups] or [groups // 2, groups]


def run_strategies(pool: Pool, budgets: list[int], seeds: int, candidates: int, workers: int | None = None) -> Learning:
    """Run every strategy with every seed; workers as in `lib.label_runs.run_all`."""
    return gather(pool, budgets, run_all(pool, STRATEGIES, budgets, seeds, candidates, workers))


def gather(pool: Pool, budgets: list[int], outcomes: Mapping[tuple[str, int], Outcome]) -> Learning:
    """Resample what strategies came to, all on the same draws of test groups and of seeds."""
    weights = group_weights(int(pool.groups.max()) + 1)
    samples, groups = {}, {}
    for strategy in (name for name in STRATEGIES if name in {of for of, _ in outcomes}):
        seeds = sorted(seed for of, seed in outcomes if of == strategy)
        found = [outcomes[strategy, seed] for seed in seeds]
        right = [one.right.T for one in found]
        samples[strategy] = resample(seeds, right, [pool.groups[pool.test]] * len(seeds), weights)
        counts = [[len(np.unique(pool.groups[one.asked[:budget]])) for budget in budgets] for one in found]
        groups[strategy] = np.mean(counts, axis=0).tolist()
    return Learning(budgets, samples, groups)


def strategy_tables(learning: Learning) -> dict[str, pd.DataFrame]:
    """Measure the strategies, and compare each with the baselines.

    Returns
    -------
    `strategies`: `strategy, labels, mean, low, high, groups, seeds`. `contrasts`, paired by seed and test group:
    `strategy, against, labels, difference, low, high, verdict`. `saved`: see `saved_table`.
    """
    rows, contrasts = [], []
    for strategy, sample in learning.samples.items():
        for place, (budget, found) in enumerate(zip(learning.budgets, intervals(sample), strict=True)):
            rows.append((strategy, budget, *found, learning.groups[strategy][place], len(sample.seeds)))
        for against in BASELINES[: BASELINES.index(strategy) if strategy in BASELINES else None]:
            gains = differences(sample, learning.samples[against])
            for budget, gain in zip(learning.budgets, gains, strict=True):
                contrasts.append((strategy, against, budget, *gain, verdict(gain.low, gain.high)))
    return {
        "strategies": pd.DataFrame(rows, columns=["strategy", "labels", "mean", "low", "high", "groups", "seeds"]),
        "contrasts": pd.DataFrame(
            contrasts, columns=["strategy", "against", "labels", "difference", "low", "high", "verdict"]
        ),
        "saved": saved_table(learning),
    }


def saved_table(learning: Learning) -> pd.DataFrame:
    """Say with how many labels each strategy is as accurate as `random` is with the largest budget.

    Returns
    -------
    DataFrame
        `strategy, accuracy, labels, low, high` (infinite where it is not with the largest budget)`, saved, saved_low,
        saved_high` (share of the largest budget; minus infinity)`, reached` (share of the draws in which it is).
    """
    names = list(learning.samples)
    means = dict(zip(names, seed_means([learning.samples[name] for name in names]), strict=True))
    target = means[BASELINES[0]][:, -1]
    rows = []
    for name in names[1:]:
        labels = labels_to_reach(means[name], learning.budgets, target)
        found, saved = interval(labels), interval(1 - labels / learning.budgets[-1])
        rows.append((name, target[0], *found, *saved, float(np.isfinite(labels[1:]).mean())))
    columns = ["strategy", "accuracy", "labels", "low", "high", "saved", "saved_low", "saved_high", "reached"]
    return pd.DataFrame(rows, columns=columns)


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
