"""From photos to vectors: a pretrained network, as fast as this machine allows, and a process of it on every core.

There is one way from a photo's bytes to its vector, for the catalogue's photos (`lib.features.image`) and for those of
new products (`lib.tagging`) alike. The processes that compute vectors import this module and what it needs, and no
more: starting them is what costs.
"""

import os
import shutil
import sysconfig
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import PIL
import torch
import torchvision
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse

from lib.clean.photos import Archive, Folder, PhotoError, Pixels, decode_photo, open_photos
from lib.config import Backbone, Params
from lib.exceptions import StudyError
from lib.features.backbones import Pretrained, find_weights, load_backbone
from lib.files import fingerprint
from lib.processes import cores, worker_pool

COMPILE_FROM = 5_000  # photos: fewer are done before compiling, which takes a minute or two, would be
PART = 256  # photos that a process is given at once
MAX_PROCESSES = 16  # each holds a network of its own

Features = npt.NDArray[np.float16]


# One network


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
        try:
            with torch.inference_mode():
                self.dimension = int(model(torch.zeros(1, 3, setup.size, setup.size)).shape[1])
        except (RuntimeError, AssertionError, ValueError) as error:
            raise StudyError(
                f"{setup.backbone} cannot read photos of {setup.size} x {setup.size} pixels: {error}"
            ) from error
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


@dataclass(frozen=True)
class Network:
    """All that a process needs to know to load a pretrained network."""

    wanted: Backbone
    pretrained: Pretrained
    setup: Setup
    device: torch.device

    @classmethod
    def choose(cls, wanted: Backbone, weights: Path | None, params: Params, photos: int) -> "Network":
        """Settle how photos become features on this machine, for a catalogue with that many different ones.

        Parameters
        ----------
        weights
            Their file; None where `wanted` needs none (`lib.features.backbones.find_weights`).

        Raises
        ------
        StudyError
            If the weights cannot be had, or a GPU is asked for and there is none.
        """
        pretrained, device = find_weights(wanted, weights), choose_device(params.accelerator)
        precision, on_gpu = choose_precision(params.image.precision, device), device.type == "cuda"
        setup = Setup(
            backbone=wanted.backbone,
            weights_sha256=pretrained.sha256,
            batch_norm_epsilon=wanted.batch_norm_epsilon,
            mean=pretrained.mean,
            std=pretrained.std,
            size=wanted.size,
            precision=precision,
            batch_size=params.image.batch_size,
            compiled=choose_compiled(params.image.compile, precision, device, photos),
            device=torch.cuda.get_device_name() if on_gpu else f"cpu {torch.backends.cpu.get_cpu_capability()}",
            versions=f"torch {torch.__version__}, torchvision {torchvision.__version__}, pillow {PIL.__version__}",
        )
        return cls(wanted, pretrained, setup, device)

    def load(self) -> Extractor:
        """Build the network, and read its weights."""
        return Extractor(load_backbone(self.wanted, self.pretrained), self.setup, self.device)


# Many photos


class Vectors(NamedTuple):
    """What a network makes of some photos: a row each, zeros where there is none, and why there is none, or empty."""

    features: Features
    reasons: list[str]


def compute(place: Path, parts: Iterable[Sequence[str | None]], network: Network) -> Iterator[Vectors]:
    """Compute the vectors of the photos in a folder or an archive, some names at a time, in their order.

    On a processor every core has a process with one thread, which decodes photos as well. Cores that work on one photo
    together wait for one another after every layer: on a quiet machine that costs a little, and on a busy one most of
    the time. The sums are the same. Only so many parts are under way that no process waits, so that memory does not
    grow with the photos. On a GPU, and where there is no second part, this process works alone and decodes in threads.
    """
    parts = iter(parts)
    first = list(islice(parts, 2))
    parts = chain(first, parts)
    if network.device.type == "cuda" or len(first) < 2:  # or less work than starting a process
        photos, extractor = open_photos(place), network.load()
        for names in parts:
            yield vectors_of(photos, names, extractor, cores())
        return
    processes = min(cores(), MAX_PROCESSES)
    waiting: deque[Future[Vectors]] = deque()
    with worker_pool(processes, __name__) as pool:
        try:
            for names in parts:
                waiting.append(pool.submit(_compute_part, place, names, network, cores() // processes))
                if len(waiting) > 2 * processes:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def vectors_of(
    photos: Archive | Folder, names: Sequence[str | None], extractor: Extractor, threads: int = 1
) -> Vectors:
    """Compute the vectors of some photos in this process. A name of None is a product without a photo."""
    features, reasons = np.zeros((len(names), extractor.dimension), np.float16), [""] * len(names)

    def decode(row: int) -> tuple[int, Pixels | None]:
        try:
            return row, decode_photo(photos.read(names[row] or ""), extractor.setup.size)
        except PhotoError as error:
            reasons[row] = str(error)
            return row, None

    there = [row for row, name in enumerate(names) if name]
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with ThreadPoolExecutor(threads) as decoders:
            decoded = decoders.map(decode, there) if threads > 1 else map(decode, there)
            usable = ((row, pixels) for row, pixels in decoded if pixels is not None)
            while batch := list(islice(usable, extractor.setup.batch_size)):
                rows, pixels = zip(*batch, strict=True)
                features[list(rows)] = extractor(torch.from_numpy(np.stack(pixels)))
    finally:
        torch.set_num_threads(before)
    return Vectors(features, reasons)


def _compute_part(place: Path, names: Sequence[str | None], network: Network, threads: int) -> Vectors:
    return vectors_of(_opened(place), names, _loaded(network), threads)


_loaded, _opened = cache(Network.load), cache(open_photos)  # once a worker process
