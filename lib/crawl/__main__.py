"""Crawls, and tells what it finds on the standard output; `lib.crawl.process` runs it.

    python -m lib.crawl SPEC.json [--photos]

With `--photos` the start addresses are those of photos. What is fetched is kept beside the file. It ends when its
standard input does: with the process that started it.
"""

import os
import sys
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Thread

from PIL import Image
from scrapy.crawler import AsyncCrawlerProcess

from lib.crawl.polite import make_settings
from lib.crawl.spec import CrawlSpec
from lib.crawl.spider import CatalogueSpider


def main(path: Path, only_photos: bool) -> None:
    """Crawl what the file at `path` says."""
    out = Connection(os.dup(1), readable=False)
    os.dup2(2, 1)  # whatever else prints must not get among it
    Thread(target=_end_with_input, daemon=True).start()
    Image.MAX_IMAGE_PIXELS = None  # this process decodes nothing: it only reads what headers say
    spec = CrawlSpec.model_validate_json(path.read_bytes())
    process = AsyncCrawlerProcess(make_settings(spec, path.parent))
    process.crawl(CatalogueSpider, spec=spec, out=out, only_photos=only_photos)
    process.start()


def _end_with_input() -> None:
    while os.read(0, 1024):
        pass
    os._exit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), only_photos="--photos" in sys.argv[2:])
