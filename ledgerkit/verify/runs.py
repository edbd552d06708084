"""A run's folder: the record against the log, its checksum file and its own files, both ways."""

from __future__ import annotations

from dataclasses import dataclass, field

from ledgerkit import layout
from ledgerkit.canonical import sha256_hex
from ledgerkit.errors import LedgerkitError
from ledgerkit.held import Folder
from ledgerkit.verify import documents
from ledgerkit.verify.documents import Broken, Listing, Made, Read, Record
from ledgerkit.verify.files import Checker, Wanted
from ledgerkit.verify.plan import FULL, UNREAD, Known

MAX_LISTING_BYTES = 1 << 32


@dataclass
class RunFiles:
    """What a run's documents say: of files in its folder, in its cache, and elsewhere."""

    record: Record | None = None
    own: Wanted = field(default_factory=dict)
    cached: Wanted = field(default_factory=dict)
    outside: list[Made] = field(default_factory=list)
    inputs: list[Read] = field(default_factory=list)
    accounted: set[str] = field(default_factory=set)
    """Documents in the folder that were read and counted."""
    whole: bool = True
    """Whether all that the record lists is known."""


def read_run(checker: Checker, folder: Folder, subject: str) -> RunFiles:
    """Read the documents of a run's folder; findings for what is wrong with them."""
    found = RunFiles()
    path, name = folder.path, folder.path.rpartition("/")[2]
    logged = checker.plan.logged
    vouched = logged.get(subject, {}).get(name) if logged is not None else None
    complete = logged is not None and checker.plan.log_whole
    if complete and vouched is None and not checker.plan.is_pending(path):
        checker.add("UNSEALED_RUN", path)
    sums = _sums(checker, folder, found)
    try:
        data = folder.read(layout.RECORD)
    except documents.RAISES as error:
        found.whole = False
        checker.wrong("RUN_INVALID", f"{path}/{layout.RECORD}", error, UNREAD, 0, None)
        return _by_sums(found, path, sums)
    found.accounted.add(f"{path}/{layout.RECORD}")
    said = vouched or (sums or {}).get(layout.RECORD)
    digest = checker.document(f"{path}/{layout.RECORD}", data, said)
    try:
        record = documents.record(data, f"{path}/{layout.RECORD}", vouched is not None)
        if (record.run_id, record.subject) != (name, subject):
            raise Broken(f"it says it is {record.run_id} of {record.subject}")
        if digest is not None or said is None:
            found.record = record
            _lists(checker, folder, found, record)
    except documents.RAISES as error:
        found.whole = False
        checker.add("RUN_INVALID", path, error)
    if found.record is None or not found.whole:
        found.whole = False
        return _by_sums(found, path, sums)
    if sums is not None:
        _compare(checker, found, path, sums, sha256_hex(data))
    return found


def _sums(checker: Checker, folder: Folder, found: RunFiles) -> dict[str, str] | None:
    """What `run.sha256` lists; None with a finding where it cannot be read."""
    path = f"{folder.path}/{layout.RECORD_CHECKSUM}"
    try:
        data = folder.read(layout.RECORD_CHECKSUM, 1 << 28)
    except documents.RAISES as error:
        checker.wrong("RUN_INVALID", path, error, UNREAD, 0, None)
        return None
    found.accounted.add(path)
    try:
        sums = documents.checksums(data)
    except documents.RAISES as error:
        checker.wrong("RUN_INVALID", path, error, FULL, len(data), None)
        return None
    checker.count(path, FULL, len(data), None)
    return sums


def _by_sums(found: RunFiles, path: str, sums: dict[str, str] | None) -> RunFiles:
    """What is left to go by when the record cannot be trusted: its checksum file."""
    for name, digest in (sums or {}).items():
        below = f"{path}/{name}"
        if below not in found.accounted and _is_below(name):
            found.own.setdefault(below, Known(None, digest))
    return found


def _is_below(name: str) -> bool:
    try:
        layout.contained_path(name)
    except LedgerkitError:
        return False
    return True


def _lists(checker: Checker, folder: Folder, found: RunFiles, record: Record) -> None:
    """Sort what the record lists by where it lies."""
    outputs, inputs = record.outputs, record.inputs
    if record.outputs_listing is not None:
        data = _listing(checker, folder, found, record.outputs_listing)
        outputs = [] if data is None else documents.listed_outputs(data)
        _counted(found, record.outputs_listing, len(outputs))
    if record.inputs_listing is not None:
        data = _listing(checker, folder, found, record.inputs_listing)
        inputs = [] if data is None else documents.listed_inputs(data)
        _counted(found, record.inputs_listing, len(inputs))
    own = f"{folder.path}/"
    cached = f"{layout.cache_folder(record.subject, record.run_id)}/"
    for output in outputs:
        path = documents.contained(output.path)
        known = Known(output.bytes, output.sha256, output.xxh3_128)
        if path.startswith(own):
            found.own[path] = known
        elif path.startswith(cached):
            found.cached[path] = known
        else:
            found.outside.append(output)
    for given in inputs:
        documents.contained(given.path)
    found.inputs = inputs


def _listing(checker: Checker, folder: Folder, found: RunFiles, listing: Listing) -> bytes | None:
    """The bytes of a listing; None with a finding where they are not the recorded ones."""
    path = f"{folder.path}/{listing.path}"
    below, _, name = listing.path.partition("/")
    known = Known(listing.bytes, listing.sha256)
    found.accounted.add(path)
    try:
        with folder.below(below) as inner:
            data = inner.read(name, MAX_LISTING_BYTES)
    except documents.RAISES as error:
        checker.unreadable(path, error, known)
        found.whole = False
        return None
    if len(data) != listing.bytes:
        said = f"{len(data)} bytes, {listing.bytes} are recorded"
        checker.wrong("SIZE_MISMATCH", path, said, FULL, len(data), known)
        found.whole = False
        return None
    if checker.document(path, data, listing.sha256) is None:
        found.whole = False
        return None
    return data


def _counted(found: RunFiles, listing: Listing, count: int) -> None:
    if found.whole and count != listing.count:
        raise Broken(f"{listing.path} holds {count} lines, {listing.count} are recorded")


def _compare(
    checker: Checker, found: RunFiles, path: str, sums: dict[str, str], digest: str
) -> None:
    """Hold `run.sha256` against the record: the same names, the same digests."""
    record = found.record
    if record is None:
        return
    owed = {layout.RECORD: digest}
    for listing in (record.inputs_listing, record.outputs_listing):
        if listing is not None:
            owed[listing.path] = listing.sha256
    owed |= {below.removeprefix(f"{path}/"): known.sha256 for below, known in found.own.items()}
    if owed == sums:
        return
    for name in sorted(owed.keys() | sums.keys()):
        if owed.get(name) != sums.get(name):
            listed, wanted = sums.get(name, "nothing"), owed.get(name, "nothing")
            said = f"of {name} it lists {listed}, the record {wanted}"
            checker.add("RUN_CHECKSUM_INVALID", f"{path}/{layout.RECORD_CHECKSUM}", said)


def check_run(checker: Checker, folder: Folder, found: RunFiles) -> None:
    """Compare everything in a run's folder with what its documents list."""
    accounted = found.accounted

    def other(inner: Folder, name: str, path: str, is_file: bool) -> None:
        if path not in accounted or not is_file:
            if found.whole:
                checker.unlisted(inner, name, path, is_file)
            else:
                checker.waiting(inner, name, path, is_file)

    checker.tree(folder, found.own, other)
    checker.all_missing(found.own)
