"""The claims ledger: each rule can come out every way, and looks at the rows, recipes and decodings that it should."""

import math

import numpy as np
import pandas as pd
import pytest

from lib.evaluation.bootstrap import Sample, differences
from lib.evaluation.claims import COLUMNS, Claim, ledger, load_claims
from lib.evaluation.published import published
from lib.evaluation.samples import JOINT, MEASURED, Measure

SIZES = (100, 200, 400)
EVERY = load_claims()
CLAIMS = {claim.id: claim for claim in EVERY.claims}
SIMPLE = {name: claim for name, claim in CLAIMS.items() if len(claim.rule) == 1}
DRAWS = 400


def shares(**known: float) -> dict[str, float]:
    """Shares of rows in which nothing is worth a word, but for those that are given."""
    return dict.fromkeys(MEASURED, 0.5) | dict.fromkeys(JOINT, 0.25) | known


def with_quantity(metric: str, value: float) -> dict[str, float]:
    """Shares of rows that give a quantity this value, and every quantity that a rule names beside it."""
    if metric.startswith("fall"):
        return shares(level_1=0.9, level_2=0.9 - value, level_3=0.9 - 2 * value)
    if "hangs" in metric:
        return shares(**dict.fromkeys(JOINT, 0.25 + value / 4))
    return shares(**dict.fromkeys(("level_1", "level_2", "level_3", "mean", "path"), value))


def world(claim: Claim, effect: float) -> dict[tuple[str, str, int], dict[str, float]]:
    """Make up what every model reaches at every size, so that each comparison of a rule has this effect."""
    (rule,), found = claim.rule, {}
    for place, size in enumerate(SIZES):
        lead = {"trend": 0 if place else effect, "slowdown": 0.05 * place + (effect if place else 0)}
        lead |= dict.fromkeys(("each_step", "last_step"), effect * place)
        ahead = lead.get(rule.at, effect)
        for term in rule.b:
            found[term.variant, term.decoding, size] = with_quantity(rule.metric[0], 0.2)
        for term in rule.a:
            low = 0.2 if rule.b else 0.4 if rule.at in ("each_step", "last_step", "slowdown") else 0.0
            found[term.variant, term.decoding, size] = with_quantity(rule.metric[0], low + ahead)
        if any(term.metric for term in rule.b):  # of one model
            found[rule.a[0].variant, rule.a[0].decoding, size] = shares(**{rule.metric[0]: 0.5 + effect})
    return found


def sample(values: dict[str, float], noise: float, random: np.random.Generator, seeds: int = 5) -> Sample:
    point = np.array([[values[name] for name in MEASURED]] * seeds)
    return Sample(tuple(range(seeds)), point, point + random.normal(0, noise, (DRAWS, seeds, len(MEASURED))))


def measured(found: dict, noise: float, seeds: int = 5, **where: str) -> dict[Measure, Sample]:
    random = np.random.default_rng(0)
    where = {"recipe": "tuned", "text": "masked", "split": "random", "measured_on": "test"} | where
    return {
        Measure(variant, train_size=size, decoding=decoding, **where): sample(values, noise, random, seeds)
        for (variant, decoding, size), values in found.items()
    }


def judged(samples: dict[Measure, Sample], *names: str, way: str = "intended") -> pd.DataFrame:
    """Judge the claims of these names, or all, in one way."""
    table = ledger(EVERY.model_copy(update={"claims": [CLAIMS[name] for name in names or CLAIMS]}), samples)
    return table[table["way"] == way].set_index("id")


def outcomes(claim: Claim) -> dict[str, tuple[float, float]]:
    """Return an effect and a noise for each verdict."""
    (rule,), little, much = claim.rule, 0.0002, 0.02
    if rule.within is not None:
        return {"holds": (0, little), "fails": (rule.within + 0.02, little), "inconclusive": (rule.within, much)}
    bound, side = (rule.above, 1) if rule.above is not None else (rule.below, -1)
    null = {} if bound else {"equivalent": (0.0, little)}
    return null | {
        "holds": (bound + side * 0.008, little),
        "fails": (bound - side * 0.008, little),
        "inconclusive": (bound, much),
    }


@pytest.mark.parametrize(
    ("name", "verdict"), [(name, verdict) for name, claim in SIMPLE.items() for verdict in outcomes(claim)]
)
def test_every_claim_can_come_out_every_way(name, verdict):
    claim = CLAIMS[name]
    effect, noise = outcomes(claim)[verdict]
    row = judged(measured(world(claim, effect), noise), name).loc[name]
    assert row["verdict"] == verdict, row.to_dict()
    assert row["effect"] == pytest.approx(effect, abs=1e-6)
    assert row["low"] < row["effect"] < row["high"]
    assert row["seeds"] == 5
    assert row["holding"] == row["comparisons"] if verdict == "holds" else row["holding"] < row["comparisons"]


