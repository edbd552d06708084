"""The proof of an answer's records, offline; the digest of an answer; citations as text."""

from __future__ import annotations

import datetime
import decimal
import hashlib
import json
from typing import Any

import duckdb
import msgspec
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledgerkit import merkle, schema
from ledgerkit.answer_proof import (
    Answer,
    AnswerHead,
    Column,
    RecordLine,
    encode_answer_proof,
    is_answer_proof,
    parse_answer_proof,
    verify_answer,
)
from ledgerkit.answers import CitationView, bibtex, canonical_answer
from ledgerkit.errors import LedgerkitError, QueryRefused
from ledgerkit.log import Entry
from ledgerkit.merkle import Checkpoint, ProofInvalid
from ledgerkit.note import Signer, sign_note
from ledgerkit.proof import Held, parse_head

SIGNER = Signer("archive.example/plates", b"\7" * 32)
RECORDS = [f"record {number}".encode() for number in range(50)]
ENTRIES = [
    Entry(
        "run",
        f"plates_structured/plate-{number:03d}/runs/run-20260101-000000Z-{number:012x}/run.json",
        hashlib.sha256(record).hexdigest(),
    )
    for number, record in enumerate(RECORDS)
]
LEAVES = [merkle.leaf_hash(one.encode()) for one in ENTRIES]
TEXT = Checkpoint("ledgerkit/x", 50, merkle.root_of(LEAVES)).text()
SIGNED = sign_note(TEXT, SIGNER).encode()
ANSWER = b'[["plate_id","text"]]\n["plate-003"]\n'


def node(level: int, index: int) -> bytes:
    return merkle.complete_root(LEAVES[index << level : (index + 1) << level])


def made(indexes: list[int], checkpoint: str = SIGNED) -> bytes:
    answer = Answer([Column("plate_id", "text")], 1, hashlib.sha256(ANSWER).hexdigest())
    head = AnswerHead(
        answer,
        checkpoint,
        ["log_index"],
        "0" * 64,
        "SELECT 1",
        len(indexes),
        "answer.proof.v1",
        {},
        {},
    )
    found = [(at, ENTRIES[at], merkle.inclusion_proof(at, 50, node)) for at in indexes]
    return encode_answer_proof(head, found)


@given(st.sets(st.integers(0, 49)).map(sorted))
def test_whatever_is_written_is_read_and_holds(indexes: list[int]) -> None:
    data = made(indexes)
    assert is_answer_proof(data)
    proof = parse_answer_proof(data)
    assert [one.index for one in proof.records] == indexes
    records = [RECORDS[at] for at in indexes]
    view = verify_answer(proof, Held((SIGNER.verifier,)), records, ANSWER)
    assert view.trusted
    assert view.entries == len(indexes)


def test_every_line_meets_its_published_schema_and_the_structs_have_its_fields() -> None:
    first, *rest = made([3, 9]).splitlines()
    assert schema.problems("answer.proof.v1", json.loads(first)) == []
    for line in rest:
        assert schema.problems("answer.record.v1", json.loads(line)) == []
    for name, kind in (("answer.proof.v1", AnswerHead), ("answer.record.v1", RecordLine)):
        document = schema.load(name)
        fields = {field.name for field in msgspec.structs.fields(kind)}
        assert set(document["properties"]) == set(document["required"]) == fields
    answer = schema.load("answer.proof.v1")["properties"]["answer"]["properties"]
    assert set(answer) == {field.name for field in msgspec.structs.fields(Answer)}


def test_it_says_that_neither_answer_nor_aggregate_is_proved() -> None:
    view = verify_answer(parse_answer_proof(made([3])), Held())
    assert not view.trusted
    assert "runs: 1, manifests: 0" in view.proved[0]
    assert any("aggregates are proved in no other way" in one for one in view.not_proved)
    assert any("consolidate --at" in one for one in view.not_proved)


