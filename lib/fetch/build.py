"""What `data/` consists of, where each file comes from, and how it is known to be right."""

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import requests
from tqdm.auto import tqdm

from lib.exceptions import StudyError
from lib.fetch.content import layer_files, make_images, make_products, make_weights
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
            base = f"{self.files}/{item.repository}/{item.commit}/{item.under}"
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
    missing = [item for item in items if not _is_right(folder / item.path, item.sha256)]
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


def _is_right(path: Path, sha256: str) -> bool:
    return path.is_file() and file_sha256(path) == sha256


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
    partial, problem = target.with_name(target.name + ".partial"), ""
    for attempt in range(_ATTEMPTS):
        time.sleep(wait_seconds * attempt)  # not at all before the first
        try:
            _continue(url, partial, session, quiet)
            _validator(partial).unlink(missing_ok=True)
            return partial.replace(target)
        except _BROKEN as error:
            problem = str(error)
    raise StudyError(f"Cannot download {url}: {problem}. Run `make data` again to go on, or name a MIRROR folder.")


def _continue(url: str, partial: Path, session: requests.Session, quiet: bool) -> None:
    """Get the rest of a file, or all of it."""
    headers = {"Accept-Encoding": "identity"}
    if partial.exists() and _validator(partial).exists():
        headers |= {"Range": f"bytes={partial.stat().st_size}-", "If-Range": _validator(partial).read_text("utf-8")}
    with session.get(url, headers=headers, stream=True, timeout=_TIMEOUT_SECONDS) as response:
        resumed = response.status_code == 206
        if response.status_code not in (200, 206):
            _refused(url, partial, response.status_code)
        _remember(response, partial)
        start = partial.stat().st_size if resumed else 0
        total = start + int(response.headers.get("Content-Length", 0)) or None
        bar = tqdm(total=total, initial=start, desc=partial.stem, unit="B", unit_scale=True, disable=quiet)
        with partial.open("ab" if resumed else "wb") as file, bar:
            for chunk in response.iter_content(_CHUNK_BYTES):
                bar.update(file.write(chunk))


def _refused(url: str, partial: Path, status: int) -> None:
    if status == 416:  # the partial file is no beginning of what the server has
        partial.unlink(missing_ok=True)
    if status == 416 or status == 429 or status >= 500:
        raise requests.ConnectionError(f"the server answers {status}")
    raise StudyError(f"Cannot download {url}: the server answers {status}. Name a MIRROR folder if you have one.")


def _remember(response: requests.Response, partial: Path) -> None:
    """Keep what names this version of the content, if the server names it."""
    tag = response.headers.get("ETag", "")
    validator = tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified")
    if validator:
        _validator(partial).write_text(validator, "utf-8")
    else:
        _validator(partial).unlink(missing_ok=True)


def _validator(partial: Path) -> Path:
    return partial.with_name(partial.name + ".version")
