"""`cluster`: known groups, any order of rows, few rows, and fall-backs that say so."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from sklearn.datasets import load_digits
from sklearn.metrics import adjusted_rand_score

from ledgerkit import schema
from ledgerkit.clustering import reduce
from ledgerkit.errors import GateFailed, InvalidRecord, MissingInput, UsageError
from ledgerkit.operations import cluster
from ledgerkit.testing.handles import Produced, run_operation


def groups(sizes: tuple[int, ...], dimension: int = 24, spread: float = 0.12) -> np.ndarray:
    """Points around as many directions as there are sizes."""
    generator = np.random.default_rng(11)
    middles = generator.normal(size=(len(sizes), dimension))
    middles /= np.linalg.norm(middles, axis=1, keepdims=True)
    parts = [
        middle + spread * generator.normal(size=(size, dimension)) / np.sqrt(dimension) * 3
        for middle, size in zip(middles, sizes, strict=True)
    ]
    return unit(np.concatenate(parts))


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows at length 1, float32."""
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def table(vectors: np.ndarray, first: int = 0, space: str = "test-1", **columns: Any) -> pa.Table:
    count = len(vectors)
    names = [f"plate-{1000 + first + row}" for row in range(count)]
    made = {
        "subject_id": names,
        "subject_kind": ["plate"] * count,
        "plate_id": names,
        "space_id": [space] * count,
        "dim": pa.array([vectors.shape[1]] * count, pa.int32()),
        "vector": pa.array(list(vectors.astype(np.float32)), pa.list_(pa.float32())),
    }
    return pa.table({**made, **columns})


SMALL_GRID = {"neighbours": "10", "min_dist": "0.0", "min_samples": "none"}
DEFAULT_GRID = {name: getattr(cluster.Parameters(), name) for name in SMALL_GRID}


def run(*tables: pa.Table, **parameters: Any) -> Produced:
    given = {"embeddings": list(tables)}
    return run_operation(cluster, plate_id=None, tables=given, **(SMALL_GRID | parameters))


def gates(produced: Produced) -> dict[str, tuple[bool, float | None, str]]:
    return {check: (passed, value, told) for _, check, passed, value, told in produced.gates}


def first_level(produced: Produced) -> tuple[pa.Table, pa.Table]:
    """Members and clusters of the first level."""
    tables = (produced.arrow_tables[name] for name in ("cluster_members", "clusters"))
    members, clusters = (table.filter(pc.equal(table["level"], 1)) for table in tables)
    return members, clusters


def test_finds_three_groups_numbers_them_by_size_and_describes_them(
    check_columns: Callable[[str, Any], None],
) -> None:
    vectors = groups((30, 50, 40))
    produced = run(table(vectors))
    members, clusters = first_level(produced)
    check_columns("cluster_members", members.column_names)
    check_columns("clusters", clusters.column_names)
    assert members["label"].to_pylist() == [2] * 30 + [0] * 50 + [1] * 40
    assert clusters["size"].to_pylist() == [50, 40, 30]
    mean = (vectors[30:80] / np.linalg.norm(vectors[30:80], axis=1, keepdims=True)).mean(axis=0)
    centroid = np.array(clusters["centroid"][0].as_py())
    assert np.allclose(centroid, mean / np.linalg.norm(mean), atol=1e-5)
    assert np.allclose(clusters["mean"][0].as_py(), vectors[30:80].mean(axis=0), atol=1e-5)
    nearest = clusters["representatives"][0].as_py()
    assert len(nearest) == 9
    assert clusters["medoid_id"][0].as_py() == nearest[0]
    failed = {check for check, (passed, _, _) in gates(produced).items() if not passed}
    assert failed == {"labels found"}, "there are no manifests among the inputs"


def test_the_identity_of_a_cluster_comes_from_its_members_alone() -> None:
    produced = run(table(groups((30, 50, 40))))
    members = [f"plate-{1030 + row}" for row in range(50)]
    text = '[1,["' + '","'.join(members) + '"]]'
    expected = "cluster-" + hashlib.sha256(text.encode()).hexdigest()[:20]
    assert produced.arrow_tables["clusters"]["cluster_id"][0].as_py() == expected


