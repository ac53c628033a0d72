"""A pretrained network as a function from decoded photos to features, as fast as this machine allows."""

import os
import shutil
import sysconfig
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import PIL
import torch
import torchvision
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse

from lib.artifacts import file_sha256, fingerprint
from lib.backbones import Pretrained
from lib.config import Backbone, ImageParams
from lib.errors import StudyError

COMPILE_FROM = 5_000  # photos: fewer are done before compiling, which takes a minute or two, would be

Features = npt.NDArray[np.float16]


@dataclass(frozen=True)
class Setup:
    """All that determines a photo's features, beside its bytes."""

    backbone: str
    weights_sha256: str
    batch_norm_epsilon: float | None
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    size: int
    precision: str
    batch_size: int
    compiled: bool
    device: str
    versions: str

    @property
    def key(self) -> str:
        """Sixteen hexadecimal digits that differ wherever features may."""
        return fingerprint(asdict(self))


def choose_setup(
    wanted: Backbone, pretrained: Pretrained, params: ImageParams, device: torch.device, photos: int
) -> Setup:
    """Settle how features are computed on this machine, for a catalogue with that many different photos."""
    precision = choose_precision(params.precision, device)
    return Setup(
        backbone=wanted.backbone,
        weights_sha256=file_sha256(pretrained.path),
        batch_norm_epsilon=wanted.batch_norm_epsilon,
        mean=pretrained.mean,
        std=pretrained.std,
        size=wanted.size,
        precision=precision,
        batch_size=params.batch_size,
        compiled=choose_compiled(params.compile, precision, device, photos),
        device=torch.cuda.get_device_name()
        if device.type == "cuda"
        else f"cpu {torch.backends.cpu.get_cpu_capability()}",
        versions=f"torch {torch.__version__}, torchvision {torchvision.__version__}, pillow {PIL.__version__}",
    )


def choose_device(accelerator: str) -> torch.device:
    """Return the GPU if it is asked for, or if there is one and `auto` is.

    Raises
    ------
    StudyError
        If a GPU is asked for and there is none.
    """
    if accelerator == "gpu" and not torch.cuda.is_available():
        raise StudyError("params.yaml: accelerator is 'gpu', but torch finds no GPU here. Expected 'auto' or 'cpu'.")
    return torch.device("cuda" if accelerator != "cpu" and torch.cuda.is_available() else "cpu")


def choose_precision(asked: str, device: torch.device) -> str:
    """Resolve `auto`: bfloat16 where the processor computes with it, float32 elsewhere.

    >>> choose_precision("float32", torch.device("cpu"))
    'float32'
    """
    if asked != "auto":
        return asked
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    native = any(has is True for name, has in torch.cpu.get_capabilities().items() if "bf16" in name)
    return "bfloat16" if native else "float32"


def choose_compiled(asked: str, precision: str, device: torch.device, photos: int) -> bool:
    """Resolve `auto`: compile for a processor with bfloat16, where a C++ compiler is and the photos are many.

    `photos` counts all of a catalogue's, not those that are still to do: a compiled network rounds differently, and a
    run that goes on where another was killed must not mix the two.

    >>> choose_compiled("auto", "float32", torch.device("cpu"), photos=1_000_000)
    False
    """
    pays = device.type == "cpu" and precision == "bfloat16" and photos >= COMPILE_FROM
    headers = Path(sysconfig.get_path("include"), "Python.h").is_file()
    can = headers and shutil.which(os.environ.get("CXX", "g++")) is not None
    return asked == "always" or (asked == "auto" and pays and can)


class Extractor:
    """A network that turns decoded photos into features, in batches of one shape.

    The shape is always the same, so that a photo's features depend neither on the photos beside it nor on how many
    there are. BatchNorm is folded into the convolution before it where that is exact.
    """

    def __init__(self, model: nn.Module, setup: Setup, device: torch.device) -> None:
        self.setup, self.device = setup, device
        self.dtype: torch.dtype = getattr(torch, setup.precision)
        self.mean = 255 * torch.tensor(setup.mean, device=device).view(1, 3, 1, 1)
        self.std = 255 * torch.tensor(setup.std, device=device).view(1, 3, 1, 1)
        self.dimension = _dimension(model, setup)
        network = fuse(model).to(device, self.dtype).to(memory_format=torch.channels_last)
        self.network = torch.compile(network, options={"freezing": True}) if setup.compiled else network

    @torch.inference_mode()
    def __call__(self, pixels: Tensor) -> Features:
        """Return the features (photos, dimension) of at most a batch of photos (photos, size, size, 3), uint8.

        Raises
        ------
        StudyError
            If a feature is not finite.
        """
        photos = (pixels.to(self.device).permute(0, 3, 1, 2) - self.mean) / self.std
        shape = (self.setup.batch_size, *photos.shape[1:])
        batch = torch.zeros(shape, dtype=self.dtype, device=self.device).to(memory_format=torch.channels_last)
        batch[: len(photos)] = photos
        features = self.network(batch)[: len(photos)].float()
        if not torch.isfinite(features).all():
            raise StudyError(f"{self.setup.backbone} returns features that are not finite. Are its weights right?")
        largest = float(np.finfo(np.float16).max)
        return np.asarray(features.clamp(-largest, largest).cpu().numpy(), np.float16)


@torch.inference_mode()
def _dimension(model: nn.Module, setup: Setup) -> int:
    """Return how many numbers the network makes of a photo, by showing it one."""
    try:
        return int(model(torch.zeros(1, 3, setup.size, setup.size)).shape[1])
    except (RuntimeError, AssertionError, ValueError) as error:
        raise StudyError(
            f"{setup.backbone} cannot read photos of {setup.size} x {setup.size} pixels: {error}"
        ) from error
