"""Cut each plate into paper, figures, lettering and dark surround, without any weights.

Works on the whole plate brought to `long_side` pixels: colour distance to the paper, Otsu's
threshold
with a floor, closing, holes, connected components. Regions come back as COCO run lengths over their
box, boxes in oriented source pixels, and cover the plate without gap or overlap.

With `--crops` every figure is also cut out of the source at full resolution into the cache, named by
its segment id: on white (JPEG), on nothing (PNG with alpha), or with its surroundings (JPEG).
Source: imaging notes D.2, F.2, F.3; Otsu 1979; run lengths as in COCO (Lin et al. 2014).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ledgerkit.handles import Inputs, Outputs
    from ledgerkit.imaging.regions import RegionRule, Scene

VERSION = "1"
EVENT_TYPE = "segmentation"
SUBJECT = "plate"
LIBRARIES = (
    "numpy",
    "scipy",
    "scikit-image",
    "pillow",
    "pyvips",
    "pyvips-binary",
    "libvips",
    "tifffile",
    "imagecodecs",
)
MAKES = ("segments",)
CROPPED = ("figure", "part")
"""Kinds of regions that are cut out."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """Settings of `segment`."""

    long_side: int = field(
        default=1536,
        metadata={
            "minimum": 64,
            "help": "Long side of the image the plate is cut on",
            "unit": "pixel",
        },
    )
    otsu_share: float = field(
        default=0.6,
        metadata={
            "minimum": 0,
            "help": "Share of Otsu's threshold above which a pixel is not paper",
            "unit": "1",
        },
    )
    faint_share: float = field(
        default=0.45,
        metadata={
            "minimum": 0,
            "help": "Share of Otsu's threshold for faint pixels that touch sure ones",
            "unit": "1",
        },
    )
    threshold_floor: float = field(
        default=6.0,
        metadata={
            "minimum": 0,
            "help": "Least colour distance to the paper of any mark",
            "unit": "CIEDE76",
        },
    )
    full_bleed_spread: float = field(
        default=25.0,
        metadata={
            "minimum": 0,
            "help": "Spread of the border's colour above which a plate has no paper",
            "unit": "CIEDE76",
        },
    )
    closing: int = field(
        default=3,
        metadata={
            "minimum": 0,
            "help": "Radius over which marks are joined, at a long side of 1536",
            "unit": "pixel",
        },
    )
    smallest: float = field(
        default=0.002,
        metadata={
            "minimum": 0,
            "maximum": 1,
            "help": "Least area of a figure, as a share of the sheet",
            "unit": "1",
        },
    )
    letter_height: float = field(
        default=0.03,
        metadata={
            "minimum": 0,
            "maximum": 1,
            "help": "Greatest height of lettering, as a share of the long side",
            "unit": "1",
        },
    )
    crops: str = field(
        default="none",
        metadata={
            "help": "Also write each figure as a picture of its own, on this background",
            "choices": ("none", "white", "transparent", "context"),
        },
    )


def takes(parameters: Parameters) -> tuple[str, ...]:
    """The plate's whole image; for crops the source, which alone has every box to the pixel."""
    return ("whole",) if parameters.crops == "none" else ("whole", "source")


def variant(parameters: Parameters) -> str:
    """The method."""
    return "classical"


def run(inputs: Inputs, parameters: Parameters, outputs: Outputs) -> None:
    """Write one row of `segments` per region, and check that they add up to the plate."""
    from ledgerkit.imaging.decode import read_shrunk
    from ledgerkit.imaging.place import whole_tile
    from ledgerkit.imaging.regions import cut

    tile = whole_tile(inputs.rows("tiles"))
    with inputs.image(tile).open() as file:
        pixels = read_shrunk(file, parameters.long_side)
    scene = cut(pixels, _rule(parameters))
    rows = list(_rows(scene, tile))
    outputs.rows("segments", rows)
    _check(scene, rows, tile, outputs)
    if parameters.crops != "none":
        _write_crops(inputs, rows, parameters.crops, outputs)


