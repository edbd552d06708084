"""From trials to a consensus and a ranking.

1. The composite with the stability on subsamples alone ranks all trials but the controls.
2. The best half of the partitions, of trials not penalised, make the consensus. Equal partitions are one,
   that of the best trial: how many settings give one answer is a matter of the grids. W1 takes the best
   quarter of the runs; `docs/sweeps.md` has what either gave.
3. Stability is then the mean of the ARI on subsamples and the ARI with the consensus, where both are
   known, and the composite is taken again: that is the score.
4. `w1-rank-down-v1`: a trial that is below the median in both, on subsamples and with the consensus,
   and below the lowest quarter in one, is ranked behind all others. None is dropped.

Source: workflow W1; imaging notes G3 (agreement with the consensus ranks like the truth).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ledgerkit.clustering.consensus import distinct
from ledgerkit.sweeping.agreement import Agreement, consensus
from ledgerkit.sweeping.composite import CODE, TEXT, WEIGHTS, Scores, penalised, score
from ledgerkit.sweeping.run import Swept
from ledgerkit.sweeping.shared import NEAREST, Shared

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

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

    @property
    def winner(self) -> int | None:
        """Number of the trial with rank 1."""
        return self.ranks.index(1) if 1 in self.ranks else None


def outcome(
    shared: Shared,
    swept: Swept,
    formula: str = TEXT,
    weights: Mapping[str, float] = WEIGHTS,
    best: float = BEST,
) -> Outcome:
    """Consensus and ranking of the trials; `best` is the share of the partitions in the consensus, 0..1.

    Raises `UsageError` for no such formula or weights.
    """

    trials = swept.trials
    bootstrap = [trial.bootstrap_ari for trial in trials]
    first = score(trials, bootstrap, formula, weights).z
    free = [place for place, trial in enumerate(trials) if not trial.control]
    able = [place for place in free if not penalised(trials[place])]
    able.sort(key=lambda place: (-round(float(first[place]), 9), place))
    different = [able[place] for place in distinct(swept.labels[able])]
    members = sorted(different[: max(1, round(best * len(different)))])
    agreement = None
    if members:
        agreement = consensus(swept.labels[members], shared.near(NEAREST + 1).indices)
    with_consensus = _with_consensus(swept, agreement)
    stability = [_mean(one, other) for one, other in zip(bootstrap, with_consensus, strict=True)]
    scores = {name: score(trials, stability, name, weights) for name in (CODE, TEXT)}
    down = _ranked_down(bootstrap, with_consensus, free)
    order = sorted(
        free, key=lambda place: (down[place], -round(float(scores[formula].z[place]), 9), place)
    )
    ranks: list[int | None] = [None] * len(trials)
    for rank, place in enumerate(order, 1):
        ranks[place] = rank
    return Outcome(
        agreement, members, with_consensus, stability, scores, formula, down.tolist(), ranks
    )


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
