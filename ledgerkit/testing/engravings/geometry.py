"""Curves and outlines as lists of points: splines, ellipses, tapering ribbons, turns.

Plain geometry in the units of the caller; knows nothing of pixels or ink.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Knots = Sequence[tuple[float, float]] | Floats


def points(knots: Knots) -> Floats:
    """Knots as a float64 array of shape (n, 2), columns x and y."""
    return np.asarray(knots, dtype=np.float64).reshape(-1, 2)


def spline(knots: Knots, *, closed: bool = False, steps: int = 10) -> Floats:
    """A Catmull-Rom curve through all knots, shape (n, 2), `steps` points to each span."""
    through = points(knots)
    if closed:
        padded = np.concatenate([through[-1:], through, through[:2]])
    else:
        first = 2 * through[:1] - through[1:2]
        last = 2 * through[-1:] - through[-2:-1]
        padded = np.concatenate([first, through, last])
    before, start, end, after = padded[:-3], padded[1:-2], padded[2:-1], padded[3:]
    t = (np.arange(steps) / steps)[None, :, None]
    before, start, end, after = (part[:, None, :] for part in (before, start, end, after))
    curve = 0.5 * (
        2 * start
        + (end - before) * t
        + (2 * before - 5 * start + 4 * end - after) * t**2
        + (3 * start - before - 3 * end + after) * t**3
    )
    flat = curve.reshape(-1, 2)
    return flat if closed else np.concatenate([flat, through[-1:]])


def ellipse(
    centre: tuple[float, float], radii: tuple[float, float], tilt: float = 0.0, count: int = 48
) -> Floats:
    """An ellipse as a closed outline of shape (count, 2); `tilt` in radians."""
    angle = np.arange(count) * (2 * np.pi / count)
    ring = np.stack([radii[0] * np.cos(angle), radii[1] * np.sin(angle)], axis=1)
    return turned(ring, tilt) + points([centre])


def turned(outline: Knots, angle: float, about: tuple[float, float] = (0.0, 0.0)) -> Floats:
    """The outline turned by `angle` radians (x towards y) about a point."""
    cosine, sine = np.cos(angle), np.sin(angle)
    centre = points([about])
    moved = points(outline) - centre
    x, y = moved[:, 0], moved[:, 1]
    return np.stack([cosine * x - sine * y, sine * x + cosine * y], axis=1) + centre


def mirrored(outline: Knots) -> Floats:
    """The outline with x negated."""
    return points(outline) * points([(-1.0, 1.0)])


def resampled(line: Knots, count: int) -> Floats:
    """`count` points at equal distances along an open line."""
    path = points(line)
    reach = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(path, axis=0).T))])
    at = np.linspace(0.0, reach[-1], count)
    return np.stack([np.interp(at, reach, path[:, 0]), np.interp(at, reach, path[:, 1])], axis=1)


def ribbon(line: Knots, start: float, end: float, *, swell: float = 0.0) -> Floats:
    """The closed outline of a line with width going from `start` to `end`.

    `swell` is added to the width half-way, as a burin line swells. Takes one line of shape
    (n, 2) or many of shape (lines, n, 2) at once; the outline has 2 n points.
    """
    path = np.asarray(line, dtype=np.float64)
    along = np.gradient(path, axis=-2)
    length = np.maximum(np.hypot(along[..., 0], along[..., 1]), 1e-9)
    across = np.stack([-along[..., 1] / length, along[..., 0] / length], axis=-1)
    t = np.linspace(0.0, 1.0, path.shape[-2])
    half = (0.5 * (start + (end - start) * t) + 0.5 * swell * 4 * t * (1 - t))[:, None]
    sides = [path + across * half, (path - across * half)[..., ::-1, :]]
    return np.concatenate(sides, axis=-2)


def between(first: Floats, second: Floats, share: float) -> Floats:
    """The outline at `share` (0..1) of the way from one outline to another of equal length."""
    return first + (second - first) * share


def roughened(outline: Floats, amount: float, rng: np.random.Generator) -> Floats:
    """The outline with every point moved by up to `amount` in x and in y."""
    return outline + rng.uniform(-amount, amount, outline.shape)
