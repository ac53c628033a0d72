"""Simple models against networks: which pairs, and what is said of them."""

import numpy as np
import pandas as pd
import pytest

from lib import config
from lib.baselines import COLUMNS, baseline_table
from lib.bootstrap import Sample
from lib.contrasts import Measure
from lib.results import MEASURED
from lib.verdicts import headlines

LARGEST = {"random": 400, "grouped": 380}


def samples(path: dict[tuple[str, str], float], noise: float = 0.002) -> dict[Measure, Sample]:
    """Make up models, by variant and decoding, on both splits; and other runs of them, which should be left out."""
    random, found = np.random.default_rng(0), {}
    for (variant, decoding), value in path.items():
        for split, size in LARGEST.items():
            recipe = "none" if variant in ("naive", "linear") else "tuned"
            one = Measure(variant, recipe, "masked", split, size, decoding, "test")
            others = (one._replace(train_size=100), one._replace(measured_on="train"), one._replace(recipe="paper"))
            for measure, share in ((one, value), *((other, 0.99) for other in others)):
                point = np.full((1, len(MEASURED)), share)
                draws = share + random.normal(0, noise, (200, 1, len(MEASURED)))
                found[measure] = Sample((0,), point, draws)
    return found


def table(path: dict[tuple[str, str], float], **options: float) -> pd.DataFrame:
    return baseline_table(samples(path, **options), MEASURED, config.load_params())


NETWORKS = {("brand_text", "independent"): 0.6, ("brand_text_image", "independent"): 0.7}


def test_each_simple_model_is_set_against_each_network_at_the_largest_size_of_each_split():
    found = table({("naive", "independent"): 0.1, ("linear", "independent"): 0.65, **NETWORKS})
    assert list(found.columns) == COLUMNS
    assert found[["split", "train_size", "a", "b"]].to_numpy().tolist() == [
        [split, size, "linear", network] for split, size in LARGEST.items() for network, _ in NETWORKS
    ]
    assert found["difference"].tolist() == pytest.approx([0.05, -0.05] * 2)
    assert found["verdict"].tolist() == ["a better", "b better"] * 2


@pytest.mark.parametrize(
    ("linear", "noise", "said"),
    [
        (0.8, 0.002, "a simple model, “brand + text, linear”, beats every network; the best of these is “brand"),
        (0.65, 0.002, "the network “brand + text + image” beats the best simple model, “brand + text, linear”"),
        (0.7, 0.05, "the best network, “brand + text + image”, cannot be told from the best simple model"),
    ],
)  # fmt: skip
def test_the_headline_can_come_out_all_three_ways(linear, noise, said):
    lines = headlines(table({("linear", "independent"): linear, **NETWORKS}, noise=noise))
    assert [line.split(",")[0] for line in lines] == ["Random split", "Grouped split"]
    assert all(said in line for line in lines)


def test_without_simple_models_or_without_networks_nothing_is_said():
    assert headlines(table(NETWORKS)) == []
    assert headlines(table({("linear", "independent"): 0.5})) == []
    assert list(baseline_table({}, MEASURED, config.load_params()).columns) == COLUMNS
