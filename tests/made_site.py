"""A made-up study with executed notebooks that give every name which pages ask for; outsiders named things in it."""

import base64
import io
import re
import shutil
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
from bs4 import BeautifulSoup
from PIL import Image
from pipeline import edit

from lib.files import write_json
from lib.report.kit import NAMED

ROOT = Path(__file__).parents[1]
EVIL = "<script>window.pwned = true</script>"
DESCRIPTION = "A quilted jacket of waxed cotton with two deep pockets, a storm hood and a tartan lining."
ASKED = re.compile(r"(?:show|number)\('(\w+)'(?: ~ pair)?, '(\w+)'\)")


def png() -> str:
    image = Image.fromarray(np.zeros((60, 90, 3), np.uint8))
    image.save(stream := io.BytesIO(), "PNG")
    return base64.b64encode(stream.getvalue()).decode()


def notebook(title: str, root: Path, extra: list | None = None) -> nbformat.NotebookNode:
    cell, output = nbformat.v4.new_code_cell, nbformat.v4.new_output
    table = pd.DataFrame({"brand": [EVIL, "Fern & Moss"], "rows": [3, 4]})
    cells = [
        nbformat.v4.new_markdown_cell(f"# {title}\n\nA question.", id="title"),
        cell("catalogue = 'demo'", id="parameters", metadata={"tags": ["parameters"]}),
        nbformat.v4.new_markdown_cell("## Brands by *size*", id="heading"),
        cell("table", id="table", outputs=[output("display_data", data={"text/html": table.to_html()})]),
        cell("plot()", id="plot", outputs=[show(image_png=png(), text_plain="<Figure>")]),
        cell(
            "print(path)",
            id="print",
            outputs=[
                output("stream", name="stdout", text=f"{root}/build/demo/clean\n"),
                output("stream", name="stderr", text=f"{root}/lib/x.py:3: UserWarning: 50%|####\n"),
            ],
        ),
        *(extra or []),
    ]
    metadata = {"papermill": {"input_path": f"{root}/notebooks/x.ipynb", "start_time": "2026-01-01"}}
    return nbformat.v4.new_notebook(cells=cells, metadata=metadata)


def asked_for() -> dict[str, list[str]]:
    """Return what the project's pages ask of each notebook, and what `reports/index.html` does."""
    templates = "".join(path.read_text() for path in ROOT.glob("lib/report/templates/*.md.j2"))
    wanted: dict[str, list[str]] = {"02_clean": ["counts"], "08_business": ["in_short"], "12_paper": ["worth"]}
    wanted["06_results"] = ["best", *(f"best_{m}_{s}" for m in ("mean", "path") for s in ("random", "grouped"))]
    for stem, name in ASKED.findall(templates):
        stem = stem + "outlet" if stem.endswith("_") else stem
        wanted.setdefault(stem, []).append(name)
    return {stem: list(dict.fromkeys(names)) for stem, names in wanted.items()}


def give(name: str) -> nbformat.NotebookNode:
    """Return a named output as the kit displays it: a figure, a table, a number or a sentence."""
    described = {"name": name, "caption": f"About {name}. {EVIL}", "alt": f'Four lines: "a", #b. {EVIL}'}
    if name in ("inputs_by_size", "promises"):
        output = show(image_png=png(), text_plain="Four lines")
    elif name in ("claims", "thousand"):
        output = show(text_html=pd.DataFrame({"claim": [EVIL], "as intended": ["fails: -2.0"]}).to_html())
    elif name == "counts" or name.startswith("best"):
        output = show(text_plain=f"{name} 80.0 (79.0–81.0)")
    else:
        output = show(text_markdown=f"The *{name}* of {EVIL}", text_plain=name)
    output.metadata = {NAMED: described}
    return output


def write_tables(build: Path, publish_text: str) -> None:
    rows = 12
    clean = pd.DataFrame({
        "product_id": [f"{row:03}" for row in range(rows)],
        "text": [publish_text] * (rows - 1) + [""],
        "masked_text": ["a thing"] * rows,
    })  # fmt: skip
    raw = clean[["product_id"]].assign(title="Jacket", description=f"<p>{publish_text}</p>")
    for stage, table in (("clean", clean), ("raw", raw)):
        (build / stage).mkdir(parents=True, exist_ok=True)
        table.to_parquet(build / stage / "products.parquet")
    taxonomy = build / "clean/taxonomy.json"
    if not taxonomy.exists():
        write_json(taxonomy, {"levels": [["Women"], ["Coats"], ["Jackets"]], "paths": [[0, 0, 0]]})


def make_study(root: Path, publish_text: str = DESCRIPTION) -> Path:
    """Lay out what the earlier stages leave, for the catalogue `demo`."""
    shutil.copy(ROOT / "params.yaml", root)
    edit(root / "params.yaml", others={"outlet": {"source": "lib/demo_shop", "tagged_by": "demo"}})
    shutil.copytree(ROOT / "catalogues", root / "catalogues")
    write_tables(root / "build" / "demo", publish_text)
    (root / "build" / "demo" / "notebooks").mkdir()
    for stem in ("01_collect", "05_train", *asked_for()):
        add_cell(root, [give(name) for name in asked_for().get(stem, [])], stem)
    styled = f"<style>x</style><table><tr><td onclick='x()'>{EVIL}<img src=x onerror=x()></td></tr></table>"
    hostile = [show(text_html=styled), show(text_markdown=f"**Brand** {EVIL} [x](javascript:x())")]
    add_cell(root, [*(give(name) for name in asked_for()["02_clean"]), *hostile])
    return root


def add_cell(root: Path, outputs: list, stem: str = "02_clean") -> None:
    path = root / "build" / "demo" / "notebooks" / f"{stem}.ipynb"
    extra = [nbformat.v4.new_code_cell("show()", id="extra", outputs=outputs)]
    nbformat.write(notebook(f"What does {stem[3:]} do?", root, extra), path)


def show(**data: str) -> nbformat.NotebookNode:
    return nbformat.v4.new_output("display_data", data={key.replace("_", "/"): value for key, value in data.items()})


def keep_private(root: Path) -> None:
    path = root / "catalogues" / "demo.yaml"
    path.write_text(path.read_text().replace("publish_examples: true", "publish_examples: false"))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def words_of(page: Path) -> str:
    soup = BeautifulSoup(page.read_text("utf-8"), "lxml")
    return re.sub(r"\s+([.,;)])", r"\1", " ".join(soup.get_text(" ").split())).replace("( ", "(")


def html_pages(root: Path) -> dict[Path, BeautifulSoup]:
    paths = [root / "reports" / "index.html", *sorted((root / "reports" / "demo" / "site").glob("*.html"))]
    return {path: BeautifulSoup(path.read_text("utf-8"), "lxml") for path in paths}
