"""Judge `segment` by boxes drawn by eye on real scans, and by masks of drawn plates.

    python -m ledgerkit.testing.segmentation boxes SCANS figures-by-eye.json [--set NAME=VALUE ...]
    python -m ledgerkit.testing.segmentation drawn [--seeds N] [--size WxH] [--tiles 256,384,512,1024]

`boxes`: recall and precision of the figures at an IoU of boxes of 0.5, by work and over all; pairs
are matched one to one, greedily, highest IoU first (as in PASCAL VOC, Everingham et al. 2010, 4.2).
Where the file has boxes of captions, also how many of these are found as lettering (`covered`), and
how many regions of lettering are wrong (`stray`); "-" where it has none.
`drawn`: plates of every family of `engravings`, whose masks are known, cut whole and in tiles: IoU of
the foreground, mean over true figures of the best IoU with a found one, recall at 0.5, numbers of
regions, and how far tiles give what the whole gives. The
measures and figures: docs/segments.md.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]

LEAST_IOU = 0.5
LEAST_COVER = 0.5
ERROR_OF_EYE = 0.005
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Matched:
    """Boxes found on one plate against those wanted."""

    name: str
    work: str
    wanted: int
    found: int
    right: int
    lettering: Lettering | None = None
    """None where the plate has no boxes of captions."""


@dataclass(frozen=True)
class Lettering:
    """Lettering found on one plate against its captions, one box a printed line."""

    captions: int
    covered: int
    wrong: int
    """Regions of lettering on no caption, number or letter."""


def iou(one: Box, other: Box) -> float:
    """Intersection over union of two boxes (x0, y0, x1, y1), 0..1."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return width * height / (areas - width * height)


def match(wanted: Sequence[Box], found: Sequence[Box], least: float = LEAST_IOU) -> int:
    """How many boxes pair off one to one with an IoU of at least `least`, highest first."""
    pairs = [(iou(a, b), i, j) for i, a in enumerate(wanted) for j, b in enumerate(found)]
    left, right = set(range(len(wanted))), set(range(len(found)))
    count = 0
    for value, i, j in sorted(pairs, key=lambda pair: (-pair[0], *pair[1:])):
        if value < least:
            break
        if i in left and j in right:
            left.discard(i)
            right.discard(j)
            count += 1
    return count


def covered(caption: Box, regions: Sequence[Box]) -> bool:
    """Whether `regions` together cover at least half of the width of `caption`, counting those that
    overlap it in height by at least half of the smaller of the two heights.
    """
    done, total = caption[0], 0.0
    for region in sorted(regions):
        overlap = min(caption[3], region[3]) - max(caption[1], region[1])
        if overlap >= LEAST_COVER * min(caption[3] - caption[1], region[3] - region[1]):
            start, done = max(done, region[0]), max(done, min(caption[2], region[2]))
            total += max(0.0, done - start)
    return total >= LEAST_COVER * (caption[2] - caption[0])


def stray(region: Box, printed: Sequence[Box]) -> bool:
    """Whether less than half of the area of `region` lies on boxes of what is printed, each grown by
    0.005 of width and height, which is how well they are drawn; their overlaps are added up.
    """
    x0, y0, x1, y1 = region
    on = 0.0
    for box in printed:
        width = min(x1, box[2] + ERROR_OF_EYE) - max(x0, box[0] - ERROR_OF_EYE)
        height = min(y1, box[3] + ERROR_OF_EYE) - max(y0, box[1] - ERROR_OF_EYE)
        on += max(0.0, width) * max(0.0, height)
    return on < LEAST_COVER * (x1 - x0) * (y1 - y0)


def judge_lettering(plate: Mapping[str, Any], regions: Sequence[Box]) -> Lettering | None:
    """Boxes of regions of lettering against `captions` and `numbers` of a plate of the judge."""
    if "captions" not in plate:
        return None
    captions = [_box(one) for one in plate["captions"]]
    printed = captions + [_box(one) for one in plate.get("numbers", [])]
    return Lettering(
        len(captions),
        sum(covered(caption, regions) for caption in captions),
        sum(stray(region, printed) for region in regions),
    )


def _box(numbers: Sequence[float]) -> Box:
    return numbers[0], numbers[1], numbers[2], numbers[3]


