"""The rendered report: what a reader, and a reviewer on a train without a network, would each look at."""

import json
import re
import shutil
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
from bs4 import BeautifulSoup
from made_site import (
    EVIL,
    ROOT,
    add_cell,
    asked_for,
    contents,
    give,
    html_pages,
    keep_private,
    make_study,
    png,
    show,
    words_of,
)  # fmt: skip

from lib.config import load_catalogue
from lib.exceptions import StudyError
from lib.report import __main__ as command_line
from lib.report import guard, notebooks, site
from lib.report.pages import write_source

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PAGES = ("index.html", "demo/site/index.html", "demo/site/marketplace.html", "demo/site/02_clean.html")


def build(root: Path) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STUDY_ROOT", str(root))
        site.build("demo")
    return root


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """Return a study whose report was made once, for tests that only look."""
    return build(make_study(tmp_path_factory.mktemp("study")))


@pytest.fixture(scope="module")
def again(tmp_path_factory) -> Path:
    """Return the same study in another folder, where the catalogue `fashion` already had its report."""
    root = make_study(tmp_path_factory.mktemp("again"))
    said = {"catalogue": "fashion", "title": EVIL, "description": "Real.", "counts": "44,441 products.", "best": "best"}
    said |= {"rows": {metric: {"random": "90.1", "grouped": "80.2"} for metric in ("mean", "path")}}
    said |= {"commit": "94d6fd9", "promise": "Of 1,000 new products, 700 run by themselves."}
    (root / "reports" / "fashion" / "site").mkdir(parents=True)
    (root / "reports" / "fashion" / "site" / "summary.json").write_text(json.dumps(said))
    return build(root)


# What a reader finds


def test_a_page_shows_what_notebooks_gave_a_name(built):
    page = html_pages(built)[built / "reports/demo/site/index.html"]
    assert "The in_short of" in page.select_one("article").get_text()
    claims = page.find("th", string="as intended").find_parent("table")
    assert "fails: -2.0" in claims.get_text()
    figure = page.select_one("figure img[src$='/inputs_by_size.png']")
    assert figure["alt"] == f'Four lines: "a", #b. {EVIL}'
    assert "About inputs_by_size" in figure.find_parent("figure").get_text()
    links = [link["href"] for link in figure.find_parent("figure").find_all_next("a")]
    assert "06_results.html" in links[:3]
    assert "80.0 (79.0–81.0)" in words_of(built / "reports/index.html")


@pytest.mark.parametrize(("name", "message"), [
    ("inputs_by_size", r"for 'inputs_by_size', and no cell of it gives that name.*Did you mean 'levels_by_size'"),
    (None, r"asks for 06_results.ipynb, which was not run"),
])  # fmt: skip
def test_a_name_that_no_notebook_gave_stops_the_report(made, name, message):
    if name:
        add_cell(made, [give(other) for other in asked_for()["06_results"] if other != name], "06_results")
    else:
        (made / "build/demo/notebooks/06_results.ipynb").unlink()
    with pytest.raises(StudyError, match=message):
        site.build("demo")
    assert not (made / "reports/demo/site").exists()


@pytest.mark.parametrize("stem", asked_for())
def test_the_projects_notebooks_give_every_name_that_a_page_asks_for(stem):
    """As far as the source shows it: a name may be put together while the notebook runs."""
    source = (ROOT / f"notebooks/{stem.removesuffix('_outlet')}.ipynb").read_text()
    literal = [name for name in asked_for()[stem] if not name.startswith("best_")]
    assert [name for name in literal if f'\\"{name}\\"' not in source] == []


def test_what_a_notebook_ended_with_stands_once_a_page_for_all_that_it_did_not_come_to(made):
    end = give("in_short")
    end.metadata["study"]["name"], end.data = "rest", {"text/markdown": "Nothing to deploy.", "text/plain": "Nothing."}
    add_cell(made, [end], "08_business")
    summary = write_source("demo", load_catalogue("demo"), made / "source")
    for page in ("index.md", "marketplace.md"):
        assert (made / "source" / page).read_text().count("Nothing to deploy.") == 1
    assert summary["promise"] == "Nothing."


def test_every_notebook_is_behind_the_study_in_reading_order(built):
    soup = BeautifulSoup((built / "reports/demo/site/index.html").read_text("utf-8"), "lxml")
    article = [link["href"] for link in soup.select("article li a.internal")]
    stems = [href.removesuffix(".html") for href in article if re.match(r"\d\d_", href)]
    assert stems[:4] == ["01_collect", "02_clean", "04_image_features", "05_train"]
    assert stems == sorted(stems, key=lambda stem: stem[:2])


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


