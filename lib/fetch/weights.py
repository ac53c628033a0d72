"""DenseNet-169's pretrained weights, put together from raw layers into one safetensors file.

The layers are little-endian float32 files named as in Keras. A convolution is stored as torch has it (output, input,
height, width); a batch normalisation is four rows: weight, bias, running mean, running variance.
"""

import json
import re
import shutil
import struct
from pathlib import Path

import torch
from torchvision.models import densenet169

from lib.errors import StudyError

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
