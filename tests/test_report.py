"""The rendered report: what a reader, a reviewer on a train and an attacker with a product name would each look at."""

import base64
import io
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from PIL import Image

from lib import report
from lib.baselines import COLUMNS as BASELINE_COLUMNS
from lib.config import load_catalogue
from lib.errors import StudyError
from lib.ledger import COLUMNS as LEDGER_COLUMNS
from lib.report import __main__ as command_line
from lib.report import guard, notebooks, site
from lib.report.numbers import KEY, VALUES, Contrast, Results
from lib.report.sanitize import clean_html
from lib.report.study import write_source

ROOT = Path(__file__).parents[1]
CHROMIUM = Path("/usr/bin/chromium")
EVIL = "<script>window.pwned = true</script>"
VARIANTS = ("naive", "linear", "brand", "brand_text", "brand_image", "brand_text_image")
DESCRIPTION = "A quilted jacket of waxed cotton with two deep pockets, a storm hood and a tartan lining."


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


def write_tables(build: Path, publish_text: str) -> None:
    rows = 12
    clean = pd.DataFrame({
        "product_id": [f"{row:03}" for row in range(rows)],
        "brand": [EVIL, *["Fern"] * (rows - 1)],
        "text": [publish_text] * (rows - 1) + [""],
        "masked_text": ["a thing"] * rows,
        "level_1": ["women"] * 8 + ["men"] * 4,
        "level_2": ["shoes"] * rows,
        "level_3": [f"<b>{EVIL}"] * 7 + ["boots"] * 5,
        "group": [0, 0, *range(1, rows - 1)],
        "random_split": ["train"] * 8 + ["validation"] + ["test"] * 3,
        "grouped_split": ["train"] * 8 + ["validation"] + ["test"] * 3,
    })  # fmt: skip
    raw = clean[["product_id", "brand"]].assign(title="Jacket", description=f"<p>{publish_text}</p>")
    for stage, table in (("clean", clean), ("raw", raw)):
        (build / stage).mkdir(parents=True)
        table.to_parquet(build / stage / "products.parquet")
        clean[["product_id"]].assign(reason="x", detail="").head(2).to_parquet(build / stage / "rejects.parquet")
    taxonomy = {"levels": [["men", "women"], ["shoes"], [f"<b>{EVIL}", "boots"]], "paths": [[0, 0, 0], [1, 0, 1]]}
    (build / "clean" / "taxonomy.json").write_text(json.dumps(taxonomy))
    (build / "image").mkdir()
    (build / "image" / "manifest.json").write_text(json.dumps({"backbone": "small_vgg"}))
    status = clean[["product_id"]].assign(status=["ok"] * 10 + ["missing", "broken"])
    status.to_parquet(build / "image" / "status.parquet")


def intervals() -> pd.DataFrame:
    records = []
    for place, variant in enumerate(VARIANTS):
        recipe = "none" if variant in ("naive", "linear") else "tuned"
        for split, on in (("random", "test"), ("grouped", "test"), ("random", "train")):
            for text in ("masked", "plain") if variant in ("linear", "brand_text", "brand_text_image") else ("masked",):
                for size in (500, 4050):
                    for metric in ("level_1", "level_2", "level_3", "mean", "path"):
                        mean = 0.3 + 0.1 * place - 0.05 * (split == "grouped") + 0.02 * (on == "train")
                        row = [variant, recipe, text, split, size, "independent", on, metric]
                        records.append([*row, mean, mean - 0.01, mean + 0.01, 3])
    return pd.DataFrame(records, columns=[*KEY, *VALUES, "seeds"])


