"""Does what a sweep says without labels agree with the truth? On digits and on made-up collections.

    python -m ledgerkit.testing.sweeps [--sizes 435 1000 1797] [--trials 240] [--seeds 1337 ...]
        [--best 0.5]

Digits are scikit-learn's, so many of them drawn by `default_rng(0)`. The three collections are made up,
600 vectors of 64 numbers each: `families` (24 groups in eight families), `uneven` (12 groups from 10
to 150, a tenth of the rows in none) and `long` (10 groups stretched along an axis of their own). The
truth is used here only. Rows in no cluster are a class of their own in every ARI.

For each collection: the rank correlation (Spearman) of each label-free measure with the true ARI over
the trials that are no controls; the ARI of the trial that each formula ranks first, of the best and
the median trial, of the consensus, and of that of the best quarter of the runs by `w1.text`, as W1 has
it; by algorithm the median and the best trial. Over all made-up collections together: the ARI of the
robust signature by each formula in each, against the best signature of those tried in all of them.
Source: Spearman 1904; Hubert & Arabie 1985 (ARI); Alpaydin & Kaynak 1998 (the digits).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ledgerkit.clustering.swept import CUTS
from ledgerkit.kept import KeptHere
from ledgerkit.sweeping.agreement import Agreement, consensus
from ledgerkit.sweeping.choice import robust, signature_table
from ledgerkit.sweeping.composite import COMPOSITES, TEXT, score
from ledgerkit.sweeping.outcome import BEST, CONSENSUS, FORMULAS, Outcome, outcome
from ledgerkit.sweeping.run import Plan, Swept, sweep
from ledgerkit.sweeping.search import RANDOM
from ledgerkit.sweeping.shared import NEAREST, Shared

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

ALGORITHMS = ("agglomerative", "leiden", "umap-hdbscan", "kmeans")
ROWS, DIMENSION, SAMPLES = 600, 64, 3
MEASURES = (
    "silhouette",
    "davies_bouldin",
    "calinski_harabasz",
    "coverage",
    "singleton_rate",
    "modularity",
    "dbcv",
)


@dataclass(frozen=True)
class Judged:
    """A sweep of one collection, each formula's outcome, and the true ARI of each trial."""

    name: str
    swept: Swept
    outcomes: dict[str, Outcome]
    quarter: Agreement
    """The consensus of the best quarter of the runs by `w1.text`."""
    truth: NDArray[np.int64]
    """int64 (n,), the class of each row."""
    ari: NDArray[np.float64]
    """float64 (trials,)."""

    @property
    def free(self) -> list[int]:
        """Trials that are no controls."""
        return [place for place, trial in enumerate(self.swept.trials) if not trial.control]

    def correlation(self, values: Sequence[float | None]) -> float:
        """Spearman's rank correlation with the true ARI, over trials that have a value."""
        import numpy as np
        from scipy.stats import spearmanr

        known = [place for place in self.free if values[place] is not None]
        picked = np.array([values[place] for place in known], dtype=np.float64)
        return float(spearmanr(picked, self.ari[known]).statistic)


def digits(rows: int) -> tuple[Vectors, NDArray[np.int64]]:
    """Unit vectors, float32 (rows, 64), and the digit of each, by place in the data set."""
    import numpy as np
    from sklearn.datasets import load_digits

    pixels, truth = load_digits(return_X_y=True)
    drawn = np.sort(np.random.default_rng(0).choice(len(pixels), rows, replace=False))
    return _unit(pixels[drawn]), truth[drawn].astype(np.int64)


def made_up(kind: str, seed: int = 0) -> tuple[Vectors, NDArray[np.int64]]:
    """Unit vectors, float32 (600, 64), and the group of each: families, uneven or long."""
    import numpy as np

    drawn = np.random.default_rng([seed, *kind.encode()])
    noise = drawn.standard_normal((ROWS, DIMENSION))
    if kind == "families":
        truth = np.arange(ROWS) % 24
        families = drawn.standard_normal((8, DIMENSION))
        middles = families.repeat(3, axis=0) + 0.6 * drawn.standard_normal((24, DIMENSION))
        return _unit(middles[truth] + 0.7 * noise), truth
    if kind == "uneven":
        sizes = np.geomspace(10, 150, 12).round().astype(int)
        truth = np.repeat(np.arange(12), sizes)
        truth = np.concatenate([truth, np.full(max(0, ROWS - len(truth)), -1)])[:ROWS]
        middles = drawn.standard_normal((12, DIMENSION))
        spread = np.where(truth < 0, 1.6, 0.7)[:, None]
        return _unit(np.where(truth[:, None] < 0, 0, middles[truth]) + spread * noise), truth
    truth = np.arange(ROWS) % 10
    middles, axes = (drawn.standard_normal((10, DIMENSION)) for _ in range(2))
    along = drawn.uniform(-1.2, 1.2, (ROWS, 1))
    return _unit(middles[truth] + along * axes[truth] + 0.5 * noise), truth


def judge(
    name: str, unit: Vectors, truth: NDArray[np.int64], trials: int, seed: int, best: float
) -> Judged:
    """Sweep `unit`, float32 (n, d), L2 norm 1, and hold the trials against `truth`, int64 (n,).

    `best` is the share of the partitions in the consensus.
    """
    import numpy as np
    from sklearn.metrics import adjusted_rand_score

    shared = Shared(unit, seed=seed)
    swept = sweep(shared, Plan(ALGORITHMS, trials, RANDOM, SAMPLES, seed), KeptHere())
    outcomes = {formula: outcome(shared, swept, formula, best=best) for formula in FORMULAS}
    first = score(swept.trials, [trial.bootstrap_ari for trial in swept.trials], TEXT).z
    runs = [place for place, trial in enumerate(swept.trials) if not trial.control]
    runs = sorted(runs, key=lambda place: (-first[place], place))[: round(len(runs) / 4)]
    quarter = consensus(swept.labels[sorted(runs)], shared.near(NEAREST + 1).indices)
    ari = np.array([adjusted_rand_score(truth, labels) for labels in swept.labels])
    return Judged(name, swept, outcomes, quarter, truth, ari)


