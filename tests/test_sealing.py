"""What came in is evidence from the first write on; what contradicts itself is not."""

from __future__ import annotations

import hashlib
import json
import stat
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ledgerkit import layout, schema
from ledgerkit.api import Repository
from ledgerkit.repository import Archive
from ledgerkit.schema import problems


def _bootstrap(root: Path, count: int) -> Repository:
    """A repository made elsewhere: v1 manifests, sources, checksums, empty ledgers, no marker."""
    for number in range(1, count + 1):
        folder = root / "plates_structured" / layout.plate_id(number)
        (folder / "source").mkdir(parents=True)
        source = folder / "source" / f"Scan No. {number}.png"
        pixels = np.random.default_rng(number).integers(0, 256, (8, 8), np.uint8)
        Image.fromarray(pixels).save(source)
        digest = hashlib.sha256(source.read_bytes()).hexdigest()
        (folder / "source.sha256").write_text(f"{digest}  source/{source.name}\n")
        manifest = {"plate_id": folder.name, "plate_number": number, "title": "T", "slug": "t"}
        (folder / "manifest.json").write_text(
            json.dumps(manifest | {"source_image": source.name, "note": "a field of their own"})
        )
    (root / "ledger").mkdir()
    (root / "img").mkdir()
    (root / "img" / "logo.png").write_bytes(b"not ours")
    return Repository.open(root)


@pytest.fixture
def adopted(tmp_path: Path) -> Repository:
    return _bootstrap(tmp_path / "adopted", 3)


def _seals(repository: Repository) -> list[str]:
    archive = Archive(repository.root)
    return [
        output.path
        for run in archive.runs(layout.COLLECTION)
        if run.operation == "seal"
        for output in archive.outputs(run)
    ]


def _everything(root: Path) -> dict[str, tuple[bytes, float]]:
    return {
        str(path.relative_to(root)): (path.read_bytes(), path.stat().st_mtime)
        for path in root.rglob("*")
        if path.is_file()
    }


def test_an_adopted_repository_is_read_without_a_write(adopted: Repository) -> None:
    before = _everything(adopted.root)
    assert [plate.source_sha256 for plate in adopted.plates()] == [None] * 3
    view = adopted.verify()
    assert view.sound
    assert view.not_checked >= 3
    assert view.files + view.not_checked == 9
    assert adopted.audit().sound
    assert adopted.dry_run("headers").skipped == 0
    assert _everything(adopted.root) == before
    assert not (adopted.root / ".ledgerkit").exists()


def test_the_first_write_seals_an_adopted_repository_and_changes_nothing_in_it(
    adopted: Repository,
) -> None:
    before = _everything(adopted.root)
    assert adopted.run("headers").complete == 3
    after = _everything(adopted.root)
    assert {path: after[path] for path in before} == before
    sealed = _seals(adopted)
    assert len(sealed) == len(set(sealed))
    wanted = {"repository.json", *(f"schemas/{name}" for name in schema.names())}
    for plate in adopted.plates():
        folder = layout.plate_folder(plate.plate_id)
        wanted |= {f"{folder}/manifest.json", f"{folder}/source.sha256", str(plate.source_path)}
    assert set(sealed) == wanted
    document = json.loads((adopted.root / "repository.json").read_bytes())
    assert problems("repository.v1", document) == []
    view = adopted.verify()
    assert (view.findings, view.not_checked) == ([], 0)


def test_what_is_sealed_is_not_sealed_again(adopted: Repository) -> None:
    adopted.run("headers")
    runs = Archive(adopted.root).run_ids(layout.COLLECTION)
    adopted.run("headers", force=True)
    assert Archive(adopted.root).run_ids(layout.COLLECTION) == runs


