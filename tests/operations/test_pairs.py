"""`pairs` over a made-up sweep: which pairs are asked, and what is told of them where."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest

from ledgerkit import schema
from ledgerkit.errors import MissingInput
from ledgerkit.operations import pairs
from ledgerkit.sweeping.ambiguous import pair_id
from ledgerkit.testing.handles import Produced, run_operation
from ledgerkit.testing.swept import made_up, vectors_table

SUBJECTS = [f"plate-{number:03d}" for number in range(1, 301)]


def tables(seed: int = 1) -> dict[str, Any]:
    trials, members, vectors = made_up(SUBJECTS, clusters=6, trials=60, seed=seed)
    given = pa.Table.from_pylist(members, schema.arrow_schema("sweep_members", stored=True))
    return {
        "sweep_trials": trials,
        "sweep_members": given,
        "embeddings": vectors_table(members, vectors),
    }


@pytest.fixture(scope="module")
def made() -> tuple[dict[str, Any], Produced]:
    given = tables()
    return given, run_operation(pairs, plate_id=None, tables=given)


def test_pairs_are_rows_without_their_reasons(made: tuple[dict[str, Any], Produced]) -> None:
    rows = made[1].row_tables["review_pairs"]
    assert len(rows) == 150
    assert set(rows[0]) == set(schema.columns("review_pairs", stored=True))
    data = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    assert len(schema.decode_rows("review_pairs", data, "here")) == 150
    assert [row["position"] for row in rows] == list(range(150))
    assert len({row["pair_id"] for row in rows}) == 150
    for row in rows:
        assert row["pair_id"] == pair_id(row["subject_b"], row["subject_a"])
        assert row["plate_a"] == row["subject_a"] != row["subject_b"]
    assert made[1].gates == [("pairs", "found", True, 150.0, "150 of 150 pairs were found")]


def test_the_document_says_why_and_for_which_trials(made: tuple[dict[str, Any], Produced]) -> None:
    given, produced = made
    document = produced.documents["pairs.json"]
    assert schema.problems("pairs.v1", document) == []
    rows = produced.row_tables["review_pairs"]
    assert [one["pair_id"] for one in document["pairs"]] == [row["pair_id"] for row in rows]
    assert {one["reason"] for one in document["pairs"]} == {"merge", "across", "weak"}
    voting = [row["trial"] for row in given["sweep_trials"] if row["in_consensus"]]
    assert document["trials"] == voting
    labels = {row["subject_id"]: row["labels"] for row in given["sweep_members"].to_pylist()}
    for row, one in zip(rows, document["pairs"], strict=True):
        first, second = labels[row["subject_a"]], labels[row["subject_b"]]
        both = [trial for trial in voting if first[trial] >= 0 and second[trial] >= 0]
        assert one["together"] == [trial for trial in both if first[trial] == second[trial]]
        assert one["apart"] == [trial for trial in both if first[trial] != second[trial]]


def test_the_seed_decides_and_fewer_can_be_asked_for() -> None:
    first, again, other = (
        run_operation(pairs, plate_id=None, tables=tables(), count=20, seed=seed)
        for seed in (5, 5, 6)
    )
    assert first.row_tables == again.row_tables
    assert first.documents == again.documents
    assert len(first.row_tables["review_pairs"]) == 20
    assert first.row_tables != other.row_tables


def test_a_sweep_that_leaves_nothing_open_or_lost_its_vectors_is_an_error() -> None:
    given = tables()
    few = given | {"embeddings": given["embeddings"].slice(0, 200)}
    with pytest.raises(MissingInput, match="100 subjects of the sweep have no vector in made-up"):
        run_operation(pairs, plate_id=None, tables=few)
    alike = given["sweep_members"].to_pylist()
    for row in alike:
        row |= {"labels": [0] * 60, "consensus_half": 0}
    kinds = given["sweep_members"].schema
    with pytest.raises(MissingInput, match="the trials leave no pair open"):
        run_operation(
            pairs,
            plate_id=None,
            tables=given | {"sweep_members": pa.Table.from_pylist(alike, kinds)},
        )
    with pytest.raises(MissingInput, match="no sweep of birds among the inputs"):
        run_operation(pairs, plate_id=None, tables=given, collection="birds")
