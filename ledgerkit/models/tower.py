"""A tower: pictures in, one vector each out; and how one is opened from a model's folder.

`towers` holds those that run in torch, `onnx` those that run in onnxruntime. Which batch they run in
moves no vector beyond the rounding of the numbers that it computes in.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ledgerkit.errors import UsageError
from ledgerkit.models.loading import state_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ledgerkit.models.loading import Placement
    from ledgerkit.models.preprocessing import Preprocessing

    Vectors = NDArray[np.float32]

BATCH = "LEDGERKIT_BATCH"
"""Environment variable that sets the pictures of a batch; unset or 0, a tower finds it itself."""


class Tower(Protocol):
    """One side of a model, loaded: what is to be known of it, and what it computes."""

    family: str
    """`clip`, `siglip`, `dinov2`, `dinov3`, `vit`, `onnx`."""
    preprocessing: Preprocessing
    placement: Placement
    speaks: bool
    """Whether it has a tower of texts in the space of its pictures."""

    def images(self, pixels: NDArray[np.float32]) -> Vectors:
        """Raw vectors, float32 (n, d), of prepared pictures, float32 (n, ...), n >= 1.

        Tries halves where memory does not hold n at once; raises `MemoryError` where not one.
        """

    def texts(self, texts: Sequence[str]) -> Vectors:
        """Raw vectors, float32 (n, d), of n >= 1 texts, in the space of `images`.

        Raises `UsageError` where there is no such tower, and for a text longer than it takes.
        """

    def batch(self) -> int:
        """Pictures that are worth giving at once here, at least one."""


def open_tower(folder: Path, device: str = "auto", precision: str = "auto") -> Tower:
    """The tower of the model in `folder`, kept loaded in this process while its files stay.

    A folder with an ONNX file and no safetensors runs in onnxruntime. Raises `MissingExtra`,
    `MissingInput`, `InvalidRecord` for a model that cannot be loaded whole, `UsageError` for a
    family that is not known and a device that is not there.
    """
    return _opened(folder, state_of(folder), device, precision)


@lru_cache(maxsize=2)
def _opened(folder: Path, state: object, device: str, precision: str) -> Tower:
    """As `open_tower`; `state` changes when a file does."""
    if is_onnx(folder):
        from ledgerkit.models.onnx import OnnxTower

        return OnnxTower(folder, device, precision)
    from ledgerkit.models.towers import TorchTower

    return TorchTower(folder, device, precision)


def check(folder: Path, device: str, precision: str, *, words: bool) -> None:
    """Raise what `open_tower` would, as far as settings and installed libraries tell; loads nothing.

    With `words`, also `UsageError` for a model without a tower of texts.
    """
    from ledgerkit.models import loading, onnx, preprocessing, towers

    preprocessing.read(folder)
    if is_onnx(folder):
        loading.require("onnxruntime")
        if device == "cuda" or precision == "bfloat16":
            onnx.place(device, precision)
        speaks = False
    else:
        speaks = towers.family_of(folder)[1].speaks
        loading.require("torch", "transformers", "safetensors")
        if device == "cuda":
            loading.place(device, precision)
    if words and not speaks:
        raise towers.speechless(folder)


def batch_size(tower: Tower) -> int:
    """Pictures a batch: what `LEDGERKIT_BATCH` says, else the tower's own. Raises `UsageError`."""
    stated = os.environ.get(BATCH, "0")
    if not stated.isdecimal():
        raise UsageError(f"{BATCH} is {stated!r}, not a number of pictures", "Unset it, or give 0.")
    return int(stated) or tower.batch()


def is_onnx(folder: Path) -> bool:
    """Whether the model in `folder` is an ONNX file."""
    return any(folder.rglob("*.onnx")) and not any(folder.glob("*.safetensors"))
