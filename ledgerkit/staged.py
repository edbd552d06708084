"""A finished execution that waits for its run id: staged files, and all that its record will say.

Pure but for `write_staged`, which puts a small file into staging through the store.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from ledgerkit import layout
from ledgerkit.canonical import digest_bytes
from ledgerkit.durable import Store
from ledgerkit.intent import Move
from ledgerkit.log import Entry
from ledgerkit.overlay import PREPROCESSING
from ledgerkit.records import (
    FailedItem,
    Failure,
    Gate,
    Input,
    Model,
    Output,
    Resources,
    Run,
    Supersedes,
)
from ledgerkit.staging import Artifact


@dataclass(frozen=True, slots=True)
class Sealed:
    """What a seal run says of a file that came in."""

    sha256: str
    xxh3_128: str
    bytes: int
    media_type: str
    run_id: str


@dataclass(frozen=True)
class StagedRun:
    """A finished execution, staged, that waits for its run id: everything a record says but the ids.

    `staged` is the folder below the root that becomes the run; `<staged>.cache` becomes its cache.
    `sealed` are outputs that lie outside the run: the files that a seal run vouches for.
    """

    staged: str
    task_id: str
    operation: str
    version: str
    event_type: str
    subject: str
    variant: str
    parameters: dict[str, Any]
    inputs: list[Input]
    artifacts: list[Artifact]
    started_at: str
    ended_at: str
    resources: Resources
    libraries: dict[str, str] = field(default_factory=dict)
    models: list[Model] = field(default_factory=list)
    gates: list[Gate] = field(default_factory=list)
    status: str = "complete"
    failed_items: list[FailedItem] = field(default_factory=list)
    failure: Failure | None = None
    supersedes: Supersedes | None = None
    person: str | None = None
    device: str = "cpu"
    sealed: list[Output] = field(default_factory=list)


def moves_of(one: StagedRun, run: Run, digests: dict[str, str]) -> list[Move]:
    """The run's folder, and before it its cache, to their final names."""
    moves = [Move(one.staged, run.folder, digests)]
    cached = {
        artifact.name.removeprefix("cache/"): artifact.sha256
        for artifact in one.artifacts
        if artifact.name.startswith("cache/")
    }
    if cached:
        moves.insert(
            0, Move(f"{one.staged}.cache", layout.cache_folder(one.subject, run.run_id), cached)
        )
    return moves


def manifest_entries(one: StagedRun) -> list[Entry]:
    """Entries of the log for the manifests that a seal run vouches for, by plate number."""
    sealed = {
        output.path.split("/")[1]: output for output in one.sealed if output.role == "manifest"
    }
    return [
        Entry("manifest", sealed[plate].path, sealed[plate].sha256)
        for plate in layout.sort_plates(list(sealed))
    ]


def preprocessing_of(one: StagedRun) -> set[str]:
    """What of a staged run a freeze has ended: the operation itself, or plates that come in by a seal."""
    if one.operation == "seal":
        new = any(output.path.startswith(f"{layout.PLATES}/") for output in one.sealed)
        return {"ingest"} if new else set()
    return {one.operation} & PREPROCESSING


def record_entry(run: Run, digests: dict[str, str]) -> Entry:
    """The log's entry for a record."""
    return Entry("run", f"{run.folder}/{layout.RECORD}", digests[layout.RECORD])


def outputs_of(one: StagedRun, run_id: str) -> list[Output]:
    """The run's own files as its record will list them, under their final names."""
    folder = layout.run_folder(one.subject, run_id)
    cache = layout.cache_folder(one.subject, run_id)
    return [
        Output(
            f"{cache}/{artifact.name.removeprefix('cache/')}"
            if artifact.name.startswith("cache/")
            else f"{folder}/{artifact.name}",
            artifact.role,
            artifact.media_type,
            artifact.bytes,
            artifact.sha256,
            artifact.xxh3_128,
            artifact.pixels_sha256,
        )
        for artifact in one.artifacts
    ]


def write_staged(
    store: Store, staged: str, name: str, role: str, media_type: str, data: bytes
) -> Artifact:
    """A small file into a staged run: `name` is `outputs/...`."""
    store.make_folder(os.path.dirname(f"{staged}/{name}"))
    store.write_new(f"{staged}/{name}", data)
    digests = digest_bytes(data)
    return Artifact(name, role, media_type, digests.bytes, digests.sha256, digests.xxh3_128)
