"""Segments as W3C Web Annotations, a page for each plate, beside a IIIF manifest that shows them.

The target of an annotation is the canvas of the plate's manifest, which is as large as the oriented
source: `xywh=pixel:` and the path of the SVG are source pixels. Addresses are those of `pyramid`:
with the same `--base-uri`, `BASE/plate-001/` has the tiles and these two files. SVG has one `<path>`
(Mirador draws rectangles and paths only) of at most 500 vertices, for looking; the exact mask is in
the export as COCO.
Source: W3C Web Annotation Data Model (2017), sections 3.3, 4.2.1, 4.2.5 and 5; IIIF Presentation 3.0.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ledgerkit import software
from ledgerkit.export.ledgers import Basis, Plate, Selection, placed_outlines
from ledgerkit.export.target import put_json

CONTEXT = "http://www.w3.org/ns/anno.jsonld"
PRESENTATION = "http://iiif.io/api/presentation/3/context.json"
MEDIA_FRAGMENTS = "http://www.w3.org/TR/media-frags/"
PAGE, MANIFEST, COLLECTION = "segments.json", "manifest.json", "segments.json"


@dataclass(frozen=True, slots=True)
class Written:
    """Files of an export as a folder."""

    annotations: int
    bytes: int
    sha256: str
    """Of `export.json`."""


def write(
    folder: Path,
    base: str,
    basis: Basis,
    selection: Selection,
    plates: list[Plate],
    rows: Iterable[tuple[Plate, list[dict[str, Any]]]],
) -> Written:
    """Write pages, manifests, their collection and `export.json` into an empty folder.

    Raises `InvalidRecord` for a broken mask.
    """
    files: list[dict[str, Any]] = []
    collection = _collection(base, basis, plates)
    files.append(put_json(folder, COLLECTION, {"@context": CONTEXT, **collection}))
    annotations = 0
    for place, (plate, segments) in enumerate(rows):
        last = place == len(plates) - 1
        around = (plates[place - 1] if place else None, None if last else plates[place + 1])
        page = _page(base, plate, segments, annotations, around)
        page["partOf"] = {name: collection[name] for name in ("id", "type", "label", "total")}
        (folder / plate.plate_id).mkdir()
        files.append(put_json(folder, f"{plate.plate_id}/{PAGE}", page))
        files.append(
            put_json(folder, f"{plate.plate_id}/{MANIFEST}", _manifest(base, plate, basis))
        )
        annotations += len(segments)
    listing = put_json(
        folder, "export.json", {"ledgerkit": basis.document(selection.document()), "files": files}
    )
    size = sum(one["bytes"] for one in [*files, listing])
    return Written(annotations, size, listing["sha256"])


def _collection(base: str, basis: Basis, plates: Sequence[Plate]) -> dict[str, Any]:
    found = {
        "id": f"{base}/{COLLECTION}",
        "type": "AnnotationCollection",
        "label": f"Segments of {basis.origin} at log size {basis.log_size}, root {basis.log_root}",
        "total": sum(plate.chosen for plate in plates),
        "generator": {"type": "Software", "name": f"ledgerkit {software.VERSION}"},
    }
    if plates:
        found["first"] = f"{base}/{plates[0].plate_id}/{PAGE}"
        found["last"] = f"{base}/{plates[-1].plate_id}/{PAGE}"
    return found


def _page(
    base: str,
    plate: Plate,
    segments: Sequence[dict[str, Any]],
    start: int,
    around: tuple[Plate | None, Plate | None],
) -> dict[str, Any]:
    page = {
        "@context": CONTEXT,
        "id": f"{base}/{plate.plate_id}/{PAGE}",
        "type": "AnnotationPage",
        "startIndex": start,
        "items": [annotation(base, plate, row) for row in segments],
    }
    for name, other in zip(("prev", "next"), around, strict=True):
        if other is not None:
            page[name] = f"{base}/{other.plate_id}/{PAGE}"
    return page


def annotation(base: str, plate: Plate, row: dict[str, Any]) -> dict[str, Any]:
    """One annotation: the kind as a tag, the identities as text, box and path as selectors."""
    x0, y0, x1, y1 = (row[name] for name in ("x0", "y0", "x1", "y1"))
    told = f"{row['segment_id']} of {row['run_id']}"
    if row["parent_id"] is not None:
        told += f", part of {row['parent_id']}"
    return {
        "id": f"{base}/{plate.plate_id}/segments/{row['segment_id']}/{row['run_id']}",
        "type": "Annotation",
        "motivation": "tagging",
        "body": [
            {"type": "TextualBody", "purpose": "tagging", "value": row["kind"]},
            {"type": "TextualBody", "purpose": "describing", "value": told},
        ],
        "target": {
            "source": _canvas(base, plate),
            "selector": [
                {
                    "type": "FragmentSelector",
                    "conformsTo": MEDIA_FRAGMENTS,
                    "value": f"xywh=pixel:{x0},{y0},{x1 - x0},{y1 - y0}",
                },
                {"type": "SvgSelector", "value": svg(row)},
            ],
        },
    }


def svg(row: dict[str, Any]) -> str:
    """An SVG with one path, holes left out by the even-odd rule, coordinates to a tenth of a pixel."""
    path = svg_path(row)
    return f'<svg xmlns="http://www.w3.org/2000/svg"><path fill-rule="evenodd" d="{path}"/></svg>'


def svg_path(row: dict[str, Any]) -> str:
    """The data of that path, in oriented source pixels, of at most `outline.MOST_VERTICES`."""
    from ledgerkit.imaging.outline import simplified

    rings = simplified([ring for polygon in placed_outlines(row) for ring in polygon])
    parts = []
    for ring in rings:
        points = [f"{x:.1f},{y:.1f}".replace(".0", "") for x, y in ring[:-1].tolist()]
        parts.append(f"M{' L'.join(points)} Z")
    return " ".join(parts)


def _canvas(base: str, plate: Plate) -> str:
    return f"{base}/{plate.plate_id}/canvas"


def _manifest(base: str, plate: Plate, basis: Basis) -> dict[str, Any]:
    """A IIIF Presentation 3.0 manifest: one canvas, painted by the plate's image service."""
    home, canvas = f"{base}/{plate.plate_id}", _canvas(base, plate)
    facts = {
        "Plate": plate.plate_id,
        "Repository": basis.origin,
        "Log size": str(basis.log_size),
        "Log root": basis.log_root,
        "SHA-256 of the source": plate.source_sha256,
    }
    painting = {
        "id": f"{canvas}/painting",
        "type": "Annotation",
        "motivation": "painting",
        "body": {
            "id": f"{home}/full/max/0/default.jpg",
            "type": "Image",
            "format": "image/jpeg",
            "service": [{"id": home, "type": "ImageService3", "profile": "level0"}],
        },
        "target": canvas,
    }
    return {
        "@context": PRESENTATION,
        "id": f"{home}/{MANIFEST}",
        "type": "Manifest",
        "label": {"none": [plate.title]},
        "metadata": [
            {"label": {"en": [name]}, "value": {"none": [value]}} for name, value in facts.items()
        ],
        "items": [
            {
                "id": canvas,
                "type": "Canvas",
                "width": plate.width,
                "height": plate.height,
                "items": [{"id": f"{canvas}/page", "type": "AnnotationPage", "items": [painting]}],
                "annotations": [{"id": f"{home}/{PAGE}", "type": "AnnotationPage"}],
            }
        ],
    }
