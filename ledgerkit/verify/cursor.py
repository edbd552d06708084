"""A cursor file: what an interrupted verification has done, so that the next can go on from there.

JSON lines, outside the repository. The first line states what is verified: root, checkpoint, depth.
Each further line is one plate with a digest of what was expected of it, a digest of the state of its
files (names, sizes, times, inodes), what was counted and what was found. A plate is taken over only
when both are as they were; anything else is read again.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import msgspec

from ledgerkit.errors import LedgerkitError, UsageError
from ledgerkit.findings import Finding
from ledgerkit.verify.plan import FileResult, Known, Result

SCHEMA_VERSION = "verify.cursor.v1"
FLUSH_SECONDS = 1.0


class Done(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One plate as it was verified."""

    unit: str
    expected: str
    state: str
    files: list[int]
    bytes: list[int]
    right: int
    wrong: int
    findings: list[Finding]
    foreign: dict[str, Known]
    rows: list[FileResult]


class Cursor:
    """The cursor file at `path`, read when opened, appended to while verification goes on."""

    def __init__(self, path: Path, root: Path, header: dict[str, Any]) -> None:
        """Raises `UsageError` for a path in the repository or a cursor of another verification."""
        resolved = Path(os.path.realpath(path))
        inside = Path(os.path.realpath(root))
        if resolved == inside or inside in resolved.parents:
            raise UsageError(
                f"{path} lies in the repository, and verification writes nothing there",
                "Name a file outside it for --resume.",
            )
        self.path = path
        self.header = {"schema_version": SCHEMA_VERSION, "root": str(inside), **header}
        self.done: dict[str, Done] = {}
        lines = self._read()
        if lines and _last(lines) == {"done": True}:
            lines = []  # a verification that was finished is begun anew
        if lines:
            self._take_over(lines)
        self._file = self._open(lines)
        self._flushed = time.monotonic()

    def _read(self) -> list[bytes]:
        """Whole lines; the rest of one that was cut off does not count."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return []
        return data.split(b"\n")[:-1]

    def _take_over(self, lines: list[bytes]) -> None:
        hint = "Name another file for --resume, or remove this one to begin anew."
        try:
            header = json.loads(lines[0])
            found = [msgspec.json.decode(line, type=Done) for line in lines[1:]]
        except (ValueError, msgspec.MsgspecError, RecursionError) as error:
            raise UsageError(
                f"{self.path} is no cursor of a verification: {error}", hint
            ) from error
        if not isinstance(header, dict) or header.get("schema_version") != SCHEMA_VERSION:
            raise UsageError(f"{self.path} is no cursor of a verification", hint)
        for name in ("root", "depth", "sample", "seed", "plates", "rows"):
            if header.get(name) != self.header.get(name):
                said = f"{name} {header.get(name)!r}, not {self.header.get(name)!r}"
                raise UsageError(f"{self.path} is the cursor of a verification with {said}", hint)
        self.done = {one.unit: one for one in found}

    def _open(self, lines: list[bytes]) -> Any:
        """The file for appending, with nothing in it but whole lines."""
        try:
            file = self.path.open("r+b" if lines else "wb")
            if lines:
                file.truncate(sum(len(line) + 1 for line in lines))
                file.seek(0, os.SEEK_END)
            else:
                file.write(json.dumps(self.header).encode() + b"\n")
                file.flush()
            return file
        except OSError as error:
            raise LedgerkitError(f"{self.path}: {error.strerror}", None) from error

    def taken_over(self, unit: str, expected: str, state: str) -> Result | None:
        """What was found of a plate, where nothing has changed since."""
        done = self.done.get(unit)
        if done is None or (done.expected, done.state) != (expected, state):
            return None
        return Result(
            unit,
            list(done.findings),
            list(done.files),
            list(done.bytes),
            done.wrong,
            done.right,
            dict(done.foreign),
            list(done.rows),
        )

    def add(self, found: Result, expected: str, state: str) -> None:
        """Keep what was found of a plate."""
        done = Done(
            found.unit,
            expected,
            state,
            found.files,
            found.bytes,
            found.right,
            found.wrong,
            found.findings,
            found.foreign,
            found.rows,
        )
        try:
            line = msgspec.json.encode(done)
        except UnicodeEncodeError:
            return  # a name that is no UTF-8: this plate is read again
        self._write(line)

    def _write(self, line: bytes) -> None:
        try:
            self._file.write(line + b"\n")
            self._file.flush()
            if time.monotonic() - self._flushed > FLUSH_SECONDS:
                os.fsync(self._file.fileno())
                self._flushed = time.monotonic()
        except OSError as error:
            raise LedgerkitError(
                f"{self.path}: {error.strerror}", "The verification was not finished."
            ) from error

    def close(self, finished: bool) -> None:
        """Flush and close; a finished verification is not resumed."""
        try:
            if finished:
                self._write(b'{"done":true}')
            os.fsync(self._file.fileno())
        finally:
            self._file.close()


def _last(lines: list[bytes]) -> Any:
    try:
        return json.loads(lines[-1])
    except (ValueError, RecursionError):
        return None
