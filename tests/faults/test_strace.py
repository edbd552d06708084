"""Kill and starve the real command line from outside, with strace, at calls of the real system.

A first run under strace says at which of its calls the command changes the repository; the runs
after it are killed, or given an error, at a sample of them. A case in which nothing was injected
proves nothing and fails.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ledgerkit.api import Repository
from ledgerkit.repository import Archive

_TRACED = (
    "openat,write,pwrite64,rename,renameat2,mkdir,unlink,unlinkat,rmdir,chmod,fchmodat,"
    "fsync,syncfs,ftruncate"
)
_WRITING = ("O_CREAT", "O_WRONLY", "O_RDWR")
_SHARES = 4
_KILLS = 32
_ERRORS = 20


@pytest.fixture(autouse=True)
def strace() -> str:
    found = shutil.which("strace")
    if found is None or not _may_trace(found):
        assert os.environ.get("CI") != "true", "strace is missing or may not trace"
        pytest.skip("needs strace")
    return found


def _may_trace(strace: str) -> bool:
    return subprocess.run([strace, "-o", os.devnull, "true"], capture_output=True).returncode == 0


def _command(strace: str, root: Path, log: Path, *options: str) -> list[str]:
    traced = [strace, "-f", "-y", "-o", str(log), "-e", f"trace={_TRACED}", *options]
    return [
        *traced,
        sys.executable,
        "-m",
        "ledgerkit",
        "headers",
        "--workers",
        "1",
        "-C",
        str(root),
    ]


def _run(given: list[str]) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0"}
    return subprocess.run(
        given, capture_output=True, text=True, env=environment, timeout=60, check=False
    )


def _places(strace: str, root: Path, log: Path) -> list[tuple[str, int, str]]:
    """Calls of an undisturbed run that change the repository: name, ordinal of that name, line."""
    done = _run(_command(strace, root, log))
    assert done.returncode == 0, done.stderr
    counted: Counter[str] = Counter()
    found = []
    lines = log.read_text(errors="replace").splitlines()
    first = lines[0].split()[0]
    for line in lines:
        # strace counts each thread by itself, and only the first one does the same every time.
        match = re.match(rf"{first} +(\w+)\(", line)
        if not match:
            continue
        name = match[1]
        counted[name] += 1
        if name == "openat" and not any(flag in line for flag in _WRITING):
            continue
        if str(root) in line:
            found.append((name, counted[name], line))
    return found


def _sample(places: list[Any], count: int, share: int) -> list[Any]:
    chosen = [places[place * len(places) // count] for place in range(count)]
    return chosen[share::_SHARES]


def _check(root: Path, before: dict[str, Any], allowed: list[Any], tools: Any, where: str) -> None:
    names, state = tools
    with Archive(root).store.locked(wait=0):
        pass
    after = state(root)
    assert {path: after.get(path) for path in before} == before, where
    assert names(root) in allowed, where
    Repository.open(root).run("headers")
    assert names(root) == allowed[-1], where
    assert len(state(root)) == len(allowed[-1]), f"{where}: something is there twice"
    assert Repository.open(root).verify().findings == [], where


@pytest.mark.parametrize("share", range(_SHARES))
def test_a_command_killed_anywhere_is_finished_by_the_next(
    adopted: Repository, strace: str, copy: Any, names: Any, state: Any, tmp_path: Path, share: int
) -> None:
    """On an adopted repository: the command seals in one commit, and runs in another."""
    log = tmp_path / "log"
    allowed = _allowed(adopted.root, copy, names, None)
    places = _places(strace, copy(adopted.root), log)
    assert len(places) > _KILLS
    before = state(adopted.root)
    for name, ordinal, line in _sample(places, _KILLS, share):
        root = copy(adopted.root)
        inject = f"inject={name}:signal=KILL:when={ordinal}"
        done = _run(_command(strace, root, log, "-e", inject))
        where = f"killed at {name} number {ordinal}, as {line}"
        assert "+++ killed by SIGKILL" in log.read_text(errors="replace"), f"not {where}"
        assert done.returncode in (-9, 137), where
        _check(root, before, allowed, (names, state), where)


@pytest.mark.parametrize("share", range(_SHARES))
def test_a_full_or_failing_disk_ends_the_command_with_a_clear_error(
    adopted: Repository, strace: str, copy: Any, names: Any, state: Any, tmp_path: Path, share: int
) -> None:
    log = tmp_path / "log"
    # What was finished before the disk failed may be committed by itself.
    allowed = _allowed(adopted.root, copy, names, "1", "2", "3")
    places = _places(strace, copy(adopted.root), log)
    # To remove working files at the end may fail without a word: nothing depends on it.
    matter = [one for one in places if not one[0].startswith(("unlink", "rmdir"))]
    before = state(adopted.root)
    for place, (name, ordinal, line) in enumerate(_sample(matter, _ERRORS, share)):
        root = copy(adopted.root)
        error = "ENOSPC" if place % 2 and name != "mkdir" else "EIO"
        done = _run(
            _command(strace, root, log, "-e", f"inject={name}:error={error}:when={ordinal}")
        )
        where = f"{error} at {name} number {ordinal}, as {line}: {done.stderr}"
        assert "(INJECTED)" in log.read_text(errors="replace"), f"no {where}"
        assert done.returncode == 5, where
        assert done.stderr.startswith("Error: "), where
        assert "Traceback" not in done.stderr, where
        _check(root, before, allowed, (names, state), where)


def _allowed(start: Path, copy: Any, names: Any, *jobs: str | None) -> list[frozenset[str]]:
    """The states before, after the seal, and after runs on each of these selections in turn."""
    root = copy(start)
    found = [names(root)]
    Repository.open(root).consolidate()
    shutil.rmtree(root / "ledger")
    found.append(names(root))
    for plates in jobs:
        Repository.open(root).run("headers", plates=plates)
        found.append(names(root))
    return found


def test_the_places_cover_what_matters(adopted: Repository, strace: str, tmp_path: Path) -> None:
    places = _places(strace, adopted.root, tmp_path / "log")
    found = {name for name, _, _ in places}
    assert {"openat", "write", "mkdir", "renameat2", "fsync", "syncfs", "chmod"} <= found
    intent = [line for name, _, line in places if name == "rename" and "intent.json" in line]
    assert len(intent) == 2, json.dumps([line for _, _, line in places], indent=1)
