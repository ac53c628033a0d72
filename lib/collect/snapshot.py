"""Reader of a snapshot: a file of JSON lines and an archive of photos."""

import hashlib
import heapq
import json
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Never

from tqdm import tqdm

from lib import config
from lib.artifacts import existing
from lib.config import Size, Strict
from lib.errors import StudyError, nearest
from lib.records import INVALID, MISSING_ID, PROGRESS_SECONDS, Record, Reject

# More of one photo is not read; what is cut here turns out as broken in the `image` stage.
_MAX_PHOTO_BYTES = 64 * 2**20
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)


class Level1Instead(Strict):
    """Where `column` holds one of `values`, that value is the product's first level."""

    column: str
    values: list[str]


class Columns(Strict):
    """Which field of a source's record holds what; a dot goes into a nested object."""

    id: str
    brand: str
    title: str
    description: str
    level_1: str
    level_2: str
    level_3: str


class SnapshotSource(Strict):
    """A file of JSON lines and an archive of photos below the catalogue's source folder."""

    products: str
    images: str
    image_name: str
    columns: Columns
    level_1_instead: Level1Instead | None = None
    sample: Size | None = None


def read_snapshot(name: str, source: SnapshotSource) -> Iterator[Record | Reject]:
    """Yield the products of a snapshot with their photos, and a reject for each line that is no product.

    Raises
    ------
    StudyError
        If a file is missing or damaged, or if no product has one of the fields that the catalogue's file names.
    """
    folder = config.studied(name).source
    products, archive = existing(folder / source.products), existing(folder / source.images)
    items = _read_lines(products, source, f"catalogues/{name}.yaml")
    try:
        photos = zipfile.ZipFile(archive)
    except _DAMAGED as error:
        raise StudyError(f"{archive} is truncated, or not a zip archive: {error}.") from error
    with photos:
        for item in _sample(items, source.sample) if source.sample else items:
            yield replace(item, photo=_photo(photos, source, item)) if isinstance(item, Record) else item


def _read_lines(path: Path, source: SnapshotSource, settings: str) -> Iterator[Record | Reject]:
    """Parse each line; at the end, see that every named field occurred."""
    missing = set(source.columns.model_dump().values())
    if source.level_1_instead:
        missing.add(source.level_1_instead.column)
    known: set[str] = set()
    with path.open("rb") as file, _bar(path) as bar:
        for number, line in enumerate(file, 1):
            bar.update(len(line))
            if not line.strip():
                continue
            try:
                product = _parse(line)
                item = _record(product, source, number)
            except (ValueError, RecursionError) as error:
                yield Reject(None, INVALID, f"line {number}: {error}")
                continue
            if missing:
                missing = {field for field in missing if not _has(product, field)}
                known.update(_fields(product))
            yield item
    if missing:
        raise StudyError("\n".join(_absent(settings, path, field, known) for field in sorted(missing)))


def _bar(path: Path) -> "tqdm[Never]":
    size = path.stat().st_size
    return tqdm(total=size, desc=path.name, unit="B", unit_scale=True, mininterval=PROGRESS_SECONDS)


def _parse(line: bytes) -> dict[str, Any]:
    product = json.loads(line)
    if not isinstance(product, dict):
        raise ValueError(f"expected an object, got {type(product).__name__}")
    return product


def _record(product: dict[str, Any], source: SnapshotSource, number: int) -> Record | Reject:
    """Map a source's object to a record without a photo."""
    columns, instead = source.columns, source.level_1_instead
    texts = {name: _text(product, field) for name, field in columns.model_dump().items()}
    product_id = (texts.pop("id") or "").strip()
    if not product_id:
        return Reject(None, MISSING_ID, f"line {number}: '{columns.id}' is missing or empty")
    if instead and (value := _text(product, instead.column)) in instead.values:
        texts["level_1"] = value
    return Record(product_id=product_id, photo=None, **texts)


def _get(product: Any, field: str) -> Any:
    """Follow a dotted name into nested objects; `None` if it leads nowhere."""
    for key in field.split("."):
        product = product.get(key) if isinstance(product, dict) else None
    return product


def _has(product: Any, field: str) -> bool:
    above, _, last = field.rpartition(".")
    node = _get(product, above) if above else product
    return isinstance(node, dict) and last in node


def _text(product: dict[str, Any], field: str) -> str | None:
    value = _get(product, field)
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise ValueError(f"'{field}' should be text, got {type(value).__name__}")


def _fields(node: Any, prefix: str = "") -> Iterator[str]:
    """List the dotted names of an object's values."""
    for key, value in node.items():
        if isinstance(value, dict):
            yield from _fields(value, f"{prefix}{key}.")
        else:
            yield prefix + key


def _absent(settings: str, path: Path, field: str, known: set[str]) -> str:
    return f"{settings} names the field '{field}', which no product in {path} has.{nearest(field, sorted(known))}"


def _sample(items: Iterable[Record | Reject], size: int) -> list[Record | Reject]:
    """Take those whose id has the smallest hashes: the same ones whatever their order."""

    def key(item: Record | Reject) -> tuple[bytes, str]:
        name = item.product_id if isinstance(item, Record) else item.detail
        return hashlib.sha256(name.encode(errors="surrogatepass")).digest(), repr(item)

    return heapq.nsmallest(size, items, key)


def _photo(photos: zipfile.ZipFile, source: SnapshotSource, record: Record) -> bytes | None:
    """Read a product's photo; the id only names an entry of the archive, never a file."""
    entry = source.image_name.replace("{id}", record.product_id)
    try:
        with photos.open(entry) as file:
            return file.read(_MAX_PHOTO_BYTES)
    except KeyError:
        return None
    except _DAMAGED as error:
        raise StudyError(f"{photos.filename} is damaged at its entry '{entry}': {error}.") from error
