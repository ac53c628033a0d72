"""What the crawler's process tells the one that started it: frames of a JSON object and perhaps bytes."""

import json
import struct
from collections.abc import Iterator
from typing import IO, Any

_SIZES = struct.Struct(">IQ")


class FrameWriter:
    """Writes frames; each leaves at once."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def write(self, value: dict[str, Any], content: bytes | None = None) -> None:
        """Write one frame."""
        text = json.dumps(value).encode()
        sizes = _SIZES.pack(len(text), 0 if content is None else len(content) + 1)
        self._stream.write(sizes + text + (content or b""))
        self._stream.flush()


def read_frames(stream: IO[bytes]) -> Iterator[tuple[dict[str, Any], bytes | None]]:
    """Yield frames as long as there are whole ones.

    >>> import io
    >>> FrameWriter(stream := io.BytesIO()).write({"a": 1}, b"photo")
    >>> list(read_frames(io.BytesIO(stream.getvalue()))), list(read_frames(io.BytesIO(stream.getvalue()[:-1])))
    ([({'a': 1}, b'photo')], [])
    """
    while len(head := stream.read(_SIZES.size)) == _SIZES.size:
        length, size = _SIZES.unpack(head)
        text, content = stream.read(length), stream.read(max(size - 1, 0))
        if len(text) < length or len(content) < size - 1:
            return
        yield json.loads(text), content if size else None
