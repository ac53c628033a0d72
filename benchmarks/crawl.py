"""Products a second in crawling the embedded shop: ours, against a plain loop, and what a second crawl costs.

The plain one is what one would write first: `requests` with one session, the sitemap's addresses one after the other,
BeautifulSoup and `json` on the page, and then the photo. Both crawl the same shop over loopback, page and photo, in
turns, without throttling, each with a fresh server of its own beside it. The shop has no faults of the web here, so
that both get the same, but data that a strict parser cannot read: the plain loop's share of products is printed. A
second crawl is answered from what the first has kept. The ratio counts; the products a second depend on the machine.

    python benchmarks/crawl.py [--products 2000] [--rounds 3]
"""

import argparse
import json
import re
import resource
import statistics
import tempfile
import time
from pathlib import Path

import requests
from bs4 import BeautifulSoup

from lib.collect.sites import read_site, site_of
from lib.demo_shop.server import running

SEED = 2015


def crawl_ours(address, folder):
    return sum(1 for _ in read_site(site_of(address), folder))


def crawl_plainly(address):
    session, found = requests.Session(), 0
    pages = [address + "sitemap.xml"]
    while pages:
        response = session.get(pages.pop())
        if response.url.endswith(".xml"):
            pages += re.findall("<loc>(.*?)</loc>", response.text)
            continue
        for script in BeautifulSoup(response.content, "lxml").find_all("script", type="application/ld+json"):
            try:
                data = json.loads(script.string)
            except ValueError:
                continue
            nodes = data if isinstance(data, list) else data.get("@graph", [data])
            for node in nodes:
                if node["@type"] == "Product":
                    found += 1
                    image = node.get("image") or []
                    image = image["url"] if isinstance(image, dict) else image
                    for photo in [image] if isinstance(image, str) else image:
                        session.get(requests.compat.urljoin(response.url, photo))
    return found


def timed(function, *arguments):
    """Return seconds, processor seconds of child processes that ended meanwhile, and the result."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    result = function(*arguments)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, result


def compare(products):
    """Crawl with both, and once more; return what each took."""
    with tempfile.TemporaryDirectory() as folder:
        with running(products, SEED, rates={}) as shop:
            ours = timed(crawl_ours, shop.address, Path(folder, "crawl"))
            again = timed(crawl_ours, shop.address, Path(folder, "crawl"))
        with running(products, SEED, rates={}) as shop:
            plain = timed(crawl_plainly, shop.address)
    return ours, again, plain


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--products", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    rounds = [compare(arguments.products) for _ in range(arguments.rounds)]
    for name, runs in zip(("ours", "ours, again", "plain"), zip(*rounds, strict=True), strict=True):
        wall = statistics.median(run[0] for run in runs)
        print(f"{name:12} {runs[0][2]:6,} products in {wall:6.1f} s: {runs[0][2] / wall:6.1f} a second", end="")
        print(
            ""
            if name == "plain"
            else f", {1000 * statistics.median(r[1] for r in runs) / runs[0][2]:.1f} ms of processor each"
        )
    ratio = statistics.median(plain[0] / ours[0] * ours[2] / plain[2] for ours, _, plain in rounds)
    print(f"ratio of products a second, ours to plain: {ratio:.2f}")


if __name__ == "__main__":
    main()
