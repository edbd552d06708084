"""Weights of the composite's terms from people's answers, with their uncertainty.

An answered pair compares trials: each that is right of it beats each that is wrong. All comparisons
of a pair together count as one, for one answer gave them. Two methods find weights. `logistic`: the
log odds that a trial beats another are linear in the differences of their z-scored terms (L2 penalty,
no intercept). `bradley-terry`: each trial gets a strength of its own, and these are fitted by the
terms. Intervals and errors are from resampled pairs. Weights are data; nothing here replaces any.
Source: Bradley & Terry 1952; Hunter 2004, "MM algorithms for generalized Bradley-Terry models";
Efron 1979 (bootstrap); Peduzzi et al. 1996 (ten events for each term).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ledgerkit.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LOGISTIC, BRADLEY_TERRY = METHODS = ("logistic", "bradley-terry")
ANSWERS_A_TERM = 10
"""Decisive answers for each weight that is found, at least (Peduzzi et al. 1996)."""
FEWEST = 30
"""Decisive answers, at least."""
PENALTY = 1.0
"""L2 penalty: half the squared weights of z-scores, against one log loss for each answer."""
PRIOR = 0.1
"""Wins, and losses, of every trial against an imagined one of strength 1: so all strengths are
finite, of trials too that were right, or wrong, of every pair."""
CONVERGED = 1e-5
"""Greatest change of a log strength, or a coefficient, at which the iteration ends."""
SAMPLES = 200
INTERVAL = (2.5, 97.5)
"""Percentiles of the resampled values that bound an interval."""


@dataclass(frozen=True, slots=True)
class Term:
    """The weight of one term; the sum of all absolute weights is that of the default weights."""

    name: str
    default: float
    weight: float
    low: float
    high: float
    error: float
    """Standard error: the standard deviation of the resampled weights."""


@dataclass(frozen=True, slots=True)
class Reweighing:
    """Weights found from answers, and what they rest on."""

    method: str
    terms: tuple[Term, ...]
    left_out: dict[str, str]
    """Terms that could not be judged and keep their default weight, each with the reason."""
    answers: int
    """Pairs answered same or different."""
    decisive: int
    """Those of which some trials are right and some wrong: no others compare trials."""
    trials: int
    samples: int
    seed: int
    held_out: float | None
    """Share of the comparisons by pairs outside of a resample that its weights order rightly, 0..1."""
    held_out_default: float | None
    """The same by the default weights; None where no pair was ever outside."""


def reweigh(
    right: NDArray[np.bool_],
    terms: Mapping[str, NDArray[np.float64]],
    defaults: Mapping[str, float],
    *,
    method: str = LOGISTIC,
    samples: int = SAMPLES,
    seed: int,
) -> Reweighing:
    """Weights by which trials that are right of more pairs come first.

    `right`: bool (t, p), whether a trial is right of a decided pair (`judgement.right_of`). `terms`:
    float64 (t,) by name, each so that the composite adds it times its weight, NaN where missing: it
    then stands at the mean of the others and speaks neither for nor against. `defaults`: weights of
    the composite by the same names. Raises `UsageError` for an unknown method, and with too few
    answers.
    """
    import numpy as np

    if method not in METHODS:
        raise UsageError(f"no method {method!r}", f"There are: {', '.join(METHODS)}")
    scored, left_out = _scored(terms)
    kept = list(scored)
    decisive = _decisive(right)
    _refuse_few(int(decisive.sum()), len(kept))
    found = _Comparisons(right[:, decisive].astype(np.float64))
    design = np.stack([scored[name] for name in kept], axis=1)
    standard = np.array([defaults.get(name, 0.0) for name in kept])
    scale = float(np.abs(standard).sum()) or 1.0

    def fit(wins: NDArray[np.float64]) -> NDArray[np.float64]:
        raw = _logistic(wins, design) if method == LOGISTIC else _by_strength(wins, design)
        size = float(np.abs(raw).sum())
        return raw * (scale / size) if size else raw

    weights = fit(found.wins(np.ones(found.pairs)))
    drawn, held = _resampled(found, fit, samples, seed)
    low, high = np.percentile(drawn, INTERVAL, axis=0)
    errors = drawn.std(axis=0, ddof=1)
    return Reweighing(
        method,
        tuple(
            Term(name, *map(float, numbers))
            for name, *numbers in zip(kept, standard, weights, low, high, errors, strict=True)
        ),
        left_out,
        right.shape[1],
        found.pairs,
        len(right),
        samples,
        seed,
        _held_out(held, [design @ one for one in drawn]),
        _held_out(held, [design @ standard] * samples),
    )


def bradley_terry(wins: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log strengths, float64 (t,), mean 0; `wins`: float64 (t, t), how often row beat column.

    Hunter's minorise-maximise iteration (2004, equation 3), with `PRIOR`.
    """
    import numpy as np

    games = wins + wins.T
    won = wins.sum(axis=1) + PRIOR
    strength = np.ones(len(wins))
    while True:
        met = games / (strength[:, None] + strength[None])
        updated = won / (met.sum(axis=1) + 2 * PRIOR / (strength + 1.0))
        change = float(np.abs(np.log(updated / strength)).max())
        strength = updated
        if change < CONVERGED:
            found = np.log(strength)
            return np.asarray(found - found.mean(), dtype=np.float64)


