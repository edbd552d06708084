"""Which segmentation of a plate is in force, and that all who read regions or their vectors agree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from ledgerkit.api import Repository
from ledgerkit.cli import main
from ledgerkit.models.loading import WORKERS
from ledgerkit.records import Run
from ledgerkit.repository import Archive
from ledgerkit.testing.sam import write_checkpoint
from ledgerkit.weights import ModelStore
from ledgerkit.weights.adding import add

WHO = {"by": "A. Curator", "reason": "a test"}
FEW = {"points_per_side": 4, "stability_score_thresh": 0.0, "pred_iou_thresh": 0.0}
BOX, OTHER = {"box": [40, 30, 88, 78]}, {"box": [8, 8, 70, 60]}
CUT = """
    SELECT r.operation || CASE WHEN r.variant LIKE '%-prompted' THEN '!' ELSE '' END AS cut, count(*) AS n
    FROM current_segments s JOIN runs r USING (run_id) WHERE s.plate_id = 'plate-001' GROUP BY 1"""
DESCRIBED = "SELECT count(*) AS n FROM current_segments WHERE kind IN ('figure', 'part')"
VECTORS = "SELECT count(*) AS n FROM current_embeddings WHERE subject_kind = 'segment'"


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelStore:
    """A store in which `tiny` and `same` are names of one model, whose masks are large."""
    monkeypatch.setenv("LEDGERKIT_MODELS", str(tmp_path / "store"))
    monkeypatch.setenv("LEDGERKIT_INDEXES", str(tmp_path / "indexes"))
    monkeypatch.setenv(WORKERS, "64")
    torch.set_num_threads(1)
    found = ModelStore()
    write_checkpoint(tmp_path / "tiny", seed=1, least=0.5)
    for name in ("tiny", "same"):
        add(found, name, str(tmp_path / "tiny"), license="Apache-2.0")
    return found


def point(repository: Repository, folder: Path, plate: str, *regions: dict[str, Any]) -> None:
    (folder / "prompts.json").write_text(json.dumps({plate: list(regions)}))
    repository.prompts(folder / "prompts.json", **WHO)
    repository.run("sam", model="tiny", prompted=True, plates=plate)


def cuts(repository: Repository) -> set[str]:
    """The operations whose regions of plate-001 are in force; `!` for what a person pointed at.

    Records, which plans are made from, and ledgers say the same of all runs of the plate.
    """
    repository.consolidate()
    return {str(row[0]) for row in repository.query(CUT).rows()}


def one(repository: Repository, sql: str) -> int:
    return int(repository.query(sql)["n"][0])


def runs(repository: Repository, operation: str, plate: str = "plate-001") -> list[Run]:
    archive = Archive(repository.root)
    found = [archive.run(plate, run_id) for run_id in archive.run_ids(plate)]
    return [run for run in found if run.operation == operation]


def read_by_newest(repository: Repository, operation: str) -> list[str | None]:
    newest = runs(repository, operation)[-1]
    return sorted(one.run_id or "" for one in newest.inputs if one.role == "table:segments")


def test_the_newest_cut_of_the_whole_plate_is_in_force_and_what_a_person_pointed_at_adds_to_it(
    worked: Repository, tmp_path: Path
) -> None:
    worked.run("embed", of="segments", plates="plate-001")
    assert cuts(worked) == {"segment"}
    point(worked, tmp_path, "plate-001", BOX)
    assert cuts(worked) == {"segment", "sam!"}
    worked.run("sam", model="tiny", plates="plate-001", **FEW)
    assert cuts(worked) == {"sam", "sam!"}
    before = one(worked, "SELECT count(*) AS n FROM current_segments WHERE plate_id = 'plate-001'")
    point(worked, tmp_path, "plate-001", BOX, OTHER)
    assert cuts(worked) == {"sam", "sam!"}
    after = one(worked, "SELECT count(*) AS n FROM current_segments WHERE plate_id = 'plate-001'")
    assert after == before + 1
    again = worked.run("segment", plates="plate-001")
    assert (again.skipped, again.not_current) == (1, 1)
    worked.run("segment", plates="plate-001", force=True)
    assert cuts(worked) == {"segment", "sam!"}
    every = "SELECT count(DISTINCT run_id) AS n FROM segments WHERE plate_id = 'plate-001'"
    assert one(worked, every) == 5
    for operation in ("embed", "overlay"):
        worked.run(
            operation, plates="plate-001", **({"of": "segments"} if operation == "embed" else {})
        )
        read = read_by_newest(worked, operation)
        assert read == sorted([runs(worked, "segment")[-1].run_id, runs(worked, "sam")[-1].run_id])


def test_who_reads_vectors_of_regions_reads_those_of_the_regions_in_force(
    worked: Repository, tmp_path: Path
) -> None:
    worked.run("embed", of="segments")
    worked.consolidate()
    assert one(worked, VECTORS) == one(worked, DESCRIBED) > 3
    worked.run("sam", model="tiny", plates="plate-001", **FEW)
    worked.run("embed", of="segments", plates="plate-001")
    point(worked, tmp_path, "plate-001", BOX)
    worked.consolidate()
    before = one(worked, VECTORS)
    assert before == one(worked, DESCRIBED) - 1
    worked.run("embed", of="segments")
    assert not worked.run("cluster", of="segments").blocked
    worked.consolidate()
    count = one(worked, DESCRIBED)
    assert count == one(worked, VECTORS) == before + 1
    (space,) = [
        str(row[0])
        for row in worked.query(
            "SELECT DISTINCT space_id FROM current_embeddings WHERE subject_kind = 'segment'"
        ).rows()
    ]
    assert worked.search("plate-001", of="segments").searched == count
    assert worked.index(of="segments", space=space).vectors == count
    members = "SELECT count(DISTINCT subject_id) AS n FROM current_cluster_members WHERE subject_kind = 'segment'"
    assert one(worked, members) == count
    made = """
        SELECT count(*) AS n FROM current_embeddings e JOIN current_segments s
        ON s.segment_id = e.subject_id AND s.run_id = e.subject_run_id"""
    assert one(worked, made) == count


def test_plates_with_nothing_to_describe_are_counted(
    worked: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    worked.run("segment", plates="plate-001,plate-002", smallest=1.0)
    with pytest.raises(SystemExit) as ended:
        main(["embed", "--of", "segments", "--workers", "1", "-C", str(worked.root)])
    assert ended.value.code == 0
    assert "2 with nothing to describe" in capsys.readouterr().out
    worked.consolidate()
    assert one(worked, VECTORS) == one(worked, DESCRIBED) > 0


def test_another_name_of_the_same_weights_is_the_same_work(worked: Repository) -> None:
    given = {"plates": "plate-001", **FEW}
    assert worked.run("sam", model="tiny", **given).complete == 1
    again = worked.run("sam", model="same", **given)
    assert (again.complete, again.skipped, again.not_current) == (0, 1, 0)
    (run,) = runs(worked, "sam")
    digest = run.models[0].sha256
    assert run.variant.endswith(f"/sam-{digest[:8]}")
    assert worked.run("sam", model=digest, **given).skipped == 1
    assert worked.rerun(operation="sam").sound


def test_regions_that_were_found_and_pointed_at_stand_once(
    worked: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    point(worked, tmp_path, "plate-001", BOX)
    from ledgerkit.operations import _sam_regions

    def same(inputs: Any, parameters: Any, outputs: Any, network: Any, pixels: Any, *_: Any) -> Any:
        prompts = [{"name": "", "points": [], "box": [20, 15, 44, 39]}]
        return _sam_regions.pointed_at(network, pixels, prompts, 1.0, outputs.failed)

    monkeypatch.setattr("ledgerkit.operations.sam._found", same)
    worked.run("sam", model="tiny", plates="plate-001")
    point(worked, tmp_path, "plate-001", OTHER)
    worked.run("embed", of="segments", plates="plate-001")
    worked.consolidate()
    everything = "SELECT count(*) AS n FROM current_segments WHERE plate_id = 'plate-001'"
    assert (
        one(worked, everything) == one(worked, everything.replace("*", "DISTINCT segment_id")) == 1
    )
    assert one(worked, VECTORS) == 1
