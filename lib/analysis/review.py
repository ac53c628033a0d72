"""What goes to people: which products, with which candidates, in which order, at what cost; and the model's card."""

import numpy as np
import pandas as pd

from lib.analysis.business import (
    FOLDER,
    NOTHING,
    SOME_LEVEL,
    UNITS,
    Bools,
    Deployed,
    Groups,
    Ints,
    Judgement,
    depths,
    shown_precision,
)
from lib.config import build_dir, load_catalogue, report_dir
from lib.evaluation.bootstrap import Floats, group_weights, interval
from lib.files import whole, write_tables

DRAWS = 200
POINTS = 41
AS_THEY_COME, LEAST_SURE = "as they come", "least sure first"
EXPECTED, BIGGEST = "most expected errors first", "biggest group first"


CARD = """\
# A tagger for category paths: {title}

It reads {inputs} ({text} text) and answers one of {paths:,} valid paths of three levels, with a calibrated confidence
for each level. Any input may be missing.

## Data

Trained on {trained_on:,} products (`{key}`, variant `{variant}`). Tuned and calibrated on {tuning:,} products in
{tuning_groups:,} groups of near-duplicates; promises were made on {calibration_groups:,} other groups and measured on
{test_groups:,} more.

## Metrics

Share of test products whose whole path is right, in percent with 95% intervals:

| inputs | right |
|---|---:|
{accuracy}

## Promises

Of distinct products that are tagged so far and no deeper, at least the promised share is right. A promise is of one
depth and of products with one set of inputs. It holds with {certainty:g}% certainty over the draw of the calibration
products; the promises of the three depths hold together with {together:g}%. The confidences below are for products that
have {usual}. `promises.json` has those for every other set of inputs: they were found by hiding inputs.

| promised (%) | depth | confidence asked for | tagged (%) | right on test (%) |
|---:|---:|---:|---:|---:|
{promises}

## Limits

- Promises hold for products drawn like those of this catalogue, near-duplicates counted once. Other shops and new kinds
  of products are outside of them, and so are products that lack an input because they are of some special kind.
- Right means: as the shop's own label says. Wrong labels count as errors.
- It knows the categories and paths of `taxonomy.json` and no others.
"""