def segments_of(path: Path, **parameters: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Rows of `segments` of an image file, as `segment` makes them, and its row of `tiles`."""
    from ledgerkit.operations import segment
    from ledgerkit.testing.handles import run_operation

    tile = tile_of(path)
    files, tables = {"source": [path]}, {"tiles": [tile]}
    produced = run_operation(segment, files=files, tables=tables, **parameters)
    return produced.row_tables["segments"], tile


def tile_of(path: Path) -> dict[str, Any]:
    """What `segment` reads of the row of `tiles` of an image file that is its own whole tile."""
    from ledgerkit.imaging.geometry import oriented_size
    from ledgerkit.imaging.header import read_header

    with path.open("rb") as file:
        header = read_header(file)
    width, height = oriented_size(header.width, header.height, header.orientation)
    frame = {"x0": 0, "y0": 0, "x1": width, "y1": height}
    frame |= {"width": width, "height": height, "frame_width": width, "frame_height": height}
    names = {"tile_id": f"tile-{0:020}", "plate_id": "plate-001", "kind": "whole", "file": None}
    return names | frame | {"source_sha256": "0" * 64}


def judge_boxes(scans: Path, truth: Path, **parameters: Any) -> Iterator[Matched]:
    """Each plate of `truth` cut at the defaults of `segment` but for `parameters`."""
    for plate in json.loads(truth.read_text())["plates"]:
        rows, tile = segments_of(scans / plate["file"], **parameters)
        found = [_share(row, tile) for row in rows if row["kind"] == "figure"]
        wanted = [_box(one) for one in plate["boxes"]]
        regions = [_share(row, tile) for row in rows if row["kind"] == "lettering"]
        counts = len(wanted), len(found), match(wanted, found)
        yield Matched(plate["file"], plate["work"], *counts, judge_lettering(plate, regions))


def _share(row: Mapping[str, Any], tile: Mapping[str, Any]) -> Box:
    width, height = tile["width"], tile["height"]
    return row["x0"] / width, row["y0"] / height, row["x1"] / width, row["y1"] / height


def report_boxes(judged: Sequence[Matched]) -> Iterator[str]:
    """Lines of a table: each plate, each work, all."""
    lettering = "captions | captions found | wrong lettering"
    yield f"| plate | wanted | found | right | recall | precision | {lettering} |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for one in judged:
        yield _line(one.name, [one])
    for work in sorted({one.work for one in judged}):
        yield _line(f"**{work}**", [one for one in judged if one.work == work])
    yield _line("**all**", judged)


def _line(name: str, judged: Sequence[Matched]) -> str:
    wanted, found, right = (
        sum(getattr(one, side) for one in judged) for side in ("wanted", "found", "right")
    )
    recall, precision = right / max(1, wanted), right / max(1, found)
    figures = f"{wanted} | {found} | {right} | {recall:.2f} | {precision:.2f}"
    return f"| {name} | {figures} | {_lettering(judged)} |"


def _lettering(judged: Sequence[Matched]) -> str:
    known = [one.lettering for one in judged if one.lettering is not None]
    if not known:
        return "- | - | -"
    sides = ("captions", "covered", "wrong")
    return " | ".join(str(sum(getattr(one, side) for one in known)) for side in sides)


@dataclass(frozen=True)
class Agreed:
    """Figures of one plate against others of it: means over the others."""

    foreground: float
    """IoU of all figures together."""
    best: float
    """Mean over the other's figures of the best IoU with one of these."""
    recall: float
    """Share of the other's figures with a best IoU of at least 0.5."""
    figures: float
    """How many figures these are."""
    others: float


@dataclass(frozen=True)
class Drawn:
    """One drawn plate cut in one way: against its truth, and against being cut whole."""

    family: str
    tile: int
    truth: Agreed
    whole: Agreed


def agree(found: Sequence[Mask], others: Sequence[Mask]) -> Agreed:
    """Compare two sets of masks, bool (h, w), of one plate; neither is empty."""
    import numpy as np

    best = [max(overlap(mask, other) for mask in found) for other in others]
    return Agreed(
        overlap(np.logical_or.reduce(found), np.logical_or.reduce(others)),
        float(np.mean(best)),
        float(np.mean(np.array(best) >= LEAST_IOU)),
        len(found),
        len(others),
    )


def overlap(one: Mask, other: Mask) -> float:
    """Intersection over union of two masks, 0..1."""
    return float((one & other).sum() / max(1, (one | other).sum()))


def figures_of(rows: Sequence[Mapping[str, Any]], width: int, height: int) -> list[Mask]:
    """The masks of the figures among rows of `segments` of an image cut at its own size."""
    import numpy as np

    from ledgerkit.imaging import rle

    masks = []
    for row in rows:
        if row["kind"] == "figure":
            mask = np.zeros((height, width), dtype=bool)
            own = rle.decode(row["mask"], row["mask_height"], row["mask_width"])
            mask[row["y0"] : row["y1"], row["x0"] : row["x1"]] = own
            masks.append(mask)
    return masks or [np.zeros((height, width), dtype=bool)]


def judge_drawn(
    seeds: Sequence[int],
    size: tuple[int, int],
    tiles: Sequence[int],
    families: Sequence[str] = (),
    **parameters: Any,
) -> Iterator[Drawn]:
    """Plates of `families` (all, when empty) and `seeds`, `size` wide and high, cut whole (tile 0) and
    in tiles of each size, at their own size.
    """
    import tempfile

    from PIL import Image

    from ledgerkit.testing.engravings import FAMILIES, draw

    width, height = size
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plate.png"
        for family in families or FAMILIES:
            for seed in seeds:
                plate = draw(family, seed, width=width, height=height)
                Image.fromarray(plate.pixels).save(path, compress_level=1)
                truth = [shape.mask for shape in plate.shapes if shape.kind == "figure"]
                whole: list[Mask] = []
                for tile in (0, *tiles):
                    given = {"long_side": max(size), **parameters, "tile": tile}
                    found = figures_of(segments_of(path, **given)[0], width, height)
                    whole = whole or found
                    yield Drawn(family, tile, agree(found, truth), agree(found, whole))


def report_drawn(judged: Sequence[Drawn]) -> Iterator[str]:
    """Lines of a table: each family cut whole, then all by size of tile."""
    yield "| plates | tile | foreground | best | recall | regions (true) | as whole: foreground | best |"
    yield "|---|---|---|---|---|---|---|---|"
    for family in sorted({one.family for one in judged}):
        yield _drawn_line(family, 0, [one for one in judged if one.family == family])
    for tile in sorted({one.tile for one in judged}):
        yield _drawn_line("**all**", tile, judged)


def _drawn_line(name: str, tile: int, judged: Sequence[Drawn]) -> str:
    own = [one for one in judged if one.tile == tile]

    def mean(side: str, field: str) -> float:
        return float(sum(getattr(getattr(one, side), field) for one in own)) / len(own)

    return (
        f"| {name} | {tile or 'whole'} | {mean('truth', 'foreground'):.3f} | "
        f"{mean('truth', 'best'):.3f} | {mean('truth', 'recall'):.3f} | "
        f"{mean('truth', 'figures'):.2f} ({mean('truth', 'others'):.2f}) | "
        f"{mean('whole', 'foreground'):.4f} | {mean('whole', 'best'):.4f} |"
    )


def settings_of(given: Sequence[str]) -> Mapping[str, Any]:
    """NAME=VALUE, values as JSON where they are."""
    pairs = (one.partition("=") for one in given)
    return {name: _value(text) for name, _, text in pairs}


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def main(arguments: Sequence[str] | None = None) -> None:
    """Cut, judge, print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    ways = parser.add_subparsers(dest="way", required=True)
    boxes, drawn = ways.add_parser("boxes"), ways.add_parser("drawn")
    boxes.add_argument("scans", type=Path)
    boxes.add_argument("truth", type=Path)
    drawn.add_argument("--seeds", type=int, default=5, help="how many, from 1000 on")
    drawn.add_argument("--size", default="640x800")
    drawn.add_argument("--tiles", default="256,384,512,1024")
    for way in (boxes, drawn):
        way.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    given = parser.parse_args(arguments)
    settings = settings_of(given.set)
    if given.way == "boxes":
        lines = report_boxes(list(judge_boxes(given.scans, given.truth, **settings)))
    else:
        width, height = map(int, given.size.split("x"))
        tiles = [int(tile) for tile in given.tiles.split(",") if tile]
        seeds = range(1000, 1000 + given.seeds)
        lines = report_drawn(list(judge_drawn(seeds, (width, height), tiles, **settings)))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
