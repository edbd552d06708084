"""Which settings a sweep tries: drawn at random, or along a grid.

Trial i depends on the seed and on the trials before it, never on how many there will be: the first 60
of 240 are the 60 of a shorter sweep.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

from ledgerkit.canonical import canonical_bytes
from ledgerkit.errors import UsageError
from ledgerkit.sweeping.algorithms import Algorithm, load
from ledgerkit.sweeping.space import Setting

if TYPE_CHECKING:
    import numpy as np

RANDOM, GRID, TPE = SEARCHES = ("random", "grid", "tpe")
DRAWS = 200
"""Draws after which an algorithm counts as tried out, when each was a setting that was tried before."""
TURNS = 2
"""Turns of each algorithm before the controls have one."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A trial that is to be made."""

    number: int
    algorithm: str
    setting: Setting


def turns(names: Sequence[str]) -> list[str]:
    """The algorithms in the order in which they take turns, which then begins anew."""
    loaded = [load(name) for name in names]
    own = [one.name for one in loaded if not one.control]
    return own * TURNS + [one.name for one in loaded if one.control]


def draw(names: Sequence[str], trials: int, search: str, seed: int) -> list[Drawn]:
    """Up to `trials` settings by `random` or `grid`, none twice; fewer where there are no more.

    Raises `UsageError` for another search.
    """
    if search not in (RANDOM, GRID):
        raise UsageError(f"no search {search!r}", f"There are: {', '.join(SEARCHES)}")
    made = {
        name: _at_random(load(name), seed) if search == RANDOM else _along(load(name), seed)
        for name in names
    }
    order, found = turns(names), list[Drawn]()
    while made and len(found) < trials:
        for name in order:
            setting = next(made[name], None) if name in made else None
            if setting is None:
                made.pop(name, None)
            elif len(found) < trials:
                found.append(Drawn(len(found), name, setting))
    return found


def _at_random(algorithm: Algorithm, seed: int) -> Iterator[Setting]:
    """Settings drawn evenly from each dimension, each once."""
    import numpy as np

    drawn = np.random.default_rng([seed, *algorithm.name.encode()])
    tried: set[bytes] = set()
    while True:
        for _ in range(DRAWS):
            setting = {
                one.name: _value(one.values, one.low, one.high, drawn)
                for one in algorithm.dimensions
            }
            if (key := canonical_bytes(setting)) not in tried:
                break
        else:
            return
        tried.add(key)
        yield setting


def _value(values: Sequence[Any], low: float, high: float, drawn: np.random.Generator) -> Any:
    if values:
        return values[int(drawn.integers(len(values)))]
    return round(float(drawn.uniform(low, high)), 6)


def _along(algorithm: Algorithm, seed: int) -> Iterator[Setting]:
    """All combinations, ranges in their steps, in an order shuffled by the seed: any beginning of it
    is spread over the whole grid.
    """
    import numpy as np

    names = [one.name for one in algorithm.dimensions]
    points = list(product(*(one.steps for one in algorithm.dimensions)))
    drawn = np.random.default_rng([seed, *algorithm.name.encode()])
    for place in drawn.permutation(len(points)).tolist():
        yield dict(zip(names, points[place], strict=True))
