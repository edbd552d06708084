"""A disk that is really full, and one that is really read-only: a clear error, and the old state.

As root on Linux a small memory file system is mounted. Where that is not permitted, the process may
write no file larger than a few bytes (`RLIMIT_FSIZE`), or its folders lose their write permission.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledgerkit.api import Repository
from ledgerkit.testing import states


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path | None]:
    """A file system of 4 MiB; None where none can be mounted."""
    folder = tmp_path / "small"
    folder.mkdir()
    given = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    mount = shutil.which("mount")
    if mount is None or subprocess.run(given, capture_output=True).returncode != 0:
        yield None
        return
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def _limited() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (512, 512))


def _headers(root: Path, limited: bool = False) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ledgerkit", "headers", "--workers", "1", "-C", str(root)],
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=_limited if limited else None,
    )


def _check_refused(done: subprocess.CompletedProcess[str], root: Path, before: states.Raw) -> None:
    assert done.returncode == 5, done
    assert done.stderr.startswith("Error: cannot "), done.stderr
    assert "Traceback" not in done.stderr
    assert states.raw(root) == before


def _check_well_again(root: Path) -> None:
    assert _headers(root).returncode == 0
    assert [len(plate.runs) for plate in Repository.open(root).plates()] == [1, 1, 1]
    assert Repository.open(root).verify().findings == []


def test_a_full_disk_leaves_the_old_state_and_says_so(tiny: Repository, small: Path | None) -> None:
    root = tiny.root if small is None else Path(shutil.copytree(tiny.root, small / "archive"))
    before = states.raw(root)
    if small is not None:
        with (small / "ballast").open("wb") as ballast, contextlib.suppress(OSError):
            while True:
                os.write(ballast.fileno(), bytes(4096))
    done = _headers(root, limited=small is None)
    _check_refused(done, root, before)
    if small is not None:
        assert "Free some space" in done.stderr
        (small / "ballast").unlink()
    _check_well_again(root)


def test_a_read_only_disk_leaves_the_old_state_and_says_so(
    tiny: Repository, small: Path | None
) -> None:
    root = tiny.root if small is None else Path(shutil.copytree(tiny.root, small / "archive"))
    before = states.raw(root)
    if small is None:
        os.chmod(root / ".ledgerkit", 0o555)
        os.chmod(root / ".ledgerkit" / "lock", 0o444)
    else:
        subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
    _check_refused(_headers(root), root, before)
    reading = subprocess.run(
        [sys.executable, "-m", "ledgerkit", "verify", "-C", str(root)],
        capture_output=True,
        text=True,
    )
    assert reading.returncode == 0, reading.stderr
    if small is None:
        os.chmod(root / ".ledgerkit", 0o755)
        os.chmod(root / ".ledgerkit" / "lock", 0o644)
    else:
        subprocess.run(["mount", "-o", "remount,rw", str(small)], check=True)
    _check_well_again(root)
