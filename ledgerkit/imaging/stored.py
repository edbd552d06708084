"""Take the files out of a stored zip while it is being written, before its directory is there.

zipfile needs the directory at the end of an archive. A writer that streams does not know how large a
file will be and says it behind the file, with its CRC-32: here a file ends where both agree with what
came before, and nowhere else. Whoever chooses the bytes of a file can forge such an end: this is for
archives that this process writes itself.

Keeps out: compression, encryption, files of 4 GiB and more; they are refused.
Source: PKWARE, APPNOTE.TXT 6.3.10, sections 4.3.7 and 4.3.9.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from ledgerkit.errors import UnreadableImage

LOCAL = struct.Struct("<4x5H3I2H")
LOCAL_SIGNATURE = b"PK\x03\x04"
DESCRIPTOR = struct.Struct("<4s3I")
DESCRIPTOR_SIGNATURE = b"PK\x07\x08"
SIZE_BEHIND = 1 << 3
"""The flag that says that size and CRC-32 follow the file."""
CHUNK = 1 << 16


def members(file: BinaryIO) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of each file (no folders), in the order in which they come.

    `file` is read to its end. An archive that is cut short ends the files without a word: whoever
    writes it knows why. Raises `UnreadableImage` for what is not stored or breaks the format.
    """
    reader = _Reader(file)
    while reader.fill(LOCAL.size) and reader.data.startswith(LOCAL_SIGNATURE):
        _, flags, method, _, _, crc, size, _, names, extra = LOCAL.unpack(reader.take(LOCAL.size))
        if not reader.fill(names + extra):
            break
        name = reader.take(names).decode()
        reader.take(extra)
        if method != 0 or size == 0xFFFFFFFF:
            raise UnreadableImage(f"expected {name} to be stored in a zip, found method {method}")
        found = _until_described(reader) if flags & SIZE_BEHIND else _of_size(reader, size, crc)
        if found is None:
            break
        if not name.endswith("/"):
            yield name, found
    reader.drain()


class _Reader:
    """What was read of a stream and not taken yet."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.data = bytearray()

    def more(self) -> bool:
        """Read on; False at the end."""
        chunk = self.file.read1(CHUNK)  # type: ignore[attr-defined]
        self.data += chunk
        return bool(chunk)

    def fill(self, size: int) -> bool:
        """Have `size` bytes at hand; False when the stream ends before."""
        while len(self.data) < size:
            if not self.more():
                return False
        return True

    def take(self, size: int) -> bytes:
        taken = bytes(self.data[:size])
        del self.data[:size]
        return taken

    def drain(self) -> None:
        while self.file.read(CHUNK):
            pass


def _of_size(reader: _Reader, size: int, crc: int) -> bytes | None:
    if not reader.fill(size):
        return None
    found = reader.take(size)
    if zlib.crc32(found) != crc:
        raise UnreadableImage("a file in a zip has another CRC-32 than its header says")
    return found


def _until_described(reader: _Reader) -> bytes | None:
    """The bytes before the first descriptor that gives their number and their CRC-32."""
    start = 0
    while True:
        place = reader.data.find(DESCRIPTOR_SIGNATURE, start)
        if place < 0:
            start = max(0, len(reader.data) - len(DESCRIPTOR_SIGNATURE) + 1)
            if not reader.more():
                return None
            continue
        if not reader.fill(place + DESCRIPTOR.size):
            return None
        _, crc, size, _ = DESCRIPTOR.unpack_from(reader.data, place)
        if size == place:
            found = bytes(reader.data[:place])
            if zlib.crc32(found) == crc:
                reader.take(place + DESCRIPTOR.size)
                return found
        start = place + 1
