"""Preprocessing policies: the newest proposal, the one in force, what differs, and acceptance as an event."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from ledgerkit import layout, schema
from ledgerkit.canonical import OF_THE_USER, canonical_bytes, parse_json
from ledgerkit.errors import InvalidRecord, MissingInput, UsageError
from ledgerkit.events import Event, staged_name
from ledgerkit.history import History
from ledgerkit.imaging.treatment import Policy, treatment
from ledgerkit.records import Input, Run
from ledgerkit.repository import Archive
from ledgerkit.sealing import JSON, seal_new
from ledgerkit.staged import write_staged
from ledgerkit.views import PolicyDifferenceView


def proposed(archive: Archive, run_id: str | None = None) -> tuple[dict[str, Any], Input]:
    """The newest proposal, or that of a run, and where it lies. Raises `MissingInput`."""
    run = _newest(archive) if run_id is None else _run(archive, run_id)
    return _document(archive, run, "policy-proposal")


def rules(archive: Archive) -> list[dict[str, Any]]:
    """Each rule of the newest proposal with the plates that it touches. Raises `MissingInput`."""
    found: list[dict[str, Any]] = _document(archive, _newest(archive), "policy-rules")[0]
    return found


def accepted(archive: Archive) -> dict[str, Any]:
    """The policy in force. Raises `MissingInput`."""
    policy = History(archive).accepted_policy()
    document: dict[str, Any] = parse_json(
        archive.tree.read_checked(policy.path, policy.sha256), policy.path
    )
    return document


def difference(archive: Archive, old: str, new: str) -> PolicyDifferenceView:
    """Compare two policies: `accepted`, `proposed`, a run that proposed or accepted one, or a file.

    Raises `MissingInput`, `InvalidRecord` for a file that is no policy.
    """
    documents = [_named(archive, name) for name in (old, new)]
    changed = [
        (field.name, documents[0][field.name], documents[1][field.name])
        for field in fields(Policy)
        if documents[0][field.name] != documents[1][field.name]
    ]
    rows = _document(archive, _newest(archive), "deciding-table")[0]
    before, after = (Policy.of(document) for document in documents)
    by_plate = {row["plate_id"]: row for row in rows}
    plates = []
    for plate in layout.sort_plates(list(by_plate)):
        then, now = (_words(by_plate[plate], policy) for policy in (before, after))
        if then != now:
            plates.append((plate, then, now))
    return PolicyDifferenceView(old, new, changed, plates, len(rows))


def _words(row: dict[str, Any], policy: Policy) -> str:
    becomes = treatment(row, policy)
    words = f"{' + '.join(becomes.rules)}: {becomes.width} x {becomes.height}"
    words += f", {becomes.tiles} tiles of {policy.tile_size}" if becomes.tiles else ""
    if becomes.rules == ["keep"]:
        return words
    quality = f" {policy.quality}" if policy.format in ("jpeg", "webp") else ""
    return f"{words}, {policy.format}{quality}, {policy.colour_space}, {policy.bit_depth} bits"


def _named(archive: Archive, name: str) -> Any:
    if name == "accepted":
        return accepted(archive)
    if name == "proposed":
        return proposed(archive)[0]
    if layout.is_run_id(name):
        run = _run(archive, name)
        role = "policy-proposal" if run.operation == "propose" else "policy"
        return _document(archive, run, role)[0]
    path = Path(name)
    if not path.is_file():
        raise MissingInput(
            f"{name} is no policy",
            "Give accepted, proposed, the id of a run that proposed or accepted one, or a file.",
        )
    return _read(path)


def _run(archive: Archive, run_id: str) -> Run:
    for run in archive.runs(layout.COLLECTION):
        if run.run_id == run_id:
            return run
    raise MissingInput(f"the collection has no run {run_id}")


def _read(path: Path) -> dict[str, Any]:
    """A policy document from outside. Raises `InvalidRecord`."""
    document = parse_json(path.read_bytes(), str(path), hint=OF_THE_USER)
    if not isinstance(document, dict):
        raise InvalidRecord(f"{path} is no policy: expected a JSON object")
    schema.check("policy.v1", document, str(path))
    return document


def _newest(archive: Archive) -> Run:
    for run in reversed(archive.runs(layout.COLLECTION)):
        if run.operation == "propose" and run.status == "complete":
            return run
    raise MissingInput("no policy is proposed yet", "Make one with: ledgerkit policy propose")


def _document(archive: Archive, run: Run, role: str) -> tuple[Any, Input]:
    """A JSON output of a run, and where it lies. Raises `MissingInput` when it has none."""
    for output in archive.outputs(run):
        if output.role == role:
            data = archive.tree.read_checked(output.path, output.sha256)
            return parse_json(data, output.path), Input(
                output.path, role, output.bytes, output.sha256, run.run_id, "full"
            )
    raise MissingInput(
        f"{run.run_id} ({run.operation}) has no {role}",
        "Policies lie in the runs of propose and policy-accept: see ledgerkit log",
    )


def accept(
    archive: Archive,
    person: str,
    reason: str,
    edited: Path | None = None,
    proposal_run: str | None = None,
) -> dict[str, Any]:
    """Put a proposal (the newest, or of `proposal_run`) or an edited document into force.

    Gives the document as accepted.

    Raises `InvalidRecord` when it breaks the policy's schema, `UsageError` where it contradicts itself
    and without name or reason.
    """
    if not person.strip() or not reason.strip():
        raise UsageError(
            "a policy is accepted by somebody for a reason",
            'Give both: --by "A. Curator" --reason "..."',
        )
    archive.refuse_when_frozen("policy-accept")
    document, proposal = proposed(archive, proposal_run)
    if edited is not None:
        document = _read(edited)
    document = {**document, "decided_by": person, "reason": reason}
    schema.check("policy.v1", document, str(edited or proposal.path))
    Policy.of(document)
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
