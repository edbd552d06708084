"""Make tiles for looking: any IIIF or Deep Zoom viewer then shows a plate from a plain web server.

Per plate a folder of the IIIF Image API 3.0 at compliance level 0: `info.json`, tiles at every scale
factor, and whole images up to 2048 pixels, all of them static files in the cache. With `--deep-zoom`
the same tiles also lie there as Deep Zoom. Pixels are upright, in sRGB or grey, 8 bits, JPEG without
metadata; full resolution is kept, no policy is needed, and no later step reads any of it.

`id` in `info.json` must be the address at which the folder is served: see `--base-uri` and
docs/pyramids.md.
Source: IIIF Image API 3.0; the names are explained in `imaging/pyramid.py`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ledgerkit.handles import Inputs, Outputs
    from ledgerkit.imaging.decode import Decoded
    from ledgerkit.imaging.pyramid import PyramidTile
    from ledgerkit.imaging.tiling import Tiles

VERSION = "1"
EVENT_TYPE = "derivative creation"
SUBJECT = "plate"
LIBRARIES = ("pyvips", "pyvips-binary", "libvips", "pillow", "numpy", "tifffile", "imagecodecs")
MAKES = ()
SAMPLE = 16
"""Tiles that are decoded again, spread evenly over all of them."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """Settings of `pyramid`."""

    tile_size: int = field(
        default=512,
        metadata={
            "minimum": 64,
            "maximum": 1024,
            "help": "Width and height of a tile",
            "unit": "pixels",
        },
    )
    quality: int = field(
        default=85,
        metadata={"minimum": 1, "maximum": 100, "help": "JPEG quality; 4:4:4 from 90 on"},
    )
    base_uri: str = field(
        default="http://localhost:8000",
        metadata={"help": "Where the plates' folders will be served; the id is this/plate-001"},
    )
    deep_zoom: bool = field(
        default=False, metadata={"help": "Also as Deep Zoom: twice as many files and bytes"}
    )
    max_pixels: int = field(
        default=2_000_000_000,
        metadata={
            "minimum": 1,
            "help": "Refuse a source with more pixels than this",
            "unit": "pixels",
        },
    )
    max_decode_bytes: int = field(
        default=512 * 1024 * 1024,
        metadata={
            "minimum": 1,
            "help": "Memory for a source that no decoder can stream; above it the plate fails",
            "unit": "bytes",
        },
    )

    def __post_init__(self) -> None:
        """Refuse a base that is no absolute web address: viewers resolve others against their page."""
        if not re.fullmatch(r"https?://[^\s?#\"<>]+", self.base_uri):
            raise ValueError(
                f"base_uri is {self.base_uri!r}, expected http:// or https:// and no query"
            )


def takes(parameters: Parameters) -> tuple[str, ...]:
    """The source file alone."""
    return ("source",)


def variant(parameters: Parameters) -> str:
    """One pyramid a plate: a newer one with other settings takes the place of the former."""
    return ""


def run(inputs: Inputs, parameters: Parameters, outputs: Outputs) -> None:
    """Write the pyramid of one plate into the cache, below a folder with the plate's id.

    Raises `UnreadableImage` and `LimitExceeded` with the reason, `CommitFailed` for a full disk.
    """
    from ledgerkit.imaging.aside import upright
    from ledgerkit.imaging.decode import Limits, decode
    from ledgerkit.imaging.tiling import tiled

    limits = Limits(parameters.max_pixels, parameters.max_decode_bytes)
    plate, size, quality = str(inputs.plate_id), parameters.tile_size, parameters.quality
    with inputs.file("source").open() as file:
        decoded = decode(file, limits=limits)
        _say_profile(decoded, outputs)
        stored = decoded.to_srgb(decoded.flat())
        with (
            upright(stored, decoded.header.orientation, limits) as image,
            tiled(image, size, quality, to_one_pixel=parameters.deep_zoom) as tiles,
        ):
            _write_tiles(tiles, plate, outputs)
            _write_whole(tiles, plate, outputs)
            if parameters.deep_zoom:
                _write_deep_zoom(tiles, plate, outputs)
            info = tiles.pyramid.info(f"{parameters.base_uri.rstrip('/')}/{plate}")
    document = json.dumps(info, indent=2, ensure_ascii=False).encode()
    _write(f"{plate}/info.json", "pyramid", "application/json", document, outputs)


def _say_profile(decoded: Decoded, outputs: Outputs) -> None:
    if decoded.facts.profile is None:
        return
    problem = decoded.profile_problem
    message = problem or f"the embedded profile is used: {decoded.header.icc_profile}"
    outputs.gate("colour", "embedded_profile_usable", problem is None, None, message)


def _write(name: str, role: str, media_type: str, data: bytes, outputs: Outputs) -> None:
    with outputs.cache(name, role, media_type) as output:
        output.write(data)


def _write_image(name: str, role: str, data: bytes, outputs: Outputs) -> None:
    _write(name, role, "image/jpeg", data, outputs)


def _write_tiles(tiles: Tiles, plate: str, outputs: Outputs) -> None:
    """Every tile under every name that is asked for; the header of each, and some pixels, read."""
    pyramid = tiles.pyramid
    every = [tile for level in pyramid.levels() for tile in pyramid.tiles(level)]
    sample = {index * (len(every) - 1) // max(1, SAMPLE - 1) for index in range(SAMPLE)}
    wrong, broken = [], []
    for index, tile in enumerate(every):
        data = tiles.read(tile)
        names = pyramid.names(tile)
        for name in names:
            _write_image(f"{plate}/{name}", "pyramid-tile", data, outputs)
        if _size(data) != (tile.width, tile.height):
            wrong.append(names[0])
        if index in sample and not _decodes(data, tile):
            broken.append(names[0])
    count = len(every)
    said = f"{count - len(wrong)} of {count} tiles have the size in their name"
    _say(outputs, "every_tile_of_its_size", wrong, (count - len(wrong)) / count, said)
    read = len(sample)
    said = f"{read - len(broken)} of {read} tiles, spread over all, decode to their last pixel"
    _say(outputs, "sample_decodes", broken, (read - len(broken)) / read, said)


def _say(outputs: Outputs, check: str, bad: list[str], value: float, message: str) -> None:
    first = f"; the first that does not: {bad[0]}" if bad else ""
    outputs.gate("pyramid", check, not bad, value, message + first)


def _size(data: bytes) -> tuple[int, int]:
    """Width and height in the header of a JPEG, read by the project's own parser."""
    import io

    from ledgerkit.imaging.header import read_facts

    header = read_facts(io.BytesIO(data)).header
    return header.width, header.height


