"""Which files of a folder or of a hub are a model, and what each is for. Names only: pure, no disk.

Hidden files, code, other frameworks' weights and pickles that lie beside safetensors are left out,
and the answer says which and why. What cannot be kept at all is an error: names that some file
system refuses or takes for one another, and a selection without weights.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from ledgerkit import layout
from ledgerkit.errors import UsageError

Loads = Literal["safetensors", "weights_only", "onnx"]
Role = Literal["weights", "settings", "text"]

CONFIG = "config.json"
PREPROCESSOR = "preprocessor_config.json"
PREPROCESSORS = (PREPROCESSOR, "processor_config.json")
"""Where preprocessing is declared; the second is what newer libraries write for several inputs."""
_LOADS: dict[str, Loads] = {
    ".safetensors": "safetensors",
    ".onnx": "onnx",
    ".bin": "weights_only",
    ".pt": "weights_only",
    ".pth": "weights_only",
    ".ckpt": "weights_only",
}
_EXTERNAL = (".onnx_data", ".onnx.data")
"""Weights of an ONNX file that is too large for one: they are loaded through it."""
_CODE = frozenset({".py", ".pyc", ".so", ".dll", ".dylib", ".sh", ".bat", ".exe", ".ipynb", ".js"})
_OBJECTS = frozenset({".pkl", ".pickle", ".joblib", ".dill"})
_OTHER = frozenset({".h5", ".msgpack", ".ot", ".tflite", ".mlmodel", ".gguf", ".keras", ".pb"})
_TEXT = frozenset({".md", ".rst", ".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp", ".pdf"})
_TEXT_NAMES = ("license", "licence", "notice", "copying", "readme", "citation")


class LeftOut(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file that was not taken in, and why."""

    path: str
    reason: str


def suffix(path: str) -> str:
    """The last suffix of a path's name in lower case, with its dot; empty without one."""
    stem, dot, last = path.rpartition("/")[2].rpartition(".")
    return f".{last.lower()}" if dot and stem else ""


def loads(path: str) -> Loads | None:
    """How a file of weights is loaded: `weights_only` is a pickle, loaded with `weights_only=True`.

    None for what is no weights by itself.
    """
    return _LOADS.get(suffix(path))


def role(path: str) -> Role:
    """Weights; settings, which decide with them what comes out; or text, which decides nothing."""
    if loads(path) or path.lower().endswith(_EXTERNAL):
        return "weights"
    name = path.rpartition("/")[2].lower()
    return "text" if suffix(path) in _TEXT or name.startswith(_TEXT_NAMES) else "settings"


def select(paths: Iterable[str], where: str) -> tuple[list[str], list[LeftOut]]:
    """The paths that are kept, sorted, and those that are left out.

    Raises `UnsafePath` for a name that not every file system takes, `UsageError` for two that are
    one on some, and where no weights are left.
    """
    listed = sorted(paths)
    safe = any(loads(path) == "safetensors" for path in listed)
    kept: list[str] = []
    left: list[LeftOut] = []
    for path in listed:
        reason = _reason(path, safe)
        if reason is None:
            kept.append(layout.written_path(path))
        else:
            left.append(LeftOut(path, reason))
    for same in layout.twins(kept):
        raise UsageError(
            f"{where}: these names are one on some file systems: {', '.join(same)}",
            "Rename all but one of them in a copy, and add the copy.",
        )
    if not any(loads(path) for path in kept):
        said = "; ".join(f"{one.path}: {one.reason}" for one in left[:5])
        raise UsageError(
            f"{where} holds no weights" + (f" that can be kept ({said})" if left else ""),
            f"Weights are files that end in {', '.join(_LOADS)}.",
        )
    return kept, left


def _reason(path: str, safe: bool) -> str | None:
    """Why a file is left out; None when it is kept."""
    kind = suffix(path)
    parts = path.split("/")
    if any(part.startswith(".") for part in parts) and ".." not in parts:
        return "hidden"
    if kind in _CODE:
        return "code, and no code of a model is ever run"
    if kind in _OBJECTS:
        return "a pickle of any object, which may run code when it is loaded"
    if kind in _OTHER:
        return "weights for another framework"
    if safe and loads(path) == "weights_only":
        return "a pickle, and there are safetensors, which run nothing"
    return None
