"""Image towers as ONNX files, in onnxruntime, and the export of a tower of ours to one.

Beside the file lies `preprocessor_config.json`: a declaration of ours (`preprocessing.KIND`), which
may name the file's `input` and `output`, or the file of a transformers image processor.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ledgerkit.errors import InvalidRecord, UsageError
from ledgerkit.models import loading, preprocessing, room
from ledgerkit.models.loading import Placement
from ledgerkit.models.towers import misfit, speechless

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ledgerkit.models.towers import TorchTower

    Vectors = NDArray[np.float32]

OPSET = 17
"""Version of ONNX's operators that is written: the first with layer normalisation."""
INPUT, OUTPUT = "pixels", "vector"
TOLERANCE = 1e-5
"""Cosine distance from torch's vector up to which an exported tower is the same."""
_CUDA = "CUDAExecutionProvider"


class OnnxTower:
    """A folder with one ONNX file that takes prepared pictures and gives one vector each."""

    family = "onnx"
    speaks = False

    def __init__(self, folder: Path, device: str = "auto", precision: str = "auto") -> None:
        self.folder = folder
        self.preprocessing = preprocessing.read(folder)
        declared = preprocessing.declaration(folder)
        runtime = loading.library("onnxruntime")
        self.placement, providers = place(device, precision)
        options = runtime.SessionOptions()
        options.intra_op_num_threads = loading.threads()
        options.log_severity_level = 4
        path = _only_file(folder)
        try:
            self.session = runtime.InferenceSession(str(path), options, providers=providers)
        except Exception as error:  # the library's own classes of errors share no base
            raise InvalidRecord(
                f"{folder.name}/{path.name} cannot be loaded: {str(error).splitlines()[0][:300]}"
            ) from error
        self._input = _named(self.session.get_inputs(), declared.get("input"), folder)
        self._output = _named(self.session.get_outputs(), declared.get("output"), folder)
        first = next(one for one in self.session.get_inputs() if one.name == self._input).shape[0]
        self._fixed = first if isinstance(first, int) and first > 0 else None
        self._batch = self._fixed

    def images(self, pixels: NDArray[np.float32]) -> Vectors:
        """As `Tower.images`. A file of a fixed batch is given as many, repeated to fill it."""
        import numpy as np

        if self._fixed is None:
            return room.in_halves(self._run, pixels, self._fewer)
        size, found = self._fixed, []
        for start in range(0, len(pixels), size):
            part = pixels[start : start + size]
            filled = part if len(part) == size else np.resize(part, (size, *part.shape[1:]))
            found.append(self._run(filled)[: len(part)])
        return np.concatenate(found)

    def _run(self, pixels: NDArray[np.float32]) -> Vectors:
        import numpy as np

        try:
            (vectors,) = self.session.run([self._output], {self._input: pixels})
        except Exception as error:  # the library's own classes of errors share no base
            if room.short(error):
                raise
            raise misfit(self.folder, pixels, error) from error
        if vectors.ndim != 2:
            raise InvalidRecord(
                f"{self.folder.name}: {self._output} has the shape {vectors.shape}, not one "
                "vector for each picture",
                "Name the right output in the declaration of its preprocessing.",
            )
        return np.asarray(vectors, dtype=np.float32)

    def _fewer(self, half: int) -> None:
        """That memory held no more than `half`, if so many."""
        self._batch = min(half, self._batch or half)

    def texts(self, texts: Sequence[str]) -> Vectors:
        """As `Tower.texts`: there is none."""
        raise speechless(self.folder)

    def batch(self) -> int:
        """As `Tower.batch`."""
        if self._batch is None:
            found = room.fitting(self.images, self.preprocessing)
            self._batch = min(found, self._batch or found)
        return self._batch


