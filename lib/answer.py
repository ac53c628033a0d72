"""The closing answer of the `results` stage: sentences whose every number is looked up."""

from collections.abc import Iterator

import pandas as pd

from lib.figures import look
from lib.pairs import INPUT_PAIRS
from lib.tables import points, records, sentence, share
from lib.view import View

SPLITS = ("random", "grouped")


def answer(view: View) -> str:
    """Say as a Markdown list what the main experiment comes to at the largest training size of each split."""
    intervals = view.measured(**view.main)
    lines = [*_reached(_largest(intervals)), *_inputs(view), *_gaps(view), *_paper(view)]
    return "\n".join(f"- {line}" for line in lines)


def _largest(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["train_size"] == table.groupby("split")["train_size"].transform("max")]


def _reached(test: pd.DataFrame) -> Iterator[str]:
    """Name the variant with the best path accuracy, and what it reaches, for each split."""
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


def _inputs(view: View) -> Iterator[str]:
    """Say what one input adds to the others, and what the network adds to a linear model."""
    rows = view.compared("variant", metric="path", **view.main, largest=True)
    rows = rows[[pair in INPUT_PAIRS for pair in zip(rows["a"], rows["b"], strict=True)]]
    for split in SPLITS:
        said = [sentence(row) for row in records(rows[rows["split"] == split])]
        if said:
            yield f"Path accuracy, {split} split: {'; '.join(said)}."


def _gaps(view: View) -> Iterator[str]:
    """Say how much of each variant's path accuracy the random split owes to near-duplicates."""
    rows = view.compared("split", metric="path", **view.main, largest=True)
    said = [
        f"{look(row['variant']).label} {points(**row)}" for row in records(rows) if row["verdict"] != "inconclusive"
    ]
    if said:
        yield f"Copies of test products in training are worth, in points of path accuracy: {'; '.join(said)}."
    elif len(rows):
        yield "No variant's path accuracy differs between the random and the grouped split beyond its interval."


def _paper(view: View) -> Iterator[str]:
    """Say what the paper's recipe gains by being measured on the rows that it was trained on."""
    rows = view.compared("measured_on", recipe="paper", text=view.text, metric="mean", largest=True)
    said = [f"{look(row['variant']).label} {points(**row)}" for row in records(rows)]
    if said:
        yield (
            "Measured on training rows, as the published Figures 2 and 3 were, the paper's recipe gains over test "
            f"rows, in points of mean accuracy: {'; '.join(said)}."
        )