def _rule(parameters: Parameters) -> RegionRule:
    from ledgerkit.imaging.paper import PaperRule
    from ledgerkit.imaging.regions import RegionRule

    return RegionRule(
        otsu_share=parameters.otsu_share,
        faint_share=parameters.faint_share,
        floor=parameters.threshold_floor,
        closing=parameters.closing,
        smallest=parameters.smallest,
        letter_height=parameters.letter_height,
        paper=PaperRule(full_bleed=parameters.full_bleed_spread),
    )


def _rows(scene: Scene, tile: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Rows of `segments`, in the order of the scene's regions; empty regions have none."""
    import numpy as np
    from scipy import ndimage

    from ledgerkit.imaging.segment_rows import Measured, Place, segment_row

    place = Place(tile, *scene.labels.shape)
    labels, kinds = scene.labels, len(scene.kinds)
    flat = labels.ravel()
    count = np.bincount(flat, minlength=kinds)
    channels = [scene.lab[..., channel].ravel() for channel in range(3)] + [
        scene.paper.distance.ravel()
    ]
    sums = np.stack([np.bincount(flat, channel, kinds) for channel in channels], axis=1)
    means = sums / np.maximum(count, 1)[:, None]
    for index, box in enumerate(ndimage.find_objects(labels + 1, max_label=kinds)):
        if box is not None:
            yield segment_row(
                place,
                scene.kinds[index],
                box[1].start,
                box[0].start,
                labels[box] == index,
                Measured(means[index, :3], means[index, 3]),
            )


def _check(
    scene: Scene, rows: list[dict[str, Any]], tile: Mapping[str, Any], outputs: Outputs
) -> None:
    """Gates: the decoded masks cover every pixel once, there is paper, there are figures."""
    import numpy as np

    from ledgerkit.imaging import rle

    height, width = scene.labels.shape
    whole = (tile["x1"] - tile["x0"]) * (tile["y1"] - tile["y0"])
    share = sum(row["area"] for row in rows) / whole
    pixels = sum(
        int(np.count_nonzero(rle.decode(row["mask"], row["mask_height"], row["mask_width"])))
        for row in rows
    )
    told = f"{len(rows)} regions hold {pixels} of {height * width} pixels of the working image"
    complete = pixels == height * width and abs(share - 1) < 1e-9
    outputs.gate("regions", "coverage", complete, share, told)
    paper = scene.paper
    told = f"the border is paper: {paper.kind}, its colours spread by {paper.spread:.1f}"
    if not paper.found:
        told = f"no paper: the border is dark, or its colours spread by {paper.spread:.1f}"
    outputs.gate("regions", "paper", paper.found, paper.spread, told)
    figures = sum(row["kind"] == "figure" for row in rows)
    lines = sum(row["kind"] == "lettering" for row in rows)
    told = f"{figures} figures, {lines} lines of lettering"
    outputs.gate("regions", "figures", figures > 0, float(figures), told)


def _write_crops(
    inputs: Inputs, rows: list[dict[str, Any]], background: str, outputs: Outputs
) -> None:
    """One file in the cache for each figure, `crops/<segment_id>`; the source is decoded once."""
    from ledgerkit.imaging import crop, rle
    from ledgerkit.imaging.encode import write_image
    from ledgerkit.imaging.place import box_of

    chosen = [row for row in rows if row["kind"] in CROPPED]
    if not chosen:
        return
    with inputs.file("source").open() as file, crop.opened(file) as plate:
        for row in chosen:
            mask = rle.decode(row["mask"], row["mask_height"], row["mask_width"])
            image = crop.cut_out(plate, mask, box_of(row), background)
            encoding = crop.encoding(background, box_of(row))
            name = f"crops/{row['segment_id']}.{encoding.suffix}"
            with outputs.cache(name, "crop", encoding.media_type) as output:
                write_image(image, output, encoding)
    told = f"{len(chosen)} figures cut out, background {background}"
    outputs.gate("crops", "count", True, float(len(chosen)), told)
