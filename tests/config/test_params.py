"""What params.yaml may say of variants and recipes; anything else is one message that says what was expected."""

import pytest
import tiny
import yaml

from lib import config
from lib.exceptions import StudyError

TEXT = {"inputs": ["brand", "text"]}
MLP = {"model": "mlp", **TEXT, "hidden_layers": 2, "hidden_size": 8}
SEQUENTIAL = MLP | {"model": "sequential"}
LSTM = {"model": "lstm", **TEXT, "embedding_size": 8, "hidden_size": 8}
MULTITASK = LSTM | {"model": "lstm_multitask"}
LINE = {"recipes": ["tuned"], "text": "masked", "splits": "random", "train_sizes": "largest", "seeds": 1}
LINEAR = {"model": "linear", **TEXT, "ngrams": 1, "C": 1.0}
PHOTOS = {"model": "linear_image", "inputs": ["image"], "ridges": [0.1], "max_steps": 4}


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Return a function that reads a study of some variants, with some keys of the recipe changed."""
    monkeypatch.setenv("STUDY_ROOT", str(tmp_path))

    def read(recipe: dict | None = None, **variants: dict) -> config.Params:
        recipes = {"tuned": tiny.params()["recipes"]["tuned"] | (recipe or {})}
        content = tiny.params(variants=variants, recipes=recipes, runs={"core": [LINE]})
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(content))
        return config.load_params()

    return read


def message(load, *arguments, **variants) -> str:
    with pytest.raises(StudyError) as error:
        load(*arguments, **variants)
    return str(error.value)


@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        (LSTM | {"inputs": ["brand"]}, "an LSTM reads text, which is not among the inputs ['brand']"),
        (LSTM | {"inputs": ["text", "image"]}, "'lstm_multitask' also reads photos"),
        (LSTM | {"decodings": ["soft", "soft"]}, "should name each once"),
        (SEQUENTIAL | {"decodings": ["greedy"]}, "'hard', 'soft' or 'soft_child'. Got 'greedy' instead"),
        (SEQUENTIAL | {"hidden": 3}, "Did you mean 'hidden_size'?"),
        (MULTITASK | {"beam_width": 5}, "unknown key 'beam_width'"),
        (LSTM | {"model": "lstms"}, "'lstm_multitask'"),
        (MLP | {"inputs": ["text"], "modality_dropout": 0.1}, "'modality_dropout' hides one of several inputs"),
    ],
)
def test_a_wrong_variant_is_refused_with_what_was_expected(load, variant, expected):
    assert expected in message(load, wrong=variant)


@pytest.mark.parametrize(
    ("departure", "variant", "expected"),
    [
        ({"brand_encoding": "scalar"}, MLP | {"inputs": ["text"]}, "'brand_encoding: scalar' needs a perceptron"),
        ({"brand_encoding": "scalar"}, LSTM, "'brand_encoding: scalar' needs a perceptron"),
        ({"frozen_trunk": True}, MLP, "'frozen_trunk: true' needs the model 'sequential'"),
        ({"parents": "all"}, LSTM, "'parents: all' needs the model 'sequential'"),
        ({"activation": "sigmoid"}, MLP, "'activation: sigmoid' needs an LSTM"),
        ({"leak_own_label": True}, MULTITASK, "'leak_own_label: true' needs the model 'lstm'"),
        ({"stop_words": "none"}, MLP | {"inputs": ["brand"]}, "'stop_words' needs text among the inputs"),
        ({"stop_word": "none"}, MLP, "Did you mean 'stop_words'?"),
    ],
)
def test_a_departure_that_a_variant_cannot_make_is_refused(load, departure, variant, expected):
    assert expected in message(load, departure, v=variant)
    if "stop_word" not in departure:  # a model without a recipe does not mind
        assert load(departure, naive={"model": "naive", "inputs": []}).recipes


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"of": ["word", "photos"]}, "variants.both.of names the variant 'word', which is not among"),
        (
            {"inputs": ["text"]},
            "the parts of this fusion read ['brand', 'image', 'text'], and its 'inputs' are ['text']",
        ),
        ({"of": ["words", "both"]}, "'fusion'"),
        ({"of": ["words"]}, "at least 2 items"),
    ],
)
def test_a_fusion_is_of_other_variants_that_are_no_fusions(load, change, expected):
    fusion = {"model": "fusion", "inputs": ["brand", "text", "image"], "of": ["words", "photos"]}
    made = load(words=LINEAR, photos=PHOTOS, both=fusion).variants
    assert made["both"].of == {"words": made["words"], "photos": made["photos"]}
    assert expected in message(load, words=LINEAR, photos=PHOTOS, both=fusion | change)


@pytest.mark.parametrize(("base", "expected"), [("tund", "Did you mean 'tuned'?"), ("tuned", "is based on itself")])
def test_a_recipe_is_based_on_another_one(load, base, expected):
    assert expected in message(load, {"base": base}, v=MLP)


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ({"tiny": {"source": ".", "tagged_by": "tiny"}}, "'tiny' stands in 'study' and in 'others'"),
        ({"other": {"source": ".", "tagged_by": "tinny"}}, "Did you mean 'tiny'?"),
    ],
)
def test_a_second_shop_is_another_one_and_tagged_by_one_that_is_studied(tmp_path, monkeypatch, others, expected):
    monkeypatch.setenv("STUDY_ROOT", str(tmp_path))
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(tiny.params(others=others)))
    with pytest.raises(StudyError) as error:
        config.load_params()
    assert expected in str(error.value)


def test_a_list_of_one_in_a_line_of_runs_may_be_given_as_that_one(load):
    line = load(brand_text=MLP).main
    assert (line.recipes, line.splits, line.variants) == (["tuned"], ["random"], None)


def test_without_photos_a_fusion_is_made_of_the_parts_that_can_do_without(load):
    every = {"inputs": ["brand", "text", "image"]}
    robust = MLP | every | {"modality_dropout": 0.1}
    best = {"model": "path_fusion", "of": ["linear", "robust"], **every}
    late = {"model": "fusion", "of": ["linear", "photos"], **every}
    study = load(linear=LINEAR, photos=PHOTOS, mlp=MLP, robust=robust, best=best, late=late)
    left = study.without("image").variants
    assert set(left) == {"linear", "mlp", "best"}
    assert left["best"].inputs == ["brand", "text"]
    assert left["best"].of == {"linear": study.variants["linear"], "robust": left["best"].of["robust"]}
    assert left["best"].of["robust"].inputs == ["brand", "text"]
    assert left["best"].of["robust"].modality_dropout == 0.1
    assert len(study.variants) == 6


def test_variants_that_read_what_a_catalogue_lacks_are_left_out(load):
    photos = MLP | {"inputs": ["brand", "image"]}
    study = load(mlp=MLP, brand_image=photos, lite2=photos | {"reads": ["brand", "image", "image/lite2"]})
    assert set(study.with_columns([]).variants) == {"mlp", "brand_image"}
    assert study.with_columns(["image/lite2", "image/more"]).variants == study.variants


@pytest.mark.parametrize(
    ("variants", "expected"),
    [
        ({"mlp": MLP | {"reads": ["image/lite2"]}}, "variants.mlp.mlp: 'reads' should have a column of each input"),
        (
            {
                "linear": LINEAR,
                "mlp": MLP | {"inputs": ["image"], "reads": ["image/lite2"]},
                "both": {"model": "fusion", "of": ["linear", "mlp"], "inputs": ["brand", "text", "image"]},
            },
            "the parts of a fusion read inputs as they are. 'mlp' reads ['image/lite2']",
        ),
    ],
)
def test_what_is_read_is_made_of_the_inputs_and_a_fusion_reads_them_as_they_are(load, variants, expected):
    with pytest.raises(StudyError) as error:
        load(**variants)
    assert expected in str(error.value)
