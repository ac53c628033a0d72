"""The claims ledger: a verdict for each claim in each way of judging, computed by rule.

The intervals of one claim hold together: of `n` comparisons each has the confidence 1 - 0.05 / n (Bonferroni). So a
claim that asks for more is not called more readily. Nothing is called where the draws of a measurement say nothing of
its uncertainty: where they are all the same, or where many of them have no row of the kind that is asked for.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from lib.bootstrap import CONFIDENCE, Interval, Sample, common_seeds, interval, seed_means
from lib.claim_quantities import QUANTITIES
from lib.claim_rules import Comparison, NotMeasuredError, Part, Seen, comparisons, slack, verdict
from lib.claims import PUBLISHED, Bounded, Claim, Claims, Way
from lib.config import LEVELS
from lib.contrasts import Samples
from lib.published import published
from lib.runs import NO_RECIPE
from lib.verdicts import VERDICTS

NOT_MEASURED = "not measured"
MOST_EMPTY = 0.05  # share of draws that may hold no row that a quantity is about
COLUMNS = [
    *("id", "claim", "source", "measured", "way", "label", "verdict", "effect", "low", "high", "bound"),
    *("a", "b", "train_size", "seeds", "comparisons", "holding", "why"),
]


class Judged(NamedTuple):
    """One comparison, its effect with the interval, and whether it holds."""

    comparison: Comparison
    effect: Interval
    verdict: str
    slack: float
    seeds: int
    why: str


def ledger(claims: Claims, samples: Samples, metrics: Sequence[str]) -> pd.DataFrame:
    """Judge every claim in every way, in the order of `claims.yaml`, and return the columns of `claims.csv`.

    A row tells of the comparison that decides: one that fails, else one that is inconclusive, else the closest one.

    Parameters
    ----------
    claims
        What `claims.yaml` says.
    samples
        What was measured; columns are `metrics`.
    metrics
        Names of the samples' columns: the shares that the quantities are made of.
    """
    ways = {name: _measured(way, samples) for name, way in claims.ways.items()}
    figures = {figure: _published(figure, metrics) for figure in {claim.figure for claim in claims.claims}}
    labels = {PUBLISHED: "as published", **{name: way.label for name, way in claims.ways.items()}}
    rows = []
    for claim in claims.claims:
        for way, seen in {PUBLISHED: figures[claim.figure], **ways}.items():
            words = {**_words(claim), "way": way, "label": labels[way], "bound": bound_text(claim.rule)}
            rows.append({**words, **_judge(claim, seen, metrics)})
    table = pd.DataFrame(rows, columns=COLUMNS).astype(dict.fromkeys(("train_size", "seeds"), "Int64"))
    return table.fillna({"a": "", "b": "", "why": ""})


def bound_text(bound: Bounded) -> str:
    """Write a rule's bound in percentage points.

    >>> from lib.claims import Gain
    >>> bound_text(Gain(kind="gain", metric="mean", of="brand", steps="last", below=0.02))
    '< 2.0'
    """
    if bound.above is not None:
        return f"> {100 * bound.above:.1f}"
    return f"< {100 * bound.below:.1f}" if bound.below is not None else f"within ± {100 * (bound.within or 0):.1f}"


def _words(claim: Claim) -> dict[str, str]:
    return {name: getattr(claim, name) for name in ("id", "claim", "source", "measured")}


def _measured(way: Way, samples: Samples) -> Seen:
    """Look at the samples in one way: of each variant the runs of one recipe, on the rows that the way looks at."""
    here = {m: sample for m, sample in samples.items() if (m.text, m.split) == (way.text, way.split)}
    recipes = {variant: _recipe(way, variant, here) for variant in {m.variant for m in here}}
    places = {variant: way.place(variant) for variant in recipes}
    found = {
        (m.variant, m.decoding, m.train_size): sample
        for m, sample in here.items()
        if (m.recipe, m.measured_on) == (recipes[m.variant], places[m.variant].measured_on)
    }
    stand_ins = {
        (variant, decoding, size): found[variant, other, size]
        for variant, decoding, size in found
        if (variant, other := places[variant].stands_in(decoding), size) in found
    }
    largest = max((m.train_size for m in here), default=0)
    rows = {variant: str(place.measured_on) for variant, place in places.items()}
    return Seen({**found, **stand_ins}, recipes, rows, largest)


def _recipe(way: Way, variant: str, samples: Samples) -> str:
    """Return the first recipe of the way that a variant was trained with; nothing if it was with none of them."""
    trained = {m.recipe for m in samples if m.variant == variant}
    return next((recipe for recipe in (*way.place(variant).recipes, NO_RECIPE) if recipe in trained), "")


def _published(figure: str | None, metrics: Sequence[str]) -> Seen:
    """Make samples of the numbers of one published figure: one seed, and draws that are all the number itself."""
    every = published()
    table = every[every["figure"] == figure]
    sizes = sorted({int(size) for size in table["train_size"].dropna()})
    found: dict[tuple[str, str, int], Sample] = {}
    for (variant, decoding), rows in table.groupby(["variant", "decoding"]):
        for size in sizes:  # the naive model's numbers are given without a size
            at_size = rows[(rows["train_size"] == size).fillna(True)]
            if len(at_size):
                found[str(variant), str(decoding), size] = _exactly(at_size, metrics)
    # The sequential network has one bar a level: what its greedy choices reach.
    greedy = {(v, "hard", size): sample for (v, _, size), sample in found.items() if v == "sequential"}
    recipes = dict.fromkeys(table["variant"], PUBLISHED)
    return Seen({**found, **greedy}, recipes, {}, int(every["train_size"].max()))


def _exactly(bars: pd.DataFrame, metrics: Sequence[str]) -> Sample:
    numbers = dict(zip(bars["metric"], bars["value"], strict=True))
    if set(numbers) >= set(LEVELS):
        numbers["mean"] = sum(numbers[level] for level in LEVELS) / len(LEVELS)
    values = np.array([[numbers.get(metric, np.nan) for metric in metrics]])
    return Sample((0,), values, values[None])


def _judge(claim: Claim, seen: Seen, metrics: Sequence[str]) -> dict[str, object]:
    try:
        asked = comparisons(claim.rule, seen)
        judged = [_compare(claim.rule, one, seen, metrics, len(asked)) for one in asked]
    except NotMeasuredError as error:
        return {"verdict": NOT_MEASURED, "comparisons": 0, "holding": 0, "why": str(error)}
    decides = min(judged, key=lambda one: (list(VERDICTS).index(one.verdict), one.slack))
    measured = PUBLISHED not in seen.recipes.values()
    return {
        "verdict": decides.verdict,
        "effect": decides.effect.mean,
        **({"low": decides.effect.low, "high": decides.effect.high, "seeds": decides.seeds} if measured else {}),
        **_sides(decides.comparison, seen),
        "train_size": max(part.train_size for part in decides.comparison.parts),
        "comparisons": len(judged),
        "holding": sum(one.verdict == "holds" for one in judged),
        "why": decides.why,
    }


def _compare(rule: Bounded, comparison: Comparison, seen: Seen, metrics: Sequence[str], asked: int) -> Judged:
    samples = [seen.samples[part.term.variant, part.term.decoding, part.train_size] for part in comparison.parts]
    values = [
        part.weight * QUANTITIES[part.metric].of(dict(zip(metrics, means.T, strict=True)))
        for part, means in zip(comparison.parts, seed_means(samples), strict=True)
    ]
    total = np.sum(values, axis=0)
    if np.isnan(total[0]) or np.isnan(total[1:]).all():
        labels = sorted({QUANTITIES[part.metric].label for part in comparison.parts})
        raise NotMeasuredError(f"no number for: {'; '.join(labels)}")
    effect = Interval(*(round(value, 6) + 0.0 for value in interval(total, 1 - (1 - CONFIDENCE) / asked)))
    why = _says_nothing(total, effect)
    said = "inconclusive" if why else verdict(rule, effect.low, effect.high)
    seeds = len(common_seeds(samples)) or 1
    return Judged(comparison, effect, said, slack(rule, effect.mean), seeds, why)


def _says_nothing(values: npt.NDArray[np.float64], effect: Interval) -> str:
    """Say why an effect may not be called, if so. A published number, which has one draw, may always be."""
    if len(values) == 2:
        return ""
    if np.isnan(values).mean() > MOST_EMPTY:
        return "many draws hold no row that it is about"
    return "its draws do not vary" if effect.low == effect.high else ""


def _sides(comparison: Comparison, seen: Seen) -> dict[str, str]:
    """Describe a and b: variant, decoding, recipe, rows measured, quantity and training size."""
    parts = [_describe(part, seen) for part in comparison.parts]
    if len(parts) == 4:
        parts = [f"{first} - {second}" for first, second in zip(parts[::2], parts[1::2], strict=True)]
    return {"a": parts[0], "b": "".join(parts[1:])}


def _describe(part: Part, seen: Seen) -> str:
    variant = part.term.variant
    decoding = "" if part.term.decoding == "independent" else part.term.decoding
    words = (variant, decoding, seen.recipes.get(variant, ""), seen.places.get(variant, ""), part.metric)
    return " ".join([*filter(None, words), f"@{part.train_size}"])
