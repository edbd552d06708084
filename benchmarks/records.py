"""Run records in number, written by the tool's own writer: what `commits` and `consolidation` use."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ledgerkit.records import Input, Resources, task_id
from ledgerkit.repository import Archive
from ledgerkit.sealing import init
from ledgerkit.staged import StagedRun, write_staged

PLATES = 1000
BATCH = 1024


def archive_of_plates(root: Path, plates: int = PLATES) -> Archive:
    """A repository of `plates` tiny plates with manifests and sources, sealed."""
    import json

    from ledgerkit.sealing import seal_new

    archive = init(root)
    for number in range(1, plates + 1):
        folder = root / "plates_structured" / f"plate-{number:03d}"
        (folder / "source").mkdir(parents=True)
        (folder / "source" / "plate.jpg").write_bytes(b"\xff\xd8" + number.to_bytes(4, "big"))
        manifest = {
            "plate_id": folder.name,
            "plate_number": number,
            "title": f"Plate {number}",
            "slug": f"plate-{number}",
            "source_image": "plate.jpg",
        }
        (folder / "manifest.json").write_text(json.dumps(manifest))
    with archive.job() as job:
        seal_new(archive, job)
    return archive


def small_run(
    archive: Archive, folder: str, number: int, seal: str, plates: int = PLATES
) -> StagedRun:
    """One staged run with three inputs, two outputs and a record of at least 2 KB."""
    plate = f"plate-{number % plates + 1:03d}"
    data = b'{"number":%d}\n' % number
    artifacts = [
        write_staged(
            archive.store, folder, f"outputs/{name}.jsonl", "note", "application/jsonl", data
        )
        for name in ("a", "b")
    ]
    parameters = {
        "number": number,
        "threshold": 0.25,
        "note": "a parameter as long as a prompt or a list of classes may be, " * 6,
    }
    inputs = [
        Input(
            f"plates_structured/{plate}/source/{name}",
            role,
            6,
            hashlib.sha256(f"{number}{name}".encode()).hexdigest(),
            seal,
            "size",
        )
        for name, role in (
            ("plate.jpg", "source"),
            ("table.jsonl", "table"),
            ("policy.json", "policy"),
        )
    ]
    identity = task_id(
        "benchmark", "1", parameters, plate, (), [(one.role, one.sha256) for one in inputs]
    )
    return StagedRun(
        folder, identity, "benchmark", "1", "benchmark", plate, "default", parameters, inputs, artifacts,
        "2026-01-01T00:00:00.000000Z", "2026-01-01T00:00:01.500000Z", Resources(1.5, 1.25, 100_000_000),
        libraries={"numpy": "2.4.6", "pillow": "13.0.0"},
    )  # fmt: skip


def commit_runs(
    archive: Archive, count: int, plates: int = PLATES, first: int = 0
) -> tuple[float, float]:
    """Stage and commit runs `first` to `first + count` in batches; seconds in all, and in commits."""
    import time

    seal = archive.run_ids("collection")[-1]
    began = time.perf_counter()
    committing = 0.0
    with archive.job() as job:
        for start in range(first, first + count, BATCH):
            numbers = range(start, min(start + BATCH, first + count))
            staged = [
                small_run(archive, job.item(f"{number:08d}"), number, seal, plates)
                for number in numbers
            ]
            before = time.perf_counter()
            archive.commit(job, staged)
            committing += time.perf_counter() - before
    return time.perf_counter() - began, committing
