"""What runs found when they checked their own work, from the ledgers: the gates of current runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ledgerkit.query import Limits, ask
from ledgerkit.repository import Archive

_GATES = """
SELECT g.run_id, r.plate_id, r.operation, r.variant, g.gate, g.check, g.passed, g.value, g.message
FROM gates g JOIN runs r USING (run_id)
WHERE (r.current OR ?) AND (NOT g.passed OR NOT ?) AND (? IS NULL OR r.operation = ?)
  AND (? IS NULL OR g.run_id = ?)
ORDER BY g.log_index, g.run_id, g.gate, g.check
"""


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
    those of one operation. Raises `QueryRefused` without ledgers.
    """
    given: list[Any] = [run is not None, failed, operation, operation, run, run]
    rows = ask(archive.tree, lambda ledgers: ledgers.table(_GATES, given).to_pylist(), limits)
    return GatesView([GateView(**row) for row in rows])
