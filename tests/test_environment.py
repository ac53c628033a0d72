"""One source of versions: pyproject.toml says what is wanted, and everything else agrees with it."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
import yaml
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).parents[1]
LOCK = (PROJECT / "requirements.lock").read_text("utf-8")
PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))
WANTED = [Requirement(line) for line in PYPROJECT["project"]["dependencies"]]
# A requirement, and the lines of hashes that follow it.
ENTRY = re.compile(
    r"^(?P<requirement>[a-z0-9][^\\\n]*?)(?P<hashes>( \\\n    --hash=sha256:[0-9a-f]{64})*)$", re.MULTILINE
)


def locked():
    """Return each requirement of the lock with how many hashes it has."""
    return [(Requirement(found["requirement"]), found["hashes"].count("--hash")) for found in ENTRY.finditer(LOCK)]


def pinned(requirement):
    """Return the version that a requirement of the lock pins."""
    (specifier,) = requirement.specifier
    assert specifier.operator == "==", requirement
    return specifier.version


@pytest.mark.parametrize("wanted", WANTED, ids=str)
def test_lock_holds_a_version_that_pyproject_accepts(wanted):
    found = [pin for pin, _ in locked() if canonicalize_name(pin.name) == canonicalize_name(wanted.name)]
    assert found
    assert all(pinned(pin) in wanted.specifier for pin in found)


def test_lock_says_of_every_package_which_wanted_one_it_is_there_for():
    wanted = {canonicalize_name(requirement.name) for requirement in WANTED}
    direct = re.findall(
        r"^([a-z0-9-]+)==(?:(?!^[a-z0-9]).)*?# *(?:via)?[^=]*?pyproject\.toml", LOCK, re.MULTILINE | re.DOTALL
    )
    assert set(direct) == wanted


def test_lock_has_hashes_for_every_package():
    assert len(locked()) > len(WANTED)
    assert [str(pin) for pin, hashes in locked() if not hashes] == []


@pytest.mark.parametrize(
    "name", ["requirements.lock", "pyproject.toml", "environment.yml", "Makefile", ".ci/run", ".pre-commit-config.yaml"]
)
def test_no_file_names_an_address_of_a_registry(name):
    text = (PROJECT / name).read_text("utf-8")
    assert not re.search(r"https?://|index-url|find-links|--index", text.replace("--no-emit-index-url", ""))


def test_what_is_installed_is_what_is_locked():
    wrong = []
    for pin, _ in locked():
        if pin.marker is None or Marker(str(pin.marker)).evaluate():
            try:
                installed = version(pin.name)
            except PackageNotFoundError:
                installed = "nothing"
            if installed.split("+")[0] != pinned(pin).split("+")[0]:
                wrong.append(f"{pin}: {installed}")
    assert wrong == []


def test_conda_environment_only_adds_python_and_pip_to_the_lock():
    environment = yaml.safe_load((PROJECT / "environment.yml").read_text("utf-8"))
    python, pip, requirements = environment["dependencies"]
    assert python.startswith("python=")
    assert (
        python.removeprefix("python=") + ".0"
        in Requirement(f"python{PYPROJECT['project']['requires-python']}").specifier
    )
    assert (pip, requirements) == ("pip", {"pip": ["-r requirements.lock"]})


@pytest.mark.parametrize("target", ["repro", "test", "data", "verify", "lab", "lint", "bench", "lock", "help"])
def test_make_knows_the_target(target):
    listed = subprocess.run(["make", "help"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    assert re.search(rf"^make {target} ", listed, re.MULTILINE)


def refusal(folder, python):
    """Return what make says with this shell script for a Python, before it has made anything."""
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(PROJECT / name, folder)
    other = folder / "other-python"
    other.write_text(f"#!/bin/sh\n{python}\n")
    other.chmod(0o755)
    result = subprocess.run(
        ["make", "test", f"PYTHON={other}"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert result.returncode != 0
    assert not (folder / ".venv").exists()
    return result.stderr


def test_make_refuses_an_old_python_and_says_which_is_needed(tmp_path):
    assert "Python 3.11 or later is needed" in refusal(tmp_path, "exit 1")


@pytest.mark.parametrize("system", ["Linux x86_64 musl", "Linux i686 glibc", "Darwin x86_64 "])
def test_make_refuses_a_system_without_pytorch_and_says_which_are_needed(tmp_path, system):
    said = refusal(tmp_path, f"case $2 in *libc*) echo '{system}' ;; esac")
    assert f"PyTorch has no build for this system ({system})" in said
    assert "64-bit Linux with glibc" in said


@pytest.mark.parametrize("folder", [".", "notebooks"])
def test_lib_is_found_wherever_a_notebook_is_started(folder):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", "import sys; sys.path.remove(''); import lib"]
    subprocess.run(command, cwd=PROJECT / folder, env=environment, check=True)


def test_jupyter_is_told_how_to_save_notebooks():
    shipped = PROJECT / ".jupyter"
    for path in filter(Path.is_file, shipped.rglob("*")):
        assert Path(sys.prefix, path.relative_to(shipped)).read_text("utf-8") == path.read_text("utf-8")


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((PROJECT / "CITATION.cff").read_text("utf-8"))
    assert (citation["cff-version"], citation["type"]) == ("1.2.0", "software")
    assert citation["version"] == PYPROJECT["project"]["version"]
    assert citation["license"] == PYPROJECT["project"]["license"]


def test_continuous_integration_runs_what_ci_runs_on_the_oldest_python_and_a_later_one():
    workflow = yaml.safe_load((PROJECT / ".github/workflows/ci.yml").read_text("utf-8"))["jobs"]["ci"]
    assert workflow["strategy"]["matrix"]["python"] == ["3.11", "3.13"]
    assert {"run": ".ci/run"} in workflow["steps"]


def test_this_python_is_one_that_pyproject_accepts():
    assert (
        ".".join(map(str, sys.version_info[:3]))
        in Requirement(f"python{PYPROJECT['project']['requires-python']}").specifier
    )
