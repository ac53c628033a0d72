"""From a page's bytes to its products, by what it says in schema.org's terms: JSON-LD, else microdata, else OpenGraph.

Whatever the syntax, a *node* is a dict in the form of JSON-LD. Texts stay as the page has them, HTML included. How
deep a page may nest is a number of ours, checked before anything recurses that deep, for the interpreter's limit is a
setting that any library may change.
"""

import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate
from operator import itemgetter
from typing import Any
from urllib.parse import urljoin, urlsplit

import chompjs
import lxml.html
from lxml.etree import iterwalk
from w3lib.encoding import html_body_declared_encoding, http_content_type_encoding, read_bom

Node = Mapping[str, Any]

MAX_ELEMENTS_DEEP = 1_000  # elements within elements; pages whose tags are not closed have hundreds
MAX_DATA_DEEP = 32  # objects, lists and items within one another; real pages have a dozen

_PRODUCT = frozenset({"Product", "IndividualProduct", "ProductModel", "SomeProducts"})
_GROUP = "ProductGroup"
_CRUMBS = "BreadcrumbList"
_IDS = ("sku", "productID", "gtin", "gtin14", "gtin13", "gtin12", "gtin8", "mpn")

# Where a page's own products and breadcrumbs stand. Those of `isRelatedTo` or of an `ItemList` belong to other pages.
_PLACES = ("@graph", "mainEntity", "mainEntityOfPage", "breadcrumb")

# What a variant has from its group if it says nothing itself.
_SHARED = ("name", "brand", "description", "image", "category")

_OPEN_GRAPH = {
    "sku": ("product:retailer_item_id", "product:retailer_part_no"),
    "name": ("og:title",),
    "brand": ("product:brand", "og:brand"),
    "description": ("og:description",),
    "image": ("og:image:secure_url", "og:image", "og:image:url"),
    "category": ("product:category", "og:category"),
}
_PARSER = lxml.html.HTMLParser(encoding="utf-8", huge_tree=True)
_JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)
_JSON_STEPS = {"[": 1, "{": 1, "]": -1, "}": -1}


@dataclass(frozen=True, slots=True)
class Page:
    """A parsed page.

    Attributes
    ----------
    address
        Where it was found, redirects followed.
    tree
        Its root element.
    base
        What relative addresses in it are relative to.
    """

    address: str
    tree: Any
    base: str

    def links(self) -> list[str]:
        """Return the absolute addresses of the page's links, each once, without fragments."""
        found = self.tree.xpath("//a/@href | //area/@href | //link[@rel='next']/@href")
        return list(dict.fromkeys(resolve(self.base, href).partition("#")[0] for href in found))


@dataclass(frozen=True, slots=True)
class PageProduct:
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


def parse_page(address: str, body: bytes, content_type: bytes | None = None) -> Page:
    """Parse a page.

    Parameters
    ----------
    address
        Its absolute address.
    body
        Its bytes.
    content_type
        The header of that name, which may declare an encoding.

    Raises
    ------
    ValueError
        If its elements are nested more than `MAX_ELEMENTS_DEEP` deep.
    """
    text = decode_page(body, (content_type or b"").decode("latin-1")).replace("\0", "\ufffd")
    try:
        tree = lxml.html.document_fromstring(text.encode("utf-8", "replace"), parser=_PARSER)
    except lxml.etree.ParserError:  # there is no element in it
        tree = lxml.html.document_fromstring("<html></html>", parser=_PARSER)
    steps = (1 if event == "start" else -1 for event, _ in iterwalk(tree, events=("start", "end")))
    if any(depth > MAX_ELEMENTS_DEEP for depth in accumulate(steps)):
        raise ValueError(f"its elements are nested more than {MAX_ELEMENTS_DEEP:,} deep")
    return Page(address, tree, resolve(address, next(iter(tree.xpath("//base/@href")), "")))


def resolve(base: str, address: str) -> str:
    """Resolve an address that may be relative to `base`; one that makes no sense stays as it is.

    >>> resolve("http://h/a/b", " ../c "), resolve("http://h/a/b", "http://[nonsense")
    ('http://h/c', 'http://[nonsense')
    """
    try:
        return urljoin(base, address.strip())
    except ValueError:
        return address.strip()


def decode_page(body: bytes, content_type: str | None = None) -> str:
    r"""Turn a page's bytes into text.

    What the page declares (byte order mark, header, `meta`, in this order) is believed if the bytes agree, as browsers
    do; else they are UTF-8 if they can be, and else windows-1252. (Scrapy's `response.text` believes a wrong header.)

    >>> decode_page("caf\u00e9".encode("cp1252"), "text/html; charset=utf-8")
    'café'
    """
    declared, mark = read_bom(body)
    if declared and mark:
        return body[len(mark) :].decode(declared, "replace")
    declared = http_content_type_encoding(content_type) or html_body_declared_encoding(body)
    for encoding in (declared, "utf-8"):
        try:
            if encoding:
                return body.decode(encoding)
        except (UnicodeError, LookupError):
            continue
    return body.decode("cp1252", "replace")


# The products of a page


