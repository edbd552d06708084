"""Proposing, comparing and accepting preprocessing policies."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ledgerkit.api import Repository
from ledgerkit.cli import main
from ledgerkit.errors import InvalidRecord, MissingInput, UsageError
from ledgerkit.operations import propose
from ledgerkit.testing.handles import Produced, run_operation

HEADER: dict[str, Any] = {
    "format": "JPEG",
    "width": 2000,
    "height": 1500,
    "megapixels": 3.0,
    "mode": "RGB",
    "bit_depth": 8,
    "orientation": 1,
    "compression": "jpeg",
    "icc_profile": None,
    "icc_profile_sha256": None,
}


def headers(*sizes: tuple[int, int]) -> list[dict[str, Any]]:
    return [
        HEADER
        | {"plate_id": f"plate-{number:03}", "width": width, "height": height}
        | {"megapixels": width * height / 1e6}
        for number, (width, height) in enumerate(sizes, 1)
    ]


def measures(*light: float) -> list[dict[str, Any]]:
    return [
        {"plate_id": f"plate-{number:03}", "luminance_mean": value, "luminance_entropy": 6.0}
        | {"rms_contrast": 0.3, "laplacian_variance": 100.0}
        for number, value in enumerate(light, 1)
    ]


def proposed(rows: list[dict[str, Any]], measured: Any = None, **parameters: Any) -> Produced:
    tables = {"headers": rows} | ({"measures": measured} if measured else {})
    return run_operation(propose, plate_id=None, tables=tables, **parameters)


def test_a_proposal_says_which_plates_each_rule_touches() -> None:
    rows = headers(
        *[(2000 + 10 * number, 1500) for number in range(12)], (7000, 5000), (20000, 9000)
    )
    rows[3] |= {"mode": "CMYK"}
    made = proposed(rows)
    touched = {rule["rule"]: rule["plates"] for rule in made.documents["rules.json"]}
    assert touched["downscale"] == ["plate-014", "plate-013"]
    assert touched["tile"] == ["plate-014", "plate-013"]
    assert touched["colour"] == ["plate-004"]
    assert len(touched["keep"]) == 11
    deciding = made.documents["deciding.json"]
    assert [row["plate_id"] for row in deciding[:2]] == ["plate-014", "plate-013"]
    assert deciding[0]["rules"] == ["downscale", "tile"]
    assert (deciding[0]["becomes_width"], deciding[0]["becomes_height"]) == (4096, 1843)
    assert deciding[0]["tiles"] == 60
    assert "Plates: 14, measured: 0" in made.documents["policy.json"]["rationale"]


def test_outliers_lie_beyond_the_far_fence_or_where_the_person_says() -> None:
    rows = headers(*[(1000 * number, 1000) for number in range(1, 9)])
    fence = propose.far_fence([float(number) for number in range(1, 9)])
    assert fence == pytest.approx(6.25 + 3 * 3.5)
    said = proposed(rows, downscale_over_megapixels=2.0).documents["policy.json"]
    assert said["tile_over_megapixels"] == pytest.approx(fence)
    said = proposed(rows, downscale_over_megapixels=2.0, tile_over_megapixels=5.0)
    assert said.documents["policy.json"]["tile_over_megapixels"] == 5.0
    budget = proposed(rows, downscale_megapixels=1.5).documents["policy.json"]
    assert (budget["downscale_long_side"], budget["downscale_megapixels"]) == (None, 1.5)


def test_a_plate_unlike_the_others_is_worth_a_look_and_nothing_more() -> None:
    light = [0.7, 0.72, 0.74, 0.71, 0.73, 0.69, 0.1]
    made = proposed(headers(*[(2000, 1500)] * 7), measures(*light))
    looks = {row["plate_id"]: row["look_at"] for row in made.documents["deciding.json"]}
    assert [plate for plate, said in looks.items() if said] == ["plate-007"]
    assert looks["plate-007"][0].startswith("light is low: luminance_mean 0.1, modified z-score -")
    assert made.documents["rules.json"][-1]["plates"] == ["plate-007"]
    assert all(row["rules"] == ["keep"] for row in made.documents["deciding.json"])


def test_the_plot_is_a_registered_figure_with_the_same_bytes_again() -> None:
    rows = headers((2000, 1500), (300, 200), (9000, 8000))
    made, again = proposed(rows), proposed(rows)
    (figure,) = made.row_tables["figures"]
    data = made.file_outputs["megapixels.png"].data
    assert data == again.file_outputs["megapixels.png"].data
    assert Image.open(io.BytesIO(data)).size == (figure["width"], figure["height"])


def test_one_plate_is_enough_for_a_proposal() -> None:
    made = proposed(headers((2000, 1500)), measures(0.5))
    assert made.documents["policy.json"]["tile_over_megapixels"] == 25


def test_a_contradicting_proposal_is_refused() -> None:
    with pytest.raises(ValueError, match="webp holds 8 bits"):
        proposed(headers((2000, 1500)), format="webp", bit_depth=16)


def test_a_contradiction_is_refused_before_anything_is_recorded(tiny: Repository) -> None:
    tiny.run("headers")
    before = tiny.log()
    for contradiction in ({"bit_depth": 16}, {"tile_size": 256, "tile_overlap": 256}):
        with pytest.raises(UsageError):
            tiny.run("propose", **contradiction)
    with pytest.raises(UsageError, match="tile_size is larger"):
        tiny.run("propose", format="webp", tile_size=20000)
    assert tiny.log() == before


@pytest.fixture
def accepted(tiny: Repository) -> Repository:
    tiny.run("headers")
    tiny.run("propose")
    tiny.accept_policy("A. Curator", "as it stands")
    return tiny


def test_measures_are_read_where_they_are(accepted: Repository) -> None:
    assert "measured: 0" in accepted.policy()["rationale"]
    accepted.run("measure", plates="plate-001,plate-002")
    assert accepted.run("propose").complete == 1
    assert "measured: 2" in accepted.proposed_policy()["rationale"]


def test_policies_are_compared_field_by_field_and_plate_by_plate(
    accepted: Repository, tmp_path: Path
) -> None:
    assert accepted.policy_difference().plates == []
    edited = tmp_path / "edited.json"
    smaller = {"downscale_over_megapixels": 0.0001, "downscale_megapixels": 0.0001}
    edited.write_text(json.dumps(accepted.policy() | smaller | {"downscale_long_side": None}))
    view = accepted.policy_difference("accepted", str(edited))
    assert ("downscale_long_side", 4096, None) in view.fields
    assert [plate for plate, _, _ in view.plates] == ["plate-001", "plate-002", "plate-003"]
    encoded = "jpeg 92, srgb, 8 bits"
    assert view.plates[0][1:] == ("keep: 16 x 16", f"downscale: 10 x 10, {encoded}")
    edited.write_text(json.dumps(accepted.policy() | smaller | {"downscale_long_side": None}))
    other = tmp_path / "other.json"
    other.write_text(json.dumps(json.loads(edited.read_text()) | {"quality": 30}))
    assert len(accepted.policy_difference(str(edited), str(other)).plates) == 3
    with pytest.raises(MissingInput, match="no-such-file is no policy"):
        accepted.policy_difference("accepted", "no-such-file")
    edited.write_text("{}")
    with pytest.raises(InvalidRecord, match=r"edited\.json"):
        accepted.policy_difference("accepted", str(edited))


def test_a_run_names_a_policy_too(accepted: Repository) -> None:
    accepted.consolidate()
    runs = accepted.query(
        "SELECT run_id FROM runs WHERE operation IN ('propose', 'policy-accept') ORDER BY run_id"
    )
    first, second = runs["run_id"].to_list()
    view = accepted.policy_difference(first, second)
    assert (view.fields, view.plates) == ([], [])
    with pytest.raises(MissingInput, match="has no run"):
        accepted.policy_difference(first, "run-20200101-000000Z-000000000000")


def test_the_command_shows_rules_and_differences(
    accepted: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["-C", str(accepted.root)]
    for words in (["show", "--proposed"], ["diff"]):
        with pytest.raises(SystemExit) as ended:
            main(["policy", *words, *where])
        assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert "     3 keep: used as they are" in shown
    assert "0 of 3 plates are treated otherwise" in shown


def test_what_show_prints_can_be_edited_and_accepted(
    accepted: Repository, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["policy", "show", "--proposed", "--json", "-C", str(accepted.root)])
    edited = tmp_path / "edited.json"
    edited.write_text(json.dumps(json.loads(capsys.readouterr().out) | {"quality": 70}))
    assert accepted.accept_policy("A. Curator", "smaller", edited)["quality"] == 70
