"""The freeze: what was verified stays as it is, analysis goes on, nothing goes back."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from ledgerkit import engine, freeze, schema
from ledgerkit.api import Repository
from ledgerkit.cli import main
from ledgerkit.errors import Frozen, LedgerkitError, RepositoryBusy, UsageError
from ledgerkit.planning import Request
from ledgerkit.refusal import RefusedForFindings
from ledgerkit.repository import Archive
from ledgerkit.testing.crash import kill_at, steps
from ledgerkit.worker import perform

BY = "A. Curator"
WHY = "all three plates are checked"


@pytest.fixture
def ready(tiny: Repository) -> Repository:
    """Preprocessed and consolidated: all that a freeze asks for."""
    for name in ("headers", "measure", "propose"):
        tiny.run(name)
    tiny.accept_policy(BY, "as it is")
    tiny.run("normalize")
    tiny.consolidate()
    return tiny


def head(repository: Repository) -> str:
    return (repository.root / "log" / "checkpoint").read_text()


def test_a_freeze_keeps_the_checkpoint_that_was_verified(ready: Repository) -> None:
    before = head(ready)
    view = ready.freeze(by=BY, reason=WHY)
    run = ready._archive.run("collection", view.run_id)
    kept = {output.role: ready.root / output.path for output in ready._archive.outputs(run)}
    assert kept["checkpoint"].read_text() == before
    document = json.loads(kept["verification"].read_bytes())
    schema.check("freeze.v1", document, "verification.json")
    assert (document["files"], document["log_size"]) == (view.files, int(before.splitlines()[1]))
    assert view.log_root == before.splitlines()[2]
    assert view.files > 20
    assert (run.operation, run.agent.person, run.parameters["reason"]) == ("freeze", BY, WHY)
    assert ready.verify().sound
    assert ready.audit().sound
    assert ready.status().frozen == f"by {view.run_id}, {BY}: {WHY}"
    ready.consolidate()
    assert ready.query("FROM runs WHERE operation = 'freeze' AND NOT current").height == 1


def test_preprocessing_is_refused_and_analysis_goes_on(
    ready: Repository, scans: Path, tmp_path: Path
) -> None:
    run_id = ready.freeze(by=BY, reason=WHY).run_id
    more = [{"plate": 4, "name": "Plate 4", "slug": "plate-4", "fileName": "1-plate-1.jpg"}]
    (tmp_path / "more.json").write_text(json.dumps(more))
    rescan = scans / "images" / "2-plate-2.png"
    refused: list[Callable[[], object]] = [
        lambda: ready.ingest(tmp_path / "more.json", scans / "images"),
        lambda: ready.replace_source("plate-001", rescan, by=BY, reason="r"),
        lambda: ready.accept_policy(BY, "another"),
        lambda: ready.freeze(by=BY, reason="again"),
        *(partial(ready.run, name) for name in ("headers", "measure", "propose", "normalize")),
        lambda: ready.dry_run("normalize", force=True),
    ]
    before = head(ready)
    for act in refused:
        with pytest.raises(Frozen) as error:
            act()
        assert run_id in error.value.message
        assert f"{BY}: {WHY}" in error.value.message
        assert "new repository" in str(error.value.hint)
    assert head(ready) == before
    assert not list((ready.root / ".ledgerkit" / "staging").iterdir())
    for name, given in (
        ("segment", {}),
        ("embed", {"of": "plates"}),
        ("cluster", {}),
        ("montage", {}),
    ):
        assert ready.run(name, **given).complete, name
    ready.amend({"plate-001": {"title": "Wild Turkey"}}, by=BY, reason="r")
    ready.withdraw("plate-003", by=BY, reason="rights")
    ready.reinstate("plate-003", by=BY, reason="settled")
    ready.consolidate()
    assert ready.verify().sound


def test_what_is_next_after_a_freeze_is_analysis(tiny: Repository) -> None:
    tiny.consolidate()
    assert tiny.status().next_steps == ["ledgerkit headers"]
    tiny.freeze(by=BY, reason="bare scans are all that is wanted")
    assert "ledgerkit headers" not in tiny.status().next_steps


def test_a_job_that_began_before_the_freeze_cannot_commit_after_it(ready: Repository) -> None:
    archive = Archive(ready.root)
    request = Request("measure", force=True)
    with archive.job() as job:
        history = engine.History(archive)
        work = engine._Work(archive, history, job, request, None)
        batch = engine._Batch(archive, job, request)
        for task in work.tasks():
            batch.staged.append(work.finish(task, perform(task)))
        ready.freeze(by=BY, reason=WHY)
        before = head(ready)
        with pytest.raises(Frozen):
            batch.commit()
        assert head(ready) == before
        assert batch.committed == []


def test_a_plate_put_in_by_hand_after_the_freeze_is_never_sealed(ready: Repository) -> None:
    ready.freeze(by=BY, reason=WHY)
    plates = ready.root / "plates_structured"
    shutil.copytree(plates / "plate-001", plates / "plate-004")
    shutil.rmtree(plates / "plate-004" / "runs")
    path = plates / "plate-004" / "manifest.json"
    os.chmod(path, 0o644)
    text = path.read_text().replace('"plate-001"', '"plate-004"')
    path.write_text(text.replace('"plate_number":1', '"plate_number":4'))
    job = ready.run("segment")
    assert job.complete == 3
    assert [one.subject for one in job.blocked] == ["plate-004"]
    assert ready._archive.log.index().manifest("plate-004") is None
    assert "UNSEALED" in {one.code for one in ready.audit().findings}


def test_a_repository_that_is_not_sound_is_not_frozen(ready: Repository) -> None:
    source = next((ready.root / "plates_structured" / "plate-002" / "source").iterdir())
    os.chmod(source, 0o644)
    data = bytearray(source.read_bytes())
    data[-5] ^= 1
    source.write_bytes(data)
    before = head(ready)
    with pytest.raises(RefusedForFindings, match="nothing was frozen") as refused:
        ready.freeze(by=BY, reason=WHY)
    assert {one.code for one in refused.value.findings if one.severity == "error"} == {
        "DIGEST_MISMATCH"
    }
    assert head(ready) == before


def test_a_repository_with_a_plate_that_no_seal_vouches_for_is_not_frozen(
    ready: Repository,
) -> None:
    folder = ready.root / "plates_structured" / "plate-009"
    folder.mkdir()
    with pytest.raises(LedgerkitError):
        ready.freeze(by=BY, reason=WHY)
    ready.consolidate()
    with pytest.raises(RefusedForFindings) as refused:
        ready.freeze(by=BY, reason=WHY)
    assert "PLATE_NOT_SEALED plate-009" in {
        f"{one.code} {one.subject}" for one in refused.value.findings
    }


def test_ledgers_that_are_behind_are_rebuilt_before_a_freeze(ready: Repository) -> None:
    ready.run("segment")
    with pytest.raises(UsageError, match="ledgers"):
        ready.freeze(by=BY, reason=WHY)
    ready.consolidate()
    ready.freeze(by=BY, reason=WHY)


def test_what_is_committed_while_a_freeze_verifies_stops_it(
    ready: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = freeze.verify

    def meanwhile(*given: object, **named: object) -> object:
        view = real(*given, **named)  # type: ignore[arg-type]
        Repository.open(ready.root).withdraw("plate-001", by=BY, reason="r")
        return view

    monkeypatch.setattr(freeze, "verify", meanwhile)
    with pytest.raises(RepositoryBusy, match="another process committed"):
        ready.freeze(by=BY, reason=WHY)
    assert ready.status().frozen is None


def test_a_crash_at_any_step_leaves_it_frozen_or_not(ready: Repository, tmp_path: Path) -> None:
    def act(root: Path) -> None:
        Repository.open(root).freeze(by=BY, reason=WHY)

    def fresh() -> Path:
        root = tmp_path / "copy"
        if root.exists():
            for folder, _, _ in os.walk(root):
                os.chmod(folder, 0o755)
            shutil.rmtree(root)
        return Path(shutil.copytree(ready.root, root, symlinks=True))

    root = fresh()
    count = len(steps(partial(act, root), root))
    seen = set()
    for step in range(0, count, 5):
        root = fresh()
        kill_at(step, partial(act, root), root)
        with Archive(root).store.locked(wait=0):
            pass
        found = Repository.open(root)
        frozen = found.status().frozen is not None
        seen.add(frozen)
        if not frozen:
            assert head(found) == head(ready)
            found.freeze(by=BY, reason=WHY)
        assert found.verify().sound
        with pytest.raises(Frozen):
            found.run("headers")
    assert seen == {True, False}


def test_the_command_line_says_what_ended_and_what_is_refused(
    ready: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    def say(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main([str(word) for word in words])
        shown = capsys.readouterr()
        return int(left.value.code or 0), shown.out, shown.err

    where = ["-C", ready.root]
    code, out, _ = say("freeze", *where, "--by", BY, "--reason", WHY)
    assert code == 0
    assert "Frozen by run-" in out
    code, _, err = say("headers", *where)
    assert code == 1
    assert "headers is refused: the repository was frozen by run-" in err
    assert f"{BY}: {WHY}" in err
    assert "Frozen by run-" in say("status", *where)[1]
    assert say("freeze", *where, "--by", BY, "--reason", WHY)[0] == 1


def test_a_freeze_is_seen_by_whoever_looked_before_it(ready: Repository) -> None:
    archive = Archive(ready.root)
    assert archive.frozen() is None
    run_id = ready.freeze(by=BY, reason=WHY).run_id
    found = archive.frozen()
    assert found is not None
    assert found.run_id == run_id
