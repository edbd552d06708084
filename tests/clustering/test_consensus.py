"""What many trials agree on: what they all say, what most say, and digits."""

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from ledgerkit.clustering.consensus import agreed, belonging, distinct
from ledgerkit.clustering.grid import grid_of, settings_of
from ledgerkit.clustering.grouping import How, group
from ledgerkit.clustering.partition import Partition
from ledgerkit.clustering.reduce import directions, normalise
from ledgerkit.clustering.vectors import gather
from ledgerkit.operations import cluster
from ledgerkit.testing.digits import digits
from ledgerkit.testing.handles import run_operation


def chain(count: int) -> np.ndarray:
    """Each row with those beside it, itself first: a graph that modularity cuts into many parts."""
    steps = np.array([0, 1, -1, 2, -2])
    return np.clip(np.arange(count)[:, None] + steps, 0, count - 1).astype(np.int32)


def of(*votes: list[int], least: int = 2) -> Partition:
    given = np.array(votes, dtype=np.int32)
    count = given.shape[1]
    return agreed(given, chain(count), np.zeros(count), least, 1)


def test_what_all_trials_say_is_the_consensus_whatever_the_graph() -> None:
    found = of(*[[0] * 120 + [1] * 200] * 4, *[[1] * 120 + [0] * 200] * 4)
    assert found.labels.tolist() == [1] * 120 + [0] * 200
    assert (found.probabilities == 1).all()


def test_two_clusters_that_most_trials_part_stay_apart_and_others_are_one() -> None:
    apart, whole = [0] * 30 + [1] * 20, [0] * 50
    assert of(apart, apart, whole).clusters == 2
    assert of(apart, whole, whole).clusters == 1


def test_the_same_clusters_by_other_numbers_count_once() -> None:
    votes = [[0, 0, 1, -1], [1, 1, 0, -1], [0, 0, 0, -1], [0, 0, 1, 1], [3, 3, 0, -1]]
    found = distinct([np.array(vote, dtype=np.int32) for vote in votes])
    assert found == [0, 2, 3]


def test_what_is_noise_to_most_trials_and_what_is_too_small_is_noise() -> None:
    clear, odd = [0] * 20 + [1] * 3, [0] * 19 + [-1] + [1] * 3
    found = of(odd, odd, clear, least=4)
    assert found.labels.tolist() == [0] * 19 + [-1] * 4
    assert found.probabilities[-4:].tolist() == [0] * 4
    assert of(odd, clear, clear).labels.tolist() == [0] * 20 + [1] * 3


def test_the_probability_is_the_share_of_trials_and_others_that_are_with_a_row() -> None:
    votes = np.array([[0, 0, 0, 1], [0, 0, 1, -1]], dtype=np.int32)
    shares = belonging(votes, np.array([0, 0, 0, -1]))
    assert shares.tolist() == pytest.approx([3 / 4, 3 / 4, 2 / 4, 0])


def test_of_digits_it_says_more_than_most_trials_in_any_order_of_rows() -> None:
    grid = {
        "neighbours": "10,20,50",
        "min_dist": "0.1",
        "min_cluster_size": "5,10",
        "min_samples": "none,5",
    }
    table, truth = digits(435)
    vectors = gather([table], "plates", "")
    unit = normalise(vectors.matrix)
    how = How(settings_of(grid_of(**grid), 435, 2000), 2, "eom", "flat", "consensus", 0.4, 9, 1337)
    found = group(unit, directions(unit, 32, False), how)
    wanted = [truth[name] for name in vectors.subjects]
    trials = [adjusted_rand_score(wanted, vote) for vote in found.swept.votes]
    assert found.method == "consensus"
    agreement = adjusted_rand_score(wanted, found.levels[0].labels)
    assert agreement >= max(0.75, float(np.median(trials)))
    shuffled, _ = digits(435, order=3)
    assert shuffled["subject_id"] != table["subject_id"]
    produced = run_operation(
        cluster, plate_id=None, tables={"embeddings": [shuffled]}, levels="flat", **grid
    )
    members = produced.arrow_tables["cluster_members"]
    assert members["subject_id"].to_pylist() == vectors.subjects
    assert members["label"].to_pylist() == found.levels[0].labels.tolist()
    assert members["probability"].to_pylist() == found.levels[0].probabilities.tolist()
