"""Samples as files store them to unsigned samples with white at the largest value, 8 or 16 bits.

- 1 to 7 bits become 8 by v * 255 / (2^n - 1), rounded to nearest; 9 to 16 bits stay as they are.
- Unsigned 32 bits have their white at 2^32 - 1 and become 16 by v / 65537, rounded to nearest
  (65537 * 65535 is 2^32 - 1, so no value lies between two).
- Signed and floating-point samples become 16 bits by (v - low) * 65535 / (high - low), rounded to
  nearest, if the file states both ends (TIFF SMinSampleValue, SMaxSampleValue). A sample outside
  them, or one that is no number, is an error: the statement is wrong then, and so is any picture.
- Palettes become RGB: 8 bits for up to 8-bit indices, 16 for 16-bit ones. A palette of which no
  value exceeds 255 was written by mistake with 8-bit values, and is taken so.
- YCbCr without JPEG becomes RGB by the coefficients and the reference black and white of the file.

Keeps out: reading files (`fallback.py`), choosing the decoder (`decoders.py`).
Source: Adobe, TIFF Revision 6.0 (1992), sections 5, 19, 20, 21; libtiff's rule for 8-bit palettes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ledgerkit.errors import UnreadableImage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ledgerkit.imaging.facts import Facts
    from ledgerkit.imaging.tiff import Directory

LOW, HIGH = 340, 341
ROWS = 256
WHITE_32 = 65537
"""What one step of 16 bits is in 32: (2^32 - 1) / (2^16 - 1)."""


def stated_range(tags: Directory | None) -> tuple[float, float] | None:
    """The ends of the samples that a TIFF states, over all bands; None where it states no range."""
    if tags is None:
        return None
    lows, highs = tags.numbers(LOW), tags.numbers(HIGH)
    if not lows or not highs:
        return None
    low, high = min(lows), max(highs)
    span = high - low
    return (low, high) if 0 < span < math.inf and 65535 / span < math.inf else None


def white_of(facts: Facts, wide: bool) -> int:
    """The value of white: 255 in uint8, and in uint16 (`wide`) by the depth of the file."""
    header = facts.header
    if not wide:
        return 255
    if header.sample_format != "unsigned" or header.bit_depth > 16:
        return 65535
    return (1 << header.bit_depth) - 1


def to_unsigned(array: NDArray[Any], facts: Facts) -> NDArray[Any]:
    """Samples (height, width[, bands]) of any kind to uint8 or uint16, as the module says.

    Raises `UnreadableImage` for kinds that have no stated white, and for samples outside their
    stated range.
    """
    import numpy as np

    depth = facts.header.bit_depth
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype == np.uint8 and depth < 8:
        levels = np.arange(1 << depth, dtype=np.float64) * 255 / ((1 << depth) - 1)
        scaled: NDArray[np.uint8] = np.rint(levels).astype(np.uint8)[array]
        return scaled
    if array.dtype in (np.uint8, np.uint16):
        return array
    if array.dtype == np.uint32:
        return _by_rows(array, _narrow)
    ends = stated_range(facts.directory)
    if ends is None or array.dtype.kind not in "if":
        raise UnreadableImage(f"samples of type {array.dtype} have no stated white and are refused")
    return _by_rows(array, lambda rows: _between(rows, *ends))


def _by_rows(array: NDArray[Any], convert: Any) -> NDArray[np.uint16]:
    """`convert` on some rows at a time, so that no second image of wide samples is held."""
    import numpy as np

    out = np.empty(array.shape, np.uint16)
    for top in range(0, array.shape[0], ROWS):
        out[top : top + ROWS] = convert(array[top : top + ROWS])
    return out


def _narrow(rows: NDArray[np.uint32]) -> NDArray[np.uint16]:
    import numpy as np

    return ((rows.astype(np.uint64) + WHITE_32 // 2) // WHITE_32).astype(np.uint16)


def _between(rows: NDArray[Any], low: float, high: float) -> NDArray[np.uint16]:
    import numpy as np

    wide = rows.astype(np.float64)
    outside = ~((wide >= low) & (wide <= high))
    if outside.any():
        raise UnreadableImage(
            f"a sample is {wide[outside][0]}, outside the range {low} to {high} that the tags "
            "SMinSampleValue and SMaxSampleValue state; correct these tags or convert the image"
        )
    return np.rint((wide - low) * (65535 / (high - low))).astype(np.uint16)


def expand(array: NDArray[Any], palette: NDArray[np.uint16], depth: int) -> NDArray[Any]:
    """Indices (height, width) by a palette (3, entries) to uint8 or uint16 (height, width, 3)."""
    import numpy as np

    colours: NDArray[Any] = np.ascontiguousarray(palette.T)
    if depth <= 8:
        narrow = colours.max(initial=0) <= 255
        colours = (colours if narrow else colours >> 8).astype(np.uint8)
    expanded: NDArray[Any] = np.empty((*array.shape, 3), colours.dtype)
    for top in range(0, array.shape[0], ROWS):  # an index takes eight bytes meanwhile
        expanded[top : top + ROWS] = colours[array[top : top + ROWS]]
    return expanded


def unsigned_lab(array: NDArray[Any], photometric: int) -> NDArray[Any]:
    """L, a, b with L over the whole range and a, b moved by half of it, for 8 and 16 bits.

    CIELAB (8) stores a and b as signed numbers. ICCLAB (9) has them moved already, but its 16 bits
    put 100 at 65280.
    """
    import numpy as np

    out = array[:, :, :3].copy()
    if out.dtype not in (np.uint8, np.uint16):
        raise UnreadableImage(f"CIELAB samples of type {out.dtype} are refused")
    if photometric == 8:
        out[:, :, 1:] ^= out.dtype.type(1 << (8 * out.dtype.itemsize - 1))
    elif out.dtype == np.uint16:
        light = np.minimum(out[:, :, 0].astype(np.uint32), 65280)
        out[:, :, 0] = (light * 65535 + 32640) // 65280
    return out


def ycbcr_to_rgb(array: NDArray[np.uint8], tags: Directory) -> NDArray[np.uint8]:
    """YCbCr (height, width, 3) of 8 bits to RGB by tags 529 and 532, or their defaults."""
    import numpy as np

    red, green, blue = tags.numbers(529)[:3] or (0.299, 0.587, 0.114)
    reference = tags.numbers(532)[:6]
    if len(reference) != 6 or any(reference[at + 1] == reference[at] for at in (0, 2, 4)):
        reference = (0, 255, 128, 255, 128, 255)
    if not green:
        raise UnreadableImage("the TIFF's YCbCr coefficients give green no weight")
    out = np.empty((*array.shape[:2], 3), np.uint8)
    for top in range(0, array.shape[0], ROWS):
        rows = array[top : top + ROWS, :, :3].astype(np.float64)
        light, cool, warm = (
            (rows[:, :, at] - reference[2 * at])
            * (span / (reference[2 * at + 1] - reference[2 * at]))
            for at, span in enumerate((255, 127, 127))
        )
        reds = light + warm * (2 - 2 * red)
        blues = light + cool * (2 - 2 * blue)
        greens = (light - red * reds - blue * blues) / green
        colours = np.stack([reds, greens, blues], axis=-1)
        out[top : top + ROWS] = np.clip(np.rint(colours), 0, 255).astype(np.uint8)
    return out
