"""ONNX towers: an export is torch's tower within its tolerance, and any declared file is taken."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skimage import data

from ledgerkit.cli import cli
from ledgerkit.errors import InvalidRecord, UsageError
from ledgerkit.models import onnx, preprocessing
from ledgerkit.models.tower import open_tower
from ledgerkit.models.towers import TorchTower
from ledgerkit.testing.towers import write_tower
from ledgerkit.weights import ModelStore
from ledgerkit.weights.adding import add

pytestmark = pytest.mark.usefixtures("offline")
DECLARED = {
    "kind": preprocessing.KIND,
    "resize": "exact",
    "size": [4, 4],
    "resample": "box",
    "rescale": 1,
    "mean": [0, 0, 0],
    "std": [1, 1, 1],
    "layout": "NHWC",
}


def test_an_export_gives_torchs_vectors_on_noise_and_photographs(
    towers: dict[str, Path], tmp_path: Path
) -> None:
    ours = TorchTower(towers["dinov3"], "cpu", "float32")
    exported = onnx.export(ours, tmp_path)
    proof = onnx.prove(ours, exported, [data.astronaut(), data.chelsea()])
    assert (proof.random, proof.real) == (8, 2)
    assert proof.holds
    assert proof.most_cosine < onnx.TOLERANCE == proof.tolerance
    assert proof.most_difference < 1e-5
    reopened = open_tower(tmp_path)
    assert reopened.preprocessing == ours.preprocessing
    pixels = np.stack([ours.preprocessing.apply(data.coffee())] * 5)
    assert np.abs(reopened.images(pixels) - ours.images(pixels)).max() < 1e-5
    with pytest.raises(UsageError, match="no tower of texts"):
        reopened.texts(["a bird"])
    other = TorchTower(write_tower(tmp_path / "other", "dinov3", seed=1), "cpu", "float32")
    assert not onnx.prove(other, exported, [data.astronaut()]).holds


def test_the_command_adds_the_export_with_its_proof_and_its_origin(
    towers: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("LEDGERKIT_MODELS", str(tmp_path / "store"))
    store = ModelStore()
    add(store, "clip", str(towers["clip"]), license="MIT")
    given = ["models", "export-onnx", "clip", "--as", "clip-onnx"]
    cli.main(given, standalone_mode=False)
    said = capsys.readouterr().out
    assert "added clip-onnx" in said
    assert "8 pictures of noise and 3 real ones" in said
    made = store.show("clip-onnx")
    assert made.preprocessing is not None
    assert made.preprocessing["made_of"]["sha256"] == store.pin("clip").sha256
    assert made.preprocessing["proof"]["most_cosine"] <= 1e-5
    assert made.license == "MIT"
    assert {file.loads for file in made.files} == {"onnx", None}
    with pytest.raises(UsageError, match="no model"):
        cli.main(["models", "export-onnx", "none", "--as", "other"], standalone_mode=False)


def hand_made(folder: Path, shape: list[object], **declared: object) -> Path:
    """A tower whose vector is the mean of each channel."""
    from onnx import TensorProto, helper, save

    axes = helper.make_tensor("axes", TensorProto.INT64, [2], [1, 2])
    graph = helper.make_graph(
        [helper.make_node("ReduceMean", ["x", "axes"], ["means"], keepdims=0)],
        "means",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("means", TensorProto.FLOAT, [shape[0], 3])],
        [axes],
    )
    opset = helper.make_opsetid("", 18)
    folder.mkdir()
    save(helper.make_model(graph, opset_imports=[opset], ir_version=9), folder / "any.onnx")
    (folder / "preprocessor_config.json").write_text(json.dumps(DECLARED | declared))
    return folder


def test_a_file_of_a_fixed_batch_is_given_full_batches(tmp_path: Path) -> None:
    tower = open_tower(hand_made(tmp_path / "fixed", [2, 4, 4, 3]))
    assert tower.batch() == 2
    pixels = np.random.default_rng(0).random((5, 4, 4, 3), dtype=np.float32)
    assert np.allclose(tower.images(pixels), pixels.mean(axis=(1, 2)), atol=1e-6)


def test_a_batch_that_memory_does_not_hold_is_halved_until_it_does(tmp_path: Path) -> None:
    tower: Any = open_tower(hand_made(tmp_path / "any", ["n", 4, 4, 3]))
    whole = tower.session

    class Small:
        def run(self, outputs: list[str], given: dict[str, np.ndarray]) -> Any:
            if len(given["x"]) > 2:
                raise RuntimeError("Failed to allocate memory for requested buffer of size 9")
            return whole.run(outputs, given)

    assert tower.batch() == 32
    tower.session = Small()
    pixels = np.random.default_rng(0).random((5, 4, 4, 3), dtype=np.float32)
    assert np.allclose(tower.images(pixels), pixels.mean(axis=(1, 2)), atol=1e-6)
    assert tower.batch() == 2


def test_what_a_declaration_names_must_be_in_the_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidRecord, match="'pixels'"):
        open_tower(hand_made(tmp_path / "wrong", ["n", 4, 4, 3], input="pixels"))
    folder = hand_made(tmp_path / "two", ["n", 4, 4, 3], input="x", output="means")
    assert open_tower(folder).images(np.zeros((1, 4, 4, 3), np.float32)).shape == (1, 3)
    with pytest.raises(InvalidRecord, match="does not take pictures"):
        open_tower(folder).images(np.zeros((1, 5, 5, 3), np.float32))
    with pytest.raises(UsageError, match="bfloat16"):
        open_tower(folder, "cpu", "bfloat16")
    shutil.copy(folder / "any.onnx", folder / "second.onnx")
    with pytest.raises(UsageError, match="2 ONNX files"):
        open_tower(folder)
    (folder / "second.onnx").unlink()
    (folder / "any.onnx").write_bytes(b"no model")
    with pytest.raises(InvalidRecord, match=r"any\.onnx"):
        open_tower(folder)
