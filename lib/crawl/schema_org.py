"""From a page to its products, by what it says in schema.org's terms: JSON-LD, else microdata, else OpenGraph.

Whatever the syntax, a *node* is a dict in the form of JSON-LD. Texts stay as the page has them, HTML included.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from lib.crawl.page import Page
from lib.crawl.syntaxes import json_ld, microdata, open_graph

Node = Mapping[str, Any]

_PRODUCT = frozenset({"Product", "IndividualProduct", "ProductModel", "SomeProducts"})
_GROUP = "ProductGroup"
_CRUMBS = "BreadcrumbList"
_IDS = ("sku", "productID", "gtin", "gtin14", "gtin13", "gtin12", "gtin8", "mpn")

# Where a page's own products and breadcrumbs stand. Those of `isRelatedTo` or of an `ItemList` belong to other pages.
_PLACES = ("@graph", "mainEntity", "mainEntityOfPage", "breadcrumb")

# What a variant has from its group if it says nothing itself.
_SHARED = ("name", "brand", "description", "image", "category")


@dataclass(frozen=True, slots=True)
class Item:
    """A product as its page describes it; None where the page has no such field.

    Attributes
    ----------
    product_id
        Its sku or another identifier; the page's path if it has none.
    category
        The names of the breadcrumbs, or the product's category: names, or one text.
    photo
        The absolute address of its first image.
    """

    product_id: str
    brand: str | None
    title: str | None
    description: str | None
    category: tuple[str, ...] | str | None
    photo: str | None


def read_products(page: Page) -> list[Item]:
    """Return the products that a page describes: none, one, or several variants.

    Raises
    ------
    ValueError
        If it describes none, but has JSON-LD that cannot be read, or if it has microdata that cannot be.
    """
    blocks = list(json_ld(page))
    nodes = list(_nodes(blocks))
    products = _products(nodes, page)
    if not products:
        nodes += _nodes(microdata(page, "@itemscope"))
        products = _products(nodes, page) or open_graph(page)
    if not products:
        if None in blocks:
            raise ValueError("its JSON-LD cannot be read")
        return []
    crumbs = _crumbs(nodes, page) or _crumbs(_nodes(microdata(page, f"contains(@itemtype, '{_CRUMBS}')")), page)
    items = [_item(product, crumbs, page) for product in products]
    return list({item.product_id: item for item in reversed(items)}.values())[::-1]


def _nodes(value: Any) -> Iterator[Node]:
    """Yield the nodes that stand on their own, with references among them followed."""
    known: dict[str, Node] = {}
    found = list(_walk(value))
    for node in found:
        if isinstance(name := node.get("@id"), str) and len(node) > 1:
            known.setdefault(name, node)
    for node in found:
        yield {key: _follow(part, known) for key, part in node.items()}


def _walk(value: Any) -> Iterator[Node]:
    if isinstance(value, list):
        for part in value:
            yield from _walk(part)
    elif isinstance(value, dict):
        yield value
        for place in _PLACES:
            yield from _walk(value.get(place))


def _follow(value: Any, known: Mapping[str, Node]) -> Any:
    """Put what a reference names in its place."""
    if isinstance(value, list):
        return [_follow(part, known) for part in value]
    if isinstance(value, dict) and set(value) <= {"@id", "@type"} and isinstance(value.get("@id"), str):
        return known.get(value["@id"], value)
    return value


def _types(node: Node) -> set[str]:
    """Return a node's types without their vocabulary: `http://schema.org/Product` is *Product*."""
    return {
        kind.rstrip("/").replace("#", "/").replace(":", "/").rpartition("/")[2] for kind in _texts(node.get("@type"))
    }


def _products(nodes: Iterable[Node], page: Page) -> list[Node]:
    """Choose the products that are this page's own, a group as its variants."""
    nodes = list(nodes)
    found = [variant for node in nodes for variant in _variants(node)]
    grouped = {_name(variant) for variant in found}
    singles = [node for node in nodes if _types(node) & _PRODUCT and _GROUP not in _types(node)]
    singles = [_inherit(node, _first(node.get("isVariantOf"))) for node in singles if _name(node) not in grouped]
    if len(found) + len(singles) > 1:  # a listing describes what has a page elsewhere
        singles = [node for node in singles if _is_at(node, page)]
    return found + singles


