"""Describe plates, tiles, segments or titles by a vector of a learned model from the store.

CLIP, SigLIP, DINOv2, DINOv3, ViT, or any image tower as ONNX. Pictures of many plates go through the
model in one batch; which pictures share a batch moves no vector beyond rounding. A picture that
cannot be read, or whose vector is zero or not finite, is a failed item and gets no vector.
Families, spaces and preprocessing: docs/embeddings.md. Source: Radford et al. 2021; Zhai et al. 2023;
Oquab et al. 2023; Simeoni et al. 2025; Dosovitskiy et al. 2020.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, Protocol

from ledgerkit.errors import InvalidRecord, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ledgerkit.handles import Inputs, Outputs, Row
    from ledgerkit.models.tower import Tower

    Picture = NDArray[np.uint8]

VERSION = "1"
EVENT_TYPE = "feature extraction"
SUBJECT = "plate"
LIBRARIES = (
    "numpy",
    "onnxruntime",
    "pillow",
    "pyarrow",
    "pyvips",
    "pyvips-binary",
    "libvips",
    "torch",
    "transformers",
)
MAKES = ("embeddings",)
TOLERANCE = {"vector": {"cosine": 1e-4}, "norm": {"relative": 1e-2}}
"""How far a vector may lie from itself when made again, in another batch.

