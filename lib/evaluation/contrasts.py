"""What is compared with what, and what may be said of each pair: `contrasts.csv` and `baselines.csv`.

`QUESTIONS` is the table of questions; some more hang on a catalogue's sizes and on a study's own variants.

Both sides of a comparison are decoded alike. Where one of them answers valid paths only (`best`), so does the other.
Otherwise each level is its most probable class: `independent`, and `hard` of a chain, which is the chain's own most
probable class. Only `soft` is decoded in a way of its own: the beam is what the paper proposes.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from lib.config import LEVELS, Params, Variant
from lib.evaluation.bootstrap import differences
from lib.evaluation.samples import MEASURED, Measure, Samples
from lib.training.metrics import CHAIN_DECODINGS, usual_decodings
from lib.training.runs import NO_RECIPE

CALLED = ("mean", "path")
"""The metrics that every contrast is made of."""
BY_LEVEL = (*LEVELS, *CALLED)
BEST = "best"
"""The variant that a marketplace should deploy; every other one is compared with it."""

DEPARTURES = {
    "paper_stop_words": "paper",
    "paper_unshuffled": "paper",
    "paper_no_input_dropout": "paper",
    "paper_scalar_brand": "paper",
    "paper_early_stopping": "paper",
    "paper_fixed_updates": "paper",
    "paper_70k_updates": "paper",
    "paper_as_coded": "paper",
    "paper_standardized_image": "paper",
    "paper_lr_1": "paper",
    "paper_both_parents": "paper",
    "paper_frozen_trunk": "paper",
    "paper_lstm_stated_lr": "paper_lstm",
    "paper_lstm_leaked_label": "paper_lstm",
    "tuned_lstm_sigmoid": "tuned_lstm",
}
"""Recipes that change one thing in another one, and which."""

COUNTERPARTS = {
    "tuned_lstm": "tuned",
    "paper_lstm": "paper",
    "paper_lstm_stated_lr": "paper",
    "paper_lstm_leaked_label": "paper",
    "paper_frozen_trunk": "paper",
    "paper_both_parents": "paper",
}
"""Recipes of a chain or an LSTM, and the one that the other networks beside it have."""

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

BACKBONE_PAIRS = (("brand_image", "brand_image_random"), ("brand_image", "brand_image_lite2"))
"""What the photos' network is worth: beside the same one with random weights, and beside another one."""

CHAIN_PAIRS = (
    ("lstm", "hard", "brand_text"),
    ("lstm", "soft", "brand_text"),
    ("lstm", "hard", "lstm_multitask"),
    ("lstm", "soft", "lstm_multitask"),
    ("lstm_multitask", "independent", "brand_text"),
    ("sequential", "hard", "brand_text"),
)
"""A model of Figure 4 or 5, how it is decoded, and the one it is compared with."""


class Question(NamedTuple):
    """A question about two measures a and b, named by the field in which they differ.

    `a` and `b` are fields of a measure. What `a` leaves open may be anything, but stands on test rows and is decoded as
    usual; what `b` leaves open is as in a, likewise.
    """

    name: str
    a: Mapping[str, str | int]
    b: Mapping[str, str | int]
    metrics: tuple[str, ...] = CALLED


