"""Consolidation: records a second and peak memory against DuckDB's `read_json_auto`; on top of former
ledgers against a rebuild, at growing sizes, with equal bytes."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.measuring import BIN, Reading, peak, scratch, table
from benchmarks.records import archive_of_plates, commit_runs

COUNT = 100_000
NEW = 1_000
SIZES = (12_500, 25_000, 50_000, 100_000)


def main() -> None:
    _on_top()
    _all_at_once()


def _on_top() -> None:
    """1,000 new runs on top of ledgers that hold the others, against a rebuild of all."""
    rows = []
    with scratch() as folder:
        root = folder / "archive"
        archive = archive_of_plates(root)
        done = 0
        for size in SIZES:
            commit_runs(archive, size - NEW - done, first=done)
            _consolidate(root)
            commit_runs(archive, NEW, first=size - NEW)
            done = size
            on_top = _consolidate(root)
            kept = {path.name: path.read_bytes() for path in (root / "ledger").iterdir()}
            rebuild = _consolidate(root, "--rebuild")
            same = kept == {path.name: path.read_bytes() for path in (root / "ledger").iterdir()}
            rows.append(
                [
                    str(size),
                    f"{on_top.seconds:.2f}",
                    f"{on_top.megabytes:.0f}",
                    f"{rebuild.seconds:.2f}",
                    f"{rebuild.megabytes:.0f}",
                    f"{rebuild.seconds / on_top.seconds:.1f}",
                    "yes" if same else "NO",
                ]
            )
    table(
        f"{NEW} new runs consolidated on top of the others, against a rebuild (whole commands)",
        [
            "runs in all",
            "on top s",
            "MB",
            "rebuild s",
            "MB of the largest process",
            "ratio",
            "same bytes",
        ],
        rows,
    )


def _consolidate(root: Path, *options: str) -> Reading:
    return peak([str(BIN / "ledgerkit"), "consolidate", "-C", str(root), *options])


def _all_at_once() -> None:
    with scratch() as folder:
        root = folder / "archive"
        archive = archive_of_plates(root)
        commit_runs(archive, COUNT)
        sizes = [
            path.stat().st_size
            for path in (root / "plates_structured" / "plate-001").glob("runs/*/run.json")
        ]
        pattern = f"{root}/plates_structured/plate-0[0-4][0-9]/runs/*/run.json"
        share = COUNT * 49 // 1000  # more files would take it many minutes
        duckdb = (
            "import duckdb, sys; c = duckdb.connect(); c.execute('SET threads=2'); c.execute('SET temp_directory=?', [sys.argv[3]]);"
            "c.execute(\"COPY (SELECT * FROM read_json_auto(?, maximum_object_size=16777216)) TO '%s' (FORMAT parquet)\" % sys.argv[2], [sys.argv[1]])"
        )
        readings = [
            (
                "DuckDB read_json_auto of a twentieth of the records to one Parquet file, unchecked",
                share,
                peak(
                    [
                        sys.executable,
                        "-c",
                        duckdb,
                        pattern,
                        str(folder / "peer.parquet"),
                        str(folder),
                    ]
                ),
            ),
            (
                "ledgerkit consolidate --rebuild: all tables, schemas, keys and references checked, whole command",
                COUNT,
                _consolidate(root, "--rebuild"),
            ),
            (
                "ledgerkit consolidate --check: the same, compared with what is there",
                COUNT,
                _consolidate(root, "--check"),
            ),
        ]
    rows = [
        [name, f"{one.seconds:.2f}", f"{count / one.seconds:.0f}", f"{one.megabytes:.0f}"]
        for name, count, one in readings
    ]
    table(
        f"Consolidation of {COUNT} records of {min(sizes)} to {max(sizes)} bytes, 3 inputs and 2 outputs each",
        ["what", "s", "records/s", "peak MB of the largest process"],
        rows,
    )
