"""What may not reach a site: content of products that may not be published, what runs, and what asks the network."""

import pytest
from bs4 import BeautifulSoup
from made_site import DESCRIPTION, add_cell, asked_for, give, keep_private, show, words_of, write_tables

from lib.exceptions import StudyError
from lib.files import write_json
from lib.report import guard, site
from lib.report.notebooks import clean_html


@pytest.mark.parametrize(("html", "clean"), [
    ("<table><tr onclick='x()'><td>a</td></tr></table>", "<table><tbody><tr><td>a</td></tr></tbody></table>"),
    ("<style>td {}</style><script>x()</script><svg><script>x()</script></svg>b", "b"),
    ('<a href="javascript:x()">c</a><a href="https://example.org">d</a>', '<a>c</a><a href="https://example.org">d</a>'),
    ('<img src="//example.org/e"><img src="data:image/png;base64,e">', '<img alt="E" src="data:image/png;base64,e"/>'),
    ("<form action=x><input>f</form><!-- g -->", "f"),
    ("&lt;script&gt;", "&lt;script&gt;"),
])  # fmt: skip
def test_only_what_draws_a_table_or_a_photo_passes(html, clean):
    assert BeautifulSoup(clean_html(html, "E"), "lxml") == BeautifulSoup(clean, "lxml")


def test_a_page_that_loads_from_the_network_is_refused(tmp_path):
    (tmp_path / "a.html").write_text('<a href="https://example.org">fine</a>')
    guard.refuse_network(tmp_path)
    (tmp_path / "b.html").write_text('<script src="//cdn.example.org/x.js"></script>')
    with pytest.raises(StudyError, match=r"b\.html.*cdn\.example\.org"):
        guard.refuse_network(tmp_path)
    (tmp_path / "b.html").unlink()
    (tmp_path / "c.css").write_text("@font-face { src: url('https://example.org/f.woff') }")
    with pytest.raises(StudyError, match=r"c\.css"):
        guard.refuse_network(tmp_path)


# What a rights holder asks


def test_a_report_that_quotes_a_product_is_published_without_the_quote(made):
    keep_private(made)
    given = [give(name) for name in asked_for()["02_clean"]]
    table = f"<table><tr><td>Kept</td><td>{DESCRIPTION}</td></tr></table>"
    add_cell(made, [*given, show(text_html=table), show(text_markdown=f"- A thing.\n- It is {DESCRIPTION}\n")])
    page = site.build("demo") / "02_clean.html"
    said = words_of(page)
    assert DESCRIPTION[:50] not in page.read_text()
    assert said.count(guard.LEFT_OUT) == 2
    assert f"Kept {guard.LEFT_OUT}" in said
    assert "A thing." in said
    assert not any(guard.LEFT_OUT in words_of(other) for other in page.parent.glob("*.html") if other != page)


SOME = " ".join(DESCRIPTION.split()[3:12])


@pytest.mark.parametrize(("html", "left"), [
    (f"<p>Before</p><p>It is {SOME}.</p>", "<p>Before</p><p>LEFT</p>"),
    (f"<ul><li>a</li><li><b>{SOME}</b></li></ul>", "<ul><li>a</li><li><b>LEFT</b></li></ul>"),
    (f"<p>{DESCRIPTION.upper().replace(' ', '<br>')}</p>", "<p>LEFT</p>"),
    (f'<p>x <img src="_images/a.png" alt="{DESCRIPTION}"> y</p>', "<p>x <span>LEFT</span> y</p>"),
    (f'<p title="{DESCRIPTION}">x</p>', "<p>LEFT</p>"),
    ("<table>" + "".join(f"<tr><td>{word}</td></tr>" for word in SOME.split()) + "</table>", "<span>LEFT</span>"),
    ("<p>a quilted jacket of waxed cotton</p>", None),
    ('<p><img src="data:image/jpeg;base64,x"></p>', "<p><span>LEFT</span></p>"),
    ('<p><a href="_images/p.jpeg"><img src="_images/p.jpeg"></a></p>', "<p><a>LEFT</a></p>"),
    ('<p><img src="data:image/png;base64,x"></p>', None),
])  # fmt: skip
def test_the_smallest_element_that_shows_a_product_is_left_out(made, html, left):
    folder = made / "x"
    (folder / "_images").mkdir(parents=True)
    for name in ("a.png", "p.jpeg"):
        (folder / "_images" / name).touch()
    page = folder / "a.html"
    page.write_text(f"<!DOCTYPE html><html><body>{html}</body></html>")
    before = page.read_text()
    done = guard.leave_out_products("demo", folder)
    assert not (folder / "_images/p.jpeg").exists()  # no page needs to show it
    assert (folder / "_images/a.png").exists() is ("a.png" not in html)
    if left is None:
        assert (done, page.read_text()) == ([], before)
        return
    assert done == ["a.html: 1 left out, as they show a product"]
    body = str(BeautifulSoup(page.read_text(), "lxml").body).replace(guard.LEFT_OUT, "LEFT")
    assert body == f"<body>{left}</body>"


def test_names_of_classes_and_their_paths_are_no_quotes(made):
    name = "Moss and Fern Quilted Rain Jacket with Storm Hood and Pockets"
    taxonomy = {"levels": [["Clothes"], ["Outdoor"], [name, "Coats"]], "paths": [[0, 0, 0], [0, 0, 1]]}
    write_json(made / "build/demo/clean/taxonomy.json", taxonomy)
    write_tables(made / "build/demo", f"Clothes Outdoor {name}, in green")
    (made / "x").mkdir()
    page = made / "x/a.html"
    page.write_text(f"<p>Clothes &gt; Outdoor &gt; {name}</p><p>{name}: 3.0</p>")
    assert guard.leave_out_products("demo", made / "x") == []
    page.write_text(f"<p>{name}, in green</p>")
    assert len(guard.leave_out_products("demo", made / "x")) == 1
