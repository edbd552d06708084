"""Ingest and full fixity check of the same files, against bagit.py and sha256sum."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from benchmarks.measuring import BIN, Reading, catalogue, median, peak, scratch, table

COUNT = 4000
ROUNDS = 5
LARGE = 8
LARGE_BYTES = 64 << 20


def main() -> None:
    with scratch() as folder:
        data, scans = catalogue(folder, COUNT)
        _measure(folder, data, scans, f"{COUNT} small files")
    with scratch() as folder:
        data, scans = catalogue(folder, LARGE)
        for number, path in enumerate(sorted(scans.iterdir())):
            with path.open("ab") as file:
                file.write(bytes([number]) * LARGE_BYTES)
        _measure(folder, data, scans, f"{LARGE} files of 64 MiB")


def _measure(folder: Path, data: Path, scans: Path, title: str) -> None:
    files = sorted(scans.iterdir())
    size = sum(path.stat().st_size for path in files)
    bag = folder / "bag"
    shutil.copytree(scans, bag)
    archive = folder / "archive"
    ledgerkit = str(BIN / "ledgerkit")
    subprocess.run([ledgerkit, "init", str(archive)], check=True, stdout=subprocess.DEVNULL)
    bagit = [str(BIN / "bagit.py"), "--quiet", "--processes", "2"]
    ingest = [
        ledgerkit,
        "ingest",
        "-C",
        str(archive),
        "--catalogue",
        str(data),
        "--images",
        str(scans),
    ]
    rows = [
        _row(
            "bagit.py --sha256 (in place, no copy, not flushed)",
            len(files),
            size,
            [peak([*bagit, "--sha256", str(bag)])],
        ),
        _row(
            "ledgerkit ingest (copies, SHA-256 + XXH3, records, flushed)",
            len(files),
            size,
            [peak(ingest)],
        ),
    ]
    evidence = sorted(
        path for path in archive.rglob("*") if path.is_file() and ".ledgerkit" not in path.parts
    )
    listing = folder / "evidence"
    listing.write_text("".join(f"{path}\n" for path in evidence))
    commands = {
        "bagit.py --validate --processes 2 (the scans alone)": (
            [*bagit, "--validate", str(bag)],
            files,
        ),
        "sha256sum by xargs -P 2 (every file of the archive)": (
            [
                "bash",
                "-c",
                f"xargs -P 2 -n {max(1, len(evidence) // 64)} sha256sum < {listing} > /dev/null",
            ],
            evidence,
        ),
        "ledgerkit verify, 2 workers (every file of the archive, against records and the other way round)": (
            [ledgerkit, "verify", "-C", str(archive), "--workers", "2"],
            evidence,
        ),
    }
    readings: dict[str, list[Reading]] = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, (command, _) in commands.items():
            readings[name].append(peak(command))
    for name, (_, read) in commands.items():
        rows.append(
            _row(name, len(read), sum(path.stat().st_size for path in read), readings[name])
        )
    table(
        f"Fixity, {title}, median of {ROUNDS}",
        ["what", "files", "files/s", "MB/s", "peak MB"],
        rows,
    )


def _row(name: str, files: int, size: int, readings: list[Reading]) -> list[str]:
    seconds = median([one.seconds for one in readings])
    megabytes = max(one.megabytes for one in readings)
    return [
        name,
        str(files),
        f"{files / seconds:.0f}",
        f"{size / 1e6 / seconds:.0f}",
        f"{megabytes:.0f}",
    ]
