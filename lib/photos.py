"""Photos from outside: found in an archive, limited in size, decoded in worker processes."""

import hashlib
import io
import re
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch.utils.data import DataLoader, Dataset

from lib.errors import StudyError

MAX_BYTES = 32 * 2**20  # of a photo's file
MAX_PIXELS = 50_000_000  # of a photo, as its header states them: a small file may hold a huge image
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP")  # the decoders that bytes from outside may reach

Image.init()  # Pillow knows some of these formats only after this

Pixels = npt.NDArray[np.uint8]


class PhotoError(Exception):
    """Why a photo cannot be used."""


def open_archive(path: Path) -> zipfile.ZipFile:
    """Open an archive of photos.

    Raises
    ------
    StudyError
        If it is missing, or not a whole ZIP archive.
    """
    if not path.is_file():
        raise StudyError(f"{path} is missing. Run the `collect` stage to make it.")
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise StudyError(
            f"{path} is not a whole ZIP archive ({error}). Delete it, and make or fetch it again."
        ) from error


def read_photo(archive: zipfile.ZipFile, name: str) -> bytes:
    """Read the bytes of one entry. The name is only looked up: nothing is written below it.

    Raises
    ------
    KeyError
        If there is no such entry.
    PhotoError
        If the entry is damaged, empty or larger than `MAX_BYTES`.
    """
    entry = archive.getinfo(name)
    if not 0 < entry.file_size <= MAX_BYTES:
        raise PhotoError(f"the file has {entry.file_size} bytes; at most {MAX_BYTES} are read")
    try:
        return archive.read(entry)
    except Exception as error:
        raise PhotoError(f"the archive's entry is damaged: {_reason(error)}") from error


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
        colours = _eight_bit(_upright(image)).convert("RGBA" if image.has_transparency_data else "RGB")
    square = ImageOps.fit(colours, (size, size), Image.Resampling.BILINEAR)
    if square.mode == "RGBA":
        square = Image.alpha_composite(Image.new("RGBA", square.size, "white"), square).convert("RGB")
    return np.array(square)


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # EXIF data that make no sense do not spoil the photo; if it is damaged, converting it says so
        return image


def _eight_bit(image: Image.Image) -> Image.Image:
    """Scale 16-bit grey levels, which Pillow's own conversion would cut off at 255."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) // 256).astype(np.uint8))
    return image


def _reason(error: Exception) -> str:
    """Say what went wrong, without the memory addresses that differ between runs."""
    if isinstance(error, UnidentifiedImageError):
        return f"not an image of a known format ({', '.join(FORMATS)})"
    return re.sub(r"<[^>]* at 0x[0-9a-f]+>", "the file", f"{type(error).__name__}: {error}")


def content_hash(content: bytes) -> str:
    """Hash a photo's bytes (SHA-256, hexadecimal)."""
    return hashlib.sha256(content).hexdigest()


class Photos(Dataset[tuple[Pixels, str]]):
    """Decoded photos of an archive: pixels, and the reason where there are none (else empty)."""

    def __init__(self, archive: Path, names: list[str], size: int) -> None:
        self.path, self.names, self.size = archive, names, size
        self._archive: zipfile.ZipFile | None = None

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, row: int) -> tuple[Pixels, str]:
        if self._archive is None:  # every worker process opens the archive for itself
            self._archive = open_archive(self.path)
        try:
            return decode_photo(read_photo(self._archive, self.names[row]), self.size), ""
        except PhotoError as error:
            return np.zeros((self.size, self.size, 3), np.uint8), str(error)


def batches(photos: Photos, batch_size: int, workers: int) -> Iterator[tuple[torch.Tensor, list[str]]]:
    """Decode photos in worker processes, in order.

    Yields
    ------
    pixels : tensor of uint8, shape (at most batch_size, size, size, 3)
    reasons : list of str
        Why a photo cannot be used; empty where it can.
    """
    loader = DataLoader(photos, batch_size, num_workers=workers, collate_fn=_collate)
    yield from loader


def _collate(rows: list[tuple[Pixels, str]]) -> tuple[torch.Tensor, list[str]]:
    return torch.from_numpy(np.stack([pixels for pixels, _ in rows])), [reason for _, reason in rows]
