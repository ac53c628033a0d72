"""What was fetched, kept in one SQLite file, so that a crawl that was ended goes on where it was.

SQLite keeps a transaction whole or not at all, so that no half of a response is ever taken for one.
"""

import json
import sqlite3
import time
from pathlib import Path
from typing import Any, cast

from scrapy import Request, Spider
from scrapy.extensions.httpcache import DummyPolicy
from scrapy.http import Headers, Response
from scrapy.responsetypes import responsetypes
from scrapy.settings import Settings

from lib.exceptions import StudyError
from lib.files import remove

_KEPT = frozenset({200, 301, 302, 303, 307, 308, 404, 410})  # what is not a passing fault
_COMMIT_SECONDS = 0.5
_TABLE = (
    "CREATE TABLE IF NOT EXISTS responses (key BLOB PRIMARY KEY, time REAL, status INTEGER, headers TEXT, body BLOB)"
)


def open_cache(folder: Path, keep_seconds: float) -> sqlite3.Connection:
    """Open the file in `folder`, and forget what is older than `keep_seconds`, if that is not 0.

    Raises
    ------
    StudyError
        If it cannot be written. A file that is no database is made anew.
    """
    path = folder / "responses.sqlite"
    try:
        return _open(path, keep_seconds)
    except sqlite3.OperationalError as error:
        raise StudyError(f"Cannot write {path}: {error}.") from error
    except sqlite3.DatabaseError:
        for damaged in folder.glob(f"{path.name}*"):
            remove(damaged)
        return _open(path, keep_seconds)


def _open(path: Path, keep_seconds: float) -> sqlite3.Connection:
    file = sqlite3.connect(path)
    file.execute("PRAGMA journal_mode=WAL")
    file.execute("PRAGMA synchronous=NORMAL")
    file.execute(_TABLE)
    if keep_seconds:
        file.execute("DELETE FROM responses WHERE time < ?", (time.time() - keep_seconds,))
    file.commit()
    return file


class Lasting(DummyPolicy):
    """Keep what is not a passing fault."""

    def should_cache_response(self, response: Response, request: Request) -> bool:
        """Whether the same is answered if it is asked again soon."""
        return response.status in _KEPT


class Storage:
    """Scrapy's storage of responses, in one file."""

    def __init__(self, settings: Settings) -> None:
        self._folder = Path(settings["HTTPCACHE_DIR"])
        self._keep_seconds = settings.getfloat("HTTPCACHE_EXPIRATION_SECS")
        self._committed = 0.0

    def open_spider(self, spider: Spider) -> None:
        """Open the file."""
        self._fingerprinter = spider.crawler.request_fingerprinter
        self._file = open_cache(self._folder, self._keep_seconds)

    def close_spider(self, spider: Spider) -> None:
        """Close the file, with all that it was given."""
        self._file.commit()
        self._file.close()

    def retrieve_response(self, spider: Spider, request: Request) -> Response | None:
        """Return a kept response, if there is one."""
        key = self._fingerprinter.fingerprint(request)
        row = self._file.execute("SELECT status, headers, body FROM responses WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        status, fields, body = row
        headers = Headers(json.loads(fields))
        kind = responsetypes.from_args(headers=headers, url=request.url, body=body)
        return kind(url=request.url, status=status, headers=headers, body=body)

    def store_response(self, spider: Spider, request: Request, response: Response) -> None:
        """Keep a response. What comes within half a second becomes lasting together."""
        fields = {
            name.decode("latin-1"): [v.decode("latin-1") for v in values] for name, values in response.headers.items()
        }
        now, key = time.time(), self._fingerprinter.fingerprint(request)
        row = (key, now, response.status, json.dumps(fields), response.body)
        try:
            self._file.execute("INSERT OR REPLACE INTO responses VALUES (?, ?, ?, ?, ?)", row)
            if now - self._committed > _COMMIT_SECONDS:
                self._file.commit()
                self._committed = now
        except sqlite3.Error as error:
            cast(Any, spider).fail(f"Cannot write what was fetched to {self._folder}: {error}.")
