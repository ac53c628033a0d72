"""What the experiments come to, in sentences whose every number is looked up; and what the grid has no runs for."""

from collections.abc import Iterable, Iterator
from typing import Any

import pandas as pd

from lib.config import LEVELS
from lib.figures import LEVEL_LOOKS, look, recipe_label
from lib.pairs import BEST, DEPARTURES
from lib.tables import points, records, share
from lib.view import MAIN, NETWORKS, ORDERS, SIMPLE, View

BOASTED = 0.99
"""What the paper's abstract says is exceeded "for the top category"."""
PARTS_OF_BEST = {
    "robust": "the linear model of words",
    "linear": "the network",
    "best_fragile": "modality dropout",
    "best_by_level": "weights for whole paths and for each set of inputs",
}
"""Variants that are `best` with a part left out, and which."""

VERBS = {"a better": "beats", "b better": "is beaten by", "inconclusive": "cannot be told from"}
CHANGES = {
    ("a better", "b better"): "changes sign",
    ("b better", "a better"): "changes sign",
    ("a better", "inconclusive"): "loses its interval",
    ("b better", "inconclusive"): "loses its interval",
    ("inconclusive", "a better"): "appears",
    ("inconclusive", "b better"): "appears",
}
"""What becomes of a difference when both sides are measured on test rows: verdict as coded, verdict as intended."""


def all_findings(view: View) -> dict[str, list[str]]:
    """Return the sentences of every experiment, by its name."""
    experiments = (what_was_measured, figures_4_and_5, training_time, leakage, word_order, departures, baselines, best)
    return {experiment.__name__: experiment(view) for experiment in experiments}


def what_was_measured(view: View, recipe: str = "paper") -> list[str]:
    """Say what training rows add to the paper's recipe, and whether it then exceeds the 99% of the abstract."""
    return [*_gaps(view, recipe), *_boast(view, recipe)] or [_missing(f"the recipe `{recipe}`")]


def figures_4_and_5(view: View) -> list[str]:
    """Count what becomes of the differences of Figures 4 and 5 once both sides are measured on test rows."""
    both = coded_and_intended(view)
    figures = {
        "lstm": "Figure 4 (LSTM minus bag of words)",
        "sequential": "Figure 5 (sequential minus multitask network)",
    }
    return [_changes(both[both["a"] == chain]["change"], name) for chain, name in figures.items()]


def coded_and_intended(view: View) -> pd.DataFrame:
    """Lay each difference of Figures 4 and 5 out as it was coded and as it was intended, and what becomes of it.

    Returns
    -------
    A row for each contrast of a chain (test rows) with the bag of words (training rows, or test rows), of each level:
    the key columns of `contrasts.csv`, `points` and `verdict` with the suffixes `_coded` and `_intended`, and `change`.
    """
    keys = ["a", "b", "decoding", "recipe", "split", "train_size", "metric"]
    where: dict[str, Any] = {"metric": LEVELS, "text": view.text, "a": ("lstm", "sequential")}
    coded, intended = view.compared("as_coded", **where), view.compared("variant", measured_on="test", **where)
    both = coded.merge(intended, on=keys, suffixes=("_coded", "_intended"))
    for how in ("coded", "intended"):
        columns = {f"{name}_{how}": name for name in ("difference", "low", "high")}
        cells = [points(**row) for row in records(both[list(columns)].rename(columns=columns))]
        both[f"points_{how}"] = pd.Series(cells, both.index, dtype=str)
    verdicts = zip(both["verdict_coded"], both["verdict_intended"], strict=True)
    both["change"] = [CHANGES.get(pair, "stands") for pair in verdicts]
    return both[[*keys, "points_coded", "verdict_coded", "points_intended", "verdict_intended", "change"]]


