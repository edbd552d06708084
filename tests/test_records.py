"""Records are what their schemas say: the structs, the schemas and the bytes hold together."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledgerkit import records, schema
from ledgerkit.canonical import canonical_bytes, sha256_hex
from ledgerkit.current import current_runs
from ledgerkit.errors import InvalidRecord, LimitExceeded
from ledgerkit.records import (
    decode_manifest,
    decode_outputs,
    decode_run,
    encode,
    task_id,
)

_RUN_ID = "run-20240101-000000Z-0123456789ab"
_INPUT = {"path": "plates_structured/plate-001/source/a.jpg", "role": "source", "bytes": 9}
_INPUT |= {"sha256": "1" * 64, "run_id": _RUN_ID, "checked": "full"}
_OUTPUT = {"path": "runs/x/outputs/a", "role": "table:headers", "media_type": "a/b", "bytes": 0}
_OUTPUT |= {"sha256": "2" * 64, "xxh3_128": "3" * 32, "pixels_sha256": None}
_LISTING = {"path": "listings/inputs.jsonl", "count": 65, "bytes": 9, "sha256": "4" * 64}

_RUN: dict[str, Any] = {
    "schema_version": "run.v1", "run_id": _RUN_ID, "task_id": "0123456789ab" + "c" * 52,
    "job_id": "job-20240101-000000Z-01234567", "subject": "plate-001", "operation": "headers",
    "version": "1", "event_type": "metadata extraction", "variant": "default",
    "parameters": {"deep": {"list": [1, 2.5, None]}}, "code": {"ledgerkit": "0.1", "commit": None},
    "environment": {"python": "3", "platform": "p", "device": "cpu", "libraries": {"a": "1"}},
    "models": [{"id": "m", "revision": "r", "sha256": "5" * 64, "license": None}],
    "inputs": [_INPUT], "inputs_listing": None, "outputs": [_OUTPUT], "outputs_listing": _LISTING,
    "started_at": "2024-01-01T00:00:00.000000Z", "ended_at": "2024-01-01T00:00:01.000000Z",
    "resources": {"seconds": 1.5, "cpu_seconds": 0, "peak_rss_bytes": 1},
    "gates": [{"gate": "g", "check": "c", "passed": True, "value": 0.5, "message": "m"}],
    "status": "partial",
    "failed_items": [{"item": "i", "class": "E", "message": "m"}],
    "failure": {"class": "E", "message": "m", "input": None},
    "supersedes": {"run_id": _RUN_ID, "reason": "r"},
    "agent": {"software": "s", "person": None},
}  # fmt: skip
_MANIFEST_V2: dict[str, Any] = {
    "schema_version": "plate.manifest.v2", "plate_id": "plate-001", "plate_number": 1,
    "title": "T", "slug": "t", "source_image": "a.jpg", "download_url": None, "license": "CC0",
    "created_at": "2024",
    "source": {"bytes": 1, "media_type": "image/jpeg", "sha256": "1" * 64, "xxh3_128": "2" * 32},
    "metadata": {"plate": 1, "more": [None]},
}  # fmt: skip
_MANIFEST_V1 = {
    key: value
    for key, value in _MANIFEST_V2.items()
    if key not in ("schema_version", "source", "metadata")
}

_STRUCTS = {
    "": "Run", "inputs[]": "Input", "outputs[]": "Output", "inputs_listing": "Listing",
    "outputs_listing": "Listing", "code": "Code", "environment": "Environment",
    "models[]": "Model", "resources": "Resources", "gates[]": "Gate",
    "failed_items[]": "FailedItem", "failure": "Failure", "supersedes": "Supersedes",
    "agent": "Agent",
}  # fmt: skip


def _objects(kind: dict[str, Any], where: str, root: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Every object with listed properties within a schema, by its place."""
    if "$ref" in kind:
        kind = root["$defs"][kind["$ref"].rpartition("/")[2]]
    found: dict[str, dict[str, Any]] = {}
    for one in kind.get("anyOf", []):
        found |= _objects(one, where, root)
    if "properties" in kind:
        found[where] = kind
        for name, inner in kind["properties"].items():
            found |= _objects(inner, f"{where}.{name}".strip("."), root)
    if "items" in kind:
        found |= _objects(kind["items"], f"{where}[]", root)
    return found


