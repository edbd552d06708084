"""Outputs of one task: written once, under safe names, in the shape that their tables have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from ledgerkit.canonical import digest_bytes
from ledgerkit.errors import InvalidRecord, UnsafePath
from ledgerkit.schema import arrow_schema
from ledgerkit.staging import StagedOutputs


@pytest.fixture
def outputs(tmp_path: Path) -> StagedOutputs:
    return StagedOutputs(tmp_path / "1")


_GATE_ROW = {"figure_id": "f", "title": "t", "path": "outputs/f.png", "data_path": None}


def _vectors(count: int, **changed: Any) -> pa.Table:
    names = arrow_schema("embeddings", stored=True)
    row: dict[str, Any] = {}
    for field in names:
        plain = {"string": "x", "int32": 4, "int64": 4, "float64": 0.5, "bool": True}
        row[field.name] = [0.5] * 4 if "list" in str(field.type) else plain.get(str(field.type))
    row |= {"subject_kind": "plate", "subject_id": "plate-001", "plate_id": "plate-001"} | changed
    rows = [row | {"subject_id": f"plate-{n:03d}"} for n in range(count)]
    return pa.Table.from_pylist(
        [{key: item for key, item in one.items() if key in names.names} for one in rows]
    )


def test_artifacts_say_what_was_written(outputs: StagedOutputs) -> None:
    outputs.document("b.json", "plan", {"b": 1, "a": 2.0})
    with outputs.open("a.bin", "data", "application/octet-stream") as file:
        file.write(b"12")
        file.write(b"34")
    with outputs.cache("c/d.png", "image", "image/png") as file:
        file.write(b"pixels")
        file.pixels("0" * 64)
    found = outputs.close()
    assert [one.name for one in found] == ["cache/c/d.png", "outputs/a.bin", "outputs/b.json"]
    digests = digest_bytes(b"1234")
    assert (found[1].bytes, found[1].sha256, found[1].xxh3_128) == (
        digests.bytes,
        digests.sha256,
        digests.xxh3_128,
    )
    assert found[0].pixels_sha256 == "0" * 64
    assert (outputs.folder / "outputs/b.json").read_bytes() == b'{"a":2,"b":1}'


@pytest.mark.parametrize(
    "name", ["../up", "/root", "a/../../b", "con", "a:b", "tab\t", "e\u0301.png", "", "a//b", "x."]
)
def test_unsafe_names_are_refused(outputs: StagedOutputs, name: str) -> None:
    with pytest.raises(UnsafePath), outputs.open(name, "data", "text/plain"):
        pass
    with pytest.raises(UnsafePath), outputs.cache(name, "data", "text/plain"):
        pass
    assert list(outputs.folder.parent.rglob("*")) == []


def test_a_name_is_given_once(outputs: StagedOutputs) -> None:
    outputs.document("a.json", "plan", 1)
    with pytest.raises(InvalidRecord, match="twice"):
        outputs.document("a.json", "plan", 2)
    assert json.loads((outputs.folder / "outputs/a.json").read_bytes()) == 1


def test_names_that_differ_only_in_case_are_one_name(outputs: StagedOutputs) -> None:
    outputs.document("a.json", "plan", 1)
    with pytest.raises(InvalidRecord, match="twice"):
        outputs.document("A.json", "plan", 2)
    with outputs.cache("a.json", "plan", "application/json") as file:
        file.write(b"another folder")
    assert len(outputs.close()) == 2


def test_a_row_that_breaks_its_table_fails_the_task(outputs: StagedOutputs) -> None:
    with pytest.raises(InvalidRecord, match="headers"):
        outputs.rows("headers", [{"plate_id": "plate-001"}])
    with pytest.raises(InvalidRecord):
        outputs.document("nan.json", "plan", {"value": float("nan")})


def test_a_table_is_cast_to_its_schema_or_refused(outputs: StagedOutputs) -> None:
    good = _vectors(3)
    outputs.table("embeddings", good.select(list(reversed(good.column_names))))
    (found,) = outputs.close()
    assert (found.name, found.role) == ("outputs/embeddings.parquet", "table:embeddings")


@pytest.mark.parametrize(
    "changed",
    [{"subject_kind": "nonsense"}, {"subject_id": None}, {"vector": [float("nan")] * 4}],
    ids=["enum", "null", "nan"],
)
def test_a_table_with_a_bad_row_is_refused(outputs: StagedOutputs, changed: dict[str, Any]) -> None:
    table = _vectors(1)
    row = table.to_pylist()[0] | changed
    with pytest.raises(InvalidRecord, match="embeddings"):
        outputs.table("embeddings", pa.Table.from_pylist([row]))


def test_a_table_without_a_column_is_refused(outputs: StagedOutputs) -> None:
    with pytest.raises(InvalidRecord, match="subject_id"):
        outputs.table("embeddings", _vectors(2).drop_columns(["subject_id"]))


def test_gates_take_numpy_values_as_plain_ones(outputs: StagedOutputs) -> None:
    outputs.gate("g", "c", np.bool_(True), np.float32(0.5), "fine")
    assert outputs.gates == [
        {"gate": "g", "check": "c", "passed": True, "value": 0.5, "message": "fine"}
    ]
    assert type(outputs.gates[0]["passed"]) is bool
