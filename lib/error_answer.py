"""The closing answer of the `errors` stage: sentences whose every number is computed."""

from collections.abc import Iterator

import pandas as pd

from lib.bootstrap import Interval
from lib.contrasts import verdict
from lib.error_analysis import share_of_errors
from lib.error_labels import ODDS, REVIEWED
from lib.error_paths import only_level_1
from lib.error_stage import Study
from lib.figures import look
from lib.tables import points, records

ENDS = ("", "_low", "_high")
VERDICTS = {"a better": "better than", "b better": "worse than", "inconclusive": "not to be told from"}


def answer(study: Study, tables: dict[str, pd.DataFrame], target: float) -> str:
    """Say as a Markdown list what the tables of the stage come to, for the preferred split.

    Parameters
    ----------
    study, tables
        What `lib.error_stage` returns; a table that is not there is passed over.
    """
    split = study.split
    own = {name: table[table["split"] == split] if "split" in table else table for name, table in tables.items()}
    lines = [
        *_model(study),
        *_watched(study, own["categories"], target),
        *_levels(own["wrong_levels"], own["relations"]),
        *_departments(study, own["only_level_1"]),
        *_decoding(study, own),
        *_inputs(own["missing_inputs"]),
        *_labels(own),
    ]
    return "\n".join(f"- {line}" for line in lines)


def interval_words(found: Interval) -> str:
    """Write an interval as a percentage.

    >>> interval_words(Interval(0.5, 0.4, 0.6))
    '50.0% (40.0–60.0)'
    """
    return f"{100 * found.mean:.1f}% ({100 * found.low:.1f}–{100 * found.high:.1f})"


def _row(row: dict[str, float]) -> str:
    return interval_words(Interval(row["share"], row["low"], row["high"]))


def _model(study: Study) -> Iterator[str]:
    model, tested = study.models[study.split], study.tested[study.split]
    yield (
        f"The model with the best paths on validation rows is **{look(model.variant).label}**. With "
        f"{model.train_size:,} training products ({model.split} split) it puts "
        f"**{100 * tested.wrong_path.mean():.1f}%** of {len(tested.codes):,} test products on a wrong path."
    )


def _watched(study: Study, categories: pd.DataFrame, target: float) -> Iterator[str]:
    rows = categories[categories["level"] == "level_3"]
    for column, said in (
        ("below_target", f"are reliably below {100 * target:.0f}% accuracy"),
        ("costly", "are the costliest"),
    ):
        listed = rows[rows[column]]
        if len(listed):
            part = share_of_errors(study.tested[study.split], 2, listed["category"])
            yield (
                f"**{len(listed)} of {len(rows)}** categories of level 3 {said}. They hold "
                f"{100 * listed['share'].sum():.1f}% of the test products and make {interval_words(part)} of the "
                "errors."
            )
        elif column == "below_target":
            yield f"No category of level 3 is reliably below {100 * target:.0f}% accuracy."


def _levels(wrong: pd.DataFrame, related: pd.DataFrame) -> Iterator[str]:
    if not wrong["errors"].sum():
        return
    said = ", ".join(f"{100 * part:.0f}% at {first.replace('_', ' ')}" for first, part in _first(wrong).items())
    worst = max(records(wrong), key=lambda row: row["errors"])
    yield f"Wrong paths go wrong first: {said}. Most often, what is wrong is just {worst['wrong']}: {_row(worst)}."
    siblings = related[(related["level"] == "level_3") & (related["relation"] == "sibling")]
    if len(siblings) and siblings["errors"].iloc[0]:
        yield f"Of the errors at level 3, {_row(records(siblings)[0])} are between siblings, below the right parents."


def _first(wrong: pd.DataFrame) -> dict[str, float]:
    return {str(first): float(part) for first, part in wrong.groupby("first")["share"].sum().items()}


def _departments(study: Study, pairs: pd.DataFrame) -> Iterator[str]:
    if not len(pairs):
        return
    part, top = only_level_1(study.tested[study.split])[0], records(pairs)[0]
    valid = (pairs["errors"] * pairs["both_valid"]).sum() / pairs["errors"].sum()
    yield (
        f"For {interval_words(part)} of the wrong paths only level 1 is wrong, most often *{top['true']}* taken for "
        f"*{top['predicted']}*; {100 * valid:.0f}% of these predicted paths are valid ones."
    )


def _decoding(study: Study, tables: dict[str, pd.DataFrame]) -> Iterator[str]:
    model = study.models[study.split]
    keys = {"variant": model.variant, "split": model.split, "train_size": model.train_size}
    invalid, gains = (_where(tables[name], keys) for name in ("invalid_paths", "decodings"))
    invalid = invalid[invalid["decoding"] == "independent"]
    gains = gains[(gains["a"] == "valid_path") & (gains["b"] == "independent")]
    if len(invalid) and len(gains):
        yield (
            f"Decoding each level alone, {_row(records(invalid)[0])} of the predicted paths are not valid. Choosing "
            f"the best valid path changes path accuracy by {points(**records(gains)[0])} points."
        )


def _where(table: pd.DataFrame, keys: dict[str, object]) -> pd.DataFrame:
    return table[(table[list(keys)] == list(keys.values())).all(axis=1)]


def _inputs(missing: pd.DataFrame) -> Iterator[str]:
    for row in records(missing):
        if row["difference_high"] < 0 or row["difference_low"] > 0:
            found = Interval(row["accuracy"], row["low"], row["high"])
            difference = points(row["difference"], row["difference_low"], row["difference_high"])
            yield (
                f"*{str(row['kind']).capitalize()}*: {interval_words(found)} of paths are right, {difference} points "
                "against all other products."
            )


def _labels(tables: dict[str, pd.DataFrame]) -> Iterator[str]:
    if "label_check" not in tables:
        return
    check = records(tables["label_check"])
    known, first = check[0], next(row for row in check if row["chosen"].startswith(f"first {100 * REVIEWED:.0f}%"))
    precision, recall = (Interval(*(first[f"{kind}{end}"] for end in ENDS)) for kind in ("precision", "recall"))
    yield (
        f"The truth is known here: {known['wrong']:,} of {known['products']:,} held-out products have a wrong label. "
        f"Of the {first['products']:,} that the model doubts most {interval_words(precision)} have one, and these are "
        f"{interval_words(recall)} of all wrong ones."
    )
    for row in records(tables["label_ranking"]):
        if row["score"] == ODDS:
            precision = Interval(row["average_precision"], row["low"], row["high"])
            gain = {"difference": row["gain"], "low": row["gain_low"], "high": row["gain_high"]}
            yield (
                f"As a ranking of doubtful labels this model has an average precision of {interval_words(precision)}: "
                f"{VERDICTS[verdict(gain['low'], gain['high'])]} the linear baseline of the cleaning notebook, a "
                f"difference of {points(**gain)} points."
            )
