"""Executed notebooks: what they gave a name (`lib/report/kit.py`), for pages to take, and each as a page of its own.

On a page code is folded and images are described. Nothing of this machine or from outside is in what is taken.
"""

import re
from base64 import b64decode
from collections import defaultdict
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import nbformat
import nh3
from markdown_it import MarkdownIt
from nbformat import NotebookNode

from lib.config import build_dir, root
from lib.exceptions import StudyError, nearest
from lib.files import existing
from lib.report.kit import NAMED, REST

HEADING = re.compile(r"^#+\s+(.+?)\s*$", re.MULTILINE)
WIDGET = "application/vnd.jupyter.widget-view+json"
# fmt: off
TAGS = {
    "a", "b", "blockquote", "br", "caption", "code", "col", "colgroup", "dd", "del", "div", "dl", "dt", "em",
    "figcaption", "figure", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "i", "img", "kbd", "li", "mark", "ol", "p",
    "pre", "s", "small", "span", "strong", "sub", "sup", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "ul",
}
# fmt: on
ATTRIBUTES = {"*": {"class", "title"}, "a": {"href"}, "img": {"src", "alt"}} | {
    cell: {"colspan", "rowspan", "scope"} for cell in ("td", "th")
}
IMAGE = re.compile(r'<img((?: [\w-]+="[^"]*")*)>')
NO_ROWS = re.compile(r"<table[^>]*>(?:(?!</?table).)*<tbody>\s*</tbody>\s*</table>", re.DOTALL)
IMAGES = ("data:image/png;base64,", "data:image/jpeg;base64,")


# What has a name


@dataclass(frozen=True)
class Output:
    """One named output. `html` is safe: nothing in it runs or loads. `png` is the picture of a figure, else None."""

    caption: str
    alt: str
    text: str
    html: str
    png: bytes | None


class Outputs:
    """The executed notebooks of one catalogue in reading order (`paths`), and what they gave a name.

    Raises
    ------
    StudyError
        If there are none.
    """

    def __init__(self, catalogue: str) -> None:
        folder = existing(build_dir(catalogue, "notebooks"))
        self.paths = sorted(folder.glob("*.ipynb"))
        if not self.paths:
            raise StudyError(f"{folder} holds no executed notebook. Run `dvc repro` to make them.")
        self.named: dict[str, dict[str, list[Output]]] = {path.stem: defaultdict(list) for path in self.paths}
        for path in self.paths:
            for output in (output for cell in read(path).cells for output in cell.get("outputs", [])):
                if given := output.get("metadata", {}).get(NAMED):
                    data, words = output.data, (given.get("caption", ""), given.get("alt", ""))
                    html = data.get("text/html") or markdown_to_html(data.get("text/markdown", ""))
                    png = b64decode(data["image/png"]) if "image/png" in data else None
                    found = Output(*words, data.get("text/plain", ""), clean_html(html), png)
                    self.named[path.stem][given["name"]].append(found)

    def take(self, notebook: str, name: str) -> Output:
        """Return a named output; of a notebook that ended early (`kit.end`) what it said then, if it gave no such name.

        Raises
        ------
        StudyError
            If that notebook was not executed, or gave nothing that name, or two outputs. A report with a hole in it is
            not published.
        """
        if notebook not in self.named:
            hint = nearest(notebook, self.named)
            raise StudyError(
                f"The report asks for {notebook}.ipynb, which was not run. There are {list(self.named)}.{hint}"
            )
        of = self.named[notebook]
        if name not in of and (rest := self.rest(notebook)):
            return rest
        if name not in of:
            raise StudyError(
                f"The report asks {notebook}.ipynb for '{name}', and no cell of it gives that name. "
                f"It gives {sorted(of)}.{nearest(name, of)}"
            )
        if len(of[name]) > 1:
            raise StudyError(f"{notebook}.ipynb gives the name '{name}' to {len(of[name])} outputs: which is meant?")
        return of[name][0]

    def rest(self, notebook: str) -> Output | None:
        """Return what a notebook that ended early said; None if it did not."""
        return next(iter(self.named[notebook].get(REST, [])), None)


# Each as a page


def page(path: Path) -> NotebookNode:
    """Turn one executed notebook into a page's source; without a heading of its own it is titled by its file's name.

    Raises
    ------
    StudyError
        If it is not a notebook, or a cell of it failed.
    """
    cells, heading = [], path.stem
    for cell in read(path).cells:
        if cell.cell_type == "markdown":
            cells.append(nbformat.v4.new_markdown_cell(cell.source, id=cell.id))
            heading = (HEADING.findall(cell.source) or [heading])[-1]
        elif cell.cell_type == "code" and cell.source.strip():
            cells.extend(_code(cell, _plain(heading)))
    if not (cells and cells[0].cell_type == "markdown" and HEADING.search(cells[0].source)):
        cells.insert(0, nbformat.v4.new_markdown_cell(f"# {path.stem}", id="title"))
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    found: NotebookNode = nbformat.v4.new_notebook(cells=cells, metadata=metadata)
    return found


