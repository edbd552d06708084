"""Names and places: run ids, records, checksums, protection."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ledgerkit import layout
from ledgerkit.api import Repository
from ledgerkit.canonical import canonical_bytes, sha256_hex
from ledgerkit.errors import (
    DigestMismatch,
    InvalidRecord,
    LogInvalid,
    MissingInput,
    RepositoryNotFound,
)
from ledgerkit.log import Entry, Log
from ledgerkit.merkle import check_consistency, check_inclusion, leaf_hash
from ledgerkit.reading import Tree
from ledgerkit.records import Input, Resources, Run
from ledgerkit.repository import Archive
from ledgerkit.schema import problems
from ledgerkit.staged import StagedRun
from ledgerkit.staging import StagedOutputs
from ledgerkit.testing.compare import comparable
from ledgerkit.testing.relog import relog, write_log

_TASK = "ab" * 32


@pytest.fixture
def commit(tiny: Repository) -> Callable[..., Any]:
    """Commit one made-up run on plate-001; `work` writes its outputs."""

    def run(
        work: Callable[[StagedOutputs], object] = lambda outputs: None,
        task_id: str = _TASK,
        force: bool = True,
        **fields: Any,
    ) -> Any:
        archive = Archive(tiny.root)
        with archive.job() as job:
            outputs = StagedOutputs(tiny.root / job.item("1"))
            work(outputs)
            given: dict[str, Any] = {
                "operation": "headers", "version": "1", "event_type": "test",
                "subject": "plate-001", "variant": "default", "parameters": {}, "inputs": [],
                "artifacts": outputs.close(), "started_at": "2024-01-01T00:00:00.000000Z",
                "ended_at": "2024-01-01T00:00:00.000000Z", "resources": Resources(0, 0, 0),
            }  # fmt: skip
            staged = StagedRun(staged=job.item("1"), task_id=task_id, **(given | fields))
            found = archive.commit(job, [staged], force=force)
            return found[0] if found else None

    return run


def _moment(run: Any) -> datetime:
    return layout.run_moment(run.run_id)


def codes(repository: Repository) -> set[str]:
    """Codes of what audit finds wrong."""
    return {one.code for one in repository.audit().findings if one.severity == "error"}


def test_the_next_second_is_taken_when_the_run_id_exists(commit: Callable[..., Any]) -> None:
    moments = [_moment(commit()) for _ in range(4)]
    assert [later - moments[0] for later in moments] >= [timedelta(seconds=n) for n in range(4)]
    assert len(set(moments)) == 4


def _dated(root: Path, run: Run, moment: datetime) -> str:
    """Give the newest logged run another date, as one that a clock ahead of time would have made."""
    name = layout.run_id(moment, run.task_id)
    source = root / run.folder
    os.chmod(source, 0o755)
    os.chmod(source / "run.json", 0o644)
    source = source.rename(source.with_name(name))
    text = (source / "run.json").read_text().replace(run.run_id, name)
    (source / "run.json").write_text(text)
    log = Log(Tree(root))
    head = log.checkpoint()
    assert head is not None
    *entries, last = log.entries()
    assert run.run_id in last.path
    entries.append(Entry("run", last.path.replace(run.run_id, name), sha256_hex(text.encode())))
    write_log(root, head.origin, entries)
    return name


def test_run_ids_never_go_back_when_the_clock_does(
    tiny: Repository, commit: Callable[..., Any]
) -> None:
    """The clock was an hour ahead when the newest run was made, and has been set right since."""
    ahead = datetime.now(UTC) + timedelta(hours=1)
    name = _dated(tiny.root, commit(task_id="cd" * 32), ahead)
    assert commit().run_id[:20] >= name[:20]
    assert commit(task_id="ef" * 32).run_id[:20] >= name[:20]
    assert commit(subject="plate-002").run_id[:20] >= name[:20]


def test_runs_of_one_plate_sort_in_the_order_of_their_commits(commit: Callable[..., Any]) -> None:
    """Within one second, ids would sort by task."""
    made = [commit(task_id=f"{15 - place:x}" * 64).run_id for place in range(16)]
    assert made == sorted(made)


def test_a_folder_that_the_log_does_not_have_is_no_run(
    tiny: Repository, commit: Callable[..., Any]
) -> None:
    """Whoever put it there: it is not counted, does not move the clock and is never sealed."""
    run = commit()
    planted = tiny.root / layout.run_folder("plate-001", f"run-99990101-000000Z-{run.task_id[:12]}")
    shutil.copytree(tiny.root / run.folder, planted)
    archive = Archive(tiny.root)
    assert archive.run_ids("plate-001") == [run.run_id]
    assert [one.run_id for one in archive.runs("plate-001")] == [run.run_id]
    later = commit()
    assert run.run_id < later.run_id < "run-9999"
    assert all(planted.name not in entry.path for entry in archive.log.entries())
    assert "UNSEALED_RUN" in codes(tiny)


def test_a_name_that_a_planted_folder_takes_is_not_given_again(
    tiny: Repository, commit: Callable[..., Any]
) -> None:
    task = "ab" * 32
    now = datetime.now(UTC)
    for second in range(5):
        name = layout.run_id(now + timedelta(seconds=second), task)
        (tiny.root / layout.run_folder("plate-001", name)).mkdir(parents=True)
    assert commit(task_id=task).run_id > name


def test_a_log_that_is_gone_never_begins_anew(tiny: Repository) -> None:
    shutil.rmtree(tiny.root / "log")
    without = Repository.open(tiny.root)
    with pytest.raises(LogInvalid, match="is missing"):
        without.run("headers")
    assert not (tiny.root / "log").exists()
    assert "LOG_MISSING" in codes(without)


def test_a_log_that_is_damaged_takes_nothing_more(tiny: Repository) -> None:
    size = Archive(tiny.root).log.index().size
    bundle = tiny.root / "log" / "tile" / "entries" / "000.p" / str(size)
    bundle.chmod(0o644)
    data = bytearray(bundle.read_bytes())
    place = data.index(b'"sha256":"') + 10
    data[place] = ord("1") if data[place] != ord("1") else ord("2")
    bundle.write_bytes(data)
    damaged = Repository.open(tiny.root)
    with pytest.raises(LogInvalid, match="root"):
        damaged.run("headers")
    assert "LOG_INVALID" in codes(damaged)


def test_every_commit_continues_the_log(tiny: Repository, commit: Callable[..., Any]) -> None:
    """Over the borders of tiles: every earlier checkpoint is a prefix, every record proves."""
    log = Archive(tiny.root).log
    heads = [log.checkpoint()]
    many = [plate.plate_id for plate in tiny.plates()]
    for place in range(270):
        commit(task_id=f"{place:064x}", subject=many[place % 3])
        heads.append(log.checkpoint())
    last = heads[-1]
    assert last is not None
    for head in heads:
        assert head is not None
        proof = log.consistency(head.size, last.size)
        check_consistency(head.size, last.size, proof, head.root, last.root)
        assert log.root_at(head.size) == head.root
    for place, entry in enumerate(log.entries()):
        data = (tiny.root / entry.path).read_bytes()
        assert entry.sha256 == sha256_hex(data)
        proof = log.inclusion(place, last.size)
        check_inclusion(place, last.size, leaf_hash(entry.encode()), proof, last.root)
    folder = tiny.root / "log" / "tile"
    assert not (folder / "0" / "000.p").exists()
    assert (folder / "0" / "000").stat().st_size == 8192
    assert not (folder / "entries" / "000.p").exists()


def test_records_and_outputs_are_read_only(tiny: Repository) -> None:
    tiny.run("headers")
    for plate in tiny.plates():
        folder = tiny.root / layout.run_folder(plate.plate_id, plate.runs[0])
        found = {
            str(path.relative_to(folder)): stat.S_IMODE(path.stat().st_mode)
            for path in (folder, *folder.rglob("*"))
        }
        files = {"run.json": 0o444, "run.sha256": 0o444, "outputs/headers.jsonl": 0o444}
        assert found == {".": 0o555, "outputs": 0o555} | files
        source = tiny.root / str(plate.source_path)
        assert stat.S_IMODE(source.stat().st_mode) == 0o444
        assert stat.S_IMODE(source.parent.stat().st_mode) == 0o555


def test_sha256sum_accepts_every_checksum_file(tiny: Repository, commit: Any) -> None:
    """What an archivist types in each folder, with nothing of ours installed."""

    def many(outputs: StagedOutputs) -> None:
        for number in range(70):
            outputs.document(f"{number:03d} of many.json", "part", {"number": number})

    commit(many)
    tiny.run("headers")
    checked = 0
    for listing in sorted(tiny.root.rglob("*.sha256")):
        done = subprocess.run(
            ["sha256sum", "--strict", "-c", listing.name],
            cwd=listing.parent,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        checked += done.stdout.count(": OK")
    assert checked >= 3 + 3 * 2 + 72


def test_run_sha256_lists_every_file_of_the_run_but_itself(tiny: Repository, commit: Any) -> None:
    def with_pixels(outputs: StagedOutputs) -> None:
        outputs.document("a.json", "part", 1)
        with outputs.cache("b.png", "image", "image/png") as file:
            file.write(b"pixels")

    run = commit(with_pixels)
    folder = tiny.root / run.folder
    listed = {line[66:] for line in (folder / "run.sha256").read_text().splitlines()}
    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert listed == there - {"run.sha256"} == {"run.json", "outputs/a.json"}
    assert [output.path for output in run.outputs] == [
        f"plates_structured/plate-001/cache/{run.run_id}/b.png",
        f"{run.folder}/outputs/a.json",
    ]


@pytest.mark.parametrize(("count", "listed"), [(64, False), (65, True)])
def test_more_than_64_inputs_or_outputs_stand_in_a_listing(
    tiny: Repository, commit: Any, count: int, listed: bool
) -> None:
    def many(outputs: StagedOutputs) -> None:
        for number in range(count):
            outputs.document(f"{number:03d}.json", "part", {"number": number})

    inputs = [
        Input(f"source/{n:03d}", "source", n, f"{n:064x}", None, "size") for n in range(count)
    ]
    run = commit(many, inputs=inputs[::-1])
    archive = Archive(tiny.root)
    assert archive.inputs(run) == inputs
    assert [output.path for output in archive.outputs(run)] == sorted(
        f"{run.folder}/outputs/{number:03d}.json" for number in range(count)
    )
    for listing, inline in (
        (run.inputs_listing, run.inputs),
        (run.outputs_listing, run.outputs),
    ):
        assert (listing is not None) == listed
        assert len(inline) == (0 if listed else count)
        if listing:
            data = (tiny.root / run.folder / listing.path).read_bytes()
            assert (listing.count, listing.bytes) == (count, len(data))
            assert listing.sha256 == sha256_hex(data)
    assert {one.subject for one in tiny.verify().findings} == {given.path for given in inputs}


def test_records_are_exactly_their_canonical_bytes_and_meet_their_schema(tiny: Repository) -> None:
    tiny.run("headers")
    found = list(tiny.root.rglob("run.json"))
    assert len(found) >= 5
    for path in found:
        data = path.read_bytes()
        assert data == canonical_bytes(json.loads(data))
        assert problems("run.v1", json.loads(data)) == []


def test_records_and_outputs_hold_no_absolute_path(tiny: Repository) -> None:
    """Nor do they say where the repository lay, even when something failed."""
    source = tiny.root / str(tiny.plates()[0].source_path)
    os.chmod(source, 0o644)
    source.write_bytes(source.read_bytes() + b"more")
    assert tiny.run("headers").failed == 1
    place = str(tiny.root.parent).encode()
    for path in (*tiny.root.rglob("run.json"), *tiny.root.rglob("outputs/*")):
        assert place not in path.read_bytes(), path
    for path in tiny.root.rglob("run.json"):
        record = json.loads(path.read_bytes())
        paths = [item["path"] for item in (*record["inputs"], *record["outputs"])]
        assert not [given for given in paths if given.startswith("/") or ".." in given]


def test_the_same_work_has_the_same_ids_and_bytes_elsewhere(
    tiny: Repository, scans: Path, tmp_path: Path
) -> None:
    other = Repository.init(tmp_path / "elsewhere" / "other")
    other.ingest(scans / "data.json", scans / "images")
    found = []
    for repository in (tiny, other):
        repository.run("headers")
        archive = Archive(repository.root)
        runs = [archive.runs(plate)[0] for plate in archive.plate_ids()]
        outputs = [(one.role, one.sha256) for run in runs for one in run.outputs]
        found.append(([run.task_id for run in runs], outputs))
    assert found[0] == found[1]
    one, two = comparable(tiny.root), comparable(other.root)
    assert one["headers"] == two["headers"]
    assert [row["task_id"] for row in one["runs"]] == [row["task_id"] for row in two["runs"]]


def test_other_parameters_are_other_work(tiny: Repository) -> None:
    tiny.run("headers")
    tiny.run("headers", max_header_bytes=1 << 20)
    archive = Archive(tiny.root)
    tasks = [run.task_id for plate in archive.plate_ids() for run in archive.runs(plate)]
    assert len(set(tasks)) == 6


def test_work_that_somebody_completed_meanwhile_is_dropped(commit: Any) -> None:
    assert commit(force=False) is not None
    assert commit(force=False) is None
    assert commit(force=True) is not None


def test_an_event_is_never_dropped(tiny: Repository, commit: Any) -> None:
    given = {"operation": "fixity", "subject": "collection", "force": False}
    assert commit(**given) is not None
    assert commit(**given) is not None


def test_a_record_in_the_wrong_place_is_refused(tiny: Repository) -> None:
    tiny.run("headers")
    archive = Archive(tiny.root)
    (one,), (two,) = archive.runs("plate-001"), archive.runs("plate-002")
    wrong = tiny.root / two.folder / "run.json"
    os.chmod(wrong, 0o644)
    wrong.write_bytes((tiny.root / one.folder / "run.json").read_bytes())
    with pytest.raises(DigestMismatch, match="is not the record that the log has"):
        list(archive.records("plate-002"))
    relog(tiny.root)
    with pytest.raises(InvalidRecord, match="says it is"):
        list(Archive(tiny.root).records("plate-002"))


def test_a_plate_has_exactly_one_source(tiny: Repository) -> None:
    archive = Archive(tiny.root)
    folder = tiny.root / "plates_structured/plate-001/source"
    os.chmod(folder, 0o755)
    (folder / "second.png").write_bytes(b"")
    with pytest.raises(MissingInput, match="holds 2"):
        archive.source_path("plate-001")


def test_a_repository_is_found_from_any_folder_inside_it(tiny: Repository, tmp_path: Path) -> None:
    assert Archive.find(tiny.root / "plates_structured" / "plate-001").root == tiny.root
    with pytest.raises(RepositoryNotFound, match="no repository at"):
        Archive.find(tmp_path)


def test_a_failed_run_does_not_count_as_done(commit: Any) -> None:
    assert commit(status="failed", force=False) is not None
    assert commit(force=False) is not None
