"""Photos of new products in a folder or in a zip archive. Their names and bytes come from outside: they are data."""

import zipfile
from itertools import islice
from pathlib import Path
from typing import Protocol

from lib.collect.photo_files import PhotoLost, open_photos
from lib.errors import StudyError
from lib.extractor import COMPILE_FROM
from lib.photos import MAX_BYTES, PhotoError, open_archive, read_photo


class Store(Protocol):
    """Photos by name."""

    def read(self, name: str) -> bytes:
        """Return a photo's bytes; raise `PhotoError` if there is none, or it cannot be had."""


def open_store(path: Path) -> Store:
    """Open a folder of photos, or a zip archive of them.

    Raises
    ------
    StudyError
        If it is neither.
    """
    if not path.exists():
        raise StudyError(f"There are no photos in {path}: expected a folder or a zip archive.")
    return _Folder(path) if path.is_dir() else _Archive(path)


class _Folder:
    def __init__(self, path: Path) -> None:
        with open_photos(path, archive=False) as photos:  # nothing of a folder stays open
            self._photos = photos

    def read(self, name: str) -> bytes:
        try:
            content = self._photos.read(name)
        except PhotoLost as error:
            raise PhotoError(str(error)) from error
        if content is None:
            raise PhotoError("not found")
        if not 0 < len(content) <= MAX_BYTES:
            raise PhotoError(f"the file has {len(content)} bytes; at most {MAX_BYTES} are read")
        return content


class _Archive:
    def __init__(self, path: Path) -> None:
        self._archive: zipfile.ZipFile = open_archive(path)

    def read(self, name: str) -> bytes:
        try:
            return read_photo(self._archive, name)
        except KeyError:
            raise PhotoError("not found") from None


def is_many(path: Path) -> bool:
    """Say whether a folder or an archive holds so many photos that compiling the network pays."""
    if path.is_dir():
        return sum(1 for _ in islice(path.rglob("*"), COMPILE_FROM)) >= COMPILE_FROM
    with open_archive(path) as archive:
        return len(archive.namelist()) >= COMPILE_FROM
