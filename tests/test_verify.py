"""Verification: log, records and files against each other, both ways; what was not read is said."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ledgerkit import schema
from ledgerkit.api import Repository
from ledgerkit.errors import UsageError
from ledgerkit.findings import CODES
from ledgerkit.merkle import ProofInvalid
from ledgerkit.testing.flips import KINDS, build, by_kind, flips, turn
from ledgerkit.testing.relog import relog
from ledgerkit.testing.spoiled import (
    AGAINST,
    BAD,
    change_record,
    checkpoint,
    manifest,
    plate,
    remove,
    run_of,
    source_of,
    spoil,
)
from ledgerkit.verify import VerifyView, verify
from ledgerkit.verify import check as verify_module

VERIFY = Path(verify_module.__file__).parent


@pytest.fixture(scope="session")
def _built(_ingested: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("built") / "archive"
    shutil.copytree(_ingested, root, symlinks=True)
    repository = Repository.open(root)
    repository.run("headers")
    repository.consolidate()
    return root


@pytest.fixture
def built(_built: Path, tmp_path: Path) -> Repository:
    """Three plates with header runs and ledgers: sound."""
    return Repository.open(shutil.copytree(_built, tmp_path / "archive", symlinks=True))


def files_of(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file() and ".ledgerkit" not in path.parts]


def codes(view: VerifyView) -> set[str]:
    return {one.code for one in view.findings}


def traces(root: Path) -> dict[Path, tuple[int, int, int]]:
    """Mode, size and time of everything, links themselves included."""
    found = {path: path.lstat() for path in root.rglob("*")}
    return {path: (one.st_mode, one.st_size, one.st_mtime_ns) for path, one in found.items()}


def test_a_sound_repository_is_sound_and_every_file_of_it_was_read(built: Repository) -> None:
    view = built.verify()
    files = files_of(built.root)
    assert (view.sound, view.findings, view.not_checked, view.wrong) == (True, [], 0, 0)
    assert view.right == view.full.files == len(files)
    assert view.full.bytes == sum(path.stat().st_size for path in files)


def test_every_code_that_verification_can_find_has_a_bad_fixture() -> None:
    said = {
        node.value
        for path in VERIFY.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in CODES
    }
    assert said == BAD.keys() | AGAINST.keys()


@pytest.mark.parametrize("code", BAD)
def test_finds_and_names_what_is_wrong_and_changes_nothing(built: Repository, code: str) -> None:
    subject = BAD[code](built.root)
    before = traces(built.root)
    view = built.verify()
    assert before == traces(built.root)
    found = [one for one in view.findings if one.code == code and subject in one.subject]
    assert found, [(one.code, one.subject, one.message) for one in view.findings]
    assert found[0].severity == CODES[code][0]
    assert view.sound == all(one.severity != "error" for one in view.findings)
    if code not in ("PATH_UNREADABLE", "LOG_INVALID"):
        assert len({one.subject for one in view.findings}) <= 2, view.findings


@pytest.mark.parametrize("code", AGAINST)
def test_holds_the_log_against_a_checkpoint_from_elsewhere(built: Repository, code: str) -> None:
    view = built.verify(checkpoint=AGAINST[code](built.root))
    assert (codes(view), view.sound) == ({code}, False)


def test_a_log_that_extends_a_kept_checkpoint_says_so(tiny: Repository) -> None:
    kept = checkpoint(tiny.root)
    tiny.run("headers")
    view = tiny.verify(checkpoint=f"{kept}\n— someone c2lnbmF0dXJl\n")
    assert (view.findings, view.extends) == ([], int(kept.split("\n")[1]))
    assert view.log_size is not None
    assert view.log_size > (view.extends or 0)


def test_a_repository_that_was_put_back_whole_shows_against_a_later_checkpoint(
    tiny: Repository, tmp_path: Path
) -> None:
    shutil.copytree(tiny.root, tmp_path / "former", symlinks=True)
    tiny.run("headers")
    former = Repository.open(tmp_path / "former")
    assert former.verify().sound
    assert codes(former.verify(checkpoint=checkpoint(tiny.root))) == {"ROLLED_BACK"}


def test_a_record_rewritten_with_its_checksum_and_its_log_shows_against_a_kept_checkpoint(
    built: Repository,
) -> None:
    kept = checkpoint(built.root)
    change_record(run_of(built.root), {"variant": "another"})
    assert codes(built.verify()) == {"LEDGER_INVALID"}
    assert codes(built.verify(checkpoint=kept)) == {"LEDGER_INVALID", "CHECKPOINT_DISAGREES"}


def test_a_checkpoint_of_another_repository_is_none_of_this(built: Repository) -> None:
    kept = checkpoint(built.root).replace("ledgerkit/", "ledgerkit/0")
    assert codes(built.verify(checkpoint=kept)) == {"CHECKPOINT_DISAGREES"}
    with pytest.raises(ProofInvalid):
        built.verify(checkpoint="no checkpoint")


def test_depths_say_what_they_did_not_read(built: Repository) -> None:
    turn(source_of(built.root), 4000)
    full, quick = built.verify(), built.verify(depth="quick")
    looked = built.verify(depth="structure")
    assert codes(full) == codes(quick) == {"DIGEST_MISMATCH"}
    assert (full.structure.files, quick.structure.files) == (0, 0)
    assert quick.quick.files > 10
    assert codes(looked) == set()
    assert looked.quick.files == 0
    assert looked.structure.files == looked.not_checked > 20
    spoil(source_of(built.root), b"short")
    assert codes(built.verify(depth="structure")) == {"SIZE_MISMATCH"}
    total = len(files_of(built.root))
    for view in (full, quick, looked):
        assert view.right + view.wrong + view.not_checked == total


def test_a_sample_is_drawn_by_its_seed_and_read_in_full(built: Repository) -> None:
    turn(source_of(built.root), 4000)
    views = [built.verify(sample=5, seed=seed) for seed in range(30)]
    again = [built.verify(sample=5, seed=seed, workers=1) for seed in range(30)]
    assert [codes(view) for view in views] == [codes(view) for view in again]
    hits = sum("DIGEST_MISMATCH" in codes(view) for view in views)
    assert 0 < hits < 20
    looked = built.verify(depth="structure")
    assert {view.full.files for view in views} == {looked.full.files + 5}
    assert {view.structure.files for view in views} == {looked.structure.files - 5}
    everything = built.verify(sample=10_000)
    assert "DIGEST_MISMATCH" in codes(everything)
    assert everything.seed is not None
    assert everything.structure.files == 0


def test_restricted_to_plates_the_others_are_left_out_and_counted(built: Repository) -> None:
    turn(source_of(built.root, 2), 4000)
    view = built.verify(plates="plate-001,plate-003")
    assert (view.findings, view.plates, view.plates_left_out) == ([], 2, 1)
    assert codes(built.verify(plates="plate-002")) == {"DIGEST_MISMATCH"}
    with pytest.raises(UsageError, match="plate-077"):
        verify(built.root, plates=["plate-077"])


def test_the_answer_meets_its_schema(built: Repository) -> None:
    import msgspec

    spoil(source_of(built.root), b"short")
    for view in (built.verify(), built.verify(sample=3), built.verify(depth="quick")):
        assert schema.problems("verify.v1", msgspec.to_builtins(view)) == []


def newest(folder: Path) -> Path:
    """The partial tile or bundle that the present checkpoint needs."""
    return max((path for path in folder.rglob("*") if path.is_file()), key=lambda at: int(at.name))


def test_a_damaged_bundle_is_told_from_a_damaged_tile(built: Repository) -> None:
    for folder in ("log/tile/entries", "log/tile/0"):
        path = newest(built.root / folder)
        turn(path, 8 * 40 + 1)
        view = built.verify()
        assert {(one.code, one.subject) for one in view.findings} == {
            ("LOG_INVALID", str(path.relative_to(built.root)))
        }
        turn(path, 8 * 40 + 1)
    assert built.verify().findings == []


def test_files_that_do_not_belong_into_the_log_are_found(built: Repository) -> None:
    for name in ("log/tile/0/001", "log/notes.txt", "log/tile/entries/000.p/200"):
        spoil(built.root / name, b"x" * 32)
    found = {one.subject: one.code for one in built.verify().findings}
    assert found == dict.fromkeys(
        ("log/tile/0/001", "log/notes.txt", "log/tile/entries/000.p/200"), "UNLISTED_FILE"
    )


def test_a_log_with_full_tiles_and_a_second_level_is_derived(
    tiny: Repository, tmp_path: Path
) -> None:
    from ledgerkit.log import Entry, Log
    from ledgerkit.reading import Tree
    from ledgerkit.testing.relog import write_log

    log = Log(Tree(tiny.root))
    head = log.checkpoint()
    assert head is not None
    more = [
        Entry("run", f"runs/run-20200101-{number:06d}Z-{'a' * 12}/run.json", f"{number:064x}")
        for number in range(700)
    ]
    write_log(tiny.root, head.origin, [*log.entries(), *more])
    assert (tiny.root / "log/tile/1/000.p/2").is_file()
    view = tiny.verify()
    assert [one.code for one in view.findings] == ["RUN_MISSING"] * 700
    for name in ("tile/0/001", "tile/1/000.p/2", "tile/entries/000"):
        turn(tiny.root / "log" / name, 8 * 50 + 3)
        damaged = {one.subject for one in tiny.verify().findings if one.code == "LOG_INVALID"}
        assert damaged == {f"log/{name}"}
        turn(tiny.root / "log" / name, 8 * 50 + 3)


HOSTILE = [
    b"[" * 10**6,
    b'{"a":' * 10**5,
    b'{"run_id":NaN}',
    b'{"a":1,"a":2}',
    b"9" * 10**5,
    b'{"plate_number":' + b"9" * 5000 + b"}",
    b"\xff\xfe",
    b"",
    b"{}",
    b"[]",
    b"null",
]


@pytest.mark.parametrize("data", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_documents_are_findings_and_never_a_crash(built: Repository, data: bytes) -> None:
    for path in (
        run_of(built.root) / "run.json",
        run_of(built.root) / "run.sha256",
        plate(built.root) / "manifest.json",
        plate(built.root) / "source.sha256",
        next(built.root.glob("runs/*/run.json")),
        built.root / "ledger" / "ledger.json",
        built.root / "ledger" / "ledger.sha256",
        built.root / "log" / "checkpoint",
        built.root / "repository.json",
        newest(built.root / "log" / "tile" / "entries"),
        newest(built.root / "log" / "tile" / "0"),
        built.root / ".ledgerkit" / "intent.json",
    ):
        before = path.read_bytes() if path.exists() else None
        spoil(path, data)
        view = built.verify()
        subjects = {one.subject for one in view.findings}
        assert str(path.relative_to(built.root)) in subjects, (path, view.findings)
        spoil(path, before)
    assert built.verify().findings == []


@pytest.mark.parametrize(
    "changes",
    [
        {"run_id": "run-20200101-000000Z-000000000000"},
        {"subject": "plate-002"},
        {"outputs": [{"path": "../../../../etc/passwd"}]},
        {"parameters": {"a": 10**30}},
        {"more": 1},
        {"inputs": "none"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_logged_record_that_is_not_what_it_should_be_is_found(
    built: Repository, changes: dict[str, object]
) -> None:
    run = run_of(built.root)
    data = json.dumps(
        json.loads((run / "run.json").read_bytes()) | changes, sort_keys=True, separators=(",", ":")
    )
    spoil(run / "run.json", data.encode())
    relog(built.root)
    assert "RUN_INVALID" in codes(built.verify())


def test_a_path_that_leaves_the_repository_is_never_opened(built: Repository) -> None:
    run = run_of(built.root)
    record = json.loads((run / "run.json").read_bytes())
    inputs = [record["inputs"][0] | {"path": "../../outside"}]
    (built.root.parent / "outside").write_bytes(b"secret")
    change_record(run, {"inputs": inputs})
    view = built.verify()
    assert "RUN_INVALID" in codes(view)
    assert any("'..'" in one.message for one in view.findings)


def test_links_pipes_and_names_that_are_no_utf_8_are_findings(built: Repository) -> None:
    folder = plate(built.root)
    os.mkfifo(folder / "pipe")
    (folder / "source" / "link").symlink_to("/etc/passwd")
    (folder / "folder").symlink_to("/")
    with open(os.fsencode(folder) + b"/\xff\xfe", "wb") as file:
        file.write(b"x")
    found = {one.subject.rpartition("plate-001/")[2]: one.code for one in built.verify().findings}
    assert found == {
        "pipe": "LINK_FOUND",
        "source/link": "LINK_FOUND",
        "folder": "LINK_FOUND",
        "\\udcff\\udcfe": "UNLISTED_FILE",
        "plate-001": "SOURCE_COUNT",
    }


def test_a_folder_that_became_a_link_is_found_and_not_followed(
    built: Repository, tmp_path: Path
) -> None:
    for name in ("plates_structured/plate-001", "log", "ledger", "schemas", "runs"):
        (built.root / name).rename(tmp_path / "away")
        (built.root / name).symlink_to(tmp_path / "away")
        assert not built.verify().sound, name
        (built.root / name).unlink()
        (tmp_path / "away").rename(built.root / name)
    assert built.verify().findings == []


def test_an_unfinished_commit_is_no_tampering(tiny: Repository, tmp_path: Path) -> None:
    """Killed before every call of a commit: what verification says is COMMIT_PENDING or nothing."""
    from ledgerkit.testing.crash import kill_at, steps

    def headers(root: Path) -> Callable[[], object]:
        return lambda: Repository.open(root).run("headers", plates="plate-001")

    twin = Path(shutil.copytree(tiny.root, tmp_path / "twin", symlinks=True))
    count = len(steps(headers(twin), twin))
    seen = set()
    for step in range(0, count, 2):
        copy = Path(shutil.copytree(tiny.root, tmp_path / f"at-{step}", symlinks=True))
        kill_at(step, headers(copy), copy)
        found = codes(verify(copy))
        seen |= found
        assert found <= {"COMMIT_PENDING"}, (step, verify(copy).findings)
    assert seen == {"COMMIT_PENDING"}


def bare(root: Path, checksum: bool) -> Path:
    """A plate as archives already have it: nothing sealed."""
    folder = plate(root, 1)
    (folder / "source").mkdir(parents=True)
    (folder / "source" / "a.jpg").write_bytes(b"not looked at")
    fields = {"plate_id": "plate-001", "plate_number": 1, "title": "One", "slug": "one"}
    (folder / "manifest.json").write_text(json.dumps(fields | {"source_image": "a.jpg"}))
    digest = hashlib.sha256(b"not looked at").hexdigest()
    if checksum:
        (folder / "source.sha256").write_text(f"{digest}  source/a.jpg\n")
    return folder


def test_what_is_not_sealed_yet_is_not_checked_and_never_called_sound_by_name(
    tmp_path: Path,
) -> None:
    bare(tmp_path, checksum=False)
    view = verify(tmp_path)
    assert (view.files, view.not_checked, view.right, view.findings) == (0, 2, 0, [])


def test_a_source_that_is_not_sealed_is_held_against_its_checksum_file(tmp_path: Path) -> None:
    folder = bare(tmp_path, checksum=True)
    view = verify(tmp_path)
    assert (view.files, view.not_checked, view.findings) == (1, 2, [])
    turn(folder / "source" / "a.jpg", 9)
    assert codes(verify(tmp_path)) == {"DIGEST_MISMATCH"}
    (folder / "source" / "a.jpg").unlink()
    assert codes(verify(tmp_path)) == {"OUTPUT_MISSING"}


@pytest.mark.parametrize(
    "text", ["", "0" * 64, "md5  a.jpg\n", f"{'0' * 64}  ../../../etc/passwd\n"]
)
def test_a_checksum_file_that_is_none_is_found(tmp_path: Path, text: str) -> None:
    (bare(tmp_path, checksum=True) / "source.sha256").write_text(text)
    assert "SOURCE_CHECKSUM_INVALID" in codes(verify(tmp_path))


@pytest.fixture(scope="session")
def _many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("many"))


@pytest.fixture
def many(_many: Path, tmp_path: Path) -> Repository:
    """24 plates with normalized images, some in the cache: files of every kind."""
    return Repository.open(shutil.copytree(_many, tmp_path / "archive", symlinks=True))


def event(repository: Repository, operation: str, folders: list[str]) -> None:
    """An event on the collection as the commands for the cache record it."""
    from ledgerkit.events import Event, staged_name
    from ledgerkit.repository import Archive

    archive = Archive(repository.root)
    with archive.job() as job:
        made = Event(operation, "deletion", {"folders": folders})
        archive.commit(job, [made.staged(job.item(staged_name(operation)))])


def test_only_an_eviction_explains_that_derived_pixels_are_gone(many: Repository) -> None:
    (folder,) = (plate(many.root, 8) / "cache").iterdir()
    name = str(folder.relative_to(many.root))
    kept = shutil.copytree(folder, many.root.parent / "kept")
    remove(folder)
    missing = [("CACHE_MISSING", name, "warning")]
    seen = many.verify()
    assert [(one.code, one.subject, one.severity) for one in seen.findings] == missing
    assert (seen.sound, seen.wrong, seen.not_checked) == (True, 0, 1)
    event(many, "evict", [name])
    assert many.verify().findings == []
    event(many, "restore", [name])
    assert [(one.code, one.subject, one.severity) for one in many.verify().findings] == missing
    shutil.copytree(kept, folder)
    assert many.verify().findings == []


def test_bits_flipped_in_files_of_every_kind_are_named(many: Repository) -> None:
    root = many.root
    assert by_kind(root).keys() == KINDS.keys()
    found = list(flips(root, 300, seed=20260101))
    assert [(one.path, one.bit, one.findings) for one in found if not one.seen] == []
    assert len(found) == 300
    assert {one.kind for one in found} == KINDS.keys()


def test_progress_counts_plates_to_the_end(built: Repository) -> None:
    seen: list[tuple[int, int]] = []
    built.verify(progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_one_worker_and_many_find_the_same(
    many: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ledgerkit.verify.crew.WORTH_PROCESSES", 1)
    turn(source_of(many.root, 3), 77)
    spoil(plate(many.root, 20) / "notes.txt", b"x")
    views = [many.verify(workers=workers) for workers in (1, 2, 3)]
    assert views[0].findings == views[1].findings == views[2].findings
    assert len(views[0].findings) == 2
    assert len({(view.right, view.full, view.wrong, view.unread) for view in views}) == 1


INTERRUPTED = """
import os, signal, sys
from pathlib import Path
from ledgerkit.verify import verify
root, cursor, after = sys.argv[1:]
def progress(done, total):
    if done == int(after):
        os.kill(os.getpid(), signal.SIGKILL)
