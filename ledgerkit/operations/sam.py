"""Cut each plate into regions with a Segment Anything model, given by its name in the store.

SAM, SAM-HQ, SAM 2, EdgeTAM and the tracker of SAM 3, through segment_anything or transformers. A
grid of points asks for masks of everything; with `--prompted` one region is made for each group of prompts that a person gave
(`ledgerkit prompts`). With `--tile` a large plate is worked on in overlapping tiles and in one pass
over all of it, and the masks are joined. A tile or prompt that cannot be done is a failed item.

The model says where a region is, not what it is: one that lies within another is a `part` of it, all
others are a `figure`, even where they show the paper. Contrast, the distance to the paper, tells.
Source: Kirillov et al. 2023, Segment Anything; the defaults are those of its mask generator.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ledgerkit.errors import InvalidRecord, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ledgerkit.handles import Inputs, Outputs
    from ledgerkit.imaging.join import Region
    from ledgerkit.models.sam_masks import MaskRule
    from ledgerkit.models.sam_network import Network
    from ledgerkit.operations._sam_regions import Regions

    Pixels = NDArray[np.uint8]

VERSION = "1"
EVENT_TYPE = "segmentation"
SUBJECT = "plate"
LIBRARIES = (
    "numpy",
    "scipy",
    "pillow",
    "pyvips",
    "pyvips-binary",
    "libvips",
    "segment-anything",
    "torch",
    "transformers",
)
MAKES = ("segments",)


def _number(default: Any, text: str, unit: str, least: float, most: float | None = None) -> Any:
    metadata = {"help": text, "unit": unit, "minimum": least, "maximum": most}
    return field(default=default, metadata=metadata)


def _choice(text: str, *choices: str) -> Any:
    return field(default=choices[0], metadata={"help": text, "unit": "", "choices": choices})


@dataclass(frozen=True, slots=True)
class Parameters:
    """Settings of `sam`; from `points_per_side` on those of `SamAutomaticMaskGenerator`."""

    model: str = field(
        default="",
        metadata={"help": "Name of a model in the store; required. See: ledgerkit models list"},
    )
    prompted: bool = field(
        default=False, metadata={"help": "Regions for the prompts of each plate, not of everything"}
    )
    long_side: int = _number(1024, "Long side of the image that masks are found on", "pixel", 64)
    tile: int = _number(
        0,
        "Side of a tile without its halo, on that image; 0 works on all of it at once",
        "pixel",
        0,
    )
    halo: int = _number(128, "What a tile sees beyond each of its sides", "pixel", 1)
    points_per_side: int = _number(32, "Points of the grid along each side", "1", 1)
    points_per_batch: int = _number(64, "Points that the decoder is given at once", "1", 1)
    pred_iou_thresh: float = _number(
        -1.0, "Least predicted IoU; -1 takes the model's own: 0.88, of SAM 2 0.8", "1", -1, 1
    )
    stability_score_thresh: float = _number(0.95, "Least stability of a mask", "1", 0, 1)
    stability_score_offset: float = _number(
        1.0, "Logits by which the threshold is moved to measure stability", "1", 0
    )
    box_nms_thresh: float = _number(
        0.7, "IoU of boxes above which the worse of two masks is left out", "1", 0, 1
    )
    crop_n_layers: int = _number(0, "Layers of crops that are worked on, too", "1", 0, 4)
    crop_nms_thresh: float = _number(
        0.7, "The same limit between masks of different crops", "1", 0, 1
    )
    crop_overlap_ratio: float = _number(
        512 / 1500, "Overlap of crops as a share of the image, in the first layer", "1", 0, 1
    )
    crop_n_points_downscale_factor: int = _number(
        1, "Factor by which each layer has fewer points along a side", "1", 1
    )
    min_mask_region_area: int = _number(
        0, "Holes and islands smaller than this are taken out of masks", "pixel", 0
    )
    device: str = _choice("What computes: auto is a GPU where there is one", "auto", "cpu", "cuda")
    precision: str = _choice(
        "Numbers of the encoder: auto is bfloat16 on a GPU, else float32",
        "auto",
        "float32",
        "bfloat16",
    )


_OF_CROPS = ("crop_nms_thresh", "crop_overlap_ratio", "crop_n_points_downscale_factor")
_OF_ALL = (
    "points_per_side",
    "points_per_batch",
    "pred_iou_thresh",
    "stability_score_thresh",
    "box_nms_thresh",
    "crop_n_layers",
    *_OF_CROPS,
    "min_mask_region_area",
)
"""Settings of masks of everything, which prompts do not ask for."""


def check(parameters: Parameters) -> None:
    """Refuse settings without effect, and a halo that makes tiles larger than what they are cut from.

    Raises `UsageError`.
    """
    from ledgerkit.operations._without_effect import refuse

    if parameters.prompted:
        refuse(parameters, ("tile", "halo", *_OF_ALL), "with --prompted")
    if not parameters.tile:
        refuse(parameters, ("halo",), "without --tile")
    elif parameters.halo > parameters.tile:
        raise UsageError(
            f"a halo of {parameters.halo} pixels is larger than its tile of {parameters.tile}",
            f"Give at most --halo {parameters.tile}, or a larger --tile.",
        )
    if not parameters.crop_n_layers:
        refuse(parameters, _OF_CROPS, "without --crop-n-layers")


def takes(parameters: Parameters) -> tuple[str, ...]:
    """The plate's whole image, and its prompts where these are asked for."""
    return ("whole", "prompts") if parameters.prompted else ("whole",)