def _encoded_fields(struct: Any) -> list[str]:
    return [field.encode_name for field in msgspec.structs.fields(struct)]


def test_the_structs_of_a_run_have_exactly_the_fields_of_the_schema() -> None:
    document = schema.load("run.v1")
    objects = _objects(document, "", document)
    assert set(objects) == set(_STRUCTS)
    for where, kind in objects.items():
        struct = getattr(records, _STRUCTS[where])
        assert _encoded_fields(struct) == list(kind["properties"]), where
        assert kind["required"] == list(kind["properties"]), where
        assert kind["additionalProperties"] is False, where
        assert struct.__struct_config__.forbid_unknown_fields, where


def test_the_manifest_has_exactly_the_fields_of_its_schemas() -> None:
    one, two = schema.load("plate.manifest.v1"), schema.load("plate.manifest.v2")
    assert set(_encoded_fields(records.Manifest)) == set(two["properties"])
    assert set(one["properties"]) == records.MANIFEST_V1_FIELDS < set(two["properties"])
    assert set(_encoded_fields(records.Source)) == set(two["properties"]["source"]["properties"])
    for name, kind in one["properties"].items():
        assert {
            key: item for key, item in two["properties"][name].items() if key != "description"
        } == {key: item for key, item in kind.items() if key != "description"}, name


def test_a_good_record_is_taken_and_given_back_to_the_byte() -> None:
    data = canonical_bytes(_RUN)
    assert schema.problems("run.v1", _RUN) == []
    assert encode(decode_run(data, "here")) == data


_PLACES = [
    "run_id", "task_id", "job_id", "subject", "operation", "version", "variant", "parameters",
    "event_type", "started_at", "ended_at", "status", "schema_version", "code.ledgerkit",
    "code.commit", "environment.libraries", "environment.libraries.a", "models.0.sha256",
    "models.0", "inputs", "inputs.0.path", "inputs.0.bytes", "inputs.0.sha256", "inputs.0.run_id",
    "inputs.0.checked", "outputs.0.xxh3_128", "outputs.0.pixels_sha256", "outputs.0.media_type",
    "inputs_listing", "outputs_listing", "outputs_listing.count", "resources.seconds",
    "resources.peak_rss_bytes", "gates.0.passed", "gates.0.value", "failed_items.0.class",
    "failure", "failure.input", "supersedes", "supersedes.run_id", "agent.person", "agent",
]  # fmt: skip
_DELETE, _ADD = object(), object()
_ODD: list[Any] = [
        _DELETE, _ADD, None, True, False, 0, 1, -1, 2**53 - 1, 0.5, -0.5, 1.0, "", "x", "complete", "size", "\n",
        [], {}, [None], {"a": "b"}, {"a": 1}, "plate-1", "plate-1000", "collection", "plate-001",
        "a" * 64, "A" * 64, "a" * 64 + "\n", "0" * 32, _RUN_ID, _RUN_ID + "\n", " " + _RUN_ID,
        "2024-01-01T00:00:00.000000Z", "2024-01-01T00:00:00Z", "headers\n", "he-aders", "9x",
        _LISTING, [_INPUT] * 64, [_INPUT] * 65, _INPUT, "run.v2", "failed",
]  # fmt: skip
_RANDOM = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=4),
    st.integers(-(2**53) + 1, 2**53 - 1),
    st.floats(-1e15, 1e15),
)


