"""Crawls of small sites on loopback: what is got, what is not and why, and where the crawler never goes."""

import gzip
import inspect
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from loopback import Answer, Site, png

from lib.config.base import Reject
from lib.crawl import polite, spider
from lib.crawl.process import crawl
from lib.crawl.products import PageProduct
from lib.crawl.spec import CrawlSpec
from lib.exceptions import StudyError

PHOTO = png(20, 20)
LIMITS = {"max_page_bytes": 20_000, "max_photo_bytes": 30_000, "max_pixels": 10_000, "max_redirects": 3}


@pytest.fixture
def site():
    with Site() as site:
        yield site


def make_spec(site: Site, start: str = "/sitemap.xml", **changes) -> CrawlSpec:
    own = {
        "start": [site.address + start],
        "hosts": [site.host],
        "user_agent": "ProductStudy (a test)",
        "private": True,
        "throttle": False,
        "requests_per_second": None,
        "concurrent_requests": 8,
        "retries": 2,
        "retry_seconds": 0.01,
    }
    return CrawlSpec(**own | LIMITS | changes)


class Crawled:
    """What a crawl found."""

    def __init__(self, spec: CrawlSpec, folder: Path) -> None:
        self.products: dict[str, PageProduct] = {}
        self.photos: dict[str, bytes | None] = {}
        self.rejects: list[tuple] = []
        for found in crawl(spec, folder):
            if isinstance(found, Reject):
                self.rejects.append((found.product_id, found.reason, found.detail))
            else:
                item, photo = found
                assert item.product_id not in self.products, "no page counts twice"
                self.products[item.product_id], self.photos[item.product_id] = item, photo


# What is asked for, and the reason and detail of what cannot be had.
LOST_PAGES = {
    "not-found": ("not found", "/not-found: status 404"),
    "gone": ("not found", "/gone: status 410"),
    "forbidden": ("refused by the server", "/forbidden: status 403"),
    "always-500": ("server error", "/always-500: status 500"),
    "always-503": ("server error", "/always-503: status 503"),
    "impatient": ("server error", "/impatient: status 503"),
    "circle": ("redirect circle", "/circle"),
    "to-itself": ("redirect circle", "/to-itself"),
    "long-way": ("too many redirects", "/long-way"),
    "leads-away": ("off host", "/leads-away: it leads to 127.0.0.1"),
    "leads-to-file": ("bad redirect", "/leads-to-file: status 302"),
    "leads-nowhere": ("bad redirect", "/leads-nowhere: status 301"),
    "leads-to-user": ("credentials in the address", "/leads-to-user: it leads to 127.0.0.1"),
    "large": ("too large", "/large"),
    "endless": ("too large", "/endless"),
    "bomb": ("too large", "/bomb"),
    "cut": ("no answer", "/cut: the answer of 127.0.0.1 broke off"),
    "silent": ("no answer", "/silent: 127.0.0.1 took too long"),
    "broken-json": ("invalid record", "/broken-json: its JSON-LD cannot be read"),
    "private/product": ("closed by robots.txt", "/private/product"),
    "elsewhere": ("off host", "127.0.0.1/elsewhere: a sitemap names it"),
}
GOT_PAGES = ["good", "slow", "second-try", "third-try", "too-many-requests", "moved-here", "zipped", "latin"]

LOST_PHOTOS = {
    "photo-404": ("photo: not found", "/photo-404.png: status 404"),
    "photo-500": ("photo: server error", "/photo-500.png: status 500"),
    "photo-large": ("photo: too large", "/photo-large.png"),
    "photo-endless": ("photo: too large", "/photo-endless.png"),
    "photo-pixels": ("photo: too many pixels", "/photo-pixels.png"),
    "photo-away": ("photo: off host", "/photo-away.png: it leads to 127.0.0.1"),
    "photo-circle": ("photo: redirect circle", "/photo-circle.png"),
    "photo-cut": ("photo: no answer", "/photo-cut.png: the answer of 127.0.0.1 broke off"),
    "photo-closed": ("photo: closed by robots.txt", "/private/photo.png"),
    "photo-elsewhere": ("photo: off host", "127.0.0.1/elsewhere.png"),
    "photo-metadata": ("photo: off host", "169.254.169.254/latest/meta-data"),
    "photo-number": ("photo: off host", "2130706433/x.png"),
    "photo-file": ("photo: not http or https", "file:/etc/passwd"),
    "photo-data": ("photo: not http or https", "data:image/png;base64,AAAA"),
}
GOT_PHOTOS = {
    "photo-good": PHOTO,
    "photo-relative": PHOTO,
    "photo-second-try": PHOTO,
    "photo-moved": PHOTO,
    "photo-truncated": PHOTO[:30],
    "photo-empty": b"",
    "photo-html": b"<html>no photo</html>",
    "photo-shared-1": png(9, 9),
    "photo-shared-2": png(9, 9),
    "photo-none": None,
}


