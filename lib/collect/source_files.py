"""The files of a source: where the catalogue's file says they are, and below the source folder."""

from pathlib import Path, PurePath
from typing import Annotated

from pydantic import AfterValidator

from lib.errors import StudyError, nearest


def _inside(name: str) -> str:
    if PurePath(name).is_absolute() or ".." in PurePath(name).parts:
        raise ValueError(f"expected a name below the catalogue's source folder. Got '{name}' instead")
    return name


Inside = Annotated[str, AfterValidator(_inside)]
"""A name below the source folder, which is all that DVC watches for changes."""


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
