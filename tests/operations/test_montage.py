"""`montage`: every picture is there, shows the right plates, and comes out the same each time."""

import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ledgerkit.errors import MissingInput
from ledgerkit.operations import montage
from ledgerkit.testing.handles import Produced, run_operation

Sheet = Callable[..., np.ndarray]
Write = Callable[..., tuple[Path, dict[str, Any]]]
COLOURS = [(200, 30, 30), (30, 60, 200)]


def member(
    plate: str, label: int, x: float, y: float, subject: str | None = None
) -> dict[str, Any]:
    return {
        "level": 1,
        "subject_id": subject or plate,
        "subject_kind": "segment" if subject else "plate",
        "plate_id": plate,
        "cluster_id": None if label < 0 else f"cluster-{label:020d}",
        "label": label,
        "probability": 0.0 if label < 0 else 1.0,
        "x": x,
        "y": y,
    }


def cluster(label: int, size: int, nearest: list[str]) -> dict[str, Any]:
    return {"label": label, "size": size, "representatives": nearest, "level": 1}


@pytest.fixture
def archive(sheet: Sheet, write_plate: Write) -> dict[str, Any]:
    """Six plates: two clusters, of blue and of red disks, and two of noise."""
    written = [
        write_plate(f"plate-00{place}", sheet((200, 200, 120, COLOURS[place % 2])))
        for place in range(1, 7)
    ]
    labels = [0, 1, 0, 1, -1, -1]
    names = [tile["plate_id"] for _, tile in written]
    members = [
        member(name, label, place * 1.0, place % 3)
        for place, (name, label) in enumerate(zip(names, labels, strict=True))
    ]
    clusters = [cluster(0, 2, ["plate-003", "plate-001"]), cluster(1, 2, ["plate-002"])]
    return {
        "files": {"image": [path for path, _ in written]},
        "tables": {
            "tiles": [tile for _, tile in written],
            "cluster_members": members,
            "clusters": clusters,
        },
    }


def pixels(produced: Produced, name: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(produced.file_outputs[name].data)))


def test_draws_a_map_a_sheet_per_cluster_and_one_of_the_noise(
    archive: dict[str, Any], check_columns: Callable[[str, Any], None]
) -> None:
    produced = run_operation(montage, plate_id=None, **archive)
    names = ["map", "montage-cluster-0", "montage-cluster-1", "montage-noise"]
    rows = produced.row_tables["figures"]
    assert [row["figure_id"] for row in rows] == names
    check_columns("figures", rows[0])
    for row in rows:
        data = produced.file_outputs[row["file"]].data
        assert row["sha256"] == hashlib.sha256(data).hexdigest()
        assert Image.open(io.BytesIO(data)).size == (row["width"], row["height"])
    assert [gate[:4] for gate in produced.gates] == [
        ("pictures", "found", True, 0.0),
        ("pictures", "clusters", True, 2.0),
    ]


def test_the_smallest_clusters_are_flagged_and_drawn_beyond_the_limit_of_sheets(
    archive: dict[str, Any],
) -> None:
    tables = archive["tables"]
    tables["clusters"] = [cluster(label, 1, [f"plate-00{label + 1}"]) for label in range(6)]
    for label, row in enumerate(tables["cluster_members"]):
        row["label"] = label
    produced = run_operation(montage, plate_id=None, sheets=0, **archive)
    by_name = {row["figure_id"]: row for row in produced.row_tables["figures"]}
    core = [f"montage-cluster-{label}" for label in (0, 1, 2)]
    flagged = [f"montage-flagged-cluster-{label}" for label in (3, 4, 5)]
    assert list(by_name) == ["map", *core, *flagged]
    assert all("core" in by_name[name]["tags"] for name in core)
    assert all({"flagged", "diagnostic"} <= set(by_name[name]["tags"]) for name in flagged)
    assert by_name["montage-flagged-cluster-3"]["file"] == "montage_flagged_cluster_3.png"
    assert all(row["is_core"] for row in by_name.values())


