"""Ingest: what comes in is checked before anything is written, copied, digested, sealed, kept."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
import unicodedata
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ledgerkit import ingest as ingest_module
from ledgerkit import schema
from ledgerkit.api import Repository
from ledgerkit.errors import InvalidRecord, UsageError
from ledgerkit.findings import CODES, Finding
from ledgerkit.ingest import IngestRefused
from ledgerkit.testing.scenarios import draw
from ledgerkit.views import IngestView


class Scans:
    """A catalogue and a folder of images in the making."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "scans"
        self.images = self.folder / "images"
        self.images.mkdir(parents=True)
        self.catalogue = self.folder / "data.json"
        self.entries: list[dict[str, Any]] = []

    def image(self, name: str, colour: int = 0) -> str:
        path = self.images / name
        path.parent.mkdir(exist_ok=True)
        Image.new("L", (8, 6), colour).save(path, "PNG")
        return name

    def plate(self, number: int, name: str | None = None, **other: Any) -> dict[str, Any]:
        name = name if name is not None else self.image(f"plate-{number}.png", number % 256)
        entry = {"plate": number, "name": f"Plate {number}", "slug": f"plate-{number}"}
        self.entries.append({**entry, "fileName": name, **other})
        return self.entries[-1]

    def write(self) -> Path:
        self.catalogue.write_text(json.dumps(self.entries))
        return self.catalogue

    def into(self, repository: Repository, *, partial: bool = False) -> IngestView:
        return repository.ingest(self.write(), self.images, partial=partial)


@pytest.fixture
def scans(tmp_path: Path) -> Scans:
    return Scans(tmp_path)


@pytest.fixture
def empty(tmp_path: Path) -> Repository:
    return Repository.init(tmp_path / "archive")


