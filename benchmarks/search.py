"""Search at 10^4, 10^5 and 10^6 vectors of 512 numbers: exact, by an index, and numpy over one array.

The ledgers are written as consolidation writes them, with made-up vectors (normal, fixed seed, length
1). Ours reads the Parquet ledger for each search and keeps a block of it; numpy has all vectors in
memory already, which its time leaves out and its memory does not. Latency is the median of searches in
a process that has done one before; memory is the peak of a process of its own. An index is made of up
to 10^5; vectors without any structure are the hardest for it. Sizes may be given: `... search 10000`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.measuring import EXAMPLE, median, peak, scratch, table

SIZES = (10_000, 100_000, 1_000_000)
LARGEST_INDEX = 100_000
DIMENSION = 512
COUNT = 10
ROUNDS = 5
SPACE = "benchmark"
BLOCK = 1 << 16


PYTHON = (sys.executable, "-m", "benchmarks.search")
WAYS = {
    "ours": "`search`, from the ledger",
    "index": "`search --approximate`",
    "numpy": "numpy, one array",
}


def main(sizes: tuple[int, ...] = SIZES) -> None:
    rows = []
    for size in sizes:
        with scratch() as folder, scratch() as indexes:
            os.environ["LEDGERKIT_INDEXES"] = str(indexes)
            _write(folder, size)
            for way, name in WAYS.items():
                if way == "index" and size > LARGEST_INDEX:
                    continue
                if way == "index":
                    subprocess.run([*PYTHON, "make", str(folder)], cwd=EXAMPLE, check=True)
                command = [*PYTHON, way, str(folder)]
                reading = peak(command, EXAMPLE)
                seconds, found, told = json.loads((folder / f"{way}.json").read_text())
                rows.append(
                    [
                        f"{size:,}",
                        name,
                        f"{1000 * median(seconds):.0f}",
                        f"{1000 * max(seconds):.0f}",
                        f"{reading.megabytes:.0f}",
                        found[0],
                        told,
                    ]
                )
            assert _answer(folder, "ours") == _answer(folder, "numpy")
    table(
        f"{COUNT} nearest of vectors of {DIMENSION} numbers, {ROUNDS} searches",
        ["vectors", "what", "median ms", "slowest ms", "peak MB", "nearest", "index"],
        rows,
    )


def _answer(folder: Path, way: str) -> Any:
    return json.loads((folder / f"{way}.json").read_text())[1]


def _vectors(size: int) -> Any:
    """Blocks of unit vectors, float32 (up to 65536, 512), the same for the same size."""
    import numpy as np

    drawn = np.random.default_rng(size)
    for start in range(0, size, BLOCK):
        block = drawn.standard_normal((min(BLOCK, size - start), DIMENSION), dtype=np.float32)
        yield start, block / np.linalg.norm(block, axis=1, keepdims=True)


def _name(row: int) -> str:
    return f"plate-{1_000_000 + row}"


def _write(root: Path, size: int) -> None:
    """A folder with ledgers of `size` plates that have a vector each, of a run each, and no more."""
    import pyarrow as pa

    from ledgerkit import schema
    from ledgerkit.canonical import sha256_hex
    from ledgerkit.ledger.build import parquet
    from ledgerkit.ledger.frame import from_arrow

    ledger = root / "ledger"
    ledger.mkdir()
    runs = schema.arrow_schema("runs")
    plates = pa.array([_name(row) for row in range(size)])
    own = {"run_id": pa.array([_run(row) for row in range(size)]), "plate_id": plates}
    columns = [
        own.get(field.name, pa.repeat(pa.scalar(_of_run(field), field.type), size))
        for field in runs
    ]
    vectors = [_rows(schema.arrow_schema("embeddings"), *part) for part in _vectors(size)]
    written = {
        "runs": pa.Table.from_arrays(columns, schema=runs),
        "embeddings": pa.concat_tables(vectors),
    }
    tables = {}
    for name in tuple(written):
        data = parquet(name, from_arrow(written.pop(name)))
        (ledger / f"{name}.parquet").write_bytes(data)
        tables[name] = {
            "file": f"{name}.parquet",
            "rows": size,
            "bytes": len(data),
            "sha256": sha256_hex(data),
        }
    document = {"schema_version": "ledger.v1", "manifests": size, "runs": size, "tables": tables}
    (ledger / "ledger.json").write_text(json.dumps(document))
    (root / "repository.json").write_text(json.dumps({"repository_id": root.name}))
    (root / "plates_structured").mkdir()


def _of_run(field: Any) -> Any:
    """A value of every run: it is current and was no one's under a policy."""
    import pyarrow as pa

    if field.nullable:
        return None
    if pa.types.is_boolean(field.type):
        return True
    if pa.types.is_string(field.type):
        return "embed" if field.name == "operation" else ""
    return 0


