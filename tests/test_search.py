"""Search: the exact neighbours of an id or an image file, from the ledgers alone."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ledgerkit.api import Repository
from ledgerkit.errors import MissingInput, UnreadableImage, UsageError
from ledgerkit.operations import embed
from ledgerkit.repository import Archive
from ledgerkit.search import search

EXAMPLE = Path(__file__).parent.parent
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def _described(_worked: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("searched") / "archive"
    shutil.copytree(_worked, root, symlinks=True)
    repository = Repository.open(root)
    assert not repository.run("embed", of="segments").failures
    repository.consolidate()
    return root


@pytest.fixture
def described(_described: Path) -> Repository:
    """Four plates with vectors of plates and segments, consolidated. Searches change nothing."""
    return Repository.open(_described)


@pytest.fixture
def picture(described: Repository) -> Path:
    """The source of plate-002, as a file that somebody has."""
    (path,) = (described.root / "plates_structured" / "plate-002" / "source").iterdir()
    return path


def test_the_example_answers_as_numpy_does_over_all_vectors() -> None:
    example = Repository.open(EXAMPLE)
    rows = example.query("SELECT subject_id, vector FROM current_embeddings ORDER BY 1").rows()
    names, vectors = [name for name, _ in rows], np.array([vector for _, vector in rows])
    for place in (0, 17, 55):
        cosines = vectors @ vectors[place]
        order = [row for row in np.argsort(-cosines, kind="stable") if row != place][:10]
        view = example.search(names[place])
        assert [hit.subject_id for hit in view.hits] == [names[row] for row in order]
        assert [hit.similarity for hit in view.hits] == pytest.approx(cosines[order], abs=1e-6)
        assert (view.of, view.searched, view.dimension) == ("plates", 55, vectors.shape[1])


def test_the_block_size_changes_nothing() -> None:
    archive = Archive(EXAMPLE)
    whole = search(archive, "plate-003", count=30)
    assert search(archive, "plate-003", count=30, block_bytes=1) == whole
    assert search(archive, "plate-003", count=30, block_bytes=20_000) == whole
    assert len({hit.log_index for hit in whole.hits}) == 30


def test_says_what_was_searched_and_leaves_the_subject_out(described: Repository) -> None:
    view = described.search("plate-001", count=2)
    document = json.loads((described.root / "ledger" / "ledger.json").read_text())
    assert view.log_size == document["log_size"]
    assert view.searched == 3
    assert len(view.hits) == 2
    assert "plate-001" not in [hit.subject_id for hit in view.hits]
    assert view.hits[0].similarity >= view.hits[1].similarity
    assert all(hit.title == f"Plate {int(hit.plate_id[-3:])}" for hit in view.hits)


def test_segments_are_searched_among_segments_or_plates(described: Repository) -> None:
    subject = described.query(
        "SELECT subject_id FROM current_embeddings WHERE subject_kind = 'segment' ORDER BY 1"
    ).item(0, 0)
    count = described.query(
        "SELECT count(*) FROM current_embeddings WHERE subject_kind = 'segment'"
    ).item(0, 0)
    view = described.search(subject)
    assert (view.of, view.searched) == ("segments", count - 1)
    assert described.search(subject, of="plates").searched == 4
    assert described.search("plate-001", of="segments").searched == count


def test_an_outside_image_finds_its_own_plate_and_is_not_taken_in(
    described: Repository, picture: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "found.jpg"
    Image.open(picture).convert("RGB").save(outside, quality=92)
    before = sorted(path for path in described.root.rglob("*"))
    view = described.search(outside)
    assert view.searched == 4
    assert view.hits[0].subject_id == "plate-002"
    assert view.hits[0].similarity > view.hits[1].similarity + 0.02
    assert sorted(path for path in described.root.rglob("*")) == before


def test_the_source_of_an_example_plate_is_as_near_to_it_as_can_be() -> None:
    (source,) = (EXAMPLE / "plates_structured" / "plate-002" / "source").iterdir()
    hit = Repository.open(EXAMPLE).search(source, count=1).hits[0]
    assert hit.subject_id == "plate-002"
    assert hit.similarity > 0.99


def test_a_withdrawn_plate_is_neither_found_nor_searched_with(worked: Repository) -> None:
    worked.withdraw("plate-002", by="A. Curator", reason="a test")
    worked.consolidate()
    found = worked.search("plate-001").hits
    assert {hit.subject_id for hit in found} == {"plate-003", "plate-004"}
    with pytest.raises(MissingInput, match="withdrawn"):
        worked.search("plate-002")


def test_says_which_command_makes_the_vectors(tiny: Repository, picture: Path) -> None:
    tiny.consolidate()
    for subject in ("plate-001", str(picture)):
        with pytest.raises(MissingInput) as refused:
            tiny.search(subject)
        assert "ledgerkit embed --of plates" in str(refused.value.hint)
    with pytest.raises(MissingInput) as refused:
        tiny.search("segment-0123")
    assert "ledgerkit embed --of segments" in str(refused.value.hint)


def test_kinds_without_vectors_are_named(described: Repository) -> None:
    with pytest.raises(MissingInput, match="tiles") as refused:
        described.search("plate-001", of="tiles")
    assert "ledgerkit embed --of tiles" in str(refused.value.hint)


def test_several_spaces_must_be_chosen_from(worked: Repository) -> None:
    worked.run("embed", of="segments", texture_weight=0.5)
    worked.run("embed", of="segments", plates="plate-001")
    worked.run("embed", of="plates", plates="plate-001", colour_weight=0.1)
    worked.consolidate()
    spaces = worked.query(
        "SELECT DISTINCT space_id FROM current_embeddings WHERE subject_kind = 'plate'"
    )["space_id"].to_list()
    assert len(spaces) == 2
    (source,) = (worked.root / "plates_structured" / "plate-002" / "source").iterdir()
    with pytest.raises(UsageError, match="2 spaces") as refused:
        worked.search(source)
    assert refused.value.hint == "Name one with --space ID"
    assert sum(worked.search(source, space=space).searched for space in spaces) == 4
    with pytest.raises(UsageError, match="none in 'nowhere'"):
        worked.search("plate-002", space="nowhere")


def test_vectors_of_an_older_version_answer_for_ids_but_not_for_outside_images(
    described: Repository, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (space,) = set(described.query("SELECT space_id FROM current_embeddings")["space_id"])
    monkeypatch.setattr(embed, "VERSION", "99")
    assert described.search("plate-001", space=space).searched == 3
    with pytest.raises(UsageError, match=rf"{space} were made by embed \d+; here is 99") as refused:
        described.search(picture, space=space)
    assert "ledgerkit embed --stale" in str(refused.value.hint)


def test_words_are_refused_with_the_way_to_ask_for_them(described: Repository) -> None:
    with pytest.raises(UsageError, match="no model of words") as refused:
        described.search("a small finch")
    assert "title ILIKE" in str(refused.value.hint)


def test_a_file_that_is_no_image_is_named(described: Repository, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff" + b"\0" * 100)
    with pytest.raises(UnreadableImage, match=r"broken\.jpg"):
        described.search(broken)


@pytest.mark.parametrize("count", [0, -1, 10_001])
def test_the_number_of_neighbours_is_bounded(described: Repository, count: int) -> None:
    with pytest.raises(UsageError, match="10000"):
        described.search("plate-001", count=count)


def test_text_and_json_say_the_same(described: Repository, command: Command) -> None:
    said = command("search", "plate-001", "-k", "2", "-C", described.root)
    assert said.returncode == 0, said.stderr
    told = json.loads(
        command("search", "plate-001", "-k", "2", "--json", "-C", described.root).stdout
    )
    for hit in told["hits"]:
        assert hit["subject_id"] in said.stdout
        assert f"{hit['similarity']:.4f}" in said.stdout
        assert hit["title"] in said.stdout
    assert f"nearest 2 of {told['searched']} plates in the space {told['space_id']}" in said.stdout
    missing = command("search", "plate-999", "-C", described.root)
    assert missing.returncode == 2
    assert "no plate-999" in missing.stderr
