"""`normalize` against libvips' own commands: shrinking and tiling a 500-megapixel plate, and many scans.

Our figures hold digests of what is read and written, the pixels decoded again and digested, records
and durable commits. `vipsthumbnail` and `vips` are those on the PATH, perhaps of another libvips than
the one in the wheel; the rows of pyvips use ours.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.measuring import (
    BIN,
    EXAMPLE,
    Reading,
    catalogue,
    large_plate,
    median,
    peak,
    real_scans,
    scratch,
    table,
)

ROUNDS = 3
PLATES = 143
LONG_SIDE, TILE, OVERLAP, QUALITY = 4096, 2048, 256, 92
SMALL_SIDE = 1024
THUMBNAIL = """
import pyvips, sys
image = pyvips.Image.thumbnail(sys.argv[1], int(sys.argv[3]))
image.jpegsave(sys.argv[2], Q=int(sys.argv[4]), keep="icc", profile="srgb")
"""
TILES = """
import pyvips, sys
image = pyvips.Image.new_from_file(sys.argv[1], access="sequential")
size, overlap = map(int, sys.argv[3:5])
image.dzsave(sys.argv[2], depth="one", tile_size=size, overlap=overlap, suffix=sys.argv[5])
"""


def main() -> None:
    for kind in ("jpeg", "tiff"):
        with scratch() as folder:
            _one_large_plate(folder, kind)
    with scratch() as folder:
        _many(folder)


def _one_large_plate(folder: Path, kind: str) -> None:
    path = large_plate(folder / "scans", kind)
    entry = {"plate": 1, "name": "Large", "slug": "large", "fileName": path.name}
    (folder / "data.json").write_text(json.dumps([entry]))
    archives = {}
    for outliers in ("downscale", "tile"):
        archives[outliers] = folder / outliers
        changes = {"outliers": outliers, "tile_over_megapixels": 100}
        _archive(folder / outliers, folder / "data.json", path.parent, changes)
    step, overlap = str(TILE - OVERLAP), str(OVERLAP // 2)
    suffix = f".jpg[Q={QUALITY}]"
    out = folder / "out"
    shrink = {
        "`vipsthumbnail`": _thumbnail(path, out, LONG_SIDE),
        "pyvips, `thumbnail`": [
            *(sys.executable, "-c", THUMBNAIL, str(path), f"{out}/small.jpg"),
            *(str(LONG_SIDE), str(QUALITY)),
        ],
        "`ledgerkit normalize`": _normalize(archives["downscale"]),
    }
    tiles = {
        "`vips dzsave`": [
            *("vips", "dzsave", f"{path}[access=sequential]", f"{out}/tiles", "--depth", "one"),
            *("--tile-size", step, "--overlap", overlap, "--suffix", suffix),
        ],
        "pyvips, `dzsave`": [
            *(sys.executable, "-c", TILES, str(path), f"{out}/tiles", step, overlap, suffix)
        ],
        "`ledgerkit normalize`, the smaller image and tiles": _normalize(archives["tile"]),
    }
    size = f"{path.stat().st_size / 1e6:,.0f} MB"
    _report(f"500 megapixels, {kind} of {size}, to {LONG_SIDE} pixels", shrink, out)
    _report(f"500 megapixels, {kind} of {size}, into tiles of {TILE}", tiles, out)


def _many(folder: Path) -> None:
    given = os.environ.get("LEDGERKIT_SCANS")
    data, scans = real_scans(folder, Path(given)) if given else catalogue(folder, PLATES)
    changes = {"downscale_over_megapixels": 0.5, "downscale_long_side": SMALL_SIDE}
    _archive(folder / "archive", data, scans, changes | {"tile_over_megapixels": 1000})
    one = shlex.join(_thumbnail(Path("{}"), folder / "out", SMALL_SIDE))
    loop = f"ls {scans}/* | xargs -P 2 -I {{}} {one}"
    commands = {
        "`vipsthumbnail` by `xargs -P 2`": ["sh", "-c", loop],
        "`ledgerkit normalize`, 2 workers": _normalize(folder / "archive"),
    }
    count = len(list(scans.iterdir()))
    what = "real scans" if given else "plates of the example"
    _report(f"{count} {what} to {SMALL_SIDE} pixels", commands, folder / "out")
    if not given:
        print("LEDGERKIT_SCANS names no folder: real scans are left out")


def _thumbnail(path: Path, out: Path, side: int) -> list[str]:
    options = ["--size", f"{side}x{side}>", "--export-profile", "srgb"]
    return ["vipsthumbnail", str(path), *options, "-o", f"{out}/%s.jpg[Q={QUALITY}]"]


def _archive(root: Path, data: Path, scans: Path, changes: dict[str, object]) -> None:
    """A repository ready for `normalize`, under a policy with these fields."""
    edited = root.with_suffix(".policy.json")
    _say("init", str(root))
    _say("ingest", "-C", str(root), "--catalogue", str(data), "--images", str(scans))
    _say("headers", "-C", str(root))
    _say("policy", "propose", "-C", str(root))
    shown = subprocess.run(
        [str(BIN / "ledgerkit"), "policy", "show", "--proposed", "--json", "-C", str(root)],
        check=True,
        capture_output=True,
    )
    edited.write_text(json.dumps(json.loads(shown.stdout) | changes))
    accept = ["policy", "accept", "--by", "A", "--reason", "benchmark", "--file", str(edited)]
    _say(*accept, "-C", str(root))


def _say(*words: str) -> None:
    subprocess.run([str(BIN / "ledgerkit"), *words], check=True, stdout=subprocess.DEVNULL)


def _normalize(root: Path) -> list[str]:
    return [str(BIN / "ledgerkit"), "normalize", "--force", "--workers", "2", "-C", str(root)]


def _report(title: str, commands: dict[str, list[str]], out: Path) -> None:
    """Time the commands in turn and print their medians; what is not installed is left out."""
    found: dict[str, list[Reading]] = {}
    for _ in range(ROUNDS):
        for name, command in commands.items():
            if command[0] in ("vips", "vipsthumbnail") and shutil.which(command[0]) is None:
                continue
            out.mkdir(exist_ok=True)
            found.setdefault(name, []).append(peak(command, EXAMPLE))
            shutil.rmtree(out)
    first = [one.seconds for one in next(iter(found.values()))]
    rows = [
        [
            name,
            f"{median([one.seconds for one in readings]):.2f}",
            f"{median([one.seconds / base for one, base in zip(readings, first, strict=True)]):.2f}",
            f"{max(one.megabytes for one in readings):.0f}",
        ]
        for name, readings in found.items()
    ]
    table(f"{title}, median of {ROUNDS}", ["what", "s", "ratio", "peak MB"], rows)
