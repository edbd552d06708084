"""Verification: every recorded byte is read again, and every file is asked who recorded it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledgerkit.api import Repository
from ledgerkit.findings import CODES
from ledgerkit.verify import VerifyView, verify


@pytest.fixture
def built(tiny: Repository) -> Repository:
    """Three plates with header runs and ledgers: sound."""
    tiny.run("headers")
    tiny.consolidate()
    return tiny


def plate(root: Path, number: int = 1) -> Path:
    return root / "plates_structured" / f"plate-{number:03d}"


def run_of(root: Path, number: int = 1) -> Path:
    (found,) = (plate(root, number) / "runs").iterdir()
    return found


def unlock(path: Path) -> None:
    for one in (path, *path.parents[:2]):
        if one.exists():
            one.chmod(stat.S_IMODE(one.stat().st_mode) | stat.S_IWUSR)


def spoil(path: Path, data: bytes | None) -> None:
    unlock(path)
    if data is None:
        path.unlink()
    else:
        path.write_bytes(data)


def flip(path: Path, bit: int) -> None:
    """One bit turned over; size, time and mode as before."""
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[bit // 8 % len(data)] ^= 1 << bit % 8
    spoil(path, bytes(data))
    path.chmod(stat.S_IMODE(before.st_mode))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def codes(view: VerifyView) -> set[str]:
    return {one.code for one in view.findings}


def test_a_sound_repository_is_sound_and_everything_was_read(built: Repository) -> None:
    view = built.verify()
    files = [path for path in built.root.rglob("*") if path.is_file()]
    read = [
        path
        for path in files
        if ".ledgerkit" not in path.parts and path.name not in ("run.sha256", "ledger.json")
    ]
    assert (view.sound, view.findings, view.not_checked) == (True, [], 0)
    assert view.files == len(read)
    assert view.bytes == sum(path.stat().st_size for path in read)


@settings(max_examples=25)
@given(place=st.integers(0, 10**6), bit=st.integers(0, 10**9))
def test_a_flipped_bit_anywhere_is_found_and_named(tiny: Repository, place: int, bit: int) -> None:
    files = sorted(
        path for path in tiny.root.rglob("*") if path.is_file() and ".ledgerkit" not in path.parts
    )
    path = files[place % len(files)]
    before = path.read_bytes()
    flip(path, bit)
    view = tiny.verify()
    spoil(path, before)
    assert not view.sound
    name = path.parent if path.name in ("run.sha256", "run.json") else path
    named = [one.subject for one in view.findings if one.severity == "error"]
    assert any(one.startswith(str(name.relative_to(tiny.root))) for one in named), named


def change_record(root: Path, old: bytes, new: bytes, *, with_checksum: bool) -> None:
    record = run_of(root) / "run.json"
    data = record.read_bytes()
    assert data.count(old) >= 1
    before = hashlib.sha256(data).hexdigest()
    data = data.replace(old, new)
    spoil(record, data)
    if with_checksum:
        listed = run_of(root) / "run.sha256"
        text = listed.read_text().replace(before, hashlib.sha256(data).hexdigest())
        spoil(listed, text.encode())


def drop_line(root: Path, ending: str) -> None:
    path = run_of(root) / "run.sha256"
    kept = [line for line in path.read_text().splitlines() if not line.endswith(ending)]
    spoil(path, "".join(f"{line}\n" for line in kept).encode())


def rename_run(root: Path) -> None:
    run = run_of(root)
    run.rename(run.with_name("run-20200101-000000Z-000000000000"))


def source(root: Path) -> Path:
    return plate(root) / "source" / "1-plate-1.jpg"


def linked_output(root: Path) -> None:
    path = run_of(root) / "outputs" / "headers.jsonl"
    unlock(path)
    path.rename(root / "elsewhere")
    path.symlink_to(root / "elsewhere")


def stray(path: str) -> Callable[[Path], None]:
    def add(root: Path) -> None:
        found = root / path.replace("RUN", run_of(root).name)
        unlock(found)
        found.parent.mkdir(parents=True, exist_ok=True)
        found.write_bytes(b"stray")

    return add


CASES: list[tuple[str, str, Callable[[Path], None]]] = [
    ("OUTPUT_MISSING", "source/1-plate-1.jpg", lambda root: spoil(source(root), None)),
    ("SIZE_MISMATCH", "source/1-plate-1.jpg", lambda root: spoil(source(root), b"short")),
    ("DIGEST_MISMATCH", "source/1-plate-1.jpg", lambda root: flip(source(root), 4000)),
    ("DIGEST_MISMATCH", "headers.jsonl", linked_output),
    ("UNLISTED_FILE", "notes.txt", stray("plates_structured/plate-001/notes.txt")),
    ("UNLISTED_FILE", "more.txt", stray("plates_structured/plate-001/runs/RUN/outputs/more.txt")),
    ("UNLISTED_FILE", "cache/x.png", stray("plates_structured/plate-001/cache/x.png")),
    ("UNLISTED_FILE", "runs/x.txt", stray("runs/x.txt")),
    ("RUN_INVALID", "runs/run-", lambda root: spoil(run_of(root) / "run.json", b"{")),
    ("RUN_INVALID", "runs/run-", lambda root: spoil(run_of(root) / "run.json", b"[" * 10**5)),
    ("RUN_INVALID", "runs/run-", lambda root: spoil(run_of(root) / "run.json", b"{}")),
    ("RUN_INVALID", "runs/run-", lambda root: spoil(run_of(root) / "run.sha256", None)),
    ("RUN_INVALID", "runs/run-", lambda root: spoil(run_of(root) / "run.sha256", b"none\n")),
    ("RUN_INVALID", "runs/run-", rename_run),
    (
        "DIGEST_MISMATCH",
        "run.json",
        lambda root: change_record(root, b"complete", b"COMPLETE", with_checksum=False),
    ),
    (
        "RUN_INVALID",
        "runs/run-",
        lambda root: change_record(root, b'{"agent"', b'{ "agent"', with_checksum=True),
    ),
    (
        "RUN_INVALID",
        "runs/run-",
        lambda root: change_record(
            root, b"outputs/headers.jsonl", b"../../../../x.jsonl", with_checksum=True
        ),
    ),
    ("RUN_CHECKSUM_INVALID", "runs/run-", lambda root: drop_line(root, "run.json")),
    ("RUN_CHECKSUM_INVALID", "runs/run-", lambda root: drop_line(root, "headers.jsonl")),
    ("LEDGER_INVALID", "ledger/", lambda root: spoil(root / "ledger" / "plates.parquet", None)),
    ("LEDGER_INVALID", "ledger/", lambda root: spoil(root / "ledger" / "ledger.json", b"[")),
    ("LEDGER_INVALID", "ledger/", lambda root: spoil(root / "ledger" / "ledger.json", b"[]")),
    ("DIGEST_MISMATCH", "ledger/", lambda root: flip(root / "ledger" / "plates.parquet", 99)),
    ("OUTPUT_MISSING", "data.json", lambda root: spoil(root / "data.json", None)),
    ("DIGEST_MISMATCH", "schemas/", lambda root: flip(root / "schemas/run.v1.schema.json", 99)),
]


@pytest.mark.parametrize(("code", "subject", "spoiled"), CASES)
def test_finds_and_names_what_is_wrong_and_changes_nothing(
    built: Repository, code: str, subject: str, spoiled: Callable[[Path], None]
) -> None:
    spoiled(built.root)
    before = {
        path: (path.lstat().st_mode, path.lstat().st_mtime_ns) for path in built.root.rglob("*")
    }
    view = built.verify()
    found = [one for one in view.findings if one.code == code and subject in one.subject]
    assert found, [(one.code, one.subject, one.message) for one in view.findings]
    assert found[0].severity == CODES[code][0] == "error"
    assert not view.sound
    assert before == {
        path: (path.lstat().st_mode, path.lstat().st_mtime_ns) for path in built.root.rglob("*")
    }


def test_a_listing_that_was_tampered_with_is_found(tiny: Repository) -> None:
    """The first seal has more than 64 outputs when many plates come in: they stand in a listing."""
    for number in range(10, 40):
        shutil.copytree(plate(tiny.root, 1), plate(tiny.root, number))
        path = plate(tiny.root, number) / "manifest.json"
        text = json.loads(path.read_bytes())
        changed = text | {"plate_id": f"plate-{number:03d}", "plate_number": number}
        spoil(path, json.dumps(changed).encode())
    tiny.run("headers", plates="plate-010")
    (listing,) = tiny.root.glob("runs/*/listings/outputs.jsonl")
    assert tiny.verify().sound
    flip(listing, 8 * 40)
    assert "DIGEST_MISMATCH" in codes(tiny.verify())
    lines = listing.read_bytes().splitlines(keepends=True)
    spoil(listing, b"".join(lines[:-3]))
    view = tiny.verify()
    assert {"SIZE_MISMATCH"} <= codes(view)
    assert not view.sound


def test_an_evicted_cache_is_a_warning(tiny: Repository) -> None:
    tiny.run("headers")
    run = run_of(tiny.root)
    record = json.loads((run / "run.json").read_bytes())
    gone = dict(
        record["outputs"][0],
        path=f"plates_structured/plate-001/cache/{run.name}/normal.png",
        role="image",
    )
    from ledgerkit.canonical import canonical_bytes

    data = canonical_bytes(record | {"outputs": [gone, *record["outputs"]]})
    before = hashlib.sha256((run / "run.json").read_bytes()).hexdigest()
    spoil(run / "run.json", data)
    listed = (run / "run.sha256").read_text().replace(before, hashlib.sha256(data).hexdigest())
    spoil(run / "run.sha256", listed.encode())
    view = tiny.verify()
    assert [(one.code, one.severity) for one in view.findings] == [("CACHE_MISSING", "warning")]
    assert view.sound


def bare(root: Path, checksum: bool) -> Path:
    folder = plate(root, 1)
    (folder / "source").mkdir(parents=True)
    (folder / "source" / "a.jpg").write_bytes(b"not looked at")
    (folder / "manifest.json").write_text("{}")
    digest = hashlib.sha256(b"not looked at").hexdigest()
    if checksum:
        (folder / "source.sha256").write_text(f"{digest}  source/a.jpg\n")
    return folder


def test_what_is_not_sealed_yet_is_not_checked_and_never_called_sound_by_name(
    tmp_path: Path,
) -> None:
    bare(tmp_path, checksum=False)
    view = verify(tmp_path)
    assert (view.files, view.not_checked, view.findings) == (0, 2, [])


def test_a_source_that_is_not_sealed_is_held_against_its_checksum_file(tmp_path: Path) -> None:
    folder = bare(tmp_path, checksum=True)
    view = verify(tmp_path)
    assert (view.files, view.not_checked, view.findings) == (1, 2, [])
    flip(folder / "source" / "a.jpg", 9)
    assert codes(verify(tmp_path)) == {"DIGEST_MISMATCH"}
    (folder / "source" / "a.jpg").unlink()
    assert codes(verify(tmp_path)) == {"OUTPUT_MISSING"}


@pytest.mark.parametrize(
    "text", ["", "0" * 64, "md5  a.jpg\n", f"{'0' * 64}  ../../../etc/passwd\n"]
)
def test_a_checksum_file_that_is_none_is_found(tmp_path: Path, text: str) -> None:
    (bare(tmp_path, checksum=True) / "source.sha256").write_text(text)
    assert "SOURCE_CHECKSUM_INVALID" in codes(verify(tmp_path))


def test_progress_counts_to_the_end(tiny: Repository) -> None:
    seen: list[tuple[int, int]] = []
    view = tiny.verify(progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (view.files, view.files)
    assert seen == sorted(set(seen))


def test_one_worker_and_many_find_the_same(built: Repository) -> None:
    flip(source(built.root), 77)
    views = [verify(built.root, workers=workers) for workers in (1, 4)]
    assert views[0].findings == views[1].findings
