"""Segments as one COCO file: full-frame run lengths, boxes, areas, and our identities beside them.

Numbers: an image has the number of its plate; an annotation that number times 2**20 plus its place
on the plate, so both stay the same whatever else is exported. Masks are laid into the frame of the
oriented source by the rule of `imaging/frame.py`; `area` counts the pixels of that mask, where the
ledger's `area` is the area at the scale of the segmentation.
Source: COCO annotation format (Lin et al. 2014), run lengths in the compressed form of `maskApi.c`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ledgerkit import software
from ledgerkit.errors import LimitExceeded
from ledgerkit.export.ledgers import KINDS, Basis, Plate, Selection, mask_of
from ledgerkit.export.lines import Sink, write_object

PLACES = 1 << 20
"""Annotations that a plate has room for; the largest number stays exact in a double."""


def write(
    sink: Sink,
    basis: Basis,
    selection: Selection,
    plates: list[Plate],
    rows: Iterable[tuple[Plate, list[dict[str, Any]]]],
) -> int:
    """Write the file; returns the number of annotations. Raises `InvalidRecord` for a broken mask."""
    licences = sorted({plate.license for plate in plates if plate.license is not None})
    fields = {
        "info": {
            "description": f"Segments of {basis.origin} at log size {basis.log_size}",
            "version": software.VERSION,
            "ledgerkit": basis.document(selection.document()),
        },
        "licenses": [{"id": place, "name": name} for place, name in enumerate(licences, 1)],
        "categories": [
            {"id": place, "name": kind, "supercategory": "region"}
            for place, kind in enumerate(KINDS, 1)
        ],
        "images": [_image(plate, licences) for plate in plates],
        "annotations": _annotations(rows),
    }
    return write_object(sink, fields)


def _image(plate: Plate, licences: list[str]) -> dict[str, Any]:
    found = {
        "id": plate.plate_number,
        "file_name": plate.source_path,
        "width": plate.width,
        "height": plate.height,
        "plate_id": plate.plate_id,
        "title": plate.title,
        "source_sha256": plate.source_sha256,
    }
    if plate.license is not None:
        found["license"] = licences.index(plate.license) + 1
    return found


def _annotations(
    rows: Iterable[tuple[Plate, list[dict[str, Any]]]],
) -> Iterator[dict[str, Any]]:
    for plate, segments in rows:
        for row in segments:
            yield annotation(plate, row)


def annotation(plate: Plate, row: dict[str, Any]) -> dict[str, Any]:
    """One annotation. Raises `InvalidRecord`, and `LimitExceeded` past 2**20 segments of a plate."""
    from ledgerkit.imaging import rle
    from ledgerkit.imaging.frame import spread
    from ledgerkit.imaging.place import box_of

    if row["place"] >= PLACES:
        raise LimitExceeded(f"{plate.plate_id} has more than {PLACES} segments (limit of COCO ids)")
    x0, y0, x1, y1 = box_of(row)
    counts = spread(mask_of(row), (x0, y0, x1, y1), plate.width, plate.height)
    return {
        "id": plate.plate_number * PLACES + row["place"],
        "image_id": plate.plate_number,
        "category_id": KINDS.index(row["kind"]) + 1,
        "segmentation": {"size": [plate.height, plate.width], "counts": rle.compress(counts)},
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": int(counts[1::2].sum()),
        "iscrowd": 0,
        "segment_id": row["segment_id"],
        "parent_id": row["parent_id"],
        "run_id": row["run_id"],
        "variant": row["variant"],
        "score": row["score"],
    }
