"""Draw contact sheets of plates with their regions, to look at many one by one.

The plates that `--plates` or `--where` choose, in their order, with the lines of `overlay`. The
pictures decide nothing; they show.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image

    from ledgerkit.handles import Inputs, Outputs, Row

VERSION = "2"
EVENT_TYPE = "visualization"
SUBJECT = "collection"
LIBRARIES = ("numpy", "contourpy", "pillow", "pyvips", "pyvips-binary", "libvips")
MAKES = ("figures",)


@dataclass(frozen=True, slots=True)
class Parameters:
    """Settings of `contact`."""

    cell: int = field(
        default=400,
        metadata={
            "minimum": 64,
            "maximum": 4000,
            "help": "Width and height of the place for a plate",
            "unit": "pixel",
        },
    )
    columns: int = field(
        default=4, metadata={"minimum": 1, "maximum": 100, "help": "Plates in a row"}
    )
    plates_on_a_sheet: int = field(
        default=24, metadata={"minimum": 1, "maximum": 1000, "help": "Most plates on one sheet"}
    )


def takes(parameters: Parameters) -> tuple[str, ...]:
    """The plates' whole images, and their regions."""
    return ("whole", "segments")


def variant(parameters: Parameters) -> str:
    """One set of sheets for each way in which the plates were cut."""
    return ""


def run(inputs: Inputs, parameters: Parameters, outputs: Outputs) -> None:
    """Write the sheets, each with its row of `figures`; one sheet is held at a time.

    Raises `InvalidRecord` for a broken mask.
    """
    tiles: dict[str, Row] = {
        str(tile["plate_id"]): tile for tile in inputs.rows("tiles") if tile["kind"] == "whole"
    }
    drawn: list[str] = []
    rows: list[dict[str, Any]] = []
    shown: list[tuple[str, Image]] = []
    for plate, caption, picture in _pictures(inputs, tiles, parameters):
        drawn.append(plate)
        shown.append((caption, picture))
        if len(shown) == parameters.plates_on_a_sheet:
            rows.append(_keep(len(rows) + 1, shown, drawn, parameters, outputs))
            shown = []
    if shown:
        rows.append(_keep(len(rows) + 1, shown, drawn, parameters, outputs))
    outputs.rows("figures", rows)
    lost = len(tiles.keys() - set(drawn))
    told = f"{len(drawn)} plates drawn, {lost} without a region"
    outputs.gate("pictures", "found", lost == 0, float(lost), told)


def _pictures(
    inputs: Inputs, tiles: dict[str, Row], parameters: Parameters
) -> Iterator[tuple[str, str, Image]]:
    """Plate, caption and picture; the tables of regions come plate by plate, and are not kept."""
    from ledgerkit.imaging.decode import read_shrunk
    from ledgerkit.imaging.overlay import caption, counted, draw_regions

    for plate, rows in groupby(inputs.rows("segments"), key=lambda row: str(row["plate_id"])):
        if plate in tiles:
            segments = list(rows)
            with inputs.image(tiles[plate]).open() as file:
                pixels = read_shrunk(file, parameters.cell - 16)
            picture = draw_regions(pixels, tiles[plate], segments)
            yield plate, caption(plate, counted(segments)), picture


def _keep(
    number: int,
    shown: list[tuple[str, Image]],
    drawn: list[str],
    parameters: Parameters,
    outputs: Outputs,
) -> dict[str, Any]:
    """Write a sheet and return its row of `figures`."""
    from ledgerkit.imaging.contact import draw_sheet, to_png
    from ledgerkit.imaging.overlay import COLOURS, key_of
    from ledgerkit.plotting import Picture, keep_figure

    first, last = drawn[-len(shown)], drawn[-1]
    named = first if first == last else f"{len(shown)} plates, {first} to {last}"
    title = f"Regions of {named}: {key_of(list(COLOURS))}"
    image = draw_sheet(title, shown, -1, cell=parameters.cell, columns=parameters.columns)
    picture = Picture(to_png(image), image.width, image.height)
    return keep_figure(picture, f"contact-{number:03}", title, outputs, kind="contact")
