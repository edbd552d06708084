"""Audit: sees everything without reading pixels, and never writes."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ledgerkit import schema
from ledgerkit.api import Repository
from ledgerkit.cli import main
from ledgerkit.cli.common import print_json
from ledgerkit.collected import WARNING_MEGAPIXELS
from ledgerkit.findings import CODES
from ledgerkit.views import AuditView

INGEST_ONLY = frozenset(list(CODES)[: list(CODES).index("PLATE_MISSING")]) - {"SOURCE_UNREADABLE"}
VERIFY_ONLY = frozenset(
    {"ROLLED_BACK", "CHECKPOINT_DISAGREES", "MANIFEST_UNLOGGED", "UNLISTED_FILE"}
)
MODELS_ONLY = frozenset(code for code in CODES if code.startswith("MODEL_"))
CORRECTIONS_ONLY = frozenset({"CORRECTION_INVALID", "CORRECTION_PLATE_UNKNOWN", "PLATE_NOT_SEALED"})


def plate(root: Path, number: int = 1) -> Path:
    return root / "plates_structured" / f"plate-{number:03d}"


def unlock(path: Path) -> None:
    """Take the protection off a file and its folder, as a careless person would."""
    for one in (path, *path.parents[:2]):
        if one.exists():
            one.chmod(stat.S_IMODE(one.stat().st_mode) | stat.S_IWUSR)


def spoil(path: Path, data: bytes | None) -> None:
    unlock(path)
    if data is None:
        path.unlink()
    else:
        path.write_bytes(data)


def newest_run(root: Path, number: int = 1) -> Path:
    return max((plate(root, number) / "runs").iterdir())


def manifest_with(**changes: Any) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        path = plate(root) / "manifest.json"
        spoil(path, json.dumps(json.loads(path.read_bytes()) | changes).encode())

    return change


def contradicted(root: Path) -> None:
    """An adopted plate whose checksum says otherwise, met by a writing command."""
    folder = root / "plates_structured" / "plate-009"
    shutil.copytree(root / "plates_structured" / "plate-001" / "source", folder / "source")
    (source,) = (folder / "source").iterdir()
    manifest = {"plate_id": "plate-009", "plate_number": 9, "title": "Nine", "slug": "nine"}
    (folder / "manifest.json").write_text(json.dumps(manifest | {"source_image": source.name}))
    (folder / "source.sha256").write_text(f"{'0' * 64}  source/{source.name}\n")
    Repository.open(root).run("headers")


def interrupted(root: Path) -> None:
    """A process died between its commit point and its renames."""
    intent = {"schema_version": "intent.v1", "job_id": "job-x", "log": None, "moves": []}
    (root / ".ledgerkit" / "intent.json").write_text(json.dumps(intent))


def adopted(root: Path) -> None:
    folder = plate(root, 4)
    (folder / "source").mkdir(parents=True)
    Image.new("L", (4, 4)).save(folder / "source" / "four.png")
    text = {"plate_id": "plate-004", "plate_number": 4, "title": "Four", "slug": "four"}
    (folder / "manifest.json").write_text(json.dumps(text | {"source_image": "four.png"}))


def png_of(width: int, height: int) -> bytes:
    """The header of a large PNG; its pixels are nobody's business here."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    data = b"IDAT" + zlib.compress(b"\0")
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", len(data) - 4) + data


def large(root: Path) -> None:
    adopted(root)
    (plate(root, 4) / "source" / "four.png").write_bytes(png_of(10_000, 9_001))


def interlaced(root: Path) -> None:
    """One image that only a decoder with 1.5 GB can turn into pixels; its header says so."""
    adopted(root)
    head = bytearray(png_of(20_000, 25_000))
    head[25:29] = bytes([2, 0, 0, 1])
    (plate(root, 4) / "source" / "four.png").write_bytes(bytes(head))


def bad_checksum(root: Path) -> None:
    spoil(plate(root) / "source.sha256", b"0123  source/1-plate-1.jpg\n")


def checksum_of_another_file(root: Path) -> None:
    spoil(plate(root) / "source.sha256", b"0" * 64 + b"  source/other.jpg\n")


def second_source(root: Path) -> None:
    unlock(plate(root) / "source" / "x")
    (plate(root) / "source" / "second.jpg").write_bytes(b"x")


