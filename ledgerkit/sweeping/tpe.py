"""Settings proposed by a Tree-structured Parzen Estimator from how the trials before did.

One trial after the other, because proposals that are made side by side cannot be repeated
(optuna#3045). The same trials come again for the same seed and the same results, so an interrupted
sweep needs no state of the sampler.
Source: Bergstra et al. 2011; the library optuna.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ledgerkit.canonical import canonical_bytes
from ledgerkit.errors import UsageError
from ledgerkit.sweeping.algorithms import load
from ledgerkit.sweeping.search import DRAWS, Drawn, turns
from ledgerkit.sweeping.trial import Trial

SEEDS = 2**32
"""Seeds that the sampler knows; that of the next algorithm begins anew beyond the greatest."""
WORST = -10.0
"""What a trial is told to be worth that has no silhouette."""


class Proposals:
    """Settings one after the other; each has to be told before the next is asked for."""

    def __init__(self, names: Sequence[str], seed: int) -> None:
        """Raises `UsageError` without the library."""
        try:
            import optuna
        except ImportError as error:
            raise UsageError(
                "--search tpe needs optuna", "Install it with: pip install 'ledgerkit[tpe]'"
            ) from error
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._turns = turns(names)
        self._studies = {
            name: optuna.create_study(
                direction="maximize",
                sampler=optuna.samplers.TPESampler(seed=(seed + place) % SEEDS),
            )
            for place, name in enumerate(names)
        }
        self._tried: dict[str, set[bytes]] = {name: set() for name in names}
        self._asked: Any = None

    def next(self, number: int) -> Drawn | None:
        """The setting of trial `number`; None when nothing new is proposed any more."""
        while self._turns:
            name = self._turns[number % len(self._turns)]
            setting = self._ask(name)
            if setting is not None:
                return Drawn(number, name, setting)
            self._turns = [one for one in self._turns if one != name]
        return None

    def _ask(self, name: str) -> dict[str, Any] | None:
        study, algorithm = self._studies[name], load(name)
        for _ in range(DRAWS):
            asked = study.ask()
            setting = {
                one.name: asked.suggest_categorical(one.name, one.values)
                if one.values
                else round(asked.suggest_float(one.name, one.low, one.high), 6)
                for one in algorithm.dimensions
            }
            key = canonical_bytes(setting)
            if key not in self._tried[name]:
                self._tried[name].add(key)
                self._asked = (study, asked)
                return setting
            study.tell(asked, state=_pruned())
        return None

    def tell(self, trial: Trial) -> None:
        """How the trial that was asked for last did: stability and silhouette, both -1..1."""
        study, asked = self._asked
        silhouette = trial.measures.silhouette
        value = WORST if silhouette is None else silhouette + (trial.bootstrap_ari or 0.0)
        study.tell(asked, value)


def _pruned() -> Any:
    from optuna.trial import TrialState

    return TrialState.PRUNED
