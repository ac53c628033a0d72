"""The image stage: a row of features for every product, none computed twice, none lost when the run is killed."""

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import save_file

from lib import config, files
from lib.exceptions import StudyError
from lib.features import image
from lib.features.backbones import SmallVGG

KILLED = """
import os, signal
import numpy as np
from lib.features import image

savez, written = np.savez, []

def save_then_die(file, **arrays):
    if len(written) == 2:
        file.write(b"half a shard")
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    written.append(file)
    savez(file, **arrays)

np.savez, image.PART = save_then_die, 4
image.extract_catalogue("tiny")
"""


def jpeg(shade):
    file = io.BytesIO()
    rng = np.random.default_rng(shade)
    Image.fromarray(rng.integers(0, 256, (8, 6, 3), np.uint8)).resize((60, 80)).save(file, "JPEG")
    return file.getvalue()


def write_weights(path, seed=0):
    torch.manual_seed(seed)
    save_file(SmallVGG().state_dict(), path)


def write_photos(root, photos):
    """Write the archive, and a product for each of its entries, from p00 on."""
    with zipfile.ZipFile(root / "build/tiny/raw/images.zip", "w") as archive:
        for name, content in photos.items():
            archive.writestr(name, content)
    write_products({f"p{row:02d}": name for row, name in enumerate(photos)})


def write_products(images):
    table = pd.DataFrame({"product_id": list(images), "image": pd.Series(list(images.values()), dtype="str")})
    table.to_parquet(config.build_dir("tiny", "clean", "products.parquet"))


def features():
    return np.load(config.build_dir("tiny", "image", "features.npy"))


def status():
    return pd.read_parquet(config.build_dir("tiny", "image", "status.parquet")).set_index("product_id")


def contents():
    """Return the bytes of everything that the stage wrote."""
    return {path.name: path.read_bytes() for path in sorted(config.build_dir("tiny", "image").glob("*.*"))}


def shards():
    return sorted(config.root().glob("build/cache/image/*/*.npz"))


@pytest.fixture
def tiny(study) -> Path:
    """A catalogue of ten good photos, a small network, and no more."""
    params = yaml.safe_load((study / "params.yaml").read_text())
    params["study"] = {"tiny": {"source": ".", "weights": "weights.safetensors"}}
    params["image"] = {"precision": "auto", "compile": "auto", "batch_size": 4}
    params["accelerator"] = "cpu"
    (study / "params.yaml").write_text(yaml.safe_dump(params))
    demo = yaml.safe_load((study / "catalogues/demo.yaml").read_text())
    demo["image"] = {"backbone": "small_vgg", "size": 64}
    (study / "catalogues/tiny.yaml").write_text(yaml.safe_dump(demo))
    for part in ("raw", "clean"):
        (study / "build/tiny" / part).mkdir(parents=True)
    write_weights(study / "weights.safetensors")
    write_photos(study, {f"{number:07d}.jpg": jpeg(number) for number in range(10)})
    return study


def test_every_product_gets_the_row_of_its_own_photo(tiny):
    image.extract_catalogue("tiny")
    first = features()
    assert first.dtype == np.float16
    assert first.shape == (10, 256)
    assert len(np.unique(first, axis=0)) == 10
    order = [7, 2, 2, 9]
    write_products({f"q{place}": f"{number:07d}.jpg" for place, number in enumerate(order)})
    image.extract_catalogue("tiny")
    assert np.array_equal(features(), first[order])
    assert list(status().index) == ["q0", "q1", "q2", "q3"]


