"""Prompts as records, and `sam` through the command line: what is pinned, what is made anew."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ledgerkit.api import Repository
from ledgerkit.cli import main
from ledgerkit.errors import InvalidRecord, MissingExtra, MissingInput, UsageError
from ledgerkit.history import History
from ledgerkit.models.loading import WORKERS
from ledgerkit.records import Run
from ledgerkit.repository import Archive
from ledgerkit.testing.sam import write_checkpoint
from ledgerkit.testing.towers import write_tower
from ledgerkit.weights import ModelStore
from ledgerkit.weights.adding import add

WHO = {"by": "A. Curator", "reason": "a test"}
FEW = {"points_per_side": 4, "stability_score_thresh": 0.0, "pred_iou_thresh": 0.0}


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelStore:
    """A store with the model `tiny`, whose masks are large."""
    import torch

    monkeypatch.setenv("LEDGERKIT_MODELS", str(tmp_path / "store"))
    monkeypatch.setenv(WORKERS, "64")
    torch.set_num_threads(1)
    found = ModelStore()
    write_checkpoint(tmp_path / "tiny", seed=1, least=0.5)
    add(found, "tiny", str(tmp_path / "tiny"), license="Apache-2.0")
    return found


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Any], Path]:
    def written(value: Any) -> Path:
        path = tmp_path / "prompts.json"
        path.write_text(value if isinstance(value, str) else json.dumps(value))
        return path

    return written


def runs(repository: Repository, plate: str, operation: str) -> list[Run]:
    archive = Archive(repository.root)
    found = [archive.run(plate, one) for one in archive.run_ids(plate)]
    return [run for run in found if run.operation == operation]


POINT, BOX = {"points": [[64, 54, 1], [10, 100, 0]]}, {"name": "shape", "box": [40, 30, 88, 78]}


def test_prompts_go_round_and_one_plate_that_changes_leaves_the_others_as_they_are(
    worked: Repository, write: Callable[[Any], Path]
) -> None:
    given = {"plate-002": [BOX], "plate-001": [POINT, BOX]}
    taken = worked.prompts(write(given), **WHO)
    assert (taken.plates, taken.unchanged) == (["plate-001", "plate-002"], [])
    job = worked.run("sam", model="tiny", prompted=True, plates="plate-001,plate-002")
    assert (job.complete + job.partial, job.failed) == (2, 0)
    (event,), (run,) = (runs(worked, "plate-001", name) for name in ("prompts", "sam"))
    (kept,) = [given for given in run.inputs if given.role == "prompts"]
    assert (kept.run_id, kept.checked) == (event.run_id, "full")
    assert event.agent.person == "A. Curator"
    document = json.loads((worked.root / kept.path).read_bytes())
    assert document["regions"] == [POINT, BOX]
    assert (document["width"], document["height"]) == (160, 120)

    given["plate-001"] = [BOX]
    again = worked.prompts(write(given), **WHO)
    assert (again.plates, again.unchanged) == (["plate-001"], ["plate-002"])
    job = worked.run("sam", model="tiny", prompted=True, plates="plate-001,plate-002")
    assert (job.complete + job.partial, job.skipped) == (1, 1)
    assert len(runs(worked, "plate-001", "sam")) == 2
    assert worked.verify().sound


def test_plates_without_prompts_are_left_out_with_the_way_on(worked: Repository) -> None:
    with pytest.raises(MissingInput, match="has no prompts") as error:
        worked.run("sam", model="tiny", prompted=True)
    assert "ledgerkit prompts" in str(error.value.hint)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"plate-009": [BOX]}, "plate-009: no such plate"),
        ({"plate-001": [{"points": [[161, 5, 1]]}]}, r"points\[0\]: 161, 5 lies outside of 160"),
        ({"plate-001": [{"box": [10, 10, 10, 20]}]}, r"regions\[0\].box: .* is no box within"),
        ({"plate-001": [{"points": [[1, 1, 0]]}]}, "neither a box nor a point with the label 1"),
        ({"plate-001": [{"points": [[1, 1, 2]]}]}, r"plate-001: .*regions"),
        ({"plate-001": [{"text": "the bird"}]}, r"plate-001: .*regions"),
        ({"plate-001": []}, r"plate-001: .*regions"),
        ([BOX], "expected an object"),
        ("{", r"prompts\.json"),
    ],
)
def test_prompts_that_break_a_rule_name_the_file_and_the_rule_and_keep_nothing(
    worked: Repository, write: Callable[[Any], Path], given: Any, said: str
) -> None:
    if isinstance(given, dict):
        given = {"plate-002": [BOX]} | given
    with pytest.raises(InvalidRecord, match=said) as error:
        worked.prompts(write(given), **WHO)
    assert "prompts.json" in error.value.message
    assert "replica" not in str(error.value.hint)
    assert not runs(worked, "plate-002", "prompts")


def test_a_file_that_is_not_there_and_prompts_of_nobody_are_refused(
    worked: Repository, write: Callable[[Any], Path], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"cannot read .*absent\.json"):
        worked.prompts(tmp_path / "absent.json", **WHO)
    with pytest.raises(UsageError, match="by somebody"):
        worked.prompts(write({"plate-001": [BOX]}), by=" ", reason="x")


def test_the_record_pins_the_weights_and_the_newest_segments_are_read(
    worked: Repository, store: ModelStore
) -> None:
    job = worked.run("sam", model="tiny", plates="plate-001", **FEW)
    assert job.complete == 1
    (run,) = runs(worked, "plate-001", "sam")
    assert run.models == [store.pin("tiny")]
    assert run.models[0].license == "Apache-2.0"
    assert run.environment.device == "cpu"
    checks = {gate.check: gate for gate in run.gates}
    assert checks["pred_iou_thresh"].value == 0
    assert worked.run("sam", model="tiny", plates="plate-001", **FEW).skipped == 1
    worked.run("embed", of="segments", plates="plate-001,plate-002")
    read = [one for one in runs(worked, "plate-001", "embed")[-1].inputs if "segments" in one.role]
    assert [one.run_id for one in read] == [run.run_id]
    worked.consolidate()
    answer = worked.query(
        "SELECT count(*) AS n, min(score) >= 0 AS scored FROM segments WHERE stability IS NOT NULL"
    )
    assert answer["n"][0] > 0
    assert worked.rerun(operation="sam").sound


def test_the_command_line_leads_from_a_file_to_regions_and_refuses_a_changed_byte(
    worked: Repository,
    write: Callable[[Any], Path],
    store: ModelStore,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def say(*words: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([*map(str, words), "-C", str(worked.root)])
        assert isinstance(ended.value.code, int)
        return (ended.value.code, *capsys.readouterr())

    who = ("--by", "A. Curator", "--reason", "a test")
    code, out, _ = say("prompts", write({"plate-001": [BOX]}), *who)
    assert code == 0
    assert "1 given prompts" in out
    assert "ledgerkit sam --prompted --model NAME" in out
    cut = ("sam", "--model", "tiny", "--prompted", "--plates", "plate-001", "--workers", "1")
    assert say(*cut)[0] == 0
    assert say("sam")[0] == 2
    assert "none is named" in say("sam")[2]
    path = store.folder("tiny") / "sam_tiny.pth"
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    code, _, err = say(*cut, "--force")
    assert code == 1
    assert "sam_tiny.pth has SHA-256" in err
    assert len(runs(worked, "plate-001", "sam")) == 1


@pytest.mark.parametrize("lacking", ["library", "gpu", "kind of model"])
def test_a_model_that_cannot_be_loaded_is_refused_before_any_run(
    worked: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lacking: str
) -> None:
    import torch

    given, error, said = {"model": "tiny"}, UsageError, "no GPU"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    if lacking == "library":
        error, said = MissingExtra, "segment_anything"
        find = importlib.util.find_spec
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda name: None if name == said else find(name)
        )
    elif lacking == "gpu":
        given["device"] = "cuda"
    else:
        error, said = InvalidRecord, "of type vit"
        add(ModelStore(), "vit", str(write_tower(tmp_path / "vit", "vit")), license="MIT")
        given["model"] = "vit"
    with pytest.raises(error, match=said):
        worked.run("sam", **given)
    assert not runs(worked, "plate-001", "sam")


@pytest.mark.parametrize("workers", [1, 2])
def test_weights_of_no_sam_are_refused_in_our_words_before_any_run(
    worked: Repository, tmp_path: Path, workers: int
) -> None:
    import torch

    torch.save({"weight": _Other()}, tmp_path / "other.pth")
    torch.save({"weight": torch.zeros(2)}, tmp_path / "few.pth")
    for name, said in (("other", "objects other than tensors"), ("few", "lacks image_encoder")):
        add(ModelStore(), name, str(tmp_path / f"{name}.pth"))
        with pytest.raises(InvalidRecord, match=said) as caught:
            worked.run("sam", model=name, workers=workers)
        assert "weights_only" not in str(caught.value.args)
    assert not runs(worked, "plate-001", "sam")


class _Other:
    """What is no tensor."""


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"tile": 100, "halo": 800}, "halo of 800 pixels is larger than its tile of 100"),
        ({"halo": 64}, "--halo has no effect without --tile"),
        ({"prompted": True, "tile": 512}, "--tile has no effect with --prompted"),
        (
            {"prompted": True, "points_per_side": 8, "crop_n_layers": 1},
            "--points-per-side, --crop-n-layers have no effect with --prompted",
        ),
        ({"crop_nms_thresh": 0.5}, "--crop-nms-thresh has no effect without --crop-n-layers"),
    ],
)
def test_settings_without_effect_or_sense_are_refused(
    worked: Repository, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        worked.dry_run("sam", model="tiny", **given)


def described(repository: Repository) -> dict[str, list[tuple[str, str]]]:
    """Regions with a current vector, by plate, with the operation that cut each."""
    rows = repository.query(
        "SELECT e.plate_id, e.subject_id, r.operation FROM current_embeddings e "
        "JOIN runs r ON r.run_id = e.subject_run_id WHERE subject_kind = 'segment' ORDER BY ALL"
    )
    found: dict[str, list[tuple[str, str]]] = {}
    for plate, region, maker in rows.rows():
        found.setdefault(plate, []).append((region, maker))
    return found


def in_force(repository: Repository) -> dict[str, set[str]]:
    """Figures and parts of `current_segments`, by plate."""
    rows = repository.query(
        "SELECT plate_id, segment_id FROM current_segments WHERE kind IN ('figure', 'part')"
    )
    found: dict[str, set[str]] = {}
    for plate, region in rows.rows():
        found.setdefault(plate, set()).add(region)
    return found


def test_one_cut_of_a_plate_is_in_force_and_what_a_person_pointed_at_adds_to_it(
    worked: Repository, write: Callable[[Any], Path], store: ModelStore
) -> None:
    plates = [f"plate-00{number}" for number in range(1, 5)]

    def checked() -> dict[str, set[str]]:
        """What is in force; every reader has exactly that."""
        worked.consolidate(rebuild=True)
        regions = in_force(worked)
        vectors = {plate: [one for one, _ in rows] for plate, rows in described(worked).items()}
        assert vectors == {plate: sorted(ids) for plate, ids in regions.items()}
        subject = next(iter(regions["plate-001"]))
        assert worked.search(subject).searched == sum(map(len, regions.values())) - 1
        marked = worked.query("SELECT run_id FROM runs WHERE current AND plate_id IS NOT NULL")
        history = History(Archive(worked.root))
        current = [run.run_id for plate in plates for run in history.current(plate)]
        assert sorted(marked["run_id"]) == sorted(current)
        return regions

    worked.run("embed", of="segments")
    classical = checked()
    worked.prompts(write({"plate-001": [BOX]}), **WHO)
    worked.run("sam", model="tiny", prompted=True, plates="plate-001")
    worked.run("embed", of="segments")
    pointed = checked()
    assert pointed["plate-001"] > classical["plate-001"]
    assert len(pointed["plate-001"]) == len(classical["plate-001"]) + 1
    makers = {maker for _, maker in described(worked)["plate-001"]}
    assert makers == {"segment", "sam"}

    assert worked.run("sam", model="tiny", plates="plate-001", **FEW).complete == 1
    worked.consolidate()
    assert "plate-001" not in described(worked), "no vector of the regions in force is made yet"
    worked.run("embed", of="segments")
    cut = checked()
    added = pointed["plate-001"] - classical["plate-001"]
    assert added <= cut["plate-001"]
    assert not cut["plate-001"] & classical["plate-001"]

    assert worked.run("segment", plates="plate-001", force=True).complete == 1
    assert worked.run("embed", of="segments").complete == 0, "they have their vectors already"
    assert checked() == pointed


def test_the_same_weights_under_another_name_make_no_second_result(
    worked: Repository, store: ModelStore
) -> None:
    add(store, "other", str(store.folder("tiny") / "sam_tiny.pth"), license="Apache-2.0")
    for name in ("tiny", "other"):
        worked.run("sam", model=name, plates="plate-001", **FEW)
    worked.consolidate()
    twice = "SELECT segment_id FROM current_segments GROUP BY 1 HAVING count(*) > 1"
    assert worked.query(twice).is_empty()
    (variant,) = worked.query("SELECT DISTINCT variant FROM runs WHERE operation = 'sam'")[
        "variant"
    ]
    assert variant.endswith(f"sam-{store.show('tiny').sha256[:8]}")
