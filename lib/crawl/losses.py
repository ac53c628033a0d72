"""Why something could not be fetched, in words that are the same wherever and whenever the crawl ran."""

import io
from urllib.parse import urlsplit

from PIL import Image
from scrapy.exceptions import (
    CannotResolveHostError,
    DownloadCancelledError,
    DownloadConnectionRefusedError,
    DownloadTimeoutError,
    IgnoreRequest,
)
from scrapy.spidermiddlewares.httperror import HttpError

from lib.crawl.guard import Refused

NOT_FOUND = "not found"
REFUSED = "refused by the server"
SERVER_ERROR = "server error"
BAD_REDIRECT = "bad redirect"
TOO_LARGE = "too large"
NO_ANSWER = "no answer"
NOT_A_PRODUCT = "not a product"
TOO_MANY_PIXELS = "too many pixels"

_FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF")
_BROKEN = {
    CannotResolveHostError: "the host's name is unknown",
    DownloadConnectionRefusedError: "the connection was refused",
    DownloadTimeoutError: "it took too long",
}


def explain(error: BaseException) -> tuple[str, str]:
    """Return the reason of a loss, and what else there is to say of it."""
    if isinstance(error, HttpError):
        return _of_status(error.response.status), f"status {error.response.status}"
    if isinstance(error, Refused):
        return error.reason, ""
    if isinstance(error, DownloadCancelledError | IgnoreRequest):  # the latter if it is so large when decompressed
        return TOO_LARGE, ""
    for kind, words in _BROKEN.items():
        if isinstance(error, kind):
            return NO_ANSWER, words
    return NO_ANSWER, "the answer broke off"


def _of_status(status: int) -> str:
    if status in (404, 410):
        return NOT_FOUND
    return {3: BAD_REDIRECT, 4: REFUSED}.get(status // 100, SERVER_ERROR)


def path_of(address: str, host: bool = False) -> str:
    """Return an address's path and query, and before it, if asked, the host without a port.

    >>> path_of("http://127.0.0.1:8000/a?b=1#c"), path_of("http://169.254.169.254/a", host=True)
    ('/a?b=1', '169.254.169.254/a')
    """
    try:
        parts = urlsplit(address)
        name = (parts.hostname or f"{parts.scheme}:") if host else ""
    except ValueError:
        return address[:200]
    return f"{name}{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"[:200]


def pixels(photo: bytes) -> int:
    """Return how many pixels a photo's header states; 0 if nothing can be made of it.

    Pillow refuses to open very large ones, unless `Image.MAX_IMAGE_PIXELS` is None, as it is in the crawler's process.
    """
    try:
        with Image.open(io.BytesIO(photo), formats=_FORMATS) as image:
            return image.width * image.height
    except Exception:  # whatever a damaged header makes of Pillow: a later stage says that it is broken
        return 0
