"""What may not reach a site: requests to a network, and products of a catalogue that may not be published."""

import re
from collections.abc import Iterable, Iterator
from html import unescape
from pathlib import Path

import pyarrow.parquet as pq
from lxml.html import HtmlElement, HTMLParser, document_fromstring
from sklearn.feature_extraction.text import CountVectorizer

from lib.config import build_dir
from lib.exceptions import StudyError
from lib.files import existing

SHINGLE = 8  # words in a row that two texts have in common only if one quotes the other
SHORTEST = 40  # characters; a shorter title may well be a mere brand and category
SOURCES = (("raw", ("title", "description")), ("clean", ("text", "masked_text")))
TAG = re.compile(r"<[^>]*>")
LOADED = (
    "//link/@href | //*[self::script or self::img or self::iframe or self::source or self::video or self::audio]/@src"
)
REMOTE = re.compile(r"^(?:https?:)?//")
REMOTE_CSS = re.compile(r"(?:@import\s+|url\(\s*)[\"']?(?:https?:)?//")


def refuse_network(site: Path) -> None:
    """Raise if a page of `site` would load anything that is not beside it.

    Raises
    ------
    StudyError
        Naming the page and the address.
    """
    found = []
    for path in sorted(site.rglob("*.html")):
        found += [(path.name, str(at)) for at in _tree(path.read_text("utf-8")).xpath(LOADED) if REMOTE.match(str(at))]
    for path in sorted(site.rglob("*.css")):
        found += [(path.name, f"{address}...") for address in REMOTE_CSS.findall(path.read_text("utf-8"))]
    if found:
        page, address = found[0]
        raise StudyError(f"{page} would load {address}: a report asks for nothing from the network.")


def refuse_product_content(catalogue: str, site: Path) -> None:
    """Raise if a page of `site` quotes a product, or if there is a photo in it.

    Compares runs of eight words of every title and description longer than 40 characters (the whole text where it
    has fewer words) with the runs of the site's pages: linear in both.

    Raises
    ------
    StudyError
        Naming the pages and the products, but not quoting them.
    """
    if photos := sorted(path.name for path in site.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg")):
        raise _refusal(catalogue, f"{photos[0]} is a photo (a JPEG)")
    html = {path.name: path.read_text("utf-8") for path in sorted(site.rglob("*.html"))}
    if photos := [name for name, content in html.items() if "data:image/jpeg" in content]:
        raise _refusal(catalogue, f"{photos[0]} holds a photo (a JPEG)")
    pages = {name: page_text(content) for name, content in html.items()}
    if found := quoted(pages, product_texts(catalogue)):
        page, product = found
        raise _refusal(catalogue, f"{page} quotes the product {product}")


def quoted(pages: dict[str, str], products: Iterable[tuple[str, str]]) -> tuple[str, str] | None:
    """Return the first (page, product id) where the page quotes the product, or None.

    >>> title = "Moss and Fern Quilted Rain Jacket with Storm Hood"
    >>> quoted({"a.html": "We sell the moss and fern quilted rain jacket with storm hood."}, [("7", title)])
    ('a.html', '7')
    >>> quoted({"a.html": "Jackets are often taken for coats."}, [("7", title)]) is None
    True
    """
    words = r"\w+"
    shorter, longest = (
        CountVectorizer(ngram_range=(least, SHINGLE), token_pattern=words).build_analyzer() for least in (1, SHINGLE)
    )
    where: dict[str, str] = {}
    for page, text in pages.items():
        for run in shorter(text):
            where.setdefault(run, page)
    for product_id, text in products:
        if len(text) > SHORTEST:
            for run in longest(text) or [" ".join(re.findall(words, text.lower()))]:
                if run in where:
                    return where[run], product_id
    return None


def product_texts(catalogue: str) -> Iterator[tuple[str, str]]:
    """Yield (product id, text) for every title and description, as collected and as cleaned."""
    for stage, columns in SOURCES:
        table = pq.read_table(existing(build_dir(catalogue, stage, "products.parquet")))
        identifiers = table.column("product_id").to_pylist()
        for column in columns:
            for identifier, text in zip(identifiers, table.column(column).to_pylist(), strict=True):
                if text:
                    yield identifier, TAG.sub(" ", unescape(text))


def page_text(html: str) -> str:
    """Return all that a page says: its text, and what describes its images."""
    tree = _tree(html)
    return " ".join([*tree.itertext(), *tree.xpath("//@alt | //@title | //@content")])


def _tree(html: str) -> HtmlElement:
    return document_fromstring(html.encode() or b"<html/>", parser=HTMLParser(encoding="utf-8"))


def _refusal(catalogue: str, found: str) -> StudyError:
    return StudyError(
        f"The report of '{catalogue}' is not published: {found}, and catalogues/{catalogue}.yaml says "
        "publish_examples: false. Let the notebook show examples only where catalogue.publish_examples is true."
    )
