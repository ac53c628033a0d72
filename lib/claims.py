"""What `claims.yaml` says: each claim of the paper, how it is judged, and in which ways.

The rules themselves are in `lib/claim_rules.py`, the verdicts in `lib/ledger.py`.
"""

from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from lib.claim_quantities import QUANTITIES
from lib.config import Split, Strict, Text, load_params, root
from lib.config.reading import load
from lib.errors import StudyError, nearest
from lib.figures import LOOKS

Decoding = Literal["independent", "valid_path", "hard", "soft", "soft_child"]
Sizes = Literal["smallest", "second_largest", "largest", "each"]
PUBLISHED = "published"
"""The way that needs no measurement: the numbers in the paper's plots."""


def _term(value: Any) -> Any:
    return {"variant": value} if isinstance(value, str) else value


def _list(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def _quantity(name: str) -> str:
    if name not in QUANTITIES:
        raise ValueError(f"there is no quantity '{name}'. Known: {list(QUANTITIES)}.{nearest(name, QUANTITIES)}")
    return name


class Term(Strict):
    """A variant and how its levels are decoded; the variant's name alone will do."""

    variant: str
    decoding: Decoding = "independent"


OneTerm = Annotated[Term, BeforeValidator(_term)]
Terms = Annotated[list[OneTerm], BeforeValidator(_list), Field(min_length=1)]
Quantity = Annotated[str, BeforeValidator(_quantity)]
Quantities = Annotated[list[Quantity], BeforeValidator(_list), Field(min_length=1)]


class Bounded(Strict):
    """What the effect must be for the claim to hold: above or below a bound, or no farther from 0 than one.

    Bounds are shares, 0.01 being one percentage point.
    """

    above: float | None = None
    below: float | None = None
    within: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _has_one_bound(self) -> Self:
        given = [name for name in ("above", "below", "within") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"a rule needs exactly one of 'above', 'below' and 'within'. Found {given or 'none'}")
        return self


class Threshold(Bounded):
    """The quantity itself."""

    kind: Literal["threshold"]
    metric: Quantity
    of: OneTerm
    train_sizes: Sizes


class Difference(Bounded):
    """a minus b, for each quantity, each a and each b."""

    kind: Literal["difference"]
    metric: Quantities
    a: Terms
    b: Terms
    train_sizes: Sizes


class Order(Bounded):
    """One quantity of a variant minus others of the same variant."""

    kind: Literal["order"]
    of: OneTerm
    metric: Quantity
    others: Quantities
    train_sizes: Sizes


class Gain(Bounded):
    """What a doubling of the training rows brings, between neighbouring sizes: at each step, or at the last one."""

    kind: Literal["gain"]
    metric: Quantity
    of: Terms
    steps: Literal["each", "last"]


class Slowdown(Bounded):
    """What a doubling brings at the last step but one, minus what it brings at the last step."""

    kind: Literal["slowdown"]
    metric: Quantity
    of: OneTerm


class Trend(Bounded):
    """The difference a minus b at the smallest size, minus the same at the largest."""

    kind: Literal["trend"]
    metric: Quantity
    a: OneTerm
    b: OneTerm


Rule = Annotated[Threshold | Difference | Order | Gain | Slowdown | Trend, Field(discriminator="kind")]


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

    def stands_in(self, decoding: str) -> str:
        """Return the decoding that is looked at where a claim names this one."""
        return {str(name): str(other) for name, other in self.decodings.items()}.get(decoding, decoding)


class Way(Place):
    """A way to judge: a place for every variant, and others for those in `variants`."""

    label: str
    text: Text
    split: Split
    variants: dict[str, Place] = Field(default_factory=dict)

    def place(self, variant: str) -> Place:
        """Return where this way looks at a variant."""
        return self.variants.get(variant, self)


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
    known = {*LOOKS, *load_params().variants}
    for where, variant in _variants(claims):
        if variant not in known:
            hint = nearest(variant, known)
            raise StudyError(f"{path.name}: {where} names the variant '{variant}'. Known: {sorted(known)}.{hint}")
    return claims


def terms(rule: Rule) -> list[Term]:
    """Return every term of a rule.

    >>> rule = Slowdown(kind="slowdown", metric="mean", of="brand", above=0)
    >>> [term.variant for term in terms(rule)]
    ['brand']
    """
    match rule:
        case Difference():
            return [*rule.a, *rule.b]
        case Trend():
            return [rule.a, rule.b]
        case Gain():
            return rule.of
        case _:
            return [rule.of]


def _variants(claims: Claims) -> Iterator[tuple[str, str]]:
    for claim in claims.claims:
        yield from ((f"the claim '{claim.id}'", term.variant) for term in terms(claim.rule))
    for name, way in claims.ways.items():
        yield from ((f"the way '{name}'", variant) for variant in way.variants)
