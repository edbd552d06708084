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


ALL = ("agglomerative", "leiden", "umap-hdbscan", "kmeans")


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


def notes(one: Shared, algorithm: str) -> set[str]:
    found = sweep(one, Plan((algorithm,), 3, "random", 0, 1), KeptHere())
    return {trial.note for trial in found.trials}


def test_a_layout_without_umap_is_told_with_its_reason() -> None:
    (note,) = notes(Shared(equal(), seed=1), "umap-hdbscan")
    assert note == "principal components: the vectors span 0 dimensions, 2 are needed"
    assert notes(Shared(vectors(), seed=1), "umap-hdbscan") == {""}
    assert notes(Shared(vectors(1, 5), seed=1), "umap-hdbscan") == {"too few rows for two clusters"}


def test_a_linkage_of_a_sample_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ledgerkit.sweeping.shared.LARGEST_LINKAGE", 60)
    assert notes(Shared(vectors(), seed=1), "agglomerative") == {"linkage of 60 rows drawn from 80"}
    assert notes(Shared(vectors(3), seed=1), "agglomerative") == {""}


def test_a_trial_that_went_on_is_the_one_that_was_kept_with_its_note() -> None:
    plan, kept = Plan(ALL, 14, "random", 1, 1), KeptHere()
    one = Shared(equal(), seed=1)
    whole = sweep(one, plan, kept)
    again = sweep(Shared(equal(), seed=1), plan, kept)
    assert (again.trials, again.labels.tolist()) == (whole.trials, whole.labels.tolist())
    assert any(trial.note for trial in again.trials)


def test_labels_that_their_measures_do_not_bear_out_are_made_again() -> None:
    plan, kept = Plan(("kmeans",), 4, "random", 1, 1), KeptHere()
    whole = sweep(Shared(vectors(), seed=1), plan, kept)
    for number, wrong in enumerate((-2, -1, 1000)):
        value = kept.get(f"trial {number}") or b""
        kept.put(f"trial {number}", value[:-4] + wrong.to_bytes(4, "little", signed=True))
    again = sweep(Shared(vectors(), seed=1), plan, kept)
    assert again.labels.tolist() == whole.labels.tolist()


def test_what_divides_nothing_is_not_called_stable() -> None:
    one = Shared(vectors(1, 60, 0.05), seed=1)
    found = sweep(one, Plan(ALL, 14, "random", 2, 1), KeptHere())
    alike = [
        trial
        for trial in found.trials
        if trial.measures.clusters <= 1 and trial.measures.coverage in (0, 1)
    ]
    assert alike
    assert not [trial for trial in alike if trial.bootstrap_ari == 1]
    apart = sweep(Shared(vectors(), seed=1), Plan(("leiden",), 3, "random", 2, 1), KeptHere())
    assert all((trial.bootstrap_ari or 0) > 0.9 for trial in apart.trials)


def test_equal_vectors_are_swept_and_nothing_of_them_is_zero_for_want_of_a_value() -> None:
    one = Shared(equal(), seed=1)
    found = sweep(one, Plan(ALL, 28, "random", 1, 1), KeptHere())
    told = {trial.measures.dbcv_note for trial in found.trials}
    assert told <= {"all rows are equal", "fewer than two clusters of two rows"}
    assert {trial.measures.dbcv for trial in found.trials} == {None}
    for trial in found.trials:
        if trial.measures.clusters <= 1:
            assert trial.measures.silhouette is None
