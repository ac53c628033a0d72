"""Runs that are kept: a finished run is found again by the hash of all that determines it, and of nothing else.

A run stands in `$STUDY_CACHE/train/KEY`, and KEY hashes what it is made of: the inputs that its variant reads, the
settings, the source of the modules that define this variant's features, model and training (its syntax tree without
docstrings, so that comments and sentences do not count), the libraries' versions, and the processor. `manifest.json`
says all that in words, with a SHA-256 of each file. A run that is half written, damaged or edited does not fit its
manifest, one of something else does not fit its key, and either is made again.

Nothing here imports what it hashes: to look a run up takes no PyTorch.
"""

import ast
import fcntl
import json
import os
import platform
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lib import config, files
from lib.exceptions import StudyError
from lib.models import classes_of, input_files
from lib.training.runs import NO_RECIPE, Run, has_recipe

ROOT = "lib.training.run"
"""Where the imports are followed from. The classes that build a variant's models are named, not imported."""

LEFT_OUT = {
    *(f"lib.{name}" for name in ("files", "exceptions", "schemas", "processes", "notebook", "config", "models")),
    *(f"lib.training.{name}" for name in ("runs", "kept", "stage", "sittings")),
}
"""What has no say in a run's result: artefacts, errors, the executor; and settings and the grid, which the key has."""

LIBRARIES = ("torch", "numpy", "scipy", "scikit-learn", "pytorch-lightning")
CHECKPOINTS = ".checkpoints"

MadeBy = Mapping[str, Any]


def key_of(made_by: MadeBy) -> str:
    """Return the name under which a run is kept that is made of this (`ingredients`)."""
    return files.fingerprint(made_by)


def folder_of(key: str) -> Path:
    """Return where a run is kept, if it is."""
    return config.cache_dir("train", key)


def ingredients(
    catalogue: str, variant: config.Variant, run: Run, params: config.Params, device: str = "cpu"
) -> dict[str, Any]:
    """List all that determines a run's result.

    Parameters
    ----------
    device
        What networks are trained on.
    """
    paths = {name: input_files(name, run.text) for name in config.columns_of(variant)}
    columns = [f"{run.split}_split", "group", "sampling_key", *(f"{level}_code" for level in config.LEVELS)]
    columns += sorted(name for name in paths if not paths[name])
    clean = config.build_dir(catalogue, "clean")
    inputs = {"products": _hash(clean / "products.parquet", *columns), "taxonomy": _hash(clean / "taxonomy.json")}
    inputs |= {path: _hash(config.build_dir(catalogue, path)) for name in paths for path in paths[name]}
    extensions = np.show_config(mode="dicts").get("SIMD Extensions", {}).get("found", [])
    cap = os.environ.get("ATEN_CPU_CAPABILITY", "")  # whoever restricts PyTorch's
    return {
        "inputs": inputs,
        "run": {"split": run.split, "size": run.size, "seed": run.seed},
        "variant": variant.model_dump(mode="json"),
        "recipe": None if run.recipe == NO_RECIPE else params.recipes[run.recipe].model_dump(mode="json"),
        "text": params.text.model_dump(mode="json") if "text" in variant.inputs else None,
        "classes": sorted(classes_of(variant)),
        "sources": sources(variant),
        "versions": {name: version(name) for name in LIBRARIES},
        "processor": {"machine": platform.machine(), "extensions": extensions, "cap": cap},
        "precision": "float32",
        "device": device if has_recipe(variant) else "cpu",
    }


def sources(variant: config.Variant, root: Path | None = None) -> dict[str, str]:
    """Hash each module of `lib` that has a say in a variant's runs, wherever their imports lead.

    Parameters
    ----------
    root
        The folder that holds `lib`; by default the one of the program that runs.
    """
    hashes: dict[str, str] = {}
    ahead = [ROOT, *(name.rpartition(".")[0] for name in classes_of(variant))]
    while ahead:
        name = ahead.pop()
        path = _path(root or Path(__file__).parents[2], name)
        if name not in hashes and name not in LEFT_OUT and path is not None:
            hashes[name], imported = _read(path, path.stat().st_mtime_ns)
            ahead += [*imported, name.rpartition(".")[0]]
    return dict(sorted(hashes.items()))


