"""Downloads that go on where they broke off."""

import time
from pathlib import Path

import requests
from tqdm.auto import tqdm

from lib.errors import StudyError

_ATTEMPTS = 4
_TIMEOUT_SECONDS = (10, 60)
_CHUNK_BYTES = 2**16
_BROKEN = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)


def download(
    url: str, target: Path, session: requests.Session, *, wait_seconds: float = 2.0, quiet: bool = False
) -> Path:
    """Download `url` to `target`, unless it is there, and return `target`.

    What has arrived stands in `TARGET.partial`. A later call goes on from there if the server knows ranges and still
    has the same content (by its strong entity tag or its date); otherwise it starts over.

    Raises
    ------
    StudyError
        If the server cannot be reached, has no such file, or broke off too often. A partial file stays.
    """
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    partial, problem = target.with_name(target.name + ".partial"), ""
    for attempt in range(_ATTEMPTS):
        time.sleep(wait_seconds * attempt)  # not at all before the first
        try:
            _continue(url, partial, session, quiet)
            _validator(partial).unlink(missing_ok=True)
            return partial.replace(target)
        except _BROKEN as error:
            problem = str(error)
    raise StudyError(f"Cannot download {url}: {problem}. Run `make data` again to go on, or name a MIRROR folder.")


def _continue(url: str, partial: Path, session: requests.Session, quiet: bool) -> None:
    """Get the rest of a file, or all of it."""
    headers = {"Accept-Encoding": "identity"}
    if partial.exists() and _validator(partial).exists():
        headers |= {"Range": f"bytes={partial.stat().st_size}-", "If-Range": _validator(partial).read_text("utf-8")}
    with session.get(url, headers=headers, stream=True, timeout=_TIMEOUT_SECONDS) as response:
        resumed = response.status_code == 206
        if response.status_code not in (200, 206):
            _refused(url, partial, response.status_code)
        _remember(response, partial)
        start = partial.stat().st_size if resumed else 0
        total = start + int(response.headers.get("Content-Length", 0)) or None
        with (
            partial.open("ab" if resumed else "wb") as file,
            tqdm(
                total=total, initial=start, desc=partial.stem, unit="B", unit_scale=True, mininterval=1, disable=quiet
            ) as bar,
        ):
            for chunk in response.iter_content(_CHUNK_BYTES):
                bar.update(file.write(chunk))


def _refused(url: str, partial: Path, status: int) -> None:
    if status == 416:  # the partial file is no beginning of what the server has
        partial.unlink(missing_ok=True)
    if status == 416 or status == 429 or status >= 500:
        raise requests.ConnectionError(f"the server answers {status}")
    raise StudyError(f"Cannot download {url}: the server answers {status}. Name a MIRROR folder if you have one.")


def _remember(response: requests.Response, partial: Path) -> None:
    """Keep what names this version of the content, if the server names it."""
    tag = response.headers.get("ETag", "")
    validator = tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified")
    if validator:
        _validator(partial).write_text(validator, "utf-8")
    else:
        _validator(partial).unlink(missing_ok=True)


def _validator(partial: Path) -> Path:
    return partial.with_name(partial.name + ".version")
