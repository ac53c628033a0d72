"""What the tests of the pipeline share: the stages as DVC sees them, what code they import, and a small copy to run."""

import ast
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import yaml

PROJECT = Path(__file__).parents[1]
TINY_SHOP = {"products": 400, "seed": 2015}
TINY_RECIPE = {"epochs": 1, "min_updates": 2, "batch_size": 32}
TINY_LABELS = {"budgets": [20], "larger_budgets": [40], "seeds": 2, "candidates": 100}
TINY_VARIANTS = ("naive", "linear", "brand_text", "brand_text_image", "lstm", "robust", "best")
"""One of each kind of stage, and `best`, which tags another catalogue. Starting one takes longer than its training."""


def code(path: Path) -> str:
    """Return the Python of a module, or of a notebook's cells."""
    if path.suffix != ".ipynb":
        return path.read_text("utf-8")
    cells = nbformat.read(path, as_version=4).cells
    return "\n".join(cell.source for cell in cells if cell.cell_type == "code")


def imported(source: str) -> Iterator[str]:
    """Yield every name that some code imports, wherever in the code it does."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def modules(name: str) -> Iterator[Path]:
    """Yield the files of this project that importing a dotted name runs; a package of prose alone is not one."""
    parts = name.split(".")
    for length in range(1, len(parts) + 1):
        path = Path(*parts[:length])
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if (PROJECT / file).is_file() and _does_something(code(PROJECT / file)):
                yield file


def closure(start: Path) -> set[str]:
    """Return the files of `lib/` that a notebook or a module imports, also through others."""
    todo, found = [PROJECT / start], set()
    while todo:
        for name in imported(code(todo.pop())):
            for file in set(modules(name)) - found if name.split(".")[0] == "lib" else ():
                found.add(file)
                todo.append(PROJECT / file)
    return {str(file) for file in found}


def _does_something(source: str) -> bool:
    return any(not isinstance(node, ast.Expr) for node in ast.parse(source).body)


def copy_project(target: Path) -> Path:
    """Copy the project's sources into a repository of its own that shares nothing with it, and make the study small."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        if (PROJECT / name).is_file() and not name.startswith("reports/") and name != "dvc.lock":
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / name, target / name)
    subprocess.run(["git", "init", "--quiet"], cwd=target, check=True)
    shrink(target)
    return target


def shrink(root: Path) -> None:
    """Make the demo catalogue, its networks and the grid of runs as small as they can be."""
    edit(root / "catalogues/demo.yaml", shop=TINY_SHOP, train_sizes=[60, "all"], seeds=1, experiments="all")
    outlet = yaml.safe_load((root / "catalogues/outlet.yaml").read_text("utf-8"))["shop"]
    edit(root / "catalogues/outlet.yaml", shop=outlet | {"products": TINY_SHOP["products"]})
    params = yaml.safe_load((root / "params.yaml").read_text("utf-8"))
    recipes = {name: recipe | TINY_RECIPE for name, recipe in params["recipes"].items()}
    variants = {name: params["variants"][name] for name in TINY_VARIANTS}
    runs = {experiment: [_shrunk(line) for line in lines] for experiment, lines in params["runs"].items()}
    runs = {experiment: [line for line in lines if line["variants"]] for experiment, lines in runs.items()}
    study = {"demo": params["study"]["demo"]}
    changes = {"study": study, "others": {"outlet": study["demo"] | {"tagged_by": "demo"}}, "recipes": recipes}
    changes |= {"variants": variants, "runs": {experiment: lines for experiment, lines in runs.items() if lines}}
    edit(root / "params.yaml", **changes, labels=params["labels"] | TINY_LABELS)


def _shrunk(line: dict) -> dict:
    names = [line["variants"]] if isinstance(line["variants"], str) else line["variants"]
    return line | {"variants": [name for name in names if name in TINY_VARIANTS]}


def edit(path: Path, **changes: object) -> None:
    """Replace keys of a YAML file."""
    content = yaml.safe_load(path.read_text("utf-8"))
    path.write_text(yaml.safe_dump(content | changes, sort_keys=False), "utf-8")


def dvc(root: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run DVC in a copy of the project."""
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(command, cwd=root, env=environment(root), capture_output=True, text=True, check=False)


def environment(root: Path) -> dict[str, str]:
    """Return the variables of a shell in which `root` is the study, and this Python the first on the path."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    kept = {name: value for name, value in os.environ.items() if name != "STUDY_ROOT"}
    return kept | {"PATH": path, "PYTHONPATH": str(root)}


def ran(output: str) -> list[str]:
    """Return the stages that DVC says it ran."""
    return [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")]


def trace_parameters(root: Path) -> None:
    """Make every Python that runs in a copy note which parameters it reads."""
    shutil.copy2(PROJECT / "tests/trace_parameters.py", root / "sitecustomize.py")


def parameters_read(root: Path) -> dict[str, set[tuple[str, str]]]:
    """Return what each stage read, by its command: pairs of a file and a parameter."""
    found: dict[str, set[tuple[str, str]]] = {}
    for line in (root / "traced.jsonl").read_text("utf-8").splitlines():
        stage, file, name = json.loads(line)
        found.setdefault(stage, set()).add((file, name))
    return found
