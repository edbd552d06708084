"""Data of the plate pages, twenty plates a file: picture, segments, runs, neighbours.

A plate's file follows from its number, so that the page of any plate loads one file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ledgerkit.export.ledgers import Plate, Selection, rows_of
from ledgerkit.export.ledgers import plates_of as segmented_plates
from ledgerkit.export.webannotation import svg_path
from ledgerkit.pages.gather import Map, Plates, Row
from ledgerkit.pages.nearest import Pairs
from ledgerkit.pages.zoom import Zoom
from ledgerkit.query import Ledgers

PER_FILE = 20
"""Plates in one file."""
AT_ONCE = 100 * PER_FILE
"""Plates whose runs are read from the ledgers at a time."""
MOST_FILES = 12
"""Files of one run that are listed, of each direction."""
FACTS = {
    "format": "Format",
    "width": "Width in pixels",
    "height": "Height in pixels",
    "license": "Licence",
    "download_url": "Published at",
    "source_path": "Source",
    "source_bytes": "Bytes of the source",
    "source_sha256": "SHA-256 of the source",
}
_RUNS = """
    SELECT r.plate_id, r.run_id, r.operation, r.version, r.variant, r.status, r.current, r.person,
           strftime(r.started_at, '%Y-%m-%d %H:%M:%S') AS started, r.failure_message AS failure
    FROM runs r WHERE r.plate_id IN (SELECT unnest(?::VARCHAR[])) ORDER BY r.plate_id, r.run_id"""
_FILES = f"""
    SELECT a.run_id, a.direction, a.role, a.path, a.sha256, a.made_by,
           count(*) OVER (PARTITION BY a.run_id, a.direction) AS files
    FROM artifacts a JOIN runs r USING (run_id)
    WHERE r.plate_id IN (SELECT unnest(?::VARCHAR[]))
    QUALIFY row_number() OVER (PARTITION BY a.run_id, a.direction ORDER BY a.role, a.path)
            <= {MOST_FILES}
    ORDER BY a.run_id, a.direction, a.role, a.path"""
_TOGETHER = """
    SELECT DISTINCT regexp_extract(a.path, '^plates_structured/([^/]+)/', 1) AS plate_id,
           r.run_id, r.operation, r.variant, r.current
    FROM artifacts a JOIN runs r USING (run_id)
    WHERE r.plate_id IS NULL AND a.direction = 'input' AND r.operation <> 'seal'
    ORDER BY ALL"""


@dataclass(frozen=True, slots=True)
class Shown:
    """What the pages of plates show beside the ledgers' own rows, each by place of the plate."""

    zooms: Mapping[int, Zoom]
    wholes: Mapping[int, tuple[str, int, int]]
    notes: Mapping[int, list[str]]
    """Sentences about pictures that are missing or replaced."""
    spaces: Mapping[str, Pairs]
    figures: Mapping[str, list[dict[str, Any]]]
    """Figures of one plate, by its id."""


def plate_files(
    ledgers: Ledgers, plates: Plates, maps: Sequence[Map], shown: Shown
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Name and content of each file, `plates/0` for the numbers 0 to 19 and so on."""
    on_maps = _on_maps(maps)
    together: dict[str, list[Row]] = {}
    for row in ledgers.table(_TOGETHER).to_pylist():
        together.setdefault(row.pop("plate_id"), []).append(row)
    segments = _segments(ledgers, on_maps)
    waiting = next(segments, None)
    number, held = -1, list[dict[str, Any]]()
    for start in range(0, len(plates.rows), AT_ONCE):
        some = plates.rows[start : start + AT_ONCE]
        runs = _runs(ledgers, [row["plate_id"] for row in some])
        for place, row in enumerate(some, start):
            plate = row["plate_id"]
            if row["plate_number"] // PER_FILE != number and held:
                yield f"plates/{number}", held
                held = []
            number = row["plate_number"] // PER_FILE
            found = _plate(row, place, shown)
            found["maps"] = on_maps.get(plate, [])
            found["runs"] = runs.get(plate, [])
            found["together"] = together.get(plate, [])
            found["segments"] = []
            if waiting is not None and waiting[0].plate_id == plate:
                found["frame"] = [waiting[0].width, waiting[0].height]
                found["segments"] = waiting[1]
                waiting = next(segments, None)
            held.append(found)
    if held:
        yield f"plates/{number}", held


def _plate(row: Row, place: int, shown: Shown) -> dict[str, Any]:
    zoom, whole = shown.zooms.get(place), shown.wholes.get(place)
    return {
        "place": place,
        "id": row["plate_id"],
        "title": row["title"],
        "facts": [[said, row[name]] for name, said in FACTS.items() if row[name] is not None],
        "zoom": None if zoom is None else [zoom.width, zoom.height, zoom.tile_size, zoom.levels],
        "whole": None if whole is None else list(whole),
        "frame": None,
        "notes": shown.notes.get(place, []),
        "figures": shown.figures.get(row["plate_id"], []),
        "near": [
            {"space": space, "of": [[other, cosine] for other, cosine in pairs[place]]}
            for space, pairs in shown.spaces.items()
            if pairs[place]
        ],
    }


def _on_maps(maps: Sequence[Map]) -> dict[str, list[list[int]]]:
    """By subject: number of the map, then its cluster on each level, -1 for none."""
    found: dict[str, list[list[int]]] = {}
    for number, one in enumerate(maps):
        for subject, clusters in zip(one.subjects, one.members.T.tolist(), strict=True):
            found.setdefault(subject, []).append([number, *clusters])
    return found


def _runs(ledgers: Ledgers, plates: list[str]) -> dict[str, list[Row]]:
    """By plate its runs, oldest first, each with what it read and made."""
    files: dict[str, dict[str, list[Row]]] = {}
    for row in ledgers.table(_FILES, [plates]).to_pylist():
        by_direction = files.setdefault(row.pop("run_id"), {"input": [], "output": []})
        by_direction[row.pop("direction")].append(row)
    found: dict[str, list[Row]] = {}
    for row in ledgers.table(_RUNS, [plates]).to_pylist():
        row |= files.get(row["run_id"], {"input": [], "output": []})
        found.setdefault(row.pop("plate_id"), []).append(row)
    return found


def _segments(
    ledgers: Ledgers, on_maps: Mapping[str, list[list[int]]]
) -> Iterator[tuple[Plate, list[dict[str, Any]]]]:
    """Plates by number, each with its current segments as outlines, the largest first."""
    chosen = Selection()
    for plate, rows in rows_of(ledgers, segmented_plates(ledgers, chosen), chosen):
        rows.sort(key=lambda row: (-row["area"], row["segment_id"]))
        yield (
            plate,
            [
                {
                    "id": row["segment_id"],
                    "kind": row["kind"],
                    "variant": row["variant"],
                    "parent": row["parent_id"],
                    "box": [row["x0"], row["y0"], row["x1"], row["y1"]],
                    "area": round(row["area"]),
                    "score": row["score"],
                    "path": svg_path(row),
                    "maps": on_maps.get(row["segment_id"], []),
                }
                for row in rows
            ],
        )