def models(parameters: Parameters) -> tuple[str, ...]:
    """The model. Raises `UsageError` where none is named."""
    if not parameters.model:
        raise UsageError(
            "sam needs a model, and none is named",
            "Name one of `ledgerkit models list` with --model NAME.",
        )
    return (parameters.model,)


def check_models(parameters: Parameters, folders: Mapping[str, Path]) -> None:
    """Refuse a model that is no SAM, or cannot run here; nothing is loaded."""
    from ledgerkit.models.sam import check

    check(folders[parameters.model], parameters.device, parameters.precision)


def try_models(parameters: Parameters, folders: Mapping[str, Path], *, keep: bool) -> None:
    """Refuse a model whose weights cannot be loaded."""
    from ledgerkit.models.sam import try_out

    try_out(folders[parameters.model], parameters.device, parameters.precision, keep=keep)


def variant(parameters: Parameters, weights: str) -> str:
    """The model by the digest of its weights, and whether it was prompted."""
    return f"sam-{weights[:8]}" + "-prompted" * parameters.prompted


def run(inputs: Inputs, parameters: Parameters, outputs: Outputs) -> None:
    """Write one row of `segments` per region, larger ones first."""
    from ledgerkit.imaging.decode import read_shrunk
    from ledgerkit.imaging.place import whole_tile
    from ledgerkit.models import loading
    from ledgerkit.models.sam import load

    placement = loading.place(parameters.device, parameters.precision)
    outputs.device(placement.name)
    network = load(inputs.model(parameters.model), placement)
    tile = whole_tile(inputs.rows("tiles"))
    with inputs.image(tile).open() as file:
        pixels = read_shrunk(file, parameters.long_side)
    rule = _rule(parameters, network)
    found = _found(inputs, parameters, outputs, network, pixels, rule, tile)
    outputs.rows("segments", _rows(found, pixels, tile, outputs))
    _check(found, pixels, outputs)
    told = f"{network.kind}, family {network.family}, encoder in {placement.precision}"
    outputs.gate("model", "network", True, None, told)
    told = f"masks with a predicted IoU above {rule.pred_iou_thresh:g}"
    if parameters.prompted:
        told = "every prompt has its region, whatever its predicted IoU"
    outputs.gate("model", "pred_iou_thresh", True, rule.pred_iou_thresh, told)


def _rule(parameters: Parameters, network: Network) -> MaskRule:
    from dataclasses import fields

    from ledgerkit.models.sam_masks import QUALITY, MaskRule

    given = {one.name: getattr(parameters, one.name) for one in fields(MaskRule)}
    if given["pred_iou_thresh"] < 0:
        given["pred_iou_thresh"] = QUALITY[network.family]
    return MaskRule(**given)


def _found(
    inputs: Inputs,
    parameters: Parameters,
    outputs: Outputs,
    network: Network,
    pixels: Pixels,
    rule: MaskRule,
    tile: Mapping[str, Any],
) -> Regions:
    from ledgerkit.operations import _sam_regions

    if parameters.prompted:
        groups = _groups(inputs, tile, pixels)
        offset = rule.stability_score_offset
        return _sam_regions.pointed_at(network, pixels, groups, offset, outputs.failed)
    if 0 < parameters.tile < max(pixels.shape[:2]):
        return _sam_regions.of_tiles(
            network, pixels, rule, parameters.tile, parameters.halo, outputs.failed
        )
    return _sam_regions.of_whole(network, pixels, rule)


def _groups(inputs: Inputs, tile: Mapping[str, Any], pixels: Pixels) -> list[dict[str, Any]]:
    """The plate's prompts in pixels of the working image. Raises `InvalidRecord`."""
    from ledgerkit.canonical import parse_json
    from ledgerkit.imaging.place import scale_of

    given = inputs.file("prompts")
    with given.open() as file:
        document: Any = parse_json(file.read(), given.path)
    if document["source_sha256"] != tile["source_sha256"]:
        raise InvalidRecord(
            "the prompts were given on another scan of this plate",
            "Give them again on the present one: ledgerkit prompts FILE --by NAME --reason TEXT",
        )
    across, down = scale_of(tile, pixels.shape[1], pixels.shape[0])
    left, top = tile["x0"], tile["y0"]
    groups = []
    for region in document["regions"]:
        points = [
            [(x - left) / across, (y - top) / down, label]
            for x, y, label in region.get("points", [])
        ]
        box = region.get("box")
        if box is not None:
            x0, y0, x1, y1 = box
            box = [(x0 - left) / across, (y0 - top) / down]
            box += [(x1 - left) / across, (y1 - top) / down]
        groups.append({"name": region.get("name", ""), "points": points, "box": box})
    return groups


