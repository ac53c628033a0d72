"""The `business` stage: what the deployed model may promise on calibration products, and keeps on test products.

Three parts of the held-out products have three jobs. *Tuning* products (a third of the validation groups) chose the
fusion's weights and fit the calibration. *Calibration* products, the rest of them, were seen by nothing that is
fitted: on them promises are made. *Test* products are only measured. What people are asked is in `lib.analysis.review`.

Shares are of distinct products: near-duplicates count as one. Intervals are 95%, over groups of near-duplicates.

Each set of inputs that a product may have has promises of its own. They are made on calibration products that have all
of these inputs, with the others hidden: exact for products that lack the others for no reason of their own.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from copy import copy
from typing import Literal, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import binomtest

from lib import config
from lib.clean.splits import test_rows, training_rows, tuning_rows
from lib.config import LEVELS
from lib.evaluation.bootstrap import SEED, Floats, Interval, drawn_sums, group_weights, interval
from lib.exceptions import StudyError
from lib.files import read_table
from lib.models.fusion import input_sets, path_numbers, set_names
from lib.models.inputs import Products, load_catalogue_data
from lib.tagging.guarantee import (
    fit_scales,
    group_shares,
    is_right,
    representatives,
    sequence,
    smallest_listed,
    thresholds,
)
from lib.tagging.promises import Candidates, Promises, Threshold, tagged_depth
from lib.tagging.tagger import Tagger, Tags, trained_tagger
from lib.training.runs import NO_RECIPE, Run, has_recipe, study_of

FOLDER = "business"
UNITS = ("distinct products", "products")
SOME_LEVEL = "any level"
TOGETHER = "together"
NOTHING = ""
"""What is hidden where nothing is."""

UNCALIBRATED, FITTED, CALIBRATED = "parts added up", "fitted weights", "calibrated"
STEPS = 20  # shares at which the precision of the surest is looked at: every 5%
SUREST = 0.2  # the share whose errors are listed

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


class Groups(NamedTuple):
    """The groups of some rows, and how often each bootstrap draw takes each of them.

    Attributes
    ----------
    member : int array, shape (rows,)
        Number of each row's group, from 0.
    shares : array, shape (rows,)
        1 / size of the row's group: so weighted, a group counts as one distinct product.
    draws : float32 array, shape (draws, groups)
    """

    member: Ints
    shares: Floats
    draws: npt.NDArray[np.float32]

    @classmethod
    def of(cls, groups: npt.NDArray[np.integer]) -> "Groups":
        """Draw from the groups of some rows."""
        present, member = np.unique(groups, return_inverse=True)
        return cls(member, group_shares(groups), group_weights(len(present)).astype(np.float32))

    def ratio(self, top: Floats | Bools, bottom: Floats | Bools, weights: Floats | None = None) -> Interval:
        """Return the share of `bottom` that is `top` as well, of distinct products; NaN where there is none of it.

        Parameters
        ----------
        top, bottom : arrays, shape (rows,)
        weights
            Another weight of each row than `shares`.
        """
        weights = self.shares if weights is None else weights
        sums = drawn_sums(np.stack([top * bottom * weights, bottom * weights], axis=1), self.member, self.draws)
        return interval(np.divide(sums[:, 0], sums[:, 1], out=np.full(len(sums), np.nan), where=sums[:, 1] > 0))


class HeldOut(NamedTuple):
    """Held-out products with one job.

    Attributes
    ----------
    codes : array, shape (rows, 3)
    group : array, shape (rows,)
    keys : array, shape (rows,)
        Sampling keys, which choose one row of a group.
    """

    products: Products
    codes: npt.NDArray[np.int16]
    group: npt.NDArray[np.int32]
    keys: npt.NDArray[np.uint64]

    @property
    def one_each(self) -> Ints:
        """Places among these rows of one row of each group."""
        return representatives(self.group, self.keys)

    def distinct(self, judged: "Judgement", inputs: str) -> Ints:
        """Return places of one row of each group, of the rows that were judged by just these inputs."""
        rows = judged.having(inputs)
        return rows[representatives(self.group[rows], self.keys[rows])]


class Deployed(NamedTuple):
    """A calibrated model, what it promises, and the products that it is judged on."""

    catalogue: str
    settings: config.BusinessParams
    tagger: Tagger
    promises: Promises
    tuning: HeldOut
    calibration: HeldOut
    test: HeldOut
    trained_on: int

    @property
    def usual(self) -> str:
        """The inputs that most distinct calibration products have."""
        products = self.calibration.products.take(self.calibration.one_each)
        sets = Counter(set_names(self.tagger.model.present(products), len(products)))
        return min(sets, key=lambda name: (-sets[name], name))

    def promising(self, promises: Promises) -> "Deployed":
        """Return the same model with other promises."""
        tagger = copy(self.tagger)
        tagger.promises = promises
        return self._replace(tagger=tagger, promises=promises)


class Judgement(NamedTuple):
    """What the tagger says of held-out products, and what is so.

    Attributes
    ----------
    right : bool array, shape (rows, 3)
        Whether the best path down to each depth is the true one.
    truth : float64 array, shape (rows,)
        Probability of the true path.
    """

    tags: Tags
    right: Bools
    truth: Floats

    @property
    def confidence(self) -> Floats:
        """Of the best path down to each depth, shape (rows, 3)."""
        return self.tags.confidence

    def having(self, inputs: str) -> Ints:
        """Return the rows that were judged by just these inputs."""
        return np.flatnonzero(np.array(self.tags.sets, object) == inputs)

    def right_to(self, depth: Ints) -> Bools:
        """Say of each row whether it is right down to the depth to which it is tagged; to level 1 if to none."""
        right: Bools = self.right[np.arange(len(depth)), np.maximum(depth, 1) - 1]
        return right


def deployed_run(catalogue: str) -> Run:
    """Return the run that is deployed: with all rows of its split, and the first seed."""
    study, sizes = study_of(catalogue), config.load_catalogue(catalogue).train_sizes
    settings, variant = study.business, study.variants.get(study.business.variant)
    recipe = NO_RECIPE if variant and not has_recipe(variant) else settings.recipe
    numbers = [size for size in sizes if isinstance(size, int)]
    size: int | Literal["all"] = "all" if len(numbers) < len(sizes) else max(numbers)
    return Run(recipe, settings.text, settings.split, size, 0)


def hindrance(catalogue: str) -> str | None:
    """Say why no model of a catalogue can be deployed; None if one can."""
    study, run, data = study_of(catalogue), deployed_run(catalogue), load_catalogue_data(catalogue)
    train, held = training_rows(data.products, run.split, run.size, run.seed)
    key = run.key(len(train))
    fusions = {name: one for name, one in study.variants.items() if isinstance(one, config.PathFusionVariant)}
    trained = [name for name in fusions if config.build_dir(catalogue, "models", name, key).is_dir()]
    if (name := study.business.variant) not in trained:
        remedy = (
            "Only a `path_fusion` can be deployed. To have one, take the experiment `deploy` in the catalogue's file, "
            "and list a variant that is one, with two parts that the catalogue has the inputs of."
        )
        return (
            f"Nothing is deployed on this catalogue: `{name}` (`business.variant` in `params.yaml`) was not trained on "
            f"it with {run.text} text and all training products of the {run.split} split. "
        ) + (f"Another that was can be named there: {trained}." if trained else remedy)
    tuning, tested = tuning_rows(data.products, held, fusions[name].tuning_share), test_rows(data.products, run.split)
    if tuning.all() or not len(tested):
        return "Nothing is deployed on this catalogue: it has no validation or no test products left to promise on."
    return None


def open_deployed(catalogue: str) -> Deployed:
    """Read the model as the `train` stage left it, and the held-out products; calibrate it on tuning products.

    Raises
    ------
    StudyError
        If no model can be deployed, or an earlier stage's output is missing.
    """
    if problem := hindrance(catalogue):
        raise StudyError(problem)
    settings, data = config.load_params().business, load_catalogue_data(catalogue)
    run = deployed_run(catalogue)
    train, held = training_rows(data.products, settings.split, run.size, run.seed)
    tagger = trained_tagger(catalogue, settings.variant, run.key(len(train)), settings.text)
    fusion = cast(config.PathFusionVariant, tagger.model.settings.variant)  # a tagger has no other
    tuned, products = tuning_rows(data.products, held, fusion.tuning_share), data.as_products(tagger.inputs, run.text)

    def held_out(rows: Ints) -> HeldOut:
        group, keys = (data.products[name].to_numpy()[rows] for name in ("group", "sampling_key"))
        return HeldOut(products.take(rows), data.codes[rows], group, keys)

    tuning, calibration = held_out(np.sort(held[tuned])), held_out(np.sort(held[~tuned]))
    test = held_out(test_rows(data.products, settings.split))
    scales = fit_scales(tagger, tuning.products, tuning.codes, tuning.group)
    nothing = Promises(
        certainty=settings.certainty, coverage=settings.coverage, scales=scales, thresholds={}, candidates={}
    )
    deployed = Deployed(catalogue, settings, tagger, nothing, tuning, calibration, test, len(train))
    return deployed.promising(nothing)


def judge(tagger: Tagger, held_out: HeldOut, hidden: Collection[config.Input] = ()) -> Judgement:
    """Tag held-out products, with some inputs hidden if asked, and compare with the truth."""
    tags = tagger.tag(held_out.products, hidden)
    truth = path_numbers(held_out.codes, tagger.paths)
    of_truth = tags.probabilities[np.arange(len(truth)), truth]
    return Judgement(tags, is_right(tags, tagger.paths, held_out.codes), of_truth)


def make_promises(deployed: Deployed) -> Deployed:
    """Make the promises of each set of inputs on calibration products, one a group; return the model with them."""
    settings, tagger = deployed.settings, deployed.tagger
    made: dict[str, list[Threshold]] = {}
    candidates: dict[str, list[Candidates]] = {}
    for inputs in input_sets(tagger.inputs):
        name, hidden = "+".join(inputs), set(tagger.inputs) - set(inputs)
        judged = judge(tagger, deployed.calibration, hidden)
        trial = judge(tagger, deployed.tuning, hidden)
        one, tried = deployed.calibration.distinct(judged, name), deployed.tuning.distinct(trial, name)
        confidence, right, surest = judged.confidence[one], judged.right[one], trial.confidence[tried]
        made[name], candidates[name] = [], []
        for precision in settings.precisions:
            limits = thresholds(confidence, right, surest, precision, settings.certainty, settings.steps)
            made[name] += [
                Threshold(precision=precision, depth=depth, confidence=value) for depth, value in enumerate(limits, 1)
            ]
            truth = judged.truth[one][tagged_depth(confidence, limits) < len(LEVELS)]
            candidates[name] += [
                Candidates(precision=precision, share=share, probability=smallest_listed(truth, share))
                for share in settings.candidate_coverage
            ]
    return deployed.promising(deployed.promises.model_copy(update={"thresholds": made, "candidates": candidates}))


def depths(deployed: Deployed, judged: Judgement, precision: float) -> Ints:
    """Return to which depth each row is tagged without a person, 0 to 3, at a promised precision."""
    return judged.tags.depth(deployed.promises.thresholds_for(precision))


def shown_precision(deployed: Deployed) -> float:
    """Return the highest precision, up to the main one, at which whole paths are promised for the usual inputs.

    If there is none, the highest at which anything is; with nothing promised at all it is the main one.
    """
    main = deployed.settings.precision
    of_usual = deployed.promises.thresholds[deployed.usual]
    made = [t for t in of_usual if t.confidence is not None and t.precision <= main]
    whole = [t.precision for t in made if t.depth == len(LEVELS)]
    return max(whole or [t.precision for t in made], default=main)


def kept_on_test(deployed: Deployed, test: Judgement) -> pd.DataFrame:
    """Measure what each promise comes to on test products.

    Returns
    -------
    DataFrame
        `precision, depth` (3, 2, 1: tagged so far and no deeper; or any level)`, unit, threshold` (for the usual
        inputs)`, share, share_low, share_high` (of products that are tagged so)`, achieved, low, high` (share of these
        that is right)`, missed` (whether that is less than was promised).
    """
    groups, usual, rows = Groups.of(deployed.test.group), deployed.usual, []
    everything = np.ones(len(groups.shares))
    for precision in deployed.settings.precisions:
        limits = deployed.promises.thresholds_for(precision)[usual]
        depth = depths(deployed, test, precision)
        for unit, weights in zip(UNITS, (groups.shares, everything), strict=True):
            for name, tagged, right in _by_depth(depth, test.right):
                share = groups.ratio(tagged, everything, weights)
                limit = np.nan if name == SOME_LEVEL or np.isinf(limits[int(name) - 1]) else limits[int(name) - 1]
                rows.append((precision, name, unit, limit, *share, *groups.ratio(right, tagged, weights)))
    columns = ["precision", "depth", "unit", "threshold", "share", "share_low", "share_high", "achieved", "low", "high"]
    table = pd.DataFrame(rows, columns=columns)
    return table.assign(missed=table["achieved"] < table["precision"])


def _by_depth(depth: Ints, right: Bools) -> Iterator[tuple[str, Bools, Bools]]:
    """Yield each depth to which rows are tagged, which rows these are, and whether they are right so far."""
    for level in (3, 2, 1):
        yield str(level), depth == level, right[:, level - 1]
    yield SOME_LEVEL, depth > 0, right[np.arange(len(depth)), np.maximum(depth, 1) - 1]


def of_a_thousand(kept: pd.DataFrame, review_seconds: float) -> pd.DataFrame:
    """Turn what promises come to on test products into counts of 1,000 new ones.

    Returns
    -------
    DataFrame
        `precision, unit, whole, whole_wrong, parent, parent_wrong, review, minutes` (of the reviews)`,
        minutes_with_parents` (if people also complete what is tagged to a parent level).
    """
    counts = kept.assign(share=1000 * kept["share"], wrong=1000 * kept["share"] * (1 - kept["achieved"]).fillna(0))
    wide = counts.pivot(index=["unit", "precision"], columns="depth", values=["share", "wrong"])
    share, wrong = wide["share"], wide["wrong"]
    parent, review = share["2"] + share["1"], 1000 - share[SOME_LEVEL]
    table = pd.DataFrame({"whole": share["3"], "whole_wrong": wrong["3"], "parent": parent})
    table = table.assign(parent_wrong=wrong["2"] + wrong["1"], review=review, minutes=review * review_seconds / 60)
    table = table.assign(minutes_with_parents=(review + parent) * review_seconds / 60).reset_index()
    return table[["precision", "unit", *table.columns[2:]]]


def resample_promises(deployed: Deployed, calibration: Judgement, tuning: Judgement, test: Judgement) -> pd.DataFrame:
    """Redraw which groups are calibrated on and which are tested on, make the promises again, and measure them.

    Calibration and test products alike were seen by nothing that is fitted. A draw takes as many groups to calibrate on
    as there are, and tests on all the others. All that is looked at are products with the usual inputs.

    Returns
    -------
    DataFrame
        `draw, precision, depth, threshold, share, achieved` (NaN where nothing is promised or tagged)`, achieved_all`
        (on the groups of both parts: nearer to the truth than one part's).
    """
    settings, usual, random, rows = deployed.settings, deployed.usual, np.random.default_rng(SEED), []
    parts = [(calibration, deployed.calibration), (test, deployed.test)]
    places = [judged.having(usual) for judged, _ in parts]
    confidence, right, group, keys = (
        np.concatenate([column[rows] for column, rows in zip(columns, places, strict=True)])
        for columns in zip(*((one.confidence, one.right, part.group, part.keys) for one, part in parts), strict=True)
    )
    member, shares = np.unique(group, return_inverse=True)[1], group_shares(group)  # no group is in both parts
    one_each, tuned = representatives(group, keys), tuning.confidence[deployed.tuning.distinct(tuning, usual)]
    calibrated_on = len(np.unique(group[: len(places[0])]))

    def share(right: Bools, tagged: Bools, weights: Floats) -> float:
        total = (weights * tagged).sum()
        return float((weights * tagged * right).sum() / total) if total else np.nan

    for draw in range(settings.resamplings):
        drawn = random.permutation(len(one_each))
        held, tested = one_each[drawn[:calibrated_on]], np.zeros(len(one_each), bool)
        tested[drawn[calibrated_on:]] = True
        on_test = shares * tested[member]
        for precision in settings.precisions:
            limits = thresholds(confidence[held], right[held], tuned, precision, settings.certainty, settings.steps)
            for name, tagged, correct in _by_depth(tagged_depth(confidence, limits), right):
                limit = None if name == SOME_LEVEL else limits[int(name) - 1]
                found = [share(correct, tagged, weights) for weights in (on_test, shares)]
                rows.append((draw, precision, name, limit, (on_test * tagged).sum() / on_test.sum(), *found))
    columns = ["draw", "precision", "depth", "threshold", "share", "achieved", "achieved_all"]
    table = pd.DataFrame(rows, columns=columns)
    return table.assign(threshold=table["threshold"].astype(float))


def tests_of(deployed: Deployed, calibration: Judgement, tuning: Judgement, precision: float) -> pd.DataFrame:
    """List the tests behind the promise of whole paths for the usual inputs, in their order.

    Returns
    -------
    DataFrame
        `threshold, above, wrong` (distinct calibration products above it, and how many of these are wrong).
    """
    usual = deployed.usual
    one, tuned = deployed.calibration.distinct(calibration, usual), deployed.tuning.distinct(tuning, usual)
    tried = sequence(tuning.confidence[tuned, 2], len(one), precision, deployed.settings.steps)
    above = calibration.confidence[one, 2] >= tried[:, None]
    wrong = (above & ~calibration.right[one, 2]).sum(axis=1)
    return pd.DataFrame({"threshold": tried, "above": above.sum(axis=1), "wrong": wrong})


def how_often_kept(draws: pd.DataFrame) -> pd.DataFrame:
    """Count the draws in which a promise was made, and in which it was broken.

    A certainty of 90% allows a promise to be made and broken in a tenth of all draws. It says nothing of the draws in
    which it is made: where these are few, they are the lucky ones, and the promise may well be broken in most of them.

    Returns
    -------
    DataFrame
        `precision, depth` (3, 2, 1; any level: all that is tagged; together: the worst of the three depths)`, draws,
        promised` (in so many a promise was made, and something tagged by it)`, kept, kept_low, kept_high` (share of
        these in which it was kept on test products, exact 95% interval; NaN if there are none)`, kept_all` (on both
        parts)`, broken` (share of all draws in which a promise was made and broken)`, share` (mean of all
        draws)`, achieved` (mean)`, low, high` (5% and 95% quantiles of `achieved`).
    """
    rows, by_draw = [], draws[draws["depth"] != SOME_LEVEL].groupby(["precision", "draw"], sort=False)
    worst = by_draw[["achieved", "achieved_all"]].min().reset_index().assign(depth=TOGETHER)
    for (precision, depth), part in pd.concat([draws, worst]).groupby(["precision", "depth"], sort=False):
        made = part[part["achieved"].notna()]
        broken, broken_all = ((made[name] < precision).sum() for name in ("achieved", "achieved_all"))
        kept = [np.nan] * 4
        if promised := len(made):
            limits = binomtest(promised - int(broken), promised).proportion_ci(method="exact")
            kept = [1 - broken / promised, *limits, 1 - broken_all / promised]
        spread = [made["achieved"].mean(), *made["achieved"].quantile([0.05, 0.95])]
        rows.append((precision, depth, len(part), promised, *kept, broken / len(part), part["share"].mean(), *spread))
    columns = ["precision", "depth", "draws", "promised", "kept", "kept_low", "kept_high", "kept_all", "broken"]
    return pd.DataFrame(rows, columns=[*columns, "share", "achieved", "low", "high"])


def all_thresholds(deployed: Deployed) -> pd.DataFrame:
    """List what is promised for each set of inputs.

    Returns
    -------
    DataFrame
        `inputs, precision, level_1, level_2, whole` (lowest confidence for each depth; NaN where nothing is promised).
    """
    made = deployed.promises.thresholds.items()
    table = pd.DataFrame([{"inputs": inputs} | one.model_dump() for inputs, of_set in made for one in of_set])
    wide = table.pivot(index=["inputs", "precision"], columns="depth", values="confidence").astype(float)
    return wide.set_axis(["level_1", "level_2", "whole"], axis=1).reset_index()


def calibrations(
    deployed: Deployed, hidden_sets: Sequence[tuple[config.Input, ...]]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Measure calibration before and after, on test products, with each set of inputs hidden.

    Returns
    -------
    errors
        `hidden, model, depth, error, low, high` (`calibration_error`).
    diagram
        Reliability of whole paths: `hidden, model`, and the columns of `reliability`.
    """
    groups, bins, tagger = Groups.of(deployed.test.group), deployed.settings.bins, deployed.tagger
    same = {name: [1.0] * len(LEVELS) for name in tagger.model.parts}
    even = copy(tagger)
    even.model, even.promises = tagger.model.with_weights(dict.fromkeys(tagger.model.weights, same)), None
    errors, diagram = [], []
    for hidden in hidden_sets:
        fitted, plain = judge(tagger, deployed.test, hidden), judge(even, deployed.test, hidden)
        asked = {
            UNCALIBRATED: (plain.tags.prefixes.probability, plain.right),
            FITTED: (fitted.tags.prefixes.probability, fitted.right),
            CALIBRATED: (fitted.confidence, fitted.right),
        }
        for model, (confidence, right) in asked.items():
            for column in range(len(LEVELS)):
                error = calibration_error(confidence[:, column], right[:, column], groups, bins)
                errors.append(("+".join(hidden), model, column + 1, *error))
            table = reliability(confidence[:, 2], right[:, 2], groups, bins)
            diagram.append(table.assign(hidden="+".join(hidden), model=model))
    return pd.DataFrame(errors, columns=["hidden", "model", "depth", "error", "low", "high"]), pd.concat(diagram)


def bins_of(confidence: Floats, weights: Floats, bins: int) -> Ints:
    """Sort rows into bins of equal weight by their confidence; equal confidences share a bin."""
    order = np.argsort(confidence, kind="stable")
    place = np.cumsum(weights[order]) - weights[order] / 2
    edges = confidence[order][np.searchsorted(place, np.arange(1, bins) / bins * weights.sum())]
    return np.searchsorted(np.unique(edges), confidence, side="right")


def reliability(confidence: Floats, right: Bools, groups: Groups, bins: int) -> pd.DataFrame:
    """Compare confidence and accuracy in each bin, over distinct products.

    Returns
    -------
    DataFrame
        `bin, confidence, accuracy, low, high, share` (of the distinct products).
    """
    weights, number = groups.shares, bins_of(confidence, groups.shares, bins)
    rows = []
    for place in np.unique(number):
        inside = number == place
        mean = float(np.average(confidence[inside], weights=weights[inside]))
        rows.append((int(place), mean, *groups.ratio(right, inside), weights[inside].sum() / weights.sum()))
    return pd.DataFrame(rows, columns=["bin", "confidence", "accuracy", "low", "high", "share"])


def calibration_error(confidence: Floats, right: Bools, groups: Groups, bins: int) -> Interval:
    """Return the expected calibration error over distinct products, with bins of equal mass.

    The mean gap between confidence and accuracy of a bin (Naeini, Cooper & Hauskrecht, 2015). Noise adds to a mean of
    absolute gaps, so that the interval of a well-calibrated model lies above zero.
    """
    weights, number = groups.shares, bins_of(confidence, groups.shares, bins)
    count = int(number.max()) + 1
    values = np.zeros((len(number), count + 1))
    values[np.arange(len(number)), number] = weights * (confidence - right)
    values[:, count] = weights
    sums = drawn_sums(values, groups.member, groups.draws)
    return interval(np.abs(sums[:, :count]).sum(axis=1) / sums[:, count])


def surest(deployed: Deployed, test: Judgement) -> pd.DataFrame:
    """Measure the precision of the surest test products, by their share and by the depth to which they are tagged.

    No promise can be higher, however many calibration products there are.

    Returns
    -------
    DataFrame
        `depth` (3, 2, 1)`, share` (of distinct test products, the surest of that depth first)`, precision, low, high`.
    """
    groups, rows = Groups.of(deployed.test.group), []
    for depth in (3, 2, 1):
        for share in np.arange(1, STEPS + 1) / STEPS:
            taken = _surest(test.confidence[:, depth - 1], groups.shares, share)
            rows.append((depth, share, *groups.ratio(test.right[:, depth - 1], taken)))
    return pd.DataFrame(rows, columns=["depth", "share", "precision", "low", "high"])


def surest_errors(deployed: Deployed, test: Judgement) -> pd.DataFrame:
    """List what the surest fifth of test products gets wrong.

    Returns
    -------
    DataFrame
        `true, said` (paths)`, products` (distinct), most frequent first.
    """
    weights, tagger = group_shares(deployed.test.group), deployed.tagger
    wrong = _surest(test.confidence[:, 2], weights, SUREST) & ~test.right[:, 2]
    paths = {"true": path_numbers(deployed.test.codes[wrong], tagger.paths), "said": test.tags.prefixes.path[wrong, 2]}
    named = {column: [" > ".join(tagger.names(path)) for path in numbers] for column, numbers in paths.items()}
    table = pd.DataFrame(named).assign(products=weights[wrong])
    counts = table.groupby(["true", "said"])["products"].sum().reset_index()
    return counts.sort_values(["products", "true", "said"], ascending=[False, True, True], ignore_index=True)


def _surest(confidence: Floats, weights: Floats, share: float) -> Bools:
    """Return the surest rows that make up so large a share of the weight; equal confidences share a fate."""
    order = np.argsort(-confidence, kind="stable")
    reached = np.searchsorted(np.cumsum(weights[order]), share * weights.sum() - 1e-6)
    taken: Bools = confidence >= confidence[order[min(int(reached), len(order) - 1)]]
    return taken


def with_inputs_missing(deployed: Deployed, judged: Mapping[str, Judgement]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compare with models that were trained without the input, and measure the promises.

    Parameters
    ----------
    judged
        Input that is hidden, or nothing -> what the tagger says of the test products without it.

    Returns
    -------
    accuracy
        `hidden, accuracy, low, high` (whole paths, each product counts), and of a model trained without the input, if
        there is one: `variant, variant_accuracy, variant_low, variant_high`.
    promises
        `hidden, precision, depth` (3, 2, 1 or any level)`, share, achieved, low, high`, over distinct products, and
        `unadapted`: what would be right of those that the thresholds of the usual inputs tag.
    """
    groups, accuracy, promises = Groups.of(deployed.test.group), [], []
    everything, known = np.ones(len(groups.shares)), _trained_without(deployed)
    for hidden, one in judged.items():
        whole = groups.ratio(one.right[:, 2], everything, everything)
        accuracy.append((hidden, *whole, *known.get(hidden, ("", *[np.nan] * 3))))
        for precision in deployed.settings.precisions:
            usual = deployed.promises.thresholds_for(precision)[deployed.usual]
            same = _by_depth(tagged_depth(one.confidence, usual), one.right)
            for (name, tagged, right), (_, of_usual, so_right) in zip(
                _by_depth(depths(deployed, one, precision), one.right), same, strict=True
            ):
                share, unadapted = groups.ratio(tagged, everything).mean, groups.ratio(so_right, of_usual).mean
                promises.append((hidden, precision, name, share, *groups.ratio(right, tagged), unadapted))
    columns = ["hidden", "accuracy", "low", "high", "variant", "variant_accuracy", "variant_low", "variant_high"]
    more = ["hidden", "precision", "depth", "share", "achieved", "low", "high", "unadapted"]
    return pd.DataFrame(accuracy, columns=columns), pd.DataFrame(promises, columns=more)


def _trained_without(deployed: Deployed) -> dict[str, tuple[str, float, float, float]]:
    """Look up the perceptron that was trained without an input, or with all of them, at the same size and split."""
    settings = deployed.settings
    table = read_table(config.report_dir(deployed.catalogue, "intervals.csv"))
    same = {"split": settings.split, "train_size": deployed.trained_on, "metric": "path", "measured_on": "test"}
    same |= {"decoding": "independent", "recipe": settings.recipe}
    table = table[(table[list(same)] == list(same.values())).all(axis=1)]
    variants, known = study_of(deployed.catalogue).variants, {}
    for hidden in (NOTHING, *deployed.tagger.inputs):
        shown = set(deployed.tagger.inputs) - {hidden}
        text = settings.text if "text" in shown else "masked"
        for name, row in table[table["text"] == text].set_index("variant").iterrows():
            variant = variants.get(str(name))
            if isinstance(variant, config.MLPVariant) and set(variant.inputs) == shown and not variant.modality_dropout:
                known[hidden] = (str(name), float(row["mean"]), float(row["low"]), float(row["high"]))
    return known


def accuracy_by_size(deployed: Deployed) -> "pd.Series[float]":
    """Look up the deployed variant's share of right whole paths by the number of products that it was trained on."""
    table = read_table(config.report_dir(deployed.catalogue, "intervals.csv"))
    same = deployed.settings.model_dump(include={"variant", "recipe", "text", "split"})
    same |= {"metric": "path", "measured_on": "test", "decoding": "valid_path"}
    return table[(table[list(same)] == list(same.values())).all(axis=1)].set_index("train_size")["mean"].sort_index()


def by_category(deployed: Deployed, test: Judgement) -> pd.DataFrame:
    """Say for each class of level 1 how much of it is tagged, and how deep, at the precision that is shown.

    Returns
    -------
    DataFrame
        `category, products` (distinct)`, whole, level_2, level_1, people` (shares)`, achieved, low, high` (of what is
        tagged to any level); largest first.
    """
    groups, depth = Groups.of(deployed.test.group), depths(deployed, test, shown_precision(deployed))
    rows = []
    for code, name in enumerate(deployed.tagger.levels[0]):
        inside = deployed.test.codes[:, 0] == code
        if inside.any():
            shares = [groups.ratio(depth == level, inside).mean for level in (3, 2, 1, 0)]
            achieved = groups.ratio(test.right_to(depth), inside & (depth > 0))
            rows.append((name, groups.shares[inside].sum(), *shares, *achieved))
    columns = ["category", "products", "whole", "level_2", "level_1", "people", "achieved", "low", "high"]
    return pd.DataFrame(rows, columns=columns).sort_values(["products", "category"], ascending=[False, True])
