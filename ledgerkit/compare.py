"""Two repositories against each other, read-only on both sides and without a lock.

The logs first: the same, one the beginning of the other, or apart from some entry on. Then the
files, and of each that differs which side has the bytes that a log proves. Works when one side is
damaged: the sound log speaks for both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import zip_longest
from pathlib import Path

from ledgerkit import layout
from ledgerkit.errors import LedgerkitError, UsageError
from ledgerkit.evidence import Evidence, evidence, state_of
from ledgerkit.reading import Tree
from ledgerkit.relocation import told
from ledgerkit.repository import Archive
from ledgerkit.views import CompareView, DifferentFile

DEPTHS = ("quick", "full")
Progress = Callable[[int, int], None]


def compare(
    archive: Archive, other: Path, *, depth: str = "quick", progress: Progress | None = None
) -> CompareView:
    """What differs: by names and sizes (`quick`), or by the SHA-256 of every file (`full`).

    Raises `UsageError` for an unknown depth, `RepositoryNotFound`.
    """
    if depth not in DEPTHS:
        raise UsageError(f"no depth {depth!r}", f"There are: {', '.join(DEPTHS)}")
    archive, there = Archive(archive.root), Archive(other)  # read anew: nothing is known already
    relation, here_size, there_size, common = compare_logs(archive, there)
    proofs = _proofs(archive, there)
    names_here, names_there = set(_files(archive.tree)), set(_files(there.tree))
    paths = sorted(names_here | names_there)
    found: list[DifferentFile] = []
    for done, path in enumerate(paths, 1):
        state = (
            "only-there"
            if path not in names_here
            else "only-here"
            if path not in names_there
            else _state(archive.tree, there.tree, path, depth)
        )
        if state is not None:
            proved = _proved(archive.tree, there.tree, path, proofs)
            found.append(DifferentFile(_subject(path), told(path), state, proved))
        if progress:
            progress(done, len(paths))
    return CompareView(
        here=str(archive.root),
        there=str(there.root),
        depth=depth,
        log=relation,
        entries_here=here_size,
        entries_there=there_size,
        common_entries=common,
        files=len(paths),
        by_subject=dict(Counter(one.subject for one in found)),
        differences=found,
        equal=not found and relation == "same",
    )


def compare_logs(here: Archive, there: Archive) -> tuple[str, int | None, int | None, int | None]:
    """How two logs stand to each other, their sizes, and how many entries they have in common.

    One of: same, here-is-ahead, there-is-ahead, diverged, other-repository, here-damaged,
    there-damaged, both-damaged.
    """
    ours, theirs = _size(here), _size(there)
    if ours is None or theirs is None:
        damaged = "both" if ours is theirs else "here" if ours is None else "there"
        return f"{damaged}-damaged", ours, theirs, None
    heads = here.log.checkpoint(), there.log.checkpoint()
    if heads[0] and heads[1] and heads[0].origin != heads[1].origin:
        return "other-repository", ours, theirs, 0
    common = 0
    for one, other in zip_longest(here.log.entries(), there.log.entries()):
        if one != other:
            break
        common += 1
    relation = "diverged"
    if common in (ours, theirs):
        relation = "same" if ours == theirs else "here-is-ahead"
        relation = "there-is-ahead" if theirs > ours else relation
    return relation, ours, theirs, common


def _size(archive: Archive) -> int | None:
    """Entries of a log that holds; None where it is damaged."""
    try:
        return archive.log.index().size
    except (LedgerkitError, OSError):
        return None


def _proofs(here: Archive, there: Archive) -> list[Evidence]:
    """What each sound log proves; each side lends the other the records that it lost."""
    found = []
    for side, other in ((here, there), (there, here)):
        try:
            found.append(evidence(side, other.tree))
        except (LedgerkitError, OSError):
            continue
    return found


def _files(tree: Tree) -> Iterator[str]:
    """All files but the working files, and what is no file."""
    for entry in tree.entries():
        if entry.name in (layout.WORKING, ".git"):
            continue
        if entry.is_folder:
            yield from tree.walk(entry.name)
        else:
            yield entry.name


def _state(here: Tree, there: Tree, path: str, depth: str) -> str | None:
    ours, theirs = here.size(path), there.size(path)
    if ours is None or theirs is None:
        return None if ours is theirs and here.is_link(path) == there.is_link(path) else "differs"
    if ours != theirs:
        return "differs"
    if depth == "quick":
        return None
    try:
        return None if here.digest(path).sha256 == there.digest(path).sha256 else "differs"
    except (LedgerkitError, OSError):
        return "unreadable"


def _proved(here: Tree, there: Tree, path: str, proofs: list[Evidence]) -> str:
    """Whose bytes have a digest that is recorded; where the logs are apart, each is asked."""
    recorded = [proof.files[path] for proof in proofs if path in proof.files]
    if not recorded:
        return "unrecorded"
    ours = any(state_of(here, path, one) == "sound" for one in recorded)
    theirs = any(state_of(there, path, one) == "sound" for one in recorded)
    names = {(True, True): "both", (True, False): "here", (False, True): "there"}
    return names.get((ours, theirs), "neither")


def _subject(path: str) -> str:
    """The plate that a file belongs to, else its top folder, else `root`."""
    parts = path.split("/")
    if parts[0] == layout.PLATES and len(parts) > 1:
        return told(parts[1])
    if parts[0] == layout.RUNS:
        return layout.COLLECTION
    return told(parts[0]) if len(parts) > 1 else "root"
