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
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ledgerkit.handles import Inputs, Outputs
    from ledgerkit.imaging.decode import Decoded
    from ledgerkit.imaging.pyramid import Pyramid, PyramidTile

VERSION = "1"
EVENT_TYPE = "derivative creation"
SUBJECT = "plate"
LIBRARIES = ("pyvips", "pyvips-binary", "libvips", "pillow", "numpy", "tifffile", "imagecodecs")
MAKES = ()
JPEG = "image/jpeg"
WHOLE = "pyramid-image"
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


def memory(inputs: Inputs, parameters: Parameters) -> int:
    """Bytes that `run` may take, from the source's header."""
    from ledgerkit.imaging.footprint import pyramid_bytes
    from ledgerkit.imaging.header import read_facts
    from ledgerkit.imaging.limits import Limits

    limits = Limits(parameters.max_pixels, parameters.max_decode_bytes)
    with inputs.file("source").open_header() as file:
        return pyramid_bytes(read_facts(file), limits, parameters.tile_size)


def run(inputs: Inputs, parameters: Parameters, outputs: Outputs) -> None:
    """Write the pyramid of one plate into the cache, below a folder with the plate's id.

    Raises `UnreadableImage` and `LimitExceeded` with the reason, `CommitFailed` for a full disk.
    """
    from ledgerkit.imaging.aside import upright
    from ledgerkit.imaging.decode import Limits, decode
    from ledgerkit.imaging.pyramid import Pyramid
    from ledgerkit.imaging.tiling import tiled

    limits = Limits(parameters.max_pixels, parameters.max_decode_bytes)
    plate = str(inputs.plate_id)
    with inputs.file("source").open() as file:
        decoded = decode(file, limits=limits)
        _say_profile(decoded, outputs)
        stored = decoded.to_srgb(decoded.flat())
        with upright(stored, decoded.header.orientation, limits) as image:
            pyramid = Pyramid(image.width, image.height, parameters.tile_size)
            tiles = tiled(image, pyramid, parameters.quality, to_one_pixel=parameters.deep_zoom)
            with closing(tiles):
                kept = _write_tiles(tiles, pyramid, plate, parameters.deep_zoom, outputs)
    _write_whole(kept, pyramid, plate, parameters.quality, outputs)
    if parameters.deep_zoom:
        descriptor = pyramid.deep_zoom_descriptor()
        _write(f"{plate}.dzi", "pyramid-descriptor", "application/xml", descriptor, outputs)
    info = pyramid.info(f"{parameters.base_uri.rstrip('/')}/{plate}")
    document = json.dumps(info, indent=2, ensure_ascii=False).encode() + b"\n"
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


def _write_tiles(
    tiles: Iterable[tuple[PyramidTile, bytes]],
    pyramid: Pyramid,
    plate: str,
    deep_zoom: bool,
    outputs: Outputs,
) -> dict[PyramidTile, bytes]:
    """Every tile under every name that is asked for; those of small levels are also returned."""
    from ledgerkit.imaging.pyramid import THUMBNAIL_SIDES

    planned = [tile for level in pyramid.levels() for tile in pyramid.tiles(level)]
    last = pyramid.levels()[-1].factor
    sample = {planned[index * (len(planned) - 1) // (SAMPLE - 1)] for index in range(SAMPLE)}
    small = {*pyramid.whole_levels(), *map(pyramid.level_for, THUMBNAIL_SIDES)}
    kept: dict[PyramidTile, bytes] = {}
    wrong, broken = [], []
    for tile, data in tiles:
        if deep_zoom:
            name = f"{plate}_files/{pyramid.deep_zoom_name(tile)}"
            _write(name, "pyramid-tile", JPEG, data, outputs)
        if tile.level.factor > last:
            continue
        names = pyramid.names(tile)
        for name in names:
            _write(f"{plate}/{name}", "pyramid-tile", JPEG, data, outputs)
        if _size(data) != (tile.width, tile.height):
            wrong.append(names[0])
        if tile in sample and not _decodes(data, tile):
            broken.append(names[0])
        if tile.level in small:
            kept[tile] = data
    _say_tiles(len(planned), wrong, len(sample), broken, outputs)
    return kept


def _say_tiles(
    count: int, wrong: list[str], read: int, broken: list[str], outputs: Outputs
) -> None:
    said = f"{count - len(wrong)} of {count} tiles have the size in their name"
    _say(outputs, "every_tile_of_its_size", wrong, (count - len(wrong)) / count, said)
    said = f"{read - len(broken)} of {read} tiles, spread over all, decode to their last pixel"
    _say(outputs, "sample_decodes", broken, (read - len(broken)) / read, said)


def _say(outputs: Outputs, check: str, bad: list[str], value: float, message: str) -> None:
    first = f"; the first that does not: {min(bad)}" if bad else ""
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


def _write_whole(
    tiles: dict[PyramidTile, bytes], pyramid: Pyramid, plate: str, quality: int, outputs: Outputs
) -> None:
    """The whole plate in one file: at the levels that `sizes` lists, as `max`, and for pages."""
    from ledgerkit.imaging.pyramid import image_path
    from ledgerkit.imaging.tiling import encoded, joined

    for level in pyramid.whole_levels():
        size = (level.width, level.height)
        if level.long_side <= pyramid.tile_size:  # it is a tile, and has its name already
            data = tiles[next(pyramid.tiles(level))]
        else:
            data = encoded(joined(pyramid, level, tiles), *size, quality)
            _write(f"{plate}/{image_path('full', size)}", WHOLE, JPEG, data, outputs)
        if level == pyramid.whole_levels()[0]:
            _write(f"{plate}/{image_path('full', None)}", WHOLE, JPEG, data, outputs)
    for side, size in pyramid.thumbnails():
        image = joined(pyramid, pyramid.level_for(side), tiles)
        data = encoded(image, *size, quality)
        _write(f"{plate}/{image_path('full', size)}", WHOLE, JPEG, data, outputs)
