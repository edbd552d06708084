"""Make the images that later steps work on, as the accepted policy says and not otherwise.

A plate that needs nothing keeps its source: one row of kind `whole` without a file. A plate that
is too large, turned, of another colour space or depth gets one upright derivative in the policy's
colour space, depth and file format. An outlier gets tiles at full resolution beside it, cut in one
pass. Nothing is ever enlarged, cropped or deskewed, and each row maps its pixels to the oriented
source exactly. A JPEG is decoded smaller only by a factor that divides both sides and leaves at
least half of the shrinking to the resampler.

Needs nothing: JPEG, PNG or TIFF that libvips reads, 8 bits (16 where the policy delivers 16), grey
or RGB (grey alone where the policy delivers grey), no alpha or palette, no profile or one that means
sRGB, orientation 1, not over the policy's thresholds.
Source: the decisions on colour are in `imaging/colour.py`, on geometry in `imaging/geometry.py`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

from ledgerkit.errors import LimitExceeded

if TYPE_CHECKING:
    from ledgerkit.handles import InputFile, Inputs, Outputs
    from ledgerkit.imaging.decode import Decoded, Limits
    from ledgerkit.imaging.geometry import Box, GridTile
    from ledgerkit.imaging.treatment import Policy

VERSION = "2"
EVENT_TYPE = "normalization"
SUBJECT = "plate"
LIBRARIES = ("pyvips", "pyvips-binary", "libvips", "pillow", "numpy", "tifffile", "imagecodecs")
MAKES = ("tiles",)


@dataclass(frozen=True, slots=True)
class Parameters:
    """Settings of `normalize`; what happens to pixels is said by the policy alone."""

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


@dataclass(frozen=True, slots=True)
class Frame:
    """What all rows of one plate share."""

    plate_id: str
    source_sha256: str
    width: int
    height: int
    orientation: int


def takes(parameters: Parameters) -> tuple[str, ...]:
    """The source file and the accepted policy."""
    return ("source", "policy")


def variant(parameters: Parameters) -> str:
    """Nothing of its own: results live side by side under their policies."""
    return ""


def memory(inputs: Inputs, parameters: Parameters) -> int:
    """Bytes that `run` may take, from the source's header and the policy."""
    from ledgerkit.imaging import footprint
    from ledgerkit.imaging.geometry import oriented_size
    from ledgerkit.imaging.header import read_facts
    from ledgerkit.imaging.limits import Limits

    policy = read_policy(inputs.file("policy"))
    limits = Limits(parameters.max_pixels, parameters.max_decode_bytes)
    with inputs.file("source").open_header() as file:
        facts = read_facts(file)
        header = facts.header
        size = oriented_size(header.width, header.height, header.orientation)
        ordered = policy.target_size(*size)
        needed = footprint.whole_bytes(facts, limits, *ordered, policy.format)
        if policy.tiles(*size):
            needed = max(needed, footprint.tiles_bytes(facts, limits, policy.tile_size))
    return needed


def run(inputs: Inputs, parameters: Parameters, outputs: Outputs) -> None:
    """Write the `tiles` rows of one plate, and its derivatives into the cache.

    Raises `UnreadableImage` and `LimitExceeded` with the reason.
    """
    from ledgerkit.imaging.decode import Limits, decode
    from ledgerkit.imaging.geometry import oriented_size

    policy = read_policy(inputs.file("policy"))
    source = inputs.file("source")
    limits = Limits(parameters.max_pixels, parameters.max_decode_bytes)
    with source.open() as file:
        decoded = decode(file, limits=limits)
        header = decoded.header
        _say_profile(decoded, outputs)
        size = oriented_size(header.width, header.height, header.orientation)
        frame = Frame(str(inputs.plate_id), source.sha256, *size, header.orientation)
        rows = [_whole(file, decoded, frame, policy, limits, outputs)]
        del decoded  # what its decoder holds must go before the next one reads
        if policy.tiles(*size):
            rows += _tiles(file, frame, policy, limits, outputs)
    outputs.rows("tiles", rows)


def read_policy(file: InputFile) -> Policy:
    """The deciding fields of an accepted policy document."""
    from ledgerkit.imaging.treatment import Policy

    with file.open() as opened:
        return Policy.of(json.load(opened))


