"""Products whose texts, brands and categories are programs: through the first two notebooks and the whole report."""

import csv
import re
import shutil

import pytest
from made_site import ROOT, html_pages, words_of
from pipeline import edit

from lib import notebook
from lib.report import site

RUNS = [
    "<script>window.pwned = true</script>",
    '"><img src=x onerror="window.pwned = true">',
    "[a link](javascript:window.pwned=true)",
    "```{raw} html\n<script>window.pwned = true</script>\n```",
    "{{ 7 * 7 }} {% raw %} ${7*7} `{eval-rst}`",
    "</td></table></html><svg onload=window.pwned=true>",
]
CATEGORIES = [
    ["Women", "<b onclick=x()>Shoes</b>", "<img src=x onerror=x()> boots"],
    ["Men", "$\\frac{x}{$ & co", "__init__ ```a"],
]
LEVELS = ["level_1", "level_2", "level_3"]
COLUMNS = ["id", "brand", "title", "description", *LEVELS]
TABLE = {"file": "products.csv", "columns": {name: name for name in COLUMNS}}


@pytest.fixture
def hostile(made):
    """Make the catalogue `demo` of the made-up study one of hostile products, and run its first two notebooks."""
    shutil.copytree(ROOT / "notebooks", made / "notebooks")
    (made / "data").mkdir()
    with (made / "data/products.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for number in range(60):
            evil = RUNS[number % len(RUNS)]
            texts = [f"{evil} {number % 7}", f"{evil} thing {number}", f"About {number}: {evil} and more of {number}"]
            writer.writerow([f"{evil}{number}", *texts, *CATEGORIES[number % 2]])
    edit(made / "catalogues/demo.yaml", kind="table", table=TABLE, shop=None)
    params = {"demo": {"source": "data", "weights": str(ROOT / "lib/demo_shop/weights.safetensors")}}
    edit(made / "params.yaml", study=params, others={})
    for stem in ("01_collect", "02_clean"):
        shutil.rmtree(made / "build/demo" / {"01_collect": "raw", "02_clean": "clean"}[stem])
        notebook.run(stem, {"catalogue": "demo"})
    return made


@pytest.mark.slow
def test_nothing_in_a_product_runs_in_the_report(hostile):
    site.build("demo")
    pages = html_pages(hostile)
    for path, soup in pages.items():
        scripts = [tag for tag in soup.find_all("script") if "pwned" in tag.get_text()]
        handlers = [tag for tag in soup.find_all(True) if any(name.startswith("on") for name in tag.attrs)]
        links = soup.find_all(href=re.compile("^ *javascript:", re.IGNORECASE))
        assert (scripts, handlers, links) == ([], [], []), path.name
        assert not soup.find_all("svg", onload=True)
        assert "49" not in [cell.get_text() for cell in soup.find_all("td")]
    shown = words_of(hostile / "reports/demo/site/02_clean.html")
    assert "window.pwned" in shown, "it stays readable, as text"