QUESTIONS = (
    *(Question("variant", {"variant": a}, {"variant": b}) for a, b in (*INPUT_PAIRS, *BASELINE_PAIRS, *BACKBONE_PAIRS)),
    *(Question("variant", {"variant": a, "decoding": how}, {"variant": b}, BY_LEVEL) for a, how, b in CHAIN_PAIRS),
    *(
        Question("as_coded", {"variant": a, "decoding": how}, {"variant": b, "measured_on": "train"}, BY_LEVEL)
        for a, how, b in CHAIN_PAIRS
        if b == "brand_text"
    ),
    Question("text", {"text": "plain"}, {"text": "masked"}),
    Question("text", {"text": "titled"}, {"text": "plain"}),
    *(Question("split", {"split": "random"}, {"split": groups}) for groups in ("grouped", "loose")),
    Question("measured_on", {"measured_on": "train"}, {"measured_on": "test"}),
    Question("decoding", {"decoding": "valid_path"}, {"decoding": "independent"}, BY_LEVEL),
    Question("decoding", {"decoding": "soft"}, {"decoding": "hard"}, BY_LEVEL),
    Question("decoding", {"decoding": "soft"}, {"decoding": "soft_child"}, BY_LEVEL),
    *(
        Question("recipe", {"recipe": a, "measured_on": on}, {"recipe": b, "measured_on": on})
        for a, b in (("tuned", "paper"), ("tuned_lstm", "paper_lstm"), *DEPARTURES.items())
        for on in ("test", "train")
    ),
)
COLUMNS = [
    *("question", "variant", "recipe", "text", "split", "train_size", "decoding", "measured_on"),
    *("metric", "a", "b", "difference", "low", "high", "verdict"),
]
BASELINE_COLUMNS = ["split", "train_size", "decoding", "metric", "a", "b", "difference", "low", "high", "verdict"]


def contrast_table(samples: Samples, variants: Mapping[str, Variant]) -> pd.DataFrame:
    """Return every contrast that the samples allow, with the columns of `contrasts.csv`.

    `question` names the field in which a and b differ; that field's own column is empty, the others describe a. The
    decoding is that of a chain where only one of the two is one. `as_coded` compares variants, a on test rows and b on
    the rows that it was trained on, and its `measured_on` is empty. `train_size` is always that of a.

    Parameters
    ----------
    variants
        The variants of `params.yaml`: which reads text, which is naive.
    """
    usual = usual_decodings((measure.variant, measure.decoding) for measure in samples)
    pairs = set()
    for question in (*QUESTIONS, *_own_questions(samples, variants)):
        for a in samples:
            if b := _other_side(question, a, samples, variants, usual):
                pairs.add((question.name, a, b, question.metrics))
    rows = []
    for name, a, b, metrics in sorted(pairs):
        chained = next((m.decoding for m in (a, b) if m.decoding in CHAIN_DECODINGS), a.decoding)
        field = "variant" if name == "as_coded" else name
        differing = {"as_coded": ("variant", "measured_on"), "train_size": ()}.get(name, (name,))
        described = {"question": name, **a._asdict(), "decoding": chained, **dict.fromkeys(differing, "")}
        sides = {"a": str(getattr(a, field)), "b": str(getattr(b, field))}
        found = dict(zip(MEASURED, differences(samples[a], samples[b]), strict=True))
        rows += [{**described, "metric": metric, **sides, **_called(found[metric])} for metric in metrics]
    return pd.DataFrame(rows, columns=COLUMNS)


def baseline_table(samples: Samples, params: Params) -> pd.DataFrame:
    """Set every model that gradient descent does not train against every network.

    In path accuracy on test rows, at the largest size of each split, in the main experiment (the first line of `runs`
    in `params.yaml`, on its splits, and the recipe for models like this one that goes with it).

    Returns
    -------
    The columns `BASELINE_COLUMNS`: `a` is the simple model, `b` the network, `decoding` the network's: level by level,
    or as a chain decodes by itself.
    """
    main, path = params.main, MEASURED.index("path")
    recipes = main_recipes(((m.variant, m.recipe) for m in samples), main.recipes[0])
    here = []
    for m in samples:
        variant = params.variants[m.variant]
        text = main.text if "text" in variant.inputs else "masked"
        if m.split not in main.splits:
            continue
        if (m.measured_on, m.text, m.recipe) == ("test", text, recipes[m.variant]) and variant.model != "naive":
            here.append(m)
    sizes = _sizes(here)
    there = [m for m in here if m.train_size == max(sizes[m.split])]
    rows = [
        {**b._asdict(), "metric": "path", "a": a.variant, "b": b.variant}
        | _called(differences(samples[a], samples[b])[path])
        for a in there
        for b in there
        if (a.split, a.recipe, a.decoding) == (b.split, NO_RECIPE, "independent")
        and b.recipe != NO_RECIPE
        and b.decoding in ("independent", "hard", "soft")
    ]
    ascending = [False, *[True] * 5]  # the paper's split first
    table = pd.DataFrame(rows, columns=BASELINE_COLUMNS)
    return table.sort_values(BASELINE_COLUMNS[:6], ascending=ascending, ignore_index=True)


