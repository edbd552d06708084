"""All measures of an image against decoding it once with libvips, in the same run.

Single images are read in one process: a large JPEG of the example, 16-bit tiled TIFFs of 100
megapixels made of it, and the largest files under LEDGERKIT_SCANS. `strips` decodes as `measure`
does, without work; `avg` is libvips' own average, on all processors. Then whole commands over many
plates, real scans where LEDGERKIT_SCANS names a folder of them. Processor time is given beside wall
time: where other work shares the machine, it is the steadier of the two.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.measuring import (
    BIN,
    EXAMPLE,
    Reading,
    catalogue,
    median,
    peak,
    real_scans,
    scratch,
    table,
)

ROUNDS = 3
PLATES = 143
SIDE = 10_000


def main() -> None:
    given = os.environ.get("LEDGERKIT_SCANS")
    with scratch() as folder:
        files = _generated(folder)
        if given:
            images = [path for path in Path(given).rglob("*") if path.suffix.lower() == ".jpg"]
            files += sorted(images, key=lambda path: -_pixels(path))[:2]
        _single(files)
    with scratch() as folder:
        data, scans = real_scans(folder, Path(given)) if given else catalogue(folder, PLATES)
        _many(folder, data, scans, "real scans" if given else "plates of the example")
    if not given:
        print("LEDGERKIT_SCANS names no folder: real scans are left out")


def _generated(folder: Path) -> list[Path]:
    """The example's large JPEG, and 100 megapixels of 16 bits made of it, with noise in them."""
    import pyvips

    large = max(EXAMPLE.glob("plates_structured/*/source/*.jpg"), key=_pixels)
    files = [large]
    drawn = pyvips.Image.new_from_file(str(large))
    across, down = -(-SIDE // drawn.width), -(-SIDE // drawn.height)
    noise = pyvips.Image.gaussnoise(SIDE, SIDE, sigma=200, seed=1)
    deep = (drawn.replicate(across, down).crop(0, 0, SIDE, SIDE) * 257 + noise).cast("ushort")
    for compression in ("none", "deflate"):
        path = folder / f"16-bit-{compression}.tif"
        deep.copy(interpretation="rgb16").tiffsave(
            str(path),
            tile=True,
            tile_width=512,
            tile_height=512,
            compression=compression,
            predictor="horizontal",
        )
        files.append(path)
    return files


def _pixels(path: Path) -> int:
    from ledgerkit.imaging.header import read_header

    with path.open("rb") as file:
        header = read_header(file)
    return header.width * header.height


def decode_strips(path: Path) -> None:
    """Decode as `measure` does, and look at nothing."""
    from ledgerkit.imaging.decode import decode
    from ledgerkit.imaging.vips import strip_rows, strips

    with path.open("rb") as file:
        image = decode(file).image
        for _ in strips(image, strip_rows(image.width)):
            pass


def average(path: Path) -> None:
    from ledgerkit.imaging.decode import decode

    with path.open("rb") as file:
        decode(file).image.avg()


def measure(path: Path) -> None:
    from ledgerkit.imaging.decode import decode
    from ledgerkit.imaging.measures import Thresholds, measure_image
    from ledgerkit.operations.measure import Parameters

    own = Parameters()
    thresholds = Thresholds(
        own.paper_tolerance,
        own.white_threshold,
        own.black_threshold,
        own.edge_threshold,
        own.grey_threshold,
    )
    with path.open("rb") as file:
        measure_image(decode(file), thresholds)


WAYS: dict[str, Callable[[Path], None]] = {
    "decode": decode_strips,
    "average": average,
    "measure": measure,
}
NAMED = {
    "decode": "libvips decodes, strips",
    "average": "libvips decodes, avg",
    "measure": "all measures",
}


def _single(files: list[Path]) -> None:
    rows = []
    for path in files:
        wall: dict[str, list[float]] = {way: [] for way in WAYS}
        work: dict[str, list[float]] = {way: [] for way in WAYS}
        for number in range(ROUNDS + 1):
            for way, read in WAYS.items():
                began, worked = time.perf_counter(), time.process_time()
                read(path)
                if number:  # the first round warms the page cache and compiles
                    wall[way].append(time.perf_counter() - began)
                    work[way].append(time.process_time() - worked)
        megapixels = _pixels(path) / 1e6
        for way in WAYS:
            command = [sys.executable, "-m", "benchmarks.measure", way, str(path)]
            rows.append(
                [
                    f"{path.name[:40]}, {megapixels:.0f} MP",
                    NAMED[way],
                    f"{median(wall[way]):.2f}",
                    f"{median(work[way]):.2f}",
                    _ratio(wall[way], wall["decode"]),
                    _ratio(wall[way], wall["average"]),
                    f"{peak(command, EXAMPLE).megabytes:.0f}",
                ]
            )
    table(
        f"Measures of one image, median of {ROUNDS}",
        ["image", "what", "s", "processor s", "of strips", "of avg", "peak MB"],
        rows,
    )


def _ratio(ours: list[float], theirs: list[float]) -> str:
    return f"{median([a / b for a, b in zip(ours, theirs, strict=True)]):.2f}"


def _many(folder: Path, data: Path, scans: Path, title: str) -> None:
    fresh = folder / "fresh"
    ledgerkit = str(BIN / "ledgerkit")
    subprocess.run([ledgerkit, "init", str(fresh)], check=True, stdout=subprocess.DEVNULL)
    ingest = ["ingest", "-C", str(fresh), "--catalogue", str(data), "--images", str(scans)]
    subprocess.run([ledgerkit, *ingest], check=True, stdout=subprocess.DEVNULL)
    program = [sys.executable, "-m", "benchmarks.measure"]
    readings: dict[str, list[Reading]] = {}
    for number in range(ROUNDS):
        archive = folder / f"archive-{number}"
        shutil.copytree(fresh, archive)
        commands = {
            "2 processes decode all, strips": [*program, "decode", str(scans)],
            "2 processes take all measures": [*program, "measure", str(scans)],
            "`ledgerkit measure`, 2 workers": [
                ledgerkit,
                *("measure", "-C", str(archive), "--workers", "2"),
            ],
        }
        for name, command in commands.items():
            readings.setdefault(name, []).append(peak(command, EXAMPLE))
    decoded = [one.seconds for one in next(iter(readings.values()))]
    rows = [
        [
            name,
            f"{median([one.seconds for one in found]):.2f}",
            _ratio([one.seconds for one in found], decoded),
            f"{max(one.megabytes for one in found):.0f}",
        ]
        for name, found in readings.items()
    ]
    count = len(list(scans.iterdir()))
    table(
        f"Measures of {count} {title}, whole commands, median of {ROUNDS}",
        ["what", "s", "of decoding", "peak MB"],
        rows,
    )


def _read_all(way: str, given: Path) -> None:
    """One file, or all files of a folder on two processes."""
    if given.is_file():
        return WAYS[way](given)
    work: list[Any] = sorted(given.iterdir())
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.map(WAYS[way], work, chunksize=1)
    return None


if __name__ == "__main__":
    if len(sys.argv) == 3:
        _read_all(sys.argv[1], Path(sys.argv[2]))
    else:
        sys.exit(main())
