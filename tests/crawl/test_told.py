"""What a crawl says of what it did not get: of which host, why, how often; and how it waits."""

import pytest
from loopback import Site

from lib.config.base import Reject
from lib.crawl.process import crawl
from lib.crawl.spec import CrawlSpec
from lib.exceptions import StudyError

TEXT = {"Content-Type": "text/plain"}


@pytest.fixture
def site():
    with Site() as site:
        yield site


def make_spec(site: Site, path: str = "/sitemap.xml", **changes) -> CrawlSpec:
    own = {"start": [site.address + path], "hosts": [site.host], "user_agent": "ProductStudy (a test)"}
    own |= {"private": True, "throttle": False, "requests_per_second": None, "retries": 1, "retry_seconds": 0.01}
    return CrawlSpec(**own | changes)


def message(spec: CrawlSpec, folder) -> list[str]:
    """Crawl what gives nothing, and return the lines of what the user reads."""
    with pytest.raises(StudyError) as error:
        list(crawl(spec, folder))
    return str(error.value).splitlines()


def test_a_crawl_of_which_nothing_came_says_why_with_hosts_counts_and_keys(site, tmp_path):
    site.redirect("/p/away", "http://login.shop.example:8443/in")
    site.redirect("/p/away2", "http://login.shop.example:8443/in")
    site.add("/p/none", "<html>sold out</html>")
    site.add("/p/gone", status=410)
    links = ["http://cdn.shop.example/a", "http://cdn.shop.example/b", "http://other.example/", "/closed/x", "/later"]
    site.add("/list", "".join(f'<a href="{link}">x</a>' for link in links))
    site.add("/robots.txt", "User-agent: *\nDisallow: /closed/\n", headers=TEXT)
    on_other = [f"https://www.shop.example/p/{number}" for number in range(40)]
    here = [f"{site.address}/{name}" for name in ("p/away", "p/away2", "p/none", "p/gone", "closed/p", "list")]
    site.sitemap("/sitemap.xml", [*on_other, *here])
    first, *lines = message(make_spec(site, products="^/p/", follow="^/(closed|list)"), tmp_path)
    assert first.startswith(f"Not one product was found in 2 pages from {site.address}/sitemap.xml. A product's page")
    assert [line.strip() for line in lines] == [
        "1 links that `follow` leaves out",
        "1 pages that `products` leaves out",
        "40 pages that sitemaps name on www.shop.example: off host (`hosts`)",
        "2 links to cdn.shop.example: off host (`hosts`)",
        "2 pages on 127.0.0.1: closed by robots.txt (`robots`)",
        "2 pages that lead to login.shop.example:8443: off host (`hosts`)",
        "1 links to other.example: off host (`hosts`)",
        "1 pages on 127.0.0.1: not found",
    ]


def test_what_was_passed_over_is_said_after_a_crawl_that_went_well_too(site, tmp_path, capsys):
    site.product("/p/1", photo="http://cdn.example/1.jpg")
    site.product("/p/2", photo="/large.png")
    site.add("/large.png", b"x" * 2000)
    site.sitemap("/sitemap.xml", [f"{site.address}/p/1", f"{site.address}/p/2", "http://www.shop.example/p/3"])
    found = list(crawl(make_spec(site, max_photo_bytes=1000), tmp_path))
    assert [one.detail for one in found if isinstance(one, Reject) and one.product_id is None] == [
        "www.shop.example/p/3: a sitemap names it"
    ]
    assert capsys.readouterr().out.splitlines()[1:] == [
        "Passed over, and the key that decides it:",
        "  1 pages that sitemaps name on www.shop.example: off host (`hosts`)",
        "  1 photos on 127.0.0.1: too large (`max_photo_bytes`)",
        "  1 photos on cdn.example: off host (`hosts`)",
    ]


def test_a_start_that_leads_elsewhere_names_the_host_and_the_key(site, tmp_path):
    site.redirect("/", "https://www.shop.example/de/")
    assert message(make_spec(site, "/"), tmp_path) == [
        f"The start address {site.address}/ cannot be had: off host (it leads to www.shop.example). "
        f"`hosts` lists {site.host}: add that one, if you may crawl it, or begin at one of these."
    ]


