"""Export the image tower of a model in the store as ONNX, prove it, and add it under a new name.

The new model's settings say which weights it was made of, and hold the numbers of the proof.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ledgerkit.errors import InvalidRecord, UsageError
from ledgerkit.imaging.decode import read_shrunk
from ledgerkit.models import onnx
from ledgerkit.models.onnx import Proof
from ledgerkit.models.preprocessing import FILES
from ledgerkit.models.towers import TorchTower
from ledgerkit.weights.adding import AddView, add
from ledgerkit.weights.document import check_name
from ledgerkit.weights.store import ModelStore

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LONG_SIDE = 1024
PHOTOGRAPHS = ("astronaut", "chelsea", "coffee")
"""Of scikit-image's wheel: the real pictures of a proof where none are given."""


@dataclass(frozen=True, slots=True)
class ExportView:
    """What came of an export: how the new model was added, and its proof."""

    added: AddView
    proof: Proof


def export_onnx(
    store: ModelStore,
    name: str,
    new_name: str,
    *,
    images: Sequence[Path] = (),
    wait: float = 60.0,
) -> ExportView:
    """Add the image tower of the model `name` as the ONNX model `new_name`.

    It is compared with torch on noise and on `images`, or photographs that are at hand. Raises
    `InvalidRecord` where they differ by more than `onnx.TOLERANCE`: then nothing is added; what the
    store, `TorchTower` and `add` raise.
    """
    import numpy as np

    check_name(new_name)
    pin = store.pin(name)
    family = store.show(name).family
    pictures = [_picture(path) for path in images]
    if not pictures:
        from skimage import data

        pictures = [np.asarray(getattr(data, one)()) for one in PHOTOGRAPHS]
    with tempfile.TemporaryDirectory(prefix="ledgerkit-onnx-") as made:
        folder = Path(made) / new_name
        folder.mkdir()
        tower = TorchTower(store.path(name), "cpu", "float32")
        proof = onnx.prove(tower, onnx.export(tower, folder), pictures)
        if not proof.holds:
            raise InvalidRecord(
                f"the exported tower of {name} lies {proof.most_cosine:.1e} from torch's, more than "
                f"{proof.tolerance:.0e}: nothing was added",
                "Report the model: its export computes something else.",
            )
        _declare(folder, {"made_of": msgspec.to_builtins(pin), "proof": asdict(proof)}, family)
        added = add(store, new_name, str(folder), license=pin.license, wait=wait)
    return ExportView(added, proof)


def _declare(folder: Path, facts: dict[str, object], family: str | None) -> None:
    """Add facts to the declaration of the preprocessing."""
    path = folder / FILES[0]
    declared = json.loads(path.read_text("utf-8")) | {"family": family} | facts
    path.write_text(json.dumps(declared, indent=2) + "\n", "utf-8")


def _picture(path: Path) -> NDArray[np.uint8]:
    try:
        with path.open("rb") as file:
            return read_shrunk(file, LONG_SIDE)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error
