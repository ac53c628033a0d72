"""Photos from outside: found by name, limited in size, and decoded. Whatever they hold is data."""

import io
import re
import warnings
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from lib.config.base import MAX_PHOTO_BYTES as MAX_BYTES
from lib.exceptions import StudyError

MAX_PIXELS = 50_000_000  # of a photo, as its header states them: a small file may hold a huge image
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "AVIF", "TIFF")  # the decoders that bytes from outside may reach

Image.init()  # Pillow knows some of these formats only after this

Pixels = npt.NDArray[np.uint8]


class PhotoError(Exception):
    """Why a photo cannot be used."""


class PhotoMissing(PhotoError):
    """There is no photo of this name."""


# By name


class Archive:
    """Photos that are entries of a zip archive: a name is looked up in its list, and never used as a path.

    Raises
    ------
    StudyError
        If the archive is missing, or not whole.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise StudyError(f"{path} is missing. Run the `collect` stage to make it.")
        try:
            self.zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError) as error:
            raise StudyError(
                f"{path} is not a whole ZIP archive ({error}). Delete it, and make or fetch it again."
            ) from error

    def __len__(self) -> int:
        return len(self.zip.namelist())

    def read(self, name: str) -> bytes:
        """Return a photo's bytes.

        Raises
        ------
        PhotoMissing
            If there is no such entry.
        PhotoError
            If the entry is damaged, empty or larger than `MAX_BYTES`.
        """
        try:
            entry = self.zip.getinfo(name)
        except KeyError:
            raise PhotoMissing("not found") from None
        _check_size(entry.file_size)
        try:
            return self.zip.read(entry)
        except Exception as error:
            raise PhotoError(f"the archive's entry is damaged: {_reason(error)}") from error


class Folder:
    """Photos that are files of a folder, or of folders in it; nothing outside it is read, whatever a name says."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()

    def __len__(self) -> int:
        return sum(1 for _ in self.path.rglob("*"))

    def read(self, name: str) -> bytes:
        """Return a photo's bytes; `Archive.read` says what is raised."""
        try:
            path = (self.path / name).resolve()  # follows links, and takes `..` and absolute names for what they are
            if not path.is_relative_to(self.path):
                raise PhotoError("outside the folder")
            if not path.is_file():  # a device or a pipe might never end
                raise PhotoMissing("not found")
            _check_size(size := path.stat().st_size)
            with path.open("rb") as file:
                return file.read(size)
        except ValueError:  # no file can have such a name
            raise PhotoMissing("not found") from None
        except (OSError, RuntimeError) as error:  # the latter: a link to itself
            raise PhotoError("cannot be read") from error


def open_photos(path: Path) -> Archive | Folder:
    """Open a folder of photos, or a zip archive of them.

    Raises
    ------
    StudyError
        If it is neither.
    """
    if not path.exists():
        raise StudyError(f"There are no photos in {path}: expected a folder or a zip archive.")
    return Folder(path) if path.is_dir() else Archive(path)


def _check_size(size: int) -> None:
    if not 0 < size <= MAX_BYTES:
        raise PhotoError(f"the file has {size} bytes; at most {MAX_BYTES} are read")


# From bytes to pixels


def decode_photo(content: bytes, size: int) -> Pixels:
    """Decode a photo, and cut its centre to the network's size.

    The short side is resized to `size` and the centre is cropped (Wang & Guthrie, 2015, section 3.2.3), in the order
    that never makes the photo larger on the way. Photos are turned as their EXIF data say; what is transparent
    is white.

    Returns
    -------
    array of uint8, shape (size, size, 3)

    Raises
    ------
    PhotoError
        If the photo has more than `MAX_PIXELS`, or cannot be decoded, for whatever reason.

    >>> file = io.BytesIO()
    >>> Image.new("L", (60, 80), 255).save(file, "PNG")
    >>> decode_photo(file.getvalue(), 32).shape
    (32, 32, 3)
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _decode(content, size)
    except PhotoError:
        raise
    except Exception as error:  # decoders fail in many ways, and one photo may only cost one row
        raise PhotoError(_reason(error)) from error


def _decode(content: bytes, size: int) -> Pixels:
    with Image.open(io.BytesIO(content), formats=FORMATS) as image:
        if image.width * image.height > MAX_PIXELS:
            raise PhotoError(f"{image.width} x {image.height} pixels; at most {MAX_PIXELS} are decoded")
        image.draft("RGB", (size, size))  # a large JPEG is decoded no larger than needed
        mode = "RGBA" if image.has_transparency_data else "RGB"
        upright: Image.Image = image  # and no copy of it, unless it has to be: a large one takes 200 MB
        with suppress(Exception):  # EXIF data that make no sense do not spoil it
            if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
                upright = ImageOps.exif_transpose(image)
        if upright.mode.startswith("I;16"):  # 16-bit grey levels, which Pillow's own conversion would cut off at 255
            upright = Image.fromarray((np.asarray(upright) // 256).astype(np.uint8))
        coloured = upright if upright.mode == mode else upright.convert(mode)
        square = ImageOps.fit(coloured, (size, size), Image.Resampling.BILINEAR)
    if square.mode == "RGBA":
        square = Image.alpha_composite(Image.new("RGBA", square.size, "white"), square).convert("RGB")
    return np.array(square)


def _reason(error: Exception) -> str:
    """Say what went wrong, without the memory addresses that differ between runs."""
    if isinstance(error, UnidentifiedImageError):
        return f"not an image of a known format ({', '.join(FORMATS)})"
    return re.sub(r"<[^>]* at 0x[0-9a-f]+>", "the file", f"{type(error).__name__}: {error}")
