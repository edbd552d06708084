"""Scalars of an image, gathered from strips of any height as exact integers.

All sums are integers and every figure is one correctly rounded division or root of them, so the
height of the strips, the number of threads and the order of work cannot change the last digit.

With N pixels, maximum M (255, 4095, 65535), channel samples v, luminance y in 0..M:

- mean = sum(v) / (N M); population deviation = sqrt(N sum(v^2) - sum(v)^2) / (N M)
- y = (54 R + 183 G + 19 B + 128) >> 8, the weights of Rec. ITU-R BT.709-6 in 256ths on encoded
  values (luma); grey is its own y; CMYK and CIELAB take y from their conversion to 8-bit sRGB
- entropy = -sum(p log2 p) over 256 equal bins of y (Shannon 1948)
- white: share of y >= t M; black: share of y <= t M
- paper and background: see `paper_colour.py`
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
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ledgerkit.imaging.paper_colour import Palette, find_paper, share_of_paper
from ledgerkit.imaging.tally import Counts, Frame, Sums, Tally
from ledgerkit.imaging.vips import strip_rows, strips

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ledgerkit.imaging.decode import Decoded


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Limits for the shares: parts of the full range 0..1, that of the paper a CIE 1976 difference."""

    paper: float
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
    paper_red: float | None
    paper_green: float | None
    paper_blue: float | None
    paper_from: str | None
    background_ratio: float | None
    white_ratio: float
    black_ratio: float
    michelson_contrast: float
    rms_contrast: float
    laplacian_variance: float
    edge_density: float
    grey_likeness: float


def measure_image(
    decoded: Decoded, thresholds: Thresholds, rows: int | None = None, threads: int = 1
) -> Measures:
    """Measure a decoded image in one pass of strips of `rows` rows (about 2^18 pixels by default).

    Stored colour space and depth, alpha left out. Memory is a few strips and the tables of counts.
    `threads` count beside the one that decodes. Raises `UnreadableImage` where pixels are broken.
    """
    colours = decoded.colours()
    bands = colours.bands
    through_srgb = decoded.space in ("cmyk", "lab")
    seen_maximum = 255 if through_srgb else decoded.maximum
    frame = Frame(
        width=colours.width,
        height=colours.height,
        bands=3 if through_srgb else bands,
        maximum=seen_maximum,
        edge_limit=math.floor((4 * thresholds.edge * seen_maximum) ** 2),
        grey_limit=math.floor(thresholds.grey * seen_maximum),
    )
    if through_srgb:
        seen = decoded.to_srgb(colours)
        colours = colours.bandjoin(seen.cast(colours.format))
    inks = [_Counter() for _ in range(bands if through_srgb else 0)]
    with Tally(frame, threads) as tally:
        for strip in strips(colours, rows or strip_rows(colours.width)):
            for band, ink in enumerate(inks):
                ink.add(strip[:, :, band])
            tally.add(strip[:, :, bands:].astype("uint8") if inks else strip)
        counts = tally.finish()
    channels = [ink.sums() for ink in inks] or counts.channels
    return _figures(frame, decoded.maximum, channels, counts, thresholds)


class _Counter:
    """Counts of the values of a channel of uint8 or uint16, for inks that are not what is seen."""

    def __init__(self) -> None:
        import numpy as np

        self._counts = np.zeros(65536, np.int64)

    def add(self, plane: NDArray[Any]) -> None:
        import numpy as np

        self._counts += np.bincount(plane.reshape(-1), minlength=65536)

    def sums(self) -> Sums:
        return Sums.of(self._counts)


def _figures(
    frame: Frame, maximum: int, channels: list[Sums], counts: Counts, limits: Thresholds
) -> Measures:
    """The columns, from counts; `maximum` is the white of `channels`, `frame.maximum` of luma."""
    import numpy as np

    pixels = frame.width * frame.height
    tones, white = counts.tones, frame.maximum
    light = Moments.of(Sums.of(tones), pixels, white)
    moments = [Moments.of(sums, pixels, maximum) for sums in channels]
    ramp = np.arange(white + 1)
    squares = pixels * counts.laplacian_squares - counts.laplacian**2
    return Measures(
        width=frame.width,
        height=frame.height,
        bands=len(moments),
        bit_depth=maximum.bit_length(),
        pixels=pixels,
        mean=[one.mean for one in moments],
        standard_deviation=[one.deviation for one in moments],
        minimum=[one.minimum for one in moments],
        maximum=[one.maximum for one in moments],
        luminance_mean=light.mean,
        luminance_standard_deviation=light.deviation,
        luminance_entropy=entropy(tones),
        **_paper_columns(counts, limits.paper),
        white_ratio=int(tones[ramp >= limits.white * white].sum()) / pixels,
        black_ratio=int(tones[ramp <= limits.black * white].sum()) / pixels,
        michelson_contrast=michelson(tones),
        rms_contrast=light.deviation / light.mean if light.mean else 0.0,
        laplacian_variance=squares * 255**2 / (pixels**2 * white**2),
        edge_density=counts.edges / pixels,
        grey_likeness=counts.greys / pixels,
    )


def _paper_columns(counts: Counts, tolerance: float) -> dict[str, Any]:
    """What is said of the paper; nulls where there is none."""
    border, whole = Palette.of(counts.border), Palette.of(counts.border + counts.inner)
    paper = find_paper(border, whole)
    red, green, blue = paper.colour if paper else (None, None, None)
    return {
        "paper_red": red,
        "paper_green": green,
        "paper_blue": blue,
        "paper_from": paper.source if paper else None,
        "background_ratio": share_of_paper(whole, paper, tolerance) if paper else None,
    }


@dataclass(frozen=True, slots=True)
class Moments:
    """Mean, population deviation and extremes of samples, scaled to 0..1."""

    mean: float
    deviation: float
    minimum: float
    maximum: float

    @classmethod
    def of(cls, sums: Sums, pixels: int, maximum: int) -> Moments:
        """From exact sums over `pixels` samples, of which `maximum` is white."""
        spread = (pixels * sums.squares - sums.total**2) / (pixels * maximum) ** 2
        mean = sums.total / (pixels * maximum)
        return cls(mean, math.sqrt(spread), sums.lowest / maximum, sums.highest / maximum)


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
