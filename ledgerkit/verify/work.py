"""A round of verification: what it goes by, what it found, and what only the whole of it can compare."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field, replace

from ledgerkit import layout
from ledgerkit.errors import LedgerkitError
from ledgerkit.reading import Tree
from ledgerkit.verify.collection import Collection, unit_of
from ledgerkit.verify.files import Checker
from ledgerkit.verify.logfiles import LogFacts
from ledgerkit.verify.plan import FULL, LOOKED, Candidate, Known, Plan, Result
from ledgerkit.verify.view import Total


@dataclass
class Work:
    """What a round of verification goes by, and what it found."""

    tree: Tree
    plan: Plan
    log: LogFacts
    collection: Collection
    log_checker: Checker
    checker: Checker
    plates: list[str]
    left_out: int
    total: Total
    """The sum over plates without findings."""
    sound: set[str] = field(default_factory=set)
    suspects: dict[str, Result] = field(default_factory=dict)
    """Plates with findings."""
    foreign: dict[str, Known] = field(default_factory=dict)
    candidates: list[Candidate] = field(default_factory=list)
    taken_over: int = 0

    def add(self, found: Result) -> None:
        """Take in what was found of a plate."""
        if found.findings:
            self.suspects[found.unit] = found
        else:
            self.sound.add(found.unit)
            self.total.add([found])
        for path, known in found.foreign.items():
            former = self.foreign.setdefault(path, known)
            if former.sha256 != known.sha256:
                said = f"records list both {former.sha256} and {known.sha256}"
                self.checker.add("DIGEST_MISMATCH", path, said)
        self.candidates += found.candidates
        if len(self.candidates) > 4 * self.plan.sample + 4096:
            self.candidates = heapq.nsmallest(self.plan.sample, self.candidates)

    def anything_found(self) -> bool:
        return bool(self.suspects or self.checker.found.findings or self.log_checker.found.findings)


def compare_foreign(work: Work) -> None:
    """Inputs that no record of their own folder vouches for: compared with the files themselves."""
    cached = f"/{layout.CACHE}/"
    listed = {**work.collection.claims.get("", {}), **work.foreign}
    for path, known in sorted(listed.items()):
        recorded = work.collection.known.get(path) or work.collection.seals.get(
            unit_of(path), {}
        ).get(path)
        if recorded is not None:
            if recorded.sha256 != known.sha256:
                said = f"records list both {recorded.sha256} and {known.sha256}"
                work.checker.add("DIGEST_MISMATCH", path, said)
        elif cached not in path:
            _compare_file(work, path, known)


def _compare_file(work: Work, path: str, known: Known) -> None:
    """Compare one file anywhere below the root; only what is wrong is counted."""
    checker = Checker(replace(work.plan, sample=0, rows=False), layout.COLLECTION)
    folder, _, name = path.rpartition("/")
    try:
        layout.contained_path(path)
        with work.tree.folder(folder) as opened:
            checker.file(opened, name, path, known, work.plan.level)
    except (LedgerkitError, OSError) as error:
        checker.unreadable(path, error, known)
    work.checker.found.findings += checker.found.findings


def read_sample(work: Work, sample: int) -> None:
    """Read the drawn files in full: they count as read, and no longer as looked at."""
    plan = replace(work.plan, level=FULL, sample=0)
    checker = Checker(plan, "sample")
    proposed = [*work.candidates, *work.checker.found.candidates]
    for suspect in work.suspects.values():
        proposed += suspect.candidates
    unique = {one.path: one for one in proposed}
    drawn = heapq.nsmallest(sample, unique.values())
    for one in drawn:
        folder, _, name = one.path.rpartition("/")
        try:
            with work.tree.folder(folder) as opened:
                checker.file(opened, name, one.path, one.known, FULL)
        except (LedgerkitError, OSError) as error:
            checker.unreadable(one.path, error, one.known)
    total = work.total
    names = {one.path for one in drawn}
    total.rows = [row for row in total.rows if row.path not in names]
    total.files[LOOKED] -= len(drawn)
    total.bytes[LOOKED] -= sum(one.known.bytes or 0 for one in drawn)
    total.add([checker.found])