def no_source(root: Path) -> None:
    spoil(plate(root) / "source" / "1-plate-1.jpg", None)


def folder_for_a_source(root: Path) -> None:
    no_source(root)
    (plate(root) / "source" / "folder").mkdir()


def linked_source(root: Path) -> None:
    source = plate(root) / "source" / "1-plate-1.jpg"
    unlock(source)
    source.rename(root / "elsewhere.jpg")
    source.symlink_to(root / "elsewhere.jpg")


def linked_folder(root: Path) -> None:
    folder = plate(root) / "source"
    folder.chmod(0o755)
    folder.rename(root / "elsewhere")
    folder.symlink_to(root / "elsewhere")


def linked_plate(root: Path) -> None:
    (root / "plates_structured" / "plate-009").symlink_to(plate(root))


def linked_manifest(root: Path) -> None:
    (plate(root) / "manifest.json").rename(root / "elsewhere.json")
    (plate(root) / "manifest.json").symlink_to(root / "elsewhere.json")


def plate_gone(root: Path) -> None:
    for folder in (
        plate(root) / "source",
        *plate(root).rglob("run-*"),
        *plate(root).rglob("outputs"),
    ):
        folder.chmod(0o755)
    shutil.rmtree(plate(root))


def run_not_json(root: Path) -> None:
    spoil(newest_run(root) / "run.json", b"{")


def run_nested_beyond_measure(root: Path) -> None:
    spoil(newest_run(root) / "run.json", b'{"parameters":' + b"[" * 100_000)


def run_of_another_plate(root: Path) -> None:
    shutil.copytree(newest_run(root, 2), plate(root) / "runs" / newest_run(root, 2).name)


def run_gone(root: Path) -> None:
    unlock(newest_run(root) / "run.json")
    newest_run(root).rename(root / "elsewhere")


def bundle_flipped(root: Path) -> None:
    path = max((root / "log/tile/entries/000.p").iterdir(), key=lambda one: int(one.name))
    spoil(path, path.read_bytes().replace(b"plate-001", b"plate-007", 1))


def run_changed(root: Path) -> None:
    record = newest_run(root) / "run.json"
    spoil(record, record.read_bytes().replace(b'"status":"complete"', b'"status":"partial"'))


def run_without_checksum(root: Path) -> None:
    spoil(newest_run(root) / "run.sha256", None)


def run_with_an_odd_name(root: Path) -> None:
    (plate(root) / "runs" / "my-run").mkdir()


def output_missing(root: Path) -> None:
    spoil(newest_run(root) / "outputs" / "headers.jsonl", None)


def output_longer(root: Path) -> None:
    path = newest_run(root) / "outputs" / "headers.jsonl"
    spoil(path, path.read_bytes() + b"\n")


def output_that_leads_out(root: Path) -> None:
    record = newest_run(root) / "run.json"
    spoil(record, record.read_bytes().replace(b"plates_structured/plate-001/runs", b"../x"))


def document_changed(root: Path) -> None:
    spoil(root / "data.json", b"[]")


def document_missing(root: Path) -> None:
    spoil(root / "repository.json", None)


def writable_evidence(root: Path) -> None:
    unlock(plate(root) / "source" / "1-plate-1.jpg")


def in_ledger(name: str, data: bytes | None) -> Callable[[Path], None]:
    return lambda root: spoil(root / "ledger" / name, data)


def in_schemas(name: str, data: bytes) -> Callable[[Path], None]:
    return lambda root: spoil(root / "schemas" / name, data)


def records_newer(root: Path) -> None:
    Repository.open(root).run("headers", force=True)


def source_shorter(root: Path) -> None:
    path = plate(root) / "source" / "1-plate-1.jpg"
    spoil(path, path.read_bytes()[:-1])


def output_listed(**paths: str) -> Callable[[Path], None]:
    """The newest record lists its first output under another path, too."""
    (path,) = paths.values()

    def change(root: Path) -> None:
        record = newest_run(root) / "run.json"
        run = json.loads(record.read_bytes())
        first = run["outputs"][0]
        other = first["path"].replace("outputs/", path) if path == "OUTPUTS/" else path
        run["outputs"].append(first | {"path": other})
        spoil(record, json.dumps(run).encode())

    return change


def output_inside_another(root: Path) -> None:
    run = json.loads((newest_run(root) / "run.json").read_bytes())
    output_listed(inside=f"{run['outputs'][0]['path']}/more")(root)


