"""What the log proves of each file: the digests that manifests, seals and records give to paths.

A record counts only when its bytes are the ones that the log has; where it is damaged here, a
replica may lend it, under the same digest. Seals and outputs are the evidence; inputs repeat it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from ledgerkit import layout
from ledgerkit.canonical import sha256_hex
from ledgerkit.errors import LedgerkitError, MissingInput
from ledgerkit.log import Logged
from ledgerkit.reading import Tree
from ledgerkit.records import Listing, Output, Run, decode_outputs, decode_run
from ledgerkit.repository import Archive


@dataclass(frozen=True, slots=True)
class Recorded:
    """What is recorded of one file; `bytes` where a record says it."""

    sha256: str
    bytes: int | None


@dataclass
class Evidence:
    """Recorded files by path, and logged records that could not be read on any side."""

    files: dict[str, Recorded] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)

    def below(self, path: str) -> dict[str, Recorded]:
        """Those that lie at or below a path."""
        return {
            name: recorded
            for name, recorded in self.files.items()
            if name == path or name.startswith(f"{path}/")
        }


def evidence(archive: Archive, replica: Tree | None = None) -> Evidence:
    """What the log of `archive` proves; `replica` lends records. Raises `LogInvalid`."""
    index = archive.log.index()
    found = Evidence()
    trees = [archive.tree] if replica is None else [archive.tree, replica]
    for plate in index.plates():
        logged = index.manifest(plate)
        if logged is not None:
            path = f"{layout.plate_folder(plate)}/{layout.MANIFEST}"
            found.files[path] = Recorded(logged.sha256, None)
    for subject in (layout.COLLECTION, *layout.sort_plates(_subjects(archive))):
        for logged in index.runs(subject):
            _add_run(trees, subject, logged, found)
    return found


def _subjects(archive: Archive) -> list[str]:
    """Plates that the log names, whether their folders are there or not."""
    subjects = archive.log.index().subjects()
    return [subject for subject in subjects if subject != layout.COLLECTION]


def _add_run(trees: list[Tree], subject: str, logged: Logged, found: Evidence) -> None:
    folder = layout.run_folder(subject, logged.run_id)
    record = f"{folder}/{layout.RECORD}"
    found.files[record] = Recorded(logged.sha256, None)
    try:
        run = decode_run(_lent(trees, record, logged.sha256), record)
    except LedgerkitError:
        found.unread.append(record)
        return
    for listing in (run.inputs_listing, run.outputs_listing):
        if listing is not None:
            found.files[f"{folder}/{listing.path}"] = Recorded(listing.sha256, listing.bytes)
    try:
        outputs = _outputs(trees, run)
    except LedgerkitError:
        found.unread.append(record)
        return
    for output in outputs:
        # What was sealed first counts, as everywhere; a later seal says nothing of the former file.
        found.files.setdefault(output.path, Recorded(output.sha256, output.bytes))
    text = _checksums(run, logged.sha256, outputs)
    path = f"{folder}/{layout.RECORD_CHECKSUM}"
    found.files[path] = Recorded(sha256_hex(text), len(text))


def _outputs(trees: list[Tree], run: Run) -> list[Output]:
    if run.outputs_listing is None:
        return run.outputs
    path = f"{run.folder}/{run.outputs_listing.path}"
    return decode_outputs(_lent(trees, path, run.outputs_listing.sha256), path)


def _checksums(run: Run, record: str, outputs: list[Output]) -> bytes:
    """`run.sha256` as it was written: it follows from the record."""
    lines = [(record, layout.RECORD)]
    lines += [(one.sha256, one.path) for one in _listings(run)]
    own = f"{run.folder}/"
    lines += [
        (output.sha256, output.path.removeprefix(own))
        for output in outputs
        if output.path.startswith(own)
    ]
    return "".join(f"{digest}  {name}\n" for digest, name in lines).encode()


def _listings(run: Run) -> Iterator[Listing]:
    for one in (run.inputs_listing, run.outputs_listing):
        if one is not None:
            yield one


def _lent(trees: list[Tree], path: str, sha256: str) -> bytes:
    """The bytes with a digest, from the first tree that has them. Raises `MissingInput`."""
    for tree in trees:
        with contextlib.suppress(LedgerkitError, OSError):
            return tree.read_checked(path, sha256)
    raise MissingInput(f"no side has {path} as it was recorded")


def state_of(tree: Tree, path: str, recorded: Recorded) -> str:
    """`sound`, `missing` or `damaged`: the file at a path against what is recorded of it."""
    if not tree.exists(path):
        return "missing"
    size = tree.size(path)
    if size is None or (recorded.bytes is not None and size != recorded.bytes):
        return "damaged"
    try:
        return "sound" if tree.digest(path).sha256 == recorded.sha256 else "damaged"
    except (LedgerkitError, OSError):
        return "damaged"
