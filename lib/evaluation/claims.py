"""The claims ledger: what `claims.yaml` says, and a verdict for each claim in each way of judging, computed by rule.

A rule asks for comparisons: sums of measured quantities with signs. The claim holds if every comparison does. The
intervals of one claim hold together: of `n` comparisons each has the confidence 1 - 0.05 / n (Bonferroni), so that a
claim that asks for more is not called more readily. Nothing is called where the draws of a measurement say nothing of
its uncertainty: where they are all the same, or where many of them have no row of the kind that is asked for.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise, product
from operator import itemgetter
from typing import Annotated, Any, Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import BeforeValidator, Field, model_validator

from lib.config import LEVELS, Split, Strict, Text, load, load_params, root
from lib.evaluation.bootstrap import CONFIDENCE, Interval, Sample, common_seeds, interval, seed_means
from lib.evaluation.published import MODELS, published
from lib.evaluation.samples import MEASURED, Samples
from lib.exceptions import StudyError, nearest
from lib.training.runs import NO_RECIPE

Floats = npt.NDArray[np.float64]
Shares = Mapping[str, Floats]
"""Shares of rows by name, the columns of a sample: arrays of any shape, one value a bootstrap draw."""

PUBLISHED, NOT_MEASURED = "published", "not measured"
"""The way that needs no measurement, the numbers in the paper's plots; and the verdict where there is no number."""
WORST_FIRST = ("fails", "inconclusive", "holds")
MOST_EMPTY = 0.05  # share of draws that may hold no row that a quantity is about
COLUMNS = [
    *("id", "claim", "source", "measured", "way", "label", "verdict", "effect", "low", "high", "bound"),
    *("a", "b", "train_size", "seeds", "comparisons", "holding", "why"),
]


def right_after(shares: Shares, level: int) -> tuple[Floats, Floats]:
    """Return a level's accuracy where the level before is right, and where it is wrong; NaN where no row is.

    >>> shares = {"level_1": np.array(0.8), "level_2": np.array(0.7), "level_1_and_2": np.array(0.6)}
    >>> [round(float(share), 3) for share in right_after(shares, 2)]
    [0.75, 0.5]
    """
    right, both = (np.asarray(shares[f"level_{level - 1}{rest}"], np.float64) for rest in ("", f"_and_{level}"))
    # What sums of rounded shares leave of zero is no row.
    of_right, of_wrong = (np.where(share > 1e-9, share, np.nan) for share in (right, 1 - right))
    return both / of_right, (np.asarray(shares[f"level_{level}"], np.float64) - both) / of_wrong


QUANTITIES: dict[str, tuple[str, Callable[[Shares], Floats]]] = {
    **{level: (f"accuracy of level {level[-1]}", itemgetter(level)) for level in LEVELS},
    "mean": ("mean accuracy of the levels", itemgetter("mean")),
    "path": ("path accuracy", itemgetter("path")),
    "valid_share": ("share of valid paths", itemgetter("valid_share")),
    "fall_to_level_2": ("accuracy of level 1 minus that of level 2", lambda of: of["level_1"] - of["level_2"]),
    "fall_to_level_3": ("accuracy of level 2 minus that of level 3", lambda of: of["level_2"] - of["level_3"]),
    "level_2_where_level_1_is_wrong": ("accuracy of level 2 where level 1 is wrong", lambda of: right_after(of, 2)[1]),
    "level_2_hangs_on_level_1": (
        "accuracy of level 2 where level 1 is right, minus where it is wrong",
        lambda of: np.subtract(*right_after(of, 2)),
    ),
    "level_3_hangs_on_level_2": (
        "accuracy of level 3 where level 2 is right, minus where it is wrong",
        lambda of: np.subtract(*right_after(of, 3)),
    ),
}
"""Name (of a rule's `metric` in `claims.yaml`) -> the quantity in prose, and how it is made from shares of rows."""


def _quantity(name: str) -> str:
    if name not in QUANTITIES:
        raise ValueError(f"there is no quantity '{name}'. Known: {list(QUANTITIES)}.{nearest(name, QUANTITIES)}")
    return name


