"""The embedded shop, crawled: what is got is what the shop has, and what is not is what the truth says."""

import os
import signal
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import psutil
import pytest
from loopback import Site

from lib.collect.sites import ShopSource, read_shop, read_site, site_of
from lib.config.base import PHOTO, Record, Reject
from lib.demo_shop import generate
from lib.demo_shop.server import running
from lib.demo_shop.site import AT_MOST, LOST_PAGES, LOST_PHOTOS, RATES, web_truth
from lib.exceptions import StudyError

PRODUCTS, SEED = 250, 7
OFTEN = dict.fromkeys(RATES, 0.04)

REASONS = {
    "page_404": {"not found"},
    "page_500": {"server error"},
    "page_circle": {"redirect circle"},
    "page_too_large": {"too large"},
    "photo_404": {PHOTO + "not found"},
    "photo_500": {PHOTO + "server error"},
    "photo_redirected": {PHOTO + "off host"},
    "photo_too_large": {PHOTO + "too large"},
    "photo_too_many_pixels": {PHOTO + "too many pixels"},
    "photo_elsewhere": {PHOTO + "off host"},
    "photo_private": {PHOTO + "off host", PHOTO + "not http or https"},
}


@pytest.fixture(scope="module")
def crawled(tmp_path_factory):
    """Crawl a small shop in which every fault occurs, with another server as the host that is elsewhere."""
    with Site() as other, running(PRODUCTS, SEED, rates=OFTEN, elsewhere=f"{other.address}/") as shop:
        found = list(read_site(site_of(shop.address), tmp_path_factory.mktemp("crawl")))
        return found, shop.counts(), other.asked


def shown(record: Record) -> Record:
    """Return a record as breadcrumbs can show it: without a gap between its levels."""
    levels = [level for level in (record.level_1, record.level_2, record.level_3) if level is not None]
    first, second, third = (*levels, None, None, None)[:3]
    return replace(record, level_1=first, level_2=second, level_3=third)


def reachable(products: int, rates: Mapping[str, float]) -> Counter[Record]:
    """Return the records that a crawler can get."""
    records = Counter()
    for record, truth in zip(generate(products, SEED), web_truth(products, SEED, rates), strict=True):
        if truth.page_fault not in LOST_PAGES:
            records[replace(shown(record), photo=None) if truth.photo_fault in LOST_PHOTOS else shown(record)] += 1
    return records


def test_every_fault_occurs():
    faults = {fault for truth in web_truth(PRODUCTS, SEED, OFTEN) for fault in (truth.page_fault, truth.photo_fault)}
    assert set(RATES) - set(AT_MOST) <= faults


def test_what_is_got_is_what_the_shop_has_in_every_byte(crawled):
    assert Counter(found for found in crawled[0] if isinstance(found, Record)) == reachable(PRODUCTS, OFTEN)


def test_what_is_lost_is_told_with_the_reason_that_the_truth_knows(crawled):
    rejects = [found for found in crawled[0] if isinstance(found, Reject)]
    lost = 0
    for truth in web_truth(PRODUCTS, SEED, OFTEN):
        if truth.page_fault in LOST_PAGES:
            lost += 1
            (reject,) = (one for one in rejects if one.detail.partition(":")[0] == truth.path)
            assert (reject.product_id, reject.reason) == (None, *REASONS[truth.page_fault])
        elif truth.photo_fault in LOST_PHOTOS:
            lost += 1
            reasons = {one.reason for one in rejects if one.product_id == truth.product_id}
            assert reasons & REASONS[truth.photo_fault]
    assert len(rejects) == lost


def test_the_crawler_goes_nowhere_else(crawled):
    _, counts, elsewhere = crawled
    assert counts.get("private", 0) == counts.get("unknown", 0) == 0
    assert elsewhere == []


def test_a_killed_crawl_of_the_shop_goes_on_at_the_same_port_and_leaves_nothing_behind(study):
    source, kept = ShopSource(products=200, seed=SEED), study / "build/demo/work/crawl"
    found = read_shop("demo", source)
    for _ in range(100):
        next(found)
    (crawler,) = (child for child in psutil.Process().children() if "lib.crawl" in child.cmdline())
    os.kill(crawler.pid, signal.SIGKILL)
    with pytest.raises(StudyError, match="run it again to go on"):
        list(found)
    (folder,) = kept.iterdir()
    found = read_shop("demo", source)
    first = next(found)
    assert [folder] == list(kept.iterdir())
    assert Counter(one for one in [first, *found] if isinstance(one, Record)) == reachable(200, RATES)
    assert not kept.exists()
