"""A vector of form, texture, colour and outline for one picture, made of nothing but that picture.

Six blocks, each brought to length 1 and weighted, then joined and brought to length 1: gradients
on a grid (HOG), energies of log-Gabor filters on a grid (GIST), local binary patterns at four
scales, means and deviations of the same filters over the subject, its colours, and where it lies in the
square. All but colours are first freed of their own mean, or all pictures would point nearly the
same way. No corpus enters, so no vector grows stale when a plate is added.
Source: Dalal & Triggs 2005 (HOG); Oliva & Torralba 2001 (GIST); Ojala et al. 2002 (LBP); weights
and their judges: docs/embeddings-classical.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from ledgerkit.errors import InvalidRecord
from ledgerkit.imaging.lab import to_lab

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ledgerkit.imaging.subject import Subject

    Floats = NDArray[np.float64]

SIDE = 128
"""Side in pixels of the square that is described."""
SCALES, TURNS, GRID = 4, 8, 4
PATTERNS = (8, 1, 59), (16, 2, 18), (16, 4, 18)
"""Local binary patterns: neighbours, radius, number of patterns."""
CELLS = 32
"""Cells on a side of the grid on which the subject's place is kept."""
COLOUR_BINS = (4, 6, 6)
COLOUR_RANGE = ((0.0, 100.01), (-60.0, 60.01), (-60.0, 60.01))
PAD = 16
_FIVE = {"gradients": 441, "energies": 512, "patterns": 113, "statistics": 64, "colours": 144}
BLOCKS = {**_FIVE, "shape": CELLS * CELLS}
"""Blocks of a vector in the order in which they are joined, with their numbers."""
DIMENSION = sum(BLOCKS.values())
_LAYOUTS = {"1": _FIVE, "2": _FIVE, "3": BLOCKS}
"""Blocks of a vector by the version of `embed` that made it."""


@dataclass(frozen=True, slots=True)
class Weights:
    """Weight of each kind of block before the whole is brought to length 1."""

    form: float = 0.4
    """Of gradients on a grid, and of filter energies on a grid, each."""
    texture: float = 1.0
    """Of local binary patterns; filter statistics have 0.4 of it."""
    colour: float = 0.7
    shape: float = 0.2


def blocks_in(space: str) -> dict[str, int] | None:
    """Blocks of the vectors in a space that `embed` made, in their order, with their numbers.

    None for another name, and for a version that is not known here.
    """
    method, _, rest = space.partition("-")
    return _LAYOUTS.get(rest.partition("-")[0]) if method == "classical" else None


def describe(subject: Subject, weights: Weights) -> tuple[NDArray[np.float32], float]:
    """The descriptor, float32 (2298,), L2 norm 1, and the norm that it had before.

    `subject`: a square of 128 pixels. Raises `InvalidRecord` where the result is not finite or
    zero: such a vector would be near everything or nothing, and is never stored.
    """
    import numpy as np

    blocks = blocks_of(subject)
    shares = (
        weights.form,
        weights.form,
        weights.texture,
        0.4 * weights.texture,
        weights.colour,
        weights.shape,
    )
    whole = np.concatenate(
        [share * block for share, block in zip(shares, blocks.values(), strict=True)]
    )
    length = float(np.linalg.norm(whole))
    if not np.isfinite(length) or length == 0 or whole.size != DIMENSION:
        raise InvalidRecord(
            f"a descriptor of length {length} and {whole.size} numbers, expected {DIMENSION}"
        )
    return (whole / length).astype(np.float32), length


def blocks_of(subject: Subject) -> dict[str, Floats]:
    """The six blocks by name in the order in which they are joined, float64, each of L2 norm 1.

    A block of zeros stays zero: there is nothing of its kind to see.
    """
    import numpy as np

    light = to_lab(subject.pixels)[..., 0].astype(np.float64)
    inside = _inside(subject)
    energy = _energies(light)
    return {
        "gradients": _unit(_centred(_gradients(light))),
        "energies": _unit(_centred(_on_grid(energy))),
        "patterns": _unit(_centred(_patterns(light, inside))),
        "statistics": _unit(_centred(_statistics(energy, inside))),
        "colours": _unit(_colours(subject)),
        "shape": _unit(_centred(_shape(subject))),
    }


def _unit(block: Floats) -> Floats:
    """The block at L2 norm 1; a block of zeros (nothing of this kind to see) stays zero."""
    import numpy as np

    length = float(np.linalg.norm(block))
    return np.asarray(block / length if length > 1e-9 else 0 * block, dtype=np.float64)


def _centred(block: Floats) -> Floats:
    return block - float(block.mean())


