"""A command that does nothing because of what it found, and says all of it at once."""

from __future__ import annotations

from typing import Any

from ledgerkit.errors import LedgerkitError
from ledgerkit.findings import ERROR, Finding


class RefusedForFindings(LedgerkitError):
    """Nothing was done because of errors among the findings; `findings` has them all."""

    def __init__(self, what: str, findings: list[Finding], hint: str) -> None:
        errors = [one for one in findings if one.severity == ERROR]
        first = errors[0]
        super().__init__(
            f"{what}: {len(errors)} error{'s' * (len(errors) > 1)}, "
            f"the first: {first.code} {first.subject}: {first.message}",
            hint,
        )
        self.what, self.findings = what, findings

    def __reduce__(self) -> Any:
        return (RefusedForFindings, (self.what, self.findings, self.hint))
