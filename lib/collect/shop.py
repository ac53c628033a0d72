"""Reader of the generated shop."""

from collections.abc import Iterator

from tqdm import tqdm

from lib.config import Catalogue
from lib.errors import StudyError
from lib.records import PROGRESS_SECONDS, Record
from lib.shop import generate


def read_shop(name: str, catalogue: Catalogue) -> Iterator[Record]:
    """Yield the products of the shop that the catalogue's file asks for."""
    shop = catalogue.shop
    if shop is None:
        raise StudyError(f"catalogues/{name}.yaml has no section 'shop:'.")
    records = generate(shop.products, shop.seed)
    return iter(tqdm(records, desc="products", total=shop.products, mininterval=PROGRESS_SECONDS))
