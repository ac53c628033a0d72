"""The pipeline: each stage lists what it uses, and the whole of it runs, repeats itself, and survives a kill."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml
from dvc.dependency import ParamsDependency
from dvc.repo import Repo
from pipeline import (
    PROJECT,
    closure,
    copy_project,
    dvc,
    edit,
    environment,
    parameters_read,
    ran,
    trace_parameters,
)

from lib.training import metrics

REPO = Repo(str(PROJECT))
STAGES = {stage.addressing: stage for stage in REPO.index.stages if stage.addressing != "data.dvc"}
SECTIONS = {"SplitParams": "split", "CleanParams": "clean", "TextParams": "text", "ImageParams": "image"}
SECTIONS |= {"BusinessParams": "business"}
PARAMS = yaml.safe_load((PROJECT / "params.yaml").read_text("utf-8"))
STUDY, OTHERS = PARAMS["study"], PARAMS["others"]
MAKE_READY = ("collect", "clean", "text", "image")
every_stage = pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)


def files_of(stage):
    """Return the paths that a stage depends on, parameters aside."""
    return {dep.def_path for dep in stage.deps if not isinstance(dep, ParamsDependency)}


def parameters_of(stage):
    """Return the parameters that a stage depends on, by file; no names stand for the whole file."""
    return {dep.def_path: set(dep.params) for dep in stage.deps if isinstance(dep, ParamsDependency)}


def start_of(stage):
    """Return the notebook that a stage runs, or the package if it runs none."""
    words = stage.cmd.split()
    return Path("notebooks", f"{words[3]}.ipynb") if words[2] == "lib.notebook" else Path("lib/report/__main__.py")


def runs_in_tiny(stage):
    """Tell whether a stage is one of the small study's."""
    return stage.addressing.endswith("@demo")


def inside(path, folders):
    """Tell whether a path is one of these, or lies in one."""
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)


# What the stages list


@every_stage
def test_stage_runs_its_notebook_through_the_strict_runner_or_makes_the_site(stage):
    assert stage.cmd.startswith(("python -m lib.notebook ", "python -m lib.report "))
    assert (PROJECT / start_of(stage)).is_file()


@every_stage
def test_stage_depends_on_exactly_the_packages_that_it_imports(stage):
    """The ground has no say in a result, and code that makes a catalogue is that catalogue's input."""
    sources = {entry["source"] for entry in (STUDY | OTHERS).values()}
    listed = {
        path for path in files_of(stage) if path.startswith("lib/") and not path.endswith(".safetensors")
    } - sources
    imported = {Path(path) for path in closure(start_of(stage))}
    needed = {path for path in imported if len(path.parts) > 2 and path.parts[1] != "config"}
    needed = {path for path in needed if not inside(str(path), sources)}
    assert {path for path in needed if not inside(str(path), listed)} == set()
    assert {path for path in listed if not any(inside(str(module), [path]) for module in needed)} == set()


def test_the_pipeline_can_be_read():
    assert len((PROJECT / "dvc.yaml").read_text("utf-8").splitlines()) <= 275


@every_stage
def test_stage_depends_on_its_notebook(stage):
    assert [path for path in files_of(stage) if path.startswith("notebooks/")] == [
        str(start_of(stage)) for _ in [0] if start_of(stage).suffix == ".ipynb"
    ]


@every_stage
def test_stage_writes_its_executed_notebook_and_reads_none_but_for_the_report(stage):
    written = [out.def_path for out in stage.outs if "/notebooks/" in out.def_path]
    assert len(written) == (0 if stage.name.startswith("report") else 1)
    assert any(path.endswith("/notebooks") for path in files_of(stage)) == stage.name.startswith("report")


@every_stage
def test_git_keeps_the_reports_and_the_cache_keeps_the_rest(stage):
    for out in stage.outs:
        assert out.use_cache is not out.def_path.startswith("reports/"), out.def_path


def test_stages_cover_every_catalogue():
    studied = (*MAKE_READY, "train", "results", "errors", "business", "labels", "paper", "report")
    single = [f"{name}@{key}" for name in studied for key in STUDY]
    second = [f"{name}@{key}" for name in (*(f"{name}_other" for name in MAKE_READY), "transfer") for key in OTHERS]
    assert sorted(STAGES) == sorted(single + second)


