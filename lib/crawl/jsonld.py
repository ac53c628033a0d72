"""JSON-LD as pages have it: often broken."""

import html
import json
from collections.abc import Iterator
from typing import Any

import chompjs


def read_blocks(tree: Any) -> Iterator[Any]:
    """Yield the value of each JSON-LD script of a page, and None for one that cannot be read."""
    for script in tree.iter("script"):
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
        objects: list[Any] = list(chompjs.parse_js_objects(text, json_params={"strict": False}))
    except (ValueError, RecursionError):
        return None
    return (objects[0] if len(objects) == 1 else objects) or None
