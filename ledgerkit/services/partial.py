"""A download on its way: what came so far, its digests, and the comparison with what was promised."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from ledgerkit.canonical import READ_SIZE, Digests, Hasher
from ledgerkit.disk import disk_errors, write_all
from ledgerkit.errors import DigestMismatch


@dataclass(frozen=True, slots=True)
class Promise:
    """What the hub says of a file before it sends it: size and digest (`sha256` or `git-sha1`)."""

    bytes: int
    algorithm: str
    digest: str


class Partial:
    """A file that grows to what was promised; what an earlier try left is read and counted first."""

    def __init__(self, target: Path, promised: Promise) -> None:
        self.target, self.promised = target, promised
        self.bytes = 0
        self._reset()

    def _reset(self) -> None:
        self.bytes = 0
        self._hasher = Hasher()
        git = hashlib.sha1(f"blob {self.promised.bytes}\0".encode(), usedforsecurity=False)
        self._git = git if self.promised.algorithm == "git-sha1" else None

    def __enter__(self) -> Partial:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        with disk_errors(self.target.name):
            self._descriptor = os.open(self.target, flags, 0o644)
            while chunk := os.read(self._descriptor, READ_SIZE):
                self._count(chunk)
        if self.bytes > self.promised.bytes:
            self.restart()
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    @property
    def lacks(self) -> int:
        """Bytes that are still to come."""
        return self.promised.bytes - self.bytes

    def restart(self) -> None:
        """Throw away what came."""
        with disk_errors(self.target.name):
            os.ftruncate(self._descriptor, 0)
            os.lseek(self._descriptor, 0, os.SEEK_SET)
        self._reset()

    def write(self, data: bytes) -> None:
        if len(data) > self.lacks:
            self._refuse(f"more than the promised {self.promised.bytes} bytes come")
        with disk_errors(self.target.name):
            write_all(self._descriptor, data)
        self._count(data)

    def _count(self, data: bytes) -> None:
        self._hasher.update(data)
        if self._git is not None:
            self._git.update(data)
        self.bytes += len(data)

    def finish(self, named: str) -> Digests:
        """Flush, and compare with the promise. Raises `DigestMismatch`, with the bytes removed."""
        found = self._hasher.digests()
        got = self._git.hexdigest() if self._git is not None else found.sha256
        if got != self.promised.digest:
            self._refuse(f"{named}: promised {self.promised.digest}, got {got}")
        with disk_errors(self.target.name):
            os.fsync(self._descriptor)
        return found

    def _refuse(self, why: str) -> None:
        self.target.unlink(missing_ok=True)
        raise DigestMismatch(
            f"the hub sent other bytes than it promised: {why}",
            "They are thrown away. Give the command again; if it stays so, something between here "
            "and the hub alters files.",
        )
