"""The chained and the recurrent variants through the whole `train` stage, on a tiny catalogue."""

import numpy as np
import pandas as pd
import pytest
import tiny
import yaml

from lib import artifacts, config, data, fit, train
from lib.errors import StudyError
from lib.estimators import make_estimator
from lib.evaluate import valid_path
from lib.results import load_truth, resample_all
from lib.runs import Run, grid
from lib.splits import test_rows as rows_of_test
from lib.splits import training_rows
from lib.tasks import Task

TEXT = {"inputs": ["brand", "text"]}
DENSE = {"hidden_layers": 2, "hidden_size": 32}
RECURRENT = {"embedding_size": 16, "hidden_size": 16}
VARIANTS = {
    "sequential": {"model": "sequential", **TEXT, **DENSE},
    "lstm": {"model": "lstm", **TEXT, **RECURRENT, "decodings": ["hard", "soft", "soft_child"]},
    "lstm_multitask": {"model": "lstm_multitask", "inputs": ["brand", "text", "image"], **RECURRENT},
}
MLP = {"model": "mlp", **TEXT, **DENSE}
DEPARTURES = {
    "frozen_trunk": (VARIANTS["sequential"], True),
    "leak_own_label": (VARIANTS["lstm"], True),
    "brand_encoding": (MLP, "scalar"),
    "stop_words": (MLP, "none"),
}
LINES = [{"recipe": "tuned", "text": "masked", "splits": ["random"], "train_sizes": "largest", "seeds": 1}]
chained = pytest.mark.parametrize("variant", ["sequential", "lstm"])


def write_study(root, recipe=None, **variants):
    params = tiny.params()
    recipes = params["recipes"] | {
        "tuned": params["recipes"]["tuned"] | {"lr": 0.01, "input_dropout": 0.0} | (recipe or {})
    }
    tiny.write(root, variants=variants, recipes=recipes, runs=LINES)
    data.load_catalogue_data.cache_clear()
    data.load_text.cache_clear()


def outputs(root):
    folders = [root / "build/tiny/predictions", root / "build/tiny/models", root / "reports"]
    return {str(f.relative_to(root)): f.read_bytes() for folder in folders for f in folder.rglob("*") if f.is_file()}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A study whose chained and recurrent variants are trained once, and the table of each one's metrics."""
    root = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STUDY_ROOT", str(root))
        write_study(root, **VARIANTS)
        tables = {variant: train.train("tiny", variant, workers=0) for variant in VARIANTS}
        yield root, tables


def arrays(root, variant):
    [path] = (root / "build/tiny/predictions" / variant).glob("*.npz")
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_learns_what_the_words_say(trained, variant):
    table = trained[1][variant].query("measured_on == 'test' and decoding == 'independent'")
    assert table.set_index("metric")["value"]["mean"] > 0.8


@chained
def test_the_predictions_of_a_chain_hold_its_paths_and_their_conditional_probabilities(trained, variant):
    root, _ = trained
    found, decodings = arrays(root, variant), VARIANTS[variant].get("decodings", ["hard", "soft"])
    for part in ("test", "validation"):
        rows = len(found[f"{part}_rows"])
        for decoding in decodings:
            width = 1 if decoding == "hard" else 5
            codes, scores = found[f"{part}_{decoding}"], found[f"{part}_{decoding}_scores"]
            assert codes.dtype == np.int16
            assert scores.dtype == np.float16
            assert codes.shape == scores.shape == (rows, width, 3)
            first = np.take_along_axis(found[f"{part}_0"], codes[:, :, 0].astype(int), axis=1)
            np.testing.assert_array_equal(first, scores[:, :, 0])
        ranks = found[f"{part}_soft_scores"].astype(float).sum(2)
        assert (np.diff(ranks, axis=1) <= 0.02).all()  # best first, as far as float16 tells
    assert {f"train_{decoding}" for decoding in decodings} <= set(found)
    assert found["train_hard"].shape == (len(found["train_rows"]), 3)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_log_probabilities_of_each_level_are_a_distribution(trained, variant):
    found = arrays(trained[0], variant)
    for part in ("test", "validation"):
        for level in range(3):
            sums = np.exp(found[f"{part}_{level}"].astype(float)).sum(1)
            np.testing.assert_allclose(sums, 1, atol=2e-3)


@chained
def test_a_chain_is_measured_in_each_of_its_decodings(trained, variant):
    table = trained[1][variant]
    ways = {*VARIANTS[variant].get("decodings", ["hard", "soft"]), "independent"}
    assert set(table[table["measured_on"] == "test"]["decoding"]) == ways | {"valid_path"}
    assert set(table[table["measured_on"] == "train"]["decoding"]) == ways