def test_any_order_of_files_and_rows_gives_the_identical_result() -> None:
    vectors = groups((25, 30), spread=0.3)
    plain = run(table(vectors))
    order = np.random.default_rng(2).permutation(55)
    pieces = [table(vectors[row : row + 1], first=int(row)) for row in order]
    shuffled = run(*pieces)
    for name in ("clusters", "cluster_members"):
        assert shuffled.arrow_tables[name].equals(plain.arrow_tables[name])
    assert shuffled.row_tables == plain.row_tables
    assert shuffled.documents == plain.documents
    assert shuffled.gates == plain.gates


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 9, 10, 12, 20, 49, 50])
def test_few_rows_give_a_sound_result_that_says_what_it_could_not_do(count: int) -> None:
    produced = run(table(np.random.default_rng(4).normal(size=(count, 16))))
    members = produced.arrow_tables["cluster_members"]
    assert members.num_rows == count
    assert np.isfinite(np.array(members["x"])).all()
    told = gates(produced)
    assert not told["rows"][0]
    assert told["rows"][2] == f"{count} rows, at least 100 wanted"
    if count < 4:
        assert not told["layout"][0]
        assert "too few for UMAP" in told["layout"][2]
    if count < 10:
        assert not told["partition"][0]
        assert "cannot hold two clusters" in told["partition"][2]


@pytest.mark.parametrize("sizes", [(7, 7, 6), (17, 16, 16), (17, 17, 16)])
def test_groups_of_few_rows_are_found_at_the_defaults(sizes: tuple[int, ...]) -> None:
    produced = run_operation(cluster, plate_id=None, tables={"embeddings": [table(groups(sizes))]})
    labels = first_level(produced)[0]["label"].to_pylist()
    assert labels == [place for place, size in enumerate(sizes) for _ in range(size)]
    assert gates(produced)["partition"][0]
    (trial,) = produced.row_tables["trials"]
    assert json.loads(trial["parameters"])["min_cluster_size"] == 5


def tried(produced: Produced) -> list[tuple[int, int]]:
    """Neighbours and least size of every trial of the grid."""
    found = [json.loads(row["parameters"]) for row in produced.row_tables["trials"]]
    return [(one["n_neighbors"], one["min_cluster_size"]) for one in found if "min_dist" in one]


def test_of_few_rows_a_grid_that_is_given_is_tried_whole_and_the_default_is_not() -> None:
    vectors = table(groups((20, 20)))
    assert tried(run(vectors, **DEFAULT_GRID)) == [(15, 5)]
    assert tried(run(vectors, **DEFAULT_GRID | {"neighbours": "10, 20,50"})) == [(15, 5)]
    given = run(vectors, neighbours="5,10", min_cluster_size="4,6")
    assert tried(given) == [(5, 4), (5, 6), (10, 4), (10, 6)]


def test_twenty_images_in_groups_of_three_or_more() -> None:
    """The sample and the least size of workflow W2."""
    produced = run(table(groups((8, 7, 5))), neighbours="5", min_cluster_size="3")
    assert first_level(produced)[1]["size"].to_pylist() == [8, 7, 5]
    (trial,) = produced.row_tables["trials"]
    assert json.loads(trial["parameters"])["min_cluster_size"] == 3


@pytest.mark.parametrize("count", [435, 1000])
def test_digits_are_told_apart_in_levels(count: int) -> None:
    pixels, truth = load_digits(return_X_y=True)
    rows = np.sort(np.random.default_rng(0).choice(len(pixels), count, replace=False))
    produced = run(table(unit(pixels[rows])), neighbours="20", min_dist="0.1")
    members, clusters = first_level(produced)
    assert adjusted_rand_score(truth[rows], members["label"].to_numpy()) > 0.6
    assert gates(produced)["levels"][0]
    names = {row["cluster_id"]: row for row in produced.arrow_tables["clusters"].to_pylist()}
    below = [row for row in names.values() if row["level"] > 1]
    assert below
    whole = produced.arrow_tables["cluster_members"].to_pylist()
    homes = {(row["level"], row["subject_id"]): row["cluster_id"] for row in whole}
    for (level, subject), home in homes.items():
        if level > 1 and home is not None:
            assert homes[level - 1, subject] == names[home]["parent_id"]
    assert clusters["parent_id"].null_count == clusters.num_rows


