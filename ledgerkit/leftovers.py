"""What a crash left, and what no commit brought: found by reading, never touched.

Everything that readers count is in the log. What lies beside it is listed here with the reason;
`recover` finishes or sets it aside, `status` only says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ledgerkit import layout, merkle
from ledgerkit.canonical import sha256_hex
from ledgerkit.durable import pending_job, pending_moves
from ledgerkit.errors import LedgerkitError, LogInvalid
from ledgerkit.jobs import abandoned_jobs, is_held
from ledgerkit.log import LogIndex, decode_entry
from ledgerkit.merkle import TILE_WIDTH
from ledgerkit.relocation import PLAN, measured
from ledgerkit.repository import Archive

_BESIDE = re.compile(r"intent\.json\.(?P<job>job-.+)|checkpoint|.+\.new", re.DOTALL)
_TILE = re.compile(
    r"log/tile/(?P<level>0|[1-9][0-9]?|entries)/(?P<number>(?:x[0-9]{3}/)*[0-9]{3})"
    r"(?:\.p/(?P<width>[1-9][0-9]{0,2}))?",
    re.ASCII,
)
_TRIES = 20
_TAIL_HINT = (
    "Restore log/checkpoint from a replica, or compare it with one that is kept elsewhere. "
    "To keep the checkpoint as it is: ledgerkit recover --set-aside-tail"
)


@dataclass(frozen=True)
class Leftover:
    """Something that lies in the repository and that no commit accounts for."""

    what: str
    path: str
    why: str
    bytes: int = 0
    files: int = 0


def leftovers(archive: Archive) -> list[Leftover]:
    """Everything that `recover` would finish or set aside. Raises `LogInvalid` for a damaged log."""
    for _ in range(_TRIES):
        head = archive.log.checkpoint()
        index = archive.log.index()
        found = [*_waiting(archive), *_working(archive)]
        if head is not None:
            promised = pending_moves(archive.root)
            found += [
                *_unlogged(archive, index, promised),
                *log_leftovers(archive, index, promised),
            ]
        promised = pending_moves(archive.root)
        if archive.log.checkpoint() == head:
            break  # else a commit was finished meanwhile, and what it brought may look unlogged
    return [_measured(archive, one) for one in found if one.path not in promised]


def _measured(archive: Archive, one: Leftover) -> Leftover:
    size, files = measured(archive, one.path)
    return Leftover(one.what, one.path, one.why, size, files)


def _waiting(archive: Archive) -> Iterator[Leftover]:
    """What was promised and is not done yet: an intent, a plan."""
    job = pending_job(archive.root)
    if job is not None and not ("/" not in job and is_held(archive.root, job)):
        why = f"the commit of {job} was flushed and waits to be finished"
        yield Leftover("intent", layout.INTENT, why)
    if archive.tree.exists(PLAN):
        yield Leftover("plan", PLAN, "a recover, quarantine or restore was broken off: it goes on")


def _working(archive: Archive) -> Iterator[Leftover]:
    """Staging folders that nobody holds, and half-written files beside the working files."""
    abandoned = abandoned_jobs(archive.root)
    alive = {one.name for one in archive.tree.entries(layout.STAGING)}.difference(abandoned)
    for job in abandoned:
        why = "its job is gone, and nothing in it was committed"
        yield Leftover("staging", f"{layout.STAGING}/{job}", why)
    pending = archive.tree.exists(layout.INTENT)
    for entry in archive.tree.entries(layout.WORKING):
        match = _BESIDE.fullmatch(entry.name)
        path = f"{layout.WORKING}/{entry.name}"
        if match is None or entry.is_folder or path == f"{PLAN}.new":
            continue
        if match["job"] in alive or (entry.name == "checkpoint" and pending):
            continue
        yield Leftover("working-file", path, "it was written beside and never put in place")


def _unlogged(archive: Archive, index: LogIndex, promised: set[str]) -> Iterator[Leftover]:
    """Run, cache and plate folders that no commit brought."""
    for run in archive.run_folders(layout.COLLECTION):
        path = layout.run_folder(layout.COLLECTION, run)
        if index.run(layout.COLLECTION, run) is None and path not in promised:
            yield Leftover("run", path, "no commit brought this run: the log does not have it")
    for plate in archive.plate_ids():
        folder = layout.plate_folder(plate)
        if folder in promised:
            continue
        for run in archive.run_folders(plate):
            path = layout.run_folder(plate, run)
            if index.run(plate, run) is None and path not in promised:
                yield Leftover("run", path, "no commit brought this run: the log does not have it")
        for run in archive.tree.folders(f"{folder}/{layout.CACHE}"):
            path = layout.cache_folder(plate, run)
            if layout.is_run_id(run) and index.run(plate, run) is None and path not in promised:
                yield Leftover("cache", path, "its run is not in the log")
        if index.manifest(plate) is None and not index.runs(plate):
            kept = (layout.MANIFEST, layout.SOURCE, layout.SOURCE_CHECKSUM, layout.RUNS)
            if not any(archive.tree.exists(f"{folder}/{name}") for name in kept):
                why = "it holds neither manifest nor source, and the log has nothing of it"
                yield Leftover("plate", folder, why)


def log_leftovers(archive: Archive, index: LogIndex, promised: set[str]) -> Iterator[Leftover]:
    """Files of the log beyond its checkpoint, and partial tiles whose full tile is there."""
    outdated: set[str] = set()
    for path in archive.tree.walk(layout.LOG):
        if path == layout.CHECKPOINT or path in promised:
            continue
        match = _TILE.fullmatch(path)
        if match is None:
            yield Leftover("log-tail", path, "it is no file of the log")
            continue
        level = match["level"]
        number = int(match["number"].replace("/", "").replace("x", ""))
        count = index.size >> (0 if level == "entries" else 8 * int(level))
        width = int(match["width"] or TILE_WIDTH)
        if number * TILE_WIDTH + width > count:
            yield Leftover("log-tail", path, f"it lies beyond the {index.size} entries of the log")
        elif match["width"] is not None and (number + 1) * TILE_WIDTH <= count:
            full = f"{layout.LOG}/{merkle.tile_path(level, number)}"
            folder = f"{full}.p"
            if archive.tree.exists(full) and folder not in outdated and folder not in promised:
                outdated.add(folder)
                yield Leftover("log-superseded", folder, "the full tile holds all that it holds")


def refuse_damage_before(archive: Archive, index: LogIndex) -> None:
    """Hold every tile up to the checkpoint against the entries. Raises `LogInvalid` that names the file.

    That is damage, not the end of a write that was broken off: it is never repaired from itself.
    """
    edge = merkle.Edge()
    leaves = (merkle.leaf_hash(entry.encode()) for entry in archive.log.entries())
    hint = "Restore log/ from a replica, and compare it with a checkpoint that is kept elsewhere."
    for tile in edge.append(leaves):
        path = f"{layout.LOG}/{tile.path}"
        full = f"{layout.LOG}/{merkle.tile_path(str(tile.level), tile.index)}"
        lying = path if archive.tree.exists(path) else full
        if not archive.tree.exists(lying):
            raise LogInvalid(f"{path} is missing", hint)
        wanted = b"".join(tile.hashes)
        if archive.tree.read(lying, max_bytes=1 << 16)[: len(wanted)] != wanted:
            raise LogInvalid(f"{lying} does not hold the hashes of the log's entries", hint)
    if edge.root() != index.edge.root():
        raise LogInvalid(f"the entries in {layout.LOG}/ changed while they were read", hint)


def refuse_checkpoint_set_back(archive: Archive, tail: list[str]) -> None:
    """Raise `LogInvalid` when files beyond the checkpoint hold entries that are true.

    No crash leaves that: a commit's intent stays until the checkpoint covers its entries. Somebody
    put an older checkpoint back, and what the log proved since must not be set aside as rubbish.
    """
    size = archive.log.index().size
    for path in tail:
        match = _TILE.fullmatch(path)
        if match is None or match["level"] != "entries":
            continue
        first = int(match["number"].replace("/", "").replace("x", "")) * TILE_WIDTH
        try:
            entries = merkle.unpack_entries(archive.tree.read(path))
        except (LedgerkitError, OSError):
            continue
        for data in entries[max(size - first, 0) :]:
            try:
                entry = decode_entry(data)
                true = sha256_hex(archive.tree.read(layout.contained_path(entry.path)))
            except (LedgerkitError, OSError):
                continue
            if true == entry.sha256:
                raise LogInvalid(
                    f"{path} holds {entry.path}, which lies there as it was logged, but "
                    f"{layout.CHECKPOINT} ends before it: an older checkpoint was put back",
                    _TAIL_HINT,
                )


def would_recover(archive: Archive) -> list[str]:
    """What `recover` would do, one line each: for `status`. Says what keeps it from looking."""
    try:
        return [f"{one.what} {one.path}: {one.why}" for one in leftovers(archive)]
    except LedgerkitError as error:
        return [error.message]
