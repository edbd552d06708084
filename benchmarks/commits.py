"""Durable run commits a second, against writing the same files with one fsync each."""

from __future__ import annotations

import os
import time
from pathlib import Path

from benchmarks.measuring import scratch, table
from benchmarks.records import archive_of_plates, commit_runs

COUNT = 16_384
PEER_COUNT = 400


def main() -> None:
    with scratch() as folder:
        archive = archive_of_plates(folder / "archive", 100)
        whole, committing = commit_runs(archive, COUNT, 100)
        peer = _one_fsync_a_file(folder / "peer")
    rows = [
        ["one fsync a file and folder", f"{peer:.0f}", "1.0"],
        [
            "ledgerkit, outputs staged and runs committed",
            f"{COUNT / whole:.0f}",
            f"{COUNT / whole / peer:.1f}",
        ],
        [
            "ledgerkit, commit of staged runs alone",
            f"{COUNT / committing:.0f}",
            f"{COUNT / committing / peer:.1f}",
        ],
    ]
    table(
        f"Durable commits of {COUNT} small runs (record, checksums, two outputs), batches of 1024",
        ["what", "runs/s", "ratio"],
        rows,
    )


def _one_fsync_a_file(folder: Path) -> float:
    """Runs a second when each file and each folder is flushed by itself."""
    folder.mkdir()
    began = time.perf_counter()
    for number in range(PEER_COUNT):
        staged = folder / f"staged-{number}"
        (staged / "outputs").mkdir(parents=True)
        for name, size in (
            ("run.json", 2400),
            ("run.sha256", 240),
            ("outputs/a.jsonl", 14),
            ("outputs/b.jsonl", 14),
        ):
            with (staged / name).open("wb") as file:
                file.write(b"x" * size)
                file.flush()
                os.fsync(file.fileno())
        _sync(staged / "outputs")
        _sync(staged)
        staged.rename(folder / f"run-{number}")
        _sync(folder)
    return PEER_COUNT / (time.perf_counter() - began)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
