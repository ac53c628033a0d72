"""Reader of the generated shop."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field
from tqdm import tqdm

from lib.config import Strict
from lib.records import PROGRESS_SECONDS, Record
from lib.shop import generate


class ShopSource(Strict):
    """The generated shop: its size and its seed."""

    products: Annotated[int, Field(ge=200, le=1_000_000)]
    seed: Annotated[int, Field(ge=0)]


def read_shop(name: str, source: ShopSource) -> Iterator[Record]:
    """Yield the products of the shop that the catalogue's file asks for."""
    records = generate(source.products, source.seed)
    return iter(tqdm(records, desc="products", total=source.products, mininterval=PROGRESS_SECONDS))