@pytest.mark.parametrize(
    ("plain_1", "plain_2", "verdict", "holding"),
    [(0.55, 0.5, "holds", 2), (0.55, 0.55, "equivalent", 1), (0.55, 0.6, "fails", 1), (0.5, 0.4, "fails", 1)],
)
def test_words_must_raise_level_1_and_more_than_level_2_for_it_to_be_what_inputs_do_not_show(
    plain_1, plain_2, verdict, holding
):
    key = {("brand_text_image", "independent", 400): shares()}
    said = {("brand_text_image", "independent", 400): shares(level_1=plain_1, level_2=plain_2)}
    samples = measured(key, 0.0002) | measured(said, 0.0003, text="plain")
    row = judged(samples).loc["level_1_ambiguous"]
    assert (row["verdict"], row["comparisons"], row["holding"]) == (verdict, 2, holding)
    assert row["a"].startswith("brand_text_image tuned plain test ")
    assert row["b"].startswith("brand_text_image tuned test ")


@pytest.mark.parametrize(
    ("lead", "random", "verdict"),
    [(0.1, 0.35, "holds"), (0.1, 0.49, "fails"), (0.0, 0.2, "equivalent"), (0.1, 0.42, "fails"), (0.1, 0.4, "holds")],
)
def test_the_lead_of_photos_must_shrink_and_be_lost_without_pretraining(lead, random, verdict):
    found = {("brand_text", "independent", size): shares(mean=0.4) for size in SIZES}
    found |= {("brand_image", "independent", size): shares(mean=0.4 + lead * (size == 100)) for size in SIZES}
    found["brand_image_random", "independent", 100] = shares(mean=random)
    row = judged(measured(found, 0.0002)).loc["image_lead_shrinks"]
    assert (row["verdict"], row["comparisons"]) == (verdict, 3)


def test_a_lead_is_not_judged_without_its_control():
    found = {(f"brand_{name}", "independent", size): shares() for name in ("text", "image") for size in SIZES}
    row = judged(measured(found, 0.0002)).loc["image_lead_shrinks"]
    assert (row["verdict"], row["why"]) == ("not measured", "no runs of brand_image_random independent")
    assert row["bound"] == "> 0.0; > 3.0; < 0.5"


def test_too_few_seeds_call_nothing_and_say_what_they_would():
    row = judged(measured(world(CLAIMS["both_inputs_beat_one"], 0.05), 0.001, seeds=4)).loc["both_inputs_beat_one"]
    assert (row["verdict"], row["seeds"]) == ("too few seeds", 4)
    assert row["why"] == "4 common seeds, and 5 are needed; it would be: holds"
    assert np.isnan(row["p"])


def test_a_failure_that_enough_seeds_show_needs_no_more_of_the_rest():
    claim = CLAIMS["both_inputs_beat_one"]
    found = world(claim, -0.05)
    few = {key: found[key] for key in found if key[0] == "brand_image"}
    row = judged(measured(found, 0.001) | measured(few, 0.001, seeds=2), claim.id).loc[claim.id]
    assert (row["verdict"], row["seeds"], row["b"]) == ("fails", 5, "brand_text tuned test mean @100")


def test_a_model_without_chance_needs_no_seeds_once_it_is_fitted_to_all_rows():
    claim = CLAIMS["level_1_easiest_to_guess"]
    found = world(claim, 0.1)
    everything, some = ({key: found[key] for key in found if key[2] in sizes} for sizes in ((400,), (100, 200)))
    row = judged(measured(everything, 0.001, seeds=1, recipe="none"), claim.id).loc[claim.id]
    assert (row["verdict"], row["seeds"]) == ("holds", pd.NA)
    network = measured({("brand", "independent", 400): shares()}, 0.001)
    row = judged(measured(some, 0.001, seeds=1, recipe="none") | network, claim.id).loc[claim.id]
    assert (row["verdict"], row["seeds"]) == ("too few seeds", 1)


def test_every_measured_verdict_has_a_probability_and_every_call_says_whether_it_survives_holm():
    rows = judged(measured(world(CLAIMS["text_alone_suffices"], 0.0), 0.005))
    assert rows["holm"].notna().eq(rows["verdict"].isin(["holds", "fails"])).all()
    assert rows["p"].notna().eq(rows["verdict"] != "not measured").all()
    assert rows.loc["text_alone_suffices", ["verdict", "holm"]].tolist() == ["holds", True]
    assert 0 < rows.loc["text_alone_suffices", "p"] < 1e-3


