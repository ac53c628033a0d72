"""From stored outcomes to the tables of results, and a clear message where they do not fit."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_results import CATALOGUE, CHAINS, REPOSITORY, SKILL, make_study

from lib import config, files
from lib.evaluation import contrasts
from lib.evaluation.bootstrap import Sample
from lib.evaluation.claims import right_after
from lib.evaluation.contrasts import BASELINE_PAIRS, CHAIN_PAIRS, COUNTERPARTS, DEPARTURES, INPUT_PAIRS, contrast_table
from lib.evaluation.published import published
from lib.evaluation.results import Results, make_results
from lib.evaluation.samples import MEASURED, SAMPLED, Measure, list_runs, load_truth, resample_all
from lib.exceptions import StudyError
from lib.training import metrics as outcomes
from lib.training.metrics import CHAIN_DECODINGS

TABLES = ("results.csv", "intervals.csv", "contrasts.csv", "claims.csv", "baselines.csv")
KEY = [*("variant", "recipe", "text", "split", "train_size", "seed"), "decoding", "measured_on", "metric"]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STUDY_ROOT", str(root))
        make_study(root, SKILL | CHAINS)
        make_results(CATALOGUE)
    return root


@pytest.fixture
def study(made, tmp_path, monkeypatch) -> Path:
    """Return a copy of the made study that a test may spoil."""
    root = tmp_path / "study"
    shutil.copytree(made, root)
    monkeypatch.setenv("STUDY_ROOT", str(root))
    return root


@pytest.fixture
def tables(study) -> Results:
    return Results.read(CATALOGUE)


def rows(table: pd.DataFrame, **fields: object) -> pd.DataFrame:
    for name, value in fields.items():
        table = table[table[name] == value]
    return table


def test_results_are_tidy_sorted_and_complete(tables):
    results = tables.results
    assert set(results["variant"]) == {"naive", *SKILL, *CHAINS}
    pd.testing.assert_frame_equal(results, results.sort_values(KEY, ignore_index=True))
    assert results["value"].between(0, 1).all()
    assert not results.duplicated(KEY).any()


def test_what_dvc_compares_is_the_headline_and_the_main_experiment_by_size(study, tables):
    summary = files.read_json(config.report_dir(CATALOGUE, "summary.json"))
    headline = tables.headline()
    assert summary["random"]["mean"] == {name: round(row["mean, random"].mean, 4) for name, row in headline.items()}
    assert summary["grouped"]["path"] == {name: round(row["path, grouped"].mean, 4) for name, row in headline.items()}
    assert sum(summary["claims"].values()) == tables.claims["id"].nunique()
    curves = files.read_table(config.report_dir(CATALOGUE, "learning_curves.csv"))
    assert not curves.duplicated(["split", "variant", "train_size"]).any()
    assert set(curves["variant"]) == set(headline)
    assert (curves.groupby(["split", "variant"]).size() == 2).all()


def test_an_interval_holds_the_mean_of_the_seeds_of_results_csv(tables):
    keys = [*Measure._fields, "metric"]
    means = tables.results.groupby(keys)["value"].agg(["mean", "size"]).reset_index()
    both = tables.intervals.merge(means, on=keys, suffixes=("", "_again"))
    assert len(both) == len(tables.intervals)
    np.testing.assert_allclose(both["mean"], both["mean_again"], atol=2e-6)
    assert (both["seeds"] == both["size"]).all()
    assert (both["low"] <= both["high"]).all()


def test_intervals_are_of_every_metric_that_is_a_mean_over_rows(tables):
    assert set(tables.intervals["metric"]) == set(SAMPLED)
    places = set(zip(tables.intervals["measured_on"], tables.intervals["decoding"], strict=True))
    chained = {(on, decoding) for on in ("test", "train") for decoding in CHAIN_DECODINGS}
    assert places == {("test", "independent"), ("test", "valid_path"), ("train", "independent"), *chained}


def test_models_without_chance_have_one_seed_at_the_largest_size(tables):
    naive = rows(tables.intervals, variant="naive", split="random", metric="mean", measured_on="test")
    assert sorted(set(zip(naive["train_size"] == 60, naive["seeds"], strict=True))) == [(False, 1), (True, 2)]


def test_every_question_is_asked(tables):
    found = tables.contrasts
    assert list(found.columns) == contrasts.COLUMNS
    assert set(found["question"]) == {
        "as_coded",
        "recipe",
        "train_size",
        "variant",
        *("text", "split", "measured_on", "decoding"),
    }
    compared = rows(found, question="variant", split="random", text="masked", train_size=60)
    compared = compared[compared["recipe"].isin(["tuned", "tuned_lstm", "none"])]
    expected = {*INPUT_PAIRS, *BASELINE_PAIRS, *((a, b) for a, _, b in CHAIN_PAIRS)}
    expected |= {(variant, "naive") for variant in (*SKILL, *CHAINS)}
    assert set(zip(compared["a"], compared["b"], strict=True)) == expected
    assert len(rows(found, question="variant", a="linear", b="naive", split="grouped")) == 2 * (2 + 1 + 1)


def test_no_contrast_is_there_twice(tables):
    assert not tables.contrasts.duplicated(contrasts.COLUMNS[:11]).any()
    assert (tables.contrasts["a"] != tables.contrasts["b"]).all()


def test_a_chain_is_compared_by_its_own_first_decoding_and_by_soft_where_asked(tables):
    found = rows(tables.contrasts, question="variant", a="lstm", recipe="tuned_lstm", split="random", train_size=60)
    assert set(rows(found, b="naive")["decoding"]) == {"hard"}
    assert set(rows(found, b="brand_text")["decoding"]) == {"hard", "soft"}
    assert set(rows(found, b="brand_text")["metric"]) == {*config.LEVELS, "mean", "path"}
    assert set(rows(tables.contrasts, question="split", variant="lstm")["decoding"]) == {"hard"}


def test_decodings_of_one_chain_are_compared(tables):
    found = rows(tables.contrasts, question="decoding", variant="lstm", metric="path")
    pairs = set(zip(found["a"], found["b"], strict=True))
    assert pairs == {("soft", "hard"), ("soft", "soft_child"), ("valid_path", "independent")}
    soft = rows(found, a="soft", b="hard", recipe="tuned_lstm", split="random", train_size=60)
    place = {"recipe": "tuned_lstm", "split": "random", "train_size": 60, "metric": "path", "measured_on": "test"}
    means = rows(tables.intervals, variant="lstm", **place).set_index("decoding")["mean"]
    assert soft["difference"].item() == pytest.approx(means["soft"] - means["hard"], abs=2e-6)


def test_what_answers_valid_paths_only_is_compared_with_the_valid_paths_of_others(monkeypatch):
    monkeypatch.setenv("STUDY_ROOT", str(REPOSITORY))
    random = np.random.default_rng(0)
    best = Measure("best", "tuned", "masked", "grouped", 100, "valid_path", "test")
    others = [best._replace(variant=name) for name in ("brand_text", "lstm", "naive")]
    measures = [
        best,
        *others,
        *(m._replace(decoding="independent") for m in others),
        others[1]._replace(decoding="hard"),
    ]
    samples = {m: Sample((0,), np.full((1, 8), 0.5), random.normal(0.5, 0.1, size=(50, 1, 8))) for m in measures}
    found = rows(contrast_table(samples, config.load_params().variants), question="variant", metric="path")
    decodings = {(row.a, row.b): row.decoding for row in found.itertuples()}
    assert decodings == {
        **{(name, "best"): "valid_path" for name in ("brand_text", "lstm", "naive")},
        ("best", "naive"): "valid_path",
        ("brand_text", "naive"): "independent",
        **{("lstm", name): "hard" for name in ("naive", "brand_text")},
    }


def test_leakage_is_measured_under_the_groups_of_either_edition(study):
    one = Measure("brand_text", "tuned", "masked", "random", 100, "independent", "test")
    values = {"random": 0.8, "grouped": 0.7, "loose": 0.6}
    samples = {
        one._replace(split=split): Sample((0,), np.full((1, 8), v), np.full((9, 1, 8), v))
        for split, v in values.items()
    }
    found = rows(contrast_table(samples, config.load_params().variants), question="split", metric="path")
    assert dict(zip(found["b"], found["difference"].round(3), strict=True)) == {"grouped": 0.1, "loose": 0.2}


def test_as_coded_the_other_network_is_measured_on_its_training_rows(tables):
    place = {"text": "masked", "split": "random", "train_size": 60, "metric": "level_3"}
    found = rows(
        tables.contrasts, question="as_coded", a="lstm", b="brand_text", decoding="soft", recipe="tuned_lstm", **place
    )
    assert found["measured_on"].item() == ""
    means = rows(tables.intervals, **place).set_index(["variant", "recipe", "decoding", "measured_on"])["mean"]
    expected = means["lstm", "tuned_lstm", "soft", "test"] - means["brand_text", "tuned", "independent", "train"]
    assert found["difference"].item() == pytest.approx(expected, abs=2e-6)


def test_every_departure_is_compared_with_what_it_departs_from_on_both_kinds_of_rows(tables):
    found = rows(tables.contrasts, question="recipe", metric="mean")
    studied = set(tables.results["recipe"]) & set(DEPARTURES)
    assert studied
    assert {(recipe, on) for recipe in studied for on in ("test", "train")} <= set(
        zip(found["a"], found["measured_on"], strict=True)
    )
    departed = found[found["a"].isin(studied)]
    assert (departed["a"].map(DEPARTURES) == departed["b"]).all()


def test_a_departure_takes_no_part_in_comparisons_between_variants_but_beside_its_counterpart(tables):
    found = rows(tables.contrasts, question="variant")
    departed = found[found["recipe"].isin(list(DEPARTURES))]
    assert set(departed["recipe"]) == DEPARTURES.keys() & COUNTERPARTS.keys() & set(tables.results["recipe"])
    assert set(departed["b"]) == {"brand_text", "naive"}


def test_an_lstm_with_a_recipe_of_its_own_is_compared_with_the_network_of_the_same_experiment(tables):
    place = {"text": "masked", "split": "random", "train_size": 60, "metric": "mean"}
    found = rows(tables.contrasts, question="variant", a="lstm_multitask", b="brand_text", recipe="tuned_lstm", **place)
    means = rows(tables.intervals, measured_on="test", decoding="independent", **place)
    means = means.set_index(["variant", "recipe"])["mean"]
    expected = means["lstm_multitask", "tuned_lstm"] - means["brand_text", "tuned"]
    assert found["difference"].item() == pytest.approx(expected, abs=2e-6)


def test_every_size_is_compared_with_the_smallest(tables):
    found = rows(tables.contrasts, question="train_size", split="random", variant="brand", metric="mean")
    assert set(found["b"].astype(str)) == {"60"}
    assert (found["a"].astype(int) == found["train_size"]).all()


def test_a_contrast_is_the_difference_of_the_means(tables):
    place = {"recipe": "tuned", "text": "masked", "split": "grouped", "train_size": 60, "metric": "path"}
    (contrast,) = rows(tables.contrasts, question="variant", a="brand_text_image", b="brand_text", **place).to_dict(
        "records"
    )
    means = rows(tables.intervals, decoding="independent", measured_on="test", **place).set_index("variant")["mean"]
    assert contrast["difference"] == pytest.approx(means["brand_text_image"] - means["brand_text"], abs=2e-6)
    assert contrast["low"] <= contrast["difference"] <= contrast["high"]


def test_splits_are_compared_at_the_same_size_and_at_the_largest_of_each(tables):
    found = rows(tables.contrasts, question="split", variant="brand", metric="mean", recipe="tuned")
    sizes = rows(tables.results, variant="brand", split="random")["train_size"].unique()
    assert sorted(found["train_size"]) == sorted(sizes)
    assert set(found["split"]) == {""}
    largest = rows(
        tables.intervals, variant="brand", metric="mean", recipe="tuned", measured_on="test", decoding="independent"
    )
    means = largest.sort_values("train_size").groupby("split")["mean"].last()
    assert found.set_index("train_size")["difference"][max(sizes)] == pytest.approx(
        means["random"] - means["grouped"], abs=2e-6
    )


def test_only_variants_that_read_text_are_compared_between_texts(tables):
    found = rows(tables.contrasts, question="text")
    assert set(found["variant"]) == {"linear", "late_fusion", "brand_text", "brand_text_image"}
    assert set(zip(found["a"], found["b"], strict=True)) == {("plain", "masked"), ("titled", "plain")}


def test_training_rows_are_compared_with_test_rows(tables):
    found = rows(tables.contrasts, question="measured_on", recipe="tuned", metric="path", variant="brand")
    assert (found["verdict"] == "a better").all()  # the maker lets half of them be known by heart


def test_a_contrast_is_called_only_where_its_interval_excludes_zero(tables):
    found = tables.contrasts
    assert set(found["verdict"]) == {"a better", "b better", "inconclusive"}
    assert ((found["low"] > 0) == (found["verdict"] == "a better")).all()
    assert ((found["high"] < 0) == (found["verdict"] == "b better")).all()


@pytest.mark.parametrize(("share_a", "verdict"), [(0.9, "a better"), (0.3, "b better"), (0.6, "inconclusive")])
def test_a_contrast_can_come_out_all_three_ways(study, share_a, verdict):
    random = np.random.default_rng(0)

    def sample(share: float) -> Sample:
        return Sample((0,), np.full((1, 8), share), random.normal(share, 0.02, size=(500, 1, 8)))

    one = Measure("brand_text", "tuned", "masked", "random", 100, "independent", "test")
    samples = {one: sample(share_a), one._replace(variant="brand_image"): sample(0.6)}
    found = contrast_table(samples, config.load_params().variants)
    assert set(found["verdict"]) == {verdict}


def test_the_ledger_judges_what_was_run_and_says_what_was_not(tables):
    claims = tables.claims.set_index(["id", "way"])
    row = claims.loc[("both_inputs_beat_one", "intended")]
    assert (row["verdict"], row["comparisons"]) == ("holds", 4)  # two sizes, two networks with one input
    assert claims.loc[("text_alone_suffices", "intended"), "train_size"] == tables.results["train_size"].iloc[-1]
    assert claims.loc[("feedforward_suffices", "intended"), "a"].startswith("lstm soft tuned_lstm test mean")
    assert claims.loc[("diminishing_returns", "intended"), "why"].startswith("measured together at the training sizes")
    assert claims.loc[("both_inputs_beat_one", "coded"), "why"].startswith("no runs of brand_image")
    assert set(claims["verdict"]) == {"holds", "fails", "inconclusive", "equivalent", "not measured"}
    assert set(claims["changed"]) == {"2026-11-26", "2026-11-29"}
    assert claims["p"].notna().sum() > 30
    assert claims["holm"].dropna().astype(bool).any()
    assert (claims["low"].dropna() <= claims["high"].dropna()).all()


def test_a_confirmation_is_measured_on_the_fresh_test_rows_of_its_split(study, tables):
    products = pd.read_parquet(config.build_dir(CATALOGUE, "clean", "products.parquet"))
    runs = rows(list_runs(CATALOGUE), variant="brand_image", split="grouped")
    fresh = resample_all(CATALOGUE, runs, fresh=True)
    assert {measure.measured_on for measure in fresh} == {"test"}
    measure = Measure("brand_image", "tuned", "masked", "grouped", 60, "independent", "test")
    key, here = "tuned-masked-grouped-60-0", np.flatnonzero(products["grouped_split"] == "test")
    right = outcomes.unpack(
        outcomes.read(outcomes.path_of(CATALOGUE, "brand_image"))[key][outcomes.Way("independent", "test")], len(here)
    )
    counts = products["fresh"].to_numpy()[here]
    assert 0 < counts.sum() < len(here)
    assert fresh[measure].values[0, :3] == pytest.approx(right[counts, :3].mean(axis=0))
    claim = tables.claims.set_index(["id", "way"]).loc[("both_inputs_beat_one", "confirmed")]
    assert claim["verdict"] != "not measured"


def test_without_a_fresh_test_row_there_is_no_confirmation(study):
    path = config.build_dir(CATALOGUE, "clean", "products.parquet")
    pd.read_parquet(path).assign(fresh=False).to_parquet(path)
    claims = make_results(CATALOGUE).claims
    assert set(claims.loc[claims["way"] == "confirmed", "verdict"]) == {"not measured"}
    assert claims.loc[claims["way"] == "confirmed", "why"].str.startswith("no runs of").all()


def test_errors_at_two_levels_are_counted_together(study):
    samples = resample_all(CATALOGUE, rows(list_runs(CATALOGUE), variant="brand_image"))
    truth = load_truth(CATALOGUE)
    measure = Measure("brand_image", "tuned", "masked", "random", 60, "independent", "test")
    with np.load(config.build_dir(CATALOGUE, "predictions", "brand_image", "tuned-masked-random-60-0.npz")) as file:
        predicted = np.stack([file[f"test_{level}"].argmax(axis=1) for level in range(3)], axis=1)
        right = predicted == truth.codes[file["test_rows"]]
    shares = dict(zip(MEASURED, samples[measure].values[0], strict=True))
    given, otherwise = right_after(shares, 2)
    assert given == pytest.approx(right[right[:, 0], 1].mean())
    assert otherwise == pytest.approx(right[~right[:, 0], 1].mean())
    assert shares["level_2_and_3"] == pytest.approx((right[:, 1] & right[:, 2]).mean())


def test_the_simple_models_are_set_against_every_network(tables):
    simple = {"linear", "linear_image", "late_fusion"}
    of_random = rows(tables.baselines, split="random")
    assert set(of_random["a"]) == simple
    assert set(of_random["b"]) == {*SKILL, *CHAINS} - simple
    assert set(rows(of_random, b="lstm")["decoding"]) == {"independent", "hard", "soft"}
    contrasts = rows(tables.contrasts, question="variant", a="brand_text", b="linear", metric="path", text="masked")
    contrasts = rows(contrasts, split="random", recipe="tuned")
    largest = rows(contrasts, train_size=contrasts["train_size"].max())
    assert tables.baselines["split"].unique().tolist() == ["random", "grouped"]  # the paper's split first
    again = rows(of_random, a="linear", b="brand_text")["difference"].item()
    assert largest["difference"].item() == pytest.approx(-again)


def test_one_variant_alone_gives_no_contrasts_between_variants(study):
    one = Measure("brand_text", "tuned", "masked", "random", 100, "independent", "test")
    sample = Sample((0,), np.full((1, 8), 0.5), np.full((10, 1, 8), 0.5))
    found = contrast_table({one: sample}, config.load_params().variants)
    assert list(found.columns) == contrasts.COLUMNS
    assert found.empty


def test_a_study_with_one_seed_and_fewer_variants_has_results(tmp_path, monkeypatch):
    monkeypatch.setenv("STUDY_ROOT", str(tmp_path))
    make_study(tmp_path, {"brand_text": 2.0}, seeds=1)
    tables = make_results(CATALOGUE)
    assert set(tables.intervals["seeds"]) == {1}
    assert set(rows(tables.contrasts, question="variant")["b"]) == {"naive"}


def test_a_variant_without_outcomes_is_named(study):
    outcomes.path_of(CATALOGUE, "brand").unlink()
    with pytest.raises(StudyError, match=r"brand\.npz is missing"):
        make_results(CATALOGUE)


def test_a_run_without_outcomes_is_named(study):
    path, runs = outcomes.path_of(CATALOGUE, "brand"), list_runs(CATALOGUE)
    (key, _), *others = outcomes.read(path).items()
    outcomes.write(path, dict(others))
    with pytest.raises(StudyError, match=rf"brand\.npz has no run '{key}'"):
        resample_all(CATALOGUE, rows(runs, variant="brand"))


@pytest.mark.parametrize(
    ("key", "message"), [("", "holds no outcomes"), ("my-run", "'my-run' is not the name of a run")]
)
def test_outcomes_that_are_not_of_runs_are_refused(study, key, message):
    outcomes.write(
        outcomes.path_of(CATALOGUE, "brand"),
        {key: {outcomes.Way("independent", "test"): np.ones((4, 1))}} if key else {},
    )
    with pytest.raises(StudyError, match=message):
        make_results(CATALOGUE)


def test_results_made_again_have_the_same_bytes_and_need_no_predictions(study):
    before = [config.report_dir(CATALOGUE, name).read_bytes() for name in TABLES]
    shutil.rmtree(config.build_dir(CATALOGUE, "predictions"))
    make_results(CATALOGUE)
    assert [config.report_dir(CATALOGUE, name).read_bytes() for name in TABLES] == before
    assert all(b"\r" not in content and b"-0.000000" not in content for content in before)


def test_outcomes_of_other_products_are_refused(study):
    path = config.build_dir(CATALOGUE, "clean", "products.parquet")
    pd.read_parquet(path).iloc[:100].to_parquet(path)
    with pytest.raises(StudyError, match=r"brand.*\.npz does not fit the clean products|train_sizes"):
        make_results(CATALOGUE)


# What the one reader finds


def test_a_number_is_of_the_main_experiment_unless_said_otherwise(tables):
    table = rows(tables.intervals, variant="brand_text", recipe="tuned", text="masked", decoding="independent")
    table = rows(table, split="random", metric="mean")
    largest = table[table["train_size"] == table["train_size"].max()].set_index("measured_on")
    assert tables.number("brand_text") == tuple(largest.loc["test", ["mean", "low", "high"]])
    assert tables.number("brand_text", on="train") == tuple(largest.loc["train", ["mean", "low", "high"]])


def test_splits_beside_the_main_ones_are_seen_by_whoever_asks_for_them(tables):
    beside = tables.intervals.query("split == 'grouped' and variant == 'brand' and recipe == 'tuned'")
    tables.intervals = pd.concat([tables.intervals, beside.assign(split="loose")])
    assert set(tables.measured(variant="brand")["split"]) == {"random", "grouped"}
    assert set(tables.measured(variant="brand", split=None)["split"]) == {"random", "grouped", "loose"}
    assert set(tables.measured(variant="brand", split="loose")["split"]) == {"loose"}


def test_an_lstm_has_the_recipe_and_the_decoding_that_are_its_own(tables):
    found = tables.measured(variant="lstm", split="random", metric="mean", **tables.main)
    assert found[["recipe", "decoding"]].drop_duplicates().to_numpy().tolist() == [["tuned_lstm", "hard"]]
    assert tables.number("lstm").mean == found["mean"].iloc[-1]
    assert tables.number("lstm", "no metric") is None


def test_the_headline_has_every_variant_with_its_five_numbers(tables):
    found = tables.headline()
    assert set(found) == {"naive", *SKILL, *CHAINS}
    assert list(found["brand"]) == [
        *("mean, random", "path, random", "mean, grouped", "path, grouped", "mean, training rows")
    ]
    assert found[tables.best()]["path, random"].mean == max(cells["path, random"].mean for cells in found.values())


def test_contrasts_are_chosen_by_the_recipe_of_the_main_experiment_and_by_size(tables):
    found = tables.compared("variant", a="lstm_multitask", b="brand_text", metric="mean", largest=True, **tables.main)
    assert set(found["recipe"]) == {"tuned_lstm"}
    assert found.groupby("split").size().to_dict() == {"grouped": 1, "random": 1}


def test_published_numbers_are_all_there_and_are_shares():
    table = published()
    assert table["value"].between(0, 1).all()
    assert table.groupby("figure").size().to_dict() == {"figure_2": 12, "figure_3": 12, "figure_4": 9, "figure_5": 6}
    figure_3 = rows(table, figure="figure_3", variant="brand_text_image").astype({"train_size": int})
    best = figure_3.set_index(["train_size", "metric"])["value"]
    assert (best[100_000, "level_1"], best[100_000, "level_2"]) == (0.89, 0.99)


def test_published_levels_average_to_the_published_means_within_rounding():
    table = published().query("variant == 'brand_text_image'")
    means = table.query("figure == 'figure_2'").set_index("train_size")["value"]
    levels = table.query("figure == 'figure_3'").groupby("train_size")["value"].mean()
    np.testing.assert_allclose(levels.to_numpy(float), means.to_numpy(float), atol=0.011)