@pytest.mark.parametrize("kind", ["one cluster", "nothing but noise"])
def test_vectors_without_groups_give_a_sound_result_and_low_measures(kind: str) -> None:
    drawn = np.random.default_rng(9).normal(size=(60, 16))
    vectors = unit(drawn if kind == "nothing but noise" else drawn * 0.01 + np.eye(16)[0])
    produced = run(table(vectors), **DEFAULT_GRID)
    members, clusters = first_level(produced)
    assert members.num_rows == 60
    sizes = np.bincount([label for label in members["label"].to_pylist() if label >= 0])
    assert clusters["size"].to_pylist() == sizes.tolist()
    assert (gates(produced)["silhouette"][1] or 0) < 0.2
    (chosen,) = (row for row in produced.row_tables["trials"] if row["chosen"])
    assert chosen["clusters"] == clusters.num_rows


def test_no_rows_say_which_command_makes_them() -> None:
    with pytest.raises(MissingInput) as error:
        run(table(np.zeros((0, 4), np.float32)), of="segments")
    assert error.value.hint == "run: ledgerkit embed --of segments"


def test_equal_vectors_fall_back_twice_and_make_one_cluster() -> None:
    produced = run(table(np.ones((40, 8))))
    assert produced.arrow_tables["clusters"]["size"].to_pylist() == [40]
    told = gates(produced)
    assert "span 0 dimensions" in told["map"][2]
    assert not told["largest"][0]


def test_duplicates_among_vectors_do_no_harm() -> None:
    produced = run(table(np.repeat(groups((1, 1, 1, 1, 1, 1)), 12, axis=0)))
    labels = np.array(first_level(produced)[0]["label"]).reshape(6, 12)
    assert (labels == labels[:, :1]).all()


def test_noise_stays_noise() -> None:
    scattered = unit(np.random.default_rng(8).normal(size=(12, 24)))
    vectors = np.concatenate([groups((40, 40), spread=0.6), scattered])
    produced = run(
        table(vectors),
        sweep="grid",
        min_cluster_size="15",
    )
    members = first_level(produced)[0].to_pylist()
    noise = [row for row in members if row["label"] == -1]
    assert gates(produced)["partition"][0]
    assert noise
    for row in noise:
        assert row["cluster_id"] is None
        assert row["probability"] == 0
        assert row["nearest_cluster_id"] in {one["cluster_id"] for one in members}
        assert 0 <= row["nearest_distance"] <= 2
    assert all(row["nearest_cluster_id"] is None for row in members if row["label"] >= 0)
    assert gates(produced)["noise"][1] == pytest.approx(len(noise) / 92)
    recorded = produced.documents["clustering.json"]
    assert schema.problems("clustering.v1", recorded) == []
    first, *others = recorded["noise"]
    assert (first["level"], first["rows"]) == (1, len(noise))
    rows = [int(row["subject_id"].removeprefix("plate-")) - 1000 for row in noise]
    assert first["mean"] == pytest.approx(vectors[rows].mean(axis=0), abs=1e-6)
    assert len(others) == len(recorded["levels"]["clusters"]) - 1


def test_without_noise_its_mean_is_null() -> None:
    produced = run(table(np.ones((40, 8))))
    assert produced.documents["clustering.json"]["noise"] == [{"level": 1, "rows": 0, "mean": None}]


def test_too_much_noise_hands_over_to_kmeans_with_the_reason() -> None:
    produced = run(table(groups((30, 30, 30), spread=0.4)), max_noise=-0.1, k=3)
    passed, _, told = gates(produced)["partition"]
    assert not passed
    assert "noise, more than -0.10" in told
    assert len(produced.arrow_tables["clusters"]) == 3
    assert min(produced.arrow_tables["cluster_members"]["label"].to_pylist()) == 0


def test_refuses_two_spaces_until_one_is_named() -> None:
    first, second = table(groups((12, 12))), table(groups((12, 12)), space="other-1")
    with pytest.raises(UsageError, match="other-1, test-1"):
        run(first, second)
    produced = run(first, second, space="test-1")
    assert produced.arrow_tables["cluster_members"].num_rows == 24


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0])
def test_refuses_a_vector_that_is_not_finite_or_zero_and_names_it(bad: float) -> None:
    vectors = groups((12, 12))
    vectors[3] = bad
    with pytest.raises(InvalidRecord, match="plate-1003"):
        run(table(vectors))


