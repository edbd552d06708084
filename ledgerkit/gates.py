"""What runs found when they checked their own work, from the ledgers: the gates of current runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ledgerkit import operation as operations
from ledgerkit.errors import MissingInput, UsageError
from ledgerkit.query import Ledgers, Limits, ask
from ledgerkit.repository import Archive

_GATES = """
SELECT g.run_id, r.plate_id, r.operation, r.variant, g.gate, g.check, g.passed, g.value, g.message
FROM gates g JOIN runs r USING (run_id)
WHERE (r.current OR ?) AND (NOT g.passed OR NOT ?) AND (? IS NULL OR r.operation = ?)
  AND (? IS NULL OR g.run_id = ?)
ORDER BY g.log_index, g.run_id, g.gate, g.check
"""
_RUNS = "SELECT count(*) AS n FROM runs WHERE run_id = ? OR operation = ?"


@dataclass(frozen=True)
class GateView:
    """One check of one run."""

    run_id: str
    plate_id: str | None
    operation: str
    variant: str
    gate: str
    check: str
    passed: bool
    value: float | None
    message: str


@dataclass(frozen=True)
class GatesView:
    """The checks asked for, in the order of the log."""

    gates: list[GateView]

    @property
    def failed(self) -> int:
        """How many of them did not pass."""
        return sum(not one.passed for one in self.gates)


def gates(
    archive: Archive,
    *,
    failed: bool = False,
    operation: str | None = None,
    run: str | None = None,
    limits: Limits | None = None,
) -> GatesView:
    """Checks of current runs, or of the run `run` whether current or not; only `failed` ones, only
    those of one operation. Raises `QueryRefused` without ledgers, `MissingInput` for a run that they
    do not have, `UsageError` for no operation.
    """
    given: list[Any] = [run is not None, failed, operation, operation, run, run]

    def question(ledgers: Ledgers) -> GatesView:
        if run is not None and not _known(ledgers, run, None):
            raise MissingInput(
                f"the ledgers have no run {run}", "Bring them up to date: ledgerkit consolidate"
            )
        there = operations.names()
        if operation and operation not in there and not _known(ledgers, None, operation):
            raise UsageError(
                f"there is no operation {operation!r}", f"There are: {', '.join(there)}"
            )
        return GatesView([GateView(**row) for row in ledgers.table(_GATES, given).to_pylist()])

    return ask(archive.tree, question, limits)


def _known(ledgers: Ledgers, run: str | None, operation: str | None) -> bool:
    return bool(ledgers.table(_RUNS, [run, operation])["n"][0].as_py())
