"""The questions that `contrasts.csv` answers: one table of pairs."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from lib.config import LEVELS
from lib.runs import NO_RECIPE

CALLED = ("mean", "path")
"""The metrics that every contrast is made of."""

BY_LEVEL = (*LEVELS, *CALLED)

DEPARTURES = {
    "paper_stop_words": "paper",
    "paper_unshuffled": "paper",
    "paper_no_input_dropout": "paper",
    "paper_scalar_brand": "paper",
    "paper_early_stopping": "paper",
    "paper_fixed_updates": "paper",
    "paper_frozen_trunk": "paper",
    "paper_lstm_stated_lr": "paper_lstm",
    "paper_lstm_leaked_label": "paper_lstm",
}
"""Recipes that change one thing in another one, and which."""


class Asked(NamedTuple):
    """A question about two measures a and b.

    `a` and `b` are fields of a measure. What `a` leaves open may be anything, but stands on test rows and is decoded as
    usual; what `b` leaves open is as in a, likewise.
    """

    question: str
    a: Mapping[str, str | int]
    b: Mapping[str, str | int]
    metrics: tuple[str, ...] = CALLED


INPUT_PAIRS = (
    ("brand_text_image", "brand_text"),
    ("brand_text_image", "brand_image"),
    ("brand_text_image", "linear"),
    ("brand_text", "brand_image"),
    ("brand_text", "linear"),
)
"""What one input adds, and what a network adds to a linear model."""

BASELINE_PAIRS = (
    ("brand_image", "linear_image"),
    ("brand_text_image", "linear_image"),
    ("brand_text_image", "late_fusion"),
    ("late_fusion", "linear"),
    ("late_fusion", "linear_image"),
)

BEST = "best"
"""The variant that a marketplace should deploy; every other one is compared with it."""

CHAIN_PAIRS = (
    ("lstm", "hard", "brand_text"),
    ("lstm", "soft", "brand_text"),
    ("lstm", "hard", "lstm_multitask"),
    ("lstm", "soft", "lstm_multitask"),
    ("lstm_multitask", "", "brand_text"),
    ("sequential", "hard", "brand_text"),
)
"""A model of Figure 4 or 5, how it is decoded (empty: as usual), and the one it is compared with."""

COUNTERPARTS = {
    "tuned_lstm": "tuned",
    "paper_lstm": "paper",
    "paper_lstm_stated_lr": "paper",
    "paper_lstm_leaked_label": "paper",
    "paper_frozen_trunk": "paper",
}
"""Recipes of a chain or an LSTM, and the one that the other networks beside it have."""

FIELD_PAIRS = (
    ("text", "plain", "masked"),
    ("text", "titled", "plain"),
    ("split", "random", "grouped"),
    ("measured_on", "train", "test"),
    ("decoding", "valid_path", "independent"),
    ("decoding", "soft", "hard"),
    ("decoding", "soft", "soft_child"),
)
"""Two values of one field of the same model."""

RECIPE_PAIRS = (("tuned", "paper"), ("tuned_lstm", "paper_lstm"), *DEPARTURES.items())


def _chain_pairs(question: str, on: str) -> list[Asked]:
    """Ask a chain, on test rows, against another model, measured on test or on training rows."""
    return [
        Asked(
            question,
            {"variant": a, **({"decoding": decoding} if decoding else {})},
            {"variant": b, "measured_on": on},
            BY_LEVEL,
        )
        for a, decoding, b in CHAIN_PAIRS
    ]


def main_recipes(found: Iterable[tuple[str, str]], recipe: str) -> dict[str, str]:
    """Say which recipe of each variant belongs to the main experiment: one for models like it, that one, or none.

    Parameters
    ----------
    found
        Pairs of a variant and a recipe that it was trained with.
    recipe
        Of the main experiment.

    Examples
    --------
    >>> main_recipes([("lstm", "paper_lstm"), ("lstm", "tuned_lstm"), ("linear", "none"), ("brand", "tuned")], "tuned")
    {'lstm': 'tuned_lstm', 'linear': 'none', 'brand': 'tuned'}
    """
    trained: dict[str, set[str]] = {}
    for variant, name in found:
        trained.setdefault(variant, set()).add(name)
    special = [name for name, other in COUNTERPARTS.items() if other == recipe and name not in DEPARTURES]
    order = [*special, recipe, NO_RECIPE]
    return {variant: next((name for name in order if name in names), recipe) for variant, names in trained.items()}


ASKED = (
    *(Asked("variant", {"variant": a}, {"variant": b}) for a, b in (*INPUT_PAIRS, *BASELINE_PAIRS)),
    *_chain_pairs("variant", "test"),
    *(asked for asked in _chain_pairs("as_coded", "train") if asked.b["variant"] == "brand_text"),
    *(Asked(field, {field: a}, {field: b}, BY_LEVEL if field == "decoding" else CALLED) for field, a, b in FIELD_PAIRS),
    *(
        Asked("recipe", {"recipe": a, "measured_on": on}, {"recipe": b, "measured_on": on})
        for a, b in RECIPE_PAIRS
        for on in ("test", "train")
    ),
)
"""Every question that does not hang on a catalogue's sizes or a study's own variants."""