def add_pages(site: Site, away: str) -> None:
    for name in [*GOT_PAGES, "private/product"]:
        site.product(f"/{name}")
    for status, name in (
        (404, "not-found"),
        (410, "gone"),
        (403, "forbidden"),
        (500, "always-500"),
        (503, "always-503"),
    ):
        site.add(f"/{name}", status=status)
    site.add("/impatient", status=503, headers={"Retry-After": "86400"})
    site.answers["/slow"].seconds = 0.3
    site.answers["/second-try"].first = [Answer(status=500)]
    site.answers["/third-try"].first = [Answer(status=503, headers={"Retry-After": "0"}), Answer(b"cut", cut=1)]
    site.answers["/too-many-requests"].first = [Answer(status=429, headers={"Retry-After": "1"})]
    site.answers["/zipped"].body = gzip.compress(site.answers["/zipped"].body)
    site.answers["/zipped"].headers = {"Content-Encoding": "gzip"}
    page = site.answers["/latin"]
    page.body, page.headers = page.body.replace(b"Latin", b"Caf\xe9"), {"Content-Type": "text/html; charset=latin-1"}
    for path, target in (("/circle", "/circle-2"), ("/circle-2", "/circle"), ("/to-itself", "/to-itself")):
        site.redirect(path, target)
    for number in range(5):
        site.redirect(f"/long-way{number or ''}", f"/long-way{number + 1}")
    site.redirect("/leads-away", f"{away}/secret")
    site.redirect("/leads-to-file", "file:///etc/passwd")
    site.redirect("/leads-to-user", site.address.replace("//", "//user:word@"))
    site.add("/leads-nowhere", status=301)
    site.redirect("/moved", "/moved-here")
    site.add("/large", b" " * 20_001)
    site.add("/endless", b" " * 1000, chunks=1000)
    site.add("/bomb", gzip.compress(bytes(1_000_000)), headers={"Content-Encoding": "gzip"})
    site.add("/cut", b"<html>" * 10, cut=7)
    site.add("/silent", seconds=30)
    site.add("/broken-json", '<script type="application/ld+json">{"@type": "Product", "sku": "broken off</script>')


def add_photos(site: Site, away: str) -> None:
    addresses = {
        "photo-relative": "photo-good.png",
        "photo-shared-1": "/shared.png",
        "photo-shared-2": "/shared.png",
        "photo-none": None,
        "photo-closed": "/private/photo.png",
        "photo-elsewhere": f"{away}/elsewhere.png",
        "photo-metadata": "http://169.254.169.254/latest/meta-data",
        "photo-number": f"http://2130706433:{site.host.rpartition(':')[2]}/x.png",
        "photo-file": "file:///etc/passwd",
        "photo-data": "data:image/png;base64,AAAA",
    }
    for name in [*LOST_PHOTOS, *GOT_PHOTOS]:
        site.product(f"/{name}", photo=addresses.get(name, f"{site.address}/{name}.png"))
        site.add(f"/{name}.png", GOT_PHOTOS.get(name) or b"")
    site.add("/shared.png", png(9, 9))
    site.add("/private/photo.png", PHOTO)
    site.answers["/photo-second-try.png"].first = [Answer(status=502)]
    site.redirect("/photo-moved.png", "/photo-good.png")
    site.redirect("/photo-away.png", f"{away}/secret.png")
    site.redirect("/photo-circle.png", "/photo-circle.png")
    site.add("/photo-404.png", status=404)
    site.add("/photo-500.png", status=500)
    site.add("/photo-large.png", bytes(30_001))
    site.add("/photo-endless.png", bytes(1000), chunks=1000)
    site.add("/photo-pixels.png", png(30_000, 30_000))
    site.add("/photo-cut.png", PHOTO, cut=9)


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """Crawl a site with every fault there is, and return it, another that nobody may go to, and what was found."""
    with Site() as site, Site() as other:
        add_pages(site, other.address)
        add_photos(site, other.address)
        site.add("/robots.txt", "User-agent: *\nDisallow: /private/\n", headers={"Content-Type": "text/plain"})
        site.add(
            "/about",
            f'<a href="{other.address}/">elsewhere</a> <a href="/private/more">more</a> <a href="/good">good</a>',
        )
        names = [
            name
            for name in [*LOST_PAGES, *GOT_PAGES, *LOST_PHOTOS, *GOT_PHOTOS, "about", "moved"]
            if name != "elsewhere"
        ]
        site.sitemap("/sitemap.xml", [f"{site.address}/{name}" for name in names] + [f"{other.address}/elsewhere"])
        spec = make_spec(site, timeout_seconds=2.5)
        yield site, other, Crawled(spec, tmp_path_factory.mktemp("crawl"))


