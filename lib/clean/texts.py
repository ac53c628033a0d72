"""What a reader sees of a text: markup, broken encodings, page builders' codes and white space are taken away."""

import html
import json
import re
from typing import Any

import ftfy
from lxml import etree
from lxml.html import HTMLParser, fragment_fromstring

TAG = re.compile(r"</?[a-zA-Z]|<[!?]")
ENTITY = re.compile(r"&(?:[a-zA-Z]{2,31}|#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6});")
_CDATA = re.compile(r"<!\[CDATA\[(.*?)(?:\]\]>|$)", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_INVISIBLE = re.compile("[\u00ad\u200b-\u200d\u2060\ufeff]")
_BLOCK = re.compile(
    r"(?=</?(?:address|article|aside|blockquote|br|caption|center|dd|div|dl|dt|fieldset|figure|figcaption|footer|form"
    r"|h[1-6]|header|hr|legend|li|main|nav|ol|option|p|pre|section|table|tbody|td|tfoot|th|thead|tr|ul)\b)",
    re.IGNORECASE,
)
_MAX_ESCAPES = 3  # times that markup may have been escaped
_LINK = re.compile(r'!?\[([^\[\]]*)\]\((?:https?:|mailto:|www\.|[/#])(?:[^\s()]|\([^\s()]*\))*(?:\s+"[^"]*")?\)')
_EMPHASIS = re.compile(r"(?<!\w)(_{1,3})(?=[^\s_])([^_]*[^\s_])\1(?!\w)")
_CODE = re.compile(
    r"\[(/?)([a-z][a-z0-9_-]*)(?:=[^\s\[\]]*)?"
    r"""((?:\s+[\w-]+=(?:["“”″][^"“”″]*["“”″]|'[^']*'|[^\s\[\]"']+))*)\s*/?\]""",
    re.IGNORECASE,
)
_RICH = {"ops", "blocks", "root", "content", "children"}  # what holds the parts of a text that an editor saved as JSON
_SAID = ("insert", "text", "value")  # what holds the words of a part


def clean_text(text: str) -> str:
    """Return the words that a reader of a text sees, in one line.

    >>> clean_text("<p>Soft&nbsp;<b>cot</b>ton,<br/>it&#39;s cosy</p><script>x()</script>")
    "Soft cotton, it's cosy"
    >>> clean_text('[vc_row][button link="/x"]Soft[/button] [new] [wool](http://x)[/vc_row]')
    'Soft [new] wool'
    """
    return fold(without_codes(repair(strip_html(text))))


def strip_html(text: str) -> str:
    """Take away markup, scripts and styles, and resolve entities; markup that was escaped goes as well.

    The element that a tag makes decides what is left of it: a block is parted from its surroundings, a phrase is not.
    A text that an editor saved as JSON (Quill, Draft.js, ProseMirror) is what its parts say.
    """
    text = _from_json(text)
    for _ in range(_MAX_ESCAPES):
        text = _CDATA.sub(r"\1", text)
        if TAG.search(text):
            source = _BLOCK.sub(" ", _CONTROL.sub(" ", text)).encode("utf-8", "replace")
            root = fragment_fromstring(source, create_parent="div", parser=HTMLParser(encoding="utf-8"))
            etree.strip_elements(root, "script", "style", etree.Comment, etree.ProcessingInstruction, with_tail=False)
            text = str(root.text_content())
        elif ENTITY.search(text):
            text = html.unescape(text)
        else:
            break
    return text


def repair(text: str) -> str:
    """Mend broken encodings and typographic quotes (ftfy); drop control characters and invisible ones."""
    text = _CONTROL.sub(" ", text)
    return text if text.isascii() else _INVISIBLE.sub("", ftfy.fix_text(text, unescape_html=False))


def without_codes(text: str) -> str:
    """Take away page builders' codes in brackets, such as `[vc_row]`, and what makes links and emphasis in Markdown.

    A word in brackets is a code if it is closed (`[b]wool[/b]`), has attributes, or has an underscore in its name.
    """
    if "_" in text:
        text = _EMPHASIS.sub(r"\2", text)
    if "[" not in text:
        return text
    text = _LINK.sub(r"\1", text)
    closed = {name.lower() for slash, name, _ in _CODE.findall(text) if slash}
    return _CODE.sub(lambda it: " " if it[3] or "_" in it[2] or it[2].lower() in closed else it[0], text)


def fold(text: str) -> str:
    """Make any white space one space, and none at the ends."""
    return " ".join(text.split())


def _from_json(text: str) -> str:
    """Return what a text says that an editor saved as JSON; any other text as it is."""
    if not text.lstrip().startswith(("{", "[")):
        return text
    try:
        node = json.loads(text if '"' in text else html.unescape(text))
        first = node[0] if isinstance(node, list) and node else node
        if isinstance(first, dict) and (_RICH & first.keys() or (first is not node and "insert" in first)):
            return _said(node)
    except (ValueError, RecursionError):
        pass
    return text


def _said(node: Any) -> str:
    """Return the words of a part and of the parts in it; what is no mere piece of a line ends one."""
    if isinstance(node, list):
        return "".join(map(_said, node))
    if not isinstance(node, dict):
        return ""
    own = next((node[key] for key in _SAID if isinstance(node.get(key), str)), "")
    return own + "".join(map(_said, node.values())) + ("" if node.get("type", "text") == "text" else "\n")
