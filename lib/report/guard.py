"""What may not reach a site: requests to a network, and products of a catalogue that may not be published."""

import re
from collections.abc import Collection, Iterable, Iterator
from html import unescape
from pathlib import Path

import pyarrow.parquet as pq
from lxml.html import HtmlElement, HTMLParser, document_fromstring, tostring
from sklearn.feature_extraction.text import CountVectorizer

from lib.config import build_dir
from lib.exceptions import StudyError
from lib.files import existing, read_json

SHINGLE = 8  # words in a row that two texts have in common only if one quotes the other
SHORTEST = 40  # characters; a shorter title may well be a mere brand and category
SOURCES = (("raw", ("title", "description")), ("clean", ("text", "masked_text")))
JPEG = (".jpg", ".jpeg")
LEFT_OUT = "Left out: this shows a product, and the catalogue publishes no examples."
ROWS, WORDLESS = ("tr", "thead", "tbody", "tfoot"), ("img", "table", "ul", "ol", "dl", "svg", "meta")
WORD = r"\w+"
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


def leave_out_products(catalogue: str, site: Path) -> list[str]:
    """Take out of the pages of `site` what quotes a product, and photos; a line says so in their place.

    Compares runs of eight words of every title and description longer than 40 characters (the whole text where it
    has fewer words) with the runs of the site's pages: linear in both. Names of classes and their paths are not quotes.
    What is taken out is the smallest element that holds the quote: a cell of a table, a sentence of a list, a figure
    with its description, a block of code.

    Returns
    -------
    A line for each page of which something was taken out.
    """
    for path in sorted(site.rglob("*")):
        if path.suffix.lower() in JPEG:
            path.unlink()
    pages = {path: path.read_text("utf-8") for path in sorted(site.rglob("*.html"))}
    trees = {path: _tree(html) for path, html in pages.items()}
    said, exempt = map(_words, trees.values()), [LEFT_OUT, *class_names(catalogue)]
    quotes = quoted(said, product_texts(catalogue), exempt)
    done = []
    for path, tree in trees.items():
        left_out = 0
        while found := [*_photos(tree), *_quoting(tree, quotes)]:
            left_out += len(found)
            for element in found:
                _leave_out(element, site)
        if left_out:
            path.write_text(str(tostring(tree, encoding="unicode", doctype="<!DOCTYPE html>")), "utf-8")
            done.append(f"{path.name}: {left_out} left out, as they show a product")
    return done


def quoted(pages: Iterable[str], texts: Iterable[str], exempt: Iterable[str] = ()) -> set[str]:
    """Return the runs of words in which pages quote texts; runs of exempt texts are none.

    >>> title = "Moss and Fern Quilted Rain Jacket with Storm Hood"
    >>> page = "We sell the moss and fern quilted rain jacket with storm hood."
    >>> sorted(quoted([page], [title]))
    ['and fern quilted rain jacket with storm hood', 'moss and fern quilted rain jacket with storm']
    >>> quoted([page], [title], exempt=[title]), quoted(["Jackets are often taken for coats."], [title])
    (set(), set())
    """
    shorter, longest = (
        CountVectorizer(ngram_range=(least, SHINGLE), token_pattern=WORD).build_analyzer() for least in (1, SHINGLE)
    )
    there = {run for page in pages for run in shorter(page)} - {run for text in exempt for run in shorter(text)}
    found = set()
    for text in texts:
        if len(text) > SHORTEST:
            found |= there.intersection(longest(text) or [" ".join(re.findall(WORD, text.lower()))])
    return found


def product_texts(catalogue: str) -> Iterator[str]:
    """Yield every title and description, as collected and as cleaned."""
    for stage, columns in SOURCES:
        table = pq.read_table(existing(build_dir(catalogue, stage, "products.parquet")), columns=list(columns))
        for column in columns:
            yield from (TAG.sub(" ", unescape(text)) for text in table.column(column).to_pylist() if text)


def class_names(catalogue: str) -> Iterator[str]:
    """Yield the names of all classes, and all paths."""
    taxonomy = read_json(build_dir(catalogue, "clean", "taxonomy.json"))
    for path in taxonomy["paths"]:
        names = [names[code] for names, code in zip(taxonomy["levels"], path, strict=True)]
        yield from (*names, " > ".join(names))


def _words(element: HtmlElement) -> str:
    """Return all that an element says: its text, and what describes its images."""
    within = "descendant-or-self::*"
    return " ".join([*element.itertext(), *element.xpath(f"{within}/@alt | {within}/@title | {within}/@content")])


def _quoting(element: HtmlElement, quotes: Collection[str]) -> list[HtmlElement]:
    """Return the smallest elements that hold a quote each."""
    said = f" {' '.join(re.findall(WORD, _words(element).lower()))} "
    held = [quote for quote in quotes if f" {quote} " in said]
    if not held:
        return []
    return [found for child in element.iterchildren("*") for found in _quoting(child, held)] or [element]


def _photos(tree: HtmlElement) -> list[HtmlElement]:
    sources = [(image, str(image.get("src", ""))) for image in tree.iter("img")]
    return [image for image, at in sources if at.startswith("data:image/jpeg") or Path(at).suffix.lower() in JPEG]


def _leave_out(element: HtmlElement, site: Path) -> None:
    """Put a line in the place of an element, of the table that it is a row of, or of the link that it is in."""
    while element.getparent() is not None and (element.tag in ROWS or element.getparent().tag == "a"):
        element = element.getparent()
    for image in element.iter("img"):
        site.joinpath("_images", Path(str(image.get("src", ""))[-80:]).name).unlink(missing_ok=True)
    tag, tail = element.tag, element.tail
    element.clear()
    element.tag, element.tail, element.text = "span" if tag in WORDLESS else tag, tail, LEFT_OUT


def _tree(html: str) -> HtmlElement:
    return document_fromstring(html.encode() or b"<html/>", parser=HTMLParser(encoding="utf-8"))
