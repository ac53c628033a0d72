"""The demo shop as a web site: what its pages say, what is where, what goes wrong, and how it is served."""

import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import chompjs
import extruct
import pandas as pd
import psutil
import pytest
import requests
from lxml import etree
from lxml.html import fromstring as html_of
from scipy.stats import binom

from lib.demo_shop import generate
from lib.demo_shop.__main__ import main
from lib.demo_shop.pages import (
    CHARSETS,
    DATA_SHAPES,
    HOME,
    LAZY_PHOTO,
    PRIVATE,
    RELATIVE_PHOTO,
    category_names,
    page_shape,
    photo_path,
    slug,
)
from lib.demo_shop.server import running
from lib.demo_shop.site import (
    AT_MOST,
    CLAIMED_SIDE,
    ELSEWHERE,
    LOST_PAGES,
    LOST_PHOTOS,
    PER_SITEMAP,
    PRIVATE_ADDRESSES,
    RATES,
    TOO_LARGE_BYTES,
    Site,
    failures,
    web_truth,
)
from lib.demo_shop.world import lexicon
from lib.exceptions import StudyError

SEED, PRODUCTS, BASE = 2015, 500, "http://shop.example"
ROOT = Path(__file__).parents[2]
OFTEN = dict.fromkeys(RATES, 0.05)


@pytest.fixture(scope="module")
def site():
    """A shop without faults of the web."""
    return Site(PRODUCTS, SEED, BASE, rates={})


@pytest.fixture(scope="module")
def records():
    return list(generate(PRODUCTS, SEED))


@pytest.fixture(scope="module")
def faulty():
    """A small shop with all faults, open, and the truth about it by fault."""
    truths = list(web_truth(250, SEED, OFTEN))
    with running(250, SEED, rates=OFTEN) as shop:
        yield shop, truths


@pytest.fixture(scope="module")
def all_faults():
    """How often each fault occurs in a shop of the usual size."""
    return Counter(fault for row in web_truth(6000, SEED) for fault in (row.page_fault, row.photo_fault))


def page(site, number):
    answer = site.answer(site.product_path(number))
    assert answer.status == 200
    declared = re.search(r"charset=([\w-]+)", answer.content_type) or re.search(rb'charset="([\w-]+)"', answer.body)
    charset = declared[1] if isinstance(declared[1], str) else declared[1].decode()
    return answer.body.decode(charset), charset


def things(html):
    """Read the schema.org things of a page, as a tolerant reader does; by type."""
    found = []
    for script in html_of(html).xpath("//script[@type='application/ld+json']/text()"):
        try:
            data = json.loads(script)
        except json.JSONDecodeError:
            data = chompjs.parse_js_object(script)
        found += data if isinstance(data, list) else data.get("@graph", [data])
    if not found:
        for item in extruct.extract(html, syntaxes=["microdata"])["microdata"]:
            found.append({"@type": item["type"].rsplit("/", 1)[1], **item["properties"]})
            for step in found[-1].get("itemListElement", []):
                step.update(step.get("properties", {}))
    return {thing["@type"]: thing for thing in found}


def first(value, key):
    value = value[0] if isinstance(value, list) else value
    return value.get(key) if isinstance(value, dict) else value


def test_a_page_says_of_a_record_exactly_what_it_is(site, records):
    shapes = Counter()
    for number, record in enumerate(records):
        html, charset = page(site, number)
        found = things(html)
        product = found["Product"]
        assert product["sku"] == record.product_id
        assert product["name"] == record.title
        assert first(product.get("brand"), "name") == record.brand
        assert product.get("description") == record.description
        crumbs = found.get("BreadcrumbList", {"itemListElement": [{"name": "Home"}]})["itemListElement"]
        assert [step["name"] for step in crumbs] == ["Home", *category_names(record)]
        shapes[page_shape(SEED, number).data, charset] += 1
    assert {data for data, _ in shapes} == {"plain", *DATA_SHAPES}
    assert {charset for _, charset in shapes} == {"utf-8", "windows-1252"}


