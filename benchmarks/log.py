"""The sealed log on disk at growing sizes: durable appends in batches, and proofs from its tiles.

Records are left out: entries name runs that do not exist. What committing records costs beside this is
`commits`; what the tree alone costs is `proofs`.
"""

from __future__ import annotations

import random
import time

from benchmarks.measuring import scratch, table
from ledgerkit.canonical import sha256_hex
from ledgerkit.log import Entry
from ledgerkit.merkle import check_inclusion, leaf_hash
from ledgerkit.repository import Archive
from ledgerkit.sealing import init
from ledgerkit.testing.relog import write_log

SIZES = (10_000, 100_000, 1_000_000)
BATCH = 1024
BATCHES = 24
PROOFS = 2000


def main() -> None:
    rows = [_measure(size) for size in SIZES]
    table(
        f"The log on disk: {BATCHES} batches of {BATCH} entries appended durably, {PROOFS} records proved",
        [
            "entries before",
            "appended/s",
            "ms a batch",
            "proved and checked/s",
            "opened and checked s",
        ],
        rows,
    )


def _measure(size: int) -> list[str]:
    with scratch() as folder:
        archive = init(folder / "archive")
        head = archive.log.checkpoint()
        assert head is not None
        known = list(archive.log.entries())
        entries = [_entry(number) for number in range(size - len(known))]
        write_log(archive.root, head.origin, [*known, *entries])
        archive = Archive(archive.root)
        began = time.perf_counter()
        archive.log.index()
        opened = time.perf_counter() - began
        appended = _append(archive, size)
        proved = _prove(archive)
    return [
        f"{size:,}",
        f"{BATCH * BATCHES / appended:,.0f}",
        f"{appended / BATCHES * 1000:.1f}",
        f"{PROOFS / proved:,.0f}",
        f"{opened:.2f}",
    ]


def _entry(number: int) -> Entry:
    second = number // 1000
    stamp = f"{second // 3600 % 24:02d}{second // 60 % 60:02d}{second % 60:02d}"
    run_id = f"run-20260101-{stamp}Z-{number:012x}"
    path = f"plates_structured/plate-{number % 1000 + 1:03d}/runs/{run_id}/run.json"
    return Entry("run", path, sha256_hex(b"%d" % number))


def _append(archive: Archive, size: int) -> float:
    """Seconds for all batches: new tiles staged, intent, flush, renames, checkpoint, flush."""
    began = time.perf_counter()
    with archive.job() as job:
        for batch in range(BATCHES):
            first = size + batch * BATCH
            with archive.store.locked():
                entries = [_entry(number) for number in range(first, first + BATCH)]
                moves, step = archive._append(job, [], entries)
                archive.store.commit(job.job_id, moves, step)
    return time.perf_counter() - began


def _prove(archive: Archive) -> float:
    """Seconds for proofs of records in no order, each from the tiles, each checked."""
    head = archive.log.checkpoint()
    assert head is not None
    chosen = random.Random(5).sample(range(head.size), PROOFS)
    entries = {index: next(archive.log.entries(index, index + 1)) for index in chosen}
    began = time.perf_counter()
    for index in chosen:
        proof = archive.log.inclusion(index, head.size)
        check_inclusion(index, head.size, leaf_hash(entries[index].encode()), proof, head.root)
    return time.perf_counter() - began
