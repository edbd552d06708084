"""Cut each plate into paper, figures, lettering and dark surround, without any weights.

Works on the plate brought to `long_side` pixels: colour distance to the paper, Otsu's threshold with a
floor, closing, holes, connected components. A working image of more than 2048 x 2048 pixels, or any on
request (`--tile`), is cut tile by tile with the paper and the threshold of the whole plate, and joined.
Regions come back as COCO run lengths over their box, boxes in oriented source pixels, and cover the
plate without gap or overlap; `foreground.json` has all figures in one mask. With `--parts colour`
figures are also taken apart into patches of even colour, which lie in their figure.

With `--crops` every figure and part is also cut out of the source at full resolution into the cache,
named by its segment id: on white (JPEG), on nothing (PNG with alpha), or with its surroundings (JPEG).
Source: docs/segments.md; Otsu 1979; run lengths as in COCO (Lin et al. 2014).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ledgerkit.handles import Inputs, Outputs
    from ledgerkit.imaging.cutting import Cut, TileRule
    from ledgerkit.imaging.regions import RegionRule

VERSION = "3"
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
    stability: float = field(
        default=0.15,
        metadata={
            "minimum": 0,
            "maximum": 1,
            "help": "Least stability of a figure (see the ledger); what is under it goes to the paper",
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
    tile: int = field(
        default=0,
        metadata={
            "minimum": 0,
            "help": "Side of the tiles that the working image is cut in, without what they share; "
            "0: whole up to 2048 x 2048 pixels, above it 1024",
            "unit": "pixel",
        },
    )
    halo: float = field(
        default=0.125,
        metadata={
            "minimum": 0,
            "maximum": 1,
            "help": "Width of the border that tiles share with their neighbours, as a share of a tile",
            "unit": "1",
        },
    )
    parts: str = field(
        default="none",
        metadata={
            "help": "Also take each figure apart into patches of even colour",
            "choices": ("none", "colour"),
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


def memory(inputs: Inputs, parameters: Parameters) -> int:
    """Bytes that `run` may take, from the headers of what it reads."""
    from ledgerkit.imaging.cutting import working_bytes
    from ledgerkit.imaging.footprint import crop_bytes
    from ledgerkit.imaging.header import read_facts
    from ledgerkit.imaging.limits import DEFAULT_LIMITS
    from ledgerkit.imaging.place import whole_tile

    with inputs.image(whole_tile(inputs.rows("tiles"))).open_header() as file:
        needed = working_bytes(read_facts(file), DEFAULT_LIMITS, _tiles(parameters))
    if parameters.crops == "none":
        return needed
    with inputs.file("source").open_header() as file:
        return needed + crop_bytes(read_facts(file), DEFAULT_LIMITS)


def run(inputs: Inputs, parameters: Parameters, outputs: Outputs) -> None:
    """Write one row of `segments` per region, and check that they add up to the plate."""
    from ledgerkit.imaging.cutting import cut_file, with_parts
    from ledgerkit.imaging.geometry import oriented_size
    from ledgerkit.imaging.header import read_header
    from ledgerkit.imaging.parts import PartRule
    from ledgerkit.imaging.place import whole_tile

    tile = whole_tile(inputs.rows("tiles"))
    with inputs.image(tile).open() as file:
        header = read_header(file)
        width, height = oriented_size(header.width, header.height, header.orientation)
        cut = cut_file(file, width, height, _tiles(parameters), _rule(parameters))
    if parameters.parts != "none":
        cut = with_parts(cut, PartRule())
    rows = _rows(cut, tile)
    outputs.rows("segments", rows)
    outputs.document("foreground.json", "foreground", _foreground(cut, tile))
    _check(cut, rows, tile, outputs)
    if parameters.crops != "none":
        _write_crops(inputs, rows, parameters.crops, outputs)


def _tiles(parameters: Parameters) -> TileRule:
    from ledgerkit.imaging.cutting import TileRule

    return TileRule(parameters.long_side, parameters.tile, parameters.halo)


def _rule(parameters: Parameters) -> RegionRule:
    from ledgerkit.imaging.paper import PaperRule
    from ledgerkit.imaging.regions import RegionRule

    return RegionRule(
        otsu_share=parameters.otsu_share,
        faint_share=parameters.faint_share,
        floor=parameters.threshold_floor,
        closing=parameters.closing,
        smallest=parameters.smallest,
        steady=parameters.stability,
        letter_height=parameters.letter_height,
        paper=PaperRule(full_bleed=parameters.full_bleed_spread),
    )


def _rows(cut: Cut, tile: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of `segments`, in the order of the regions."""
    from ledgerkit.imaging.segment_rows import Measured, Place, segment_row

    place = Place(tile, cut.frame.height, cut.frame.width)
    rows: list[dict[str, Any]] = []
    for region in cut.regions:
        parent = None if region.parent is None else rows[region.parent]["segment_id"]
        box = region.box
        measured = Measured(region.mean_lab, region.contrast, None, region.stability)
        rows.append(segment_row(place, region.kind, box.x0, box.y0, region.mask, measured, parent))
    return rows