# What happens when it runs


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Return a copy of the project whose small study has run once, from nothing."""
    root = copy_project(tmp_path_factory.mktemp("tiny"))
    trace_parameters(root)
    result = repro(root)
    assert result.returncode == 0, result.stdout + result.stderr
    (root / "plan.txt").write_text(result.stdout)
    (root / "trace.jsonl").rename(root / "traced.jsonl")
    yield root
    shutil.rmtree(root)


@pytest.mark.slow
def test_every_stage_runs_once_and_writes_what_it_lists(tiny):
    for stage in STAGES.values():
        if runs_in_tiny(stage):
            assert [out.def_path for out in stage.outs if not (tiny / out.def_path).exists()] == []


@pytest.mark.slow
@every_stage
def test_stage_lists_exactly_the_parameters_that_it_reads(tiny, stage):
    if not runs_in_tiny(stage):
        pytest.skip("it does not run in the small study")
    read, listed = parameters_read(tiny)[stage.cmd.removeprefix("python -m ")], parameters_of(stage)
    assert unlisted(read, listed) == set()
    assert unread(read, listed) == set()


def names(read, file):
    """Return the names of one file's parameters. Lists of catalogues are none: what they name are dependencies."""
    if file != "params.yaml":
        return {field for model, field in read if model == "Catalogue"}
    fields = {field for model, field in read if model == "Params"} - {"study", "others"}
    return fields | {f"{SECTIONS[model]}.{field}" for model, field in read if model in SECTIONS}


def unlisted(read, listed):
    """Return the parameters that were read though nothing that is listed covers them."""
    found = set()
    for file in ("params.yaml", "catalogues/demo.yaml"):
        keys = listed.get(file)
        if keys is None or keys:  # an empty set is the whole file
            for name in names(read, file):
                partly = any(key.startswith(f"{name}.") for key in keys or ())
                if not partly and not any(name == key or name.startswith(f"{key}.") for key in keys or ()):
                    found.add((file, name))
    return found


def unread(read, listed):
    """Return the parameters that are listed though nothing of them was read."""
    found = set()
    for file, keys in listed.items():
        known = names(read, file)
        for key in keys:
            mapping = key.partition(".")[0] in {"variants"} & known
            if not mapping and key not in known and not any(name.startswith(f"{key}.") for name in known):
                found.add((file, key))
    return found


