"""`recover`: what a crash left is finished or set aside, on record, whatever dies on the way."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from ledgerkit import layout
from ledgerkit.api import Repository
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
    for step in range(len(told)):
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
