"""Any torchvision classifier, or the study's own network, becomes a function to its last hidden layer."""

import functools
import hashlib
import http.server
import threading

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn
from torch.fx.experimental.optimization import fuse

from lib.config import Backbone
from lib.exceptions import StudyError
from lib.features import backbones
from lib.features.backbones import Pretrained, build_backbone, find_weights, load_backbone, load_weights, read_weights

SMALL = [("small_vgg", 64, 256), ("resnet18", 64, 512), ("mobilenet_v3_small", 64, 1024), ("densenet121", 64, 1024)]
SMALL += [("squeezenet1_1", 64, 512), ("shufflenet_v2_x0_5", 64, 1024), ("regnet_y_400mf", 64, 440)]


def wanted(name="small_vgg", size=64, **others):
    return Backbone(backbone=name, size=size, **others)


def photos(size, number=2):
    return torch.rand(number, 3, size, size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("name", "size", "dimension"), SMALL)
def test_features_are_what_the_last_layer_reads(name, size, dimension):
    torch.manual_seed(0)
    model, head = build_backbone(name, size)
    torch.manual_seed(0)
    whole = backbones.SmallVGG() if name == "small_vgg" else torchvision.models.get_model(name, weights=None)
    seen = []
    whole.eval().get_submodule(head).register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    with torch.inference_mode():
        whole(photos(size))
        features = model(photos(size))
    assert features.shape == (2, dimension)
    assert torch.allclose(features, seen[0].mean((2, 3)).relu() if seen[0].ndim == 4 else seen[0], atol=1e-5)


@pytest.mark.parametrize(("name", "dimension"), [("vgg11", 4096), ("vgg16", 4096), ("densenet169", 1664)])
def test_the_papers_network_and_the_studys_have_the_dimension_they_are_known_for(name, dimension):
    with torch.device("meta"):
        model, _ = build_backbone(name, 224)
        assert model(torch.zeros(1, 3, 224, 224)).shape == (1, dimension)


def test_densenet_features_are_rectified_and_averaged():
    model, _ = build_backbone("densenet121", 64)
    with torch.inference_mode():
        assert torch.allclose(model(photos(64)), model.features(photos(64)).relu().mean((2, 3)), atol=1e-6)


def test_every_classifier_of_torchvision_can_be_named():
    assert set(torchvision.models.list_models(module=torchvision.models)) < set(backbones.backbone_names())


def test_unknown_backbone_is_answered_with_the_nearest():
    with pytest.raises(StudyError, match=r"no backbone 'densnet169'\. Expected .*Did you mean 'densenet169'\?"):
        build_backbone("densnet169", 224)


def test_the_embedded_network_fits_into_the_repository():
    parameters = sum(p.numel() for p in backbones.SmallVGG(num_classes=1).parameters())
    assert 4 * parameters < 2 * 2**20


@pytest.fixture
def weights_file(tmp_path):
    """Return a function that writes the weights of an untrained network, changed by another function."""

    def make(change=lambda state: state, name="small_vgg"):
        torch.manual_seed(1)
        model = backbones.SmallVGG() if name == "small_vgg" else torchvision.models.get_model(name, weights=None)
        save_file(change(model.state_dict()), path := tmp_path / "weights.safetensors")
        return path

    return make


