"""What came out of a pair, in sentences whose every number is looked up in its tables."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from lib.config import Transfer
from lib.tables import points, records, share
from lib.transfer.stage import ALONE, AS_IT_IS, BOTH, HOME, OWN

Row = dict[str, Any]


def answer(settings: Transfer, tables: dict[str, pd.DataFrame]) -> str:
    """Say as a Markdown list what is lost on the target, by which input, and what labels win back."""
    lines = [
        *_lost(settings, tables),
        *_by_input(tables["inputs"], tables["added"]),
        *_won_back(tables),
        *_overtaken(tables["contrasts"]),
    ]
    return "\n".join(f"- {line}" for line in lines)


def _lost(settings: Transfer, tables: dict[str, pd.DataFrame]) -> Iterator[str]:
    """Say what the model is worth at home and away, with its own paths and with the target's."""
    home, own, away = (_point(tables["curve"], way, 0) for way in (HOME, OWN, AS_IT_IS))
    loss = _contrast(tables["contrasts"], AS_IT_IS, 0, HOME, 0)
    tree = _contrast(tables["contrasts"], AS_IT_IS, 0, OWN, 0)
    yield (
        f"**Lost.** The model of `{settings.source}` gets {share(**home)}% of the paths right in its own shop, and "
        f"{share(**own)}% in `{settings.target}`; {share(**away)}% if it chooses among the target's paths, for which "
        f"no label is needed ({points(**tree)} points, {_verdict(tree)}). Away less at home: {points(**loss)} points."
    )
    levels = tables["curve"][(tables["curve"]["way"] == AS_IT_IS) & (tables["curve"]["metric"] != "path")]
    said = ", ".join(f"{row['metric'].replace('_', ' ')} {share(**row)}%" for row in records(levels))
    yield f"**By level**, away: {said}."


def _by_input(inputs: pd.DataFrame, added: pd.DataFrame) -> Iterator[str]:
    """Say what each input is worth on its own and beside the others, at home and away."""
    single = inputs[~inputs["shown"].str.contains("+", regex=False)]
    said = [f"{r['shown']} {share(r['home'])}% at home, {share(r['away'])}% away" for r in records(single)]
    yield f"**By input**, shown nothing else: {'; '.join(said)}."
    beside = [
        f"{row['input']} {points(*_triple(row, 'home'))} at home, {points(*_triple(row, 'away'))} away"
        for row in records(added)
    ]
    yield f"**What each adds to the others**, in points: {'; '.join(beside)}."
    misleading = [row["input"] for row in records(added) if row["away_high"] < 0]
    if misleading:
        yield f"Away the model is better off without: {', '.join(misleading)}."


def _triple(row: Row, what: str) -> tuple[float, float, float]:
    return row[what], row[f"{what}_low"], row[f"{what}_high"]


def _won_back(tables: dict[str, pd.DataFrame]) -> Iterator[str]:
    """Say for each number of labels how much of the way from no label to all labels is covered."""
    curve, contrasts = tables["curve"], tables["contrasts"]
    sizes = sorted(curve.loc[curve["way"] == BOTH, "labels"].unique())
    start, best = _point(curve, AS_IT_IS, 0)["mean"], _point(curve, BOTH, sizes[-1])
    said = []
    for size in sizes[:-1]:
        gain = _contrast(contrasts, BOTH, size, AS_IT_IS, 0)
        covered = gain["difference"] / (best["mean"] - start) if best["mean"] > start else float("nan")
        said.append(f"{size:,} labels {points(**gain)} points ({100 * covered:.0f}% of the way)")
    yield (
        f"**Won back**, by labels together with the source's model, on the way to the {share(**best)}% that all "
        f"{sizes[-1]:,} training products of the target give: {'; '.join(said)}."
    )


def _overtaken(contrasts: pd.DataFrame) -> Iterator[str]:
    """Say from how many labels on the source's model is no longer needed."""
    sizes = sorted(contrasts.loc[contrasts["a"] == ALONE, "a_labels"])
    alone = [_contrast(contrasts, ALONE, size, AS_IT_IS, 0) for size in sizes]
    past = [row["a_labels"] for row in alone if row["verdict"] == "a better"]
    helps = [row for size in sizes if (row := _contrast(contrasts, BOTH, size, ALONE, size))["verdict"] == "a better"]
    yield (
        f"**Overtaken.** The target's labels alone are better than the source's model without any from {past[0]:,} on."
        if past
        else "**Overtaken.** The target's labels alone are at no size better than the source's model without any."
    )
    if helps:
        least, most = helps[0], helps[-1]
        yield (
            f"With the same labels the source's model still adds to them up to {most['a_labels']:,}: {points(**least)} "
            f"points at {least['a_labels']:,}, {points(**most)} at {most['a_labels']:,}."
        )
    else:
        yield "With the same labels, the source's model adds nothing to them at any size."


def _point(curve: pd.DataFrame, way: str, labels: int) -> Row:
    rows = curve[(curve["way"] == way) & (curve["labels"] == labels) & (curve["metric"] == "path")]
    return records(rows)[0]


def _contrast(contrasts: pd.DataFrame, a: str, a_labels: int, b: str, b_labels: int) -> Row:
    wanted = {"a": a, "a_labels": a_labels, "b": b, "b_labels": b_labels}
    return records(contrasts[(contrasts[list(wanted)] == list(wanted.values())).all(axis=1)])[0]


def _verdict(row: Row) -> str:
    return {"a better": "better", "b better": "worse", "inconclusive": "inconclusive"}[row["verdict"]]
