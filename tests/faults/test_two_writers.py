"""Several processes write to one repository at once: nothing is lost, nothing is there twice."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any

import click
import pytest

from ledgerkit.api import Repository
from ledgerkit.cli import cli
from ledgerkit.durable import Store
from ledgerkit.errors import RepositoryBusy
from ledgerkit.repository import Archive

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
        pytest.raises(
            RepositoryBusy, match=rf"process {holder.pid} on .*'-c.*since 20.*\(\d+ s\)"
        ) as raised,
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


READING = frozenset({
    "audit", "verify", "status", "query", "lineage", "diff", "compare", "cite",
    "policy show", "policy diff", "cache status", "log checkpoint", "log prove", "log verify", "log consistency",
    "log keygen", "export segments", "export figures", "export clusters", "export items",
    "export curated", "gates", "export embedding-atlas", "export csv", "atlas", "index", "search", "duplicates", "models list", "models path", "models show",
    "models verify", "names", "stale", "export sweep", "sweep judge", "sweep recommend", "sweep report",
    "sweep weigh",
})  # fmt: skip
"""Commands that write nothing into a repository; every other one waits for a writer as it is told."""


def _all_commands(group: click.Group, before: str = "") -> dict[str, click.Command]:
    found: dict[str, click.Command] = {}
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        below = f"{before}{name}"
        found |= (
            _all_commands(command, f"{below} ")
            if isinstance(command, click.Group)
            else {below: command}
        )
    return found


def test_every_command_that_writes_waits_as_long_as_it_is_told() -> None:
    for name, command in _all_commands(cli).items():
        waits = any("--wait" in option.opts for option in command.params)
        assert waits or name in READING, f"{name} writes, and has no --wait"


@pytest.mark.parametrize(
    "given",
    [
        "init",
        "ingest",
        "headers",
        "policy propose",
        "policy accept --by A --reason B",
        "consolidate",
    ],
)
def test_who_waits_in_vain_is_told_for_whom(
    tiny: Repository, scans: Path, command: Any, given: str
) -> None:
    tiny.run("headers")
    tiny.run("propose")
    words = given.split()
    words += ["--catalogue", str(scans / "data.json"), "--images", str(scans / "images")] * (
        given == "ingest"
    )
    more = [str(tiny.root)] if given == "init" else ["-C", str(tiny.root)]
    if given == "ingest":
        shutil.rmtree(tiny.root / "plates_structured")
        (tiny.root / "plates_structured").mkdir()
    with Store(tiny.root).locked():
        done = command(*words, *more, "--wait", "0.1")
    assert done.returncode == 4, done.stderr
    assert f"process {os.getpid()} on " in done.stderr
    assert "Traceback" not in done.stderr


def test_readers_take_no_lock(tiny: Repository, command: Any) -> None:
    tiny.run("headers")
    tiny.consolidate()
    asked = [["audit"], ["verify"], ["status"], ["query", "SELECT count(*) FROM plates"]]
    asked += [["lineage", "plate-001"], ["consolidate", "--check"], ["headers", "--dry-run"]]
    with Store(tiny.root).locked():
        for one in asked:
            done = command(*one, "-C", str(tiny.root), timeout=30)
            assert done.returncode == 0, (one, done.stderr)


def test_of_two_consolidators_from_one_base_one_wins_and_the_other_begins_anew(
    tiny: Repository,
) -> None:
    """The second finds that records came since it began to build, and builds from them again."""
    from ledgerkit.ledger import build

    tiny.run("headers", plates="1")
    real, built = build.build, []

    def build_and_be_overtaken(archive: Archive, *given: Any, **named: Any) -> Any:
        built.append(archive.log.index().size)
        answer = real(archive, *given, **named)
        if len(built) == 1:
            other = Repository.open(tiny.root)
            other.run("headers", plates="2,3")
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(build, "build", real)
                assert other.consolidate().rows["headers"] == 3
        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "build", build_and_be_overtaken)
        view = tiny.consolidate()
    assert len(built) == 2, "it did not begin anew"
    assert built[0] < built[1]
    assert view.rows["headers"] == 3
    assert tiny.consolidate(check=True).changed == []
    assert tiny.query("SELECT count(*) FROM headers").item() == 3


def test_of_eight_that_make_one_name_exactly_one_succeeds(tiny: Repository) -> None:
    """Also a name that another process takes between the look and the rename is never replaced."""
    script = """
from ledgerkit.disk import disk_errors, move_new
from ledgerkit.errors import CommitFailed
number = sys.argv[2]
store = repository._archive.store
store.write_new(f"staged-{number}", number.encode())
failed = 0
for attempt in range(50):
    try:
        store.write_new(f"direct-{attempt}", number.encode())
    except CommitFailed:
        failed += 1
    try:
        with disk_errors("name"):
            move_new(store.hold(), f"staged-{number}", "renamed")
    except CommitFailed:
        failed += 1
print(failed, flush=True)
"""
    writers = [_writer(tiny.root, script, number) for number in range(8)]
    for writer in writers:
        assert _line(writer.stdout) == "ready"
    for writer in writers:
        _say(writer.stdin)
    failed = 0
    for writer in writers:
        told, errors = writer.communicate(timeout=60)
        assert writer.returncode == 0, errors
        failed += int(told)
    made = list(tiny.root.glob("direct-*"))
    assert len(made) == 50
    assert all(path.read_bytes() in [b"%d" % number for number in range(8)] for path in made)
    kept = (tiny.root / "renamed").read_bytes()
    assert not (tiny.root / f"staged-{kept.decode()}").exists()
    assert len(list(tiny.root.glob("staged-*"))) == 7
    assert failed == 8 * 100 - 50 - 1