def reasons_to_convert(decoded: Decoded, policy: Policy) -> list[str]:
    """Why the source cannot serve as it is, size apart; empty when it can."""
    from ledgerkit.imaging.colour import is_srgb
    from ledgerkit.imaging.treatment import KEPT_FORMATS

    header = decoded.header
    reasons = []
    if header.format not in KEPT_FORMATS or decoded.decoder != "libvips":
        reasons.append(f"format {header.format} read by {decoded.decoder}")
    if header.bit_depth not in (8, policy.bit_depth) or header.mode == "P":
        reasons.append(f"{header.bit_depth} bits a sample, mode {header.mode}")
    spaces = ("grey",) if policy.colour_space == "grey" else ("grey", "rgb")
    if decoded.space not in spaces or decoded.alpha:
        reasons.append(f"colour space {decoded.space}, alpha {decoded.alpha}")
    if header.bands != decoded.image.bands:
        reasons.append(f"{header.bands} stored bands")
    if header.orientation != 1:
        reasons.append(f"orientation {header.orientation}")
    if not reasons and decoded.profile and not is_srgb(decoded.profile, decoded.space):
        reasons.append(f"profile {header.icc_profile}")
    return reasons


def _say_profile(decoded: Decoded, outputs: Outputs) -> None:
    if decoded.facts.profile is None:
        return
    problem = decoded.profile_problem
    message = problem or f"the embedded profile is used: {decoded.header.icc_profile}"
    outputs.gate("colour", "embedded_profile_usable", problem is None, None, message)


def _whole(
    file: BinaryIO,
    decoded: Decoded,
    frame: Frame,
    policy: Policy,
    limits: Limits,
    outputs: Outputs,
) -> dict[str, Any]:
    """The row of the plate as a whole, its derivative written if one is needed."""
    from ledgerkit.imaging.aside import upright
    from ledgerkit.imaging.geometry import Box

    width, height = policy.target_size(frame.width, frame.height)
    box = Box(0, 0, frame.width, frame.height)
    same_size = (width, height) == (frame.width, frame.height)
    if same_size and not reasons_to_convert(decoded, policy):
        _check_pixels(decoded)
        identity = (None, decoded.header.media_type, frame.source_sha256)
        return _row(frame, "whole", box, (width, height), identity, None)
    _check_side(max(width, height), policy)
    small = _shrunk(file, decoded, (width, height), policy, limits)
    with upright(small, frame.orientation, limits) as image:
        fits = (image.width, image.height) == (width, height)
        message = f"{image.width} x {image.height} pixels, ordered were {width} x {height}"
        outputs.gate("derivative", "size_as_ordered", fits, max(image.width, image.height), message)
        image = image.copy(**_resolution(decoded, width / frame.width))
        written = _write(image, "whole", policy, outputs)
        return _row(frame, "whole", box, (image.width, image.height), written, None)


def _check_pixels(decoded: Decoded) -> None:
    """Decode a source that is kept as it is: a row must not name pixels that cannot be read."""
    from ledgerkit.imaging.vips import decoding

    with decoding():
        decoded.image.avg()


def _check_side(side: int, policy: Policy) -> None:
    """Raise `LimitExceeded` where the policy's file format cannot hold the derivative."""
    from ledgerkit.imaging.treatment import LARGEST_SIDE

    most = LARGEST_SIDE.get(policy.format, side)
    if side > most:
        raise LimitExceeded(
            f"the policy orders {policy.format} of {side} pixels on a side, which holds {most}",
            "Accept another policy: png or tiff as format, or a smaller size for such plates.",
        )


def _shrunk(
    file: BinaryIO, decoded: Decoded, size: tuple[int, int], policy: Policy, limits: Limits
) -> Any:
    """The image of `size` (width, height, upright) as ordered, but in stored orientation still."""
    from ledgerkit.imaging.decode import decode, exact_load_shrink
    from ledgerkit.imaging.geometry import oriented_size
    from ledgerkit.imaging.resize import resize

    stored = oriented_size(*size, decoded.header.orientation)
    shrink = exact_load_shrink(decoded.facts, *stored)
    if shrink > 1:
        decoded = decode(file, limits=limits, shrink=shrink)
    return _deliver(decoded, resize(decoded.flat(), *stored), policy)


