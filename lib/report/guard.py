"""Where a catalogue's products may not be published, their texts and photos must not reach the site."""

import re
from collections.abc import Iterable, Iterator
from html import unescape
from pathlib import Path

import pyarrow.parquet as pq
from lxml.html import HTMLParser, document_fromstring

from lib.config import build_dir
from lib.exceptions import StudyError
from lib.files import existing

SHINGLE = 8  # words in a row that two texts have in common only if one quotes the other
SHORTEST = 40  # characters; a shorter title may well be a mere brand and category
SOURCES = (("raw", ("title", "description")), ("clean", ("text", "masked_text")))
WORD = re.compile(r"\w+")
TAG = re.compile(r"<[^>]*>")


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
    where: dict[tuple[str, ...], str] = {}
    for page, text in pages.items():
        words = _words(text)
        for length in range(1, SHINGLE + 1):
            for shingle in _shingles(words, length):
                where.setdefault(shingle, page)
    for product_id, text in products:
        if len(text) <= SHORTEST:
            continue
        words = _words(text)
        for shingle in _shingles(words, min(SHINGLE, len(words))):
            if shingle in where:
                return where[shingle], product_id
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
    tree = document_fromstring(html.encode(), parser=HTMLParser(encoding="utf-8"))
    return " ".join([*tree.itertext(), *tree.xpath("//@alt | //@title | //@content")])


def _words(text: str) -> list[str]:
    return WORD.findall(text.lower())


def _shingles(words: list[str], length: int) -> Iterator[tuple[str, ...]]:
    return (tuple(words[start : start + length]) for start in range(len(words) - length + 1)) if length else iter(())


def _refusal(catalogue: str, found: str) -> StudyError:
    return StudyError(
        f"The report of '{catalogue}' is not published: {found}, and catalogues/{catalogue}.yaml says "
        "publish_examples: false. Let the notebook show examples only where catalogue.publish_examples is true."
    )
