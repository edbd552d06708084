"""A sweep that is cut short and goes on, and what its search, signatures and measures promise."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from ledgerkit.kept import KeptHere
from ledgerkit.sweeping.algorithms import Algorithm, load
from ledgerkit.sweeping.measures import measure, modularity
from ledgerkit.sweeping.run import Plan, sweep
from ledgerkit.sweeping.shared import Shared
from ledgerkit.sweeping.space import Setting

OWN = ("agglomerative", "leiden", "kmeans")


def shared(groups: int = 4, size: int = 20) -> Shared:
    drawn = np.random.default_rng(0)
    made = drawn.standard_normal((groups, 12)).repeat(size, axis=0)
    made += 0.4 * drawn.standard_normal(made.shape)
    unit = made / np.linalg.norm(made, axis=1, keepdims=True)
    return Shared(unit.astype(np.float32), seed=1, components=0)


class Stops(KeptHere):
    """Keeps so many trials, then fails as a full disk does: what it was given last is not kept."""

    def __init__(self, left: int) -> None:
        super().__init__()
        self.left = left

    def put(self, key: str, value: bytes) -> None:
        if self.left == 0:
            raise OSError(28, "No space left on device")
        self.left -= 1
        super().put(key, value)


@pytest.mark.parametrize("search", ["random", "grid", "tpe"])
def test_a_sweep_goes_on_where_it_was_cut_short_and_labels_nothing_again(
    search: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = Plan(OWN, 12, search, 0, 5)
    whole = sweep(shared(), plan, KeptHere())
    kept = Stops(7)
    with pytest.raises(OSError, match="No space left"):
        sweep(shared(), plan, kept)
    kept.left = 12
    calls: Counter[str] = Counter()
    plain = Algorithm.label

    def counted(self: Algorithm, one: Shared, setting: Setting, seed: int) -> object:
        calls[self.name] += 1
        return plain(self, one, setting, seed)

    monkeypatch.setattr(Algorithm, "label", counted)
    again = sweep(shared(), plan, kept)
    assert calls.total() == 12 - 7
    assert again.trials == whole.trials
    assert again.labels.tolist() == whole.labels.tolist()


def test_a_shorter_sweep_has_the_first_trials_of_a_longer_one() -> None:
    long = sweep(shared(), Plan(OWN, 12, "random", 1, 5), KeptHere())
    short = sweep(shared(), Plan(OWN, 5, "random", 1, 5), KeptHere())
    assert short.trials == long.trials[:5]
    assert short.labels.tolist() == long.labels[:5].tolist()


@pytest.mark.parametrize("resolution", [0.7, 1.0, 2.4])
def test_leiden_beside_other_trials_is_leiden_by_itself(resolution: float) -> None:
    one, leiden = shared(), load("leiden")
    setting = {"resolution": resolution, "temperature": 0.8}
    sweep(one, Plan(OWN, 6, "random", 0, 5), KeptHere())
    beside = leiden.label(one, setting, 3)
    assert beside.tolist() == leiden.label(shared(), setting, 3).tolist()
    assert beside.min() == 0


def test_resolutions_of_one_step_share_a_signature() -> None:
    leiden = load("leiden")

    def told(resolution: float) -> str:
        return leiden.signature({"resolution": resolution, "temperature": 0.8})

    assert told(1.16) == told(1.24) == "leiden|resolution=1.2|temperature=0.8"
    assert told(1.26) != told(1.24)
    hdbscan = load("umap-hdbscan")
    setting = {"neighbours": 10, "min_dist": 0.0, "min_cluster_size": 5, "min_samples": None}
    assert hdbscan.signature(setting).endswith("|min_samples=none")


def test_rows_in_no_cluster_earn_no_modularity() -> None:
    one = shared()
    nothing = modularity(one, np.full(80, -1))
    assert nothing == pytest.approx(modularity(one, np.arange(80)))
    assert nothing is not None
    assert nothing < 0
    without = np.where(np.arange(80) < 20, np.arange(80) // 10, -1)
    singles = np.where(without < 0, np.arange(80) + 2, without)
    assert modularity(one, without) == pytest.approx(modularity(one, singles))


def test_one_cluster_of_everything_has_no_value_that_needs_two() -> None:
    found = measure(shared(), np.zeros(80, dtype=np.int64))
    assert (found.clusters, found.coverage, found.singleton_rate) == (1, 1.0, 0.0)
    assert (found.silhouette, found.davies_bouldin, found.calinski_harabasz) == (None,) * 3
    assert found.dbcv is None
    assert found.dbcv_note
    assert found.modularity == pytest.approx(0)