def _inside(subject: Subject) -> NDArray[np.bool_]:
    """The subject and a rim of two pixels, where its outline is; everything when it is empty."""
    import numpy as np

    from ledgerkit.imaging.morphology import dilate

    inside = dilate(subject.cover > 0.3, 2)
    return inside if inside.any() else np.ones_like(inside)


def _gradients(light: Floats) -> Floats:
    """Roots of histograms of oriented gradients: 9 directions, blocks of 2 x 2 cells of 16 pixels;
    (441,).
    """
    import numpy as np
    from skimage.feature import hog

    blocks = hog(light / 100, 9, (16, 16), (2, 2), "L2-Hys", feature_vector=False)
    return np.asarray(np.sqrt(blocks.mean(axis=(2, 3))).ravel(), dtype=np.float64)


@lru_cache(maxsize=1)
def _filters(side: int) -> NDArray[np.float32]:
    """Log-Gabor filters (32, side, side // 2 + 1) in the half plane of `rfft2`: 4 scales, 8
    directions.
    """
    import numpy as np

    down, across = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]
    radius = np.hypot(across, down) + 1e-9
    angle = np.arctan2(down, across)
    made = []
    for scale in range(SCALES):
        band = np.exp(-(np.log(radius * 1.85**scale / 0.3) ** 2) / (2 * np.log(1.6) ** 2))
        for turn in range(TURNS):
            off = np.angle(np.exp(2j * (angle - turn * np.pi / TURNS))) / 2
            made.append(band * np.exp(-(off**2) / (2 * (0.7 * np.pi / TURNS) ** 2)))
    return np.array(made, dtype=np.float32)


def _energies(light: Floats) -> Floats:
    """Absolute answers of the filters, (32, side, side)."""
    import numpy as np

    padded = np.pad(light, PAD, mode="edge")
    spectrum = np.fft.rfft2(padded - padded.mean())
    answers = np.fft.irfft2(spectrum * _filters(padded.shape[0]), s=padded.shape)
    return np.asarray(np.abs(answers)[:, PAD:-PAD, PAD:-PAD], dtype=np.float64)


def _on_grid(energy: Floats) -> Floats:
    """Roots of mean energies on a grid of 4 x 4; (512,)."""
    import numpy as np

    cell = energy.shape[1] // GRID
    means = energy.reshape(SCALES * TURNS, GRID, cell, GRID, cell).mean(axis=(2, 4))
    return np.asarray(np.sqrt(means).ravel(), dtype=np.float64)


def _statistics(energy: Floats, inside: NDArray[np.bool_]) -> Floats:
    """Roots of mean and deviation of each filter's energy over the subject; (64,)."""
    import numpy as np

    chosen = energy[:, inside]
    return np.asarray(
        np.sqrt(np.stack([chosen.mean(axis=1), chosen.std(axis=1)], axis=1)).ravel(),
        dtype=np.float64,
    )


def _patterns(light: Floats, inside: NDArray[np.bool_]) -> Floats:
    """Roots of the shares of local binary patterns over the subject, the last at half the size;
    (113,).
    """
    import numpy as np
    from skimage.feature import local_binary_pattern

    halved = light.reshape(SIDE // 2, 2, SIDE // 2, 2).mean(axis=(1, 3))
    pictures = [(light, inside, pattern) for pattern in PATTERNS]
    pictures.append((halved, inside[::2, ::2], PATTERNS[1]))
    shares = []
    for picture, where, (neighbours, radius, count) in pictures:
        levels = np.round(picture * 2.55).clip(0, 255).astype(np.uint8)
        method = "nri_uniform" if count == 59 else "uniform"
        found = local_binary_pattern(  # type: ignore[no-untyped-call]
            levels, neighbours, radius, method
        )
        codes = found[where].astype(np.int64)
        shares.append(np.sqrt(np.bincount(codes, minlength=count) / max(1, codes.size)))
    return np.concatenate(shares)


def _colours(subject: Subject) -> Floats:
    """Roots of the shares of 4 x 6 x 6 boxes of CIELAB over the subject itself; (144,)."""
    import numpy as np

    inside = subject.cover > 0.5
    inside = inside if inside.any() else np.ones_like(inside)
    lab = to_lab(subject.pixels)[inside]
    counts, _ = np.histogramdd(lab, bins=COLOUR_BINS, range=COLOUR_RANGE)
    return np.asarray(np.sqrt(counts.ravel() / len(lab)), dtype=np.float64)


def _shape(subject: Subject) -> Floats:
    """Roots of the shares of 32 x 32 cells of 4 x 4 pixels that the subject covers; (1024,)."""
    import numpy as np

    cell = SIDE // CELLS
    shares = subject.cover.reshape(CELLS, cell, CELLS, cell).mean(axis=(1, 3), dtype=np.float64)
    return np.asarray(np.sqrt(shares).ravel(), dtype=np.float64)
