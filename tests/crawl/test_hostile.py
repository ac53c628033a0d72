"""Sites and name servers that mean harm: where a redirect leads, what a name turns into, what comes as a photo."""

import gzip
import subprocess
import sys
from pathlib import Path

import pytest
from loopback import Site, png

from lib.config.base import Reject
from lib.crawl.process import crawl
from lib.crawl.spec import CrawlSpec, Hosts

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def site():
    with Site() as site:
        yield site


def make_spec(site: Site, **changes) -> CrawlSpec:
    own = {"start": [f"{site.address}/sitemap.xml"], "hosts": [site.host], "user_agent": "ProductStudy (a test)"}
    own |= {"private": True, "throttle": False, "requests_per_second": None, "retries": 0, "robots": False}
    return CrawlSpec(**own | changes)


# Ways to write a host that is not the one that was named; PORT is that of a server which must not be asked.
OFF_HOST = [
    *("http://169.254.169.254/latest/meta-data", "http://localhost:PORT/", "http://127.0.0.1:PORT/"),
    *("http://2130706433:PORT/", "http://0x7f000001:PORT/", "http://0177.0.0.1:PORT/", "http://127.1:PORT/"),
    *("http://[::1]:PORT/", "http://[::ffff:127.0.0.1]:PORT/", "http://[::ffff:7f00:1]:PORT/", "http://0:PORT/"),
    *("http://127.0.0.1.:PORT/", "//127.0.0.1:PORT/", "http://LOCALHOST.:PORT/", "http://127.0.0.1:0PORT/"),
    *("http://①②⑦.0.0.1:PORT/", "http://localhost。:PORT/", "http://%6c%6fcalhost:PORT/", "http://xn--n3h.example/"),
    *("http:/\\127.0.0.1:PORT/", "http:127.0.0.1:PORT/", "///127.0.0.1:PORT/", "\\\\127.0.0.1:PORT\\"),
    *("http://HOST@127.0.0.1:PORT/", "http://127.0.0.1:PORT#@HOST/", "http://127.0.0.1:PORT?@HOST/"),
    *("ftp://127.0.0.1:PORT/", "gopher://127.0.0.1:PORT/", "file:///etc/passwd", "javascript:alert(1)"),
]


def test_no_redirect_link_photo_or_sitemap_leads_to_where_it_must_not(site, tmp_path):
    with Site() as other:
        port = other.host.rpartition(":")[2]
        addresses = [text.replace("PORT", port).replace("HOST", site.host) for text in OFF_HOST]
        for number, address in enumerate(addresses):
            site.redirect(f"/r{number}", address.encode("utf-8").decode("latin-1"))
            site.product(f"/p{number}", photo=address)
        site.add("/links", "".join(f'<a href="{address}">x</a>' for address in addresses))
        here = [f"{site.address}/{kind}{number}" for kind in "rp" for number in range(len(addresses))]
        site.sitemap("/sitemap.xml", [*here, f"{site.address}/links", *addresses])
        found = list(crawl(make_spec(site), tmp_path))
        assert other.asked == []
    got = [one for one in found if not isinstance(one, Reject)]
    assert len(got) == len(addresses)
    assert not [one for one in got if one.photo]


@pytest.mark.parametrize("name", ["shop.example", "[2001:db8::7]"])
def test_other_spellings_of_a_host_that_is_named_are_that_host_and_nothing_else_is(name):
    hosts = Hosts([name])
    same = {
        "shop.example": "SHOP.EXAMPLE shop.example. shop.example:80 shop.example: ｓｈｏｐ.example shop。example",
        "[2001:db8::7]": "[2001:DB8::7] [2001:db8::7]:80",
    }
    other = (
        "shop.example.evil shop.exampl shopxexample evilshop.example shop.example%00.evil [::7] [::ffff:32.1.13.184]"
    )
    assert {spelling: hosts.refusal(f"http://{spelling}/") for spelling in same[name].split()} == dict.fromkeys(
        same[name].split()
    )
    assert [spelling for spelling in other.split() if not hosts.refusal(f"http://{spelling}/")] == []


