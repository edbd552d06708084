"""What a verification is to do, and what it found: plain values that workers send to each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypedDict

from ledgerkit import layout
from ledgerkit.findings import Finding

FULL, QUICK, LOOKED, UNREAD = range(4)
"""How far a file was read: SHA-256, XXH3-128, existence and size, not at all."""
READ_AS = ("full", "quick", "structure", "none")
DEPTHS = {"full": FULL, "quick": QUICK, "structure": LOOKED}


class ReadingOptions(TypedDict, total=False):
    """Options of a verification that `fixity record` takes too."""

    depth: str
    sample: int | None
    seed: int | None
    workers: int
    progress: Callable[[int, int], None] | None


class VerifyOptions(ReadingOptions, total=False):
    """Options of a verification beside the plates."""

    checkpoint: str | None
    resume: str | Path | None


class Known(NamedTuple):
    """What records say of a file's bytes; None where they do not say it."""

    bytes: int | None
    sha256: str
    xxh3_128: str | None = None


class FileResult(NamedTuple):
    """What became of one file: `right`, `wrong` or `not checked`, and how far it was read."""

    path: str
    read_as: str
    outcome: str
    bytes: int
    sha256: str | None
    message: str


class Candidate(NamedTuple):
    """A file that may be drawn into the sample: the smallest keys are."""

    key: int
    path: str
    known: Known


@dataclass
class Result:
    """What was found in one plate, in the collection or in the log."""

    unit: str
    findings: list[Finding] = field(default_factory=list)
    files: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    """Files by how far they were read: FULL, QUICK, LOOKED, UNREAD."""
    bytes: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    wrong: int = 0
    right: int = 0
    foreign: dict[str, Known] = field(default_factory=dict)
    """Inputs that lie elsewhere: whoever holds the whole repository compares them."""
    rows: list[FileResult] = field(default_factory=list)
    candidates: list[Candidate] = field(default_factory=list)
    state: str = ""
    """Digest over names, sizes, times and inodes before anything was read, for a cursor."""


@dataclass(frozen=True)
class Plan:
    """What every worker has to know."""

    root: str
    level: int = FULL
    sample: int = 0
    """Files to draw; each worker proposes as many, the smallest keys of all are taken."""
    seed: int = 0
    rows: bool = False
    stamped: bool = False
    """Whether results carry the state of their files, for a cursor."""
    logged: dict[str, dict[str, str]] | None = None
    """SHA-256 by subject and run id, or `manifest.json`; None where there is no log to go by."""
    log_whole: bool = True
    """Whether the log could be read to its end: else what it lacks proves nothing."""
    seals: dict[str, dict[str, Known]] = field(default_factory=dict)
    """What came in, by plate (empty for documents of the collection) and path."""
    claims: dict[str, dict[str, Known]] = field(default_factory=dict)
    """What runs of the collection say of files in plates, by plate and path."""
    pending: frozenset[str] = frozenset()
    """Final paths that an intent promises: they may be there already, or not yet."""
    evicted: frozenset[str] = frozenset()
    """Cache folders that were evicted and not restored since."""

    def is_pending(self, path: str) -> bool:
        """Whether an unfinished commit explains that `path` is there, or that it is not yet."""
        if not self.pending:
            return False
        while path:
            if path in self.pending:
                return True
            path = path.rpartition("/")[0]
        return False


def not_kept_yet(
    pending: frozenset[str],
    logged: dict[str, dict[str, str]] | None,
    seals: dict[str, dict[str, Known]],
) -> frozenset[str]:
    """What an intent may explain: paths of which neither the log nor a seal has anything yet.

    An intent is a working file that anybody can write. It never excuses the absence of what was
    kept before: a commit only promises what is new.
    """
    return frozenset(path for path in pending if not _is_kept(path, logged or {}, seals))


def _is_kept(
    path: str, logged: dict[str, dict[str, str]], seals: dict[str, dict[str, Known]]
) -> bool:
    top, *below = path.split("/")
    if top == layout.LOG:
        return False
    subject = below[0] if top == layout.PLATES else layout.COLLECTION
    known = logged.get(subject, {})
    if top == layout.PLATES and below[1:] in ([], [layout.MANIFEST]):
        return layout.MANIFEST in known
    return any(part in known for part in below) or path in seals.get(
        subject if top == layout.PLATES else "", {}
    )
