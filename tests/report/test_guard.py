"""What may not reach a site: content of products that may not be published, what runs, and what asks the network."""

import pytest
from bs4 import BeautifulSoup
from made_site import DESCRIPTION, add_cell, asked_for, give, keep_private, show

from lib.exceptions import StudyError
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


def test_a_report_that_quotes_a_product_is_not_published(made):
    keep_private(made)
    given = [give(name) for name in asked_for()["02_clean"]]
    add_cell(made, [*given, show(text_html=f"<table><tr><td>{DESCRIPTION}</td></tr></table>")])
    with pytest.raises(StudyError, match=r"02_clean\.html quotes the product 000") as caught:
        site.build("demo")
    assert DESCRIPTION not in str(caught.value)
    assert not (made / "reports/demo/site").exists()


@pytest.mark.parametrize(("page", "refused"), [
    (" ".join(DESCRIPTION.split()[3:12]), True),
    (DESCRIPTION.upper().replace(" ", "<br>"), True),
    (f'<img alt="{DESCRIPTION}">', True),
    ("a quilted jacket of waxed cotton", False),
    ('<img src="data:image/jpeg;base64,x">', True),
    ('<img src="data:image/png;base64,x">', False),
])  # fmt: skip
def test_quotes_and_photos_are_found(made, page, refused):
    (made / "x").mkdir()
    (made / "x" / "a.html").write_text(f"<p>Before {page} after</p>")
    if not refused:
        guard.refuse_product_content("demo", made / "x")
        return
    with pytest.raises(StudyError, match=r"a\.html.*publish_examples"):
        guard.refuse_product_content("demo", made / "x")


def test_a_photo_file_is_refused(made):
    (made / "x").mkdir()
    (made / "x" / "photo.jpeg").touch()
    with pytest.raises(StudyError, match=r"photo\.jpeg"):
        guard.refuse_product_content("demo", made / "x")