def test_the_results_stage_finds_the_same_numbers_in_the_stored_paths(trained):
    _, tables = trained
    results = pd.concat(tables.values())
    samples = resample_all("tiny", results)
    assert {measure.decoding for measure in samples if measure.variant == "lstm"} == {
        *("independent", "valid_path", "hard", "soft", "soft_child")
    }
    for measure, sample in samples.items():
        stored = results
        for name, value in measure._asdict().items():
            stored = stored[stored[name] == value]
        paths = stored[stored["metric"] == "path"]["value"].tolist()
        np.testing.assert_allclose(sample.values[:, 4], paths, atol=1e-6)
    assert len(load_truth("tiny").codes) == 240


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_is_saved_with_what_its_inputs_were_encoded_with(trained, variant):
    root, _ = trained
    folder = root / "build/tiny/models" / variant
    [encoding] = [artifacts.read_json(path) for path in folder.glob("*.json")]
    assert "denim" in encoding["vocabulary"]
    assert len(list(folder.glob("*.safetensors"))) == 1


@pytest.mark.parametrize("name", DEPARTURES)
def test_each_departure_of_the_original_code_trains(tmp_path, monkeypatch, name):
    monkeypatch.setenv("STUDY_ROOT", str(tmp_path))
    recipe = {"epochs": 2, "min_updates": 0, "shuffle": False, "drop_last": True, "patience": None}
    variant, value = DEPARTURES[name]
    write_study(tmp_path, recipe, v=variant)
    usual = train.train("tiny", "v", workers=0)
    write_study(tmp_path, recipe | {name: value}, v=variant)
    departed = train.train("tiny", "v", workers=0)
    assert departed["value"].between(0, 1).all()
    assert not departed.equals(usual)


def test_two_trainings_of_a_chain_of_lstms_leave_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setenv("STUDY_ROOT", str(tmp_path))
    write_study(tmp_path, {"epochs": 2, "min_updates": 0}, lstm=VARIANTS["lstm"])
    train.train("tiny", "lstm", workers=0)
    first = outputs(tmp_path)
    train.train("tiny", "lstm", workers=0)
    assert outputs(tmp_path) == first


def test_a_killed_training_of_an_lstm_resumes_to_the_same_bytes(tmp_path, monkeypatch):
    """Sparse states of the optimizer and batches by length included."""
    monkeypatch.setenv("STUDY_ROOT", str(tmp_path))
    monkeypatch.setattr(fit, "UPDATES_BETWEEN_CHECKPOINTS", 1)
    write_study(tmp_path, {"epochs": 4, "min_updates": 0}, lstm=VARIANTS["lstm"])

    class Killed(BaseException):
        pass

    def die_in_epoch_2(self, batch, batch_idx):
        if self.current_epoch == 2:
            raise Killed
        return self.network.loss(batch)

    with monkeypatch.context() as patch:
        patch.setattr(fit._Classifier, "training_step", die_in_epoch_2)
        with pytest.raises(Killed):
            train.train("tiny", "lstm", workers=0)
    assert list((tmp_path / "build/tiny/work").rglob("last.ckpt"))
    train.train("tiny", "lstm", workers=0)
    resumed = outputs(tmp_path)
    train.train("tiny", "lstm", workers=0)
    assert outputs(tmp_path) == resumed


# What is refused


