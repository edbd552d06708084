"""The commit of a batch, its intent, and what may not be written over."""

from __future__ import annotations

import json
import os
import shutil
import stat
from pathlib import Path

import pytest

from ledgerkit import layout
from ledgerkit.api import Repository
from ledgerkit.canonical import digest_bytes
from ledgerkit.disk import move_new
from ledgerkit.durable import StagedFile, Store
from ledgerkit.errors import CommitFailed, LedgerkitError, UnsafePath
from ledgerkit.intent import Move
from ledgerkit.jobs import Job, abandoned_jobs
from ledgerkit.repository import Archive


def _staged(store: Store, job: Job, name: str, data: bytes = b"data") -> str:
    folder = job.item(name)
    store.make_folder(f"{folder}/outputs")
    store.write_new(f"{folder}/outputs/file", data)
    return folder


def _intent(root: Path, *moves: tuple[str, str]) -> None:
    listed = [
        {"staged": staged, "final": final, "digests": {}, "protect": [""]}
        for staged, final in moves
    ]
    document = {"schema_version": "intent.v1", "job_id": "job", "log": None, "moves": listed}
    (root / ".ledgerkit").mkdir(exist_ok=True)
    (root / layout.INTENT).write_text(json.dumps(document))


def test_a_commit_moves_everything_and_protects_it(tiny: Repository) -> None:
    archive = Archive(tiny.root)
    with archive.job() as job:
        staged = _staged(archive.store, job, "1")
        with archive.store.locked():
            archive.store.commit(job.job_id, [Move(staged, "runs/new", {"outputs/file": "0" * 64})])
    new = tiny.root / "runs" / "new"
    assert (new / "outputs" / "file").read_bytes() == b"data"
    modes = [stat.S_IMODE((new / name).stat().st_mode) for name in ("", "outputs", "outputs/file")]
    assert modes == [0o555, 0o555, 0o444]
    assert not (tiny.root / layout.INTENT).exists()
    assert not (tiny.root / job.folder).exists()


def test_a_name_that_is_taken_stops_the_batch_before_its_commit_point(tiny: Repository) -> None:
    """Otherwise the intent could never be finished, and nobody could write any more."""
    archive = Archive(tiny.root)
    (tiny.root / "runs" / "taken").mkdir()
    with archive.job() as job:
        moves = [
            Move(_staged(archive.store, job, name), f"runs/{name}", {})
            for name in ("free", "taken")
        ]
        with archive.store.locked(), pytest.raises(CommitFailed, match="taken"):
            archive.store.commit(job.job_id, moves)
    assert not (tiny.root / layout.INTENT).exists()
    assert not (tiny.root / "runs" / "free").exists()
    assert list((tiny.root / "runs" / "taken").iterdir()) == []
    assert tiny.run("headers").complete == 3


def test_an_intent_is_finished_once_however_often_it_is_found(tiny: Repository) -> None:
    store = Store(tiny.root)
    with Job(store, "job-a") as job:
        staged = _staged(store, job, "1")
        _intent(tiny.root, (staged, "runs/new"))
        text = (tiny.root / layout.INTENT).read_text()
        assert store.finish_intent() is True
        assert store.finish_intent() is False
        (tiny.root / layout.INTENT).write_text(text)
        assert store.finish_intent() is True
    assert (tiny.root / "runs/new/outputs/file").read_bytes() == b"data"


def test_the_next_writer_finishes_a_left_intent_before_anything_else(tiny: Repository) -> None:
    store = Store(tiny.root)
    staged = _staged(store, Job(store, "job-a"), "1")
    _intent(tiny.root, (staged, "runs/new"))
    with store.locked():
        assert (tiny.root / "runs/new/outputs/file").exists()
        assert not (tiny.root / layout.INTENT).exists()


def test_an_intent_whose_staged_and_final_names_both_exist_is_an_error(tiny: Repository) -> None:
    store = Store(tiny.root)
    staged = _staged(store, Job(store, "job-a"), "1", b"staged")
    (tiny.root / "runs" / "new").mkdir()
    (tiny.root / "runs" / "new" / "file").write_bytes(b"foreign")
    _intent(tiny.root, (staged, "runs/new"))
    with pytest.raises(CommitFailed, match="both"), store.locked():
        pass
    assert (tiny.root / "runs/new/file").read_bytes() == b"foreign"
    assert (tiny.root / staged / "outputs/file").read_bytes() == b"staged"
    assert (tiny.root / layout.INTENT).exists()


