"""Which runs are current: what ledgers, plans and later operations take for results.

For each subject, operation and variant the newest valid result. The regions of a plate are the
exception: whatever cut the plate as a whole last (`segment`, `sam`) is in force, whatever its variant,
and beside it what a person pointed at last (`sam --prompted`), which adds to it. So no two cuts of a
plate are mixed. `ledger/derive.py` has the same rule over whole tables.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator

from ledgerkit import layout
from ledgerkit.records import EVENTS, Input, Output, Run, policy_part

SEGMENTATION = "segmentation"
"""Event type of operations that cut plates into regions."""
PROMPTED = "-prompted"
"""How the variant of a run ends that cut only what a person pointed at."""
SEGMENTS = "table:segments"
"""Role of a table of regions."""
_NONE = "0" * 64


def current_runs(
    runs: Iterable[Run],
    source_sha256: dict[str, str],
    withdrawn: Container[str] = (),
    inputs: Callable[[Run], list[Input]] | None = None,
    outputs: Callable[[Run], list[Output]] | None = None,
) -> set[str]:
    """Run ids that are current.

    A run counts when it is complete or partial, is no event, is not superseded, its plate is not
    `withdrawn`, it was made from the plate's present source (`source_sha256` by plate id): it
    read no other one, and no result that was made from another; and the regions that a run on a plate
    read, if any, are those in force there, byte for byte. `inputs` and `outputs` give those of a run
    whose record has them in a listing.
    """
    read = inputs or (lambda run: run.inputs)
    made = outputs or (lambda run: run.outputs)
    valid = list(_valid(list(runs), source_sha256, withdrawn, read))
    cuts = _newest(run for run in valid if run.event_type == SEGMENTATION)
    in_force: dict[str, set[str]] = {}
    for run in cuts.values():
        in_force.setdefault(run.subject, set()).update(_digests(made(run)))
    others = _newest(
        run
        for run in valid
        if run.event_type != SEGMENTATION
        and (
            run.subject == layout.COLLECTION
            or set(_digests(read(run))) <= in_force.get(run.subject, set())
        )
    )
    return {run.run_id for run in (*cuts.values(), *others.values())}


def _valid(
    runs: list[Run],
    source_sha256: dict[str, str],
    withdrawn: Container[str],
    read: Callable[[Run], list[Input]],
) -> Iterator[Run]:
    """Results of the present source that nothing supersedes."""
    superseded = {
        run.supersedes.run_id for run in runs if run.supersedes and run.status != "failed"
    }
    of_another_source: set[str] = set()
    for run in runs:
        if run.operation in EVENTS:
            continue
        if run.subject != layout.COLLECTION:
            present = source_sha256.get(run.subject, _NONE)
            given = read(run) if of_another_source else run.inputs
            if any(
                item.run_id in of_another_source
                or (item.role == "source" and item.sha256 != present)
                for item in given
            ):
                of_another_source.add(run.run_id)
                continue
        if run.status != "failed" and run.run_id not in superseded and run.subject not in withdrawn:
            yield run


def _newest(runs: Iterable[Run]) -> dict[tuple[str, str, str], Run]:
    """The newest run of each subject, operation and variant; of cuts of a plate as the module says."""
    found: dict[tuple[str, str, str], Run] = {}
    for run in runs:
        key = run.subject, run.operation, run.variant
        if run.event_type == SEGMENTATION:
            policy = policy_part(run.variant) or ""
            key = run.subject, SEGMENTATION, policy + PROMPTED * run.variant.endswith(PROMPTED)
        if key not in found or run.run_id > found[key].run_id:
            found[key] = run
    return found


def _digests(files: Iterable[Input] | Iterable[Output]) -> Iterator[str]:
    return (item.sha256 for item in files if item.role == SEGMENTS)