def test_a_start_whose_name_nobody_knows(tmp_path):
    spec = CrawlSpec(start=["http://shop.invalid/"], hosts=["shop.invalid"], user_agent="a@b.example", retries=0)
    (line,) = message(spec, tmp_path)
    assert line.startswith("The start address http://shop.invalid/ cannot be had: no answer (no name server knows shop")
    assert "`start` and in `hosts`, spelt right" in line


def test_a_start_that_robots_txt_closes_or_that_is_too_large(site, tmp_path):
    site.add("/", b" " * 5000)
    (line,) = message(make_spec(site, "/", max_page_bytes=4000), tmp_path / "large")
    assert line.endswith("cannot be had: too large. A page may have `max_page_bytes`, and a sitemap 50 MiB.")
    site.add("/robots.txt", "User-agent: *\nDisallow: /\n", headers=TEXT)
    (line,) = message(make_spec(site, "/"), tmp_path / "closed")
    assert line.endswith("closed by robots.txt. Ask its owner; `robots: false` is for a site of your own.")


# Crawl-delay: no more than so many requests in a time, which holds on a slow machine, too


def ask_for(site: Site, delay: str, pages: int = 8) -> None:
    site.add("/robots.txt", f"User-agent: *\nCrawl-delay: 99\n\nUser-agent: ProductStudy\n{delay}\n", headers=TEXT)
    for number in range(pages):
        site.product(f"/{number}")
    site.sitemap("/sitemap.xml", [f"{site.address}/{number}" for number in range(pages)])


@pytest.mark.parametrize(
    ("delay", "own", "seconds"),
    [
        ("Crawl-delay: 0.3", {}, 0.3),
        ("crawl-delay:.3 # seconds", {"throttle": True}, 0.3),
        ("Crawl-delay: 0.01", {"requests_per_second": 4}, 0.25),
        ("Crawl-delay: 0.25", {"requests_per_second": 100}, 0.25),
    ],
)
def test_of_crawl_delay_and_the_own_rate_the_slower_one_counts(site, tmp_path, delay, own, seconds):
    ask_for(site, delay)
    spec = make_spec(site, **own)
    assert len([*crawl(spec, tmp_path)]) == 8
    assert site.asked[:2] == ["/robots.txt", "/sitemap.xml"]
    assert site.times[-1] - site.times[0] > seconds * (len(site.times) - 3)
    asked = len(site.asked)
    assert len([*crawl(spec, tmp_path)]) == 8
    assert len(site.asked) == asked, "what was fetched is not asked for again, and does not wait"


def test_a_crawl_delay_is_of_its_host_alone_and_is_told(site, tmp_path, capsys):
    with Site() as other:
        ask_for(site, "Crawl-delay: 0.3")
        elsewhere = f"localhost:{other.host.rpartition(':')[2]}"
        for number in range(8):
            other.product(f"/{number}")
        other.sitemap("/sitemap.xml", [f"http://{elsewhere}/{number}" for number in range(8)])
        start = [f"{site.address}/sitemap.xml", f"http://{elsewhere}/sitemap.xml"]
        found = list(crawl(make_spec(site, start=start, hosts=[site.host, elsewhere]), tmp_path))
        assert len(found) == 16
        assert other.times[-1] < site.times[-1]
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "robots.txt of 127.0.0.1 asks for 0.3 seconds between two requests."


@pytest.mark.parametrize(
    ("robots", "asked"), [("Crawl-delay: 3600", 1), ("Crawl-delay: nan", 10), ("Crawl-delay: x", 10)]
)
def test_a_crawl_delay_that_is_too_long_is_said_and_one_that_is_none_is_no_delay(site, tmp_path, robots, asked):
    ask_for(site, robots)
    if asked > 1:
        assert len([*crawl(make_spec(site), tmp_path)]) == 8
    else:
        (line,) = message(make_spec(site), tmp_path)
        assert "robots.txt asks for too long a Crawl-delay (3600 seconds, and `max_crawl_delay` is 60). Raise" in line
    assert len(site.asked) == asked


def test_without_robots_there_is_no_crawl_delay(site, tmp_path):
    ask_for(site, "Crawl-delay: 3600")
    assert len([*crawl(make_spec(site, robots=False), tmp_path)]) == 8
