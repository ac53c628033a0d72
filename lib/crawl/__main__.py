"""Crawls, and tells what it finds on the standard output; `lib.crawl.process` runs it.

    python -m lib.crawl SPEC.json [--photos]

With `--photos` the start addresses are those of photos. What is fetched is kept beside the file. It ends when its
standard input does: with the process that started it.
"""

import argparse
import os
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Thread

from PIL import Image
from scrapy.crawler import AsyncCrawlerProcess

from lib.crawl.cache import open_cache
from lib.crawl.polite import make_settings
from lib.crawl.process import Failed
from lib.crawl.spec import CrawlSpec
from lib.crawl.spider import CatalogueSpider, PhotoSpider
from lib.exceptions import StudyError


def main(path: Path, spider: type[CatalogueSpider] = CatalogueSpider) -> None:
    """Crawl what the file at `path` says."""
    out = Connection(os.dup(1), readable=False)
    os.dup2(2, 1)  # whatever else prints must not get among it
    Thread(target=_end_with_input, daemon=True).start()
    spec = CrawlSpec.model_validate_json(path.read_bytes())
    try:
        open_cache(path.parent, spec.cache_hours * 3600).close()
    except StudyError as error:
        out.send(Failed(str(error)))
        return
    process = AsyncCrawlerProcess(make_settings(spec, path.parent))
    crawler = process.create_crawler(spider)
    process.crawl(crawler, spec=spec, out=out)
    process.start()
    if isinstance(crawler.spider, CatalogueSpider):
        crawler.spider.tell_end()


def _end_with_input() -> None:
    while os.read(0, 1024):
        pass
    os._exit(1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("spec", type=Path, metavar="SPEC.json", help="a file that holds a CrawlSpec")
    parser.add_argument("--photos", action="store_true", help="the start addresses are those of photos")
    arguments = parser.parse_args()
    Image.MAX_IMAGE_PIXELS = None  # this process decodes nothing: it only reads what headers say
    main(arguments.spec, PhotoSpider if arguments.photos else CatalogueSpider)
