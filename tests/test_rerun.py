"""Recorded runs are executed again from their records, and each output gets a true verdict."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ledgerkit import layout, operation, schema, software
from ledgerkit.api import Repository
from ledgerkit.engine import Interrupted
from ledgerkit.errors import UsageError
from ledgerkit.operations import embed, measure, normalize
from ledgerkit.records import Run
from ledgerkit.repository import Archive
from ledgerkit.rerun import Rerun, RerunView
from ledgerkit.staging import StagedOutputs
from ledgerkit.views import Progress

Command = Callable[..., subprocess.CompletedProcess[str]]
STORY = ("headers", "measure", "normalize", "segment", "embed", "cluster", "montage")


def run_of(repository: Repository, name: str, subject: str = "plate-001") -> Run:
    """The newest run of an operation."""
    runs = Archive(repository.root).runs(subject)
    return next(run for run in reversed(runs) if run.operation == name)


def only(view: RerunView) -> Rerun:
    (one,) = view.reruns
    return one


def event_of(repository: Repository, one: Rerun) -> Run:
    return Archive(repository.root).run(one.subject, str(one.recorded_as))


def kept(root: Path) -> dict[str, bytes]:
    """Every file but the working ones and those of the log."""
    files = (path for path in root.rglob("*") if path.is_file())
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in files
        if not {layout.WORKING, layout.LOG} & set(path.relative_to(root).parts)
    }


@pytest.mark.parametrize("name", [*STORY, "propose"])
def test_every_operation_gives_the_same_bytes_again(worked: Repository, name: str) -> None:
    subject = "collection" if operation.load(name).on_collection else "plate-001"
    run = run_of(worked, name, subject)
    view = worked.rerun(run.run_id)
    assert view.sound
    assert {verdict.verdict for verdict in only(view).verdicts} == {"same bytes"}
    assert len(only(view).verdicts) == len(run.outputs) > 0
    assert only(view).subject == subject
    assert all(verdict.changed == [] for verdict in only(view).verdicts)


def test_the_outcome_is_an_event_on_the_same_subject_and_nothing_else_changes(
    worked: Repository,
) -> None:
    run, before = run_of(worked, "normalize"), kept(worked.root)
    current = {one.run_id for one in Archive(worked.root).runs("plate-001")}
    one = only(worked.rerun(run.run_id))
    after = kept(worked.root)
    event = event_of(worked, one)
    assert {path: after.get(path) for path in before} == before
    assert all(path.startswith(f"{event.folder}/") for path in after.keys() - before.keys())
    assert (event.operation, event.event_type, event.subject) == (
        "rerun",
        "validation",
        "plate-001",
    )
    assert event.parameters == {"operation": "normalize", "outputs": 2, "run_id": run.run_id}
    (given,) = event.inputs
    assert (given.path, given.role) == (f"{run.folder}/run.json", "record")
    assert given.sha256 == hashlib.sha256(before[given.path]).hexdigest()
    assert given.run_id == run.run_id
    assert [(gate.gate, gate.check, gate.passed, gate.message) for gate in event.gates] == [
        ("rerun", "cache/whole.jpg", True, "same bytes"),
        ("rerun", "outputs/tiles.jsonl", True, "same bytes"),
    ]
    assert event.environment.libraries == run.environment.libraries
    lines = after[f"{event.folder}/outputs/verdicts.jsonl"].splitlines()
    assert [json.loads(line)["verdict"] for line in lines] == ["same bytes", "same bytes"]
    assert [schema.problems("rerun.v1", json.loads(line)) for line in lines] == [[], []]
    assert one.recorded_as not in current
    assert worked.verify().sound
    assert worked.audit().sound
    assert os.listdir(worked.root / layout.STAGING) == []


@pytest.fixture
def changing(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., Any]], None]:
    """`changing(f)`: rows that operations write pass through `f(row)`, in this process."""
    rows = StagedOutputs.rows

    def change(by: Callable[..., Any]) -> None:
        monkeypatch.setattr(
            StagedOutputs, "rows", lambda self, table, given: rows(self, table, map(by, given))
        )

    return change


def test_the_record_decides_and_not_the_file_that_lies_there(
    worked: Repository, changing: Any
) -> None:
    run = run_of(worked, "measure")
    path = worked.root / run.outputs[0].path
    os.chmod(path, 0o644)
    path.write_bytes(path.read_bytes().replace(b"0", b"1"))
    assert only(worked.rerun(run.run_id)).verdicts[0].verdict == "same bytes"
    changing(lambda row: row | {"luminance_mean": row["luminance_mean"] * (1 + 1e-10)})
    verdict = only(worked.rerun(run.run_id)).verdicts[0]
    assert verdict.verdict == "not comparable"
    assert f"{run.outputs[0].path}: recorded" in str(verdict.why)


def test_numbers_within_the_tolerance_pass_and_the_greatest_difference_is_told(
    worked: Repository, changing: Any
) -> None:
    run = run_of(worked, "measure")
    changing(lambda row: row | {"luminance_mean": row["luminance_mean"] * (1 + 1e-10)})
    view = worked.rerun(run.run_id)
    (verdict,) = only(view).verdicts
    assert view.sound
    assert verdict.verdict == "within tolerance"
    assert 0 < float(verdict.max_difference or 0) < 1e-9
    (gate,) = event_of(worked, only(view)).gates
    assert (gate.passed, gate.value) == (True, verdict.max_difference)


def test_numbers_beyond_the_tolerance_differ_and_the_place_is_told(
    worked: Repository, changing: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_of(worked, "measure")
    changing(lambda row: row | {"luminance_mean": row["luminance_mean"] + 1e-4})
    view = worked.rerun(run.run_id)
    (verdict,) = only(view).verdicts
    assert not view.sound
    assert verdict.verdict == "differs"
    assert str(verdict.where).startswith("column luminance_mean, row 0 (plate_id plate-001): 0.")
    assert verdict.max_difference == pytest.approx(1e-4)
    monkeypatch.setattr(measure, "TOLERANCE", {"luminance_mean": {"absolute": 1e-3}}, raising=False)
    assert only(worked.rerun(run.run_id)).verdicts[0].verdict == "within tolerance"
    monkeypatch.setattr(measure, "TOLERANCE", {"luminance_mean": {"sigma": 3}}, raising=False)
    with pytest.raises(UsageError, match="TOLERANCE of luminance_mean"):
        operation.load("measure").tolerance()


def test_vectors_are_compared_by_their_angle(
    worked: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, table = run_of(worked, "embed"), StagedOutputs.table

    def turned(by: float) -> str:
        def change(self: StagedOutputs, name: str, data: Any) -> None:
            import pyarrow as pa

            vector = np.array(data.column("vector")[0].as_py(), np.float32)
            vector[0] += by
            column = pa.array([vector], data.schema.field("vector").type)
            table(self, name, data.set_column(data.column_names.index("vector"), "vector", column))

        monkeypatch.setattr(StagedOutputs, "table", change)
        return only(worked.rerun(run.run_id)).verdicts[0].verdict

    assert embed.TOLERANCE == {"vector": {"cosine": 1e-6}}
    assert turned(1e-4) == "within tolerance"
    assert turned(0.1) == "differs"


@pytest.fixture
def other_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """libvips with optimised Huffman tables: JPEG files of equal pixels in other bytes."""
    import pyvips

    def save(image: Any, target: Any, **options: Any) -> None:
        pyvips.Operation.call("jpegsave_target", image, target, optimize_coding=True, **options)

    monkeypatch.setattr(pyvips.Image, "jpegsave_target", save, raising=False)


def test_equal_pixels_in_other_bytes_are_the_same_pixels(
    worked: Repository, other_encoder: None
) -> None:
    view = worked.rerun(run_of(worked, "normalize").run_id)
    pixels, tiles = only(view).verdicts
    assert (pixels.output, pixels.verdict) == ("cache/whole.jpg", "same pixels")
    assert pixels.recorded_pixels_sha256 == pixels.found_pixels_sha256
    assert pixels.recorded_sha256 != pixels.found_sha256
    assert (tiles.verdict, view.sound) == ("within tolerance", True)


def test_other_pixels_differ_by_so_much(
    worked: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, write = run_of(worked, "normalize"), normalize._write
    monkeypatch.setattr(
        normalize, "_write", lambda image, *rest: write(image.invert().copy(), *rest)
    )
    pixels, tiles = only(worked.rerun(run.run_id)).verdicts
    assert (pixels.verdict, tiles.verdict) == ("differs", "differs")
    assert float(pixels.max_difference or 0) > 100
    assert "first at x" in str(pixels.where)
    assert "column image_sha256" in str(tiles.where)


def test_a_changed_library_is_told_beside_equal_bytes_and_explains_other_bytes(
    worked: Repository, changing: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = operation.load("measure")
    now = loaded.environment()
    with monkeypatch.context() as then:
        then.setattr(software, "VERSION", "0.0.1")
        then.setattr(software, "python_version", lambda: "3.8.0")
        then.setattr(type(loaded), "environment", lambda self: now | {"numpy": "1.0"})
        worked.run("measure", force=True, plates="plate-001")
    run = run_of(worked, "measure")
    view = worked.rerun(run.run_id)
    (verdict,) = only(view).verdicts
    assert (verdict.verdict, view.sound) == ("same bytes", True)
    assert verdict.changed == [
        f"ledgerkit 0.0.1 -> {software.VERSION}",
        f"numpy 1.0 -> {now['numpy']}",
        f"python 3.8.0 -> {software.python_version()}",
    ]
    assert verdict.sentence.startswith("same bytes; though made with other code or libraries: ")
    changing(lambda row: row | {"luminance_mean": row["luminance_mean"] / 2})
    (verdict,) = only(worked.rerun(run.run_id)).verdicts
    assert verdict.verdict == "not comparable"
    assert str(verdict.where).startswith("column luminance_mean")
    assert "numpy 1.0" in verdict.sentence


def test_an_operation_that_moved_on_or_is_gone_is_said_so(
    worked: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_of(worked, "headers")
    monkeypatch.setattr(operation.load("headers").module, "VERSION", "99")
    (verdict,) = only(worked.rerun(run.run_id)).verdicts
    assert (verdict.verdict, verdict.changed) == ("same bytes", ["operation headers 2 -> 99"])
    monkeypatch.setattr(operation, "names", lambda: ("measure",))
    view = worked.rerun(run.run_id)
    (verdict,) = only(view).verdicts
    assert (verdict.verdict, view.sound) == ("not comparable", False)
    assert f"ledgerkit {software.VERSION} has no operation headers" in verdict.sentence
    assert verdict.found_sha256 is None


def test_an_output_that_only_one_of_both_has_is_not_comparable(
    worked: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_of(worked, "measure")

    def another(self: StagedOutputs, table: str, rows: Any) -> None:
        self.document("weights.json", "weights", {})

    monkeypatch.setattr(StagedOutputs, "rows", another)
    verdicts = {one.output: one for one in only(worked.rerun(run.run_id)).verdicts}
    assert "did not make it" in str(verdicts["outputs/measures.jsonl"].why)
    assert "does not list it" in str(verdicts["outputs/weights.json"].why)
    assert {one.verdict for one in verdicts.values()} == {"not comparable"}


@pytest.mark.parametrize("name", ["headers", "measure"])
def test_an_input_with_other_bytes_is_no_evidence_of_anything(
    worked: Repository, name: str
) -> None:
    run = run_of(worked, name)
    spoil(worked, run)
    (verdict,) = only(worked.rerun(run.run_id)).verdicts
    assert verdict.verdict == "not comparable"
    assert f"DigestMismatch: {run.inputs[0].path}: recorded SHA-256" in str(verdict.why)


def spoil(repository: Repository, run: Run, flip: int = 1) -> bytes:
    """Flip bits in the last byte of a run's input; its bytes before."""
    source = repository.root / run.inputs[0].path
    before = source.read_bytes()
    os.chmod(source, 0o644)
    source.write_bytes(before[:-1] + bytes([before[-1] ^ flip]))
    return before