def snapshot(root: Path) -> dict[str, tuple[int, int, str]]:
    """Every path with mode, time and digest; the lock and hints of the store left out."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        at = path.lstat()
        if not name.startswith(".ledgerkit"):
            data = path.read_bytes() if stat.S_ISREG(at.st_mode) else b""
            found[name] = (at.st_mode, at.st_mtime_ns, hashlib.sha256(data).hexdigest())
    return found


def codes(findings: list[Finding]) -> list[str]:
    return [one.code for one in findings]


def entry_invalid(scans: Scans) -> None:
    scans.entries.append({"plate": "nine", "name": "Nine"})


def source_missing(scans: Scans) -> None:
    scans.plate(2, "nowhere.png")


def source_missing_for_want_of_a_name(scans: Scans) -> None:
    scans.plate(2, "")


def source_unreadable(scans: Scans) -> None:
    (scans.images / "text.jpg").write_text("no image")
    scans.plate(2, "text.jpg")


def source_empty(scans: Scans) -> None:
    (scans.images / "empty.tif").write_bytes(b"")
    scans.plate(2, "empty.tif")


def source_truncated(scans: Scans) -> None:
    scans.image("cut.png")
    data = (scans.images / "cut.png").read_bytes()
    (scans.images / "cut.png").write_bytes(data[:20])
    scans.plate(2, "cut.png")


def source_name_unsafe(scans: Scans) -> None:
    scans.plate(2, scans.image("con.png"))


def source_name_of_a_device_with_two_suffixes(scans: Scans) -> None:
    scans.plate(2, scans.image("LPT1.scan.png"))


def source_name_with_a_control_character(scans: Scans) -> None:
    scans.plate(2, scans.image("a\nb.png"))


def plate_number_duplicate(scans: Scans) -> None:
    scans.plate(2)
    scans.plate(2, scans.image("other.png"))


def names_that_differ_in_case(scans: Scans) -> None:
    scans.plate(2, scans.image("Bird.png"))
    scans.image("below/bird.PNG")


def names_that_differ_in_normal_form(scans: Scans) -> None:
    scans.plate(2, scans.image(unicodedata.normalize("NFC", "Vögel.png")))
    scans.image("below/" + unicodedata.normalize("NFD", "Vögel.png"))


def one_file_of_two_plates(scans: Scans) -> None:
    scans.plate(2, scans.image("shared.png"))
    scans.plate(3, "SHARED.png")


def file_without_entry(scans: Scans) -> None:
    scans.image("nobody.png")


def plate_number_gap(scans: Scans) -> None:
    scans.plate(4)


def slug_duplicate(scans: Scans) -> None:
    scans.plate(2).update(name="Plate 1", slug="plate-1")


def slug_title_disagree(scans: Scans) -> None:
    scans.plate(2, slug="something-else")


def titles_shifted(scans: Scans) -> None:
    birds = ["owl", "hawk", "wren", "finch", "heron"]
    for number, (title, slug) in enumerate(pairwise(birds), 2):
        scans.plate(number, scans.image(f"{slug}.png")).update(name=title, slug=slug)


BAD = [
    ("ENTRY_INVALID", entry_invalid),
    ("SOURCE_MISSING", source_missing),
    ("SOURCE_MISSING", source_missing_for_want_of_a_name),
    ("SOURCE_UNREADABLE", source_unreadable),
    ("SOURCE_UNREADABLE", source_empty),
    ("SOURCE_UNREADABLE", source_truncated),
    ("SOURCE_NAME_UNSAFE", source_name_unsafe),
    ("SOURCE_NAME_UNSAFE", source_name_of_a_device_with_two_suffixes),
    ("SOURCE_NAME_UNSAFE", source_name_with_a_control_character),
    ("PLATE_NUMBER_DUPLICATE", plate_number_duplicate),
    ("NAME_COLLISION", names_that_differ_in_case),
    ("NAME_COLLISION", names_that_differ_in_normal_form),
    ("NAME_COLLISION", one_file_of_two_plates),
]
ODD = [
    ("FILE_WITHOUT_ENTRY", file_without_entry),
    ("PLATE_NUMBER_GAP", plate_number_gap),
    ("SLUG_DUPLICATE", slug_duplicate),
    ("SLUG_TITLE_DISAGREE", slug_title_disagree),
    ("TITLES_SHIFTED", titles_shifted),
]


def named(cases: list[tuple[str, Any]]) -> list[Any]:
    return [pytest.param(*case, id=case[1].__name__) for case in cases]


@pytest.mark.parametrize(("code", "spoil"), named(BAD))
def test_an_error_stops_everything_and_partial_takes_the_good(
    empty: Repository, scans: Scans, code: str, spoil: Any
) -> None:
    scans.plate(1)
    spoil(scans)
    before = snapshot(empty.root)
    with pytest.raises(IngestRefused) as refused:
        scans.into(empty)
    assert code in codes(refused.value.findings)
    assert {one.severity for one in refused.value.findings if one.code == code} == {"error"}
    assert snapshot(empty.root) == before
    view = scans.into(empty, partial=True)
    assert view.added == ["plate-001"]
    assert code in codes(view.findings)
    assert empty.audit().sound
    assert empty.verify().sound


@pytest.mark.parametrize(("code", "oddity"), named(ODD))
def test_a_warning_stops_nothing(empty: Repository, scans: Scans, code: str, oddity: Any) -> None:
    scans.plate(1)
    oddity(scans)
    view = scans.into(empty)
    assert len(view.added) == len(scans.entries)
    assert codes(view.findings) == [code]
    assert view.findings[0].severity == "warning"


def test_a_file_named_twice_is_said_once(empty: Repository, scans: Scans) -> None:
    names_that_differ_in_case(scans)
    with pytest.raises(IngestRefused) as refused:
        scans.into(empty)
    assert codes(refused.value.findings) == ["NAME_COLLISION"]


def test_every_code_of_ingest_has_a_bad_fixture() -> None:
    tested = {code for code, _ in BAD + ODD} | {"ENTRY_CHANGED"}
    ingest_codes = list(CODES)[: list(CODES).index("PLATE_MISSING")]
    assert tested == set(ingest_codes)


def test_all_findings_are_reported_in_one_go(empty: Repository, scans: Scans) -> None:
    scans.plate(1)
    for spoil in (entry_invalid, source_missing, file_without_entry):
        spoil(scans)
    scans.plate(5, slug="odd")
    with pytest.raises(IngestRefused) as refused:
        scans.into(empty)
    assert codes(refused.value.findings) == [
        "ENTRY_INVALID",
        "SOURCE_MISSING",
        "FILE_WITHOUT_ENTRY",
        "PLATE_NUMBER_GAP",
        "SLUG_TITLE_DISAGREE",
    ]
    assert "2 errors, the first: ENTRY_INVALID" in refused.value.message


def test_a_refusal_survives_the_way_between_processes(empty: Repository, scans: Scans) -> None:
    import pickle

    entry_invalid(scans)
    with pytest.raises(IngestRefused) as refused:
        scans.into(empty)
    again = pickle.loads(pickle.dumps(refused.value))
    assert (again.message, again.findings) == (refused.value.message, refused.value.findings)


def test_sources_are_copied_and_read_only(empty: Repository, scans: Scans) -> None:
    scans.plate(1)
    scans.into(empty)
    given = scans.images / "plate-1.png"
    folder = empty.root / "plates_structured" / "plate-001"
    source = folder / "source" / "plate-1.png"
    assert source.read_bytes() == given.read_bytes()
    assert not source.samefile(given)
    assert source.lstat().st_nlink == 1
    assert given.lstat().st_nlink == 1
    for path in (source, folder / "manifest.json", folder / "source.sha256"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o444
    assert stat.S_IMODE((folder / "source").stat().st_mode) == 0o555


def test_a_linked_scan_comes_in_as_a_file(empty: Repository, scans: Scans, tmp_path: Path) -> None:
    name = scans.image("linked.png")
    (scans.images / name).rename(tmp_path / "far away.png")
    (scans.images / name).symlink_to(tmp_path / "far away.png")
    scans.plate(1, name)
    scans.into(empty)
    source = empty.root / "plates_structured" / "plate-001" / "source" / name
    assert not source.is_symlink()
    assert source.read_bytes() == (tmp_path / "far away.png").read_bytes()


def test_plain_sha256sum_accepts_the_checksum_file(empty: Repository, scans: Scans) -> None:
    scans.plate(1, scans.image("with space & ünicode.png"))
    scans.into(empty)
    folder = empty.root / "plates_structured" / "plate-001"
    done = subprocess.run(["sha256sum", "-c", "source.sha256"], cwd=folder, capture_output=True)
    assert done.returncode == 0, done.stderr


def test_the_manifest_says_what_came_in(empty: Repository, scans: Scans) -> None:
    entry = scans.plate(7, download="https://example.org/7.png", license="CC0", artist=["A", "B"])
    scans.into(empty)
    path = empty.root / "plates_structured" / "plate-007" / "manifest.json"
    manifest = json.loads(path.read_bytes())
    assert schema.problems("plate.manifest.v2", manifest) == []
    source = path.parent / "source" / "plate-7.png"
    assert manifest["metadata"] == entry
    assert manifest["source"]["sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()
    assert manifest["source"]["media_type"] == "image/png"
    assert (manifest["license"], manifest["download_url"]) == ("CC0", "https://example.org/7.png")


def test_the_other_fields_of_the_catalogue_become_labels_of_the_seal(
    empty: Repository, scans: Scans
) -> None:
    scans.plate(1, artist="Audubon", subjects=["bird", "tree", "bird"], year=1827, rare=True)
    scans.plate(2, artist="", subjects=[], year=None, title="Plate 2 again")
    run_ids = scans.into(empty).run_ids
    empty.consolidate()
    labels = empty.query("SELECT scheme, value, subject_id, run_id FROM labels ORDER BY ALL")
    assert labels.rows() == [
        (scheme, value, "plate-001", run_ids[-1])
        for scheme, value in [
            ("artist", "Audubon"),
            ("rare", "true"),
            ("subjects", "bird"),
            ("subjects", "tree"),
            ("year", "1827"),
        ]
    ]
    seal = empty.query("SELECT operation FROM runs WHERE run_id = ?", [run_ids[-1]])
    assert seal["operation"].to_list() == ["seal"]


def test_a_second_ingest_adds_only_what_is_new(empty: Repository, scans: Scans) -> None:
    scans.plate(1)
    assert scans.into(empty).added == ["plate-001"]
    before = snapshot(empty.root)
    again = scans.into(empty)
    assert (again.added, again.present, again.run_ids) == ([], 1, [])
    assert snapshot(empty.root) == before
    first_catalogue = scans.catalogue.read_bytes()
    scans.plate(2)
    more = scans.into(empty)
    assert (more.added, more.present) == (["plate-002"], 1)
    after = snapshot(empty.root)
    grown = {"runs", "plates_structured", "log"}
    kept = [name for name in before if name not in grown and not name.startswith("log/")]
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    assert (empty.root / "data.json").read_bytes() == first_catalogue
    ingest = next(run for run in more.run_ids if (empty.root / "runs" / run / "outputs").is_dir())
    catalogue = empty.root / "runs" / ingest / "outputs" / "catalogue.json"
    assert catalogue.read_bytes() == scans.catalogue.read_bytes()


def test_a_catalogue_that_says_something_else_now_changes_nothing(
    empty: Repository, scans: Scans
) -> None:
    entry = scans.plate(1)
    scans.into(empty)
    before = snapshot(empty.root)
    entry["name"] = "Plate 1 corrected"
    (found,) = scans.into(empty).findings
    assert (found.code, found.severity) == ("ENTRY_CHANGED", "warning")
    assert "'Plate 1 corrected'" in found.message
    assert snapshot(empty.root) == before


def test_data_json_is_kept_as_it_came_byte_for_byte(empty: Repository, scans: Scans) -> None:
    scans.plate(1)
    odd = b"\xef\xbb\xbf \n" + scans.write().read_bytes() + b"\n\n"
    scans.catalogue.write_bytes(odd)
    empty.ingest(scans.catalogue, scans.images)
    assert (empty.root / "data.json").read_bytes() == odd


def test_findings_of_an_ingest_are_kept_in_its_run(empty: Repository, scans: Scans) -> None:
    scans.plate(1)
    file_without_entry(scans)
    view = scans.into(empty)
    (kept,) = (empty.root / "runs").glob("*/outputs/findings.json")
    document = json.loads(kept.read_bytes())
    assert schema.problems("findings.v1", document) == []
    assert [one["code"] for one in document["findings"]] == codes(view.findings)


def test_a_csv_catalogue_lies_in_its_run(empty: Repository, scans: Scans) -> None:
    name = scans.image("1.png")
    table = scans.folder / "list.csv"
    table.write_text(f"plate,title,file\n1,Plate 1,{name}\n")
    view = empty.ingest(table, scans.images)
    assert view.added == ["plate-001"]
    assert not (empty.root / "data.json").exists()
    (kept,) = (empty.root / "runs").glob("*/outputs/catalogue.csv")
    assert kept.read_bytes() == table.read_bytes()


def test_a_decomposed_file_name_is_stored_composed(empty: Repository, scans: Scans) -> None:
    composed = unicodedata.normalize("NFC", "Kéa.png")
    scans.image(unicodedata.normalize("NFD", composed))
    scans.plate(1, composed)
    scans.into(empty)
    folder = empty.root / "plates_structured" / "plate-001" / "source"
    assert os.listdir(folder) == [composed]


def test_a_name_that_is_no_text_is_a_finding_that_can_be_written(
    empty: Repository, scans: Scans
) -> None:
    scans.plate(1)
    path = os.fsencode(scans.images) + b"/\xff\xfe.png"
    shutil.copy(os.fsencode(scans.images / "plate-1.png"), path)
    view = scans.into(empty)
    assert codes(view.findings) == ["FILE_WITHOUT_ENTRY"]
    assert view.findings[0].subject == "\\udcff\\udcfe.png"


def test_a_catalogue_among_the_images_is_no_image(empty: Repository, scans: Scans) -> None:
    scans.plate(1)
    among = scans.images / "list.json"
    shutil.copy(scans.write(), among)
    assert empty.ingest(among, scans.images).findings == []


@pytest.mark.parametrize("what", ["catalogue", "images"])
def test_a_missing_file_or_folder_is_said(empty: Repository, scans: Scans, what: str) -> None:
    scans.plate(1)
    given = {"catalogue": scans.write(), "images": scans.images, what: scans.folder / "absent"}
    with pytest.raises(UsageError, match="absent"):
        empty.ingest(given["catalogue"], given["images"])


def test_a_file_that_is_no_catalogue_is_said(empty: Repository, scans: Scans) -> None:
    scans.catalogue.write_text("{}")
    with pytest.raises(InvalidRecord, match=r"data\.json is no catalogue"):
        empty.ingest(scans.catalogue, scans.images)


def test_progress_counts_to_the_end(empty: Repository, scans: Scans) -> None:
    for number in (1, 2, 3):
        scans.plate(number)
    seen: list[tuple[int, int]] = []
    empty.ingest(
        scans.write(), scans.images, progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_an_adopted_repository_takes_new_plates_beside_the_old(
    scans: Scans, tmp_path: Path
) -> None:
    folder = tmp_path / "adopted" / "plates_structured" / "plate-001"
    (folder / "source").mkdir(parents=True)
    shutil.copy(scans.images / scans.image("old.png"), folder / "source" / "old.png")
    manifest = {"plate_id": "plate-001", "plate_number": 1, "title": "Old", "slug": "old"}
    (folder / "manifest.json").write_text(json.dumps(manifest | {"source_image": "old.png"}))
    before = (folder / "manifest.json").read_bytes()
    scans.plate(2)
    adopted = Repository.open(tmp_path / "adopted")
    assert scans.into(adopted).added == ["plate-002"]
    assert (folder / "manifest.json").read_bytes() == before
    assert [plate.plate_id for plate in adopted.plates()] == ["plate-001", "plate-002"]
    assert adopted.verify().sound


def test_two_at_once_add_every_plate_once(empty: Repository, scans: Scans) -> None:
    for number in range(1, 9):
        scans.plate(number)
    scans.write()
    arguments = ["ingest", "-C", empty.root, "--catalogue", scans.catalogue]
    command = [
        sys.executable,
        "-m",
        "ledgerkit",
        *map(str, arguments),
        "--images",
        str(scans.images),
    ]
    both = [subprocess.Popen(command, stdout=-1, stderr=-1) for _ in range(2)]
    for one in both:
        one.communicate(timeout=60)
    assert any(one.returncode == 0 for one in both)
    assert scans.into(empty).present == 8
    assert empty.audit().sound
    assert empty.verify().sound


def test_a_kill_costs_no_more_than_a_batch_of_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scans = draw(tmp_path / "drawn", range(1, 4))
    repository = Repository.init(tmp_path / "archive")
    monkeypatch.setattr(ingest_module, "BATCH_BYTES", 1)
    view = repository.ingest(scans[1], scans[3])
    assert len(view.added) == 3
    assert len(view.run_ids) == 1 + 3, "the ingest, and a seal for each batch"
    assert repository.verify().findings == []
