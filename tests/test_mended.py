"""Faults that were found and mended: each test fails when its fault comes back.

A task that kills its worker is in `test_backends.py` and `test_engine.py`.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import math
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from PIL import Image

from ledgerkit import layout, software
from ledgerkit.api import Repository
from ledgerkit.cli import main
from ledgerkit.current import current_runs
from ledgerkit.errors import MissingInput, RepositoryNotFound, UsageError
from ledgerkit.imaging.decode import read_shrunk
from ledgerkit.jobs import abandoned_jobs
from ledgerkit.ledger import build
from ledgerkit.records import Failure, Run, Supersedes
from ledgerkit.repository import Archive
from ledgerkit.testing.crash import kill_at, steps
from ledgerkit.testing.relog import relog
from ledgerkit.views import AuditView, JobView

PLATES = ["plate-001", "plate-002", "plate-003"]


@pytest.fixture
def adopted(tmp_path: Path) -> Repository:
    """Three plates made elsewhere, with checksums and without a seal. The second has a palette."""
    root = tmp_path / "adopted"
    for number, plate in enumerate(PLATES, 1):
        folder = root / layout.plate_folder(plate)
        (folder / "source").mkdir(parents=True)
        pixels = np.random.default_rng(number).integers(0, 256, (16, 16), np.uint8)
        image = Image.fromarray(pixels)
        source = folder / "source" / f"{number}.png"
        (image.convert("P") if number == 2 else image).save(source)
        _write_checksum(source)
        manifest = {"plate_id": plate, "plate_number": number, "title": "T", "slug": "t"}
        (folder / "manifest.json").write_text(json.dumps(manifest | {"source_image": source.name}))
    return Repository.open(root)


def _write_checksum(source: Path, digest: str | None = None, name: str | None = None) -> None:
    found = digest or hashlib.sha256(source.read_bytes()).hexdigest()
    checksum = source.parents[1] / "source.sha256"
    if checksum.exists():
        checksum.chmod(0o644)
    checksum.write_text(f"{found}  source/{name or source.name}\n")


def _source(repository: Repository, plate: str = "plate-002") -> Path:
    return repository.root / Archive(repository.root).source_path(plate)


def _runs(repository: Repository, plate: str = "plate-002") -> list[Run]:
    return Archive(repository.root).runs(plate)


def _codes(view: AuditView | Any, subject: str) -> list[tuple[str, str]]:
    return [(one.code, one.severity) for one in view.findings if subject in one.subject]


def _blocked(job: JobView) -> list[str]:
    return [one.subject for one in job.blocked]


def _interrupt(repository: Repository, tmp_path: Path) -> str:
    """Let a process die just after its intent was flushed; the id of its job."""

    def headers(root: Path) -> Callable[[], object]:
        return lambda: Repository.open(root).run("headers")

    twin = Path(shutil.copytree(repository.root, tmp_path / "twin", symlinks=True))
    calls = steps(headers(twin), twin)
    (place,) = [
        place
        for place, call in enumerate(calls)
        if call.startswith("rename ") and call.endswith(f" {layout.INTENT}")
    ]
    assert kill_at(place + 1, headers(repository.root), repository.root)
    intent = json.loads((repository.root / layout.INTENT).read_bytes())
    return str(intent["job_id"])


def test_a_job_whose_commit_waits_to_be_finished_is_not_called_abandoned(
    tiny: Repository, tmp_path: Path
) -> None:
    job = _interrupt(tiny, tmp_path)
    (tiny.root / layout.STAGING / "job-left").mkdir()
    assert abandoned_jobs(tiny.root) == ["job-left"]
    view = tiny.status()
    assert (view.pending, view.abandoned) == (job, ["job-left"])
    assert _codes(tiny.audit(), layout.INTENT) == [("COMMIT_PENDING", "warning")]
    tiny.run("headers")
    assert tiny.status().pending is None
    assert _codes(tiny.audit(), layout.INTENT) == []


def test_an_intent_left_by_a_crash_is_finished_before_anything_is_planned(
    tiny: Repository, tmp_path: Path
) -> None:
    """Else what failed would be tried, and recorded, a second time."""
    source = _source(tiny)
    source.chmod(0o644)
    source.write_bytes(source.read_bytes() + b"more")
    _interrupt(tiny, tmp_path)
    job = tiny.run("headers")
    assert (job.complete, job.failed, job.skipped, job.failed_before) == (0, 0, 2, 1)
    assert [run.status for run in _runs(tiny)] == ["failed"]
    assert [len(plate.runs) for plate in tiny.plates()] == [1, 1, 1]


def test_a_plate_whose_checksum_is_wrong_is_named_everywhere_until_it_is_put_right(
    adopted: Repository,
) -> None:
    source = _source(adopted)
    _write_checksum(source, "0" * 64)
    job = adopted.run("headers")
    assert (job.complete, job.sound, _blocked(job)) == (2, False, ["plate-002"])
    assert "ledgerkit audit" in str(job.blocked[0].hint)
    assert ("SEAL_FAILED", "error") in _codes(adopted.audit(), "plate-002")
    assert _codes(adopted.verify(), "plate-002") == [("DIGEST_MISMATCH", "error")]
    again = adopted.run("headers")
    assert (again.sound, again.skipped, _blocked(again)) == (False, 2, ["plate-002"])
    _write_checksum(source)
    assert adopted.run("headers").complete == 1
    assert [plate.source_sha256 is None for plate in adopted.plates()] == [False] * 3
    view = adopted.verify()
    assert (view.findings, view.not_checked) == ([], 0)
    assert adopted.audit().sound
    assert _codes(adopted.audit(), "plate-002") == []


def test_a_checksum_of_another_file_does_not_vouch_for_the_source(adopted: Repository) -> None:
    _write_checksum(_source(adopted), name="other.png")
    job = adopted.run("headers")
    assert (job.complete, job.sound, _blocked(job)) == (2, False, ["plate-002"])
    assert ("SEAL_FAILED", "error") in _codes(adopted.audit(), "plate-002")
    assert not adopted.verify().sound
    (seal,) = _runs(adopted, layout.COLLECTION)
    assert "other.png" in seal.failed_items[0].message
    _write_checksum(_source(adopted))
    assert adopted.run("headers").complete == 1
    assert adopted.verify().findings == []


def test_a_plate_whose_runs_are_a_link_does_not_hold_up_the_others(
    tiny: Repository, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tiny.root / layout.plate_folder("plate-002") / "runs").symlink_to(elsewhere)
    job = tiny.run("headers")
    assert (job.complete, job.sound) == (2, False)
    assert [(one.subject, one.error) for one in job.failures] == [("plate-002", "UnsafePath")]
    assert list(elsewhere.iterdir()) == []
    assert not (tiny.root / layout.INTENT).exists()
    assert tiny.run("measure").complete == 2


_AS_NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
_AS_NOBODY += ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
"""The interpreter may lie where nobody may read; this permission is for reading alone."""


@pytest.fixture
def of_somebody(tiny: Repository) -> Iterator[list[str]]:
    """What to put before a command for it to run as the owner of the files and not as root."""
    if os.getuid() != 0:
        yield []
        return
    if shutil.which("setpriv") is None:
        pytest.skip("root needs setpriv to be somebody else")
    for path in (tiny.root, *tiny.root.rglob("*")):
        os.chown(path, 65534, 65534)
    modes = {folder: stat.S_IMODE(folder.stat().st_mode) for folder in tiny.root.parents}
    closed = {folder: mode for folder, mode in modes.items() if not mode & stat.S_IXOTH}
    for folder, mode in closed.items():
        folder.chmod(mode | stat.S_IXOTH)
    yield _AS_NOBODY
    for folder, mode in closed.items():
        folder.chmod(mode)


def test_a_plate_that_may_not_be_written_does_not_hold_up_the_others(
    tiny: Repository, of_somebody: list[str]
) -> None:
    plate = tiny.root / layout.plate_folder("plate-002")
    plate.chmod(0o555)
    given = [sys.executable, "-B", "-m", "ledgerkit", "headers", "-C", str(tiny.root), "--json"]
    done = subprocess.run(
        [*of_somebody, *given], capture_output=True, text=True, cwd="/", timeout=60, check=False
    )
    plate.chmod(0o755)
    assert done.stdout, done.stderr
    view = json.loads(done.stdout)
    assert (done.returncode, view["complete"]) == (1, 2)
    assert [(one["subject"], one["error"]) for one in view["failures"]] == [
        ("plate-002", "CommitFailed")
    ]
    assert not (tiny.root / layout.INTENT).exists()
    assert tiny.run("headers").complete == 1


def test_a_rerun_that_failed_does_not_supersede(
    tiny: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(software, "VERSION", "0.0.1")
        tiny.run("headers")
    source = _source(tiny)
    source.chmod(0o644)
    source.write_bytes(source.read_bytes() + b"more")
    job = tiny.run("headers", stale=True)
    assert (job.complete, job.failed) == (2, 1)
    old, new = _runs(tiny)
    assert (new.status, new.supersedes) == ("failed", None)
    sources = {"plate-002": str(tiny.plates()[1].source_sha256)}
    assert current_runs([old, new], sources) == {old.run_id}
    replaced, better = _runs(tiny, "plate-001")
    assert better.supersedes is not None
    assert better.supersedes.run_id == replaced.run_id


def test_a_failed_record_that_says_it_supersedes_is_not_believed(tiny: Repository) -> None:
    tiny.run("headers", plates="plate-002")
    (old,) = _runs(tiny)
    failed = msgspec.structs.replace(
        old,
        run_id=old.run_id[:4] + "9999" + old.run_id[8:],
        status="failed",
        outputs=[],
        failure=Failure("E", "m", None),
        supersedes=Supersedes(old.run_id, "r"),
    )
    sources = {"plate-002": str(tiny.plates()[1].source_sha256)}
    assert current_runs([old, failed], sources) == {old.run_id}
    done = msgspec.structs.replace(failed, status="complete", failure=None)
    assert current_runs([old, done], sources) == {done.run_id}


def test_a_source_whose_name_is_no_text_is_left_out_and_the_others_go_on(
    adopted: Repository,
) -> None:
    source = _source(adopted)
    try:
        os.rename(source, os.fsencode(source.parent) + b"/scan \xff.png")
    except OSError:
        pytest.skip("this file system takes only names that are UTF-8")
    (source.parents[1] / "source.sha256").unlink()
    job = adopted.run("headers")
    assert (job.complete, job.sound, _blocked(job)) == (2, False, ["plate-002"])
    (seal,) = _runs(adopted, layout.COLLECTION)
    assert [item.item for item in seal.failed_items] == ["plate-002"]
    assert "UTF-8" in seal.failed_items[0].message
    assert ("SEAL_FAILED", "error") in _codes(adopted.audit(), "plate-002")


@pytest.mark.parametrize("commits", [1, 3])
def test_older_ledgers_are_not_put_over_newer_records(
    tiny: Repository, monkeypatch: pytest.MonkeyPatch, commits: int
) -> None:
    """Somebody commits after the records were read and before the ledgers are put in place."""
    tiny.consolidate()
    real, left = build.build, [commits]

    def slow(*given: Any) -> Any:
        found = real(*given)
        if left[0]:
            left[0] -= 1
            Repository.open(tiny.root).run("headers", force=True)
        return found

    with monkeypatch.context() as patched:
        patched.setattr(build, "build", slow)
        view = tiny.consolidate()
    counted = tiny.query("SELECT count(*) AS n FROM runs WHERE operation = 'headers'")
    assert counted["n"].to_list() == [3 * commits]
    assert view.runs == tiny.query("FROM runs").height
    assert tiny.behind() is None
    assert tiny.consolidate(check=True).changed == []


@pytest.mark.parametrize("trouble", ["EIO", "EACCES", "a pipe", "a folder"])
def test_a_source_that_cannot_be_read_is_a_failed_run_and_the_others_go_on(
    tiny: Repository, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    source = _source(tiny)
    if trouble.startswith("E"):
        real, number = os.open, getattr(errno, trouble)

        def failing(path: Any, *given: Any, **named: Any) -> int:
            if path == source.name:
                raise OSError(number, os.strerror(number))
            return real(path, *given, **named)

        monkeypatch.setattr(os, "open", failing)
    else:
        source.parent.chmod(0o755)
        source.unlink()
        if trouble == "a pipe":
            os.mkfifo(source)
        else:
            source.mkdir()
    job = tiny.run("headers")
    assert (job.complete, job.failed, job.sound) == (2, 1, False)
    assert [one.subject for one in job.failures] == ["plate-002"]
    (run,) = _runs(tiny)
    assert run.failure is not None
    assert run.failure.input == f"{layout.plate_folder('plate-002')}/source/{source.name}"


@pytest.mark.parametrize("operation", ["propose", "cluster"])
def test_an_operation_on_no_plates_at_all_is_refused_and_leaves_no_record(
    tmp_path: Path, operation: str
) -> None:
    empty = Repository.init(tmp_path / "empty")
    before = Archive(empty.root).run_ids(layout.COLLECTION)
    with pytest.raises(MissingInput) as refused:
        empty.run(operation)
    assert "ledgerkit ingest" in str(refused.value.hint)
    assert Archive(empty.root).run_ids(layout.COLLECTION) == before


def test_a_condition_is_refused_when_the_ledgers_are_behind(tiny: Repository) -> None:
    condition = "width IS NOT NULL"
    with pytest.raises(UsageError, match="no ledgers yet"):
        tiny.run("measure", where=condition)
    tiny.run("headers", plates="plate-001")
    tiny.consolidate()
    assert tiny.dry_run("measure", where=condition).would_run == ["plate-001"]
    tiny.run("headers")
    for ask in (tiny.run, tiny.dry_run):
        with pytest.raises(UsageError, match="behind") as refused:
            ask("measure", where=condition)
        assert "ledgerkit consolidate" in str(refused.value.hint)
    tiny.consolidate()
    assert tiny.dry_run("measure", where=condition).would_run == PLATES


def test_a_path_that_is_named_and_is_no_repository_is_refused_even_inside_one(
    tiny: Repository, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    below = tiny.root / layout.plate_folder("plate-001")
    monkeypatch.delenv("LEDGERKIT_REPOSITORY", raising=False)
    monkeypatch.chdir(below)
    assert Repository.open().root == tiny.root
    for named in (below, tiny.root / "typo"):
        with pytest.raises(RepositoryNotFound, match="is not a repository"):
            Repository.open(named)
        with pytest.raises(SystemExit) as ended:
            main(["headers", "-C", str(named)])
        assert ended.value.code == 2
        assert f"{named} is not a repository" in capsys.readouterr().err
    assert _runs(tiny, "plate-001") == []


@pytest.mark.parametrize("kind", ["GIF", "PNG", "TIFF"])
def test_a_grey_ramp_is_read_as_grey(kind: str) -> None:
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None], 16, axis=0)
    file = io.BytesIO()
    Image.fromarray(ramp).save(file, kind)
    expected = np.asarray(Image.open(io.BytesIO(file.getvalue())).convert("RGB"))
    assert np.array_equal(expected[..., 1], ramp)
    assert np.array_equal(read_shrunk(file, 256), expected)


def _normalize(repository: Repository, reason: str) -> None:
    repository.accept_policy("A. Curator", reason)
    assert repository.run("normalize").complete == 3


def test_current_tiles_are_those_of_the_policy_in_force(tiny: Repository) -> None:
    tiny.run("headers")
    tiny.run("propose")
    for reason in ("the first", "the second"):
        _normalize(tiny, reason)
    tiny.consolidate()
    assert tiny.query("FROM tiles").height == 6
    tiles = tiny.query("SELECT plate_id, run_id FROM current_tiles ORDER BY plate_id")
    assert tiles["plate_id"].to_list() == PLATES
    assert tiles["run_id"].to_list() == [_runs(tiny, plate)[-1].run_id for plate in PLATES]
    current = tiny.query("SELECT plate_id FROM current_runs WHERE operation = 'normalize'")
    assert sorted(current["plate_id"]) == PLATES


@pytest.mark.parametrize(
    ("operation", "given"),
    [
        ("segment", {"long_side": 0}),
        ("measure", {"white_threshold": 98.0}),
        ("measure", {"white_threshold": -0.1}),
        ("measure", {"edge_threshold": math.nan}),
        ("embed", {"form_weight": math.inf}),
    ],
)
def test_a_parameter_out_of_bounds_is_refused_before_anything_runs(
    tiny: Repository, operation: str, given: dict[str, float]
) -> None:
    ((name, _),) = given.items()
    for ask in (tiny.run, tiny.dry_run):
        with pytest.raises(UsageError, match=name):
            ask(operation, **given)
    assert [plate.runs for plate in tiny.plates()] == [[], [], []]


def test_a_source_that_was_changed_with_its_checksum_is_found_by_the_runs_that_read_it(
    adopted: Repository,
) -> None:
    """Even where no seal is left to say what the source was."""
    adopted.run("headers")
    for run in (adopted.root / "runs").iterdir():
        run.chmod(0o755)
        shutil.rmtree(run)
    relog(adopted.root)
    assert adopted.verify().sound
    source = _source(adopted)
    Image.new("L", (16, 16), 7).save(source)
    _write_checksum(source)
    view = adopted.verify()
    assert not view.sound
    assert {code for code, _ in _codes(view, f"source/{source.name}")} & {
        "DIGEST_MISMATCH",
        "SIZE_MISMATCH",
    }


def test_what_is_done_but_no_longer_current_is_counted(tiny: Repository) -> None:
    other = 1 << 20
    assert tiny.run("headers").not_current == 0
    assert tiny.run("headers", max_header_bytes=other).complete == 3
    former, newest = tiny.run("headers"), tiny.run("headers", max_header_bytes=other)
    assert (former.skipped, former.not_current, former.sound) == (3, 3, True)
    assert (newest.skipped, newest.not_current) == (3, 0)
    assert tiny.dry_run("headers").skipped == 3


def test_pixels_that_are_gone_block_the_plate_and_name_the_command_that_makes_them(
    adopted: Repository,
) -> None:
    adopted.run("headers")
    adopted.run("propose")
    _normalize(adopted, "for the test")
    cache = adopted.root / layout.plate_folder("plate-002") / layout.CACHE
    for folder in cache.iterdir():
        folder.chmod(0o755)
        for image in folder.iterdir():
            image.unlink()
    job = adopted.run("embed")
    assert (job.complete, job.failed, _blocked(job)) == (2, 0, ["plate-002"])
    assert "ledgerkit cache restore --plates plate-002" in str(job.blocked[0].hint)
    assert len(adopted.restore_cache(plates="plate-002").folders) == 1
    assert (adopted.run("embed").complete, len(_runs(adopted))) == (1, 4)
