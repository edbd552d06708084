"""Accept a preprocessing policy: a person's decision as an event, with the document it is about."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ledgerkit import layout, schema
from ledgerkit.canonical import canonical_bytes, parse_json
from ledgerkit.errors import InvalidRecord, MissingInput, UsageError
from ledgerkit.events import Event, staged_name
from ledgerkit.history import History
from ledgerkit.records import Input
from ledgerkit.repository import Archive
from ledgerkit.sealing import JSON, seal_new
from ledgerkit.staged import write_staged


def proposed(archive: Archive) -> tuple[dict[str, Any], Input]:
    """The newest proposal and where it lies. Raises `MissingInput`."""
    for run in reversed(archive.runs(layout.COLLECTION)):
        if run.operation == "propose" and run.status == "complete":
            for output in archive.outputs(run):
                if output.role == "policy-proposal":
                    data = archive.tree.read_checked(output.path, output.sha256)
                    return parse_json(data, output.path), Input(
                        output.path,
                        "policy-proposal",
                        output.bytes,
                        output.sha256,
                        run.run_id,
                        "full",
                    )
    raise MissingInput("no policy is proposed yet", "Make one with: ledgerkit policy propose")


def accepted(archive: Archive) -> dict[str, Any]:
    """The policy in force. Raises `MissingInput`."""
    policy = History(archive).accepted_policy()
    document: dict[str, Any] = parse_json(
        archive.tree.read_checked(policy.path, policy.sha256), policy.path
    )
    return document


def accept(
    archive: Archive, person: str, reason: str, edited: Path | None = None
) -> dict[str, Any]:
    """Put the newest proposal, or an edited document, into force; the document as accepted.

    Raises `InvalidRecord` when it breaks the policy's schema, `UsageError` without name or reason.
    """
    if not person.strip() or not reason.strip():
        raise UsageError(
            "a policy is accepted by somebody for a reason",
            'Give both: --by "A. Curator" --reason "..."',
        )
    archive.refuse_when_frozen("policy-accept")
    document, proposal = proposed(archive)
    if edited is not None:
        document = parse_json(edited.read_bytes(), str(edited))
        if not isinstance(document, dict):
            raise InvalidRecord(f"{edited} is no policy: expected a JSON object")
    document = {**document, "decided_by": person, "reason": reason}
    schema.check("policy.v1", document, str(edited or proposal.path))
    if document["tile_overlap"] * 2 >= document["tile_size"]:
        raise UsageError("tile_overlap must be less than half of tile_size")
    with archive.job() as job:
        seal_new(archive, job)
        event = Event(
            "policy-accept",
            "policy decision",
            {"by": person, "reason": reason, "edited": edited is not None},
        )
        folder = job.item(staged_name("policy-accept"))
        artifact = write_staged(
            archive.store, folder, "outputs/policy.json", "policy", JSON, canonical_bytes(document)
        )
        archive.commit(
            job, [event.staged(folder, inputs=[proposal], artifacts=[artifact], person=person)]
        )
    return document
