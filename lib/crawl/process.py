"""Runs the crawler in a process of its own, and reads what it tells."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from lib.config.base import PROGRESS_SECONDS, Reject
from lib.crawl.products import PageProduct
from lib.crawl.spec import CrawlSpec
from lib.exceptions import StudyError
from lib.files import remove, whole

_SHOWN = 12  # reasons at the end of a crawl


class Found(NamedTuple):
    """A product, and its photo's bytes if they could be had."""

    product: PageProduct
    photo: bytes | None


class Pages(NamedTuple):
    """How many pages were read so far, and how many sitemaps have named."""

    read: int
    named: int


class Ended(NamedTuple):
    """How much there was, when all is told; and how much of what was passed over, in words."""

    counts: Counter[str]
    missed: Counter[str]

    def lines(self) -> list[str]:
        """Say what was passed over, the most first."""
        ordered = sorted(self.missed.items(), key=lambda item: (-item[1], item[0]))
        left = sum(count for _, count in ordered[_SHOWN:])
        more = [f"  {left:,} for other reasons or on other hosts"] if left else []
        return [f"  {count:,} {words}" for words, count in ordered[:_SHOWN]] + more


Told = Found | Reject | Pages | StudyError | str | Ended
"""What the crawler's process tells: an error ends it, and so does the end; words are shown."""


def crawl(spec: CrawlSpec, folder: Path, only_photos: bool = False) -> Iterator[Found | Reject]:
    """Crawl, and yield products with their photos, and rejects, as they come.

    Parameters
    ----------
    spec
        What to crawl.
    folder
        Where to keep what was fetched. A crawl that was killed goes on from there.
    only_photos
        Whether the start addresses are those of photos, each of which is the id of the product that it comes with.

    Raises
    ------
    StudyError
        If a start address cannot be had, if there is no product, if the crawl cannot go on, or if it is killed. A photo
        that cannot be had is a reject.
    """
    products = 0
    unit, total = ("photos", len(spec.start)) if only_photos else ("pages", None)
    with tqdm(desc=unit, total=total, mininterval=PROGRESS_SECONDS) as bar:
        for told in _told(spec, folder, ["--photos"] if only_photos else []):
            if isinstance(told, Pages):
                bar.total = max(told) if told.named else None
                bar.update(told.read - bar.n)
            elif isinstance(told, str):
                print(told)
            elif isinstance(told, Found | Reject):
                products += isinstance(told, Found)
                bar.update(only_photos and isinstance(told, Found))
                yield told
    assert isinstance(told, Ended)
    counts = told.counts | Counter(products=products)
    if not only_photos and not products:
        lines = [
            f"Not one product was found in {counts['pages']:,} pages from {', '.join(spec.start)}. A product's page "
            "has schema.org data (JSON-LD, microdata) or OpenGraph of the type Product.",
            *(f"  {counts[name]:,} {name}" for name in sorted(counts) if "`" in name),
        ]
        raise StudyError("\n".join([*lines, *told.lines()]))
    if not only_photos:
        print(*(f"{name}: {count:,}" for name, count in sorted(counts.items())), sep=", ")
    if told.missed:
        print("Passed over, and the key that decides it:", *told.lines(), sep="\n")


def _told(spec: CrawlSpec, folder: Path, options: list[str]) -> Iterator[Told]:
    """Start the crawler, yield what it tells, and end it in any case."""
    folder = folder.resolve()
    with whole(folder / "spec.json") as partial:
        partial.write_text(spec.model_dump_json(indent=1) + "\n", "utf-8")
    paths = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    log = folder / "crawl.log"
    with (
        log.open("wb") as errors,
        subprocess.Popen(
            [sys.executable, "-m", "lib.crawl", str(folder / "spec.json"), *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
            start_new_session=True,  # an interrupt is for us, and we end it
        ) as process,
        Connection(os.dup(process.stdout.fileno()), writable=False) as pipe,  # type: ignore[union-attr]
    ):
        try:
            told: Told = Pages(0, 0)
            while not isinstance(told, Ended):
                told = pipe.recv()
                if isinstance(told, StudyError):
                    raise told
                yield told
        except (EOFError, OSError) as error:  # the latter in the midst of a message
            last = [f"\n  {line}" for line in log.read_text("utf-8", "replace").splitlines()[-5:]]
            raise StudyError(f"The crawler ended early; run it again to go on.{''.join(last)}") from error
        finally:
            process.kill()


def forget_others(folder: Path) -> None:
    """Remove what earlier crawls with other settings have kept beside `folder`."""
    try:
        for other in folder.parent.iterdir() if folder.parent.is_dir() else ():
            if other.name != folder.name:
                remove(other)
    except OSError as error:
        raise StudyError(f"Cannot remove {other}, which an earlier crawl has left: {error.strerror}.") from error