Measured on a ViT-B/32 of random weights on a processor, 16 pictures at once against one at a time:
cosine distances up to 2e-13 in float32 and 4e-5 in bfloat16.
"""
TOGETHER = 64
"""Plates that are done in one call: batches fill across them."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """Settings of `encode`."""

    model: str = field(
        default="",
        metadata={"help": "Name of a model in the store; required. See: ledgerkit models list"},
    )
    of: str = field(
        default="plates",
        metadata={
            "help": "What gets a vector; texts are the titles of plates, for models of words",
            "unit": "",
            "choices": ("plates", "tiles", "segments", "texts"),
        },
    )
    pool: str = field(
        default="none",
        metadata={
            "help": "For plates: the plate as one picture, or the mean of its tiles' unit vectors",
            "unit": "",
            "choices": ("none", "tiles"),
        },
    )
    background: str = field(
        default="context",
        metadata={
            "help": "For segments: cut out with what surrounds them, or alone on neutral grey",
            "unit": "",
            "choices": ("context", "grey"),
        },
    )
    margin: float = field(
        default=0.1,
        metadata={
            "help": "For segments: what is added on each side, as a share of the longer side",
            "unit": "1",
            "minimum": 0,
            "maximum": 1,
        },
    )
    long_side: int = field(
        default=1024,
        metadata={
            "help": "Long side to which images are shrunk while they are read",
            "unit": "pixel",
            "minimum": 64,
        },
    )
    device: str = field(
        default="auto",
        metadata={
            "help": "What computes: auto is a GPU where there is one",
            "unit": "",
            "choices": ("auto", "cpu", "cuda"),
        },
    )
    precision: str = field(
        default="auto",
        metadata={
            "help": "Numbers that it computes in: auto is bfloat16 on a GPU, else float32",
            "unit": "",
            "choices": ("auto", "float32", "bfloat16"),
        },
    )


_SHOWN = {
    "plates": ("pool", "long_side"),
    "tiles": ("long_side",),
    "segments": ("background", "margin", "long_side"),
    "texts": (),
}
"""By what is described, the parameters that say how it is shown to the model."""


class Work(Protocol):
    """One task: what it reads and where it writes."""

    @property
    def inputs(self) -> Inputs: ...
    @property
    def outputs(self) -> Outputs: ...


class _Single(NamedTuple):
    inputs: Any
    outputs: Any


def check(parameters: Parameters) -> None:
    """Refuse parameters that do not move the vectors of these subjects. Raises `UsageError`."""
    from ledgerkit.operations._without_effect import refuse

    every = dict.fromkeys(name for names in _SHOWN.values() for name in names)
    without = [name for name in every if name not in _SHOWN[parameters.of]]
    refuse(parameters, without, f"on {parameters.of}")


def takes(parameters: Parameters) -> tuple[str, ...]:
    """What is described, and for segments the image they lie on; for texts what is said of a plate."""
    if parameters.of == "plates" and parameters.pool == "tiles":
        return ("tiles",)
    return {
        "plates": ("whole",),
        "tiles": ("tiles",),
        "segments": ("whole", "segments"),
        "texts": ("manifest", "amendments"),
    }[parameters.of]


def models(parameters: Parameters) -> tuple[str, ...]:
    """The model. Raises `UsageError` where none is named."""
    if not parameters.model:
        raise UsageError(
            "encode needs a model, and none is named",
            "Name one of `ledgerkit models list` with --model NAME.",
        )
    return (parameters.model,)


def check_models(parameters: Parameters, folders: Mapping[str, Path]) -> None:
    """Refuse a model that gives no such vectors, or cannot run here; nothing is loaded."""
    from ledgerkit.models.tower import check

    folder = folders[parameters.model]
    check(folder, parameters.device, parameters.precision, words=parameters.of == "texts")


def try_models(parameters: Parameters, folders: Mapping[str, Path], *, keep: bool) -> None:
    """Refuse a model that cannot be loaded, or does not take one blank picture or one word."""
    from ledgerkit.models.tower import try_out

    placed = (parameters.device, parameters.precision) if keep else ("cpu", "float32")
    try_out(folders[parameters.model], *placed, words=parameters.of == "texts", keep=keep)


def variant(parameters: Parameters, weights: str) -> str:
    """What was described by which model, by the digest of its weights, and how where that is not the
    usual way.
    """
    parts = [parameters.of, weights[:8]]
    return "-".join([*parts, *_unusual(parameters)])


def _unusual(parameters: Parameters) -> dict[str, str]:
    """What moves the vectors of these subjects away from where the model alone would put them."""
    from ledgerkit.operations._without_effect import differing

    changed = differing(parameters, _SHOWN[parameters.of])
    return {f"{name}={getattr(parameters, name)}": name for name in changed}


def space_id(parameters: Parameters, weights: str, tower: Tower) -> str:
    """The vector space: family, version, and 8 hex digits over what moves a vector.

    That is the digest of the model's weights and settings, its preprocessing, the precision, and
    how subjects are shown where it is not the usual way. So plates, tiles, segments and words of one
    model lie in one space, and vectors that are not made alike in another.
    """
    from ledgerkit.canonical import canonical_bytes, sha256_hex

    moved = {
        "weights": weights,
        "preprocessing": tower.preprocessing.digest,
        "precision": tower.placement.precision,
        "unusual": sorted(_unusual(parameters)),
    }
    return f"{tower.family}-{VERSION}-{sha256_hex(canonical_bytes(moved))[:8]}"


def together(parameters: Parameters) -> int:
    """Plates in one call of `run_many`."""
    return TOGETHER


def run(inputs: Inputs, parameters: Parameters, outputs: Outputs) -> None:
    """One plate alone. Raises what kept it from getting any vector."""
    error = run_many([_Single(inputs, outputs)], parameters)[0]
    if error is not None:
        raise error


def run_many(works: Sequence[Work], parameters: Parameters) -> list[Exception | None]:
    """Write one row of `embeddings` per subject of each work; why a work has none, where it has not.

    They have the same parameters. Batches fill across them; images are read ahead, in threads.
    """
    from ledgerkit.models.pipeline import encoded
    from ledgerkit.models.tower import open_tower

    (name,) = models(parameters)
    folder, weights = works[0].inputs.model(name), works[0].inputs.model_sha256(name)
    tower = open_tower(folder, parameters.device, parameters.precision)
    plates = [_Plate(work) for work in works]
    if parameters.of == "texts":
        _texts(plates, tower)
    else:
        for (plate, row), vector in encoded(_pictures(plates, parameters), tower):
            plate.take(row, vector)
    space = space_id(parameters, weights, tower)
    return [plate.finish(parameters, space, tower.placement.name) for plate in plates]


def describe_image(file: BinaryIO, parameters: Parameters, folder: Path) -> NDArray[np.float32]:
    """The vector of an image file as that of a plate by the model in `folder`, float32 (d,), norm 1.

    Raises `UsageError` where plates have the mean of their tiles, which it has none of,
    `UnreadableImage`, `LimitExceeded`, and what `models.tower.open_tower` raises.
    """
    from ledgerkit.imaging.decode import read_shrunk
    from ledgerkit.models.tower import open_tower

    if parameters.of == "plates" and parameters.pool == "tiles":
        raise UsageError(
            "plates of this space have the mean of their tiles, and an outside image has no tiles",
            "Name a space of whole plates, or of tiles, with --space ID",
        )
    tower = open_tower(folder, precision=parameters.precision)
    pixels = tower.preprocessing.apply(read_shrunk(file, parameters.long_side))
    return _unit(tower.images(pixels[None])[0])[0]


def describe_text(text: str, parameters: Parameters, folder: Path) -> NDArray[np.float32]:
    """The vector of words in the space of the pictures, float32 (d,), norm 1.

    Raises `UsageError` where the model in `folder` has no tower of texts, or takes fewer words.
    """
    from ledgerkit.models.tower import open_tower

    tower = open_tower(folder, precision=parameters.precision)
    return _unit(tower.texts([text])[0])[0]


def speaks(folder: Path) -> bool:
    """Whether the model in `folder` takes words; reads its settings only. Raises as `family_of`."""
    from ledgerkit.models.tower import is_onnx
    from ledgerkit.models.towers import family_of

    return not is_onnx(folder) and family_of(folder)[1].speaks


def _unit(vector: NDArray[np.float32]) -> tuple[NDArray[np.float32], float]:
    """A raw vector at length 1, and its norm. Raises `InvalidRecord` where it has no direction."""
    import numpy as np

    exact = vector.astype(np.float64)
    norm = float(np.linalg.norm(exact))
    if not np.isfinite(norm) or norm == 0:
        raise InvalidRecord(f"the model gives a vector of length {norm}, which has no direction")
    return (exact / norm).astype(np.float32), norm


@dataclass
class _Plate:
    """One work while it is done: what came of its pictures."""

    work: Work
    rows: list[Row] = field(default_factory=list)
    vectors: list[NDArray[np.float32]] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)
    failed: list[tuple[str, Exception]] = field(default_factory=list)
    error: Exception | None = None

    def take(self, row: Row, raw: NDArray[np.float32] | Exception) -> None:
        """The raw vector of one subject, or why it has none."""
        try:
            if isinstance(raw, Exception):
                raise raw
            vector, norm = _unit(raw)
        except Exception as error:
            self.failed.append((row["subject_id"], error))
            return
        self.rows.append(row)
        self.vectors.append(vector)
        self.norms.append(norm)

    def finish(self, parameters: Parameters, space: str, device: str) -> Exception | None:
        """Write what was made. Gives back why nothing was."""
        try:
            self._write(parameters, space, device)
        except Exception as error:
            return error
        return None

    def _write(self, parameters: Parameters, space: str, device: str) -> None:
        from ledgerkit.clustering.vectors import table_of

        if self.error is not None:
            raise self.error
        if self.failed and not self.rows:
            raise self.failed[0][1]
        outputs = self.work.outputs
        for item, error in self.failed:
            outputs.failed(item, error)
        if parameters.of == "plates" and parameters.pool == "tiles":
            self._pool()
        outputs.table("embeddings", table_of(self.rows, self.vectors, self.norms, space))
        outputs.device(device)
        message = f"{len(self.rows)} {parameters.of} encoded"
        outputs.gate("vectors", "count", bool(self.rows), float(len(self.rows)), message)

    def _pool(self) -> None:
        """The mean of the tiles' unit vectors, at length 1; its norm says how much they agree."""
        import numpy as np

        from ledgerkit.operations._encode_subjects import row_of

        plate = self.rows[0]["plate_id"]
        vector, norm = _unit(np.mean(np.array(self.vectors, dtype=np.float64), axis=0))
        self.rows, self.vectors, self.norms = [row_of("plate", plate, plate)], [vector], [norm]


def _pictures(
    plates: Sequence[_Plate], parameters: Parameters
) -> Iterator[tuple[tuple[_Plate, Row], Callable[[], Picture]]]:
    """The pictures of all works; a work whose inputs are wrong has none, and says why."""
    from ledgerkit.operations._encode_subjects import pictures_of

    for plate in plates:
        try:
            for row, read in pictures_of(plate.work.inputs, parameters):
                yield (plate, row), read
        except Exception as error:
            plate.error = error


def _texts(plates: Sequence[_Plate], tower: Tower) -> None:
    """The vectors of all titles, one after another: they are short."""
    from ledgerkit.operations._encode_subjects import texts_of

    for plate in plates:
        try:
            for row, text in texts_of(plate.work.inputs):
                plate.take(row, tower.texts([text])[0])
        except Exception as error:
            plate.error = error
