"""A folder held open by its handle, the half of `reading` that needs no path: names, sizes, digests.

Names are opened with `O_NOFOLLOW` in the folder that is held and nowhere else. Only `reading` makes one.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import xxhash

from ledgerkit.errors import LimitExceeded, MissingInput, UnsafePath

MAX_RECORD_BYTES = 64 << 20
OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_AT_ONCE = 1 << 18
"""Bytes read at once: small files in one call, large ones through one buffer of this size."""


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder held open by its handle: its names are looked up in it and nowhere else."""

    handle: int
    path: str

    def entries(self) -> list[tuple[str, bool, bool]]:
        """Each name in the folder, whether it is a folder, whether a regular file; sorted."""
        with os.scandir(self.handle) as found:
            listed = [
                (item.name, False, True)
                if item.is_file(follow_symlinks=False)
                else (item.name, item.is_dir(follow_symlinks=False), False)
                for item in found
            ]
        return sorted(listed)

    @contextlib.contextmanager
    def below(self, name: str) -> Iterator[Folder]:
        """A folder in this one, held open. Raises `MissingInput`, `UnsafePath`."""
        path = f"{self.path}/{name}" if self.path else name
        try:
            handle = os.open(name, OPEN_FOLDER, dir_fd=self.handle)
        except OSError as error:
            raise explained(error, path) from error
        try:
            yield Folder(handle, path)
        finally:
            close_read(handle)

    def _open(self, name: str) -> tuple[int, int]:
        """A descriptor of a regular file in the folder, and its size."""
        try:
            descriptor = os.open(name, OPEN_FILE, dir_fd=self.handle)
        except OSError as error:
            raise explained(error, f"{self.path}/{name}") from error
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            close_read(descriptor)
            raise UnsafePath(f"not a regular file: {self.path}/{name}")
        return descriptor, found.st_size

    def read(self, name: str, max_bytes: int = MAX_RECORD_BYTES) -> bytes:
        """All bytes of a small file. Raises `MissingInput`, `UnsafePath`, `LimitExceeded`."""
        descriptor, size = self._open(name)
        try:
            if size <= max_bytes:
                data = read_all(descriptor, max_bytes)
                if len(data) <= max_bytes:
                    return data
            raise LimitExceeded(f"{self.path}/{name} is larger than max_bytes = {max_bytes}")
        finally:
            close_read(descriptor)

    def sha256(self, name: str) -> tuple[int, str]:
        """Size and SHA-256 of a file in the folder. Raises `MissingInput`, `UnsafePath`."""
        return self._digest(name, hashlib.sha256())

    def xxh3(self, name: str) -> tuple[int, str]:
        """Size and XXH3-128 of a file in the folder. Raises `MissingInput`, `UnsafePath`."""
        return self._digest(name, xxhash.xxh3_128())

    def _digest(self, name: str, hasher: Any) -> tuple[int, str]:
        descriptor, size = self._open(name)
        try:
            if size < _AT_ONCE:
                data = os.read(descriptor, size + 1)
                if len(data) == size:
                    hasher.update(data)
                    return size, hasher.hexdigest()
                os.lseek(descriptor, 0, os.SEEK_SET)
            buffer = memoryview(bytearray(_AT_ONCE))
            size = 0
            while count := os.readv(descriptor, [buffer]):
                hasher.update(buffer[:count])
                size += count
            return size, hasher.hexdigest()
        finally:
            close_read(descriptor)

    def stat(self, name: str) -> os.stat_result:
        """What the system says of a name in the folder, never following it. Raises `MissingInput`."""
        try:
            return os.stat(name, dir_fd=self.handle, follow_symlinks=False)
        except OSError as error:
            raise explained(error, f"{self.path}/{name}") from error

    def size(self, name: str) -> int:
        """Size of a regular file in the folder. Raises `MissingInput`, `UnsafePath`."""
        found = self.stat(name)
        if not stat.S_ISREG(found.st_mode):
            raise UnsafePath(f"not a regular file: {self.path}/{name}")
        return found.st_size


def read_all(descriptor: int, max_bytes: int) -> bytes:
    """Up to one byte more than `max_bytes`, in one call for a small file."""
    data = os.read(descriptor, 1 << 16)
    if len(data) < 1 << 16:
        return data
    parts = [data]
    size = len(data)
    while data and size <= max_bytes:
        data = os.read(descriptor, 1 << 20)
        parts.append(data)
        size += len(data)
    return b"".join(parts)


def close_read(handle: int) -> None:
    """Close what was only read: there is nothing that an error could lose."""
    with contextlib.suppress(OSError):
        os.close(handle)


@contextlib.contextmanager
def telling(path: str) -> Iterator[None]:
    """Errors of the disk name the path below the root, whichever call they come from."""
    try:
        yield
    except OSError as error:
        raise explained(error, path) from error


def explained(error: OSError, path: str) -> Exception:
    """What an error of the disk at `path` means: missing, a link in the way, or the error by name."""
    if error.errno in (errno.ENOENT, errno.ENOTDIR) and not _is_link_refusal(error):
        return MissingInput(f"no such file: {path}")
    if _is_link_refusal(error):
        return UnsafePath(f"a symbolic link lies in the way of {path}: links are never followed")
    if error.errno is None or error.filename == path:
        return error
    return OSError(error.errno, os.strerror(error.errno), path or ".")


def _is_link_refusal(error: OSError) -> bool:
    return error.errno == errno.ELOOP