def test_refuses_a_subject_with_two_vectors() -> None:
    with pytest.raises(InvalidRecord, match="plate-1000"):
        run(table(groups((12,))), table(groups((1,))))


def test_refuses_vectors_of_two_lengths() -> None:
    with pytest.raises(InvalidRecord):
        run(table(groups((12,))), table(groups((1,), dimension=8), first=50))


def test_every_setting_of_the_grid_is_a_trial_and_the_rule_picks_one(
    check_columns: Callable[[str, Any], None],
) -> None:
    produced = run(
        table(groups((40, 35, 30), spread=0.5)),
        neighbours="10,20",
        min_samples="none,3",
        choose="best",
    )
    trials = produced.row_tables["trials"]
    check_columns("trials", trials[0])
    assert [row["trial"] for row in trials] == list(range(2 * 4 * 2))
    settings = {
        (one["n_neighbors"], one["min_cluster_size"], one["min_samples"])
        for one in (json.loads(row["parameters"]) for row in trials)
    }
    assert len(settings) == len(trials)
    (chosen,) = (row for row in trials if row["chosen"])
    eligible = [row for row in trials if not row["note"]]
    assert all(row["clusters"] >= 2 and row["noise"] <= 0.4 for row in eligible)
    assert chosen["silhouette"] == pytest.approx(max(row["silhouette"] for row in eligible))
    recorded = produced.documents["clustering.json"]
    assert recorded["trial"] == chosen["trial"]
    assert recorded["map"]["neighbours"] == json.loads(chosen["parameters"])["n_neighbors"]
    assert schema.problems("clustering.v1", recorded) == []


def test_the_first_level_is_what_the_trials_agree_on_and_the_map_is_the_best_of_them() -> None:
    given = {"min_samples": "none,3,5"}
    vectors = groups((40, 35, 30), spread=0.3)
    best, produced = (run(table(vectors), choose=one, **given) for one in ("best", "consensus"))
    *trials, consensus = produced.row_tables["trials"]
    assert [row["trial"] for row in trials] == list(range(12))
    assert [row["chosen"] for row in trials] == [False] * 12
    assert (consensus["algorithm"], consensus["chosen"]) == ("consensus", True)
    qualified = sum(not row["note"] for row in trials)
    assert json.loads(consensus["parameters"])["trials"] == qualified
    assert gates(produced)["partition"][2] == (
        f"what {qualified} of 12 trials agree on, by consensus-v2"
    )
    recorded = produced.documents["clustering.json"]
    assert schema.problems("clustering.v1", recorded) == []
    assert (recorded["rule"], recorded["method"]) == ("consensus-v2", "consensus")
    assert recorded["trial"] is None
    assert recorded["map"]["trial"] == best.documents["clustering.json"]["trial"]
    assert coordinates(produced) == coordinates(best)
    members = first_level(produced)[0]
    assert members["label"].to_pylist() == [0] * 40 + [1] * 35 + [2] * 30


class Descent:
    """As `umap_.NNDescent`, which takes 20 s to compile in every process: exact neighbours, but for
    each seventh row one that is far, one that misses itself, one that misses neighbours.
    """

    def __init__(self, unit: np.ndarray, *, n_neighbors: int, **settings: Any) -> None:
        assert settings["metric"] == "cosine"
        assert settings["n_jobs"] == 1
        order = np.argsort(-(unit @ unit.T), axis=1, kind="stable")
        found = order[:, :n_neighbors].astype(np.int32)
        found[::7, -1] = order[::7, -1]
        found[1::7, :] = order[1::7, 1 : n_neighbors + 1]
        found[2::7, 2:] = -1
        self.neighbor_graph = found, np.zeros(found.shape, np.float32)