def repro(root, *arguments):
    """Run what `make repro` does."""
    command = [sys.executable, "-m", "lib.tools.repro", *arguments]
    return subprocess.run(command, cwd=root, env=environment(root), capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_what_will_run_is_said_before_and_what_each_stage_cost_is_kept(tiny):
    stages = [stage for stage in STAGES if stage.endswith("@demo")]
    plan = (tiny / "plan.txt").read_text().splitlines()
    assert {stage for stage in stages if any(line.split()[:1] == [stage] for line in plan)} == set(stages)
    for stage in stages:
        costs = json.loads((tiny / f"build/costs/{stage}.json").read_text())
        assert costs["seconds"] > 0
        assert costs["processor_seconds"] > 0
        assert costs["gib"] > 0.05


@pytest.mark.slow
def test_the_tour_makes_a_tagger_of_one_kept_run_and_leaves_the_reports(tiny):
    tagger, outcomes, kept = tiny / "build/demo/tagger", outcomes_of(tiny), kept_runs(tiny)
    promises = (tagger / "promises.json").read_bytes()
    tagger.rename(tiny / "aside")
    try:
        result = repro(tiny, "--tour")
        assert result.returncode == 0, result.stdout + result.stderr
        assert (tagger / "promises.json").read_bytes() == promises
        assert kept_runs(tiny) == kept
        assert {name: set(runs) for name, runs in outcomes_of(tiny).items()} == {n: set(r) for n, r in outcomes.items()}
    finally:
        shutil.rmtree(tagger, ignore_errors=True)
        (tiny / "aside").rename(tagger)


@pytest.mark.slow
def test_second_run_has_nothing_to_do(tiny):
    result = repro(tiny)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "Everything is up to date: no stage has to run again.\n"


@pytest.mark.slow
def test_executed_notebooks_and_reports_name_no_path_of_the_machine(tiny):
    pages = [*tiny.glob("build/demo/notebooks/*.ipynb"), *tiny.glob("reports/**/*.html"), tiny / "dvc.lock"]
    assert [str(page) for page in pages if str(tiny) in page.read_text("utf-8")] == []


@pytest.mark.slow
def test_a_changed_variant_and_a_new_line_of_runs_train_that_and_nothing_else(tiny):
    kept, before = kept_runs(tiny), (tiny / "params.yaml").read_bytes()
    outcomes = {path: path.read_bytes() for path in tiny.glob("reports/demo/outcomes/*.npz")}
    content = yaml.safe_load(before)
    content["variants"]["brand_text"]["hidden_size"] = 8
    more = {
        "recipes": ["tuned"],
        "text": "titled",
        "splits": ["grouped"],
        "train_sizes": "largest",
        "variants": ["robust"],
    }
    content["runs"]["core"].append(more)
    edit(tiny / "params.yaml", **content)
    try:
        result = dvc(tiny, "repro", "train@demo")
        assert result.returncode == 0, result.stdout + result.stderr
        assert ran(result.stdout) == ["train@demo"]
        new = kept_runs(tiny) - kept
        made_by = [
            json.loads((tiny / f"build/cache/train/{name}/manifest.json").read_text())["made_by"] for name in new
        ]
        assert kept <= kept_runs(tiny)
        again = [one for one in made_by if one["variant"].get("hidden_size") == 8]
        assert len(again) == len(made_by) - 1 > 0
    finally:
        (tiny / "params.yaml").write_bytes(before)
        result = dvc(tiny, "repro")  # what is kept is published again, the same bytes
    assert {path: path.read_bytes() for path in tiny.glob("reports/demo/outcomes/*.npz")} == outcomes, result.stderr


@pytest.mark.slow
def test_killed_training_is_taken_up_again_and_ends_with_the_same_numbers(tiny, monkeypatch):
    """With nothing kept, too: so two trainings of a run give the same numbers."""
    before, params = outcomes_of(tiny), (tiny / "params.yaml").read_bytes()
    line = yaml.safe_load(params)["runs"]["core"][0] | {"variants": ["linear", "brand_text"], "train_sizes": "largest"}
    edit(tiny / "params.yaml", runs={"core": [line]})
    try:
        with monkeypatch.context() as patch:
            patch.setenv("STUDY_CACHE", str(tiny / "other"))
            kill_training(tiny, tiny / "other/train")
            result = dvc(tiny, "repro", "train@demo")
        assert result.returncode == 0, result.stdout + result.stderr
        after = outcomes_of(tiny)
        assert {variant: set(runs) for variant, runs in after.items()}.keys() == {"linear", "brand_text"}
        for variant, run in ((variant, run) for variant, runs in after.items() for run in runs):
            assert {way: bits.tobytes() for way, bits in after[variant][run].items()} == {
                way: bits.tobytes() for way, bits in before[variant][run].items()
            }
    finally:
        (tiny / "params.yaml").write_bytes(params)
        dvc(tiny, "repro")


def kill_training(root, cache):
    """Kill the `dvc` that trains, as soon as a run is kept; what it started has to end by itself."""
    process = subprocess.Popen(
        [sys.executable, "-m", "dvc", "repro", "train@demo"], cwd=root, env=environment(root), stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 240
    while not [*cache.glob("*/manifest.json")] and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert process.poll() is None, "training ended before it could be killed"
    below = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    psutil.wait_procs(below, timeout=30)
    assert [child for child in below if child.is_running() and child.status() != psutil.STATUS_ZOMBIE] == []
    assert not (root / "reports/demo/outcomes").exists()


def outcomes_of(root):
    """Return what every run of the small study got right, by variant."""
    return {path.stem: metrics.read(path) for path in root.glob("reports/demo/outcomes/*.npz")}


def kept_runs(root):
    """Return the names of the finished runs that a study keeps."""
    return {path.parent.name for path in root.glob("build/cache/train/*/manifest.json")}