def training_time(view: View, variant: str = "brand_text") -> list[str]:
    """Say what data add with epochs fixed and with updates fixed, and what more updates add to the same data."""
    names = {"paper": "as many epochs", "paper_fixed_updates": "as many updates"}
    rows = view.compared("train_size", variant=variant, recipe=tuple(names), text=view.text, measured_on="test")
    rows = rows[(rows["metric"] == "mean") & (rows["split"] == "random")]
    largest = rows[rows["train_size"] == rows["train_size"].max()]
    gains = {row["recipe"]: row for row in records(largest)}
    if set(gains) < set(names):
        return [_missing(f"`{variant}` with the recipes `paper` and `paper_fixed_updates` at several sizes")]
    said = [f"with {name} at every size {points(**gains[recipe])} points" for recipe, name in names.items()]
    size = f"{int(gains['paper']['b']):,} to {int(gains['paper']['a']):,}"
    updates = view.compared(
        "recipe", variant=variant, a="paper_fixed_updates", measured_on="test", metric="mean", text=view.text
    )
    steps = [f"{points(**row)} at {row['train_size']:,}" for row in records(updates.sort_values("train_size"))]
    return [
        f"From {size} training products, mean accuracy of {look(variant).label} grows {' and '.join(said)}.",
        f"On the same products, a fixed number of updates instead of a fixed number of epochs changes it by "
        f"{', '.join(steps)}, in points.",
    ]


def leakage(view: View) -> list[str]:
    """Say what near-duplicates, category words and titles are worth, in points of path accuracy."""
    asked = {
        "Near-duplicates of test products in training (random minus grouped split)": ("split", {"text": view.text}),
        "Words of categories, random split (plain minus masked text)": ("text", {"a": "plain", "split": "random"}),
        "Words of categories, grouped split": ("text", {"a": "plain", "split": "grouped"}),
        "Titles, random split (title and description minus description)": ("text", {"a": "titled", "split": "random"}),
        "Titles, grouped split": ("text", {"a": "titled", "split": "grouped"}),
    }
    lines = []
    for name, (question, fields) in asked.items():
        rows = view.compared(question, metric="path", recipe=view.main["recipe"], largest=True, **fields)
        said = [f"{look(row['variant']).label} {points(**row)}" for row in records(rows)]
        lines.append(f"{name}: {'; '.join(said)}." if said else _missing(name[0].lower() + name[1:]))
    return lines


def word_order(view: View) -> list[str]:
    """Say at which sizes an LSTM beats the bag of words, and at which it does not."""
    lines = []
    for variant, decoding in ORDERS.items():
        rows = view.compared("variant", a=variant, b="brand_text", decoding=decoding, metric="mean", **view.main)
        for split, part in by_split(rows):
            said = [
                f"{VERBS[row['verdict']]} it at {row['train_size']:,} ({points(**row)})"
                if row["verdict"] != "inconclusive"
                else f"cannot be told from it at {row['train_size']:,} ({points(**row)})"
                for row in records(part.sort_values("train_size"))
            ]
            how = f"{look(variant).label}, decoded soft," if variant == "lstm" else look(variant).label
            lines.append(f"Against the bag of words, {split} split, mean accuracy: {how} {', '.join(said)}.")
    return lines or [_missing("an LSTM beside the bag of words")]


def departures(view: View) -> list[str]:
    """Say of each departure of the original code what it does to the true and to the printed number."""
    rows = view.departures()
    lines = []
    for recipe, base in DEPARTURES.items():
        found = {row["measured_on"]: row for row in records(rows[rows["a"] == recipe])}
        if len(found) == 2:
            test, train = found["test"], found["train"]
            name = recipe_label(recipe)
            lines.append(
                f"{name[0].upper()}{name[1:]} ({look(test['variant']).label}, {test['train_size']:,} products, against "
                f"{recipe_label(base)}): {points(**test)} on test rows, {points(**train)} on training rows, in points."
            )
    absent = [recipe_label(recipe) for recipe in DEPARTURES if recipe not in set(rows["a"])]
    return [*lines, *([_missing(f"these departures: {', '.join(absent)}")] if absent else [])]


def baselines(view: View) -> list[str]:
    """Say for each split which simple baseline and which network is best, and what may be said between them."""
    rows = view.measured(**view.main, metric="path")
    lines = []
    for split, part in by_split(rows):
        part = part[part["train_size"] == part["train_size"].max()]
        simple, network = (_best(part, names) for names in (SIMPLE, NETWORKS))
        if simple and network:
            lines.append(
                f"{split.capitalize()} split, {simple['train_size']:,} products, path accuracy: the best simple "
                f"model is {look(simple['variant']).label} with {share(**simple)}%, the best network "
                f"{look(network['variant']).label} with {share(**network)}%{_between(view, network, simple)}."
            )
    return lines or [_missing("a linear model beside the networks")]