@pytest.mark.parametrize(
    ("variant", "message"),
    [
        ({**VARIANTS["lstm"], "inputs": ["brand"]}, "an LSTM reads text, which is not among the inputs ['brand']"),
        ({**VARIANTS["lstm"], "inputs": ["text", "image"]}, "'lstm_multitask' also reads photos"),
        ({**VARIANTS["lstm"], "decodings": ["soft", "soft"]}, "should name each once"),
        ({**VARIANTS["sequential"], "decodings": ["greedy"]}, "'hard', 'soft' or 'soft_child'. Got 'greedy' instead"),
        ({**VARIANTS["sequential"], "hidden": 3}, "Did you mean 'hidden_size'?"),
        ({**VARIANTS["lstm_multitask"], "beam_width": 5}, "unknown key 'beam_width'"),
        ({**VARIANTS["lstm"], "model": "lstms"}, "'lstm_multitask'"),
    ],
)
def test_a_wrong_variant_is_refused_with_what_was_expected(tmp_path, monkeypatch, variant, message):
    monkeypatch.setenv("STUDY_ROOT", str(tmp_path))
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(tiny.params(variants={"wrong": variant}, runs=LINES)))
    with pytest.raises(StudyError) as error:
        config.load_params()
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("departure", "variant", "message"),
    [
        ({"brand_encoding": "scalar"}, MLP | {"inputs": ["text"]}, "'brand_encoding: scalar' needs a perceptron"),
        ({"brand_encoding": "scalar"}, VARIANTS["lstm"], "'brand_encoding: scalar' needs a perceptron"),
        ({"frozen_trunk": True}, MLP, "'frozen_trunk: true' needs the model 'sequential'"),
        ({"leak_own_label": True}, VARIANTS["lstm_multitask"], "'leak_own_label: true' needs the model 'lstm'"),
        ({"stop_words": "none"}, MLP | {"inputs": ["brand"]}, "'stop_words' needs text among the inputs"),
        ({"stop_word": "none"}, MLP, "Did you mean 'stop_words'?"),
    ],
)
def test_a_departure_that_a_variant_cannot_make_is_refused(tmp_path, monkeypatch, departure, variant, message):
    monkeypatch.setenv("STUDY_ROOT", str(tmp_path))
    recipes = {"tuned": tiny.params()["recipes"]["tuned"] | departure}
    content = tiny.params(variants={"v": variant}, recipes=recipes, runs=LINES)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(StudyError) as error:
        config.load_params()
    assert message in str(error.value)


def test_a_model_without_a_recipe_does_not_mind_departures(tmp_path, monkeypatch):
    monkeypatch.setenv("STUDY_ROOT", str(tmp_path))
    recipes = {"tuned": tiny.params()["recipes"]["tuned"] | {"leak_own_label": True}}
    content = tiny.params(variants={"naive": {"model": "naive", "inputs": []}}, recipes=recipes, runs=LINES)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content))
    assert config.load_params().recipes["tuned"].leak_own_label


def test_a_fusion_is_of_variants_that_are_no_fusions_and_are_as_they_are(tmp_path, monkeypatch):
    monkeypatch.setenv("STUDY_ROOT", str(tmp_path))
    linear = {"model": "linear", **TEXT, "ngrams": 1, "C": 1.0}
    photos = {"model": "linear_image", "inputs": ["image"], "ridges": [0.1], "max_steps": 4}
    fusion = {"model": "fusion", "inputs": ["brand", "text", "image"], "of": {"words": linear, "photos": photos}}
    good = {"words": linear, "photos": photos, "both": fusion}

    def problem(**changes):
        content = tiny.params(variants=good | {"both": fusion | changes}, runs=LINES)
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(content))
        with pytest.raises(StudyError) as error:
            config.load_params()
        return str(error.value)

    assert "variants.both.of names the variant 'word', which is not among" in problem(
        of={"word": linear, "photos": photos}
    )
    assert "variants.both.of.words differs from variants.words; write words: *words" in problem(
        of={"words": linear | {"C": 2.0}, "photos": photos}
    )
    assert "the parts of this fusion read ['brand', 'image', 'text'], and its 'inputs' are ['text']" in problem(
        inputs=["text"]
    )
    assert "'fusion'" in problem(of={"words": linear, "both": fusion})
    assert "at least 2 items" in problem(of={"words": linear})


def test_a_fusion_is_saved_with_its_parts_and_its_weights(tmp_path, monkeypatch):
    monkeypatch.setenv("STUDY_ROOT", str(tmp_path))
    names = ("linear", "linear_image", "late_fusion")
    write_study(tmp_path, **{name: tiny.params()["variants"][name] for name in names})
    train.train("tiny", "late_fusion", workers=0)
    files = {path.name: path for path in (tmp_path / "build/tiny/models/late_fusion").iterdir()}
    stem = next(iter(name for name in files if name.startswith("none-"))).removesuffix(".json")
    parts = [f"{part}-{stem}.{suffix}" for part in names[:2] for suffix in ("json", "safetensors")]
    assert sorted(files) == sorted([*parts, f"{stem}.json"])
    weights = artifacts.read_json(files[f"{stem}.json"])["weights"]
    assert [set(level) for level in weights] == [{"linear", "linear_image"}] * 3
    assert "denim pockets" in artifacts.read_json(files[f"linear-{stem}.json"])["ngrams"]
    assert "brand 0" in artifacts.read_json(files[f"linear_image-{stem}.json"])["brands"]


