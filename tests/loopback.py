"""A web site on loopback, made of a table of answers, that remembers what it was asked for."""

import json
import struct
import time
import zlib
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

Headers = dict[str, str]


@dataclass
class Answer:
    """What an address answers: in turn `first`, and then always the same."""

    body: bytes = b""
    status: int = 200
    headers: Headers = field(default_factory=dict)
    seconds: float = 0.0
    cut: int = 0  # how much less comes than was promised
    chunks: int = 0  # so many times the body, without a promise
    first: list["Answer"] = field(default_factory=list)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        site: Site = self.server.site
        site.asked.append(self.path)
        site.times.append(time.monotonic())
        site.agents.add(self.headers.get("User-Agent"))
        answer = site.answers.get(self.path, Answer(status=404))
        answer = answer.first.pop(0) if answer.first else answer
        time.sleep(answer.seconds or site.seconds)
        try:
            self.send(answer)
        except OSError:  # who asked has left
            self.close_connection = True

    def send(self, answer):
        self.send_response(answer.status)
        for name, value in ({"Content-Type": "text/html; charset=utf-8"} | answer.headers).items():
            self.send_header(name, value)
        if not answer.chunks:
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body[: len(answer.body) - answer.cut])
            self.close_connection = bool(answer.cut)
            return
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for _ in range(answer.chunks):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(answer.body), answer.body))
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *args):
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """Say nothing: crawlers hang up."""


class Site:
    """A site that is open while its context is."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[str] = []
        self.times: list[float] = []
        self.agents: set[str] = set()
        self.seconds = seconds
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.site = self
        self.host = f"127.0.0.1:{self._server.server_port}"
        self.address = f"http://{self.host}"

    def __enter__(self) -> "Site":
        Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def add(self, path: str, body: str | bytes = b"", **options) -> None:
        """Answer `body` at `path`."""
        self.answers[path] = Answer(body.encode() if isinstance(body, str) else body, **options)

    def redirect(self, path: str, target: str) -> None:
        """Lead from `path` to `target`."""
        self.add(path, status=302, headers={"Location": target})

    def product(self, path: str, photo: str | None = None, **fields) -> str:
        """Put a product's page at `path`, and return its address."""
        name = path.strip("/")
        data = {"@type": "Product", "sku": name, "name": name.title(), "image": photo, "category": "A > B > C"} | fields
        self.add(path, product_page(data))
        return self.address + path

    def sitemap(self, path: str, addresses: list[str]) -> None:
        """Put a sitemap at `path`."""
        urls = "".join(f"<url><loc>{address.replace('&', '&amp;')}</loc></url>" for address in addresses)
        self.add(
            path, f'<?xml version="1.0"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{urls}</urlset>'
        )


def product_page(data: dict) -> str:
    """Write a page with JSON-LD."""
    return f'<html><script type="application/ld+json">{json.dumps(data)}</script></html>'


def png(width: int, height: int) -> bytes:
    """Return a small PNG whose header states these sizes, whatever follows."""
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(bytes(4))),
        (b"IEND", b""),
    ]
    chunks = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)
