"""The consensus of trials by itself, for many rows: time and memory.

Made-up votes: groups of about 100 rows, 60 partitions in each of which a twentieth of the rows is in
another group and another twentieth in none; of the 15 neighbours a tenth are rows drawn by lot. Each
size has a process of its own. `python -m benchmarks.consensus 50000 100000 200000`.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from benchmarks.measuring import EXAMPLE, peak, scratch, table

SIZES = (50_000,)
PARTITIONS, NEIGHBOURS, GROUP, LEAST, SEED = 60, 15, 100, 50, 1337


def main(sizes: tuple[int, ...] = SIZES) -> None:
    rows = []
    for size in sizes:
        with scratch() as folder:
            answer = folder / "answer.json"
            command = [sys.executable, "-m", "benchmarks.consensus", "measure", str(size)]
            reading = peak([*command, str(answer)], EXAMPLE)
            found = json.loads(answer.read_text())
        told = [f"{found['seconds']:.0f}", f"{reading.megabytes:.0f}"]
        rows.append([f"{size:,}", *told, str(found["clusters"]), f"{found['ari']:.3f}"])
    title = f"consensus of {PARTITIONS} partitions over {NEIGHBOURS} neighbours"
    table(title, ["rows", "s", "peak MB", "clusters", "ARI"], rows)


def _measure(size: int, answer: str) -> None:
    import numpy as np
    from sklearn.metrics import adjusted_rand_score

    from ledgerkit.clustering.consensus import agreed

    drawn = np.random.default_rng(size)
    groups = size // GROUP
    truth = np.sort(drawn.integers(0, groups, size)).astype(np.int32)
    votes = np.tile(truth, (PARTITIONS, 1))
    moved = drawn.random(votes.shape) < 0.05
    votes[moved] = drawn.integers(0, groups, moved.sum())
    votes[drawn.random(votes.shape) < 0.05] = -1
    first = np.searchsorted(truth, truth)[:, None]
    count = np.searchsorted(truth, truth, side="right")[:, None] - first
    steps = np.concatenate([[0], drawn.integers(1, GROUP // 2, NEIGHBOURS - 1)])[None, :]
    near = (first + (np.arange(size)[:, None] - first + steps) % count).astype(np.int32)
    far = drawn.random(near.shape) < 0.1
    far[:, 0] = False
    near[far] = drawn.integers(0, size, far.sum())
    began = time.perf_counter()
    found = agreed(votes, near, np.zeros(size), LEAST, SEED)
    seconds = time.perf_counter() - began
    ari = float(adjusted_rand_score(truth, found.labels))
    Path(answer).write_text(
        json.dumps({"seconds": seconds, "clusters": found.clusters, "ari": ari})
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["measure"]:
        _measure(int(sys.argv[2]), sys.argv[3])
    else:
        main(tuple(int(size) for size in sys.argv[1:]) or SIZES)