@pytest.mark.parametrize("with_head", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_weights_are_loaded_with_or_without_the_last_layer(weights_file, with_head, dtype):
    def change(state):
        return {name: v.to(dtype) for name, v in state.items() if with_head or not name.startswith("classifier.3.")}

    path = weights_file(change)
    state = load_backbone(wanted(), Pretrained(path)).state_dict()
    assert not any(name.startswith("classifier.3.") for name in state)
    for name, value in read_weights(path).items():
        if not name.startswith("classifier.3."):
            assert torch.equal(state[name], value.to(state[name].dtype))


def test_weights_that_do_not_fit_are_refused_with_the_names_of_layers(weights_file):
    def change(state):
        del state["features.0.0.weight"]
        state["features.1.0.weight"] = torch.zeros(5, 3)
        return {**state, "extra.weight": torch.zeros(1)}

    with pytest.raises(StudyError) as caught:
        load_backbone(wanted(), Pretrained(weights_file(change)))
    message = str(caught.value)
    assert "weights.safetensors do not fit the network" in message
    assert "1 missing (features.0.0.weight)" in message
    assert "1 unexpected (extra.weight)" in message
    assert "1 of another shape (features.1.0.weight [5, 3] instead of [64, 32, 3, 3])" in message


def test_weights_of_another_network_are_refused_in_a_short_message(weights_file):
    with pytest.raises(StudyError) as caught:
        load_backbone(wanted("resnet18"), Pretrained(weights_file()))
    assert "100 missing (bn1.bias, bn1.running_mean, bn1.running_var)" in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pth"])
@pytest.mark.parametrize("content", [b"", b"not weights", b"\x80\x04K\x01."])
def test_damaged_weights_are_one_clear_error(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(StudyError, match=r"cannot be read as a network's weights"):
        read_weights(tmp_path / name)


class Evil:
    """Pickled, it would run code where it is read."""

    def __reduce__(self):
        return (open, ("evil", "w"))


def test_code_in_a_weights_file_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"layer": Evil()}, tmp_path / "weights.pth")
    with pytest.raises(StudyError, match="cannot be read"):
        read_weights(tmp_path / "weights.pth")
    assert not (tmp_path / "evil").exists()


def test_batch_norm_epsilon_is_set_in_every_layer(weights_file):
    model = load_backbone(wanted(batch_norm_epsilon=1.001e-5), Pretrained(weights_file()))
    assert {m.eps for m in model.modules() if isinstance(m, nn.BatchNorm2d)} == {1.001e-5}


def test_backbone_without_weights_says_where_to_name_them():
    with pytest.raises(StudyError, match=r"'vgg16' has no weights\. Name a file in params\.yaml"):
        find_weights(wanted("vgg16", 224), None)


def test_the_catalogues_file_is_used_where_it_names_none_of_torchvisions(tmp_path):
    assert find_weights(wanted(), tmp_path / "w.safetensors").path == tmp_path / "w.safetensors"


