"""A pyramid in a repository: one row, one thing to evict and restore, every file of it recorded."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from ledgerkit import layout
from ledgerkit.api import Repository
from ledgerkit.cache.folders import CacheFolder, PlateCache
from ledgerkit.repository import Archive

FIRST = "plate-001"
Command = Callable[..., subprocess.CompletedProcess[str]]
Files = dict[str, bytes]


@pytest.fixture
def seen(tmp_path: Path) -> Repository:
    """Two plates, of 900 x 700 and 20 x 20 pixels, with a pyramid each and ledgers."""
    scans = tmp_path / "scans"
    scans.mkdir()
    Image.effect_mandelbrot((900, 700), (-2, -1, 1, 1), 40).convert("RGB").save(scans / "1.png")
    Image.new("L", (20, 20), 90).save(scans / "2.png")
    entries = [
        {"plate": number, "name": f"Plate {number}", "slug": f"plate-{number}"}
        | {"fileName": f"{number}.png", "download": f"https://example.org/{number}.png"}
        for number in (1, 2)
    ]
    (tmp_path / "data.json").write_text(json.dumps(entries))
    repository = Repository.init(tmp_path / "archive")
    repository.ingest(tmp_path / "data.json", scans)
    job = repository.run("pyramid", tile_size=64)
    assert (job.complete, job.warnings) == (2, [])
    assert job.output_bytes == sum(map(len, files(repository).values()))
    repository.consolidate()
    return repository


def files(repository: Repository) -> Files:
    """The bytes of all files of all pyramids, by path."""
    root = repository.root
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.glob("plates_structured/*/cache/**/*")
        if path.is_file()
    }


def folder_of(repository: Repository, plate: str = FIRST) -> CacheFolder:
    return next(one for one in repository.cache(plate).folders if one.current)


def tile_of(repository: Repository) -> str:
    found = folder_of(repository)
    return f"{found.folder}/{FIRST}/0,0,64,64/64,64/0/default.jpg"


def test_the_ledger_has_one_row_and_the_record_every_file(seen: Repository) -> None:
    found = folder_of(seen)
    rows = seen.query(
        "SELECT a.path, a.role, a.bytes, r.output_count, r.output_bytes FROM artifacts a"
        f" JOIN runs r USING (run_id) WHERE run_id = '{found.run_id}' AND direction = 'output'"
    ).to_dicts()
    info = f"{found.folder}/{FIRST}/info.json"
    there = {path: data for path, data in files(seen).items() if path.startswith(found.folder)}
    assert rows == [
        {
            "path": info,
            "role": "pyramid",
            "bytes": len(there[info]),
            "output_count": len(there),
            "output_bytes": sum(map(len, there.values())),
        }
    ]
    archive = Archive(seen.root)
    run = archive.run(FIRST, found.run_id)
    assert {output.path for output in archive.outputs(run)} == set(there)
    assert run.outputs_listing is not None
    assert run.outputs == []


def test_lineage_of_a_tile_is_that_of_its_pyramid(seen: Repository) -> None:
    node = seen.lineage(tile_of(seen))
    assert node.identifier == f"{folder_of(seen).folder}/{FIRST}/info.json"
    (run,) = node.made_from
    assert run.detail["operation"] == "pyramid"
    assert run.made_from[0].detail["role"] == "source"


def test_a_changed_a_missing_and_a_strange_tile_are_found(seen: Repository) -> None:
    assert seen.verify().sound
    path = seen.root / tile_of(seen)
    data = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(data[:-1] + b"\x00")
    assert "DIGEST_MISMATCH" in {one.code for one in seen.verify().findings}
    path.parent.chmod(0o755)
    path.unlink()
    assert "CACHE_MISSING" in {one.code for one in seen.audit().findings}
    assert folder_of(seen).state == "partial"
    path.write_bytes(data)
    (path.parent / "other.jpg").write_bytes(data)
    assert not seen.verify().sound


def test_an_evicted_pyramid_comes_back_byte_for_byte(seen: Repository) -> None:
    before, found = files(seen), folder_of(seen)
    gone = seen.evict(plates=FIRST)
    assert (gone.folders, gone.bytes, gone.left) == ([found.folder], found.bytes, [])
    assert not (seen.root / found.folder).exists()
    assert seen.verify().sound
    back = seen.restore_cache(plates=FIRST)
    assert (back.folders, back.bytes) == ([found.folder], found.bytes)
    assert files(seen) == before
    assert seen.verify().sound


def test_a_rerun_says_of_every_file_that_it_is_the_same_in_one_gate(seen: Repository) -> None:
    found = folder_of(seen)
    view = seen.rerun(found.run_id)
    assert view.sound
    events = [run for run in Archive(seen.root).runs(FIRST) if run.operation == "rerun"]
    assert [(gate.check, gate.passed) for gate in events[-1].gates] == [
        (f"{layout.CACHE}/{FIRST}/info.json", True),
        (f"{layout.CACHE}/: {found.files - 1} files of the pyramid", True),
    ]
    assert "gave the same bytes" in folder_of(seen).why


def test_sizes_are_said_by_plate_and_by_run(seen: Repository) -> None:
    seen.run("pyramid", tile_size=128, plates=FIRST)
    view = seen.cache()
    sizes = {path: len(data) for path, data in files(seen).items()}

    def of(prefix: str) -> int:
        return sum(size for path, size in sizes.items() if path.startswith(prefix))

    assert [one.present_bytes for one in view.folders] == [
        of(f"{one.folder}/") for one in view.folders
    ]
    assert view.plates == [
        PlateCache(
            plate, count, of(f"plates_structured/{plate}/"), of(f"plates_structured/{plate}/")
        )
        for plate, count in ((FIRST, 2), ("plate-002", 1))
    ]
    assert [one.current for one in view.folders] == [False, True, True]


def test_an_answer_about_pyramids_is_proved(
    seen: Repository, tmp_path: Path, command: Command
) -> None:
    proof = tmp_path / "answer.proof"
    sql = "SELECT run_id, path FROM artifacts WHERE role = 'pyramid'"
    assert command("query", "--prove", proof, sql, "-C", seen.root).returncode == 0
    checked = command("log", "verify", proof)
    assert checked.returncode == 0, checked.stderr
