"""`recover`: what a crash left is finished or set aside, on record, whatever dies on the way."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ledgerkit import layout
from ledgerkit.api import Repository
from ledgerkit.errors import InvalidRecord, LogInvalid, UnsafePath
from ledgerkit.relocation import PLAN
from ledgerkit.testing.crash import kill_at, steps

RUN = "run-20240101-000000Z-0123456789ab"


def actions(root: Path) -> list[dict[str, Any]]:
    """All lines of all records of recover, in the order of the log."""
    archive = Repository.open(root)._archive
    found: list[dict[str, Any]] = []
    for run in archive.runs(layout.COLLECTION):
        if run.operation == "recover":
            (output,) = archive.outputs(run)
            text = archive.tree.read_checked(output.path, output.sha256)
            found += [json.loads(line) for line in text.splitlines()]
    return found


def bytes_below(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


def spoil(root: Path) -> None:
    """One of each thing that a crash can leave, or that somebody put there."""
    planted = root / "runs" / RUN
    shutil.copytree(next((root / "runs").iterdir()), planted)
    planted.chmod(0o555)
    plate = root / "plates_structured" / "plate-001"
    (plate / "runs" / RUN).mkdir(parents=True)
    (plate / "runs" / RUN / "run.json").write_text("{}")
    (plate / "cache" / RUN).mkdir(parents=True)
    (plate / "cache" / RUN / "whole.png").write_bytes(b"pixels")
    (root / "plates_structured" / "plate-077").mkdir()
    (root / "log" / "tile" / "entries" / "000.p" / "99").write_bytes(b"\0\x50torn")
    working = root / ".ledgerkit"
    (working / "staging" / "job-gone" / "1").mkdir(parents=True)
    (working / "staging" / "job-gone" / "1" / "half").write_bytes(b"half")
    (working / "intent.json.job-gone").write_text("{")
    (working / "checkpoint").write_text("half")


SPOILED = {
    "run": [f"plates_structured/plate-001/runs/{RUN}", f"runs/{RUN}"],
    "cache": [f"plates_structured/plate-001/cache/{RUN}"],
    "plate": ["plates_structured/plate-077"],
    "log-tail": ["log/tile/entries/000.p/99"],
    "staging": [".ledgerkit/staging/job-gone"],
    "working-file": [".ledgerkit/checkpoint", ".ledgerkit/intent.json.job-gone"],
}


def by_kind(rows: list[dict[str, Any]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row["what"], []).append(row["from"])
    return {kind: sorted(paths) for kind, paths in found.items()}


def test_a_sound_repository_has_nothing_to_recover_and_gets_no_record(tiny: Repository) -> None:
    tiny.run("headers")
    before = bytes_below(tiny.root)
    view = tiny.recover()
    assert (view.actions, view.run_ids) == ([], [])
    assert bytes_below(tiny.root) == before


def test_everything_that_is_left_over_is_set_aside_under_its_own_path(tiny: Repository) -> None:
    spoil(tiny.root)
    lost = bytes_below(tiny.root)
    view = tiny.recover()
    assert len(view.run_ids) == 1
    rows = actions(tiny.root)
    assert by_kind(rows) == SPOILED
    for row in rows:
        assert row["to"] == f".ledgerkit/aside/{view.recover_id}/{row['from']}"
        assert not (tiny.root / row["from"]).exists()
        assert (tiny.root / row["to"]).exists()
    kept = {lost[name] for name in lost if name not in (layout.CHECKPOINT, layout.LOCK)}
    assert kept <= set(bytes_below(tiny.root).values())
    assert (
        tiny.root / f".ledgerkit/aside/{view.recover_id}/runs/{RUN}"
    ).stat().st_mode & 0o777 == 0o555
    assert not (tiny.root / PLAN).exists()
    assert tiny.recover().actions == []
    assert tiny.verify().sound
    assert tiny.audit().sound


def test_a_dry_run_lists_the_same_and_writes_nothing(tiny: Repository) -> None:
    spoil(tiny.root)
    before = {path: path.lstat().st_mtime_ns for path in tiny.root.rglob("*")}
    view = tiny.recover(dry_run=True)
    assert by_kind([{"what": one.what, "from": one.path} for one in view.actions]) == SPOILED
    assert {path: path.lstat().st_mtime_ns for path in tiny.root.rglob("*")} == before


def copied(root: Path, target: Path) -> Path:
    if target.exists():
        for folder, _, _ in os.walk(target):
            os.chmod(folder, 0o755)
        shutil.rmtree(target)
    shutil.copytree(root, target, symlinks=True)
    return target


def kill_after_the_intent(root: Path, scratch: Path) -> None:
    """`headers`, killed as soon as its intent is flushed."""
    copy = copied(root, scratch)
    told = steps(lambda: Repository.open(copy).run("headers"), copy)
    place = max(step for step, text in enumerate(told) if text.endswith(f" {layout.INTENT}"))
    place = next(step for step in range(place, 0, -1) if told[step].startswith("rename .ledger"))
    assert kill_at(place + 2, lambda: Repository.open(root).run("headers"), root)
    assert (root / layout.INTENT).exists()


def test_a_second_crash_at_any_step_ends_in_the_same_state_with_all_on_record(
    tiny: Repository, tmp_path: Path
) -> None:
    kill_after_the_intent(tiny.root, tmp_path / "scratch")
    spoil(tiny.root)
    root = copied(tiny.root, tmp_path / "again")
    told = steps(lambda: Repository.open(root).recover(), root)
    wanted = by_kind(actions(root))
    assert wanted.pop("intent") == [layout.INTENT]
    assert len(wanted.pop("staging")) == 2
    # Before a folder is made, the disk is as before the call that follows.
    taken = [step for step, text in enumerate(told) if not text.startswith("mkdir ")]
    for step in sorted({*taken[::3], *taken[-6:]}):
        copied(tiny.root, root)
        assert kill_at(step, lambda: Repository.open(root).recover(), root)
        again = Repository.open(root)
        again.recover()
        found = by_kind(actions(root))
        assert found.pop("intent") == [layout.INTENT], told[step]
        assert found.pop("staging")
        # What the killed recover itself left beside comes on top.
        found["working-file"] = [one for one in found["working-file"] if "json.job-2" not in one]
        assert found == wanted, told[step]
        assert not (root / PLAN).exists()
        assert again.recover(dry_run=True).actions == [], told[step]
        assert again.verify().sound, told[step]


def test_a_running_job_is_left_alone(tiny: Repository) -> None:
    archive = tiny._archive
    with archive.job() as job:
        (tiny.root / job.item("half")).write_bytes(b"half")
        assert tiny.recover().actions == []
        spoil(tiny.root)
        assert by_kind(actions_of(tiny)) == SPOILED
        assert (tiny.root / job.item("half")).read_bytes() == b"half"


def actions_of(repository: Repository) -> list[dict[str, Any]]:
    repository.recover()
    return actions(repository.root)


def test_a_killed_process_leaves_a_staging_folder_that_is_set_aside_with_its_size(
    tiny: Repository, tmp_path: Path
) -> None:
    copy = copied(tiny.root, tmp_path / "scratch")
    told = steps(lambda: Repository.open(copy).run("headers"), copy)
    place = next(step for step, text in enumerate(told) if text.endswith("run.json"))
    assert kill_at(place, lambda: Repository.open(tiny.root).run("headers"), tiny.root)
    (line,) = tiny.status().leftovers
    assert line.startswith("staging .ledgerkit/staging/job-")
    assert tiny.status().next_steps[0] == "ledgerkit recover"
    (action,) = tiny.recover().actions
    assert (action.what, action.files >= 1, action.bytes > 0) == ("staging", True, True)
    assert tiny.status().leftovers == []
    assert tiny.run("headers").complete == 3


def test_a_cut_tail_of_the_log_is_set_aside_at_every_length(
    tiny: Repository, tmp_path: Path
) -> None:
    size = tiny._archive.log.index().size
    later = copied(tiny.root, tmp_path / "later")
    Repository.open(later).run("headers", plates="plate-001")
    grown = Repository.open(later)._archive.log.index().size
    name = f"log/tile/entries/000.p/{grown}"
    whole = (later / name).read_bytes()
    for length in range(0, len(whole), 60):
        (tiny.root / name).write_bytes(whole[:length])
        view = tiny.recover()
        assert [(one.what, one.path) for one in view.actions] == [("log-tail", name)]
        assert (tiny.root / str(view.actions[0].moved_to)).read_bytes() == whole[:length]
        if (size := size + 1) >= grown:
            break
    assert tiny.verify().sound


def test_what_is_torn_before_the_end_of_the_log_is_never_repaired(tiny: Repository) -> None:
    spoil(tiny.root)
    size = tiny._archive.log.index().size
    tile = tiny.root / f"log/tile/0/000.p/{size}"
    tile.chmod(0o644)
    tile.write_bytes(tile.read_bytes()[:-1])
    before = bytes_below(tiny.root)
    with pytest.raises(LogInvalid, match=rf"log/tile/0/000\.p/{size} does not hold") as raised:
        Repository.open(tiny.root).recover()
    assert "replica" in str(raised.value.hint)
    after = bytes_below(tiny.root)
    assert {name: after[name] for name in before if name != layout.LOCK} == {
        name: data for name, data in before.items() if name != layout.LOCK
    }


def test_an_older_checkpoint_that_was_put_back_stops_it(tiny: Repository) -> None:
    older = (tiny.root / layout.CHECKPOINT).read_bytes()
    tiny.run("headers")
    runs = tiny._archive.log.index().size
    (tiny.root / layout.CHECKPOINT).chmod(0o644)
    newer = (tiny.root / layout.CHECKPOINT).read_bytes()
    (tiny.root / layout.CHECKPOINT).write_bytes(older)
    with pytest.raises(LogInvalid, match="an older checkpoint was put back"):
        Repository.open(tiny.root).recover()
    assert len(list(tiny.root.glob("plates_structured/*/runs/*"))) == 3
    (tiny.root / layout.CHECKPOINT).write_bytes(newer)
    assert Repository.open(tiny.root).recover().actions == []
    assert Repository.open(tiny.root)._archive.log.index().size == runs
    (tiny.root / layout.CHECKPOINT).write_bytes(older)
    kinds = by_kind(
        [
            {"what": one.what, "from": one.path}
            for one in Repository.open(tiny.root).recover(set_aside_tail=True).actions
        ]
    )
    assert (len(kinds["run"]), kinds.keys()) == (3, {"run", "log-tail"})
    assert Repository.open(tiny.root).verify().sound
    assert Repository.open(tiny.root).run("headers").complete == 3


def test_adopted_plates_without_a_log_are_never_set_aside(tiny: Repository) -> None:
    shutil.rmtree(tiny.root / "log")
    for run in (tiny.root / "runs").iterdir():
        shutil.rmtree(run)
    (tiny.root / ".ledgerkit" / "staging" / "job-gone").mkdir(parents=True)
    assert [one.what for one in tiny.recover().actions] == ["staging"]
    assert len(tiny.plates()) == 3


def test_a_plan_from_a_stranger_moves_nothing_outside(tiny: Repository) -> None:
    action = {"what": "run", "source": "runs", "target": "../runs", "why": "x"}
    plan = {"plan_id": "x", "operation": "recover", "event_type": "x", "parameters": {}}
    for target in ("../runs", "/tmp/x", "schemas/x"):
        (tiny.root / PLAN).write_text(json.dumps(plan | {"actions": [action | {"target": target}]}))
        with pytest.raises(UnsafePath):
            tiny.recover()
    (tiny.root / PLAN).write_text("[")
    with pytest.raises(InvalidRecord, match=r"plan\.json is no plan"):
        tiny.recover()


AS_SOMEBODY = """
import ctypes, os, sys
root, replica = sys.argv[1:]
if os.geteuid() == 0:  # root without its capabilities is an owner like any other
    header, none = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    assert ctypes.CDLL(None).capset(header, none) == 0
