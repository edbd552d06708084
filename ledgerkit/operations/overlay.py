"""Draw the regions of each plate on its picture, for looking: one figure a plate.

Lines by kind: figures vermilion, parts yellow, lettering sky blue, dark surround purple; paper is
what is left. The pictures decide nothing; they show. `ledgerkit contact` puts many on one sheet.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ledgerkit.handles import Inputs, Outputs

VERSION = "2"
EVENT_TYPE = "visualization"
SUBJECT = "plate"
LIBRARIES = ("numpy", "contourpy", "pillow", "pyvips", "pyvips-binary", "libvips")
MAKES = ("figures",)


@dataclass(frozen=True, slots=True)
class Parameters:
    """Settings of `overlay`."""

    long_side: int = field(
        default=1280,
        metadata={
            "minimum": 64,
            "maximum": 20000,
            "help": "Long side of the picture; smaller where the plate's image is",
            "unit": "pixel",
        },
    )


def takes(parameters: Parameters) -> tuple[str, ...]:
    """The plate's whole image, and its regions."""
    return ("whole", "segments")


def variant(parameters: Parameters) -> str:
    """One overlay for each way in which the plate was cut."""
    return ""


def run(inputs: Inputs, parameters: Parameters, outputs: Outputs) -> None:
    """Write the picture and its row of `figures`.

    Raises `MissingInput` without an image of the whole plate, `InvalidRecord` for a broken mask.
    """
    from ledgerkit.imaging.contact import to_png
    from ledgerkit.imaging.decode import read_shrunk
    from ledgerkit.imaging.overlay import counted, draw_regions, with_legend
    from ledgerkit.imaging.place import whole_tile
    from ledgerkit.plotting import Picture, keep_figure

    tile = whole_tile(inputs.rows("tiles"))
    segments = list(inputs.rows("segments"))
    with inputs.image(tile).open() as file:
        pixels = read_shrunk(file, parameters.long_side)
    picture = draw_regions(pixels, tile, segments)
    image = with_legend(picture, str(tile["plate_id"]), counted(segments))
    title = f"Regions of {tile['plate_id']}"
    kept = Picture(to_png(image), image.width, image.height)
    outputs.rows("figures", [keep_figure(kept, "overlay", title, outputs)])
