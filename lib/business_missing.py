"""What the deployed model is worth, and what becomes of its promises, where an input is missing."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from lib.business_promises import SOME_LEVEL, UNITS
from lib.business_stage import Judged, Study, depths, groups_of, right_so_far
from lib.config import LEVELS, load_params, report_dir
from lib.tables import read_table, records

NOTHING = ""
"""What is hidden where nothing is."""


def with_inputs_missing(study: Study, judged: Mapping[str, Judged]) -> tuple[pd.DataFrame, pd.DataFrame]:
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
        `hidden, precision, depth, share, achieved, low, high`, over distinct products.
    """
    groups, accuracy, promises = groups_of(study.test), [], []
    known = _trained_without(study)
    for hidden, found in judged.items():
        everything = np.ones(len(found.right))
        accuracy.append((hidden, *groups.ratio(found.right[:, 2], everything), *known.get(hidden, ("", *[np.nan] * 3))))
        for precision in study.settings.precisions:
            depth = depths(study, found, precision)
            right = right_so_far(found, depth)
            for name, tagged in (("3", depth == 3), (SOME_LEVEL, depth > 0)):
                share = groups.ratio(tagged, everything, groups.shares).mean
                promises.append((hidden, precision, name, share, *groups.ratio(right, tagged, groups.shares)))
    columns = ["hidden", "accuracy", "low", "high", "variant", "variant_accuracy", "variant_low", "variant_high"]
    more = ["hidden", "precision", "depth", "share", "achieved", "low", "high"]
    return pd.DataFrame(accuracy, columns=columns), pd.DataFrame(promises, columns=more)


def _trained_without(study: Study) -> dict[str, tuple[str, float, float, float]]:
    """Look up the perceptron that was trained without an input, or with all of them, at the same size and split."""
    table = read_table(report_dir(study.catalogue, "intervals.csv"))
    same = {"split": study.settings.split, "train_size": study.trained_on, "metric": "path", "measured_on": "test"}
    same |= {"decoding": "independent", "recipe": study.settings.recipe}
    table = table[(table[list(same)] == list(same.values())).all(axis=1)]
    variants, inputs = load_params().variants, study.tagger.inputs
    found = {}
    for hidden in (NOTHING, *inputs):
        kept = set(inputs) - {hidden}
        for row in records(table):
            variant = variants.get(row["variant"])
            text = study.settings.text if "text" in kept else "masked"
            if variant is None or variant.model != "mlp" or set(variant.inputs) != kept or row["text"] != text:
                continue
            if getattr(variant, "modality_dropout", 0) == 0:
                found[hidden] = (row["variant"], float(row["mean"]), float(row["low"]), float(row["high"]))
    return found


def by_category(study: Study, test: Judged, names: list[str]) -> pd.DataFrame:
    """Say for each class of level 1 how much of it is tagged, and how deep, at the main precision.

    Returns
    -------
    DataFrame
        `category, products` (distinct)`, whole, level_2, level_1, people` (shares)`, achieved, low, high` (of what is
        tagged to any level); largest first.
    """
    groups, depth = groups_of(study.test), depths(study, test, shown_precision(study))
    right, rows = right_so_far(test, depth), []
    for code, name in enumerate(names):
        inside = study.test.codes[:, 0] == code
        if inside.any():
            shares = [groups.ratio(depth == level, inside, groups.shares).mean for level in (3, 2, 1, 0)]
            achieved = groups.ratio(right, inside & (depth > 0), groups.shares)
            rows.append((name, groups.shares[inside].sum(), *shares, *achieved))
    columns = ["category", "products", "whole", "level_2", "level_1", "people", "achieved", "low", "high"]
    return pd.DataFrame(rows, columns=columns).sort_values(["products", "category"], ascending=[False, True])


def shown_precision(study: Study) -> float:
    """Return the highest precision, up to the main one, at which whole paths are promised.

    If there is none, the highest at which anything is; with nothing promised at all it is the main one.
    """
    assert study.tagger.promises is not None
    main = study.settings.precision
    made = [t for t in study.tagger.promises.thresholds if t.confidence is not None and t.precision <= main]
    whole = [t.precision for t in made if t.depth == len(LEVELS)]
    return max(whole or [t.precision for t in made], default=main)


def of_a_thousand(kept: pd.DataFrame, review_seconds: float) -> pd.DataFrame:
    """Turn what promises come to on test products into counts of 1,000 new ones.

    Returns
    -------
    DataFrame
        `precision, unit, whole, whole_wrong, parent, parent_wrong, review, minutes` (of the reviews)`,
        minutes_with_parents` (if people also complete what is tagged to a parent level).
    """
    rows = []
    for (precision, unit), part in kept.groupby(["precision", "unit"], sort=False):
        of_depth = part.set_index("depth")
        shares, wrong = 1000 * of_depth["share"], (1 - of_depth["achieved"]).fillna(0)
        whole, review = float(shares["3"]), 1000 - float(shares[SOME_LEVEL])
        tagged = shares[["2", "1"]]
        minutes = review_seconds / 60
        rows.append((
            precision, unit, whole, whole * wrong["3"], tagged.sum(), (tagged * wrong[["2", "1"]]).sum(), review,
            review * minutes, (review + tagged.sum()) * minutes,
        ))  # fmt: skip
    columns = ["precision", "unit", "whole", "whole_wrong", "parent", "parent_wrong", "review", "minutes"]
    table = pd.DataFrame(rows, columns=[*columns, "minutes_with_parents"])
    return (
        table.assign(_order=table["unit"].map(UNITS.index)).sort_values(["_order", "precision"]).drop(columns="_order")
    )
