"""How long `ledgerkit --help` and `ledgerkit query` take to start, against the least that Python takes."""

from __future__ import annotations

import sys

from benchmarks.measuring import BIN, EXAMPLE, median, table, timed

RUNS = 11


def main() -> None:
    select = "SELECT count(*) FROM plates"
    parquet = EXAMPLE / "ledger" / "plates.parquet"
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "ledgerkit --help": [str(BIN / "ledgerkit"), "--help"],
        "duckdb from Python, same question": [
            sys.executable,
            "-c",
            f"import duckdb; print(duckdb.sql(\"SELECT count(*) FROM '{parquet}'\").fetchall())",
        ],
        "ledgerkit query": [str(BIN / "ledgerkit"), "query", "-C", str(EXAMPLE), select],
        "ledgerkit status": [str(BIN / "ledgerkit"), "status", "-C", str(EXAMPLE)],
    }
    rows = []
    for name, command in commands.items():
        timed(command)
        readings = [timed(command).seconds * 1000 for _ in range(RUNS)]
        rows.append(
            [name, f"{min(readings):.0f}", f"{median(readings):.0f}", f"{max(readings):.0f}"]
        )
    table(
        f"Start-up, milliseconds, {RUNS} runs after a first",
        ["command", "min", "median", "max"],
        rows,
    )
