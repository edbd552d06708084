"""Where an export goes: a new file or folder outside of every repository, whole or absent.

It is written beside its name, flushed, and renamed in one step, never over anything.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from ledgerkit.disk import disk_errors, flush_below, move_new
from ledgerkit.errors import UsageError
from ledgerkit.export.lines import encoded
from ledgerkit.proving import refuse_inside


class Digested:
    """A file that counts and digests what is written to it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self.bytes = 0

    def write(self, data: bytes) -> None:
        self._file.write(data)
        self._digest.update(data)
        self.bytes += len(data)

    @property
    def sha256(self) -> str:
        """Of what was written until now, 64 lower-case hex digits."""
        return self._digest.hexdigest()


@contextlib.contextmanager
def new_file(target: Path) -> Iterator[Digested]:
    """A file that has its name when the block ends without an error, and else leaves nothing.

    Raises `UsageError` for a name inside a repository, taken, or without a folder; `CommitFailed`.
    """
    with _beside(target) as beside, open(beside, "xb") as file:
        yield Digested(file)


@contextlib.contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """The same for a folder: the path to write into, until it gets its name."""
    with _beside(target) as beside:
        beside.mkdir()
        yield beside


def put(folder: Path, name: str, data: bytes) -> dict[str, Any]:
    """Write one new file of a folder that is being made; its path, size and digest."""
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    with open(folder / name, "xb") as file:
        output = Digested(file)
        output.write(data)
    return {"path": name, "bytes": output.bytes, "sha256": output.sha256}


def put_json(folder: Path, name: str, document: dict[str, Any]) -> dict[str, Any]:
    """The same of a JSON document, on one line."""
    return put(folder, name, encoded(document) + b"\n")


class Listed:
    """A folder that is being made, and its files with paths, sizes and digests."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.files: list[dict[str, Any]] = []

    def put(self, name: str, data: bytes) -> None:
        """Write one new file."""
        self.files.append(put(self._folder, name, data))

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(one["bytes"] for one in self.files)


@contextlib.contextmanager
def _beside(target: Path) -> Iterator[Path]:
    refuse(target)
    beside = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        with disk_errors(str(target)):
            yield beside
            flush_below(beside)
            parent = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                move_new(parent, beside.name, target.name)
                os.fsync(parent)
            except FileExistsError as error:
                raise _taken(target) from error
            finally:
                os.close(parent)
    finally:
        if beside.is_dir():
            shutil.rmtree(beside, ignore_errors=True)
        with contextlib.suppress(OSError):
            beside.unlink()


def refuse(target: Path) -> None:
    """Raise `UsageError` unless `target` is a new name in a folder outside of every repository."""
    try:
        refuse_inside(target)
    except UsageError as error:
        raise UsageError(error.message, "An export is a view: give a place outside.") from error
    if os.path.lexists(target):
        raise _taken(target)
    if not target.parent.is_dir():
        raise UsageError(f"there is no folder {target.parent}", "Make it first.")


def _taken(target: Path) -> UsageError:
    return UsageError(f"{target} exists", "Give a new name: an export is never written over.")