def test_photos_that_cannot_be_used_cost_one_row_each_and_say_why(tiny):
    photos = {"a.jpg": jpeg(1), "b.jpg": b"<html>", "c.jpg": jpeg(2)[:-100], "d.jpg": b"", "e.jpg": jpeg(1)}
    write_photos(tiny, photos)
    named = {f"p{row}": name for row, name in enumerate([*photos, None, "../../etc/passwd", "b.jpg"])}
    write_products(named)
    manifest = image.extract_catalogue("tiny")
    found = status()
    kinds = ["ok", "broken", "broken", "broken", "ok", "missing", "missing", "broken"]
    assert found["status"].tolist() == kinds
    assert manifest["products"] == {"ok": 2, "missing": 2, "broken": 4}
    assert (found["detail"] == "").tolist() == [kind == "ok" for kind in kinds]
    assert "not an image" in found["detail"]["p1"]
    assert "truncated" in found["detail"]["p2"].lower()
    assert found["detail"]["p5"] == "the product has no photo"
    assert features().any(axis=1).tolist() == [kind == "ok" for kind in kinds]
    assert np.array_equal(features()[0], features()[4])


@pytest.mark.parametrize("photos", [{}, {"broken.jpg": b"no photo"}])
def test_catalogue_without_any_photo_gets_features_without_columns(tiny, photos):
    write_photos(tiny, photos)
    write_products({"p0": None, "p1": "gone.jpg", "p2": next(iter(photos), None)})
    manifest = image.extract_catalogue("tiny")
    assert manifest["products"] == {"ok": 0, "missing": 3 - len(photos), "broken": len(photos)}
    assert (manifest["dimension"], features().shape) == (0, (3, 0))


def test_manifest_says_how_features_were_made(tiny):
    manifest = image.extract_catalogue("tiny")
    written = files.read_json(config.build_dir("tiny", "image", "manifest.json"))
    assert json.loads(json.dumps(manifest)) == written
    assert manifest["backbone"] == "small_vgg"
    assert manifest["weights_sha256"] == files.file_sha256(tiny / "weights.safetensors")
    assert (manifest["size"], manifest["dimension"], manifest["photos"]) == (64, 256, 10)
    assert manifest["precision"] in ("float32", "bfloat16")
    assert manifest["compiled"] is False


def test_other_networks_have_features_of_their_own_and_leave_the_catalogues_as_they_are(tiny):
    image.extract_catalogue("tiny")
    alone, own = contents(), shards()
    path = tiny / "catalogues/tiny.yaml"
    content = yaml.safe_load(path.read_text())
    content["image"]["also"] = {"random": {"backbone": "small_vgg", "size": 48, "weights": "random"}}
    path.write_text(yaml.safe_dump(content))
    manifest = image.extract_catalogue("tiny")
    folder = config.build_dir("tiny", "image")
    assert {name: (folder / name).read_bytes() for name in alone} == alone
    assert set(own) < set(shards())
    other = files.read_json(folder / "random/manifest.json")
    assert (other["size"], other["weights_sha256"], manifest["size"]) == (48, "drawn with seed 0", 64)
    vectors = np.load(folder / "random/features.npy")
    assert len(np.unique(vectors, axis=0)) == 10
    files.remove(tiny / "build/cache")
    image.extract_catalogue("tiny")
    assert np.array_equal(np.load(folder / "random/features.npy"), vectors)


def test_another_network_without_weights_is_refused_before_any_photo_is_read(tiny):
    path = tiny / "catalogues/tiny.yaml"
    content = yaml.safe_load(path.read_text())
    content["image"]["also"] = {"second": {"backbone": "resnet18", "size": 64}}
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(StudyError, match="The backbone 'resnet18' has no weights"):
        image.extract_catalogue("tiny")
    assert shards() == []


def test_same_inputs_give_the_same_bytes(tiny):
    image.extract_catalogue("tiny")
    first = contents()
    files.remove(tiny / "build/cache")
    image.extract_catalogue("tiny")
    assert contents() == first
    assert sorted(first) == ["features.npy", "manifest.json", "status.parquet"]


