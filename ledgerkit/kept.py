"""What an interrupted task had finished, kept outside of repositories until its run is committed.

Disposable: what is missing or damaged is computed again. It belongs to one task, its inputs, its
parameters and the versions of its libraries; another task never sees it.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from contextlib import suppress
from pathlib import Path

from ledgerkit.canonical import canonical_bytes, sha256_hex
from ledgerkit.disk import disk_errors

VARIABLE = "LEDGERKIT_KEPT"
_DIGEST = 32


def default_folder() -> Path:
    """`LEDGERKIT_KEPT`, else `ledgerkit/kept` in the user's cache folder (XDG_CACHE_HOME)."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named).absolute()
    cache = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(cache) if os.path.isabs(cache) else Path.home() / ".cache"
    return base / "ledgerkit" / "kept"


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
        """Keep a value. Raises `CommitFailed` where the disk refuses."""
        path = self._path(key)
        beside = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        with disk_errors(str(path)):
            path.parent.mkdir(parents=True, exist_ok=True)
            beside.write_bytes(hashlib.sha256(value).digest() + value)
            os.replace(beside, path)

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


def folder_of(task_id: str, libraries: dict[str, str]) -> Path:
    """Where things are kept of a task under these versions of its libraries."""
    of = canonical_bytes({"task_id": task_id, "libraries": libraries})
    return default_folder() / sha256_hex(of)