def test_of_very_many_rows_the_trials_agree_over_an_approximate_graph_whose_recall_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vectors = table(groups((40, 35, 30), spread=0.3))
    exact = run(vectors, min_samples="none,3,5")
    assert gates(exact)["graph"] == (
        True,
        None,
        "the 10 nearest of each row, itself included, exact",
    )
    monkeypatch.setattr(reduce, "LARGEST_EXACT", 50)
    monkeypatch.setattr(reduce.import_umap(), "NNDescent", Descent)
    produced = run(vectors, min_samples="none,3,5")
    passed, recall, told = gates(produced)["graph"]
    assert passed
    assert recall == pytest.approx(1 - 15 / (105 * 9))  # each seventh row lacks one of its nine
    assert f"approximate: {recall:.3f} of them are as near as the exact ones" in told
    assert produced.documents["clustering.json"]["rule"] == "consensus-v2"
    members = first_level(produced)[0]
    assert members["label"].to_pylist() == [0] * 40 + [1] * 35 + [2] * 30


def in_order(found: reduce.Neighbours, rows: int, count: int) -> None:
    assert (found.indices[:, 0] == np.arange(rows)).all()
    assert all(len(set(row)) == count for row in found.indices.tolist())
    assert (found.indices >= 0).all()
    assert (np.diff(found.distances, axis=1) >= 0).all()


def test_what_the_search_misses_is_put_right(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = groups((40, 35, 30), spread=0.3)
    exact = reduce.neighbours(vectors, 10)
    monkeypatch.setattr(reduce.import_umap(), "NNDescent", Descent)
    found = reduce.approximate(vectors, 10, 7)
    in_order(found, 105, 10)
    right = (found.indices == exact.indices).all(axis=1)
    assert not right[::7].any()
    assert np.delete(right, np.s_[::7]).all()


def test_the_real_search_finds_nearly_all_and_the_same_each_time() -> None:
    vectors = groups((40, 35, 30), spread=0.3)
    assert (reduce.approximate(vectors, 10, 7).recall or 0) >= 0.9
    equal = np.repeat(groups((20, 20, 20)), 5, axis=0)
    found, same = (reduce.approximate(equal, 12, 7) for _ in range(2))
    assert (found.indices == same.indices).all()
    in_order(found, 300, 12)


def test_too_few_trials_that_qualify_leave_the_best_one_and_say_so() -> None:
    produced = run(
        table(groups((40, 35, 30), spread=0.5)),
        min_cluster_size="8,60,70,80",
        min_samples="none,3,5",
    )
    passed, _, told = gates(produced)["partition"]
    assert not passed
    assert told == "3 of 12 trials qualify, and a consensus takes 10: the best of them was taken"
    assert produced.documents["clustering.json"]["rule"] == "noise-silhouette-v1"
    assert produced.documents["clustering.json"]["reason"] == told


def test_the_map_is_the_layout_of_the_chosen_trial() -> None:
    vectors = groups((40, 35, 30), spread=0.5)
    wide = run(table(vectors), min_cluster_size="8", dimensions=3)
    flat = run(table(vectors), min_cluster_size="8")
    for produced in (wide, flat):
        assert gates(produced)["map"][2] == "by UMAP, 10 neighbours, least distance 0"
    assert flat.arrow_tables["cluster_members"]["x"] == wide.arrow_tables["cluster_members"]["x"]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"neighbours": ""}, "neighbours is empty"),
        ({"min_dist": "0.1,close"}, "'close' is no number"),
        ({"min_dist": "2"}, "min_dist is '2'"),
        ({"min_cluster_size": "none"}, "min_cluster_size: 'none'"),
        ({"min_samples": "0"}, "min_samples: '0'"),
    ],
)
def test_refuses_a_grid_that_is_none(wrong: dict[str, str], told: str) -> None:
    with pytest.raises(UsageError) as error:
        cluster.Parameters(**wrong)
    assert told in error.value.message


def test_safe_mode_tries_one_setting_and_asks_for_ten_rows() -> None:
    produced = run(table(groups((30, 30))), sweep="safe")
    (trial,) = produced.row_tables["trials"]
    setting = json.loads(trial["parameters"])
    assert (setting["n_neighbors"], setting["min_dist"]) == (15, 0.1)
    assert (setting["min_cluster_size"], setting["min_samples"]) == (8, None)
    assert gates(produced)["rows"][2] == "60 rows, at least 10 wanted"


