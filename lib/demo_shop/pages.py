"""The shop's pages, as functions of what they show."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from lib.config.base import Record
from lib.demo_shop.markup import (
    PRIVATE,
    SITEMAP,
    PageShape,
    breadcrumbs,
    category_names,
    json_ld,
    product_data,
    sitemap_path,
)

SHOP = "Demo shop"
PER_PAGE = 48
"""Products on one page of a category."""

PER_SITEMAP = 1000
"""Addresses in one part of the sitemap."""

TEMPLATES = Path(__file__).with_name("templates")

Links = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Frame:
    """What all pages have around them: the shop's address, its departments, and a link to another host."""

    base: str
    elsewhere: str
    departments: Links


@dataclass(frozen=True, slots=True)
class Tile:
    """A product among others."""

    name: str
    path: str
    photo: str | None


@cache
def _templates() -> Environment:
    loader = FileSystemLoader(TEMPLATES)
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, auto_reload=False)


def _render(template: str, frame: Frame, charset: str = "utf-8", **values: Any) -> str:
    around = {"shop": SHOP, "charset": charset, "departments": frame.departments, "elsewhere": frame.elsewhere}
    return _templates().get_template(template).render(around | values)


def home_page(frame: Frame, products: int) -> str:
    """Return the page that leads to all departments."""
    return _render("home.html", frame, title="Everything for everybody", products=f"{products:,}")


def category_page(
    frame: Frame, names: Sequence[str], below: Links, tiles: Sequence[Tile], page: int, pages: int
) -> str:
    """Return one page of a category, or of all products if it has no names.

    Parameters
    ----------
    names
        The category's names, from the top.
    below
        The names and paths of the categories below it.
    tiles
        The products of this page.
    page, pages
        This page's number, from 1, and how many there are.
    """
    crumbs = breadcrumbs(names, frame.base)["itemListElement"]
    title = " ".join(names) or "All products"
    return _render("category.html", frame, title=title, crumbs=crumbs, below=below, tiles=tiles, page=page, pages=pages)


def product_page(
    frame: Frame, record: Record, photo: str | None, address: str, shape: PageShape, variants: Sequence[str]
) -> tuple[bytes, str]:
    """Return a product's page in its encoding, and the encoding.

    Parameters
    ----------
    record
        What the page is to say; a crawler that reads it right gets each field as it is here. The photo's bytes do not
        matter.
    photo
        The photo's address, or None.
    address
        The page's own.
    shape
        How the page is written.
    variants
        The paths of the same product in other colours and sizes.
    """
    names = category_names(record)
    crumbs = breadcrumbs(names, frame.base) if names else None
    microdata = shape.data == "microdata"
    scripts = [] if microdata else json_ld(product_data(record, photo, address, shape), crumbs, shape.data)
    values = {
        "title": record.title,
        "sku": record.product_id,
        "brand": record.brand,
        "description": record.description,
        "price": shape.price,
        "crumbs": crumbs["itemListElement"] if crumbs else [],
        "lazy": shape.lazy_photo,
        **{"photo": photo, "address": address, "variants": variants, "microdata": microdata, "scripts": scripts},
    }
    if shape.charset != "plain":
        try:
            return _render("product.html", frame, "windows-1252", **values).encode("cp1252"), "windows-1252"
        except UnicodeEncodeError:
            pass  # a letter that windows-1252 does not have: such a page is in UTF-8
    return _render("product.html", frame, **values).encode(), "utf-8"


def robots_file(base: str) -> str:
    """Return what crawlers are asked to do."""
    return f"User-agent: *\nDisallow: {PRIVATE}\n\nSitemap: {base}{SITEMAP}\n"


def sitemap_index(base: str, products: int) -> str:
    """Return the list of the sitemap's parts."""
    parts = range(1, -(-products // PER_SITEMAP) + 1)
    entries = "".join(f"<sitemap><loc>{base}{sitemap_path(part)}</loc></sitemap>\n" for part in parts)
    return _xml("sitemapindex", entries)


def sitemap(base: str, paths: Sequence[str]) -> str:
    """Return one part of the sitemap."""
    return _xml("urlset", "".join(f"<url><loc>{base}{path}</loc></url>\n" for path in paths))


def _xml(name: str, entries: str) -> str:
    schema = "http://www.sitemaps.org/schemas/sitemap/0.9"
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<{name} xmlns="{schema}">\n{entries}</{name}>\n'