def contrasts() -> pd.DataFrame:
    how = ("independent", "test", "path")
    usual = ("tuned", "masked", "random", 4050, *how)
    rows = [
        ["variant", "", *usual, "brand_text", "brand_image", -0.01, -0.03, 0.01, "inconclusive"],
        ["variant", "", *usual, "brand_text_image", "brand_text", 0.02, 0.01, 0.03, "a better"],
        ["variant", "", *usual, "brand_text_image", "linear", -0.02, -0.03, -0.01, "b better"],
        ["variant", "", *usual, "brand", "naive", 0.1, 0.09, 0.11, "a better"],
        ["split", "brand", "tuned", "masked", "", 4050, *how, "random", "grouped", 0.05, 0.04, 0.06, "a better"],
        ["text", "linear", "none", "", "random", 4050, *how, "plain", "masked", 0.07, 0.06, 0.08, "a better"],
    ]
    return pd.DataFrame(rows, columns=[field.name for field in fields(Contrast)])


def claims() -> pd.DataFrame:
    asked = {"claim": f"Both beat one {EVIL}", "source": "section 4.1", "measured": "x", "bound": "> 0", "b": "brand"}
    cells = [("published", "holds", 0.01, ""), ("coded", "not measured", "", ""), ("intended", "fails", -0.02, -0.03)]
    rows = [
        {"id": "both", **asked, "way": way, "label": f"as {way}", "verdict": verdict, "effect": effect, "low": low}
        for way, verdict, effect, low in cells
    ]
    return pd.DataFrame(rows, columns=LEDGER_COLUMNS).assign(high=["", "", -0.01])


def baselines() -> pd.DataFrame:
    row = ["random", 4050, "independent", "path", "linear", "brand_text_image", 0.02, 0.01, 0.03, "a better"]
    return pd.DataFrame([row], columns=BASELINE_COLUMNS)


def make_study(root: Path, publish_text: str = DESCRIPTION) -> Path:
    """Lay out what the earlier stages leave, for the catalogue `demo`."""
    shutil.copy(ROOT / "params.yaml", root)
    shutil.copytree(ROOT / "catalogues", root / "catalogues")
    write_tables(root / "build" / "demo", publish_text)
    (root / "build" / "demo" / "notebooks").mkdir()
    for stem in ("01_collect", "06_results", "05_train_brand", "05_train_naive"):
        page = notebook(f"What does {stem[3:8]} do?", root)
        nbformat.write(page, root / "build" / "demo" / "notebooks" / f"{stem}.ipynb")
    styled = f"<style>x</style><table><tr><td onclick='x()'>{EVIL}<img src=x onerror=x()></td></tr></table>"
    add_cell(root, [show(text_html=styled), show(text_markdown=f"**Brand** {EVIL} [x](javascript:x())")])
    reports = root / "reports" / "demo"
    (reports / "figures").mkdir(parents=True)
    intervals().to_csv(reports / "intervals.csv", index=False)
    contrasts().to_csv(reports / "contrasts.csv", index=False)
    claims().to_csv(reports / "claims.csv", index=False)
    baselines().to_csv(reports / "baselines.csv", index=False)
    described = {"figure_2": {"caption": f"Mean accuracy. {EVIL}", "alt": f"Four lines. {EVIL}"}}
    (reports / "figures" / "figures.json").write_text(json.dumps(described))
    (reports / "figures" / "figure_2.png").write_bytes(base64.b64decode(png()))
    return root


def add_cell(root: Path, outputs: list, stem: str = "02_clean") -> None:
    path = root / "build" / "demo" / "notebooks" / f"{stem}.ipynb"
    extra = [nbformat.v4.new_code_cell("show()", id="extra", outputs=outputs)]
    nbformat.write(notebook("What does clean do?", root, extra), path)


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