def read_products(page: Page) -> list[PageProduct]:
    """Return the products that a page describes: none, one, or several variants.

    Raises
    ------
    ValueError
        If it describes none, but has JSON-LD that cannot be read, or if it has microdata that cannot be.
    """
    scripts = [script for script in page.tree.iter("script") if "ld+json" in (script.get("type") or "").lower()]
    blocks = [read_json_ld(script.text or "") for script in scripts]
    nodes = _connected(blocks)
    products = _own_products(nodes, page)
    if not products:
        nodes += _connected(_microdata(page, "@itemscope"))
        products = _own_products(nodes, page) or _open_graph(page)
    if not products:
        if None in blocks:
            raise ValueError("its JSON-LD cannot be read")
        return []
    crumbs = _crumbs(nodes, page) or _crumbs(_connected(_microdata(page, f"contains(@itemtype, '{_CRUMBS}')")), page)
    described = [_describe(product, crumbs, page) for product in products]
    return list({product.product_id: product for product in reversed(described)}.values())[::-1]


def _connected(value: Any) -> list[Node]:
    """Return the nodes that stand on their own, with references among them followed."""
    known: dict[str, Node] = {}
    alone = list(_walk(value))
    for node in alone:
        if isinstance(name := node.get("@id"), str) and len(node) > 1:
            known.setdefault(name, node)

    def follow(value: Any) -> Any:
        if isinstance(value, list):
            return [follow(member) for member in value]
        if isinstance(value, dict) and set(value) <= {"@id", "@type"} and isinstance(value.get("@id"), str):
            return known.get(value["@id"], value)
        return value

    return [{key: follow(value) for key, value in node.items()} for node in alone]


def _walk(value: Any) -> Iterator[Node]:
    if isinstance(value, list):
        for member in value:
            yield from _walk(member)
    elif isinstance(value, dict):
        yield value
        for place in _PLACES:
            yield from _walk(value.get(place))


def _types(node: Node) -> set[str]:
    """Return a node's types without their vocabulary: `http://schema.org/Product` is *Product*."""
    return {re.split("[/#:]", kind.rstrip("/"))[-1] for kind in _texts(node.get("@type"))}


def _own_products(nodes: list[Node], page: Page) -> list[Node]:
    """Choose the products that are this page's own, a group as its variants."""

    def identity(node: Node) -> str:
        return repr([node.get(key) for key in ("@id", "url", *_IDS)])

    variants = [variant for node in nodes if _GROUP in _types(node) for variant in _variants(node)]
    grouped = {identity(variant) for variant in variants}
    singles = [node for node in nodes if _types(node) & _PRODUCT and _GROUP not in _types(node)]
    singles = [_inherit(node, _first(node.get("isVariantOf"))) for node in singles if identity(node) not in grouped]
    if len(variants) + len(singles) > 1:  # a listing describes what has a page elsewhere
        here = _path(page.address, page)
        singles = [node for node in singles if _path(_text(node.get("url")) or page.address, page) == here]
    return variants + singles


def _variants(group: Node) -> list[Node]:
    described = [node for node in _list(group.get("hasVariant")) if isinstance(node, dict) and len(node) > 1]
    return [_inherit(variant, group) for variant in described] or [group]


def _inherit(variant: Node, group: Any) -> Node:
    if not isinstance(group, dict):
        return variant
    return {key: group[key] for key in _SHARED if key in group} | dict(variant)


def _describe(node: Node, crumbs: tuple[str, ...] | None, page: Page) -> PageProduct:
    title, photo, value = _text(node.get("name")), _address(node.get("image")), node.get("category")
    category: tuple[str, ...] | str | None = crumbs
    if crumbs is None:
        category = (tuple(_texts(value)) or None) if isinstance(value, list) else _text(value)
    elif title and crumbs[-1].strip() == title.strip():
        category = crumbs[:-1]  # the last one is the product itself
    return PageProduct(
        product_id=_identify(node, page),
        brand=_text(node.get("brand")),
        title=title,
        description=_text(node.get("description")),
        category=category,
        photo=resolve(page.base, photo) if photo else None,
    )


def _identify(node: Node, page: Page) -> str:
    offers = [offer for offer in _list(node.get("offers")) if isinstance(offer, dict)]
    offers += [offer for outer in offers for offer in _list(outer.get("offers")) if isinstance(offer, dict)]
    candidates = [node.get(key) for key in _IDS] + [offer.get("sku") for offer in offers] + [node.get("productGroupID")]
    texts = ((_text(candidate) or "").strip() for candidate in candidates)
    return next(filter(None, texts), None) or _path(_text(node.get("url")) or page.address, page)


def _crumbs(nodes: Iterable[Node], page: Page) -> tuple[str, ...] | None:
    """Return the names of the first list of breadcrumbs, in their order, without one that leads to the home page."""
    for node in nodes:
        entries = [entry for entry in _list(node.get("itemListElement")) if isinstance(entry, dict)]
        placed: list[tuple[float, str]] = []
        for at, entry in enumerate(entries if _CRUMBS in _types(node) else (), 1):
            item = _first(entry.get("item"))
            about = item if isinstance(item, dict) else {"@id": item}
            address = about.get("@id") or about.get("url") or about.get("item")
            if isinstance(address, str) and _path(address, page) == "/":
                continue
            try:
                place = float(_text(entry.get("position")) or at)
            except ValueError:
                place = at
            placed.append((place, _text(entry.get("name")) or _text(about) or ""))
        if placed:
            return tuple(name for _, name in sorted(placed, key=itemgetter(0)))
    return None


