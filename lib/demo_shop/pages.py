"""The shop's pages: their addresses, and how they tell machines what they are about (schema.org, as real shops do)."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from lib.config.base import Record
from lib.demo_shop.world import PAGE, draw_kind, pick, stream

HOME, ROBOTS, SITEMAP = "/", "/robots.txt", "/sitemap.xml"

PRIVATE = "/private/"
"""The area that robots.txt closes. Pages link to it; nothing is there."""

TEMPLATES = Path(__file__).with_name("templates")

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


def slug(name: str) -> str:
    """Write a name as a part of an address.

    >>> slug("Fry & Sons")
    'fry-sons'
    """
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


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


def category_names(record: Record) -> tuple[str, ...]:
    """Return the names of a record's category that the shop knows, from the top."""
    return tuple(name for name in (record.level_1, record.level_2, record.level_3) if name is not None)


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


def templates(**around: Any) -> Environment:
    """Return the pages' templates, with what all pages have around them."""
    loader = FileSystemLoader(TEMPLATES)
    pages = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, auto_reload=False)
    pages.globals |= {"shop": "Demo shop", "charset": "utf-8", **around}
    return pages


def breadcrumbs(names: Sequence[str], base: str) -> list[dict[str, Any]]:
    """Return a category as the steps of a schema.org BreadcrumbList, from the home page of the shop at `base`."""
    steps = [("Home", HOME)] + [(name, category_path(names[: depth + 1])) for depth, name in enumerate(names)]
    return [
        {"@type": "ListItem", "position": position, "name": name, "item": base + path}
        for position, (name, path) in enumerate(steps, 1)
    ]


def product_page(
    pages: Environment, base: str, record: Record, photo: str | None, path: str, shape: PageShape, variants: list[str]
) -> tuple[bytes, str]:
    """Return a product's page in its encoding, and the encoding.

    Parameters
    ----------
    pages
        The templates.
    base
        The shop's address, without a slash at its end.
    record
        What the page is to say; a crawler that reads it right gets each field as it is here. The photo's bytes do not
        matter.
    photo
        The photo's address, or None.
    path
        The page's own.
    shape
        How the page is written.
    variants
        The paths of the same product in other colours and sizes.
    """
    names, address, microdata = category_names(record), base + path, shape.data == "microdata"
    crumbs = breadcrumbs(names, base) if names else []
    values = {
        "title": record.title,
        "record": record,
        "shape": shape,
        "photo": photo,
        "address": address,
        "crumbs": crumbs,
        "variants": variants,
        "microdata": microdata,
        "scripts": [] if microdata else _json_ld(_product_data(record, photo, address, shape), crumbs, shape.data),
    }
    template = pages.get_template("product.html")
    if shape.charset != "plain":
        try:
            return template.render(values, charset="windows-1252").encode("cp1252"), "windows-1252"
        except UnicodeEncodeError:
            pass  # a letter that windows-1252 does not have: such a page is in UTF-8
    return template.render(values).encode(), "utf-8"


def _product_data(record: Record, photo: str | None, address: str, shape: PageShape) -> dict[str, Any]:
    """Return a record as a schema.org Product; a field that the record does not have is left out."""
    images = {"list": [photo], "object": {"@type": "ImageObject", "url": photo}}
    brands = {"object": {"@type": "Brand", "name": record.brand}}
    data = {
        "@type": "Product",
        "sku": record.product_id,
        "url": address,
        "name": record.title,
        "brand": None if record.brand is None else brands.get(shape.brand, record.brand),
        "description": record.description,
        "image": None if photo is None else images.get(shape.image, photo),
    }
    offer = {"@type": "Offer", "price": shape.price, "priceCurrency": "USD", "availability": f"{SCHEMA}/InStock"}
    return {key: value for key, value in data.items() if value is not None} | {"offers": offer}


def _json_ld(product: dict[str, Any], crumbs: list[dict[str, Any]], shape: str) -> list[str]:
    """Write the contents of a page's JSON-LD scripts, which no HTML parser takes for their end, whatever texts say."""
    things = [product, {"@type": "BreadcrumbList", "itemListElement": crumbs}] if crumbs else [product]
    contents: list[Any] = [{"@context": SCHEMA, **thing} for thing in things]
    if shape == "json_ld_graph":
        contents = [{"@context": SCHEMA, "@graph": things}]
    elif shape == "json_ld_array":
        contents = [contents]
    scripts = [json.dumps(content, ensure_ascii=False).replace("<", "\\u003c") for content in contents]
    if shape == "trailing_comma":
        return [f"{script[:-1]},\n}}" for script in scripts]
    if shape == "comment":
        return [f"{{ // shown in search results\n{script[1:-1]} /* end */ }}" for script in scripts]
    return scripts
