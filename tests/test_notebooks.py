"""Every notebook tells its story in one form, holds no outputs, and can be run by the pipeline and by a reader."""

import ast
from pathlib import Path

import nbformat
import pytest

PROJECT = Path(__file__).parents[1]
PATHS = sorted((PROJECT / "notebooks").glob("*.ipynb"))
MAX_COLUMNS = 78
MAX_CODE_LINES = 280
MAX_FUNCTIONS = 4
MAX_FUNCTION_LINES = 20

every_notebook = pytest.mark.parametrize("path", PATHS, ids=[path.stem for path in PATHS])


def read(path):
    return nbformat.read(path, as_version=nbformat.NO_CONVERT)


def code_cells(path):
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def tree(path):
    return ast.parse("\n".join(cell.source for cell in code_cells(path)))


def test_notebooks_are_numbered_in_the_order_of_the_stages():
    pipeline = (PROJECT / "dvc.yaml").read_text("utf-8")
    run = [path.stem for path in PATHS if f"lib.notebook {path.stem} " in pipeline]
    assert run == sorted(run, key=lambda name: pipeline.index(f"lib.notebook {name} "))
    assert len(run) == pipeline.count("cmd: python -m lib.notebook")


@every_notebook
def test_format_is_valid_and_names_the_kernel(path):
    notebook = read(path)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) >= (4, 5)
    assert notebook.metadata.kernelspec.name == "python3"


@every_notebook
def test_no_output_is_stored(path):
    assert [cell.id for cell in code_cells(path) if cell.outputs or cell.execution_count is not None] == []


@every_notebook
def test_story_begins_with_a_title_and_a_question(path):
    first = read(path).cells[0]
    assert first.cell_type == "markdown"
    assert first.source.startswith("# ")
    assert "?" in first.source


@every_notebook
def test_first_code_cell_holds_the_parameters_and_only_literals(path):
    first, *others = code_cells(path)
    assert first.metadata.get("tags") == ["parameters"]
    assert not [cell.id for cell in others if "parameters" in cell.metadata.get("tags", [])]
    for statement in ast.parse(first.source).body:
        assert isinstance(statement, ast.Assign), ast.unparse(statement)
        ast.literal_eval(statement.value)


@every_notebook
def test_imports_stand_together_in_the_second_code_cell(path):
    for number, cell in enumerate(code_cells(path)):
        nodes = ast.walk(ast.parse(cell.source))
        if number != 1:
            assert not [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)], cell.source


@every_notebook
def test_notebook_ends_with_an_answer_that_is_computed(path):
    assert code_cells(path)[-1].id in [cell.id for cell in read(path).cells[-2:]]


@every_notebook
def test_prose_stands_between_the_cells(path):
    cells = read(path).cells
    assert sum(cell.cell_type == "markdown" for cell in cells) >= len(cells) / 4


@every_notebook
def test_code_is_short_and_narrow(path):
    lines = [line for cell in code_cells(path) for line in cell.source.splitlines()]
    assert [line for line in lines if len(line) > MAX_COLUMNS] == []
    assert len(lines) <= MAX_CODE_LINES


@every_notebook
def test_long_functions_and_classes_are_in_lib(path):
    nodes = list(ast.walk(tree(path)))
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef)]
    assert not [node.name for node in nodes if isinstance(node, ast.ClassDef)]
    assert len(functions) <= MAX_FUNCTIONS
    assert all(function.end_lineno - function.lineno < MAX_FUNCTION_LINES for function in functions)
