"""Trials over what they share: nothing twice, the same labels as without sharing, any interruption."""

from __future__ import annotations

import networkx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage
from sklearn.metrics import adjusted_rand_score

from ledgerkit.errors import UsageError
from ledgerkit.kept import KeptHere
from ledgerkit.sweeping import shared as shared_module
from ledgerkit.sweeping.algorithms import agglomerative, load, names
from ledgerkit.sweeping.measures import dbcv, measure, modularity
from ledgerkit.sweeping.run import Plan, sweep
from ledgerkit.sweeping.search import draw
from ledgerkit.sweeping.shared import Shared
from ledgerkit.sweeping.trial import decode, encode

ALL = ("agglomerative", "leiden", "umap-hdbscan", "kmeans")


def vectors(groups: int = 4, size: int = 20, spread: float = 0.4, seed: int = 0) -> np.ndarray:
    draw_ = np.random.default_rng(seed)
    made = draw_.standard_normal((groups, 12)).repeat(size, axis=0)
    made += spread * draw_.standard_normal(made.shape)
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


def shared(**given: object) -> Shared:
    return Shared(vectors(**given), seed=1, components=0)  # type: ignore[arg-type]


def test_algorithms_are_found_by_their_files() -> None:
    assert set(names()) == set(ALL)
    assert [load(name).control for name in ALL] == [False, False, False, True]
    with pytest.raises(UsageError, match="no algorithm 'x'"):
        load("x")


def test_nothing_that_trials_share_is_made_twice() -> None:
    one = shared(size=30)
    found = sweep(one, Plan(ALL, 21, "random", 0, 1), KeptHere())
    assert len(found.trials) == 21
    for name in ("neighbours", "graph", "linkage", "threshold", "principal", "different"):
        assert one.counts[name] == 1
    layouts = {
        (trial.setting["neighbours"], trial.setting["min_dist"])
        for trial in found.trials
        if trial.algorithm == "umap-hdbscan"
    }
    assert one.counts["layout"] == len(layouts) > 1
    assert one.counts["measures"] == len({label.tobytes() for label in found.labels})


def test_the_linkage_is_scipys_and_its_cut_that_of_a_plain_call() -> None:
    one = shared()
    wanted = fcluster(linkage(one.unit.astype(float), "average", "cosine"), 0.3, "distance")
    assert adjusted_rand_score(wanted, agglomerative.cut(one, 0.3)) == 1


def test_hdbscan_on_a_shared_layout_is_a_plain_call_of_both_libraries() -> None:
    import hdbscan
    import umap

    from ledgerkit.clustering.density import quiet
    from ledgerkit.clustering.reduce import principal

    one = shared(size=30)
    setting = {"neighbours": 10, "min_dist": 0.1, "min_cluster_size": 8, "min_samples": 5}
    labels = load("umap-hdbscan").label(one, setting, 1)
    near = one.near(10)
    model = umap.UMAP(
        n_neighbors=10,
        min_dist=0.1,
        metric="cosine",
        random_state=1,
        n_jobs=1,
        init=principal(one.unit, 2, False),
        precomputed_knn=(near.indices, near.distances, None),
        force_approximation_algorithm=True,
    )
    with pytest.warns(UserWarning, match="precomputed_knn"):
        points = model.fit_transform(one.unit).astype(np.float64)
    with quiet():
        plain = hdbscan.HDBSCAN(8, min_samples=5, approx_min_span_tree=False).fit_predict(points)
    assert adjusted_rand_score(plain, labels) == 1


