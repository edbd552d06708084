"""The sweep of 108 settings and the levels, against plain loops over umap-learn and hdbscan.

The plain loop fits UMAP for each neighbourhood and HDBSCAN for each setting, and measures the same
silhouette with scikit-learn (on 8,000 rows at most): what a notebook does. Both get the same vectors,
made up: groups of 40 to 160 around random directions of 64 numbers, in families of four. Each runs in
a process of its own that has compiled and imported everything on 200 rows before; time is that of the
work alone, memory the peak of the process. Beyond 10,000 rows the plain loop makes one layout of
each neighbourhood, with the settings that are cut from it, a third of its work, and its time is three times
that. `python -m benchmarks.clustering 10000 50000` takes other sizes.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from benchmarks.measuring import EXAMPLE, peak, scratch, table

SIZES = (2_000,)
DIMENSION = 64
SEED = 1337
DISTANCES = (0.0, 0.1, 0.3)
WHOLE = 10_000
"""Rows up to which the plain loop does all of its work."""
DESCENT = 4_096
"""Rows beyond which umap-learn compiles another search of neighbours."""
WAYS = (("ours", "`cluster`: sweep and levels"), ("loops", "plain loops over umap-learn, hdbscan"))


def main(sizes: tuple[int, ...] = SIZES) -> None:
    rows = []
    for size in sizes:
        for way, name in WAYS:
            with scratch() as folder:
                answer = folder / "answer.json"
                command = [
                    sys.executable,
                    "-m",
                    "benchmarks.clustering",
                    way,
                    str(size),
                    str(answer),
                ]
                reading = peak(command, EXAMPLE)
                found = json.loads(answer.read_text())
            rows.append(
                [
                    f"{size:,}",
                    name,
                    f"{found['seconds']:.0f}{'' if found['share'] == 1 else ' (a third, times 3)'}",
                    f"{reading.megabytes:.0f}",
                    str(found["clusters"]),
                    f"{found['ari']:.3f}",
                ]
            )
    table(
        f"108 settings over vectors of {DIMENSION} numbers, one process",
        ["vectors", "what", "s", "peak MB", "clusters by level", "ARI"],
        rows,
    )


def vectors(size: int) -> tuple[Any, Any]:
    """Unit vectors, float32 (size, 64), and the group of each, in a mixed order."""
    import numpy as np

    drawn = np.random.default_rng(size)
    sizes: list[int] = []
    while sum(sizes) < size:
        sizes.append(min(int(drawn.integers(40, 161)), size - sum(sizes)))
    families = drawn.standard_normal((-(-len(sizes) // 4), DIMENSION))
    middles = families.repeat(4, axis=0)[: len(sizes)]
    middles = middles + 0.7 * drawn.standard_normal(middles.shape)
    groups = np.repeat(np.arange(len(sizes)), sizes)[drawn.permutation(size)]
    vectors = middles[groups] + 0.5 * drawn.standard_normal((size, DIMENSION))
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / lengths).astype(np.float32), groups


def _ours(unit: Any) -> tuple[Any, list[int]]:
    from ledgerkit.clustering.grid import grid_of, settings_of
    from ledgerkit.clustering.grouping import How, group
    from ledgerkit.operations.cluster import Parameters

    given = Parameters()
    grid = grid_of(given.neighbours, given.min_dist, given.min_cluster_size, given.min_samples)
    settings = settings_of(grid, len(unit), 0)
    how = How(settings, 2, "eom", "nested", given.choose, given.max_noise, given.k, SEED)
    found = group(unit, unit, how)
    return found.levels[0].labels, [level.clusters for level in found.levels]


def _layout(unit: Any, near: int, distance: float) -> Any:
    import umap

    model = umap.UMAP(n_neighbors=near, min_dist=distance, metric="cosine", random_state=SEED)
    return model.fit_transform(unit)


def _loops(unit: Any) -> tuple[Any, list[int]]:
    import hdbscan
    from sklearn.metrics import silhouette_score

    best: tuple[float, Any] = (-2.0, None)
    for near in (10, 20, 50):
        for distance in DISTANCES if len(unit) <= WHOLE else DISTANCES[1:2]:
            points = _layout(unit, near, distance)
            for least in (5, 8, 10, 15):
                for samples in (None, 5, 10):
                    labels = hdbscan.HDBSCAN(
                        min_cluster_size=least,
                        min_samples=samples,
                        approx_min_span_tree=False,
                        gen_min_span_tree=True,
                    ).fit_predict(points.astype("float64"))
                    kept = labels >= 0
                    if labels.max() < 1 or (~kept).mean() > 0.4:
                        continue
                    most = min(8000, int(kept.sum()))
                    value = silhouette_score(
                        unit[kept],
                        labels[kept],
                        metric="cosine",
                        sample_size=most,
                        random_state=SEED,
                    )
                    best = max(best, (float(value), labels), key=lambda one: one[0])
    return best[1], [int(best[1].max()) + 1]


def _measure(way: str, size: int, answer: str) -> None:
    from pathlib import Path
    from warnings import filterwarnings

    from sklearn.metrics import adjusted_rand_score

    filterwarnings("ignore")
    work = {"ours": _ours, "loops": _loops}[way]
    work(vectors(200)[0])
    if way == "loops" and size > DESCENT:
        _layout(vectors(DESCENT + 1)[0], 10, 0.1)
    unit, groups = vectors(size)
    began = time.perf_counter()
    labels, clusters = work(unit)
    seconds = time.perf_counter() - began
    ari = float(adjusted_rand_score(groups, labels))
    share = 1 if way == "ours" or size <= WHOLE else 3
    told = {"seconds": seconds * share, "share": share, "clusters": clusters, "ari": ari}
    Path(answer).write_text(json.dumps(told))


if __name__ == "__main__":
    if sys.argv[1:2] in (["ours"], ["loops"]):
        _measure(sys.argv[1], int(sys.argv[2]), sys.argv[3])
    else:
        main(tuple(int(size) for size in sys.argv[1:]) or SIZES)