def _path(root: Path, module: str) -> Path | None:
    """Return a module's file; None if it is not one of `lib`, or a name in a module."""
    stem = root.joinpath(*module.split("."))
    choices = (stem.with_suffix(".py"), stem / "__init__.py") if module.split(".")[0] == "lib" else ()
    return next((path for path in choices if path.is_file()), None)


@lru_cache(maxsize=256)
def _read(path: Path, time: int) -> tuple[str, list[str]]:
    """Hash a module's code, and name all that it imports: modules, and names in modules that may be some."""
    tree, imported = ast.parse(path.read_text("utf-8")), []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            imported += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for body in (getattr(node, field, None) for field in ("body", "orelse", "finalbody")):
            if isinstance(body, list):
                body[:] = [line for line in body if not _is_string(line)]
    return files.fingerprint(ast.dump(tree)), imported


def _is_string(node: ast.stmt) -> bool:
    """Tell whether a statement is a string alone: a docstring, or the words below a constant."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _hash(path: Path, *columns: str) -> str:
    stat = files.existing(path).stat()
    return _hash_version(path, columns, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=64)
def _hash_version(path: Path, columns: tuple[str, ...], time: int, size: int) -> str:
    """Hash a file; or some columns of a table, so that a changed description is nothing to who reads photos alone."""
    if not columns:
        return files.file_sha256(path)
    table = pd.read_parquet(path, columns=list(columns))[list(columns)]
    return files.fingerprint(pd.util.hash_pandas_object(table, index=False).to_list())


def find(key: str) -> Path | None:
    """Return the folder of a run that is kept, if it is whole and is what it says."""
    folder = folder_of(key)
    try:
        manifest = json.loads((folder / files.MANIFEST).read_text("utf-8"))
        is_whole = manifest["files"] == files.file_hashes(folder) and key_of(manifest["made_by"]) == key
    except (OSError, StudyError, ValueError, LookupError, TypeError):
        return None
    return folder if is_whole else None


def make(made_by: MadeBy, fill: Callable[[Path, Path], None]) -> Path:
    """Make a run, and keep it, whole or not at all; unless another process that was at it has done so.

    Parameters
    ----------
    fill
        Is called with an empty folder for the run's files, and a folder for its checkpoints. If a killed call left
        some of the latter, they are there.

    Raises
    ------
    StudyError
        If the disk is full, or the cache cannot be written to.
    """
    key = key_of(made_by)
    folder, checkpoints = folder_of(key), folder_of(CHECKPOINTS) / key
    with _writable():
        checkpoints.parent.mkdir(parents=True, exist_ok=True)
        with (checkpoints.parent / "lock").open("a") as lock:
            with suppress(OSError):  # a file system without locks: then both do the work, and one's takes the place
                fcntl.lockf(lock, fcntl.LOCK_EX, 1, int(key[:12], 16))  # a byte for each run; it ends with its process
            if found := find(key):
                return found
            with files.whole(folder) as partial:
                partial.mkdir()
                fill(partial, checkpoints)
                files.write_json(partial / files.MANIFEST, {"made_by": made_by, "files": files.file_hashes(partial)})
            files.remove(checkpoints)
    return folder


@contextmanager
def _writable() -> Iterator[None]:
    """Turn a full disk, or a folder that cannot be written to, into one message, whichever library met it."""
    try:
        yield
    except Exception as error:
        cause = error.__cause__ if isinstance(error, StudyError) and error.__cause__ else error
        reason = files.why_unwritable(cause, next(path for path in config.cache_dir("train").parents if path.is_dir()))
        if reason is None:
            raise
        raise StudyError(
            f"Cannot keep a run in {config.cache_dir('train')}: {reason}. Make room there, or let STUDY_CACHE name "
            "another folder."
        ) from error
