"""Describe plates, tiles or segments by form, texture, colour and outline, without weights.

A plate is cropped to its figures, captions left out; a segment is cut out by its mask; a tile keeps
its frame. What is not subject becomes the plate's paper colour. The vectors depend on nothing but
the one image, have length 1, and are the same whatever else is in the collection.
Source: docs/embeddings-classical.md; Dalal & Triggs 2005; Oliva & Torralba 2001; Ojala et al. 2002.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ledgerkit.handles import Inputs, Outputs, Row
    from ledgerkit.imaging.descriptor import Weights
    from ledgerkit.imaging.regions import Scene
    from ledgerkit.imaging.subject import Subject

VERSION = "3"
EVENT_TYPE = "feature extraction"
SUBJECT = "plate"
LIBRARIES = (
    "numpy",
    "scipy",
    "scikit-image",
    "pillow",
    "pyarrow",
    "pyvips",
    "pyvips-binary",
    "libvips",
)
MAKES = ("embeddings",)
TOLERANCE = {"vector": {"cosine": 1e-6}}
"""Cosine distance up to which a vector made again is the same; neighbours lie thousands of it away."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """Settings of `embed`."""

    of: str = field(
        default="plates",
        metadata={
            "help": "What gets a vector",
            "unit": "",
            "choices": ("plates", "tiles", "segments"),
        },
    )
    long_side: int = field(
        default=1024,
        metadata={
            "minimum": 64,
            "help": "Long side of the image that subjects are cut from",
            "unit": "pixel",
        },
    )
    form_weight: float = field(
        default=0.4,
        metadata={"minimum": 0, "help": "Weight of each of the two form blocks", "unit": "1"},
    )
    texture_weight: float = field(
        default=1.0, metadata={"minimum": 0, "help": "Weight of the texture block", "unit": "1"}
    )
    colour_weight: float = field(
        default=0.7, metadata={"minimum": 0, "help": "Weight of the colour block", "unit": "1"}
    )
    shape_weight: float = field(
        default=0.2, metadata={"minimum": 0, "help": "Weight of the shape block", "unit": "1"}
    )


def takes(parameters: Parameters) -> tuple[str, ...]:
    """What is described, and for segments the image they lie on."""
    return {"plates": ("whole",), "tiles": ("tiles",), "segments": ("whole", "segments")}[
        parameters.of
    ]


def variant(parameters: Parameters) -> str:
    """The method, and what it was applied to."""
    return f"{parameters.of}-classical"


def space_id(parameters: Parameters) -> str:
    """The vector space: method, version and every parameter that moves a vector.

    Plates, tiles and segments lie in one space and can be compared.
    """
    import hashlib
    from dataclasses import asdict

    from ledgerkit.canonical import canonical_bytes

    values = {name: value for name, value in asdict(parameters).items() if name != "of"}
    return f"classical-{VERSION}-{hashlib.sha256(canonical_bytes(values)).hexdigest()[:8]}"


def run(inputs: Inputs, parameters: Parameters, outputs: Outputs) -> None:
    """Write one row of `embeddings` per subject. A vector that cannot be made is an error."""
    from ledgerkit.clustering.vectors import table_of
    from ledgerkit.imaging.descriptor import describe

    subjects = {"plates": _plates, "tiles": _tiles, "segments": _segments}[parameters.of]
    weights = weights_of(parameters)
    rows: list[Row] = []
    vectors, norms = [], []
    for row, subject in subjects(inputs, parameters):
        vector, norm = describe(subject, weights)
        rows.append(row)
        vectors.append(vector)
        norms.append(norm)
    outputs.table("embeddings", table_of(rows, vectors, norms, space_id(parameters)))
    message = f"{len(rows)} {parameters.of} described"
    outputs.gate("vectors", "count", bool(rows), float(len(rows)), message)


def describe_image(file: BinaryIO, parameters: Parameters) -> NDArray[np.float32]:
    """The vector of an image file as that of a plate, float32 (2298,), L2 norm 1.

    Raises `UnreadableImage`, `LimitExceeded`.
    """
    from ledgerkit.imaging.descriptor import describe

    return describe(subject_of(file, parameters), weights_of(parameters))[0]


def subject_of(file: BinaryIO, parameters: Parameters) -> Subject:
    """The figures of an image file. Raises `UnreadableImage`, `LimitExceeded`."""
    from ledgerkit.imaging.decode import read_shrunk
    from ledgerkit.imaging.descriptor import SIDE
    from ledgerkit.imaging.subject import figures_of

    pixels = read_shrunk(file, parameters.long_side)
    return figures_of(pixels, _cut_small(pixels), SIDE)


def weights_of(parameters: Parameters) -> Weights:
    """The weights of the blocks, as the parameters say."""
    from ledgerkit.imaging.descriptor import Weights

    return Weights(
        parameters.form_weight,
        parameters.texture_weight,
        parameters.colour_weight,
        parameters.shape_weight,
    )


def _read(inputs: Inputs, tile: Row, long_side: int) -> NDArray[np.uint8]:
    from ledgerkit.imaging.decode import read_shrunk

    with inputs.image(tile).open() as file:
        return read_shrunk(file, long_side)


def _cut_small(pixels: NDArray[np.uint8]) -> Scene:
    """The scene of an image at half its size: enough to find the figures, a quarter of the work."""
    import numpy as np
    from PIL import Image

    from ledgerkit.imaging.regions import RegionRule, cut

    factor = 2 if min(pixels.shape[:2]) >= 256 else 1
    return cut(np.asarray(Image.fromarray(pixels).reduce(factor)), RegionRule())


def _plates(inputs: Inputs, parameters: Parameters) -> Iterator[tuple[Row, Subject]]:
    from ledgerkit.imaging.place import whole_tile

    tile = whole_tile(inputs.rows("tiles"))
    row = {"subject_id": tile["plate_id"], "subject_kind": "plate", "plate_id": tile["plate_id"]}
    with inputs.image(tile).open() as file:
        yield row, subject_of(file, parameters)


def _tiles(inputs: Inputs, parameters: Parameters) -> Iterator[tuple[Row, Subject]]:
    """Every tile of the plate; a plate that was not tiled is its own tile.

    Paper and threshold are the plate's: a tile without paper would invent them.
    """
    from ledgerkit.imaging.descriptor import SIDE
    from ledgerkit.imaging.place import whole_tile
    from ledgerkit.imaging.subject import marks_of

    rows: list[Row] = list(inputs.rows("tiles"))
    whole = whole_tile(rows)
    scene = _cut_small(_read(inputs, whole, parameters.long_side))
    for tile in [row for row in rows if row["kind"] == "tile"] or [whole]:
        row = {"subject_id": tile["tile_id"], "subject_kind": "tile", "plate_id": tile["plate_id"]}
        pixels = _read(inputs, tile, parameters.long_side)
        yield row, marks_of(pixels, scene.paper.lab, scene.threshold, SIDE)


def _segments(inputs: Inputs, parameters: Parameters) -> Iterator[tuple[Row, Subject]]:
    """Figures and parts; paper, surround and lettering get no vector."""
    from ledgerkit.imaging.place import whole_tile
    from ledgerkit.imaging.subject import DESCRIBED

    segments = {row["segment_id"]: row for row in inputs.rows("segments")}.values()
    tile = whole_tile(inputs.rows("tiles"))
    pixels = _read(inputs, tile, parameters.long_side)
    paper = next((row["mean_lab"] for row in segments if row["kind"] == "paper"), [100.0, 0.0, 0.0])
    for segment in segments:
        if segment["kind"] in DESCRIBED:
            row = {
                "subject_id": segment["segment_id"],
                "subject_kind": "segment",
                "plate_id": segment["plate_id"],
            }
            yield row, _cut_out(pixels, tile, segment, (paper[0], paper[1], paper[2]))


def _cut_out(
    pixels: NDArray[np.uint8],
    tile: Row,
    segment: Mapping[str, Any],
    paper: tuple[float, float, float],
) -> Subject:
    """One segment by its mask, which is brought to the size of its crop."""
    from ledgerkit.imaging.descriptor import SIDE
    from ledgerkit.imaging.place import box_of, to_image
    from ledgerkit.imaging.subject import lay_out, mask_in

    box = to_image(tile, pixels.shape[1], pixels.shape[0], box_of(segment))
    left, top, right, bottom = box
    return lay_out(pixels[top:bottom, left:right], mask_in(segment, box), paper, SIDE)
