"""Scalars of an image, gathered from strips of any height as exact integers.

All sums are integers and every figure is one correctly rounded division or root of them, so the
height of the strips, the number of threads and the order of work cannot change the last digit.

With N pixels, maximum M (255, 4095, 65535), channel samples v, luminance y in 0..M:

- mean = sum(v) / (N M); population deviation = sqrt(N sum(v^2) - sum(v)^2) / (N M)
- y = (54 R + 183 G + 19 B + 128) >> 8, the weights of Rec. ITU-R BT.709-6 in 256ths on encoded
  values (luma); grey is its own y; CMYK and CIELAB take y from their conversion to 8-bit sRGB
- entropy = -sum(p log2 p) over 256 equal bins of y (Shannon 1948)
- background, white: share of y >= t M; black: share of y <= t M
- Michelson contrast (P99 - P1) / (P99 + P1), where Pq is the smallest y that at least q % of the
  pixels do not exceed; 0 for black images (Michelson 1927, with percentiles for extremes)
- RMS contrast = standard deviation of y over its mean, 0 for black images (Peli 1990)
- Laplacian variance: population variance of y[-1,0] + y[1,0] + y[0,-1] + y[0,1] - 4 y, in units of
  255 (Pech-Pacheco et al. 2000)
- edge density: share of pixels with sqrt(gx^2 + gy^2) / 4 > t M, gx and gy by the 3 x 3 Sobel
  operator, so that a full step from black to white counts 1 (Sobel and Feldman 1968)
- grey likeness: share of pixels with max(R, G, B) - min(R, G, B) <= t M; 1 for grey

The 3 x 3 operators repeat the border pixels. Keeps out: decoding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ledgerkit.imaging.vips import strip_rows, strips

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ledgerkit.imaging.decode import Decoded

WEIGHTS = (54, 183, 19)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Limits for the shares, all as parts of the full range 0..1."""

    background: float
    white: float
    black: float
    edge: float
    grey: float


@dataclass(frozen=True, slots=True)
class Measures:
    """The columns of the ledger table `measures` apart from `plate_id`; see its schema for each."""

    width: int
    height: int
    bands: int
    bit_depth: int
    pixels: int
    mean: list[float]
    standard_deviation: list[float]
    minimum: list[float]
    maximum: list[float]
    luminance_mean: float
    luminance_standard_deviation: float
    luminance_entropy: float
    background_ratio: float
    white_ratio: float
    black_ratio: float
    michelson_contrast: float
    rms_contrast: float
    laplacian_variance: float
    edge_density: float
    grey_likeness: float


def measure_image(decoded: Decoded, thresholds: Thresholds, rows: int | None = None) -> Measures:
    """Measure a decoded image in one pass of strips of `rows` rows (about 2^18 pixels by default).

    Stored colour space and depth, alpha left out. Memory is a few strips. Raises `UnreadableImage`
    where pixels are broken.
    """
    colours = decoded.colours()
    bands = colours.bands
    through_srgb = decoded.space in ("cmyk", "lab")
    if through_srgb:
        seen = decoded.to_srgb(colours)
        colours = colours.bandjoin(seen.cast(colours.format))
    tally = Tally(bands, decoded.maximum, 255 if through_srgb else decoded.maximum, thresholds)
    for strip in strips(colours, rows or strip_rows(colours.width)):
        stored = [strip[:, :, band] for band in range(bands)]
        seen = [strip[:, :, band] for band in range(bands, bands + 3)] if through_srgb else stored
        tally.add(stored, seen)
    return tally.finish(colours.width, colours.height)