def verdict(low: float, high: float) -> str:
    """Call a contrast a - b only where its interval excludes zero.

    >>> verdict(0.01, 0.02), verdict(-0.02, -0.01), verdict(-0.01, 0.01), verdict(0.0, 0.0)
    ('a better', 'b better', 'inconclusive', 'inconclusive')
    """
    if low > 0:
        return "a better"
    return "b better" if high < 0 else "inconclusive"


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


def _called(interval: tuple[float, float, float]) -> dict[str, float | str]:
    difference, low, high = (np.round(interval, 6) + 0.0).tolist()
    return {"difference": difference, "low": low, "high": high, "verdict": verdict(low, high)}


def _own_questions(samples: Samples, variants: Mapping[str, Variant]) -> list[Question]:
    """Ask whether every variant beats the naive one, whether `BEST` beats it, and what every size adds to the least."""
    naive = [name for name, variant in variants.items() if variant.model == "naive"]
    pairs = [(a, b) for a in variants if a not in naive for b in naive] + [(a, BEST) for a in variants if a != BEST]
    return [Question("variant", {"variant": a}, {"variant": b}) for a, b in pairs] + [
        Question("train_size", {"split": split, "train_size": size}, {"train_size": min(sizes)}, BY_LEVEL)
        for split, sizes in _sizes(samples).items()
        for size in sizes - {min(sizes)}
    ]


def _sizes(measures: Iterable[Measure]) -> dict[str, set[int]]:
    """Return the training sizes of each split."""
    sizes: dict[str, set[int]] = {}
    for m in measures:
        sizes.setdefault(m.split, set()).add(m.train_size)
    return sizes


def _other_side(
    question: Question, a: Measure, samples: Samples, variants: Mapping[str, Variant], usual: Mapping[str, str]
) -> Measure | None:
    """Find b if a measure can be a: the same, but for what the question says.

    Unless the question says otherwise, both are measured on test rows and decoded as usual, or by valid path where that
    is usual for one of them. A recipe that only serves to be compared with another stays out of comparisons between
    variants, but for those of Figures 4 and 5. A model without text has one text, and not every model a's recipe.
    """
    aside = question.name == "variant" and a.recipe in DEPARTURES.keys() - COUNTERPARTS.keys()
    variant = str(question.b.get("variant", a.variant))
    if aside or variant not in usual or variant not in variants:
        return None
    how = {name: usual[name] for name in (a.variant, variant)}
    if "valid_path" in how.values():
        how = dict.fromkeys(how, "valid_path")
    if not {"measured_on": "test", "decoding": how[a.variant], **question.a}.items() <= a._asdict().items():
        return None
    fields: dict[str, Any] = {"decoding": how[variant], "measured_on": "test", **question.b}
    b = a._replace(**fields)
    if "text" not in variants[variant].inputs:
        b = b._replace(text="masked")
    if question.name == "split" and a.train_size == max((sizes := _sizes(samples))[a.split]):  # all there is, in both
        b = b._replace(train_size=max(sizes.get(b.split, {0})))
    recipes = [b.recipe]
    if "recipe" not in question.b:
        recipes += [COUNTERPARTS.get(b.recipe, NO_RECIPE), NO_RECIPE]
    if b.recipe == NO_RECIPE:  # a has no recipe, and b may have one
        recipes += sorted({m.recipe for m in samples if m.variant == variant} - DEPARTURES.keys())
    candidates = (b._replace(recipe=recipe) for recipe in recipes)
    return next((found for found in candidates if found in samples and found != a), None)
