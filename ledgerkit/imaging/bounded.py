"""Bounded access to the bytes of an open file, so that no header can make a parser read for ever.

Keeps out: any knowledge of image formats.
"""

from __future__ import annotations

import io
from typing import BinaryIO

from ledgerkit.errors import LimitExceeded, UnreadableImage

MAX_HEADER_BYTES = 64 * 1024 * 1024
FIRST_BLOCK = 32 * 1024
BYTES_A_REQUEST, FEWEST_REQUESTS = 128, 4096
"""Bytes of the limit for each request that may be made: 524,288 requests at the default limit."""


class BoundedBytes:
    """Random access to a file's bytes that counts what it reads and stops at a limit.

    `limit` is the number of bytes that may be read in all. The first block is read once and kept,
    because most headers fit into it. The number of requests is bounded too, in proportion: 60 MB of
    empty blocks would keep a parser busy for minutes.
    """

    def __init__(self, file: BinaryIO, limit: int = MAX_HEADER_BYTES) -> None:
        self._file = file
        self._left = limit
        self._limit = limit
        self._requests = max(FEWEST_REQUESTS, limit // BYTES_A_REQUEST)
        self._size: int | None = None
        file.seek(0)
        self.first = file.read(min(FIRST_BLOCK, limit))
        self._left -= len(self.first)

    @property
    def size(self) -> int:
        """Size of the file in bytes."""
        if self._size is None:
            self._size = self._file.seek(0, io.SEEK_END)
        return self._size

    def at(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`; fewer where the file ends.

        Raises `LimitExceeded` when more is asked for, or more often, than the limit leaves.
        """
        end = offset + length
        self._requests -= 1
        if self._requests < 0:
            raise LimitExceeded(
                "the header has more parts than may be looked at for its limit of "
                f"{self._limit} bytes (setting: max_header_bytes)"
            )
        if offset >= 0 and end <= len(self.first):
            return self.first[offset:end]
        if offset < 0 or length <= 0 or offset >= self.size:
            return b""
        length = min(length, self.size - offset)
        if length > self._left:
            raise LimitExceeded(
                f"the header asks for more than {self._limit} bytes (setting: max_header_bytes)"
            )
        self._file.seek(offset)
        data = self._file.read(length)
        self._left -= len(data)
        return data

    def need(self, offset: int, length: int, what: str) -> bytes:
        """Exactly `length` bytes from `offset`. Raises `UnreadableImage` where the file ends."""
        data = self.at(offset, length)
        if len(data) < length:
            raise UnreadableImage(
                f"expected {length} bytes of {what} at offset {offset}, the file ends after "
                f"{len(data)} of them"
            )
        return data


class BoundedFile(io.RawIOBase):
    """A read-only file object over `BoundedBytes`, for libraries that want one."""

    def __init__(self, source: BoundedBytes) -> None:
        self._source = source
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._source.size}
        self._position = max(0, start[whence] + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        if size is None or size < 0:
            size = max(0, self._source.size - self._position)
        data = self._source.at(self._position, size)
        self._position += len(data)
        return data
