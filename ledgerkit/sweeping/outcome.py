"""From trials to a consensus and a ranking.

1. The most stable half of the partitions, by the ARI on subsamples, of trials not penalised, make the
   consensus; of equally stable ones those with the greater composite. Equal partitions are one, that of
   the best trial: how many settings give one answer is a matter of the grids. W1 takes the best quarter
   of the runs by its composite; `docs/sweeps.md` has what either gave.
2. Stability is then the mean of the ARI on subsamples and the ARI with the consensus, where both are
   known; both composites take it.
3. The score is the ARI with the consensus (`consensus`), or one of W1's composites.
4. `w1-rank-down-v1`: a trial that is below the median in both, on subsamples and with the consensus,
   and below the lowest quarter in one, is ranked behind all others; behind these come those that are
   penalised, which have no score by `consensus`. None is dropped.

Source: workflow W1; Ben-Hur, Elisseeff & Guyon 2002 (stability); docs/sweeps.md (agreement with the
consensus ranks like the truth).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ledgerkit.clustering.consensus import distinct
from ledgerkit.errors import UsageError
from ledgerkit.sweeping.agreement import Agreement, consensus
from ledgerkit.sweeping.composite import (
    COMPOSITES,
    TEXT,
    WEIGHTS,
    Scores,
    penalised,
    score,
    z_scores,
)
from ledgerkit.sweeping.run import Swept
from ledgerkit.sweeping.shared import NEAREST, Shared

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CONSENSUS = "consensus"
FORMULAS = (CONSENSUS, *COMPOSITES)
BEST = 0.5
RANK_DOWN = "w1-rank-down-v1"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a sweep of t trials comes to."""

    agreement: Agreement | None
    """None where no trial could take part."""
    members: list[int]
    """Numbers of the trials in the consensus."""
    consensus_ari: list[float | None]
    stability: list[float | None]
    scores: dict[str, Scores]
    """By formula; controls are scored too, and not ranked."""
    formula: str
    ranked_down: list[bool]
    ranks: list[int | None]
    """1 for the best; None for controls."""
    winner: int | None
    """Number of the trial with rank 1; None where that is penalised, as all others then are."""


def outcome(
    shared: Shared,
    swept: Swept,
    formula: str = CONSENSUS,
    weights: Mapping[str, float] = WEIGHTS,
    best: float = BEST,
) -> Outcome:
    """Consensus and ranking of the trials; `best` is the share of the partitions in the consensus, 0..1.

    Raises `UsageError` for no such formula or weights.
    """
    if formula not in FORMULAS:
        raise UsageError(f"no formula {formula!r}", f"There are: {', '.join(FORMULAS)}")
    trials = swept.trials
    bootstrap = [trial.bootstrap_ari for trial in trials]
    free = [place for place, trial in enumerate(trials) if not trial.control]
    able = _by_stability(swept, free, bootstrap, weights)
    different = [able[place] for place in distinct(swept.labels[able])]
    members = sorted(different[: max(1, round(best * len(different)))])
    agreement = None
    if members:
        agreement = consensus(swept.labels[members], shared.near(NEAREST + 1).indices)
    with_consensus = _with_consensus(swept, agreement)
    stability = [_mean(one, other) for one, other in zip(bootstrap, with_consensus, strict=True)]
    scores = {name: score(trials, stability, name, weights) for name in COMPOSITES}
    poor = [penalised(trial) for trial in trials]
    scores[CONSENSUS] = _agreeing(with_consensus, poor)
    down = _ranked_down(bootstrap, with_consensus, free)
    first, then = (-scores[name].z.round(9) for name in (formula, TEXT))
    order = sorted(
        free, key=lambda place: (poor[place], down[place], first[place], then[place], place)
    )
    ranks: list[int | None] = [None] * len(trials)
    for rank, place in enumerate(order, 1):
        ranks[place] = rank
    winner = order[0] if order and not poor[order[0]] else None
    return Outcome(
        agreement, members, with_consensus, stability, scores, formula, down.tolist(), ranks, winner
    )


def _by_stability(
    swept: Swept,
    free: list[int],
    bootstrap: list[float | None],
    weights: Mapping[str, float],
) -> list[int]:
    """Those of `free` that are not penalised, the most stable first, those without stability last."""
    trials = swept.trials
    then = -score(trials, bootstrap, TEXT, weights).z.round(9)

    def key(place: int) -> tuple[float, float, int]:
        stability = bootstrap[place]
        return (1.0 if stability is None else -round(stability, 9), float(then[place]), place)

    return sorted((place for place in free if not penalised(trials[place])), key=key)


def _agreeing(with_consensus: list[float | None], poor: list[bool]) -> Scores:
    """The ARI with the consensus as a score; NaN where there is none, or the trial is penalised."""
    import numpy as np

    known = zip(with_consensus, poor, strict=True)
    raw = np.array([np.nan if one is None or bad else one for one, bad in known])
    return Scores(raw, z_scores(raw))


def _with_consensus(swept: Swept, agreement: Agreement | None) -> list[float | None]:
    """ARI of each trial with the consensus by lifetime, rows in no cluster a class of their own."""
    from sklearn.metrics import adjusted_rand_score

    if agreement is None:
        return [None] * len(swept.trials)
    return [float(adjusted_rand_score(agreement.lifetime, labels)) for labels in swept.labels]


def _mean(*values: float | None) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _ranked_down(
    bootstrap: list[float | None], with_consensus: list[float | None], free: list[int]
) -> NDArray[np.bool_]:
    """By `w1-rank-down-v1`; what is not known ranks nothing down."""
    import numpy as np

    columns = [
        np.array([np.nan if one is None else one for one in values])
        for values in (bootstrap, with_consensus)
    ]
    below_middle, below_quarter = [], []
    for values in columns:
        known = values[free][np.isfinite(values[free])]
        quarter, middle = np.quantile(known, (0.25, 0.5)) if len(known) else (-np.inf, -np.inf)
        below_middle.append(values < middle)
        below_quarter.append(values < quarter)
    down: NDArray[np.bool_] = np.logical_and(*below_middle) & np.logical_or(*below_quarter)
    return down