def _decodes(data: bytes, tile: PyramidTile) -> bool:
    """Whether a tile decodes without a warning, in another decoder call than the one that made it."""
    import io

    from ledgerkit.errors import UnreadableImage
    from ledgerkit.imaging.decode import decode
    from ledgerkit.imaging.vips import to_array

    try:
        shape = to_array(decode(io.BytesIO(data)).image).shape
    except UnreadableImage:
        return False
    return shape[:2] == (tile.height, tile.width)


def _write_whole(tiles: Tiles, plate: str, outputs: Outputs) -> None:
    """The whole plate in one file: at the levels that `sizes` lists, as `max`, and for pages."""
    from ledgerkit.imaging.pyramid import image_path

    pyramid = tiles.pyramid
    largest: bytes | None = None
    for level in pyramid.whole_levels():
        size = (level.width, level.height)
        if level.long_side <= pyramid.tile_size:  # written already: it is a tile
            data = tiles.read(next(pyramid.tiles(level)))
        else:
            data = tiles.whole(*size, level)
            _write_image(f"{plate}/{image_path('full', size)}", "pyramid-image", data, outputs)
        if largest is None:
            largest = data
            _write_image(f"{plate}/{image_path('full', None)}", "pyramid-image", data, outputs)
    for size in pyramid.thumbnails():
        data = tiles.whole(*size, pyramid.level_for(max(size)))
        _write_image(f"{plate}/{image_path('full', size)}", "pyramid-image", data, outputs)


def _write_deep_zoom(tiles: Tiles, plate: str, outputs: Outputs) -> None:
    pyramid = tiles.pyramid
    for level in pyramid.deep_zoom_levels():
        for tile in pyramid.tiles(level):
            name = f"{plate}_files/{pyramid.deep_zoom_name(tile)}"
            _write_image(name, "pyramid-tile", tiles.read(tile), outputs)
    descriptor = pyramid.deep_zoom_descriptor()
    _write(f"{plate}.dzi", "pyramid-descriptor", "application/xml", descriptor, outputs)
