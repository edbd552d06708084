"""From vectors to levels of clusters: the sweep or W4's rule, the fall-back, and what lies inside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ledgerkit.clustering.consensus import FEWEST, MAJORITY, MOST_ROWS, NEIGHBOURS, agreed, distinct
from ledgerkit.clustering.consensus import RULE as CONSENSUS
from ledgerkit.clustering.grid import Setting
from ledgerkit.clustering.levels import nested, w4
from ledgerkit.clustering.partition import Partition, kmeans, of_cut
from ledgerkit.clustering.quality import quality
from ledgerkit.clustering.sweep import RULE, Best, Sweep, sweep
from ledgerkit.clustering.tables import other_row, trial_row

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class How:
    """What decides how rows are grouped."""

    settings: list[Setting]
    dimensions: int
    selection: str
    levels: str
    """nested, w4 or flat."""
    choose: str
    """consensus or best."""
    max_noise: float
    k: int
    seed: int


@dataclass(frozen=True, slots=True)
class Grouping:
    """Levels of clusters, how they came about, and the rows of `trials`."""

    levels: list[Partition]
    swept: Sweep
    setting: Setting
    """The setting whose layout is the map: of the chosen trial, or the first that was tried."""
    trial: int | None
    """Number of the trial whose layout that is; None where it is none of the grid's."""
    rule: str
    method: str
    """consensus, given, hdbscan, kmeans or w4."""
    reason: str
    """Why it is the fall-back, or what a given setting did not do as its name says; else empty."""
    rows: list[dict[str, Any]]


def group(unit: NDArray[np.float32], reduced: NDArray[np.float32], how: How) -> Grouping:
    """Clusters of `unit`, float32 (n, d), laid out from `reduced`, float32 (n, e); L2 norm 1 both."""
    swept = sweep(
        unit,
        reduced,
        how.settings,
        dimensions=how.dimensions,
        selection=how.selection,
        max_noise=how.max_noise,
        seed=how.seed,
    )
    best = swept.best
    if best is None:
        return _fallen_back(unit, swept, how)
    number, rows = best.trial.number, _rows(swept, how, None)
    votes = [swept.votes[place] for place in distinct(swept.votes)]
    agreement = _agreement(swept, votes, best, how)
    if isinstance(agreement, Partition):
        first, rule, method, reason = agreement, CONSENSUS, "consensus", ""
        used = min(NEIGHBOURS, swept.near.indices.shape[1]) if swept.near else 0
        settings = {
            "trials": len(swept.votes),
            "partitions": len(votes),
            "n_neighbors": used,
            "majority": MAJORITY,
        }
        rows.append(other_row(len(rows), method, settings, first, quality(unit, first.labels)))
    else:
        first, rule, method, reason = of_cut(best.cut), RULE, "hdbscan", agreement
        rows[number]["chosen"] = True
    levels = [first]
    if how.levels == "nested":
        levels = nested(
            best.layout.points,
            unit,
            first,
            how.settings,
            selection=how.selection,
            max_noise=how.max_noise,
        )
    return Grouping(levels, swept, best.trial.setting, number, rule, method, reason, rows)


def _agreement(
    swept: Sweep, votes: list[NDArray[np.int32]], best: Best, how: How
) -> Partition | str:
    """What the trials agree on, or why the best of them stands alone: empty where no consensus was
    wanted, or fewer settings were tried than it takes.
    """
    import numpy as np

    if how.choose != "consensus" or len(swept.trials) < FEWEST:
        return ""
    if len(swept.votes) < FEWEST:
        found = f"{len(swept.votes)} of {len(swept.trials)} trials qualify"
        return f"{found}, and a consensus takes {FEWEST}: the best of them was taken"
    if swept.near is None or len(swept.votes[0]) > MOST_ROWS:
        return f"a consensus takes 4 to {MOST_ROWS:,} rows: the best trial was taken"
    least = min(trial.setting.min_cluster_size for trial in swept.trials if not trial.note)
    agreement = agreed(np.stack(votes), swept.near.indices, best.cut.outliers, least, how.seed)
    noise = float((agreement.labels < 0).mean())
    if agreement.clusters < 2 or noise > how.max_noise:
        found = f"{agreement.clusters} clusters, {noise:.2f} of the rows noise"
        return f"the trials agree on too little, {found}: the best of them was taken"
    return agreement


def _fallen_back(unit: NDArray[np.float32], swept: Sweep, how: How) -> Grouping:
    """KMeans, because no trial qualifies."""
    found = kmeans(unit, how.k, how.seed)
    rows = _rows(swept, how, None)
    settings = {"k": found.clusters, "n_init": 10}
    rows.append(other_row(len(rows), "kmeans", settings, found, quality(unit, found.labels)))
    notes = [trial.note for trial in swept.trials]
    common = max(dict.fromkeys(notes), key=notes.count)
    reason = f"none of {len(notes)} trials qualifies, most often because: {common}"
    first = how.settings[0]
    return Grouping([found], swept, first, None, RULE, "kmeans", reason, rows)


def group_w4(unit: NDArray[np.float32], reduced: NDArray[np.float32], how: How) -> Grouping:
    """The levels of workflow W4; `how` has the one setting of its map."""
    (setting,) = how.settings
    swept = sweep(
        unit,
        reduced,
        [setting],
        dimensions=2,
        selection="eom",
        max_noise=how.max_noise,
        seed=how.seed,
    )
    levels = w4(unit)
    row = other_row(0, "w4", {"levels": "w4"}, levels[0], quality(unit, levels[0].labels))
    return Grouping(levels, swept, setting, None, "w4", "w4", "", [row])


def _rows(swept: Sweep, how: How, chosen: int | None) -> list[dict[str, Any]]:
    width = swept.layout.points.shape[1]
    return [
        trial_row(trial, width, how.selection, trial.number == chosen) for trial in swept.trials
    ]
