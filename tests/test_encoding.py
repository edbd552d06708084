"""`encode` in a repository: what records pin, what is refused, and search in learned spaces."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ledgerkit.api import Repository
from ledgerkit.cli import cli
from ledgerkit.duplicates import chosen_space
from ledgerkit.errors import (
    DigestMismatch,
    InvalidRecord,
    MissingExtra,
    MissingInput,
    UsageError,
)
from ledgerkit.models.tower import BATCH, open_tower
from ledgerkit.records import Run
from ledgerkit.repository import Archive
from ledgerkit.testing.towers import DECLARED, write_onnx, write_tower
from ledgerkit.testing.weights import onnx_model
from ledgerkit.weights import ModelStore
from ledgerkit.weights.adding import add
from ledgerkit.weights.exporting import export_onnx
from ledgerkit.weights.removing import remove

pytestmark = pytest.mark.usefixtures("offline")


@pytest.fixture(scope="module")
def _encoded(
    _worked: Path, towers: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """`archive`: four plates encoded by CLIP and DINOv2, segments by CLIP; `store`: the models."""
    folder = tmp_path_factory.mktemp("encoded")
    shutil.copytree(_worked, folder / "archive", symlinks=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LEDGERKIT_MODELS", str(folder / "store"))
        for family in ("clip", "dinov2"):
            add(ModelStore(), family, str(towers[family]), license="MIT")
        repository = Repository.open(folder / "archive")
        assert repository.run("encode", model="clip").complete == 4
        assert repository.run("encode", model="clip", of="segments").complete == 4
        assert repository.run("encode", model="dinov2").complete == 4
        repository.consolidate()
    return folder


@pytest.fixture
def encoded(_encoded: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """For tests that change nothing."""
    monkeypatch.setenv("LEDGERKIT_MODELS", str(_encoded / "store"))
    return Repository.open(_encoded / "archive")


@pytest.fixture
def own(_encoded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """A copy of archive and store for one test."""
    shutil.copytree(_encoded, tmp_path / "own", symlinks=True)
    monkeypatch.setenv("LEDGERKIT_MODELS", str(tmp_path / "own" / "store"))
    return Repository.open(tmp_path / "own" / "archive")


def runs_of(repository: Repository) -> list[Run]:
    archive = Archive(repository.root)
    found = [archive.run("plate-001", one) for one in archive.run_ids("plate-001")]
    return [run for run in found if run.operation == "encode"]


def image_of(repository: Repository, plate: str) -> Path:
    """The normalised image of a plate."""
    folder = repository.root / "plates_structured" / plate / "cache"
    (image,) = (path for path in folder.rglob("*") if path.suffix in (".jpg", ".png", ".webp"))
    return image


def spaces(repository: Repository, kind: str = "plate") -> list[str]:
    sql = (
        f"SELECT DISTINCT space_id FROM current_embeddings WHERE subject_kind = '{kind}' ORDER BY 1"
    )
    return [str(row[0]) for row in repository.query(sql).rows()]


def test_a_record_pins_weights_and_says_what_computed(encoded: Repository) -> None:
    run = runs_of(encoded)[0]
    assert run.models == [ModelStore().pin("clip")]
    assert run.environment.device == "cpu"
    assert run.environment.libraries["torch"]
    assert run.parameters["model"] == run.models[0].sha256
    assert "batch" not in run.parameters
    rows = encoded.query(
        "SELECT norm, vector FROM current_embeddings WHERE norm IS NOT NULL"
    ).rows()
    assert len(rows) > 8
    assert all(norm > 0 for norm, _ in rows)
    assert np.linalg.norm(rows[0][1]) == pytest.approx(1, abs=1e-6)


def test_another_batch_is_no_other_task_and_a_run_comes_out_the_same_again(
    encoded: Repository, own: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(BATCH, "1")
    assert own.run("encode", model="clip").skipped == 4
    view = own.rerun(operation="encode", plates=["plate-002"])
    assert view.sound
    assert len(view.reruns) == 3


@pytest.mark.parametrize("words", ["long-legged bird", "shell"])
def test_words_find_the_plates_whose_pictures_lie_nearest(
    encoded: Repository, towers: dict[str, Path], words: str
) -> None:
    view = encoded.search(words, count=4)
    assert view.space_id.startswith("clip-1-")
    assert view.searched == 4
    text = open_tower(towers["clip"]).texts([words])[0]
    rows = encoded.query(
        "SELECT subject_id, vector FROM current_embeddings "
        f"WHERE space_id = '{view.space_id}' AND subject_kind = 'plate'"
    ).rows()
    expected = {name: float(np.dot(vector, text / np.linalg.norm(text))) for name, vector in rows}
    assert {hit.subject_id: hit.similarity for hit in view.hits} == pytest.approx(
        expected, abs=1e-5
    )
    assert [hit.subject_id for hit in view.hits] == sorted(expected, key=lambda one: -expected[one])
    assert encoded.search(words, of="segments").of == "segments"


def test_the_command_line_searches_by_words(
    encoded: Repository, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["search", "a bird with long legs", "-C", str(encoded.root), "--json"]
    cli.main(given, standalone_mode=False)
    assert len(json.loads(capsys.readouterr().out)["hits"]) == 4


def test_words_need_a_space_whose_model_takes_words(encoded: Repository, own: Repository) -> None:
    clip, dinov2, classical = (
        next(one for one in spaces(encoded) if one.startswith(family))
        for family in ("clip", "dinov2", "classical")
    )
    for space in (dinov2, classical):
        with pytest.raises(UsageError, match="no model of words"):
            encoded.search("a bird", space=space)
    assert encoded.search("a bird", space=clip).space_id == clip
    with pytest.raises(UsageError, match="no file lies there"):
        encoded.search("plate-0999")
    with pytest.raises(UsageError, match="no file lies there"):
        encoded.search("scans/none.jpg")
    for many in (20, 200):  # the longer is too long for the name of a file
        with pytest.raises(UsageError, match="tokens"):
            encoded.search("very long " * many)
    assert encoded.search("tile-like wings", space=clip).of == "plates"
    remove(ModelStore(), "dinov2")
    assert own.search("a bird").space_id == clip
    remove(ModelStore(), "clip")
    with pytest.raises(MissingInput, match="not in"):
        own.search("a bird", space=clip)


def test_an_outside_image_is_found_in_a_learned_space(encoded: Repository) -> None:
    picture = image_of(encoded, "plate-002")
    with pytest.raises(UsageError, match="3 spaces"):
        encoded.search(picture)
    for space in spaces(encoded):
        hit = encoded.search(picture, space=space, count=1).hits[0]
        assert hit.subject_id == "plate-002"
        assert hit.similarity == pytest.approx(1, abs=1e-5)


def test_titles_as_they_are_now_lie_in_the_space_of_the_pictures(
    own: Repository, towers: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    own.amend({"plate-002": {"title": "a wading bird"}}, by="A. Curator", reason="a test")
    assert own.run("encode", model="clip", of="texts").complete == 4
    own.consolidate()
    sql = "SELECT subject_id, vector, space_id FROM current_embeddings WHERE subject_kind = 'text'"
    found = {row[0]: (row[1], row[2]) for row in own.query(sql).rows()}
    tower = open_tower(towers["clip"])
    listed = own.query("SELECT plate_id, title FROM plates").rows()
    assert dict(listed)["plate-002"] == "a wading bird"
    for plate, title in listed:
        raw = tower.texts([title])[0]
        assert np.abs(np.array(found[plate][0]) - raw / np.linalg.norm(raw)).max() < 1e-5
    clip = next(one for one in spaces(own) if one.startswith("clip"))
    assert {space for _, space in found.values()} == {clip}
    hit = own.search("a wading bird", of="texts", count=1).hits[0]
    assert (hit.subject_id, hit.similarity) == ("plate-002", pytest.approx(1, abs=1e-5))
    assert own.search("plate-002", of="texts", space=clip).searched == 4
    cli.main(["search", "plate-003", "--of", "texts", "-C", str(own.root)], standalone_mode=False)
    assert capsys.readouterr().out.count("plate-002") == 1
    assert own.search("plate-002", of="plates", space=clip).searched == 3
    own.amend({"plate-002": {"title": "shells"}}, by="A. Curator", reason="a test")
    assert own.run("encode", model="clip", of="texts").complete == 1
    with pytest.raises(UsageError, match="no tower of texts"):
        own.run("encode", model="dinov2", of="texts")


def test_plates_are_searched_among_segments_of_the_same_model(encoded: Repository) -> None:
    (space,) = spaces(encoded, "segment")
    view = encoded.search("plate-001", of="segments", space=space)
    assert view.hits
    assert view.space_id == space


def test_a_space_that_is_named_is_grouped_whatever_was_made_since(own: Repository) -> None:
    clip, dinov2, classical = (
        next(one for one in spaces(own) if one.startswith(family))
        for family in ("clip", "dinov2", "classical")
    )
    few = {"components": 2, "levels": "flat", "sweep": "safe"}
    with pytest.raises(
        UsageError, match=f"plates in 3 spaces: {classical}, {clip}, {dinov2}"
    ) as told:
        own.run("cluster", **few)
    assert told.value.hint == "Name one with --space ID"
    for space in (classical, clip):
        assert own.run("cluster", space=space, **few).complete == 1
    assert own.run("fuse").complete == 1, "only embed's vectors have blocks"
    image = image_of(own, "plate-003")
    image.chmod(0o644)
    image.write_bytes(image.read_bytes()[:-20])
    add(ModelStore(), "other", str(write_tower(own.root.parent / "other", "dinov2", seed=3)))
    assert own.run("encode", model="other").failed == 1
    own.consolidate()
    (other,) = {one for one in spaces(own) if one.startswith("dinov2")} - {dinov2}
    view = own.run("cluster", space=other, **few)
    assert view.complete == 1
    assert [(one.subject, other in one.message) for one in view.blocked] == [("plate-003", True)]


def test_other_weights_under_the_same_name_are_another_space(
    own: Repository, tmp_path: Path
) -> None:
    before = spaces(own)
    remove(ModelStore(), "clip")
    add(ModelStore(), "clip", str(write_tower(tmp_path / "again", "clip", seed=5)))
    assert own.run("encode", model="clip").complete == 4
    own.consolidate()
    after = spaces(own)
    assert len(set(after) - set(before)) == 1
    assert runs_of(own)[-1].models[0].sha256 != runs_of(own)[0].models[0].sha256


def test_a_changed_byte_of_the_weights_is_refused_before_any_work(own: Repository) -> None:
    weights = ModelStore().folder("clip") / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.chmod(0o644)
    weights.write_bytes(data)
    before = len(runs_of(own))
    with pytest.raises(DigestMismatch, match="model clip"):
        own.run("encode", model="clip", force=True)
    with pytest.raises(DigestMismatch, match="model clip"):
        own.search("a bird")
    assert len(runs_of(own)) == before


def test_a_plate_whose_image_is_broken_fails_and_the_others_are_done(own: Repository) -> None:
    image = image_of(own, "plate-003")
    image.chmod(0o644)
    image.write_bytes(image.read_bytes()[:-20])
    view = own.run("encode", model="dinov2", force=True)
    assert (view.complete, view.failed) == (3, 1)
    assert view.failures[0].subject == "plate-003"


def test_what_a_model_lacks_is_said_before_there_is_any_work(
    own: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_tower(tmp_path / "undeclared", "vit")
    (folder / "preprocessor_config.json").unlink()
    add(ModelStore(), "undeclared", str(folder))
    before = len(runs_of(own))
    with pytest.raises(MissingInput, match="how pictures are prepared"):
        own.run("encode", model="undeclared")
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "torch" else find(name)
    )
    with pytest.raises(MissingExtra, match="torch"):
        own.run("encode", model="dinov2", force=True)
    monkeypatch.undo()
    monkeypatch.setenv("LEDGERKIT_MODELS", str(tmp_path / "own" / "store"))
    export_onnx(ModelStore(), "dinov2", "exported")
    for given in ({"precision": "bfloat16"}, {"device": "cuda"}):
        with pytest.raises(UsageError, match=r"ONNX|onnxruntime"):
            own.run("encode", model="exported", **given)
    assert len(runs_of(own)) == before


def test_without_a_model_the_way_out_is_said(encoded: Repository) -> None:
    with pytest.raises(UsageError, match="needs a model"):
        encoded.run("encode")
    with pytest.raises(UsageError, match="no model 'none'"):
        encoded.dry_run("encode", model="none")


def test_a_model_that_cannot_do_its_work_is_refused_before_there_is_any(
    own: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = len(runs_of(own))
    (tmp_path / "empty.onnx").write_bytes(onnx_model())
    declared = tmp_path / "how.json"
    declared.write_text(json.dumps(DECLARED | {"size": [5, 5]}))
    add(ModelStore(), "empty", str(tmp_path / "empty.onnx"), preprocessing=declared)
    with pytest.raises(InvalidRecord, match=r"empty\.onnx cannot be loaded"):
        own.run("encode", model="empty")
    write_onnx(tmp_path / "small", ["n", 4, 4, 3], size=[5, 5])
    add(ModelStore(), "small", str(tmp_path / "small"))
    with pytest.raises(InvalidRecord, match="does not take pictures of the shape"):
        own.run("encode", model="small", workers=2)
    monkeypatch.setenv("LEDGERKIT_BATCH", "abc")
    with pytest.raises(UsageError, match="LEDGERKIT_BATCH is 'abc'"):
        own.run("encode", model="dinov2", force=True)
    assert len(runs_of(own)) == before


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"background": "grey"}, "--background has no effect on plates"),
        ({"of": "tiles", "margin": 0.3}, "--margin has no effect on tiles"),
        ({"of": "segments", "pool": "tiles"}, "--pool has no effect on segments"),
        ({"of": "texts", "long_side": 512}, "--long-side has no effect on texts"),
    ],
)
def test_options_without_effect_are_refused_and_make_no_new_runs(
    encoded: Repository, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        encoded.dry_run("encode", model="clip", **given)


def test_the_limit_of_classical_vectors_decides_in_no_other_space(encoded: Repository) -> None:
    clip = next(space for space in spaces(encoded) if space.startswith("clip"))
    with pytest.raises(UsageError, match=r"0\.8 was found for classical vectors") as caught:
        encoded.duplicates(space=clip)
    assert "--min-cosine" in str(caught.value.hint)
    assert encoded.duplicates(space=clip, min_cosine=0.95).space_id == clip
    assert str(encoded.duplicates().space_id).startswith("classical-")
    counts = {"clip-1-0": 9, "classical-2-0": 4}
    assert chosen_space(counts, None, None) == "classical-2-0"
    assert chosen_space(counts, None, 0.9) == "clip-1-0"
    assert chosen_space({"clip-1-0": 9}, None, None) is None


def test_help_says_what_is_required_and_names_pages_that_a_user_has(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = {}
    for name in ("encode", "sam", "index"):
        cli.main([name, "--help"], standalone_mode=False)
        said[name] = " ".join(capsys.readouterr().out.split())
    for name in ("encode", "sam"):
        assert "in the store; required" in said[name]
        assert '[default: ""]' not in said[name]
    assert "docs/embeddings.md" in said["encode"]
    assert "towers.py" not in said["encode"]
    assert "tracker of SAM 3" in said["sam"]
    assert "SPACE_ID" in said["index"]


def test_the_same_weights_under_another_name_are_the_same_work(
    own: Repository, towers: dict[str, Path]
) -> None:
    add(ModelStore(), "clipb", str(towers["clip"]), license="MIT")
    again = own.run("encode", model="clipb")
    assert (again.complete, again.skipped, again.not_current) == (0, 4, 0)
    run = runs_of(own)[0]
    assert run.variant.endswith(f"/plates-{run.models[0].sha256[:8]}")
    assert own.search("plate-001", space=spaces(own)[0]).searched == 3
