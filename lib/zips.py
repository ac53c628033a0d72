"""Archives of photos whose bytes depend on nothing but their names and contents."""

import zipfile
from collections.abc import Iterable
from pathlib import Path

# What zipfile would take from the clock, the platform or the umask.
_DATE = (1980, 1, 1, 0, 0, 0)
_UNIX = 3
_MODE = 0o644 << 16


def write_zip(path: Path, entries: Iterable[tuple[str, bytes]]) -> int:
    """Write (name, content) pairs as an uncompressed archive, in the order given; return how many there were.

    Photos are compressed already, and an uncompressed entry can be read at once.
    """
    count = 0
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in entries:
            info = zipfile.ZipInfo(name, _DATE)
            info.create_system, info.external_attr = _UNIX, _MODE
            archive.writestr(info, content)
            count += 1
    return count
