"""What decoding may take, and what it will take: told from the header, before a byte is held.

Keeps out: decoding (`decode.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

from ledgerkit.errors import LimitExceeded, UnreadableImage
from ledgerkit.imaging.decoders import choose_decoder
from ledgerkit.imaging.facts import Facts


@dataclass(frozen=True, slots=True)
class Limits:
    """What decoding may take; both are settings of these names.

    `max_pixels`: width times height, from the header. `max_decode_bytes`: memory for an image that
    no decoder can stream.
    """

    max_pixels: int = 2_000_000_000
    max_decode_bytes: int = 512 * 1024 * 1024


DEFAULT_LIMITS = Limits()


def memory_to_decode(facts: Facts, decoder: str) -> int:
    """Bytes that must be held at once to decode the pixels; 0 when they stream.

    For the libraries that decode whole images this counts their own copies beside ours: Pillow has
    four bytes a pixel and gives a copy, OpenJPEG has four bytes a sample; imagecodecs takes the
    file itself whole, too.
    """
    if decoder == "libvips":
        return facts.buffered_bytes
    header = facts.header
    pixels = header.width * header.height
    samples = max(3 if header.mode.startswith("P") else header.bands, facts.components, 1)
    if decoder == "pillow":
        return pixels * (4 + 2 * samples)
    if header.bit_depth > 16 or header.sample_format != "unsigned":
        return pixels * samples * (header.bit_depth // 8 + 2)
    size = 1 if header.bit_depth <= 8 else 2
    if header.format == "JPEG2000":
        return pixels * samples * (2 * size + 4) + facts.file_bytes
    return pixels * samples * size * 2 + facts.file_bytes


def bytes_not_streamable(facts: Facts, limits: Limits = DEFAULT_LIMITS) -> int | None:
    """Bytes that decoding would hold where that is more than `limits` allow; None where it is not.

    What no decoder here reads at all is None too: more memory would not help.
    """
    try:
        needed = memory_to_decode(facts, choose_decoder(facts))
    except UnreadableImage:
        return None
    return needed if needed > limits.max_decode_bytes else None


def refuse_over(needed: int, limits: Limits, verb: str) -> None:
    """Raise `LimitExceeded`, naming the finding NOT_STREAMABLE and the setting, when over it."""
    if needed <= limits.max_decode_bytes:
        return
    raise LimitExceeded(
        f"NOT_STREAMABLE: this image cannot be {verb} in a stream and needs {needed} bytes of "
        f"memory, more than {limits.max_decode_bytes} (setting: max_decode_bytes)",
        hint="raise max_decode_bytes, or convert the image to tiled TIFF or baseline JPEG",
    )
