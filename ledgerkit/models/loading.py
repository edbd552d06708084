"""Load learned models from local folders: device, precision, threads, and nothing that calls home.

torch and transformers are imported when first used, and only in this package.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from ledgerkit.errors import InvalidRecord, MissingExtra, UsageError

DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("auto", "float32", "bfloat16")
WORKERS = "LEDGERKIT_WORKERS"
"""Environment variable of a worker process: how many of them share the processors."""
_OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
}


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a model runs and in which numbers."""

    device: str
    """`cpu` or `cuda`, as torch calls it."""
    precision: str
    """`float32` or `bfloat16`, of weights and activations."""
    name: str
    """What a record says: `cpu`, or `cuda: ` and the name of the card."""

    @property
    def dtype(self) -> Any:
        """The torch dtype of weights and activations."""
        return getattr(torch(), self.precision)


def library(name: str) -> ModuleType:
    """A library of the extra `models`, told to stay offline. Raises `MissingExtra`."""
    for variable, value in _OFFLINE.items():
        os.environ.setdefault(variable, value)
    try:
        found = importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise _missing(name, str(error)) from error
    if name == "transformers":
        logging = importlib.import_module("transformers.utils.logging")
        logging.set_verbosity_error()
        logging.disable_progress_bar()
    return found


def require(*names: str) -> None:
    """Raise `MissingExtra` for a library that is not installed. Imports none."""
    for name in names:
        if importlib.util.find_spec(name) is None:
            raise _missing(name, "it is not found")


def _missing(name: str, why: str) -> MissingExtra:
    return MissingExtra(
        f"learned models need {name}, which is not installed ({why})",
        "Install it with: pip install 'ledgerkit[models]'",
    )


def torch() -> Any:
    """The module torch. Raises `MissingExtra`."""
    return library("torch")


def transformers() -> Any:
    """The module transformers, silent. Raises `MissingExtra`."""
    return library("transformers")


def place(device: str = "auto", precision: str = "auto") -> Placement:
    """Where to run: `auto` is a GPU when torch sees one, and there bfloat16; else float32.

    Sets torch's threads on the processor to this process's share of them. Raises `MissingExtra`, and
    `UsageError` for a GPU that there is not and for names that there are not.
    """
    if device not in DEVICES or precision not in PRECISIONS:
        raise UsageError(
            f"no device {device!r} or no precision {precision!r}",
            f"There are: {', '.join(DEVICES)}; {', '.join(PRECISIONS)}",
        )
    library_ = torch()
    there = bool(library_.cuda.is_available())
    if device == "cuda" and not there:
        raise UsageError("torch sees no GPU here", "Leave --device out, or give --device cpu.")
    on_gpu = there and device != "cpu"
    if precision == "auto":
        precision = "bfloat16" if on_gpu else "float32"
    library_.set_num_threads(threads())
    if on_gpu:
        # Else convolutions of float32 are rounded to 10 bits: the library's default.
        library_.backends.cudnn.allow_tf32 = False
        return Placement("cuda", precision, f"cuda: {library_.cuda.get_device_name()}")
    return Placement("cpu", precision, "cpu")


def threads() -> int:
    """Processors that this process may use, shared with the workers beside it; at least one."""
    affinity = getattr(os, "sched_getaffinity", None)
    processors = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, processors // max(1, int(os.environ.get(WORKERS, "1"))))


def pretrained(kind: Any, folder: Path, placement: Placement, **options: Any) -> Any:
    """A transformers model of class `kind` from `folder`, in evaluation mode, on its device.

    Safetensors only, and every weight of the model must be in them: what the library would fill
    with random numbers is refused. Raises `InvalidRecord`.
    """
    damaged = library("safetensors").SafetensorError
    try:
        model, told = kind.from_pretrained(
            str(folder),
            local_files_only=True,
            use_safetensors=True,
            dtype=placement.dtype,
            output_loading_info=True,
            **options,
        )
    except (OSError, ValueError, RuntimeError, TypeError, KeyError, damaged) as error:
        raise InvalidRecord(
            f"{folder.name} cannot be loaded as {kind.__name__}: {_first_line(error)}",
            "It takes config.json and safetensors as transformers' save_pretrained writes them.",
        ) from error
    lacking = sorted(told["missing_keys"]) + sorted(map(str, told.get("mismatched_keys", ())))
    if lacking:
        raise InvalidRecord(
            f"{folder.name} lacks {len(lacking)} weights of {kind.__name__}: "
            f"{', '.join(lacking[:3])}",
            "Add the whole model: it must have every weight that its config.json asks for.",
        )
    return model.eval().requires_grad_(False).to(placement.device)


def state_of(folder: Path) -> tuple[tuple[str, int, int, int], ...]:
    """What changes when files of a model change: path, inode, size and time of each.

    The key under which a worker process keeps a loaded model.
    """
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            status = path.stat()
            found.append((str(path), status.st_ino, status.st_size, status.st_mtime_ns))
    return tuple(found)


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:300]
