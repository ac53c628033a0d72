"""HTML that a notebook displays may hold names and texts from outside: only what draws a table or a photo passes."""

from bs4 import BeautifulSoup, Comment, Tag
from markdown_it import MarkdownIt

# fmt: off
TAGS = frozenset((
    "a", "b", "blockquote", "br", "caption", "code", "col", "colgroup", "dd", "del", "div", "dl", "dt", "em",
    "figcaption", "figure", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "i", "img", "kbd", "li", "mark", "ol", "p",
    "pre", "s", "small", "span", "strong", "sub", "sup", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "ul",
))
ATTRIBUTES = frozenset(("alt", "class", "colspan", "rowspan", "scope", "src", "href", "title"))
DROPPED = ("script", "style", "template", "iframe", "object", "embed", "svg", "math", "head", "title", "link", "meta")
# fmt: on
IMAGES = ("data:image/png;base64,", "data:image/jpeg;base64,")
LINKS = ("https://", "http://", "#")


def clean_html(html: str, alt: str = "") -> str:
    """Return `html` with nothing in it that runs or loads; an image without a description gets `alt`.

    >>> clean_html('<table onclick="x()"><tr><td><script>x()</script>&lt;b&gt;</td></tr></table>')
    '<table><tr><td>&lt;b&gt;</td></tr></table>'
    """
    soup = BeautifulSoup(html, "html.parser")
    for comment in soup.find_all(string=lambda text: isinstance(text, Comment)):
        comment.extract()
    for tag in soup.find_all(DROPPED):
        tag.decompose()
    for tag in soup.find_all(True):
        _clean_tag(tag, alt)
    return str(soup)


def markdown_to_html(text: str) -> str:
    r"""Render Markdown that a cell displayed; HTML inside it stays text.

    >>> markdown_to_html("**12** of <b>40</b>")
    '<p><strong>12</strong> of &lt;b&gt;40&lt;/b&gt;</p>\n'
    """
    return str(MarkdownIt("commonmark", {"html": False}).enable("table").render(text))


def _clean_tag(tag: Tag, alt: str) -> None:
    if tag.name not in TAGS:
        tag.unwrap()
        return
    tag.attrs = {name: value for name, value in tag.attrs.items() if name in ATTRIBUTES}
    if tag.name == "img" and not str(tag.get("src", "")).startswith(IMAGES):
        tag.decompose()
        return
    if tag.name != "img":
        tag.attrs.pop("src", None)
    elif not tag.get("alt"):
        tag["alt"] = alt
    if not str(tag.get("href", "#")).startswith(LINKS):
        del tag["href"]
