"""Photos behind addresses: fetched from the named hosts and nowhere else, and what is lost is said."""

from collections import Counter

import pytest
from loopback import Answer, Site
from made_table import ROWS, Mine

from lib.collect import Summary


@pytest.fixture
def site():
    with Site() as site:
        for number in range(30):
            site.add(f"/p{number}.jpg", f"photo {number}")
        yield site


@pytest.fixture
def mine(study, site) -> Mine:
    mine = Mine(study)
    fast = {"requests_per_second": None, "throttle": False, "retry_seconds": 0.01, "max_photo_bytes": 1000}
    mine.section["images"] = {"addresses": {"hosts": [site.host], "user_agent": "test", "private": True, **fast}}
    return mine


def rows(site: Site, instead: dict[str, str | None] | None = None) -> list[dict]:
    """Return rows with addresses of photos; `instead` has other addresses by product."""
    return [row | {"photo": (instead or {}).get(row["sku"], f"{site.address}/{row['photo']}")} for row in ROWS]


def test_photos_are_fetched_once_and_are_the_same_bytes_as_from_a_folder(mine, site):
    for number in range(30):
        (mine.folder / f"photos/p{number}.jpg").write_bytes(f"photo {number}".encode())
    addresses, mine.section["images"] = mine.section["images"], {"folder": "photos"}
    mine.collect(ROWS)
    expected = mine.files()
    mine.section["images"] = addresses
    assert mine.collect(rows(site)) == Summary(products=30, photos=30, rejects={})
    assert mine.files() == expected
    asked = len(site.asked)
    del mine.section["columns"]["image"]
    mine.section["image_name"] = site.address + "/p{id}.jpg"
    mine.collect([row | {"sku": str(number)} for number, row in enumerate(ROWS)])
    assert len(site.asked) <= asked + 1  # robots.txt


LOST = {
    "/away.jpg": "off host",
    "/circle.jpg": "redirect circle",
    "/huge.jpg": "too large",
    "/closed.jpg": "refused by the server",
    "/none.jpg": "not found",
    "http://other.example/p.jpg": "off host",
    "file:///etc/passwd": "not http or https",
    "p7.jpg": "not http or https",
    "http://user@HOST/p8.jpg": "credentials in the address",
}
ODD = ["/a b.jpg", "/ü.jpg", "/\n.jpg", "/\x01.jpg", "/%zz", "?", "#", "", "/" + "x" * 5000, "/\u202e", "//p"]
ODD += ["http://[::1", "http://HOST:99999/", "http://", "javascript:alert(1)", "\U0001f600"]


def test_a_photo_that_is_lost_is_said_and_costs_nothing_but_itself(mine, site):
    site.redirect("/moved.jpg", "/p1.jpg")
    site.redirect("/away.jpg", "http://169.254.169.254/secret")
    site.redirect("/circle.jpg", "/circle.jpg")
    site.add("/huge.jpg", b"x" * 5000)
    site.add("/faulty.jpg", b"after all", first=[Answer(status=503)])
    site.add("/closed.jpg", status=403)
    found = ["/faulty.jpg", "/moved.jpg", "/p1.jpg", "/p1.jpg"]  # one address for two products
    texts = [*found, *LOST, "/none.jpg", *ODD]
    full = [site.address + text if text[:1] in "/?#" else text.replace("HOST", site.host) for text in texts]
    instead = {f"A{number:02d}": text for number, text in enumerate(full)} | {"A29": None}
    assert len(instead) == len(texts) + (len(texts) < 30)
    summary = mine.collect(rows(site, instead))
    assert (summary.products, summary.photos) == (30, len(found))
    reasons = mine.rejects().set_index("product_id")["reason"]
    lost = [f"A{number:02d}" for number in range(len(found), len(found) + len(LOST) + 1)]
    assert reasons[lost].tolist() == [f"photo: {reason}" for reason in [*LOST.values(), "not found"]]
    assert set(reasons.index) == set(list(instead)[len(found) :]) - {"A29"}
    asked = Counter(site.asked)
    assert (asked["/faulty.jpg"], asked["/none.jpg"]) == (2, 1)


def test_no_photo_at_all_fails_the_stage(mine, site):
    site.answers = {}
    assert mine.message(rows(site)).startswith("Not one photo could be fetched. The first: photo: not found: /p")
    mine.section["images"]["addresses"]["hosts"] = ["127.0.0.1:1"]
    assert mine.message(rows(site)).startswith("Not one photo could be fetched. The first: photo: off host: http://")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"private": False}, "is on this machine or in a private network; say 'private: true'"),
        ({"hosts": []}, "table.images.addresses.hosts: List should have at least 1 item"),
        ({"hosts": ["http://shop.example/"]}, "expected a host such as 'www.example.com' or 'localhost:8000'"),
        ({"retrys": 3}, "Did you mean 'retries'?"),
        ({"start": []}, "table.images.addresses: unknown key 'start'"),
    ],
)
def test_a_wrong_key_or_value(mine, site, keys, message):
    mine.section["images"]["addresses"] |= keys
    assert message in mine.message(rows(site))
    assert not site.asked
