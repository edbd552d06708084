"""The log's tree: entries appended, proved and verified a second at 10^4, 10^5 and 10^6 entries.

Appending is the tree alone: entries are encoded and hashed and tiles made, a thousand at a time, as
commits of a thousand runs do; what a commit costs besides is measured in `commits`. Proofs are made
from the tiles on disk: one by one as `log prove` does, and together as `query --prove` does.
Verifying is all that `log verify` does with a proof once Python runs: parse, hash, compare.
"""

from __future__ import annotations

import random
import time
from pathlib import Path

from benchmarks.measuring import scratch, table
from ledgerkit import layout, merkle
from ledgerkit.log import Entry, Log
from ledgerkit.merkle import Checkpoint, Edge, leaf_hash
from ledgerkit.proof import Held, Proof, parse_head, parse_proof, verify_inclusion
from ledgerkit.reading import Tree

SIZES = (10_000, 100_000, 1_000_000)
BATCH = 1_000
SAMPLE = 2_000
ORIGIN = "ledgerkit/00000000-0000-4000-8000-000000000000"


def entries(start: int, end: int) -> list[bytes]:
    """Entries as real ones are: a run's record on one of 10,000 plates, with some digest."""
    return [
        Entry(
            "run",
            f"plates_structured/plate-{1000 + number % 10_000}/runs/"
            f"run-20260101-000000Z-{number:012x}/run.json",
            f"{number:064x}",
        ).encode()
        for number in range(start, end)
    ]


def write(root: Path, size: int) -> float:
    """A log of `size` entries below `root`; the seconds that the tree took of it."""
    edge, seconds = Edge(), 0.0
    files: dict[str, bytes] = {}
    for start in range(0, size, BATCH):
        began = time.perf_counter()
        tiles = edge.append(map(leaf_hash, entries(start, start + BATCH)))
        packed = {tile.path: b"".join(tile.hashes) for tile in tiles}
        seconds += time.perf_counter() - began
        files |= packed
    for start in range(0, size, merkle.TILE_WIDTH):
        part = entries(start, min(start + merkle.TILE_WIDTH, size))
        path = merkle.tile_path("entries", start // merkle.TILE_WIDTH, len(part))
        files[path] = merkle.pack_entries(part)
    for path, data in files.items():
        place = root / layout.LOG / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    (root / layout.CHECKPOINT).write_text(Checkpoint(ORIGIN, size, edge.root()).text())
    return seconds


def measure(root: Path, size: int) -> list[str]:
    appended = size / write(root, size)
    log = Log(Tree(root))
    stated = log.checkpoint()
    assert stated is not None
    head = parse_head(stated.text())
    wanted = random.Random(size).sample(range(size), SAMPLE)

    began = time.perf_counter()
    for index in wanted[: SAMPLE // 4]:
        log.inclusion(index, size)
    singly = SAMPLE // 4 / (time.perf_counter() - began)

    began = time.perf_counter()
    node = log.node(size)
    proofs = [merkle.inclusion_proof(index, size, node) for index in sorted(wanted)]
    together = SAMPLE / (time.perf_counter() - began)

    made = [
        Proof(index, tuple(hashes), entries(index, index + 1)[0], head).encode()
        for index, hashes in zip(sorted(wanted), proofs, strict=True)
    ]
    held = Held((), head)
    began = time.perf_counter()
    for data in made:
        verify_inclusion(parse_proof(data), held)
    verified = SAMPLE / (time.perf_counter() - began)

    began = time.perf_counter()
    log.index()
    read = size / (time.perf_counter() - began)
    largest = max(map(len, made))
    return [
        f"{size:,}",
        *(f"{rate:,.0f}" for rate in (appended, singly, together, verified, read)),
        f"{largest:,}",
    ]


def main() -> None:
    with scratch() as folder:
        rows = [measure(folder / str(size), size) for size in SIZES]
    table(
        "The log's tree, entries a second",
        ["entries", "appended", "proved singly", "proved together", "verified", "read and checked", "bytes a proof"],
        rows,
    )  # fmt: skip


if __name__ == "__main__":
    main()
