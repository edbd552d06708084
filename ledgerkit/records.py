"""Manifests and run records as frozen values: strict when read, canonical when written.

The classes have exactly the fields of `schemas/run.v1.schema.json` and of the manifest schemas; a
test holds them together. They are msgspec structs rather than dataclasses: decoding one checks
every type and pattern and refuses unknown fields in a few microseconds, and a repository has
millions of records. `schema.explain` says what is wrong with one that is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal

import msgspec

from ledgerkit import layout
from ledgerkit.canonical import (
    canonical_bytes,
    parse_json,
    refuse_deep,
    refuse_unsafe_numbers,
    sha256_hex,
)
from ledgerkit.errors import InvalidRecord

INLINE_LIMIT = 64
EVENTS = frozenset({
    "ingest", "seal", "fixity", "policy-accept", "amend", "replace-source", "withdraw", "name",
    "describe-by-model", "review", "evict", "restore", "rerun", "freeze", "recover", "reinstate", "quarantine", "restore-source", "prompts",
})  # fmt: skip

Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
Xxh3 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}\Z")]
RunId = Annotated[str, msgspec.Meta(pattern=r"^run-[0-9]{8}-[0-9]{6}Z-[0-9a-f]{12}\Z")]
JobId = Annotated[str, msgspec.Meta(pattern=r"^job-[0-9]{8}-[0-9]{6}Z-[0-9a-f]{8}\Z")]
PlateId = Annotated[str, msgspec.Meta(pattern=r"^plate-([0-9]{3}|[1-9][0-9]{3,})\Z")]
Subject = Annotated[str, msgspec.Meta(pattern=r"^(plate-([0-9]{3}|[1-9][0-9]{3,})|collection)\Z")]
OperationName = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9-]*\Z")]
Time = Annotated[
    str,
    msgspec.Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z\Z"),
]
Size = Annotated[int, msgspec.Meta(ge=0)]
Text = Annotated[str, msgspec.Meta(min_length=1)]


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """Base of everything read from a record."""


class Input(Record, frozen=True):
    """A file that a run read."""

    path: Text
    role: Text
    bytes: Size
    sha256: Sha256
    run_id: RunId | None
    checked: Literal["full", "size"]


class Output(Record, frozen=True):
    """A file that a run made."""

    path: Text
    role: Text
    media_type: str
    bytes: Size
    sha256: Sha256
    xxh3_128: Xxh3
    pixels_sha256: Sha256 | None


class Listing(Record, frozen=True):
    """Where inputs or outputs stand when there are more than 64."""

    path: str
    count: Size
    bytes: Size
    sha256: Sha256


class Code(Record, frozen=True):
    ledgerkit: str
    commit: str | None


class Environment(Record, frozen=True):
    python: str
    platform: str
    device: str
    libraries: dict[str, str]


class Model(Record, frozen=True):
    id: str
    revision: str
    sha256: Sha256
    license: str | None


class Resources(Record, frozen=True):
    seconds: Annotated[float, msgspec.Meta(ge=0)]
    cpu_seconds: Annotated[float, msgspec.Meta(ge=0)]
    peak_rss_bytes: Size


class Gate(Record, frozen=True):
    """A check that a run made of its own result."""

    gate: str
    check: str
    passed: bool
    value: float | None
    message: str


class FailedItem(Record, frozen=True, rename={"error": "class"}):
    """One item that a partial run could not do."""

    item: str
    error: str
    message: str


class Failure(Record, frozen=True, rename={"error": "class"}):
    """Why a run failed as a whole."""

    error: str
    message: str
    input: str | None


class Supersedes(Record, frozen=True):
    run_id: RunId
    reason: str


class Agent(Record, frozen=True):
    software: str
    person: str | None


class Run(Record, frozen=True, kw_only=True):
    """One execution: `run.json`."""

    schema_version: Literal["run.v1"]
    run_id: RunId
    task_id: Sha256
    job_id: JobId
    subject: Subject
    operation: OperationName
    version: Text
    event_type: Text
    variant: Text
    parameters: dict[str, Any]
    code: Code
    environment: Environment
    models: list[Model]
    inputs: Annotated[list[Input], msgspec.Meta(max_length=INLINE_LIMIT)]
    inputs_listing: Listing | None
    outputs: Annotated[list[Output], msgspec.Meta(max_length=INLINE_LIMIT)]
    outputs_listing: Listing | None
    started_at: Time
    ended_at: Time
    resources: Resources
    gates: list[Gate]
    status: Literal["complete", "partial", "failed"]
    failed_items: list[FailedItem]
    failure: Failure | None
    supersedes: Supersedes | None
    agent: Agent

    @property
    def folder(self) -> str:
        return layout.run_folder(self.subject, self.run_id)


class Source(Record, frozen=True):
    bytes: Size
    media_type: str
    sha256: Sha256
    xxh3_128: Xxh3


class Manifest(Record, frozen=True):
    """Identity of a plate: `manifest.json`, v1 and v2 together (`source` and `metadata` are v2's)."""

    plate_id: PlateId
    plate_number: Size
    title: str
    slug: str
    source_image: Text
    download_url: str | None = None
    license: str | None = None
    created_at: str | None = None
    schema_version: Literal["plate.manifest.v2"] | None = None
    source: Source | None = None
    metadata: dict[str, Any] | None = None

    @property
    def version(self) -> int:
        return 1 if self.schema_version is None else 2


MANIFEST_V1_FIELDS = frozenset(Manifest.__struct_fields__[:8])
_run_decoder = msgspec.json.Decoder(Run)
_input_decoder = msgspec.json.Decoder(Input)
_output_decoder = msgspec.json.Decoder(Output)
_UNDECODABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are no such JSON: it lets the last two through as they are."""
_sorted_encoder = msgspec.json.Encoder(order="sorted")
_OTHER_NUMBER = re.compile(rb"[:,\[]-?(?:[0-9][0-9.]*[eE]|[0-9]+\.0[,}\]]|0\.0000|[0-9]{16})")
"""Numbers that the fast encoder may print otherwise than RFC 8785: exponents, whole floats, tiny and huge ones."""
_LARGE_INTEGER = re.compile(rb"[:,\[\s]-?[0-9]{16}")


def decode_run(data: bytes, where: str) -> Run:
    """A run record from the bytes of `run.json`. Raises `InvalidRecord` that names `where` and the rule.

    The decoder takes keys that stand twice and integers beyond 2**53; a record that is not just as
    it would be written is therefore read a second time by the parser that does not.
    """
    try:
        run = _run_decoder.decode(data)
        as_written = _sorted_encoder.encode(run)
    except _UNDECODABLE as error:
        raise InvalidRecord(
            f"{where}: {error}", "The record breaks run.v1.schema.json: restore it from a replica."
        ) from error
    if _LARGE_INTEGER.search(data) or (as_written != data and _without_point(as_written) != data):
        refuse_unsafe_numbers(parse_json(data, where), where)
    refuse_deep(run.parameters, where)
    return run


def _without_point(data: bytes) -> bytes:
    """Whole floats, which the fast encoder prints as 2.0, without their point."""
    return data.replace(b".0,", b",").replace(b".0}", b"}").replace(b".0]", b"]")


def decode_manifest(data: bytes, where: str) -> tuple[Manifest, list[str]]:
    """A manifest and the names of the fields that its schema does not know.

    Adopted repositories may carry fields of their own: they are warnings, never a refusal.
    Raises `InvalidRecord` that names `where` and the rule.
    """
    value = parse_json(data, where, max_bytes=1 << 20)
    if not isinstance(value, dict):
        raise InvalidRecord(f"{where}: expected a JSON object, got {type(value).__name__}")
    known = set(Manifest.__struct_fields__)
    if value.get("schema_version") is None:
        known = set(MANIFEST_V1_FIELDS)
    unknown = sorted(set(value) - known)
    try:
        manifest = msgspec.convert(
            {key: item for key, item in value.items() if key in known}, Manifest
        )
    except msgspec.MsgspecError as error:
        raise InvalidRecord(
            f"{where}: {error}", "Correct the manifest before it is sealed."
        ) from error
    if manifest.version == 2 and (manifest.source is None or manifest.metadata is None):
        raise InvalidRecord(f"{where}: a v2 manifest needs source and metadata")
    return manifest, unknown


def encode(record: Record) -> bytes:
    """The canonical bytes of a record.

    The fast encoder sorts keys and prints what RFC 8785 prints, but for a few forms of numbers and
    for keys outside ASCII; where its output holds any such form, the slow way is taken. Raises
    `InvalidRecord` for what could not be read again.
    """
    data = _sorted_encoder.encode(record)
    if data.isascii() and not _OTHER_NUMBER.search(data):
        return data
    value = msgspec.to_builtins(record)
    refuse_unsafe_numbers(value, type(record).__name__)
    return canonical_bytes(_integral(value))


def _integral(value: Any) -> Any:
    """`value` with floats that are whole numbers as integers, which RFC 8785 prints alike."""
    if type(value) is float and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if type(value) is dict:
        return {key: _integral(item) for key, item in value.items()}
    if type(value) is list:
        return [_integral(item) for item in value]
    return value


def decode_inputs(data: bytes, where: str) -> list[Input]:
    """Inputs from a listing's JSON lines. Raises `InvalidRecord`."""
    inputs: list[Input] = _decode_lines(_input_decoder, data, where)
    return inputs


def decode_outputs(data: bytes, where: str) -> list[Output]:
    """Outputs from a listing's JSON lines. Raises `InvalidRecord`."""
    outputs: list[Output] = _decode_lines(_output_decoder, data, where)
    return outputs


def _decode_lines(decoder: Any, data: bytes, where: str) -> Any:
    try:
        found = decoder.decode_lines(data)
    except _UNDECODABLE as error:
        raise InvalidRecord(f"{where}: {error}") from error
    if _LARGE_INTEGER.search(data):
        refuse_unsafe_numbers(msgspec.to_builtins(found), where)
    return found


def task_id(
    operation: str,
    version: str,
    parameters: dict[str, Any],
    subject: str,
    models: Iterable[str],
    inputs: Iterable[tuple[str, str]],
) -> str:
    """Identity of a piece of work: no clock, no run id.

    `models` are digests of weights, `inputs` pairs of role and SHA-256; both are sorted here.
    """
    return sha256_hex(
        canonical_bytes(
            {
                "operation": operation,
                "version": version,
                "parameters": parameters,
                "subject": subject,
                "models": sorted(models),
                "inputs": sorted([role, digest] for role, digest in inputs),
            }
        )
    )


def evicted_folders(collection: Iterable[Run]) -> set[str]:
    """Cache folders whose newest event is their eviction; `collection` are its runs, oldest first."""
    found: set[str] = set()
    for run in collection:
        folders = run.parameters.get("folders")
        named = set(map(str, folders)) if isinstance(folders, list) else set()
        if run.operation == "evict":
            found |= named
        elif run.operation in ("restore", "restore-source"):
            found -= named
    return found


def policy_part(variant: str) -> str | None:
    """The policy that a variant was made under, as `policy-1a2b3c4d`; None without one."""
    match = re.match(r"policy-[0-9a-f]{8}", variant)
    return match[0] if match else None