def test_an_intent_whose_staged_item_is_gone_is_an_error(tiny: Repository) -> None:
    _intent(tiny.root, (".ledgerkit/staging/job-a/1", "runs/new"))
    with pytest.raises(CommitFailed, match="neither"), Store(tiny.root).locked():
        pass
    assert (tiny.root / layout.INTENT).exists()


@pytest.mark.parametrize("text", ["", '{"schema_version": "intent.v1", "moves": [', "\0" * 100])
def test_a_torn_intent_beside_the_intent_is_ignored(tiny: Repository, text: str) -> None:
    beside = tiny.root / f"{layout.INTENT}.job-20240101-000000Z-00000000"
    beside.write_text(text)
    assert tiny.run("headers").complete == 3
    assert tiny.verify().findings == []


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"moves": [{}]}', '{"moves": 1}', "nonsense"])
def test_a_broken_intent_is_a_clear_error(tiny: Repository, text: str) -> None:
    (tiny.root / layout.INTENT).write_text(text)
    with pytest.raises(LedgerkitError, match=r"intent\.json"):
        tiny.run("headers")
    assert [plate.runs for plate in tiny.plates()] == [[], [], []]


@pytest.mark.parametrize(
    ("staged", "final"),
    [
        (".ledgerkit/staging/a/1", "../outside"),
        ("../outside", "runs/new"),
        (".ledgerkit/staging/a/1", "/tmp/ledgerkit-outside"),
        (".ledgerkit/staging/../../../outside", "runs/new"),
    ],
)
def test_an_intent_cannot_move_anything_into_or_out_of_the_repository(
    tiny: Repository, staged: str, final: str
) -> None:
    """A repository may come from anybody, with an intent in it."""
    outside = tiny.root.parent / "outside"
    if ".." in staged:
        outside.mkdir()
        (outside / "file").write_text("mine")
    else:
        (tiny.root / staged).mkdir(parents=True)
    _intent(tiny.root, (staged, final))
    with pytest.raises((UnsafePath, CommitFailed)), Store(tiny.root).locked():
        pass
    assert outside.exists() == (".." in staged)
    assert not (tiny.root / "runs/new").exists()


def test_nothing_is_written_through_a_link_that_leads_out(tiny: Repository) -> None:
    outside = tiny.root.parent / "outside"
    outside.mkdir()
    (tiny.root / "plates_structured/plate-002/runs").symlink_to(outside)
    job = tiny.run("headers")
    assert list(outside.iterdir()) == []
    assert job.complete == 2  # the others are not held up
    assert [one.subject for one in job.failures] == ["plate-002"]
    assert "link" in job.failures[0].message
    assert not job.sound
    (tiny.root / "plates_structured/plate-002/runs").unlink()
    assert tiny.run("headers").complete == 1


@pytest.mark.parametrize("name", ["", "/staging", "/lock"])
def test_working_files_that_are_links_are_not_followed(tiny: Repository, name: str) -> None:
    target = tiny.root.parent / "precious"
    link = tiny.root / f".ledgerkit{name}"
    if name == "/lock":
        target.write_text("mine")
        link.unlink(missing_ok=True)
    else:
        target.mkdir()
        for folder, _, _ in os.walk(link):
            os.chmod(folder, 0o755)
        shutil.rmtree(link, ignore_errors=True)
    link.symlink_to(target)
    with pytest.raises(LedgerkitError):
        tiny.run("headers")
    assert target.read_text() == "mine" if target.is_file() else list(target.iterdir()) == []


@pytest.mark.parametrize("swapped", ["plates_structured/plate-002/runs", ".ledgerkit/staging"])
def test_a_symlink_swapped_in_between_check_and_use_is_not_followed(
    tiny: Repository, monkeypatch: pytest.MonkeyPatch, swapped: str
) -> None:
    """Somebody who may write in the repository puts a link in the way just after it was looked at."""
    tiny.run("headers")
    outside = tiny.root.parent / "outside"
    outside.mkdir()
    folder, kept = tiny.root / swapped, tiny.root / "kept"
    looked = Store._refuse_links
    intent = tiny.root / ".ledgerkit/intent.json"

    def then_swap(self: Store, path: str, safe: set[str]) -> None:
        looked(self, path, safe)
        if path.startswith(f"{swapped}/") and intent.exists() and not kept.exists():
            folder.rename(kept)
            folder.symlink_to(outside)

    monkeypatch.setattr(Store, "_refuse_links", then_swap)
    with pytest.raises(CommitFailed):
        tiny.run("measure", plates="plate-002")
    assert folder.is_symlink()
    assert list(outside.iterdir()) == []
    monkeypatch.undo()
    folder.unlink()
    kept.rename(folder)
    assert tiny.run("measure").complete == 2  # what was promised is finished by the next writer