def _path(address: str, page: Page) -> str:
    """Return an address's path and query."""
    try:
        _, _, path, query, _ = urlsplit(resolve(page.base, address))
    except ValueError:
        return address
    return f"{path or '/'}?{query}" if query else path or "/"


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _first(value: Any) -> Any:
    return next(iter(_list(value)), None)


def _texts(value: Any) -> list[str]:
    return [text for member in _list(value) if (text := _text(member)) is not None]


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
    if isinstance(value, dict):
        value = [value.get(key) for key in ("contentUrl", "url", "@id")]
    if isinstance(value, list):
        return next(filter(None, map(_address, value)), None)
    return (value.strip() or None) if isinstance(value, str) else None


# The syntaxes, each read into the form of JSON-LD


def read_json_ld(text: str) -> Any:
    r"""Read a block of JSON-LD; None if it holds nothing that can be read, or is nested more than `MAX_DATA_DEEP` deep.

    Valid JSON is read as such. Else comments, trailing commas, bare line breaks, single quotes, several objects in a
    row, and quotes that are written as entities are put up with.

    >>> read_json_ld('// from the shop\n{"name": "A // B", "offers": [1, 2,],}')
    {'name': 'A // B', 'offers': [1, 2]}
    """
    if '"' not in text and "&quot;" in text:
        text = html.unescape(text)
    try:
        with suppress(json.JSONDecodeError):
            return load_json(text, strict=False)
        objects: list[Any] = []
        for found in chompjs.parse_js_objects(text, loader=str):
            with suppress(json.JSONDecodeError):
                objects.append(load_json(found, strict=False))
    except ValueError:  # too deep, which an odd quote may have hidden at first; or nothing can be made of it
        return None
    return (objects[0] if len(objects) == 1 else objects) or None


def load_json(text: str, strict: bool = True) -> Any:
    """Read JSON, unless it has objects and lists more than `MAX_DATA_DEEP` deep, which no reader should be given.

    Raises
    ------
    ValueError
        If it is nested deeper, or is no JSON. Only if `strict`, control characters within texts are none.

    >>> load_json('["' + "[" * 33 + '"]') == ["[" * 33]
    True
    >>> load_json("[" * 33 + "]" * 33)
    Traceback (most recent call last):
    ValueError: it is nested more than 32 deep
    """
    if text.count("[") + text.count("{") > MAX_DATA_DEEP:
        steps = (_JSON_STEPS.get(token, 0) for token in _JSON_TOKEN.findall(text))
        if any(depth > MAX_DATA_DEEP for depth in accumulate(steps)):
            raise ValueError(f"it is nested more than {MAX_DATA_DEEP} deep")
    return json.loads(text, strict=strict)


def _microdata(page: Page, condition: str) -> list[Any]:
    """Read a page's microdata, if an element that begins an item meets this condition (XPath).

    Raises
    ------
    ValueError
        If it cannot be read, or is nested more than `MAX_DATA_DEEP` deep.
    """
    if not page.tree.xpath(f"boolean(//*[@itemscope and {condition}])"):
        return []
    from extruct import MicrodataExtractor  # type: ignore[import-untyped]  # it imports much, and most pages do without

    class Shallow(MicrodataExtractor):  # type: ignore[misc]
        """Counts how deep the items are, be they within one another as elements or by `itemref`."""

        depth = 0

        def _extract_item(self, *args: Any, **kwargs: Any) -> Any:
            self.depth += 1
            if self.depth > MAX_DATA_DEEP:
                raise ValueError(f"nested more than {MAX_DATA_DEEP} deep")
            item = super()._extract_item(*args, **kwargs)
            self.depth -= 1
            return item

    def as_json_ld(value: Any) -> Any:
        if isinstance(value, list):
            return [as_json_ld(member) for member in value]
        if not isinstance(value, dict):
            return value
        if "properties" not in value:
            return value.get("value")
        return {key: as_json_ld(member) for key, member in value["properties"].items()} | {"@type": value.get("type")}

    try:
        return [as_json_ld(item) for item in Shallow().extract_items(page.tree, page.base)]
    except Exception as error:  # whatever a strange page makes of it must not end a crawl
        raise ValueError(f"its microdata cannot be read: {error}") from error


def _open_graph(page: Page) -> list[Node]:
    """Read a product's OpenGraph, which has no breadcrumbs."""
    tags: dict[str, str] = {}
    for meta in page.tree.iter("meta"):
        tags.setdefault((meta.get("property") or meta.get("name") or "").lower(), meta.get("content") or "")
    if tags.get("og:type", "").lower() not in ("product", "og:product", "product.item"):
        return []
    return [{key: next((tags[tag] for tag in known if tag in tags), None) for key, known in _OPEN_GRAPH.items()}]
