"""Jobs: one invocation, with a staging folder that its own kernel lock holds for as long as it lives."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from pathlib import Path

from ledgerkit import layout
from ledgerkit.disk import close_unwritten, disk_errors
from ledgerkit.durable import Store, pending_job


class Job:
    """The staging folder of one invocation, held by its own kernel lock until the job ends.

    `wait` is how many seconds it waits for another writer.
    """

    def __init__(self, store: Store, job_id: str, wait: float = 60.0) -> None:
        self.store = store
        self.job_id = job_id
        self.wait = wait
        self.folder = f"{layout.STAGING}/{job_id}"
        self._descriptor = -1

    def __enter__(self) -> Job:
        self.store.hold()
        # What a crash left is finished before anything is read. The folder is held before the lock
        # is let go, so that nobody meets it in between and takes the job for gone.
        with self.store.locked(self.wait):
            self.store._refuse_links(self.folder, set())
            self.store.make_folder(self.folder)
            with disk_errors(self.folder):
                self._descriptor = os.open(
                    self.store.root / self.folder / "lock",
                    os.O_RDWR | os.O_CREAT | os.O_CLOEXEC,
                    0o644,
                )
                fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        return self

    def __exit__(self, *_: object) -> None:
        close_unwritten(self._descriptor)
        if not os.path.lexists(self.store.root / layout.INTENT):
            with contextlib.suppress(
                OSError
            ):  # what was committed is kept; the rest is only rubbish
                self.store.remove_working(self.folder)

    def item(self, name: str) -> str:
        """Path of a staged item of this job."""
        return f"{self.folder}/{name}"


def is_held(root: Path, job_id: str) -> bool:
    """Whether a living process holds the staging folder of a job. Read-only."""
    try:
        descriptor = os.open(
            root / layout.STAGING / job_id / "lock",
            os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC,
        )
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        return error.errno != errno.ELOOP  # not known to be dead
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except OSError:
        return True
    finally:
        close_unwritten(descriptor)


def abandoned_jobs(root: Path) -> list[str]:
    """Staging folders whose job is gone: what a crash left. Read-only.

    A job that a flushed intent names is not among them: what it staged is committed.
    """
    committed = pending_job(root)
    with contextlib.suppress(FileNotFoundError):
        return [
            entry
            for entry in sorted(os.listdir(root / layout.STAGING))
            if entry != committed and not is_held(root, entry)
        ]
    return []