def test_every_flipped_bit_of_a_record_line_or_of_the_checkpoint_is_refused() -> None:
    whole = made([3, 9])
    held = Held((SIGNER.verifier,))
    head = whole.index(b"\n") + 1
    stated = whole.index(b'"checkpoint"')
    passed = []
    for place in range(len(whole) * 8):
        changed = bytearray(whole)
        changed[place // 8] ^= 1 << place % 8
        try:
            verify_answer(parse_answer_proof(bytes(changed)), held)
        except LedgerkitError:
            continue
        passed.append(place // 8)
    assert [at for at in passed if at >= head] == []
    checkpoint_ends = whole.index(b'"found_by"')
    assert [at for at in passed if stated <= at < checkpoint_ends] == []
    assert passed, "query and digest are claims that no log can vouch for"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda data: data[:-1], "breaks off"),
        (lambda data: data[: data.rindex(b"\n", 0, -1) + 1], "promises 2 records and holds 1"),
        (lambda data: data + data[data.rindex(b"\n", 0, -1) + 1 :], "promises 2 records and holds 3"),
        (lambda data: data.replace(b'"index":3', b'"index": 3'), "line 2 of the proof is not canonical"),
        (lambda data: data.replace(b'"index":3', b'"index":4'), "entry 4"),
        (lambda data: data.replace(b'"index":9', b'"index":2'), "not sorted"),
        (lambda data: data.replace(b'"index":9', b'"index":3'), "twice"),
        (lambda data: data.replace(b'"proof":[', b'"proof":["",'), "entry 3"),
        (lambda data: data.replace(b"run.json", b"run.jsom"), "entry"),
        (lambda data: data.replace(b"answer.proof.v1", b"answer.proof.v2"), "line 1"),
        (lambda data: b'{"answer":' + b"[" * 100_000 + b"\n", "line 1"),
    ],
    ids=range(11),
)  # fmt: skip
def test_what_is_wrong_is_refused_with_the_reason(change: Any, reason: str) -> None:
    with pytest.raises(ProofInvalid, match=reason):
        verify_answer(parse_answer_proof(change(made([3, 9]))), Held())


def test_a_record_or_answer_that_was_not_proved_is_refused() -> None:
    proof = parse_answer_proof(made([3]))
    with pytest.raises(ProofInvalid, match="none of those proved"):
        verify_answer(proof, Held(), [RECORDS[4]])
    with pytest.raises(ProofInvalid, match="the answer given has SHA-256"):
        verify_answer(proof, Held(), [], ANSWER + b"[1]\n")


def test_a_checkpoint_held_is_compared() -> None:
    proof = parse_answer_proof(made([3], TEXT))
    assert verify_answer(proof, Held((), parse_head(TEXT))).trusted
    other = Checkpoint("ledgerkit/x", 50, b"\0" * 32).text()
    with pytest.raises(ProofInvalid, match="different roots"):
        verify_answer(proof, Held((), parse_head(other)))


def asked(sql: str) -> pa.Table:
    return duckdb.sql(sql).to_arrow_table()


def test_an_answer_has_one_canonical_form_whatever_the_order_of_its_rows() -> None:
    sql = "SELECT * FROM (VALUES (2, 'b', NULL), (1, 'ä', 1.5), (3, '', -0.0)) t(n, name, x)"
    lines = canonical_answer(asked(f"{sql} ORDER BY n"))
    assert lines.decode() == (
        '[["n","integer"],["name","text"],["x","decimal"]]\n'
        '[1,"ä","1.5"]\n[2,"b",null]\n[3,"","0.0"]\n'
    )
    assert canonical_answer(asked(f"{sql} ORDER BY n DESC")) == lines
    assert canonical_answer(asked(f"{sql} ORDER BY n").combine_chunks().slice(0, 2)) != lines


