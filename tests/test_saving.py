"""Opening and saving a notebook changes no stage, and `make lab` opens the project as it should."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
import requests

from lib.tools import saving

PROJECT = Path(__file__).parents[1]
NAME = "notebooks/05_train.ipynb"
DVC = [sys.executable, "-m", "dvc"]
PIPELINE = f"stages: {{train: {{cmd: 'true', deps: [{NAME}], outs: [build/demo/notebooks/05_train.ipynb]}}}}\n"


def edited(path):
    """Return what JupyterLab or VS Code makes of a notebook whose cells were run."""
    notebook = json.loads(path.read_text("utf-8"))
    notebook["metadata"]["kernelspec"]["display_name"] = ".venv (3.11)"
    notebook["metadata"]["language_info"] |= {"version": "3.11.7", "file_extension": ".py"}
    for cell in notebook["cells"]:
        cell["metadata"] |= {"trusted": True, "editable": True, "execution": {"iopub.status.busy": "now"}}
        if cell["cell_type"] == "code":
            stream = {"output_type": "stream", "name": "stdout", "text": "1\n"}
            cell |= {"execution_count": 1, "outputs": [stream]}
    return notebook


def test_notebooks_are_stored_as_they_are_saved(study, capsys):
    shutil.copytree(PROJECT / "notebooks", study / "notebooks")
    saving.main()
    assert capsys.readouterr().out == ""
    for path in (study / "notebooks").glob("*.ipynb"):
        assert path.read_bytes() == (PROJECT / "notebooks" / path.name).read_bytes(), path.name


def test_what_another_editor_saved_is_taken_out_and_named(study, capsys):
    path = study / NAME
    path.parent.mkdir()
    path.write_text(json.dumps(edited(PROJECT / NAME), indent=4), "utf-8")
    saving.main()
    assert NAME in capsys.readouterr().out
    assert path.read_bytes() == (PROJECT / NAME).read_bytes()


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Return a project of one stage that is up to date, in a folder with a space."""
    root = tmp_path_factory.mktemp("a project")
    for name in ("lib", ".jupyter"):
        shutil.copytree(PROJECT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Makefile", "requirements.lock", "pyproject.toml", ".dvcignore", NAME):
        (root / name).parent.mkdir(exist_ok=True)
        shutil.copy(PROJECT / name, root / name)
    executed = root / "build/demo" / NAME
    executed.parent.mkdir(parents=True)
    notebook = edited(PROJECT / NAME)
    notebook["metadata"]["kernelspec"] = saving.KERNEL  # as the strict runner writes it
    for cell in notebook["cells"]:
        cell["metadata"].pop("trusted")
    nbformat.write(nbformat.from_dict(notebook), executed)
    (root / ".venv").symlink_to(sys.prefix)
    (root / "dvc.yaml").write_text(PIPELINE)
    subprocess.run([*DVC, "init", "--no-scm", "--quiet"], cwd=root, check=True)
    subprocess.run([*DVC, "commit", "--force", "--quiet"], cwd=root, check=True)
    return root


def answering(runtime):
    """Return what a server wrote of itself into its runtime folder, once it answers."""
    for file in runtime.glob("jpserver-*.json"):
        with contextlib.suppress(requests.ConnectionError, json.JSONDecodeError):
            server = json.loads(file.read_text())
            requests.get(server["url"] + "api", timeout=60)
            return server
    return None


@pytest.fixture(scope="module")
def lab(project, tmp_path_factory):
    """Return a function that asks the server that `make lab` starts."""
    home = tmp_path_factory.mktemp("home")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "STUDY"))}
    config = str(project / ".jupyter/etc/jupyter")  # what is installed, from this checkout
    environment |= {"HOME": str(home), "JUPYTER_CONFIG_PATH": config, "JUPYTER_RUNTIME_DIR": str(home)}
    command = ["make", "--old-file=.venv/.made", "lab", "ARGS=--no-browser"]
    log = home / "log"
    with log.open("w") as file:
        process = subprocess.Popen(
            command, cwd=project, env=environment, stdout=file, stderr=file, start_new_session=True
        )
    try:
        deadline = time.monotonic() + 120
        while not (server := answering(home)):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)

        def ask(method, path, **options):
            headers = {"Authorization": f"token {server['token']}"}
            answer = requests.request(method, server["url"] + path, headers=headers, timeout=60, **options)
            answer.raise_for_status()
            return answer.json()

        yield ask
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)


@pytest.mark.slow
def test_lab_starts_at_the_root_and_does_not_ask_for_news(lab):
    assert {"notebooks", "lib", "build"} <= {entry["name"] for entry in lab("GET", "api/contents")["content"]}
    settings = lab("GET", "lab/api/settings/@jupyterlab/apputils-extension:notification")
    assert settings["schema"]["properties"]["fetchNews"]["default"] == "false"


@pytest.mark.slow
def test_a_notebook_that_is_run_and_saved_in_the_lab_leaves_the_pipeline_up_to_date(lab, project):
    lab("PUT", f"api/contents/{NAME}", json={"type": "notebook", "content": edited(PROJECT / NAME)})
    assert (project / NAME).read_bytes() == (PROJECT / NAME).read_bytes()
    status = subprocess.run([*DVC, "status", "--json"], cwd=project, capture_output=True, text=True, check=True)
    assert json.loads(status.stdout) == {}


@pytest.mark.slow
def test_an_executed_notebook_keeps_its_outputs_and_is_no_change_either(lab, project):
    executed = f"build/demo/{NAME}"
    before = (project / executed).read_bytes()
    opened = lab("GET", f"api/contents/{executed}")["content"]
    opened["metadata"]["kernelspec"]["display_name"] = "Python 3 (ipykernel)"
    lab("PUT", f"api/contents/{executed}", json={"type": "notebook", "content": opened})
    assert (project / executed).read_bytes() == before


@pytest.mark.slow
def test_a_changed_source_is_saved(lab, project):
    before = (project / NAME).read_bytes()
    opened = lab("GET", f"api/contents/{NAME}")["content"]
    opened["cells"][-1]["source"] += "\n# changed"
    lab("PUT", f"api/contents/{NAME}", json={"type": "notebook", "content": opened})
    assert b"# changed" in (project / NAME).read_bytes()
    (project / NAME).write_bytes(before)
