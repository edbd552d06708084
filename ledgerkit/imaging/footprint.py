"""How much memory the work on an image may take, told from its header: bounds, not averages.

Counted are the buffers of a decoder (`stream_bytes`), the bands of rows that are cut into tiles, and
what encoders hold; `SLACK` stands for libvips' own buffers and allocator. Tests hold these bounds
against peaks measured in processes of their own.

Keeps out: limits of a single image (`decode.Limits`) and of a command (`backends.budget`).
"""

from __future__ import annotations

from ledgerkit.imaging.decoders import choose_decoder
from ledgerkit.imaging.encode import IN_MEMORY
from ledgerkit.imaging.facts import Facts
from ledgerkit.imaging.limits import memory_to_decode
from ledgerkit.imaging.vips import threads

SLACK = 160 << 20
COMPILER = 160 << 20
STRIP_ROWS = 512
"""Rows of the source that a stream of libvips keeps around the ones being read, all stages together."""


def samples(facts: Facts) -> int:
    """Bytes a pixel as decoded: palettes have three samples, up to 8 bits a byte, above them two."""
    header = facts.header
    bands = 3 if header.mode == "P" else max(1, header.bands)
    return bands * (2 if header.bit_depth > 8 else 1)


def stream_bytes(facts: Facts) -> int:
    """Bytes that reading the pixels once, top to bottom, may take."""
    header = facts.header
    row = header.width * samples(facts)
    held = memory_to_decode(facts, choose_decoder(facts))
    tile_rows = facts.directory.number(323, 0) if facts.directory is not None else 0
    window = row * min(header.height, max(STRIP_ROWS, 4 * tile_rows))
    return held + window + SLACK


def measured_bytes(facts: Facts) -> int:
    """Bytes for counting the pixels while they are read: compiled code, its compiler, the tables."""
    return stream_bytes(facts) + COMPILER


def whole_bytes(facts: Facts, width: int, height: int) -> int:
    """Bytes for one derivative of `width` x `height`: read, shrunk, turned, encoded, decoded again."""
    made = width * height * 3 * (2 if facts.header.bit_depth > 8 else 1)
    turned = made if facts.header.orientation > 2 else 0
    held = min(made, 4 * IN_MEMORY) if turned == 0 else made
    return stream_bytes(facts) + turned + held + IN_MEMORY


def tiles_bytes(facts: Facts, size: int) -> int:
    """Bytes for cutting an image into tiles of `size` pixels, some encoded at a time."""
    header = facts.header
    along = header.width
    band = along * (size + STRIP_ROWS) * samples(facts)
    whole = header.width * header.height * samples(facts)
    under_way = (2 * threads() + 1) * size * size * 3 * samples(facts)
    return stream_bytes(facts) + min(band, whole) + under_way


def pyramid_bytes(facts: Facts, tile_size: int, max_decode_bytes: int) -> int:
    """Bytes for a pyramid of all levels: two rows of tiles of each, and a turned plate as far as it
    is held in memory.
    """
    header = facts.header
    side = max(header.width, header.height) if header.orientation > 4 else header.width
    rows = 2 * 2 * side * tile_size * 3
    whole = header.width * header.height * 3
    turned = min(whole, max_decode_bytes) if header.orientation > 2 else 0
    return stream_bytes(facts) + min(rows, 2 * whole) + turned
