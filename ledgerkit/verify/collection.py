"""The collection: its runs (seals, evictions, what they read), its documents, the ledgers.

Its records are read first, because they say what is to be expected of the plates.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any

import msgspec

from ledgerkit import layout, schema
from ledgerkit.canonical import canonical_bytes, parse_json, sha256_hex
from ledgerkit.errors import LedgerkitError, MissingInput, UnsafePath
from ledgerkit.held import Folder
from ledgerkit.reading import Tree
from ledgerkit.verify import documents
from ledgerkit.verify.documents import Broken
from ledgerkit.verify.files import Checker
from ledgerkit.verify.logfiles import LogFacts
from ledgerkit.verify.plan import FULL, UNREAD, Known
from ledgerkit.verify.runs import RunFiles, check_run, read_run

LEDGER_FILE = f"{layout.LEDGER}/ledger.json"
LEDGER_CHECKSUM = f"{layout.LEDGER}/ledger.sha256"
ROOT_FILES = (layout.REPOSITORY_FILE, layout.CATALOGUE_FILE)


@dataclass
class Collection:
    """What the runs of the collection say."""

    runs: dict[str, RunFiles] = field(default_factory=dict)
    seals: dict[str, dict[str, Known]] = field(default_factory=dict)
    claims: dict[str, dict[str, Known]] = field(default_factory=dict)
    known: dict[str, Known] = field(default_factory=dict)
    """Everything that a record of the collection vouches for, by path."""
    evicted: set[str] = field(default_factory=set)
    seal: str | None = None
    """A seal run, where there is one."""


def unit_of(path: str) -> str:
    """The plate in whose folder `path` lies; empty for everything else."""
    parts = path.split("/", 2)
    return parts[1] if len(parts) == 3 and parts[0] == layout.PLATES else ""


def repository_id(tree: Tree) -> str | None:
    """The UUID in `repository.json`; None where it cannot be read: its seal says what is wrong."""
    try:
        document = parse_json(tree.read(layout.REPOSITORY_FILE, 1 << 20), layout.REPOSITORY_FILE)
        return str(document["repository_id"])
    except documents.RAISES:
        return None


def read_collection(tree: Tree, checker: Checker, order: list[str] | None) -> Collection:
    """Read all records of the collection, logged ones in log order: only those count for others."""
    found = Collection()
    try:
        with tree.folder(layout.RUNS) as folder:
            names = [name for name, is_folder, _ in folder.entries() if is_folder]
            for name in filter(layout.is_run_id, names):
                with folder.below(name) as inner:
                    found.runs[name] = read_run(checker, inner, layout.COLLECTION)
    except MissingInput:
        pass
    except UnsafePath:
        checker.add("LINK_FOUND", layout.RUNS)
    except OSError as error:
        checker.add("PATH_UNREADABLE", layout.RUNS, error.strerror or error)
    for name in sorted(found.runs) if order is None else order:
        run = found.runs.get(name)
        if run is not None and run.record is not None:
            _take_in(found, checker, run)
    return found


def _take_in(found: Collection, checker: Checker, run: RunFiles) -> None:
    record = run.record
    assert record is not None
    found.known |= run.own
    for made in run.outside:
        if record.operation != "seal":
            continue
        found.seal = record.run_id
        sealed = found.seals.setdefault(unit_of(made.path), {})
        sealed.setdefault(made.path, Known(made.bytes, made.sha256, made.xxh3_128))
    run.outside.clear()
    for given in run.inputs:
        known = Known(given.bytes, given.sha256)
        former = found.claims.setdefault(unit_of(given.path), {}).setdefault(given.path, known)
        if former.sha256 != known.sha256:
            said = f"records list both {former.sha256} and {known.sha256}"
            checker.add("DIGEST_MISMATCH", given.path, said)
    if record.operation in ("evict", "restore", "restore-source"):
        folders = record.parameters.get("folders")
        named = {item for item in folders if type(item) is str} if type(folders) is list else set()
        found.evicted = (
            found.evicted | named if record.operation == "evict" else found.evicted - named
        )


def check_collection(tree: Tree, checker: Checker, found: Collection, log: LogFacts) -> None:
    """Compare the files of the collection: runs, documents, schemas, ledgers."""
    _runs(tree, checker, found)
    for name in log.logged.get(layout.COLLECTION, {}):
        path = f"{layout.RUNS}/{name}"
        if name not in found.runs and not checker.plan.is_pending(path):
            checker.wrong("RUN_MISSING", path, "", UNREAD, 0, None)
    if log.checkpoint is None and log.whole and found.seal and not checker.plan.pending:
        checker.add("LOG_MISSING", layout.LOG, found.seal)
    _documents(tree, checker, found)
    _ledgers(tree, checker, log)


def _runs(tree: Tree, checker: Checker, found: Collection) -> None:
    try:
        with tree.folder(layout.RUNS) as folder:
            for name, is_folder, is_file in folder.entries():
                path = f"{layout.RUNS}/{name}"
                if not is_folder:
                    checker.unlisted(folder, name, path, is_file)
                    continue
                with folder.below(name) as inner:
                    if name in found.runs:
                        check_run(checker, inner, found.runs[name])
                    elif not layout.is_run_id(name):
                        checker.add("RUN_ID_INVALID", path)
                        checker.tree(inner, {}, checker.unlisted)
    except (LedgerkitError, OSError):
        return  # said when the records were read


def _documents(tree: Tree, checker: Checker, found: Collection) -> None:
    """`repository.json`, `data.json`, `schemas/` and whatever else a seal lists outside plates."""
    wanted = dict(found.seals.get("", {}))
    with tree.folder("") as folder:
        for name, is_folder, is_file in folder.entries():
            known = wanted.pop(name, None)
            if known is not None and is_file:
                checker.file(folder, name, name, known, checker.plan.level)
            elif known is not None or (name in ROOT_FILES and not is_file):
                checker.wrong("LINK_FOUND", name, "", UNREAD, 0, known)
            elif name in ROOT_FILES:
                checker.waiting(folder, name, name, is_file)
            elif name == layout.SCHEMAS and is_folder:
                _schemas(checker, folder, wanted)
            elif name in (layout.SCHEMAS, layout.LEDGER, layout.LOG) and not is_folder:
                checker.wrong("LINK_FOUND", name, "", UNREAD, 0, None)
    checker.all_missing(wanted)


def _schemas(checker: Checker, folder: Folder, wanted: dict[str, Known]) -> None:
    def other(inner: Folder, name: str, path: str, is_file: bool) -> None:
        if path.endswith(".json") and inner.path == layout.SCHEMAS:
            checker.waiting(inner, name, path, is_file)
        else:
            checker.unlisted(inner, name, path, is_file)

    try:
        with folder.below(layout.SCHEMAS) as inner:
            checker.tree(inner, wanted, other)
    except (LedgerkitError, OSError) as error:
        checker.add("PATH_UNREADABLE", layout.SCHEMAS, error)


def _ledgers(tree: Tree, checker: Checker, log: LogFacts) -> None:
    """`ledger/` against `ledger.json`, that against the log, and both against `ledger.sha256`."""
    wanted: dict[str, Known] = {}
    there = tree.size(LEDGER_FILE) is not None
    if there:
        try:
            wanted = _ledger_document(tree, checker, log)
        except documents.RAISES as error:
            checker.add("LEDGER_INVALID", LEDGER_FILE, error)

    def other(inner: Folder, name: str, path: str, is_file: bool) -> None:
        if path in (LEDGER_FILE, LEDGER_CHECKSUM) and is_file:
            return
        checker.waiting(inner, name, path, is_file)
        if there and is_file:
            checker.add("LEDGER_FOREIGN", path)

    try:
        with tree.folder(layout.LEDGER) as folder:
            checker.tree(folder, wanted, other)
    except MissingInput:
        return
    except (LedgerkitError, OSError) as error:
        checker.add("PATH_UNREADABLE", layout.LEDGER, error)
    for path, known in sorted(wanted.items()):
        checker.wrong("LEDGER_INVALID", path, "it is missing", UNREAD, 0, known)


def _ledger_document(tree: Tree, checker: Checker, log: LogFacts) -> dict[str, Known]:
    """What `ledger.json` says of the files beside it."""
    data = tree.read(LEDGER_FILE, 1 << 20)
    listed = _ledger_sums(tree, checker)
    digest = sha256_hex(data)
    if listed is not None and listed.get("ledger.json") != digest:
        for path in (LEDGER_CHECKSUM, LEDGER_FILE):  # either may be the wrong one
            said = f"ledger.sha256 lists {listed.get('ledger.json')}, found {digest}"
            checker.add("LEDGER_INVALID", path, said)
        checker.count(LEDGER_FILE, FULL, len(data), None, "it is not as ledger.sha256 lists it")
    else:
        checker.count(LEDGER_FILE, FULL, len(data), None)
    document = parse_json(data, LEDGER_FILE)
    problems = schema.problems("ledger.v1", document)
    if problems or canonical_bytes(document) + b"\n" != data:
        raise Broken("; ".join(problems[:3]) or "it is not in canonical form")
    wanted = {
        f"{layout.LEDGER}/{layout.contained_path(table['file'])}": Known(
            table["bytes"], table["sha256"]
        )
        for table in document["tables"].values()
    }
    owed = {path.rpartition("/")[2]: known.sha256 for path, known in wanted.items()}
    if listed is not None and listed != owed | {"ledger.json": listed.get("ledger.json")}:
        said = "it does not list the digests that ledger.json lists"
        checker.add("LEDGER_INVALID", LEDGER_CHECKSUM, said)
    _prefix(checker, document, log)
    return wanted


def _ledger_sums(tree: Tree, checker: Checker) -> dict[str, str] | None:
    """What `ledger.sha256` lists; None, with a finding, where it cannot be read."""
    try:
        data = tree.read(LEDGER_CHECKSUM, 1 << 20)
        listed = documents.checksums(data)
    except documents.RAISES as error:
        checker.wrong("LEDGER_INVALID", LEDGER_CHECKSUM, error, UNREAD, 0, None)
        return None
    checker.count(LEDGER_CHECKSUM, FULL, len(data), None)
    return listed


def _prefix(checker: Checker, document: dict[str, Any], log: LogFacts) -> None:
    """The log that the ledgers were built at must be a beginning of the present one."""
    size, root = document["log_size"], document["log_root"]
    if size is None or not log.levels or not log.whole:
        if size is not None and log.checkpoint is None and log.whole:
            checker.add(
                "LEDGER_INVALID",
                LEDGER_FILE,
                f"it was built at {size} entries of a log that is gone",
            )
        return
    if size > log.size:
        said = f"it was built at {size} entries, the log has {log.size}"
        checker.add("LEDGER_INVALID", LEDGER_FILE, said)
    elif base64.b64encode(log.root(size)).decode() != root:
        said = f"the first {size} entries of the log lead to another root"
        checker.add("LEDGER_INVALID", LEDGER_FILE, said)
    elif log.counts(size) != (document["manifests"], document["runs"]):
        said = f"it does not hold as many plates and runs as the first {size} entries name"
        checker.add("LEDGER_INVALID", LEDGER_FILE, said)


def pending(tree: Tree, checker: Checker) -> frozenset[str]:
    """Final paths that an unfinished commit promises, and log files that it supersedes."""
    try:
        data = tree.read(layout.INTENT, 1 << 30)
    except MissingInput:
        return frozenset()
    except documents.RAISES as error:
        checker.add("PATH_UNREADABLE", layout.INTENT, error)
        return frozenset()
    try:
        intent = msgspec.json.decode(data)
        promised = [move["final"] for move in intent["moves"]]
        promised += (intent.get("log") or {}).get("superseded", [])
        found = {layout.contained_path(path) for path in promised}
    except documents.RAISES as error:
        checker.add("COMMIT_PENDING", layout.INTENT, f"it cannot be read: {error}")
        return frozenset()
    checker.add("COMMIT_PENDING", layout.INTENT, f"that of {intent.get('job_id')}")
    return frozenset(path for path in found if layout.is_ours(path))