def _variants(node: Node) -> list[Node]:
    if _GROUP not in _types(node):
        return []
    variants = [part for part in _list(node.get("hasVariant")) if isinstance(part, dict) and len(part) > 1]
    return [_inherit(variant, node) for variant in variants] or [node]


def _inherit(variant: Node, group: Any) -> Node:
    if not isinstance(group, dict):
        return variant
    return {key: group[key] for key in _SHARED if key in group} | dict(variant)


def _name(node: Node) -> str:
    """Return what tells one product of a page from another."""
    return repr([node.get(key) for key in ("@id", "url", *_IDS)])


def _is_at(node: Node, page: Page) -> bool:
    address = _text(node.get("url"))
    return address is None or _path(address, page) == _path(page.address, page)


def _item(node: Node, crumbs: tuple[str, ...] | None, page: Page) -> Item:
    title = _text(node.get("name"))
    photo = _address(node.get("image"))
    return Item(
        product_id=_identify(node, page),
        brand=_text(node.get("brand")),
        title=title,
        description=_text(node.get("description")),
        category=_category(node.get("category")) if crumbs is None else _without_last(crumbs, title),
        photo=page.absolute(photo) if photo else None,
    )


def _identify(node: Node, page: Page) -> str:
    offers = [offer for offer in _list(node.get("offers")) if isinstance(offer, dict)]
    offers += [offer for outer in offers for offer in _list(outer.get("offers")) if isinstance(offer, dict)]
    candidates = [node.get(key) for key in _IDS] + [offer.get("sku") for offer in offers] + [node.get("productGroupID")]
    for candidate in candidates:
        if (text := _text(candidate)) and text.strip():
            return text.strip()
    return _path(_text(node.get("url")) or page.address, page)


def _crumbs(nodes: Iterable[Node], page: Page) -> tuple[str, ...] | None:
    """Return the names of the first list of breadcrumbs, in their order, without one that leads to the home page."""
    for node in nodes:
        if _CRUMBS in _types(node):
            entries = [entry for entry in _list(node.get("itemListElement")) if isinstance(entry, dict)]
            placed = sorted(enumerate(entries, 1), key=lambda at_entry: _position(at_entry[1], at_entry[0]))
            if names := tuple(_crumb(entry) for _, entry in placed if not _is_home(entry, page)):
                return names
    return None


def _is_home(entry: Node, page: Page) -> bool:
    item = _first(entry.get("item"))
    address = (item.get("@id") or item.get("url") or item.get("item")) if isinstance(item, dict) else item
    return isinstance(address, str) and _path(address, page) == "/"


def _position(entry: Node, at: int) -> float:
    try:
        return float(_text(entry.get("position")) or at)
    except ValueError:
        return at


def _crumb(entry: Node) -> str:
    item = entry.get("item")
    return _text(entry.get("name")) or (_text(item) if isinstance(item, dict) else None) or ""


def _without_last(crumbs: tuple[str, ...], title: str | None) -> tuple[str, ...]:
    """Leave out a last crumb that is the product itself."""
    return crumbs[:-1] if title and crumbs[-1].strip() == title.strip() else crumbs


def _category(value: Any) -> tuple[str, ...] | str | None:
    if isinstance(value, list):
        return tuple(_texts(value)) or None
    return _text(value)


def _path(address: str, page: Page) -> str:
    """Return an address's path and query."""
    try:
        _, _, path, query, _ = urlsplit(page.absolute(address))
    except ValueError:
        return address
    return f"{path or '/'}?{query}" if query else path or "/"


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _first(value: Any) -> Any:
    return next(iter(_list(value)), None)


def _texts(value: Any) -> list[str]:
    return [text for part in _list(value) if (text := _text(part)) is not None]


def _text(value: Any) -> str | None:
    """Return a value as text: itself, a number's digits, an object's name, or the first of several."""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, list):
        return next(iter(_texts(value)), None)
    if isinstance(value, dict):
        return _text(value.get("@value", value.get("name")))
    return None


def _address(value: Any) -> str | None:
    """Return the first address of an image: a text, or what an ImageObject has."""
    for part in _list(value):
        candidates = [part.get(key) for key in ("contentUrl", "url", "@id")] if isinstance(part, dict) else [part]
        for candidate in candidates:
            address = _address(candidate) if isinstance(candidate, list | dict) else candidate
            if isinstance(address, str) and address.strip():
                return address.strip()
    return None
