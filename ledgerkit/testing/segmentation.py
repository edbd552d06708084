"""Judge `segment` by boxes drawn by eye on real scans, and by masks of drawn plates.

    python -m ledgerkit.testing.segmentation boxes SCANS figures-by-eye.json [--set NAME=VALUE ...]

`boxes`: recall and precision of the figures at an IoU of boxes of 0.5, by work and over all; pairs
are matched one to one, greedily, highest IoU first (as in PASCAL VOC, Everingham et al. 2010, 4.2).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LEAST_IOU = 0.5
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Matched:
    """Boxes found on one plate against those wanted."""

    name: str
    work: str
    wanted: int
    found: int
    right: int


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


def segments_of(path: Path, **parameters: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Rows of `segments` of an image file, as `segment` makes them, and its row of `tiles`."""
    from ledgerkit.imaging.header import read_header
    from ledgerkit.operations import segment
    from ledgerkit.testing.handles import run_operation

    with path.open("rb") as file:
        header = read_header(file)
    turned = header.orientation > 4
    width, height = header.width, header.height
    width, height = (height, width) if turned else (width, height)
    frame = {"x0": 0, "y0": 0, "x1": width, "y1": height}
    frame |= {"width": width, "height": height, "frame_width": width, "frame_height": height}
    names = {"tile_id": f"tile-{0:020}", "plate_id": "plate-001", "kind": "whole", "file": None}
    tile = names | frame | {"source_sha256": "0" * 64}
    files, tables = {"source": [path]}, {"tiles": [tile]}
    produced = run_operation(segment, files=files, tables=tables, **parameters)
    return produced.row_tables["segments"], tile


def judge_boxes(scans: Path, truth: Path, **parameters: Any) -> Iterator[Matched]:
    """Each plate of `truth` cut at the defaults of `segment` but for `parameters`."""
    for plate in json.loads(truth.read_text())["plates"]:
        rows, tile = segments_of(scans / plate["file"], **parameters)
        found = [_share(row, tile) for row in rows if row["kind"] == "figure"]
        wanted = [(box[0], box[1], box[2], box[3]) for box in plate["boxes"]]
        right = match(wanted, found)
        yield Matched(plate["file"], plate["work"], len(wanted), len(found), right)


def _share(row: Mapping[str, Any], tile: Mapping[str, Any]) -> Box:
    width, height = tile["width"], tile["height"]
    return row["x0"] / width, row["y0"] / height, row["x1"] / width, row["y1"] / height


def report_boxes(judged: Sequence[Matched]) -> Iterator[str]:
    """Lines of a table: each plate, each work, all."""
    yield f"| {'plate'} | wanted | found | right | recall | precision |"
    yield "|---|---|---|---|---|---|"
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
    return f"| {name} | {wanted} | {found} | {right} | {recall:.2f} | {precision:.2f} |"


def _settings(given: Sequence[str]) -> Mapping[str, Any]:
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
    boxes = ways.add_parser("boxes")
    boxes.add_argument("scans", type=Path)
    boxes.add_argument("truth", type=Path)
    boxes.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    given = parser.parse_args(arguments)
    judged = list(judge_boxes(given.scans, given.truth, **_settings(given.set)))
    print("\n".join(report_boxes(judged)))


if __name__ == "__main__":
    main()
