"""What the shop's server answers, faults included."""

import struct
import zlib
from dataclasses import dataclass, field, replace

from lib.shop.web_faults import CLAIMED_SIDE, SLOW_SECONDS, TOO_LARGE_BYTES

HTML, XML, TEXT = "text/html; charset=utf-8", "application/xml", "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Answer:
    """A response before it is sent.

    Attributes
    ----------
    delay
        Seconds before it is sent.
    filler
        How many spaces follow the body.
    tells_length
        Whether a Content-Length is sent; without, the end comes when it comes.
    """

    body: bytes
    content_type: str = HTML
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0
    filler: int = 0
    tells_length: bool = True


def refusal(status: int, text: str, headers: dict[str, str] | None = None) -> Answer:
    """Return an error page."""
    page = f'<!DOCTYPE html><html lang="en"><head><title>{status}</title></head><body><h1>{text}</h1></body></html>\n'
    return Answer(page.encode(), status=status, headers=headers or {})


def redirection(status: int, address: str) -> Answer:
    """Return what leads to another address."""
    return refusal(status, "It is elsewhere", {"Location": address})


def not_found() -> Answer:
    """Return the answer for what does not exist."""
    return refusal(404, "There is no such page")


def broken(number: int) -> Answer:
    """Return one of the errors of a server that has trouble; a 503 says when to come back."""
    return refusal(503, "We are busy", {"Retry-After": "1"}) if number % 3 == 0 else refusal(500, "Something broke")


def failures(fault: str | None, number: int) -> int:
    """Return how often a transient fault fails."""
    return 1 + number % 2 if fault in ("page_transient", "photo_transient") else 0


def with_fault(answer: Answer, fault: str | None) -> Answer:
    """Return what a fault makes of the right answer for a page or a photo, if it makes anything of it."""
    if fault in ("page_404", "photo_404"):
        return not_found()
    if fault in ("page_500", "photo_500"):
        return refusal(500, "Something broke")
    if fault == "page_slow":
        return replace(answer, delay=SLOW_SECONDS)
    if fault == "page_too_large":
        return replace(answer, filler=TOO_LARGE_BYTES)
    if fault == "photo_too_large":
        return replace(answer, filler=TOO_LARGE_BYTES, tells_length=False)
    if fault == "photo_too_many_pixels":
        return replace(answer, body=claiming_png(CLAIMED_SIDE), content_type="image/png")
    return answer


def claiming_png(side: int) -> bytes:
    """Return a small PNG whose header claims `side` x `side` pixels; its one row of data does not fill them."""
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    row = zlib.compress(bytes(1 + -(-side // 8)))
    chunks = ((b"IHDR", header), (b"IDAT", row), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
