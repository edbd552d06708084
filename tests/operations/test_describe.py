"""`describe`: names from titles as amended, regions or measures, for plates and for segments."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ledgerkit.errors import MissingInput
from ledgerkit.operations import describe
from ledgerkit.testing.handles import Produced, run_operation

TITLES = ["Great Heron", "Night Heron", "Little Heron", "Barn Owl", "Hawk Owl", "Owl"]
LABS = [[38.0, 25.0, 40.0]] * 3 + [[40.0, 20.0, -60.0]] * 3


@pytest.fixture
def tables() -> dict[str, Any]:
    plates = [f"plate-00{number}" for number in range(1, 7)]
    ids = [f"cluster-{label:020d}" for label in (0, 0, 0, 1, 1, 1)]
    return {
        "clusters": [
            {"cluster_id": f"cluster-{label:020d}", "level": 1, "label": label, "size": 3}
            for label in (0, 1)
        ],
        "cluster_members": [
            {
                "subject_id": plate,
                "subject_kind": "plate",
                "plate_id": plate,
                "cluster_id": name,
                "level": 1,
            }
            for plate, name in zip(plates, ids, strict=True)
        ],
        "measures": [
            {"plate_id": plate, "width": 100, "height": 100, "bands": 3, "bit_depth": 8}
            | {"mean": [0.0, 0.0, 1.0], "edge_density": 0.1}
            for plate in plates
        ],
        "segments": [
            {"segment_id": f"segment-{plate}", "plate_id": plate, "kind": "figure", "area": 4000}
            | {"x0": 0, "y0": 0, "x1": 50, "y1": 100, "mean_lab": lab, "solidity": 0.95}
            for plate, lab in zip(plates, LABS, strict=True)
        ],
    }


@pytest.fixture
def manifests(tmp_path: Path) -> list[Path]:
    paths = []
    for number, title in enumerate(TITLES, 1):
        path = tmp_path / f"manifest-{number}.json"
        path.write_text(json.dumps({"plate_id": f"plate-00{number}", "title": title}))
        paths.append(path)
    return paths


def run(tables: dict[str, Any], **files: list[Path]) -> Produced:
    return run_operation(describe, plate_id=None, tables=tables, files=files)


def names(produced: Produced) -> list[str]:
    return [row["name"] for row in produced.row_tables["descriptions"]]


def test_names_come_from_titles_and_from_the_regions_of_the_plates(
    tables: dict[str, Any], manifests: list[Path], check_columns: Callable[[str, Any], None]
) -> None:
    produced = run(tables, manifest=manifests)
    check_columns("descriptions", produced.row_tables["descriptions"][0])
    assert names(produced) == ["Heron: brown, tall", "Owl: blue, tall"]
    evidence = produced.documents["evidence.json"][f"cluster-{0:020d}"]
    assert (evidence["aspect"], evidence["solidity"], evidence["share"]) == (0.5, 0.95, 0.4)
    assert produced.gates[0][2]


def test_without_regions_the_mean_colour_of_the_plate_counts(
    tables: dict[str, Any], manifests: list[Path]
) -> None:
    del tables["segments"]
    assert names(run(tables, manifest=manifests)) == ["Heron: blue", "Owl: blue"]


def test_with_nothing_measured_titles_are_enough_and_without_them_it_is_said(
    tables: dict[str, Any], manifests: list[Path]
) -> None:
    del tables["segments"], tables["measures"]
    assert names(run(tables, manifest=manifests)) == ["Heron", "Owl"]
    bare = run(tables)
    assert names(bare) == ["Nothing in common (1)", "Nothing in common (2)"]
    _, check, passed, value, _ = bare.gates[0]
    assert (check, passed, value) == ("named", False, 2.0)


def test_the_last_amendment_of_a_title_counts(
    tables: dict[str, Any], manifests: list[Path], tmp_path: Path
) -> None:
    records = []
    for number, (place, title) in enumerate([(2, "x"), (1, "Ibis"), (2, "Ibis"), (3, "Ibis")], 1):
        path = tmp_path / f"{9 - number}.json"
        fields = {"title": title, "license": None}
        path.write_text(
            json.dumps(
                {
                    "run_id": f"run-{number}",
                    "subject": f"plate-00{place}",
                    "parameters": {"fields": fields},
                }
            )
        )
        records.append(path)
    assert names(run(tables, manifest=manifests, amendment=records))[0] == "Ibis: brown, tall"


def test_segments_are_described_by_themselves(
    tables: dict[str, Any], manifests: list[Path]
) -> None:
    for row in tables["cluster_members"]:
        row |= {"subject_id": f"segment-{row['plate_id']}", "subject_kind": "segment"}
    produced = run_operation(
        describe, plate_id=None, tables=tables, files={"manifest": manifests}, of="segments"
    )
    assert names(produced) == ["Heron: brown, tall", "Owl: blue, tall"]
    with pytest.raises(MissingInput, match="no clustering of tiles"):
        run_operation(describe, plate_id=None, tables=tables, files={}, of="tiles")
