"""How the shop's server speaks HTTP, by Twisted. Only the server's own process imports this."""

# mypy: allow-untyped-calls

from typing import TYPE_CHECKING, Any

from twisted.internet import reactor as the_reactor
from twisted.web.http import Request as HTTPRequest
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request
from twisted.web.server import Site as HTTPSite

from lib.demo_shop.answers import Answer

if TYPE_CHECKING:
    from lib.demo_shop.site import Site

reactor: Any = the_reactor  # what it is, and can do, is known only when it runs

_CHUNK = b" " * 2**16


class Protocol(HTTPSite):
    """Speaks HTTP for a site, which is to be set before the reactor runs. It keeps no log."""

    site: "Site"

    def __init__(self) -> None:
        super().__init__(_Root(self))

    def log(self, request: HTTPRequest) -> None:
        """Leave a request out of any log."""


class _Root(Resource):
    """Everything there is; it knows GET and HEAD."""

    isLeaf = True

    def __init__(self, protocol: Protocol) -> None:
        super().__init__()
        self._protocol = protocol

    def render_GET(self, request: Request) -> bytes | int:
        answer = self._protocol.site.answer(request.uri.decode("latin-1"))
        request.setResponseCode(answer.status)
        for name, value in {"Content-Type": answer.content_type, **answer.headers}.items():
            request.setHeader(name, value)
        if answer.delay:
            call = reactor.callLater(answer.delay, _send, request, answer)
            request.notifyFinish().addErrback(lambda _: call.active() and call.cancel())
            return NOT_DONE_YET
        if answer.filler:
            _send(request, answer)
            return NOT_DONE_YET
        return answer.body


def _send(request: Request, answer: Answer) -> None:
    if answer.tells_length:
        request.setHeader("Content-Length", str(len(answer.body) + answer.filler))
    request.write(answer.body)
    if answer.filler and request.method != b"HEAD":
        _Filler(request, answer.filler)
    else:
        request.finish()


class _Filler:
    """Sends spaces as fast as they are taken: what Twisted calls a pull producer."""

    def __init__(self, request: Request, size: int) -> None:
        self._request, self._left = request, size
        request.registerProducer(self, False)

    def resumeProducing(self) -> None:
        chunk = _CHUNK[: self._left]
        self._left -= len(chunk)
        self._request.write(chunk)
        if not self._left:
            self._request.unregisterProducer()
            self._request.finish()

    def stopProducing(self) -> None:
        self._left = 0
