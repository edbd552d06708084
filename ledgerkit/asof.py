"""The repository as it was at a checkpoint: its ledgers then, questions to them, and what came since.

A checkpoint is given as a file (three lines, signed or not) or as a number of entries. It counts only
when the log continues it: then the ledgers of that moment are rebuilt from the records it covers.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ledgerkit import layout
from ledgerkit.errors import LogInvalid, UsageError
from ledgerkit.ledger.build import build
from ledgerkit.ledger.differences import frames_differences
from ledgerkit.merkle import Checkpoint, ProofInvalid, parse_checkpoint
from ledgerkit.query import Limits, query_tree
from ledgerkit.reading import Tree
from ledgerkit.repository import Archive
from ledgerkit.views import AsOfView, DifferenceView

if TYPE_CHECKING:
    import pyarrow as pa

NOW = "now"


def known_checkpoint(archive: Archive, given: str) -> Checkpoint:
    """The checkpoint that `given` names: a file, a number of entries, or `now`.

    Raises `UsageError` when it names none, `LogInvalid` when the log does not continue it.
    """
    head = archive.log.checkpoint()
    if head is None:
        raise UsageError(f"{archive.root} has no log yet", "The first writing command begins it.")
    if given == NOW:
        return head
    if given.isascii() and given.isdecimal():
        if int(given) > head.size:
            raise UsageError(f"the log has {head.size} entries, not {given}")
        return Checkpoint(head.origin, int(given), archive.log.root_at(int(given)))
    try:
        found = parse_checkpoint(Path(given).read_text("utf-8"))
    except (OSError, UnicodeDecodeError, ProofInvalid) as error:
        raise UsageError(
            f"{given} is neither a checkpoint file nor a number of entries: {error}",
            "Make one with: ledgerkit log checkpoint -o FILE",
        ) from error
    if found.origin != head.origin:
        raise UsageError(f"{given} is of another repository: {found.origin}, this is {head.origin}")
    if found.size > head.size or archive.log.root_at(found.size) != found.root:
        raise LogInvalid(
            f"the log does not continue the checkpoint in {given}: what it covered was altered or lost",
            "Compare with a replica, and see: ledgerkit verify --checkpoint FILE",
        )
    return found


def consolidate_at(archive: Archive, given: str, folder: Path) -> AsOfView:
    """The ledgers as they were at a checkpoint, written to a new folder outside the repository.

    They are those that `consolidate` made then, if the versions in `ledger.json` are the same.
    Raises `UsageError`, `LogInvalid`, `LedgerRefused`.
    """
    head = known_checkpoint(archive, given)
    if folder.resolve().is_relative_to(archive.root.resolve()):
        raise UsageError(f"{folder} lies inside the repository, whose ledgers are those of today")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} exists and is not an empty folder")
    files, document = build(archive, archive.log.index_at(head.size))
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    rows = {name: table["rows"] for name, table in document["tables"].items()}
    return AsOfView(head.origin, head.size, document["log_root"], str(folder), rows)


def query_at(
    archive: Archive,
    given: str,
    sql: str,
    parameters: list[Any] | None = None,
    limits: Limits | None = None,
) -> pa.Table:
    """The answer that the ledgers of a checkpoint give. They are built in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="ledgerkit-") as scratch:
        consolidate_at(archive, given, Path(scratch) / layout.LEDGER)
        return query_tree(Tree(Path(scratch)), sql, parameters, limits)


def difference(archive: Archive, old: str, new: str) -> DifferenceView:
    """What came between two checkpoints, plate by plate, and what is no longer current.

    Raises `UsageError`, `LogInvalid`, `LedgerRefused`.
    """
    first, last = known_checkpoint(archive, old), known_checkpoint(archive, new)
    if first.size > last.size:
        raise UsageError(f"{old} has {first.size} entries, more than {new} with {last.size}")
    changes = frames_differences(
        archive, archive.log.index_at(first.size), archive.log.index_at(last.size)
    )
    return DifferenceView(first.size, last.size, changes)