def test_what_cannot_be_had_is_a_reject_that_says_why_and_nothing_else_is(everything):
    rejects = {(None, *lost) for lost in LOST_PAGES.values()} | {(name, *lost) for name, lost in LOST_PHOTOS.items()}
    assert sorted(everything[2].rejects, key=str) == sorted(rejects, key=str)


def test_what_can_be_had_is_got_and_a_photos_bytes_are_as_they_are(everything):
    crawled = everything[2]
    assert {name: item.title for name, item in crawled.products.items()} == {
        name: "Café" if name == "latin" else name.title() for name in [*GOT_PAGES, *LOST_PHOTOS, *GOT_PHOTOS]
    }
    assert {name: photo for name, photo in crawled.photos.items() if name not in GOT_PAGES} == {
        **dict.fromkeys(LOST_PHOTOS),
        **GOT_PHOTOS,
    }


def test_nothing_goes_where_it_must_not(everything):
    site, other, _ = everything
    assert other.asked == []
    assert not [path for path in site.asked if path.startswith("/private/")]
    assert "/x.png" not in site.asked
    assert site.asked[0] == "/robots.txt"
    assert site.agents == {"ProductStudy (a test)"}


def test_no_reject_names_a_port(everything):
    site, other, crawled = everything
    ports = [one.host.rpartition(":")[2] for one in (site, other)]
    assert not [reject for reject in crawled.rejects if any(port in str(reject) for port in ports)]


def test_a_site_without_a_sitemap_is_crawled_along_its_links(site, tmp_path, capsys):
    for page in range(3):
        items = "".join(f'<a href="/p/{page}-{item}?ref=list">x</a>' for item in range(4))
        site.add(
            f"/c/{page}",
            f'{items}<a href="/c/{page + 1}">next</a><a href="/login">in</a><a href="http://a.example/">a</a>',
        )
    site.add("/c/3", '<a href="/c/0">first</a><a href="/p/nothing">x</a>')
    site.add("/p/nothing", "<html>sold out</html>")
    for number in range(12):
        site.product(f"/p/{number // 4}-{number % 4}?ref=list")
    crawled = Crawled(make_spec(site, "/c/0", products="^/p/", follow="^/c/"), tmp_path)
    assert len(crawled.products) == 12
    assert crawled.rejects == [(None, "not a product", "/p/nothing")]
    assert "/login" not in site.asked
    assert "links elsewhere: 3" in capsys.readouterr().out


def test_product_pages_that_lead_to_one_that_is_none_are_all_told(site, tmp_path):
    for name in ("p/1", "p/2"):
        site.redirect(f"/{name}", "/")
    site.add("/", "<html>Welcome</html>")
    site.product("/p/3")
    site.sitemap("/sitemap.xml", [f"{site.address}/{name}" for name in ("p/1", "", "p/2", "p/3")])
    crawled = Crawled(make_spec(site, products="^/p/"), tmp_path)
    assert sorted(crawled.rejects, key=str) == [(None, "not a product", "/p/1"), (None, "not a product", "/p/2")]
    assert list(crawled.products) == ["p/3"]