def test_of_two_verdicts_that_just_hold_holm_keeps_none():
    value = {"brand_text_image": 0.51, "brand_text": 0.5, "brand_image": 0.48}
    found = {(name, "independent", 400): shares(mean=mean) for name, mean in value.items()}
    for noise, kept in ((0.00526, False), (0.0037, True)):
        rows = judged(measured(found, noise), "text_alone_suffices", "text_and_image_comparable")
        assert set(rows["verdict"]) == {"holds"}
        assert rows["p"].between(0.025, 0.05).all() != kept
        assert set(rows["holm"]) == {kept}


def test_a_confirmation_looks_at_fresh_rows_only():
    found = world(CLAIMS["text_alone_suffices"], 0.0)
    samples, fresh = (measured(found, 0.001, split="grouped") for _ in range(2))
    worse = world(CLAIMS["text_alone_suffices"], 0.1)
    table = ledger(EVERY, samples, measured(worse, 0.001, split="grouped")).set_index(["id", "way"])["verdict"]
    assert table["text_alone_suffices", "grouped"] == "holds"
    assert table["text_alone_suffices", "confirmed"] == "fails"
    assert set(ledger(EVERY, samples).query("way == 'confirmed'")["verdict"]) == {"not measured"}
    assert len(fresh) == len(samples)


def test_what_was_not_run_is_not_measured_and_says_so():
    rows = judged({})
    assert set(rows["verdict"]) == {"not measured"}
    assert rows["effect"].isna().all()
    assert rows["why"].str.contains("no runs of").all()


def test_the_table_has_a_row_for_every_claim_and_way():
    table = ledger(load_claims(), {})
    assert list(table.columns) == COLUMNS
    assert list(dict.fromkeys(table["way"])) == ["published", "coded", "intended", "grouped", "confirmed"]
    assert len(table) == 5 * len(CLAIMS)


def test_one_part_that_fails_makes_the_claim_fail_and_is_the_one_shown():
    claim = CLAIMS["both_inputs_beat_one"]
    found = world(claim, 0.05)
    found["brand_image", "independent", 200] = with_quantity("mean", 0.3)
    row = judged(measured(found, 0.0005), claim.id).loc[claim.id]
    assert (row["verdict"], row["comparisons"], row["holding"]) == ("fails", 6, 5)
    assert row["b"] == "brand_image tuned test mean @200"
    assert row["train_size"] == 200


def test_a_claim_about_one_of_several_networks_needs_all_that_it_names():
    found = world(CLAIMS["both_inputs_beat_one"], 0.05)
    row = judged(measured({key: v for key, v in found.items() if key[0] != "brand_image"}, 0.001)).loc[
        "both_inputs_beat_one"
    ]
    assert (row["verdict"], row["why"]) == ("not measured", "no runs of brand_image independent")


def test_claims_on_little_data_are_not_judged_at_the_largest_size():
    claim = CLAIMS["image_better_on_little_data"]
    found = {key: value for key, value in world(claim, 0.05).items() if key[2] == 400}
    row = judged(measured(found, 0.001), claim.id).loc[claim.id]
    assert row["verdict"] == "not measured"
    assert "measured together at the training sizes [400]" in row["why"]


def test_one_comparison_has_the_interval_of_its_contrast():
    samples = measured(world(CLAIMS["text_alone_suffices"], 0.01), 0.01)
    row = judged(samples).loc["text_alone_suffices"]
    a, b = (samples[Measure(v, "tuned", "masked", "random", 400, "independent", "test")] for v in (
        "brand_text_image", "brand_text"))  # fmt: skip
    contrast = differences(a, b)[MEASURED.index("mean")]
    assert tuple(row[["effect", "low", "high"]]) == pytest.approx(contrast, abs=1e-6)


def test_intervals_are_wider_where_a_claim_asks_for_more():
    samples = measured(world(CLAIMS["both_inputs_beat_one"], 0.05), 0.01)
    rows = judged(samples)
    many, one = rows.loc["both_inputs_beat_one"], rows.loc["text_alone_suffices"]
    assert many["comparisons"] == 6
    assert many["high"] - many["low"] > 1.2 * (one["high"] - one["low"])


