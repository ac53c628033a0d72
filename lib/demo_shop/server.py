"""The shop's server: serves a site on loopback, from a process of its own that ends with the one that started it."""

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from threading import Thread
from typing import Any

from lib.demo_shop.answers import RATES
from lib.demo_shop.site import ELSEWHERE, Site
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
    """Open the port, tell the parent which, and serve until the parent is no more."""
    from twisted.internet import error

    from lib.demo_shop.protocol import Protocol, reactor

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, and its end is this process's
    try:
        listening = reactor.listenTCP(port, protocol := Protocol(), 512, HOST)
    except error.CannotListenError as problem:
        parent.send(f"The shop cannot use port {port} of {HOST}: {problem.socketError}. Choose another, or 0 for any.")
        return
    chosen = listening.getHost().port
    protocol.site = site = Site(products, seed, f"http://{HOST}:{chosen}", **options)
    Thread(target=_listen_to_parent, args=(parent, site), daemon=True).start()
    parent.send(chosen)
    reactor.run(installSignalHandlers=False)


def _listen_to_parent(parent: Connection, site: Site) -> None:
    """Send counts when the parent asks for them; end the process when the parent closes the connection, or dies."""
    try:
        while True:
            parent.recv()
            parent.send(dict(site.counts))
    except (EOFError, OSError):
        os._exit(0)
