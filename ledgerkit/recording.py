"""Write a staged run's record, listings and checksum file: the last thing before its commit."""

from __future__ import annotations

from typing import Any

import msgspec

from ledgerkit import layout, software
from ledgerkit.canonical import canonical_lines, sha256_hex
from ledgerkit.durable import Store
from ledgerkit.errors import LimitExceeded
from ledgerkit.records import (
    INLINE_LIMIT,
    Agent,
    Code,
    Environment,
    Listing,
    Run,
    decode_run,
    encode,
)
from ledgerkit.staged import StagedRun, outputs_of


def write_record(
    store: Store, one: StagedRun, run_id: str, job_id: str
) -> tuple[Run, dict[str, str]]:
    """Write `run.json`, listings and `run.sha256` into the staged run; the digests of its files."""
    folder = one.staged
    store.make_folder(folder)
    outputs = sorted([*outputs_of(one, run_id), *one.sealed], key=lambda output: output.path)
    inputs = sorted(one.inputs, key=lambda given: given.path)
    inputs_listing = _listing(store, folder, "listings/inputs.jsonl", inputs)
    outputs_listing = _listing(store, folder, "listings/outputs.jsonl", outputs)
    run = Run(
        schema_version="run.v1",
        run_id=run_id,
        task_id=one.task_id,
        job_id=job_id,
        subject=one.subject,
        operation=one.operation,
        version=one.version,
        event_type=one.event_type,
        variant=one.variant,
        parameters=one.parameters,
        code=Code(software.VERSION, software.commit()),
        environment=Environment(
            software.python_version(), software.platform_name(), one.device, one.libraries
        ),
        models=one.models,
        inputs=[] if inputs_listing else inputs,
        inputs_listing=inputs_listing,
        outputs=[] if outputs_listing else outputs,
        outputs_listing=outputs_listing,
        started_at=one.started_at,
        ended_at=one.ended_at,
        resources=one.resources,
        gates=one.gates,
        status=one.status,  # type: ignore[arg-type]
        failed_items=one.failed_items,
        failure=one.failure,
        supersedes=one.supersedes,
        agent=Agent(software.AGENT, one.person),
    )
    data = encode(run)
    decode_run(data, f"new record of {one.operation} on {one.subject}")
    if len(data) > 16 << 20:
        raise LimitExceeded(
            f"the record of {one.operation} on {one.subject} would have {len(data)} bytes"
        )
    store.write_new(f"{folder}/{layout.RECORD}", data)
    digests = {layout.RECORD: sha256_hex(data)}
    digests |= {
        listing.path: listing.sha256 for listing in (inputs_listing, outputs_listing) if listing
    }
    digests |= {
        artifact.name: artifact.sha256
        for artifact in one.artifacts
        if artifact.name.startswith("outputs/")
    }
    text = "".join(f"{digest}  {name}\n" for name, digest in digests.items())
    store.write_new(f"{folder}/{layout.RECORD_CHECKSUM}", text.encode())
    return run, digests


def _listing(store: Store, folder: str, name: str, items: list[Any]) -> Listing | None:
    if len(items) <= INLINE_LIMIT:
        return None
    data = canonical_lines(msgspec.to_builtins(item) for item in items)
    store.make_folder(f"{folder}/listings")
    store.write_new(f"{folder}/{name}", data)
    return Listing(name, len(items), len(data), sha256_hex(data))
