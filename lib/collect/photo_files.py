"""Photos in a folder or in a zip archive. A photo's name comes from outside: it is data."""

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from lib.collect.source_files import present
from lib.errors import StudyError

# More of one photo is not read; what is cut here turns out as broken in the `image` stage.
_MAX_PHOTO_BYTES = 64 * 2**20
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)


class PhotoLost(Exception):
    """A photo that is there cannot be taken. The text says why, in words that are the same for many photos."""


class Photos(Protocol):
    """Photos by name."""

    def read(self, name: str) -> bytes | None:
        """Return a photo's original bytes, or None if there is none of this name.

        Raises
        ------
        PhotoLost
            If there is one that cannot be taken.
        """


@contextmanager
def open_photos(path: Path, archive: bool) -> Iterator[Photos]:
    """Open a folder of photos, or an archive of them.

    Raises
    ------
    StudyError
        If it is missing or damaged.
    """
    if not archive:
        yield _Folder(present(path))
    else:
        with _open_zip(present(path)) as file:
            yield _Archive(file)


class _Folder:
    """Photos that are files of a folder, or of folders in it."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise StudyError(f"{folder} is not a folder; `images: {{zip: ...}}` is for an archive.")
        self.folder = folder.resolve()

    def __str__(self) -> str:
        return str(self.folder)

    def read(self, name: str) -> bytes | None:
        try:
            path = (self.folder / name).resolve()  # follows links, and takes `..` and absolute names for what they are
            if not path.is_relative_to(self.folder):
                raise PhotoLost("outside the folder")
            if not path.is_file():  # a device or a pipe might never end
                return None
            with path.open("rb") as file:
                return file.read(_MAX_PHOTO_BYTES)
        except ValueError:  # no file can have such a name
            return None
        except (OSError, RuntimeError) as error:  # the latter: a link to itself
            raise PhotoLost("cannot be read") from error


class _Archive:
    """Photos that are entries of a zip archive: a name is looked up in its list and never used as a path."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self.archive = archive

    def __str__(self) -> str:
        held = self.archive.namelist()
        return f"{self.archive.filename}, which holds " + (f"{len(held):,} such as '{held[0]}'" if held else "nothing")

    def read(self, name: str) -> bytes | None:
        try:
            with self.archive.open(name) as file:
                return file.read(_MAX_PHOTO_BYTES)
        except KeyError:
            return None
        except _DAMAGED as error:
            raise StudyError(f"{self.archive.filename} is damaged at its entry '{name}': {error}.") from error


def _open_zip(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except _DAMAGED as error:
        raise StudyError(f"{path} is truncated, or not a zip archive: {error}.") from error