def place(device: str, precision: str) -> tuple[Placement, list[str]]:
    """Where an ONNX file runs, and onnxruntime's providers for that.

    Raises `MissingExtra`, `UsageError` for a GPU that there is not, and for bfloat16.
    """
    if precision == "bfloat16":
        raise UsageError(
            "an ONNX file computes in the numbers it was exported with, not in bfloat16",
            "Leave --precision out.",
        )
    there = _CUDA in loading.library("onnxruntime").get_available_providers()
    if device == "cuda" and not there:
        raise UsageError("onnxruntime sees no GPU here", "Leave --device out, or give cpu.")
    if there and device != "cpu":
        return Placement("cuda", "float32", "cuda: onnxruntime"), [_CUDA, "CPUExecutionProvider"]
    return Placement("cpu", "float32", "cpu"), ["CPUExecutionProvider"]


def _only_file(folder: Path) -> Path:
    """The ONNX file of a folder. Raises `UsageError` where there are several."""
    found = sorted(folder.rglob("*.onnx"))
    if len(found) != 1:
        raise UsageError(
            f"{folder.name} has {len(found)} ONNX files: which is the tower is not said",
            "Add the folder with the one file, or the file itself with --preprocessing.",
        )
    return found[0]


def _named(there: Sequence[Any], wanted: Any, folder: Path) -> str:
    """The input or output that a declaration names, else the only one."""
    names = [str(one.name) for one in there]
    if wanted is None and len(names) == 1:
        return names[0]
    if wanted not in names:
        raise InvalidRecord(
            f"{folder.name}: its declaration names {wanted!r}, and the ONNX file has "
            f"{', '.join(names)}",
            "Declare `input` and `output`: docs/embeddings.md.",
        )
    return str(wanted)


@dataclass(frozen=True, slots=True)
class Proof:
    """How far the vectors of an exported tower lie from torch's, over the same prepared pictures."""

    random: int
    """Pictures of noise."""
    real: int
    """Photographs and scans."""
    most_cosine: float
    """The largest cosine distance of a pair."""
    most_difference: float
    """The largest difference of a component, where torch's vector has length 1."""
    tolerance: float = TOLERANCE

    @property
    def holds(self) -> bool:
        return self.most_cosine <= self.tolerance


def export(tower: TorchTower, folder: Path) -> OnnxTower:
    """Write the image tower of a model as ONNX with its declaration into `folder`, and open it.

    Raises `UsageError` for a tower that is not float32 on the processor.
    """
    import json

    if (tower.placement.device, tower.placement.precision) != ("cpu", "float32"):
        raise UsageError("towers are exported from the processor, in float32")
    torch = loading.torch()
    loading.library("onnx")
    module: Any = torch.nn.Module
    family, model = tower.ask, tower.model

    class Asked(module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, pixels: Any) -> Any:
            return family(self.model, pixels)

    height, width = tower.preprocessing.shape
    axes = {INPUT: {0: "n"}, OUTPUT: {0: "n"}}
    with warnings.catch_warnings():
        # The exporter that needs no onnxscript warns that it is the older one, and of each trace.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Asked().eval(),
            (torch.zeros(2, 3, height, width),),
            str(folder / "tower.onnx"),
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
        )
    declared = preprocessing.to_declaration(tower.preprocessing)
    declared |= {"input": INPUT, "output": OUTPUT}
    (folder / preprocessing.FILES[0]).write_text(json.dumps(declared, indent=2) + "\n")
    return OnnxTower(folder, "cpu")


def prove(
    ours: TorchTower, exported: OnnxTower, pictures: Sequence[NDArray[np.uint8]], noise: int = 8
) -> Proof:
    """Compare both towers on `pictures`, uint8 (h, w, 3), and on `noise` pictures of noise."""
    import numpy as np

    drawn = np.random.default_rng(0)
    height, width = ours.preprocessing.shape
    sheets = [
        drawn.integers(0, 256, (height + 5 * one, width + 9, 3), dtype=np.uint8)
        for one in range(noise)
    ]
    cosine = difference = 0.0
    for picture in [*sheets, *pictures]:
        prepared = ours.preprocessing.apply(picture)[None]
        first, second = (one.images(prepared)[0].astype(np.float64) for one in (ours, exported))
        lengths = np.linalg.norm(first), np.linalg.norm(second)
        cosine = max(cosine, 1 - float(first @ second / (lengths[0] * lengths[1])))
        difference = max(difference, float(np.abs(first - second).max() / lengths[0]))
    return Proof(noise, len(pictures), cosine, difference)