def _mutated(record: dict[str, Any], place: str, value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(record)
    *way, last = place.split(".")
    inner: Any = changed
    for part in way:
        inner = inner[int(part)] if isinstance(inner, list) else inner[part]
    key: Any = int(last) if isinstance(inner, list) else last
    if value is _DELETE:
        del inner[key]
    elif value is _ADD:
        target = inner[key] if isinstance(inner[key], dict) else inner
        if isinstance(target, dict):
            target["surplus"] = 1
    else:
        inner[key] = value
    return changed


def _agree_on_run(changed: dict[str, Any]) -> None:
    """The decoder and the slow validator give the same verdict, and what is taken keeps its bytes."""
    data = canonical_bytes(changed)
    problems = schema.problems("run.v1", json.loads(data))
    if problems:
        with pytest.raises(InvalidRecord):
            decode_run(data, "here")
    else:
        assert encode(decode_run(data, "here")) == data


@pytest.mark.parametrize("place", _PLACES)
def test_decoder_and_schema_take_and_refuse_the_same_records(place: str) -> None:
    for value in _ODD:
        _agree_on_run(_mutated(_RUN, place, value))


@given(st.sampled_from(_PLACES), _RANDOM)
def test_decoder_and_schema_agree_on_anything(place: str, value: Any) -> None:
    _agree_on_run(_mutated(_RUN, place, value))


_MANIFEST_PLACES = [*_MANIFEST_V2, "source.bytes", "source.sha256", "source.media_type"]


@pytest.mark.parametrize("place", _MANIFEST_PLACES)
def test_manifests_are_taken_and_refused_as_their_schema_does(place: str) -> None:
    for value in _ODD:
        if value is _ADD and not place.startswith("source."):
            continue
        changed = _mutated(_MANIFEST_V2, place, value)
        if changed.get("schema_version") is None:
            changed = {key: item for key, item in changed.items() if key in _MANIFEST_V1}
        version = "plate.manifest.v2" if "schema_version" in changed else "plate.manifest.v1"
        data = canonical_bytes(changed)
        if schema.problems(version, json.loads(data)):
            with pytest.raises(InvalidRecord):
                decode_manifest(data, "here")
        else:
            manifest, unknown = decode_manifest(data, "here")
            assert (manifest.plate_id, unknown) == (changed["plate_id"], [])


def test_unknown_fields_of_an_adopted_manifest_are_told_and_not_refused() -> None:
    manifest, unknown = decode_manifest(canonical_bytes(_MANIFEST_V1 | {"note": 1, "a": 2}), "x")
    assert (manifest.version, unknown) == (1, ["a", "note"])
    manifest, unknown = decode_manifest(canonical_bytes(_MANIFEST_V2 | {"note": 1}), "x")
    assert (manifest.version, unknown) == (2, ["note"])


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"{}", b"\xff", b'{"a":1,"a":2}', b"{" * 9])
def test_what_is_no_record_is_refused_with_its_place(data: bytes) -> None:
    for decode in (decode_run, decode_manifest):
        with pytest.raises(InvalidRecord, match="the place"):
            decode(data, "the place")


def test_whole_floats_are_written_as_rfc_8785_writes_them() -> None:
    run = decode_run(canonical_bytes(_RUN), "here")
    changed = msgspec.structs.replace(run, parameters={"a": 2.0, "b": [3.0], "c": -0.0})
    assert b'"parameters":{"a":2,"b":[3],"c":0}' in encode(changed)


@pytest.mark.parametrize("number", [2.0**53, 1e16, -1e20, 2**53, 9.9e20])
def test_a_number_that_could_not_be_read_again_is_refused_when_it_is_written(number: float) -> None:
    run = decode_run(canonical_bytes(_RUN), "here")
    changed = msgspec.structs.replace(run, parameters={"a": {"b": [number]}})
    with pytest.raises(InvalidRecord, match="larger than 9007199254740991"):
        encode(changed)
    with pytest.raises(InvalidRecord, match="larger than 9007199254740991"):
        decode_run(json.dumps(_RUN | {"parameters": {"a": int(number)}}).encode(), "here")


@pytest.mark.parametrize("number", [2.0**53 - 1, 1e21, 1.5e300, 0.1, -(2**53 - 1)])
def test_other_numbers_are_written_and_read_again(number: float) -> None:
    run = decode_run(canonical_bytes(_RUN), "here")
    changed = msgspec.structs.replace(run, parameters={"a": number})
    assert decode_run(encode(changed), "here").parameters["a"] == number


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"x":1,"x":2}', "given twice: x"),
        ('{"x":' + "9" * 100_000 + "}", "out of range"),
        ('{"x":9007199254740993}', "larger than"),
        ('{"x":NaN}', "malformed"),
        ('{"x":1e999}', "out of range"),
        ('{"x":"\\ud800"}', "here"),
        ('{"x":' + "[" * 500 + "]" * 500 + "}", "max_depth"),
        ('{"x":' + "[" * 100_000 + "]" * 100_000 + "}", "recursion"),
        ('{"x":"\udcff"}', "utf-8"),
    ],
)
def test_hostile_parameters_of_a_record_are_an_error_that_says_so(text: str, said: str) -> None:
    data = canonical_bytes(_RUN | {"parameters": {}})
    hostile = data.replace(
        b'"parameters":{}', b'"parameters":' + text.encode("utf-8", "surrogateescape")
    )
    assert hostile != data
    with pytest.raises((InvalidRecord, LimitExceeded), match=said):
        decode_run(hostile, "here")


