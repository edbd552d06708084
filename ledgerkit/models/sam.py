"""Load a SAM network from a folder, through segment_anything or through transformers.

Keeps out: what is done with masks (`sam_masks.py`), where the folder comes from.
"""

from __future__ import annotations

from pathlib import Path

from ledgerkit.errors import InvalidRecord
from ledgerkit.models import loading
from ledgerkit.models.loading import Placement
from ledgerkit.models.sam_network import Network

CHECKPOINTS = (".pth", ".pt", ".bin", ".ckpt")
ON_A_GPU, ON_A_PROCESSOR = 8, 1
"""Images in one forward pass of the encoder. On a processor more are no faster, and each takes
gigabytes.
"""
_kept: dict[tuple[object, ...], Network] = {}


def load(folder: Path, placement: Placement) -> Network:
    """The network in `folder`, kept for the next task of this process while its files stay the same.

    A folder with config.json is loaded by transformers, one with a single checkpoint by
    segment_anything. Raises `InvalidRecord` for a folder with neither and for weights that do not
    fit, `MissingExtra` without the libraries.
    """
    key = (str(folder), loading.state_of(folder), placement)
    if key not in _kept:
        _kept.clear()  # one network at a time: two would take twice the memory
        _kept[key] = _load(folder, placement)
    return _kept[key]


def check(folder: Path, device: str, precision: str) -> None:
    """Raise what `load` would, as far as settings and installed libraries tell; loads nothing."""
    if (folder / "config.json").is_file():
        from ledgerkit.models.sam_transformers import model_type_of, preprocessing_of

        model_type_of(folder)
        preprocessing_of(folder)
        loading.require("torch", "transformers", "safetensors")
    else:
        _checkpoint(folder)
        loading.require("torch", "segment_anything")
    if device == "cuda":
        loading.place(device, precision)


def try_out(folder: Path, device: str, precision: str, *, keep: bool) -> None:
    """Raise what `load` raises. With `keep` the network stays loaded; else it is loaded on the processor."""
    if keep:
        load(folder, loading.place(device, precision))
    else:
        _load(folder, loading.place("cpu", "float32"))


def _load(folder: Path, placement: Placement) -> Network:
    if (folder / "config.json").is_file():
        from ledgerkit.models.sam_transformers import TransformersSam

        return TransformersSam(folder, placement)
    from ledgerkit.models.sam_checkpoint import CheckpointSam

    return CheckpointSam(_checkpoint(folder), placement)


def _checkpoint(folder: Path) -> Path:
    """The only checkpoint in a folder. Raises `InvalidRecord`."""
    found = sorted(path for path in folder.iterdir() if path.suffix in CHECKPOINTS)
    if len(found) != 1:
        raise InvalidRecord(
            f"{folder.name} has no config.json and {len(found)} checkpoints: no SAM model",
            "It takes a folder as transformers writes it, or one checkpoint of segment_anything.",
        )
    return found[0]


def images_at_once(network: Network) -> int:
    """How many images to give to `Network.embed` together."""
    return ON_A_PROCESSOR if network.device == "cpu" else ON_A_GPU
