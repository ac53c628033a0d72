"""The `fashion` catalogue in one canonical form, whichever archive it comes from.

An archive is a stream of entries. An entry's name is only matched against a pattern, for the product's number; it is
never used as a path, and nothing is extracted.
"""

import gzip
import json
import lzma
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from tqdm.auto import tqdm

from lib.errors import StudyError
from lib.zips import write_zip

# GitHub's archives have a top folder and `data/`; the mirror's have neither.
_STYLE = re.compile(r"(?:[^/]+/data/)?styles/([0-9]{1,12})\.json")
_IMAGE = re.compile(r"(?:[^/]+/data/)?images/([0-9]{1,12})\.jpg")
_MAX_ENTRY_BYTES = 16 * 2**20

# What is kept of a product; a star stands for every key. Left out: addresses, page layout, shop accounts, flags.
KEPT = (
    "id", "brandName", "productDisplayName", "variantName", "articleNumber", "catalogAddDate", "year", "season",
    "gender", "ageGroup", "usage", "fashionType", "displayCategories", "baseColour", "colour1", "colour2",
    "price", "discountedPrice", "masterCategory.typeName", "subCategory.typeName", "articleType.typeName",
    "articleAttributes.*", "productDescriptors.*.value", "colours.colors.*.styleid",
)  # fmt: skip


def make_products(source: Path, target: Path) -> None:
    """Write one product a line, by number, as canonical JSON (sorted keys, no spaces) of the `KEPT` fields.

    Parameters
    ----------
    source
        A tar archive, however compressed, of `styles/ID.json` documents.
    target
        The file of JSON lines to write.

    Raises
    ------
    StudyError
        If the archive is damaged or a document is not as expected.
    """
    tree = _tree(KEPT)
    lines: dict[int, str] = {}
    for number, content in _entries(source, _STYLE):
        try:
            product = _prune(json.loads(content)["data"], tree)
        except (ValueError, KeyError, TypeError) as error:
            raise StudyError(f"{source}: the document of product {number} is not as expected: {error!r}.") from error
        lines[number] = json.dumps(product, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    with target.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(lines[number] + "\n" for number in sorted(lines))


def make_images(source: Path, target: Path) -> None:
    """Write an uncompressed archive of the entries `ID.jpg`, by number, with fixed dates and modes.

    `source` is a tar or zip archive of `images/ID.jpg`; a damaged one raises a `StudyError`.
    """
    images = dict(_entries(source, _IMAGE))
    write_zip(target, ((f"{number}.jpg", images[number]) for number in sorted(images)))


def _entries(source: Path, pattern: re.Pattern[str]) -> Iterator[tuple[int, bytes]]:
    """Yield number and content of each regular file of an archive whose name matches."""
    read = _zip_entries if zipfile.is_zipfile(source) else _tar_entries
    try:
        for match, size, file in tqdm(
            read(source, pattern), desc=f"reading {source.name}", unit=" files", mininterval=1
        ):
            if size > _MAX_ENTRY_BYTES:
                raise StudyError(f"{source}: {match[0]} has {size:,} bytes; at most {_MAX_ENTRY_BYTES:,} are expected.")
            yield int(match[1]), file.read()
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise StudyError(f"{source} is truncated or damaged ({error}). Fetch it again.") from error


def _tar_entries(source: Path, pattern: re.Pattern[str]) -> Iterator[tuple[re.Match[str], int, IO[bytes]]]:
    with tarfile.open(source, "r|*") as archive:
        for member in archive:
            match = pattern.fullmatch(member.name)
            file = archive.extractfile(member) if match and member.isreg() else None
            if match and file:
                yield match, member.size, file


def _zip_entries(source: Path, pattern: re.Pattern[str]) -> Iterator[tuple[re.Match[str], int, IO[bytes]]]:
    with zipfile.ZipFile(source) as archive:
        for info in archive.infolist():
            if match := pattern.fullmatch(info.filename):
                with archive.open(info) as file:
                    yield match, info.file_size, file


def _tree(paths: tuple[str, ...]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path in paths:
        node = tree
        for key in path.split("."):
            node = node.setdefault(key, {})
    return tree


def _prune(value: Any, tree: dict[str, Any]) -> Any:
    """Keep of a nested object what the tree names; an empty tree keeps everything."""
    if not tree or not isinstance(value, dict):
        return value
    branches = {key: tree.get(key, tree.get("*")) for key in value}
    return {key: _prune(value[key], branch) for key, branch in branches.items() if branch is not None}
