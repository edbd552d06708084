"""How many pictures a model on a processor is given at once, and what is done when memory runs out."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from ledgerkit import memory
from ledgerkit.models.loading import WORKERS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ledgerkit.models.preprocessing import Preprocessing

    Vectors = NDArray[np.float32]

LARGEST = 32
"""Pictures of a batch on a processor: enough to fill its matrix products, little to hold."""
SHARE = 2
"""A batch takes at most one part in so many of the memory that is free when it is found."""
COPIES = 4
"""Of each picture of a batch as it is prepared: itself, in the batch, and two batches ahead."""
_SHORTAGES = (
    "DefaultCPUAllocator",  # torch
    "Failed to allocate memory",  # onnxruntime
    "bad allocation",
    "bad_alloc",
)


def fitting(images: Callable[[NDArray[np.float32]], Vectors], preprocessing: Preprocessing) -> int:
    """Pictures of a batch: a power of two of at most `LARGEST`, by the memory that is free.

    `images` are asked for one blank picture, for weights that lie in a mapped file come into memory
    with the first one, and then for two, whose memory is measured. The share is divided among the
    workers. `LARGEST` where the system tells no memory, or the model takes no such pictures, which
    they will say themselves; one where memory does not hold two.
    """
    import numpy as np

    if memory.free() is None:
        return LARGEST
    blank = preprocessing.apply(np.zeros((*preprocessing.shape, 3), dtype=np.uint8))
    try:
        images(blank[None])
        with memory.peak() as peak:
            images(np.stack([blank, blank]))
    except Exception as error:
        return 1 if short(error) else LARGEST
    memory.give_back()
    each = peak.bytes // 2 + COPIES * blank.nbytes
    share = (memory.free() or 0) // SHARE // max(1, int(os.environ.get(WORKERS, "1")))
    return 1 << (max(1, min(LARGEST, share // each)).bit_length() - 1)


def in_halves(
    ask: Callable[[NDArray[np.float32]], Vectors],
    pixels: NDArray[np.float32],
    fewer: Callable[[int], None],
) -> Vectors:
    """What `ask` gives for a batch, in halves where memory does not hold it; `fewer` is told each half.

    Raises `MemoryError` where it does not hold one picture.
    """
    import numpy as np

    try:
        return ask(pixels)
    except Exception as error:
        if not short(error):
            raise
        if len(pixels) == 1:
            why = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
            raise MemoryError(
                f"memory does not hold the model at work on one picture: {why}"
            ) from None
    half = (len(pixels) + 1) // 2
    fewer(half)
    parts = (pixels[:half], pixels[half:])
    return np.concatenate([in_halves(ask, part, fewer) for part in parts])


def short(error: Exception) -> bool:
    """Whether an error of torch, onnxruntime or numpy says that memory ran out."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return any(text in str(error) for text in _SHORTAGES)
