"""The spider that fetches photos of which the addresses are known."""

from collections.abc import AsyncIterator

from scrapy import Request

from lib.crawl.losses import path_of
from lib.crawl.schema_org import Item
from lib.crawl.spider import CatalogueSpider


class PhotoSpider(CatalogueSpider):
    """Fetches the start addresses as photos. The product that it tells with each has its number as its id."""

    name = "photos"

    async def start(self) -> AsyncIterator[Request]:
        """Ask for every photo."""
        for number, address in enumerate(self.spec.start):
            item = Item(str(number), brand=None, title=None, description=None, category=None, photo=address)
            try:
                requests = list(self._with_photo(item))
            except ValueError:  # Scrapy cannot make a request of it
                self._lost(item, "not an address", path_of(address, host=True))
                continue
            for request in requests:
                yield request