def title(notebook: NotebookNode) -> str:
    """Return the first heading of a page."""
    return _plain(HEADING.findall(notebook.cells[0].source)[0])


def _plain(heading: str) -> str:
    return re.sub(r"[`*]|\b_|_\b", "", heading)


def _code(cell: NotebookNode, heading: str) -> list[NotebookNode]:
    """Return the cell, and one more for every output after an image, as a description belongs to a cell."""
    parts: list[tuple[list[NotebookNode], dict[str, Any]]] = [([], {})]
    for output in cell.outputs:
        shown, options = _output(output, heading)
        if shown is not None:
            if parts[-1][1]:
                parts.append(([], {}))
            parts[-1][0].append(shown)
            parts[-1][1].update(options)
    return [
        nbformat.v4.new_code_cell(
            cell.source,
            id=f"{cell.id[:56]}-{number}" if number else cell.id,
            metadata={"tags": ["remove-input" if number else "hide-input"]} | ({"mystnb": options} if options else {}),
            outputs=outputs,
        )
        for number, (outputs, options) in enumerate(parts)
    ]


def _output(output: NotebookNode, heading: str) -> tuple[NotebookNode | None, dict[str, Any]]:
    """Keep the best form of an output, with the options that describe it if it is an image; or nothing of it.

    An image's text is its own, else its caption, else the heading above it.
    """
    if output.output_type == "stream":
        return output if output.name == "stdout" else None, {}  # warnings and progress bars belong to one run
    data, metadata, options = output.data, output.get("metadata", {}), {}
    forms = ("image/png", "image/jpeg", WIDGET, "text/html", "text/markdown", "text/plain")
    form = next((form for form in forms if form in data), WIDGET)
    content = data.get(form, "")
    if form == WIDGET:
        return None, {}
    if form.startswith("image/"):
        described = {**metadata, **metadata.get(form, {}), **metadata.get(NAMED, {})}
        caption = str(described.get("caption", ""))
        options = {"image": {"alt": str(described.get("alt") or caption or f"Figure: {heading}")}}
        options |= {"figure": {"caption": caption}} if caption else {}
    elif form == "text/html":
        content = clean_html(content, f"Image: {heading}")
    elif form == "text/markdown":
        form, content = "text/html", clean_html(markdown_to_html(content))
    return nbformat.v4.new_output("display_data", data={form: content}), options


# Read, and made safe


def read(path: Path) -> NotebookNode:
    """Read an executed notebook, without the paths of this machine, as far as it ran (`kit.end`).

    Raises
    ------
    StudyError
        If it is not a notebook, or if a cell of it failed.
    """
    content = path.read_text("utf-8").replace(f"{root()}/", "").replace(f"{Path.home()}/", "~/")
    try:
        notebook: NotebookNode = nbformat.reads(content, as_version=4)
    except nbformat.reader.NotJSONError as error:
        raise StudyError(f"{path} is not a notebook: {error}. Run `dvc repro` to make it again.") from error
    for number, cell in enumerate(notebook.cells, 1):
        for output in cell.get("outputs", []):
            if output.get("metadata", {}).get(NAMED, {}).get("name") == REST:
                notebook.cells = notebook.cells[:number]
                return notebook
            if output.output_type == "error":
                problem = f"{output.ename}: {output.evalue}"
                raise StudyError(f"{path} has a cell that failed: {problem}. Run `dvc repro` again.")
    return notebook


def clean_html(html: str, alt: str = "") -> str:
    """Return `html` with nothing in it that runs or loads; an image without a description gets `alt`.

    Names and texts from outside may be in what a notebook displays: only what draws a table or a photo passes.

    >>> clean_html('<table onclick="x()"><tr><td><script>x()</script>&lt;b&gt;</td></tr></table>')
    '<table><tbody><tr><td>&lt;b&gt;</td></tr></tbody></table>'
    """

    def keep(tag: str, attribute: str, value: str) -> str | None:
        if attribute == "src" and not value.startswith(IMAGES):
            return None
        if attribute == "href" and not value.startswith(("https://", "http://", "#")):
            return None
        return value

    def picture(found: re.Match[str]) -> str:
        if ' src="' not in found[0]:
            return ""
        return found[0] if ' alt="' in found[0] else f'<img alt="{escape(alt)}"{found[1]}>'

    cleaned = nh3.clean(
        html,
        tags=TAGS,
        attributes=ATTRIBUTES,
        attribute_filter=keep,
        url_schemes={"http", "https", "data"},
        link_rel=None,
    )
    return NO_ROWS.sub("<p>No rows.</p>", IMAGE.sub(picture, cleaned))


def markdown_to_html(text: str) -> str:
    r"""Render Markdown that a cell displayed; HTML inside it stays text.

    >>> markdown_to_html("**12** of <b>40</b>")
    '<p><strong>12</strong> of &lt;b&gt;40&lt;/b&gt;</p>\n'
    """
    return str(MarkdownIt("commonmark", {"html": False}).enable("table").render(text))
