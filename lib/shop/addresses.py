"""Where things are in the shop: paths below its address, made of numbers and of names of the shop's own."""

import re
from collections.abc import Sequence

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
