"""The answer of a verification, as text, `--json` and Python print it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ledgerkit.findings import Finding
from ledgerkit.verify.plan import FULL, LOOKED, QUICK, UNREAD, FileResult, Result


@dataclass(frozen=True)
class ReadView:
    """Files and bytes that were read in one way."""

    files: int
    bytes: int


@dataclass(frozen=True)
class VerifyView:
    """What was read, what was not, and what was found."""

    schema_version: str
    depth: str
    sample: int | None
    seed: int | None
    plates: int
    plates_left_out: int
    plates_taken_over: int
    full: ReadView
    quick: ReadView
    structure: ReadView
    unread: ReadView
    right: int
    wrong: int
    not_checked: int
    log_size: int | None
    log_root: str | None
    extends: int | None
    findings: list[Finding]
    sound: bool
    seconds: float

    @property
    def files(self) -> int:
        """Files that were read whole."""
        return self.full.files + self.quick.files

    @property
    def bytes(self) -> int:
        """Bytes that were read."""
        return self.full.bytes + self.quick.bytes


@dataclass
class Total:
    """The sum over all units."""

    findings: list[Finding] = field(default_factory=list)
    files: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    bytes: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    right: int = 0
    wrong: int = 0
    rows: list[FileResult] = field(default_factory=list)

    def add(self, results: Iterable[Result]) -> None:
        for found in results:
            self.findings += found.findings
            self.rows += found.rows
            self.right += found.right
            self.wrong += found.wrong
            for level in (FULL, QUICK, LOOKED, UNREAD):
                self.files[level] += found.files[level]
                self.bytes[level] += found.bytes[level]

    def read(self, level: int) -> ReadView:
        return ReadView(self.files[level], self.bytes[level])