@pytest.fixture
def study(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("STUDY_ROOT", str(tmp_path))
    return make_study(tmp_path)


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Iterator[Path]:
    """A study whose report was made once, for tests that only look; outsiders have named things in it."""
    root = make_study(tmp_path_factory.mktemp("study"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STUDY_ROOT", str(root))
        report.build("demo")
        yield root


@pytest.fixture(scope="module")
def again(tmp_path_factory) -> Iterator[Path]:
    """The same study in another folder, where the catalogue `fashion` already had its report."""
    root = make_study(tmp_path_factory.mktemp("again"))
    shutil.copytree(root / "reports" / "demo", root / "reports" / "fashion")
    (root / "reports" / "fashion" / "site").mkdir()
    summary = {"catalogue": "fashion", "title": EVIL, "description": "Real.", "products": 44441, "levels": [9, 45, 141]}
    (root / "reports" / "fashion" / "site" / "summary.json").write_text(json.dumps(summary))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STUDY_ROOT", str(root))
        report.build("demo")
        yield root


# What a reader finds


def test_study_page_tells_the_results_in_computed_numbers(built):
    text = words_of(built / "reports/demo/site/index.html")
    assert "brand + text + image puts 80.0% of the test products on exactly the right path" in text
    assert "first questions to 12 other products" in text
    assert "80.0 (79.0–81.0)" in text
    assert "reach 75.0% of paths, 5.0 points lower" in text


def test_verdicts_are_said_in_words(built):
    text = words_of(built / "reports/demo/site/index.html")
    assert "brand + text cannot be told from brand + image" in text
    assert "brand + text + image beats brand + text" in text
    assert "brand + text + image is beaten by brand + text, linear" in text
    assert "Every variant beats naming the most frequent classes each time" in text
    assert "+5.0 (+4.0 to +6.0)" in text, "what near-duplicates are worth"
    assert "+7.0 (+6.0 to +8.0)" in text, "what category words are worth"


def test_the_claims_come_first_with_a_verdict_in_each_way(built):
    soup = BeautifulSoup((built / "reports/demo/site/index.html").read_text("utf-8"), "lxml")
    table = soup.select_one("table.claims")
    assert [cell.get_text() for cell in table.select("thead th")][2:] == ["as published", "as coded", "as intended"]
    cells = [cell.get_text() for cell in table.select("tbody td")]
    assert cells == [
        f"Both beat one {EVIL}",
        "section 4.1",
        "holds +1.0",
        "not measured",
        "fails -2.0 (-3.0 to -1.0)",
    ]
    text = words_of(built / "reports/demo/site/index.html")
    assert text.index("claims hold") < text.index("The data")
    assert "as intended: 1 fails" in text


def test_the_first_paragraph_says_whether_a_simple_model_beats_every_network(built):
    soup = BeautifulSoup((built / "reports/demo/site/index.html").read_text("utf-8"), "lxml")
    first = soup.select_one("article p").get_text()
    assert "a simple model, “brand + text, linear”, beats every network" in first
    assert "+2.0 (+1.0 to +3.0) points of path accuracy" in first


def test_every_notebook_is_behind_the_study_in_reading_order(built):
    soup = BeautifulSoup((built / "reports/demo/site/index.html").read_text("utf-8"), "lxml")
    article = [link["href"] for link in soup.select("article li a.internal")]
    expected = ["01_collect", "02_clean", "05_train_naive", "05_train_brand", "06_results"]
    assert [href.removesuffix(".html") for href in article if re.match(r"\d\d_", href)] == expected


def test_every_link_leads_somewhere(built):
    pages = html_pages(built)
    for path, soup in pages.items():
        for tag, attribute in (("a", "href"), ("img", "src"), ("script", "src"), ("link", "href")):
            for address in (found[attribute] for found in soup.find_all(tag, attrs={attribute: True})):
                parts = urlsplit(address)
                if parts.scheme in ("http", "https", "data"):
                    assert tag == "a" or parts.scheme == "data", f"{path.name} loads {address}"
                    continue
                target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
                assert target.is_file(), f"{path.name}: {address}"
                if parts.fragment and target.suffix == ".html":
                    assert pages[target].find_all(id=parts.fragment), f"{path.name}: {address}"


def test_every_image_is_described_and_every_page_titled(built):
    for path, soup in html_pages(built).items():
        assert soup.title
        assert soup.title.get_text(strip=True)
        assert all(image.get("alt", "").strip() for image in soup.find_all("img")), path.name
    soup = html_pages(built)[built / "reports/demo/site/02_clean.html"]
    assert soup.select_one(".cell_output img")["alt"] == "Figure: Brands by size"


def test_an_image_keeps_its_own_description_and_caption(study):
    output = show(image_png=png())
    output.metadata = {"alt": "Two bars", "caption": "What to see."}
    add_cell(study, [output, show(image_png=png())])
    page = notebooks.page(study / "build/demo/notebooks/02_clean.ipynb")
    described = [cell.metadata["mystnb"] for cell in page.cells if "mystnb" in cell.metadata][-2:]
    assert described[0] == {"image": {"alt": "Two bars"}, "figure": {"caption": "What to see."}}
    assert described[1] == {"image": {"alt": "Figure: Brands by size"}}, "a second image of the same cell"


def test_code_is_folded(built):
    soup = html_pages(built)[built / "reports/demo/site/02_clean.html"]
    inputs = soup.select("div.cell_input")
    assert inputs
    assert all(cell.find_parent("details") and not cell.find_parent("details").has_attr("open") for cell in inputs)


def test_index_leads_to_every_site_there_is(built):
    soup = html_pages(built)[built / "reports/index.html"]
    assert [link["href"] for link in soup.select("article a")] == ["demo/site/index.html"]
    text = soup.get_text(" ")
    assert "Demo shop" in text
    assert "12 products" in text
    assert "80.0 (79.0–81.0)" in text


def test_running_one_catalogue_leaves_the_other_report_alone(again):
    assert list(contents(again / "reports" / "fashion" / "site")) == ["summary.json"]
    soup = BeautifulSoup((again / "reports/index.html").read_text("utf-8"), "lxml")
    assert [link["href"] for link in soup.select("article a")] == ["demo/site/index.html", "fashion/site/index.html"]
    assert "44,441 products" in soup.get_text(" ")


# What a reviewer asks


def test_two_builds_give_the_same_bytes(built, again):
    assert contents(again / "reports" / "demo") == contents(built / "reports" / "demo")


def test_nothing_of_this_machine_is_in_the_site(built):
    for name, content in contents(built / "reports" / "demo" / "site").items():
        for secret in (str(built), str(ROOT), "report-", "UserWarning", "start_time"):
            assert secret.encode() not in content, name
    page = (built / "reports/demo/site/02_clean.html").read_text()
    assert "build/demo/clean" in page, "what a cell printed is kept, below the root"


def test_the_site_is_small_and_holds_only_what_pages_use(built):
    files = contents(built / "reports" / "demo" / "site")
    assert sum(map(len, files.values())) < 2_000_000
    assert not [name for name in files if name.endswith((".map", ".inv", ".pickle", ".doctree", ".ipynb"))]


def test_a_failed_build_leaves_the_old_site(study):
    (study / "reports/demo/site").mkdir()
    (study / "reports/demo/site/index.html").write_text("old")
    before = contents(study / "reports")
    (study / "build/demo/notebooks/02_clean.ipynb").write_text("{")
    with pytest.raises(StudyError, match="02_clean"):
        report.build("demo")
    assert contents(study / "reports") == before


@pytest.mark.parametrize("missing", [
    "build/demo/clean/taxonomy.json", "build/demo/notebooks", "reports/demo/intervals.csv", "reports/demo/figures",
])  # fmt: skip
def test_a_missing_input_is_named(study, missing, capsys):
    path = study / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert command_line.main(["demo"]) == 1
    assert missing in capsys.readouterr().err
    assert not (study / "reports/demo/site").exists()


def test_a_failed_notebook_is_not_published(study):
    add_cell(study, [nbformat.v4.new_output("error", ename="KeyError", evalue="'x'", traceback=[])])
    with pytest.raises(StudyError, match=r"02_clean.*KeyError"):
        report.build("demo")


def test_a_page_that_loads_from_the_network_is_refused(tmp_path):
    (tmp_path / "a.html").write_text('<a href="https://example.org">fine</a>')
    site.refuse_network(tmp_path)
    (tmp_path / "b.html").write_text('<script src="//cdn.example.org/x.js"></script>')
    with pytest.raises(StudyError, match=r"b\.html.*cdn\.example\.org"):
        site.refuse_network(tmp_path)
    (tmp_path / "b.html").unlink()
    (tmp_path / "c.css").write_text("@font-face { src: url('https://example.org/f.woff') }")
    with pytest.raises(StudyError, match=r"c\.css"):
        site.refuse_network(tmp_path)


# What an attacker tries: names and texts of products are data


def test_html_in_a_name_stays_text(built, again):
    for path, soup in {**html_pages(built), **html_pages(again)}.items():
        assert not [tag for tag in soup.find_all("script") if "pwned" in tag.get_text()], path.name
        assert not soup.find_all(attrs={"onclick": True}), path.name
        assert not soup.find_all(attrs={"onerror": True}), path.name
        assert not soup.find_all(href=re.compile("^javascript:")), path.name
    assert words_of(built / "reports/demo/site/index.html").count(EVIL) == 3, (
        "a class, a caption and a claim, shown as they are"
    )
    assert EVIL in words_of(built / "reports/demo/site/02_clean.html")
    assert EVIL in words_of(again / "reports/index.html")


@pytest.mark.parametrize(("html", "clean"), [
    ("<td onclick='x()'>a</td>", "<td>a</td>"),
    ("<style>td {}</style><script>x()</script><svg><script>x()</script></svg>b", "b"),
    ('<a href="javascript:x()">c</a><a href="https://example.org">d</a>', '<a>c</a><a href="https://example.org">d</a>'),
    ('<img src="//example.org/e"><img src="data:image/png;base64,e">', '<img alt="E" src="data:image/png;base64,e"/>'),
    ("<form action=x><input>f</form><!-- g -->", "f"),
    ("&lt;script&gt;", "&lt;script&gt;"),
])  # fmt: skip
def test_only_what_draws_a_table_or_a_photo_passes(html, clean):
    assert BeautifulSoup(clean_html(html, "E"), "lxml") == BeautifulSoup(clean, "lxml")


# What a rights holder asks


def test_a_report_that_quotes_a_product_is_not_published(study):
    keep_private(study)
    for path in (study / "build/demo/notebooks").glob("*.ipynb"):
        path.unlink()
    add_cell(study, [show(text_html=f"<table><tr><td>{DESCRIPTION}</td></tr></table>")])
    with pytest.raises(StudyError, match=r"02_clean\.html quotes the product 000") as caught:
        report.build("demo")
    assert DESCRIPTION not in str(caught.value)
    assert not (study / "reports/demo/site").exists()


@pytest.mark.parametrize(("page", "refused"), [
    (" ".join(DESCRIPTION.split()[3:12]), True),
    (DESCRIPTION.upper().replace(" ", "<br>"), True),
    (f'<img alt="{DESCRIPTION}">', True),
    ("a quilted jacket of waxed cotton", False),
    ('<img src="data:image/jpeg;base64,x">', True),
    ('<img src="data:image/png;base64,x">', False),
])  # fmt: skip
def test_quotes_and_photos_are_found(study, page, refused):
    (study / "x").mkdir()
    (study / "x" / "a.html").write_text(f"<p>Before {page} after</p>")
    if not refused:
        guard.refuse_product_content("demo", study / "x")
        return
    with pytest.raises(StudyError, match=r"a\.html.*publish_examples"):
        guard.refuse_product_content("demo", study / "x")


def test_a_photo_file_is_refused(study):
    (study / "x").mkdir()
    (study / "x" / "photo.jpeg").touch()
    with pytest.raises(StudyError, match=r"photo\.jpeg"):
        guard.refuse_product_content("demo", study / "x")


def test_a_report_without_quotes_passes_and_says_what_it_leaves_out(study, built):
    guard.refuse_product_content("demo", built / "reports/demo/site")
    keep_private(study)
    write_source("demo", load_catalogue("demo"), Results("demo"), study / "source")
    assert "No text and no photo of a product is shown" in (study / "source" / "index.md").read_text()


# The README's table


def test_readme_table_is_written_between_its_markers(study):
    readme = study / "README.md"
    readme.write_text("Before\n<!-- results:begin -->\nold\n<!-- results:end -->\nAfter\n")
    report.update_readme()
    text = readme.read_text()
    assert text.startswith("Before\n")
    assert text.endswith("\nAfter\n")
    assert "| brand + text + image | 80.0 (79.0–81.0) | 80.0 (79.0–81.0) | 75.0 (74.0–76.0) |" in text
    assert "old" not in text
    report.update_readme()
    assert readme.read_text() == text
    readme.write_text("no markers")
    with pytest.raises(StudyError, match="results:begin"):
        report.update_readme()


@pytest.mark.skipif(not list(ROOT.glob("reports/*/intervals.csv")), reason="no results are committed yet")
def test_readme_and_index_of_the_project_are_up_to_date(monkeypatch):
    monkeypatch.delenv("STUDY_ROOT", raising=False)
    assert report.readme_table() in (ROOT / "README.md").read_text("utf-8"), "run `python -m lib.report --readme`"
    assert site.index_page() == (ROOT / "reports/index.html").read_text("utf-8"), "run `python -m lib.report --index`"


# In a browser, from disk

needs_chromium = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"there is no Chromium at {CHROMIUM}")
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run",
]  # fmt: skip


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser):
    """Return a function that opens a file, and the lists of requests and of complaints that grow with every visit."""
    requests, complaints, contexts = [], [], []

    def open_page(path: Path, **options):
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(path.as_uri())
        return page

    yield open_page, requests, complaints
    for context in contexts:
        context.close()


