"""`make data`: the same bytes wherever they come from, nothing trusted, nothing done twice."""

import hashlib
import io
import json
import lzma
import shutil
import subprocess
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests
import torch
from safetensors.torch import load_file
from torchvision.models import densenet169

from lib.exceptions import StudyError
from lib.fetch import __main__ as fetch
from lib.fetch.__main__ import Item, Origin, build, download, main
from lib.fetch.content import layer_files, make_images, make_products, make_split_products, make_weights, split_file

PROJECT = Path(__file__).parents[2]
COMMIT = "c0ffee"


def style(number: int, **fields: object) -> bytes:
    """An upstream document of one product, with what is kept and what is not."""
    product = {
        "id": number,
        "brandName": "Zoë",
        "articleType": {"id": 90, "typeName": "Tshirts", "active": True},
        "productDescriptors": {"description": {"descriptorType": "description", "value": "<p>Soft</p>"}},
        "brandUserProfile": {"uidx": "an account"},
        "styleImages": {"default": {"imageURL": "http://example.org/1.jpg"}},
    }
    return json.dumps({"meta": {"code": 200}, "data": product | fields}).encode()


def line(number: int) -> str:
    """What stands of it in products.jsonl."""
    return (
        '{"articleType":{"typeName":"Tshirts"},"brandName":"Zoë",'
        f'"id":{number},"productDescriptors":{{"description":{{"value":"<p>Soft</p>"}}}}}}\n'
    )


STYLES = {9: style(9), 10: style(10), 1163: style(1163)}
LINES = "".join(line(number) for number in STYLES)
PHOTOS = {number: f"photo {number} ".encode() * 2000 for number in STYLES}
LAYERS = {"a.bin": b"layer a", "b.bin": b"layer b"}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def tar(entries: dict[str, bytes], compression: str = "gz", links: tuple[tarfile.TarInfo, ...] = ()) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=f"w:{compression}") as archive:
        for name, content in entries.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for link in links:
            archive.addfile(link)
    return buffer.getvalue()


def join_layers(source: Path, target: Path) -> None:
    names = [source] if source.is_file() else sorted(source.iterdir())
    target.write_bytes(b"".join(name.read_bytes() for name in names))


def items(tmp_path: Path) -> list[Item]:
    """The three kinds of item, tiny, with pins that do not come from the code under test where that can be."""
    zipped = tmp_path / "expected.zip"
    with zipfile.ZipFile(zipped, "w") as archive:
        for number, photo in PHOTOS.items():
            info = zipfile.ZipInfo(f"{number}.jpg", (1980, 1, 1, 0, 0, 0))
            info.external_attr = 0o644 << 16
            archive.writestr(info, photo)
    products, images, weights = sha256(LINES.encode()), sha256(zipped.read_bytes()), sha256(b"layer alayer b")
    return [
        Item("fashion/products.jsonl", products, "o/styles", COMMIT, "styles.tar.xz", make_products),
        Item("fashion/images.zip", images, "o/images", COMMIT, "images.zip", make_images),
        Item("weights/w.bin", weights, "o/weights", COMMIT, "w.bin", join_layers, lambda: list(LAYERS), "raw"),
    ]


def upstream_files() -> dict[str, bytes]:
    """What the tiny GitHub has; the archives' entries are in no useful order."""
    styles = {f"styles-{COMMIT}/data/styles/{n}.json": STYLES[n] for n in (1163, 9, 10)}
    photos = {f"images-{COMMIT}/data/images/{n}.jpg": PHOTOS[n] for n in (10, 1163, 9)}
    return {
        f"/o/styles/tar.gz/{COMMIT}": tar(styles | {f"styles-{COMMIT}/README.md": b"Read me"}),
        f"/o/images/tar.gz/{COMMIT}": tar(photos),
        **{f"/o/weights/{COMMIT}/raw/{name}": content for name, content in LAYERS.items()},
    }