from ledgerkit.api import Repository
assert len(Repository.open(root).recover().actions) == 8
moved = Repository.open(root).quarantine(
    "plates_structured/plate-002/source", reason="x", by="x", even_if_sound=True
)
view = Repository.open(root).restore_source(["plate-001", "plate-002"], replica)
assert view.sound, view
print(len(view.restored))
"""


def test_folders_without_write_permission_move_for_those_who_own_them(
    tiny: Repository, tmp_path: Path
) -> None:
    replica = copied(tiny.root, tmp_path / "replica")
    source = tiny.root / str(tiny.plates()[0].source_path)
    spoil(tiny.root)
    source.chmod(0o644)
    source.write_bytes(b"damaged")
    source.chmod(0o444)
    given = [sys.executable, "-c", AS_SOMEBODY, str(tiny.root), str(replica)]
    done = subprocess.run(given, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, "2\n"), done.stderr
    assert source.parent.stat().st_mode & 0o777 == 0o555
    assert tiny.verify().sound


def test_two_recovers_at_once_make_one_record(tiny: Repository) -> None:
    spoil(tiny.root)
    given = [sys.executable, "-m", "ledgerkit", "recover", "-C", str(tiny.root)]
    running = [subprocess.Popen(given, stdout=subprocess.DEVNULL) for _ in range(3)]
    assert [one.wait(120) for one in running] == [0, 0, 0]
    assert by_kind(actions(tiny.root)) == SPOILED
    names = [run.operation for run in tiny._archive.runs(layout.COLLECTION)]
    assert names.count("recover") == 1
