"""Are promises kept? Measured on test products, and over many redrawn calibration and test parts."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from scipy.stats import beta

from lib.bootstrap import SEED, Floats
from lib.business_measure import Groups, calibration_error, reliability
from lib.business_stage import Ints, Judged, Study, depths, groups_of, judge, lowest, reweighted
from lib.config import LEVELS
from lib.tagging.promises import tagged_depth

UNITS = ("distinct products", "products")
SOME_LEVEL = "any level"
UNCALIBRATED, FITTED, CALIBRATED = "parts added up", "fitted weights", "calibrated"


def weights_of(unit: str, groups: Groups) -> Floats:
    """Return the weights of a unit: near-duplicates count as one product, or each on its own."""
    return groups.shares if unit == UNITS[0] else np.ones(len(groups.shares))


def kept_on_test(study: Study, test: Judged) -> pd.DataFrame:
    """Measure what each promise comes to on test products.

    Returns
    -------
    DataFrame
        `precision, depth` (3, 2, 1: tagged so far and no deeper; or any level)`, unit, threshold, share, share_low,
        share_high` (of products that are tagged so)`, achieved, low, high` (share of these that is right).
    """
    groups, rows = groups_of(study.test), []
    for precision in study.settings.precisions:
        assert study.tagger.promises is not None
        limits = study.tagger.promises.thresholds_for(precision)
        depth = depths(study, test, precision)
        for unit in UNITS:
            for name, tagged, right in _by_depth(depth, test.right):
                weights = weights_of(unit, groups)
                share = groups.ratio(tagged, np.ones(len(depth)), weights)
                limit = np.nan if name == SOME_LEVEL or np.isinf(limits[int(name) - 1]) else limits[int(name) - 1]
                rows.append((precision, name, unit, limit, *share, *groups.ratio(right, tagged, weights)))
    columns = ["precision", "depth", "unit", "threshold", "share", "share_low", "share_high", "achieved", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


def _by_depth(depth: Ints, right: np.ndarray) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    for level in (3, 2, 1):
        yield str(level), depth == level, right[:, level - 1]
    yield SOME_LEVEL, depth > 0, right[np.arange(len(depth)), np.maximum(depth, 1) - 1]


def resample_promises(study: Study, calibration: Judged, tuning: Judged, test: Judged) -> pd.DataFrame:
    """Redraw which groups are calibrated on and which are tested on, make the promises again, and measure them.

    Calibration and test products alike were seen by nothing that is fitted. A draw takes as many groups to calibrate on
    as there are, and tests on all the others.

    Returns
    -------
    DataFrame
        `draw, precision, depth, threshold, share, achieved` (NaN where nothing is promised or tagged)`, achieved_all`
        (on the groups of both parts: nearer to the truth than one part's).
    """
    judged, parts = (calibration, test), (study.calibration, study.test)
    confidence = np.concatenate([one.confidence for one in judged])
    right = np.concatenate([one.right for one in judged])
    counts = [len(part.one_each) for part in parts]
    groups = [np.unique(part.groups, return_inverse=True)[1] for part in parts]
    member = np.concatenate([groups[0], groups[1] + counts[0]])  # the parts have no group in common
    shares = np.concatenate([groups_of(part).shares for part in parts])
    one_each = np.concatenate([parts[0].one_each, parts[1].one_each + len(groups[0])])
    tuned, random, rows = tuning.confidence[study.tuning.one_each], np.random.default_rng(SEED), []
    for draw in range(study.settings.resamplings):
        drawn = random.permutation(sum(counts))
        held = one_each[drawn[: counts[0]]]
        tested = np.zeros(sum(counts), bool)
        tested[drawn[counts[0] :]] = True
        on_test = shares * tested[member]
        for precision in study.settings.precisions:
            limits = lowest(study, confidence[held], right[held], tuned, precision)
            depth = tagged_depth(confidence, limits)
            for name, tagged, correct in _by_depth(depth, right):
                limit = None if name == SOME_LEVEL else limits[int(name) - 1]
                kept = [_share(correct, tagged, weights) for weights in (on_test, shares)]
                rows.append((draw, precision, name, limit, (on_test * tagged).sum() / on_test.sum(), *kept))
    columns = ["draw", "precision", "depth", "threshold", "share", "achieved", "achieved_all"]
    table = pd.DataFrame(rows, columns=columns)
    return table.assign(threshold=table["threshold"].astype(float))


def _share(right: np.ndarray, tagged: np.ndarray, weights: Floats) -> float:
    total = (weights * tagged).sum()
    return float((weights * tagged * right).sum() / total) if total else np.nan


def how_often_kept(draws: pd.DataFrame) -> pd.DataFrame:
    """Count the draws in which a promise was made, and in which it was broken.

    Returns
    -------
    DataFrame
        `precision, depth, draws, promised` (share of draws with a threshold)`, kept, kept_low, kept_high` (share of
        all draws in which no promise was broken on test products, exact 95% interval)`, kept_all` (on both
        parts)`, share, achieved` (means)`, low, high` (5% and 95% quantiles of `achieved`).
    """
    rows = []
    for (precision, depth), part in draws.groupby(["precision", "depth"], sort=False):
        made = part["achieved"].notna()
        broken = int((part["achieved"] < part["precision"]).sum())
        broken_all = float((part["achieved_all"] < part["precision"]).mean())
        limits = exact_interval(len(part) - broken, len(part))
        spread = part["achieved"].quantile([0.05, 0.95]).tolist()
        means = (float(part["share"].mean()), float(part["achieved"].mean()))
        rows.append((precision, depth, len(part), made.mean(), 1 - broken / len(part), *limits, 1 - broken_all, *means,
                     *spread))  # fmt: skip
    columns = ["precision", "depth", "draws", "promised", "kept", "kept_low", "kept_high", "kept_all", "share"]
    return pd.DataFrame(rows, columns=[*columns, "achieved", "low", "high"])


def exact_interval(hits: int, trials: int) -> tuple[float, float]:
    """Return the 95% interval of Clopper and Pearson (1934).

    >>> [round(limit, 3) for limit in exact_interval(9, 10)]
    [0.555, 0.997]
    """
    low = beta.ppf(0.025, hits, trials - hits + 1) if hits else 0.0
    high = beta.ppf(0.975, hits + 1, trials - hits) if hits < trials else 1.0
    return float(low), float(high)


def calibrations(study: Study, hidden_sets: Sequence[tuple[str, ...]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Measure calibration before and after, on test products, with each set of inputs hidden.

    Returns
    -------
    errors
        `hidden, model, depth, error, low, high` (`lib.business_measure.calibration_error`).
    diagram
        Reliability of whole paths: `hidden, model`, and the columns of `reliability`.
    """
    groups, errors, diagram = groups_of(study.test), [], []
    even = reweighted(study.tagger, dict.fromkeys(study.tagger.parts, 1.0))
    for hidden in hidden_sets:
        name = "+".join(hidden)
        fitted = judge(study.tagger, study.test, hidden)
        plain = judge(even, study.test, hidden)
        said = {
            UNCALIBRATED: (plain.tags.prefixes.probability, plain.right),
            FITTED: (fitted.tags.prefixes.probability, fitted.right),
            CALIBRATED: (fitted.confidence, fitted.right),
        }
        for model, (confidence, right) in said.items():
            for column in range(len(LEVELS)):
                error = calibration_error(confidence[:, column], right[:, column], groups, study.settings.bins)
                errors.append((name, model, column + 1, *error))
            table = reliability(confidence[:, 2], right[:, 2], groups, study.settings.bins)
            diagram.append(table.assign(hidden=name, model=model))
    return pd.DataFrame(errors, columns=["hidden", "model", "depth", "error", "low", "high"]), pd.concat(diagram)
