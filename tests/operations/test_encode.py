"""`encode`: the model's own vectors at length 1, whatever shares their batch, and never a zero."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ledgerkit.errors import InvalidRecord, LedgerkitError, UnreadableImage, UsageError
from ledgerkit.imaging.decode import read_shrunk
from ledgerkit.models.tower import BATCH, open_tower
from ledgerkit.operations import encode, segment
from ledgerkit.testing.handles import LocalInputs, Produced, run_operation
from ledgerkit.testing.towers import write_tower

pytestmark = pytest.mark.usefixtures("offline")
Sheet = Callable[..., np.ndarray]
Write = Callable[..., tuple[Path, dict[str, Any]]]
RED, BLUE = (150, 40, 40), (40, 60, 150)


class Work:
    """One plate as `run_many` gets it."""

    def __init__(self, model: Path, files: list[Path], tiles: list[dict[str, Any]]) -> None:
        plate = tiles[0]["plate_id"]
        self.inputs = LocalInputs(plate, {"image": files}, {"tiles": tiles}, {"m": model})
        self.outputs = Produced()


def vectors_of(produced: Produced) -> dict[str, np.ndarray]:
    made = produced.arrow_tables["embeddings"]
    named = zip(made["subject_id"].to_pylist(), made["vector"].to_pylist(), strict=True)
    return {subject: np.array(vector, dtype=np.float32) for subject, vector in named}


def encoded(model: Path, files: list[Path], tables: dict[str, Any], **given: Any) -> Produced:
    return run_operation(
        encode, files={"image": files}, tables=tables, models={"m": model}, model="m", **given
    )


def test_a_plate_has_the_models_vector_at_length_1_and_its_norm(
    towers: dict[str, Path],
    sheet: Sheet,
    write_plate: Write,
    check_columns: Callable[[str, Any], None],
) -> None:
    path, tile = write_plate("plate-001", sheet((200, 200, 80, RED)))
    made = encoded(towers["clip"], [path], {"tiles": [tile]})
    table = made.arrow_tables["embeddings"]
    check_columns("embeddings", table.column_names)
    tower = open_tower(towers["clip"])
    with path.open("rb") as file:
        raw = tower.images(tower.preprocessing.apply(read_shrunk(file, 1024))[None])[0]
    assert table["norm"][0].as_py() == pytest.approx(np.linalg.norm(raw), rel=1e-6)
    assert table["norm"][0].as_py() != pytest.approx(1, abs=0.01)
    unit = raw / np.linalg.norm(raw)
    assert np.abs(vectors_of(made)["plate-001"] - unit).max() < 1e-6
    assert table["subject_kind"].to_pylist() == ["plate"]
    assert table["dim"].to_pylist() == [12]
    assert made.computed_on == "cpu"
    with path.open("rb") as file:
        outside = encode.describe_image(file, encode.Parameters(model="m"), towers["clip"])
    assert np.abs(outside - unit).max() < 1e-6


def test_plates_done_together_have_the_vectors_that_they_have_alone(
    towers: dict[str, Path], sheet: Sheet, write_plate: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = towers["dinov2"]
    plates = [write_plate(f"plate-00{n}", sheet((200, 200, 30 * n, RED))) for n in range(1, 6)]
    broken, row = write_plate("plate-008", sheet())
    broken.write_bytes(broken.read_bytes()[:300])
    alone = [vectors_of(encoded(model, [path], {"tiles": [tile]})) for path, tile in plates]
    for batch in ("1", "3", "0"):
        monkeypatch.setenv(BATCH, batch)
        given = [*plates[:2], (broken, row), *plates[2:]]
        works = [Work(model, [path], [tile]) for path, tile in given]
        works.append(Work(model, [], [{**plates[0][1], "kind": "tile"}]))
        errors = encode.run_many(works, encode.Parameters(model="m"))
        assert [type(error).__name__ for error in errors] == (
            ["NoneType"] * 2 + ["UnreadableImage"] + ["NoneType"] * 3 + ["MissingInput"]
        )
        sound = [one for one, error in zip(works, errors, strict=True) if error is None]
        for work, expected in zip(sound, alone, strict=True):
            (subject,) = expected
            assert np.abs(vectors_of(work.outputs)[subject] - expected[subject]).max() < 1e-5
        assert works[2].outputs.arrow_tables == {}


def test_tiles_have_vectors_of_their_own_and_a_plate_may_have_their_mean(
    towers: dict[str, Path], sheet: Sheet, write_plate: Write
) -> None:
    made = [write_plate(f"plate-00{n}", sheet((200, 200, 40 * n, RED))) for n in (1, 2, 3)]
    files = [path for path, _ in made]
    rows = [made[0][1]]
    rows += [{**row, "kind": "tile", "plate_id": "plate-001"} for _, row in made[1:]]
    tiles = vectors_of(encoded(towers["siglip"], files, {"tiles": rows}, of="tiles"))
    assert list(tiles) == [rows[1]["tile_id"], rows[2]["tile_id"]]
    pooled = encoded(towers["siglip"], files, {"tiles": rows}, pool="tiles")
    mean = np.mean(list(tiles.values()), axis=0)
    (norm,) = pooled.arrow_tables["embeddings"]["norm"].to_pylist()
    assert norm == pytest.approx(np.linalg.norm(mean), abs=1e-5)
    assert norm <= 1
    found = vectors_of(pooled)
    assert np.abs(found["plate-001"] - mean / np.linalg.norm(mean)).max() < 1e-5
    means = encode.Parameters(model="m", pool="tiles")
    with files[0].open("rb") as file, pytest.raises(UsageError, match="no tiles"):
        encode.describe_image(file, means, towers["siglip"])


def test_segments_are_shown_with_their_surroundings_or_alone_on_grey(
    towers: dict[str, Path], sheet: Sheet, write_plate: Write
) -> None:
    path, tile = write_plate("plate-001", sheet((110, 110, 60, RED), (290, 290, 60, BLUE)))
    tables: dict[str, Any] = {"tiles": [tile]}
    rows = run_operation(segment, files={"image": [path]}, tables=tables).row_tables["segments"]
    tables["segments"] = rows
    context = vectors_of(encoded(towers["vit"], [path], tables, of="segments"))
    assert list(context) == [row["segment_id"] for row in rows if row["kind"] == "figure"]
    grey = {"of": "segments", "background": "grey"}
    alone = vectors_of(encoded(towers["vit"], [path], tables, **grey))
    assert all(np.abs(alone[one] - context[one]).max() > 1e-3 for one in context)
    darker = sheet((110, 110, 60, RED), (290, 290, 60, BLUE))
    darker[darker.min(axis=2) > 180] = (120, 160, 120)
    other_path, other_tile = write_plate("plate-002", darker)
    other = {"tiles": [other_tile], "segments": rows}
    again = vectors_of(encoded(towers["vit"], [other_path], other, **grey))
    moved = vectors_of(encoded(towers["vit"], [other_path], other, of="segments"))
    for one in context:
        assert np.abs(again[one] - alone[one]).max() < 1e-5
        assert np.abs(moved[one] - context[one]).max() > 1e-3


def test_a_tile_that_cannot_be_read_is_a_failed_item_and_the_others_go_on(
    towers: dict[str, Path], sheet: Sheet, write_plate: Write
) -> None:
    made = [write_plate(f"plate-00{n}", sheet((200, 200, 40 * n, RED))) for n in (1, 2, 3)]
    rows = [{**row, "kind": "tile", "plate_id": "plate-001"} for _, row in made]
    files = [path for path, _ in made]
    files[1].write_bytes(files[1].read_bytes()[:300])
    produced = encoded(towers["clip"], files, {"tiles": rows}, of="tiles")
    assert list(vectors_of(produced)) == [rows[0]["tile_id"], rows[2]["tile_id"]]
    ((item, error),) = produced.failed_items
    assert item == rows[1]["tile_id"]
    assert isinstance(error, UnreadableImage)
    for path in files:
        path.write_bytes(b"")
    with pytest.raises(LedgerkitError):
        encoded(towers["clip"], files, {"tiles": rows}, of="tiles")


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf")])
def test_a_vector_without_a_direction_is_never_stored(
    towers: dict[str, Path], tmp_path: Path, sheet: Sheet, write_plate: Write, value: float
) -> None:
    from safetensors.numpy import load_file, save_file

    folder = shutil.copytree(towers["clip"], tmp_path / "dull")
    weights = load_file(folder / "model.safetensors")
    weights["visual_projection.weight"] = np.full_like(weights["visual_projection.weight"], value)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    path, tile = write_plate("plate-001", sheet())
    with pytest.raises(InvalidRecord, match="no direction"):
        encoded(folder, [path], {"tiles": [tile]})


def space_of(model: Path, files: list[Path], tables: dict[str, Any], **given: Any) -> str:
    made = encoded(model, files, tables, **given).arrow_tables["embeddings"]
    (space,) = set(made["space_id"].to_pylist())
    return str(space)


def test_a_space_is_a_models_own_and_shared_by_all_that_it_is_shown_as_usual(
    towers: dict[str, Path], tmp_path: Path, sheet: Sheet, write_plate: Write
) -> None:
    path, tile = write_plate("plate-001", sheet((200, 200, 80, RED)))
    tables: dict[str, Any] = {"tiles": [tile]}
    rows = run_operation(segment, files={"image": [path]}, tables=tables).row_tables["segments"]
    tables["segments"] = rows

    def space(model: Path = towers["clip"], **given: Any) -> str:
        return space_of(model, [path], tables, **given)

    own = space()
    assert own.startswith("clip-1-")
    assert len(own) == len("clip-1-") + 8
    assert own == space(of="tiles") == space(of="segments") == space(device="cpu")
    assert own == space(background="grey"), "a plate has no background"
    others = [
        space(write_tower(tmp_path / "other", "clip", seed=1)),
        space(pool="tiles"),
        space(of="segments", background="grey"),
        space(of="segments", margin=0.3),
        space(long_side=512),
        space(precision="bfloat16"),
        space(towers["vit"]),
    ]
    assert len({own, *others}) == 8


def test_a_model_must_be_named() -> None:
    with pytest.raises(UsageError, match="needs a model"):
        encode.models(encode.Parameters())


def test_a_picture_that_the_model_refuses_costs_only_itself() -> None:
    from ledgerkit.models.pipeline import encoded

    class Picky:
        """Takes no picture that is black."""

        class preprocessing:  # noqa: N801
            shape = (2, 2)

            @staticmethod
            def apply(picture: Any) -> Any:
                return picture.astype(np.float32)

        def batch(self) -> int:
            return 3

        def images(self, pixels: Any) -> Any:
            if not pixels.any(axis=(1, 2, 3)).all():
                raise ValueError("black")
            return pixels.reshape(len(pixels), -1)

    shades = [200, 0, 100]
    given = [(at, lambda at=at: np.full((2, 2, 3), shades[at], np.uint8)) for at in range(3)]
    found = dict(encoded(given, Picky()))  # type: ignore[arg-type]
    assert list(found) == [0, 1, 2]
    assert isinstance(found[1], ValueError)
    assert [found[at][0] for at in (0, 2)] == [200, 100]
