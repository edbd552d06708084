"""Compare files with what records say of them, and keep count of what was read and what was not."""

from __future__ import annotations

import heapq
from collections.abc import Callable

import xxhash

from ledgerkit.canonical import sha256_hex
from ledgerkit.errors import LedgerkitError, MissingInput, UnsafePath
from ledgerkit.findings import ERROR, finding, writable
from ledgerkit.held import Folder
from ledgerkit.verify.plan import (
    FULL,
    QUICK,
    READ_AS,
    UNREAD,
    Candidate,
    FileResult,
    Known,
    Plan,
    Result,
)

DEEPEST = 64
"""Folders within folders that are looked into; ours are five deep."""
Wanted = dict[str, Known]


class Checker:
    """One unit under verification: every file of it is accounted for once."""

    def __init__(self, plan: Plan, unit: str) -> None:
        self.plan = plan
        self.found = Result(unit)

    def add(self, code: str, subject: str, detail: object = "") -> None:
        self.found.findings.append(finding(code, subject, detail))

    def count(
        self,
        path: str,
        level: int,
        size: int,
        known: Known | None,
        said: str = "",
        *,
        wrong: bool = False,
    ) -> None:
        """Account for a file: how far it was read, what is said of it, and whether it is wrong."""
        found = self.found
        found.files[level] += 1
        found.bytes[level] += size
        if wrong:
            found.wrong += 1
        elif level <= QUICK:
            found.right += 1
        if self.plan.rows:
            outcome = "wrong" if wrong else "right" if level <= QUICK else "not checked"
            digest = known.sha256 if known else None
            found.rows.append(
                FileResult(writable(path), READ_AS[level], outcome, size, digest, writable(said))
            )

    def wrong(
        self, code: str, path: str, detail: object, level: int, size: int, known: Known | None
    ) -> None:
        """A finding on a file that is accounted for with it: as wrong where it is an error."""
        self.add(code, path, detail)
        made = self.found.findings[-1]
        self.count(path, level, size, known, made.message, wrong=made.severity == ERROR)

    def document(self, path: str, data: bytes, *digests: str | None) -> str | None:
        """Account for a small document that was read whole; its SHA-256, None where it is wrong.

        Without any recorded digest the document is counted as not checked.
        """
        found = sha256_hex(data)
        recorded = [digest for digest in digests if digest is not None]
        for digest in recorded:
            if digest != found:
                said = f"recorded SHA-256 {digest}, found {found}"
                known = Known(None, digest)
                self.wrong("DIGEST_MISMATCH", path, said, FULL, len(data), known)
                return None
        level = FULL if recorded else UNREAD
        self.count(path, level, len(data), Known(len(data), found) if recorded else None)
        return found

    def file(self, folder: Folder, name: str, path: str, known: Known, level: int) -> None:
        """Compare one file in an open folder with what is recorded of it."""
        wanted: str | None = known.sha256
        if level == QUICK and known.xxh3_128 is None:
            level = FULL
        try:
            if level == FULL:
                size, found = folder.sha256(name)
            elif level == QUICK:
                size, found = folder.xxh3(name)
                wanted = known.xxh3_128
            else:
                size, found = folder.size(name), ""
                wanted = ""
                self._propose(path, known)
        except (LedgerkitError, OSError) as error:
            self.unreadable(path, error, known)
            return
        if known.bytes is not None and size != known.bytes:
            said = f"{size} bytes, {known.bytes} are recorded"
            self.wrong("SIZE_MISMATCH", path, said, level, size, known)
        elif found != wanted:
            kind = "SHA-256" if level == FULL else "XXH3-128"
            said = f"recorded {kind} {wanted}, found {found}"
            self.wrong("DIGEST_MISMATCH", path, said, level, size, known)
        else:
            self.count(path, level, size, known)

    def unreadable(self, path: str, error: Exception, known: Known | None) -> None:
        """A file that cannot be opened or read."""
        if isinstance(error, MissingInput):
            self.missing(path, known)
        elif isinstance(error, UnsafePath):
            self.wrong("LINK_FOUND", path, "", UNREAD, 0, known)
        else:
            reason = getattr(error, "strerror", None) or error
            self.wrong("PATH_UNREADABLE", path, reason, UNREAD, 0, known)

    def missing(self, path: str, known: Known | None) -> None:
        """A recorded file that is not there."""
        self.wrong("OUTPUT_MISSING", path, path, UNREAD, 0, known)

    def _propose(self, path: str, known: Known) -> None:
        """Let a file take part in the draw: keys depend on seed and path alone."""
        if self.plan.sample:
            encoded = path.encode("utf-8", "surrogateescape")
            key = xxhash.xxh3_64_intdigest(encoded, seed=self.plan.seed)
            proposed = self.found.candidates
            proposed.append(Candidate(key, path, known))
            if len(proposed) >= 2 * self.plan.sample + 64:
                self.found.candidates = heapq.nsmallest(self.plan.sample, proposed)

    def tree(
        self, folder: Folder, wanted: Wanted, other: Callable[[Folder, str, str, bool], None]
    ) -> None:
        """Compare everything below a folder; `other` gets what is not in `wanted`.

        What was found is taken out of `wanted`: what stays in it is missing.
        """
        self._tree(folder, wanted, other, 0)

    def _tree(
        self,
        folder: Folder,
        wanted: Wanted,
        other: Callable[[Folder, str, str, bool], None],
        depth: int,
    ) -> None:
        base = folder.path
        try:
            entries = folder.entries()
        except OSError as error:
            self.add("PATH_UNREADABLE", base, error.strerror or error)
            return
        for name, is_folder, is_file in entries:
            path = f"{base}/{name}"
            if is_folder:
                self._below(folder, name, wanted, other, depth)
                continue
            known = wanted.pop(path, None)
            if known is None:
                other(folder, name, path, is_file)
            elif is_file:
                self.file(folder, name, path, known, self.plan.level)
            else:
                self.wrong("LINK_FOUND", path, "", UNREAD, 0, known)

    def _below(
        self,
        folder: Folder,
        name: str,
        wanted: Wanted,
        other: Callable[[Folder, str, str, bool], None],
        depth: int,
    ) -> None:
        path = f"{folder.path}/{name}"
        if depth >= DEEPEST:
            self.add("PATH_UNREADABLE", path, f"folders lie more than {DEEPEST} deep")
            return
        try:
            with folder.below(name) as inner:
                self._tree(inner, wanted, other, depth + 1)
        except (LedgerkitError, OSError) as error:
            self.add("PATH_UNREADABLE", path, getattr(error, "strerror", None) or error)

    def unlisted(self, folder: Folder, name: str, path: str, is_file: bool) -> None:
        """A file that nothing lists."""
        if self.plan.is_pending(path):
            self.waiting(folder, name, path, is_file)
        elif is_file:
            self.wrong("UNLISTED_FILE", path, "", UNREAD, _size(folder, name), None)
        else:
            self.wrong("LINK_FOUND", path, "", UNREAD, 0, None)

    def waiting(self, folder: Folder, name: str, path: str, is_file: bool) -> None:
        """A file that nothing lists yet, for it waits for its seal or its commit."""
        if is_file:
            self.count(path, UNREAD, _size(folder, name), None)
        else:
            self.wrong("LINK_FOUND", path, "", UNREAD, 0, None)

    def all_missing(self, wanted: Wanted) -> None:
        """What was not found where it should lie."""
        for path, known in sorted(wanted.items()):
            if not self.plan.is_pending(path):
                self.missing(path, known)
        wanted.clear()


def _size(folder: Folder, name: str) -> int:
    try:
        return folder.size(name)
    except (LedgerkitError, OSError):
        return 0
