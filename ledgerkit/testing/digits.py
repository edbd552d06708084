"""How well `cluster` finds the ten digits of scikit-learn without being told that they are ten.

`python -m ledgerkit.testing.digits --seeds 10` runs the operation with its defaults for the default
seed and as many others as asked for, the rows given in another order each time, and prints the
agreement of the first level with the truth: over all rows, noise a group of its own. `--cost` times
the sweep against one run of UMAP and HDBSCAN. Source: Hubert & Arabie 1985 (adjusted Rand index);
Vinh, Epps & Bailey 2010 (adjusted mutual information); Alpaydin & Kaynak 1998 (the digits).
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

from ledgerkit.operations import cluster
from ledgerkit.testing.handles import run_operation

ALL = 1797


def digits(rows: int = ALL, order: int | None = None) -> tuple[Any, dict[str, int]]:
    """A table `embeddings` of `rows` digits, drawn by `default_rng(0)`, 64 numbers each, and the
    digit of each subject; in another order of rows for each `order`.
    """
    import numpy as np
    import pyarrow as pa
    from sklearn.datasets import load_digits

    pixels, truth = load_digits(return_X_y=True)
    drawn = np.sort(np.random.default_rng(0).choice(len(pixels), rows, replace=False))
    if order is not None:
        drawn = np.random.default_rng(order).permutation(drawn)
    names = [f"digit-{row:04d}" for row in drawn]
    table = pa.table(
        {
            "subject_id": names,
            "subject_kind": ["plate"] * rows,
            "plate_id": names,
            "space_id": ["digits"] * rows,
            "dim": pa.array([64] * rows, pa.int32()),
            "vector": pa.array(list(pixels[drawn].astype(np.float32)), pa.list_(pa.float32())),
        }
    )
    return table, dict(zip(names, truth[drawn].tolist(), strict=True))


def found(seed: int, rows: int = ALL, **parameters: Any) -> dict[str, float]:
    """ARI and AMI of the first level, its clusters and share of noise."""
    from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score

    table, truth = digits(rows, order=seed)
    produced = run_operation(
        cluster, plate_id=None, tables={"embeddings": [table]}, seed=seed, **parameters
    )
    members = produced.arrow_tables["cluster_members"].to_pylist()
    first = {row["subject_id"]: row["label"] for row in members if row["level"] == 1}
    labels, wanted = list(first.values()), [truth[name] for name in first]
    return {
        "ARI": float(adjusted_rand_score(wanted, labels)),
        "AMI": float(adjusted_mutual_info_score(wanted, labels)),
        "clusters": max(labels) + 1,
        "noise": labels.count(-1) / len(labels),
    }


def cost(rows: int) -> tuple[float, float]:
    """Seconds of the sweep of all settings with its consensus, and of one run of UMAP (15, 0.1) and
    HDBSCAN by their own libraries; both in a process that has compiled and imported everything.
    """
    seconds = []
    for work in (_sweep, _single):
        work(200)
        began = time.perf_counter()
        work(rows)
        seconds.append(time.perf_counter() - began)
    return seconds[0], seconds[1]


def _sweep(rows: int) -> None:
    found(1337, rows, levels="flat")


def _single(rows: int) -> None:
    import numpy as np

    from ledgerkit.clustering.density import quiet
    from ledgerkit.clustering.reduce import import_umap, normalise

    vectors = normalise(np.stack(digits(rows)[0]["vector"].to_numpy()))
    model = import_umap().UMAP(n_neighbors=15, metric="cosine", random_state=1337, n_jobs=1)
    points = model.fit_transform(vectors).astype(np.float64)
    with quiet():
        import hdbscan

        hdbscan.HDBSCAN(min_cluster_size=8, core_dist_n_jobs=1).fit(points)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10, help="runs; seeds are 1337, 0, 1, 2 ...")
    parser.add_argument("--rows", type=int, default=ALL)
    parser.add_argument("--choose", choices=("consensus", "best"), default="consensus")
    parser.add_argument("--levels", choices=("nested", "flat"), default="nested")
    parser.add_argument("--cost", action="store_true", help="time the sweep against one run")
    given = parser.parse_args()
    if given.cost:
        sweep, single = cost(given.rows)
        print(f"sweep {sweep:.1f} s, one run {single:.1f} s, ratio {sweep / single:.1f}")
        return
    values = []
    for seed in [1337, *range(given.seeds - 1)]:
        one = found(seed, given.rows, choose=given.choose, levels=given.levels)
        values.append(one["ARI"])
        told = (f"{name} {value:.3f}" for name, value in one.items() if name != "clusters")
        print(f"seed {seed}: {', '.join(told)}, {one['clusters']} clusters", flush=True)
    spread = statistics.pstdev(values)
    low, high = min(values), max(values)
    print(
        f"ARI {statistics.mean(values):.3f}, from {low:.3f} to {high:.3f}, deviation {spread:.3f}"
    )


if __name__ == "__main__":
    main()
