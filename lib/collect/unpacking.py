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
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_PACKED: dict[bytes, Callable[[IO[bytes]], Any]] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"BZh": bz2.BZ2File,
}
_NO_TABLES = {
    b"\xd0\xcf\x11\xe0": "an old Excel file (.xls), or one with a password",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"\xfd7zXZ": "packed by xz",
    b"(\xb5/\xfd": "packed by zstd",
    b"%PDF": "a PDF",
    b"SQLite format 3": "an SQLite database",
}
_DAMAGED = (OSError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError)


class Unpacked(NamedTuple):
    """An open file, and the name whose end says what is in it: without `.gz`, or that of the only entry of a zip."""

    file: Any
    name: str
    packed: bool

    @property
    def head(self) -> bytes:
        """The first bytes, which are still to be read."""
        return bytes(self.file.peek(HEAD)[:HEAD])

    def copy(self) -> IO[bytes]:
        """Return what is in the file as a file that can be read in any order. It has no name."""
        copy = tempfile.TemporaryFile()  # noqa: SIM115  # whoever reads it closes it
        shutil.copyfileobj(self.file, copy)
        copy.seek(0)
        return copy


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
    if not (size := path.stat().st_size):
        raise StudyError(f"{path} is empty.")
    with (
        path.open("rb") as raw,
        tqdm(
            total=size, desc=path.name, unit="B", unit_scale=True, mininterval=PROGRESS_SECONDS, disable=not progress
        ) as bar,
    ):
        source, name = cast(IO[bytes], raw), path.name
        for depth in range(_MAX_DEPTH):
            counted = _Counted(source, path, lambda: bar.update(raw.tell() - bar.n), bool(depth))
            file = io.BufferedReader(cast(io.RawIOBase, counted), HEAD)
            if not (start := file.peek(HEAD)):
                raise StudyError(f"{path} is empty.")
            for mark, what in _NO_TABLES.items():
                if start.startswith(mark):
                    raise StudyError(f"{path} is {what}. Save or unpack it as .csv, .xlsx or another table.")
            if start.startswith(_ZIP) and not depth and (entry := _only_table(path, raw)):
                source, name = entry, PurePosixPath(entry.name).name
            elif unpack := next((unpack for mark, unpack in _PACKED.items() if start.startswith(mark)), None):
                source = unpack(file)
                name = re.sub(r"\.(gz|bz2)$", "", name, flags=re.I)
            else:
                yield Unpacked(file, name, depth > 0)
                return
    raise StudyError(f"{path} is packed more than {_MAX_DEPTH - 1} times over.")


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
    try:
        archive = zipfile.ZipFile(file)
        files = [(info, PurePosixPath(info.filename)) for info in archive.infolist() if not info.is_dir()]
        if any(info.filename in ("mimetype", "[Content_Types].xml") for info, _ in files):
            file.seek(min(HEAD, path.stat().st_size))  # where it was
            return None
        tables = [info for info, name in files if "__MACOSX" not in name.parts and not name.name.startswith(".")]
        if len(tables) != 1:
            shown = ", ".join(repr(info.filename) for info in tables[:10]) + (" ..." if len(tables) > 10 else "")
            raise StudyError(
                f"{path} holds {len(tables):,} files, and one table was expected: {shown or 'none'}. "
                "Unpack it, and name the table's own file."
            )
        if tables[0].flag_bits & 1:
            raise StudyError(f"{path} is encrypted. Unpack it with its password, and name the table's own file.")
        return archive.open(tables[0])
    except _DAMAGED as error:
        raise StudyError(f"{path} is truncated, or not a zip archive: {error}.") from error