def write_mirror(folder: Path) -> Path:
    folder.mkdir()
    (folder / "styles.tar.xz").write_bytes(tar({f"styles/{n}.json": STYLES[n] for n in STYLES}, "xz"))
    with zipfile.ZipFile(folder / "images.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number in reversed(PHOTOS):
            archive.writestr(f"images/{number}.jpg", PHOTOS[number])
    (folder / "w.bin").write_bytes(b"layer alayer b")
    return folder


class Upstream:
    """A web server on loopback: its files, its habits, and what it was asked."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.ranges = True
        self.etag: str | None = '"v1"'
        self.cut_after: list[int] = []  # bytes after which the next answers break off
        self.asked: list[tuple[str, str | None]] = []  # path and range of each request
        self.url = ""


@pytest.fixture
def upstream():
    state = Upstream()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def do_GET(self):
            wanted = self.headers.get("Range")
            state.asked.append((self.path, wanted))
            content = state.files.get(self.path)
            if content is None:
                self.send_error(404)
                return
            start = 0
            if wanted and state.ranges and self.headers.get("If-Range") == state.etag:
                start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(content) - start))
            if state.etag:
                self.send_header("ETag", state.etag)
            self.end_headers()
            end = start + state.cut_after.pop(0) if state.cut_after else len(content)
            self.wfile.write(content[start:end])
            self.close_connection = end < len(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def origin(upstream, tmp_path) -> Origin:
    upstream.files = upstream_files()
    return Origin(tmp_path / "downloads", archives=upstream.url, files=upstream.url, wait_seconds=0)


def get(url: str, target: Path) -> Path:
    with requests.Session() as session:
        return download(url, target, session, wait_seconds=0)


def content_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# What is made


def test_upstream_and_mirror_give_the_same_bytes_sorted_and_pruned(origin, tmp_path):
    mirror = Origin(tmp_path / "unused", mirror=write_mirror(tmp_path / "mirror"))
    made = build(tmp_path / "a", origin, items(tmp_path))
    assert build(tmp_path / "b", mirror, items(tmp_path)) == made
    files = content_of(tmp_path / "a")
    assert files == content_of(tmp_path / "b")
    assert sorted(files) == ["fashion/SOURCE.md", "fashion/images.zip", "fashion/products.jsonl", "weights/w.bin"]
    assert files["fashion/products.jsonl"].decode() == LINES
    with zipfile.ZipFile(tmp_path / "a/fashion/images.zip") as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {f"{n}.jpg": PHOTOS[n] for n in PHOTOS}


def test_only_what_is_missing_or_wrong_is_made_and_what_a_killed_build_left_is_removed(origin, upstream, tmp_path):
    (tmp_path / "data/fashion").mkdir(parents=True)
    (tmp_path / "data/fashion/.images.zip.99999999.partial").write_text("half")
    build(tmp_path / "data", origin, items(tmp_path))
    before = content_of(tmp_path / "data")
    assert len(before) == 4
    upstream.asked.clear()
    assert build(tmp_path / "data", origin, items(tmp_path)) == []
    assert upstream.asked == []
    assert content_of(origin.downloads) == {}
    (tmp_path / "data/fashion/products.jsonl").write_text("changed")
    assert build(tmp_path / "data", origin, items(tmp_path)) == ["fashion/products.jsonl"]
    assert content_of(tmp_path / "data") == before


# A published split

HEAD = "number,id,masterCategory,subCategory,articleType,productDisplayName\n"


def write_split(folder: Path, **parts: str) -> Path:
    """Write the authors' three files, with one product each unless something else is said."""
    (folder / "authors").mkdir(exist_ok=True)
    (folder / "products.jsonl").write_text(LINES)
    rows = {"train": "0,1163,Apparel,Topwear,Tops\n", "validation": "0,9,Apparel,Topwear,Shirts\n"}
    for part, content in ({**rows, "test": "0,10,Apparel,Topwear,Tops\n"} | parts).items():
        (folder / "authors" / split_file(part)).write_text(HEAD + content)
    return folder / "authors"


def test_a_published_split_is_joined_with_the_products_from_upstream_and_mirror_alike(tmp_path):
    make_split_products(write_split(tmp_path), tmp_path / "made.jsonl")
    rows = [json.loads(row) for row in (tmp_path / "made.jsonl").read_text().splitlines()]
    assert [(row["id"], row["part"], row["articleType"]) for row in rows] == [
        (9, "validation", "Shirts"),
        (10, "test", "Tops"),
        (1163, "train", "Tops"),
    ]
    assert (rows[0]["brandName"], rows[0]["description"]) == ("Zoë", "<p>Soft</p>")
    listed = "id,part,masterCategory,subCategory,articleType\n9,validation,Apparel,Topwear,Shirts\n"
    listed += "10,test,Apparel,Topwear,Tops\n1163,train,Apparel,Topwear,Tops\n"
    (tmp_path / "split.csv.xz").write_bytes(lzma.compress(listed.encode()))
    make_split_products(tmp_path / "split.csv.xz", tmp_path / "again.jsonl")
    assert (tmp_path / "again.jsonl").read_bytes() == (tmp_path / "made.jsonl").read_bytes()
    (tmp_path / "split.csv.xz").write_bytes(lzma.compress(listed.replace("test", "dev").encode()))
    with pytest.raises(
        StudyError, match=r"in each of the parts .*'test'\]\. Found 'dev' \(1\), 'train' \(1\), 'validation'"
    ):
        make_split_products(tmp_path / "split.csv.xz", tmp_path / "again.jsonl")


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"test": ""}, r"products in each of the parts .* Found 'train' \(1\), 'validation' \(1\)\."),
        ({"test": "0,77,A,B,C\n1,10,A,B,C\n"}, r"lists 1 products that the catalogue lacks, such as 77\."),
        ({"test": "0,9,A,B,C\n"}, r"expected each product in one part\. Found 9 in validation and test\."),
        ({"test": "0,ten,A,B,C\n"}, r"fashion_product_test\.csv is not a list of a split's products"),
        ({"test": "0\n"}, r"fashion_product_test\.csv is not a list of a split's products"),
    ],
    ids=["empty part", "unknown id", "two parts", "no number", "short row"],
)
def test_a_published_split_that_does_not_fit_is_one_message(tmp_path, parts, message):
    with pytest.raises(StudyError, match=message):
        make_split_products(write_split(tmp_path, **parts), tmp_path / "made.jsonl")


