"""How much memory the work on an image may take, told from its header: bounds, not averages.

Counted are the buffers of a decoder (`stream_bytes`), the bands of rows that are cut into tiles, and
what encoders hold; `SLACK` stands for libvips' own buffers and allocator. Tests hold these bounds
against peaks measured in processes of their own. What `limits` refuse is refused here, too.

Keeps out: limits of a single image (`limits.py`) and of a command (`backends.budget`).
"""

from __future__ import annotations

from ledgerkit.imaging.decoders import choose_decoder
from ledgerkit.imaging.encode import IN_MEMORY
from ledgerkit.imaging.facts import Facts
from ledgerkit.imaging.limits import Limits, memory_to_decode, refuse_over
from ledgerkit.imaging.vips import threads

SLACK = 160 << 20
COMPILER = 160 << 20
HELD = 256 << 20
"""Bytes of decoded pixels that crops are cut of in memory (`crop.HELD`)."""
STRIP_ROWS = 512
"""Rows of the source that a stream of libvips keeps around the ones being read, all stages together."""
WAITING = 128 << 20
"""Bytes of cut tiles that may wait to be written."""
PLANNED_TILE = 2048
"""Bytes that the plan of a pyramid takes for each tile."""


def bytes_a_pixel(facts: Facts) -> int:
    """Of decoded pixels: a palette becomes RGB, transparency of a PNG a band of its own."""
    header = facts.header
    bands = 3 if header.mode.startswith("P") else max(1, header.bands)
    return (bands + (header.format == "PNG")) * (2 if header.bit_depth > 8 else 1)


def stream_bytes(facts: Facts, limits: Limits) -> int:
    """Bytes that reading the pixels once, top to bottom, may take. Raises `LimitExceeded`."""
    header = facts.header
    held = memory_to_decode(facts, choose_decoder(facts))
    refuse_over(held, limits, "decoded")
    tile_rows = facts.directory.number(323, 0) if facts.directory is not None else 0
    rows = min(header.height, max(STRIP_ROWS, 4 * tile_rows))
    return held + rows * header.width * bytes_a_pixel(facts) + SLACK


def measured_bytes(facts: Facts, limits: Limits) -> int:
    """Bytes for counting the pixels while they are read: compiled code, its compiler, the tables."""
    return stream_bytes(facts, limits) + COMPILER


def whole_bytes(facts: Facts, limits: Limits, width: int, height: int, kind: str) -> int:
    """Bytes for one derivative of `width` x `height` in the format `kind` (`encode.FORMATS`).

    It is read, shrunk, turned, encoded and decoded again. libwebp holds the picture while it
    encodes, and again while it decodes; libvips holds the smaller levels of a pyramidal TIFF.
    """
    made = width * height * 3 * (2 if facts.header.bit_depth > 8 else 1)
    turned = min(made, limits.max_decode_bytes) if facts.header.orientation > 2 else 0
    encoding = {"webp": 12 * width * height, "tiff": made // 3}.get(kind, 0)
    return stream_bytes(facts, limits) + turned + min(made, 4 * IN_MEMORY) + IN_MEMORY + encoding


def tiles_bytes(facts: Facts, limits: Limits, size: int) -> int:
    """Bytes for cutting an image into tiles of `size` pixels, some of them encoded at a time."""
    header = facts.header
    band = header.width * min(header.height, size + STRIP_ROWS) * bytes_a_pixel(facts)
    tile = size * size * bytes_a_pixel(facts)
    waiting = tiles_under_way(facts, size) * tile
    # Each that is worked on: the pixels as delivered, and as decoded again from the file.
    worked_on = (threads() + 1) * 3 * tile
    return stream_bytes(facts, limits) + band + waiting + worked_on


def tiles_under_way(facts: Facts, size: int) -> int:
    """How many cut tiles may wait for a thread: enough for reading to go on while they are written."""
    return max(threads() + 1, WAITING // (size * size * bytes_a_pixel(facts)))


def pyramid_bytes(facts: Facts, limits: Limits, tile_size: int) -> int:
    """Bytes for a pyramid of all levels: two rows of tiles of each, its plan, and a turned plate as
    far as it is held in memory.
    """
    header = facts.header
    side = max(header.width, header.height) if header.orientation > 4 else header.width
    pixels = header.width * header.height
    rows = min(2 * 2 * side * tile_size * 3, 2 * pixels * 3)
    turned = min(pixels * 3, limits.max_decode_bytes) if header.orientation > 2 else 0
    plan = PLANNED_TILE * 2 * (1 + pixels // tile_size**2)
    return stream_bytes(facts, limits) + rows + turned + plan


def crop_bytes(facts: Facts, limits: Limits) -> int:
    """Bytes for cutting regions out of an image at full size, as far as it is held in memory."""
    header = facts.header
    held = min(header.width * header.height * 3, HELD)
    return stream_bytes(facts, limits) + held + 4 * IN_MEMORY
