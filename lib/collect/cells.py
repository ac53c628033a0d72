"""What one cell of a table holds: a text, a number, a list or an object, be it real or written as text.

Nothing is evaluated: a list that is written as text is read as JSON, or else as a literal of Python.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from decimal import Decimal
from typing import Any

from lib.collect.nested import load_literal
from lib.crawl.products import load_json

_STEP = re.compile(r"\[(-?\d+)\]|([^.\[]+|\[)")
_STRING = r""""(?:[^"\\]|\\.)*+"|'(?:[^'\\]|\\.)*+'"""
_LITERAL = re.compile(rf"""({_STRING})(\s*(?=["']))?|\b(?:nan|null)\b""", re.DOTALL | re.IGNORECASE)
_CDATA = re.compile(r"(?:<|&lt;)!\[CDATA\[(.*?)\]\](?:>|&gt;)", re.DOTALL)
_LANGUAGE = ("language_tag", "language", "lang", "locale", "@language")
_NO_NAME = re.compile(
    r"(?i:(?:^|[^a-z])(?:id|ids|gid|code|slug|url|uri|href|link|handle|sku|key|type|position|lang|language|language_tag"
    r"|locale|image|icon|logo)$)|[a-z]Id$",
)
_ADDRESS = re.compile(r"(?:https?:)?//", re.IGNORECASE)
_NEXT_ADDRESS = re.compile(r"(?:\s*[,;|]\s*|\s+)(?=(?:https?:)?//)", re.IGNORECASE)
_PHOTO_NAME = re.compile(
    r"\s*([^,;|\n]*\.(?:jpe?g|png|webp|gif|avif|tiff?|bmp)(?:\?[^,;|\s]*)?)\s*[,;|\n]", re.IGNORECASE
)


def opened(value: Any) -> Any:
    r"""Return the list or the object that a text spells in JSON or in Python; anything else as it is.

    >>> opened('["A", "B"]'), opened("['Men\\'s', nan]"), opened("['A' 'B']"), opened("[Sale] Shirts")
    (['A', 'B'], ["Men's", None], ['A', 'B'], '[Sale] Shirts')
    """
    if not isinstance(value, str) or value.lstrip()[:1] not in ("[", "{", "("):
        return value
    with suppress(ValueError):
        return load_json(value)
    # Arrays of NumPy stand without commas, which Python would take for one text; and `nan` is no literal.
    text = _LITERAL.sub(lambda found: f"{found[1]}{', ' * (found[2] is not None)}" if found[1] else "None", value)
    with suppress(ValueError):
        return load_literal(text)
    return value


# Names of columns


def get(values: dict[str, Any], column: str) -> Any:
    """Follow a dotted name into nested objects; `None` if it leads nowhere.

    Raises
    ------
    ValueError
        If it leads into a text.

    Examples
    --------
    >>> row = {"images": [{"large": "a.jpg"}, {"large": "b.jpg"}], "brand": '{"name": "Alder"}'}
    >>> get(row, "images[0].large"), get(row, "images.large"), get(row, "brand.name"), get(row, "images[2].large")
    ('a.jpg', ['a.jpg', 'b.jpg'], 'Alder', None)
    """
    if column in values:
        return values[column]
    node: Any = values
    for index, key in _STEP.findall(column):
        node, step = opened(node), int(index) if index else key
        if isinstance(node, str) and node.strip():
            raise ValueError(f"'{column}' leads into a text, which has no '{step}': {shortened(node)}")
        if isinstance(step, int):
            node = node[step] if isinstance(node, list | tuple) and -len(node) <= step < len(node) else None
        elif isinstance(node, list | tuple):
            node = [member.get(step) for member in node if isinstance(member, dict)]
        else:
            node = node.get(step) if isinstance(node, dict) else None
    return node


