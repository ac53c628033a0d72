"""Runs the crawler in a process of its own, and reads what it tells."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Never, cast

from tqdm import tqdm

from lib.artifacts import remove, whole
from lib.crawl.frames import read_frames
from lib.crawl.schema_org import Item
from lib.crawl.spec import CrawlSpec, FetchSpec
from lib.errors import StudyError
from lib.records import PROGRESS_SECONDS, Reject

_LOG_LINES = 5


def crawl(spec: CrawlSpec, folder: Path) -> Iterator[tuple[Item, bytes | None] | Reject]:
    """Crawl, and yield products with their photos, and rejects, as they come.

    Parameters
    ----------
    spec
        What to crawl.
    folder
        Where to keep what was fetched. A crawl that was killed goes on from there.

    Raises
    ------
    StudyError
        If a start address cannot be had, if there is no product, if the crawl cannot go on, or if it is killed.
    """
    products = 0
    with _running(spec, folder) as frames, tqdm(desc="pages", mininterval=PROGRESS_SECONDS) as bar:
        for frame, content in read_frames(frames):
            _advance(bar, frame.get("progress"))
            if "item" in frame:
                products += 1
                yield _item(frame["item"]), content
            elif "reject" in frame:
                yield Reject(*frame["reject"])
            elif "error" in frame:
                raise StudyError(frame["error"])
            elif "done" in frame:
                _finish(bar, frame["done"], products, spec)
                return
    raise StudyError(f"The crawler ended early; run it again to go on.{_last_lines(folder / 'crawl.log')}")


def fetch_photos(
    spec: FetchSpec, addresses: Sequence[str], folder: Path
) -> Iterator[tuple[int, bytes | None] | Reject]:
    """Fetch photos, and yield each with its number in `addresses` as it comes, or None for one that is lost.

    A reject before that says why; its `product_id` is the number too. What was fetched is kept as by `crawl`.

    Raises
    ------
    StudyError
        If fetching cannot go on, or is killed.
    """
    everything = CrawlSpec(start=list(addresses), **spec.model_dump(include=set(FetchSpec.model_fields)))
    bar, told = tqdm(desc="photos", total=len(addresses), mininterval=PROGRESS_SECONDS), 0
    with _running(everything, folder, "--photos") as frames, bar:
        for frame, content in read_frames(frames):
            if "item" in frame:
                told += 1
                bar.update()
                yield int(frame["item"]["product_id"]), content
            elif "reject" in frame:
                yield Reject(*frame["reject"])
            elif "error" in frame:
                raise StudyError(frame["error"])
    if told < len(addresses):
        raise StudyError(f"Fetching photos ended early; run it again to go on.{_last_lines(folder / 'crawl.log')}")


@contextmanager
def _running(spec: CrawlSpec, folder: Path, *options: str) -> Iterator[IO[bytes]]:
    """Start the crawler, yield what it writes, and end it in any case."""
    folder = folder.resolve()
    with whole(folder / "spec.json") as partial:
        partial.write_text(spec.model_dump_json(indent=1) + "\n", "utf-8")
    paths = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    command = [sys.executable, "-m", "lib.crawl", str(folder / "spec.json"), *options]
    with (
        (folder / "crawl.log").open("wb") as log,
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment,
            start_new_session=True,  # an interrupt is for us, and we end it
        ) as process,
    ):
        try:
            yield cast(IO[bytes], process.stdout)
        finally:
            process.kill()


def _item(fields: dict[str, Any]) -> Item:
    category = fields["category"]
    return Item(**fields | {"category": tuple(category) if isinstance(category, list) else category})


def _advance(bar: "tqdm[Never]", progress: list[int] | None) -> None:
    """Move the bar; what the sitemaps read so far name, and how many there are, says how many pages there may be."""
    if progress is None:
        return
    pages, named, sitemaps, read = progress
    leaves = max(read - (1 if sitemaps else 0), 1)
    bar.total = max(round(named * max(sitemaps, 1) / leaves), pages) if named else None
    bar.update(pages - bar.n)


def _finish(bar: "tqdm[Never]", counts: dict[str, int], products: int, spec: CrawlSpec) -> None:
    if not products:
        raise StudyError(
            f"Not one product was found in {counts.get('pages', 0):,} pages from {', '.join(spec.start)}. A product's "
            "page has schema.org data (JSON-LD, microdata) or OpenGraph of the type Product."
        )
    bar.total = bar.n
    bar.refresh()
    print(
        ", ".join(f"{name}: {count:,}" for name, count in sorted(counts.items())), f"products: {products:,}", sep=", "
    )


def _last_lines(log: Path) -> str:
    lines = log.read_text("utf-8", "replace").splitlines() if log.is_file() else []
    return "".join(f"\n  {line}" for line in lines[-_LOG_LINES:])


def forget_others(folder: Path) -> None:
    """Remove what earlier crawls with other settings have kept beside `folder`."""
    try:
        for other in folder.parent.iterdir() if folder.parent.is_dir() else ():
            if other.name != folder.name:
                remove(other)
    except OSError as error:
        raise StudyError(f"Cannot remove {other}, which an earlier crawl has left: {error.strerror}.") from error
