"""DVC's own commands give something useful: numbers, plots, parameters, experiments, the graph of stages."""

import csv
import json
import shutil
import subprocess

import pytest
import yaml
from pipeline import PROJECT, copy_project, dvc

from lib.tools.repro import mend_lock

ONE_STAGE = {
    "cmd": "python train.py",
    "deps": ["train.py"],
    "params": ["variants"],
    "metrics": [{"summary.json": {"cache": False}}],
}
TRAIN = """
import json, yaml
size = yaml.safe_load(open("params.yaml"))["variants"]["brand_text"]["hidden_size"]
json.dump({"random": {"mean": {"brand_text": size / 1000}}}, open("summary.json", "w"))
"""
CURVES = {"split": "random", "variant": "brand", "train_size": 60, "mean": 0.5, "low": 0.4, "high": 0.6}
RELIABILITY = {"confidence": 0.5, "accuracy": 0.4, "low": 0.3, "high": 0.5, "hidden": "brand", "model": "calibrated"}


def git(root, *arguments):
    command = ["git", "-c", "user.name=Test", "-c", "user.email=test@example.org", *arguments]
    return subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout


def answered(root, *arguments):
    """Return what a DVC command printed; it must succeed."""
    result = dvc(root, *arguments)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def write_csv(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture(scope="module")
def studied(tmp_path_factory):
    """Return the project with made-up results of the demo catalogue, which differ from those of its one commit."""
    root = copy_project(tmp_path_factory.mktemp("studied"))
    reports = root / "reports/demo"
    reports.mkdir(parents=True)
    for value in (0.5, 0.75):
        summary = {"random": {"mean": {"brand": value}}, "grouped": {"path": {"brand": 0.25}}, "claims": {"holds": 3}}
        (reports / "summary.json").write_text(json.dumps(summary))
        write_csv(reports / "learning_curves.csv", [CURVES | {"mean": value}, CURVES | {"train_size": 266}])
        write_csv(reports / "reliability.csv", [RELIABILITY])
        if value == 0.5:
            git(root, "add", "--all")
            git(root, "commit", "--quiet", "--message", "made up")
    yield root
    shutil.rmtree(root)


def test_metrics_show_and_diff_give_the_numbers_of_a_catalogue(studied):
    shown = json.loads(answered(studied, "metrics", "show", "--json"))[""]["data"]["reports/demo/summary.json"]["data"]
    assert shown == json.loads((studied / "reports/demo/summary.json").read_text())
    changes = answered(studied, "metrics", "diff").splitlines()[1:]
    assert [line.split() for line in changes] == [
        ["reports/demo/summary.json", "random.mean.brand", "0.5", "0.75", "0.25"]
    ]


def test_plots_show_and_diff_draw_learning_curves_and_reliability(studied):
    drawn = json.loads(answered(studied, "plots", "diff", "HEAD", "--json"))["data"]
    assert set(drawn) == {"reports/demo/learning_curves.csv", "reports/demo/reliability.csv"}
    curves, diagram = (drawn[name][0]["content"] for name in sorted(drawn))
    rows = curves["data"]["values"]
    assert {row["rev"] for row in rows} == {"HEAD", "workspace"}
    for plot in (curves, diagram):
        assert "<DVC" not in json.dumps(plot)
        asked = {entry["field"] for entry in fields(plot["spec"])} | {plot["facet"]["column"]["field"]}
        assert asked <= set(plot["data"]["values"][0])
    answered(studied, "plots", "show")
    assert "0.75" in (studied / "dvc_plots/index.html").read_text("utf-8")


def fields(spec):
    """Yield whatever names a column, wherever in a plot."""
    if isinstance(spec, dict):
        yield from [spec] if isinstance(spec.get("field"), str) else []
        spec = list(spec.values())
    for part in spec if isinstance(spec, list) else ():
        yield from fields(part)


def test_dag_shows_how_stages_hang_together(studied):
    graph = answered(studied, "dag", "--dot")
    assert '"train@demo" -> "results@demo"' in graph
    assert graph.count("->") > 20


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    """Return a repository with the project's params.yaml and one stage, in which one experiment ran, with its rows."""
    root = tmp_path_factory.mktemp("experiment")
    shutil.copy(PROJECT / "params.yaml", root)
    (root / "train.py").write_text(TRAIN)
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"train": ONE_STAGE}}))
    git(root, "init", "--quiet")
    answered(root, "init", "--quiet")
    answered(root, "repro", "--quiet")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "made up")
    answered(root, "exp", "run", "--name", "smaller", "-S", "variants.brand_text.hidden_size=128")
    return root


@pytest.mark.slow
def test_an_experiment_changes_one_value_of_params_yaml_and_nothing_else(experiment):
    before = (PROJECT / "params.yaml").read_text("utf-8").splitlines()
    after = (experiment / "params.yaml").read_text("utf-8").splitlines()
    changed = [pair for pair in zip(before, after, strict=True) if pair[0] != pair[1]]
    assert changed == [("    hidden_size: 256", "    hidden_size: 128")]
    place = before.index("  brand_text:")
    assert after.index(changed[0][1], place) < place + 8


@pytest.mark.slow
def test_an_experiment_stands_beside_what_it_departs_from(experiment):
    assert answered(experiment, "params", "diff").split()[-4:] == [
        "params.yaml",
        "variants.brand_text.hidden_size",
        "256",
        "128",
    ]
    assert answered(experiment, "metrics", "diff").split()[-3:] == ["0.256", "0.128", "-0.128"]
    table = list(csv.DictReader(answered(experiment, "exp", "show", "--csv", "--only-changed").splitlines()))
    row = next(row for row in table if row["Experiment"] == "smaller")
    assert row["random.mean.brand_text"] == "0.128"
    assert row["variants.brand_text.hidden_size"] == "128"


@pytest.mark.parametrize(
    ("content", "stays"), [("", False), ('{"wri', False), ('{"write": {}, "read": {}}', True), (None, False)]
)
def test_a_list_of_locks_that_a_killed_dvc_left_half_written_goes_by_itself(tmp_path, monkeypatch, content, stays):
    monkeypatch.setenv("STUDY_ROOT", str(tmp_path))
    path = tmp_path / ".dvc/tmp/rwlock"
    path.parent.mkdir(parents=True)
    if content is not None:
        path.write_text(content)
    mend_lock()
    assert path.exists() is stays