def test_many_plates_are_sealed_in_one_run_with_a_listing(tmp_path: Path) -> None:
    repository = _bootstrap(tmp_path / "many", 25)
    repository.run("headers", plates="plate-001")
    archive = Archive(repository.root)
    (run,) = archive.runs(layout.COLLECTION)
    assert run.outputs == []
    assert run.outputs_listing is not None
    assert len(archive.outputs(run)) == run.outputs_listing.count >= 75
    assert run.parameters == {"plates": 25, "first_plate": "plate-001", "last_plate": "plate-025"}
    assert repository.verify().findings == []


def test_a_source_that_contradicts_its_checksum_is_left_out_and_the_others_go_on(
    adopted: Repository,
) -> None:
    plate = adopted.root / "plates_structured/plate-002"
    text = (plate / "source.sha256").read_text()
    (plate / "source.sha256").write_text("0" * 64 + text[64:])
    job = adopted.run("headers")
    assert job.complete == 2
    (seal,) = Archive(adopted.root).runs(layout.COLLECTION)
    assert seal.status == "partial"
    assert [item.item for item in seal.failed_items] == ["plate-002"]
    assert "source.sha256" in seal.failed_items[0].message
    assert not [path for path in _seals(adopted) if "plate-002/source/" in path]
    assert [len(one.runs) for one in adopted.plates()] == [1, 0, 1]
    assert [one.plate_id for one in adopted.plates() if one.source_sha256 is None] == ["plate-002"]


def test_a_source_that_is_put_right_is_sealed_then(adopted: Repository) -> None:
    checksum = adopted.root / "plates_structured/plate-002/source.sha256"
    right = checksum.read_text()
    checksum.write_text("0" * 64 + right[64:])
    adopted.run("headers")
    (adopted.root / "plates_structured/plate-002/source.sha256").write_text(right)
    assert adopted.run("headers").complete == 1
    assert [len(one.runs) for one in adopted.plates()] == [1, 1, 1]


@pytest.mark.parametrize("spoil", ["missing", "no json", "another plate", "two sources"])
def test_a_plate_that_is_not_in_order_is_left_out_and_the_others_go_on(
    adopted: Repository, spoil: str
) -> None:
    plate = adopted.root / "plates_structured/plate-002"
    if spoil == "missing":
        (plate / "manifest.json").unlink()
    elif spoil == "no json":
        (plate / "manifest.json").write_text("{")
    elif spoil == "another plate":
        other = adopted.root / "plates_structured/plate-001/manifest.json"
        (plate / "manifest.json").write_bytes(other.read_bytes())
    else:
        (plate / "source" / "second.png").write_bytes(b"")
    assert adopted.run("headers").complete == 2
    assert Archive(adopted.root).run_ids("plate-002") == []
    (seal,) = Archive(adopted.root).runs(layout.COLLECTION)
    assert [item.item for item in seal.failed_items] == ["plate-002"]


def test_upper_case_and_other_forms_of_a_checksum_line_are_read(adopted: Repository) -> None:
    for number, plate in enumerate(sorted((adopted.root / "plates_structured").iterdir())):
        text = (plate / "source.sha256").read_text()
        forms = [text[:64].upper() + text[64:], text[:64] + " *" + text[66:], "\\" + text]
        (plate / "source.sha256").write_text(forms[number])
    assert adopted.run("headers").complete == 3


def test_plates_that_come_later_get_a_seal_of_their_own(tiny: Repository, tmp_path: Path) -> None:
    before = set(_seals(tiny))
    images = tmp_path / "more"
    images.mkdir()
    Image.new("L", (16, 16), 7).save(images / "4.png")
    entry = {"plate": 4, "name": "Four", "slug": "four", "fileName": "4.png"}
    (tmp_path / "more.json").write_text(json.dumps([entry]))
    tiny.ingest(tmp_path / "more.json", images)
    folder = "plates_structured/plate-004"
    expected = {f"{folder}/manifest.json", f"{folder}/source.sha256", f"{folder}/source/4.png"}
    assert set(_seals(tiny)) - before == expected
    assert stat.S_IMODE((tiny.root / folder / "source").stat().st_mode) == 0o555
    assert tiny.verify().findings == []