class Tally:
    """Histograms and integer sums over the strips seen so far."""

    def __init__(self, bands: int, maximum: int, seen_maximum: int, limits: Thresholds) -> None:
        self.maximum, self.seen_maximum, self.limits = maximum, seen_maximum, limits
        self.channels = [Counter(maximum) for _ in range(bands)]
        self.luminance = Counter(seen_maximum)
        self.tail: NDArray[Any] | None = None
        self.laplacian_sum = self.laplacian_squares = self.edges = self.greys = 0
        self.edge_limit = math.floor((4 * limits.edge * seen_maximum) ** 2)
        self.grey_limit = math.floor(limits.grey * seen_maximum)

    def add(self, stored: Sequence[NDArray[Any]], seen: Sequence[NDArray[Any]]) -> None:
        """Take the next strip: channels as stored, and grey or R, G, B, each (rows, width)."""
        import numpy as np

        planes = [np.ascontiguousarray(channel) for channel in stored]
        for counter, plane in zip(self.channels, planes, strict=True):
            counter.add(plane)
        if seen is not stored:
            planes = [np.ascontiguousarray(channel) for channel in seen]
        light = planes[0] if len(planes) == 1 else luma(planes)
        self.luminance.add(light)
        self.greys += light.size if len(planes) == 1 else self._count_greys(planes)
        above = light[:1] if self.tail is None else self.tail
        block = np.concatenate([above, light])
        self._differentiate(block)
        self.tail = block[-2:]

    def _count_greys(self, planes: list[NDArray[Any]]) -> int:
        import numpy as np

        red, green, blue = planes
        spread = np.maximum(np.maximum(red, green), blue)
        spread -= np.minimum(np.minimum(red, green), blue)
        return int(np.count_nonzero(spread <= self.grey_limit))

    def _differentiate(self, block: NDArray[Any]) -> None:
        """Laplacian and Sobel for all rows of (rows, width) but the first and the last."""
        import numpy as np

        if len(block) < 3:
            return
        small = self.seen_maximum <= 255
        y: NDArray[Any] = np.pad(block, ((0, 0), (1, 1)), mode="edge")
        y = y.astype(np.int16 if small else np.int32)
        middle = y[1:-1]
        laplacian = y[:-2, 1:-1] + y[2:, 1:-1]
        laplacian += middle[:, :-2]
        laplacian += middle[:, 2:]
        laplacian -= middle[:, 1:-1] * y.dtype.type(4)
        flat = laplacian.reshape(-1)
        self.laplacian_sum += int(flat.sum(dtype=np.int64))
        self.laplacian_squares += int(np.einsum("i,i->", flat, flat, dtype=np.int64))
        self.edges += _count_edges(y, self.edge_limit, np.int32 if small else np.int64)

    def finish(self, width: int, height: int) -> Measures:
        """The figures, once all strips were added."""
        import numpy as np

        if self.tail is not None:
            self._differentiate(np.concatenate([self.tail[-2:], self.tail[-1:]]))
        pixels = width * height
        tones = self.luminance.counts()
        light = Moments.of(tones, self.seen_maximum)
        limit = self.limits
        ramp = np.arange(self.seen_maximum + 1)
        share = {
            "background_ratio": ramp >= limit.background * self.seen_maximum,
            "white_ratio": ramp >= limit.white * self.seen_maximum,
            "black_ratio": ramp <= limit.black * self.seen_maximum,
        }
        squares = pixels * self.laplacian_squares - self.laplacian_sum**2
        moments = [Moments.of(channel.counts(), self.maximum) for channel in self.channels]
        return Measures(
            width=width,
            height=height,
            bands=len(moments),
            bit_depth=self.maximum.bit_length(),
            pixels=pixels,
            mean=[one.mean for one in moments],
            standard_deviation=[one.deviation for one in moments],
            minimum=[one.minimum for one in moments],
            maximum=[one.maximum for one in moments],
            luminance_mean=light.mean,
            luminance_standard_deviation=light.deviation,
            luminance_entropy=entropy(tones),
            **{name: int(tones[chosen].sum()) / pixels for name, chosen in share.items()},
            michelson_contrast=michelson(tones),
            rms_contrast=light.deviation / light.mean if light.mean else 0.0,
            laplacian_variance=squares * 255**2 / (pixels**2 * self.seen_maximum**2),
            edge_density=self.edges / pixels,
            grey_likeness=self.greys / pixels,
        )