def test_a_listing_of_impossible_sizes_is_refused() -> None:
    output = _RUN["outputs"][0] | {"bytes": 2**63}
    with pytest.raises(InvalidRecord, match="larger than"):
        decode_outputs(json.dumps(output).encode(), "here")


def test_a_task_is_what_was_done_to_which_bytes() -> None:
    base: dict[str, Any] = {
        "operation": "o", "version": "1", "parameters": {"a": 1}, "subject": "plate-001",
        "models": ["m1", "m2"], "inputs": [("source", "1" * 64), ("policy", "2" * 64)],
    }  # fmt: skip
    found = task_id(**base)
    expected = {
        "inputs": [["policy", "2" * 64], ["source", "1" * 64]], "models": ["m1", "m2"],
        "operation": "o", "parameters": {"a": 1}, "subject": "plate-001", "version": "1",
    }  # fmt: skip
    written = json.dumps(expected, sort_keys=True, separators=(",", ":"))
    assert found == sha256_hex(written.encode())
    same = base | {"models": ["m2", "m1"], "inputs": base["inputs"][::-1]}
    assert task_id(**same) == found
    others = [
        base | {"operation": "p"}, base | {"version": "2"}, base | {"parameters": {"a": 2}},
        base | {"subject": "plate-002"}, base | {"models": ["m1"]},
        base | {"inputs": [("source", "1" * 64)]},
        base | {"inputs": [("policy", "1" * 64), ("source", "2" * 64)]},
    ]  # fmt: skip
    assert len({found, *(task_id(**other) for other in others)}) == 1 + len(others)


def _run(place: int, **changed: Any) -> records.Run:
    identity = f"run-20240101-0000{place:02d}Z-0123456789ab"
    run = _RUN | {"run_id": identity, "supersedes": None, "status": "complete"} | changed
    return decode_run(canonical_bytes(run), "here")


def test_the_newest_valid_run_is_current() -> None:
    sources = {"plate-001": "1" * 64}
    old, new = _run(1), _run(2)
    assert current_runs([new, old], sources) == {new.run_id}
    failed = _run(3, status="failed")
    assert current_runs([old, new, failed], sources) == {new.run_id}
    other = _run(4, variant="policy-1")
    assert current_runs([old, new, other], sources) == {new.run_id, other.run_id}
    partial = _run(5, status="partial", supersedes={"run_id": new.run_id, "reason": "r"})
    assert current_runs([old, new, partial], sources) == {partial.run_id}
    assert current_runs(
        [old, _run(6, supersedes={"run_id": old.run_id, "reason": "r"}, status="failed")], sources
    ) in (set(), {old.run_id})
    assert current_runs([_run(7, operation="seal", subject="collection")], sources) == set()


def test_a_run_on_a_former_source_is_not_current() -> None:
    assert current_runs([_run(1)], {"plate-001": "9" * 64}) == set()
    assert current_runs([_run(1)], {}) == set()
    assert current_runs([_run(1, inputs=[])], {}) == {_run(1).run_id}


_DOCUMENTS = Path(__file__).parents[1]


def test_records_shown_in_the_documents_are_canonical_and_valid() -> None:
    """Every JSON object in the documents that says it is a record is one, to the byte."""
    for path in (*_DOCUMENTS.glob("docs/**/*.md"), _DOCUMENTS / "README.md"):
        for block in re.findall(r"```json\n(.*?)```", path.read_text("utf-8"), re.DOTALL):
            shown = block.strip()
            try:
                value = json.loads(shown)
            except ValueError:
                continue
            name = value.get("schema_version") if isinstance(value, dict) else None
            if name in ("run.v1", "plate.manifest.v2", "policy.v1", "repository.v1", "ledger.v1"):
                assert schema.problems(name, value) == [], path
                assert canonical_bytes(value) == shown.encode(), f"{path}: {name} is not canonical"
