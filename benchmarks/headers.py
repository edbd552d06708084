"""Headers a second: parsing alone against a plain Pillow loop, and with records committed.

`exiftool` and `vipsheader` read the same files in the same run, one process over all of them, where
they are installed; our whole command digests every source, writes records and flushes them besides.
"""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path

from benchmarks.measuring import BIN, catalogue, median, peak, scratch, table

COUNT = 4000
ROUNDS = 7


def main() -> None:
    from PIL import Image

    from ledgerkit.imaging.header import read_header

    with scratch() as folder:
        data, scans = catalogue(folder, COUNT)
        files = sorted(scans.iterdir())
        ours: list[float] = []
        pillow: list[float] = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            for path in files:
                with Image.open(path) as image:
                    _ = (
                        image.size,
                        image.mode,
                        image.info.get("icc_profile"),
                        image.getexif().get(274),
                    )
            pillow.append(len(files) / (time.perf_counter() - began))
            began = time.perf_counter()
            for path in files:
                with path.open("rb") as file:
                    read_header(file)
            ours.append(len(files) / (time.perf_counter() - began))
        ratios = [a / b for a, b in zip(ours, pillow, strict=True)]
        archive = folder / "archive"
        _archive(archive, data, scans)
        recorded = peak([str(BIN / "ledgerkit"), "headers", "-C", str(archive), "--workers", "2"])
        peers = [_peer(name, command, files, median(pillow)) for name, command in PEERS.items()]
        rows = [
            ["Pillow loop: size, mode, profile, orientation", f"{median(pillow):.0f}", "", ""],
            [
                "ledgerkit read_header (all columns)",
                f"{median(ours):.0f}",
                f"{median(ratios):.2f} (of {ROUNDS} pairs)",
                "",
            ],
            [
                "ledgerkit headers, recorded and durable, 2 workers, whole command",
                f"{COUNT / recorded.seconds:.0f}",
                f"{COUNT / recorded.seconds / median(pillow):.2f}",
                f"{recorded.megabytes:.0f}",
            ],
        ]
        rows[2:2] = peers
        table(
            f"Headers, {COUNT} JPEG files", ["what", "files/s", "against Pillow", "peak MB"], rows
        )


PEERS = {
    "exiftool, one process, the same facts": [
        *("exiftool", "-json", "-n", "-ImageSize", "-BitsPerSample", "-ColorComponents"),
        *("-Orientation", "-XResolution", "-YResolution", "-ResolutionUnit"),
        *("-YCbCrSubSampling", "-EncodingProcess", "-ICC_Profile:ProfileDescription"),
    ],
    "vipsheader -a, one process": ["vipsheader", "-a"],
}


def _peer(name: str, command: list[str], files: list[Path], pillow: float) -> list[str]:
    """A row: the median of three runs over all files, or that it is not installed."""
    if shutil.which(command[0]) is None:
        return [name, "not installed", "", ""]
    readings = [peak([*command, *map(str, files)]) for _ in range(3)]
    speed = median([len(files) / one.seconds for one in readings])
    memory = max(one.megabytes for one in readings)
    return [name, f"{speed:.0f}", f"{speed / pillow:.2f}", f"{memory:.0f}"]


def _archive(archive: Path, data: Path, scans: Path) -> None:
    import subprocess

    for command in (
        ["init", str(archive)],
        ["ingest", "-C", str(archive), "--catalogue", str(data), "--images", str(scans)],
    ):
        subprocess.run([str(BIN / "ledgerkit"), *command], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    sys.exit(main())
