"""The inputs of a task over the whole collection, and which plates lack them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ledgerkit import layout, operation
from ledgerkit.clustering.swept import AS_SWEPT
from ledgerkit.errors import LedgerkitError, MissingInput, UsageError, Withdrawn
from ledgerkit.history import AMENDMENTS, IMAGES, PROMPTS, SEALED, SWEPT, History, Resolved
from ledgerkit.records import Run


def of_sweep(history: History, parameters: Any) -> Any:
    """Parameters of an operation that reads a sweep, with its collection, space and cut where they name none.

    It is the newest sweep that suits them, so that the vectors are of the space that was swept, whichever
    lie beside, and each collection has a variant. Raises `MissingInput` where there is none.
    """
    trials = history.resolve(SWEPT[0], layout.COLLECTION, parameters).inputs[0]
    run = next(run for run in history.collection if run.run_id == trials.run_id)
    found = history.swept(run)
    given = {"collection": found["collection"], "space": found["space_id"]}
    if parameters.cut == AS_SWEPT:
        given["cut"] = found["consensus"]["cut"]
    return replace(parameters, **given)


def collect(
    history: History,
    tokens: tuple[str, ...],
    plates: list[str],
    parameters: Any,
    *,
    one_space: bool = False,
) -> tuple[Resolved, list[tuple[str, LedgerkitError]]]:
    """Inputs of a collection task over all `plates`, and the plates that have none, with the reason.

    With `one_space` raises `UsageError` where their vectors are of several spaces, derived ones among
    them, and none is named.
    """
    found = Resolved()
    lacking: list[tuple[str, LedgerkitError]] = []
    shared = [token for token in tokens if of_collection(token, parameters)]
    for token in tokens:
        derived = history.derived(token, parameters)
        if derived is not None:
            try:
                lacking += _beyond(history, derived, plates)
            except MissingInput:
                if not token.endswith("?"):
                    raise
                continue
            shared.append(token)
    for token in shared:
        found.add(history.resolve(token, layout.COLLECTION, parameters))
    without = dict(lacking)
    plates = [plate for plate in plates if plate not in without]
    beside = _derived_spaces(history, parameters) if one_space else set()
    spaces: set[str] = set()
    for plate in plates:
        try:
            of_plate = Resolved()
            for token in tokens:
                if token not in shared:
                    of_plate.add(history.resolve(token, plate, parameters))
            found.add(of_plate)
        except LedgerkitError as error:
            lacking.append((plate, error))
        if one_space:
            _check_space(history, plate, parameters, beside, spaces)
        history.forget(plate)
    return found, lacking


def _derived_spaces(history: History, parameters: Any) -> set[str]:
    """The spaces of current vectors that were made of the whole collection."""
    runs = history.fitting(operation.makers("embeddings"), layout.COLLECTION, parameters)
    return {space for run in runs for space in history.spaces(run)}


def _check_space(
    history: History, plate: str, parameters: Any, derived: set[str], found: set[str]
) -> None:
    """Take the spaces of a plate's current vectors into `found`; raise `UsageError` for a second one.

    Tables are read only where the plate has several runs, or `derived` spaces lie beside them.
    """
    if history.overlay(plate).withdrawn:
        return
    runs = list(history.fitting(operation.makers("embeddings"), plate, parameters))
    if derived or len(runs) > 1:
        found.update(derived, *(history.spaces(run) for run in runs))
    if len(found) > 1:
        raise UsageError(
            f"there are vectors of {parameters.of} in {len(found)} spaces: "
            f"{', '.join(sorted(found))}",
            "Name one with --space ID",
        )


def _beyond(history: History, derived: Run, plates: list[str]) -> list[tuple[str, LedgerkitError]]:
    """Those of `plates` that a derived space has no vectors of, with the reason.

    Raises `MissingInput` where it is outdated, `UsageError` where it has others beside `plates`.
    """
    held = _derived_from(history, derived)
    if held - set(plates):
        raise UsageError(
            f"the space of {derived.run_id} is derived from {len(held)} plates: "
            "they are taken together",
            "Leave --plates and --where away.",
        )
    found: list[tuple[str, LedgerkitError]] = []
    for plate in plates:
        if history.overlay(plate).withdrawn:
            found.append((plate, Withdrawn(f"{plate} is withdrawn")))
        elif plate not in held:
            why = f"{plate} has no vector in the space of {derived.run_id}"
            found.append((plate, MissingInput(why, f"Derive it again: {derived.operation}")))
    return found


def _derived_from(history: History, run: Run) -> set[str]:
    """The plates whose vectors a derived space was made of, all as they are now.

    Raises `MissingInput` that names those which are withdrawn or have other vectors by now.
    """
    plates, outdated = set(), set()
    for given in history.archive.inputs(run):
        plate = given.path.split("/")[1]
        plates.add(plate)
        if given.run_id not in {one.run_id for one in history.current(plate)}:
            outdated.add(plate)
        history.forget(plate)
    if outdated:
        named = ", ".join(layout.sort_plates(list(outdated))[:5])
        raise MissingInput(
            f"the space of {run.run_id} is outdated: {len(outdated)} of its plates are withdrawn "
            f"or have other vectors by now ({named})",
            f"Derive it again with: ledgerkit {run.operation}",
        )
    return plates


def of_collection(token: str, parameters: Any) -> bool:
    """Whether a token of `takes` stands for files of the collection, not of each plate."""
    name = token.removesuffix("?")
    if "@" in name:
        return True
    if name in IMAGES or name in SEALED or name in (AMENDMENTS, PROMPTS):
        return False
    return name == "policy" or operation.readable(name, parameters)[0].on_collection
