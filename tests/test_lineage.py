"""Lineage: what something was made from, by which runs, down to the seal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ledgerkit.api import Repository
from ledgerkit.errors import UsageError
from ledgerkit.testing.stories import whole_story
from ledgerkit.views import LineageNode


@pytest.fixture(scope="module")
def told(scans: Path, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    repository = Repository.init(tmp_path_factory.mktemp("lineage") / "archive")
    repository.ingest(scans / "data.json", scans / "images")
    return whole_story(repository)


def all_below(node: LineageNode) -> Iterator[LineageNode]:
    yield node
    for one in node.made_from:
        yield from all_below(one)


def operations(node: LineageNode) -> set[str]:
    return {str(one.detail["operation"]) for one in all_below(node) if one.kind == "run"}


def one_of(told: Repository, sql: str) -> str:
    return str(told.query(sql).item(0, 0))


def test_a_plate_shows_everything_that_was_made_from_it(told: Repository) -> None:
    node = told.lineage("plate-001")
    assert (node.kind, node.detail["title"]) == ("plate", "Plate 1")
    made = {str(run.detail["operation"]) for run in node.made_from}
    assert {"headers", "measure", "normalize", "segment", "embed", "cluster"} <= made
    outputs = [one.identifier for run in node.made_from for one in run.made_from]
    assert not any("plate-002" in path for path in outputs)


@pytest.mark.parametrize(
    ("sql", "kind", "steps"),
    [
        ("SELECT tile_id FROM tiles", "tile", {"normalize", "seal"}),
        ("SELECT segment_id FROM segments", "segment", {"segment", "normalize", "seal"}),
        ("SELECT cluster_id FROM clusters", "cluster", {"cluster", "embed", "normalize", "seal"}),
        (
            "SELECT path FROM artifacts WHERE direction = 'output' AND role = 'table:segments'",
            "file",
            {"segment", "normalize", "seal"},
        ),
        (
            "SELECT sha256 FROM artifacts WHERE direction = 'output' AND role = 'table:embeddings'",
            "file",
            {"embed", "normalize", "seal"},
        ),
        ("SELECT source_path FROM plates", "file", {"seal"}),
        (
            "SELECT run_id FROM runs WHERE operation = 'cluster'",
            "run",
            {"cluster", "embed", "seal"},
        ),
    ],
)
def test_leads_down_to_the_seal_of_the_source(
    told: Repository, sql: str, kind: str, steps: set[str]
) -> None:
    node = told.lineage(one_of(told, sql))
    assert node.kind == kind
    assert steps <= operations(node)


def test_every_input_names_its_digest_and_the_seal_is_the_end(told: Repository) -> None:
    node = told.lineage(one_of(told, "SELECT segment_id FROM segments"))
    sources = [one for one in all_below(node) if one.detail.get("role") == "source"]
    known = told.query("SELECT source_sha256 FROM plates")["source_sha256"].to_list()
    assert sources
    assert all(one.detail["sha256"] in known for one in sources)
    assert all(run.detail["operation"] == "seal" for one in sources for run in one.made_from)


@pytest.mark.parametrize(
    "subject",
    [
        "plate-777",
        "run-20200101-000000Z-000000000000",
        "tile-none",
        "segment-none",
        "cluster-none",
        "no/such/file",
        "' OR true --",
        "",
        "%",
    ],
)
def test_what_the_ledgers_do_not_know_is_said(told: Repository, subject: str) -> None:
    with pytest.raises(UsageError, match="the ledgers know no") as refused:
        told.lineage(subject)
    assert "ledgerkit consolidate" in str(refused.value.hint)