def test_processes_make_the_features_that_one_makes(tiny, monkeypatch):
    image.extract_catalogue("tiny")
    alone = contents()
    files.remove(tiny / "build/cache")
    monkeypatch.setattr("lib.features.image.PART", 4)
    image.extract_catalogue("tiny")
    assert len(shards()) == 3
    assert contents() == alone


def test_photo_that_is_known_is_not_computed_again(tiny):
    image.extract_catalogue("tiny")
    known = {path: path.stat().st_mtime_ns for path in shards()}
    write_photos(tiny, {f"another{number}.jpg": jpeg(number) for number in (3, 5, 11)})
    image.extract_catalogue("tiny")
    assert {path: path.stat().st_mtime_ns for path in known} == known
    added = [np.load(path)["hashes"].tolist() for path in shards() if path not in known]
    assert [len(hashes) for hashes in added] == [1]


def test_other_weights_have_a_cache_of_their_own(tiny):
    image.extract_catalogue("tiny")
    first = features()
    write_weights(tiny / "weights.safetensors", seed=1)
    image.extract_catalogue("tiny")
    assert len({path.parent for path in shards()}) == 2
    assert not np.array_equal(features(), first)


def test_killed_run_leaves_nothing_that_looks_complete_and_the_next_one_goes_on(tiny):
    image.extract_catalogue("tiny")
    undisturbed = contents()
    files.remove(tiny / "build/cache")
    files.remove(config.build_dir("tiny", "image"))
    killed = subprocess.run(
        [sys.executable, "-c", KILLED], cwd=Path(__file__).parents[2], capture_output=True, check=False
    )
    assert killed.returncode == -9, killed.stderr.decode()
    assert not config.build_dir("tiny", "image").exists()
    kept = {path: path.stat().st_mtime_ns for path in shards()}
    assert len(kept) == 2
    image.extract_catalogue("tiny")
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert sum(len(np.load(path)["hashes"]) for path in shards()) == 10
    assert contents() == undisturbed


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b[:900] + b"?" + b[901:]])
def test_damaged_part_of_the_cache_is_made_again(tiny, damage, capsys):
    image.extract_catalogue("tiny")
    undisturbed = contents()
    (shard,) = shards()
    shard.write_bytes(damage(shard.read_bytes()))
    image.extract_catalogue("tiny")
    assert contents() == undisturbed
    assert "is damaged and will be made again" in capsys.readouterr().err


def truncate(tiny):
    path = tiny / "build/tiny/raw/images.zip"
    path.write_bytes(path.read_bytes()[:-40])


def other_weights(tiny):
    save_file({"layer": torch.zeros(1)}, tiny / "weights.safetensors")


def no_weights(tiny):
    (tiny / "weights.safetensors").unlink()


def no_products(tiny):
    (tiny / "build/tiny/clean/products.parquet").unlink()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (truncate, r"images\.zip is not a whole ZIP archive"),
        (other_weights, r"weights\.safetensors do not fit the network"),
        (no_weights, r"weights\.safetensors, which is missing"),
        (no_products, r"products\.parquet is missing"),
    ],
)
def test_what_the_stage_hangs_on_is_missing_or_damaged(tiny, spoil, message):
    image.extract_catalogue("tiny")
    before = contents()
    spoil(tiny)
    with pytest.raises(StudyError, match=message):
        image.extract_catalogue("tiny")
    assert contents() == before


def test_cache_that_lost_a_photo_is_noticed(tmp_path):
    photos = pd.DataFrame({"product_id": ["p"], "status": ["ok"], "detail": [""], "hash": ["0" * 64]})
    with pytest.raises(StudyError, match="lost 1 photos"):
        image.write_features(tmp_path / "features.npy", photos, [], dimension=3)


def test_progress_writes_little_into_a_log(capsys):
    with image.progress(total=1_000, done=100) as bar:
        for _ in range(900):
            bar.update(1)
    written = capsys.readouterr().err
    assert "1000/1000" in written
    assert written.count("photos") <= 3
