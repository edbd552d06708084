"""Records, listings, manifests and checksum files, parsed for verification alone.

The witness has types of its own: whoever writes a record wrongly cannot also decide that it is right.
All of these raise `Broken` with the reason.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import msgspec

from ledgerkit import layout, schema
from ledgerkit.canonical import canonical_bytes, parse_json
from ledgerkit.errors import LedgerkitError

RAISES = (
    LedgerkitError,
    OSError,
    KeyError,
    TypeError,
    AttributeError,
    ValueError,
    RecursionError,
    msgspec.MsgspecError,
)
"""What a document that is not what it should be can raise while it is read."""
_CHECKSUM = re.compile(r"([0-9a-f]{64})  ([^\n]+)\n")
_HEX = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
_HEX_128 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}\Z")]
_Count = Annotated[int, msgspec.Meta(ge=0)]


_OTHER_NUMBER = re.compile(
    rb"[:,\[]-?(?:[0-9]{16}|[0-9][0-9.]*[eE]|[0-9]+\.0[,}\]]|0\.0000)", re.ASCII
)
"""Numbers that RFC 8785 may print otherwise than the fast encoder, or refuses."""
_PLAIN = re.compile(
    r"(?:[A-Za-z0-9_-][A-Za-z0-9_.-]{0,120}/){0,8}[A-Za-z0-9_-][A-Za-z0-9_.-]{0,120}"
)


class Broken(ValueError):
    """A document that is not what it should be."""


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """Nothing lacking, nothing unknown."""


class Read(_Strict, frozen=True):
    """An input as a record states it."""

    path: str
    role: str
    bytes: _Count
    sha256: _HEX
    run_id: str | None
    checked: Literal["full", "size"]


class Made(_Strict, frozen=True):
    """An output as a record states it."""

    path: str
    role: str
    media_type: str
    bytes: _Count
    sha256: _HEX
    xxh3_128: _HEX_128
    pixels_sha256: _HEX | None


class Listing(_Strict, frozen=True):
    """Where inputs or outputs stand when they do not stand in the record."""

    path: Literal["listings/inputs.jsonl", "listings/outputs.jsonl"]
    count: _Count
    bytes: _Count
    sha256: _HEX


class Record(_Strict, frozen=True):
    """A run record: what verification goes by is typed, the rest must be there."""

    schema_version: Literal["run.v1"]
    run_id: str
    task_id: _HEX
    job_id: str
    subject: str
    operation: str
    version: str
    event_type: str
    variant: str
    parameters: dict[str, Any]
    code: dict[str, Any]
    environment: dict[str, Any]
    models: list[dict[str, Any]]
    inputs: list[Read]
    inputs_listing: Listing | None
    outputs: list[Made]
    outputs_listing: Listing | None
    started_at: str
    ended_at: str
    resources: dict[str, Any]
    gates: list[dict[str, Any]]
    status: Literal["complete", "partial", "failed"]
    failed_items: list[dict[str, Any]]
    failure: dict[str, Any] | None
    supersedes: dict[str, Any] | None
    agent: dict[str, Any]


class Manifest(msgspec.Struct, frozen=True, gc=False):
    """A manifest: adopted ones may have fields of their own."""

    plate_id: str
    plate_number: _Count
    title: str
    slug: str
    source_image: str
    schema_version: Literal["plate.manifest.v2"] | None = None
    source: dict[str, Any] | None = None


_decoder = msgspec.json.Decoder()
_encoder = msgspec.json.Encoder(order="sorted")
_read_lines = msgspec.json.Decoder(Read)
_made_lines = msgspec.json.Decoder(Made)


def parsed(data: bytes, where: str) -> Any:
    """A document of ours, which must be in canonical form: RFC 8785, no key twice."""
    try:
        value = _decoder.decode(data)
        if _encoder.encode(value) == data and not _OTHER_NUMBER.search(data):
            return value
    except (msgspec.MsgspecError, ValueError, RecursionError):
        pass
    value = parse_json(data, where)
    if canonical_bytes(value) != data:
        raise Broken("it is not in canonical form")
    return value


def contained(path: str) -> str:
    """`path` if it stays below the root; plain names, which nearly all are, are let through at once."""
    return path if _PLAIN.fullmatch(path) else layout.contained_path(path)


def record(data: bytes, where: str, vouched: bool) -> Record:
    """The record in `data`; where no log vouches for it, the whole schema is held against it."""
    value = parsed(data, where)
    try:
        found = msgspec.convert(value, Record)
    except msgspec.MsgspecError as error:
        raise Broken(str(error)) from error
    if not vouched:
        problems = schema.problems("run.v1", value)
        if problems:
            raise Broken("; ".join(problems[:3]))
    if not layout.is_run_id(found.run_id) or not found.run_id.endswith(found.task_id[:12]):
        raise Broken(f"run_id {found.run_id} is not one of task_id {found.task_id}")
    return found


def listed_inputs(data: bytes) -> list[Read]:
    """Inputs from a listing."""
    try:
        return _read_lines.decode_lines(data)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise Broken(str(error)) from error


def listed_outputs(data: bytes) -> list[Made]:
    """Outputs from a listing."""
    try:
        return _made_lines.decode_lines(data)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise Broken(str(error)) from error


def manifest(data: bytes, where: str) -> Manifest:
    """The manifest in `data`: JSON without keys given twice, in whatever form it was made."""
    try:
        value = _decoder.decode(data)
        if _encoder.encode(value) != data:  # a key given twice would be one such difference
            value = parse_json(data, where)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        value = parse_json(data, where)
    try:
        return msgspec.convert(value, Manifest)
    except msgspec.MsgspecError as error:
        raise Broken(str(error)) from error


def checksums(data: bytes) -> dict[str, str]:
    """SHA-256 by name from a `run.sha256`: exactly as ledgerkit writes it."""
    text = data.decode()
    found = {match[2]: match[1] for match in _CHECKSUM.finditer(text)}
    if "".join(f"{digest}  {name}\n" for name, digest in found.items()) != text:
        raise Broken("a line is not 64 hex digits, two spaces and a name, or stands twice")
    return found


def source_checksum(data: bytes) -> tuple[str, str]:
    """SHA-256 and path, relative to the plate, of the one line of a `source.sha256`."""
    text = data.decode("utf-8", "surrogateescape")
    line = layout.checksum_line(text)
    if line is None:
        raise Broken(f"{text[:80]!r} is not one line of a checksum file")
    name = layout.contained_path(line[1])
    return line[0], name if "/" in name else f"{layout.SOURCE}/{name}"
