"""The claims ledger: what `claims.yaml` says, and a verdict for each claim in each way of judging, computed by rule.

A rule asks for comparisons: sums of measured quantities with signs. A claim has one rule or several, and holds if every
comparison of every rule does. The intervals of one claim hold together: of `n` comparisons each has the confidence
1 - 0.05 / n (Bonferroni), so that a claim that asks for more is not called more readily.

A comparison comes out as the first of these that is true (`Rule.verdict`):

- *holds*, *fails*: the whole interval lies inside the bound, outside it. Direction is proven, however small the effect;
- *equivalent*: the bound is 0, and the interval contains 0 and nothing farther from it than the `equivalence_margin` of
  `claims.yaml`. So a precise null is a finding, also where both sides are right on just the same rows;
- *inconclusive*: anything else. Also where the draws of a measurement say nothing of its uncertainty: where they are
  all the same, or where many of them have no row of the kind that is asked for.

A claim comes out as its worst comparison, in the order of `WORST_FIRST`. A comparison with fewer common seeds than
`fewest_seeds` calls nothing; a failure that enough seeds show stays one whatever the rest would show. Seeds are counted
of models that chance has a part in: a model that gradient descent does not train is the same with every seed, as soon
as it is fitted to all rows.

Both sides are decoded alike, each level by its most probable class: `independent`, and `hard` of a chain, which is the
chain's own most probable class. `soft` is a beam, which is a part of the model that the paper proposes, and is asked
for by name.

Published numbers are read off to a point. Their interval is the farthest that such errors can move the effect.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from itertools import pairwise, product
from operator import itemgetter
from typing import Annotated, Any, Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import BeforeValidator, Field, model_validator

from lib.config import LEVELS, Split, Strict, Text, load, load_params, root
from lib.evaluation.bootstrap import CONFIDENCE, Interval, Sample, interval, seed_means
from lib.evaluation.published import MODELS, READING_ERROR, published
from lib.evaluation.samples import MEASURED, Samples
from lib.exceptions import StudyError, nearest
from lib.training.runs import NO_RECIPE

Floats = npt.NDArray[np.float64]
Shares = Mapping[str, Floats]
"""Shares of rows by name, the columns of a sample: arrays of any shape, one value a bootstrap draw."""

PUBLISHED, NOT_MEASURED = "published", "not measured"
"""The way that needs no measurement, the numbers in the paper's plots; and the verdict where there is no number."""
TOO_FEW_SEEDS = "too few seeds"
WORST_FIRST = ("fails", TOO_FEW_SEEDS, "inconclusive", "equivalent", "holds")
CONTROLS = ("brand_image_random",)
"""Variants that a claim may ask for, whatever is run here: those that take the place of one with something left out."""
BARS = {"fall_to_level_2": 2, "fall_to_level_3": 2}
"""Quantities of which a point of error in each published bar is worth more than one point, and how many are."""
MOST_EMPTY = 0.05  # share of draws that may hold no row that a quantity is about
COLUMNS = [
    *("id", "claim", "source", "measured", "changed", "way", "label", "verdict", "effect", "low", "high", "bound"),
    *("p", "holm", "a", "b", "train_size", "seeds", "comparisons", "holding", "why"),
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
    """A variant and how its levels are decoded; the variant's name will do.

    A quantity or a text that is given takes the place of the rule's, and of the way's.
    """

    variant: str
    decoding: Decoding = "independent"
    metric: Quantity | None = None
    text: Text | None = None

    def __str__(self) -> str:
        """Name what must have been run."""
        return " ".join(filter(None, (self.variant, self.decoding, self.text)))


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

    def verdict(self, low: float, high: float, margin: float = 0.0) -> str:
        """Say whether an interval lies inside the bound, outside it, is next to nothing, or none of these.

        >>> rule = {"metric": "mean", "a": "brand", "at": "largest"}
        >>> above, within = Rule(**rule, above=0.0), Rule(**rule, within=0.1)
        >>> [above.verdict(*pair) for pair in ((0.1, 0.2), (-0.2, -0.1), (-0.1, 0.1), (0.0, 0.0))]
        ['holds', 'fails', 'inconclusive', 'equivalent']
        >>> [above.verdict(*pair, margin=0.005) for pair in ((0.001, 0.002), (-0.002, 0.004), (-0.002, 0.006))]
        ['holds', 'equivalent', 'inconclusive']
        >>> [within.verdict(*pair) for pair in ((-0.05, 0.05), (0.1, 0.2), (-0.3, -0.2), (0.0, 0.2))]
        ['holds', 'fails', 'fails', 'inconclusive']
        """
        lowest, highest = self.allowed
        if lowest < low and high < highest:
            return "holds"
        if 0 in (self.above, self.below) and -margin <= low <= 0 <= high <= margin:
            return "equivalent"
        return "fails" if high <= lowest or low >= highest else "inconclusive"

    def bound(self) -> str:
        """Write the bound in percentage points."""
        if self.above is not None:
            return f"> {100 * self.above:.1f}"
        return f"< {100 * self.below:.1f}" if self.below is not None else f"within ± {100 * (self.within or 0):.1f}"


class Claim(Strict):
    """A claim in our own words, where it stands, what is measured, and the rules that decide, all of which must hold.

    `changed` is the day on which it was last changed what a rule asks; another way to write the same does not count.
    """

    id: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    claim: str
    source: str
    figure: Literal["figure_2", "figure_3", "figure_4", "figure_5"] | None
    measured: str
    changed: date
    rule: Annotated[list[Rule], BeforeValidator(_several), Field(min_length=1)]


class Place(Strict):
    """Which runs of a variant to look at, and where: the first of `recipes` that it was trained with.

    Variants without a recipe are taken as they are. `decodings` says which decoding stands for another.
    """

    recipes: list[str] = Field(min_length=1)
    measured_on: Literal["test", "train"]
    decodings: dict[Decoding, Decoding] = Field(default_factory=dict)


class Way(Place):
    """A way to judge: a place for every variant, and others for those in `variants`.

    `rows: fresh` counts only test rows that no test part of the first edition held, when bounds were set.
    """

    label: str
    text: Text
    split: Split
    rows: Literal["all", "fresh"] = "all"
    variants: dict[str, Place] = Field(default_factory=dict)


class Claims(Strict):
    """All of `claims.yaml`. The margin is a share: 0.005 is half a percentage point."""

    equivalence_margin: Annotated[float, Field(ge=0)]
    fewest_seeds: Annotated[int, Field(ge=1)]
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
    known = {*MODELS, *CONTROLS, *load_params().variants}
    rules = [(claim, rule) for claim in claims.claims for rule in claim.rule]
    named = [(f"the claim '{claim.id}'", term.variant) for claim, rule in rules for term in (*rule.a, *rule.b)]
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


class Model(NamedTuple):
    """A sample, its recipe and the rows it is measured on in words, and whether another seed makes another model."""

    sample: Sample
    words: str
    by_chance: bool


class Seen(NamedTuple):
    """What one way of judging has: models by variant, decoding, text and training size, and the largest size of all.

    `text` is that of terms that name none. `reading_error` is that of each number, where numbers were read off a plot.
    """

    models: Mapping[tuple[str, str, str, int], Model]
    text: str
    largest: int
    reading_error: float = 0.0

    def model(self, term: Term, size: int) -> Model:
        """Return the model that a term names at a training size."""
        return self.models[term.variant, term.decoding, term.text or self.text, size]

    def sizes(self, terms: Sequence[Term]) -> list[int]:
        """Return the training sizes at which every term was measured, ascending."""
        every = {key[-1] for key in self.models}
        here = [(term.variant, term.decoding, term.text or self.text) for term in terms]
        return sorted(size for size in every if all((*key, size) in self.models for key in here))


class NotMeasuredError(Exception):
    """A rule asks for what was not measured. Its text says for what."""


def ledger(claims: Claims, samples: Samples, fresh: Samples | None = None) -> pd.DataFrame:
    """Judge every claim in every way, in the order of `claims.yaml`, and return the columns of `claims.csv`.

    A row tells of the comparison that decides, one of the worst verdict, and of these the closest one. Two of its
    columns tell how far it may be relied on:

    `p`
        How probable an effect as far from its bound as the measured one is, to either side, if the true one were at the
        bound. From the normal distribution with the standard deviation of the draws, of which there are too few to
        count such rare ones; times the number of comparisons. A claim that holds has the largest of its comparisons',
        any other the smallest.
    `holm`
        Whether *holds* or *fails* survives Holm's correction (1979) at 5% over all measured verdicts of the ledger.

    Parameters
    ----------
    fresh
        Samples of fresh test rows only, for the ways that ask for them.
    """
    figures = {figure: _published(figure) for figure in {claim.figure for claim in claims.claims}}
    by_rows = {"all": samples, "fresh": fresh or {}}
    ways = {name: _measured(way, by_rows[way.rows]) for name, way in claims.ways.items()}
    labels = {PUBLISHED: "as published", **{name: way.label for name, way in claims.ways.items()}}
    rows = []
    for claim in claims.claims:
        for way, seen in {PUBLISHED: figures[claim.figure], **ways}.items():
            words = claim.model_dump(include={"id", "claim", "source", "measured", "changed"})
            rows.append({**words, "way": way, "label": labels[way], **_judge(claim.rule, seen, claims)})
    table = pd.DataFrame(rows, columns=COLUMNS).astype({"train_size": "Int64", "seeds": "Int64", "p": float})
    ordered = table["p"].dropna().sort_values()
    survives = (ordered <= (1 - CONFIDENCE) / np.arange(len(ordered), 0, -1)).cummin().astype("boolean")
    called = table["verdict"].isin(["holds", "fails"])
    return table.assign(holm=survives.reindex(table.index).where(called))


def _measured(way: Way, samples: Samples) -> Seen:
    """Look at the samples in one way: of each variant the runs of one recipe, on the rows that the way looks at."""
    here = {m: sample for m, sample in samples.items() if m.split == way.split}
    trained = {(m.variant, m.text, m.recipe) for m in here}
    largest = max((m.train_size for m in here), default=0)
    models = {}
    for m, sample in here.items():
        place = way.variants.get(m.variant, way)
        recipe = next((name for name in (*place.recipes, NO_RECIPE) if (m.variant, m.text, name) in trained), "")
        if (m.recipe, m.measured_on) == (recipe, place.measured_on):
            words = " ".join(filter(None, (m.recipe, "" if m.text == way.text else m.text, m.measured_on)))
            by_chance = m.recipe != NO_RECIPE or m.train_size < largest
            models[m.variant, m.decoding, m.text, m.train_size] = Model(sample, words, by_chance)
    stand_ins = {
        (variant, str(asked), text, size): model
        for (variant, decoding, text, size), model in models.items()
        for asked, other in way.variants.get(variant, way).decodings.items()
        if decoding == other
    }
    return Seen({**models, **stand_ins}, way.text, largest)


def _published(figure: str | None) -> Seen:
    """Make samples of the numbers of one published figure: one seed, and draws that are all the number itself."""
    every = published()
    table = every[every["figure"] == figure]
    models: dict[tuple[str, str, str, int], Model] = {}
    for (variant, decoding), rows in table.groupby(["variant", "decoding"]):
        for size in sorted({int(size) for size in table["train_size"].dropna()}):
            at_size = rows[(rows["train_size"] == size).fillna(True)]  # the naive model's are given without a size
            if len(at_size):
                numbers = dict(zip(at_size["metric"], at_size["value"], strict=True))
                if set(numbers) >= set(LEVELS):
                    numbers["mean"] = sum(numbers[level] for level in LEVELS) / len(LEVELS)
                values = np.array([[numbers.get(metric, np.nan) for metric in MEASURED]])
                sample = Sample((0,), values, values[None])
                models[str(variant), str(decoding), "", size] = Model(sample, PUBLISHED, by_chance=False)
    return Seen(models, "", int(every["train_size"].max()), READING_ERROR)


def _judge(rules: Sequence[Rule], seen: Seen, settings: Claims) -> dict[str, object]:
    """Judge all comparisons of a claim's rules, and tell of the one that decides."""
    try:
        asked = [(rule, comparison) for rule in rules for comparison in _comparisons(rule, seen)]
        judged = [_compare(*one, seen, len(asked), settings.equivalence_margin) for one in asked]
    except NotMeasuredError as error:
        bound = "; ".join(dict.fromkeys(rule.bound() for rule in rules))
        row = {"verdict": NOT_MEASURED, "a": "", "b": "", "bound": bound, "why": str(error)}
        return {**row, "comparisons": 0, "holding": 0}
    counts = {"comparisons": len(asked), "holding": sum(one["verdict"] == "holds" for one in judged)}
    ranks = [WORST_FIRST.index(one["verdict"]) for one in judged]
    for one in judged:
        if one["seeds"] is not None and one["seeds"] < settings.fewest_seeds:
            found = f"{one['seeds']} common seeds, and {settings.fewest_seeds} are needed"
            would = f"it would be: {WORST_FIRST[min(ranks)]}"
            one |= {"verdict": TOO_FEW_SEEDS, "p": math.nan, "why": "; ".join(filter(None, (found, would, one["why"])))}
    verdict = min((one["verdict"] for one in judged), key=WORST_FIRST.index)
    worst = [n for n in range(len(asked)) if judged[n]["verdict"] == verdict]
    decides = min(worst, key=lambda n: (ranks[n], judged[n]["slack"]))
    every = [judged[n]["p"] for n in worst]
    rule, comparison = asked[decides]
    half = max(len(comparison) // 2, 1)
    return {
        **judged[decides],
        **counts,
        "p": float(np.minimum(1, len(asked) * (np.max if verdict == "holds" else np.min)(every))),
        "a": _describe(comparison[:half], seen),
        "b": _describe(comparison[half:], seen),
        "bound": rule.bound(),
        "train_size": max(summand.train_size for summand in comparison),
    }


def _comparisons(rule: Rule, seen: Seen) -> list[Comparison]:
    """Return every comparison that a rule asks for, or say what of it was not measured."""
    terms = [*rule.a, *rule.b]
    if missing := dict.fromkeys(str(term) for term in terms if not seen.sizes([term])):
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


def _compare(rule: Rule, comparison: Comparison, seen: Seen, asked: int, margin: float) -> dict[str, Any]:
    """Judge one of so many comparisons on its own: effect, interval, verdict, p, and how many seeds are behind it.

    No number of seeds where no seed makes a difference.
    """
    models = [seen.model(one.term, one.train_size) for one in comparison]
    values = [
        one.weight * QUANTITIES[one.metric][1](dict(zip(MEASURED, means.T, strict=True)))
        for one, means in zip(comparison, seed_means([model.sample for model in models]), strict=True)
    ]
    total = np.sum(values, axis=0)
    if np.isnan(total[0]) or np.isnan(total[1:]).all():
        raise NotMeasuredError(f"no number for: {'; '.join(sorted({QUANTITIES[one.metric][0] for one in comparison}))}")
    effect = Interval(*(round(value, 6) + 0.0 for value in interval(total, 1 - (1 - CONFIDENCE) / asked)))
    if seen.reading_error:
        error = seen.reading_error * sum(abs(one.weight) * BARS.get(one.metric, 1) for one in comparison)
        effect = Interval(effect.mean, *(round(effect.mean + side, 6) for side in (-error, error)))
    slack = rule.slack(effect.mean)
    numbers = {"effect": effect.mean, "low": effect.low, "high": effect.high, "slack": slack}
    said, why, p = rule.verdict(effect.low, effect.high, margin), "", math.nan
    if effect.low == effect.high and said != "equivalent":
        why = "its draws do not vary"
    if np.isnan(total).mean() > MOST_EMPTY:
        why = "many draws hold no row that it is about"
    spread = float(np.nanstd(total[1:]))
    if not (why or seen.reading_error):
        p = math.erfc(abs(slack) / spread / math.sqrt(2)) if spread else 1.0
    drawn = [set(model.sample.seeds) for model in models if model.by_chance]
    seeds = len(set.intersection(*drawn)) if drawn else None
    return {**numbers, "seeds": seeds, "verdict": "inconclusive" if why else said, "why": why, "p": p}


def _describe(side: Comparison, seen: Seen) -> str:
    """Describe one side, what is added in it and subtracted: variant, decoding, recipe, rows, quantity and size."""
    said = ""
    for weight, term, metric, size in side:
        joint = "" if not said else " - " if weight * side[0].weight < 0 else " + "
        decoding = "" if term.decoding == "independent" else term.decoding
        words = seen.model(term, size).words
        said += joint + " ".join([*filter(None, (term.variant, decoding, words, metric)), f"@{size}"])
    return said
