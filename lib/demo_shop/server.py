"""The shop's server: serves a site on loopback, from a process of its own that ends with the one that started it."""

import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import get_context
from multiprocessing.connection import Connection
from threading import Lock, Thread
from typing import Any

from lib.demo_shop.site import ELSEWHERE, RATES, Site
from lib.exceptions import StudyError

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Shop:
    """A shop that is open.

    Attributes
    ----------
    address
        Of its home page, such as `http://127.0.0.1:8000/`.
    """

    address: str
    _server: Connection

    def counts(self) -> dict[str, int]:
        """Return how many requests there were so far: `product`, `photo`, `category`, `sitemap`, `robots`, `private`...

        `private` is what robots.txt asks crawlers to leave alone, `unknown` what does not exist.
        """
        self._server.send("counts")
        counts: dict[str, int] = self._server.recv()
        return counts


@contextmanager
def running(
    products: int,
    seed: int,
    port: int = 0,
    rates: Mapping[str, float] = RATES,
    elsewhere: str = ELSEWHERE,
    dialect: str | None = None,
) -> Iterator[Shop]:
    """Serve a shop on 127.0.0.1 while the context is open.

    Parameters
    ----------
    products, seed
        Those of `lib.demo_shop.generate`.
    port
        0 lets the system choose.
    rates
        How often each fault of the web occurs; `{}` for none.
    elsewhere
        The address of another host, that pages, photos and redirects lead to.
    dialect
        That of `lib.demo_shop.generate`.

    Raises
    ------
    StudyError
        If the port is taken.
    """
    context = get_context("spawn")
    here, there = context.Pipe()
    options = {"rates": dict(rates), "elsewhere": elsewhere, "dialect": dialect}
    process = context.Process(target=_serve, args=(there, products, seed, port, options), daemon=True)
    process.start()
    there.close()
    try:
        answer = here.recv()
        if isinstance(answer, str):
            raise StudyError(answer)
        yield Shop(f"http://{HOST}:{answer}/", here)
    finally:
        here.close()
        process.join()


def _serve(parent: Connection, products: int, seed: int, port: int, options: dict[str, Any]) -> None:
    """Open the port, tell the parent which, and serve until the parent closes the connection or is no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, and its end is this process's
    try:
        server = _Server((HOST, port), _Handler)
    except OSError as problem:
        parent.send(f"The shop cannot use port {port} of {HOST}: {problem}. Choose another, or 0 for any.")
        return
    server.site = site = Site(products, seed, f"http://{HOST}:{server.server_port}", **options)
    Thread(target=server.serve_forever, daemon=True).start()
    parent.send(server.server_port)
    with suppress(EOFError, OSError):
        while True:
            parent.recv()
            parent.send(dict(site.counts))


class _Server(ThreadingHTTPServer):
    """Has a thread for each connection; the site answers one at a time."""

    request_queue_size = 512
    site: Site

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.lock = Lock()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a crawler that hangs up."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """Speaks HTTP, and keeps no log."""

    protocol_version, disable_nagle_algorithm = "HTTP/1.1", True
    server: _Server

    def do_GET(self) -> None:
        with self.server.lock:
            answer = self.server.site.answer(self.path)
        time.sleep(answer.delay)
        self.send_response(answer.status)
        end = {"Content-Length": str(len(answer.body))} if answer.tells_length else {"Connection": "close"}
        for name, value in {"Content-Type": answer.content_type, **answer.headers, **end}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    do_HEAD = do_GET

    def do_POST(self) -> None:
        self.send_error(405)

    def log_message(self, *_: Any) -> None:
        pass
