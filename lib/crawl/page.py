"""A page: bytes to a tree, and the addresses in it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

import lxml.html
from w3lib.encoding import html_body_declared_encoding, http_content_type_encoding, read_bom

_PARSER = lxml.html.HTMLParser(encoding="utf-8", huge_tree=True)
_EMPTY = "<html></html>"


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

    def absolute(self, address: str) -> str:
        """Resolve an address of the page."""
        return resolve(self.base, address)

    def links(self) -> Iterator[str]:
        """Yield the absolute addresses of the page's links, each once, without fragments."""
        seen = set()
        for href in self.tree.xpath("//a/@href | //area/@href | //link[@rel='next']/@href"):
            address = self.absolute(href).partition("#")[0]
            if address not in seen:
                seen.add(address)
                yield address


def parse_page(address: str, body: bytes, content_type: str | None = None) -> Page:
    """Parse a page.

    Parameters
    ----------
    address
        Its absolute address.
    body
        Its bytes.
    content_type
        The header of that name, which may declare an encoding.
    """
    text = decode(body, content_type).replace("\0", "\ufffd")
    try:
        tree = lxml.html.document_fromstring(text.encode("utf-8", "replace"), parser=_PARSER)
    except lxml.etree.ParserError:  # there is no element in it
        tree = lxml.html.document_fromstring(_EMPTY, parser=_PARSER)
    page = Page(address, tree, address)
    for href in tree.xpath("//base/@href")[:1]:
        return Page(address, tree, page.absolute(href))
    return page


def resolve(base: str, address: str) -> str:
    """Resolve an address that may be relative to `base`; one that makes no sense stays as it is.

    >>> resolve("http://h/a/b", " ../c "), resolve("http://h/a/b", "http://[nonsense")
    ('http://h/c', 'http://[nonsense')
    """
    try:
        return urljoin(base, address.strip())
    except ValueError:
        return address.strip()


def decode(body: bytes, content_type: str | None = None) -> str:
    r"""Turn a page's bytes into text.

    What the page declares (byte order mark, header, `meta`, in this order) is believed if the bytes agree, as browsers
    do; else they are UTF-8 if they can be, and else windows-1252.

    >>> decode("caf\u00e9".encode("cp1252"), "text/html; charset=utf-8")
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
