"""Several processes write to one repository at once: nothing is lost, nothing is there twice."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

import pytest

from ledgerkit.api import Repository
from ledgerkit.durable import Store
from ledgerkit.errors import RepositoryBusy

_START = """
import sys
from ledgerkit.api import Repository
import ledgerkit.engine, ledgerkit.operations.headers, ledgerkit.ingest
print("ready", flush=True)
sys.stdin.readline()
repository = Repository.open(sys.argv[1])
"""
_HEADERS = "repository.run('headers')"
_HOLD = """
with repository._archive.store.locked():
    print("holding", flush=True)
    sys.stdin.readline()
"""


def _writer(root: Path, script: str, *arguments: object) -> subprocess.Popen[str]:
    given = [sys.executable, "-c", _START + script, str(root), *map(str, arguments)]
    return subprocess.Popen(
        given, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def _line(stream: IO[str] | None) -> str:
    assert stream is not None
    ready, _, _ = select.select([stream], [], [], 60)
    assert ready, "the writer says nothing"
    return stream.readline().strip()


def _say(stream: IO[str] | None) -> None:
    assert stream is not None
    stream.write("\n")
    stream.flush()


def _all_at_once(writers: list[subprocess.Popen[str]]) -> None:
    for writer in writers:
        assert _line(writer.stdout) == "ready"
    for writer in writers:
        _say(writer.stdin)
    for writer in writers:
        _, errors = writer.communicate(timeout=60)
        assert writer.returncode == 0, errors


def test_writers_of_the_same_work_make_it_once(tiny: Repository) -> None:
    _all_at_once([_writer(tiny.root, _HEADERS) for _ in range(3)])
    assert [len(plate.runs) for plate in tiny.plates()] == [1, 1, 1]
    assert tiny.verify().findings == []


def test_writers_of_different_work_lose_nothing(tiny: Repository) -> None:
    scripts = [f"repository.run('headers', plates='{number}')" for number in (1, 2, 3)]
    _all_at_once([_writer(tiny.root, script) for script in [*scripts, "repository.consolidate()"]])
    assert [len(plate.runs) for plate in tiny.plates()] == [1, 1, 1]
    assert tiny.verify().findings == []


def test_forced_writers_all_make_their_runs_with_ids_of_their_own(tiny: Repository) -> None:
    script = "repository.run('headers', force=True)"
    _all_at_once([_writer(tiny.root, script) for _ in range(3)])
    assert [len(plate.runs) for plate in tiny.plates()] == [3, 3, 3]
    assert tiny.verify().findings == []


def test_first_writers_to_an_adopted_repository_do_not_block_it(adopted: Repository) -> None:
    """Both find no repository.json and want to add it: one does, and both go on."""
    for _ in range(3):
        _all_at_once([_writer(adopted.root, _HEADERS) for _ in range(3)])
    assert [len(plate.runs) for plate in adopted.plates()] == [1, 1, 1]
    assert len(list(adopted.root.glob("repository.json"))) == 1
    adopted.consolidate()
    assert adopted.verify().findings == []


def test_two_ingests_of_one_catalogue_take_each_plate_once(tmp_path: Path, scans: Path) -> None:
    root = tmp_path / "archive"
    repository = Repository.init(root)
    script = "repository.ingest(sys.argv[2], sys.argv[3])"
    given = (scans / "data.json", scans / "images")
    writers = [_writer(root, script, *given) for _ in range(3)]
    for writer in writers:
        assert _line(writer.stdout) == "ready"
    for writer in writers:
        _say(writer.stdin)
    for writer in writers:
        _, errors = writer.communicate(timeout=60)
        # The slower one may be told that somebody else took the plates in; never a traceback.
        assert writer.returncode == 0 or "CommitFailed" in errors, errors
    assert len(repository.plates()) == 3
    assert repository.run("headers").complete == 3
    repository.consolidate()
    assert repository.verify().findings == []


def test_a_busy_repository_names_who_holds_it(tiny: Repository) -> None:
    holder = _writer(tiny.root, _HOLD)
    assert _line(holder.stdout) == "ready"
    _say(holder.stdin)
    assert _line(holder.stdout) == "holding"
    with (
        pytest.raises(RepositoryBusy, match=re.escape(f'"pid": {holder.pid}')) as raised,
        Store(tiny.root).locked(wait=0.05),
    ):
        pass
    assert raised.value.exit_code == 4
    began = time.monotonic()
    with pytest.raises(RepositoryBusy):
        tiny.run("headers", wait=0.05)
    assert time.monotonic() - began < 5, "it waits longer than it was told to"
    assert [plate.runs for plate in tiny.plates()] == [[], [], []]
    _say(holder.stdin)
    holder.communicate(timeout=60)
    assert tiny.run("headers", wait=0.05).complete == 3


def test_the_lock_dies_with_its_holder(tiny: Repository) -> None:
    holder = _writer(tiny.root, _HOLD)
    assert _line(holder.stdout) == "ready"
    _say(holder.stdin)
    assert _line(holder.stdout) == "holding"
    os.kill(holder.pid, signal.SIGKILL)
    holder.communicate(timeout=60)
    began = time.monotonic()
    with Store(tiny.root).locked(wait=0):
        pass
    assert time.monotonic() - began < 5
    assert tiny.run("headers").complete == 3
