"""Segments as one GeoJSON FeatureCollection in pixels: polygons with holes, properties of the row.

RFC 7946 knows no pixels, so the collection says `"coordinate_space": "image-pixels"`: x to the right
and y down from the top left corner of the oriented source, nothing flipped. With the numbers as they
are written exteriors run counterclockwise and holes clockwise, as the RFC asks; on the picture, whose
y points down, that looks the other way round. Outlines are those of `imaging/outline.py`.
Source: RFC 7946, sections 3.1.6, 4 and 6.1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ledgerkit.export.ledgers import Basis, Plate, Selection, placed_outlines
from ledgerkit.export.lines import Sink, write_object

DECIMALS = 3
PROPERTIES = (
    "segment_id",
    "run_id",
    "variant",
    "plate_id",
    "tile_id",
    "kind",
    "parent_id",
    "area",
    "centroid_x",
    "centroid_y",
    "solidity",
    "mean_lab",
    "contrast",
    "score",
    "source_sha256",
    "log_index",
)


def write(
    sink: Sink,
    basis: Basis,
    selection: Selection,
    rows: Iterable[tuple[Plate, list[dict[str, Any]]]],
) -> int:
    """Write the file; returns the number of features. Raises `InvalidRecord` for a broken mask."""
    fields = {
        "type": "FeatureCollection",
        "coordinate_space": "image-pixels",
        "ledgerkit": basis.document(selection.document()),
        "features": _features(rows),
    }
    return write_object(sink, fields)


def _features(rows: Iterable[tuple[Plate, list[dict[str, Any]]]]) -> Iterator[dict[str, Any]]:
    for plate, segments in rows:
        for row in segments:
            yield feature(plate, row)


def feature(plate: Plate, row: dict[str, Any]) -> dict[str, Any]:
    """One feature: a Polygon, or a MultiPolygon where the region is in several pieces."""
    polygons = [
        [[[round(x, DECIMALS), round(y, DECIMALS)] for x, y in ring.tolist()] for ring in polygon]
        for polygon in placed_outlines(row)
    ]
    single = len(polygons) == 1
    return {
        "type": "Feature",
        "id": row["segment_id"],
        "bbox": [row["x0"], row["y0"], row["x1"], row["y1"]],
        "geometry": {
            "type": "Polygon" if single else "MultiPolygon",
            "coordinates": polygons[0] if single else polygons,
        },
        "properties": {
            **{name: row[name] for name in PROPERTIES},
            "source_path": plate.source_path,
            "image_width": plate.width,
            "image_height": plate.height,
        },
    }
