"""Photos a second from JPEG to feature: ours, against a plain float32 loop over torchvision's transforms.

The plain one is what one would write first: a `Dataset` with Resize, CenterCrop, ToTensor and Normalize, a `DataLoader`
with two workers, and the network without its last layer, in float32. Both see the same photos, in turns, once the
networks are warm: the first photos on every core are left out. Weights are random, which changes no time. The ratio
counts; the photos a second depend on the machine, and on what else it does.

    python benchmarks/image.py [--photos 320] [--rounds 3] [--backbones densenet169 vgg16] [--accelerator auto]
"""

import argparse
import io
import resource
import statistics
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from lib.clean.photos import Archive
from lib.config import Backbone, root
from lib.features.backbones import Pretrained, build_backbone
from lib.features.vectors import COMPILE_FROM, Network, Setup, choose_compiled, choose_device, choose_precision, compute
from lib.processes import cores

PART = 32  # photos that a process is given at once
SIZE, MEAN, STD = 224, Pretrained._field_defaults["mean"], Pretrained._field_defaults["std"]


class PlainPhotos(Dataset):
    """Photos of an archive through torchvision's transforms."""

    def __init__(self, path, names):
        self.path, self.names, self.archive = path, names, None
        steps = [transforms.Resize(SIZE), transforms.CenterCrop(SIZE), transforms.ToTensor()]
        self.transform = transforms.Compose([*steps, transforms.Normalize(MEAN, STD)])

    def __len__(self):
        return len(self.names)

    def __getitem__(self, row):
        self.archive = self.archive or zipfile.ZipFile(self.path)
        return self.transform(Image.open(io.BytesIO(self.archive.read(self.names[row]))).convert("RGB"))


def write_photos(path, number):
    """Write smooth noise, of the size that the photos of `fashion` have."""
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(path, "w") as archive:
        for row in range(number):
            image = Image.fromarray(rng.integers(0, 256, (12, 9, 3), np.uint8)).resize((60, 80))
            image.save(file := io.BytesIO(), "JPEG")
            archive.writestr(f"{row}.jpg", file.getvalue())


def find_photos(folder, number):
    path = root() / "data/fashion/images.zip"
    if not path.is_file():
        path = Path(folder, "images.zip")
        write_photos(path, number)
    return path, [name for name in sorted(Archive(path).zip.namelist()) if name.endswith(".jpg")][:number]


def make_ours(name, device, folder):
    precision = choose_precision("auto", device)
    compiled = choose_compiled("auto", precision, device, COMPILE_FROM)
    setup = Setup(name, "", None, MEAN, STD, SIZE, precision, 16, compiled, str(device), "")
    weights = Path(folder, f"{name}.safetensors")
    save_file(build_backbone(name, SIZE)[0].state_dict(), weights)
    return Network(Backbone(backbone=name, size=SIZE), Pretrained(weights), setup, device)


def rate(times):
    """Return photos a second from (time, photos done then), after the first on every core, which may compile."""
    times = list(times)
    (begun, _), *rest = times[cores() - 1 :]
    return sum(photos for _, photos in rest) / (rest[-1][0] - begun)


def run_ours(network, path, names):
    for vectors in compute(path, [names[begin : begin + PART] for begin in range(0, len(names), PART)], network):
        yield time.perf_counter(), len(vectors.reasons)


@torch.inference_mode()
def run_plain(model, device, path, names):
    for photos in DataLoader(PlainPhotos(path, names), 32, num_workers=2):
        model(photos.to(device)).cpu().numpy()
        yield time.perf_counter(), len(photos)


def compare(name, device, path, names, rounds, folder):
    """Print photos a second of both, the median of the rounds, and the median of the rounds' ratios."""
    ours, plain = make_ours(name, device, folder), build_backbone(name, SIZE)[0].to(device)
    rates = [(rate(run_ours(ours, path, names)), rate(run_plain(plain, device, path, names))) for _ in range(rounds)]
    speeds = [statistics.median(kind) for kind in zip(*rates, strict=True)]
    ratio = statistics.median(own / theirs for own, theirs in rates)
    kind = f"{ours.setup.precision}{', compiled' if ours.setup.compiled else ''}"
    print(f"{name:12} ours {speeds[0]:7.1f} photos/s ({kind})", end="  ")
    print(f"plain {speeds[1]:7.1f} photos/s  ratio {ratio:.2f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=320)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--backbones", nargs="+", default=["densenet169", "vgg16"])
    parser.add_argument("--accelerator", choices=["auto", "cpu", "gpu"], default="auto")
    arguments = parser.parse_args()
    device = choose_device(arguments.accelerator)
    matrix_units = torch.cpu.get_capabilities().get("amx_bf16", False)
    print(f"{torch.get_num_threads()} threads on {device}; processor with bf16 matrix units (AMX): {matrix_units}")
    with tempfile.TemporaryDirectory() as folder:
        path, names = find_photos(folder, arguments.photos)
        for name in arguments.backbones:
            compare(name, device, path, names, arguments.rounds, folder)
    peaks = [resource.getrusage(who).ru_maxrss / 2**20 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print(f"peak memory of both together: {peaks[0]:.2f} GiB, and {peaks[1]:.2f} GiB in the largest worker")


if __name__ == "__main__":
    main()