def test_the_rule_of_w4_says_that_it_finds_nothing_among_few_rows() -> None:
    produced = run(table(groups((30, 30))), levels="w4")
    assert produced.arrow_tables["clusters"].num_rows == 0
    assert set(produced.arrow_tables["cluster_members"]["label"].to_pylist()) == {-1}
    told = gates(produced)
    assert not told["capacity"][0]
    assert told["capacity"][2].startswith("60 plates can hold 1 clusters of 50")
    assert not told["levels"][0]
    assert "the rule w4 finds no cluster among 60 rows" in told["levels"][2]
    assert produced.row_tables["trials"][0]["silhouette"] is None


def test_every_gate_is_a_report_and_its_checks_are_rows() -> None:
    produced = run(table(groups((30, 30))))
    rows = {(gate, check): passed for gate, check, passed, _, _ in produced.gates}
    assert len(rows) == len(produced.gates)
    for gate in ("preflight", "checkpoint", "postflight"):
        report = produced.documents[f"critic-{gate}.json"]
        assert schema.problems("critic.v1", report) == []
        assert report["gate"] == gate
        for check in report["checks"]:
            assert rows[gate, check["check"]] == check["passed"]
        wrong = [check for check in report["checks"] if not check["passed"]]
        assert report["fails_count"] + report["warnings_count"] == len(wrong)
    assert not rows["preflight", "rows"]


@pytest.mark.parametrize(("birds", "passed"), [(57, False), (56, True)])
def test_one_label_on_nearly_all_rows_is_a_warning_before_the_work(
    birds: int, passed: bool, tmp_path: Path
) -> None:
    for row in range(60):
        entry = {"subject": "bird" if row < birds else "shell"}
        told = {"plate_id": f"plate-{1000 + row}", "source_image": "a.png", "metadata": entry}
        (tmp_path / f"{row}.json").write_text(json.dumps(told))
    given = {
        "files": {"manifest": [*tmp_path.iterdir()]},
        "tables": {"embeddings": [table(groups((30, 30)))]},
    }
    produced = run_operation(cluster, plate_id=None, **given, **SMALL_GRID, sweep="safe")
    found = {one["check"]: one for one in produced.documents["critic-preflight.json"]["checks"]}
    assert (
        found["labels found"]["message"] == "60 of 60 plates have a label, of 2 values of subject"
    )
    assert found["labels dominant"]["passed"] is passed
    assert found["labels dominant"]["severity"] == "warning"
    assert found["labels dominant"]["value"] == birds / 60
    with pytest.raises(MissingInput, match="no field 'work'"):
        run_operation(cluster, plate_id=None, **given, **SMALL_GRID, label="work")


def test_strict_stops_at_the_first_gate_that_fails() -> None:
    with pytest.raises(GateFailed, match="preflight: rows: 60 rows, at least 100 wanted"):
        run(table(groups((30, 30))), strict=True)
    assert run(table(groups((30, 30))), strict=True, min_rows=50).arrow_tables
    with pytest.raises(GateFailed, match="postflight: silhouette: mean silhouette"):
        run(table(groups((30, 30))), strict=True, min_rows=50, min_silhouette=1.0)


EARLIER = "run-20240101-000000Z-0123456789ab"


def followed(earlier: Produced, folder: Path, *tables: pa.Table, **parameters: Any) -> Produced:
    """A clustering that follows `earlier`."""
    path = folder / "clustering.json"
    path.write_text(json.dumps(earlier.documents["clustering.json"]))
    given: dict[str, Any] = {"embeddings": list(tables)}
    given[f"cluster_members@{EARLIER}"] = earlier.arrow_tables["cluster_members"]
    return run_operation(
        cluster,
        plate_id=None,
        files={f"clustering@{EARLIER}": [path]},
        tables=given,
        onto=EARLIER,
        **(SMALL_GRID | parameters),
    )


def coordinates(produced: Produced) -> dict[str, tuple[float, float]]:
    members, _ = first_level(produced)
    rows = members.to_pylist()
    return {row["subject_id"]: (row["x"], row["y"]) for row in rows}