def test_the_photo_of_a_page_has_the_bytes_of_the_record(site, records):
    for number, record in enumerate(records[:150]):
        html, _ = page(site, number)
        address = first(things(html)["Product"].get("image"), "url")
        if record.photo is None:
            assert address is None
        else:
            whole = urljoin(BASE + site.product_path(number), address)
            assert whole == BASE + photo_path(number)
            answer = site.answer(urlsplit(whole).path)
            assert (answer.body, answer.content_type) == (record.photo, "image/jpeg")


def test_pages_have_the_same_bytes_in_whatever_order_they_are_asked_for(site):
    other = Site(PRODUCTS, SEED, BASE, rates={})
    for number in reversed(range(0, 60)):
        for path in (site.product_path(number), photo_path(number)):
            assert other.answer(path) == site.answer(path)


@pytest.mark.parametrize(
    ("share", "has"),
    [
        *((rate, lambda shape, kind=kind: shape.data == kind) for kind, rate in DATA_SHAPES.items()),
        *((rate, lambda shape, kind=kind: shape.charset == kind) for kind, rate in CHARSETS.items()),
        (RELATIVE_PHOTO, lambda shape: shape.relative_photo),
        (LAZY_PHOTO, lambda shape: shape.lazy_photo),
    ],
)
def test_pages_have_each_shape_as_often_as_stated(share, has):
    found = sum(has(page_shape(SEED, number)) for number in range(4000))
    low, high = binom.interval(0.9999, 4000, share)
    assert low <= found <= high


def test_texts_cannot_end_the_script_that_they_stand_in(site, records):
    for number, record in enumerate(records):
        if "<" in (record.description or ""):
            html, _ = page(site, number)
            scripts = re.findall(r"<script[^>]*>(.*?)</script>", html, re.DOTALL)
            assert all("<" not in script for script in scripts)


def links(html):
    return html_of(html).xpath("//a/@href")


def test_links_from_the_home_page_lead_to_every_product_and_to_nothing_that_is_not_there():
    site = Site(250, SEED, BASE, rates={})
    seen, waiting, elsewhere = {BASE + HOME}, [BASE + HOME], Counter()
    while waiting:
        at = waiting.pop()
        answer = site.answer(at.removeprefix(BASE))
        assert answer.status == 200, at
        for link in (urljoin(at, href) for href in links(answer.body.decode("latin-1"))):
            if not link.startswith(BASE) or link.startswith(BASE + PRIVATE):
                elsewhere[link] += 1
            elif link not in seen:
                seen.add(link)
                waiting.append(link)
    assert {BASE + site.product_path(number) for number in range(250)} <= seen
    assert site.counts["unknown"] == 0
    assert any(link.startswith(ELSEWHERE) for link in elsewhere)
    assert any(link.startswith(BASE + PRIVATE) for link in elsewhere)


def test_categories_list_what_their_products_say(site, records):
    expected = {}
    for number, record in enumerate(records):
        names = tuple(category_names(record))
        for depth in range(len(names) + 1):
            expected.setdefault(names[:depth], []).append(number)
    assert dict(site.categories.values()) == expected


def test_no_two_categories_have_one_address():
    words = lexicon()
    for names in (words.departments, words.types, [name for kind in words.types.values() for name in kind.subtypes]):
        assert len({slug(name) for name in names}) == len(list(names))


def test_the_sitemap_lists_every_product_once():
    site = Site(2500, SEED, BASE, rates={})
    index = etree.fromstring(site.answer("/sitemap.xml").body)
    parts = [str(entry) for entry in index.xpath("//*[local-name()='loc']/text()")]
    assert len(parts) == 3
    listed = [etree.fromstring(site.answer(part.removeprefix(BASE)).body) for part in parts]
    pages = [[str(entry) for entry in part.xpath("//*[local-name()='loc']/text()")] for part in listed]
    assert max(map(len, pages)) == PER_SITEMAP
    assert [entry for part in pages for entry in part] == [BASE + site.product_path(number) for number in range(2500)]
    assert site.answer("/sitemap-4.xml").status == site.answer("/sitemap-0.xml").status == 404


