"""Product feeds in XML, such as Google Merchant's RSS and Atom: each repeated element is a row.

A feed is data: nothing that it names is loaded, and one that declares entities is refused.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from lxml import etree

from lib.collect.layout import Layout, Row
from lib.collect.unpacking import unpacked
from lib.exceptions import StudyError

_USUAL = {"item", "entry", "product", "offer", "shopitem", "article", "good", "row", "record"}  # which are rows
_PART, _LOOKED = 2**16, 64  # bytes that are looked at together, and how often, to find the repeated element
_MAX_ELEMENTS = 100_000  # in a row
_XHTML = "{http://www.w3.org/1999/xhtml}"
_SAFE = {"resolve_entities": False, "no_network": True, "load_dtd": False, "remove_comments": True, "remove_pis": True}


def read_xml(path: Path, layout: Layout) -> Iterator[Row]:
    """Yield the rows of a feed. Fields are called as elements are written, and also without their prefix.

    An attribute is called `@name`, and `name` where no element is. Elements within others become nested objects,
    and those that are repeated a list.
    """
    chosen = layout.sheet or _repeated(path, layout.encoding)
    row: Any = None
    at: list[str] = []
    number = elements = 0
    with unpacked(path, progress=True) as opened:
        try:
            for event, element in etree.iterparse(opened.file, ("start", "end"), encoding=layout.encoding, **_SAFE):
                if event == "start":
                    if not at:
                        _refuse_entities(path, element)
                    at.append(_name(element))
                    if row is None and (at == chosen or chosen in (at[-1], at[-1].rpartition(":")[2])):
                        row, elements = element, 0
                    elements += 1
                    if elements > _MAX_ELEMENTS and row is not None:
                        raise StudyError(f"{path}: {at[-1]} {number + 1} has more than {_MAX_ELEMENTS:,} elements.")
                    continue
                at.pop()
                if element is row:
                    number += 1
                    where = f"line {element.sourceline} ({_name(element)} {number:,})"
                    values = _value(element)
                    yield Row(where, values if isinstance(values, dict) else _attributes(element, {"text": values}))
                    row = None
                if row is None:
                    element.clear()
                    while element.getprevious() is not None:
                        del element.getparent()[0]
        except etree.XMLSyntaxError as error:
            raise StudyError(f"{path} is truncated, or no XML: {error}.") from error
    if not number:
        sought = f"element {layout.sheet!r}" if layout.sheet else "element that is repeated and holds others"
        raise StudyError(f"{path} has no {sought}. `sheet` names the element that is a product.")


def _refuse_entities(path: Path, root: Any) -> None:
    declared = root.getroottree().docinfo.internalDTD
    if declared is not None and any(True for _ in declared.iterentities()):
        raise StudyError(f"{path} declares entities of its own, which a table has no need of; it is not read.")


def _repeated(path: Path, encoding: str | None) -> list[str]:
    """Return the names from the root down to the element that is a row: repeated, and with others in it.

    Of several, those that are called as in most feeds come first, then those that are least deep.
    """
    counts, held = Counter[tuple[str, ...]](), set[tuple[str, ...]]()
    at: list[str] = []
    parser = etree.XMLPullParser(("start", "end"), encoding=encoding, **_SAFE)
    with unpacked(path) as opened:
        try:
            for event, element in _events(parser, opened.file):
                if event == "end":
                    at.pop()
                    element.clear()
                    continue
                if not at:
                    _refuse_entities(path, element)
                held.add(tuple(at))
                at.append(_name(element))
                counts[tuple(at)] += 1
                if element.attrib:
                    held.add(tuple(at))
        except etree.XMLSyntaxError:  # whoever reads the rows will meet it too
            pass

    def order(name: tuple[str, ...]) -> tuple[Any, ...]:
        usual = name[-1].rpartition(":")[2].casefold() in _USUAL
        return not usual, counts[name] < 2, len(name), -counts[name]

    found = [name for name in counts if name in held and len(name) > 1]
    found = [name for name in found if counts[name] > 1 or not order(name)[0]]
    return list(sorted(found, key=order)[0]) if found else []


def _events(parser: Any, file: IO[bytes]) -> Iterator[tuple[str, Any]]:
    for _ in range(_LOOKED):
        parser.feed(file.read(_PART))
        yield from parser.read_events()


def _name(element: Any) -> str:
    local = etree.QName(element).localname
    return f"{element.prefix}:{local}" if element.prefix else local


def _value(element: Any) -> Any:
    """Return an element as a text, as an object of what is in it, or as None where that is nothing."""
    children = list(element)
    loose = [element.text, *(child.tail for child in children)]
    if children and not any(text and text.strip() for text in loose) and not _is_markup(children):
        node: dict[str, Any] = {}
        for child in children:
            name, value = _name(child), _value(child)
            if name in node:
                node[name] = [*(node[name] if isinstance(node[name], list) else [node[name]]), value]
            else:
                node[name] = value
    elif text := "".join(element.itertext()).strip():
        return text
    else:
        node = {}
    return _attributes(element, node) or None


def _attributes(element: Any, node: dict[str, Any]) -> dict[str, Any]:
    """Add an element's attributes, and each name without its prefix."""
    node |= {f"@{etree.QName(name).localname}": value for name, value in element.attrib.items()}
    for name in list(node):
        node.setdefault(name.rpartition(":")[2].removeprefix("@"), node[name])
    return node


def _is_markup(children: list[Any]) -> bool:
    return any(not isinstance(child.tag, str) or child.tag.startswith(_XHTML) for child in children)
