"""The closing answer of the `results` stage: sentences whose every number is looked up."""

from collections.abc import Iterator

import pandas as pd

from lib.figures import look
from lib.results import Tables
from lib.runs import NO_RECIPE
from lib.tables import points, records, sentence, share

SPLITS = ("random", "grouped")


def answer(tables: Tables, recipe: str, text: str) -> str:
    """Say as a Markdown list what the results come to at the largest training size of each split.

    Parameters
    ----------
    tables
        What `lib.results.make_results` returns.
    recipe, text
        The runs to speak of; variants without a recipe or without text belong to them.
    """
    intervals, contrasts = (
        _largest(table[table["recipe"].isin([recipe, NO_RECIPE]) & (table["text"].isin([text, ""]))])
        for table in (tables.intervals, tables.contrasts)
    )
    lines = [*_reached(intervals), *_inputs(contrasts), *_gaps(contrasts), *_paper(tables, text)]
    return "\n".join(f"- {line}" for line in lines)


def _largest(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["train_size"] == table.groupby("split")["train_size"].transform("max")]


def _reached(intervals: pd.DataFrame) -> Iterator[str]:
    """Name the variant with the best path accuracy, and what it reaches, for each split."""
    test = intervals[(intervals["measured_on"] == "test") & (intervals["decoding"] == "independent")]
    for split in SPLITS:
        rows = test[test["split"] == split].sort_values(["mean", "variant"], ascending=[False, True])
        by_metric = {metric: records(rows[rows["metric"] == metric]) for metric in ("path", "mean")}
        if not by_metric["path"]:
            continue
        best = by_metric["path"][0]
        mean = next(row for row in by_metric["mean"] if row["variant"] == best["variant"])
        yield (
            f"**{split.capitalize()} split**, {best['train_size']:,} training products: the best is "
            f"**{look(best['variant']).label}**, with {share(**mean)}% of the levels right on average, and all three "
            f"right for {share(**best)}% of the test products."
        )


def _inputs(contrasts: pd.DataFrame) -> Iterator[str]:
    """Say what one input adds to the others, and what the network adds to a linear model."""
    rows = contrasts[(contrasts["question"] == "variant") & (contrasts["metric"] == "path")]
    for split in SPLITS:
        said = [sentence(row) for row in records(rows[(rows["split"] == split) & (rows["b"] != "naive")])]
        if said:
            yield f"Path accuracy, {split} split: {'; '.join(said)}."


def _gaps(contrasts: pd.DataFrame) -> Iterator[str]:
    """Say how much of each variant's path accuracy the random split owes to near-duplicates."""
    rows = contrasts[(contrasts["question"] == "split") & (contrasts["metric"] == "path")]
    said = [
        f"{look(row['variant']).label} {points(**row)}" for row in records(rows) if row["verdict"] != "inconclusive"
    ]
    if said:
        yield f"Copies of test products in training are worth, in points of path accuracy: {'; '.join(said)}."
    elif len(rows):
        yield "No variant's path accuracy differs between the random and the grouped split beyond its interval."


def _paper(tables: Tables, text: str) -> Iterator[str]:
    """Say what the paper's recipe gains by being measured on the rows that it was trained on."""
    rows = _largest(tables.contrasts[(tables.contrasts["recipe"] == "paper") & (tables.contrasts["text"] == text)])
    rows = rows[(rows["question"] == "measured_on") & (rows["metric"] == "mean")]
    said = [f"{look(row['variant']).label} {points(**row)}" for row in records(rows)]
    if said:
        yield (
            "Measured on training rows, as the published Figures 2 and 3 were, the paper's recipe gains over test "
            f"rows, in points of mean accuracy: {'; '.join(said)}."
        )
