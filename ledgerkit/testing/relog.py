"""Write a repository's log anew over what lies there now: what a keeper could do who rewrites everything.

Tests use it to get past the log, to what lies behind it; a checkpoint from before shows the deed.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from ledgerkit import layout
from ledgerkit.canonical import sha256_hex
from ledgerkit.log import Entry, Log
from ledgerkit.merkle import Checkpoint
from ledgerkit.reading import Tree


def relog(root: Path) -> Checkpoint:
    """Entries in the order they had, each with the digest its file has now; lost files are left out."""
    log = Log(Tree(root))
    former = log.checkpoint()
    assert former is not None
    entries = [
        Entry(entry.kind, entry.path, sha256_hex((root / entry.path).read_bytes()))
        for entry in log.entries()
        if (root / entry.path).is_file()
    ]
    return write_log(root, former.origin, entries)


def write_log(root: Path, origin: str, entries: list[Entry]) -> Checkpoint:
    """A log of exactly these entries in the place of the one there."""
    shutil.rmtree(root / layout.LOG, ignore_errors=True)
    growth = Log(Tree(root)).grow(origin, entries)
    for path, data in growth.files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    (root / layout.CHECKPOINT).write_text(growth.after)
    head = Log(Tree(root)).checkpoint()
    assert head is not None
    return head
