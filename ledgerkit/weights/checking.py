"""Verify a store of models: every byte read and compared, everything that is wrong said. No writing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ledgerkit.errors import LedgerkitError
from ledgerkit.findings import Finding, finding, sound
from ledgerkit.weights.document import ModelDocument
from ledgerkit.weights.store import CHANGED, MISSING, UNLISTED, ModelStore, sha256_of
from ledgerkit.weights.writing import leftovers

_CODES = {
    MISSING: "MODEL_FILE_MISSING",
    CHANGED: "MODEL_FILE_CHANGED",
    UNLISTED: "MODEL_FILE_UNLISTED",
}


@dataclass(frozen=True, slots=True)
class CheckView:
    """What verification of a store found: models, files and bytes that were read, and findings."""

    store: str
    models: int
    files: int
    bytes: int
    findings: list[Finding]

    @property
    def sound(self) -> bool:
        return sound(self.findings)


def verify(
    store: ModelStore,
    names: list[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> CheckView:
    """Read models again, all of them by default; then also say what belongs to none.

    `progress` is told models done and in all. Raises `UsageError` for a name that is not there.
    """
    chosen = store.names() if names is None else names
    findings: list[Finding] = []
    files = size = 0
    for done, name in enumerate(chosen, 1):
        if name not in store.names():
            store.show(name)
        try:
            found = store.show(name)
        except LedgerkitError as error:
            findings.append(finding("MODEL_DOCUMENT_INVALID", name, error.message))
            continue
        files += len(found.files)
        size += found.bytes
        findings += _of_model(store, found)
        if progress is not None:
            progress(done, len(chosen))
    readable = not any(one.code == "MODEL_DOCUMENT_INVALID" for one in findings)
    if names is None and readable:
        findings += [
            finding("MODEL_LEFTOVER", os.path.relpath(path, store.root))
            for path in leftovers(store)
        ]
    return CheckView(str(store.root), len(chosen), files, size, findings)


def _of_model(store: ModelStore, found: ModelDocument) -> Iterator[Finding]:
    """What is wrong with a model's folder, and with the blobs where they are not the same files."""
    folder = store.folder(found.name)
    wrong = set()
    for problem in store.problems(found, full=True):
        wrong.add(problem.path)
        yield finding(_CODES[problem.kind], f"{found.name}: {problem.path}", problem.detail)
    for file in found.files:
        blob = store.blob(file.sha256)
        subject = os.path.relpath(blob, store.root)
        try:
            same = file.path not in wrong and os.path.samefile(folder / file.path, blob)
            if not same and sha256_of(blob) != file.sha256:
                yield finding(_CODES[CHANGED], subject, f"has not the SHA-256 of {file.path}")
        except OSError as error:
            yield finding(_CODES[MISSING], subject, f"cannot be read: {error.strerror}")
