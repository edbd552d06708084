"""Perceptual hashes of a picture and of windows on it, which survive scaling and recompression.

Of a picture there are two: of its tone, and of its detail, the steepness of tone at each pixel: where
the marks lie, whatever the sheet, the bed of the scanner or the light. Each is brought to 32 x 32
means over exact areas by own arithmetic (no library's resampler, on which hashes are known to
depend) and to its discrete cosine transform; bit i says whether the i-th of the 128 lowest
frequencies, the mean left out, lies above their median. A copy that was cropped is near the window of
the original that it shows, so windows are hashed beside the whole.

64 bits of tone alone, the usual hash, cannot tell plates that are laid out alike: on real scans
different plates were 6 bits apart, and cropped copies 16.

Keeps out: decoding and shrinking to a working size (`decode.read_shrunk`), comparing.
Source: Zauner 2010, "Implementation and benchmarking of perceptual image hash functions", 3.2.1
(DCT hash); frequencies in the zigzag order of ITU-T T.81, figure 5, so that the lowest come first.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Window = tuple[float, float, float, float]
"""Left, top, right, bottom as shares of width and height, 0..1."""

SIDE = 32
BITS = 128
CUT = 0.1
"""Share of each side that a window leaves out."""
STEEPEST = 40.0
"""Levels a pixel from which on steepness counts no more: one black edge is not the picture."""
LEAST_CONTRAST = 1.0
"""Standard deviation of the 32 x 32 means, in levels of 255, below which there is nothing to hash."""
LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue (ITU-R BT.601), on encoded values as in JPEG."""


@dataclass(frozen=True, slots=True)
class Hash:
    """The two hashes of one window, each 0..2**128 - 1."""

    tone: int
    detail: int


def windows() -> dict[str, Window]:
    """The whole, and nine tenths of each side: at the centre, the sides and the corners."""
    across = {"west": 0.0, "": CUT / 2, "east": CUT}
    down = {"north": 0.0, "": CUT / 2, "south": CUT}
    found = {"whole": (0.0, 0.0, 1.0, 1.0)}
    for vertical, top in down.items():
        for horizontal, left in across.items():
            name = "-".join(part for part in (vertical, horizontal) if part) or "centre"
            found[name] = (left, top, left + 1 - CUT, top + 1 - CUT)
    return found


def hashes(rgb: NDArray[np.uint8]) -> dict[str, Hash | None]:
    """The hashes of each window of sRGB pixels, uint8 (h, w, 3), h and w > 1, by its name.

    None where the window is even: a hash of noise would be near those of other empty sheets.
    """
    import numpy as np

    light = rgb.astype(np.float64) @ np.array(LUMA)
    steps = np.hypot(*np.gradient(light))
    tone, detail = _summed(light), _summed(np.minimum(steps, STEEPEST))
    return {
        name: _both(_means(tone, window), _means(detail, window))
        for name, window in windows().items()
    }


def _both(tone: Floats, detail: Floats) -> Hash | None:
    if float(tone.std()) < LEAST_CONTRAST:
        return None
    return Hash(_hash(tone), _hash(detail))


def _summed(light: Floats) -> Floats:
    """Sums over all pixels above and left of each corner of pixels, float64 (h + 1, w + 1)."""
    import numpy as np

    return np.pad(light.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))


def _means(summed: Floats, window: Window) -> Floats:
    """Means over 32 x 32 equal areas of the window, pixels on a border counted by their share."""
    import numpy as np

    height, width = summed.shape[0] - 1, summed.shape[1] - 1
    left, top, right, bottom = window
    down = np.linspace(top * height, bottom * height, SIDE + 1)
    across = np.linspace(left * width, right * width, SIDE + 1)
    corners = _between(_between(summed, down).T, across).T
    sums = np.diff(np.diff(corners, axis=0), axis=1)
    return np.asarray(sums / (np.diff(down)[:, None] * np.diff(across)), dtype=np.float64)


def _between(summed: Floats, places: Floats) -> Floats:
    """Rows of `summed` at fractional places: a sum over areas is linear between two corners."""
    import numpy as np

    lower = np.minimum(places.astype(np.int64), len(summed) - 2)
    share = (places - lower)[:, None]
    return np.asarray(summed[lower] * (1 - share) + summed[lower + 1] * share, dtype=np.float64)


def _hash(means: Floats) -> int:
    import numpy as np

    waves = _waves()
    lowest = (waves @ means @ waves.T)[_zigzag()]
    bits = lowest > np.median(lowest)
    return int("".join("1" if bit else "0" for bit in bits), 2)


@lru_cache(maxsize=1)
def _waves() -> Floats:
    """The orthonormal DCT-II, float64 (32, 32)."""
    import numpy as np

    place = np.arange(SIDE)
    waves = np.cos(np.pi * (2 * place[None] + 1) * place[:, None] / (2 * SIDE))
    waves[0] /= np.sqrt(2)
    return np.asarray(waves * np.sqrt(2 / SIDE), dtype=np.float64)


@lru_cache(maxsize=1)
def _zigzag() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of the 128 lowest frequencies in zigzag order, the mean left out."""
    import numpy as np

    places = [(row, column) for row in range(SIDE) for column in range(SIDE)]
    # Of one diagonal, odd ones run down and even ones up.
    places.sort(key=lambda at: (sum(at), at[0] if sum(at) % 2 else at[1]))
    chosen = np.array(places[1 : BITS + 1], dtype=np.int64)
    return chosen[:, 0], chosen[:, 1]
