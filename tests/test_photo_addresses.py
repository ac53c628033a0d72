"""Photos behind addresses: fetched from the named hosts and nowhere else, and what is lost is said."""

from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from test_table import ROWS, Mine

from lib.collect import Summary


class Server:
    """A web server on loopback that counts what it is asked for."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.answers: dict[str, tuple[int, bytes, str | None]] = {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked[self.path] += 1
                status, body, location = outer.answers.get(self.path, (404, b"", None))
                if outer.asked[self.path] == 1 and "faulty" in self.path:
                    status, body = 503, b""
                self.send_response(status)
                if location:
                    self.send_header("Location", location)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self.http.serve_forever, daemon=True).start()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.http.server_port}"

    def address(self, path: str) -> str:
        return f"http://{self.host}{path}"


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    server.answers = {f"/p{number}.jpg": (200, f"photo {number}".encode(), None) for number in range(30)}
    yield server
    server.http.shutdown()
    server.http.server_close()


@pytest.fixture
def mine(study, server) -> Mine:
    mine = Mine(study)
    fast = {"requests_per_second": None, "throttle": False, "retry_seconds": 0.01}
    mine.section["images"] = {"addresses": {"hosts": [server.host], "user_agent": "test", "private": True, **fast}}
    return mine


def rows(server: Server, **instead: str | None) -> list[dict]:
    """Return rows with addresses of photos; `A03=...` is another address for that product."""
    return [row | {"photo": instead.get(row["sku"], server.address(f"/{row['photo']}"))} for row in ROWS]


def test_photos_are_fetched_once_and_are_the_same_bytes_as_from_a_folder(mine, server):
    for number in range(30):
        (mine.folder / f"photos/p{number}.jpg").write_bytes(f"photo {number}".encode())
    addresses, mine.section["images"] = mine.section["images"], {"folder": "photos"}
    mine.collect(ROWS)
    expected = mine.files()

    mine.section["images"] = addresses
    assert mine.collect(rows(server)) == Summary(products=30, photos=30, rejects={})
    assert mine.files() == expected
    del mine.section["columns"]["image"]
    mine.section["image_name"] = server.address("/p1.jpg?id={id}")
    server.answers |= {f"/p1.jpg?id=A{number:02d}": (200, b"one", None) for number in range(30)}
    assert mine.collect(rows(server)).photos == 30
    asked = sum(server.asked.values())
    mine.collect()
    assert sum(server.asked.values()) <= asked + 1  # robots.txt


def test_a_photo_that_is_lost_is_said_and_costs_nothing_but_itself(mine, server):
    with_limit = mine.section["images"]["addresses"]
    with_limit["max_photo_bytes"] = 1000
    server.answers |= {
        "/moved.jpg": (302, b"", server.address("/p1.jpg")),
        "/away.jpg": (302, b"", "http://169.254.169.254/secret"),
        "/circle.jpg": (302, b"", server.address("/circle.jpg")),
        "/huge.jpg": (200, b"x" * 5000, None),
        "/faulty.jpg": (200, b"after all", None),
        "/closed.jpg": (403, b"", None),
    }
    lost = {
        "A00": ("/away.jpg", "off host"),
        "A01": ("/circle.jpg", "redirect circle"),
        "A02": ("/huge.jpg", "too large"),
        "A03": ("/closed.jpg", "refused by the server"),
        "A04": ("/none.jpg", "not found"),
    }
    elsewhere = {
        "A05": ("http://other.example/p.jpg", "off host"),
        "A06": ("file:///etc/passwd", "not http or https"),
        "A07": ("p7.jpg", "not http or https"),
        "A08": (f"http://user@{server.host}/p8.jpg", "credentials in the address"),
    }
    instead = {"A09": None, "A10": server.address("/faulty.jpg"), "A11": server.address("/moved.jpg")}
    instead |= {key: server.address(path) for key, (path, _) in lost.items()}
    instead |= {key: address for key, (address, _) in elsewhere.items()}
    instead |= {"A12": server.address("/none.jpg"), "A13": server.address("/p1.jpg")}  # one address for two products
    summary = mine.collect(rows(server, **instead))
    assert (summary.products, summary.photos) == (30, 30 - 11)
    rejects = mine.rejects().set_index("product_id")["reason"].to_dict()
    expected = {key: f"photo: {reason}" for key, (_, reason) in (lost | elsewhere).items()}
    assert rejects == expected | {"A12": "photo: not found"}
    assert server.asked["/faulty.jpg"] == 2
    assert server.asked["/p1.jpg"] >= 1


def test_any_text_for_an_address_is_a_photo_that_is_lost_and_no_more(mine, server):
    odd = [
        "/a b.jpg",
        "/ü.jpg",
        "/\n.jpg",
        "/\x01.jpg",
        "/%zz",
        "?",
        "#",
        "",
        "/../../p1",
        "/" + "x" * 5000,
        "/\u202e",
        "//p",
    ]
    texts = [server.address(text) for text in odd]
    texts += ["http://[::1", f"http://{server.host}:99999/", "http://", "javascript:alert(1)", "//p.jpg", "\U0001f600"]
    instead = {f"A{number:02d}": text for number, text in enumerate(texts)}
    summary = mine.collect(rows(server, **instead))
    assert (summary.products, summary.photos) == (30, 30 - len(texts))
    assert set(mine.rejects()["product_id"]) == set(instead)


def test_no_photo_at_all_fails_the_stage(mine, server):
    server.answers = {}
    assert mine.message(rows(server)).startswith("Not one photo could be fetched. The first: photo: not found: /p")
    mine.section["images"]["addresses"]["hosts"] = ["127.0.0.1:1"]
    assert mine.message(rows(server)).startswith("Not one photo could be fetched. The first: photo: off host: http://")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"private": False}, "is on this machine or in a private network; say 'private: true'"),
        ({"hosts": []}, "table.images.addresses.hosts: List should have at least 1 item"),
        ({"hosts": ["http://shop.example/"]}, "expected a host such as 'www.example.com' or 'localhost:8000'"),
        ({"retrys": 3}, "Did you mean 'retries'?"),
        ({"start": []}, "table.images.addresses.start: unknown key 'start'"),
    ],
)
def test_a_wrong_key_or_value(mine, server, keys, message):
    mine.section["images"]["addresses"] |= keys
    assert message in mine.message(rows(server))
    assert not server.asked
