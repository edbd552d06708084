"""`plots`: every figure of W0 is there, from labels of the catalogue, and says what it cannot show."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from ledgerkit.api import Repository
from ledgerkit.clustering.composition import best_scheme, purity, said_of, silhouettes
from ledgerkit.clustering.overview import overview
from ledgerkit.errors import MissingInput
from ledgerkit.operations import plots
from ledgerkit.testing.handles import Produced, run_operation

W0_FILES = {
    "peep_missingness_top25.png",
    "peep_label_distribution_top30.png",
    "post_missingness_top25.png",
    "cluster_size_hist_excluding_noise.png",
    "cluster_sizes_top30.png",
    "map2d_by_label.png",
    "map2d_by_cluster.png",
    "cluster_label_heatmap_top.png",
    "cluster_label_purity_hist.png",
    "silhouette_hist_sampled.png",
}
OURS = {
    "silhouette_hist_without_noise.png",
    "trials_overview.png",
    "peep_overview.csv",
    "post_overview.csv",
}
NUMBERS = [0, 0, 0, 0, 0, 1, 1, 1, -1, -1]
SUBJECTS = ["bird", "bird", "bird", "fish", None, "fish", "fish", "fish", "fish", "bird"]


def inputs_of(folder: Path, numbers: list[int], subjects: list[str | None]) -> dict[str, Any]:
    """A clustering of plates in three dimensions with its manifests, vectors and trials."""
    draw = np.random.default_rng(1)
    unit = np.eye(3)[[number % 3 for number in numbers]] + draw.normal(0, 0.05, (len(numbers), 3))
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    plates = [f"plate-{place:03}" for place in range(1, len(numbers) + 1)]
    members = [
        {
            "level": 1, "subject_id": plate, "subject_kind": "plate", "plate_id": plate,
            "cluster_id": None if number < 0 else f"cluster-{number:020}", "label": number,
            "probability": 0.5, "outlier_score": None, "nearest_cluster_id": None,
            "nearest_distance": None, "x": float(number), "y": place / 7,
        }
        for place, (plate, number) in enumerate(zip(plates, numbers, strict=True))
    ]  # fmt: skip
    clusters = [
        {
            "level": 1, "label": number, "size": numbers.count(number), "space_id": "space",
            "centroid": unit[np.array(numbers) == number].mean(axis=0).tolist(),
        }
        for number in sorted(set(numbers) - {-1})
    ]  # fmt: skip
    files = []
    for plate, subject in zip(plates, subjects, strict=True):
        path = folder / f"{plate}.json"
        entry = {"plate": 1, "subject": subject, "kept in": ["Berlin", "London"]}
        path.write_text(json.dumps({"plate_id": plate, "source_image": "a.png", "metadata": entry}))
        files.append(path)
    vectors = pa.table(
        {
            "subject_id": plates, "subject_kind": ["plate"] * len(plates), "plate_id": plates,
            "space_id": ["space"] * len(plates),
            "vector": pa.array(list(unit.astype(np.float32)), pa.list_(pa.float32())),
        }
    )  # fmt: skip
    trial = {
        "trial": 0, "noise": 0.2, "silhouette": 0.5, "persistence": None, "chosen": True, "note": "",
    }  # fmt: skip
    return {
        "files": {"manifest": files},
        "tables": {
            "cluster_members": members, "clusters": clusters, "embeddings": [vectors],
            "trials": [trial],
        },
    }  # fmt: skip


def drawn(given: dict[str, Any], **parameters: Any) -> Produced:
    return run_operation(plots, plate_id=None, **given, **parameters)


def gates_of(produced: Produced) -> dict[tuple[str, str], tuple[bool, float | None]]:
    return {(gate, check): (passed, value) for gate, check, passed, value, _ in produced.gates}


def test_makes_the_figures_of_w0_by_their_names_and_checks_its_inputs(
    tmp_path: Path, check_columns: Callable[[str, Any], None]
) -> None:
    given = inputs_of(tmp_path, NUMBERS, SUBJECTS)
    produced = drawn(given)
    rows = produced.row_tables["figures"]
    assert set(produced.file_outputs) == W0_FILES | OURS
    assert {row["file"] for row in rows} == {one for one in W0_FILES | OURS if "png" in one}
    for row in rows:
        check_columns("figures", row)
        size = Image.open(io.BytesIO(produced.file_outputs[row["file"]].data)).size
        assert size == (row["width"], row["height"])
    assert produced.documents == {"cluster_size_gini.json": {"gini": pytest.approx(0.125)}}
    gates = gates_of(produced)
    assert all(passed for passed, _ in gates.values()), gates
    assert gates["labels", "found"][1] == 0.9
    assert gates["labels", "dominant"][1] == pytest.approx(5 / 9)
    table = produced.file_outputs["post_overview.csv"].data.decode()
    lines = {line["column"]: line for line in csv.DictReader(io.StringIO(table))}
    assert lines["cluster_id"]["missing"] == "2"
    assert lines["vector"]["type"] == "float32[3]"
    assert lines["catalogue subject"]["most_frequent"] == "fish"
    assert lines["catalogue kept in"]["least"] == "Berlin; London"
    given["tables"]["cluster_members"] = given["tables"]["cluster_members"][::-1]
    again = drawn(given)
    for name, file in produced.file_outputs.items():
        assert again.file_outputs[name].data == file.data, "the order of the rows changes nothing"


def test_what_cannot_be_drawn_says_why_and_fails_its_gate(tmp_path: Path) -> None:
    given = inputs_of(tmp_path, [-1] * 4, [None] * 4)
    del given["tables"]["embeddings"]
    del given["tables"]["trials"]
    produced = drawn(given)
    assert {row["file"] for row in produced.row_tables["figures"]} < set(produced.file_outputs)
    assert len(produced.row_tables["figures"]) == 12
    assert produced.documents == {"cluster_size_gini.json": {"gini": None}}
    failed = {name for name, (passed, _) in gates_of(produced).items() if not passed}
    assert failed == {("labels", "found"), ("vectors", "found"), ("trials", "found")}


def test_other_vectors_and_one_label_for_all_fail_their_gates(tmp_path: Path) -> None:
    one_label: list[str | None] = ["bird"] * 10
    given = inputs_of(tmp_path, NUMBERS, one_label)
    given["tables"]["clusters"][1]["centroid"] = [0.0, 0.0, 1.0]
    given["tables"]["embeddings"] = [given["tables"]["embeddings"][0].slice(1)]
    gates = gates_of(drawn(given, label="subject"))
    assert gates["vectors", "found"] == (False, 1.0)
    assert gates["vectors", "same"][0] is False
    assert gates["labels", "dominant"] == (False, 1.0)


def test_a_label_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(MissingInput) as error:
        drawn(inputs_of(tmp_path, NUMBERS, SUBJECTS), label="genus")
    assert error.value.hint == "There are: kept in, subject"


def test_the_scheme_is_one_that_repeats_its_values() -> None:
    entries = {
        f"plate-{place}": {"a": f"own {place}", "b": "same", "c": place % 2, "d": None, "slug": "x"}
        for place in range(6)
    }
    schemes = said_of(entries)
    assert list(schemes) == ["a", "b", "c"]
    assert best_scheme(schemes, entries) == "c"
    assert best_scheme({"a": schemes["a"], "b": schemes["b"]}, entries) is None


def test_purity_leaves_out_noise_and_members_without_a_label() -> None:
    assert purity([0, 0, 0, 1, -1, 2], ["a", "a", "b", None, "a", "c"]) == {0: 2 / 3, 2: 1.0}


def test_silhouettes_agree_with_scikit_learn_and_an_only_member_counts_nothing() -> None:
    from sklearn.metrics import silhouette_samples

    draw = np.random.default_rng(3)
    unit = draw.normal(size=(60, 8)).astype(np.float32)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    labels = np.array([-1] * 9 + [0] * 20 + [1] * 30 + [2])
    values = silhouettes(unit, labels, most=0, seed=1)
    assert values is not None
    expected = silhouette_samples(unit, labels, metric="cosine")
    assert values == pytest.approx(expected, abs=1e-5)
    assert values[-1] == 0
    some = silhouettes(unit, labels, most=25, seed=1337)
    rows = np.sort(np.random.default_rng(1337).choice(60, 25, replace=False))
    expected = silhouette_samples(unit[rows], labels[rows], metric="cosine")
    assert some == pytest.approx(expected, abs=1e-5)
    assert silhouettes(unit, np.zeros(60, dtype=np.int64), most=0, seed=1) is None


def test_the_overview_counts_what_is_missing_and_different() -> None:
    lines = overview({"a": [1, None, 1, 2], "b": [None] * 4, "c": ["x", 2, "x", None]})
    assert [(one.missing, one.distinct, one.most_frequent) for one in lines] == [
        (1, 2, "1"), (4, 0, ""), (1, 2, "x"),
    ]  # fmt: skip
    assert (lines[0].least, lines[0].greatest, lines[0].missing_share) == ("1", "2", 0.25)


def test_in_a_repository_labels_are_read_from_sealed_manifests(worked: Repository) -> None:
    view = worked.run("plots")
    assert (view.complete, view.failures) == (1, [])
    worked.consolidate()
    inputs = worked.query(
        "SELECT a.role, a.path, a.sha256, p.manifest_sha256 FROM artifacts a "
        "LEFT JOIN plates p ON a.path = 'plates_structured/' || p.plate_id || '/manifest.json' "
        f"WHERE a.run_id = '{view.run_ids[0]}' AND a.direction = 'input'"
    )
    manifests = inputs.filter(inputs["role"] == "manifest")
    assert manifests.height == 4
    assert (manifests["sha256"] == manifests["manifest_sha256"]).all()
    assert {"table:cluster_members", "table:clusters", "table:embeddings"} <= set(inputs["role"])
    assert worked.run("plots").skipped == 1
