"""The closing answer of the `labels` stage: sentences whose every number is computed."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from lib.figures import look
from lib.label_charts import LAW_LOOKS, STRATEGY_LOOKS
from lib.tables import points, records, share

VERDICTS = {"a better": "more accurate than", "b better": "less accurate than", "inconclusive": "not to be told from"}
MANY = 1e7  # labels beyond which a number says no more than that they are many


def answer(tables: Mapping[str, pd.DataFrame]) -> str:
    """Say as a Markdown list what the tables of the stage come to."""
    lines = [
        *_curve(tables["curve"]),
        *_check(tables["check"]),
        *_needed(tables["needed"]),
        *_strategies(tables["contrasts"], tables["saved"]),
        *_grouping(tables["grouping"], tables["copies"]),
    ]
    return "\n".join(f"- {line}" for line in lines)


def count_words(labels: float) -> str:
    """Write a number of labels to three digits.

    >>> count_words(123456.0), count_words(math.inf), count_words(3e9)
    ('123,000', 'never', 'more than 10 million')
    """
    if math.isinf(labels):
        return "never"
    if labels > MANY:
        return f"more than {MANY / 1e6:.0f} million"
    digits = max(math.floor(math.log10(labels)) - 2, 0) if labels >= 1 else 0
    return f"{round(labels, -digits):,.0f}"


def _curve(curve: pd.DataFrame) -> Iterator[str]:
    first, *_, last = records(curve) * (2 if len(curve) == 1 else 1)
    yield (
        f"**{look(first['variant']).label}** ({first['text']} text, {first['split']} split) puts {share(**first)}% of "
        f"the test products on the right path with {first['train_size']:,} labels, and {share(**last)}% with "
        f"{last['train_size']:,}."
    )


def _check(check: pd.DataFrame) -> Iterator[str]:
    if not len(check):
        yield "There are too few training sizes to check a law by predicting the largest from the others."
    for row in records(check):
        verdict = "inside" if row["inside"] else "**outside**"
        error = points(row["error"], row["error_low"], row["error_high"])
        yield (
            f"Fitted to the {row['sizes']} smaller sizes, the law {_law(row)} predicts "
            f"{share(row['predicted'], row['low'], row['high'])}% at {row['train_size']:,}; measured "
            f"{share(row['measured'])}% lies {verdict} that interval (predicted minus measured: {error} points)."
        )


def _needed(needed: pd.DataFrame) -> Iterator[str]:
    for target, rows in needed.groupby("target", sort=False):
        said = []
        for row in records(rows):
            if math.isinf(row["labels"]):
                often = f" ({100 * row['reached']:.0f}% of the draws reach it)" if row["reached"] else ""
                said.append(f"it is not reached at any size by the law {_law(row)}{often}")
                continue
            much = f"{row['times_largest']:,.1f} times the largest size measured"
            kind = "an extrapolation, " if row["times_largest"] > 1 else ""
            said.append(f"{_limits(row)} by the law {_law(row)}: {kind}{much}")
        yield f"For **{100 * float(str(target)):.0f}%** path accuracy: {'; '.join(said)}."


def _limits(row: Mapping[str, Any]) -> str:
    """Write labels with their interval, unless all of it is beyond counting.

    >>> _limits({"labels": 5e8, "low": 2e8, "high": math.inf}), _limits({"labels": 5000.0, "low": 4000.0, "high": 8e9})
    ('more than 10 million labels', '5,000 labels (4,000 to more than 10 million)')
    """
    labels = f"{count_words(row['labels'])} labels"
    return labels if row["low"] > MANY else f"{labels} ({count_words(row['low'])} to {count_words(row['high'])})"


def _law(row: Mapping[str, Any]) -> str:
    return LAW_LOOKS[row["law"]][0]


def _strategies(contrasts: pd.DataFrame, saved: pd.DataFrame) -> Iterator[str]:
    largest = contrasts["labels"].max()
    rows = contrasts[contrasts["labels"] == largest]
    by_name = {row["strategy"]: row for row in records(saved)}
    for row in records(rows[rows["against"] == "random"]):
        found = by_name[row["strategy"]]
        label = STRATEGY_LOOKS[row["strategy"]].label
        if math.isinf(found["labels"]):
            reach = "it does not get as far as random sampling does with all of them"
        else:
            limits = f"{count_words(found['low'])} to {count_words(found['high'])}"
            reach = f"{count_words(found['labels'])} ({limits}) are as good as {largest:,} at random"
        verdict = VERDICTS[row["verdict"]]
        yield f"With {largest:,} labels, *{label}* is {verdict} random sampling: {points(**row)} points; {reach}."
    rest = rows[(rows["against"] == "one_per_group") & rows["strategy"].isin(["uncertainty", "diversity", "mixed"])]
    said = [f"{STRATEGY_LOOKS[row['strategy']].label} {points(**row)}" for row in records(rest)]
    if said:
        yield f"Against random sampling that passes over copies, what is left: {'; '.join(said)} points."


def _grouping(grouping: pd.DataFrame, copies: pd.DataFrame) -> Iterator[str]:
    row = records(grouping)[0]
    yield (
        f"Labelling each near-duplicate group once covers the {row['products']:,} products with {row['groups']:,} "
        f"labels: **{100 * row['saved']:.1f}%** fewer."
    )
    for found in records(copies[copies["level"] == "path"]):
        what = "agree with the product's own" if found["against"] == "own label" else "are true"
        own = ""
        if found["against"] == "truth":
            own = f"; of these products' own labels {share(found['own'], found['own_low'], found['own_high'])}% are"
        yield f"Of the copied labels {share(found['share'], found['low'], found['high'])}% {what} at all levels{own}."
