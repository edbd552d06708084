"""Duplicates: exact by digest, near by hash and vector, each pair with its evidence."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from ledgerkit.api import Repository
from ledgerkit.duplicates import BITS_ALONE, BITS_CONFIRMED, COSINE, Thresholds
from ledgerkit.errors import MissingInput, UsageError
from ledgerkit.testing.copies import copies, encoded
from ledgerkit.testing.duplicates import judge, look, report

EXAMPLE = Path(__file__).parent.parent
SOURCES = sorted(EXAMPLE.glob("plates_structured/*/source/*"))
Command = Callable[..., subprocess.CompletedProcess[str]]


def small(place: int) -> Image.Image:
    """A source of the example at 400 pixels, as RGB."""
    image = Image.open(SOURCES[place])
    image.draft("RGB", (400, 400))
    image = image.convert("RGB")
    image.thumbnail((400, 400))
    return image


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Plates 1, 5 and 6 are strangers, 2 has the bytes of 1, 3 and 4 are a crop and a recoding of 1."""
    folder = tmp_path_factory.mktemp("copied")
    (folder / "scans").mkdir()
    first = small(1)
    made = copies(first, 0)
    files = [
        encoded(first), encoded(first), made["cropped"], made["re-encoded"],
        encoded(small(2)), encoded(small(3)),
    ]  # fmt: skip
    entries = []
    for number, data in enumerate(files, 1):
        name = f"{number}.jpg"
        (folder / "scans" / name).write_bytes(data)
        entries.append(
            {"plate": number, "name": f"P {number}", "slug": f"p-{number}", "fileName": name}
        )
    (folder / "data.json").write_text(json.dumps(entries))
    repository = Repository.init(folder / "archive")
    repository.ingest(folder / "data.json", folder / "scans", partial=True)
    for name in ("headers", "propose"):
        repository.run(name)
    repository.accept_policy("A. Curator", "a test")
    for name in ("normalize", "hash", "embed"):
        assert not repository.run(name).failures, name
    repository.consolidate()
    return folder / "archive"


@pytest.fixture
def archive(copied: Path, tmp_path: Path) -> Repository:
    root = tmp_path / "archive"
    shutil.copytree(copied, root, symlinks=True)
    return Repository.open(root)


def test_copies_are_one_group_and_each_pair_shows_its_evidence(archive: Repository) -> None:
    view = archive.duplicates()
    assert [group.plates for group in view.groups] == [
        ["plate-001", "plate-002", "plate-003", "plate-004"]
    ]
    pairs = {(pair.first[-1], pair.second[-1]): pair for pair in view.groups[0].pairs}
    assert pairs["1", "2"].rule == "bytes"
    assert pairs["1", "2"].distance == 0
    assert pairs["1", "2"].cosine == pytest.approx(1)
    assert pairs["1", "4"].rule == "hash"
    assert pairs["1", "4"].distance <= 16
    assert pairs["1", "3"].rule in ("hash", "hash and vector")
    assert all(pair.distance is not None and pair.cosine is not None for pair in pairs.values())
    assert (view.plates, view.hashed, view.described, view.gaps) == (6, 6, 6, [])
    document = json.loads((archive.root / "ledger" / "ledger.json").read_text())
    assert view.log_size == document["log_size"]


def test_a_threshold_of_nought_leaves_the_exact_ones(archive: Repository) -> None:
    view = archive.duplicates(max_distance=0, min_cosine=1.0)
    assert [group.plates for group in view.groups] == [["plate-001", "plate-002"]]
    assert len(archive.duplicates(max_distance=16).groups[0].plates) >= 3
    far = archive.duplicates(max_distance=256)
    assert [len(group.plates) for group in far.groups] == [6]
    assert len(far.groups[0].pairs) == 15


def test_without_hashes_only_digests_are_compared_and_that_is_said(
    copied: Path, tmp_path: Path
) -> None:
    repository = Repository.init(tmp_path / "bare")
    scans = copied.parent
    repository.ingest(scans / "data.json", scans / "scans", partial=True)
    repository.consolidate()
    view = repository.duplicates()
    assert [(pair.rule, pair.distance, pair.cosine) for pair in view.groups[0].pairs] == [
        ("bytes", None, None)
    ]
    assert "ledgerkit hash" in view.gaps[0]
    assert "ledgerkit embed" in view.gaps[1]


