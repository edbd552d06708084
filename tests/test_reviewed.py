"""What readers of the code found, each with the way they got past it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ledgerkit.api import Repository
from ledgerkit.canonical import sha256_hex
from ledgerkit.errors import LogInvalid
from ledgerkit.log import Entry, Log
from ledgerkit.reading import Tree
from ledgerkit.repository import Archive
from ledgerkit.testing.relog import relog
from ledgerkit.testing.spoiled import change_record, remove


def unlock(path: Path) -> Path:
    for one in (path, path.parent, path.parent.parent):
        if one.exists():
            one.chmod(one.stat().st_mode | 0o200)
    return path


def test_rewritten_entries_over_old_tiles_are_not_the_checkpoint_of_before(
    tiny: Repository, tmp_path: Path
) -> None:
    """The keeper edits a manifest and the entries, and leaves the tiles that lead to the old root."""
    tiny.run("headers")
    tiny.consolidate()
    held = tmp_path / "held"
    held.write_bytes((tiny.root / "log" / "checkpoint").read_bytes())
    tiles = tmp_path / "tiles"
    shutil.copytree(tiny.root / "log" / "tile" / "0", tiles)
    manifest = unlock(tiny.root / "plates_structured" / "plate-001" / "manifest.json")
    manifest.write_bytes(manifest.read_bytes().replace(b"Plate 1", b"FORGED!"))
    relog(tiny.root)
    shutil.rmtree(tiny.root / "log" / "tile" / "0")
    shutil.copytree(tiles, tiny.root / "log" / "tile" / "0")
    for ask in (
        lambda one: one.query("SELECT title FROM plates", at=held),
        lambda one: one.consolidate_at(held, tmp_path / "then"),
        lambda one: one.diff(held),
    ):
        with pytest.raises(LogInvalid, match="does not continue"):
            ask(Repository.open(tiny.root))


def test_a_planted_intent_excuses_nothing_that_was_kept(tiny: Repository) -> None:
    tiny.run("headers")
    head = (tiny.root / "log" / "checkpoint").read_text()
    (run,) = (tiny.root / "plates_structured/plate-003/runs").iterdir()
    (source,) = (tiny.root / "plates_structured/plate-002/source").iterdir()
    moves = [
        {
            "staged": ".ledgerkit/staging/j/1",
            "final": str(path.relative_to(tiny.root)),
            "digests": {},
        }
        for path in (run, source, source.parent.parent)
    ]
    unlock(run / "outputs" / "x")
    shutil.rmtree(run)
    unlock(source).unlink()
    intent = tiny.root / ".ledgerkit" / "intent.json"
    intent.write_text(json.dumps({"job_id": "j", "log": None, "moves": moves}))
    view = tiny.verify(checkpoint=head)
    assert not view.sound
    wrong = {one.subject for one in view.findings if one.severity == "error"}
    assert any(run.name in subject for subject in wrong), wrong
    assert any("plate-002" in subject for subject in wrong), wrong


def test_runs_that_are_older_than_their_plates_manifest_reach_the_ledgers(tiny: Repository) -> None:
    """An adopted tree whose runs name no seal, of which one plate could be sealed only later."""
    tiny.run("headers")
    for record in sorted(tiny.root.glob("plates_structured/*/runs/*/run.json")):
        inputs = json.loads(record.read_bytes())["inputs"]
        change_record(record.parent, {"inputs": [one | {"run_id": None} for one in inputs]})
    for name in ("log", "ledger", "runs", ".ledgerkit"):
        if (tiny.root / name).exists():
            remove(tiny.root / name)
    checksum = unlock(tiny.root / "plates_structured/plate-002/source.sha256")
    right = checksum.read_bytes()
    checksum.write_bytes(b"0" * 64 + right[64:])
    adopted = Repository.open(tiny.root)
    adopted.run("measure", plates="plate-001")
    adopted.consolidate()
    checksum.write_bytes(right)
    adopted.run("measure", plates="plate-001", force=True)
    adopted.consolidate()
    assert adopted.consolidate(check=True).changed == []


def test_a_bundle_that_changed_after_it_was_read_is_not_built_upon(tiny: Repository) -> None:
    archive = Archive(tiny.root)
    size = archive.log.index().size
    bundle = unlock(tiny.root / "log" / "tile" / "entries" / "000.p" / str(size))
    data = bytearray(bundle.read_bytes())
    data[40] ^= 1
    bundle.write_bytes(data)
    entry = Entry("run", "runs/run-20260101-000000Z-000000000000/run.json", sha256_hex(b""))
    with pytest.raises(LogInvalid):
        archive.log.grow("ledgerkit/x", [entry])


def test_an_older_log_put_back_is_not_continued(tiny: Repository, tmp_path: Path) -> None:
    """Neither by a writer nor by recover, which would set the newer runs aside."""
    shutil.copytree(tiny.root / "log", tmp_path / "log")
    tiny.run("headers")
    tiny.consolidate()
    newer = Log(Tree(tiny.root)).checkpoint()
    shutil.rmtree(tiny.root / "log")
    shutil.copytree(tmp_path / "log", tiny.root / "log")
    before = sorted(path for path in tiny.root.rglob("run.json"))
    for write in (
        lambda one: one.recover(),
        lambda one: one.run("measure"),
        lambda one: one.consolidate(),
    ):
        with pytest.raises(LogInvalid, match="older log was put back"):
            write(Repository.open(tiny.root))
    assert sorted(path for path in tiny.root.rglob("run.json")) == before
    assert newer != Log(Tree(tiny.root)).checkpoint()
