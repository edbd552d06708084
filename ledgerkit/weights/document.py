"""The document of a model in the store: what it consists of, where it is from, how it is pinned.

`schemas/model.v1.schema.json` has exactly these fields. The digest of a model is the SHA-256 of what
`sha256sum` prints for its weights and settings, sorted by path, so that anybody can take it without
ledgerkit; texts such as a README do not count, for nothing is computed from them.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import msgspec

from ledgerkit import layout
from ledgerkit.canonical import canonical_bytes, parse_json, sha256_hex
from ledgerkit.errors import InvalidRecord, LedgerkitError, UsageError
from ledgerkit.records import Model, Record, Sha256, Size, Text, Time
from ledgerkit.weights.selection import LeftOut, Loads, Role

MAX_DOCUMENT_BYTES = 8 << 20
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)
_TEXTS = ("id", "revision", "license", "family", "architecture")


class Source(Record, frozen=True):
    """Where a model was added from. A local path is named by its last part only: paths are private."""

    kind: Literal["folder", "file", "hub"]
    name: Text


class ModelFile(Record, frozen=True):
    """One file of a model; `loads` says how its weights are loaded, null for what is no weights."""

    path: Text
    role: Role
    bytes: Size
    sha256: Sha256
    loads: Loads | None


class ModelDocument(Record, frozen=True, kw_only=True):
    """`models/NAME.json`: all that a record pins, and all that verification needs."""

    schema_version: Literal["model.v1"]
    name: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}\Z")]
    id: Text
    revision: Text
    source: Source
    license: str | None
    family: str | None
    architecture: str | None
    preprocessing: dict[str, Any] | None
    sha256: Sha256
    files: Annotated[list[ModelFile], msgspec.Meta(min_length=1)]
    left_out: list[LeftOut]
    added_at: Time
    software: Text

    @property
    def bytes(self) -> int:
        """Bytes of all its files."""
        return sum(file.bytes for file in self.files)

    @property
    def pin(self) -> Model:
        """What a run record says of the model."""
        return Model(self.id, self.revision, self.sha256, self.license)


def check_name(name: str) -> str:
    """`name` when a model can have it. Raises `UsageError`."""
    if not _NAME.fullmatch(name) or layout.name_problem(name):
        raise UsageError(
            f"no name for a model: {layout.shown(name)}",
            "Take lower-case letters, digits, dots, hyphens and underscores, as in clip-vit-b32.",
        )
    return name


def digest(files: list[ModelFile]) -> str:
    """SHA-256 over the lines `<sha256>  <path>` of weights and settings, sorted by path."""
    counted = sorted((one.path, one.sha256) for one in files if one.role != "text")
    return sha256_hex("".join(f"{sha256}  {path}\n" for path, sha256 in counted).encode())


def encode(document: ModelDocument) -> bytes:
    """Its canonical bytes. Raises `InvalidRecord` for what JSON does not keep, such as huge integers."""
    return canonical_bytes(msgspec.to_builtins(document))


def decode(data: bytes, name: str, where: str) -> ModelDocument:
    """A document from its bytes, its digest and paths checked. Raises `InvalidRecord`, `UnsafePath`."""
    value = parse_json(data, where, MAX_DOCUMENT_BYTES)
    try:
        document = msgspec.convert(value, ModelDocument)
    except msgspec.MsgspecError as error:
        raise InvalidRecord(f"{where} breaks model.v1.schema.json: {error}") from error
    paths = [layout.written_path(file.path) for file in document.files]
    if document.name != name:
        raise InvalidRecord(f"{where} is the document of {document.name!r}")
    if len(set(paths)) != len(paths) or layout.inside_another(paths):
        raise InvalidRecord(f"{where} lists a path twice, or a file as a folder")
    if document.sha256 != digest(document.files):
        raise InvalidRecord(f"{where}: its digest is not that of the files that it lists")
    return document


def differences(former: ModelDocument, new: ModelDocument) -> list[str]:
    """What of a model is another now; empty when both pin the same. The day and the source do not count."""
    found = [
        f"{name} {_said(getattr(former, name))} -> {_said(getattr(new, name))}"
        for name in _TEXTS
        if getattr(former, name) != getattr(new, name)
    ]
    before = {file.path: file.sha256 for file in former.files}
    after = {file.path: file.sha256 for file in new.files}
    for path in sorted(before.keys() | after.keys()):
        if before.get(path) != after.get(path):
            how = "is new" if path not in before else "is gone" if path not in after else "differs"
            found.append(f"{path} {how}")
    return found


def _said(value: str | None) -> str:
    return "not stated" if value is None else repr(value)


def facts(
    config: bytes | None, preprocessor: bytes | None, where: str
) -> tuple[str | None, str | None, dict[str, Any] | None]:
    """Family, architecture and preprocessing as `config.json` and the preprocessor file state them.

    Raises `InvalidRecord` for a file that is no JSON object: nothing could load the model.
    """
    stated = _object(config, f"{where}: config.json") or {}
    kinds = stated.get("architectures")
    first = kinds[0] if isinstance(kinds, list) and kinds and isinstance(kinds[0], str) else None
    family = stated.get("model_type")
    preprocessing = _object(preprocessor, f"{where}: preprocessor file")
    return family if isinstance(family, str) else None, first, preprocessing


def _object(data: bytes | None, where: str) -> dict[str, Any] | None:
    if data is None:
        return None
    try:
        value = parse_json(data, where, MAX_DOCUMENT_BYTES // 2)
        canonical_bytes(value)
    except LedgerkitError as error:
        raise InvalidRecord(error.message, "Repair it in a copy, and add the copy.") from error
    if not isinstance(value, dict):
        raise InvalidRecord(f"{where} is no JSON object", "Repair it in a copy, and add the copy.")
    return value
