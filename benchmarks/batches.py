"""Peak memory and time of `ledgerkit encode` on a processor, by the pictures of a batch.

    LEDGERKIT_PLATES=64 python -m benchmarks.batches

The model is that of `benchmarks.embedding`, of the size of ViT-B/32. Peaks are those of the process,
its libraries and the weights included. The last row is the batch that it finds by itself.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from benchmarks.embedding import LEDGERKIT, _archive, _model, _quietly
from benchmarks.measuring import EXAMPLE, peak, scratch, table

BATCHES = ("1", "8", "32", "0")


def main() -> None:
    from ledgerkit.models.tower import BATCH, open_tower

    with scratch() as folder:
        os.environ["LEDGERKIT_MODELS"] = str(folder / "store")
        model = _model(folder / "b32")
        _quietly(*LEDGERKIT, "models", "add", "b32", "--from", str(model))
        archive = _archive(folder)
        command = [*LEDGERKIT, "encode", "-C", str(archive), "--model", "b32", "--device", "cpu"]
        rows = []
        for batch in BATCHES:
            os.environ[BATCH] = batch
            reading = peak([*command, "--force", "--workers", "1"], Path(EXAMPLE))
            named = batch if batch != "0" else f"found: {open_tower(model, 'cpu').batch()}"
            rows.append([named, f"{reading.megabytes:.0f}", f"{reading.seconds:.1f}"])
        table("encode, ViT-B/32, one process", ["pictures of a batch", "peak MB", "s"], rows)


if __name__ == "__main__":
    sys.exit(main())
