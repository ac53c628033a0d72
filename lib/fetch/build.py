"""What `data/` consists of, where each file comes from, and how it is known to be right."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import requests
from tqdm.auto import tqdm

from lib.artifacts import file_sha256, remove, whole
from lib.errors import StudyError
from lib.fetch.download import download
from lib.fetch.fashion import make_images, make_products
from lib.fetch.weights import layer_files, make_weights


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
        with requests.Session() as session:
            return self._download(item, session)

    def discard(self, item: Item) -> None:
        """Forget what was downloaded for `item`."""
        if not self.mirror:
            remove(self._place(item))

    def _download(self, item: Item, session: requests.Session) -> Path:
        place = self._place(item)
        if item.files is None:
            url = f"{self.archives}/{item.repository}/tar.gz/{item.commit}"
            return download(url, place, session, wait_seconds=self.wait_seconds)
        base = f"{self.files}/{item.repository}/{item.commit}/{item.under}"
        for name in tqdm(item.files(), desc=place.name, unit=" files", mininterval=1):
            download(f"{base}/{name}", place / name, session, wait_seconds=self.wait_seconds, quiet=True)
        return place

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
    for leftover in folder.glob("*/.*.partial"):  # of a build that was killed
        remove(leftover)
    missing = [item for item in items if not _is_right(folder / item.path, item.sha256)]
    if missing:
        _check_space(folder, NEEDED_MIB if origin.mirror else NEEDED_MIB + ARCHIVES_MIB)
    for item in missing:
        source = origin.obtain(item)
        with whole(folder / item.path) as partial:
            try:
                item.make(source, partial)
                _verify(partial, item, source)
            except StudyError:
                origin.discard(item)  # damaged or wrong: going on with it would never end well
                raise
        origin.discard(item)
    with whole(folder / "fashion" / "SOURCE.md") as partial:
        shutil.copyfile(Path(__file__).with_name("SOURCE.md"), partial)
    return [item.path for item in missing]


def _is_right(path: Path, sha256: str) -> bool:
    return path.is_file() and file_sha256(path) == sha256


def _verify(path: Path, item: Item, source: Path) -> None:
    found = file_sha256(path)
    if found != item.sha256:
        raise StudyError(
            f"data/{item.path}, made of {source}, is not what this study was made with: "
            f"expected SHA-256 {item.sha256}, found {found}."
        )


def _check_space(folder: Path, needed_mib: int) -> None:
    place = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free_mib = shutil.disk_usage(place).free >> 20
    if free_mib < needed_mib:
        raise StudyError(f"{place} has {free_mib:,} MiB left on its disk; `make data` needs {needed_mib:,} MiB.")