def best(view: View) -> list[str]:
    """Say what the variant to deploy reaches, which others it beats, and what each of its parts is worth."""
    lines = []
    for text in dict.fromkeys([view.text, "plain"]):
        rows = view.compared("variant", b=BEST, metric="path", recipe=MAIN, text=text, largest=True)
        for split, part in by_split(rows[~rows["a"].str.startswith((BEST, "robust"))]):
            lines.append(_against_best(view, split, text, part))
    rows = view.compared("variant", b=BEST, metric="path", a=tuple(PARTS_OF_BEST), **view.deployed, largest=True)
    lines += [
        f"Without {PARTS_OF_BEST[row['a']]}: {points(**row)} points of path accuracy (plain text, grouped split)."
        for row in records(rows)
    ]
    return lines or [_missing(f"the variant `{BEST}`")]


def _against_best(view: View, split: str, text: str, rows: pd.DataFrame) -> str:
    size = rows["train_size"].max()
    reached = view.measured(metric="path", variant=BEST, recipe=MAIN, text=text, split=split, train_size=size)
    closest = records(rows.sort_values("difference", ascending=False))[0]
    return (
        f"{split.capitalize()} split, {text} text: {look(BEST).label} has {share(**records(reached)[0])}% of paths "
        f"right. It beats {(rows['verdict'] == 'b better').sum()} of {len(rows)} other models beyond the interval; "
        f"against it {look(closest['a']).label} comes closest, with {points(**closest)} points."
    )


def by_split(rows: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Part rows by split, the paper's first; a split without rows is left out."""
    parts = [(split, rows[rows["split"] == split]) for split in ("random", "grouped")]
    return [(split, part) for split, part in parts if len(part)]


def _missing(what: str) -> str:
    return f"The grid has no runs for {what}, so nothing is said of it."


def _best(rows: pd.DataFrame, names: Iterable[str]) -> dict[str, Any] | None:
    found = records(rows[rows["variant"].isin(list(names))].sort_values(["mean", "variant"], ascending=[False, True]))
    return found[0] if found else None


def _between(view: View, network: dict[str, Any], simple: dict[str, Any]) -> str:
    """Say the contrast of a network and a simple model, if there is one."""
    same = {name: network[name] for name in ("recipe", "text", "split", "train_size")}
    rows = records(
        view.compared("variant", a=network["variant"], b=simple["variant"], metric="path", measured_on="test", **same)
    )
    return f"; the network {VERBS[rows[0]['verdict']]} it, {points(**rows[0])} points" if rows else ""


def _gaps(view: View, recipe: str) -> Iterator[str]:
    rows = view.compared("measured_on", recipe=recipe, text=view.text, split="random", metric="mean")
    for variant, part in rows.groupby("variant", sort=False):
        said = [f"{points(**row)} at {row['train_size']:,}" for row in records(part.sort_values("train_size"))]
        name = look(str(variant)).label
        yield f"The paper's recipe, {name}: training rows minus test rows {', '.join(said)}, in points."


def _boast(view: View, recipe: str, variant: str = "brand_text_image") -> Iterator[str]:
    """Say whether the accuracy of more than 99% of the paper's abstract appears on training rows, and on test rows."""
    rows = view.measured(on=None, recipe=recipe, variant=variant, text=view.text, split="random", metric=LEVELS)
    for on in ("train", "test") if len(rows) else ():
        part = rows[rows["measured_on"] == on]
        best = records(part.sort_values(["mean", "metric"], ascending=[False, True]))[0]
        verb = "exceeds" if best["mean"] > BOASTED else "does not exceed"
        yield (
            f'On {on if on == "test" else "training"} rows, {look(variant).label} {verb} the "> 99%" of the abstract: '
            f"its best is {share(**best)}% at {LEVEL_LOOKS[best['metric']].label}, {best['train_size']:,} products."
        )


def _changes(changes: "pd.Series[str]", name: str) -> str:
    if not len(changes):
        return _missing(name)
    counts = [(change, int((changes == change).sum())) for change in dict.fromkeys(["stands", *CHANGES.values()])]
    said = "; ".join(f"{change}: {count}" for change, count in counts if count)
    return f"{name}, {len(changes)} differences by level, once both sides are on test rows - {said}."
