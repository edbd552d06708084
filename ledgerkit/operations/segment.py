"""Cut each plate into paper, figures, lettering and dark surround, without any weights.

Works on the whole plate brought to `long_side` pixels: colour distance to the paper, Otsu's threshold
with a floor, closing, holes, connected components. Regions come back as COCO run lengths over their
box, boxes in oriented source pixels, and cover the plate without gap or overlap.
Source: imaging notes D.2, F.2, F.3; Otsu 1979; run lengths as in COCO (Lin et al. 2014).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ledgerkit.handles import Inputs, Outputs
    from ledgerkit.imaging.regions import RegionRule, Scene

VERSION = "1"
EVENT_TYPE = "segmentation"
SUBJECT = "plate"
LIBRARIES = ("numpy", "scipy", "scikit-image", "pillow")
MAKES = ("segments",)


@dataclass(frozen=True, slots=True)
class Parameters:
    """Settings of `segment`."""

    long_side: int = field(
        default=1536, metadata={"help": "Long side of the image the plate is cut on", "unit": "pixel"}
    )
    otsu_share: float = field(
        default=0.6, metadata={"help": "Share of Otsu's threshold above which a pixel is not paper", "unit": "1"}
    )
    faint_share: float = field(
        default=0.45,
        metadata={"help": "Share of Otsu's threshold for faint pixels that touch sure ones", "unit": "1"},
    )
    threshold_floor: float = field(
        default=6.0, metadata={"help": "Least colour distance to the paper of any mark", "unit": "CIEDE76"}
    )
    full_bleed_spread: float = field(
        default=25.0,
        metadata={"help": "Spread of the border's colour above which a plate has no paper", "unit": "CIEDE76"},
    )
    closing: int = field(
        default=3, metadata={"help": "Radius over which marks are joined, at a long side of 1536", "unit": "pixel"}
    )
    smallest: float = field(
        default=0.002, metadata={"help": "Least area of a figure, as a share of the sheet", "unit": "1"}
    )
    letter_height: float = field(
        default=0.03, metadata={"help": "Greatest height of lettering, as a share of the long side", "unit": "1"}
    )


def takes(parameters: Parameters) -> tuple[str, ...]:
    """The plate's whole image."""
    return ("whole",)


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


def _rows(scene: Scene, tile: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of `segments`, in the order of the scene's regions; empty regions have none."""
    import numpy as np
    from scipy import ndimage

    from ledgerkit.imaging import rle
    from ledgerkit.imaging.place import scale_of, to_source
    from ledgerkit.imaging.scanbed import hull_area

    height, width = scene.labels.shape
    across, down = scale_of(tile, width, height)
    flat = (scene.labels.ravel(), None, len(scene.kinds))
    count = np.bincount(flat[0], minlength=flat[2])
    lab = [np.bincount(flat[0], scene.lab[..., i].ravel(), flat[2]) for i in range(3)]
    contrast = np.bincount(flat[0], scene.paper.distance.ravel(), flat[2])
    rows = []
    for index, box in enumerate(ndimage.find_objects(scene.labels + 1, max_label=flat[2])):
        if box is None:
            continue
        mask = scene.labels[box] == index
        y, x = np.nonzero(mask)
        place = (box[1].start, box[0].start, box[1].stop, box[0].stop)
        row = {
            "plate_id": tile["plate_id"],
            "tile_id": tile["tile_id"],
            "kind": scene.kinds[index],
            "parent_id": None,
            **dict(zip(("x0", "y0", "x1", "y1"), to_source(tile, width, height, place), strict=True)),
            "area": float(count[index]) * across * down,
            "centroid_x": round(tile["x0"] + (place[0] + float(x.mean()) + 0.5) * across, 3),
            "centroid_y": round(tile["y0"] + (place[1] + float(y.mean()) + 0.5) * down, 3),
            "mask": rle.encode(mask),
            "mask_width": mask.shape[1],
            "mask_height": mask.shape[0],
            "solidity": round(float(count[index]) / hull_area(mask), 4),
            "mean_lab": [round(float(channel[index] / count[index]), 3) for channel in lab],
            "contrast": round(float(contrast[index] / count[index]), 3),
            "score": None,
            "source_sha256": tile["source_sha256"],
        }
        rows.append({"segment_id": segment_id(row), **row})
    return rows


def segment_id(row: Mapping[str, Any]) -> str:
    """The identity of a region: from plate, source, kind and geometry alone, so a re-run gives it again."""
    import hashlib

    from ledgerkit.canonical import canonical_bytes

    box = [row["x0"], row["y0"], row["x1"], row["y1"]]
    size = [row["mask_width"], row["mask_height"]]
    identity = [row["plate_id"], row["source_sha256"], row["kind"], box, row["mask"], size]
    return "segment-" + hashlib.sha256(canonical_bytes(identity)).hexdigest()[:20]


def _check(scene: Scene, rows: list[dict[str, Any]], tile: Mapping[str, Any], outputs: Outputs) -> None:
    """Gates: the decoded masks cover every pixel once, there is paper, there are figures."""
    import numpy as np

    from ledgerkit.imaging import rle

    height, width = scene.labels.shape
    whole = (tile["x1"] - tile["x0"]) * (tile["y1"] - tile["y0"])
    share = sum(row["area"] for row in rows) / whole
    pixels = sum(int(np.count_nonzero(rle.decode(row["mask"], row["mask_height"], row["mask_width"]))) for row in rows)
    outputs.gate(
        "regions",
        "coverage",
        pixels == height * width and abs(share - 1) < 1e-9,
        share,
        f"the {len(rows)} regions hold {pixels} of {height * width} pixels of the working image",
    )
    paper = scene.paper
    outputs.gate(
        "regions",
        "paper",
        paper.found,
        paper.spread,
        f"the border is paper ({paper.kind}; spread {paper.spread:.1f})"
        if paper.found
        else f"no paper: the border is dark or its colours spread by {paper.spread:.1f}; the sheet is one figure",
    )
    figures = sum(row["kind"] == "figure" for row in rows)
    message = f"{figures} figures, {sum(row['kind'] == 'lettering' for row in rows)} lines of lettering"
    outputs.gate("regions", "figures", figures > 0, float(figures), message)
