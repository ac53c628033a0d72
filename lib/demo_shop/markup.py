"""Where things are in the shop, and how its pages tell machines what they are about (schema.org, as real shops do)."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lib.config.base import Record
from lib.demo_shop.lexicon import PAGE, pick, stream

HOME, ROBOTS, SITEMAP = "/", "/robots.txt", "/sitemap.xml"

PRIVATE = "/private/"
"""The area that robots.txt closes. Pages link to it; nothing is there."""


def slug(name: str) -> str:
    """Write a name as a part of an address.

    >>> slug("Fry & Sons")
    'fry-sons'
    """
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def product_path(model: str, number: int, within: str | None = None) -> str:
    """Return the path of a product's page; `within` is a second place of a page that is redirected.

    >>> product_path("Velora", 7), product_path("Velora", 7, "moved")
    ('/products/velora-000007.html', '/products/moved/velora-000007.html')
    """
    return f"/products/{f'{within}/' if within else ''}{slug(model)}-{number:06d}.html"


def photo_path(number: int) -> str:
    """Return the path of a product's photo.

    >>> photo_path(7)
    '/photos/000007.jpg'
    """
    return f"/photos/{number:06d}.jpg"


def category_path(names: Sequence[str]) -> str:
    """Return the path of a category's first page; all products are a category without names.

    >>> category_path(["women", "shoes"]), category_path([])
    ('/c/women/shoes/', '/c/')
    """
    return "/".join(["/c", *map(slug, names), ""])


def sitemap_path(part: int) -> str:
    """Return the path of a part of the sitemap.

    >>> sitemap_path(1)
    '/sitemap-1.xml'
    """
    return f"/sitemap-{part}.xml"


DATA_SHAPES = {
    "json_ld_array": 0.1,
    "json_ld_graph": 0.15,
    "microdata": 0.06,
    "trailing_comma": 0.03,
    "comment": 0.03,
}
"""Share of the product pages whose schema.org data have this shape. The others have two JSON-LD scripts, one for the
product and one for the breadcrumbs. Of the last two, JSON that is not quite JSON, a tolerant parser makes sense."""

CHARSETS = {"header": 0.04, "meta": 0.03}
"""Share of the product pages in windows-1252, if that has all of their letters: declared in the response's header and
in the page, or in the page only. The others are in UTF-8."""

RELATIVE_PHOTO = 0.2
LAZY_PHOTO = 0.3
"""Share of the pages that give the photo's address relative to the shop's, and that load it only when it is seen."""

IMAGE_SHAPES = ("text", "list", "object")
BRAND_SHAPES = ("object", "object", "text")
"""How a JSON-LD product has its image and its brand, one as often as the other."""

SCHEMA = "https://schema.org"


@dataclass(frozen=True, slots=True)
class PageShape:
    """How a product page is written; see the constants of this module. `data` and `charset` may be `plain`."""

    data: str
    charset: str
    image: str
    brand: str
    relative_photo: bool
    lazy_photo: bool
    price: str


def page_shape(seed: int, number: int) -> PageShape:
    """Draw how the page of a product is written.

    >>> page_shape(2015, 3) == page_shape(2015, 3)
    True
    """
    rng = stream(seed, PAGE, number)
    return PageShape(
        draw_kind(rng, DATA_SHAPES) or "plain",
        draw_kind(rng, CHARSETS) or "plain",
        pick(rng, IMAGE_SHAPES),
        pick(rng, BRAND_SHAPES),
        rng.random() < RELATIVE_PHOTO,
        rng.random() < LAZY_PHOTO,
        f"{int(5 + 200 * rng.random() ** 3)}.{pick(rng, ('00', '50', '95', '99'))}",
    )


def draw_kind(rng: np.random.Generator, rates: dict[str, float]) -> str | None:
    """Draw one of some kinds that exclude one another, or none."""
    chance = rng.random()
    for kind, rate in rates.items():
        chance -= rate
        if chance < 0:
            return kind
    return None


def category_names(record: Record) -> list[str]:
    """Return the names of a record's category that the shop knows, from the top."""
    return [name for name in (record.level_1, record.level_2, record.level_3) if name is not None]


def product_data(record: Record, photo: str | None, address: str, shape: PageShape) -> dict[str, Any]:
    """Return a record as a schema.org Product; a field that the record does not have is left out."""
    data: dict[str, Any] = {"@type": "Product", "sku": record.product_id, "url": address, "name": record.title}
    if record.brand is not None:
        data["brand"] = {"@type": "Brand", "name": record.brand} if shape.brand == "object" else record.brand
    if record.description is not None:
        data["description"] = record.description
    if photo is not None:
        shapes: dict[str, Any] = {"list": [photo], "object": {"@type": "ImageObject", "url": photo}}
        data["image"] = shapes.get(shape.image, photo)
    availability = f"{SCHEMA}/InStock"
    data["offers"] = {"@type": "Offer", "price": shape.price, "priceCurrency": "USD", "availability": availability}
    return data


def breadcrumbs(names: Sequence[str], base: str) -> dict[str, Any]:
    """Return a category as a schema.org BreadcrumbList that begins at the shop's home page."""
    steps = [("Home", HOME)] + [(name, category_path(names[: depth + 1])) for depth, name in enumerate(names)]
    items = [
        {"@type": "ListItem", "position": position, "name": name, "item": base + path}
        for position, (name, path) in enumerate(steps, 1)
    ]
    return {"@type": "BreadcrumbList", "itemListElement": items}


def json_ld(product: dict[str, Any], crumbs: dict[str, Any] | None, shape: str) -> list[str]:
    """Write the contents of a page's JSON-LD scripts.

    Parameters
    ----------
    product, crumbs
        The page's data; a product without a category has no breadcrumbs.
    shape
        One of `DATA_SHAPES` but `microdata`, or `plain`.
    """
    things = [product, crumbs] if crumbs else [product]
    if shape == "json_ld_graph":
        return [_dumps({"@context": SCHEMA, "@graph": things})]
    things = [{"@context": SCHEMA, **thing} for thing in things]
    if shape == "json_ld_array":
        return [_dumps(things)]
    scripts = [_dumps(thing) for thing in things]
    if shape == "trailing_comma":
        return [f"{script[:-1]},\n}}" for script in scripts]
    if shape == "comment":
        return [f"{{ // shown in search results\n{script[1:-1]} /* end */ }}" for script in scripts]
    return scripts


def _dumps(data: object) -> str:
    """Write JSON that no HTML parser takes for the end of its script, whatever the shop's texts say."""
    return json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")
