"""Ingest and full fixity check of the same files, against bagit.py and sha256sum."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from benchmarks.measuring import BIN, Reading, catalogue, median, peak, scratch, table

COUNT = 4000
ROUNDS = 3
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
    size = sum(path.stat().st_size for path in files) / 1e6
    bag = folder / "bag"
    shutil.copytree(scans, bag)
    archive = folder / "archive"
    subprocess.run(
        [str(BIN / "ledgerkit"), "init", str(archive)], check=True, stdout=subprocess.DEVNULL
    )
    bagit = [str(BIN / "bagit.py"), "--quiet", "--processes", "2"]
    taking = [
        ("bagit.py --sha256 (in place, no copy)", peak([*bagit, "--sha256", str(bag)])),
        (
            "ledgerkit ingest (copies, SHA-256 + XXH3, records, flushed)",
            peak(
                [
                    str(BIN / "ledgerkit"),
                    "ingest",
                    "-C",
                    str(archive),
                    "--catalogue",
                    str(data),
                    "--images",
                    str(scans),
                ]
            ),
        ),
    ]
    listing = folder / "SHA256SUMS"
    listing.write_bytes(
        subprocess.run(["sha256sum", *map(str, files)], check=True, capture_output=True).stdout
    )
    halves = _halves(listing)
    check = " & ".join(f"sha256sum --quiet -c {half}" for half in halves) + " & wait"
    commands = {
        "sha256sum -c, two at once": ["bash", "-c", check],
        "bagit.py --validate --processes 2": [*bagit, "--validate", str(bag)],
        "ledgerkit verify, 2 workers": [
            str(BIN / "ledgerkit"),
            "verify",
            "-C",
            str(archive),
            "--workers",
            "2",
        ],
    }
    checking: dict[str, list[Reading]] = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, command in commands.items():
            checking[name].append(peak(command))
    rows = [
        [
            name,
            f"{len(files) / one.seconds:.0f}",
            f"{size / one.seconds:.0f}",
            f"{one.megabytes:.0f}",
        ]
        for name, one in taking
    ]
    for name, readings in checking.items():
        seconds = median([one.seconds for one in readings])
        rows.append(
            [
                name,
                f"{len(files) / seconds:.0f}",
                f"{size / seconds:.0f}",
                f"{max(one.megabytes for one in readings):.0f}",
            ]
        )
    table(
        f"Fixity, {title}, {size:.0f} MB, sources only counted, median of {ROUNDS}",
        ["what", "files/s", "MB/s", "peak MB"],
        rows,
    )


def _halves(listing: Path) -> list[Path]:
    lines = listing.read_text().splitlines(keepends=True)
    halves = []
    for number in range(2):
        half = listing.with_suffix(f".{number}")
        half.write_text("".join(lines[number::2]))
        halves.append(half)
    return halves
