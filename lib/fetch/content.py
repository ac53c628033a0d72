"""The content of `data/` in one canonical form, whichever archive it comes from.

An archive is a stream of entries. An entry's name is only matched against a pattern, for the product's number; it is
never used as a path, and nothing is extracted.

DenseNet-169's pretrained weights are put together from raw layers, little-endian float32 files named as in Keras. A
convolution is stored as torch has it (output, input, height, width); a batch normalisation is four rows: weight, bias,
running mean, running variance.
"""

import csv
import gzip
import json
import lzma
import re
import shutil
import struct
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import torch
from torchvision.models import densenet169
from tqdm.auto import tqdm

from lib.config.base import PARTS
from lib.exceptions import StudyError
from lib.files import write_zip

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
    tree: dict[str, Any] = {}
    for path in KEPT:
        node = tree
        for key in path.split("."):
            node = node.setdefault(key, {})
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
    entries = tqdm(read(source, pattern), desc=f"reading {source.name}", unit=" files", mininterval=1)
    try:
        for match, size, file in entries:
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


def _prune(value: Any, tree: dict[str, Any]) -> Any:
    """Keep of a nested object what the tree names; an empty tree keeps everything."""
    if not tree or not isinstance(value, dict):
        return value
    branches = {key: tree.get(key, tree.get("*")) for key in value}
    return {key: _prune(value[key], branch) for key, branch in branches.items() if branch is not None}


# A published split of the same products

_SPLIT_LEVELS = ("masterCategory", "subCategory", "articleType")


def split_file(part: str) -> str:
    """Name the file in which the authors of Condition-CNN list a part of their split."""
    return f"fashion_product_{part}.csv"


def make_split_products(source: Path, target: Path) -> None:
    """Write the products of a published split, as canonical JSON, with their part and the categories of its authors.

    Parameters
    ----------
    source
        A folder with a CSV file of each part (`split_file`), or one CSV file, packed by xz, with a column `part`.
    target
        The file of JSON lines to write. The products themselves are those of `products.jsonl` in its folder.

    Raises
    ------
    StudyError
        If a file is damaged or lacks a column, if a part is unknown or has no product, or if a product is in two parts
        or not in the catalogue.
    """
    files = {part: source / split_file(part) for part in PARTS} if source.is_dir() else {"": source}
    listed: dict[int, dict[str, str]] = {}
    for part, path in files.items():
        try:
            with (
                lzma.open(path, "rt", encoding="utf-8") if path.suffix == ".xz" else path.open(encoding="utf-8") as file
            ):
                for row in csv.DictReader(file):
                    one = {name: row[name] for name in _SPLIT_LEVELS} | {"part": part or row["part"]}
                    if listed.setdefault(number := int(row["id"]), one)["part"] != one["part"]:
                        found = f"{listed[number]['part']} and {one['part']}"
                        raise StudyError(f"{path}: expected each product in one part. Found {number} in {found}.")
        except (OSError, ValueError, KeyError, TypeError, EOFError, lzma.LZMAError) as error:
            raise StudyError(f"{path} is not a list of a split's products: {error!r}.") from error
    sizes = Counter(one["part"] for one in listed.values())
    if {*sizes} != {*PARTS}:
        found = ", ".join(f"{part!r} ({size:,})" for part, size in sorted(sizes.items())) or "none"
        raise StudyError(f"{source}: expected products in each of the parts {list(PARTS)}. Found {found}.")
    with (
        target.with_name("products.jsonl").open(encoding="utf-8") as products,
        target.open("w", encoding="utf-8") as file,
    ):
        for product in map(json.loads, products):
            if one := listed.pop(product["id"], {}):
                about = product.get("productDescriptors", {}).get("description", {}).get("value")
                kept = {name: product.get(name) for name in ("id", "brandName", "productDisplayName")}
                one = {**one, **kept, "description": about}
                file.write(json.dumps(one, ensure_ascii=False, sort_keys=True, separators=(",", ":")) + "\n")
    if listed:
        shown = ", ".join(map(str, sorted(listed)[:3]))
        raise StudyError(f"{source} lists {len(listed):,} products that the catalogue lacks, such as {shown}.")


# The weights

_NORM_ROWS = ("weight", "bias", "running_mean", "running_var")
# In this order, for it is part of the file's bytes.
_METADATA = {
    "preprocessing": "RGB, /255, mean .485 .456 .406, std .229 .224 .225",
    "features": "relu(features(x)).mean((2,3)) -> 1664",
    "batchnorm_eps": "1.001e-5",
    "architecture": "torchvision.models.densenet169 without classifier",
}


def layer_file(parameter: str) -> str:
    """Name the file that holds a parameter of torchvision's DenseNet.

    >>> layer_file("features.denseblock2.denselayer3.norm1.bias")
    'conv3_block3_0_bn.bin'
    >>> layer_file("features.transition1.conv.weight")
    'pool2_conv.bin'
    """
    *_, layer, _ = parameter.split(".")
    kind = "bn" if layer.startswith("norm") else "conv"
    if inner := re.match(r"features\.denseblock(\d)\.denselayer(\d+)\.\D+(\d)", parameter):
        block, unit, number = map(int, inner.groups())
        return f"conv{block + 1}_block{unit}_{number - (kind == 'bn')}_{kind}.bin"
    if transition := re.match(r"features\.transition(\d)", parameter):
        return f"pool{int(transition[1]) + 1}_{kind}.bin"
    return "bn.bin" if layer == "norm5" else f"conv1_{kind}.bin"


def layer_files() -> list[str]:
    """Return the names of all files that the network's features are made of, in order."""
    return sorted({layer_file(name) for name in _shapes()})


def make_weights(source: Path, target: Path) -> None:
    """Write the weights as safetensors: a copy if `source` is a file, put together if it is a folder of layers.

    Raises
    ------
    StudyError
        If a layer's file has not as many numbers as the layer.
    """
    if source.is_file():
        shutil.copyfile(source, target)
        return
    shapes, end = _shapes(), 0
    header: dict[str, object] = {"__metadata__": _METADATA}
    for name, shape in shapes.items():
        start, end = end, end + 4 * shape.numel()
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with target.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.writelines(_content(source, name, shape) for name, shape in shapes.items())


def _content(folder: Path, name: str, shape: torch.Size) -> bytes:
    content = (folder / layer_file(name)).read_bytes()
    *_, layer, role = name.split(".")
    rows, row = (len(_NORM_ROWS), _NORM_ROWS.index(role)) if layer.startswith("norm") else (1, 0)
    size = 4 * shape.numel()
    if len(content) != rows * size:
        raise StudyError(f"{layer_file(name)} of the weights has {len(content):,} bytes; expected {rows * size:,}.")
    return content[row * size : (row + 1) * size]


def _shapes() -> dict[str, torch.Size]:
    """Parameters of the network up to its last hidden layer, sorted by name, with their shapes."""
    with torch.device("meta"):
        state = densenet169().features.state_dict(prefix="features.")
    return {name: state[name].shape for name in sorted(state) if not name.endswith("num_batches_tracked")}