def test_what_a_fusion_learns_depends_on_no_test_row_and_repeats(tmp_path, monkeypatch):
    monkeypatch.setenv("STUDY_ROOT", str(tmp_path))
    names = ("linear", "linear_image", "late_fusion")
    write_study(tmp_path, **{name: tiny.params()["variants"][name] for name in names})
    train.train("tiny", "late_fusion", workers=0)
    before = outputs(tmp_path)
    train.train("tiny", "late_fusion", workers=2)
    assert outputs(tmp_path) == before
    path = tmp_path / "build/tiny/clean/products.parquet"
    table = pd.read_parquet(path)
    held_out = (table["random_split"] == "test").to_numpy()
    table.loc[held_out, ["level_1_code", "level_2_code", "level_3_code"]] = 0
    table.loc[held_out, "brand"] = "a brand of test rows"
    table.to_parquet(path)
    features = np.load(tmp_path / "build/tiny/image/features.npy")
    features[held_out] = 100
    np.save(tmp_path / "build/tiny/image/features.npy", features)
    data.load_catalogue_data.cache_clear()
    train.train("tiny", "late_fusion", workers=0)
    after = outputs(tmp_path)
    models = [name for name in before if "/models/" in name]
    assert models
    assert all(before[name] == after[name] for name in models)


def test_dropping_the_only_batch_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("STUDY_ROOT", str(tmp_path))
    write_study(tmp_path, {"drop_last": True, "batch_size": 1000}, lstm=VARIANTS["lstm"])
    with pytest.raises(StudyError, match="needs at least one full batch of training rows: its batch_size is 1000"):
        train.train("tiny", "lstm", workers=0)


def test_networks_have_a_recipe_and_a_run_for_each_seed(tmp_path, monkeypatch):
    monkeypatch.setenv("STUDY_ROOT", str(tmp_path))
    (tmp_path / "params.yaml").write_text(
        yaml.safe_dump(tiny.params(variants=VARIANTS, runs=[LINES[0] | {"seeds": 2}]))
    )
    params, catalogue = config.load_params(), config.Catalogue(**tiny.catalogue())
    for variant in VARIANTS:
        assert [(run.recipe, run.seed) for run in grid(variant, params, catalogue)] == [("tuned", 0), ("tuned", 1)]


BEST = ("linear", "robust", "best")


def write_best(root):
    names = tiny.params()["variants"]
    write_study(root, **{name: names[name] for name in BEST})


def test_best_answers_valid_paths_only_and_learns_from_no_test_row(tmp_path, monkeypatch):
    monkeypatch.setenv("STUDY_ROOT", str(tmp_path))
    write_best(tmp_path)
    found = train.train("tiny", "best", workers=0)
    assert set(found["decoding"]) == {"valid_path"}
    scores = found.query("measured_on == 'test'").set_index("metric")["value"]
    assert scores["valid_share"] == 1
    assert scores["path"] > 0.7
    before = outputs(tmp_path)
    train.train("tiny", "best", workers=2)
    assert outputs(tmp_path) == before
    files = {path.name for path in (tmp_path / "build/tiny/models/best").iterdir()}
    stem = next(name for name in files if name.startswith("tuned-")).removesuffix(".json")
    assert files == {f"{stem}.json", *(f"{part}-{stem}.{end}" for part in BEST[:2] for end in ("json", "safetensors"))}
    weights = artifacts.read_json(tmp_path / f"build/tiny/models/best/{stem}.json")["weights"]
    assert len(weights) == 8
    assert all(set(table) == {"linear", "robust"} for table in weights.values())


def test_best_does_without_an_input_that_is_hidden(tmp_path, monkeypatch):
    monkeypatch.setenv("STUDY_ROOT", str(tmp_path))
    write_best(tmp_path)
    params, products = config.load_params(), data.load_catalogue_data("tiny")
    train_rows, validation_rows = training_rows(products.products, "random", "all", 0)
    run = Run("tuned", "masked", "random", "all", 0)
    estimator = make_estimator(params.variants["best"])
    estimator.fit(Task("tiny", run, train_rows, validation_rows))
    rows = rows_of_test(products.products, "random")

    def accuracy(*hidden):
        levels = estimator.predict(rows, hidden).levels
        return (valid_path(levels, products.paths) == products.codes[rows]).all(axis=1).mean()

    everything, nothing = accuracy(), accuracy("brand", "text", "image")
    assert everything > nothing + 0.2
    for name in ("brand", "text", "image"):
        assert nothing <= accuracy(name) <= everything + 0.1
    assert everything - accuracy("image") < 0.5


def test_modality_dropout_of_a_single_input_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("STUDY_ROOT", str(tmp_path))
    variants = {"words": {"model": "mlp", "inputs": ["text"], **DENSE, "modality_dropout": 0.1}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(tiny.params(variants=variants, runs=LINES)))
    with pytest.raises(StudyError, match="'modality_dropout' hides one of several inputs"):
        config.load_params()
