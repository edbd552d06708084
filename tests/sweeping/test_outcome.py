"""Who votes, what ranks, and what never wins."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ledgerkit.errors import UsageError
from ledgerkit.sweeping.choice import robust, signature_table
from ledgerkit.sweeping.composite import TEXT
from ledgerkit.sweeping.measures import Measures
from ledgerkit.sweeping.outcome import CONSENSUS, Outcome, outcome
from ledgerkit.sweeping.run import Swept
from ledgerkit.sweeping.shared import Shared
from ledgerkit.sweeping.trial import Trial

FAIR = Measures(2, 1.0, 0.0, 0.5, 1.0, 99.0, 0.6, 0.2, "")
ROWS = 100


@pytest.fixture(scope="module")
def shared() -> Shared:
    unit = np.random.default_rng(0).standard_normal((ROWS, 8))
    return Shared((unit / np.linalg.norm(unit, axis=1, keepdims=True)).astype(np.float32), seed=1)


def swept(*given: tuple[list[int], Measures, float | None]) -> Swept:
    trials = [
        Trial(number, "leiden", {}, f"leiden|{number}", False, measures, stability)
        for number, (_, measures, stability) in enumerate(given)
    ]
    return Swept(trials, np.array([labels for labels, _, _ in given], dtype=np.int32))


def halves(wrong: int = 0, none: int = 0) -> list[int]:
    """Two halves, the first rows of the other half, the last ones in none."""
    labels = [int((row < wrong) ^ (row >= ROWS // 2)) for row in range(ROWS)]
    return labels[: ROWS - none] + [-1] * none


def told(found: Outcome, swept: Swept) -> list[dict[str, object]]:
    return [
        {
            "dataset": "one",
            "algorithm": trial.algorithm,
            "signature": trial.signature,
            "score_raw_z": found.scores[found.formula].of(place),
        }
        for place, trial in enumerate(swept.trials)
    ]


def test_a_penalised_trial_has_no_score_by_consensus_and_comes_last(shared: Shared) -> None:
    little = replace(FAIR, coverage=0.44)
    made = swept(
        (halves(), FAIR, 0.9), (halves(3), FAIR, 0.9), (halves(1, none=56), little, 0.99),
        (halves(30), FAIR, 0.2), (halves(20), FAIR, 0.3),
    )  # fmt: skip
    found = outcome(shared, made)
    assert found.ranks[2] == 5, "behind those that are ranked down"
    assert found.ranked_down[3]
    assert found.scores[CONSENSUS].of(2) is None
    assert 2 not in found.members
    assert found.winner == 0
    chosen = robust(signature_table(told(found, made)))
    assert chosen is not None
    assert chosen["signature"] == "leiden|0"


def test_without_a_consensus_nothing_wins_and_nothing_is_recommended(shared: Shared) -> None:
    one = replace(FAIR, clusters=1, silhouette=None)
    made = swept(([0] * ROWS, one, None), (halves(none=70), replace(FAIR, coverage=0.3), 0.5))
    found = outcome(shared, made)
    assert (found.agreement, found.winner) == (None, None)
    assert found.consensus_ari == [None, None]
    assert sorted(rank or 0 for rank in found.ranks) == [1, 2]
    assert robust(signature_table(told(found, made))) is None


def test_without_stability_those_with_the_greater_composite_vote(shared: Shared) -> None:
    worse = replace(FAIR, silhouette=0.1)
    made = swept((halves(5), worse, None), (halves(), FAIR, None))
    found = outcome(shared, made)
    assert found.members == [1]
    assert found.scores[TEXT].of(0) is not None
    with pytest.raises(UsageError, match="no formula"):
        outcome(shared, made, "w2")
