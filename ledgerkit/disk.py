"""What durable writing asks of the system: rename without replacing, exchange, flush, lock, protect.

Nothing here knows what a repository is. Linux has calls for all of it; where one is missing, the
slower way is taken.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from ledgerkit.errors import CommitFailed, RepositoryBusy

FOLDER_MODE = 0o555
_RENAME_NOREPLACE = 1
_RENAME_EXCHANGE = 2
_AT_FDCWD = -100
_libc = ctypes.CDLL(None, use_errno=True)
_syncfs = getattr(_libc, "syncfs", None)
_renameat2 = getattr(_libc, "renameat2", None)


def flush_file_system(descriptor: int) -> bool:
    """Flush the whole file system that `descriptor` lies on; False where there is no such call.

    It reports write-back errors since Linux 5.8, for descriptors that were open when they occurred.
    """
    if _syncfs is None:
        return False
    if _syncfs(descriptor) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return True


def exchange(first: Path, second: Path) -> bool:
    """Exchange two names in one step; False where the system cannot."""
    return _renameat2 is not None and _rename_with(first, second, _RENAME_EXCHANGE)


def rename_new(source: Path | str, target: Path | str) -> None:
    """Rename, never over an existing name. Raises `FileExistsError`."""
    if _renameat2 is not None and _rename_with(source, target, _RENAME_NOREPLACE):
        return
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, "name is taken", str(target))
    os.rename(source, target)


def _rename_with(source: Path | str, target: Path | str, flags: int) -> bool:
    """renameat2; False where the file system does not know the flag."""
    assert _renameat2 is not None
    if _renameat2(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), flags) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        return False
    raise OSError(number, os.strerror(number), str(target))


@contextlib.contextmanager
def unbroken() -> Iterator[None]:
    """Ctrl-C waits until the end of the block: a commit is finished, not left to the next writer."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: caught.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if caught:
        raise KeyboardInterrupt


@contextlib.contextmanager
def disk_errors(path: str) -> Iterator[None]:
    """Errors of the disk as `CommitFailed` that names `path` and the way out."""
    try:
        yield
    except FileExistsError as error:
        raise CommitFailed(f"{path} exists already and is never replaced") from error
    except OSError as error:
        hint = "Free some space, then run the command again: it goes on where it stopped."
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            hint = "Nothing of this batch was reported as kept. Check the disk and the permissions, then run it again."
        raise CommitFailed(f"cannot write {path}: {error.strerror or error}", hint) from error


def take_lock(descriptor: int, wait: float) -> None:
    """An exclusive kernel lock, waited for. Raises `RepositoryBusy` that names the holder."""
    deadline = time.monotonic() + wait
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise CommitFailed(f"cannot lock the repository: {error.strerror}") from error
        if time.monotonic() >= deadline:
            holder = os.pread(descriptor, 1000, 0).decode("utf-8", "replace") or "unknown"
            raise RepositoryBusy(
                f"another process is writing to the repository: {holder}",
                "Wait for it, or give --wait SECONDS.",
            )
        time.sleep(0.02)


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """All of `data`, however few bytes a single write takes."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def make_parents(path: Path) -> None:
    """The folders on the way to `path`."""
    if not path.parent.exists():
        path.parent.mkdir(parents=True, exist_ok=True)


def protect(final: str, below: str, names: Iterable[str]) -> None:
    """Take the write permission off the folder `below` and those of the named files in it.

    The files never had it. Folders are known from the names, deepest first.
    """
    folders = {below}
    for name in names:
        folder = os.path.dirname(name)
        while folder != below and folder not in folders and folder.startswith(below):
            folders.add(folder)
            folder = os.path.dirname(folder)
    for folder in sorted(folders, key=len, reverse=True):
        path = f"{final}/{folder}" if folder else final
        if os.path.isdir(path) and not os.path.islink(path):
            os.chmod(path, FOLDER_MODE)


def fsync(path: Path) -> None:
    """Flush one file or folder."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flush_below(path: Path) -> None:
    """Flush a file, or a folder with everything below it, and the folder that names it."""
    if path.is_dir():
        for folder, _, names in os.walk(path):
            for name in names:
                fsync(Path(folder) / name)
            fsync(Path(folder))
        fsync(path.parent)
    elif path.exists():
        fsync(path)
        fsync(path.parent)