def test_only_members_and_clusters_of_the_level_are_shown(archive: dict[str, Any]) -> None:
    tables = archive["tables"]
    tables["cluster_members"] += [row | {"level": 2} for row in tables["cluster_members"][:3]]
    tables["clusters"] += [cluster(0, 3, ["plate-001"]) | {"level": 2}]
    first = run_operation(montage, plate_id=None, **archive)
    assert first.row_tables["figures"][0]["title"] == "Map of 6 plates, 2 clusters"
    second = run_operation(montage, plate_id=None, level=2, **archive)
    assert second.row_tables["figures"][0]["title"] == "Map of 3 plates, 1 clusters"
    with pytest.raises(MissingInput) as error:
        run_operation(montage, plate_id=None, level=3, **archive)
    assert error.value.hint == "There are the levels 1, 2"


def test_a_sheet_shows_its_members_nearest_the_centroid_first(archive: dict[str, Any]) -> None:
    archive["tables"]["clusters"][0]["representatives"] = ["plate-004", "plate-001"]
    archive["tables"]["cluster_members"][3]["label"] = 0
    sheet = pixels(
        run_operation(montage, plate_id=None, **archive), "montage_cluster_0.png"
    ).astype(int)
    first, second = (sheet[105:145, left : left + 40].reshape(-1, 3) for left in (65, 235))
    assert np.median(first[:, 2] - first[:, 0]) < -100, "plate-004 is red"
    assert np.median(second[:, 2] - second[:, 0]) > 100, "plate-001 is blue"


def test_the_same_inputs_in_another_order_give_the_same_bytes(archive: dict[str, Any]) -> None:
    first = run_operation(montage, plate_id=None, **archive)
    for name in ("tiles", "cluster_members", "clusters"):
        archive["tables"][name] = archive["tables"][name][::-1]
    second = run_operation(montage, plate_id=None, **archive)
    for name, file in first.file_outputs.items():
        assert second.file_outputs[name].data == file.data


def test_points_without_a_thumbnail_are_still_drawn(archive: dict[str, Any]) -> None:
    drawn = pixels(run_operation(montage, plate_id=None, thumbnails=1, **archive), "map.png")
    chart = drawn[:, :1400].reshape(-1, 3)
    assert (chart == (150, 150, 150)).all(axis=1).sum() > 40, "two grey dots of noise"
    assert (chart == (230, 159, 0)).all(axis=1).sum() > 40, "orange dots of cluster 1"


def test_segments_are_cropped_from_their_plate(archive: dict[str, Any]) -> None:
    tables = archive["tables"]
    name = "segment-" + "a" * 20
    box = {"x0": 150, "y0": 150, "x1": 250, "y1": 250}
    tables["segments"] = [{"segment_id": name, "plate_id": "plate-001", **box}]
    tables["cluster_members"] = [member("plate-001", 0, 0.0, 0.0, name)]
    tables["clusters"] = [cluster(0, 1, [name])]
    produced = run_operation(montage, plate_id=None, of="segments", **archive)
    inside = pixels(produced, "montage_cluster_0.png")[80:170, 40:130].reshape(-1, 3)
    assert np.ptp(inside.astype(int), axis=0).max() < 12, "nothing but the disk"


def test_a_lost_image_is_counted_and_the_rest_is_drawn(archive: dict[str, Any]) -> None:
    archive["tables"]["tiles"] = archive["tables"]["tiles"][1:]
    produced = run_operation(montage, plate_id=None, **archive)
    assert produced.gates[0][2:4] == (False, 1.0)
    assert len(produced.file_outputs) == 4


def test_says_what_to_run_when_there_is_no_clustering_of_this_kind(archive: dict[str, Any]) -> None:
    with pytest.raises(MissingInput) as error:
        run_operation(montage, plate_id=None, of="tiles", **archive)
    assert error.value.hint == "run: ledgerkit cluster --of tiles"
