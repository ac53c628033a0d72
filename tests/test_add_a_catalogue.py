"""`docs/add-a-catalogue.md` does what it says: its commands run, its files are taken, its messages are those shown."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import nbformat
import pandas as pd
import pytest
import yaml
from pipeline import PROJECT, copy_project, edit, environment

from lib.clean.clean import clean
from lib.collect import Summary, collect
from lib.collect.mapping import Columns
from lib.collect.paths import CategoryRule
from lib.collect.table import TableSource
from lib.config import Kind
from lib.exceptions import StudyError

PAGE = (PROJECT / "docs/add-a-catalogue.md").read_text("utf-8")
CHANGED = "# catalogues/mine.yaml, changed"


@dataclass(frozen=True)
class Block:
    """A block of the page: its language, its text, and what is shown below it."""

    language: str
    text: str
    shown: str | None


def blocks() -> list[Block]:
    found = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    below = [*found[1:], ("", "")]
    return [
        Block(language, text, after if kind == "text" else None)
        for (language, text), (kind, after) in zip(found, below, strict=True)
        if language != "text"
    ]


def change(root: Path, text: str) -> None:
    """Put the keys of a block in the place of those that the catalogue's file has."""
    edit(root / "catalogues/mine.yaml", **yaml.safe_load(text))


@pytest.fixture(scope="module")
def photo_host(followed) -> Iterator[str]:
    """The photos on loopback, served by the command of the page, at a port that the system chooses."""
    command = re.findall(r"`python (-m http.server [^`]*) 8000`", PAGE)[0].split()
    with subprocess.Popen(
        [sys.executable, "-u", *command, "0"],
        cwd=followed,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        port = re.search(r"port (\d+)", process.stdout.readline())[1]
        yield f"127.0.0.1:{port}"
        process.kill()


def collect_and_clean() -> None:
    collect("mine")
    clean("mine")


@pytest.fixture(scope="module")
def followed(tmp_path_factory) -> Path:
    """A copy of the project in which a reader did what the page says, up to what goes wrong."""
    root = copy_project(tmp_path_factory.mktemp("reader") / "project")
    for block in blocks():
        if block.language == "sh":
            shell = ["bash", "-euo", "pipefail", "-c", block.text]
            result = subprocess.run(shell, cwd=root, env=environment(root), capture_output=True, text=True, check=False)
            assert result.returncode == 0, f"{block.text}\n{result.stdout}\n{result.stderr}"
            assert result.stdout == (block.shown or result.stdout)
        elif block.text.startswith("# catalogues/mine.yaml\n"):
            (root / "catalogues/mine.yaml").write_text(block.text, "utf-8")
        elif block.text.startswith("# params.yaml\n"):
            edit(root / "params.yaml", others={}, **yaml.safe_load(block.text))  # none, as in the project itself
    return root


def test_every_block_is_of_a_known_sort():
    heads = {block.text.splitlines()[0] for block in blocks() if block.language == "yaml"}
    assert heads == {"# catalogues/mine.yaml", "# params.yaml", CHANGED}
    assert {block.language for block in blocks()} == {"sh", "yaml"}


@pytest.mark.slow
def test_the_example_is_collected_and_cleaned(followed):
    raw = pd.read_parquet(followed / "build/mine/raw/products.parquet")
    clean = pd.read_parquet(followed / "build/mine/clean/products.parquet")
    assert (len(raw), raw["image"].notna().sum(), len(clean)) == (10, 9, 10)
    for notebook in ("01_collect", "02_clean"):
        assert (followed / f"build/mine/notebooks/{notebook}.ipynb").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("block", [block for block in blocks() if block.text.startswith(CHANGED)], ids=lambda _: "")
def test_a_changed_file_gives_what_is_shown(followed, photo_host, block, monkeypatch):
    before = (followed / "catalogues/mine.yaml").read_text("utf-8")
    monkeypatch.setenv("STUDY_ROOT", str(followed))
    change(followed, block.text.replace("127.0.0.1:8000", photo_host))
    try:
        if block.shown is None:
            summary = collect("mine")
            assert (summary.products, summary.photos) == (10, 9)
        else:
            with pytest.raises(StudyError) as error:
                collect_and_clean()
            assert str(error.value).replace(f"{followed}{os.sep}", "") == block.shown.rstrip("\n")
    finally:
        (followed / "catalogues/mine.yaml").write_text(before, "utf-8")


@pytest.mark.slow
def test_parquet_and_an_archive_are_the_same_products(followed, monkeypatch):
    monkeypatch.setenv("STUDY_ROOT", str(followed))
    raw = followed / "build/mine/raw"
    assert collect("mine") == Summary(products=10, photos=9, rejects={})
    expected = {path.name: path.read_bytes() for path in raw.iterdir()}
    before = (followed / "catalogues/mine.yaml").read_text("utf-8")
    change(
        followed, next(block.text for block in blocks() if "products.parquet" in block.text and "yaml," in block.text)
    )
    collect("mine")
    (followed / "catalogues/mine.yaml").write_text(before, "utf-8")
    assert {path.name: path.read_bytes() for path in raw.iterdir()} == expected


def test_every_key_is_explained():
    names = [
        *(TableSource.model_fields.keys() - {"categories"}),
        *(f"categories.{key}" for key in CategoryRule.model_fields),
    ]
    names += [f".{key}" for key in Columns.model_fields if key not in ("level_2",)]
    for name in names:
        assert re.search(rf"^\|.*{re.escape(name)}`.*\|", PAGE, re.MULTILINE), f"{name} is not explained"


# Nothing in the pipeline names a catalogue


def own_text(path: Path) -> list[str]:
    """Return a file's strings: of Python all but docstrings, of a notebook all but the defaults of its parameters."""
    if path.suffix == ".ipynb":
        cells = nbformat.read(path, as_version=4).cells
        code = "\n".join(
            cell.source
            for cell in cells
            if cell.cell_type == "code" and "parameters" not in cell.metadata.get("tags", [])
        )
    elif path.suffix == ".py":
        code = path.read_text("utf-8")
    else:
        return path.read_text("utf-8").split()
    tree = ast.parse(code)
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    constants = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in prose)
    return [node.value for node in constants if isinstance(node.value, str)]


def test_nothing_in_the_pipeline_names_a_catalogue():
    """Only what fetches the data of the one, and what generates the other, may."""
    names = {path.stem for path in (PROJECT / "catalogues").glob("*.yaml")} - set(get_args(Kind))
    assert {"demo", "fashion"} <= names
    named = re.compile(rf"(?:^|[/'\"])(?:{'|'.join(sorted(names))})(?:$|[/.'\"])")
    kinds = {".py", ".ipynb", ".j2", ".html"}
    paths = [path for path in (PROJECT / "lib").rglob("*") if path.suffix in kinds]
    paths += (PROJECT / "notebooks").glob("[0-9]*.ipynb")
    theirs = [PROJECT / "lib/fetch", PROJECT / "lib/demo_shop"]
    found = {
        path.relative_to(PROJECT): text
        for path in sorted(paths)
        if not any(path.is_relative_to(folder) for folder in theirs)
        for text in own_text(path)
        if named.search(text)
    }
    assert found == {}
