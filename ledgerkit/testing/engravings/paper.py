"""Old paper: tone, gradient, mottling, foxing, plate-mark, and the dark bed of a scanner.

The paper knows nothing of what is printed on it, so its tone cannot tell the family.
"""

from dataclasses import dataclass

import numpy as np

from ledgerkit.testing.engravings.block import resized
from ledgerkit.testing.engravings.geometry import Floats

Random = np.random.Generator

_TONES = (
    (236, 224, 196),
    (243, 240, 232),
    (206, 204, 197),
    (224, 206, 170),
    (203, 206, 204),
    (209, 189, 156),
    (178, 171, 160),
    (229, 220, 205),
)
_RUST = np.array((0.22, 0.42, 0.62), np.float32)
"""What a foxing spot of full strength takes from red, green and blue."""


@dataclass(frozen=True)
class Sheet:
    """A bare sheet as scanned."""

    pixels: Floats
    """float32 (height, width, 3), 0..255."""
    box: tuple[int, int, int, int]
    """Left, top, right, bottom of the paper, half-open pixels."""
    on_scanner_bed: bool
    """True where a near-black margin surrounds the paper."""


def make_sheet(rng: Random, size: tuple[int, int]) -> Sheet:
    """A sheet of (height, width) pixels; about one in ten lies on the bed of the scanner."""
    height, width = size
    tone = np.array(_TONES[int(rng.integers(len(_TONES)))], np.float64)
    tone += rng.uniform(-9, 6) + rng.uniform(-3, 3, 3)
    loss = _toning(rng, size)[..., None] * np.array((0.7, 1.0, 1.5), np.float32)
    if rng.random() < 0.75:
        loss = loss + _foxing(rng, size)[..., None] * _RUST
    if rng.random() < 0.55:
        loss = loss + _plate_mark(rng, size)[..., None]
    pixels = tone.astype(np.float32) * (1 - loss)
    if rng.random() >= 0.1:
        return Sheet(pixels, (0, 0, width, height), False)
    return _on_bed(rng, pixels)


def _toning(rng: Random, size: tuple[int, int]) -> Floats:
    """Share of light lost to gradient, browned edges, mottling and laid lines."""
    height, width = size
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    slope = rng.uniform(-0.04, 0.04, 2).astype(np.float32)
    edge = np.clip(np.maximum(np.abs(x), np.abs(y)) - 0.75, 0, 1) * 4
    loss = 0.03 + slope[0] * x + slope[1] * y + edge**2 * rng.uniform(0.0, 0.12)
    for cells, amount in ((4, 0.05), (14, 0.022), (70, 0.016)):
        noise = rng.random((cells, cells), dtype=np.float32) - np.float32(0.5)
        loss = loss + resized(noise, size) * np.float32(amount * rng.uniform(0.5, 1.3))
    if rng.random() < 0.35:
        rows = np.arange(height, dtype=np.float32)[:, None]
        loss = loss + 0.006 * np.sin(rows * float(rng.uniform(0.9, 1.3)))
    return np.asarray(np.clip(loss, 0, 0.5), np.float32)


def _foxing(rng: Random, size: tuple[int, int]) -> Floats:
    """Strength of rust spots, 0..0.6: many small, few large, each with a soft ragged edge."""
    height, width = size
    spots = np.zeros(size, np.float32)
    scale = max(size) / 800
    for _ in range(int(rng.integers(5, 60))):
        radius = scale * min(14.0, 1.2 + 2.2 * float(rng.exponential()))
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        strength = rng.uniform(0.08, 0.4) * (1.0 if radius < 5 * scale else 0.5)
        reach = int(3 * radius) + 2
        rows = slice(max(0, int(y) - reach), min(height, int(y) + reach))
        columns = slice(max(0, int(x) - reach), min(width, int(x) + reach))
        down = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] - y
        across = np.arange(columns.start, columns.stop, dtype=np.float32)[None, :] - x
        ragged = (
            1
            + 0.25 * np.sin(3 * np.arctan2(down, across) + x)
            + 0.15 * np.sin(7 * np.arctan2(down, across) + y)
        )
        spots[rows, columns] += strength * np.exp(-(down**2 + across**2) / (radius * ragged) ** 2)
    return np.asarray(np.clip(spots, 0, 0.6), np.float32)


def _plate_mark(rng: Random, size: tuple[int, int]) -> Floats:
    """The embossed edge of the copper plate and the film of ink inside it."""
    height, width = size
    inset = np.float32(max(size) * rng.uniform(0.03, 0.05))
    y = np.arange(height, dtype=np.float32)[:, None]
    x = np.arange(width, dtype=np.float32)[None, :]
    inside = np.minimum(np.minimum(x, width - 1 - x), np.minimum(y, height - 1 - y)) - inset
    scale = max(size) / 800
    edge = 0.07 * np.exp(-((inside / (1.2 * scale)) ** 2))
    light = 0.04 * np.exp(-(((inside + 3 * scale) / (1.5 * scale)) ** 2))
    film = 0.018 * np.clip(inside / scale, 0, 1)
    return np.asarray(edge - light + film, np.float32)


def _on_bed(rng: Random, pixels: Floats) -> Sheet:
    height, width = pixels.shape[:2]
    share = rng.uniform(0.025, 0.06, 4)
    left, right = round(width * share[0]), round(width * (1 - share[1]))
    top, bottom = round(height * share[2]), round(height * (1 - share[3]))
    skew = rng.uniform(-0.006, 0.006)
    y = np.arange(height, dtype=np.float32)[:, None]
    x = np.arange(width, dtype=np.float32)[None, :]
    across, down = x + skew * (y - height / 2), y - skew * (x - width / 2)
    inside = np.minimum(
        np.minimum(across - left, right - across), np.minimum(down - top, bottom - down)
    )
    paper = np.clip(inside + 0.5, 0, 1)[..., None]
    shadow = 1 - 0.25 * np.exp(-np.clip(inside, 0, None) / 3)[..., None]
    bed = np.array((22, 21, 24), np.float32) + rng.uniform(-6, 10)
    lean = int(0.006 * max(height, width)) + 2
    box = (left + lean, top + lean, right - lean, bottom - lean)
    return Sheet((pixels * shadow * paper + bed * (1 - paper)).astype(np.float32), box, True)