def test_a_sitemap_may_be_packed_and_name_others_and_each_page_counts_once(site, tmp_path):
    addresses = [site.product(f"/{number}") for number in range(6)]
    site.redirect("/other-way", "/0")
    site.sitemap("/a.xml.gz", [*addresses[:4], f"{site.address}/other-way"])
    site.answers["/a.xml.gz"].body = gzip.compress(site.answers["/a.xml.gz"].body)
    site.answers["/a.xml.gz"].headers = {"Content-Type": "application/gzip"}
    site.sitemap("/b.xml", addresses[2:])
    index = "".join(
        f"<sitemap><loc>{path}</loc></sitemap>" for path in ("/a.xml.gz", "/b.xml", "/c.xml", "/sitemap.xml")
    )
    site.add(
        "/sitemap.xml", f'<sitemapindex xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{index}</sitemapindex>'
    )
    crawled = Crawled(make_spec(site, photos=False), tmp_path)
    assert sorted(crawled.products) == [str(number) for number in range(6)]
    assert crawled.rejects == [(None, "not found", "/c.xml: status 404")]


@pytest.mark.parametrize(
    ("robots", "page", "message"),
    [
        (Answer(b"User-agent: *\nDisallow: /"), Answer(), "cannot be had: closed by robots.txt"),
        (Answer(status=500), Answer(), r"cannot be had: robots.txt cannot be read \(status 500\). While"),
        (Answer(status=404), Answer(status=404), r"cannot be had: not found \(status 404\)"),
        (Answer(status=404), Answer(b"<html>Hello</html>"), "Not one product was found in 1 pages from"),
        (Answer(status=404), Answer(b'<a href="/2">2</a><a href="/3">3</a>'), "There are more than 2 pages"),
    ],
)
def test_a_crawl_that_cannot_be_is_one_clear_error(site, tmp_path, robots, page, message):
    site.answers |= {"/robots.txt": robots, "/": page, "/2": Answer(b"two"), "/3": Answer(b"three")}
    with pytest.raises(StudyError, match=message):
        Crawled(make_spec(site, "/", max_pages=2), tmp_path)


def test_a_site_that_is_not_there_is_one_clear_error(tmp_path):
    with Site() as site:
        specs = [make_spec(site, robots=robots) for robots in (False, True)]
    for number, spec in enumerate(specs):
        with pytest.raises(StudyError, match=r"cannot be had: no answer \(127.0.0.1 refused the connection\). Are the"):
            Crawled(spec, tmp_path / str(number))


@pytest.fixture
def shop(site):
    """Return a site of 60 products with photos, that takes its time."""
    site.seconds = 0.02
    for number in range(60):
        site.product(f"/{number}", photo=f"/{number}.png")
        site.add(f"/{number}.png", png(number + 1, 1))
    site.sitemap("/sitemap.xml", [f"{site.address}/{number}" for number in range(60)])
    return site


def test_a_killed_crawl_goes_on_where_it_was_and_a_finished_one_asks_for_nothing(shop, tmp_path):
    found = crawl(make_spec(shop), tmp_path / "killed")
    for _ in range(40):
        next(found)
    (crawler,) = (child for child in psutil.Process().children() if "lib.crawl" in child.cmdline())
    os.kill(crawler.pid, signal.SIGKILL)
    with pytest.raises(StudyError, match="ended early; run it again to go on"):
        list(found)
    first = len(shop.asked)
    resumed = Crawled(make_spec(shop), tmp_path / "killed")
    second = len(shop.asked) - first
    assert second < 122, "robots.txt, the sitemap, 60 pages and 60 photos"
    photos = {str(number): png(number + 1, 1) for number in range(60)}
    asked = len(shop.asked)
    again = Crawled(make_spec(shop), tmp_path / "killed")
    assert resumed.photos == again.photos == photos
    assert resumed.rejects == again.rejects == []
    assert len(shop.asked) == asked


