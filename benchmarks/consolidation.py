"""100,000 run records consolidated a second and peak memory, against DuckDB's read_json_auto."""

from __future__ import annotations

import sys

from benchmarks.measuring import BIN, peak, scratch, table
from benchmarks.records import archive_of_plates, commit_runs

COUNT = 100_000


def main() -> None:
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
                "ledgerkit consolidate: all tables, schemas, keys and references checked, whole command",
                COUNT,
                peak([str(BIN / "ledgerkit"), "consolidate", "-C", str(root)]),
            ),
            (
                "ledgerkit consolidate --check: the same, compared with what is there",
                COUNT,
                peak([str(BIN / "ledgerkit"), "consolidate", "--check", "-C", str(root)]),
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
