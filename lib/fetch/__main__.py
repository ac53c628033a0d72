"""`make data`: what `data/` consists of, where each file comes from, and how it is known to be right."""

import argparse
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import requests
from tqdm.auto import tqdm

from lib.config import root
from lib.config.base import PARTS
from lib.exceptions import StudyError
from lib.fetch.content import (
    layer_files,
    make_images,
    make_products,
    make_split_products,
    make_weights,
    split_file,
)
from lib.files import file_sha256, remove, whole


@dataclass(frozen=True)
class Item:
    """A file of `data/`: its content's hash, its pinned origin on GitHub, and its place in a mirror."""

    path: str
    sha256: str
    repository: str
    commit: str
    mirror: str
    make: Callable[[Path, Path], None]
    files: Callable[[], Sequence[str]] | None = None  # single files of the repository; the whole archive if None
    under: str = ""  # the folder that holds `files`


ITEMS = (
    Item(
        path="fashion/products.jsonl",
        sha256="735c76ef7d14c0bb199c196bab0d5f2c44bbe0fe2921752a30255ad52953798f",
        repository="aerospike-examples/retail-demo",
        commit="08a4edca30ca878336c8971b5951bee73e61de4a",
        mirror="data/fashion/styles.tar.xz",
        make=make_products,
    ),
    Item(
        path="fashion/images.zip",
        sha256="57d02d9424aeeebaab7e0f8be6825d7ed1787921f55abf8cd5dd7ae36af62855",
        repository="tanmay0401/multimodal-recommendation-engine",
        commit="a86a10b3b5cc961819c7912124d0a86fe64c6f67",
        mirror="data/fashion/images.zip",
        make=make_images,
    ),
    Item(
        path="fashion/condition_cnn.jsonl",  # made of products.jsonl above, too
        sha256="651f45f68ca6daff8f4bfa0a3eccd3892ff72e39230039cc569cb5f96f6e8ed9",
        repository="bKolisnik/Condition-CNN",
        commit="3117b0e13cf3581d868c21b2d6778582f5789037",
        mirror="data/condition-cnn/split.csv.xz",
        make=make_split_products,
        files=lambda: [split_file(part) for part in PARTS],
    ),
    Item(
        path="weights/densenet169.safetensors",
        sha256="82aaa3a367573718adfd9cec5d31483818a5edd8ab344587edd7548454f99aa5",
        repository="aGoodCat/PACT-CUSNN",
        commit="75c5f375e8486b7bad9b769b39efbb09322082f9",
        mirror="weights/densenet169-imagenet-notop.safetensors",
        make=make_weights,
        files=layer_files,
        under="weights/densenet169/weights",
    ),
)
_ATTEMPTS = 4
_TIMEOUT_SECONDS = (10, 60)
_CHUNK_BYTES = 2**16
_BROKEN = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
NEEDED_MIB = 400  # what is made
ARCHIVES_MIB = 3000  # what is downloaded for it, at most: the server does not say how much it is


@dataclass(frozen=True)
class Origin:
    """Where things come from: a mirror folder if there is one, else two web servers laid out like GitHub's."""

    downloads: Path
    mirror: Path | None = None
    archives: str = "https://codeload.github.com"
    files: str = "https://raw.githubusercontent.com"
    wait_seconds: float = 2.0  # before a second attempt, and longer before later ones

    def obtain(self, item: Item) -> Path:
        """Return a local archive, file or folder that `item` can be made of."""
        if self.mirror:
            path = self.mirror / item.mirror
            if not path.is_file():
                raise StudyError(f"The mirror {self.mirror} lacks {item.mirror}, of which data/{item.path} is made.")
            return path
        place = self._place(item)
        with requests.Session() as session:
            if item.files is None:
                url = f"{self.archives}/{item.repository}/tar.gz/{item.commit}"
                return download(url, place, session, wait_seconds=self.wait_seconds)
            base = "/".join(filter(None, [self.files, item.repository, item.commit, item.under]))
            for name in tqdm(item.files(), desc=place.name, unit=" files", mininterval=1):
                download(f"{base}/{name}", place / name, session, wait_seconds=self.wait_seconds, quiet=True)
        return place

    def discard(self, item: Item) -> None:
        """Forget what was downloaded for `item`."""
        if not self.mirror:
            remove(self._place(item))

    def _place(self, item: Item) -> Path:
        return self.downloads / (item.repository.rpartition("/")[2] + ("" if item.files else ".tar.gz"))


