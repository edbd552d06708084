"""Neighbours, components, labels and measures against answers worked another way."""

import numpy as np
import pytest
from sklearn.metrics import silhouette_samples

from ledgerkit.clustering.partition import by_size, least_size
from ledgerkit.clustering.quality import Quality, gini, quality, silhouette_values
from ledgerkit.clustering.reduce import neighbours, normalise, principal, recall_of
from ledgerkit.clustering.summary import cluster_id, clusters_of


def directions(count: int, dimension: int) -> np.ndarray:
    return normalise(np.random.default_rng(3).normal(size=(count, dimension)).astype(np.float32))


def test_neighbours_are_those_of_brute_force_and_start_with_the_row_itself() -> None:
    unit = directions(60, 8)
    found = neighbours(unit, 6)
    exact = np.argsort(-(unit.astype(float) @ unit.T), axis=1)[:, :6]
    assert (found.indices == exact).all()
    assert (found.indices[:, 0] == np.arange(60)).all()
    assert (np.diff(found.distances, axis=1) >= 0).all()


def test_a_row_is_its_own_first_neighbour_among_equal_rows() -> None:
    unit = np.tile(directions(1, 4), (7, 1))
    assert (neighbours(unit, 3).indices[:, 0] == np.arange(7)).all()


@pytest.mark.parametrize("shape", [(50, 8), (8, 50)])
def test_components_keep_distances_and_whitening_evens_variances(shape: tuple[int, int]) -> None:
    matrix = np.random.default_rng(5).normal(size=shape).astype(np.float32)
    matrix[:, 0] *= 10
    whole = principal(matrix, 50, False)
    assert np.linalg.norm(whole[0] - whole[1]) == pytest.approx(
        np.linalg.norm(matrix[0] - matrix[1]), rel=1e-4
    )
    assert (np.diff(whole.var(axis=0)) <= 1e-3).all()
    assert principal(matrix, 3, True).std(axis=0, ddof=1) == pytest.approx(1, rel=1e-4)


def test_components_of_points_on_a_line_are_one_and_of_equal_points_none() -> None:
    line = np.outer(np.arange(20), np.array([1.0, 2.0, 3.0])).astype(np.float32)
    assert principal(line, 3, False).shape == (20, 1)
    assert principal(np.ones((20, 3), np.float32), 3, False).shape == (20, 0)


def test_labels_are_renumbered_by_size_then_by_first_row_and_noise_stays() -> None:
    labels = np.array([5, 5, -1, 2, 2, 7, 7, 7])
    assert by_size(labels).tolist() == [1, 1, -1, 2, 2, 0, 0, 0]


def test_the_least_size_is_three_in_a_hundred_but_five_at_least() -> None:
    assert [least_size(rows) for rows in (0, 20, 435, 1000)] == [5, 5, 13, 30]


def test_the_medoid_is_the_member_nearest_the_normalised_mean() -> None:
    unit = normalise(np.array([[1, 0.1], [1, 0], [1, -0.1], [0, 1]], dtype=np.float32))
    (one,) = clusters_of(unit, unit, np.array([0, 0, 0, -1]), ["a", "b", "c", "d"], 1)
    assert one.nearest[0] == "b"
    assert one.centroid == pytest.approx([1, 0], abs=1e-6)
    assert one.cluster_id == cluster_id(["c", "b", "a"], 1)
    assert one.cluster_id != cluster_id(["a", "b", "c"], 2)


def test_gini_is_zero_for_equal_sizes_and_known_for_unequal() -> None:
    assert gini([4, 4, 4]) == pytest.approx(0)
    assert gini([1, 3]) == pytest.approx(0.25)
    assert gini([]) is None


def test_measures_leave_noise_out_and_are_undefined_for_one_cluster() -> None:
    unit = normalise(np.array([[1, 0], [1, 0.01], [0, 1], [0.01, 1], [1, 1]], dtype=np.float32))
    found = quality(unit, np.array([0, 0, 1, 1, -1]))
    assert found.silhouette is not None
    assert found.silhouette > 0.99
    assert quality(unit, np.array([0, 0, 0, 0, -1])) == Quality(None, None, None)
    assert silhouette_values(unit, np.array([-1] * 5)) is None


def test_the_silhouette_without_all_pairs_is_that_of_scikit_learn() -> None:
    unit = directions(300, 12)
    labels = np.random.default_rng(1).integers(-1, 6, 300)
    labels[:1] = 7  # a singleton counts 0
    kept = labels >= 0
    values = silhouette_values(unit, labels)
    assert values == pytest.approx(
        silhouette_samples(unit[kept], labels[kept], metric="cosine"), abs=1e-6
    )
    assert quality(unit, labels).silhouette == pytest.approx(values.mean())


def test_recall_falls_where_neighbours_are_wrong() -> None:
    unit = directions(100, 8)
    right = neighbours(unit, 6).distances
    assert recall_of(unit, right, 1) == 1
    assert recall_of(unit, np.where(np.arange(6) < 3, right, 2), 1) == pytest.approx(0.4)