def test_with_onto_no_old_point_moves_and_new_ones_lie_among_their_like(
    tmp_path: Path, check_columns: Callable[[str, Any], None]
) -> None:
    vectors = groups((30, 30, 32))
    old, new = np.r_[0:28, 30:58, 60:92], np.r_[28:30, 58:60]
    earlier = run(table(vectors[old]))
    added = table(vectors[new], first=500)
    produced = followed(earlier, tmp_path, table(vectors[old]), added)
    before, after = coordinates(earlier), coordinates(produced)
    assert {name: after[name] for name in before} == before
    assert "88 points kept as they were, 4 placed among them" in gates(produced)["map"][2]
    for name, group in (("plate-1500", range(28)), ("plate-1503", range(28, 56))):
        middles = [
            np.mean([before[f"plate-{1000 + row}"] for row in rows], axis=0)
            for rows in (range(28), range(28, 56), range(56, 88))
        ]
        nearest = np.argmin([np.linalg.norm(np.array(after[name]) - one) for one in middles])
        assert group.start == (0, 28, 56)[nearest]
    matches = produced.row_tables["cluster_matches"]
    check_columns("cluster_matches", matches[0])
    kinds = sorted(row["kind"] for row in matches if row["level"] == 1)
    assert kinds == ["grown", "grown", "same"]
    assert {row["former_run_id"] for row in matches} == {EARLIER}
    assert produced.documents["clustering.json"]["map"]["onto"] == EARLIER


def test_a_new_map_is_turned_onto_the_old_one_and_says_how_well(tmp_path: Path) -> None:
    vectors = groups((30, 30, 32))
    earlier = run(table(vectors), **DEFAULT_GRID)
    produced = followed(earlier, tmp_path, table(vectors), map="refit", seed=5, **DEFAULT_GRID)
    passed, residual, told = gates(produced)["residual"]
    assert passed
    assert residual == produced.documents["clustering.json"]["map"]["residual"]
    assert 0 < residual < 0.5
    assert "92 shared points" in told
    assert {row["kind"] for row in produced.row_tables["cluster_matches"]} == {"same"}


def test_a_map_of_another_space_cannot_be_kept(tmp_path: Path) -> None:
    vectors = groups((30, 30))
    earlier = run(table(vectors))
    with pytest.raises(UsageError, match="of the space test-1, not other-1"):
        followed(earlier, tmp_path, table(vectors, space="other-1"))
    without_clusters = run(table(vectors), levels="w4")
    assert not without_clusters.arrow_tables["clusters"].num_rows
    with pytest.raises(UsageError, match="of the space test-1, not other-1"):
        followed(without_clusters, tmp_path, table(vectors, space="other-1"))
    with pytest.raises(UsageError, match="has 0 of the plates"):
        followed(earlier, tmp_path, table(vectors, first=700))


LEIDEN = '{"algorithm": "leiden", "parameters": {"resolution": 1.0, "temperature": 1.0}}'
HDBSCAN = (
    '{"algorithm": "umap-hdbscan", "parameters": {"neighbours": 10, "min_dist": 0.0, '
    '"min_cluster_size": 15, "min_samples": null}}'
)


def by_setting(vectors: np.ndarray, setting: str, **parameters: Any) -> Produced:
    tables = {"embeddings": [table(vectors)]}
    return run_operation(cluster, plate_id=None, tables=tables, setting=setting, **parameters)


def test_what_a_given_setting_did_otherwise_is_the_reason_and_the_note_of_its_trial() -> None:
    told = "too few rows for two clusters"
    produced = by_setting(groups((6, 6)), HDBSCAN)
    assert produced.documents["clustering.json"]["reason"] == told
    assert [row["note"] for row in produced.row_tables["trials"]] == [told]
    passed, _, said = gates(produced)["partition"]
    assert (passed, said) == (False, told)
    sound = by_setting(groups((6, 6)), LEIDEN)
    assert sound.documents["clustering.json"]["reason"] == ""
    assert gates(sound)["partition"][0]


@pytest.mark.parametrize("count", [1, 3])
def test_too_few_rows_for_a_given_setting_are_refused(count: int) -> None:
    with pytest.raises(MissingInput, match=f"{count} are too few to group by a setting of leiden"):
        by_setting(groups((count,)), LEIDEN)
