"""Headers a second: parsing alone against a plain Pillow loop, and with records committed."""

from __future__ import annotations

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
        table(
            f"Headers, {COUNT} JPEG files", ["what", "files/s", "against Pillow", "peak MB"], rows
        )


def _archive(archive: Path, data: Path, scans: Path) -> None:
    import subprocess

    for command in (
        ["init", str(archive)],
        ["ingest", "-C", str(archive), "--catalogue", str(data), "--images", str(scans)],
    ):
        subprocess.run([str(BIN / "ledgerkit"), *command], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    sys.exit(main())
