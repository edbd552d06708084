"""W1's composite of measures, in its two readings, with the weights as data.

`w1.code` adds up raw measures, what is missing replaced by the worst, and then takes the z-score;
`w1.text` takes z-scores first. W1's text and code disagree here, so both are there and a record names
the one that was used. z = (x - mean) / (standard deviation + 1e-9), over the trials of one collection.
Source: workflow W1; docs/sweeps.md (the text's reading ranks as well as the code's or better).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ledgerkit.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ledgerkit.sweeping.trial import Trial

CODE, TEXT = "w1.code", "w1.text"
COMPOSITES = (CODE, TEXT)
WEIGHTS: Mapping[str, float] = {
    "silhouette": 1.2,
    "davies_bouldin": 0.6,
    "calinski_harabasz": 0.6,
    "stability": 1.0,
    "coverage": 0.5,
    "modularity": 0.5,
    "singleton_rate": 0.4,
    "penalty": 5.0,
}
"""W1's weights. Signs and logarithms belong to the terms: less Davies-Bouldin is more."""
MISSING = {
    "silhouette": -1.0,
    "davies_bouldin": 10.0,
    "calinski_harabasz": 0.0,
    "stability": 0.0,
    "coverage": 0.0,
    "modularity": 0.0,
    "singleton_rate": 1.0,
}
"""What `w1.code` puts for a measure that is not there."""
LEAST_COVERAGE = 0.45
"""Coverage below which a trial is penalised, as is one of fewer than two clusters."""


@dataclass(frozen=True, slots=True)
class Scores:
    """A composite of each trial and its z-score among them, float64 (trials,)."""

    raw: NDArray[np.float64]
    z: NDArray[np.float64]

    def of(self, place: int) -> float | None:
        """The z-score of a trial; None where it has no score."""
        return float(self.z[place]) if math.isfinite(self.raw[place]) else None


def penalised(trial: Trial) -> bool:
    """Whether a trial covers too little or has fewer than two clusters."""
    return insufficient(trial.measures.coverage, trial.measures.clusters)


def insufficient(coverage: float, clusters: int) -> bool:
    """Whether this is too little coverage (0..1) or fewer than two clusters."""
    return coverage < LEAST_COVERAGE or clusters <= 1


def score(
    trials: Sequence[Trial],
    stability: Sequence[float | None],
    formula: str = TEXT,
    weights: Mapping[str, float] = WEIGHTS,
) -> Scores:
    """The composite by a formula; `stability` is that of each trial, -1..1 or None.

    In `w1.text` what is missing counts as the mean of those that have it: z = 0, neither a bonus nor a
    fine. Raises `UsageError` for a formula or weight that there is not.
    """
    import numpy as np

    if formula not in COMPOSITES:
        raise UsageError(f"no formula {formula!r}", f"There are: {', '.join(COMPOSITES)}")
    if set(weights) != set(WEIGHTS):
        raise UsageError(f"weights are {', '.join(sorted(weights))}", f"Give: {', '.join(WEIGHTS)}")
    given = terms(trials, stability, MISSING if formula == CODE else None)
    raw = np.zeros(len(trials))
    for name, values in given.items():
        raw += weights[name] * (values if formula == CODE else z_scores(values))
    raw -= weights["penalty"] * np.array([penalised(trial) for trial in trials], dtype=float)
    return Scores(raw, z_scores(raw))


def terms(
    trials: Sequence[Trial],
    stability: Sequence[float | None],
    missing: Mapping[str, float] | None = None,
) -> dict[str, NDArray[np.float64]]:
    """Each term of the composite, more is better, float64 (trials,); NaN where it is not known, unless
    `missing` says what stands for it.
    """
    import numpy as np

    def column(name: str) -> NDArray[np.float64]:
        values = (
            stability
            if name == "stability"
            else [getattr(trial.measures, name) for trial in trials]
        )
        blank = np.nan if missing is None else missing[name]
        return np.array([blank if value is None else value for value in values], dtype=np.float64)

    return {
        "silhouette": column("silhouette"),
        "davies_bouldin": -column("davies_bouldin"),
        "calinski_harabasz": np.log1p(np.maximum(column("calinski_harabasz"), 0)),
        "stability": column("stability"),
        "coverage": column("coverage"),
        "modularity": column("modularity"),
        "singleton_rate": -np.log1p(np.maximum(column("singleton_rate"), 1e-6)),
    }


def z_scores(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """z of each value among those that are known, 0 for the others and where it is not finite."""
    import numpy as np

    known = np.isfinite(values)
    if not known.any():
        return np.zeros_like(values)
    mean, deviation = values[known].mean(), values[known].std()
    return np.where(known, (np.where(known, values, mean) - mean) / (deviation + 1e-9), 0.0)
