"""The pipeline: each stage lists what it uses, and the whole of it runs, repeats itself, and survives a kill."""

import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml
from dvc.dependency import ParamsDependency
from dvc.repo import Repo
from pipeline import (
    PROJECT,
    TINY_VARIANTS,
    closure,
    copy_project,
    dvc,
    edit,
    environment,
    metrics,
    parameters_read,
    ran,
    trace_parameters,
)

REPO = Repo(str(PROJECT))
STAGES = {stage.addressing: stage for stage in REPO.index.stages if stage.addressing != "data.dvc"}
SECTIONS = {"SplitParams": "split", "CleanParams": "clean", "TextParams": "text", "ImageParams": "image"}
SECTIONS |= {"BusinessParams": "business"}
PARAMS = yaml.safe_load((PROJECT / "params.yaml").read_text("utf-8"))
STUDY, PREPARED = PARAMS["study"], PARAMS["prepared"]
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
    variant = stage.addressing.removeprefix("train@demo-")
    return "@demo" in stage.addressing and (variant in TINY_VARIANTS or "train@" not in stage.addressing)


def inside(path, folders):
    """Tell whether a path is one of these, or lies in one."""
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)


# What the stages list


@every_stage
def test_stage_runs_its_notebook_through_the_strict_runner_or_makes_the_site(stage):
    assert stage.cmd.startswith(("python -m lib.notebook ", "python -m lib.report "))
    assert (PROJECT / start_of(stage)).is_file()


@every_stage
def test_stage_depends_on_exactly_the_modules_that_it_imports(stage):
    sources = [entry["source"] for entry in PREPARED.values()]  # code that makes a catalogue is that catalogue's input
    folders = [path for path in files_of(stage) if (PROJECT / path).is_dir()]
    needed = {path for path in closure(start_of(stage)) if not inside(path, sources) and not inside(path, folders)}
    assert {path for path in files_of(stage) if path.startswith("lib/") and path.endswith(".py")} == needed


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


def test_stages_cover_every_catalogue_and_variant():
    prepared = [f"{name}@{key}" for name in ("collect", "clean", "text", "image") for key in PREPARED]
    single = [f"{name}@{key}" for name in ("results", "errors", "business", "labels", "report") for key in STUDY]
    trained = [f"train@{key}-{variant}" for key in STUDY for variant in PARAMS["variants"]]
    pairs = [f"transfer@{name}" for name in PARAMS["transfer"]]
    assert sorted(STAGES) == sorted(prepared + single + trained + pairs)
    assert {key: PREPARED[key] for key in STUDY} == STUDY


# What happens when it runs


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    """Return two copies of the project with a small study from scratch: all of it, and what its numbers hang on.

    They run side by side: a run waits for itself often, and this file's tests are the longest.
    """
    roots = [copy_project(tmp_path_factory.mktemp(name)) for name in ("tiny", "again")]
    trace_parameters(roots[0])
    with ThreadPoolExecutor(len(roots)) as pool:
        running = [pool.submit(dvc, roots[0], "repro"), pool.submit(dvc, roots[1], "repro", "results@demo")]
    for result in (run.result() for run in running):
        assert result.returncode == 0, result.stdout + result.stderr
    (roots[0] / "trace.jsonl").rename(roots[0] / "traced.jsonl")
    yield roots
    for root in roots:
        shutil.rmtree(root)


@pytest.fixture(scope="module")
def tiny(studies):
    """Return a copy of the project whose small study has run once."""
    return studies[0]


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
    every, command = parameters_read(tiny), stage.cmd.removeprefix("python -m ")
    of_any_variant = set().union(*(read for other, read in every.items() if other.split()[:2] == command.split()[:2]))
    listed = parameters_of(stage)
    assert unlisted(every[command], listed) == set()
    assert unread(of_any_variant, listed) == set()  # a matrix lists the same for all: models without a recipe as well


def names(read, file):
    """Return the names of one file's parameters. Lists of catalogues are none: what they name are dependencies."""
    if file != "params.yaml":
        return {field for model, field in read if model == "Catalogue"}
    fields = {field for model, field in read if model == "Params"} - {"study", "prepared"}
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
            mapping = key.partition(".")[0] in {"variants", "transfer"} & known
            if not mapping and key not in known and not any(name.startswith(f"{key}.") for name in known):
                found.add((file, key))
    return found


@pytest.mark.slow
def test_second_run_has_nothing_to_do(tiny):
    result = dvc(tiny, "repro")
    assert result.returncode == 0, result.stderr
    assert ran(result.stdout) == []


@pytest.mark.slow
def test_executed_notebooks_and_reports_name_no_path_of_the_machine(tiny):
    pages = [*tiny.glob("build/demo/notebooks/*.ipynb"), *tiny.glob("reports/**/*.html"), tiny / "dvc.lock"]
    assert [str(page) for page in pages if str(tiny) in page.read_text("utf-8")] == []


@pytest.mark.slow
def test_killed_training_is_taken_up_again_and_ends_with_the_same_numbers(tiny):
    before = metrics(tiny)
    command = [sys.executable, "-m", "dvc", "repro", "--force", "--single-item", "train@demo-brand_text_image"]
    process = subprocess.Popen(
        command, cwd=tiny, env=environment(tiny), start_new_session=True, stdout=subprocess.DEVNULL
    )
    work = tiny / "build/demo/work/train/brand_text_image"
    deadline = time.monotonic() + 240
    while not list(work.glob("*/*")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert process.poll() is None, "training ended before it could be killed"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tiny / "reports/demo/metrics/brand_text_image.json").exists()
    result = dvc(tiny, "repro")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "train@demo-brand_text_image" in ran(result.stdout)
    assert metrics(tiny) == before


@pytest.mark.slow
def test_two_runs_from_scratch_give_the_same_numbers(studies):
    found = [metrics(root) for root in studies]
    assert found[0] == found[1]
    assert {"results.csv", "intervals.csv", "claims.csv", "best.json"} <= set(found[0])


@pytest.mark.slow
def test_changing_one_variant_runs_that_variant_and_what_depends_on_it(tiny):
    variants = yaml.safe_load((tiny / "params.yaml").read_text("utf-8"))["variants"]
    variants["brand"]["hidden_size"] = 8
    edit(tiny / "params.yaml", variants=variants)
    result = dvc(tiny, "repro")
    assert result.returncode == 0, result.stdout + result.stderr
    first, second, *analyses, last = ran(result.stdout)
    assert [first, second, last] == ["train@demo-brand", "results@demo", "report@demo"]
    assert sorted(analyses) == ["business@demo", "errors@demo", "labels@demo"]
