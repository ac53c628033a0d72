"""What saving a notebook may change: its sources, and nothing else.

An editor also saves outputs, counts of executions, and which kernel there was. DVC would take any of that for a change,
and run the notebook's stage again. So a Jupyter server loads this module as an extension (`.jupyter/`, installed with
the project) and saves sources only. `python -m lib.tools.saving` does the same to files that another editor has saved.
"""

from pathlib import Path
from typing import Any

import nbformat

from lib.config import root

KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def keep_sources(content: dict[str, Any]) -> None:
    """Take everything from a notebook, in place, but its cells' sources, ids and tags.

    Examples
    --------
    >>> cell = {"cell_type": "code", "source": "1", "metadata": {"tags": []}, "outputs": ["1"], "execution_count": 3}
    >>> keep_sources({"cells": [cell], "metadata": {}})
    >>> cell
    {'cell_type': 'code', 'source': '1', 'metadata': {}, 'outputs': [], 'execution_count': None}
    """
    content["metadata"] = {"kernelspec": KERNEL.copy(), "language_info": {"name": "python"}}
    for cell in content["cells"]:
        cell["metadata"] = {"tags": tags} if (tags := cell["metadata"].get("tags")) else {}
        if cell["cell_type"] == "code":
            cell |= {"outputs": [], "execution_count": None}


def _before_saving(model: dict[str, Any], path: str, contents_manager: Any, **_: Any) -> None:
    """Change what a Jupyter server is about to save, if it is one of the project's notebooks."""
    file = Path(contents_manager.root_dir, path.strip("/")).resolve()
    if model["type"] == "notebook" and root() in file.parents:
        model["content"]["metadata"]["kernelspec"] = KERNEL.copy()  # also of executed ones, which keep their outputs
        if file.parent == root() / "notebooks":
            keep_sources(model["content"])


def _load_jupyter_server_extension(server: Any) -> None:
    server.contents_manager.register_pre_save_hook(_before_saving)


def main() -> None:
    """Bring every notebook of `notebooks/` into this form, and name those that were not in it."""
    for path in sorted((root() / "notebooks").glob("*.ipynb")):
        before = path.read_text("utf-8")
        notebook = nbformat.reads(before, as_version=4)
        keep_sources(notebook)
        if (after := nbformat.writes(notebook) + "\n") != before:
            path.write_text(after, "utf-8")
            print(f"{path.relative_to(root())}: outputs and settings of the editor are taken out.")


if __name__ == "__main__":
    main()
