"""`ledgerkit encode` end to end against a bare batched torch loop; classical descriptors per core.

The model is a CLIP of random weights whose image tower has the size of ViT-B/32 (its text tower is
tiny). `bare` is a process that imports the same libraries, loads the same weights, reads the same
files with the same decoder and preprocessing, and does nothing with the vectors: no digests, no
records. Both have one process and all processors. Each is run on two numbers of plates, so that the
rate is that of a further plate: start and loading cancel out. Processor time is given beside wall
time: where other work shares the machine, it is the steadier of the two.

LEDGERKIT_PLATES sets the larger number of plates.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from benchmarks.measuring import EXAMPLE, catalogue, median, scratch, table

PLATES = int(os.environ.get("LEDGERKIT_PLATES", "160"))
FEW = 16
ROUNDS = 3
BATCH = 32
LEDGERKIT = (sys.executable, "-m", "ledgerkit")


def main() -> None:
    with scratch() as folder:
        os.environ["LEDGERKIT_MODELS"] = str(folder / "store")
        model = _model(folder / "b32")
        _quietly(*LEDGERKIT, "models", "add", "b32", "--from", str(model))
        archive = _archive(folder)
        few = ("--plates", f"plate-001..{FEW:03}")
        ours = [*LEDGERKIT, "encode", "-C", str(archive), "--model", "b32", "--device", "cpu"]
        ours += ["--force", "--workers", "1"]
        classical = [*LEDGERKIT, "embed", "-C", str(archive), "--force", "--workers", "1"]
        bare = [sys.executable, "-m", "benchmarks.embedding", str(model), str(archive)]
        commands = {
            "bare torch loop": ([*bare, str(FEW)], [*bare, str(PLATES)]),
            "`ledgerkit encode`": ([*ours, *few], ours),
            "`ledgerkit embed` (classical)": ([*classical, *few], classical),
        }
        readings: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for _ in range(ROUNDS):
            for name, (short, long) in commands.items():
                first, second = _timed(short), _timed(long)
                readings[name].append((second[0] - first[0], second[1] - first[1]))
        _print(readings)


def _print(readings: dict[str, list[tuple[float, float]]]) -> None:
    more = PLATES - FEW
    peers = readings["bare torch loop"]
    rows = []
    for name, found in readings.items():
        wall, work = (median([one[place] for one in found]) for place in (0, 1))
        shares = [
            median([peer[place] / own[place] for peer, own in zip(peers, found, strict=True)])
            for place in (0, 1)
        ]
        rates = [f"{more / wall:.1f}", f"{more / work:.1f}"]
        same_model = "embed" not in name
        rows.append([name, *rates, *(f"{share:.2f}" if same_model else "-" for share in shares)])
    table(
        f"Vectors of {more} further plates, one process, median of {ROUNDS}",
        ["what", "plates/s", "plates a processor second", "of bare", "of bare, processor time"],
        rows,
    )


def _quietly(*command: str) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=EXAMPLE)


def _timed(command: list[str]) -> tuple[float, float]:
    """Wall seconds, and processor seconds of the process and its threads."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=EXAMPLE)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{' '.join(command)} ended with {status}")
    return time.perf_counter() - began, usage.ru_utime + usage.ru_stime


def _model(folder: Path) -> Path:
    """A CLIP of random weights: the image tower of ViT-B/32, a tiny text tower."""
    import json

    import torch
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(0)
    words = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1}
    words |= {"num_attention_heads": 1, "vocab_size": 64, "eos_token_id": 63, "bos_token_id": 1}
    CLIPModel(CLIPConfig(text_config=words, projection_dim=512)).save_pretrained(folder)
    stated = {"image_processor_type": "CLIPImageProcessor"}
    (folder / "preprocessor_config.json").write_text(json.dumps(stated))
    return folder


def _archive(folder: Path) -> Path:
    """A repository of `PLATES` small plates, normalised."""
    archive = folder / "archive"
    data, scans = catalogue(folder, PLATES)
    _quietly(*LEDGERKIT, "init", str(archive))
    given = ("-C", str(archive))
    _quietly(*LEDGERKIT, "ingest", *given, "--catalogue", str(data), "--images", str(scans))
    _quietly(*LEDGERKIT, "headers", *given)
    _quietly(*LEDGERKIT, "policy", "propose", *given)
    accept = ("--by", "benchmark", "--reason", "a benchmark")
    _quietly(*LEDGERKIT, "policy", "accept", *given, *accept)
    _quietly(*LEDGERKIT, "normalize", *given)
    return archive


def _images(archive: Path, count: int) -> Iterator[Path]:
    """The image that `encode` reads of each plate: the derivative, else the source."""
    plates = sorted((archive / "plates_structured").iterdir())
    for plate in islice(plates, count):
        made = [path for path in plate.glob("cache/*/*") if path.stem.startswith("whole")]
        yield made[0] if made else next((plate / "source").iterdir())


def bare(model: Path, archive: Path, count: int) -> None:
    """The loop that anybody would write."""
    import numpy as np

    from ledgerkit.imaging.decode import read_shrunk
    from ledgerkit.models.towers import TorchTower

    tower = TorchTower(model, "cpu", "float32")
    images = _images(archive, count)
    while batch := list(islice(images, BATCH)):
        pixels = []
        for path in batch:
            with path.open("rb") as file:
                pixels.append(tower.preprocessing.apply(read_shrunk(file, 1024)))
        tower.images(np.stack(pixels))


if __name__ == "__main__":
    bare(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