def test_robots_are_asked_to_leave_the_private_area_alone_and_those_that_do_not_are_counted(site):
    assert f"Disallow: {PRIVATE}\n" in site.answer("/robots.txt").body.decode()
    before = site.counts["private"]
    assert site.answer(f"{PRIVATE}basket?x=1").status == 403
    assert site.counts["private"] == before + 1


@pytest.mark.parametrize(
    "target",
    [
        "/c/women/?page=0",
        "/c/women/?page=9999",
        "/c/women/?page=x",
        f"/c/women/?page={'9' * 5000}",
        "/products/wrong-000001.html",
        f"/photos/{'9' * 5000}.jpg",
        "/photos/999999.jpg",
        "/photos/0000001.jpg",
        "/static/../server.py",
        "/static/home.html",
        "/truth",
        "//[",
        "*",
    ],
)
def test_what_does_not_exist_is_not_found_and_counted(site, target):
    before = site.counts["unknown"]
    assert site.answer(target).status == 404
    assert site.counts["unknown"] == before + 1


@pytest.mark.parametrize("fault", RATES)
def test_faults_of_the_web_are_as_frequent_as_stated(all_faults, fault):
    found = all_faults[fault]
    low, high = binom.interval(0.9999, 6000, min(RATES[fault], AT_MOST.get(fault, 6000) / 6000))
    assert low <= found <= high


def test_few_products_are_lost_to_the_web():
    assert sum(rate for kind, rate in RATES.items() if kind in LOST_PAGES) < 0.01
    assert sum(rate for kind, rate in RATES.items() if kind in LOST_PHOTOS) < 0.01


def numbered(truths, fault):
    found = [number for number, row in enumerate(truths) if fault in (row.page_fault, row.photo_fault)]
    assert found, "the small shop has each fault"
    return found


def ask(shop, path, **options):
    return requests.get(shop.address.rstrip("/") + path, allow_redirects=False, timeout=30, **options)


@pytest.mark.parametrize(
    ("fault", "status"), [("page_404", 404), ("page_500", 500), ("photo_404", 404), ("photo_500", 500)]
)
def test_errors_last(faulty, fault, status):
    shop, truths = faulty
    for number in numbered(truths, fault)[:3]:
        path = truths[number].path if fault.startswith("page") else photo_path(number)
        assert [ask(shop, path).status_code for _ in range(4)] == [status] * 4


@pytest.mark.parametrize("fault", ["page_transient", "photo_transient"])
def test_transient_errors_pass(faulty, fault):
    shop, truths = faulty
    paths = {n: truths[n].path if fault.startswith("page") else photo_path(n) for n in numbered(truths, fault)}
    numbers = [number for number in paths if fault.startswith("page") or truths[number].page_fault is None]
    for number in numbers[:4]:
        times = failures(fault, number)
        answers = [ask(shop, paths[number]) for _ in range(times + 1)]
        assert [answer.status_code in (500, 503) for answer in answers] == [True] * times + [False]
        assert all(answer.headers["Retry-After"] == "1" for answer in answers if answer.status_code == 503)


def test_a_slow_page_comes(faulty):
    shop, truths = faulty
    answer = ask(shop, truths[numbered(truths, "page_slow")[0]].path)
    assert answer.status_code == 200
    assert things(answer.content.decode("latin-1"))["Product"]


def test_a_moved_page_is_where_the_redirect_leads(faulty):
    shop, truths = faulty
    number = numbered(truths, "page_moved")[0]
    answer = requests.get(shop.address.rstrip("/") + truths[number].path, timeout=30)
    assert [one.status_code for one in answer.history] == [301]
    assert answer.status_code == 200
    assert things(answer.content.decode("latin-1"))["Product"]["sku"] == truths[number].product_id


def test_a_circle_has_no_end(faulty):
    shop, truths = faulty
    with pytest.raises(requests.TooManyRedirects):
        requests.get(shop.address.rstrip("/") + truths[numbered(truths, "page_circle")[0]].path, timeout=30)


