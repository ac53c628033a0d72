"""Features are the same photo's in every batch, close to float32 at every speed, and named by what made them."""

import dataclasses
import shutil

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from lib import config
from lib.exceptions import StudyError
from lib.features import vectors
from lib.features.backbones import SmallVGG, build_backbone
from lib.features.vectors import Extractor, Network, choose_compiled, choose_device, choose_precision

CPU = torch.device("cpu")


def setup_of(path):
    """Return how photos become features with these weights of the small network."""
    image = {"precision": "float32", "compile": "never", "batch_size": 4}
    params = config.load_params().model_copy(update={"accelerator": "cpu", "image": config.ImageParams(**image)})
    return Network.choose(config.Backbone(backbone="small_vgg", size=64), path, params, photos=10).setup


@pytest.fixture(scope="module")
def setup(tmp_path_factory):
    """Return the setup of a small network in float32, batches of four."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    save_file(SmallVGG().state_dict(), path)
    return setup_of(path)


def make(setup, **changes):
    changed = dataclasses.replace(setup, **changes)
    torch.manual_seed(0)
    return Extractor(build_backbone(changed.backbone, changed.size)[0], changed, CPU)


def pixels(number, size=64):
    return torch.randint(0, 256, (number, size, size, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def similarity(a, b):
    a, b = a.astype(np.float64), b.astype(np.float64)
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


@pytest.mark.parametrize("name", ["small_vgg", "resnet18"])
def test_float32_features_are_those_of_the_plain_torchvision_network(setup, name):
    torch.manual_seed(0)
    model, _ = build_backbone(name, 64)
    normalize = torchvision.transforms.Normalize(setup.mean, setup.std)
    with torch.inference_mode():
        plain = model(normalize(pixels(3).permute(0, 3, 1, 2) / 255)).numpy()
    ours = make(setup, backbone=name)(pixels(3))
    assert ours.dtype == np.float16
    assert ours.shape == (3, make(setup, backbone=name).dimension)
    assert np.allclose(ours, plain, atol=2e-3, rtol=2e-3)


@pytest.mark.parametrize("name", ["small_vgg", "resnet18", "densenet121"])
def test_bfloat16_features_point_where_float32_features_do(setup, name):
    reference = make(setup, backbone=name)(pixels(4))
    assert similarity(make(setup, backbone=name, precision="bfloat16")(pixels(4)), reference).min() > 0.999


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["small_vgg", "densenet121"])
def test_features_do_not_depend_on_the_batch(setup, name, precision):
    network = make(setup, backbone=name, precision=precision)
    together = np.concatenate([network(pixels(8)[:4]), network(pixels(8)[4:])])
    order = [6, 1, 4, 7, 0, 5, 2, 3]
    mixed = np.concatenate([network(pixels(8)[order[:4]]), network(pixels(8)[order[4:]])])
    assert np.array_equal(mixed, together[order])
    assert np.array_equal(np.concatenate([network(photo[None]) for photo in pixels(8)]), together)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
def test_compiled_features_are_close_and_do_not_depend_on_the_batch(setup):
    network = make(setup, compiled=True, precision="bfloat16")
    features = network(pixels(4))
    assert similarity(features, make(setup)(pixels(4))).min() > 0.999
    assert np.array_equal(network(pixels(4)[2:3]), features[2:3])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_gpu_features_are_close_to_the_processors(setup):
    torch.manual_seed(0)
    gpu = torch.device("cuda")
    changed = dataclasses.replace(setup, precision=choose_precision("auto", gpu))
    network = Extractor(build_backbone("small_vgg", 64)[0], changed, gpu)
    assert similarity(network(pixels(4)), make(setup)(pixels(4))).min() > 0.999


def test_features_that_are_not_finite_are_refused(setup):
    network = make(setup)
    network.network.get_submodule("classifier.0").bias.data[0] = float("nan")
    with pytest.raises(StudyError, match="small_vgg returns features that are not finite"):
        network(pixels(1))


def test_features_beyond_float16_are_cut_off(setup):
    network = make(setup)
    network.network.get_submodule("classifier.0").bias.data[0] = 1e6
    assert network(pixels(1)).max() == np.finfo(np.float16).max


def test_size_that_a_network_cannot_read_is_one_clear_error(setup):
    with pytest.raises(StudyError, match=r"small_vgg cannot read photos of 64 x 64 pixels: .*[Kk]ernel size"):
        Extractor(nn.Conv2d(3, 4, kernel_size=65), setup, CPU)


def test_key_differs_wherever_features_may(setup):
    others = {"weights_sha256": "0", "batch_norm_epsilon": 1e-3, "size": 32, "precision": "bfloat16", "batch_size": 8}
    others |= {"backbone": "vgg16", "compiled": True, "device": "gpu", "versions": "torch 9", "mean": (0.5, 0.5, 0.5)}
    others |= {"std": (1.0, 1.0, 1.0)}
    assert set(others) == {field.name for field in dataclasses.fields(setup)}
    keys = {dataclasses.replace(setup, **{name: value}).key for name, value in others.items()}
    assert len(keys | {setup.key}) == len(others) + 1
    assert dataclasses.replace(setup).key == setup.key


def test_weights_are_known_by_content_not_by_name(setup, tmp_path):
    torch.manual_seed(0)
    save_file(SmallVGG().state_dict(), path := tmp_path / "another-name.safetensors")
    assert setup_of(path).key == setup.key


def test_gpu_that_is_not_there_is_one_clear_error(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == choose_device("cpu") == CPU
    with pytest.raises(
        StudyError, match=r"accelerator is 'gpu', but torch finds no GPU here\. Expected 'auto' or 'cpu'"
    ):
        choose_device("gpu")


@pytest.mark.parametrize(("has", "precision"), [(True, "bfloat16"), (False, "float32")])
def test_automatic_precision_follows_the_processor(monkeypatch, has, precision):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": has, "cpu_name": "any", "avx2": True})
    assert choose_precision("auto", CPU) == precision
    assert choose_precision("bfloat16", CPU) == "bfloat16"


def test_only_many_photos_pay_for_compiling(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(vectors.Path, "is_file", lambda _: True)
    many = vectors.COMPILE_FROM
    assert choose_compiled("auto", "bfloat16", CPU, many)
    assert not choose_compiled("auto", "bfloat16", CPU, many - 1)
    assert not choose_compiled("auto", "float32", CPU, many)
    assert not choose_compiled("auto", "bfloat16", torch.device("cuda"), many)
    assert not choose_compiled("never", "bfloat16", CPU, many)
    assert choose_compiled("always", "float32", CPU, 1)


def test_nothing_is_compiled_without_a_compiler(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert not choose_compiled("auto", "bfloat16", CPU, vectors.COMPILE_FROM)