def _resolution(decoded: Decoded, scale: float) -> dict[str, float]:
    """Pixels a millimetre across and down, upright; those of 72 dots an inch where none are stated."""
    header = decoded.header
    dots = (header.dpi_x or 72.0, header.dpi_y or 72.0)
    across, down = dots[::-1] if header.orientation >= 5 else dots
    return {"xres": across * scale / 25.4, "yres": down * scale / 25.4}


def _deliver(decoded: Decoded, image: Any, policy: Policy) -> Any:
    """Pixels of this image's space and depth in the policy's."""
    from ledgerkit.imaging.colour import Delivery, deliver

    wanted = Delivery(policy.colour_space, policy.bit_depth)
    return deliver(image, decoded.space, decoded.maximum, decoded.profile, wanted)


def _tiles(
    file: BinaryIO, frame: Frame, policy: Policy, limits: Limits, outputs: Outputs
) -> list[dict[str, Any]]:
    """The rows of all tiles, row by row of the grid; their files are written in one pass."""
    from ledgerkit.imaging.decode import decode
    from ledgerkit.imaging.footprint import tiles_under_way
    from ledgerkit.imaging.geometry import grid
    from ledgerkit.imaging.tile import cut
    from ledgerkit.imaging.vips import in_threads

    tiles = grid(frame.width, frame.height, policy.tile_size, policy.tile_overlap)
    _say_coverage(tiles, frame, outputs)
    decoded = decode(file, limits=limits)

    def write(tile: GridTile, stored: Any) -> dict[str, Any]:
        pixels = _deliver(decoded, stored, policy).copy(xres=72 / 25.4, yres=72 / 25.4)
        written = _write(pixels, f"tile-r{tile.row:03}-c{tile.column:03}", policy, outputs)
        size = (tile.box.width, tile.box.height)
        return _row(frame, "tile", tile.box, size, written, (tile.column, tile.row))

    most = tiles_under_way(decoded.facts, policy.tile_size)
    rows = in_threads(write, cut(decoded.flat(), tiles, frame.orientation), most)
    return sorted(rows, key=lambda row: (row["grid_row"], row["grid_column"]))


def _say_coverage(tiles: list[GridTile], frame: Frame, outputs: Outputs) -> None:
    """State that the cores of the tiles, each inside its tile, have the area of the frame."""
    area = sum(tile.core.width * tile.core.height for tile in tiles)
    inside = all(_contains(tile.box, tile.core) for tile in tiles)
    whole = frame.width * frame.height
    passed = inside and area == whole
    message = f"the cores of {len(tiles)} tiles cover {area} of {whole} pixels"
    outputs.gate("tiles", "cover_every_pixel", passed, area / whole, message)


def _contains(outer: Box, inner: Box) -> bool:
    across = outer.x0 <= inner.x0 and inner.x1 <= outer.x1
    return across and outer.y0 <= inner.y0 and inner.y1 <= outer.y1


def _write(image: Any, stem: str, policy: Policy, outputs: Outputs) -> tuple[str, str, str]:
    """Write one cache file: its name, media type and SHA-256."""
    from ledgerkit.imaging.encode import Encoding, write_image

    encoding = Encoding(policy.format, policy.quality, policy.colour_space)
    name = f"{stem}.{encoding.suffix}"
    with outputs.cache(name, "derivative", encoding.media_type) as output:
        return name, encoding.media_type, write_image(image, output, encoding)


def _row(
    frame: Frame,
    kind: str,
    box: Box,
    size: tuple[int, int],
    image: tuple[str | None, str, str],
    place: tuple[int, int] | None,
) -> dict[str, Any]:
    """One `tiles` row. `image` is (file, media type, SHA-256), `place` (grid column, grid row)."""
    from ledgerkit.imaging.geometry import affine, tile_id

    width, height = size
    return {
        "tile_id": tile_id(frame.plate_id, frame.source_sha256, box, width, height),
        "plate_id": frame.plate_id,
        "kind": kind,
        "x0": box.x0,
        "y0": box.y0,
        "x1": box.x1,
        "y1": box.y1,
        "width": width,
        "height": height,
        "affine": affine(box, width, height),
        "frame_width": frame.width,
        "frame_height": frame.height,
        "orientation": frame.orientation,
        "grid_column": place[0] if place else None,
        "grid_row": place[1] if place else None,
        "file": image[0],
        "media_type": image[1],
        "image_sha256": image[2],
        "source_sha256": frame.source_sha256,
    }