def fields(node: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """List the dotted names of an object's values."""
    for key, value in node.items():
        if isinstance(value, dict):
            yield from fields(value, f"{prefix}{key}.")
        else:
            yield prefix + key


def is_known(column: str, known: Iterable[str]) -> bool:
    """Say whether a column can lead to something in a table with these fields: to one, to an object, or into a list.

    >>> [is_known(name, ["id", "about.maker", "images"]) for name in ("about", "images[0].large", "about.price", "i")]
    [True, True, False, False]
    """
    begins = {column[: found.start()] for found in re.finditer(r"[.\[]", column)} | {column}
    return any(name in begins or name.startswith((f"{column}.", f"{column}[")) for name in known)


# Texts


def text_of(value: Any, column: str | None, language: str | None = None) -> str | None:
    r"""Return what a value says as one text.

    Parameters
    ----------
    value
        A text, a number, an object with one text in it, or a list of these, which are joined by line breaks; a list
        or an object may also be written as text.
    column
        Its name, for messages.
    language
        The beginning of the tag, such as `en`, of what is taken where there are several languages.

    Raises
    ------
    ValueError
        If it is none of these.

    Examples
    --------
    >>> text_of(["Soft", "Warm"], "points"), text_of({"id": "b7", "name": "Alder"}, "brand"), text_of(12.0, "id")
    ('Soft\nWarm', 'Alder', '12')
    >>> names = [{"language_tag": "de_DE", "value": "Becher"}, {"language_tag": "en_US", "value": "Mug"}]
    >>> text_of(names, "name", "en"), text_of(names, "name")
    ('Mug', 'Becher')
    >>> text_of("<![CDATA[<b>Soft</b>]]>", "text")
    '<b>Soft</b>'
    """
    listed = opened(value)
    if isinstance(listed, list | tuple) and all(isinstance(member, str | dict | None) for member in listed):
        texts = (text_of(member, column, language) for member in in_language(listed, language))
        return "\n".join(dict.fromkeys(text for text in texts if text and text.strip())) or None
    if value is None or value != value:  # not a number: how a table of numbers says that there is none
        return None
    if isinstance(value, dict):
        return one_text(value, column, language)
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        # A column of whole numbers of which one is missing becomes one of fractions in many programs.
        return str(int(value) if isinstance(value, float) and value.is_integer() else value)
    if not isinstance(value, str):
        raise ValueError(f"'{column}' should be text, got {type(value).__name__}")
    if "\0" in value:  # no file can hold it, or no reader of one would go on behind it
        raise ValueError(f"'{column}' holds a NUL character")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"'{column}' is not valid Unicode: {error.reason}") from error
    return _CDATA.sub(r"\1", value)


def in_language(members: Any, language: str | None) -> list[Any]:
    """Keep those of a list that are in a language, or in that of the first; all of them if none has a language."""
    tags = [
        next((str(member[key]) for key in _LANGUAGE if key in member), None) if isinstance(member, dict) else None
        for member in members
    ]
    if not any(tags):
        return list(members)
    wanted = (language or tags[0] or "").casefold()
    alike = str.startswith if language else str.__eq__
    return [member for member, tag in zip(members, tags, strict=True) if alike((tag or "").casefold(), wanted)]


def one_text(value: dict[str, Any], column: str | None, language: str | None = None) -> str | None:
    """Return the one text of an object that can be a name; neither an id nor an address can.

    Raises
    ------
    ValueError
        If there are several, or none, with the names of the columns that can be asked for.
    """
    texts = {key: text for key, text in value.items() if isinstance(text, str) and text.strip()}
    names = {key: text for key, text in texts.items() if not _NO_NAME.search(key) and not _ADDRESS.match(text)}
    if language and len(names) > 1:
        names = {key: text for key, text in names.items() if key.casefold().startswith(language.casefold())} or names
    if len(names) == 1 or len(texts) == 1:
        return text_of(next(iter((names or texts).values())), column)
    if not any(member for member in value.values()):
        return None
    asked = " or ".join(f"'{column}.{key}'" for key in (names or value))
    raise ValueError(f"'{column}' should be text, got an object; name what is meant by its key: {asked}")


def first_address(value: Any, column: str) -> str | None:
    """Return the first photo of a cell that may name several: in a list, or parted by commas, `|` or white space.

    >>> first_address("https://x/w_1,h_2/a.jpg, https://x/b.jpg", "image"), first_address("/m/a.jpg|/m/b.jpg", "image")
    ('https://x/w_1,h_2/a.jpg', '/m/a.jpg')
    >>> first_address('["a b.jpg", "c.jpg"]', "image"), first_address("one, two.jpg", "image")
    ('a b.jpg', 'one, two.jpg')
    """
    value = opened(value)
    if isinstance(value, list | tuple):
        return next(filter(None, (first_address(member, column) for member in value)), None)
    if isinstance(value, dict):
        texts = {key: text for key, text in value.items() if isinstance(text, str)}
        photos = {key: text for key, text in texts.items() if _ADDRESS.match(text) or _PHOTO_NAME.match(f"{text},")}
        if len(photos) > 1:
            asked = " or ".join(f"'{column}.{key}'" for key in photos)
            raise ValueError(f"'{column}' has several photos; name one by its key: {asked}")
        value = next(iter(photos.values()), value)
    text = (text_of(value, column) or "").strip()
    if _ADDRESS.match(text):
        return _NEXT_ADDRESS.split(text, maxsplit=1)[0].rstrip(",;|")
    return name[1].strip() if (name := _PHOTO_NAME.match(text)) else text or None


def shortened(value: object, most: int = 120) -> str:
    """Show a cell in a message."""
    text = repr(value)
    return text if len(text) <= most else f"{text[:most]}..."
