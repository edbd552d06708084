"""Tiny models for tests: files of weights by hand, and a folder as model libraries write it."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path

PREPROCESSING = {
    "do_resize": True,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "rescale_factor": 0.00392156862745098,
    "size": {"shortest_edge": 8},
}


def safetensors(tensors: Mapping[str, bytes], metadata: Mapping[str, str] | None = None) -> bytes:
    """A safetensors file whose tensors are rows of bytes (dtype U8)."""
    header: dict[str, object] = {} if metadata is None else {"__metadata__": dict(metadata)}
    at = 0
    for name, data in tensors.items():
        offsets = [at, at + len(data)]
        header[name] = {"dtype": "U8", "shape": [len(data)], "data_offsets": offsets}
        at += len(data)
    return framed(json.dumps(header).encode(), b"".join(tensors.values()))


def framed(header: bytes, data: bytes = b"") -> bytes:
    """A header and the bytes behind it, with the length in front."""
    return len(header).to_bytes(8, "little") + header + data


def checkpoint(data: bytes = b"") -> bytes:
    """A file of the form of torch's checkpoints: a zip with `data.pkl`."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as file:
        file.writestr("model/data.pkl", data)
    return held.getvalue()


def onnx_model() -> bytes:
    """An ONNX file of version 7 whose graph has a name and nothing in it."""
    return b"\x08\x07\x3a\x03\x12\x01a"


def model_files(seed: bytes = b"a", size: int = 64) -> dict[str, bytes]:
    """The files of a tiny model by path: weights of `size` bytes, its settings and a README."""
    config = {"model_type": "clip", "architectures": ["CLIPModel"]}
    return {
        "README.md": b"# A tiny model\n",
        "config.json": json.dumps(config).encode(),
        "model.safetensors": safetensors({"weight": seed * (size // len(seed))}, {"format": "pt"}),
        "preprocessor_config.json": json.dumps(PREPROCESSING).encode(),
        "tokenizer/vocab.txt": b"bird\nshell\n",
    }


def write_model(folder: Path, files: Mapping[str, bytes] | None = None) -> Path:
    """A folder with these files, by default those of `model_files`."""
    for path, data in (model_files() if files is None else files).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder
