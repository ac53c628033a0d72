"""Notebook 06 on a made-up study: every output has its name, whatever was run, and what it computes openly is so."""

import json
from pathlib import Path

import matplotlib as mpl
import pytest
from made_results import BESIDE, CATALOGUE, CHAINS, SKILL, make_study

from lib.evaluation.results import Results
from lib.report import kit

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "06_results.ipynb"
NAMES = {
    *("in_short", "claims", "holm", "baselines", "inputs_by_size", "levels_by_size", "order_by_level"),
    *("chain_by_level", "leakage", "titles", "sensitivity", "leakage_by_groups", "word_order", "inputs", "differences"),
    *(
        "one_interval",
        "strong_baselines",
        "answer",
        "best",
        "best_path_random",
        "best_path_grouped",
        "best_mean_random",
    ),
    "best_mean_grouped",
}
"""What the pages of the report may take."""


def run(root: Path, monkeypatch, skill: dict[str, float], last: str = "") -> dict[str, tuple[dict, dict]]:
    """Run the notebook's cells, up to one if asked, on a study in `root`, and return its outputs by name."""
    outputs: dict[str, tuple[dict, dict]] = {}

    def publish(data, metadata):
        outputs[metadata[kit.NAMED]["name"]] = (data, metadata[kit.NAMED])

    monkeypatch.setenv("STUDY_ROOT", str(root))
    monkeypatch.setattr(kit, "publish_display_data", publish)
    monkeypatch.setattr(kit, "DPI", 20)
    make_study(root, skill)
    names = {"__name__": "notebook"}
    with mpl.rc_context():
        for cell in json.loads(NOTEBOOK.read_text("utf-8"))["cells"]:
            source = f"catalogue = {CATALOGUE!r}" if cell["id"] == "parameters" else "".join(cell["source"])
            if cell["cell_type"] == "code":
                exec(compile(source, cell["id"], "exec"), names)
            if cell["id"] == last:
                break
    return outputs


def test_a_full_study_shows_every_figure_and_computes_the_tables_interval_and_verdict(tmp_path, monkeypatch):
    outputs = run(tmp_path, monkeypatch, SKILL | CHAINS)
    assert outputs.keys() >= NAMES
    figures = {name for name, (data, _) in outputs.items() if "image/png" in data}
    assert figures == {
        *("inputs_by_size", "levels_by_size", "order_by_level", "chain_by_level", "leakage", "titles"),
        *("word_order", "strong_baselines"),
    }
    assert all(outputs[name][1]["caption"] and outputs[name][1]["alt"] for name in figures)
    assert "the table says the same" in outputs["one_interval"][0]["text/plain"]
    _, here, there = outputs["one_verdict"][0]["text/plain"].splitlines()
    assert here.removesuffix(".").split(": ")[-1] == there.removesuffix(".").split(": ")[-1]
    said, reader = outputs["answer"][0]["text/plain"], Results.read(CATALOGUE)
    assert said.count("the best is **") == 2
    copies = reader.compared("split", metric="path", largest=True, **reader.main)
    called = (copies["verdict"] != "inconclusive").sum()
    assert said.count("Copies in training are worth") == called < len(copies)
    for name in ("sensitivity", "leakage_by_groups"):
        shown = outputs[name][0].get("text/html", "")
        assert ("loose" in shown) == ("loose" in BESIDE), name
    assert "LSTM, hard" in outputs["order_by_level"][1]["alt"]
    assert all("ecipe: " in outputs[name][1]["caption"] for name in figures), "a caption says of which runs it is"
    assert "brand + text + image" in outputs["inputs"][0]["text/plain"]


def test_what_was_not_run_is_said_under_the_same_names(tmp_path, monkeypatch):
    outputs = run(tmp_path, monkeypatch, {"brand": 1.0})
    assert outputs.keys() >= NAMES
    for name in ("order_by_level", "chain_by_level", "sensitivity", "word_order", "strong_baselines"):
        assert "Not run on this catalogue" in outputs[name][0]["text/plain"], name


@pytest.mark.parametrize(("linear", "verb"), [(6.0, "beats"), (0.5, "is beaten by"), (2.4, "cannot be told from")])
def test_simple_models_may_win_lose_or_draw(tmp_path, monkeypatch, linear, verb):
    outputs = run(tmp_path, monkeypatch, {"linear": linear, "brand_text": 2.4}, "simple-models-said")
    assert verb in outputs["baselines_said"][0]["text/plain"]
