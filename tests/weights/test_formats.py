"""Files of weights that no loader could take are refused when they are added."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

import pytest

from ledgerkit.errors import InvalidRecord
from ledgerkit.testing.weights import checkpoint, onnx_model
from ledgerkit.weights import ModelStore
from ledgerkit.weights.adding import add
from ledgerkit.weights.formats import TORCH_MAGIC


def zipped(name: str) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as file:
        file.writestr(name, b"")
    return held.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("junk.pth", b"hello world\n", "neither as a zip nor with torch's magic number"),
        ("junk.pt", b"", "neither as a zip"),
        ("junk.bin", pickle.dumps([1, 2]), "neither as a zip"),
        ("junk.ckpt", zipped("readme.txt"), "a zip without data.pkl"),
        ("cut.pth", checkpoint()[:-30], "begins as a zip and is none"),
        ("junk.onnx", b"junkonnx", "no ONNX model"),
        ("junk.onnx", b"", "no graph"),
        ("cut.onnx", onnx_model()[:-1], "has no end"),
        ("junk.onnx", b"\x08\x07", "no graph"),
        ("junk.onnx", b"\xff" * 40, "begins no field"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_weights_that_are_not_what_they_are_called_are_refused(
    tmp_path: Path, name: str, data: bytes, said: str
) -> None:
    store = ModelStore(tmp_path / "store")
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InvalidRecord, match=said) as caught:
        add(store, "junk", str(tmp_path / name))
    assert name in caught.value.message
    assert store.names() == []


def test_what_the_libraries_write_is_taken(tmp_path: Path) -> None:
    import torch
    from onnx import TensorProto, helper, save_model

    held = {"weight": torch.zeros(300, 4)}
    torch.save(held, tmp_path / "new.pth")
    torch.save(held, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    told = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3])
    gone = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])
    node = helper.make_node("Relu", ["x"], ["y"])
    model = helper.make_model(helper.make_graph([node], "tower", [told], [gone]))
    helper.set_model_props(model, {"made": "here"})
    save_model(model, tmp_path / "tower.onnx")
    (tmp_path / "newer.pt").write_bytes(pickle.dumps(TORCH_MAGIC, protocol=4) + b"rest")
    store = ModelStore(tmp_path / "store")
    for number, name in enumerate(("new.pth", "old.pth", "tower.onnx", "newer.pt")):
        assert add(store, f"model-{number}", str(tmp_path / name)).outcome == "added"
