"""The probe says what an input alone can tell, on products of which no variant was learnt from."""

import numpy as np
import pandas as pd
import pytest

from lib.analysis.pretraining import interval, probe


@pytest.fixture
def products():
    """Forty families of five variants in two classes a level."""
    family = np.repeat(np.arange(40), 5)
    names = np.where(family % 2, "shoes", "tops")
    return pd.DataFrame({"family": family, **dict.fromkeys(("level_1", "level_2", "level_3"), names)})


def test_an_input_that_tells_the_class_is_right_and_noise_is_not(products):
    rng = np.random.default_rng(0)
    told = (products["level_1"] == "shoes").to_numpy(float)[:, None] + rng.normal(0, 0.01, (200, 2))
    means = probe({"brand": told, "image": rng.normal(size=(200, 2))}, products, [50], 5).groupby("input").mean()
    assert means.loc["brand"].tolist() == [1, 1, 1, 1]
    assert means.loc["image", "mean"] < 0.7


def test_no_variant_of_a_test_product_is_learnt_from(products):
    rng = np.random.default_rng(0)
    own = rng.normal(size=(40, 30))[products["family"]]  # tells families apart, and nothing else
    right = probe({"image": own}, products, [150], 8)["mean"]
    assert right.mean() < 0.7


def test_the_same_call_gives_the_same_numbers(products):
    features = {"brand": np.random.default_rng(0).normal(size=(200, 3))}
    once, twice = (probe(features, products, [20, 40], 2) for _ in range(2))
    pd.testing.assert_frame_equal(once, twice)
    assert once.index.names == ["seed", "train_size", "input"]


def test_interval_is_students():
    mean, low, high = interval(np.array([1.0, 2.0, 3.0, 4.0]))
    assert mean == 2.5
    assert (high - low) / 2 == pytest.approx(3.182446 * np.std([1, 2, 3, 4], ddof=1) / 2)