class Counter:
    """Counts of the values 0..`maximum` in arrays of uint8 or uint16.

    Bytes are counted in pairs, as one value of 16 bits: half the steps, and neighbours that are
    equal, as they are on paper, do not wait for each other.
    """

    def __init__(self, maximum: int) -> None:
        import numpy as np

        self._pairs = maximum <= 255
        self._size = maximum + 1
        self._counts = np.zeros(65536 if self._pairs else self._size, np.int64)
        self._odd = np.zeros(self._size, np.int64)

    def add(self, plane: NDArray[Any]) -> None:
        """Count a contiguous array. A value over the maximum raises `ValueError`."""
        import numpy as np

        flat = plane.reshape(-1)
        if self._pairs and flat.dtype == np.uint8:
            even = len(flat) // 2 * 2
            self._odd += np.bincount(flat[even:], minlength=self._size)
            self._counts += np.bincount(flat[:even].view(np.uint16), minlength=65536)
        else:
            self._odd += np.bincount(flat, minlength=self._size)

    def counts(self) -> NDArray[np.int64]:
        """How often each value was seen: int64 (maximum + 1)."""
        if not self._pairs:
            return self._odd
        square = self._counts.reshape(256, 256)
        folded: NDArray[np.int64] = self._odd + square.sum(axis=0) + square.sum(axis=1)
        return folded


@dataclass(frozen=True, slots=True)
class Moments:
    """Mean, population deviation and extremes of a histogram, scaled to 0..1."""

    mean: float
    deviation: float
    minimum: float
    maximum: float

    @classmethod
    def of(cls, histogram: NDArray[np.int64], maximum: int) -> Moments:
        """From counts of the values 0..`maximum`, of which at least one is not 0."""
        import numpy as np

        values = np.flatnonzero(histogram)
        counted = [(int(value), int(histogram[value])) for value in values]
        pixels = sum(count for _, count in counted)
        total = sum(value * count for value, count in counted)
        squares = sum(value * value * count for value, count in counted)
        spread = (pixels * squares - total**2) / (pixels * maximum) ** 2
        lowest, highest = counted[0][0] / maximum, counted[-1][0] / maximum
        return cls(total / (pixels * maximum), math.sqrt(spread), lowest, highest)


def luma(planes: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """(54 R + 183 G + 19 B + 128) >> 8 of three planes of uint8 or uint16, in their own type."""
    import numpy as np

    wide: Any = np.uint16 if planes[0].dtype == np.uint8 else np.uint32
    total = np.full(planes[0].shape, 128, wide)
    for plane, weight in zip(planes, WEIGHTS, strict=True):
        total += plane.astype(wide) * wide(weight)
    total >>= wide(8)
    return total.astype(planes[0].dtype)


def _count_edges(y: NDArray[Any], limit: int, wide: Any) -> int:
    """Pixels of the inner rows and columns of `y` whose squared Sobel gradient exceeds `limit`."""
    import numpy as np

    smooth = y[:-2] + y[2:]
    smooth += y[1:-1]
    smooth += y[1:-1]
    across = smooth[:, 2:] - smooth[:, :-2]
    step = y[2:] - y[:-2]
    down = step[:, 2:] + step[:, :-2]
    down += step[:, 1:-1]
    down += step[:, 1:-1]
    squared = across.astype(wide)
    squared *= squared
    other = down.astype(wide)
    other *= other
    squared += other
    return int(np.count_nonzero(squared > limit))


def entropy(histogram: NDArray[np.int64]) -> float:
    """Shannon entropy in bits of a histogram of 2^k >= 256 bins, gathered into 256 equal ones."""
    counts = [int(count) for count in histogram.reshape(256, -1).sum(axis=1) if count]
    total = sum(counts)
    bits = math.fsum(-count / total * math.log2(count / total) for count in counts)
    return min(8.0, max(0.0, bits))


def michelson(histogram: NDArray[np.int64]) -> float:
    """(P99 - P1) / (P99 + P1) of a histogram of luminance; 0 where both are 0."""
    low, high = percentile(histogram, 1), percentile(histogram, 99)
    return (high - low) / (high + low) if high else 0.0


def percentile(histogram: NDArray[np.int64], percent: int) -> int:
    """The smallest value that at least `percent` % of the counted pixels do not exceed."""
    import numpy as np

    cumulated = np.cumsum(histogram)
    needed = -(-int(cumulated[-1]) * percent // 100)
    return int(np.searchsorted(cumulated, needed))