def _foreground(cut: Cut, tile: Mapping[str, Any]) -> dict[str, Any]:
    """All figures of a plate in one mask over its whole frame; what is not in it is background."""
    import numpy as np

    from ledgerkit.imaging import rle

    frame, paper = cut.frame, cut.scene.paper
    mask = np.zeros((frame.height, frame.width), dtype=bool)
    for region in cut.regions:
        if region.kind == "figure":
            box = region.box
            mask[box.y0 : box.y1, box.x0 : box.x1] |= region.mask
    return {
        "plate_id": tile["plate_id"],
        "source_sha256": tile["source_sha256"],
        "box": [tile["x0"], tile["y0"], tile["x1"], tile["y1"]],
        "mask": rle.encode(mask),
        "mask_width": frame.width,
        "mask_height": frame.height,
        "share": float(mask.mean()),
        "paper": paper.kind,
        "paper_lab": [round(value, 3) for value in paper.lab],
        "threshold": round(cut.scene.threshold, 3),
    }


def _check(cut: Cut, rows: list[dict[str, Any]], tile: Mapping[str, Any], outputs: Outputs) -> None:
    """Gates: the decoded masks cover every pixel once, there is paper, there are figures."""
    from ledgerkit.imaging.paper import PaperRule

    scene, kinds = cut.scene, [row["kind"] for row in rows]
    _check_coverage(cut, [row for row in rows if row["parent_id"] is None], tile, outputs)
    paper = scene.paper
    told = f"the border is paper: {paper.kind}, its colours spread by {paper.spread:.1f}"
    if not paper.found:
        dark = paper.lab[0] < PaperRule().darkest
        why = f"dark, of lightness {paper.lab[0]:.0f}" if dark else "of many colours"
        told = f"no paper: the border is {why}; its colours spread by {paper.spread:.1f}"
    outputs.gate("regions", "paper", paper.found, paper.spread, told)
    figures, lines = kinds.count("figure"), kinds.count("lettering")
    told = f"{figures} figures, {lines} lines of lettering"
    outputs.gate("regions", "figures", figures > 0, float(figures), told)
    sheet = sum(row["area"] for row in rows if row["kind"] != "background" and not row["parent_id"])
    share = sum(row["area"] for row in rows if row["kind"] == "figure") / max(sheet, 1.0)
    told = f"figures cover {share:.1%} of the sheet"
    outputs.gate("regions", "foreground", share < 1, share, told)
    if cut.conservation is not None:
        kept = cut.conservation
        told = (
            f"{cut.tiles} tiles joined: {kept.unsourced} pixels of no tile, {kept.forgotten} pieces "
            f"forgotten, {kept.coverage:.1%} of what tiles saw"
        )
        outputs.gate("regions", "joined", kept.holds, kept.coverage, told)
    if "part" in kinds:
        _check_parts(rows, outputs)


def _check_coverage(
    cut: Cut, rows: list[dict[str, Any]], tile: Mapping[str, Any], outputs: Outputs
) -> None:
    import numpy as np

    from ledgerkit.imaging import rle

    frame = cut.frame
    whole = (tile["x1"] - tile["x0"]) * (tile["y1"] - tile["y0"])
    share = sum(row["area"] for row in rows) / whole
    pixels = sum(
        int(np.count_nonzero(rle.decode(row["mask"], row["mask_height"], row["mask_width"])))
        for row in rows
    )
    asked = frame.width * frame.height
    told = f"{len(rows)} regions hold {pixels} of {asked} pixels of the working image"
    complete = pixels == asked and abs(share - 1) < 1e-9
    outputs.gate("regions", "coverage", complete, share, told)


def _check_parts(rows: list[dict[str, Any]], outputs: Outputs) -> None:
    """The parts of a figure have no more than its area together."""
    own = {row["segment_id"]: row["area"] for row in rows}
    parts: dict[str, float] = {}
    for row in rows:
        if row["kind"] == "part":
            parts[row["parent_id"]] = parts.get(row["parent_id"], 0.0) + row["area"]
    most = max(area / own[figure] for figure, area in parts.items())
    told = f"the parts of {len(parts)} figures have at most {most:.1%} of their area"
    outputs.gate("regions", "parts", most <= 1 + 1e-9, most, told)


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
    told = f"{len(chosen)} figures and parts cut out, background {background}"
    outputs.gate("crops", "count", True, float(len(chosen)), told)