def twin_sources(root: Path) -> None:
    for name in ("caf\u00e9.jpg", "cafe\u0301.jpg"):
        unlock(plate(root) / "source" / name)
        (plate(root) / "source" / name).write_bytes(b"x")


def twin_folders(root: Path) -> None:
    (root / "plates_structured" / "Plate-001").mkdir()


def name_of_other_bytes(root: Path) -> None:
    with open(os.fsencode(plate(root)) + b"/caf\xe9.txt", "wb"):
        pass


def source_in_another_form(root: Path) -> None:
    """As a copy to a file system that takes names in another case leaves it."""
    source = plate(root) / "source" / "1-plate-1.jpg"
    unlock(source)
    source.rename(source.with_name("1-PLATE-1.jpg"))


def output_in_another_case(root: Path) -> None:
    output = next((newest_run(root) / "outputs").iterdir())
    unlock(output)
    output.rename(output.with_name(output.name.upper()))


def linked_twice(root: Path) -> None:
    os.link(plate(root) / "source" / "1-plate-1.jpg", root / "working copy.jpg")


def pipe_for_a_source(root: Path) -> None:
    no_source(root)
    os.mkfifo(plate(root) / "source" / "1-plate-1.jpg")


def socket_in_a_plate(root: Path) -> None:
    os.mknod(plate(root) / "socket", stat.S_IFSOCK | 0o600)


def source_no_image(root: Path) -> None:
    path = plate(root) / "source" / "1-plate-1.jpg"
    spoil(path, b"\0" * path.stat().st_size)