@pytest.mark.browser
@needs_chromium
def test_pages_work_from_disk_and_ask_the_network_for_nothing(built, visit):
    open_page, requests, complaints = visit
    for path in html_pages(built):
        page = open_page(path)
        assert page.evaluate("window.pwned") is None
        assert page.screenshot()
    assert requests
    assert {urlsplit(url).scheme for url in requests} <= {"file", "data"}
    assert not complaints


@pytest.mark.browser
@needs_chromium
def test_folded_code_opens(built, visit):
    page = visit[0](built / "reports/demo/site/02_clean.html")
    code = page.locator("div.cell_input").first
    assert not code.is_visible()
    page.locator("summary").first.click()
    assert code.is_visible()


@pytest.mark.browser
@needs_chromium
def test_search_works_from_disk(built, visit):
    open_page, requests, complaints = visit
    page = open_page(built / "reports/demo/site/search.html")
    page.goto(page.url + "?q=brands")
    page.wait_for_selector("#search-results li a")
    assert "02_clean" in page.locator("#search-results").inner_html()
    assert {urlsplit(url).scheme for url in requests} <= {"file", "data"}
    assert not complaints


@pytest.mark.browser
@needs_chromium
def test_a_phone_shows_no_page_wider_than_itself(built, visit):
    for name in ("index.html", "demo/site/index.html", "demo/site/02_clean.html"):
        page = visit[0](built / "reports" / name, viewport={"width": 390, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, name


@pytest.mark.browser
@needs_chromium
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_light_and_dark(built, visit, scheme):
    for name in ("index.html", "demo/site/index.html", "demo/site/02_clean.html"):
        page = visit[0](built / "reports" / name, color_scheme=scheme)
        behind = luminance(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        assert (behind > 0.5) == (scheme == "light"), name
        for selector in ("h1", "p", "td"):
            colour = page.locator(f"article {selector}, main {selector}").first.evaluate(
                "e => getComputedStyle(e).color"
            )
            brighter, darker = sorted((behind, luminance(colour)), reverse=True)
            assert (brighter + 0.05) / (darker + 0.05) >= 4.5, f"{name}: {selector} (WCAG 2 AA)"


def luminance(colour: str) -> float:
    """Return the relative luminance of a colour such as rgb(1, 2, 3), as WCAG 2 defines it."""
    red, green, blue = (int(part) / 255 for part in re.findall(r"\d+", colour)[:3])
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in (red, green, blue)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_python_without_a_catalogue_says_what_to_give(capsys):
    with pytest.raises(SystemExit):
        command_line.main([])
    assert "--readme" in capsys.readouterr().err