def _run(row: int) -> str:
    return f"run-20260101-000000Z-{row:012x}"


def _rows(wanted: Any, start: int, block: Any) -> Any:
    import numpy as np
    import pyarrow as pa

    count = len(block)
    names = pa.array([_name(row) for row in range(start, start + count)])
    offsets = np.arange(count + 1, dtype=np.int32) * DIMENSION
    columns = {
        "subject_id": names,
        "subject_kind": pa.repeat("plate", count),
        "subject_run_id": pa.nulls(count, pa.string()),
        "plate_id": names,
        "space_id": pa.repeat(SPACE, count),
        "run_id": pa.array([_run(row) for row in range(start, start + count)]),
        "dim": pa.repeat(pa.scalar(DIMENSION, pa.int32()), count),
        "norm": pa.nulls(count, pa.float64()),
        "vector": pa.ListArray.from_arrays(pa.array(offsets), pa.array(block.ravel())).cast(
            wanted.field("vector").type
        ),
        "log_index": pa.repeat(pa.scalar(0, pa.int64()), count),
    }
    return pa.Table.from_arrays([columns[name] for name in wanted.names], schema=wanted)


def _queries(size: int) -> list[int]:
    return [(number * 7919 + 13) % size for number in range(ROUNDS + 1)]


def ours(root: Path, size: int, approximate: bool = False) -> tuple[list[float], list[str], str]:
    """Seconds of each search, the names found by the last, and what is told of an index."""
    from ledgerkit.repository import Archive
    from ledgerkit.search import search

    archive = Archive(root)
    seconds, names, told = [], [], ""
    for row in _queries(size):
        began = time.perf_counter()
        view = search(archive, _name(row), count=COUNT, approximate=approximate)
        seconds.append(time.perf_counter() - began)
        names = [hit.subject_id for hit in view.hits]
        if view.approximate is not None:
            made = view.approximate
            told = (
                f"made in {made.seconds:.0f} s, {made.bytes / 1e6:.0f} MB, recall {made.recall:.3f} "
                f"with {made.expansion} candidates"
            )
    return seconds[1:], names, told


def index(root: Path, size: int) -> tuple[list[float], list[str], str]:
    """The same by an index, which is made first and by another process."""
    return ours(root, size, approximate=True)


def make(root: Path, size: int) -> None:
    """Make the index."""
    from ledgerkit.indexes import build
    from ledgerkit.repository import Archive

    build(Archive(root), "plates", SPACE)


def numpy(root: Path, size: int) -> tuple[list[float], list[str], str]:
    """The same with one matrix in memory and one product."""
    import numpy as np

    matrix = np.empty((size, DIMENSION), dtype=np.float32)
    for start, block in _vectors(size):
        matrix[start : start + len(block)] = block
    seconds, names = [], []
    for row in _queries(size):
        began = time.perf_counter()
        cosines = matrix @ matrix[row]
        cosines[row] = -np.inf
        best = np.argpartition(-cosines, COUNT)[:COUNT]
        best = best[np.argsort(-cosines[best])]
        seconds.append(time.perf_counter() - began)
        names = [_name(int(one)) for one in best]
    return seconds[1:], names, ""


if __name__ == "__main__":
    if len(sys.argv) == 3 and Path(sys.argv[2]).is_dir():
        folder = Path(sys.argv[2])
        size = json.loads((folder / "ledger" / "ledger.json").read_text())["manifests"]
        way = {"ours": ours, "index": index, "numpy": numpy, "make": make}[sys.argv[1]]
        (folder / f"{sys.argv[1]}.json").write_text(json.dumps(way(folder, size)))
    else:
        sys.exit(main(tuple(map(int, sys.argv[1:])) or SIZES))
