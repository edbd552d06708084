"""The judge of vectors: known answers, ties, labels from a table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ledgerkit.testing.engravings import draw
from ledgerkit.testing.neighbours import (
    judge,
    kinds_of,
    main,
    majority,
    read_labels,
    similarities,
)
from ledgerkit.weights import ModelStore
from ledgerkit.weights.adding import add


def around(count: int, *angles: float) -> np.ndarray:
    """Unit vectors in bundles of `count` around angles, float32."""
    turns = np.concatenate([angle + np.linspace(0, 0.1, count) for angle in angles])
    return np.stack([np.cos(turns), np.sin(turns)], axis=1).astype(np.float32)


def test_bundles_that_agree_with_the_labels_are_perfect() -> None:
    vectors = around(11, 0.0, 1.5)
    assert judge(vectors, ["a"] * 11 + ["b"] * 11) == (1.0, 1.0)


def test_a_small_bundle_is_recognised_by_five_but_cannot_fill_ten() -> None:
    accuracy, precision = judge(around(6, 0.0, 1.5, 3.0), ["a"] * 6 + ["b"] * 6 + ["c"] * 6)
    assert accuracy == 1.0
    assert precision == pytest.approx(0.5)


def test_labels_that_have_nothing_to_do_with_the_vectors_are_not_recognised() -> None:
    vectors = np.random.default_rng(1).normal(size=(200, 8)).astype(np.float32)
    labels = [str(place % 4) for place in range(200)]
    accuracy, precision = judge(vectors, labels)
    assert 0.15 < accuracy < 0.35
    assert 0.2 < precision < 0.3


def test_pictures_of_one_work_can_be_kept_from_being_neighbours() -> None:
    vectors = around(11, 0.0, 1.0, 2.2, 3.2)
    works = np.repeat(["one", "two", "one", "two"], 11).tolist()
    own, shared = (np.repeat(list(names), 11).tolist() for names in ("abcd", "aabb"))
    assert judge(vectors, own) == (1.0, 1.0)
    assert judge(vectors, own, works) == (0.0, 0.0)
    assert judge(vectors, shared, works) == (1.0, 1.0)
    with pytest.raises(ValueError, match="fewer than 10"):
        judge(vectors, own, ["one"] * 44)


def test_among_labels_with_equally_many_votes_the_nearest_wins() -> None:
    assert majority(["shell", "bird", "bird", "shell", "fish"]) == "shell"
    assert majority(["bird", "shell", "shell", "bird", "fish"]) == "bird"
    assert majority(["fish", "shell", "bird", "bird", "bird"]) == "bird"


def test_a_picture_is_no_neighbour_of_itself_and_a_zero_vector_of_nobody() -> None:
    found = similarities(np.array([[2, 0], [1, 0], [0, 0]], np.float32))
    assert found[0, 1] == pytest.approx(1)
    assert found[2, 0] == 0
    assert np.isneginf(np.diag(found)).all()


def test_labels_come_from_named_columns(tmp_path: Path) -> None:
    path = tmp_path / "labels.tsv"
    path.write_text("file\twork\tgroup\na.jpg\tBirds\tbird\nb.jpg\tBirds\t\n")
    assert read_labels(path, ["work", "group"]) == {
        "work": {"a.jpg": "Birds", "b.jpg": "Birds"},
        "group": {"a.jpg": "bird"},
    }
    with pytest.raises(ValueError, match="no column subject"):
        read_labels(path, ["subject"])


def test_the_command_prints_a_row_for_each_kind_of_vector_and_each_model_named(
    towers: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LEDGERKIT_MODELS", str(tmp_path / "store"))
    add(ModelStore(), "tiny", str(towers["clip"]))
    lines = ["file\tgroup"]
    for place, family in enumerate(["bird", "shell"] * 6):
        image = Image.fromarray(draw(family, 300 + place).pixels)
        image.thumbnail((200, 200))
        image.save(tmp_path / f"{place}.png")
        lines.append(f"{place}.png\t{family}")
    (tmp_path / "SOURCES.tsv").write_text("\n".join(lines))
    main([str(tmp_path), "--by", "group", "--model", "tiny"])
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "12 images: 12 in 2 classes by group"
    rows = [line.split(" | ") for line in said[4:]]
    kinds = [row[0].lstrip("| ") for row in rows]
    described = [*kinds_of(tmp_path / "0.png"), "tiny"]
    assert kinds[: len(described)] == described
    assert kinds[len(described) :] == [
        "fused",
        "fused, with colours",
        "fused, with shape",
        "fused, 64 components",
        "random projection",
    ]
    assert all(0 <= float(cell.rstrip(" |")) <= 1 for row in rows for cell in row[2:])
