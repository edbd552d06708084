"""Small images of known pixels for the tests of `imaging` and of the operations on pixels."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray


@pytest.fixture
def picture() -> NDArray[np.uint8]:
    """A smooth coloured picture with a dark corner that breaks every symmetry: (60, 90, 3)."""
    down, across = np.mgrid[0:60, 0:90]
    image = np.stack([across * 2, down * 4, 255 - across - down], axis=-1).astype(np.uint8)
    image[:8, :12] = 10
    return image
