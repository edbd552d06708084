"""The example repository at the top of the project: sound, rebuildable, and true to what was drawn."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from ledgerkit import Repository

EXAMPLE = Path(__file__).parent.parent
Box = tuple[int, int, int, int]


@pytest.fixture(scope="module")
def example() -> Repository:
    return Repository.open(EXAMPLE)


@pytest.fixture(scope="module")
def truth() -> list[dict[str, Any]]:
    """What the generator drew: for each plate its family and the boxes of its figures."""
    drawn: list[dict[str, Any]] = json.loads((EXAMPLE / "tests" / "example-truth.json").read_text())
    return drawn


def test_the_example_is_sound(example: Repository) -> None:
    audit, verified = example.audit(), example.verify()
    assert audit.plates == 56
    assert [one for one in audit.findings if one.severity == "error"] == []
    assert verified.findings == []
    assert verified.not_checked == 0


def test_a_rebuild_gives_the_same_ledgers_byte_for_byte(example: Repository) -> None:
    wanted = json.loads((EXAMPLE / "ledger" / "ledger.json").read_text())["versions"]
    if any(metadata.version(name) != version for name, version in wanted.items()):
        pytest.skip("other versions of the libraries write other Parquet bytes")
    assert example.consolidate(check=True).changed == []


def test_every_phase_was_run_on_every_plate(example: Repository) -> None:
    phases = {phase.operation: phase for phase in example.status().phases}
    assert {name for name, phase in phases.items() if phase.missing or phase.failed} == set()


def test_the_formats_are_what_an_archive_holds(example: Repository) -> None:
    rows = example.query("SELECT DISTINCT format, mode, bit_depth FROM plates").rows()
    kinds = {(form, mode, depth) for form, mode, depth in rows}
    assert {("JPEG", "RGB", 8), ("JPEG", "L", 8), ("JPEG", "CMYK", 8), ("PNG", "RGB", 8)} <= kinds
    assert ("TIFF", "RGB", 8) in kinds
    assert any(form == "TIFF" and depth == 16 for form, _, depth in kinds)
    largest, turned = example.query("SELECT max(megapixels), max(orientation) FROM plates").row(0)
    assert largest == 30
    assert turned == 6


def test_the_figures_that_were_drawn_are_found(
    example: Repository, truth: list[dict[str, Any]]
) -> None:
    found: dict[str, list[Box]] = {}
    sql = "SELECT plate_id, x0, y0, x1, y1 FROM current_segments WHERE kind = 'figure'"
    for plate, *box in example.query(sql).rows():
        found.setdefault(plate, []).append(tuple(box))
    best = [
        max(
            (_overlap(tuple(box), other) for other in found.get(f"plate-{one['plate']:03d}", [])),
            default=0.0,
        )
        for one in truth
        for box in one["figures"]
    ]
    assert len(best) > 100
    assert sum(overlap >= 0.5 for overlap in best) / len(best) >= 0.95
    assert sum(best) / len(best) >= 0.9


def _overlap(first: Box, second: Box) -> float:
    """Intersection over union of two boxes."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return width * height / (sum(areas) - width * height)


def test_near_vectors_are_mostly_of_one_family(
    example: Repository, truth: list[dict[str, Any]]
) -> None:
    import numpy as np

    rows = example.query("SELECT subject_id, vector FROM current_embeddings ORDER BY 1").rows()
    families = {f"plate-{one['plate']:03d}": one["family"] for one in truth}
    vectors = np.array([vector for _, vector in rows])
    alike = vectors @ vectors.T
    np.fill_diagonal(alike, -1)
    nearest = [rows[place][0] for place in alike.argmax(axis=1)]
    right = [
        families[near] == families[subject]
        for (subject, _), near in zip(rows, nearest, strict=True)
    ]
    assert sum(right) / len(right) >= 0.6
