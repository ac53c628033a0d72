"""Executed notebooks as pages: code folded, images described, and nothing of this machine or from outside in them."""

import re
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from lib.report.kit import NAMED
from lib.report.outputs import clean_html, markdown_to_html, read

HEADING = re.compile(r"^#+\s+(.+?)\s*$", re.MULTILINE)


def page(path: Path) -> NotebookNode:
    """Turn one executed notebook into a page's source.

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
    _title(cells, path)
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    found: NotebookNode = nbformat.v4.new_notebook(cells=cells, metadata=metadata)
    return found


def title(notebook: NotebookNode) -> str:
    """Return the first heading of a page."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and (found := HEADING.search(cell.source)):
            return _plain(found[1])
    raise AssertionError("a page has a title")


def _title(cells: list[NotebookNode], path: Path) -> None:
    """Give a page that begins without a heading its file's name for one."""
    if not (cells and cells[0].cell_type == "markdown" and HEADING.search(cells[0].source)):
        cells.insert(0, nbformat.v4.new_markdown_cell(f"# {path.stem}", id="title"))


def _code(cell: NotebookNode, heading: str) -> list[NotebookNode]:
    """Return the cell, and one more for every output after an image, as a description belongs to a cell."""
    outputs = [found for output in cell.outputs if (found := _output(output, heading)) is not None]
    parts: list[list[tuple[NotebookNode, dict[str, Any]]]] = [[]]
    for output, options in outputs:
        if any(earlier for _, earlier in parts[-1]):
            parts.append([])
        parts[-1].append((output, options))
    return [_part(cell, number, part) for number, part in enumerate(parts)]


def _part(cell: NotebookNode, number: int, part: list[tuple[NotebookNode, dict[str, Any]]]) -> NotebookNode:
    metadata: dict[str, Any] = {"tags": ["remove-input" if number else "hide-input"]}
    for _, options in part:
        if options:
            metadata["mystnb"] = options
    identifier = f"{cell.id[:56]}-{number}" if number else cell.id
    outputs = [output for output, _ in part]
    found: NotebookNode = nbformat.v4.new_code_cell(cell.source, id=identifier, metadata=metadata, outputs=outputs)
    return found


def _output(output: NotebookNode, heading: str) -> tuple[NotebookNode, dict[str, Any]] | None:
    """Keep the best form of an output, with the options that describe it if it is an image."""
    if output.output_type == "stream":
        return (output, {}) if output.name == "stdout" else None  # warnings and progress bars belong to one run
    data, metadata = output.data, output.get("metadata", {})
    for kind in ("image/png", "image/jpeg"):
        if kind in data:
            described = {**metadata, **metadata.get(kind, {}), **metadata.get(NAMED, {})}
            return _display({kind: data[kind]}), _description(described, heading)
    if "application/vnd.jupyter.widget-view+json" in data:
        return None
    if "text/html" in data:
        return _display({"text/html": clean_html(data["text/html"], f"Image: {heading}")}), {}
    if "text/markdown" in data:
        return _display({"text/html": clean_html(markdown_to_html(data["text/markdown"]))}), {}
    return (_display({"text/plain": data["text/plain"]}), {}) if "text/plain" in data else None


def _display(data: dict[str, str]) -> NotebookNode:
    found: NotebookNode = nbformat.v4.new_output("display_data", data=data)
    return found


def _description(described: dict[str, Any], heading: str) -> dict[str, Any]:
    """Choose the image's text: its own, else its caption, else the heading above it."""
    caption = str(described.get("caption", ""))
    options: dict[str, Any] = {"image": {"alt": str(described.get("alt") or caption or f"Figure: {heading}")}}
    if caption:
        options["figure"] = {"caption": caption}
    return options


def _plain(heading: str) -> str:
    return re.sub(r"[`*]|\b_|_\b", "", heading)
