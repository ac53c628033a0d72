"""Files that are written whole or not at all, and fingerprints of what made them."""

import errno
import glob
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from lib.errors import StudyError


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Yield a temporary file or folder name beside `path` that takes its place on success only.

    The body creates the yielded name, as a file or as a folder. What stood at `path` is replaced. What a process that
    was killed has left of the same name is removed.

    Raises
    ------
    StudyError
        If the disk is full or the folder cannot be written to.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path)
        yield partial
        if partial.exists() and (path.is_dir() or partial.is_dir()):
            remove(path)
        partial.replace(path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT):
            raise StudyError(f"Cannot write {path}: {error.strerror}.") from error
        raise
    finally:
        remove(partial)


def _sweep(path: Path) -> None:
    """Remove the temporary names of processes that are no more."""
    for partial in path.parent.glob(f".{glob.escape(path.name)}.*.partial"):
        process = partial.name.split(".")[-2]
        if process.isdecimal() and not psutil.pid_exists(int(process)):
            remove(partial)


def remove(path: Path) -> None:
    """Remove a file or a folder with all that is in it, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as sorted, indented JSON; the same value gives the same bytes."""
    with whole(path) as partial:
        partial.write_text(json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n", "utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file, or say which stage makes it."""
    return json.loads(existing(path).read_text("utf-8"))


def existing(path: Path) -> Path:
    """Return `path`, or raise a `StudyError` if there is nothing."""
    if not path.exists():
        raise StudyError(f"{path} is missing. Run `dvc repro` to make it, or `make data` if it is below data/.")
    return path


def fingerprint(value: Any) -> str:
    """Hash any JSON-like value to 16 hexadecimal digits.

    >>> fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    True
    """
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def file_sha256(path: Path) -> str:
    """Hash a file's content (SHA-256, hexadecimal)."""
    with existing(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
