"""What durable writing asks of the system: rename without replacing, exchange, flush, lock, protect.

Nothing here knows what a repository is. Linux has calls for all of it; where one is missing, the
slower way is taken.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import json
import os
import signal
import stat
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from ledgerkit.errors import CommitFailed, RepositoryBusy

FOLDER_MODE = 0o555
_RENAME_NOREPLACE = 1
_RENAME_EXCHANGE = 2
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
MAX_WORKING_BYTES = 1 << 30
_FULL_FSYNC = getattr(fcntl, "F_FULLFSYNC", None)
"""On macOS `fsync` leaves the data in the drive's own cache; this does not (man 2 fcntl)."""
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


@contextlib.contextmanager
def folder_of(root: int, path: str) -> Iterator[tuple[int, str]]:
    """A handle on the folder of `path` below the handle `root`, and the last name of `path`.

    It is opened step by step and never through a link, so what is put in the way after it was
    looked at is not followed. Raises `OSError`.
    """
    folder, _, name = path.rpartition("/")
    with disk_errors(path):
        handle = os.dup(root)
    try:
        for part in folder.split("/") if folder else ():
            below = os.open(part, _FOLDER, dir_fd=handle)
            close_unwritten(handle)
            handle = below
        yield handle, name
    finally:
        close_unwritten(handle)


def close_unwritten(descriptor: int) -> None:
    """Close what was only read, looked at or locked: an error here loses nothing."""
    with contextlib.suppress(OSError):
        os.close(descriptor)


def exchange(root: int, first: str, second: str) -> bool:
    """Exchange two names below `root` in one step; False where the system cannot."""
    with folder_of(root, first) as (here, one), folder_of(root, second) as (there, other):
        return _rename_with(here, one, there, other, _RENAME_EXCHANGE)


def move_new(root: int, source: str, target: str) -> None:
    """Rename below `root`, never over an existing name. Raises `FileExistsError`."""
    with folder_of(root, source) as (here, old), folder_of(root, target) as (there, new):
        if _rename_with(here, old, there, new, _RENAME_NOREPLACE):
            return
        with contextlib.suppress(FileNotFoundError):
            os.stat(new, dir_fd=there, follow_symlinks=False)
            raise FileExistsError(errno.EEXIST, "name is taken", target)
        os.rename(old, new, src_dir_fd=here, dst_dir_fd=there)


def _rename_with(here: int, old: str, there: int, new: str, flags: int) -> bool:
    """renameat2; False where system or file system do not know it or the flag."""
    if _renameat2 is None:
        return False
    if _renameat2(here, os.fsencode(old), there, os.fsencode(new), flags) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        return False
    raise OSError(number, os.strerror(number), new)


def read_own(path: Path) -> bytes:
    """A working file of ours, at most `MAX_WORKING_BYTES`; never through a link, never from a pipe.

    Raises `OSError`.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        data = file.read(MAX_WORKING_BYTES + 1)
    if len(data) > MAX_WORKING_BYTES:
        raise OSError(
            errno.EFBIG, f"larger than max_working_bytes = {MAX_WORKING_BYTES}", str(path)
        )
    return data


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
            raise RepositoryBusy(
                f"another process is writing to the repository: {_holder(descriptor)}",
                "Wait for it, or give --wait SECONDS.",
            )
        time.sleep(0.02)


def release_lock(descriptor: int) -> None:
    """Let go of a lock and close its file; nothing was written that an error here could lose."""
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    close_unwritten(descriptor)


def holder_document() -> bytes:
    """What the holder of a lock writes into it: who, where, which command, since when."""
    since = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    command = " ".join(sys.argv)[:200]
    found = {"pid": os.getpid(), "host": os.uname().nodename, "command": command, "since": since}
    return json.dumps(found).encode()


def _holder(descriptor: int) -> str:
    """Who holds the lock, as it says itself, and for how long; what it wrote may be anything."""
    try:
        found = json.loads(os.pread(descriptor, 4096, 0))
        since = datetime.strptime(found["since"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        seconds = (datetime.now(UTC) - since).total_seconds()
        return (
            f"process {found['pid']} on {found['host']}, {str(found['command'])[:200]!r}, "
            f"since {found['since']} ({max(seconds, 0):.0f} s)"
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return "it has not said yet which"


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """All of `data`, however few bytes a single write takes."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def make_parents(path: Path) -> None:
    """The folders on the way to `path`."""
    if not path.parent.exists():
        path.parent.mkdir(parents=True, exist_ok=True)


def protect(root: int, final: str, below: str, names: Iterable[str]) -> None:
    """Take the write permission off the folder `below` in `final`, and those of the named files in it.

    The files never had it. Folders are known from the names, deepest first; none is a link.
    """
    folders = {below}
    for name in names:
        folder = os.path.dirname(name)
        while folder != below and folder not in folders and folder.startswith(below):
            folders.add(folder)
            folder = os.path.dirname(folder)
    for folder in sorted(folders, key=len, reverse=True):
        with (
            contextlib.suppress(FileNotFoundError, NotADirectoryError),
            folder_of(root, f"{final}/{folder}/x" if folder else f"{final}/x") as (handle, _),
        ):
            os.fchmod(handle, FOLDER_MODE)


def remove_files(handle: int, names: Iterable[str]) -> None:
    """Remove the named files from an open, protected folder; one that is gone already is no error."""
    os.fchmod(handle, 0o755)
    for name in names:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=handle)


def remove_empty_folder(parent: int, name: str) -> bool:
    """Remove the folder `name` of the open folder `parent`; False, and protected, if it is not empty."""
    try:
        os.rmdir(name, dir_fd=parent)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        os.chmod(name, FOLDER_MODE, dir_fd=parent)
        return False
    return True


def fsync(path: Path) -> None:
    """Flush one file or folder, to the medium itself where the system tells that apart (macOS)."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _FULL_FSYNC is None:
            os.fsync(descriptor)
        else:
            fcntl.fcntl(descriptor, _FULL_FSYNC)
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


@contextlib.contextmanager
def lock_file(path: Path, wait: float) -> Iterator[None]:
    """A kernel lock on a file of ours, made where it is missing; never deleted, never a link.

    Raises `RepositoryBusy` when it is not free within `wait` seconds.
    """
    with disk_errors(path.name):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        take_lock(descriptor, wait)
        yield
    finally:
        release_lock(descriptor)


def replace_flushed(path: Path, data: bytes) -> None:
    """A small file put whole in the place of the former one: its bytes and its name are flushed."""
    beside = path.with_name(f"{path.name}.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with disk_errors(path.name):
        descriptor = os.open(beside, flags, 0o644)
        try:
            write_all(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(beside, path)
        fsync(path.parent)


def folder_mode(root: int, path: str) -> int | None:
    """Permissions of the folder `path` below the handle `root`; None for anything but a folder."""
    try:
        with folder_of(root, f"{path}/x" if path else "x") as (handle, _):
            return stat.S_IMODE(os.fstat(handle).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            return None
        raise


def set_folder_mode(root: int, path: str, mode: int) -> None:
    """Give the folder `path` below the handle `root` its permissions; nothing when there is none."""
    with (
        contextlib.suppress(FileNotFoundError, NotADirectoryError),
        folder_of(root, f"{path}/x" if path else "x") as (handle, _),
    ):
        os.fchmod(handle, mode)