def test_w1s_distances_are_read_in_the_units_of_the_space() -> None:
    one, wide = shared(), shared(spread=0.8)
    assert agglomerative.threshold(one) < agglomerative.threshold(wide)
    auto = {
        "min_cluster_size": 10,
        "start_threshold": "auto",
        "merge_dist": 0.14,
        "assign_threshold": 0.22,
        "second_pass_start": 0.34,
    }
    for space in (one, wide):
        labels = load("agglomerative").label(space, auto, 1)
        assert adjusted_rand_score(np.arange(80) // 20, labels) > 0.9
        middle = load("agglomerative").label(space, auto | {"start_threshold": 0.24}, 1)
        assert middle.tolist() == labels.tolist()


def test_leiden_leaves_each_row_alone_where_no_edge_joins_any() -> None:
    setting = {"resolution": 1.0, "temperature": 1.0}
    one = Shared(vectors(groups=1, size=1), seed=1, components=0)
    assert load("leiden").label(one, setting, 1).tolist() == [0]


def test_beyond_the_largest_linkage_a_sample_stands_for_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shared_module, "LARGEST_LINKAGE", 60)
    one = shared(size=40)
    setting = {
        "min_cluster_size": 28,
        "start_threshold": "auto",
        "merge_dist": 0.14,
        "assign_threshold": 0.22,
        "second_pass_start": 0.34,
    }
    labels = load("agglomerative").label(one, setting, 1)
    assert len(one.linkage.rows) == 60
    assert adjusted_rand_score(np.arange(160) // 40, labels) > 0.9


@pytest.mark.parametrize("search", ["random", "grid"])
def test_a_longer_search_begins_with_the_shorter_one_and_repeats_nothing(search: str) -> None:
    long = draw(ALL, 240, search, 7)
    assert draw(ALL, 60, search, 7) == long[:60]
    keys = {(one.algorithm, tuple(one.setting.items())) for one in long}
    assert len(keys) == 240
    assert draw(ALL, 60, search, 8) != long[:60]
    for one in long:
        load(one.algorithm).check(one.setting)


def test_a_grid_that_is_tried_out_ends() -> None:
    assert len(draw(["umap-hdbscan", "kmeans"], 1000, "grid", 1)) == 108 + 39
    assert len(draw(["umap-hdbscan"], 1000, "random", 1)) == 108


def test_tpe_repeats_itself_and_goes_on_after_an_interruption() -> None:
    plan = Plan(("leiden", "kmeans"), 15, "tpe", 0, 3)
    kept = KeptHere()
    whole = sweep(shared(), plan, kept)
    for number in range(8, 15):
        kept._values.pop(f"trial {number}")
    again = sweep(shared(), plan, kept)
    assert [one.setting for one in again.trials] == [one.setting for one in whole.trials]
    assert again.labels.tolist() == whole.labels.tolist()


def test_a_kept_trial_that_is_another_or_damaged_is_made_again() -> None:
    plan = Plan(("leiden",), 3, "random", 1, 3)
    kept = KeptHere()
    whole = sweep(shared(), plan, kept)
    first, second, third = (f"trial {number}" for number in range(3))
    kept.put(first, kept.get(second) or b"")
    kept.put(second, b"{}\n" + bytes(320))
    kept.put(third, (kept.get(third) or b"")[:-1])
    again = sweep(shared(), plan, kept)
    assert again.trials == whole.trials
    assert again.labels.tolist() == whole.labels.tolist()
    drawn = draw(("leiden",), 1, "random", 3)[0]
    trial = whole.trials[0]
    assert decode(encode(trial, whole.labels[0]), drawn, trial.signature, False, 80) is not None
    assert decode(encode(trial, whole.labels[0]), drawn, trial.signature, False, 79) is None


def test_modularity_is_that_of_networkx_and_of_every_partition() -> None:
    one = shared(size=10)
    graph, weights = one.graph, one.graph.weights(1.0)
    plain = networkx.Graph()
    rows = np.repeat(np.arange(40), np.diff(graph.starts))
    plain.add_weighted_edges_from(
        zip(rows.tolist(), graph.others.tolist(), weights.tolist(), strict=True)
    )
    labels = np.arange(40) // 10
    groups = [set(np.flatnonzero(labels == one_).tolist()) for one_ in range(4)]
    wanted = networkx.community.modularity(plain, groups)
    assert modularity(one, labels) == pytest.approx(wanted)
    none = labels.copy()
    none[labels == 3] = -1
    assert (modularity(one, none) or 0) < wanted


@given(st.integers(0, 1000))
def test_measures_depend_on_no_numbers_of_clusters(seed: int) -> None:
    one = shared(size=6)
    labels = np.random.default_rng(seed).integers(-1, 3, 24)
    other = np.where(labels < 0, -1, 7 - labels)
    assert measure(one, labels) == measure(one, other)


def test_what_is_not_defined_is_none() -> None:
    one = shared(size=5)
    nothing = measure(one, np.full(20, -1))
    assert (nothing.clusters, nothing.coverage, nothing.singleton_rate) == (0, 0.0, 1.0)
    assert (nothing.silhouette, nothing.davies_bouldin, nothing.dbcv) == (None, None, None)
    assert nothing.dbcv_note == "fewer than two clusters of two rows"
    assert measure(one, np.zeros(20, int)).silhouette is None
    value, note = dbcv(np.zeros((8, 2)), np.arange(8) // 4)
    assert value is not None or note


@pytest.mark.parametrize("rows", [2, 3, 5])
def test_few_rows_are_swept_without_an_exception(rows: int) -> None:
    one = Shared(vectors(1, rows), seed=1)
    found = sweep(one, Plan(ALL, 20, "random", 1, 1), KeptHere())
    assert found.labels.shape == (len(found.trials), rows)
