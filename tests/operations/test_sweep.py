"""The operation `sweep`: its rows, that it goes on after an interruption, small and odd collections."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import adjusted_rand_score

from ledgerkit import schema
from ledgerkit.errors import MissingInput, UsageError
from ledgerkit.kept import KeptHere
from ledgerkit.operations import sweep
from ledgerkit.sweeping.composite import WEIGHTS
from ledgerkit.sweeping.given import parse
from ledgerkit.testing.handles import Produced, run_operation

QUICK = {"trials": 14, "samples": 1, "algorithms": "leiden,kmeans"}


def table(vectors: np.ndarray) -> pa.Table:
    names = [f"plate-{row:03d}" for row in range(len(vectors))]
    return pa.table(
        {
            "subject_id": names,
            "subject_kind": ["plate"] * len(names),
            "plate_id": names,
            "space_id": ["made-up"] * len(names),
            "dim": pa.array([vectors.shape[1]] * len(names), pa.int32()),
            "vector": pa.array(list(vectors.astype(np.float32)), pa.list_(pa.float32())),
        }
    )


def groups(count: int, size: int, seed: int = 0, spread: float = 0.3) -> np.ndarray:
    draw = np.random.default_rng(seed)
    middles = draw.standard_normal((count, 16))
    return middles.repeat(size, axis=0) + spread * draw.standard_normal((count * size, 16))


def run(vectors: np.ndarray, **given: Any) -> Produced:
    return run_operation(
        sweep, plate_id=None, tables={"embeddings": [table(vectors)]}, **{**QUICK, **given}
    )


def test_trials_members_and_the_document_say_the_same() -> None:
    produced = run(groups(4, 15))
    trials = produced.row_tables["sweep_trials"]
    members = produced.arrow_tables["sweep_members"]
    document = produced.documents["sweep.json"]
    assert schema.problems("sweep.v1", document) == []
    assert [row["trial"] for row in trials] == list(range(14))
    labels = np.array(members["labels"].to_pylist())
    assert labels.shape == (60, 14)
    for row in trials:
        column = labels[:, row["trial"]]
        assert row["clusters"] == column.max() + 1
        assert row["coverage"] == (column >= 0).mean()
        assert (
            json.loads(row["parameters"]).keys()
            == parse(
                json.dumps(
                    {"algorithm": row["algorithm"], "parameters": json.loads(row["parameters"])}
                )
            )[1].keys()
        )
    ranks = sorted(row["rank"] for row in trials if not row["control"])
    assert ranks == list(range(1, len(ranks) + 1))
    assert all(row["rank"] is None for row in trials if row["control"])
    winner = next(row for row in trials if row["rank"] == 1)
    assert document["winner"]["trial"] == winner["trial"]
    assert document["consensus"]["trials"] == [
        row["trial"] for row in trials if row["in_consensus"]
    ]
    assert members["consensus_half"].to_pylist() == [row // 15 for row in range(60)]
    assert {row["modularity"] is None for row in trials} == {False}


def test_the_most_stable_half_votes_and_the_agreement_with_the_consensus_ranks() -> None:
    produced = run(groups(10, 10, spread=1.4), trials=40, samples=2)
    trials = produced.row_tables["sweep_trials"]
    members = produced.arrow_tables["sweep_members"]
    labels = np.array(members["labels"].to_pylist()).T
    different: list[dict[str, Any]] = []
    able = [row for row in trials if not row["control"] and "penalised" not in row["note"]]
    for row in sorted(able, key=lambda row: -row["bootstrap_ari"]):
        own = labels[row["trial"]]
        if all(adjusted_rand_score(own, labels[one["trial"]]) < 1 for one in different):
            different.append(row)
    stability = [row["bootstrap_ari"] for row in different]
    assert len(set(stability)) > 4
    voters = [row["bootstrap_ari"] for row in trials if row["in_consensus"]]
    assert sorted(voters) == sorted(stability)[-round(len(different) / 2) :]
    ranked = sorted((row for row in trials if row["rank"]), key=lambda row: row["rank"])
    kept = [row for row in ranked if not row["ranked_down"] and row in able]
    assert kept == ranked[: len(kept)]
    agreement = [row["consensus_ari"] for row in kept]
    assert agreement == sorted(agreement, reverse=True)
    first = run(groups(10, 10, spread=1.4), trials=40, samples=2, formula="w1.text")
    by_text = [row for row in first.row_tables["sweep_trials"] if row["rank"] == 1]
    assert [row["score"] for row in by_text] == [row["score_text_z"] for row in by_text]
    assert [row["in_consensus"] for row in trials] == [
        row["in_consensus"] for row in first.row_tables["sweep_trials"]
    ]


def test_weights_that_are_given_rank_and_stand_in_the_document() -> None:
    alone = dict.fromkeys(WEIGHTS, 0.0) | {"coverage": 1.0}
    given = groups(10, 10, spread=1.4)
    produced = run(given, trials=20, formula="w1.text", weight=json.dumps(alone))
    assert produced.documents["sweep.json"]["weights"] == alone
    able = [row for row in produced.row_tables["sweep_trials"] if not row["control"]]
    best = min(able, key=lambda row: row["rank"] + 1000 * row["ranked_down"])
    assert best["coverage"] == max(row["coverage"] for row in able if not row["ranked_down"])
    for wrong in ("{", '"a"', '{"coverage": 1}', json.dumps(alone | {"coverage": "x"})):
        with pytest.raises(UsageError, match="weight"):
            sweep.Parameters(weight=wrong)
    with pytest.raises(UsageError, match="digest of a file"):
        sweep.Parameters(weights_sha256="0" * 64)


def test_what_was_interrupted_goes_on_and_gives_the_same_bytes() -> None:
    class Stops(KeptHere):
        def put(self, key: str, value: bytes) -> None:
            if len(self._values) == 5:
                raise KeyboardInterrupt
            super().put(key, value)

    vectors = groups(3, 12)
    whole = run(vectors)
    kept = Stops()
    with pytest.raises(KeyboardInterrupt):
        run(vectors, kept=kept)
    go_on = KeptHere()
    go_on._values = dict(kept._values)
    again = run(vectors, kept=go_on)
    assert again.row_tables == whole.row_tables
    assert again.arrow_tables["sweep_members"].equals(whole.arrow_tables["sweep_members"])
    assert again.heard[-1] == (14, 14)


@pytest.mark.parametrize("vectors", [groups(1, 5), np.ones((12, 16)), groups(2, 2)])
def test_few_and_equal_vectors_give_a_result_that_says_what_is_missing(vectors: np.ndarray) -> None:
    produced = run(vectors, algorithms=sweep.ALGORITHMS, trials=16)
    for row in produced.row_tables["sweep_trials"]:
        assert row["silhouette"] is None or -1 <= row["silhouette"] <= 1
        assert row["dbcv"] is not None or row["dbcv_note"]
    assert len(produced.arrow_tables["sweep_members"]) == len(vectors)


def test_what_cannot_be_swept_is_refused_by_name() -> None:
    with pytest.raises(MissingInput, match="3 plates are too few"):
        run(groups(1, 3))
    with pytest.raises(UsageError, match="no algorithm 'spectral'"):
        run(groups(2, 5), algorithms="spectral")
    with pytest.raises(UsageError, match="one that is no control"):
        run(groups(2, 5), algorithms="kmeans")
    with pytest.raises(UsageError, match="collection is 'a/b'"):
        run(groups(2, 5), collection="a/b")


def test_no_two_collections_share_a_variant() -> None:
    given = [{"collection": "c", "space": "a-b"}, {"collection": "b-c", "space": "a"}]
    given += [{"collection": "a-b-c"}, {"collection": "a-b-c", "of": "tiles"}]
    assert len({sweep.variant(sweep.Parameters(**one)) for one in given}) == 4


def test_a_setting_in_words_is_checked_in_full() -> None:
    for wrong in (
        "{",
        "[]",
        '{"algorithm": "leiden"}',
        '{"algorithm": "leiden", "parameters": {"resolution": 1.0}}',
        '{"algorithm": "leiden", "parameters": {"resolution": 9, "temperature": 1.0}}',
        '{"algorithm": "leiden", "parameters": {"resolution": true, "temperature": 1.0}}',
        '{"algorithm": "nothing", "parameters": {}}',
    ):
        with pytest.raises(UsageError):
            parse(wrong)
