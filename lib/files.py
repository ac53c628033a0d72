"""Files that are written whole or not at all, and fingerprints of what made them."""

import errno
import glob
import hashlib
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from lib.exceptions import StudyError

if TYPE_CHECKING:
    import pandas as pd  # takes most of a second, and most who write files need none

_ZIP_DATE, _ZIP_UNIX, _ZIP_MODE = (1980, 1, 1, 0, 0, 0), 3, 0o644 << 16
"""What zipfile would take from the clock, the platform and the umask."""

_UNWRITABLE = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EACCES, errno.EPERM, errno.EROFS),
    *(errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG),
)
_FULL_BYTES = 2**16  # a disk with less room is full
_REMEDY = "Make room there, or let this user write there, and run it again."

MANIFEST = "manifest.json"
"""The file of a folder that holds the hashes of all others."""

BLANK = {name: [""] for name in ("difference", "effect", "mean", "low", "high", "train_size", "seeds", "p", "holm")}
"""Columns of tables that hold numbers, and nothing where there is none."""


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Yield a temporary file or folder name beside `path` that takes its place on success only.

    The body creates the yielded name, as a file or as a folder. What stood at `path` is replaced; but a file never
    takes the place of a folder. What a process that was killed has left of the same name is removed.

    Raises
    ------
    StudyError
        If the disk is full or the folder cannot be written to, whichever library met it, or if a file was to take the
        place of a folder.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path)
        yield partial
        if partial.is_dir():
            remove(path)
        elif partial.exists():
            refuse_folder(path)
        partial.replace(path)
    except Exception as error:
        name = getattr(error, "filename", None) or path
        own = isinstance(error, OSError) and name == str(partial)
        if reason := why_unwritable(error, path.parent) or (own and getattr(error, "strerror", None)):
            named = Path(os.fsdecode(name))
            what = f"write {path}" if named.is_relative_to(path.parent) else f"open {named}"  # a source, for example
            raise StudyError(f"Cannot {what}: {reason}. {_REMEDY}") from error
        raise
    finally:
        with suppress(OSError):  # what cannot be removed was not made, or goes with the next writing
            remove(partial)


def why_unwritable(error: BaseException, folder: Path) -> str | None:
    """Say in the system's words why something could not be written to a folder; None if that is not what went wrong.

    Some libraries put the system's number in words of their own, and others lose it: then a disk that is full says it.
    """
    if isinstance(error, StudyError):
        return None
    named = getattr(error, "errno", None)
    for code in _UNWRITABLE:
        if code == named or f"(os error {code})" in str(error):
            return os.strerror(code)
    if named is None and isinstance(error, OSError | RuntimeError):
        with suppress(OSError):
            return os.strerror(errno.ENOSPC) if shutil.disk_usage(folder).free < _FULL_BYTES else None
    return None


def check_writable(folder: Path) -> None:
    """See that a folder can be written to, before anything takes its time.

    Raises
    ------
    StudyError
        If it cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(_FULL_BYTES))
    except OSError as error:
        raise StudyError(f"Cannot write to {folder}: {error.strerror}. {_REMEDY}") from error


def reserve(path: Path) -> None:
    """Take the room that a file with holes states, where the system can: or else a full disk would end the process."""
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def refuse_folder(path: Path) -> None:
    """Raise a `StudyError` if a folder stands where a file is to be written."""
    if os.path.isdir(path):  # noqa: PTH112 (which raises nothing, whatever the name)
        raise StudyError(f"Cannot write {path}: expected the name of a file, found a folder. It is left as it is.")


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


def write_tables(folder: Path, tables: "Mapping[str, pd.DataFrame]") -> None:
    """Write each table to `NAME.csv`, whole or not at all; the same numbers give the same bytes."""
    for name, table in tables.items():
        with whole(folder / f"{name}.csv") as partial:
            table.to_csv(partial, index=False, float_format="%.6f", lineterminator="\n")


def read_table(path: Path) -> "pd.DataFrame":
    """Read what `write_tables` wrote; a category may well be called NA.

    Raises
    ------
    StudyError
        If it is missing.
    """
    import pandas as pd

    return pd.read_csv(existing(path), keep_default_na=False, na_values=BLANK)


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


def contents(folder: Path) -> list[str]:
    """List what is in a folder and the folders below it, but for its manifest: names as seen from the folder."""
    found = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return sorted({path.relative_to(folder).as_posix() for path in found} - {MANIFEST})


def file_hashes(folder: Path) -> dict[str, str]:
    """Hash each of a folder's `contents`."""
    return {name: file_sha256(folder / name) for name in contents(folder)}


def check_files(folder: Path, hashes: Mapping[str, str]) -> None:
    """Compare a folder with what `file_hashes` said of it.

    Raises
    ------
    StudyError
        If a file is missing, new, a link, or no longer the same; it says which.
    """
    found, edited = set(contents(folder)), f"{folder} is damaged or was edited."
    for name in sorted(found.symmetric_difference(hashes)):
        said = ("expected nothing", "found a file") if name in found else ("expected a file", "found nothing")
        raise StudyError(f"{folder / name}: {', '.join(said)}. {edited}")
    for name, sha256 in hashes.items():
        if (path := folder / name).is_symlink() or not path.is_file():
            raise StudyError(f"{path}: expected a file, found a link or a device. {edited}")
        if (now := file_sha256(path)) != sha256:
            raise StudyError(f"{path} is damaged or was edited: expected SHA-256 {sha256}, found {now}.")


def write_zip(path: Path, entries: Iterable[tuple[str, bytes]]) -> int:
    """Write (name, content) pairs as an uncompressed archive, in the order given; return how many there were.

    Photos are compressed already, and an uncompressed entry can be read at once.
    """
    count = 0
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in entries:
            info = zipfile.ZipInfo(name, _ZIP_DATE)
            info.create_system, info.external_attr = _ZIP_UNIX, _ZIP_MODE
            archive.writestr(info, content)
            count += 1
    return count
