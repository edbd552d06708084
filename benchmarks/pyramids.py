"""Pyramids of a 500-megapixel plate against `vips dzsave`: time and peak memory, record and commit included.

The plate is the example's largest one, repeated to 20,000 x 25,000 pixels, as JPEG and as tiled TIFF of
8 and 16 bits a sample. Peers: the command of libvips, where it is installed (its own version, and its own
JPEG encoder), and the same call in a bare Python process, which has the libvips that ledgerkit uses.
All write tiles of 512 pixels at quality 85. ledgerkit hashes the source, digests every file, writes
`info.json` and the whole images besides, and commits a record.

LEDGERKIT_BENCH names the disk; making 8,000 folders is a good part of everybody's time on a slow one.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.measuring import BIN, Reading, large_plate, median, peak, scratch, table

ROUNDS = 3
BARE = (
    "import sys, pyvips; pyvips.cache_set_max(0);"
    "image = pyvips.Image.new_from_file(sys.argv[1], access='sequential');"
    "image.dzsave(sys.argv[2], layout='iiif3', tile_size=512, suffix='.jpg[Q=85]')"
)


def main() -> None:
    with scratch() as folder:
        rows = []
        for kind in ("jpeg", "tiff", "tiff-16"):
            rows += _compared(folder, large_plate(folder / kind, kind))
        title = f"Pyramid of 500 megapixels, medians of {ROUNDS} rounds"
        table(title, ["plate", "by", "seconds", "against the first", "peak MB"], rows)


def _compared(folder: Path, path: Path) -> list[list[str]]:
    """One row a peer, all measured in turn so that a busy machine is busy for all of them."""
    commands = _commands(folder, path)
    readings: dict[str, list[Reading]] = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, (command, made) in commands.items():
            if name == "ledgerkit pyramid":
                _fresh(made, path)
            else:
                shutil.rmtree(made, ignore_errors=True)
            readings[name].append(peak(command))
    first = median([one.seconds for one in next(iter(readings.values()))])
    rows = []
    for name, found in readings.items():
        seconds = median([one.seconds for one in found])
        megabytes = max(one.megabytes for one in found)
        share = f"{seconds / first:.2f}"
        rows.append(
            [
                f"{path.parent.name}, {path.stat().st_size / 1e6:.0f} MB",
                name,
                f"{seconds:.1f}",
                share,
                f"{megabytes:.0f}",
            ]
        )
    return rows


def _commands(folder: Path, path: Path) -> dict[str, tuple[list[str], Path]]:
    """Each peer's command and what it writes; the first is what the others are held against."""
    commands: dict[str, tuple[list[str], Path]] = {}
    out = folder / "tiles"
    vips = shutil.which("vips")
    if vips:
        said = subprocess.run(
            [vips, "--version"], capture_output=True, text=True, check=True
        ).stdout
        options = ["--layout", "iiif3", "--tile-size", "512", "--suffix", ".jpg[Q=85]"]
        commands[f"{said.split('-')[0]} dzsave {said.split('-')[1].strip()}"] = (
            [vips, "dzsave", str(path), str(out), *options],
            out,
        )
    else:
        print("vips is not installed: held against the bare call in Python only")
    commands["dzsave in bare Python"] = ([sys.executable, "-c", BARE, str(path), str(out)], out)
    root = folder / "archive"
    commands["ledgerkit pyramid"] = (
        [str(BIN / "ledgerkit"), "pyramid", "--workers", "1", "-C", str(root)],
        root,
    )
    return commands


def _fresh(root: Path, path: Path) -> None:
    """A new repository with this one plate."""
    if root.exists():
        subprocess.run(["chmod", "-R", "u+w", str(root)], check=True)
        shutil.rmtree(root)
    data = root.with_suffix(".json")
    entry = {"plate": 1, "name": "Plate", "slug": "plate", "fileName": path.name}
    data.write_text(json.dumps([entry]))
    ledgerkit = str(BIN / "ledgerkit")
    for command in (
        [ledgerkit, "init", str(root)],
        [
            ledgerkit,
            "ingest",
            "-C",
            str(root),
            "--catalogue",
            str(data),
            "--images",
            str(path.parent),
        ],
    ):
        subprocess.run(command, check=True, capture_output=True)
