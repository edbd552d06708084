"""What an interrupted task had finished, kept outside of repositories until its run is committed.

Disposable: what is missing or damaged is computed again, and a disk that refuses costs time, never the
work. It belongs to one task, its inputs, its parameters and the versions of its libraries; another
task never sees it.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from contextlib import suppress
from pathlib import Path

from ledgerkit.canonical import canonical_bytes, sha256_hex

VARIABLE = "LEDGERKIT_KEPT"
_DIGEST = 32


def outside_folder(variable: str, name: str) -> Path | None:
    """The folder that the variable names, else `ledgerkit/<name>` in the user's cache folder.

    That is XDG_CACHE_HOME, else `.cache` in the home folder; None where there is no home either.
    """
    named = os.environ.get(variable)
    if named:
        return Path(named).absolute()
    cache = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(cache):
        return Path(cache) / "ledgerkit" / name
    try:
        return Path.home() / ".cache" / "ledgerkit" / name
    except RuntimeError:
        return None


class KeptFolder:
    """Values by key in a folder of their own, each behind its digest."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, key: str) -> bytes | None:
        """The value as it was put; None where there is none or it is not what was written."""
        try:
            data = self._path(key).read_bytes()
        except OSError:
            return None
        digest, value = data[:_DIGEST], data[_DIGEST:]
        return value if hashlib.sha256(value).digest() == digest else None

    def put(self, key: str, value: bytes) -> None:
        """Keep a value, whole or not at all. Where the disk refuses it is not kept, without a word.

        Others may put at the same time: each writes beside, and the last one's value stays.
        """
        path = self._path(key)
        beside = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                beside.write_bytes(hashlib.sha256(value).digest() + value)
                os.replace(beside, path)
            finally:
                beside.unlink(missing_ok=True)

    def clear(self) -> None:
        """Take everything away: the run that it was kept for is committed."""
        with suppress(OSError):
            shutil.rmtree(self.folder)

    def _path(self, key: str) -> Path:
        return self.folder / sha256_hex(key.encode())


class KeptHere:
    """The same in memory, for as long as the task takes."""

    def __init__(self) -> None:
        self._values: dict[str, bytes] = {}

    def get(self, key: str) -> bytes | None:
        """The value as it was put; None where there is none."""
        return self._values.get(key)

    def put(self, key: str, value: bytes) -> None:
        """Keep a value."""
        self._values[key] = value


def folder_of(task_id: str, libraries: dict[str, str]) -> Path | None:
    """Where things are kept of a task under these versions of its libraries; None for nowhere."""
    folder = outside_folder(VARIABLE, "kept")
    of = canonical_bytes({"task_id": task_id, "libraries": libraries})
    return folder and folder / sha256_hex(of)
