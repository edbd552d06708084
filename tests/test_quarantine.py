"""`quarantine`, `compare` and `restore-source`: damage is moved away, seen, and mended from a replica."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ledgerkit import layout
from ledgerkit.api import Repository
from ledgerkit.errors import LedgerkitError, LogInvalid, MissingInput, UsageError
from ledgerkit.relocation import PLAN
from ledgerkit.testing.crash import kill_at, steps

WHO = {"reason": "nobody listed it", "by": "A. Curator"}


@pytest.fixture
def replica(tiny: Repository, tmp_path: Path) -> Repository:
    """A copy of `tiny` with one run each, made before anything is spoiled."""
    tiny.run("headers")
    root = tmp_path / "replica"
    shutil.copytree(tiny.root, root, symlinks=True)
    return Repository.open(root)


def source_of(repository: Repository, place: int = 0) -> str:
    return str(repository.plates()[place].source_path)


def flip(path: Path) -> bytes:
    """One bit of a file changed, size and times kept; the bytes before."""
    before, times = path.read_bytes(), path.stat()
    path.chmod(0o644)
    path.write_bytes(bytes([before[0] ^ 1]) + before[1:])
    path.chmod(0o444)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    return before


def folder_modes(root: Path) -> dict[str, int]:
    return {
        str(path.relative_to(root)): path.stat().st_mode & 0o777
        for top in (layout.PLATES, layout.RUNS)
        for path in [root / top, *(root / top).rglob("*")]
        if path.is_dir()
    }


def test_an_unlisted_file_moves_away_and_back_with_both_on_record(tiny: Repository) -> None:
    path = "plates_structured/plate-001/source/notes.txt"
    (tiny.root / path).parent.chmod(0o755)
    (tiny.root / path).write_bytes(b"planted")
    (tiny.root / path).parent.chmod(0o555)
    modes = folder_modes(tiny.root)
    moved = tiny.quarantine(path, **WHO)
    assert not (tiny.root / path).exists()
    assert (tiny.root / moved.lies_at).read_bytes() == b"planted"
    assert folder_modes(tiny.root).items() >= modes.items()
    (listed,) = tiny.quarantined()
    assert (listed.path, listed.by, listed.reason) == (path, WHO["by"], WHO["reason"])
    assert (listed.sound, listed.run_id, listed.sha256) == (False, moved.run_id, moved.sha256)
    assert tiny.verify().sound
    tiny.release(moved.quarantine_id, reason="it was ours", by="A. Curator")
    assert (tiny.root / path).read_bytes() == b"planted"
    assert tiny.quarantined() == []
    assert folder_modes(tiny.root).items() >= modes.items()
    runs = [run for run in tiny._archive.runs("collection") if run.operation == "quarantine"]
    assert [run.agent.person for run in runs] == ["A. Curator"] * 2
    (output,) = runs[1].outputs
    row = json.loads((tiny.root / output.path).read_bytes())
    assert (row["what"], row["to"], row["sha256"]) == ("released", path, moved.sha256)


def test_nothing_is_released_over_a_name(tiny: Repository) -> None:
    path = "runs/stray"
    (tiny.root / path).write_bytes(b"first")
    moved = tiny.quarantine(path, **WHO)
    (tiny.root / path).write_bytes(b"second")
    with pytest.raises(UsageError, match="taken"):
        tiny.release(moved.quarantine_id, **WHO)
    assert (tiny.root / path).read_bytes() == b"second"
    assert (tiny.root / moved.lies_at).read_bytes() == b"first"


def test_sound_evidence_stays_unless_one_insists(tiny: Repository) -> None:
    path = source_of(tiny)
    with pytest.raises(UsageError, match="has its recorded bytes"):
        tiny.quarantine(path, **WHO)
    with pytest.raises(UsageError, match="and 2 more with it"):
        tiny.quarantine("plates_structured/plate-001", **WHO)
    assert tiny.quarantine(path, even_if_sound=True, **WHO).sound is True
    assert not (tiny.root / path).exists()


@pytest.mark.parametrize(
    "path",
    ["log", "log/checkpoint", ".ledgerkit/lock", "plates_structured", "runs", "../x", "/etc"],
)
def test_what_the_repository_stands_on_is_not_moved(tiny: Repository, path: str) -> None:
    with pytest.raises(LedgerkitError):
        tiny.quarantine(path, even_if_sound=True, **WHO)
    assert (tiny.root / "log" / "checkpoint").exists()


def test_links_and_names_without_utf8_are_moved_unopened(tiny: Repository, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"not ours")
    name = b"plates_structured/plate-001/runs/\xff.txt"
    folder = tiny.root / "plates_structured" / "plate-001" / "runs"
    folder.mkdir(exist_ok=True)
    (folder / "link").symlink_to(outside)
    Path(os.fsdecode(os.fsencode(tiny.root) + b"/" + name)).write_bytes(b"odd")
    tiny.quarantine("plates_structured/plate-001/runs/link", **WHO)
    moved = tiny.quarantine(os.fsdecode(name), **WHO)
    assert os.listdir(folder) == []
    assert outside.read_bytes() == b"not ours"
    assert {one.sha256 for one in tiny.quarantined()} == {None, moved.sha256}
    tiny.release(moved.quarantine_id, **WHO)
    assert os.listdir(os.fsencode(folder)) == [b"\xff.txt"]


def test_a_reason_and_a_name_are_needed_and_something_must_lie_there(tiny: Repository) -> None:
    with pytest.raises(UsageError, match="somebody for a reason"):
        tiny.quarantine("runs/x", reason="", by="A. Curator")
    with pytest.raises(MissingInput, match="nothing lies at"):
        tiny.quarantine("runs/x", **WHO)
    with pytest.raises(MissingInput, match="nothing lies in quarantine"):
        tiny.release("quarantine-x", **WHO)


def test_equal_repositories_are_equal_at_both_depths(tiny: Repository, replica: Repository) -> None:
    for depth in ("quick", "full"):
        view = tiny.compare(replica.root, depth=depth)
        assert (view.equal, view.log, view.differences) == (True, "same", [])


def test_a_flipped_bit_is_seen_and_the_log_says_who_is_right(
    tiny: Repository, replica: Repository
) -> None:
    path, other = source_of(tiny), source_of(tiny, 1)
    flip(tiny.root / path)
    flip(replica.root / other)
    assert tiny.compare(replica.root).equal
    view = tiny.compare(replica.root, depth="full")
    assert [(one.path, one.state, one.proved) for one in view.differences] == [
        (path, "differs", "there"),
        (other, "differs", "here"),
    ]
    assert view.by_subject == {"plate-001": 1, "plate-002": 1}
    assert [one.proved for one in replica.compare(tiny.root, depth="full").differences] == [
        "here",
        "there",
    ]


def test_logs_are_told_apart_by_who_is_ahead_and_where_they_part(
    tiny: Repository, replica: Repository
) -> None:
    size = tiny.compare(replica.root).entries_here
    tiny.run("measure")
    ahead = tiny.compare(replica.root)
    assert (ahead.log, ahead.common_entries) == ("here-is-ahead", size)
    assert replica.compare(tiny.root).log == "there-is-ahead"
    assert {one.proved for one in ahead.differences if "/runs/" in one.path} == {"here"}
    replica.run("measure", plates="plate-002")
    apart = tiny.compare(replica.root)
    assert apart.log == "diverged"
    assert apart.common_entries == size


def test_a_damaged_log_on_one_side_leaves_the_word_to_the_other(
    tiny: Repository, replica: Repository
) -> None:
    path = source_of(tiny)
    flip(tiny.root / path)
    for bundle in (tiny.root / "log" / "tile" / "entries" / "000.p").iterdir():
        bundle.write_bytes(b"")
    view = tiny.compare(replica.root, depth="full")
    assert (view.log, view.common_entries) == ("here-damaged", None)
    assert {one.path: one.proved for one in view.differences}[path] == "there"


def test_comparing_writes_nothing_on_either_side(tiny: Repository, replica: Repository) -> None:
    flip(tiny.root / source_of(tiny))
    roots = (tiny.root, replica.root)
    before = [{path: path.lstat().st_mtime_ns for path in root.rglob("*")} for root in roots]
    tiny.compare(replica.root, depth="full")
    after = [{path: path.lstat().st_mtime_ns for path in root.rglob("*")} for root in roots]
    assert after == before


def test_a_damaged_and_a_missing_source_come_back_with_the_damaged_one_kept(
    tiny: Repository, replica: Repository
) -> None:
    path, gone = source_of(tiny), source_of(tiny, 1)
    modes = folder_modes(tiny.root)
    good = flip(tiny.root / path)
    bad = (tiny.root / path).read_bytes()
    (tiny.root / gone).parent.chmod(0o755)
    (tiny.root / gone).unlink()
    (tiny.root / gone).parent.chmod(0o555)
    view = tiny.restore_source(["plate-001", "plate-002"], replica.root, by="A. Curator")
    assert (view.sound, len(view.run_ids)) == (True, 2)
    assert [one.moved_to for one in view.restored] == [path, gone]
    assert (tiny.root / path).read_bytes() == good
    assert (tiny.root / path).stat().st_mode & 0o777 == 0o444
    (held,) = tiny.quarantined()
    assert (tiny.root / held.lies_at).read_bytes() == bad
    assert folder_modes(tiny.root).items() >= modes.items()
    assert tiny.verify().sound
    assert not (tiny.root / PLAN).exists()
    run = tiny._archive.runs("collection")[-1]
    assert run.operation == "restore-source"
    assert run.inputs == []
    assert str(replica.root) not in (tiny.root / run.folder / "run.json").read_text()
    assert run.parameters["repository"].startswith("ledgerkit/")
    assert tiny.restore_source("plate-001", replica.root).run_ids == []


def test_a_whole_run_folder_comes_back_from_its_record_on(
    tiny: Repository, replica: Repository
) -> None:
    run = tiny._archive.run_ids("plate-001")[0]
    folder = tiny.root / layout.run_folder("plate-001", run)
    modes = folder_modes(tiny.root)
    shutil.rmtree(folder)
    view = tiny.restore_source(layout.run_folder("plate-001", run), replica.root)
    assert view.sound
    assert folder_modes(tiny.root).items() >= modes.items()
    assert tiny.compare(replica.root, depth="full").by_subject.keys() <= {"collection", "log"}
    assert tiny.verify().sound
    assert tiny.audit().sound


def test_bytes_without_the_recorded_digest_are_never_taken(
    tiny: Repository, replica: Repository
) -> None:
    path = source_of(tiny)
    flip(tiny.root / path)
    bad = (tiny.root / path).read_bytes()
    target = replica.root / path
    target.chmod(0o644)
    target.write_bytes(bad[::-1])
    view = tiny.restore_source("plate-001", replica.root)
    assert [one.error for one in view.failures] == ["DigestMismatch"]
    assert (view.restored, view.run_ids) == ([], [])
    assert (tiny.root / path).read_bytes() == bad
    assert tiny.quarantined() == []


def test_another_repository_is_no_replica(tiny: Repository, tmp_path: Path, scans: Path) -> None:
    other = Repository.init(tmp_path / "other")
    other.ingest(scans / "data.json", scans / "images")
    with pytest.raises(UsageError, match="another repository"):
        tiny.restore_source("plate-001", other.root)
    assert tiny.compare(other.root).log == "other-repository"


def test_a_damaged_log_of_our_own_proves_nothing(tiny: Repository, replica: Repository) -> None:
    for bundle in (tiny.root / "log" / "tile" / "entries" / "000.p").iterdir():
        bundle.write_bytes(b"")
    with pytest.raises(LogInvalid):
        tiny.restore_source("plate-001", replica.root)


def copied(root: Path, target: Path) -> Path:
    if target.exists():
        shutil.rmtree(target)
    shutil.copytree(root, target, symlinks=True)
    return target


def test_a_restore_that_is_killed_anywhere_is_carried_on_by_the_next(
    tiny: Repository, replica: Repository, tmp_path: Path
) -> None:
    path = source_of(tiny)
    modes = folder_modes(tiny.root)
    good = flip(tiny.root / path)
    root = copied(tiny.root, tmp_path / "again")
    told = steps(lambda: Repository.open(root).restore_source("plate-001", replica.root), root)
    for step in [step for step, text in enumerate(told) if not text.startswith("mkdir ")][::2]:
        copied(tiny.root, root)
        action = lambda: Repository.open(root).restore_source("plate-001", replica.root)  # noqa: E731
        assert kill_at(step, action, root)
        again = Repository.open(root)
        again.recover()
        again.restore_source("plate-001", replica.root)
        assert (root / path).read_bytes() == good, told[step]
        assert folder_modes(root).items() >= modes.items(), told[step]
        names = [run.operation for run in again._archive.runs("collection")]
        assert names.count("quarantine") == 1, told[step]
        assert names.count("restore-source") == 1, told[step]
        assert len(again.quarantined()) == 1
        assert again.recover(dry_run=True).actions == [], told[step]
        assert again.verify().sound, told[step]


def test_the_commands_say_what_they_did(
    tiny: Repository, replica: Repository, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    path = source_of(tiny)
    flip(tiny.root / path)
    done = command("compare", replica.root, "-C", tiny.root, "--depth", "full")
    assert (done.returncode, "proved: there" in done.stdout) == (1, True), done.stderr
    done = command("restore-source", "plate-001", "--from", replica.root, "-C", tiny.root)
    assert (done.returncode, "1 restored" in done.stdout) == (0, True), done.stderr
    done = command("quarantine", "--list", "-C", tiny.root, "--json")
    assert json.loads(done.stdout)[0]["path"] == path
    done = command("recover", "-C", tiny.root)
    assert (done.returncode, done.stdout) == (0, "Nothing to recover.\n"), done.stderr
    assert command("quarantine", "-C", tiny.root).returncode == 2
