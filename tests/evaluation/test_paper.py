"""What the paper measured: notebook 12 on a made-up study, the table of deviations, and published bars beside ours."""

import json
import shutil
from pathlib import Path

import matplotlib as mpl
import pandas as pd
import pytest
import yaml
from made_results import CATALOGUE, CHAINS, REPOSITORY, SKILL, make_study

from lib.evaluation.deviations import deviation_table, load_deviations
from lib.evaluation.published import READING_ERROR, beside_published, published
from lib.evaluation.results import Results, make_results
from lib.exceptions import StudyError
from lib.report import kit

FIGURES = {"paper_inputs", "paper_levels", "paper_order", "paper_chain", "training_time", "departures"}
NAMES = FIGURES | {"evidence_counts", "evidence", "finding", "worth", "training_rows", "beside_published", "coded"}
NAMES |= {"deviations", "answer"}


@pytest.fixture
def paper(tmp_path, monkeypatch):
    """Return a function that makes a study, runs the notebook on it, and returns its outputs by name."""
    outputs: dict[str, tuple[dict, dict]] = {}

    def run(skill):
        monkeypatch.setenv("STUDY_ROOT", str(tmp_path))
        monkeypatch.setattr(
            kit, "publish_display_data", lambda data, m: outputs.update({m["study"]["name"]: (data, m)})
        )
        monkeypatch.setattr(kit, "DPI", 20)
        make_study(tmp_path, skill)
        shutil.copy(REPOSITORY / "deviations.yaml", tmp_path)
        make_results(CATALOGUE)
        names = {"__name__": "notebook"}
        with mpl.rc_context():
            for cell in json.loads((REPOSITORY / "notebooks/12_paper.ipynb").read_text("utf-8"))["cells"]:
                source = f"catalogue = {CATALOGUE!r}" if cell["id"] == "parameters" else "".join(cell["source"])
                if cell["cell_type"] == "code":
                    exec(compile(source, cell["id"], "exec"), names)
        return outputs

    return run


def test_each_figure_stands_beside_its_like_and_what_training_rows_are_worth_is_computed(paper, tmp_path):
    outputs = paper(SKILL | CHAINS)
    assert outputs.keys() >= NAMES
    assert {name for name, (data, _) in outputs.items() if "image/png" in data} == FIGURES
    gaps = Results.read(CATALOGUE).compared("measured_on", recipe="paper", metric="mean", variant=["brand_text"])
    assert outputs["worth"][0]["text/plain"].count("points") == 2
    assert f"{100 * gaps['difference'].iloc[0]:+.1f}" in outputs["training_rows"][0]["text/plain"]
    for name in ("paper_inputs", "paper_levels", "paper_order", "paper_chain", "training_time"):
        caption = outputs[name][1]["study"]["caption"]
        assert all(word in caption for word in ("recipe", "random split", "masked text", "decoding", "seeds")), name
    assert "LSTM, soft" in outputs["paper_order"][1]["study"]["alt"]
    written = {path.stem for path in (tmp_path / f"reports/{CATALOGUE}/paper").iterdir()}
    assert written == {"beside_published", "deviations", "training_rows"}


def test_without_the_papers_recipe_it_is_said_that_it_was_not_run(paper):
    outputs = paper({"brand": 1.0})
    assert outputs.keys() >= NAMES
    for name in FIGURES | {"worth", "training_rows", "beside_published"}:
        assert "Not run on this catalogue" in outputs[name][0]["text/plain"], name


def test_a_bar_stands_beside_the_nearest_size_and_its_reading_error_widens_the_interval():
    bar = published().query("figure == 'figure_2' and variant == 'brand' and train_size == 10_000").iloc[0]
    same = {"variant": "brand", "recipe": "paper", "decoding": "independent", "metric": "mean", "split": "random"}
    rows = [
        same | {"text": "masked", "measured_on": on, "train_size": size, "mean": 0.5, "low": 0.45, "high": 0.55}
        for on in ("train", "test")
        for size in (1_000, 9_000, 30_000)
    ]
    table = beside_published(pd.DataFrame(rows)).query("train_size == 10_000")
    assert table["here_size"].tolist() == [9_000, 9_000]
    assert set(table["measured_on"]) == {"train", "test"}
    row = table.iloc[0]
    assert row["difference"] == pytest.approx(0.5 - bar["value"])
    assert row["difference_low"] == pytest.approx(0.45 - bar["value"] - READING_ERROR)
    assert row["difference_high"] == pytest.approx(0.55 - bar["value"] + READING_ERROR)


def test_an_effect_is_a_contrast_and_what_was_not_run_says_so(paper):
    paper({"brand_text": 2.4, "sequential": 1.8})
    table = deviation_table(Results.read(CATALOGUE)).set_index(["topic", "variant"])
    kept = table.loc[("Stop words", "brand_text")]
    contrast = (
        Results.read(CATALOGUE).compared("recipe", a="paper_stop_words", metric="mean", measured_on="test").iloc[0]
    )
    assert (kept["difference"], kept["train_size"]) == (contrast["difference"], contrast["train_size"])
    assert table.loc[("LSTM, activation", "lstm"), "verdict"] == "not run"
    assert table.loc["Tokenizer"]["effect"].isna().all()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"variant": "brand_txt"}, "'Topic' names the variant 'brand_txt'"),
        ({"a": "paper_stop_word"}, "Did you mean 'paper_stop_words'?"),
        ({"question": "size"}, "question"),
        ({"wat": "kept"}, "Did you mean 'what'?"),
    ],
)
def test_a_wrong_deviation_is_one_message(tmp_path, monkeypatch, change, expected):
    monkeypatch.setenv("STUDY_ROOT", str(tmp_path))
    shutil.copy(REPOSITORY / "params.yaml", tmp_path)
    effect = {"what": "kept", "question": "recipe", "a": "paper_stop_words", "b": "paper", "variant": "brand_text"}
    words = {"topic": "Topic", "paper": "removed", "code": "kept", "here": "removed"}
    content = {"deviations": [words | {"effects": [effect | change]}]}
    Path(tmp_path, "deviations.yaml").write_text(yaml.safe_dump(content), "utf-8")
    with pytest.raises(StudyError) as error:
        load_deviations()
    assert expected in str(error.value)
    assert "deviations.yaml" in str(error.value)
