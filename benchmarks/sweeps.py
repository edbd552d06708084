"""240 trials of a sweep over what they share, against trials that each begin from the vectors.

The loop computes for each trial what it needs by itself: its linkage, its graph or its layout, on all
vectors and on each of three subsamples, and the same measures. It is run on a sample of the trials,
the first of each algorithm, and extrapolated by algorithm to all 240; so is ours where it says so.
Both get the vectors of `benchmarks.clustering`, in a process of their own that has compiled and
imported everything on 200 rows before; time is that of the work alone, memory the peak of the
process. `python -m benchmarks.sweeps 20000 24` takes another size and, of ours, only so many trials:
its time for all is then an upper bound, for what is shared is counted as if it grew with the trials.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from typing import Any

from benchmarks.clustering import vectors
from benchmarks.measuring import EXAMPLE, peak, scratch, table

SIZES = (1_000,)
TRIALS, SAMPLES, SEED = 240, 3, 1337
ALGORITHMS = ("agglomerative", "leiden", "umap-hdbscan", "kmeans")
OF_EACH = 3
"""Trials of each algorithm in the loop."""
WAYS = (("ours", "`sweep run`"), ("loop", "each trial by itself"))


def main(sizes: tuple[int, ...] = SIZES, trials: int = TRIALS) -> None:
    rows = []
    for size in sizes:
        for way, name in WAYS:
            with scratch() as folder:
                answer = folder / "answer.json"
                command = [sys.executable, "-m", "benchmarks.sweeps", way, str(size), str(trials)]
                reading = peak([*command, str(answer)], EXAMPLE)
                found = json.loads(answer.read_text())
            rows.append(
                [
                    f"{size:,}",
                    name,
                    str(found["made"]),
                    f"{found['seconds']:.0f}",
                    f"{found['all']:.0f}",
                    f"{reading.megabytes:.0f}",
                ]
            )
    table(
        f"{TRIALS} trials with {SAMPLES} subsamples each, one process",
        ["vectors", "what", "trials made", "s", f"s for {TRIALS}, extrapolated", "peak MB"],
        rows,
    )


def _shared(size: int) -> Any:
    from ledgerkit.sweeping.shared import Shared

    return Shared(vectors(size)[0], seed=SEED)


def _drawn(trials: int) -> list[Any]:
    from ledgerkit.sweeping.search import draw

    return draw(ALGORITHMS, trials, "random", SEED)


def _ours(size: int, trials: int) -> tuple[int, float, float]:
    """Trials made, seconds, and at most so many for all: what is shared is counted as if it grew."""
    from ledgerkit.kept import KeptHere
    from ledgerkit.sweeping.run import Plan, sweep

    began = time.perf_counter()
    sweep(_shared(size), Plan(ALGORITHMS, trials, "random", SAMPLES, SEED), KeptHere())
    seconds = time.perf_counter() - began
    return trials, seconds, seconds * TRIALS / trials


def _loop(size: int, trials: int) -> tuple[int, float, float]:
    from ledgerkit.sweeping.algorithms import load
    from ledgerkit.sweeping.measures import measure
    from ledgerkit.sweeping.stability import Subsamples

    wanted = Counter(one.algorithm for one in _drawn(TRIALS))
    made: Counter[str] = Counter()
    seconds: Counter[str] = Counter()
    for one in _drawn(TRIALS):
        if made[one.algorithm] == OF_EACH:
            continue
        began = time.perf_counter()
        shared, algorithm = _shared(size), load(one.algorithm)
        labels = algorithm.label(shared, one.setting, SEED)
        Subsamples(shared, SAMPLES).ari(algorithm, one.setting, labels, SEED)
        measure(shared, labels)
        seconds[one.algorithm] += time.perf_counter() - began
        made[one.algorithm] += 1
    whole = sum(seconds[name] / made[name] * count for name, count in wanted.items())
    return sum(made.values()), sum(seconds.values()), whole


def _measure(way: str, size: int, trials: int, answer: str) -> None:
    from pathlib import Path
    from warnings import filterwarnings

    filterwarnings("ignore")
    work = {"ours": _ours, "loop": _loop}[way]
    work(200, TRIALS)
    made, seconds, whole = work(size, trials)
    Path(answer).write_text(json.dumps({"made": made, "seconds": seconds, "all": whole}))


if __name__ == "__main__":
    if sys.argv[1:2] in (["ours"], ["loop"]):
        _measure(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
    else:
        given = [int(one) for one in sys.argv[1:]]
        main((given[0],) if given else SIZES, given[1] if len(given) > 1 else TRIALS)
