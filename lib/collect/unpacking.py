"""The bytes of a table's file, unpacked while they are read: a file that unpacks to much more than its size is refused.

Nothing is unpacked to a file that has a name, so that no name in an archive has a say in what is written where.
"""

import bz2
import gzip
import io
import math
import re
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple, cast

from tqdm import tqdm

from lib.config.base import PROGRESS_SECONDS
from lib.exceptions import StudyError, nearest

HEAD = 2**18  # bytes from which is told what a file is
_LARGE, _MAX_RATIO = 2**30, 200  # what is unpacked may be larger than that only if it is not so many times the file
_MAX_DEPTH = 4  # such as a gzip file in a zip archive, and one more
_NO_TABLES = {
    b"\xd0\xcf\x11\xe0": "an old Excel file (.xls), or one with a password",
    b"%PDF": "a PDF",
    **dict.fromkeys((b"7z\xbc\xaf", b"Rar!", b"\xfd7zXZ", b"(\xb5/\xfd"), "an archive other than .gz, .bz2 and .zip"),
}
_DAMAGED = (OSError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError)


class Unpacked(NamedTuple):
    """An open file.

    Attributes
    ----------
    file
        What is in it, from the beginning.
    head : bytes
        How it begins.
    name : str
        Its end says what is in the file: the name without `.gz`, or that of the only entry of a zip.
    packed : bool
    """

    file: Any
    head: bytes
    name: str
    packed: bool


def present(path: Path) -> Path:
    """Return `path`, or raise a `StudyError` that names the file or folder beside it which is nearest."""
    if path.exists():
        return path
    if path.parent.is_file():
        raise StudyError(f"{path.parent} is a file; the source of a catalogue is the folder that holds its files.")
    beside = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
    raise StudyError(
        f"{path} is missing.{nearest(path.name, beside)} The catalogue's file names it below the source folder; "
        "`make data` brings the files of the real catalogue."
    )


@contextmanager
def unpacked(path: Path, progress: bool = False) -> Iterator[Unpacked]:
    """Open a file that may be compressed by gzip or bzip2, or be the only one in a zip archive, or both.

    Parameters
    ----------
    progress
        Whether a bar shows how much of the file is read.

    Raises
    ------
    StudyError
        If the file is missing, empty, damaged, encrypted, of a kind that holds no table or more than one; or, as it is
        read, if there is more than 1 GiB in it, and more than 200 times its size.
    """
    if present(path).is_dir():
        raise StudyError(f"{path} is a folder; a file was expected.")
    bar = tqdm(
        *(None, path.name, path.stat().st_size),
        unit="B",
        unit_scale=True,
        mininterval=PROGRESS_SECONDS,
        disable=not progress,
    )
    with path.open("rb") as raw, bar:
        source, name = cast(IO[bytes], raw), path.name
        for depth in range(_MAX_DEPTH):
            file = io.BufferedReader(_Counted(source, path, lambda: bar.update(raw.tell() - bar.n), depth > 0), HEAD)
            if not (head := file.peek(HEAD)[:HEAD]):
                raise StudyError(f"{path} is empty.")
            if what := next((what for mark, what in _NO_TABLES.items() if head.startswith(mark)), None):
                raise StudyError(f"{path} is {what}. Save or unpack it as .csv, .xlsx or another table.")
            if head.startswith((b"PK\x03\x04", b"PK\x05\x06")) and not depth and (entry := _only_table(path, raw)):
                source, name = entry, PurePosixPath(entry.name).name
            elif head.startswith((b"\x1f\x8b", b"BZh")):
                source = cast(IO[bytes], bz2.BZ2File(file) if head.startswith(b"BZh") else gzip.GzipFile(fileobj=file))
                name = re.sub(r"\.(gz|bz2)$", "", name, flags=re.I)
            else:
                yield Unpacked(file, head, name, depth > 0)
                return
    raise StudyError(f"{path} is packed more than {_MAX_DEPTH - 1} times over.")


def seekable(path: Path) -> IO[bytes]:
    """Open a file that is to be read in any order: a copy without a name, if it is packed."""
    with unpacked(path) as opened:
        if not opened.packed:
            return path.open("rb")
        copy = tempfile.TemporaryFile()  # noqa: SIM115  # whoever reads it closes it
        shutil.copyfileobj(opened.file, copy)
        copy.seek(0)
        return copy


class _Counted(io.RawIOBase):
    """Bytes that are counted as they come, and whose damage is told in words."""

    def __init__(self, source: IO[bytes], path: Path, progress: Callable[[], object], packed: bool) -> None:
        self._source, self._path, self._progress = source, path, progress
        self._most = max(_LARGE, _MAX_RATIO * path.stat().st_size) if packed else math.inf
        self._count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            count = int(self._source.readinto(buffer))  # type: ignore[attr-defined]
        except _DAMAGED as error:
            raise StudyError(f"{self._path} is truncated or damaged: {error}.") from error
        self._count += count
        if self._count > self._most:
            raise StudyError(
                f"{self._path} unpacks to more than {self._count:,} bytes. At most {_LARGE:,} are read, or "
                f"{_MAX_RATIO} times the file's size. If you trust it, unpack it first."
            )
        self._progress()
        return count


def _only_table(path: Path, file: IO[bytes]) -> IO[bytes] | None:
    """Open the one entry of a zip archive that is no folder and no note of a Mac; None for a spreadsheet."""
    at = file.tell()
    try:
        archive = zipfile.ZipFile(file)
        files = [(info, PurePosixPath(info.filename)) for info in archive.infolist() if not info.is_dir()]
        if any(info.filename in ("mimetype", "[Content_Types].xml") for info, _ in files):
            file.seek(at)
            return None
        tables = [info for info, name in files if "__MACOSX" not in name.parts and not name.name.startswith(".")]
        if len(tables) != 1:
            shown = ", ".join(repr(info.filename) for info in tables[:10]) or "none"
            raise StudyError(
                f"{path} holds {len(tables):,} files, and one table was expected: {shown}. "
                "Unpack it, and name the table's own file."
            )
        if tables[0].flag_bits & 1:
            raise StudyError(f"{path} is encrypted. Unpack it with its password, and name the table's own file.")
        return archive.open(tables[0])
    except _DAMAGED as error:
        raise StudyError(f"{path} is truncated, or not a zip archive: {error}.") from error
