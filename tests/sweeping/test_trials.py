"""What trials say of themselves, what is refused, and what is never trusted."""

from __future__ import annotations

import numpy as np
import pytest

from ledgerkit.errors import UsageError
from ledgerkit.kept import KeptHere
from ledgerkit.sweeping.run import Plan, sweep
from ledgerkit.sweeping.search import draw
from ledgerkit.sweeping.shared import Shared


def vectors(groups: int = 4, size: int = 20, spread: float = 0.4, seed: int = 0) -> np.ndarray:
    drawn = np.random.default_rng(seed)
    made = drawn.standard_normal((groups, 12)).repeat(size, axis=0)
    made += spread * drawn.standard_normal(made.shape)
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


def equal(rows: int = 30) -> np.ndarray:
    return np.tile(vectors(1, 1), (rows, 1))


def test_a_search_that_there_is_not_is_refused() -> None:
    with pytest.raises(UsageError, match="no search 'rnadom'"):
        draw(("leiden",), 3, "rnadom", 1)
    with pytest.raises(UsageError, match="no search 'rnadom'"):
        sweep(Shared(vectors(), seed=1), Plan(("leiden",), 3, "rnadom", 0, 1), KeptHere())


def test_tpe_takes_the_greatest_seed_that_a_sweep_may_have() -> None:
    plan = Plan(("leiden", "kmeans"), 3, "tpe", 0, 2**32 - 1)
    assert len(sweep(Shared(vectors(), seed=1), plan, KeptHere()).trials) == 3
