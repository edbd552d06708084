"""One figure while it is being engraved: ink, hand colour and the silhouette it covers.

A family draws in its own units; the block turns them into pixels, so that one drawing
can be made small for placing it and large for printing it. No paper, no layout.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from ledgerkit.testing.engravings.geometry import Floats, Knots, points, ribbon

SUPERSAMPLING = 4
"""Outlines are filled this many times finer than the pixels, then averaged."""

Colour = tuple[float, float, float]
"""What a wash lets through in red, green and blue, each 0..1."""


@dataclass(frozen=True)
class Pose:
    """Where the units of a drawing lie on the pixels of its block."""

    scale: float
    """Pixels to one unit."""
    origin: tuple[float, float]
    """Pixel (x, y) of the point (0, 0)."""
    angle: float = 0.0
    """Turn in radians, x towards y."""
    mirrored: bool = False
    """True where left and right are exchanged before the turn."""

    def to_pixels(self, outline: Knots) -> Floats:
        """Points of the drawing, shape (n, 2), as pixels (x, y)."""
        path = points(outline)
        x = -path[:, 0] if self.mirrored else path[:, 0]
        cosine, sine = np.cos(self.angle), np.sin(self.angle)
        across = cosine * x - sine * path[:, 1]
        down = sine * x + cosine * path[:, 1]
        return np.stack([across, down], axis=1) * self.scale + points([self.origin])

    def to_units(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Pixel coordinates (any shape) as coordinates of the drawing."""
        across, down = (x - self.origin[0]) / self.scale, (y - self.origin[1]) / self.scale
        cosine, sine = float(np.cos(self.angle)), float(np.sin(self.angle))
        u = cosine * across + sine * down
        return (-u if self.mirrored else u), cosine * down - sine * across


@dataclass(frozen=True)
class Area:
    """A part of a block: a window of pixels and how much of each is covered."""

    window: tuple[slice, slice]
    """Rows and columns of the block."""
    cover: Floats
    """float32 of the window's shape, 0..1."""


