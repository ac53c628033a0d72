"""Formats in which each row has its own fields: JSON, lines of JSON or as Python writes objects, and XML.

Product feeds in XML, such as Google Merchant's RSS and Atom, are data: nothing that they name is loaded, and one that
declares entities is refused.
"""

import ast
import io
import json
import re
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import IO, Any

import ijson
from lxml import etree

from lib.collect.layout import MAX_LINE, Layout, Row, text_encoding, wrong_encoding
from lib.collect.unpacking import unpacked
from lib.config.base import INVALID, Reject
from lib.crawl.products import MAX_DATA_DEEP, load_json
from lib.exceptions import StudyError

_PART = 2**16  # characters of JSON that are parsed at once
_MAX_LITERAL = 2**20  # characters of an object as Python writes it, whose parser takes much memory
_USUAL = {"item", "entry", "product", "offer", "shopitem", "article", "good", "row", "record"}  # elements that are rows
_MAX_ELEMENTS = 100_000  # in a row, and among those from which is told which element that is
_XHTML = "{http://www.w3.org/1999/xhtml}"
_SAFE = {"resolve_entities": False, "no_network": True, "load_dtd": False, "remove_comments": True, "remove_pis": True}


# JSON


def load_literal(text: str) -> Any:
    """Read texts, numbers, lists and objects as Python writes them; they are never run.

    Raises
    ------
    ValueError
        If it is nothing of this kind, too long, or nested too deep.

    >>> load_literal("{'id': 1, 'names': (u'A', None,)}")
    {'id': 1, 'names': ['A', None]}
    """
    if len(text) > _MAX_LITERAL:
        raise ValueError(f"it has more than {_MAX_LITERAL:,} characters")
    try:
        with warnings.catch_warnings(action="ignore"):
            return load_json(json.dumps(ast.literal_eval(text.strip())))
    except (SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise ValueError(f"it is no object as Python writes it: {error}") from error


def read_json_lines(path: Path, layout: Layout) -> Iterator[Row | Reject]:
    """Yield a row for each line that is an object, in JSON or as Python writes it."""
    with unpacked(path, progress=True) as opened:
        number = 0
        while line := opened.file.readline(MAX_LINE):
            number += 1
            if len(line) == MAX_LINE:
                raise StudyError(f"{path}: line {number} is longer than {MAX_LINE:,} characters.")
            if not line.strip():
                continue
            try:
                text = line.decode(layout.encoding or json.detect_encoding(line), "surrogatepass")  # as json.loads does
                row = load_literal(text) if re.match(r"\s*\{\s*u?'", text) else load_json(text)
                if not isinstance(row, dict):
                    raise ValueError(f"expected an object, got {type(row).__name__}")
            except ValueError as error:
                yield Reject(None, INVALID, f"line {number}: {error}")
                continue
            yield Row(f"line {number}", row)


def read_json(path: Path, layout: Layout) -> Iterator[Row | Reject]:
    """Yield the objects of a JSON text: those of its one list, wherever that is, or one after the other."""
    first, number = None, 0
    for name, value in _json_values(path, layout):
        if layout.sheet and layout.sheet not in (name, name.rpartition(".")[2]):
            continue
        first, number = name if first is None else first, number + 1
        if name != first:
            raise StudyError(f"{path} holds more than one list, '{first}' and '{name}'; `sheet` says which to read.")
        if isinstance(value, dict):
            yield Row(f"row {number}", value)
        else:
            yield Reject(None, INVALID, f"row {number}: expected an object, got {type(value).__name__}")
    if first is None:
        sought = f"list '{layout.sheet}', which `sheet` names" if layout.sheet else "list of objects"
        raise StudyError(f"{path} holds no {sought}.")


def lists_in(path: Path) -> list[str]:
    """Return the names of the lists of objects in a JSON text, all of which is read; the longest list comes first."""
    return [name for name, _ in Counter(name for name, _ in _json_values(path, Layout())).most_common()]


def _json_values(path: Path, layout: Layout) -> Iterator[tuple[str, Any]]:
    """Yield what is in the lists of objects in a JSON text, with the list's dotted name; or objects in a row.

    A list is one of objects if it is all there is, or as soon as one comes.
    """
    keys: list[str | None] = []  # on the way to where the parser is; None within a list
    lists, row, level, size = {""}, None, 0, 0
    with unpacked(path, progress=True) as opened:
        used = text_encoding(opened.head, layout.encoding)
        several = bool(re.search(r"^\}\s*\{", opened.head.decode(used, "replace"), re.M))
        text, events = io.TextIOWrapper(opened.file, used), ijson.sendable_list()
        parser = ijson.basic_parse_coro(events, multiple_values=several)
        try:
            while part := text.read(_PART):
                parser.send(part.encode("utf-8", "surrogatepass"))
                size = size + len(part) if row or not events else 0
                if size > MAX_LINE:
                    raise ValueError(f"a value of more than {MAX_LINE:,} characters, or none")
                for event, value in events:
                    if event in ("end_map", "end_array"):
                        keys.pop()
                    elif event == "map_key":
                        keys[-1] = value
                    elif row is None and (not keys if several else keys[-1:] == [None]):
                        name = ".".join(key for key in keys if key)
                        if event == "start_map" or name in lists:
                            row, level = ijson.ObjectBuilder(), len(keys)
                            lists.add(name)
                    if row is not None:
                        row.event(event, float(value) if isinstance(value, Decimal) else value)
                    if event in ("start_map", "start_array"):
                        keys.append("" if event == "start_map" else None)
                        if len(keys) > MAX_DATA_DEEP:
                            raise ValueError(f"it is nested more than {MAX_DATA_DEEP} deep")
                    if row is not None and len(keys) == level:
                        yield name, row.value
                        row, size = None, 0
                events.clear()
            parser.close()
        except UnicodeError as error:
            raise wrong_encoding(path, used, str(getattr(error, "reason", error))) from error
        except (ValueError, ijson.JSONError) as error:
            raise StudyError(f"{path} is truncated, or no JSON: {str(error).splitlines()[0].rstrip('.')}.") from error


# XML


def read_xml(path: Path, layout: Layout) -> Iterator[Row]:
    """Yield the rows of a feed. Fields are called as elements are written, and also without their prefix.

    An attribute is called `@name`, and `name` where no element is. Elements within others become nested objects,
    and those that are repeated a list.
    """
    chosen = layout.sheet or _repeated(path, layout.encoding)
    row: Any = None
    number = elements = 0
    with unpacked(path, progress=True) as opened:
        try:
            for event, element, at in _elements(path, opened.file, layout.encoding):
                if event == "start":
                    if row is None and (at == chosen or chosen in (at[-1], at[-1].rpartition(":")[2])):
                        row, elements = element, 0
                    elements += 1
                    if elements > _MAX_ELEMENTS and row is not None:
                        raise StudyError(f"{path}: {at[-1]} {number + 1} has more than {_MAX_ELEMENTS:,} elements.")
                    continue
                if element is row:
                    number += 1
                    values = _value(element)
                    values = values if isinstance(values, dict) else _with_attributes(element, {"text": values})
                    yield Row(f"line {element.sourceline} ({at[-1]} {number:,})", values)
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


def _repeated(path: Path, encoding: str | None) -> tuple[str, ...]:
    """Return the names from the root down to the element that is a row: repeated, and with others in it.

    Of several, those that are called as in most feeds come first, then those that are least deep.
    """
    counts, held = Counter[tuple[str, ...]](), set[tuple[str, ...]]()
    with unpacked(path) as opened, suppress(etree.XMLSyntaxError):  # whoever reads the rows will meet it too
        for event, element, at in islice(_elements(path, opened.file, encoding), 2 * _MAX_ELEMENTS):
            if event == "end":
                element.clear()
                continue
            counts[at] += 1
            held |= {at[:-1], at} if element.attrib else {at[:-1]}
    usual = {name for name in counts if name[-1].rpartition(":")[2].casefold() in _USUAL}
    found = [name for name in counts if name in held and len(name) > 1 and (counts[name] > 1 or name in usual)]
    return min(found, key=lambda at: (at not in usual, counts[at] < 2, len(at), -counts[at]), default=())


def _elements(path: Path, file: IO[bytes], encoding: str | None) -> Iterator[tuple[str, Any, tuple[str, ...]]]:
    """Yield where elements start and end, with the names from the root down to them."""
    at: tuple[str, ...] = ()
    for event, element in etree.iterparse(file, ("start", "end"), encoding=encoding, **_SAFE):
        declared = None if at else element.getroottree().docinfo.internalDTD
        if declared is not None and any(True for _ in declared.iterentities()):
            raise StudyError(f"{path} declares entities of its own, which a table has no need of; it is not read.")
        at = (*at, _name(element)) if event == "start" else at
        yield event, element, at
        at = at[:-1] if event == "end" else at


def _name(element: Any) -> str:
    local = etree.QName(element).localname
    return f"{element.prefix}:{local}" if element.prefix else local


def _value(element: Any) -> Any:
    """Return an element as a text, as an object of what is in it, or as None where that is nothing."""
    children, node = list(element), dict[str, Any]()
    texts = (element.text, *(child.tail for child in children))
    markup = any(not isinstance(child.tag, str) or child.tag.startswith(_XHTML) for child in children)
    if markup or not children or any(text and text.strip() for text in texts):
        if text := "".join(element.itertext()).strip():
            return text
        children = []
    for child in children:
        name, value = _name(child), _value(child)
        if name in node:
            value = [*(node[name] if isinstance(node[name], list) else [node[name]]), value]
        node[name] = value
    return _with_attributes(element, node) or None


def _with_attributes(element: Any, node: dict[str, Any]) -> dict[str, Any]:
    """Add an element's attributes, and each name without its prefix."""
    node |= {f"@{etree.QName(name).localname}": value for name, value in element.attrib.items()}
    for name in list(node):
        node.setdefault(name.rpartition(":")[2].removeprefix("@"), node[name])
    return node
