"""The critic: checks before, between and after the work, each group a report and rows of `gates`.

A check says what was found, what was wanted and which subjects are concerned. It reports; whether it
stops the work is for the caller to say. Source: workflow W0 (`run_critic`: required columns, unique
ids, least rows, keys without null, healthy vectors, finite coordinates).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from ledgerkit.handles import Outputs

NAMED = 50
"""Subjects that a report names at most for one check."""
UNIT_TOLERANCE = 1e-3
"""How far the L2 norm of a vector may be from 1."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check: `severe` ones stop the work under `--strict`."""

    check: str
    passed: bool
    value: float | None
    message: str
    severe: bool = True
    subjects: tuple[str, ...] = ()


@dataclass(slots=True)
class Report:
    """The checks of one gate."""

    gate: str
    rows: int
    checks: list[Check] = field(default_factory=list)

    def add(
        self,
        check: str,
        passed: bool,
        value: float | None,
        message: str,
        *,
        severe: bool = True,
        subjects: Iterable[str] = (),
    ) -> None:
        """Another check."""
        named = tuple(subjects)[:NAMED]
        self.checks.append(Check(check, bool(passed), value, message, severe, named))

    def bad(
        self, check: str, subjects: Sequence[str], message: str, *, severe: bool = True
    ) -> None:
        """A check that passes when no subject is concerned; `message` follows their number."""
        count = len(subjects)
        self.add(
            check, not count, float(count), f"{count} {message}", severe=severe, subjects=subjects
        )

    @property
    def failed(self) -> list[Check]:
        """Checks that did not pass and are severe."""
        return [one for one in self.checks if not one.passed and one.severe]

    def document(self) -> dict[str, Any]:
        """The report as `critic.v1`."""
        warnings = [one for one in self.checks if not one.passed and not one.severe]
        return {
            "schema_version": "critic.v1",
            "gate": self.gate,
            "rows": self.rows,
            "fails_count": len(self.failed),
            "warnings_count": len(warnings),
            "checks": [
                {
                    "check": one.check,
                    "severity": "fail" if one.severe else "warning",
                    "passed": one.passed,
                    "value": one.value,
                    "message": one.message,
                    "subjects": list(one.subjects),
                }
                for one in self.checks
            ],
        }

    def write(self, outputs: Outputs) -> None:
        """The report as `critic-<gate>.json` and its checks as rows of `gates`."""
        outputs.document(f"critic-{self.gate}.json", "critic", self.document())
        for one in self.checks:
            outputs.gate(self.gate, one.check, one.passed, one.value, one.message)


def check_table(
    report: Report,
    table: pa.Table,
    *,
    required: Sequence[str],
    subject: str,
    present: Sequence[str],
    finite: Sequence[str],
    least_rows: int,
) -> None:
    """W0's checks of a table: its columns, its rows, its ids, its keys, its numbers."""
    import numpy as np
    import pyarrow.compute as pc

    lacking = [name for name in required if name not in table.column_names]
    report.bad("columns", lacking, f"of {len(required)} required columns are missing")
    told = f"{table.num_rows} rows, at least {least_rows} wanted"
    report.add("rows", table.num_rows >= least_rows, float(table.num_rows), told)
    if subject not in table.column_names:
        return
    names = table[subject].to_pylist()
    kinds, counts = np.unique(np.array(names, dtype=object).astype(str), return_counts=True)
    report.bad("ids", [str(name) for name in kinds[counts > 1]], "ids stand more than once")
    for name in present:
        if name in table.column_names:
            nulls = np.flatnonzero(pc.is_null(table[name]).to_numpy(zero_copy_only=False))
            report.bad(f"null {name}", [str(names[row]) for row in nulls], f"rows have no {name}")
    for name in finite:
        if name in table.column_names:
            values = table[name].to_numpy()
            wrong = np.flatnonzero(~np.isfinite(values))
            report.bad(f"finite {name}", [str(names[row]) for row in wrong], f"{name} not finite")


def check_vectors(report: Report, matrix: NDArray[np.float32], subjects: Sequence[str]) -> None:
    """Health of vectors, float32 (n, d): finite, not zero, of length 1."""
    import numpy as np

    lengths = np.sqrt(np.einsum("ij,ij->i", matrix, matrix, dtype=np.float64))
    dimension = float(matrix.shape[1])
    report.add("dimension", dimension > 0, dimension, f"every vector has {dimension:g} numbers")

    def named(mask: NDArray[np.bool_]) -> list[str]:
        return [subjects[int(row)] for row in np.flatnonzero(mask)]

    report.bad("vectors finite", named(~np.isfinite(lengths)), "vectors are not finite")
    report.bad("vectors zero", named(lengths == 0), "vectors are zero")
    told = "vectors are not of length 1: they are brought to it"
    uneven = named(np.abs(lengths - 1) > UNIT_TOLERANCE)
    report.bad("vectors norm", uneven, told, severe=False)
