"""All trials of a sweep over shared vectors; what an interrupted sweep had finished is taken over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ledgerkit.handles import Kept
from ledgerkit.sweeping.algorithms import load
from ledgerkit.sweeping.measures import measure
from ledgerkit.sweeping.search import TPE, Drawn, draw
from ledgerkit.sweeping.shared import Shared
from ledgerkit.sweeping.stability import Subsamples
from ledgerkit.sweeping.trial import Trial, decode, encode

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Plan:
    """What a sweep tries."""

    algorithms: Sequence[str]
    trials: int
    search: str
    """random, grid or tpe."""
    samples: int
    """Subsamples on which each setting is tried again; 0 for none."""
    seed: int


@dataclass(frozen=True, slots=True)
class Swept:
    """Trials by number, and the labels of each, int32 (trials, n), -1 for none."""

    trials: list[Trial]
    labels: NDArray[np.int32]


def sweep(
    shared: Shared, plan: Plan, kept: Kept, progress: Callable[[int, int], None] = lambda *_: None
) -> Swept:
    """Make the trials of `plan`, each put into `kept` as soon as it is done.

    The same for the same vectors and plan, whether it was interrupted or not. Raises `UsageError` for
    an algorithm or search that there is not.
    """
    import numpy as np

    subsamples = Subsamples(shared, plan.samples)
    trials: list[Trial] = []
    labels: list[NDArray[np.int32]] = []

    def attempt(drawn: Drawn) -> Trial:
        trial, found = _trial(shared, subsamples, drawn, plan.seed, kept)
        trials.append(trial)
        labels.append(found)
        progress(len(trials), plan.trials)
        return trial

    if plan.search == TPE:
        _propose(plan, attempt)
    else:
        for drawn in draw(plan.algorithms, plan.trials, plan.search, plan.seed):
            attempt(drawn)
    return Swept(trials, np.stack(labels))


def _propose(plan: Plan, attempt: Callable[[Drawn], Trial]) -> None:
    from ledgerkit.sweeping.tpe import Proposals

    proposals = Proposals(plan.algorithms, plan.seed)
    for number in range(plan.trials):
        drawn = proposals.next(number)
        if drawn is None:
            return
        proposals.tell(attempt(drawn))


def _trial(
    shared: Shared, subsamples: Subsamples, drawn: Drawn, seed: int, kept: Kept
) -> tuple[Trial, NDArray[np.int32]]:
    """The trial that was kept, or made now."""
    import numpy as np

    algorithm = load(drawn.algorithm)
    signature = algorithm.signature(drawn.setting)
    key = f"trial {drawn.number}"
    former = decode(kept.get(key), drawn, signature, algorithm.control, len(shared.unit))
    if former is not None:
        return former
    found = algorithm.label(shared, drawn.setting, seed)
    ari = subsamples.ari(algorithm, drawn.setting, found, seed)
    trial = Trial(
        drawn.number,
        drawn.algorithm,
        drawn.setting,
        signature,
        algorithm.control,
        measure(shared, found),
        ari,
        algorithm.note(shared, drawn.setting),
    )
    labels = found.astype(np.int32)
    kept.put(key, encode(trial, labels))
    return trial, labels