CASES: list[tuple[str, Callable[[Path], None]]] = [
    ("PLATE_MISSING", plate_gone),
    ("MANIFEST_MISSING", lambda root: spoil(plate(root) / "manifest.json", None)),
    ("MANIFEST_INVALID", manifest_with(plate_number="one")),
    ("MANIFEST_INVALID", lambda root: spoil(plate(root) / "manifest.json", b"[" * 100_000)),
    ("MANIFEST_INVALID", lambda root: spoil(plate(root) / "manifest.json", b" " * (2 << 20))),
    ("MANIFEST_FIELD_UNKNOWN", manifest_with(colour="sepia")),
    ("MANIFEST_IDENTITY", manifest_with(plate_id="plate-007")),
    ("DIGEST_MISMATCH", manifest_with(title="Another")),
    ("SOURCE_COUNT", second_source),
    ("SOURCE_COUNT", no_source),
    ("SOURCE_COUNT", folder_for_a_source),
    ("SOURCE_NAME_DISAGREE", manifest_with(source_image="other.jpg")),
    ("SOURCE_CHECKSUM_MISSING", adopted),
    ("SOURCE_CHECKSUM_INVALID", bad_checksum),
    ("SOURCE_CHECKSUM_INVALID", checksum_of_another_file),
    ("SOURCE_SIZE_CHANGED", source_shorter),
    ("SOURCE_UNREADABLE", source_no_image),
    ("PLATE_ID_INVALID", lambda root: (root / "plates_structured" / "plate-1").mkdir()),
    ("RUN_INVALID", run_not_json),
    ("RUN_INVALID", run_nested_beyond_measure),
    ("RUN_INVALID", run_of_another_plate),
    ("UNSEALED_RUN", run_of_another_plate),
    ("RUN_MISSING", run_gone),
    ("LOG_MISSING", lambda root: (root / "log").rename(root / "elsewhere")),
    ("LOG_INVALID", lambda root: spoil(root / "log/checkpoint", b"none")),
    ("LOG_INVALID", bundle_flipped),
    ("RUN_INVALID", run_without_checksum),
    ("PATH_UNSAFE", output_that_leads_out),
    ("PATH_UNSAFE", output_listed(absolute="/etc/passwd")),
    ("PATH_UNSAFE", output_listed(long="plates_structured/plate-001/" + "x" * 256)),
    ("PATH_UNSAFE", output_inside_another),
    ("NAME_COLLIDES", output_listed(upper="OUTPUTS/")),
    ("NAME_COLLIDES", twin_sources),
    ("NAME_COLLIDES", twin_folders),
    ("NAME_COLLIDES", lambda root: (root / "PLATES_STRUCTURED").mkdir()),
    ("NAME_UNPORTABLE", lambda root: (plate(root) / "aux.txt").write_bytes(b"x")),
    ("NAME_UNPORTABLE", lambda root: (plate(root) / "ends with a dot.").write_bytes(b"x")),
    ("NAME_UNPORTABLE", lambda root: (plate(root) / "back\\slash").write_bytes(b"x")),
    ("NAME_UNPORTABLE", lambda root: (plate(root) / "\x1b[2J").write_bytes(b"x")),
    ("NAME_UNPORTABLE", lambda root: (plate(root) / ("e\u0301" * 80)).write_bytes(b"x")),
    ("NAME_NOT_UTF8", name_of_other_bytes),
    ("NAME_FORM_DIFFERS", source_in_another_form),
    ("NAME_FORM_DIFFERS", output_in_another_case),
    ("HARD_LINKED", linked_twice),
    ("SPECIAL_FILE", pipe_for_a_source),
    ("SPECIAL_FILE", socket_in_a_plate),
    ("RUN_ID_INVALID", run_with_an_odd_name),
    ("RUN_CHECKSUM_INVALID", run_changed),
    ("OUTPUT_MISSING", output_missing),
    ("OUTPUT_MISSING", document_missing),
    ("SIZE_MISMATCH", output_longer),
    ("SIZE_MISMATCH", document_changed),
    ("UNSEALED", adopted),
    ("SEAL_FAILED", contradicted),
    ("COMMIT_PENDING", interrupted),
    ("LINK_FOUND", linked_source),
    ("LINK_FOUND", linked_folder),
    ("LINK_FOUND", linked_plate),
    ("LINK_FOUND", linked_manifest),
    ("PROTECTION_LOST", writable_evidence),
    ("LARGE_IMAGE", large),
    ("NOT_STREAMABLE", interlaced),
    ("LEDGER_BEHIND", records_newer),
    ("LEDGER_INVALID", in_ledger("plates.parquet", b"PAR1")),
    ("LEDGER_INVALID", in_ledger("plates.parquet", None)),
    ("LEDGER_INVALID", in_ledger("ledger.json", b'{"schema_version":"ledger.v1"}')),
    ("LEDGER_FOREIGN", in_ledger("notes.txt", b"mine")),
    ("SCHEMA_INVALID", in_schemas("run.v1.schema.json", b"{")),
    ("SCHEMA_INVALID", in_schemas("run.v1.schema.json", b"[" * 100_000)),
    ("SCHEMA_CHANGED", in_schemas("run.v1.schema.json", b"{}")),
]
ELSEWHERE = {
    "CACHE_MISSING": "test_a_missing_cache_is_a_warning",
    "PATH_UNREADABLE": "test_what_nobody_may_read_is_a_finding",
    "PLATE_ID_COLLISION": "test_two_folders_of_one_number_collide",
}


@pytest.fixture
def built(tiny: Repository) -> Repository:
    """Three plates with header runs and ledgers: sound."""
    tiny.run("headers")
    tiny.consolidate()
    return tiny


def everything(folder: Path) -> dict[str, tuple[int, int, int]]:
    found = {}
    for path in [folder, *sorted(folder.rglob("*"))]:
        at = path.lstat()
        found[str(path.relative_to(folder))] = (at.st_mode, at.st_size, at.st_mtime_ns)
    return found


def report(view: AuditView, capsys: pytest.CaptureFixture[str]) -> Any:
    capsys.readouterr()
    print_json(view)
    return json.loads(capsys.readouterr().out)