def _several(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


Decoding = Literal["independent", "valid_path", "hard", "soft", "soft_child"]
Quantity = Annotated[str, BeforeValidator(_quantity)]
Quantities = Annotated[list[Quantity], BeforeValidator(_several), Field(min_length=1)]


class Term(Strict):
    """A variant, how its levels are decoded, and a quantity in place of the rule's; the variant's name will do."""

    variant: str
    decoding: Decoding = "independent"
    metric: Quantity | None = None


OneTerm = Annotated[Term, BeforeValidator(lambda value: {"variant": value} if isinstance(value, str) else value)]
Terms = Annotated[list[OneTerm], BeforeValidator(_several)]


class Rule(Strict):
    """What is measured (the effect), and what it must be: above or below a bound, or no farther from 0 than one.

    The effect is a minus b, for each quantity, each a and each b; a itself where there is no b.

    Attributes
    ----------
    at
        Where it is measured, of the training sizes at which all was:

        - `each`, the `largest`, or the `smallest` or `second_largest`; these two are for claims on little data, and
          never the largest size of any run;
        - `trend`: at the smallest size, minus the same at the largest;
        - `each_step` or `last_step`: what a doubling of the training rows adds to it, between neighbouring sizes;
        - `slowdown`: that of the last step but one, minus that of the last.
    above, below, within
        Exactly one of them. Bounds are shares, 0.01 being one percentage point.
    """

    metric: Quantities
    a: Annotated[Terms, Field(min_length=1)]
    b: Terms = Field(default_factory=list)
    at: Literal["each", "smallest", "second_largest", "largest", "trend", "each_step", "last_step", "slowdown"]
    above: float | None = None
    below: float | None = None
    within: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _has_one_bound(self) -> Self:
        given = [name for name in ("above", "below", "within") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"a rule needs exactly one of 'above', 'below' and 'within'. Found {given or 'none'}")
        return self

    @property
    def allowed(self) -> tuple[float, float]:
        """The limits between which the effect must lie."""
        if self.within is not None:
            return -self.within, self.within
        return -math.inf if self.above is None else self.above, math.inf if self.below is None else self.below

    def slack(self, effect: float) -> float:
        """Return by how much an effect keeps the bound; negative by how much it breaks it.

        >>> rule = {"metric": "mean", "a": "brand", "at": "largest"}
        >>> Rule(**rule, below=0.5).slack(0.25), Rule(**rule, within=0.5).slack(-0.75)
        (0.25, -0.25)
        """
        lowest, highest = self.allowed
        return min(effect - lowest, highest - effect)

    def verdict(self, low: float, high: float) -> str:
        """Say whether an interval lies inside the bound, outside it, or on both sides.

        >>> rule = {"metric": "mean", "a": "brand", "at": "largest"}
        >>> above, within = Rule(**rule, above=0.0), Rule(**rule, within=0.1)
        >>> [above.verdict(*pair) for pair in ((0.1, 0.2), (-0.2, 0.0), (-0.1, 0.1), (0.0, 0.0))]
        ['holds', 'fails', 'inconclusive', 'fails']
        >>> [within.verdict(*pair) for pair in ((-0.05, 0.05), (0.1, 0.2), (-0.3, -0.2), (0.0, 0.2))]
        ['holds', 'fails', 'fails', 'inconclusive']
        """
        lowest, highest = self.allowed
        if lowest < low and high < highest:
            return "holds"
        return "fails" if high <= lowest or low >= highest else "inconclusive"

    def bound(self) -> str:
        """Write the bound in percentage points."""
        if self.above is not None:
            return f"> {100 * self.above:.1f}"
        return f"< {100 * self.below:.1f}" if self.below is not None else f"within ± {100 * (self.within or 0):.1f}"


class Claim(Strict):
    """A claim in our own words, where it stands, what is measured, and the rule that decides."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    claim: str
    source: str
    figure: Literal["figure_2", "figure_3", "figure_4", "figure_5"] | None
    measured: str
    rule: Rule


class Place(Strict):
    """Which runs of a variant to look at, and where: the first of `recipes` that it was trained with.

    Variants without a recipe are taken as they are. `decodings` says which decoding stands for another.
    """

    recipes: list[str] = Field(min_length=1)
    measured_on: Literal["test", "train"]
    decodings: dict[Decoding, Decoding] = Field(default_factory=dict)


class Way(Place):
    """A way to judge: a place for every variant, and others for those in `variants`."""

    label: str
    text: Text
    split: Split
    variants: dict[str, Place] = Field(default_factory=dict)


class Claims(Strict):
    """All of `claims.yaml`."""

    ways: dict[str, Way] = Field(min_length=1)
    claims: list[Claim] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = [claim.id for claim in self.claims]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"each claim needs an id of its own. More than once: {twice}")
        if PUBLISHED in self.ways:
            raise ValueError(f"the way '{PUBLISHED}' is always there; it needs no entry")
        return self


def load_claims() -> Claims:
    """Read and validate `claims.yaml`.

    Raises
    ------
    StudyError
        If the file is missing or wrong, or names a variant that nobody knows.
    """
    path = root() / "claims.yaml"
    claims = load(Claims, path)
    known = {*MODELS, *load_params().variants}
    named = [(f"the claim '{c.id}'", term.variant) for c in claims.claims for term in (*c.rule.a, *c.rule.b)]
    named += [(f"the way '{name}'", variant) for name, way in claims.ways.items() for variant in way.variants]
    for where, variant in named:
        if variant not in known:
            hint = nearest(variant, known)
            raise StudyError(f"{path.name}: {where} names the variant '{variant}'. Known: {sorted(known)}.{hint}")
    return claims


class Summand(NamedTuple):
    """One quantity of one model at one training size, and what it counts for in a comparison."""

    weight: float
    term: Term
    metric: str
    train_size: int


Comparison = tuple[Summand, ...]
"""Its sum is the effect. One quantity is a; of several, the first half is a and the second b."""


class Seen(NamedTuple):
    """What one way of judging has: models by variant, decoding and training size, and the largest size of all.

    A model is its sample, and its recipe and the rows it is measured on in words.
    """

    models: Mapping[tuple[str, str, int], tuple[Sample, str]]
    largest: int

    def sizes(self, terms: Sequence[Term]) -> list[int]:
        """Return the training sizes at which every term was measured, ascending."""
        by_term = [{s for variant, how, s in self.models if (variant, how) == (t.variant, t.decoding)} for t in terms]
        return sorted(set.intersection(*by_term))


class NotMeasuredError(Exception):
    """A rule asks for what was not measured. Its text says for what."""


def ledger(claims: Claims, samples: Samples) -> pd.DataFrame:
    """Judge every claim in every way, in the order of `claims.yaml`, and return the columns of `claims.csv`.

    A row tells of the comparison that decides: one that fails, else one that is inconclusive, else the closest one.
    """
    figures = {figure: _published(figure) for figure in {claim.figure for claim in claims.claims}}
    ways = {name: _measured(way, samples) for name, way in claims.ways.items()}
    labels = {PUBLISHED: "as published", **{name: way.label for name, way in claims.ways.items()}}
    rows = []
    for claim in claims.claims:
        for way, seen in {PUBLISHED: figures[claim.figure], **ways}.items():
            words = claim.model_dump(include={"id", "claim", "source", "measured"})
            words |= {"way": way, "label": labels[way], "bound": claim.rule.bound()}
            rows.append({**words, **_judge(claim.rule, seen)})
    return pd.DataFrame(rows, columns=COLUMNS).astype(dict.fromkeys(("train_size", "seeds"), "Int64"))


def _measured(way: Way, samples: Samples) -> Seen:
    """Look at the samples in one way: of each variant the runs of one recipe, on the rows that the way looks at."""
    here = {m: sample for m, sample in samples.items() if (m.text, m.split) == (way.text, way.split)}
    trained = {(m.variant, m.recipe) for m in here}
    models = {}
    for m, sample in here.items():
        place = way.variants.get(m.variant, way)
        recipe = next((name for name in (*place.recipes, NO_RECIPE) if (m.variant, name) in trained), "")
        if (m.recipe, m.measured_on) == (recipe, place.measured_on):
            models[m.variant, m.decoding, m.train_size] = sample, f"{m.recipe} {m.measured_on}"
    stand_ins = {
        (variant, str(asked), size): model
        for (variant, decoding, size), model in models.items()
        for asked, other in way.variants.get(variant, way).decodings.items()
        if decoding == other
    }
    return Seen({**models, **stand_ins}, max((m.train_size for m in here), default=0))


def _published(figure: str | None) -> Seen:
    """Make samples of the numbers of one published figure: one seed, and draws that are all the number itself."""
    every = published()
    table = every[every["figure"] == figure]
    models: dict[tuple[str, str, int], tuple[Sample, str]] = {}
    for (variant, decoding), rows in table.groupby(["variant", "decoding"]):
        for size in sorted({int(size) for size in table["train_size"].dropna()}):
            at_size = rows[(rows["train_size"] == size).fillna(True)]  # the naive model's are given without a size
            if len(at_size):
                numbers = dict(zip(at_size["metric"], at_size["value"], strict=True))
                if set(numbers) >= set(LEVELS):
                    numbers["mean"] = sum(numbers[level] for level in LEVELS) / len(LEVELS)
                values = np.array([[numbers.get(metric, np.nan) for metric in MEASURED]])
                models[str(variant), str(decoding), size] = Sample((0,), values, values[None]), PUBLISHED
    return Seen(models, int(every["train_size"].max()))


def _judge(rule: Rule, seen: Seen) -> dict[str, object]:
    try:
        asked = _comparisons(rule, seen)
        judged = [_compare(rule, comparison, seen, len(asked)) for comparison in asked]
    except NotMeasuredError as error:
        return {"verdict": NOT_MEASURED, "a": "", "b": "", "comparisons": 0, "holding": 0, "why": str(error)}
    decides = min(range(len(asked)), key=lambda n: (WORST_FIRST.index(str(judged[n]["verdict"])), judged[n]["slack"]))
    comparison = asked[decides]
    half = max(len(comparison) // 2, 1)
    return {
        **judged[decides],
        "a": _describe(comparison[:half], seen),
        "b": _describe(comparison[half:], seen),
        "train_size": max(summand.train_size for summand in comparison),
        "comparisons": len(asked),
        "holding": sum(one["verdict"] == "holds" for one in judged),
    }


def _comparisons(rule: Rule, seen: Seen) -> list[Comparison]:
    """Return every comparison that a rule asks for, or say what of it was not measured."""
    terms = [*rule.a, *rule.b]
    if missing := dict.fromkeys(f"{term.variant} {term.decoding}" for term in terms if not seen.sizes([term])):
        raise NotMeasuredError(f"no runs of {', '.join(missing)}")
    sizes = seen.sizes(terms)
    others: list[Term] | list[None] = rule.b or [None]
    found = [
        tuple(
            Summand(sign * weight, term, term.metric or metric, size)
            for weight, size in weighted
            for sign, term in ((1, a), (-1, b))
            if term
        )
        for weighted in _weighted_sizes(rule.at, sizes, seen.largest)
        for metric, a, b in product(rule.metric, rule.a, others)
    ]
    if not found:
        raise NotMeasuredError(f"measured together at the training sizes {sizes}, which is not what the rule needs")
    return found


def _weighted_sizes(at: str, sizes: list[int], largest: int) -> list[list[tuple[float, int]]]:
    """Return where a rule measures its effect: for each comparison training sizes, and what each counts for.

    >>> _weighted_sizes("trend", [1, 4, 8], 8), _weighted_sizes("last_step", [1, 2, 8], 8)
    ([[(1, 1), (-1, 8)]], [[(0.5, 8), (-0.5, 2)]])
    """
    smaller = [size for size in sizes if size < largest]
    single = {"each": sizes, "smallest": smaller[:1], "second_largest": smaller[-1:], "largest": sizes[-1:]}
    if at in single:
        return [[(1, size)] for size in single[at]]
    if at == "trend":
        return [[(1, sizes[0]), (-1, sizes[-1])]] if len(sizes) > 1 else []
    steps = [[(1 / math.log2(b / a), b), (-1 / math.log2(b / a), a)] for a, b in pairwise(sizes)]
    if at == "slowdown":
        return [[*before, *((-weight, size) for weight, size in last)] for before, last in list(pairwise(steps))[-1:]]
    return steps if at == "each_step" else steps[-1:]


def _compare(rule: Rule, comparison: Comparison, seen: Seen, asked: int) -> dict[str, Any]:
    samples = [seen.models[one.term.variant, one.term.decoding, one.train_size][0] for one in comparison]
    values = [
        one.weight * QUANTITIES[one.metric][1](dict(zip(MEASURED, means.T, strict=True)))
        for one, means in zip(comparison, seed_means(samples), strict=True)
    ]
    total = np.sum(values, axis=0)
    if np.isnan(total[0]) or np.isnan(total[1:]).all():
        raise NotMeasuredError(f"no number for: {'; '.join(sorted({QUANTITIES[one.metric][0] for one in comparison}))}")
    effect = Interval(*(round(value, 6) + 0.0 for value in interval(total, 1 - (1 - CONFIDENCE) / asked)))
    numbers = {"effect": effect.mean, "slack": rule.slack(effect.mean)}
    if len(total) == 2:  # a published number, which has one draw, may always be called
        return {**numbers, "verdict": rule.verdict(effect.low, effect.high), "why": ""}
    why = "its draws do not vary" if effect.low == effect.high else ""
    if np.isnan(total).mean() > MOST_EMPTY:
        why = "many draws hold no row that it is about"
    said = "inconclusive" if why else rule.verdict(effect.low, effect.high)
    seeds = len(common_seeds(samples)) or 1
    return {**numbers, "low": effect.low, "high": effect.high, "seeds": seeds, "verdict": said, "why": why}


def _describe(side: Comparison, seen: Seen) -> str:
    """Describe one side, what is added in it and subtracted: variant, decoding, recipe, rows, quantity and size."""
    said = ""
    for weight, term, metric, size in side:
        joint = "" if not said else " - " if weight * side[0].weight < 0 else " + "
        decoding = "" if term.decoding == "independent" else term.decoding
        words = seen.models[term.variant, term.decoding, size][1]
        said += joint + " ".join([*filter(None, (term.variant, decoding, words, metric)), f"@{size}"])
    return said