def _rows(
    found: Regions, pixels: Pixels, tile: Mapping[str, Any], outputs: Outputs
) -> list[dict[str, Any]]:
    """Rows of `segments`, parents first; of masks that are the same the first.

    A region that cannot be measured is a failed item.
    """
    from ledgerkit.imaging.segment_rows import Measured, Place, segment_row

    place = Place(tile, *pixels.shape[:2])
    ground = _paper_distance(pixels)
    made: dict[int, dict[str, Any]] = {}
    pairs = zip(found.regions, found.stability, strict=True)
    for index, (region, stability) in enumerate(pairs):
        try:
            colour, contrast = _colour(region, pixels, ground)
            parent = None if region.parent is None else made.get(region.parent)
            made[index] = segment_row(
                place,
                "figure" if parent is None else "part",
                region.x0,
                region.y0,
                region.mask,
                Measured(colour, contrast, round(region.score or 0.0, 6), round(stability, 6)),
                None if parent is None else parent["segment_id"],
            )
        except (ValueError, ArithmeticError, MemoryError) as error:
            if not made and index + 1 == len(found.regions):
                raise
            outputs.failed(f"mask {index + 1} of {len(found.regions)}", error)
    rows: dict[str, dict[str, Any]] = {}
    for row in made.values():
        rows.setdefault(row["segment_id"], row)
    return list(rows.values())


PAPER_SIDE = 1024
"""Long side of the image on which the paper is modelled, in pixels."""


def _paper_distance(pixels: Pixels) -> NDArray[np.float32]:
    """CIEDE76 of each pixel to the paper, float32, on at most `PAPER_SIDE` pixels a side."""
    import numpy as np
    from PIL import Image

    from ledgerkit.imaging.geometry import fit_long_side
    from ledgerkit.imaging.lab import to_lab
    from ledgerkit.imaging.marks import smoothed
    from ledgerkit.imaging.regions import REFERENCE, RegionRule, paper_of

    rule = RegionRule()
    size = fit_long_side(pixels.shape[1], pixels.shape[0], PAPER_SIDE)
    small = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX))
    smooth = smoothed(to_lab(small), rule.smoothing * max(size) / REFERENCE)
    return paper_of(smooth, rule)[1].distance


def _colour(
    region: Region, pixels: Pixels, ground: NDArray[np.float32]
) -> tuple[NDArray[np.floating], float]:
    """Mean CIELAB of a region, and its mean distance to the paper."""
    import numpy as np

    from ledgerkit.imaging.found import Frame, covered
    from ledgerkit.imaging.lab import to_lab

    box = region.box
    inside = to_lab(pixels[box.y0 : box.y1, box.x0 : box.x1][region.mask])
    frame = Frame(pixels.shape[1], pixels.shape[0])
    area, weights = covered(box, region.mask, frame, ground.shape)
    off = np.vdot(ground[area.y0 : area.y1, area.x0 : area.x1], weights) / weights.sum()
    return inside.mean(axis=0, dtype=np.float64), float(off)


def _check(found: Regions, pixels: Pixels, outputs: Outputs) -> None:
    """Gates: there are regions, how much of the plate they cover, and what joining must keep."""
    import numpy as np

    covered = np.zeros(pixels.shape[:2], dtype=bool)
    for region in found.regions:
        box = region.box
        covered[box.y0 : box.y1, box.x0 : box.x1] |= region.mask
    share = float(covered.mean())
    parts = sum(region.parent is not None for region in found.regions)
    told = f"{len(found.regions)} regions, {parts} of them within another"
    outputs.gate("regions", "count", bool(found.regions), float(len(found.regions)), told)
    told = f"{share:.1%} of the plate lie in a region"
    outputs.gate("regions", "coverage", share > 0, share, told)
    kept = found.conservation
    if kept is None:
        return
    told = (
        f"regions of {len(found.windows)} tiles: no pixel without a mask ({kept.unsourced}), "
        f"no mask forgotten ({kept.forgotten}), {kept.coverage:.1%} of all masks kept"
    )
    outputs.gate("join", "conservation", kept.holds, kept.coverage, told)
    cut = sum(region.cut for region in found.regions)
    told = f"{cut} regions end at the border of their tile, and no other tile goes on with them"
    outputs.gate("join", "cut", cut == 0, float(cut), told)