def build(folder: Path, origin: Origin, items: Sequence[Item] = ITEMS) -> list[str]:
    """Make every item that is missing or wrong in `folder`; return the paths of those that were made.

    Each file is verified by its content before it takes its place, so that a later run does no work twice.

    Raises
    ------
    StudyError
        If something cannot be had, is damaged, is not what was expected, or the disk is too full.
    """
    there = {item.path: file_sha256(folder / item.path) for item in items if (folder / item.path).is_file()}
    missing = [item for item in items if there.get(item.path) != item.sha256]
    place = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free_mib, needed_mib = shutil.disk_usage(place).free >> 20, NEEDED_MIB + (0 if origin.mirror else ARCHIVES_MIB)
    if missing and free_mib < needed_mib:
        raise StudyError(f"{place} has {free_mib:,} MiB left on its disk; `make data` needs {needed_mib:,} MiB.")
    for item in missing:
        source = origin.obtain(item)
        with whole(folder / item.path) as partial:
            try:
                item.make(source, partial)
                if (found := file_sha256(partial)) != item.sha256:
                    raise StudyError(
                        f"data/{item.path}, made of {source}, is not what this study was made with: "
                        f"expected SHA-256 {item.sha256}, found {found}."
                    )
            except StudyError:
                origin.discard(item)  # damaged or wrong: going on with it would never end well
                raise
        origin.discard(item)
    with whole(folder / "fashion" / "SOURCE.md") as partial:
        shutil.copyfile(Path(__file__).with_name("SOURCE.md"), partial)
    return [item.path for item in missing]


# Downloads that go on where they broke off


def download(
    url: str, target: Path, session: requests.Session, *, wait_seconds: float = 2.0, quiet: bool = False
) -> Path:
    """Download `url` to `target`, unless it is there, and return `target`.

    What has arrived stands in `TARGET.partial`. A later call goes on from there if the server knows ranges and still
    has the same content (by its strong entity tag or its date); otherwise it starts over.

    Raises
    ------
    StudyError
        If the server cannot be reached, has no such file, or broke off too often. A partial file stays.
    """
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    partial, version = (target.with_name(f"{target.name}.{end}") for end in ("partial", "version"))
    problem = ""
    for attempt in range(_ATTEMPTS):
        time.sleep(wait_seconds * attempt)  # not at all before the first
        try:
            _continue(url, partial, version, session, quiet)
            version.unlink(missing_ok=True)
            return partial.replace(target)
        except _BROKEN as error:
            problem = str(error)
    raise StudyError(f"Cannot download {url}: {problem}. Run `make data` again to go on, or name a MIRROR folder.")


def _continue(url: str, partial: Path, version: Path, session: requests.Session, quiet: bool) -> None:
    """Get the rest of a file, or all of it; `version` keeps what names its version, if anything."""
    headers = {"Accept-Encoding": "identity"}
    if known := version.read_text("utf-8") if partial.exists() and version.exists() else "":
        headers |= {"Range": f"bytes={partial.stat().st_size}-", "If-Range": known}
    with session.get(url, headers=headers, stream=True, timeout=_TIMEOUT_SECONDS) as response:
        status = response.status_code
        if status == 416:  # the partial file is no beginning of what the server has
            partial.unlink(missing_ok=True)
        if status in (416, 429) or status >= 500:
            raise requests.ConnectionError(f"the server answers {status}")
        if status not in (200, 206):
            raise StudyError(
                f"Cannot download {url}: the server answers {status}. Name a MIRROR folder if you have one."
            )
        tag = response.headers.get("ETag", "")
        weak = not tag or tag.startswith("W/")
        version.write_text(response.headers.get("Last-Modified", "") if weak else tag, "utf-8")
        start = partial.stat().st_size if status == 206 else 0
        total = start + int(response.headers.get("Content-Length", 0)) or None
        bar = tqdm(total=total, initial=start, desc=partial.stem, unit="B", unit_scale=True, disable=quiet)
        with partial.open("ab" if status == 206 else "wb") as file, bar:
            for chunk in response.iter_content(_CHUNK_BYTES):
                bar.update(file.write(chunk))


# The command


def main(arguments: Sequence[str] | None = None) -> int:
    """Build `data/` and check it against `data.dvc`; return the exit status."""
    parser = argparse.ArgumentParser(prog="make data", description="Build data/ and verify it.")
    parser.add_argument("--mirror", type=Path, help="a folder with the same content, instead of the network")
    options = parser.parse_args(arguments)
    try:
        if options.mirror and not options.mirror.is_dir():
            raise StudyError(f"MIRROR names {options.mirror}, which is not a folder.")
        made = build(root() / "data", Origin(root() / "build" / "cache" / "download", options.mirror))
        if (root() / "data.dvc").is_file():
            _check_pin()
    except (StudyError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped. Run `make data` again to go on.", file=sys.stderr)
        return 130
    for item in ITEMS:
        print(f"data/{item.path}: {'made' if item.path in made else 'is there'}, verified")
    return 0


def _check_pin() -> None:
    """Ask DVC whether the folders are as `data.dvc` pins them; a file too many is also a difference."""
    command = [sys.executable, "-m", "dvc", "status", "data.dvc"]
    result = subprocess.run(command, cwd=root(), capture_output=True, text=True, check=False)
    if result.returncode:
        raise StudyError(f"data/ is complete, but DVC cannot compare it with data.dvc.\n{result.stderr}")
    if "changed" in result.stdout:
        raise StudyError(f"data/ is not as data.dvc pins it. Remove what does not belong there.\n{result.stdout}")


if __name__ == "__main__":
    sys.exit(main())