def test_a_failed_run_fails_in_the_same_way_or_in_another_or_succeeds_now(
    worked: Repository,
) -> None:
    worked.run("measure", max_pixels=1, plates="plate-001")
    view = worked.rerun(run_of(worked, "measure").run_id)
    (verdict,) = only(view).verdicts
    assert (verdict.output, verdict.verdict, view.sound) == ("failure", "same failure", True)
    assert "max_pixels" in verdict.sentence
    before = spoil(worked, run_of(worked, "measure"))
    worked.run("measure", force=True, plates="plate-001")
    run = run_of(worked, "measure")
    assert run.status == "failed"
    spoil(worked, run, flip=3)
    (verdict,) = only(worked.rerun(run.run_id)).verdicts
    assert verdict.verdict == "differs"
    assert "recorded" in str(verdict.where)
    (worked.root / run.inputs[0].path).write_bytes(before)
    view = worked.rerun(run.run_id)
    assert [one.verdict for one in only(view).verdicts] == ["succeeds now"]
    assert not view.sound


def test_events_and_unknown_runs_are_refused(worked: Repository) -> None:
    for name in ("seal", "ingest", "policy-accept"):
        with pytest.raises(UsageError, match=f"the event {name}"):
            worked.rerun(run_of(worked, name, "collection").run_id)
    for wrong in ("run-20200101-000000Z-0123456789ab", "../x", ""):
        with pytest.raises(UsageError, match="there is no run"):
            worked.rerun(wrong)
    with pytest.raises(UsageError, match="nothing is chosen"):
        worked.rerun()
    with pytest.raises(UsageError, match="not both"):
        worked.rerun(run_of(worked, "headers").run_id, sample=1)
    with pytest.raises(UsageError, match="no current run"):
        worked.rerun(operation="weigh")