def test_the_crawler_ends_with_who_started_it(shop, tmp_path):
    found = crawl(make_spec(shop), tmp_path)
    next(found)
    (crawler,) = (child for child in psutil.Process().children() if "lib.crawl" in child.cmdline())
    found.close()
    assert not crawler.is_running()


STARTER = """
import sys
from pathlib import Path
from lib.crawl.process import crawl
from lib.crawl.spec import CrawlSpec

for _ in crawl(CrawlSpec.model_validate_json(sys.argv[1]), Path(sys.argv[2])):
    print("one", flush=True)
    sys.stdin.read()
"""


def test_the_crawler_ends_even_if_who_started_it_is_killed(shop, tmp_path):
    command = [sys.executable, "-c", STARTER, make_spec(shop).model_dump_json(), str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, cwd=Path(__file__).parents[2], **pipes) as starter:
        assert starter.stdout.readline() == b"one\n"
        crawlers = psutil.Process(starter.pid).children()
        starter.kill()
    assert len(crawlers) == 1
    assert psutil.wait_procs(crawlers, timeout=30)[1] == []


def test_a_damaged_cache_is_made_anew(shop, tmp_path):
    (tmp_path / "responses.sqlite").write_bytes(b"no database" * 1000)
    assert len(Crawled(make_spec(shop, photos=False), tmp_path).products) == 60


def test_a_folder_that_cannot_be_written_is_one_clear_error(shop, tmp_path):
    (tmp_path / "responses.sqlite").mkdir()
    with pytest.raises(StudyError, match=r"Cannot write .*responses\.sqlite"):
        Crawled(make_spec(shop), tmp_path)


FULL = """
import resource, runpy, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
runpy.run_module("lib.crawl", run_name="__main__", alter_sys=False)
"""


def test_a_full_disk_is_one_clear_error(shop, tmp_path, monkeypatch):
    """No file may grow beyond a limit, which is what a full disk is to who writes; and all is written at once."""
    start = tmp_path / "start.py"
    start.write_text(FULL)
    popen = subprocess.Popen

    def limited(command, **options):
        return popen([sys.executable, str(start), command[-1]], **options)

    monkeypatch.setattr(subprocess, "Popen", limited)
    with pytest.raises(StudyError, match="Cannot write what was fetched to"):
        Crawled(make_spec(shop), tmp_path)


GUARDED = """
import sys
from pathlib import Path
from scrapy.crawler import AsyncCrawlerProcess
from multiprocessing.connection import Connection
from lib.crawl.polite import make_settings
from lib.crawl.spec import CrawlSpec
from lib.crawl.spider import CatalogueSpider

spec = CrawlSpec.model_validate_json(sys.argv[1])
settings = make_settings(spec, Path(sys.argv[2])) | {"TWISTED_DNS_RESOLVER": "lib.crawl.polite.PublicResolver"}
process = AsyncCrawlerProcess(settings)
process.crawl(CatalogueSpider, spec=spec, out=Connection(1, readable=False))
process.start()
"""


def test_a_host_that_turns_out_to_be_private_is_not_connected_to(site, tmp_path):
    """As for a name of the public web that leads to this machine: the guard stands where connections are made."""
    site.product("/")
    port = site.host.rpartition(":")[2]
    names = [f"{host}:{port}" for host in ("localhost", "2130706433", "[::ffff:127.0.0.1]")]
    start = [f"http://{name}/" for name in names]
    spec = make_spec(site, start="/", robots=False).model_copy(update={"hosts": names, "start": start})
    command = [sys.executable, "-c", GUARDED, spec.model_dump_json(), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, cwd=Path(__file__).parents[2])
    assert done.stdout.count(b"cannot be had: private address") == 3, done.stderr
    assert site.asked == []


@pytest.mark.parametrize("module", [polite, spider])
def test_nothing_private_of_scrapy_is_overridden(module):
    """The one private method that is, extruct's `_extract_item`, stands in `products`; deep pages fail if it goes."""
    ours = [kind for _, kind in inspect.getmembers(module, inspect.isclass) if kind.__module__ == module.__name__]
    private = {(kind, name) for kind in ours for name in vars(kind) if name.startswith("_") and name[-2:] != "__"}
    assert [(kind, name) for kind, name in private for base in kind.__mro__[1:] if name in vars(base)] == []