def ranking(one: Judged) -> list[tuple[str, float]]:
    """Name and rank correlation of each measure and composite with the truth."""
    trials, found = one.swept.trials, one.outcomes[CONSENSUS]
    rows = [(name, [getattr(trial.measures, name) for trial in trials]) for name in MEASURES]
    rows.append(("bootstrap ARI", [trial.bootstrap_ari for trial in trials]))
    rows.append(("stability", found.stability))
    rows.append((CONSENSUS, found.consensus_ari))
    for formula in COMPOSITES:
        rows.append((formula, found.scores[formula].z.tolist()))
    return [(name, one.correlation(values)) for name, values in rows]


def picked(one: Judged) -> list[tuple[str, float]]:
    """Whose ARI it is, and the true ARI: trials that were picked, and the consensus."""
    import numpy as np
    from sklearn.metrics import adjusted_rand_score

    rows = [
        ("best trial", float(one.ari[one.free].max())),
        ("median trial", float(np.median(one.ari[one.free]))),
    ]
    for formula, found in one.outcomes.items():
        if found.winner is not None:
            rows.append((f"first by {formula}", float(one.ari[found.winner])))
    for name, agreed in (
        ("consensus", one.outcomes[CONSENSUS].agreement),
        ("best quarter of the runs", one.quarter),
    ):
        if agreed is not None:
            for cut, labels in zip(CUTS, (agreed.lifetime, agreed.half), strict=True):
                ari = float(adjusted_rand_score(one.truth, labels))
                rows.append((f"{name}, {cut}", ari))
    return rows


def by_algorithm(one: Judged) -> list[tuple[str, float]]:
    """Name and true ARI of the median and the best trial of each algorithm."""
    import numpy as np

    rows = []
    for name in ALGORITHMS:
        own = [place for place, trial in enumerate(one.swept.trials) if trial.algorithm == name]
        rows.append((f"{name}, median", float(np.median(one.ari[own]))))
        rows.append((f"{name}, best", float(one.ari[own].max())))
    return rows


def robustness(found: Sequence[Judged], formula: str) -> list[tuple[str, str, float, float]]:
    """For each collection: the robust signature, and its mean ARI and that of the best signature of those
    tried in as many collections.
    """
    rows = [
        {
            "dataset": one.name,
            "algorithm": one.swept.trials[place].algorithm,
            "signature": one.swept.trials[place].signature,
            "score_raw_z": one.outcomes[formula].scores[formula].of(place),
            "ranked_down": one.outcomes[formula].ranked_down[place],
        }
        for one in found
        for place in one.free
    ]
    table = signature_table(rows)
    chosen = robust(table)
    assert chosen is not None
    able = {row["signature"] for row in table if row["collections"] == chosen["collections"]}
    told = []
    for one in found:
        by_signature: dict[str, list[float]] = {}
        for place in one.free:
            by_signature.setdefault(one.swept.trials[place].signature, []).append(
                float(one.ari[place])
            )
        means = {name: sum(some) / len(some) for name, some in by_signature.items()}
        best = max((value for name, value in means.items() if name in able), default=float("nan"))
        told.append(
            (one.name, chosen["signature"], means.get(chosen["signature"], float("nan")), best)
        )
    return told


def _unit(matrix: Any) -> Vectors:
    import numpy as np

    from ledgerkit.clustering.reduce import normalise

    return normalise(np.asarray(matrix, dtype=np.float32))


def _table(title: str, names: Sequence[str], columns: Sequence[list[tuple[str, float]]]) -> None:
    print(f"\n| {title} | {' | '.join(names)} |\n| --- |{' --- |' * len(names)}")
    for label in dict.fromkeys(label for column in columns for label, _ in column):
        cells = [
            f"{dict(column)[label]:.3f}" if label in dict(column) else "" for column in columns
        ]
        print(f"| {label} | {' | '.join(cells)} |", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the three tables for each seed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="*", default=[435, 1000, 1797])
    parser.add_argument("--trials", type=int, default=240)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1337])
    parser.add_argument("--best", type=float, default=BEST, help="partitions in the consensus")
    given = parser.parse_args(arguments)
    for seed in given.seeds:
        sets = [(f"digits {size}", *digits(size)) for size in given.sizes]
        kinds = ("families", "uneven", "long")
        sets += [(kind, *made_up(kind)) for kind in kinds]
        found = [
            judge(name, unit, truth, given.trials, seed, given.best) for name, unit, truth in sets
        ]
        names = [one.name for one in found]
        print(f"\nseed {seed}, {given.trials} trials")
        _table("rank correlation with the true ARI", names, [ranking(one) for one in found])
        _table("true ARI", names, [picked(one) for one in found])
        _table("true ARI by algorithm", names, [by_algorithm(one) for one in found])
        synthetic = [one for one in found if one.name in kinds]
        print("\n| formula | collection | robust signature | its ARI | best of such signatures |")
        print("| --- | --- | --- | --- | --- |")
        for formula in FORMULAS:
            for name, signature, own, best in robustness(synthetic, formula):
                signature = signature.replace("|", " ")
                print(f"| {formula} | {name} | {signature} | {own:.3f} | {best:.3f} |")


if __name__ == "__main__":
    main()