def candidates(deployed: Deployed, test: Judgement) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Measure the lists of candidate paths, on test products whose whole path is not tagged.

    Returns
    -------
    table
        `precision` (the promise)`, coverage, smallest` (probability of a path that is listed, for the usual
        inputs)`, achieved, low, high` (share of
        lists with the right path)`, mean, median, tenth` (a tenth of the lists is at least so long)`, single` (share
        of lists of one path).
    lengths
        `precision, coverage, length, share` of lists.
    """
    groups, probabilities = Groups.of(deployed.test.group), test.tags.probabilities
    rows: list[tuple[float, ...]] = []
    lengths: list[tuple[float, float, int, float]] = []
    best = probabilities.max(axis=1)
    for promise in deployed.promises.candidates[deployed.usual]:
        asked, of_set = depths(deployed, test, promise.precision) < 3, deployed.promises.smallest_listed(*promise.key)
        weights, smallest = groups.shares * asked, np.array([of_set[name] for name in test.tags.sets])
        length = np.maximum((probabilities >= smallest[:, None]).sum(axis=1), 1)
        listed = (test.truth >= smallest) | (test.truth >= best)
        order = np.argsort(length, kind="stable")
        place = np.cumsum(weights[order]) / max(weights.sum(), 1e-12)
        median, tenth = (int(length[order][min(np.searchsorted(place, q), len(order) - 1)]) for q in (0.5, 0.9))
        mean, single = (_mean(values, weights) for values in (length, length == 1))
        rows.append((*promise.key, promise.probability, *groups.ratio(listed, asked), mean, median, tenth, single))
        shares = np.bincount(length, weights=weights) / max(weights.sum(), 1e-12)
        lengths.extend((*promise.key, i, share) for i, share in enumerate(shares) if share)
    columns = ["coverage", "smallest", "achieved", "low", "high", "mean", "median", "tenth", "single"]
    more = ["precision", "coverage", "length", "share"]
    return pd.DataFrame(rows, columns=["precision", *columns]), pd.DataFrame(lengths, columns=more)


def _mean(values: Ints | Bools, weights: Floats) -> float:
    return float((values * weights).sum() / weights.sum()) if weights.sum() else np.nan


def queue(deployed: Deployed, test: Judgement) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compare orders of the review queue by the errors that they avoid: the test products of which nothing is tagged.

    A person looks at one product of a near-duplicate group, and the answer holds for all of the group in the queue;
    where one of them has another path, it stays wrong if it was. Without people all would get the most probable path.

    Returns
    -------
    curves
        `order, reviewed` (share of the groups)`, avoided` (share of the errors that reviewing all of them avoids).
    areas
        `order, area, low, high` (mean of `avoided` over the queue)`, groups, products, errors, half` (share of groups
        after which half of the errors are avoided).
    """
    waiting = np.flatnonzero(depths(deployed, test, shown_precision(deployed)) == 0)
    codes = deployed.test.codes
    seen, member = np.unique(deployed.test.group[waiting], return_inverse=True)
    looked_at = np.zeros(len(seen), np.int64)  # the first of each group that the shop received: by its place
    looked_at[member[::-1]] = waiting[::-1]
    settled = (codes[waiting] == codes[looked_at[member]]).all(axis=1)
    wrong = ~test.right[waiting, 2]
    avoided = np.bincount(member, weights=wrong & settled, minlength=len(seen))
    doubt, size = 1 - test.confidence[waiting, 2], np.bincount(member, minlength=len(seen))
    expected = np.bincount(member, weights=doubt, minlength=len(seen))
    orders = {
        AS_THEY_COME: np.arange(len(seen)),
        LEAST_SURE: np.argsort(-expected / np.maximum(size, 1), kind="stable"),
        EXPECTED: np.argsort(-expected, kind="stable"),
        BIGGEST: np.argsort(-size, kind="stable"),
    }
    curves, areas = [], []
    for name, order in orders.items():
        reviewed, share = _curve(avoided[order], np.ones(len(seen)))
        at = np.linspace(0, 1, POINTS)
        curves.append(pd.DataFrame({"order": name, "reviewed": at, "avoided": np.interp(at, reviewed, share)}))
        half = float(np.interp(0.5, share, reviewed)) if avoided.sum() else np.nan
        counts = (len(seen), len(waiting), int(wrong.sum()), half)
        areas.append((name, *interval(_areas(avoided[order], order)), *counts))
    columns = ["order", "area", "low", "high", "groups", "products", "errors", "half"]
    return pd.concat(curves, ignore_index=True), pd.DataFrame(areas, columns=columns)


def _curve(avoided: Floats, reviews: Floats) -> tuple[Floats, Floats]:
    """Return the shares of reviews and of errors, from none to all."""
    reviewed, share = (
        np.concatenate([[0.0], np.cumsum(values) / max(values.sum(), 1e-12)]) for values in (reviews, avoided)
    )
    return reviewed, share


def _areas(avoided: Floats, order: Ints) -> Floats:
    """Return the area under an order's curve, as it is and on draws of groups."""
    areas = []
    for drawn in [np.ones(len(order)), *group_weights(max(len(order), 1), DRAWS)[:, order].astype(np.float64)]:
        reviewed, share = _curve(avoided * drawn, drawn)
        areas.append(np.trapezoid(share, reviewed) if (avoided * drawn).sum() else np.nan)
    return np.array(areas)


def costs(deployed: Deployed, calibration: Judgement, test: Judgement) -> pd.DataFrame:
    """Add up what whole-path tagging costs, per 1,000 distinct test products, by the rule.

    A product at or above the threshold is tagged, and costs if that is wrong; every other one is reviewed, by people
    who are taken to be right.

    Returns
    -------
    DataFrame
        `rule, threshold` (for the usual inputs)`, tagged, cost, low, high`: tag all, review all, the threshold at which
        the expected costs are equal, the cheapest threshold on calibration products, and those that are promised.
    """
    price, groups = deployed.settings.costs, Groups.of(deployed.test.group)
    confidence, wrong = test.confidence[:, 2], ~test.right[:, 2]
    fair = max(1 - price.review / price.wrong_tag, 0.0)
    rules = {"tag all": 0.0, "review all": np.inf, "equal expected costs": fair}
    rules["cheapest on calibration products"] = _cheapest(deployed, calibration)
    tags = {rule: confidence >= limit for rule, limit in rules.items()}
    for t in deployed.promises.thresholds[deployed.usual]:
        if t.depth == 3 and t.confidence is not None:
            rules[rule := f"{100 * t.precision:g}% promised"] = t.confidence
            tags[rule] = depths(deployed, test, t.precision) == 3
    everything, marks = np.ones(len(wrong)), []
    for rule, limit in rules.items():
        tagged = tags[rule]
        cost = 1000 * np.where(tagged, wrong * price.wrong_tag, price.review)
        marks.append((rule, limit, groups.ratio(tagged, everything).mean, *groups.ratio(cost, everything)))
    return pd.DataFrame(marks, columns=["rule", "threshold", "tagged", "cost", "low", "high"])