def test_an_image_keeps_its_own_description_and_caption(made):
    output = show(image_png=png())
    output.metadata = {"alt": "Two bars", "caption": "What to see."}
    add_cell(made, [output, show(image_png=png())])
    page = notebooks.page(made / "build/demo/notebooks/02_clean.ipynb")
    described = [cell.metadata["mystnb"] for cell in page.cells if "mystnb" in cell.metadata][-2:]
    assert described[0] == {"image": {"alt": "Two bars"}, "figure": {"caption": "What to see."}}
    assert described[1] == {"image": {"alt": "Figure: Brands by size"}}, "a second image of the same cell"


def test_code_is_folded(built):
    soup = html_pages(built)[built / "reports/demo/site/02_clean.html"]
    inputs = soup.select("div.cell_input")
    assert inputs
    assert all(cell.find_parent("details") and not cell.find_parent("details").has_attr("open") for cell in inputs)


def test_the_index_leads_to_every_site_and_says_what_made_it(again):
    assert list(contents(again / "reports" / "fashion" / "site")) == ["summary.json"], "another's report is left alone"
    soup = html_pages(again)[again / "reports/index.html"]
    links = [link["href"] for link in soup.select("article a")]
    assert links == [f"{name}/site/{page}.html" for name in ("demo", "fashion") for page in ("index", "marketplace")]
    text = words_of(again / "reports/index.html")
    for said in ("Demo shop", "44,441 products", "made by commit 94d6fd9", "made by commit unknown"):
        assert said in text
    assert "made by commit unknown" in words_of(again / "reports/demo/site/index.html")


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


@pytest.mark.parametrize(("content", "message"), [
    ("{", "02_clean"),
    (None, r"02_clean.*KeyError"),
    ("gone", "build/demo/notebooks"),
])  # fmt: skip
def test_a_report_with_a_damaged_notebook_leaves_the_old_one(made, capsys, content, message):
    (made / "reports/demo/site").mkdir(parents=True)
    (made / "reports/demo/site/index.html").write_text("old")
    before, folder = contents(made / "reports"), made / "build/demo/notebooks"
    if content is None:
        add_cell(made, [nbformat.v4.new_output("error", ename="KeyError", evalue="'x'", traceback=[])])
    elif content == "gone":
        shutil.rmtree(folder)
    else:
        (folder / "02_clean.ipynb").write_text(content)
    assert command_line.main(["demo"]) == 1
    assert re.search(message, capsys.readouterr().err)
    assert contents(made / "reports") == before


def test_html_in_a_name_stays_text(built, again):
    for path, soup in {**html_pages(built), **html_pages(again)}.items():
        assert not [tag for tag in soup.find_all("script") if "pwned" in tag.get_text()], path.name
        assert not soup.find_all(attrs={"onclick": True}), path.name
        assert not soup.find_all(attrs={"onerror": True}), path.name
        assert not soup.find_all(href=re.compile("^javascript:")), path.name
    assert words_of(built / "reports/demo/site/index.html").count(EVIL) > 3, "captions and a claim, as they are"
    assert EVIL in words_of(built / "reports/demo/site/02_clean.html")
    assert EVIL in words_of(again / "reports/index.html")


def test_a_report_without_quotes_passes_and_says_what_it_leaves_out(made, built):
    assert guard.leave_out_products("demo", built / "reports/demo/site") == []
    keep_private(made)
    write_source("demo", load_catalogue("demo"), made / "source")
    assert "No text and no photo of a product is shown" in (made / "source" / "index.md").read_text()


# In a browser, from disk

needs_chromium = pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium on the PATH")
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run",
]  # fmt: skip


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def visit(browser):
    """Return a function that opens a file in a tab of its own kind, and what pages asked for and complained of."""
    requests, complaints, tabs = [], [], {}

    def tab(**options):
        page = browser.new_context(**options).new_page()
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        return page

    def open_page(path: Path, **options):
        page = tabs.get(str(options)) or tab(**options)
        tabs[str(options)] = page
        page.goto(path.as_uri())
        return page

    return open_page, requests, complaints


@pytest.mark.browser
@needs_chromium
def test_pages_work_from_disk_and_ask_the_network_for_nothing(built, visit):
    open_page, requests, complaints = visit
    for name in PAGES:
        assert open_page(built / "reports" / name).evaluate("window.pwned") is None
    page = open_page(built / "reports/demo/site/search.html")
    page.goto(page.url + "?q=brands")
    page.wait_for_selector("#search-results li a")
    assert "02_clean" in page.locator("#search-results").inner_html()
    assert {urlsplit(url).scheme for url in requests} <= {"file", "data"}
    assert not complaints


@pytest.mark.browser
@needs_chromium
def test_a_phone_shows_no_page_wider_than_itself(built, visit):
    for name in PAGES:
        page = visit[0](built / "reports" / name, viewport={"width": 390, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, name


@pytest.mark.browser
@needs_chromium
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_light_and_dark(built, visit, scheme):
    for name in PAGES:
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
    assert "--index" in capsys.readouterr().err
