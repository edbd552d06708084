"""Headers as `read_header` tells them against those of `exiftool` and `vipsheader`, as Markdown.

    python -m ledgerkit.testing.header_peers FOLDER...

prints every field in which a peer says something else, and how many it compared. Either command may
be absent: it is then said so. Compared only where the peer says something about the field at all.

Keeps out: judging who is right; `docs/formats.md` does.
"""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ledgerkit.errors import LedgerkitError
from ledgerkit.imaging.header import COMPRESSIONS, Header, read_header

Said = dict[str, Any]
"""Fields of `Header` by name, as far as a peer says something about them."""

FIELDS = (
    *("width", "height", "bands", "bit_depth", "orientation", "dpi_x", "dpi_y"),
    *("compression", "icc_profile", "jpeg_subsampling", "progressive", "pages"),
)
_MAIN = ("File", "IFD0", "PNG", "GIF", "RIFF", "Jpeg2000", "Photoshop", "Meta", "QuickTime")
_PNG_BANDS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PROGRESSIVE = {2, 6, 10, 14}


@dataclass(frozen=True, slots=True)
class Difference:
    """One field of one file; `ours` is None where `read_header` refuses, `theirs` where it does."""

    peer: str
    file: str
    field: str
    ours: Any
    theirs: Any


def by_exiftool(files: list[Path]) -> dict[Path, Said]:
    """What exiftool says, one process over all files."""
    command = ["exiftool", "-json", "-n", "-G1", "-a", *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return {Path(one["SourceFile"]): _of_exiftool(one) for one in json.loads(done.stdout or "[]")}


def _of_exiftool(tags: dict[str, Any]) -> Said:
    def first(*names: str) -> Any:
        found = (tags.get(f"{group}:{name}") for name in names for group in _MAIN)
        return next((value for value in found if value is not None), None)

    said: Said = {"width": first("ImageWidth"), "height": first("ImageHeight")}
    png = tags.get("PNG:ColorType")
    bits = first("BitsPerSample", "BitDepth")
    said["bit_depth"] = int(str(bits).split()[0]) if bits is not None else None
    said["bands"] = first("ColorComponents", "SamplesPerPixel") if png is None else _PNG_BANDS[png]
    if tags.get("File:FileType") == "BMP":
        said["bit_depth"] = None  # bits of a whole pixel
    said["orientation"] = tags.get("IFD0:Orientation")
    said |= _exiftool_resolution(tags)
    coding = tags.get("IFD0:Compression")
    if str(tags.get("File:FileType")) in ("TIFF", "BTF") and coding is not None:
        said["compression"] = COMPRESSIONS.get(coding, str(coding))
    said["icc_profile"] = tags.get("ICC_Profile:ProfileDescription")
    factors = tags.get("File:YCbCrSubSampling")
    names = {"1 1": "4:4:4", "2 1": "4:2:2", "2 2": "4:2:0", "1 2": "4:4:0", "4 1": "4:1:1"}
    said["jpeg_subsampling"] = names.get(str(factors)) if factors else None
    if "File:EncodingProcess" in tags:
        said["progressive"] = tags["File:EncodingProcess"] in _PROGRESSIVE
    elif png is not None:
        said["progressive"] = tags.get("PNG:Interlace") == 1
    said["pages"] = _exiftool_pages(tags)
    return {name: value for name, value in said.items() if value is not None}


def _exiftool_resolution(tags: dict[str, Any]) -> Said:
    """JFIF or pHYs before EXIF, as `header.py` states; nothing where there is no unit."""
    if tags.get("PNG-pHYs:PixelUnits") == 1:
        return {
            f"dpi_{axis}": tags[f"PNG-pHYs:PixelsPerUnit{axis.upper()}"] * 0.0254 for axis in "xy"
        }
    for group in ("JFIF", "IFD0"):
        scale = {2: 1.0, 3: 2.54} if group == "IFD0" else {1: 1.0, 2: 2.54}
        unit = tags.get(f"{group}:ResolutionUnit", 2 if group == "IFD0" else 0)
        across, down = (float(tags.get(f"{group}:{axis}Resolution", 0)) for axis in "XY")
        if across > 0 and down > 0 and unit in scale:
            return {"dpi_x": across * scale[unit], "dpi_y": down * scale[unit]}
    return {}


def _exiftool_pages(tags: dict[str, Any]) -> int | None:
    if "MPF0:NumberOfImages" in tags:
        return int(tags["MPF0:NumberOfImages"])
    if "GIF:FrameCount" in tags:
        return int(tags["GIF:FrameCount"])
    if str(tags.get("File:FileType")) in ("TIFF", "BTF"):
        return sum(name.startswith("IFD") and name.endswith(":ImageWidth") for name in tags)
    return None


def by_vipsheader(files: list[Path]) -> dict[Path, Said]:
    """What vipsheader says, one process over all files; it gives the picture as it would load."""
    done = subprocess.run(
        ["vipsheader", "-a", *map(str, files), str(files[0])],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    lines: dict[str, dict[str, str]] = defaultdict(dict)
    for line in done.stdout.splitlines():
        name, _, rest = line.partition(": ")
        key, _, value = rest.partition(": ")
        lines[name].setdefault(key, value)
    return {path: _of_vips(lines[str(path)]) for path in files if "width" in lines[str(path)]}


def _of_vips(lines: dict[str, str]) -> Said:
    said: Said = {"width": int(lines["width"]), "height": int(lines["height"])}
    said["bands"] = int(lines["bands"])
    depth = {"uchar": 8, "ushort": 16, "uint": 32, "float": 32, "double": 64}
    said["bit_depth"] = int(lines.get("bits-per-sample", depth.get(lines["format"], 0)))
    said["orientation"] = int(lines.get("orientation", 1))
    loader = lines.get("vips-loader", "")
    if loader.startswith(("jpeg", "tiff", "png")):
        said["dpi_x"], said["dpi_y"] = (float(lines[axis]) * 25.4 for axis in ("xres", "yres"))
    said["pages"] = int(lines.get("n-pages", 1))
    if loader == "jpegload":
        said["progressive"] = lines.get("jpeg-multiscan") == "1"
        if said["bands"] == 3:
            said["jpeg_subsampling"] = lines.get("jpeg-chroma-subsample")
    if loader == "pngload":
        said["progressive"] = "interlaced" in lines
    return said


PEERS: dict[str, Callable[[list[Path]], dict[Path, Said]]] = {
    "exiftool": by_exiftool,
    "vipsheader": by_vipsheader,
}


def differences(peer: str, files: list[Path]) -> tuple[list[Difference], Counter[str]]:
    """Fields in which a peer differs from `read_header`, and how often each was compared."""
    found: list[Difference] = []
    compared: Counter[str] = Counter()
    theirs = PEERS[peer](files)
    for path in files:
        said = theirs.get(path, {})
        try:
            with path.open("rb") as file:
                ours = read_header(file)
        except LedgerkitError as error:
            if "width" in said:
                size = f"{said['width']} x {said['height']}"
                found.append(Difference(peer, path.name, "read at all", error.message, size))
            continue
        if "width" not in said:
            size = f"{ours.width} x {ours.height}"
            found.append(Difference(peer, path.name, "read at all", size, "refused"))
            continue
        for field, own, other in _fields(ours, said):
            compared[field] += 1
            if not _same(own, other):
                found.append(Difference(peer, path.name, field, own, other))
    return found, compared


def _fields(ours: Header, said: Said) -> Iterator[tuple[str, Any, Any]]:
    for field in FIELDS:
        if field in said:
            yield field, getattr(ours, field), said[field]


def _same(own: Any, other: Any) -> bool:
    if isinstance(own, float) and isinstance(other, int | float):
        return math.isclose(own, other, rel_tol=1e-4)
    return bool(own == other)


def main(folders: list[str]) -> None:
    """Print the table of differences of each peer that is installed."""
    files = sorted(
        path
        for folder in folders
        for path in Path(folder).iterdir()
        if path.is_file() and path.suffix != ".tsv"
    )
    for peer in PEERS:
        if shutil.which(peer) is None:
            print(f"{peer} is not installed: not compared.\n")
            continue
        found, compared = differences(peer, files)
        print(f"## {peer}: {sum(compared.values())} values of {len(files)} files compared\n")
        print("| field | compared | file | ours | theirs |\n| --- | --- | --- | --- | --- |")
        for one in sorted(found, key=lambda one: (one.field, one.file)):
            count = compared[one.field]
            print(f"| {one.field} | {count} | {one.file} | {one.ours} | {one.theirs} |")
        print()


if __name__ == "__main__":
    main(sys.argv[1:])
