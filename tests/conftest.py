"""What the tests share: a study of their own in a temporary folder."""

import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

# Tests run side by side, and so do the processes that they start: two threads of each would only wait for one another.
os.environ.setdefault("OMP_NUM_THREADS", "1")

PROJECT = Path(__file__).parents[1]
NotebookMaker = Callable[..., Path]


def pytest_collection_modifyitems(items):
    """Begin with the files that take longest: at the end nothing would be left for the other cores to do."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])


@pytest.fixture
def study(tmp_path, monkeypatch) -> Path:
    """Return an empty study folder with this project's parameters and catalogues, which `lib.config` then uses."""
    root = tmp_path / "study"
    shutil.copytree(PROJECT / "catalogues", root / "catalogues")
    shutil.copy(PROJECT / "params.yaml", root)
    monkeypatch.setenv("STUDY_ROOT", str(root))
    return root


@pytest.fixture
def make_notebook(study) -> NotebookMaker:
    """Return a function that writes a notebook with these parameters and code cells into the study."""

    def make(name: str, *code: str, parameters: str = 'catalogue = "demo"') -> Path:
        cells = [new_markdown_cell("# A question", id="question")]
        cells.append(new_code_cell(parameters, id="parameters", metadata={"tags": ["parameters"]}))
        cells += [new_code_cell(source, id=f"cell-{number}") for number, source in enumerate(code)]
        spec = {"name": "python3", "display_name": "Python 3", "language": "python"}
        path = study / "notebooks" / f"{name}.ipynb"
        path.parent.mkdir(exist_ok=True)
        nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": spec}), path)
        return path

    return make
