"""What `encode` shows a model of a plate: the pictures of its subjects, or their texts.

Listing reads tables only; a picture is read when its function is called, in whatever thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ledgerkit.handles import Inputs, Row
    from ledgerkit.operations.encode import Parameters

    Picture = NDArray[np.uint8]
    Shown = Iterator[tuple[Row, Callable[[], Picture]]]


def pictures_of(inputs: Inputs, parameters: Parameters) -> Shown:
    """Ids of each subject, and what gives its picture, uint8 sRGB (h, w, 3). Raises `MissingInput`."""
    of_tiles = parameters.of == "tiles" or parameters.pool == "tiles"
    if parameters.of == "segments":
        return _segments(inputs, parameters)
    return _tiles(inputs, parameters) if of_tiles else _whole(inputs, parameters)


def texts_of(inputs: Inputs) -> Iterator[tuple[Row, str]]:
    """Ids and title of each plate among the inputs."""
    from ledgerkit.titles import titles

    for plate, title in titles(inputs).items():
        yield row_of("text", plate, plate), title


def row_of(kind: str, subject: str, plate: str) -> Row:
    """The ids of a subject."""
    return {"subject_id": subject, "subject_kind": kind, "plate_id": plate}


def _read(inputs: Inputs, tile: Row, parameters: Parameters) -> Picture:
    from ledgerkit.imaging.decode import read_shrunk

    with inputs.image(tile).open() as file:
        return read_shrunk(file, parameters.long_side)


def _whole(inputs: Inputs, parameters: Parameters) -> Shown:
    from ledgerkit.imaging.place import whole_tile

    tile = whole_tile(inputs.rows("tiles"))
    row = row_of("plate", tile["plate_id"], tile["plate_id"])
    yield row, partial(_read, inputs, tile, parameters)


def _tiles(inputs: Inputs, parameters: Parameters) -> Shown:
    """Every tile of the plate; a plate that was not tiled is its own tile."""
    from ledgerkit.imaging.place import whole_tile

    rows: list[Row] = list(inputs.rows("tiles"))
    for tile in [row for row in rows if row["kind"] == "tile"] or [whole_tile(rows)]:
        row = row_of("tile", tile["tile_id"], tile["plate_id"])
        yield row, partial(_read, inputs, tile, parameters)


def _segments(inputs: Inputs, parameters: Parameters) -> Shown:
    """Figures and parts, cut out of the plate, which is read once."""
    from ledgerkit.imaging.place import whole_tile
    from ledgerkit.imaging.subject import DESCRIBED
    from ledgerkit.models.pipeline import Once

    tile = whole_tile(inputs.rows("tiles"))
    segments = {row["segment_id"]: row for row in inputs.rows("segments")}
    pixels = Once(partial(_read, inputs, tile, parameters))
    for segment in segments.values():
        if segment["kind"] not in DESCRIBED:
            continue
        row = row_of("segment", segment["segment_id"], segment["plate_id"])
        yield row, partial(_cut_out, pixels, tile, segment, parameters)


def _cut_out(
    pixels: Callable[[], Picture], tile: Row, segment: Row, parameters: Parameters
) -> Picture:
    from ledgerkit.imaging.subject import shown

    alone = parameters.background == "grey"
    return shown(pixels(), tile, segment, parameters.margin, alone=alone)
