"""Does a simple model beat the networks? Every model that gradient descent does not train, against every network."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from lib.bootstrap import differences
from lib.config import Params
from lib.contrasts import Measure, Samples, verdict
from lib.pairs import main_recipes
from lib.runs import NO_RECIPE

COLUMNS = ["split", "train_size", "decoding", "metric", "a", "b", "difference", "low", "high", "verdict"]
METRIC = "path"
OWN_DECODINGS = ("independent", "hard", "soft")
"""How a network may be decoded here: level by level, or as a chain does by itself."""


def baseline_table(samples: Samples, metrics: Sequence[str], params: Params) -> pd.DataFrame:
    """Return the paired differences in path accuracy, simple model minus network, at the largest size of each split.

    The runs are those of the main experiment (the first line of `runs` in `params.yaml`, and the recipe for models like
    this one that goes with it), on test rows.

    Parameters
    ----------
    samples
        What was measured; columns are `metrics`.
    metrics
        Names of the samples' columns.
    params
        Says what the main experiment is, what variants read, and which is the naive one.

    Returns
    -------
    The columns `COLUMNS`: `a` is the simple model, `b` the network, `decoding` the network's.
    """
    column, rows = list(metrics).index(METRIC), []
    for a, b in _pairs(samples, params):
        difference, low, high = (np.round(differences(samples[a], samples[b])[column], 6) + 0.0).tolist()
        where = (a.split, a.train_size, b.decoding, METRIC, a.variant, b.variant)
        rows.append((*where, difference, low, high, verdict(low, high)))
    ascending = [False, *[True] * 5]  # the paper's split first
    return pd.DataFrame(rows, columns=COLUMNS).sort_values(COLUMNS[:6], ascending=ascending, ignore_index=True)


def _pairs(samples: Samples, params: Params) -> Iterator[tuple[Measure, Measure]]:
    main, here = params.runs[0], []
    recipes = main_recipes(((m.variant, m.recipe) for m in samples), main.recipe)
    for m in samples:
        variant = params.variants[m.variant]
        text = main.text if "text" in variant.inputs else "masked"
        if (m.measured_on, m.text, m.recipe) == ("test", text, recipes[m.variant]) and variant.model != "naive":
            here.append(m)
    for split in sorted({m.split for m in here}, reverse=True):
        largest = max(m.train_size for m in here if m.split == split)
        there = [m for m in here if (m.split, m.train_size) == (split, largest)]
        simple = [m for m in there if m.recipe == NO_RECIPE and m.decoding == "independent"]
        networks = [m for m in there if m.recipe != NO_RECIPE and m.decoding in OWN_DECODINGS]
        yield from ((a, b) for a in simple for b in networks)