@pytest.mark.parametrize(
    "text", [b"[" * 100_000, b'{"moves":\xff}', b'{"job_id":"\\ud800"}', b"null", b"1" * 10_000]
)
def test_a_hostile_intent_is_told_and_not_followed(tiny: Repository, text: bytes) -> None:
    (tiny.root / ".ledgerkit/intent.json").write_bytes(text)
    assert tiny.status().pending == "unknown"
    assert "COMMIT_PENDING" in {one.code for one in tiny.audit().findings}
    with pytest.raises(LedgerkitError, match=r"intent\.json"):
        tiny.run("headers")


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_an_intent_that_is_no_file_is_never_read(tiny: Repository, kind: str) -> None:
    intent = tiny.root / ".ledgerkit/intent.json"
    intent.symlink_to("/etc/passwd") if kind == "link" else os.mkfifo(intent)
    assert tiny.status().pending == "unknown"
    with pytest.raises(CommitFailed, match=r"intent\.json"):
        tiny.run("headers")


def test_a_rename_never_goes_over_an_existing_name(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    root = os.open(tmp_path, os.O_RDONLY)
    for kind in ("file", "folder", "link"):
        target = tmp_path / kind
        if kind == "file":
            target.write_text("old")
        elif kind == "folder":
            target.mkdir()
        else:
            target.symlink_to("nowhere")
        with pytest.raises(FileExistsError):
            move_new(root, "new", kind)
    os.close(root)
    assert (tmp_path / "file").read_text() == "old"
    assert (tmp_path / "new").is_dir()


def test_a_new_file_never_replaces_one(tiny: Repository) -> None:
    store = Store(tiny.root)
    store.write_new("note", b"one")
    with pytest.raises(CommitFailed, match="never replaced"):
        store.write_new("note", b"two")
    assert (tiny.root / "note").read_bytes() == b"one"


def test_a_staged_file_is_digested_as_it_is_written(tmp_path: Path) -> None:
    file = StagedFile(tmp_path / "below" / "file")
    file.write(b"abc")
    file.write(memoryview(b"defg")[1:])
    assert file.close() == digest_bytes(b"abcefg")
    assert (tmp_path / "below" / "file").read_bytes() == b"abcefg"
    assert stat.S_IMODE((tmp_path / "below" / "file").stat().st_mode) == 0o444
    with pytest.raises(CommitFailed):
        StagedFile(tmp_path / "below" / "file")


def test_an_exchange_puts_the_new_folder_in_place_and_keeps_the_former(tiny: Repository) -> None:
    store = Store(tiny.root)
    for name, text in (("one", "1"), ("two", "2")):
        (tiny.root / ".ledgerkit" / name).mkdir()
        (tiny.root / ".ledgerkit" / name / "file").write_text(text)
    assert store.exchange(".ledgerkit/one", "ledger") is None
    assert (tiny.root / "ledger/file").read_text() == "1"
    former = store.exchange(".ledgerkit/two", "ledger")
    assert former is not None
    assert (tiny.root / "ledger/file").read_text() == "2"
    assert (tiny.root / former / "file").read_text() == "1"


def test_only_working_files_are_ever_removed(tiny: Repository) -> None:
    store = Store(tiny.root)
    for path in ("plates_structured/plate-001", ".ledgerkit", ".ledgerkit/../runs", "/tmp"):
        with pytest.raises((ValueError, UnsafePath)):
            store.remove_working(path)
    assert tiny.verify().findings == []


def test_a_working_folder_that_is_a_link_is_removed_without_what_it_names(tiny: Repository) -> None:
    (tiny.root / ".ledgerkit/away").symlink_to(tiny.root / "plates_structured")
    Store(tiny.root).remove_working(".ledgerkit/away")
    assert not os.path.lexists(tiny.root / ".ledgerkit/away")
    assert len(tiny.plates()) == 3


def test_a_job_is_abandoned_only_when_nobody_holds_it(tiny: Repository) -> None:
    archive = Archive(tiny.root)
    (tiny.root / layout.STAGING / "job-left").mkdir(parents=True)
    with archive.job() as job:
        assert (tiny.root / job.folder).is_dir()
        assert abandoned_jobs(tiny.root) == ["job-left"]
    assert not (tiny.root / job.folder).exists()


def test_writing_does_not_use_up_file_handles(tiny: Repository) -> None:
    """A long process opens thousands of repositories."""
    tiny.run("headers")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        Repository.open(tiny.root).run("headers", plates="plate-001", force=True)
    assert len(os.listdir("/proc/self/fd")) <= before + 1
