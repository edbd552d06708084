"""One plate: its runs, its cache, its manifest and its source, and nothing else in its folder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from ledgerkit import layout
from ledgerkit.canonical import sha256_hex
from ledgerkit.errors import LedgerkitError, MissingInput, UnsafePath
from ledgerkit.held import Folder
from ledgerkit.verify import documents
from ledgerkit.verify.files import DEEPEST, Checker, Wanted
from ledgerkit.verify.plan import UNREAD, Known, Plan, Result
from ledgerkit.verify.runs import check_run, read_run

Entries = dict[str, tuple[bool, bool]]
"""By name, whether it is a folder and whether it is a regular file."""


class _Plate:
    """What is gathered about one plate while its folder is gone through."""

    def __init__(self, plan: Plan, plate: str) -> None:
        self.plate = plate
        self.path = layout.plate_folder(plate)
        self.checker = Checker(plan, plate)
        self.plan = plan
        self.seals = plan.seals.get(plate, {})
        self.cached: dict[str, Wanted] = {}
        self.claims: dict[str, Known] = dict(plan.claims.get(plate, {}))
        self.seen: dict[str, Known] = dict(self.seals)
        """Everything that a seal or an output of a run in this plate vouches for."""
        self.in_part: set[str] = set()
        """Cache folders of which something is there."""
        self.stated: str | None = None
        """SHA-256 of the source as the manifest states it."""

    def claim(self, path: str, known: Known) -> None:
        """Take note of what a run says that it read: all that say it must agree."""
        former = self.claims.setdefault(path, known)
        if former.sha256 != known.sha256:
            said = f"records list both {former.sha256} and {known.sha256}"
            self.checker.add("DIGEST_MISMATCH", path, said)


def check_plate(plan: Plan, plates: Folder, plate: str) -> Result:
    """Everything about one plate, whose folder lies in `plates`."""
    at = _Plate(plan, plate)
    checker = at.checker
    try:
        with plates.below(plate) as folder:
            _folder(at, folder)
    except MissingInput:
        if not plan.is_pending(at.path):
            checker.add("PLATE_MISSING", plate)
    except UnsafePath:
        checker.add("LINK_FOUND", at.path)
    except OSError as error:
        checker.add("PATH_UNREADABLE", at.path, error.strerror or error)
    _settle_claims(at)
    return checker.found


def _folder(at: _Plate, folder: Folder) -> None:
    entries = {name: (is_folder, is_file) for name, is_folder, is_file in folder.entries()}
    checker = at.checker
    _within(at, folder, entries, layout.RUNS, _runs)
    _missing_runs(at)
    _within(at, folder, entries, layout.CACHE, _cache)
    _missing_cache(at)
    _manifest(at, folder, layout.MANIFEST in entries)
    line = _source_checksum(at, folder, layout.SOURCE_CHECKSUM in entries)
    _source(at, folder, entries, line)
    ours = {layout.RUNS, layout.CACHE, layout.MANIFEST, layout.SOURCE_CHECKSUM, layout.SOURCE}
    for name, (is_folder, is_file) in entries.items():
        path = f"{folder.path}/{name}"
        if name in ours:
            continue
        if is_folder:
            with folder.below(name) as inner:
                checker.tree(inner, {}, checker.unlisted)
        else:
            checker.unlisted(folder, name, path, is_file)


def _within(
    at: _Plate, folder: Folder, entries: Entries, name: str, each: Callable[[_Plate, Folder], None]
) -> None:
    """Go through a folder of the plate; a link or a file in its place is a finding."""
    if name not in entries:
        return
    path = f"{folder.path}/{name}"
    try:
        if not entries[name][0]:
            raise UnsafePath(f"{path} is no folder")
        with folder.below(name) as inner:
            each(at, inner)
    except UnsafePath:
        at.checker.add("LINK_FOUND", path)
    except (LedgerkitError, OSError) as error:
        at.checker.add("PATH_UNREADABLE", path, getattr(error, "strerror", None) or error)


def _runs(at: _Plate, folder: Folder) -> None:
    checker = at.checker
    for name, is_folder, is_file in folder.entries():
        path = f"{folder.path}/{name}"
        if not is_folder:
            checker.unlisted(folder, name, path, is_file)
            continue
        with folder.below(name) as inner:
            if not layout.is_run_id(name):
                checker.add("RUN_ID_INVALID", path)
                checker.tree(inner, {}, checker.unlisted)
                continue
            found = read_run(checker, inner, at.plate)
            at.seen |= found.own
            at.seen |= found.cached
            at.cached[layout.cache_folder(at.plate, name)] = found.cached
            for given in found.inputs:
                at.claim(given.path, Known(given.bytes, given.sha256))
            for made in found.outside:
                at.claim(made.path, Known(made.bytes, made.sha256))
            check_run(checker, inner, found)


def _missing_runs(at: _Plate) -> None:
    """Runs that the log holds and that are gone."""
    for name, digest in (at.plan.logged or {}).get(at.plate, {}).items():
        path = f"{at.path}/{layout.RUNS}/{name}"
        if name == layout.MANIFEST or layout.cache_folder(at.plate, name) in at.cached:
            continue
        if not at.plan.is_pending(path):
            at.checker.wrong("RUN_MISSING", path, "", UNREAD, 0, Known(None, digest))


def _cache(at: _Plate, folder: Folder) -> None:
    """Derived pixels: those that are there must be right."""
    checker = at.checker
    for name, is_folder, is_file in folder.entries():
        path = f"{folder.path}/{name}"
        if not is_folder:
            checker.unlisted(folder, name, path, is_file)
            continue
        wanted = at.cached.setdefault(path, {})
        count = len(wanted)
        with folder.below(name) as inner:
            checker.tree(inner, wanted, checker.unlisted)
        if len(wanted) < count:
            at.in_part.add(path)


def _missing_cache(at: _Plate) -> None:
    """Derived pixels that are gone: an eviction explains a whole folder, never a part of one."""
    for path, wanted in at.cached.items():
        if path in at.plan.evicted and path not in at.in_part:
            continue
        for below, known in sorted(wanted.items()):
            if not at.plan.is_pending(below):
                at.checker.wrong("CACHE_MISSING", path, below, UNREAD, 0, known)


def _manifest(at: _Plate, folder: Folder, is_there: bool) -> None:
    checker, path = at.checker, f"{at.path}/{layout.MANIFEST}"
    sealed = at.seals.get(path)
    logged = (at.plan.logged or {}).get(at.plate, {}).get(layout.MANIFEST)
    if not is_there:
        known = Known(None, logged) if logged else sealed
        checker.wrong("MANIFEST_MISSING", at.plate, "", UNREAD, 0, known)
        return
    complete = at.plan.logged is not None and at.plan.log_whole
    if sealed is not None and logged is None and complete and not at.plan.is_pending(path):
        checker.add("MANIFEST_UNLOGGED", path)
    try:
        data = folder.read(layout.MANIFEST, 1 << 20)
    except documents.RAISES as error:
        checker.unreadable(path, error, sealed)
        return
    if checker.document(path, data, logged, sealed.sha256 if sealed else None) is None:
        return
    try:
        manifest = documents.manifest(data, path)
    except documents.RAISES as error:
        checker.add("MANIFEST_INVALID", path, error)
        return
    if manifest.plate_id != at.plate:
        checker.add("MANIFEST_IDENTITY", path, manifest.plate_id)
    if manifest.source is not None:
        at.stated = str(manifest.source.get("sha256"))


def _source_checksum(at: _Plate, folder: Folder, is_there: bool) -> tuple[str, str] | None:
    """SHA-256 and path of the source as `source.sha256` says it."""
    checker, path = at.checker, f"{at.path}/{layout.SOURCE_CHECKSUM}"
    sealed = at.seals.get(path)
    if not is_there:
        if sealed is not None:
            checker.missing(path, sealed)
        return None
    try:
        data = folder.read(layout.SOURCE_CHECKSUM, 1 << 16)
    except documents.RAISES as error:
        checker.unreadable(path, error, sealed)
        return None
    if checker.document(path, data, sealed.sha256 if sealed else None) is None:
        return None
    try:
        return documents.source_checksum(data)
    except documents.RAISES as error:
        checker.add("SOURCE_CHECKSUM_INVALID", path, error)
        return None


def _source(
    at: _Plate,
    folder: Folder,
    entries: Entries,
    line: tuple[str, str] | None,
) -> None:
    """The source against its seal; before it is sealed against runs that read it and its checksum."""
    base = f"{at.path}/{layout.SOURCE}/"
    wanted = {path: known for path, known in at.seals.items() if path.startswith(base)}
    sealed = bool(wanted)
    for path, known in at.claims.items():
        if path.startswith(base):
            wanted.setdefault(path, known)
    if line is not None:
        path = f"{at.path}/{line[1]}"
        stated = wanted.setdefault(path, Known(None, line[0]))
        if stated.sha256 != line[0]:
            said = f"it says {line[0]}, recorded is {stated.sha256}"
            at.checker.add("SOURCE_CHECKSUM_INVALID", f"{at.path}/{layout.SOURCE_CHECKSUM}", said)
    for path, known in wanted.items():
        if at.stated is not None and known.sha256 != at.stated:
            said = f"its manifest says {at.stated}, recorded is {known.sha256}"
            at.checker.add("DIGEST_MISMATCH", path, said)
    at.seen |= wanted
    _source_files(at, folder, entries, wanted, sealed)


def _source_files(
    at: _Plate,
    folder: Folder,
    entries: Entries,
    wanted: Wanted,
    sealed: bool,
) -> None:
    checker = at.checker
    before = sum(checker.found.files)
    named = len(wanted)
    other = checker.unlisted if sealed else checker.waiting

    def within(_: _Plate, inner: Folder) -> None:
        checker.tree(inner, wanted, other)

    _within(at, folder, entries, layout.SOURCE, within)
    lying = sum(checker.found.files) - before
    if lying > 1 or (lying == 0 and not named and not at.plan.is_pending(at.path)):
        checker.add("SOURCE_COUNT", at.plate, f"{lying} files")
    checker.all_missing(wanted)


def _settle_claims(at: _Plate) -> None:
    """What runs say that they read must be what others recorded; the rest is compared by the parent."""
    for path, known in at.claims.items():
        recorded = at.seen.get(path)
        if recorded is None:
            at.checker.found.foreign[path] = known
        elif recorded.sha256 != known.sha256:
            said = f"records list both {recorded.sha256} and {known.sha256}"
            at.checker.add("DIGEST_MISMATCH", path, said)


def expectations(plan: Plan, plate: str) -> str:
    """A digest over all that seals, log and runs of the collection say of a plate."""
    folder = layout.plate_folder(plate)
    said = [
        sorted((plan.logged or {}).get(plate, {}).items()),
        sorted(plan.seals.get(plate, {}).items()),
        sorted(plan.claims.get(plate, {}).items()),
        sorted(path for path in plan.evicted if path.startswith(f"{folder}/")),
        sorted(path for path in plan.pending if path.startswith(folder)),
        [plan.level, plan.log_whole, plan.logged is not None],
    ]
    return sha256_hex(repr(said).encode("utf-8", "surrogateescape"))


def state(plates: Folder, plate: str) -> str:
    """A digest over name, size, times and inode of everything in a plate's folder.

    It says whether anything was touched since a plate was verified; it proves nothing of the bytes.
    """
    hasher = hashlib.sha256()

    def look(folder: Folder, depth: int) -> None:
        for name, is_folder, _ in folder.entries():
            found = folder.stat(name)
            line = (name, found.st_mode, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
            hasher.update(repr((*line, found.st_ino)).encode("utf-8", "surrogateescape"))
            if is_folder and depth < DEEPEST:
                with folder.below(name) as inner:
                    look(inner, depth + 1)
        hasher.update(b"\0")

    try:
        with plates.below(plate) as folder:
            look(folder, 0)
    except (LedgerkitError, OSError) as error:
        return f"unreadable: {error}"
    return hasher.hexdigest()
