"""Hierarchies cut many times, the grid, the rule that picks, and clusters inside clusters."""

import itertools

import hdbscan
import numpy as np
import pytest
from sklearn.datasets import make_blobs

from ledgerkit.clustering import sweep as module
from ledgerkit.clustering.density import cut, grow, quiet, relative_validity
from ledgerkit.clustering.grid import SAFE, Setting, grid_of, settings_of
from ledgerkit.clustering.levels import nested, w4
from ledgerkit.clustering.partition import of_cut
from ledgerkit.clustering.quality import quality
from ledgerkit.clustering.reduce import Layout, normalise
from ledgerkit.clustering.sweep import pick, sweep

W0 = grid_of("10,20,50", "0.0,0.1,0.3", "5,8,10,15", "none,5,10")


@pytest.mark.parametrize("spread", [0.5, 2.5])
@pytest.mark.parametrize("selection", ["eom", "leaf"])
def test_a_cut_of_a_shared_hierarchy_is_a_plain_call_of_hdbscan(
    spread: float, selection: str
) -> None:
    points, _ = make_blobs(300, 2, centers=7, cluster_std=spread, random_state=1)
    for samples in (5, 10):
        tree = grow(points, samples)
        for least in (5, 15):
            with quiet():
                plain = hdbscan.HDBSCAN(
                    min_cluster_size=least,
                    min_samples=samples,
                    cluster_selection_method=selection,
                    approx_min_span_tree=False,
                    gen_min_span_tree=True,
                    core_dist_n_jobs=1,
                ).fit(points)
                outliers, valid = plain.outlier_scores_, plain.relative_validity_
            found = cut(tree, least, selection)
            assert (found.labels == plain.labels_).all()
            assert (found.probabilities == plain.probabilities_).all()
            assert (found.persistence == plain.cluster_persistence_).all()
            assert (found.outliers == outliers).all()
            assert relative_validity(tree, found.labels) == pytest.approx(valid, abs=1e-12)


def test_the_grid_of_w0_has_108_settings_and_nine_layouts() -> None:
    settings = settings_of(W0, 435, 2000)
    assert len(settings) == 108
    assert settings[0] == Setting(10, 0.0, 5, None)
    assert len({(one.neighbours, one.min_dist) for one in settings}) == 9
    assert settings_of(SAFE, 435, 2000) == [Setting(15, 0.1, 8, None)]


def test_few_rows_bound_the_neighbours_and_many_let_least_sizes_grow() -> None:
    assert {one.neighbours for one in settings_of(W0, 15, 2000)} == {10, 14}
    assert {one.min_cluster_size for one in settings_of(W0, 50_000, 2000)} == {125, 200, 250, 375}
    assert {one.samples for one in settings_of(W0, 50_000, 2000)} == {5, 10, 50}
    assert {one.min_cluster_size for one in settings_of(W0, 50_000, 0)} == {5, 8, 10, 15}


def test_the_rule_takes_the_greatest_silhouette_among_those_with_little_noise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    points, unit = families()
    monkeypatch.setattr(module, "lay_out", lambda *_, **__: Layout(points, "umap", ""))
    settings = settings_of(grid_of("10", "0.0", "30,5,10,70", "none,3"), 120, 0)
    found = sweep(unit, unit, settings, dimensions=2, selection="eom", max_noise=0.4, seed=1)
    assert found.best is not None
    eligible = [trial for trial in found.trials if not trial.note]
    values = [trial.quality.silhouette or 0 for trial in eligible]
    assert min(values) < max(values)
    assert found.best.trial.quality.silhouette == max(values)
    wide = [trial for trial in found.trials if trial.setting.min_cluster_size == 70]
    assert all(trial.note for trial in wide)
    none = sweep(unit, unit, settings, dimensions=2, selection="eom", max_noise=-1, seed=1)
    assert none.best is None
    assert {trial.note for trial in none.trials if trial.clusters > 1} == {
        f"{trial.noise:.2f} of the rows are noise, more than -1.00"
        for trial in none.trials
        if trial.clusters > 1
    }


def test_where_umap_cannot_run_one_layout_is_tried() -> None:
    line = np.outer(np.linspace(1, 2, 40), [1.0, 0.0]).astype(np.float32)
    unit = normalise(line + np.array([0, 1], np.float32))
    settings = settings_of(W0, 40, 0)
    found = sweep(
        unit, normalise(line), settings, dimensions=2, selection="eom", max_noise=0.4, seed=1
    )
    assert found.layout.method == "pca"
    assert len(found.trials) == 12


def families() -> tuple[np.ndarray, np.ndarray]:
    """Three far groups, each of two near ones, of 20 points; in the plane and as directions."""
    generator = np.random.default_rng(5)
    parts = [
        8 * np.array([np.cos(a), np.sin(a)])
        + np.array([side, 0.0])
        + 0.12 * generator.normal(size=(20, 2))
        for a, side in itertools.product(np.arange(3) * 2.1, (-0.8, 0.8))
    ]
    points = np.concatenate(parts)
    return points, normalise(np.hstack([points, np.ones((120, 1))]).astype(np.float32))


def test_clusters_inside_clusters_are_found_and_lie_inside_their_parents() -> None:
    points, unit = families()
    whole = [Setting(10, 0.0, 30, 5)]
    best = pick(points, unit, whole, selection="eom", max_noise=0.4)
    assert best is not None
    settings = [*whole, Setting(10, 0.0, 10, 5)]
    first, second = nested(points, unit, of_cut(best.cut), settings, selection="eom", max_noise=0.4)
    assert (first.clusters, second.clusters) == (3, 6)
    for label, parent in enumerate(second.parents):
        assert set(first.labels[second.labels == label]) == {parent}
    assert sorted(second.parents) == [0, 0, 1, 1, 2, 2]


def test_the_thresholds_of_w4_are_its_own() -> None:
    points, _ = make_blobs([120, 130, 110], 12, cluster_std=1.0, random_state=3)
    points[:60] += 3.0
    unit = normalise(points.astype(np.float32))
    levels = w4(unit)
    with quiet():
        plain = hdbscan.HDBSCAN(
            min_cluster_size=50, min_samples=10, approx_min_span_tree=False, core_dist_n_jobs=1
        ).fit(unit.astype(np.float64))
    assert quality(unit, levels[0].labels) == quality(unit, plain.labels_.astype(np.int64))
    assert levels[0].clusters >= 3
    sizes = np.bincount(levels[0].labels[levels[0].labels >= 0])
    assert sizes.min() >= 50
    (alone,) = w4(unit[:90])
    assert alone.clusters == 0
    assert (alone.labels == -1).all()