def test_a_withdrawn_copy_is_no_duplicate(archive: Repository) -> None:
    for plate in ("plate-002", "plate-003"):
        archive.withdraw(plate, by="A. Curator", reason="a copy")
    archive.consolidate()
    view = archive.duplicates()
    assert [group.plates for group in view.groups] == [["plate-001", "plate-004"]]
    assert view.plates == 4


def test_equal_pixels_in_other_bytes_are_told_from_equal_bytes(tmp_path: Path) -> None:
    scans = tmp_path / "scans"
    scans.mkdir()
    image = small(1)
    for number, options in ((1, {"compress_level": 1}), (2, {"compress_level": 9})):
        image.save(scans / f"{number}.png", **options)
    entries = [
        {"plate": n, "name": f"P {n}", "slug": f"p-{n}", "fileName": f"{n}.png"} for n in (1, 2)
    ]
    (tmp_path / "data.json").write_text(json.dumps(entries))
    repository = Repository.init(tmp_path / "archive")
    repository.ingest(tmp_path / "data.json", scans)
    repository.run("headers")
    repository.run("propose")
    policy = tmp_path / "policy.json"
    shrinking = {"downscale_over_megapixels": 0.01, "downscale_long_side": 200}
    policy.write_text(json.dumps(repository.proposed_policy() | shrinking))
    repository.accept_policy("A. Curator", "a test", policy)
    repository.run("normalize")
    repository.consolidate()
    (pair,) = repository.duplicates().groups[0].pairs
    assert pair.rule == "pixels"


def test_empty_ledgers_and_unknown_spaces_are_named(archive: Repository, tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match="no plates") as refused:
        Repository.init(tmp_path / "new").duplicates()
    assert "ledgerkit consolidate" in str(refused.value.hint)
    with pytest.raises(UsageError, match="nowhere"):
        archive.duplicates(space="nowhere")


@pytest.mark.parametrize(
    ("distance", "cosine", "rule"),
    [
        (BITS_ALONE, None, "hash"),
        (BITS_ALONE + 1, None, None),
        (BITS_ALONE + 1, COSINE, "hash and vector"),
        (BITS_CONFIRMED, COSINE, "hash and vector"),
        (BITS_CONFIRMED, COSINE - 0.01, None),
        (BITS_CONFIRMED + 1, 1.0, None),
        (None, 1.0, None),
    ],
)
def test_which_rule_decides(distance: int | None, cosine: float | None, rule: str | None) -> None:
    assert Thresholds().rule(distance, cosine) == rule


def test_text_and_json_say_the_same(archive: Repository, command: Command) -> None:
    said = command("duplicates", "-C", archive.root)
    assert said.returncode == 0, said.stderr
    told = json.loads(command("duplicates", "--json", "-C", archive.root).stdout)
    for pair in told["groups"][0]["pairs"]:
        words = [pair["first"], pair["second"], pair["rule"], str(pair["distance"])]
        line = next(line for line in said.stdout.splitlines() if line.split()[:2] == words[:2])
        assert pair["rule"] in line
        assert line.split()[-2:] == [str(pair["distance"]), f"{pair['cosine']:.4f}"]
    assert "4 plates in 1 groups, of 6 plates" in said.stdout


def test_near_copies_of_the_drawn_plates_are_found_and_strangers_are_not() -> None:
    looked = [
        one for number, path in enumerate(SOURCES) for one in look(path, number, 512, vectors=False)
    ]
    judged = judge(looked)
    assert len(looked) == 6 * 56
    assert sum(judged.there.values()) == 5 * 56
    assert judged.recall >= 0.98, report(judged)
    assert judged.precision >= 0.98, report(judged)


def test_a_vector_confirms_what_the_hash_alone_leaves_open() -> None:
    looked = [one for place in (1, 8) for one in look(SOURCES[place], place, 400)]
    judged = judge(looked)
    assert judged.strangers == []
    assert judged.recall == 1.0
    assert "| cropped | 2 | 2 | 1.000 |" in report(judged)


def test_the_copies_are_what_they_are_called() -> None:
    image = small(1)
    opened = {name: Image.open(io.BytesIO(data)) for name, data in copies(image, 0).items()}
    assert opened["resized"].size == (image.width // 4, image.height // 4)
    assert opened["cropped"].size == (round(image.width * 0.9), round(image.height * 0.9))
    assert opened["rotated"].size == opened["re-encoded"].size == image.size
    red, _, blue = opened["colour cast"].resize((1, 1)).getpixel((0, 0))
    assert red - blue > 20
