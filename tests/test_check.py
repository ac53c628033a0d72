"""Before anything runs, one message says what is missing and how to get it."""

import subprocess
import sys

import pytest
import yaml
from pipeline import PROJECT, edit

from lib.check import check
from lib.exceptions import StudyError


@pytest.fixture
def fashion(study):
    """Return a study of the real catalogue, before `make data`."""
    entry = {"source": "data/fashion", "weights": "data/weights/densenet169.safetensors"}
    edit(study / "params.yaml", study={"fashion": entry})
    return study


def test_study_whose_files_are_there_passes(fashion):
    (fashion / "data/fashion").mkdir(parents=True)
    (fashion / "data/weights").mkdir()
    (fashion / "data/weights/densenet169.safetensors").touch()
    check()


def test_real_catalogue_without_data_says_make_data(fashion):
    with pytest.raises(StudyError, match=r"'fashion' needs .*data/fashion, which is missing. Run `make data`"):
        check()


def test_missing_weights_say_make_data(fashion):
    (fashion / "data/fashion").mkdir(parents=True)
    with pytest.raises(StudyError, match=r"densenet169.safetensors, which is missing. Run `make data`"):
        check()


def test_mistyped_key_of_a_catalogue_is_named_with_the_right_one(fashion):
    edit(fashion / "catalogues/fashion.yaml", sedes=3)
    with pytest.raises(StudyError, match=r"unknown key 'sedes'.* Did you mean 'seeds'?"):
        check()


def test_mistyped_key_of_a_source_is_named_with_its_section(fashion):
    content = yaml.safe_load((fashion / "catalogues/fashion.yaml").read_text("utf-8"))
    content["table"]["columns"]["titel"] = "name"
    edit(fashion / "catalogues/fashion.yaml", table=content["table"])
    with pytest.raises(StudyError, match=r"table.columns: unknown key 'titel'.* Did you mean 'title'?"):
        check()


def test_kind_without_its_section_is_named(fashion):
    edit(fashion / "catalogues/fashion.yaml", kind="crawl")
    with pytest.raises(StudyError, match="a catalogue of kind 'crawl' needs a section 'crawl:'"):
        check()


def test_catalogue_without_a_file_is_named(fashion):
    params = yaml.safe_load((fashion / "params.yaml").read_text("utf-8"))
    edit(fashion / "params.yaml", study={"fasion": params["study"]["fashion"]})
    with pytest.raises(StudyError, match=r"There is no catalogue 'fasion'.* Did you mean 'fashion'?"):
        check()


def test_command_line_shows_the_message_alone_and_fails(fashion):
    result = subprocess.run(
        [sys.executable, "-m", "lib.tools.repro"], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert result.stderr.startswith("The catalogue 'fashion' needs")
    assert len(result.stderr.splitlines()) == 1


def test_make_repro_checks_before_it_runs():
    makefile = (PROJECT / "Makefile").read_text("utf-8")
    recipe = makefile.split("\nrepro:")[1].split("\n\n")[0]
    assert "python -m lib.tools.repro" in recipe