REBOUND = """
import sys
from pathlib import Path
from multiprocessing.connection import Connection
from scrapy.crawler import AsyncCrawlerProcess
from scrapy.resolver import HostResolution, dnscache
from twisted.internet.address import IPv4Address
from lib.crawl import polite
from lib.crawl.spec import CrawlSpec
from lib.crawl.spider import CatalogueSpider

later, really = sys.argv[3], polite.is_public
polite.is_public = lambda address: str(address) == "127.0.0.1" or really(address)  # the test's own site

class Names:
    asked = 0

    def resolveHostName(self, receiver, name, port=0, *rest):
        receiver.resolutionBegan(resolution := HostResolution(name))
        receiver.addressResolved(IPv4Address("TCP", later if Names.asked else "127.0.0.1", port))
        Names.asked += 1
        receiver.resolutionComplete()
        return resolution

class Rebinding(polite.PublicResolver):
    def __init__(self, reactor, cache_size):
        super().__init__(reactor, cache_size)
        self.original_resolver = Names()

    def resolveHostName(self, *arguments, **options):
        dnscache.clear()  # as after the time that a name may be remembered
        return super().resolveHostName(*arguments, **options)

if __name__ == "__main__":
    spec = CrawlSpec.model_validate_json(sys.argv[1])
    settings = polite.make_settings(spec, Path(sys.argv[2])) | {"TWISTED_DNS_RESOLVER": Rebinding}
    process = AsyncCrawlerProcess(settings)
    process.crawl(CatalogueSpider, spec=spec, out=Connection(1, readable=False))
    process.start()
"""


@pytest.mark.parametrize("later", ["169.254.169.254", "127.0.0.2", "10.0.0.1", "::1", "::ffff:127.0.0.2"])
def test_a_name_that_means_this_machine_the_second_time_is_not_connected_to(site, tmp_path, later):
    """DNS rebinding: the site answers for the first page, and then its name leads elsewhere."""
    port = site.host.rpartition(":")[2]
    site.product("/1")
    site.add("/", '<a href="/1">x</a>', headers={"Connection": "close"})
    base = f"http://rebound.example:{port}"
    spec = make_spec(site, start=[f"{base}/"], hosts=[f"rebound.example:{port}"])
    command = [sys.executable, "-c", REBOUND, spec.model_dump_json(), str(tmp_path), later]
    done = subprocess.run(command, capture_output=True, cwd=PROJECT, timeout=120)
    assert b"private address" in done.stdout, done.stderr
    assert site.asked == ["/"]


NO_PHOTOS = {
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><script>alert(1)</script></svg>',
    "html": b"<html><script>alert(1)</script></html>",
    "polyglot": b"GIF89a/*" + b"<script>alert(1)</script>*/",
    "svgz": gzip.compress(b"<svg/>"),
    "bomb": png(60_000, 60_000),
    "lying": b"\xff\xd8\xff\xe0" + b"\0" * 50,
}


def test_what_comes_as_a_photo_is_bytes_that_nobody_runs_and_a_gigapixel_is_none(site, tmp_path):
    for name, content in NO_PHOTOS.items():
        site.product(f"/{name}", photo=f"/{name}.jpg")
        site.add(f"/{name}.jpg", content, headers={"Content-Type": "image/svg+xml"})
    site.sitemap("/sitemap.xml", [f"{site.address}/{name}" for name in NO_PHOTOS])
    found = list(crawl(make_spec(site), tmp_path))
    photos = {one.product.product_id: one.photo for one in found if not isinstance(one, Reject)}
    assert photos == NO_PHOTOS | {"bomb": None}
    assert [one.reason for one in found if isinstance(one, Reject)] == ["photo: too many pixels"]
