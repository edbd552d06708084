"""The only module that opens a repository file to write: stage, lock, commit, exchange.

A commit is a flushed intent that lists every move from staging to its final name. Whoever finds an
intent finishes it; finishing is idempotent, no name is ever replaced, and what no intent lists
never becomes visible. Success is reported only after the renames are flushed.

Flushing is paid for once a batch: `syncfs` where the system has it (it reports write-back errors
since Linux 5.8), else every file and folder by itself. A job opens the folder handle before it
writes anything, so that no error is lost (the reason is told in transparency-dev/tessera#750).
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from ledgerkit import layout
from ledgerkit.canonical import Digests, Hasher
from ledgerkit.disk import (
    disk_errors,
    exchange,
    flush_below,
    flush_file_system,
    folder_of,
    fsync,
    holder_document,
    make_parents,
    move_new,
    protect,
    read_own,
    release_lock,
    take_lock,
    unbroken,
    write_all,
)
from ledgerkit.errors import CommitFailed, LedgerkitError, UnsafePath
from ledgerkit.intent import LogStep, Move, encode_intent, planned

FILE_MODE = 0o444


def pending_job(root: Path) -> str | None:
    """The job whose flushed intent waits to be finished by the next writer; None without one."""
    try:
        found = msgspec.json.decode(read_own(root / layout.INTENT))
        return str(found["job_id"])
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError, KeyError, TypeError, ValueError, RecursionError):
        return "unknown"


def pending_moves(root: Path) -> set[str]:
    """Final names that a flushed intent promises: a reader may meet them before they are logged."""
    try:
        return {move.final for move in planned(read_own(root / layout.INTENT)).moves}
    except (OSError, LedgerkitError):
        return set()


class Store:
    """Write access to one repository."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._handle: int | None = None

    def hold(self) -> int:
        """A handle on the root, held for as long as the store lives, so that no flush error is lost."""
        if self._handle is None:
            self._handle = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        return self._handle

    def __del__(self) -> None:
        if self._handle is not None:
            with contextlib.suppress(OSError):
                os.close(self._handle)

    def _refuse_links(self, path: str, safe: set[str]) -> None:
        """Raise `UnsafePath` when a folder on the way to `path` is a link; `safe` are known not to be."""
        folder = os.path.dirname(path)
        while folder and folder not in safe:
            if os.path.islink(f"{self.root}/{folder}"):
                raise UnsafePath(
                    f"{folder} is a symbolic link: nothing is written through links",
                    "Replace it by the folder itself.",
                )
            safe.add(folder)
            folder = os.path.dirname(folder)

    def make_folder(self, path: str) -> Path:
        """The folder at `path`, made with its parents where it does not exist."""
        found = f"{self.root}/{path}"
        with disk_errors(path):
            try:
                os.mkdir(found)
            except FileExistsError:
                pass
            except FileNotFoundError:
                os.makedirs(found, exist_ok=True)
        return Path(found)

    def write_new(self, path: str, data: bytes, mode: int = FILE_MODE) -> None:
        """A new file with exactly these bytes. Raises `CommitFailed` when the name is taken."""
        with disk_errors(path):
            with folder_of(self.hold(), path) as (folder, name):
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
                descriptor = os.open(name, flags, mode, dir_fd=folder)
            try:
                write_all(descriptor, data)
            finally:
                os.close(descriptor)

    def flush(self, paths: Iterable[str] = ()) -> None:
        """Everything written so far is on the disk when this returns.

        Where the system cannot flush a whole file system, `paths` are flushed with all below them.
        An error here is final: what was written is not reported as kept.
        """
        with disk_errors("flush"):
            if flush_file_system(self.hold()):
                return
            listed = list(paths)
            for path in listed:
                flush_below(self.root / path)
            self._flush_ways(listed)

    @contextlib.contextmanager
    def locked(self, wait: float = 10.0) -> Iterator[None]:
        """The repository's lock, a kernel lock that dies with its holder. Any left intent is finished.

        Raises `RepositoryBusy` that names the holder when it is not free within `wait` seconds.
        """
        self.make_folder(layout.WORKING)
        self._refuse_links(layout.LOCK, set())
        with disk_errors(layout.LOCK):
            descriptor = os.open(
                self.root / layout.LOCK,
                os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC,
                0o644,
            )
        try:
            take_lock(descriptor, wait)
            with disk_errors(layout.LOCK):
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, holder_document(), 0)
            with unbroken():
                self.finish_intent()
                yield
        finally:
            release_lock(descriptor)

    def prepare(self, final: str) -> None:
        """Make sure that `final` can be put in place, before any intent promises it.

        Raises `UnsafePath` for a link on the way, `CommitFailed` when its folder cannot be written.
        """
        self._refuse_links(final, set())
        folder = f"{self.root}/{os.path.dirname(final)}"
        with disk_errors(final):
            os.makedirs(folder, exist_ok=True)
            if not os.access(folder, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), folder)

    def commit(self, job_id: str, moves: list[Move], log: LogStep | None = None) -> None:
        """Give every staged item its final name, all or nothing, durably. The lock must be held.

        The staged items must be complete; `log` says what the same step does to the log. The
        flushed intent is the commit point.
        """
        if not moves:
            return
        if log is not None and self._checkpoint() != log.before:
            raise CommitFailed(
                f"{layout.CHECKPOINT} is not the one that this batch was to follow; nothing was committed",
                "Somebody else wrote the log: compare it with: ledgerkit verify --depth structure",
            )
        safe: set[str] = set()
        for move in moves:
            self._refuse_links(move.final, safe)
            if os.path.lexists(f"{self.root}/{move.final}"):
                # An intent that names it could never be finished, and nobody could write any more.
                raise CommitFailed(
                    f"{move.final} exists already and is never replaced; nothing of this batch was committed",
                    "Another process may have made it meanwhile: run the command again, it goes on from there.",
                )
        self.flush([move.staged for move in moves])
        beside = f"{layout.INTENT}.{job_id}"
        with disk_errors(beside), contextlib.suppress(FileNotFoundError):
            os.unlink(self.root / beside)
        self.write_new(beside, encode_intent(job_id, moves, log), 0o644)
        with disk_errors(layout.INTENT):
            fsync(self.root / beside)
            os.rename(self.root / beside, self.root / layout.INTENT)
            fsync(self.root / layout.WORKING)
        self.finish_intent()

    def finish_intent(self) -> bool:
        """Finish what a flushed intent lists; False when there is none. Idempotent."""
        try:
            with disk_errors(layout.INTENT):
                data = read_own(self.root / layout.INTENT)
        except CommitFailed as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return False
            raise
        found = planned(data)
        log = found.log
        if log is not None and self._checkpoint() not in (log.before, log.after):
            raise CommitFailed(
                f"{layout.CHECKPOINT} is neither the one before nor the one after the commit in {layout.INTENT}",
                "Somebody else wrote the log: restore log/ from a replica before anything is written.",
            )
        safe: set[str] = set()
        for move in found.moves:
            self._refuse_links(move.staged, safe)
            self._refuse_links(move.final, safe)
            self._finish_move(move)
        self._flush_names(os.path.dirname(move.final) for move in found.moves)
        if log is not None:
            self._publish(log)
        with disk_errors(layout.INTENT):
            os.unlink(self.root / layout.INTENT)
        return True

    def _checkpoint(self) -> str | None:
        """Text of the log's checkpoint; None without one."""
        with disk_errors(layout.CHECKPOINT):
            try:
                return (self.root / layout.CHECKPOINT).read_text("utf-8", "replace")
            except FileNotFoundError:
                return None

    def _publish(self, log: LogStep) -> None:
        """Replace the checkpoint, now that all that it covers is flushed, and drop what it outdates."""
        if self._checkpoint() != log.after:
            beside = f"{layout.WORKING}/checkpoint"
            with disk_errors(beside), contextlib.suppress(FileNotFoundError):
                os.unlink(self.root / beside)
            self.write_new(beside, log.after.encode())
            with disk_errors(layout.CHECKPOINT):
                fsync(self.root / beside)
                os.rename(self.root / beside, self.root / layout.CHECKPOINT)
                fsync(self.root / layout.LOG)
        for folder in log.superseded:
            self._refuse_links(f"{folder}/x", set())
            with disk_errors(folder), contextlib.suppress(FileNotFoundError):
                for name in os.listdir(self.root / folder):
                    os.unlink(self.root / folder / name)
                os.rmdir(self.root / folder)

    def _flush_names(self, folders: Iterable[str]) -> None:
        """The names in `folders` are on the disk when this returns, and the folders themselves."""
        with disk_errors("flush"):
            if not flush_file_system(self.hold()):
                self._flush_ways(f"{folder}/" for folder in folders)

    def _flush_ways(self, paths: Iterable[str]) -> None:
        """Every folder on the way to `paths`, so that each name on it is on the disk."""
        ways = {""}
        for path in paths:
            folder = os.path.dirname(path)
            while folder not in ways:
                ways.add(folder)
                folder = os.path.dirname(folder)
        for folder in sorted(ways, reverse=True):
            fsync(self.root / folder)

    def _finish_move(self, move: Move) -> None:
        try:
            with disk_errors(move.final):
                move_new(self.hold(), move.staged, move.final)
        except CommitFailed as error:
            self._explain_move(move, error)
        with disk_errors(move.final):
            for below in move.protect:
                protect(self.hold(), move.final, below, move.digests)

    def _explain_move(self, move: Move, error: CommitFailed) -> None:
        """Return when the move was made before, make missing parents, or raise what is the matter."""
        staged, final = f"{self.root}/{move.staged}", f"{self.root}/{move.final}"
        if os.path.lexists(final) and os.path.lexists(staged):
            raise CommitFailed(
                f"both {move.staged} and {move.final} exist, though the intent moves one to the other",
                "Somebody else made the second: move it away, then run any writing command again.",
            ) from error
        if os.path.lexists(final):
            return
        if not os.path.lexists(staged):
            raise CommitFailed(
                f"{move.final} is promised by {layout.INTENT}, but neither it nor {move.staged} exists",
                "The commit cannot be finished: restore the repository from a replica.",
            ) from error
        if os.path.isdir(os.path.dirname(final)):
            raise error
        with disk_errors(move.final):
            os.makedirs(os.path.dirname(final), exist_ok=True)
            move_new(self.hold(), move.staged, move.final)

    def exchange(self, staged: str, final: str) -> str | None:
        """Put the folder `staged` in the place of `final` in one step; where the former one now lies."""
        new, old = self.root / staged, self.root / final
        self.flush([staged])
        with disk_errors(final):
            if not os.path.lexists(old):
                move_new(self.hold(), staged, final)
                self.flush([os.path.dirname(final) or "."])
                return None
            if exchange(self.hold(), staged, final):
                self.flush([os.path.dirname(final) or "."])
                return staged
            aside = f"{staged}.former"
            os.rename(old, self.root / aside)
            os.rename(new, old)
            self.flush([os.path.dirname(final) or "."])
            return aside

    def move(self, source: str, target: str) -> None:
        """Rename within the repository, never over an existing name."""
        with disk_errors(target):
            make_parents(self.root / target)
            move_new(self.hold(), source, target)

    def replace_working(self, path: str, data: bytes) -> None:
        """A small working file of ours below `.ledgerkit/`, replaced as a whole; never evidence."""
        with disk_errors(path):
            beside = self.root / f"{path}.new"
            descriptor = os.open(
                beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644
            )
            try:
                write_all(descriptor, data)
            finally:
                os.close(descriptor)
            beside.replace(self.root / path)

    def remove_working(self, path: str) -> None:
        """Remove a working file or folder of ours below `.ledgerkit/`, never evidence."""
        if not layout.contained_path(path).startswith(f"{layout.WORKING}/"):
            raise ValueError(f"not a working path: {path}")
        import shutil

        target = self.root / path
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target, onerror=_make_writable_and_retry)
        else:
            with contextlib.suppress(FileNotFoundError):
                target.unlink()


class StagedFile:
    """A new file in staging, digested while it is written. Its name must be free."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._hasher = Hasher()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with disk_errors(path.name):
            try:
                self._descriptor = os.open(path, flags, FILE_MODE)
            except FileNotFoundError:
                os.makedirs(path.parent, exist_ok=True)
                self._descriptor = os.open(path, flags, FILE_MODE)

    def write(self, data: bytes | memoryview) -> int:
        view = memoryview(data).cast("B")
        with disk_errors(self.path.name):
            write_all(self._descriptor, view)
        self._hasher.update(view)
        return len(view)

    def close(self) -> Digests:
        """Size and digests of what was written; the file takes no more."""
        with disk_errors(self.path.name):
            os.close(self._descriptor)
        return self._hasher.digests()


def _make_writable_and_retry(function: Any, path: str, why: Any) -> None:
    if function not in (os.unlink, os.rmdir):
        raise why[1]
    os.chmod(os.path.dirname(path), 0o755)
    function(path)
