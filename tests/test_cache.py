"""Derived pixels can be taken away and come back bit for bit, or stay where they are."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ledgerkit import layout
from ledgerkit.api import Repository
from ledgerkit.cache import evict as eviction
from ledgerkit.cache.folders import CacheFolder
from ledgerkit.errors import UsageError
from ledgerkit.operations import normalize
from ledgerkit.records import Run
from ledgerkit.repository import Archive
from ledgerkit.testing.crash import kill_at, steps

Command = Callable[..., subprocess.CompletedProcess[str]]
FIRST = "plate-001"


def folder_of(repository: Repository, plate: str = FIRST) -> CacheFolder:
    return next(one for one in repository.cache(plate).folders if one.current)


def pixels(repository: Repository) -> dict[str, tuple[bytes, int]]:
    """Bytes and mode of every derived file, by path."""
    return {
        str(path.relative_to(repository.root)): (path.read_bytes(), path.stat().st_mode)
        for path in repository.root.glob("plates_structured/*/cache/**/*")
        if path.is_file()
    }


def events(repository: Repository, name: str) -> list[Run]:
    """Events of a name on the collection and the first plate, oldest first."""
    archive = Archive(repository.root)
    runs = [*archive.runs(layout.COLLECTION), *archive.runs(FIRST)]
    return [run for run in runs if run.operation == name]


def codes(repository: Repository) -> set[str]:
    return {finding.code for finding in repository.audit().findings}


def lose(repository: Repository, plate: str = FIRST) -> None:
    """Delete a cache folder as somebody does who knows no better."""
    folder = repository.root / folder_of(repository, plate).folder
    os.chmod(folder, 0o755)
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


def test_what_is_evicted_comes_back_bit_for_bit(worked: Repository) -> None:
    before, found = pixels(worked), folder_of(worked)
    gone = worked.evict(plates=FIRST)
    assert gone.sound
    assert (gone.folders, gone.bytes, gone.left) == ([found.folder], found.bytes, [])
    assert not (worked.root / found.folder).exists()
    assert len(pixels(worked)) == len(before) - 1
    assert folder_of(worked).state == "evicted"
    assert "CACHE_MISSING" not in codes(worked)
    back = worked.restore_cache(plates=FIRST)
    assert back.sound
    assert (back.folders, back.bytes) == ([found.folder], found.bytes)
    assert pixels(worked) == before
    assert (worked.root / found.folder).stat().st_mode & 0o777 == 0o555
    assert (folder_of(worked).state, worked.verify().sound) == ("present", True)
    assert worked.evict(plates=FIRST).folders == worked.restore_cache(plates=FIRST).folders
    assert pixels(worked) == before


def test_trial_eviction_and_restoration_are_recorded(worked: Repository) -> None:
    found = folder_of(worked)
    gone = worked.evict(found.run_id)
    back = worked.restore_cache(found.run_id)
    worked.consolidate()
    page = (Path(__file__).parent.parent / "docs" / "queries.md").read_text("utf-8")
    sql = page.partition("## Evictions and restorations")[2].split("```")[1].removeprefix("sql")
    assert [(row["operation"], row["folder"]) for row in worked.query(sql).to_dicts()] == [
        ("evict", found.folder),
        ("restore", found.folder),
    ]
    (evicted,), (restored,) = events(worked, "evict"), events(worked, "restore")
    assert ([evicted.run_id], [restored.run_id]) == (gone.run_ids, back.run_ids)
    assert (evicted.event_type, restored.event_type) == ("deletion", "creation")
    assert evicted.parameters == {
        "bytes": found.bytes, "folders": [found.folder], "reason": None, "unrecoverable": False,
    }  # fmt: skip
    assert restored.parameters == {"bytes": found.bytes, "folders": [found.folder]}
    trials = events(worked, "rerun")
    for event, trial in zip((evicted, restored), trials, strict=True):
        assert {(given.role, given.run_id) for given in event.inputs} == {
            ("record", found.run_id),
            ("rerun", trial.run_id),
        }
        assert [gate.passed for gate in trial.gates] == [True, True]


def test_operations_that_need_evicted_pixels_say_what_brings_them_back(
    worked: Repository, command: Command
) -> None:
    found = folder_of(worked)
    worked.evict(found.run_id)
    job = worked.run("segment", force=True, workers=1)
    (blocked,) = job.blocked
    assert blocked.hint == f"Bring them back with: ledgerkit cache restore --plates {FIRST}"
    segment = next(run for run in Archive(worked.root).runs(FIRST) if run.operation == "segment")
    (blocked,) = worked.rerun(segment.run_id).blocked
    assert blocked.hint == f"Bring them back with: ledgerkit cache restore {found.run_id}"
    assert command("cache", "restore", "-C", worked.root, found.run_id).returncode == 0
    assert not worked.run("segment", force=True, plates=FIRST).blocked


@pytest.fixture
def other_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    write = normalize._write
    monkeypatch.setattr(
        normalize, "_write", lambda image, *rest: write(image.invert().copy(), *rest)
    )


def test_nothing_is_evicted_that_the_trial_does_not_give_again(
    worked: Repository, other_pixels: None
) -> None:
    before = pixels(worked)
    view = worked.evict(plates=FIRST)
    (refused,) = view.refused
    assert "did not give the same bytes: cache/whole.jpg: differs" in refused.message
    assert (view.folders, view.run_ids, view.sound) == ([], [], False)
    assert pixels(worked) == before
    assert events(worked, "evict") == []
    assert [gate.passed for gate in events(worked, "rerun")[0].gates] == [False, False]
    found = folder_of(worked)
    assert not found.evictable
    assert "gave other bytes: cache/whole.jpg" in found.why


def test_pixels_that_may_be_lost_are_given_up_for_a_reason(
    worked: Repository, other_pixels: None
) -> None:
    with pytest.raises(UsageError, match="for a reason"):
        worked.evict(plates=FIRST, unrecoverable=True, reason=" ")
    view = worked.evict(plates=FIRST, unrecoverable=True, reason="the scanner was at fault")
    assert len(view.folders) == 1
    (event,) = events(worked, "evict")
    assert event.parameters["unrecoverable"] is True
    assert event.parameters["reason"] == "the scanner was at fault"
    assert events(worked, "rerun") == []
    refused = worked.restore_cache(plates=FIRST)
    assert "did not give the same bytes" in refused.refused[0].message
    assert (refused.folders, events(worked, "restore")) == ([], [])
    assert folder_of(worked).state == "evicted"


def test_changed_pixels_are_left_where_they_are(worked: Repository) -> None:
    found = folder_of(worked)
    path = worked.root / found.folder / "whole.jpg"
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    os.chmod(path, 0o644)
    path.write_bytes(data)
    for how in ({}, {"unrecoverable": True, "reason": "a test"}):
        (refused,) = worked.evict(found.run_id, **how).refused
        assert "recorded SHA-256" in refused.message
    assert path.read_bytes() == data


def test_files_that_no_record_lists_stay_and_are_named(worked: Repository) -> None:
    found = folder_of(worked)
    folder = worked.root / found.folder
    os.chmod(folder, 0o755)
    (folder / "notes.txt").write_text("mine")
    view = worked.evict(found.run_id)
    assert view.left == [f"{found.folder}/notes.txt"]
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]
    assert folder.stat().st_mode & 0o777 == 0o555
    (refused,) = worked.restore_cache(found.run_id).refused
    assert "nothing is put beside what lies there" in refused.message
    assert (folder / "notes.txt").read_text() == "mine"


def test_pixels_lost_without_an_event_are_a_finding_and_come_back(worked: Repository) -> None:
    before = pixels(worked)
    lose(worked)
    assert "CACHE_MISSING" in codes(worked)
    assert folder_of(worked).state == "missing"
    assert len(worked.restore_cache().folders) == 1
    assert pixels(worked) == before
    assert "CACHE_MISSING" not in codes(worked)


def test_equal_pixels_in_other_bytes_become_a_superseding_run(
    worked: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyvips

    def save(image: Any, target: Any, **options: Any) -> None:
        pyvips.Operation.call("jpegsave_target", image, target, optimize_coding=True, **options)

    before, old = pixels(worked), folder_of(worked)
    worked.evict(old.run_id)
    monkeypatch.setattr(pyvips.Image, "jpegsave_target", save, raising=False)
    view = worked.restore_cache(old.run_id)
    new = folder_of(worked)
    assert view.sound
    assert (view.folders, view.superseded) == ([], {old.run_id: new.run_id})
    run = Archive(worked.root).run(FIRST, new.run_id)
    assert run.supersedes is not None
    assert (run.supersedes.run_id, new.state) == (old.run_id, "present")
    assert run.task_id == Archive(worked.root).run(FIRST, old.run_id).task_id
    assert pixels(worked).keys() - before.keys() == {f"{new.folder}/whole.jpg"}
    (row,) = Path(worked.root / run.folder / "outputs/tiles.jsonl").read_text().splitlines()
    (image,) = [output for output in run.outputs if output.role == "derivative"]
    assert json.loads(row)["image_sha256"] == image.sha256
    assert worked.audit().sound


def test_only_what_is_wanted_away_goes(worked: Repository) -> None:
    with pytest.raises(UsageError, match="nothing is chosen"):
        worked.evict()
    with pytest.raises(UsageError, match="no derived pixels"):
        worked.evict("run-20200101-000000Z-0123456789ab")
    assert worked.evict(older_than=1).folders == []
    assert worked.evict(superseded=True).folders == []
    first = folder_of(worked)
    worked.run("normalize", plates=FIRST, force=True)
    newest = folder_of(worked)
    assert worked.evict(superseded=True).folders == [first.folder]
    everything = worked.cache()
    assert everything.present_bytes == sum(len(data) for data, _ in pixels(worked).values())
    there = sorted(
        (one for one in everything.folders if one.present_files), key=lambda one: one.run_id
    )
    room = everything.present_bytes - there[0].bytes - 1
    assert worked.evict(to=room, workers=2).folders == [one.folder for one in there[:2]]
    assert folder_of(worked).folder == newest.folder
    assert worked.cache().present_bytes <= room


def test_a_crash_between_the_event_and_the_removal_is_finished_later(
    worked: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, found = pixels(worked), folder_of(worked)
    with monkeypatch.context() as patched:
        patched.setattr(eviction, "remove_files", _die)
        with pytest.raises(MemoryError):
            worked.evict(found.run_id)
    assert pixels(worked) == before
    assert len(events(worked, "evict")) == 1
    assert folder_of(worked).state == "leaving"
    assert worked.verify().sound
    assert worked.audit().sound
    view = worked.evict(older_than=1)
    assert (view.finished, view.folders) == ([found.folder], [])
    assert folder_of(worked).state == "evicted"
    worked.restore_cache(found.run_id)
    assert pixels(worked) == before


def _die(*_: object) -> None:
    raise MemoryError


def test_killed_at_any_step_of_an_eviction_pixels_are_there_or_gone_and_come_back(
    worked: Repository, tmp_path: Path
) -> None:
    """The trial is left out: libvips has threads, and a forked child has not."""
    found, before = folder_of(worked), pixels(worked)

    def act(root: Path) -> Callable[[], object]:
        return lambda: Repository.open(root).evict(
            found.run_id, unrecoverable=True, reason="a test"
        )

    trial = tmp_path / "counted"
    shutil.copytree(worked.root, trial, symlinks=True)
    count = len(steps(act(trial), trial))
    assert count > 10
    seen = set()
    for step in sorted({*range(0, count, 12), *range(count * 3 // 4, count, 2), count - 1}):
        root = tmp_path / f"killed-{step}"
        shutil.copytree(worked.root, root, symlinks=True)
        kill_at(step, act(root), root)
        again = Repository.open(root)
        assert again.audit().sound, step
        again.evict(older_than=1)
        state = folder_of(again).state
        seen.add(state)
        assert again.verify().sound, step
        if state == "evicted":
            again.restore_cache(found.run_id)
        assert pixels(again) == before, step
        shutil.rmtree(root, onerror=_writable)
    assert seen == {"present", "evicted"}


def _writable(function: Callable[[str], object], path: str, _: object) -> None:
    os.chmod(os.path.dirname(path), 0o755)
    function(path)


def test_the_commands_say_what_there_is_and_what_was_done(
    worked: Repository, command: Command
) -> None:
    shown = command("cache", "status", "-C", worked.root)
    assert shown.returncode == 0
    assert "4 of 4 folders" in shown.stdout
    assert shown.stdout.count("evictable  not tried yet") == 4
    done = command("cache", "evict", "-C", worked.root, "--to", "0.0kB", "--workers", 2)
    assert (done.returncode, done.stdout.startswith("evict: 4 folders")) == (0, True), done.stderr
    assert "0 B in 0 of 4 folders" in command("cache", "status", "-C", worked.root).stdout
    done = command("cache", "restore", "-C", worked.root, "--json")
    assert len(json.loads(done.stdout)["folders"]) == 4
    assert command("cache", "evict", "-C", worked.root, "--to", "lots").returncode == 2


def test_what_a_replica_gave_back_is_evicted_no_more(worked: Repository, tmp_path: Path) -> None:
    replica = tmp_path / "replica"
    shutil.copytree(worked.root, replica, symlinks=True)
    found = folder_of(worked)
    worked.evict(plates=FIRST)
    given = worked.restore_source([FIRST], replica, cache=True)
    assert given.failures == []
    assert (worked.root / found.folder).is_dir()
    worked.restore_cache(plates="plate-002")
    assert worked.evict(older_than=9999).finished == []
    assert (worked.root / found.folder).is_dir()
    assert folder_of(worked).state != "leaving"
    assert worked.verify().sound


def test_an_eviction_takes_only_files_that_have_their_recorded_bytes(worked: Repository) -> None:
    found = folder_of(worked)
    listed = sorted(path.name for path in (worked.root / found.folder).iterdir())
    worked.evict(plates=FIRST)
    mine = worked.root / found.folder / listed[0]
    mine.parent.mkdir()
    mine.write_bytes(b"my only copy")
    worked.restore_cache(plates="plate-002")
    worked.evict(older_than=9999)
    assert mine.read_bytes() == b"my only copy"