@pytest.mark.parametrize(("fault", "told"), [("page_too_large", True), ("photo_too_large", False)])
def test_too_large_is_more_than_anybody_should_read(faulty, fault, told):
    shop, truths = faulty
    number = numbered(truths, fault)[0]
    path = truths[number].path if told else photo_path(number)
    with ask(shop, path, stream=True) as answer:
        assert ("Content-Length" in answer.headers) == told
        assert sum(map(len, answer.iter_content(2**20))) > TOO_LARGE_BYTES


def test_a_photo_that_claims_too_many_pixels_is_small(faulty):
    shop, truths = faulty
    answer = ask(shop, photo_path(numbered(truths, "photo_too_many_pixels")[0]))
    assert len(answer.content) < 10_000
    assert answer.content.startswith(b"\x89PNG")
    assert int.from_bytes(answer.content[16:20]) == int.from_bytes(answer.content[20:24]) == CLAIMED_SIDE


def test_a_photo_may_be_redirected_to_another_host(faulty):
    shop, truths = faulty
    answer = ask(shop, photo_path(numbered(truths, "photo_redirected")[0]))
    assert answer.status_code == 302
    assert answer.headers["Location"].startswith(ELSEWHERE)


@pytest.mark.parametrize("fault", ["photo_elsewhere", "photo_private"])
def test_a_photo_may_have_an_address_that_is_not_the_shops(fault):
    site, truths = Site(250, SEED, BASE, rates=OFTEN), list(web_truth(250, SEED, OFTEN))
    numbers = [number for number in numbered(truths, fault) if truths[number].page_fault is None]
    for number in numbers:
        image = first(things(page(site, number)[0])["Product"]["image"], "url")
        assert image in PRIVATE_ADDRESSES if fault == "photo_private" else image.startswith(ELSEWHERE)


def test_the_server_speaks_http_and_counts(faulty):
    shop, _ = faulty
    before = shop.counts()
    with requests.Session() as session:
        for _ in range(3):
            assert session.get(shop.address, timeout=30).headers["Content-Type"] == "text/html; charset=utf-8"
        whole, head = session.get(shop.address, timeout=30), session.head(shop.address, timeout=30)
        assert head.headers["Content-Length"] == whole.headers["Content-Length"]
        assert head.content == b""
        assert session.post(shop.address, data="x", timeout=30).status_code == 405
        session.get(shop.address + "private/x", timeout=30)
        session.get(shop.address + "nothing", timeout=30)
    found = Counter(shop.counts())
    found.subtract(before)
    assert +found == {"home": 5, "private": 1, "unknown": 1}


def test_a_server_ends_with_its_context_and_a_taken_port_is_one_message():
    with running(200, SEED, rates={}) as shop:
        port = urlsplit(shop.address).port
        with pytest.raises(StudyError, match=rf"port {port} of 127\.0\.0\.1.*Choose another"), running(200, SEED, port):
            pass
    with pytest.raises(requests.ConnectionError):
        requests.get(shop.address, timeout=30)


def test_a_server_ends_with_a_killed_process():
    command = [sys.executable, "-m", "lib.demo_shop", "--products", "200", "--port", "0"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    parent = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    address = re.search(r"http://\S+", parent.stdout.readline())[0]
    assert requests.get(address, timeout=30).ok
    servers = psutil.Process(parent.pid).children(recursive=True)
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    _, alive = psutil.wait_procs(servers, timeout=60)
    assert not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


def test_the_command_line_writes_the_truth(tmp_path):
    assert main(["--products", "200", "--truth", str(tmp_path / "truth.parquet")]) == 0
    table = pd.read_parquet(tmp_path / "truth.parquet")
    assert table["product_id"].tolist() == [record.product_id for record in generate(200, SEED, photos=False)]
    assert {"family", "damage", "path", "page_fault", "photo_fault"} <= set(table.columns)


@pytest.mark.parametrize("arguments", [["--products", "5"], ["--port", "70000"], ["--seed", "-1"]])
def test_the_command_line_refuses_what_cannot_be(arguments, capsys):
    with pytest.raises(SystemExit):
        main(arguments)
    assert f"argument {arguments[0]}: expected a number from" in capsys.readouterr().err