def test_a_sample_is_drawn_by_its_seed_from_the_current_runs(worked: Repository) -> None:
    seen: list[int] = []
    first = worked.rerun(sample=3, seed=5, progress=lambda at: seen.append(at.done))
    again = worked.rerun(sample=3, seed=5)
    assert seen == [1, 2, 3]
    assert [one.run_id for one in first.reruns] == [one.run_id for one in again.reruns]
    assert len({worked.rerun(sample=1).seed for _ in range(2)}) == 2
    headers = worked.rerun(operation="headers", plates="plate-002..003", workers=2)
    assert [one.subject for one in headers.reruns] == ["plate-002", "plate-003"]
    assert headers.counts == {"same bytes": 2}


def test_what_was_tried_before_an_interrupt_is_recorded(worked: Repository) -> None:
    def stop(at: Progress) -> None:
        if at.done == 2:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted, match="2 re-runs were recorded"):
        worked.rerun(operation="headers", progress=stop)
    archive = Archive(worked.root)
    recorded = [run.operation for plate in archive.plate_ids() for run in archive.runs(plate)]
    assert recorded.count("rerun") == 2
    assert os.listdir(worked.root / layout.STAGING) == []


def test_the_worked_queries_tell_what_was_executed_again(worked: Repository, changing: Any) -> None:
    same, other = run_of(worked, "headers"), run_of(worked, "measure")
    worked.rerun(same.run_id)
    changing(lambda row: row | {"luminance_mean": 0.0})
    worked.rerun(other.run_id)
    worked.consolidate()
    page = (Path(__file__).parent.parent / "docs" / "queries.md").read_text("utf-8")
    listed, counted, _ = page.partition("## Which runs were executed again")[2].split("```sql")[1:]
    rows = worked.query(listed.partition("```")[0]).to_dicts()
    assert [(row["run_id"], row["passed"]) for row in rows] == [
        (other.run_id, False),
        (same.run_id, True),
    ]
    assert rows[0]["verdict"].startswith("differs; column luminance_mean")
    tried = {row["operation"]: row for row in worked.query(counted.partition("```")[0]).to_dicts()}
    assert tried["measure"] == {"operation": "measure", "runs": 4, "tried": 1, "same": 0}
    assert tried["headers"] == {"operation": "headers", "runs": 4, "tried": 1, "same": 1}
    assert tried["embed"]["tried"] == 0


def test_the_command_prints_the_verdicts_and_exits_by_them(
    worked: Repository, command: Command
) -> None:
    run = run_of(worked, "headers")
    done = command("rerun", "-C", worked.root, run.run_id, "--verify")
    assert done.returncode == 0, done.stderr
    assert "outputs/headers.jsonl: same bytes" in done.stdout
    assert "1 runs executed again; outputs: 1 same bytes" in done.stdout
    spoil(worked, run)
    done = command("rerun", "-C", worked.root, run.run_id, "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["counts"] == {"not comparable": 1}
    sealed = run_of(worked, "seal", "collection")
    assert command("rerun", "-C", worked.root, sealed.run_id).returncode == 2
