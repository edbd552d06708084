"""Exports of clusterings, held item by item against the lists of the workflows they come from."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ledgerkit import schema
from ledgerkit.api import Repository
from ledgerkit.errors import MissingInput, UsageError
from ledgerkit.naming import Naming
from ledgerkit.testing.clustered import PLATES, clustered


@pytest.fixture(scope="module")
def told(_dozen: Path, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """Clusters abcde (named), fghi and jk; plate l is noise."""
    import shutil

    root = tmp_path_factory.mktemp("told") / "archive"
    shutil.copytree(_dozen, root, symlinks=True)
    repository = Repository.open(root)
    ids = clustered(repository, "abcde", "fghi", "jk")
    named = Naming("White, cylindrical", "Tubes.", PLATES[1])
    repository.name({ids["abcde"]: named, ids["jk"]: Naming("=White cylindrical!")}, by="A")
    repository.consolidate()
    return repository


def exported(repository: Repository, form: str, target: Path, **chosen: Any) -> Any:
    repository.export_clusters(form, target, **chosen)
    return json.loads(target.read_bytes())


def test_clusters_are_those_of_workflow_w2(told: Repository, tmp_path: Path) -> None:
    found = exported(told, "clusters", tmp_path / "a.json", category="bollards")
    assert schema.problems("export.clusters.v1", found) == []
    assert (found["category"], found["model"]) == ("bollards", "test")
    assert [one["id"] for one in found["clusters"]] == ["cluster-0", "cluster-1", "cluster-2"]
    assert [one["size"] for one in found["clusters"]] == [5, 4, 2]
    assert found["clusters"][0]["images"] == PLATES[:5]
    assert [one["representativeImage"] for one in found["clusters"]] == [
        PLATES[1],
        PLATES[5],
        PLATES[9],
    ]
    assert found["unclustered"] == [PLATES[11]]
    basis = found["ledgerkit"]
    assert basis["selection"]["clustering"] == told.names().names[0]["run_id"]
    assert set(basis["table_sha256"]) >= {"clusters", "cluster_members", "descriptions"}


def test_items_and_their_clusters_are_those_of_workflow_w4(
    told: Repository, tmp_path: Path
) -> None:
    view = told.export_clusters("items", tmp_path / "data")
    items = json.loads((tmp_path / "data/items.json").read_bytes())
    clusters = json.loads((tmp_path / "data/clusters.json").read_bytes())
    assert [problem for one in items for problem in schema.problems("export.item.v1", one)] == []
    assert schema.problems("export.item-clusters.v1", clusters) == []
    first, last = items[0], items[-1]
    assert (first["id"], first["content"]) == ("plate-001", "Plate 1. country: fr")
    assert (first["x"], first["y"]) == (0.0, 0.1235)
    assert [first[f"cluster_l{level}"] for level in (1, 2, 3)] == [0, None, None]
    assert last["cluster_l1"] is None
    assert first["metadata"]["labels"] == [{"scheme": "country", "value": "fr"}]
    assert [one["name"] for one in clusters] == ["L1_0", "L1_1", "L1_2"]
    assert [one["comment_count"] for one in clusters] == [5, 4, 2]
    assert clusters[0]["pattern_name"] == "White, cylindrical"
    assert clusters[0]["description"] == "Tubes."
    assert (tmp_path / "data/clusters.json").read_text().startswith('[\n  {\n    "id"')
    listing = json.loads((tmp_path / "data/export.json").read_bytes())
    for one in listing["files"]:
        data = (tmp_path / "data" / one["path"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == one["sha256"]
    assert view.sha256 == hashlib.sha256((tmp_path / "data/export.json").read_bytes()).hexdigest()


def test_a_long_content_is_cut_at_500_characters(dozen: Repository, tmp_path: Path) -> None:
    clustered(dozen, "abcde")
    dozen.amend({"plate-001": {"title": "x" * 700}}, by="A", reason="a test")
    dozen.consolidate()
    dozen.export_clusters("items", tmp_path / "data")
    items = json.loads((tmp_path / "data/items.json").read_bytes())
    assert items[0]["content"] == "x" * 500


def test_curated_types_group_members_by_a_facet(told: Repository, tmp_path: Path) -> None:
    found = exported(told, "curated", tmp_path / "a.json")
    assert schema.problems("export.curated.v1", found) == []
    assert (found["facet"], found["facets"]) == ("country", "countries")
    first, second = found["types"]
    del first["cluster_id"]
    assert first == {
        "id": "white-cylindrical",
        "name": "White, cylindrical",
        "description": "Tubes.",
        "representativeImage": {"country": "de", "seq": 2},
        "countries": [{"code": "de", "images": [2, 4]}, {"code": "fr", "images": [1, 3, 5]}],
    }
    assert second["id"] == "white-cylindrical-2"
    assert "description" not in second
    by_slug = exported(told, "curated", tmp_path / "b.json", facet="slug", all_named=True)
    assert by_slug["types"][0]["representativeImage"] == {"slug": "plate-2", "seq": 2}
    assert len(by_slug["types"][0]["slugs"]) == 5
    with pytest.raises(UsageError) as refused:
        told.export_clusters("curated", tmp_path / "c.json", facet="colour")
    assert "country" in str(refused.value.hint)


def test_members_of_which_the_facet_says_nothing_are_told(
    dozen: Repository, tmp_path: Path
) -> None:
    ids = clustered(dozen, "kl")
    dozen.name({ids["kl"]: Naming("Two")}, by="A")
    dozen.consolidate()
    (one,) = exported(dozen, "curated", tmp_path / "a.json")["types"]
    assert one["countries"] == [{"code": "", "images": [12]}, {"code": "fr", "images": [11]}]


def test_tables_as_csv_open_in_a_spreadsheet_without_being_computed(
    told: Repository, tmp_path: Path
) -> None:
    told.export_clusters("csv", tmp_path / "csv")
    clusters = list(csv.DictReader((tmp_path / "csv/clusters.csv").read_text().splitlines()))
    members = list(csv.DictReader((tmp_path / "csv/members.csv").read_text().splitlines()))
    assert (len(clusters), len(members)) == (3, 12)
    assert (clusters[0]["name"], clusters[0]["source"]) == ("White, cylindrical", "person")
    assert clusters[2]["name"] == "'=White cylindrical!"
    assert (members[0]["cluster_name"], members[11]["cluster_name"]) == ("White, cylindrical", "")


def test_the_same_ledgers_give_the_same_bytes(told: Repository, tmp_path: Path) -> None:
    for form in ("clusters", "curated"):
        first = told.export_clusters(form, tmp_path / f"{form}-1")
        assert told.export_clusters(form, tmp_path / f"{form}-2").sha256 == first.sha256


def test_what_is_not_there_is_refused_and_nothing_is_left(
    told: Repository, tmp_path: Path, dozen: Repository
) -> None:
    dozen.consolidate()
    with pytest.raises(MissingInput) as refused:
        dozen.export_clusters("items", tmp_path / "a")
    assert "ledgerkit cluster --of plates" in str(refused.value.hint)
    for chosen in ({"of": "segments"}, {"run_id": "run-20200101-000000Z-000000000000"}):
        with pytest.raises(MissingInput):
            told.export_clusters("clusters", tmp_path / "a", **chosen)
    with pytest.raises(UsageError, match="no level 3"):
        told.export_clusters("clusters", tmp_path / "a", level=3)
    with pytest.raises(UsageError, match="no format 'xml'"):
        told.export_clusters("xml", tmp_path / "a")
    with pytest.raises(UsageError):
        told.export_clusters("csv", told.root / "a")
    assert list(tmp_path.iterdir()) == [tmp_path / "dozen"]


def test_embedding_atlas_gets_map_neighbours_clusters_and_pictures(
    worked: Repository, tmp_path: Path
) -> None:
    worked.run("describe")
    worked.consolidate()
    view = worked.export_clusters("embedding-atlas", tmp_path / "a.parquet", side=32, neighbours=2)
    assert (view.items, view.missing) == (4, 0)
    table = pq.read_table(tmp_path / "a.parquet")
    assert json.loads(table.schema.metadata[b"ledgerkit"])["log_size"] == view.log_size
    rows = table.to_pylist()
    members = worked.query(
        "SELECT x, y, label FROM current_cluster_members WHERE level = 1 ORDER BY subject_id"
    )
    assert [(row["projection_x"], row["projection_y"]) for row in rows] == members.select(
        "x", "y"
    ).rows()
    labels = [None if label < 0 else label for label in members["label"].to_list()]
    assert [row["cluster_l1"] for row in rows] == labels
    assert all((row["cluster_l1_name"] is None) == (row["cluster_l1"] is None) for row in rows)
    vectors = worked.query("SELECT vector FROM current_embeddings ORDER BY subject_id")
    matrix = np.array(vectors["vector"].to_list(), dtype=np.float64)
    cosine = matrix @ matrix.T
    for place, row in enumerate(rows):
        near = [one for one in np.argsort(-cosine[place]).tolist() if one != place][:2]
        assert row["neighbors"]["ids"] == near
        assert row["neighbors"]["distances"] == pytest.approx(1 - cosine[place][near], abs=1e-5)
        picture = Image.open(io.BytesIO(row["image"]["bytes"]))
        assert (picture.format, max(picture.size)) == ("JPEG", 32)
        assert row["image"]["path"] == f"{row['id']}.jpg"


def test_a_picture_that_is_gone_is_null_and_counted(worked: Repository, tmp_path: Path) -> None:
    worked.consolidate()
    gone = next(worked.root.glob("plates_structured/plate-002/cache/*/*.jpg"))
    gone.parent.chmod(0o755)
    gone.unlink()
    view = worked.export_clusters("embedding-atlas", tmp_path / "a.parquet", neighbours=0)
    rows = pq.read_table(tmp_path / "a.parquet").to_pylist()
    assert view.missing == 1
    assert [row["image"]["bytes"] is None for row in rows] == [False, True, False, False]
    plain = worked.export_clusters("embedding-atlas", tmp_path / "b.parquet", side=0, neighbours=0)
    assert plain.missing == 0
    names = pq.read_schema(tmp_path / "b.parquet").names
    assert not {"image", "neighbors"} & set(names)