def test_every_kind_of_value_has_its_canonical_form() -> None:
    sql = """SELECT true AS a, 9007199254740993::BIGINT AS b, 0.1::FLOAT8 AS c, 'NaN'::FLOAT8 AS d,
        '-inf'::FLOAT8 AS e, 12.50::DECIMAL(9, 2) AS f, '\\x00\\xFF'::BLOB AS g,
        DATE '2024-02-29' AS h, TIMESTAMP '2024-02-29 12:00:00.5' AS i,
        [1, NULL, 2] AS j, {'x': 1, 'y': [DATE '2024-02-29']} AS k, NULL AS l, 1e300 AS m"""
    first, row = map(json.loads, canonical_answer(asked(sql)).splitlines())
    assert row == [
        True, "9007199254740993", 0.1, "nan", "-inf", "12.50", "00ff", "2024-02-29",
        "2024-02-29T12:00:00.500000", [1, None, 2], [1, ["2024-02-29"]], None, 1e300,
    ]  # fmt: skip
    assert [kind for _, kind in first] == [
        "boolean", "integer", "number", "number", "number", "decimal", "bytes", "date", "timestamp",
        "list<integer>", "struct<x:integer,y:list<date>>", first[11][1], "number",
    ]  # fmt: skip


def test_widths_do_not_change_the_form_but_kinds_do() -> None:
    narrow = pa.table({"x": pa.array([1], pa.int8()), "t": pa.array(["a"], pa.string())})
    wide = pa.table({"x": pa.array([1], pa.int64()), "t": pa.array(["a"], pa.large_string())})
    listed = pa.table({"x": pa.array([1], pa.int64()), "t": pa.array(["a"]).dictionary_encode()})
    assert canonical_answer(narrow) == canonical_answer(wide) == canonical_answer(listed)
    text = pa.table({"x": ["1"], "t": ["a"]})
    assert canonical_answer(text) != canonical_answer(narrow)


def test_times_with_a_zone_are_told_in_utc() -> None:
    zone = datetime.timezone(datetime.timedelta(hours=2))
    moment = datetime.datetime(2024, 1, 1, 1, tzinfo=zone)
    table = pa.table({"t": pa.array([moment], pa.timestamp("us", "Europe/Vienna"))})
    assert b"2023-12-31T23:00:00+00:00" in canonical_answer(table)


@pytest.mark.parametrize("kind", ["TIMESTAMP_NS '2024-01-01'", "INTERVAL 1 DAY", "TIME '12:00'"])
def test_types_without_a_canonical_form_are_refused_by_name(kind: str) -> None:
    with pytest.raises(QueryRefused, match="column odd of type") as error:
        canonical_answer(asked(f"SELECT {kind} AS odd"))
    assert "VARCHAR" in str(error.value.hint)


@given(
    st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1), st.text(), st.decimals(-9, 9, places=3)))
)
def test_the_digest_tells_answers_apart(rows: list[tuple[int, str, decimal.Decimal]]) -> None:
    kinds = [("n", pa.int64()), ("t", pa.string()), ("d", pa.decimal128(9, 3))]

    def table(some: list[tuple[Any, ...]]) -> pa.Table:
        columns = zip(*some, strict=True) if some else [[], [], []]
        return pa.table(
            [pa.array(c, k) for c, (_, k) in zip(columns, kinds, strict=True)],
            [n for n, _ in kinds],
        )

    lines = canonical_answer(table(rows))
    assert canonical_answer(table(rows[::-1])) == lines
    assert lines.count(b"\n") == len(rows) + 1
    if rows:
        assert canonical_answer(table(rows[1:])) != lines


def test_a_citation_is_escaped_for_bibtex() -> None:
    view = CitationView(
        "ledgerkit/x", 5, "AAA=", "SELECT '{%_\\}'\nFROM  t", ["a"], 1, "ab" * 32, "cd" * 32,
        {"ledgerkit": "1"}, {"polars": "2"}, "2026-01-01",
    )  # fmt: skip
    text = bibtex(view)
    assert text.startswith("@misc{ledgerkit-abababababab,\n")
    assert r"SELECT '\{\%\_\textbackslash{}\}' FROM t" in text
    assert "Answer of 1 row with" in text
    assert "ledgerkit 1; ledgers written with polars 2" in text
    assert "urldate = {2026-01-01}" in text
    assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")
    assert view.checkpoint == "ledgerkit/x\n5\nAAA=\n"
