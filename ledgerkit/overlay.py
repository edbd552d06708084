"""What later records lay over a plate's manifest: corrected fields, another source, a withdrawal.

Pure. Events of one plate add up field by field in log order, a later one winning only for the
fields that it names; the manifest and the first source stay as they are. The ledgers and the plans
of operations both use this, so they cannot disagree.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ledgerkit.errors import Frozen, InvalidRecord
from ledgerkit.records import Run

AMENDABLE = ("title", "slug", "download_url", "license")
"""Catalogue fields that `amend` may correct; the others say how the plate came in."""
REQUIRED = frozenset({"title", "slug"})
"""Fields of these that cannot be emptied."""
CORRECTIONS = frozenset({"amend", "replace-source", "withdraw", "reinstate"})
"""Events that alter a plate's row."""
PREPROCESSING = frozenset({
    "ingest", "replace-source", "headers", "measure", "propose", "policy-accept", "normalize",
})  # fmt: skip
"""What a freeze ends: the operations and events of phases 1 to 3. Sealing new plates ends too."""


@dataclass(frozen=True, slots=True)
class Overlay:
    """What the events of one plate say together; `replaced_by` is the run whose output is the source."""

    fields: dict[str, str | None] = field(default_factory=dict)
    replaced_by: str | None = None
    withdrawn: bool = False
    reason: str | None = None
    altered_by: tuple[str, ...] = ()


NOTHING = Overlay()


def refusal(operation: str, freeze: Run) -> Frozen:
    """Why `operation` is refused after the run that froze the repository."""
    return Frozen(
        f"{operation} is refused: the repository was frozen by {freeze.run_id}, "
        f"by {freeze.agent.person}: {freeze.parameters.get('reason')}",
        "A freeze is final: analysis goes on here; to take in or preprocess more, begin a new "
        "repository from a copy of the sources.",
    )


def overlay_of(runs: Iterable[Run]) -> Overlay:
    """What the records of one plate, in log order, lay over its manifest. Raises `InvalidRecord`."""
    return laid_over(
        (run.operation, run.run_id, run.parameters)
        for run in runs
        if run.operation in CORRECTIONS and run.status == "complete"
    )


def laid_over(events: Iterable[tuple[str, str, dict[str, Any]]]) -> Overlay:
    """The same from operation, run id and parameters of each event, in log order."""
    listed = list(events)
    if not listed:
        return NOTHING
    fields: dict[str, str | None] = {}
    replaced_by, withdrawn, reason = None, False, None
    for operation, run_id, parameters in listed:
        if operation == "amend":
            fields |= _fields(parameters.get("fields"), run_id)
        elif operation == "replace-source":
            replaced_by = run_id
            fields["source_image"] = _text(parameters.get("original_name"), run_id)
        else:
            withdrawn = operation == "withdraw"
            reason = _text(parameters.get("reason"), run_id) if withdrawn else None
    altered_by = tuple(run_id for _, run_id, _ in listed)
    return Overlay(fields, replaced_by, withdrawn, reason, altered_by)


def _fields(value: Any, run_id: str) -> dict[str, str | None]:
    if not isinstance(value, dict):
        raise InvalidRecord(f"{run_id}: parameters.fields of an amend is no object")
    for name, item in value.items():
        problem = field_problem(name, item)
        if problem:
            raise InvalidRecord(f"{run_id}: parameters.fields: {problem}")
    return value


def field_problem(name: str, value: Any) -> str | None:
    """Why a corrected field cannot be taken, or None."""
    if name not in AMENDABLE:
        return f"there is no field {name!r} to amend; there are {', '.join(AMENDABLE)}"
    if value is None and name not in REQUIRED:
        return None
    if not isinstance(value, str):
        return f"{name} is {value!r}, not text"
    if not value.strip():
        return f"{name} cannot be empty" + ("" if name in REQUIRED else " text: give null")
    return f"{name} holds a control character" if not value.isprintable() else None


def _text(value: Any, run_id: str) -> str:
    if not isinstance(value, str):
        raise InvalidRecord(f"{run_id}: a parameter of a correction is {value!r}, not text")
    return value