@pytest.mark.parametrize(("draws", "why"), [("same", "do not vary"), ("empty", "hold no row")])
def test_draws_that_say_nothing_call_nothing(draws, why):
    claim = CLAIMS["wrong_parent_misleads"]
    samples = measured(world(claim, 0.1), 0.0 if draws == "same" else 0.001)
    for one in samples.values():
        one.draws[: DRAWS // 5 if draws == "empty" else 0] = np.nan
    row = judged(samples, claim.id).loc[claim.id]
    assert row["verdict"] == "inconclusive"
    assert why in row["why"]


def test_two_decodings_that_always_agree_are_equivalent():
    claim = CLAIMS["greedy_search_costs"]
    row = judged(measured(world(claim, 0.0), 0.0), claim.id).loc[claim.id]
    assert (row["verdict"], row["low"], row["high"], row["p"]) == ("equivalent", 0, 0, 1)


def test_a_quantity_of_no_rows_is_not_measured():
    claim = CLAIMS["wrong_parent_misleads"]
    right = shares(level_1=1.0, level_2=1.0, level_1_and_2=1.0)
    row = judged(measured(dict.fromkeys(world(claim, 0.1), right), 0.0), claim.id).loc[claim.id]
    assert row["verdict"] == "not measured"
    assert row["why"] == "no number for: accuracy of level 2 where level 1 is right, minus where it is wrong"


def test_as_coded_compares_training_rows_of_the_mlp_with_test_rows_of_the_chain():
    samples = {
        **measured({("brand_text", "independent", 200): with_quantity("mean", 0.9)}, 0.001, recipe="paper",
                   measured_on="train"),
        **measured({("brand_text", "independent", 200): with_quantity("mean", 0.3)}, 0.001, recipe="paper"),
        **measured({("sequential", "hard", 200): with_quantity("mean", 0.5)}, 0.001, recipe="paper_frozen_trunk"),
        **measured({("sequential", "hard", 200): with_quantity("mean", 0.8)}, 0.001, recipe="paper"),
    }  # fmt: skip
    row = judged(samples, way="coded").loc["multitask_beats_sequential"]
    assert row["effect"] == pytest.approx(0.4)
    assert row["a"].startswith("brand_text paper train ")
    assert row["b"].startswith("sequential hard paper_frozen_trunk test ")


def test_as_coded_the_soft_chain_ranks_by_the_child_alone_and_falls_back_on_the_next_recipe():
    models = {("lstm", "hard", 200): 0.5, ("lstm", "soft", 200): 0.9, ("lstm", "soft_child", 200): 0.4}
    found = {key: with_quantity("mean", value) for key, value in models.items()}
    row = judged(measured(found, 0.001, recipe="paper_lstm"), way="coded").loc["soft_beats_hard"]
    assert (row["verdict"], row["effect"]) == ("fails", pytest.approx(-0.1))
    assert "paper_lstm test" in row["a"]


def test_seeds_that_both_sides_have_are_compared():
    random = np.random.default_rng(0)
    one = Measure("brand_text_image", "tuned", "masked", "random", 400, "independent", "test")
    a, b = (sample(with_quantity("mean", value), 0.001, random, seeds) for value, seeds in ((0.5, 5), (0.45, 6)))
    b.values[5] = 0  # a seed that only b has
    row = judged({one: a, one._replace(variant="brand_text"): b}).loc["text_alone_suffices"]
    assert (row["verdict"], row["effect"], row["seeds"]) == ("fails", pytest.approx(0.05), 5)


# What the paper's own numbers say


def test_published_numbers_are_judged_as_well_as_they_can_be_read():
    rows = judged({}, way="published")
    bars = published().query("figure == 'figure_3' and train_size == 100_000").set_index("metric")["value"]
    row = rows.loc["top_category_99"]
    assert (row["verdict"], row["effect"]) == ("fails", bars["level_1"])
    assert (row["low"], row["high"]) == pytest.approx((bars["level_1"] - 0.01, bars["level_1"] + 0.01))
    assert rows.loc["level_2_99", "verdict"] == "inconclusive"  # 99% may be 98%
    assert rows.loc["soft_beats_hard", "verdict"] == "holds"
    assert rows.loc["feedforward_suffices", "verdict"] == "fails"
    assert rows.loc["level_1_ambiguous", "why"] == "no runs of brand_text_image independent plain"
    assert rows[["p", "seeds", "holm"]].isna().all(axis=None)


def test_what_is_made_of_more_bars_is_read_less_exactly():
    rows = judged({}, way="published")
    half = (rows["high"] - rows["low"]) / 2
    assert half["errors_compound"] == pytest.approx(0.04)  # a fall is of two levels, and there are two models
    assert half["soft_beats_hard"] == pytest.approx(0.02)  # a mean of levels is read as exactly as a level
    steps = 1 / math.log2(5) + 1  # from 10k to 50k, from 50k to 100k
    assert half["diminishing_returns"] == pytest.approx(2 * 0.01 * steps, abs=1e-6)


def test_published_gains_are_per_doubling():
    means = published().query("figure == 'figure_2' and variant == 'brand_text_image'").set_index("train_size")["value"]
    row = judged({}, way="published").loc["diminishing_returns"]
    expected = (means[50_000] - means[10_000]) / math.log2(5) - (means[100_000] - means[50_000])
    assert row["effect"] == pytest.approx(expected, abs=1e-6)
    assert row["verdict"] == "inconclusive"