@pytest.mark.parametrize(
    ("backbone", "weights", "hint"),
    [
        ("vgg16", "VGG16_Weights.IMAGENET1K_V2", r"Did you mean 'VGG16_Weights\.IMAGENET1K_V1'\?"),
        ("vgg16", "ResNet18_Weights.IMAGENET1K_V1", "It has"),
        ("small_vgg", "VGG16_Weights.IMAGENET1K_V1", r"It has \[\]"),
    ],
)
def test_unknown_weights_of_torchvision_are_answered_with_the_nearest(backbone, weights, hint):
    with pytest.raises(StudyError, match=rf"torchvision has no '{weights}' for '{backbone}'\. .*{hint}"):
        find_weights(wanted(backbone, weights=weights), None)


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Return a function that serves untrained weights on loopback as torchvision's own, under a name with a hash."""
    served, hub = tmp_path / "served", tmp_path / "hub"
    served.mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=served)
    monkeypatch.setattr(http.server.SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    monkeypatch.setattr(torch.hub, "_hub_dir", str(hub))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def publish(member, state, digest=None):
        torch.save(state, tmp_path / "state.pth")
        content = (tmp_path / "state.pth").read_bytes()
        name = f"net-{(digest or hashlib.sha256(content).hexdigest())[:8]}.pth"
        (served / name).write_bytes(content)
        url = f"http://127.0.0.1:{server.server_port}/{name}"
        changed = torchvision.models.Weights(url, member.transforms, member.meta)
        monkeypatch.setattr(member, "_value_", changed)
        return served / name, hub / "checkpoints" / name

    yield publish
    server.shutdown()
    server.server_close()


def test_torchvisions_weights_are_downloaded_once_and_loaded(published):
    member = torchvision.models.SqueezeNet1_1_Weights.IMAGENET1K_V1
    torch.manual_seed(2)
    state = torchvision.models.squeezenet1_1().state_dict()
    served, cached = published(member, state)
    named = wanted("squeezenet1_1", 64, weights="SqueezeNet1_1_Weights.IMAGENET1K_V1")
    found = find_weights(named, None)
    assert found.path == cached
    assert found.mean == (0.485, 0.456, 0.406)
    served.unlink()
    loaded = load_backbone(named, find_weights(named, None)).state_dict()
    assert torch.equal(loaded["features.3.squeeze.weight"], state["features.3.squeeze.weight"])


def test_old_names_of_densenets_layers_are_understood(published):
    torch.manual_seed(3)
    state = torchvision.models.densenet121().state_dict()
    old = {
        name.replace("norm1.", "norm.1.").replace("norm2.", "norm.2.").replace("conv1.", "conv.1."): value
        for name, value in state.items()
    }
    published(torchvision.models.DenseNet121_Weights.IMAGENET1K_V1, old)
    named = wanted("densenet121", 64, weights="DenseNet121_Weights.IMAGENET1K_V1")
    name = "features.denseblock1.denselayer1.norm1.weight"
    assert torch.equal(load_backbone(named, find_weights(named, None)).state_dict()[name], state[name])


def test_download_whose_content_is_not_what_its_name_says_is_refused(published):
    _, cached = published(torchvision.models.VGG11_Weights.IMAGENET1K_V1, {"a": torch.zeros(1)}, digest="0" * 8)
    with pytest.raises(StudyError, match=r"cannot be downloaded from http.*invalid hash value"):
        find_weights(wanted("vgg11", weights="VGG11_Weights.IMAGENET1K_V1"), None)
    assert not cached.exists()


def test_downloaded_file_that_was_damaged_later_is_deleted(published):
    _, cached = published(torchvision.models.VGG11_Weights.IMAGENET1K_V1, {"a": torch.zeros(1)})
    named = wanted("vgg11", weights="VGG11_Weights.IMAGENET1K_V1")
    find_weights(named, None)
    cached.write_bytes(cached.read_bytes()[:-1])
    with pytest.raises(StudyError, match=r"was damaged \(its SHA-256"):
        find_weights(named, None)
    find_weights(named, None)  # as it was deleted, it is downloaded again


def test_without_a_network_the_error_says_what_to_do(published):
    served, _ = published(torchvision.models.VGG11_Weights.IMAGENET1K_V1, {"a": torch.zeros(1)})
    served.unlink()
    with pytest.raises(StudyError, match=r"cannot be downloaded .*404.* name a safetensors file in params\.yaml"):
        find_weights(wanted("vgg11", weights="VGG11_Weights.IMAGENET1K_V1"), None)


def test_only_the_last_layer_may_be_absent():
    model, head = build_backbone("small_vgg", 64)
    state = model.state_dict()
    del state["classifier.0.bias"]
    with pytest.raises(StudyError, match=r"1 missing \(classifier\.0\.bias\)"):
        load_weights(model, head, state, "here")


def test_lite2_is_read_from_its_package_and_sees_what_the_published_network_sees(monkeypatch):
    from efficientnet_lite_pytorch import EfficientNet

    found = find_weights(wanted(backbones.LITE2, 260), None)
    assert found.sha256 == backbones.LITE2_SHA256
    assert torch.allclose(torch.tensor(found.mean) * 255, torch.tensor(127.0))
    whole = EfficientNet.from_name("efficientnet-lite2", image_size=260).eval()
    whole.load_state_dict(torch.load(found.path, weights_only=True))
    model = load_backbone(wanted(backbones.LITE2, 260), found)
    with torch.inference_mode():
        features = model(photos(260))
        expected = whole.extract_features(photos(260)).mean((2, 3))
    assert features.shape == (2, 1280)
    assert torch.allclose(features, expected, atol=1e-4)
    assert not [layer for layer in fuse(model).modules() if isinstance(layer, nn.BatchNorm2d)]
    monkeypatch.setattr(backbones, "LITE2_SHA256", "0" * 64)
    with pytest.raises(StudyError, match=r"lite2-9656183e\.pth is damaged: expected SHA-256 000.*, found 9656183e"):
        find_weights(wanted(backbones.LITE2, 260), None)


def test_random_weights_are_always_the_same_and_touch_no_other_chance():
    torch.manual_seed(5)
    expected = torch.rand(3)
    models = []
    for seed in (5, 6):
        torch.manual_seed(seed)
        models.append(
            load_backbone(wanted("densenet121", 64, weights="random"), find_weights(wanted(weights="random"), None))
        )
        assert torch.equal(torch.rand(3), expected) is (seed == 5)
    for one, other in zip(*(model.state_dict().values() for model in models), strict=True):
        assert torch.equal(one, other)
