"""Laws of learning curves: known ones are recovered, intervals contain them, and what cannot be said is not said."""

import numpy as np
import pytest

from lib.errors import StudyError
from lib.label_curve import Curve, band, check_table, fit, law_table, needed_table, possible

SIZES = np.array([1000, 3000, 10000, 30000])


def curve(scale, exponent, floor, sizes=SIZES, draws=300, noise=0.003):
    """Return a curve that follows a law, with draws around it: noise that all sizes share, and some of their own."""
    random = np.random.default_rng(0)
    errors = scale * sizes**-exponent + floor
    noisy = errors + noise * (random.normal(size=(draws, 1)) + random.normal(size=(draws, len(sizes))) / 2)
    return Curve(sizes, 1 - np.vstack([errors, noisy]))


@pytest.mark.parametrize(("scale", "exponent", "floor"), [(3, 0.3, 0.0), (3, 0.4, 0.1), (30, 0.7, 0.05)])
def test_a_known_law_is_recovered(scale, exponent, floor):
    found = fit(curve(scale, exponent, floor), "floor")
    assert found.exponent[0] == pytest.approx(exponent, rel=0.02)
    assert found.floor[0] == pytest.approx(floor, abs=0.005)
    assert found.errors(100_000.0)[0] == pytest.approx(scale * 1e5**-exponent + floor, abs=0.002)


def test_a_law_without_a_floor_is_recovered_from_two_sizes():
    found = fit(curve(3, 0.3, 0.0, SIZES[:2]), "power")
    assert (found.scale[0], found.exponent[0]) == pytest.approx((3, 0.3), rel=0.01)


def test_intervals_contain_the_truth():
    table = law_table(curve(3, 0.4, 0.1)).set_index(["law", "parameter"])
    for name, value in {"scale": 3, "exponent": 0.4, "floor": 0.1}.items():
        row = table.loc[("floor", name)]
        assert row["low"] <= value <= row["high"]
    assert table.loc[("floor", "exponent"), "misfit"] < 0.001 < table.loc[("power", "exponent"), "misfit"]


def test_the_largest_size_is_predicted_from_the_smaller_ones():
    table = check_table(curve(3, 0.4, 0.1)).set_index("law")
    assert table.loc["floor", "inside"]
    assert table.loc["floor", "error_low"] <= 0 <= table.loc["floor", "error_high"]
    assert table.loc["power", "error"] > 0  # a law without the floor promises too much
    assert (table["sizes"] == 3).all()


def test_the_largest_size_has_no_say_in_its_prediction():
    before = curve(3, 0.4, 0.1)
    after = Curve(before.sizes, before.accuracy * np.array([1, 1, 1, 0.5]))
    names = ["predicted", "low", "high"]
    assert check_table(before)[names].equals(check_table(after)[names])
    assert not check_table(after)["inside"].any()


def test_labels_needed_are_those_of_the_law_or_infinite():
    table = needed_table(curve(3, 0.4, 0.08), [0.9, 0.95]).set_index(["law", "target"])
    wanted = (0.02 / 3) ** (-1 / 0.4)
    row = table.loc[("floor", 0.9)]
    assert row["labels"] == pytest.approx(wanted, rel=0.2)
    assert row["low"] <= wanted <= row["high"]
    assert row["times_largest"] == pytest.approx(row["labels"] / 30000)
    assert np.isinf(table.loc[("floor", 0.95), "labels"])
    assert np.isfinite(table.loc[("power", 0.95), "labels"])
    assert (table["low"] <= table["high"]).all()


def test_a_curve_that_does_not_rise_has_a_law_too():
    flat = Curve(SIZES, np.full((5, 4), 0.6))
    assert fit(flat, "floor").errors(1e6)[0] == pytest.approx(0.4, abs=1e-6)
    falling = Curve(SIZES, np.tile([0.8, 0.7, 0.6, 0.5], (5, 1)))
    assert np.isinf(fit(falling, "floor").labels_needed(0.9)).all()


def test_too_few_sizes_have_no_law():
    one, two = curve(3, 0.3, 0, SIZES[:1]), curve(3, 0.3, 0, SIZES[:2])
    assert possible(one) == []
    assert possible(two) == ["power"]
    assert len(law_table(one)) == len(check_table(one)) == len(check_table(two)) == len(needed_table(one, [0.9])) == 0
    with pytest.raises(StudyError, match=r"needs 3 training sizes. Got \[1000, 3000\]"):
        fit(two, "floor")
    with pytest.raises(StudyError, match="no law 'line'"):
        fit(two, "line")


def test_a_band_is_the_measured_curve_where_the_law_holds():
    rows = band(curve(3, 0.4, 0.1), "floor", np.array([1000.0, 10000.0]))
    np.testing.assert_allclose(rows["mean"], 1 - (3 * np.array([1000, 10000]) ** -0.4 + 0.1), atol=1e-3)
    assert (rows["low"] < rows["high"]).all()
