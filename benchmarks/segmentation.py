"""Classical segmentation of plates of several sizes: seconds and peak memory, whole and in tiles.

Each cut is a process of its own. The plates are the example's largest, brought to each size by libvips
with noise of a scan added, written as JPEG; the largest files under LEDGERKIT_SCANS besides. `stated` is
what `segment` says beforehand that it may take (`--memory`); peaks include the interpreter and its
libraries, about 130 MB.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from benchmarks.measuring import EXAMPLE, largest_plate, peak, scratch, table

SIZES = ((1200, 1500), (2400, 3000), (4600, 5800), (9300, 11600))
WAYS = {
    "at 1,536 pixels, whole": {},
    "at 1,536 pixels, with parts": {"parts": "colour"},
    "at full size, in tiles": {"long_side": 1 << 20, "tile": 1024},
}


def main() -> None:
    given = os.environ.get("LEDGERKIT_SCANS")
    with scratch() as folder:
        files = [_plate(folder, *size) for size in SIZES]
        if given:
            scans = [path for path in Path(given).rglob("*") if path.suffix.lower() == ".jpg"]
            files += sorted(scans, key=lambda path: -_megapixels(path))[:2]
        _report(files)
    if not given:
        print("LEDGERKIT_SCANS names no folder: real scans are left out")


def _plate(folder: Path, width: int, height: int) -> Path:
    import pyvips

    drawn = pyvips.Image.thumbnail(str(largest_plate()), width, height=height, size="force")
    noise = pyvips.Image.gaussnoise(width, height, sigma=2, seed=1)
    path = folder / f"plate-{width}x{height}.jpg"
    (drawn + noise).cast("uchar").copy(interpretation="srgb").jpegsave(str(path), Q=90)
    return path


def _report(files: list[Path]) -> None:
    rows = []
    for path in files:
        megapixels = _megapixels(path)
        for name, settings in WAYS.items():
            pairs = [f"{key}={value}" for key, value in settings.items()]
            command = [sys.executable, "-m", "benchmarks.segmentation", str(path), *pairs]
            reading = peak(command, EXAMPLE)
            rows.append(
                [
                    f"{path.name[:36]}, {megapixels:.1f} MP",
                    name,
                    f"{reading.seconds:.1f}",
                    f"{reading.seconds / megapixels:.2f}",
                    f"{reading.megabytes:.0f}",
                    f"{reading.megabytes / megapixels:.0f}",
                    f"{_stated(path, settings) / 1e6:.0f}",
                ]
            )
    head = ["plate", "cut", "s", "s per MP", "peak MB", "MB per MP", "stated MB"]
    table("Classical segmentation, one plate, one process", head, rows)


def _megapixels(path: Path) -> float:
    from ledgerkit.imaging.header import read_header

    with path.open("rb") as file:
        header = read_header(file)
    return header.width * header.height / 1e6


def _stated(path: Path, settings: dict[str, object]) -> int:
    from ledgerkit.operations import segment
    from ledgerkit.testing.handles import LocalInputs
    from ledgerkit.testing.segmentation import tile_of

    inputs = LocalInputs("plate-001", {"source": [path]}, {"tiles": [tile_of(path)]})
    return segment.memory(inputs, segment.Parameters(**settings))  # type: ignore[arg-type]


def _cut(path: Path, pairs: list[str]) -> None:
    from ledgerkit.testing.segmentation import segments_of, settings_of

    segments_of(path, **settings_of(pairs))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        _cut(Path(sys.argv[1]), sys.argv[2:])
    else:
        sys.exit(main())