class _Comparisons:
    """Which trial beats which, of decisive pairs: float64 (t, p), 1 for right."""

    def __init__(self, right: NDArray[np.float64]) -> None:
        self._right = right
        number = right.sum(axis=0)
        self._share = 1.0 / (number * (len(right) - number))
        self.pairs: int = right.shape[1]

    def wins(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """float64 (t, t): how often row beats column when each pair is counted so many times."""
        found: NDArray[np.float64] = (self._right * (times * self._share)) @ (1.0 - self._right).T
        return found


def _decisive(right: NDArray[np.bool_]) -> NDArray[np.bool_]:
    number = right.sum(axis=0)
    found: NDArray[np.bool_] = (number > 0) & (number < len(right))
    return found


def _refuse_few(decisive: int, terms: int) -> None:
    least = max(FEWEST, ANSWERS_A_TERM * terms)
    if decisive < least:
        raise UsageError(
            f"{decisive} answers tell trials apart; weights of {terms} terms need {least}"
            if terms
            else f"{decisive} answers tell trials apart; {least} are needed",
            "Answer more pairs with: ledgerkit review",
        )


def _scored(
    terms: Mapping[str, NDArray[np.float64]],
) -> tuple[dict[str, NDArray[np.float64]], dict[str, str]]:
    """z-scores of the terms that can be judged, and why the others cannot."""
    import numpy as np

    kept: dict[str, NDArray[np.float64]] = {}
    left_out: dict[str, str] = {}
    for name, values in terms.items():
        there = np.isfinite(values)
        if 2 * there.sum() <= len(values):
            left_out[name] = "it is missing in half of the trials or more"
            continue
        spread = float(values[there].std())
        if spread <= 1e-12:
            left_out[name] = "it is the same in all trials"
            continue
        kept[name] = np.where(there, (values - values[there].mean()) / spread, 0.0)
    if not kept:
        raise UsageError("there is no term that could be weighed: none differs between the trials")
    return kept, left_out


def _logistic(wins: NDArray[np.float64], design: NDArray[np.float64]) -> NDArray[np.float64]:
    """Coefficients of the terms, float64 (m,), by Newton's method.

    What scikit-learn's `LogisticRegression` finds with both directions of each comparison as rows;
    two hundred fits over all pairs of 240 trials take it most of a minute, this some seconds.
    """
    import numpy as np

    first, second = np.triu_indices(len(wins), 1)
    won, lost = wins[first, second], wins[second, first]
    met = won + lost > 0
    difference = design[first[met]] - design[second[met]]
    won, games = won[met], (won + lost)[met]
    found = np.zeros(design.shape[1])
    while True:
        chance = 1.0 / (1.0 + np.exp(-(difference @ found)))
        slope = difference.T @ (won - games * chance) - PENALTY * found
        bend = (difference * (games * chance * (1.0 - chance))[:, None]).T @ difference
        step = np.linalg.solve(bend + PENALTY * np.eye(len(found)), slope)
        found += step
        if float(np.abs(step).max()) < CONVERGED:
            return found


def _by_strength(wins: NDArray[np.float64], design: NDArray[np.float64]) -> NDArray[np.float64]:
    """Strengths fitted by the terms, by least squares with the same penalty, float64 (m,)."""
    import numpy as np

    inner = design.T @ design + PENALTY * np.eye(design.shape[1])
    return np.asarray(np.linalg.solve(inner, design.T @ bradley_terry(wins)), dtype=np.float64)


def _resampled(
    found: _Comparisons,
    fit: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    samples: int,
    seed: int,
) -> tuple[NDArray[np.float64], list[NDArray[np.float64]]]:
    """What `fit` gives for pairs drawn with repetition, float64 (samples, m), and of each draw the
    comparisons by the pairs outside of it, (t, t).
    """
    import numpy as np

    generator = np.random.default_rng(seed)
    drawn, held = [], []
    for _ in range(samples):
        picked = generator.integers(found.pairs, size=found.pairs)
        times = np.bincount(picked, minlength=found.pairs).astype(np.float64)
        drawn.append(fit(found.wins(times)))
        held.append(found.wins((times == 0).astype(np.float64)))
    return np.stack(drawn), held


def _held_out(held: list[NDArray[np.float64]], scores: list[NDArray[np.float64]]) -> float | None:
    """The share of comparisons in the order of the scores; equal scores count as half."""
    import numpy as np

    rightly, whole = 0.0, 0.0
    for wins, score in zip(held, scores, strict=True):
        order = np.sign(score[:, None] - score[None])
        rightly += float((wins * (order + 1.0) / 2.0).sum())
        whole += float(wins.sum())
    return rightly / whole if whole else None