def _cheapest(deployed: Deployed, calibration: Judgement) -> float:
    """Return the threshold with the lowest costs on distinct calibration products."""
    one, price = deployed.calibration.one_each, deployed.settings.costs
    confidence, wrong = calibration.confidence[one, 2], ~calibration.right[one, 2]
    order = np.argsort(-confidence, kind="stable")
    cost = np.cumsum(wrong[order] * price.wrong_tag - price.review)
    return float(confidence[order][cost.argmin()]) if cost.min() < 0 else np.inf


# The card


def publish(deployed: Deployed, tables: dict[str, pd.DataFrame]) -> None:
    """Write the stage's tables, and the deployable folder `build/NAME/tagger/` with its promises and its card.

    Parameters
    ----------
    tables
        Name -> table; `missing_accuracy` and `promises` are in the card. `reliability`, which DVC plots, is written
        beside the folder of the others.
    """
    folder, plotted = report_dir(deployed.catalogue), {"reliability": tables["reliability"]}
    write_tables(folder, plotted)
    write_tables(folder / FOLDER, {name: table for name, table in tables.items() if name not in plotted})
    settings, about, tagger = deployed.settings, deployed.tagger.about, deployed.tagger
    kept = tables["promises"]
    kept = kept[(kept["unit"] == UNITS[0]) & (kept["depth"] != SOME_LEVEL)]
    accuracy = [
        f"| {'all inputs' if row['hidden'] == NOTHING else 'without ' + row['hidden']} | {_percent(row, 'accuracy')} |"
        for _, row in tables["missing_accuracy"].iterrows()
    ]
    text = CARD.format(
        title=load_catalogue(deployed.catalogue).title,
        inputs=", ".join(tagger.inputs),
        text=about.text,
        paths=len(tagger.paths),
        trained_on=deployed.trained_on,
        key=about.key,
        variant=settings.variant,
        tuning=len(deployed.tuning.group),
        tuning_groups=len(deployed.tuning.one_each),
        calibration_groups=len(deployed.calibration.one_each),
        test_groups=len(deployed.test.one_each),
        certainty=100 * settings.certainty,
        together=100 * deployed.promises.together,
        usual=deployed.usual.replace("+", ", ") or "no input",
        accuracy="\n".join(accuracy),
        promises="\n".join(_promise_line(row) for _, row in kept.iterrows()),
    )
    tagger.save(build_dir(deployed.catalogue, "tagger"), text)


def publish_nothing(catalogue: str, why: str) -> None:
    """Leave, where nothing can be deployed, the reason in the place of the stage's tables and of the tagger."""
    write_tables(report_dir(catalogue), {"reliability": pd.DataFrame(columns=["confidence", "accuracy"])})
    write_tables(report_dir(catalogue, FOLDER), {"not_run": pd.DataFrame({"why": [why]})})
    with whole(build_dir(catalogue, "tagger")) as folder:
        folder.mkdir(parents=True)
        (folder / "README.md").write_text(f"# No tagger\n\n{why}\n", "utf-8")


def _promise_line(row: "pd.Series[float]") -> str:
    limit = "nothing can be promised" if pd.isna(row["threshold"]) else f"{row['threshold']:.3f}"
    right = "–" if pd.isna(row["achieved"]) else _percent(row, "achieved") + (", missed" if row["missed"] else "")
    return f"| {100 * row['precision']:g} | {row['depth']} | {limit} | {100 * row['share']:.1f} | {right} |"


def _percent(row: "pd.Series[float]", name: str) -> str:
    return f"{100 * row[name]:.1f} ({100 * row['low']:.1f}–{100 * row['high']:.1f})"
