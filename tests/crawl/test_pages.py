"""A page's products, from saved pages of the shapes that shops use."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lib.crawl.products import MAX_DATA_DEEP, MAX_ELEMENTS_DEEP, Page, PageProduct, parse_page, read_products

PAGES = Path(__file__).parent / "pages"
SITE = "https://shop.example"


def page(name: str, content_type: bytes | None = None) -> Page:
    return parse_page(f"{SITE}/{name}", (PAGES / f"{name}.html").read_bytes(), content_type)


def products(name: str, content_type: bytes | None = None) -> list[PageProduct]:
    return read_products(page(name, content_type))


def product(name: str, content_type: bytes | None = None) -> PageProduct:
    (item,) = products(name, content_type)
    return item


def test_product_and_breadcrumbs_in_scripts_of_their_own():
    assert product("plain") == PageProduct(
        product_id="B-1",
        brand="Norumar",
        title="Walking boots",
        description="<p>Warm &amp; dry.</p>",
        category=("Women", "Boots"),
        photo=f"{SITE}/boots.jpg",
    )


def test_several_nodes_in_an_array():
    item = product("array")
    assert (item.product_id, item.title, item.brand) == ("4711", "Kettle", "Adiwick")
    assert item.photo == f"{SITE}/kettle.jpg"
    assert item.category == ("Kitchen", "Kettles")


def test_a_graph_whose_nodes_refer_to_one_another():
    item = product("graph")
    assert (item.product_id, item.brand, item.photo) == ("L7", "Lorera", f"{SITE}/img/lamp.png")
    assert item.category == ("Light", "Lamps"), "the last crumb is the product itself"


def test_the_product_that_a_page_is_about_but_not_what_it_is_related_to():
    item = product("main_entity")
    assert (item.product_id, item.category) == ("ME", ("Seats",))


def test_a_group_is_its_variants_which_have_what_the_group_has():
    red, blue = products("group")
    assert (red.product_id, red.title, red.brand, red.description) == ("S-red", "Red shirt", "Elofield", "A shirt.")
    assert (blue.product_id, blue.title, blue.brand, blue.description) == (
        "S-blue",
        "Shirt",
        "Elofield",
        "A blue shirt.",
    )
    assert (red.photo, blue.photo) == (f"{SITE}/red.jpg", f"{SITE}/s.jpg")
    assert red.category == blue.category == "Men > Shirts"


def test_variants_beside_their_group_count_once():
    assert [(item.product_id, item.title, item.brand) for item in products("variants")] == [
        ("C-1", "Cap", "Delisra"),
        ("C-2", "Wide cap", "Delisra"),
    ]


def test_a_product_with_several_offers_is_one_product():
    assert product("offers").product_id == "R-small"


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("trailing_comma", "A, {strange} // name"),
        ("comments", "It's /* not */ a comment"),
        ("control", "Two\nlines\tand \x02 more"),
        ("two_objects", "Two"),
        ("entities", "Salt &amp; pepper"),
    ],
)
def test_json_that_is_not_quite_json(name, title):
    assert product(name).title == title


def test_what_cannot_be_read_is_said():
    with pytest.raises(ValueError, match="its JSON-LD cannot be read"):
        products("hopeless")


def test_texts_stay_as_they_are_and_only_what_is_absent_is_none():
    item = product("html_in_name")
    assert item.title == "<b>Big</b> pan &ndash; 30&nbsp;cm"
    assert (item.brand, item.description, item.photo) == ("", " ", None)


def test_a_product_without_an_id_has_its_path_and_images_follow_the_base():
    item = product("bare")
    assert (item.product_id, item.brand, item.category) == ("/bare", None, None)
    assert item.photo == f"{SITE}/static/bare.jpg"


def test_without_breadcrumbs_the_category_is_the_products_own():
    assert product("category_text").category == "Kitchen > Cups > Mugs"


def test_other_identifiers_and_nested_values():
    item = product("mpn")
    assert (item.product_id, item.title, item.photo) == ("4006381333931", "Pen", "https://cdn.example/pen.jpg")


def test_a_product_that_is_described_twice_counts_once():
    assert product("twice").description == "The first."


def test_a_listing_is_no_product_but_has_links():
    assert products("listing") == []
    assert list(page("listing").links()) == [
        f"{SITE}/one",
        f"{SITE}/two",
        "mailto:a@b.example",
        "http://[bad",
        f"{SITE}/listing?page=2",
    ]


def test_products_that_have_pages_elsewhere_are_not_this_pages():
    assert product("related").product_id == "here"


def test_microdata():
    assert product("microdata") == PageProduct(
        product_id="BL-1",
        brand="Velora",
        title="Blocks",
        description="<b>Wooden</b> blocks &amp; a box",
        category=("Toys",),
        photo=f"{SITE}/blocks.jpg",
    )


def test_json_ld_comes_before_microdata_which_may_have_the_breadcrumbs():
    assert (product("both").title, product("both").category) == ("From JSON-LD", ("Crumbs",))


def test_open_graph():
    assert product("open_graph") == PageProduct(
        product_id="OG-9",
        brand="Lunora",
        title="Scarf & gloves",
        description="Soft.",
        category="Women > Scarves",
        photo=f"{SITE}/scarf.jpg",
    )


def test_a_page_about_anything_else_has_no_products():
    assert products("article") == []


@pytest.mark.parametrize("name", ["meta_1252", "wrong_utf8", "unknown_charset", "bom_utf16", "bom_utf8"])
def test_encodings(name):
    assert (product(name).product_id, product(name).title) == ("é", "Café – crème")


def test_encodings_of_other_scripts():
    assert product("header_koi8", b"text/html; charset=koi8-r").title == "Чай"
    assert product("meta_shift_jis").title == "お茶"


@pytest.mark.parametrize("body", [b"", b" \n", b"\0", b"<!-- nothing -->", b"\x89PNG\r\n"])
def test_a_page_with_nothing_in_it_has_no_products(body):
    assert read_products(parse_page(SITE, body)) == []


def script(data: str) -> str:
    return f'<script type="application/ld+json">{data}</script>'


def item_in_item(depth: int) -> str:
    inner = '<div itemprop="brand" itemscope itemtype="https://schema.org/Brand">' * (depth - 1)
    return f'<div itemscope itemtype="https://schema.org/Product">{inner}<b itemprop="name">deep</b>'


def item_names_item(depth: int) -> str:
    first = '<div itemscope itemtype="https://schema.org/Product" itemref="n1"></div>'
    following = (f'<p id="n{n}" itemprop="brand" itemscope itemref="n{n + 1}">' for n in range(1, depth))
    return first + "</p>".join(following) + f'</p><b id="n{depth}" itemprop="name">deep</b>'


DEEP = {  # how deep a page of each kind may be, and such a page
    "objects": (MAX_DATA_DEEP, lambda n: script('{"@type": "Product", "name": ' * n + '"deep"' + "}" * n)),
    "lists": (MAX_DATA_DEEP, lambda n: script("[" * (n - 1) + '{"@type": "Product"}' + "]" * (n - 1))),
    "not quite JSON": (
        MAX_DATA_DEEP,
        lambda n: script("// 1\" wide\n{'@type': 'Product', a: " + "[" * (n - 1) + "]" * (n - 1) + "}"),
    ),
    "items": (MAX_DATA_DEEP, item_in_item),
    "items by reference": (MAX_DATA_DEEP, item_names_item),
    "elements": (MAX_ELEMENTS_DEEP, lambda n: script('{"@type": "Product"}') + "<div>" * (n - 2)),
    "elements of an item": (
        MAX_ELEMENTS_DEEP,
        lambda n: '<div itemscope itemtype="https://schema.org/Product"><p itemprop="name">deep' + "<b>" * (n - 4),
    ),
}


@pytest.mark.parametrize("limit", [300, 100_000])
@pytest.mark.parametrize("kind", DEEP)
def test_how_deep_a_page_may_nest_is_a_number_of_ours_and_not_of_the_interpreters(kind, limit):
    deepest, make = DEEP[kind]

    def read(depth: int) -> str:
        try:
            return f"{len(read_products(parse_page(SITE, make(depth).encode())))} product"
        except ValueError as error:
            return str(error)

    with ThreadPoolExecutor(1) as fresh_stack:
        usual = sys.getrecursionlimit()
        sys.setrecursionlimit(limit)
        try:
            taken, *refused = fresh_stack.map(read, [deepest, deepest + 1, 5_000])
        finally:
            sys.setrecursionlimit(usual)
    assert taken == "1 product"
    assert set(refused) <= {
        "its JSON-LD cannot be read",
        f"its microdata cannot be read: nested more than {MAX_DATA_DEEP} deep",
        f"its elements are nested more than {MAX_ELEMENTS_DEEP:,} deep",
    }


def test_addresses_that_make_no_sense_do_not_cost_a_product():
    data = '{"@type": "Product", "name": "Odd", "url": "http://[", "image": "http://[x"}'
    (item,) = read_products(parse_page(SITE, f'<script type="application/ld+json">{data}</script>'.encode()))
    assert (item.product_id, item.photo) == ("http://[", "http://[x")


@pytest.mark.parametrize("charset", ["idna", "punycode", "base64", "undefined", "utf-7", "x" * 1000])
def test_a_declared_encoding_that_is_none_does_not_cost_a_page(charset):
    page = parse_page(SITE, (PAGES / "plain.html").read_bytes(), f"text/html; charset={charset}".encode())
    assert [item.product_id for item in read_products(page)] == ["B-1"]