class Block:
    """A figure on a canvas of (height, width) pixels, drawn in its own units.

    ink   float32 (height, width), 0 bare .. 1 black
    tint  float32 (height, width, 3), what washes let through; above 1 is heightened with white
    cover float32 (height, width), 0 outside the silhouette .. 1 inside
    """

    def __init__(
        self, size: tuple[int, int], pose: Pose, *, line: float, colouring: float, grain: int
    ) -> None:
        """`line` is the finest line in pixels, `colouring` 0..1 the strength of washes."""
        self.size = size
        self.pose = pose
        self.line = line
        self.colouring = colouring
        self.ink = np.zeros(size, np.float32)
        self.tint = np.ones((*size, 3), np.float32)
        self.cover = np.zeros(size, np.float32)
        # Noise of pixels has its own generator: the shape must not depend on the size.
        self.grain = np.random.Generator(np.random.PCG64(grain))
        patches = self.grain.random((9, 9), dtype=np.float32)
        self._unevenness = 0.75 + 0.5 * resized(patches, size)

    def area(self, *outlines: Knots) -> Area:
        """What closed outlines cover together."""
        return self._filled([self.pose.to_pixels(outline) for outline in outlines])

    def coordinates(self, area: Area) -> tuple[Floats, Floats]:
        """The drawing's coordinates (u, v) of each pixel in an area's window, float32."""
        rows, columns = area.window
        y = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] + np.float32(0.5)
        x = np.arange(columns.start, columns.stop, dtype=np.float32)[None, :] + np.float32(0.5)
        return self.pose.to_units(*np.broadcast_arrays(x, y))

    def lay(self, *outlines: Knots) -> Area:
        """Put an opaque form on the block: it hides what lies beneath and is covered."""
        area = self.area(*outlines)
        bare = 1 - area.cover
        self.ink[area.window] *= bare
        self.tint[area.window] = 1 + (self.tint[area.window] - 1) * bare[..., None]
        self._cover(area)
        return area

    def wash(self, area: Area, colour: Colour, strength: float | Floats = 1.0) -> None:
        """Brush colour over an area, unevenly as by hand."""
        amount = area.cover * strength * self.colouring * self._unevenness[area.window]
        amount = np.clip(amount, 0, 1)[..., None]
        self.tint[area.window] *= 1 - amount * (1 - np.asarray(colour, np.float32))

    def darken(self, area: Area, strength: float | Floats) -> None:
        """Grey tone without lines, as of a lithograph's crayon or an aquatint."""
        self._print(area.window, area.cover * strength)

    def hatch(
        self,
        area: Area,
        tone: float | Floats,
        *,
        angle: float,
        spacing: float = 3.4,
        bend: float = 0.0,
    ) -> None:
        """Parallel lines whose thickness carries the tone (0..1), bent over the form.

        `spacing` in finest lines, `bend` in line spacings at the height of the form.
        """
        rows, columns = area.window
        y = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None]
        x = np.arange(columns.start, columns.stop, dtype=np.float32)[None, :]
        step = spacing * self.line
        phase = (x * float(np.cos(angle)) + y * float(np.sin(angle))) / step
        if bend:
            phase = phase + bend * self.height(area)
        self.ruled(area, tone, phase, step)

    def ruled(self, area: Area, tone: float | Floats, phase: Floats, step: float = 4.0) -> None:
        """Lines at every whole number of `phase`; `step` is about their distance in pixels."""
        distance = np.abs(phase - np.rint(phase)) * 2
        self._print(area.window, np.clip((tone - distance) * (step / 2) + 0.5, 0, 1) * area.cover)

    def stipple(self, area: Area, tone: float | Floats) -> None:
        """Scattered dots that carry the tone (0..1)."""
        rows, columns = area.cover.shape
        step = max(1.0, 1.3 * self.line)
        coarse = (max(1, round(rows / step)), max(1, round(columns / step)))
        dots = resized(self.grain.random(coarse, dtype=np.float32), (rows, columns))
        self._print(area.window, np.clip((tone - dots) * 6 + 0.5, 0, 1) * area.cover * 0.85)

    def height(self, area: Area, softness: float = 0.18) -> Floats:
        """The form as a cushion: about 1 inside and falling to its edge, float32 0..1."""
        rows, columns = area.cover.shape
        reach = max(2.0, softness * max(rows, columns))
        margin = int(reach) + 1
        padded = np.pad(area.cover, margin)
        coarse = (max(2, round(len(padded) / reach)), max(2, round(padded.shape[1] / reach)))
        smooth = resized(resized(padded, coarse), padded.shape)
        return np.asarray(np.clip(smooth[margin:-margin, margin:-margin], 0, 1), np.float32)

    def shade(self, area: Area, softness: float = 0.18, depth: float = 0.5) -> Floats:
        """Tone of a rounded form lit from the upper left, float32 0..1, 1 the darkest."""
        form = self.height(area, softness)
        if min(form.shape) < 2:
            return np.full(form.shape, np.float32(0.4))
        reach = softness * max(form.shape)
        down, across = np.gradient(form)
        slope = (across * 0.55 + down * 0.84) * reach
        return np.asarray(np.clip(0.32 - depth * 1.6 * slope + 0.3 * (1 - form), 0, 1), np.float32)

    def contour(self, outline: Knots, weight: float = 1.3) -> None:
        """A closed contour line of `weight` finest lines."""
        path = points(outline)
        self.strokes([np.concatenate([path, path[:2]])], weight)

    def strokes(self, lines: Sequence[Knots], weight: float = 1.0, darkness: float = 0.9) -> None:
        """Open lines of even width; they count as covered."""
        paths = [self.pose.to_pixels(line) for line in lines]
        area = self._drawn(paths, weight * self.line)
        self._print(area.window, area.cover * darkness)
        self._cover(area)

    def flicks(
        self, lines: Sequence[Knots] | Floats, weight: float = 1.2, within: Area | None = None
    ) -> None:
        """Short lines, all of as many points, that taper to both ends; cut off outside `within`."""
        together = np.asarray(lines, dtype=np.float64)
        if not together.size:
            return
        paths = self.pose.to_pixels(together.reshape(-1, 2)).reshape(together.shape)
        if within is not None:
            rows, columns = within.window
            low, high = paths.min(axis=1), paths.max(axis=1)
            near = (high[:, 0] > columns.start) & (low[:, 0] < columns.stop)
            near &= (high[:, 1] > rows.start) & (low[:, 1] < rows.stop)
            paths = paths[near]
        if not len(paths):
            return
        width = weight * self.line
        area = self._filled(list(ribbon(paths, width * 0.3, width * 0.2, swell=width)))
        printed = area.cover
        if within is not None:
            limit = np.zeros(self.size, np.float32)
            limit[within.window] = within.cover
            printed = printed * limit[area.window]
        self._print(area.window, printed * 0.9)
        self._cover(Area(area.window, printed))

    def heighten(self, area: Area, amount: float | Floats) -> None:
        """Body white over an area: the paper there is printed lighter by `amount` (0..1)."""
        self.tint[area.window] *= 1 + (area.cover * amount)[..., None]

    def _print(self, window: tuple[slice, slice], ink: Floats) -> None:
        self.ink[window] = 1 - (1 - self.ink[window]) * (1 - ink)

    def _cover(self, area: Area) -> None:
        self.cover[area.window] = np.maximum(self.cover[area.window], area.cover)

    def _window(self, paths: Sequence[Floats], margin: float) -> tuple[slice, slice]:
        together = np.concatenate(paths)
        low = np.floor(together.min(axis=0) - margin).astype(int)
        high = np.ceil(together.max(axis=0) + margin).astype(int) + 1
        height, width = self.size
        left, right = np.clip([low[0], max(high[0], low[0] + 1)], 0, width)
        top, bottom = np.clip([low[1], max(high[1], low[1] + 1)], 0, height)
        left, top = min(left, width - 1), min(top, height - 1)
        return slice(int(top), int(max(bottom, top + 1))), slice(
            int(left), int(max(right, left + 1))
        )

    def _filled(self, paths: Sequence[Floats]) -> Area:
        window = self._window(paths, 1)
        canvas, brush = _canvas(window)
        for path in paths:
            brush.polygon(_corners(path, window), fill=255)
        return Area(window, _averaged(canvas))

    def _drawn(self, paths: Sequence[Floats], width: float) -> Area:
        window = self._window(paths, width + 1)
        canvas, brush = _canvas(window)
        for path in paths:
            brush.line(
                _corners(path, window),
                fill=255,
                width=max(1, round(width * SUPERSAMPLING)),
                joint="curve" if width > 1.5 else None,
            )
        return Area(window, _averaged(canvas))


def resized(field: Floats, shape: tuple[int, ...]) -> Floats:
    """A field of values smoothly resized to (height, width), float32."""
    image = Image.fromarray(np.asarray(field, np.float32))
    return np.asarray(image.resize((shape[1], shape[0]), Image.Resampling.BICUBIC), np.float32)


def _canvas(window: tuple[slice, slice]) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    rows, columns = window
    size = (columns.stop - columns.start, rows.stop - rows.start)
    canvas = Image.new("L", (size[0] * SUPERSAMPLING, size[1] * SUPERSAMPLING))
    return canvas, ImageDraw.Draw(canvas)


def _corners(path: Floats, window: tuple[slice, slice]) -> list[tuple[int, int]]:
    # Whole numbers: the last bit of a sine must not decide about a pixel.
    moved = path - points([(window[1].start, window[0].start)])
    corners = np.rint(moved * SUPERSAMPLING).astype(int).tolist()
    return [(x, y) for x, y in corners]


def _averaged(canvas: Image.Image) -> Floats:
    return np.asarray(canvas.reduce(SUPERSAMPLING), np.float32) / np.float32(255)
