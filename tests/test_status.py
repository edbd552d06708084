"""Status: how far everything is, what failed, and what to do next."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from ledgerkit import operation
from ledgerkit.api import Repository
from ledgerkit.software import VERSION
from ledgerkit.status import OPTIONAL, PHASES
from ledgerkit.testing.relog import relog
from ledgerkit.views import PhaseView, StatusView


def phase(view: StatusView, name: str) -> PhaseView:
    return next(one for one in view.phases if one.operation == name)


def test_every_phase_has_an_operation_and_every_operation_a_phase() -> None:
    assert {name for _, name in PHASES} - {"policy"} == set(operation.names()) - {"propose"}


def test_leads_from_an_empty_folder_through_all_phases_to_questions(
    scans: Path, tmp_path: Path
) -> None:
    repository = Repository.init(tmp_path / "new")
    assert repository.status().next_steps == [
        "ledgerkit ingest --catalogue data.json --images scans/"
    ]
    repository.ingest(scans / "data.json", scans / "images")
    steps = []
    for _ in range(12):
        step = repository.status().next_steps[0]
        steps.append(step)
        words = step.split()
        if words[1] == "query":
            break
        if words[1] == "policy":
            repository.run("propose")
            repository.accept_policy("A. Curator", "for the test")
        elif words[1] == "consolidate":
            repository.consolidate()
        else:
            repository.run(words[1])
    assert [step.split()[1] for step in steps] == [
        *(name for _, name in PHASES if name not in OPTIONAL),
        "consolidate",
        "query",
    ]
    view = repository.status()
    assert all((one.missing, one.failed, one.stale) == (0, 0, 0) for one in view.phases)
    assert view.ledgers == "up to date"
    assert set(view.by_plate.values()) == {"5 embed"}


def test_counts_what_is_done_and_what_is_to_do(tiny: Repository) -> None:
    tiny.run("headers", plates="plate-001,plate-003")
    view = tiny.status()
    assert (phase(view, "headers").done, phase(view, "headers").missing) == (2, 1)
    assert (phase(view, "measure").done, phase(view, "measure").missing) == (0, 3)
    assert view.by_plate == {
        "plate-001": "1 headers",
        "plate-002": "0 ingested",
        "plate-003": "1 headers",
    }
    assert view.next_steps[0] == "ledgerkit headers"


def test_failures_are_named_until_they_are_done(tiny: Repository) -> None:
    source = tiny.root / tiny.plates()[0].source_path  # type: ignore[operator]
    good = source.read_bytes()
    source.chmod(0o644)
    source.write_bytes(bytes(len(good)))
    tiny.run("measure")
    view = tiny.status()
    assert (phase(view, "measure").done, phase(view, "measure").failed) == (2, 1)
    (failure,) = view.failures
    assert failure.subject == "plate-001"
    assert failure.message.startswith("measure: ")
    step = "ledgerkit measure --plates plate-001 --retry-failed    # 1 failed"
    assert step in view.next_steps
    source.write_bytes(good)
    tiny.run("measure", retry_failed=True)
    assert tiny.status().failures == []


def test_what_was_made_with_other_code_is_stale(tiny: Repository) -> None:
    tiny.run("headers")
    for record in tiny.root.glob("plates_structured/*/runs/*/run.json"):
        record.chmod(0o644)
        text = record.read_text()
        assert text.count(f'"ledgerkit":"{VERSION}"') == 1
        record.write_text(text.replace(f'"ledgerkit":"{VERSION}"', '"ledgerkit":"0.0.1"'))
    relog(tiny.root)
    view = tiny.status()
    assert (phase(view, "headers").done, phase(view, "headers").stale) == (3, 3)
    assert "ledgerkit headers --stale" in view.next_steps
    tiny.run("headers", stale=True)
    assert phase(tiny.status(), "headers").stale == 0


def test_plates_that_nobody_sealed_are_said(tiny: Repository) -> None:
    first = tiny.root / "plates_structured" / "plate-001"
    copy = first.with_name("plate-004")
    shutil.copytree(first, copy)
    manifest = copy / "manifest.json"
    text = json.loads(manifest.read_bytes()) | {"plate_id": "plate-004", "plate_number": 4}
    manifest.chmod(0o644)
    manifest.write_text(json.dumps(text))
    view = tiny.status()
    assert (view.plates, view.unsealed) == (4, 1)
    assert view.by_plate["plate-004"] == "not sealed"


def test_staging_of_a_killed_job_is_named(tiny: Repository) -> None:
    (tiny.root / ".ledgerkit" / "staging" / "job-gone").mkdir(parents=True)
    assert tiny.status().abandoned == ["job-gone"]


def test_looking_writes_nothing(tiny: Repository) -> None:
    tiny.run("headers")
    before = {path: path.lstat().st_mtime_ns for path in tiny.root.rglob("*")}
    tiny.status()
    assert {path: path.lstat().st_mtime_ns for path in tiny.root.rglob("*")} == before