verify(Path(root), resume=Path(cursor), workers=1, progress=progress)
"""


def interrupted(root: Path, cursor: Path, after: int) -> None:
    """A verification in a process of its own that is killed after some plates."""
    command = [sys.executable, "-c", INTERRUPTED, str(root), str(cursor), str(after)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL


def counts(view: VerifyView) -> tuple[object, ...]:
    return view.right, view.wrong, view.not_checked, view.full, view.findings


def test_a_killed_verification_goes_on_where_it_was(many: Repository, tmp_path: Path) -> None:
    cursor = tmp_path / "cursor"
    spoil(plate(many.root, 2) / "notes.txt", b"x")
    interrupted(many.root, cursor, 10)
    with cursor.open("ab") as file:
        file.write(b'{"unit":"plate-011","exp')  # cut off in the middle of a line
    header = json.loads(cursor.read_bytes().split(b"\n")[0])
    assert header["checkpoint"] == checkpoint(many.root)
    assert header["depth"] == "full"
    interrupted(many.root, cursor, 15)
    view = many.verify(resume=cursor)
    assert view.plates_taken_over == 15
    assert counts(view) == counts(many.verify())
    assert codes(view) == {"UNLISTED_FILE"}
    again = many.verify(resume=cursor)
    assert again.plates_taken_over == 0  # it was finished: this is another one


def test_what_changed_since_the_interruption_is_read_again(
    many: Repository, tmp_path: Path
) -> None:
    cursor = tmp_path / "cursor"
    interrupted(many.root, cursor, 10)
    turn(source_of(many.root, 1), 77)
    many.run("headers", plates="plate-002", force=True)
    view = many.verify(resume=cursor)
    assert view.plates_taken_over == 8
    assert codes(view) == {"DIGEST_MISMATCH"}


def test_a_cursor_of_something_else_is_refused(built: Repository, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="in the repository"):
        built.verify(resume=built.root / "cursor")
    (tmp_path / "notes").write_text("my notes\n")
    with pytest.raises(UsageError, match="no cursor"):
        built.verify(resume=tmp_path / "notes")
    assert (tmp_path / "notes").read_text() == "my notes\n"
    interrupted(built.root, tmp_path / "cursor", 1)
    with pytest.raises(UsageError, match="depth"):
        built.verify(depth="quick", resume=tmp_path / "cursor")


def test_a_commit_while_it_is_verified_is_no_finding(
    built: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is committed after the log was read is found in its folder, and in the log."""
    real = verify_module._run
    rounds: list[int] = []

    def run(*given: object) -> None:
        if not rounds:
            built.run("headers", plates="plate-002", force=True)
        rounds.append(1)
        real(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(verify_module, "_run", run)
    assert built.verify().findings == []
    assert len(rounds) == 2


def test_a_manifest_that_says_another_source_is_found(built: Repository) -> None:
    fields = json.loads((plate(built.root) / "manifest.json").read_bytes())
    manifest(built.root, source=fields["source"] | {"sha256": "0" * 64})
    found = [one.subject for one in built.verify().findings if one.code == "DIGEST_MISMATCH"]
    assert found == [str(source_of(built.root).relative_to(built.root))]


def test_records_that_contradict_each_other_are_found(built: Repository) -> None:
    run = run_of(built.root)
    record = json.loads((run / "run.json").read_bytes())
    change_record(run, {"inputs": [record["inputs"][0] | {"sha256": "0" * 64}]})
    found = [one for one in built.verify().findings if one.code == "DIGEST_MISMATCH"]
    assert [one.subject for one in found] == [str(source_of(built.root).relative_to(built.root))]
    assert "records list both" in found[0].message