# Names from outside


def link(kind: bytes, name: str, target: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def test_hostile_names_and_links_in_an_archive_are_nothing_but_ignored(tmp_path):
    hostile = {
        "../../escaped/data/styles/1.json": style(1),
        "/absolute/styles/2.json": style(2),
        f"{tmp_path}/data/styles/3.json": style(3),
        "top/data/styles/../4.json": style(4),
        "top/data/styles/5.json/../../../x": style(5),
    }
    links = (
        link(tarfile.SYMTYPE, "top/data/styles/6.json", "/etc/passwd"),
        link(tarfile.LNKTYPE, "top/data/styles/7.json", "top/data/styles/9.json"),
        link(tarfile.FIFOTYPE, "top/data/styles/8.json", ""),
    )
    source = tmp_path / "work" / "hostile.tar.gz"
    source.parent.mkdir()
    source.write_bytes(tar({"top/data/styles/9.json": style(9)} | hostile, links=links))
    make_products(source, source.parent / "products.jsonl")
    assert (source.parent / "products.jsonl").read_text("utf-8") == line(9)
    assert sorted(content_of(tmp_path)) == ["work/hostile.tar.gz", "work/products.jsonl"]


def test_an_entry_that_unpacks_to_too_much_is_refused(tmp_path):
    source = tmp_path / "bomb.tar.gz"
    source.write_bytes(tar({"top/data/styles/9.json": bytes(17 * 2**20)}))
    with pytest.raises(StudyError, match=r"styles/9\.json has 17,825,792 bytes"):
        make_products(source, tmp_path / "products.jsonl")


# The network


def test_a_broken_download_goes_on_where_it_stopped(upstream, tmp_path):
    upstream.files = {"/file": (content := bytes(range(256)) * 4096)}
    upstream.cut_after = [300_000, 500_000]
    assert get(f"{upstream.url}/file", tmp_path / "file").read_bytes() == content
    starts = [int(wanted.removeprefix("bytes=").removesuffix("-")) for _, wanted in upstream.asked[1:]]
    assert 200_000 < starts[0] <= 300_000
    assert 600_000 < starts[1] <= 800_000
    assert sorted(content_of(tmp_path)) == ["file"]


@pytest.mark.parametrize("etag", ['"v1"', 'W/"v1"', None])
def test_without_ranges_it_starts_over(upstream, tmp_path, etag):
    upstream.files = {"/file": (content := bytes(range(256)) * 4096)}
    upstream.ranges, upstream.etag, upstream.cut_after = False, etag, [300_000]
    assert get(f"{upstream.url}/file", tmp_path / "file").read_bytes() == content


def test_giving_up_says_so_and_keeps_what_arrived_unless_the_content_has_changed(upstream, tmp_path):
    for tag in ("v1", "v2"):
        upstream.files, upstream.cut_after = {"/file": b"old" * 200_000}, [100_000] * 4
        upstream.etag = '"v1"'
        with pytest.raises(StudyError, match=r"Cannot download http://.*/file: .*Run `make data` again"):
            get(f"{upstream.url}/file", tmp_path / tag)
        assert not (tmp_path / tag).exists()
        upstream.files, upstream.etag = {"/file": (b"old" if tag == "v1" else b"new") * 200_000}, f'"{tag}"'
        assert get(f"{upstream.url}/file", tmp_path / tag).read_bytes() == upstream.files["/file"]
        assert upstream.asked[-1][1] not in (None, "bytes=0-")


def test_a_file_that_the_server_lacks(origin, upstream, tmp_path):
    del upstream.files[f"/o/images/tar.gz/{COMMIT}"]
    with pytest.raises(
        StudyError, match=rf"Cannot download http://.*/o/images/tar\.gz/{COMMIT}: the server answers 404"
    ):
        build(tmp_path / "data", origin, items(tmp_path))
    assert sorted(content_of(tmp_path / "data")) == ["fashion/products.jsonl"]


def test_no_network(tmp_path):
    origin = Origin(tmp_path / "downloads", archives="http://127.0.0.1:9", files="http://127.0.0.1:9", wait_seconds=0)
    with pytest.raises(StudyError, match=r"Cannot download http://127\.0\.0\.1:9/o/styles"):
        build(tmp_path / "data", origin, items(tmp_path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (tar({"top/data/styles/9.json": style(9)}), "expected SHA-256 .*, found"),
        (tar({f"top/data/styles/{n}.json": style(n) for n in range(99)})[:-200], "truncated or damaged"),
        (b"<html>Sign in</html>", "truncated or damaged"),
        (tar({"top/data/styles/9.json": b"{"}), "the document of product 9 is not as expected"),
        (tar({"top/data/styles/9.json": b"[]"}), "the document of product 9 is not as expected"),
    ],
    ids=["other content", "cut archive", "no archive", "no JSON", "another shape"],
)
def test_wrong_content_is_refused_and_forgotten(origin, upstream, tmp_path, content, message):
    right = upstream.files[f"/o/styles/tar.gz/{COMMIT}"]
    upstream.files[f"/o/styles/tar.gz/{COMMIT}"] = content
    with pytest.raises(StudyError, match=message):
        build(tmp_path / "data", origin, items(tmp_path))
    assert content_of(tmp_path / "data") == {}
    upstream.files[f"/o/styles/tar.gz/{COMMIT}"] = right
    assert build(tmp_path / "data", origin, items(tmp_path))[0] == "fashion/products.jsonl"


def test_a_full_disk_is_noticed_before_anything_is_fetched(origin, upstream, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "NEEDED_MIB", 2**40)
    with pytest.raises(StudyError, match="MiB left on its disk; `make data` needs"):
        build(tmp_path / "data", origin, items(tmp_path))
    assert upstream.asked == []


# The mirror and the command


def test_the_command_says_what_is_wrong_without_a_traceback(study, tmp_path, capsys):
    assert main(["--mirror", str(tmp_path / "nowhere")]) == 1
    assert capsys.readouterr().err.endswith("nowhere, which is not a folder.\n")
    mirror = tmp_path / "mirror" / "data" / "fashion"
    mirror.parent.mkdir(parents=True)
    write_mirror(mirror)
    assert main(["--mirror", str(tmp_path / "mirror")]) == 1
    error = capsys.readouterr().err
    assert "data/fashion/products.jsonl" in error
    assert "is not what this study was made with" in error
    assert not (study / "data").exists() or content_of(study / "data") == {}
    (mirror / "styles.tar.xz").unlink()
    assert main(["--mirror", str(tmp_path / "mirror")]) == 1
    error = capsys.readouterr().err
    assert "mirror lacks data/fashion/styles.tar.xz, of which data/fashion/products.jsonl is made" in error


@pytest.mark.slow
@pytest.mark.skipif(not (PROJECT / "../shared/data").is_dir(), reason="there is no mirror of the real catalogue here")
def test_the_real_catalogue_is_what_data_dvc_pins(study, capsys):
    shutil.copy(PROJECT / "data.dvc", study)
    shutil.copytree(PROJECT / ".dvc", study / ".dvc", ignore=shutil.ignore_patterns("tmp", "cache"))
    subprocess.run(["git", "init", "--quiet", str(study)], check=True)
    assert main(["--mirror", str(PROJECT / "../shared")]) == 0
    assert capsys.readouterr().out.count("made, verified") == 4
    (study / "data/weights/notes.txt").write_text("mine")
    assert main(["--mirror", str(PROJECT / "../shared")]) == 1
    assert "not as data.dvc pins it" in capsys.readouterr().err


# The weights


def layers_of(network: torch.nn.Module) -> dict[str, bytes]:
    """The network's layers as upstream stores them, named by walking through it block by block."""
    parts = network.features
    named = {"conv1_conv": parts.conv0, "conv1_bn": parts.norm0, "bn": parts.norm5}
    for block in (1, 2, 3, 4):
        for unit, layer in enumerate(getattr(parts, f"denseblock{block}").values(), 1):
            prefix = f"conv{block + 1}_block{unit}"
            named |= {f"{prefix}_0_bn": layer.norm1, f"{prefix}_1_conv": layer.conv1}
            named |= {f"{prefix}_1_bn": layer.norm2, f"{prefix}_2_conv": layer.conv2}
    for number in (1, 2, 3):
        transition = getattr(parts, f"transition{number}")
        named |= {f"pool{number + 1}_bn": transition.norm, f"pool{number + 1}_conv": transition.conv}
    return {f"{name}.bin": layer_bytes(layer) for name, layer in named.items()}


def layer_bytes(layer: torch.nn.Module) -> bytes:
    rows = [layer.weight]
    if isinstance(layer, torch.nn.BatchNorm2d):
        rows += [layer.bias, layer.running_mean, layer.running_var]
    return b"".join(row.detach().numpy().tobytes() for row in rows)


def test_weights_are_put_together_from_raw_layers(tmp_path):
    network = densenet169()
    for name, values in network.named_buffers():
        if "running" in name:
            values.uniform_()
    for name, values in network.named_parameters():
        if "norm" in name:
            torch.nn.init.uniform_(values)
    for name, content in (layers := layers_of(network)).items():
        (tmp_path / name).write_bytes(content)
    assert layer_files() == sorted(layers)
    make_weights(tmp_path, tmp_path / "w.safetensors")
    loaded = load_file(tmp_path / "w.safetensors")
    state = {name: value for name, value in network.state_dict().items() if not name.endswith("num_batches_tracked")}
    assert set(state) - set(loaded) == {"classifier.weight", "classifier.bias"}
    assert all(torch.equal(value, state[name]) for name, value in loaded.items())


def test_a_layer_of_another_length_is_refused(tmp_path):
    for name in layer_files():
        (tmp_path / name).write_bytes(b"1234")
    with pytest.raises(StudyError, match=r"conv1_conv\.bin of the weights has 4 bytes; expected 37,632"):
        make_weights(tmp_path, tmp_path / "w.safetensors")
