"""What people's answers say of trials and of each other.

An answer says of a pair of rows `same`, `different` or `unsure`. A trial says `same` of two rows in
one cluster, `different` of all others: a row in no cluster is with nobody. Unsure answers are counted
and say nothing of trials.
Source: Cohen 1960 (kappa); Matthews 1975 (correlation).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SAME, DIFFERENT, UNSURE = "same", "different", "unsure"
ANSWERS = (SAME, DIFFERENT, UNSURE)
Answers = Mapping[str, str]
"""One person's answers by pair."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far two persons agree, over the pairs that both answered."""

    first: str
    second: str
    pairs: int
    agreed: int
    kappa: float | None
    """Cohen's kappa over the three answers, -1..1; None where chance alone would explain everything."""
    decided: int
    """Pairs of which both said same or different."""
    decided_kappa: float | None
    """The same over these."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a trial stands to the answers; None where a figure is not defined."""

    judged: int
    """Pairs answered same or different."""
    unsure: int
    outside: int
    """Judged pairs of which a row is in no cluster of the trial; they count as apart."""
    true_same: int
    false_same: int
    false_different: int
    true_different: int
    precision: float | None
    """Of the judged pairs that the trial has together the share that is the same; None without any."""
    recall: float | None
    """Of the pairs that are the same the share that the trial has together; None without any."""
    matthews: float | None
    """Matthews correlation, -1..1; None where the trial, or the answers, say the same of all pairs."""


def kappa(first: Sequence[str], second: Sequence[str]) -> float | None:
    """Cohen's kappa of two equally long lists of answers; None where it is not defined.

    It is 1 - (share of disagreement) / (share expected by chance), and chance gives none where both
    lists have one and the same answer throughout, or are empty.
    """
    count = len(first)
    one, other = Counter(first), Counter(second)
    by_chance = sum(one[answer] * other[answer] for answer in one) / count**2 if count else 1.0
    if by_chance == 1.0:
        return None
    agreed = sum(left == right for left, right in zip(first, second, strict=True)) / count
    return (agreed - by_chance) / (1.0 - by_chance)


def agreements(given: Mapping[str, Answers]) -> list[Agreement]:
    """Each two persons, by name, over the pairs that both answered. `given`: answers by person."""
    names = sorted(given)
    found = []
    for place, first in enumerate(names):
        for second in names[place + 1 :]:
            shared = sorted(given[first].keys() & given[second].keys())
            told = [(given[first][pair], given[second][pair]) for pair in shared]
            decided = [both for both in told if UNSURE not in both]
            found.append(
                Agreement(
                    first,
                    second,
                    len(told),
                    sum(one == other for one, other in told),
                    kappa([one for one, _ in told], [other for _, other in told]),
                    len(decided),
                    kappa([one for one, _ in decided], [other for _, other in decided]),
                )
            )
    return found


def majority(given: Mapping[str, Answers]) -> dict[str, str]:
    """One answer for each pair that anybody answered: what more persons say, same or different.

    Those who are unsure have no vote; a tie, or nobody with a vote, is unsure.
    """
    votes: dict[str, int] = {}
    for answers in given.values():
        for pair, answer in answers.items():
            step = {SAME: 1, DIFFERENT: -1}.get(answer, 0)
            votes[pair] = votes.get(pair, 0) + step
    return {
        pair: SAME if vote > 0 else DIFFERENT if vote < 0 else UNSURE
        for pair, vote in sorted(votes.items())
    }


def right_of(
    votes: NDArray[np.int32],
    left: NDArray[np.int64],
    right: NDArray[np.int64],
    answers: Sequence[str],
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether each trial is right of each decided pair, bool (t, p), and which pairs these are, (m,).

    `votes`: int32 (t, n). `left` and `right`: rows of the pairs, int64 (m,), with their answers.
    """
    import numpy as np

    told = np.array(answers, dtype=object)
    decided = told != UNSURE
    same = told[decided] == SAME
    left, right = left[decided], right[decided]
    together = (votes[:, left] >= 0) & (votes[:, left] == votes[:, right])
    return np.asarray(together == same[None]), np.asarray(decided, dtype=bool)


def verdicts(
    votes: NDArray[np.int32],
    left: NDArray[np.int64],
    right: NDArray[np.int64],
    answers: Sequence[str],
) -> list[Verdict]:
    """How each trial stands to the answers, in the order of `votes`; arguments as in `right_of`."""
    import numpy as np

    correct, decided = right_of(votes, left, right, answers)
    same = np.array([answer == SAME for answer in answers if answer != UNSURE], dtype=bool)
    found = []
    for vote, is_right in zip(votes, correct, strict=True):
        outside = (vote[left[decided]] < 0) | (vote[right[decided]] < 0)
        hits, misses = int((is_right & same).sum()), int((~is_right & same).sum())
        alarms = int((~is_right & ~same).sum())
        quiet = int((is_right & ~same).sum())
        found.append(
            Verdict(
                int(decided.sum()),
                len(answers) - int(decided.sum()),
                int(outside.sum()),
                hits,
                alarms,
                misses,
                quiet,
                hits / (hits + alarms) if hits + alarms else None,
                hits / (hits + misses) if hits + misses else None,
                matthews(hits, alarms, misses, quiet),
            )
        )
    return found


def matthews(hits: int, alarms: int, misses: int, quiet: int) -> float | None:
    """Matthews correlation of a table of true and false positives, false and true negatives.

    None where a row or a column of the table is empty: the quotient is 0 / 0 then.
    """
    margins = (hits + alarms, hits + misses, quiet + alarms, quiet + misses)
    if not all(margins):
        return None
    return (hits * quiet - alarms * misses) / math.sqrt(math.prod(margins))