def test_a_sound_repository_has_no_findings(
    built: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    view = built.audit()
    assert view.findings == []
    assert view.sound
    assert schema.problems("audit.v1", report(view, capsys)) == []
    assert (view.plates, view.plates_with_runs, view.plate_runs) == (3, 3, 3)
    assert view.runs_by_operation == {
        "headers": {"complete": 3},
        "ingest": {"complete": 1},
        "seal": {"complete": view.collection_runs - 1},
    }
    assert view.field_coverage["title"] == 3
    assert "license" not in view.field_coverage
    assert (view.megapixels.readable, view.megapixels.unreadable) == (3, 0)
    assert view.megapixels.minimum == view.megapixels.maximum == view.megapixels.mean == 0.000256


@pytest.mark.parametrize(("code", "spoiled"), CASES)
def test_finds_and_names_what_is_wrong_and_goes_on(
    built: Repository,
    capsys: pytest.CaptureFixture[str],
    code: str,
    spoiled: Callable[[Path], None],
) -> None:
    spoiled(built.root)
    before = everything(built.root)
    view = built.audit()
    assert everything(built.root) == before
    found = [one for one in view.findings if one.code == code]
    assert found, [(one.code, one.subject, one.message) for one in view.findings]
    assert found[0].severity == CODES[code][0]
    assert view.sound == (not any(one.severity == "error" for one in view.findings))
    assert schema.problems("audit.v1", report(view, capsys)) == []
    assert view.plates >= 2
    with pytest.raises(SystemExit) as left:
        main(["audit", "-C", str(built.root)])
    assert left.value.code == (0 if view.sound else 1)
    text = capsys.readouterr().out
    assert f"{CODES[code][0]:7} {code} " in text
    assert text.endswith("Audit complete. No files written.\n")


def test_every_code_that_an_audit_can_give_has_a_bad_fixture() -> None:
    tested = {code for code, _ in CASES} | set(ELSEWHERE)
    assert tested == set(CODES) - INGEST_ONLY - VERIFY_ONLY - CORRECTIONS_ONLY - MODELS_ONLY
    assert all(name in globals() for name in ELSEWHERE.values())


def test_a_missing_cache_is_a_warning(built: Repository) -> None:
    record = newest_run(built.root) / "run.json"
    run = json.loads(record.read_bytes())
    gone = dict(run["outputs"][0], path=f"plates_structured/plate-001/cache/{run['run_id']}/a.png")
    spoil(record, json.dumps(run | {"outputs": [*run["outputs"], gone]}).encode())
    found = {one.code: one.severity for one in built.audit().findings}
    assert found["CACHE_MISSING"] == "warning"
    assert "OUTPUT_MISSING" not in found


def test_two_folders_of_one_number_collide(built: Repository) -> None:
    from ledgerkit.audit import _plate_folders
    from ledgerkit.collected import Collected

    found = Collected()
    _plate_folders(built._archive, found, ["plate-001", "plate-0001"])
    assert [one.code for one in found.findings] == ["PLATE_ID_COLLISION"]


NOBODY = ["--reuid=65534", "--regid=65534", "--clear-groups"]
READS_ALL = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
"""The interpreter may lie where nobody may read; this permission is for reading alone."""
BARE = ["--inh-caps=-all", "--bounding-set=-all"]


def as_who(who: list[str], *arguments: object) -> subprocess.CompletedProcess[str]:
    """The command line as a user without root's rights, which is this user if he has none."""
    if os.getuid() != 0:
        who = []
    elif shutil.which("setpriv") is None:
        pytest.skip("root needs setpriv to be somebody else")
    command = [*(["setpriv", *who] if who else []), sys.executable, "-B", "-m", "ledgerkit"]
    given = [*command, *map(str, arguments)]
    return subprocess.run(given, capture_output=True, text=True, cwd="/", check=False)


@pytest.fixture
def protected(built: Repository) -> Any:
    """The repository without any write permission, given back afterwards."""
    paths = [built.root, *built.root.rglob("*")]
    modes = {path: stat.S_IMODE(path.lstat().st_mode) for path in paths}
    for parent in built.root.parents:
        if parent.stat().st_uid == os.getuid() and not parent.stat().st_mode & stat.S_IXOTH:
            parent.chmod(stat.S_IMODE(parent.stat().st_mode) | stat.S_IXOTH | stat.S_IROTH)
    for path, mode in modes.items():
        path.chmod((mode & ~0o222) | (0o555 if path.is_dir() else 0o444))
    yield built
    for path, mode in modes.items():
        path.chmod(mode)


@pytest.mark.parametrize("command", ["audit", "verify", "query", "status", "lineage"])
def test_reads_as_a_user_who_may_write_nothing_and_writes_nothing(
    protected: Repository, command: str
) -> None:
    root = protected.root
    further = {"query": ["SELECT count(*) AS n FROM plates"], "lineage": ["plate-001"]}
    before = everything(root)
    done = as_who([*NOBODY, *READS_ALL], command, "-C", root, *further.get(command, []), "--json")
    assert done.returncode == 0, done.stderr
    assert everything(root) == before
    if command == "audit":
        assert schema.problems("audit.v1", json.loads(done.stdout)) == []


def test_the_user_who_may_write_nothing_indeed_cannot(protected: Repository) -> None:
    done = as_who([*NOBODY, *READS_ALL], "headers", "-C", protected.root, "--force")
    assert done.returncode == 5
    assert "Permission denied" in done.stderr
    assert len(done.stderr.splitlines()) == 2


def test_what_nobody_may_read_is_a_finding(protected: Repository) -> None:
    (plate(protected.root) / "runs").chmod(0)
    done = as_who(BARE, "audit", "-C", protected.root, "--json")
    view = json.loads(done.stdout)
    assert done.returncode == 1
    assert [one["code"] for one in view["findings"]] == ["PATH_UNREADABLE"]
    assert view["findings"][0]["subject"] == "plates_structured/plate-001"
    assert view["plates"] == 3


def test_a_bare_folder_of_plates_is_valid_as_it_stands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    adopted(tmp_path)
    for name in ("img", "plates", "ledger"):
        (tmp_path / name).mkdir()
    before = everything(tmp_path)
    view = Repository.open(tmp_path).audit()
    assert everything(tmp_path) == before
    assert view.sound
    assert view.top_level_folders == ["img", "ledger", "plates", "plates_structured"]
    assert {one.code for one in view.findings} == {
        "UNSEALED",
        "SOURCE_CHECKSUM_MISSING",
        "PROTECTION_LOST",
        "LEDGER_BEHIND",
    }
    assert schema.problems("audit.v1", report(view, capsys)) == []


def test_no_plates_at_all_are_reported_as_such(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "plates_structured").mkdir()
    with pytest.raises(SystemExit) as left:
        main(["audit", "-C", str(tmp_path)])
    assert left.value.code == 0
    assert re.search(r"^  Plates +0$", capsys.readouterr().out, re.MULTILINE)
    view = Repository.open(tmp_path).audit()
    assert (view.plates, view.megapixels.mean, view.findings) == (0, None, [])
    assert schema.problems("audit.v1", report(view, capsys)) == []


def test_names_that_are_no_text_are_reported_as_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    adopted(tmp_path)
    source = plate(tmp_path, 4) / "source"
    os.rename(source / "four.png", os.fsencode(source) + b"/\xff.png")
    os.mkdir(os.fsencode(tmp_path) + b"/\xfe")
    view = Repository.open(tmp_path).audit()
    assert schema.problems("audit.v1", report(view, capsys)) == []
    assert "SOURCE_NAME_DISAGREE" in {one.code for one in view.findings}


def test_every_plate_is_looked_at_and_not_a_sample(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(1, 5001):
        folder = plate(tmp_path, number)
        (folder / "source").mkdir(parents=True)
        name = {"plate_id": folder.name, "plate_number": number, "title": "T", "slug": "t"}
        (folder / "manifest.json").write_text(json.dumps(name | {"source_image": "a.png"}))
        wide = 10_000 if number % 1000 == 0 else 100
        (folder / "source" / "a.png").write_bytes(png_of(wide, 9_001))
    (plate(tmp_path, 4999) / "source" / "a.png").write_bytes(b"")
    view = Repository.open(tmp_path).audit()
    assert view.plates == 5000
    assert (view.megapixels.readable, view.megapixels.unreadable) == (4999, 1)
    assert view.megapixels.over_warning_line == len(view.megapixels.largest) == 5
    assert view.megapixels.maximum == 90.01 > WARNING_MEGAPIXELS
    assert [one.subject for one in view.findings if one.code == "SOURCE_UNREADABLE"] == [
        "plates_structured/plate-4999/source/a.png"
    ]
    assert schema.problems("audit.v1", report(view, capsys)) == []


def test_tags_that_lie_behind_the_pixels_are_read_too(tmp_path: Path) -> None:
    import pyvips

    root = tmp_path / "archive"
    adopted(root)
    source = next((plate(root, 4) / "source").iterdir())
    unlock(source)
    source.unlink()
    rgb = pyvips.Image.black(300, 200, bands=3).copy(interpretation="srgb")
    rgb.tiffsave(str(source.with_name("four.tif")), tile=True, tile_width=64, tile_height=64)
    codes = {one.code for one in Repository.open(root).audit().findings}
    assert not codes & {"SOURCE_UNREADABLE", "NOT_STREAMABLE"}
