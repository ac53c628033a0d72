"""The syntaxes in which pages say what they are about: JSON-LD (often broken), microdata and OpenGraph.

All of them are read into the form of JSON-LD.
"""

import html
import json
from collections.abc import Iterator
from typing import Any

import chompjs

from lib.crawl.page import Page


def json_ld(page: Page) -> Iterator[Any]:
    """Yield the value of each JSON-LD script of a page, and None for one that cannot be read."""
    for script in page.tree.iter("script"):
        if "ld+json" in (script.get("type") or "").lower():
            yield read_block(script.text or "")


def read_block(text: str) -> Any:
    r"""Read one block; None if it holds nothing that can be read.

    Valid JSON is read as such. Else comments, trailing commas, bare line breaks, single quotes, several objects in a
    row, and quotes that are written as entities are put up with.

    >>> read_block('// from the shop\n{"name": "A // B", "offers": [1, 2,],}')
    {'name': 'A // B', 'offers': [1, 2]}
    """
    if '"' not in text and "&quot;" in text:
        text = html.unescape(text)
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        pass
    try:
        objects: list[Any] = list(chompjs.parse_js_objects(text, loader_kwargs={"strict": False}))
    except (ValueError, RecursionError):
        return None
    return (objects[0] if len(objects) == 1 else objects) or None


def microdata(page: Page, condition: str) -> list[Any]:
    """Read a page's microdata, if an element that begins an item meets this condition (XPath).

    Raises
    ------
    ValueError
        If it cannot be read.
    """
    if not page.tree.xpath(f"boolean(//*[@itemscope and {condition}])"):
        return []
    from extruct import MicrodataExtractor  # type: ignore[import-untyped]  # it imports much, and most pages do without

    try:
        items = MicrodataExtractor().extract_items(page.tree, page.base)
    except Exception as error:  # whatever a strange page makes of it must not end a crawl
        raise ValueError(f"its microdata cannot be read: {error}") from error
    return [_from_microdata(item) for item in items]


def _from_microdata(value: Any) -> Any:
    if isinstance(value, list):
        return [_from_microdata(part) for part in value]
    if not isinstance(value, dict):
        return value
    if "properties" not in value:
        return value.get("value")
    properties = {key: _from_microdata(part) for key, part in value["properties"].items()}
    return properties | {"@type": value.get("type")}


def open_graph(page: Page) -> list[Any]:
    """Read a product's OpenGraph, which has no breadcrumbs."""
    tags: dict[str, str] = {}
    for meta in page.tree.iter("meta"):
        tags.setdefault((meta.get("property") or meta.get("name") or "").lower(), meta.get("content") or "")
    if tags.get("og:type", "").lower() not in ("product", "og:product", "product.item"):
        return []
    names = {
        "sku": ("product:retailer_item_id", "product:retailer_part_no"),
        "name": ("og:title",),
        "brand": ("product:brand", "og:brand"),
        "description": ("og:description",),
        "image": ("og:image:secure_url", "og:image", "og:image:url"),
        "category": ("product:category", "og:category"),
    }
    return [{key: next((tags[tag] for tag in known if tag in tags), None) for key, known in names.items()}]
