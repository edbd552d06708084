"""Hand colours that every family shares, so that colour alone does not tell a family."""

import numpy as np

from ledgerkit.testing.engravings.block import Colour

LEAF: Colour = (0.55, 0.66, 0.42)
WOOD: Colour = (0.66, 0.54, 0.40)

_MUTED: tuple[Colour, ...] = (
    (0.80, 0.52, 0.40),
    (0.86, 0.72, 0.42),
    (0.55, 0.63, 0.70),
    (0.62, 0.66, 0.48),
    (0.70, 0.55, 0.62),
    (0.62, 0.50, 0.40),
    (0.86, 0.66, 0.60),
    (0.48, 0.58, 0.56),
    (0.72, 0.70, 0.66),
    (0.90, 0.80, 0.58),
)


def muted(rng: np.random.Generator) -> Colour:
    """One muted colour, a little different each time."""
    base = _MUTED[int(rng.integers(len(_MUTED)))]
    red, green, blue = (float(np.clip(value + rng.uniform(-0.06, 0.06), 0, 1)) for value in base)
    return red, green, blue
