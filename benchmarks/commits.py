"""Durable run commits a second, against writing the same files with one fsync each."""

from __future__ import annotations

import os
import time
from pathlib import Path

from benchmarks.measuring import scratch, table
from benchmarks.records import archive_of_plates, commit_runs

COUNT = 16_384
PEER_COUNT = 400
BARE_COUNT = 4096
FILES = (("run.json", 2400), ("run.sha256", 240), ("outputs/a.jsonl", 14), ("outputs/b.jsonl", 14))


def main() -> None:
    with scratch() as folder:
        archive = archive_of_plates(folder / "archive", 100)
        whole, committing = commit_runs(archive, COUNT, 100)
        peer = _one_fsync_a_file(folder / "peer")
        bare = _no_flush_at_all(folder / "bare")
    rows = [
        ["one fsync a file and folder", f"{peer:.0f}", "1.0"],
        [
            "the same files and folders made and renamed, never flushed",
            f"{bare:.0f}",
            f"{bare / peer:.1f}",
        ],
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


def _make(staged: Path) -> None:
    (staged / "outputs").mkdir(parents=True)
    for name, size in FILES:
        with (staged / name).open("wb") as file:
            file.write(b"x" * size)


def _no_flush_at_all(folder: Path) -> float:
    """Runs a second that the file system takes with no promise at all: the bound for any writer."""
    folder.mkdir()
    began = time.perf_counter()
    for number in range(BARE_COUNT):
        _make(folder / f"staged-{number}")
        (folder / f"staged-{number}").rename(folder / f"run-{number}")
    return BARE_COUNT / (time.perf_counter() - began)


def _one_fsync_a_file(folder: Path) -> float:
    """Runs a second when each file and each folder is flushed by itself."""
    folder.mkdir()
    began = time.perf_counter()
    for number in range(PEER_COUNT):
        staged = folder / f"staged-{number}"
        _make(staged)
        for name, _ in FILES:
            _sync(staged / name)
        _sync(staged / "outputs")
        _sync(staged)
        staged.rename(folder / f"run-{number}")
        _sync(folder)
    return PEER_COUNT / (time.perf_counter() - began)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
