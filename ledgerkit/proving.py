"""Checkpoints, proofs and keys of a repository's log; and what a file proves, offline.

Reads the log only: nothing here writes into a repository, and what it makes for others is written
outside of every repository.
"""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from ledgerkit import layout
from ledgerkit.answer_proof import is_answer_proof, parse_answer_proof, verify_answer
from ledgerkit.canonical import parse_json
from ledgerkit.errors import LedgerkitError, LogInvalid, MissingInput, UsageError
from ledgerkit.log import ORIGIN, Entry, Logged
from ledgerkit.merkle import (
    Edge,
    Node,
    ProofInvalid,
    check_inclusion,
    inclusion_proof,
    leaf_hash,
)
from ledgerkit.note import (
    NoteInvalid,
    Signer,
    Verifier,
    new_signer,
    parse_verifier,
    read_signer,
    sign_note,
    write_signer,
)
from ledgerkit.proof import (
    HEADER,
    Consistency,
    Head,
    Held,
    Proof,
    VerifiedView,
    check_growth,
    parse_consistency,
    parse_head,
    parse_proof,
    verify_consistency,
    verify_head,
    verify_inclusion,
)
from ledgerkit.repository import Archive

MAX_FILE_BYTES = 1 << 30


@dataclass(frozen=True)
class CheckpointView:
    """The head of a log, as text to keep elsewhere; `continues` is the size of an older one that it continues."""

    origin: str
    size: int
    root: str
    text: str
    signed_by: str | None = None
    continues: int | None = None


@dataclass(frozen=True)
class ProofView:
    """A proof of inclusion that was made."""

    path: str
    sha256: str
    index: int
    size: int
    text: str
    signed_by: str | None = None


@dataclass(frozen=True)
class ConsistencyView:
    """That today's log continues an older checkpoint, with the proof."""

    origin: str
    old_size: int
    size: int
    root: str
    text: str
    proved: str


@dataclass(frozen=True)
class KeyView:
    """A key that was made: what others verify with, and the file that signs."""

    name: str
    verifier: str
    file: str


@dataclass(frozen=True)
class Trusted:
    """What a verifier holds, as files and texts: verifier keys, a checkpoint, a proof of consistency."""

    keys: list[str] = field(default_factory=list)
    checkpoint: Path | None = None
    consistency: Path | None = None

    def held(self) -> Held:
        """What it is. Raises `UsageError`, `NoteInvalid`, `ProofInvalid`."""
        if self.consistency is not None and self.checkpoint is None:
            raise UsageError("a proof of consistency joins two checkpoints: give --checkpoint too")
        return Held(
            tuple(key for text in self.keys for key in verifier_keys(text)),
            read_head(self.checkpoint) if self.checkpoint else None,
            parse_consistency(read_outside(self.consistency)) if self.consistency else None,
        )


def checkpoint(
    archive: Archive, signer: Signer | None = None, since: Head | None = None
) -> CheckpointView:
    """The present checkpoint, held against all entries before it is given out or signed.

    Raises `ProofInvalid` when the log is no continuation of `since`, `LogInvalid` for a damaged log.
    """
    head = present_head(archive, signer)
    if since is not None:
        grown(archive, since, head)
    stated = head.checkpoint
    return CheckpointView(
        stated.origin,
        stated.size,
        base64.b64encode(stated.root).decode(),
        head.text,
        _signer_of(head),
        since.checkpoint.size if since else None,
    )


def present_head(archive: Archive, signer: Signer | None = None) -> Head:
    """The checkpoint of the log as it is, perhaps signed, after all entries were compared with it.

    Raises `MissingInput` where there is no log yet, `LogInvalid`.
    """
    stated = archive.log.checkpoint()
    if stated is None:
        raise MissingInput(
            "this repository has no log yet",
            "Any command that writes begins it, as: ledgerkit consolidate. If there was one before, "
            "it is lost: see ledgerkit audit",
        )
    if archive.log.index().size < stated.size:
        raise LogInvalid("the log went back while it was read")
    _check_origin(archive, stated.origin)
    text = stated.text()
    return parse_head(sign_note(text, signer).encode() if signer else text)


def _check_origin(archive: Archive, origin: str) -> None:
    """The one line of a checkpoint that no hash covers is the repository's own identity."""
    document = parse_json(archive.tree.read(layout.REPOSITORY_FILE), layout.REPOSITORY_FILE)
    wanted = f"{ORIGIN}{document.get('repository_id')}" if isinstance(document, dict) else ""
    if origin != wanted:
        raise LogInvalid(
            f"{layout.CHECKPOINT} is of {origin}, but {layout.REPOSITORY_FILE} says {wanted or 'nothing'}",
            "One of the two was changed: restore it from a replica.",
        )


def _signer_of(head: Head) -> str | None:
    return head.note.signatures[0].signer if head.note else None


def grown(archive: Archive, since: Head, head: Head) -> Consistency:
    """How the log of `head` continues `since`. Raises `ProofInvalid` when it does not."""
    old, new = since.checkpoint, head.checkpoint
    if old.origin != new.origin:
        raise ProofInvalid(
            f"the checkpoint is of another log: {old.origin}; this repository's is {new.origin}"
        )
    if old.size > new.size:
        raise ProofInvalid(
            f"the log has {new.size} entries, the checkpoint {old.size}: entries were lost",
            "The repository was rolled back, or this is an old copy: compare it with a replica.",
        )
    growth = Consistency(old.size, tuple(archive.log.consistency(old.size, new.size)), head)
    try:
        check_growth(old, growth)
    except ProofInvalid as error:
        if _root_of_entries(archive, old.size) == old.root:
            raise _damaged_tiles() from error
        raise ProofInvalid(
            f"today's log is no continuation of the checkpoint of {old.size} entries: something "
            f"logged by then was changed, taken out or moved ({error.message})",
            "Keep the old checkpoint, it is the evidence; compare with a replica, "
            "and sign nothing until it is cleared up.",
        ) from error
    return growth


def _root_of_entries(archive: Archive, size: int) -> bytes:
    """The root over the first entries themselves, which were held against the checkpoint before."""
    edge = Edge()
    edge.append(leaf_hash(entry.encode()) for entry in archive.log.entries(0, size))
    return edge.root()


def _damaged_tiles() -> LogInvalid:
    return LogInvalid(
        f"a tile in {layout.LOG}/tile does not hold the hashes of the entries; the entries are sound",
        "Restore log/ from a replica: nothing in the history was changed.",
    )


def consistency(archive: Archive, since: Head) -> ConsistencyView:
    """Show that today's log continues an older checkpoint. Raises `ProofInvalid` when it does not."""
    head = present_head(archive)
    growth = grown(archive, since, head)
    stated = head.checkpoint
    return ConsistencyView(
        stated.origin,
        growth.old,
        stated.size,
        base64.b64encode(stated.root).decode(),
        growth.encode().decode(),
        f"all {growth.old} entries that the log had then are in today's log, unchanged and in "
        f"their places; {stated.size - growth.old} came since",
    )


def prove(archive: Archive, subject: str, signer: Signer | None = None) -> ProofView:
    """Prove that a run's record, or a plate's manifest, is in the log.

    Raises `UsageError` for what is neither, `DigestMismatch` when the file is not what was logged.
    """
    path, logged = _logged(archive, subject)
    archive.tree.read_checked(path, logged.sha256)
    head = present_head(archive, signer)
    size = head.checkpoint.size
    (entry,) = archive.log.entries(logged.index, logged.index + 1)
    hashes = hashes_of(logged.index, entry, head, archive.log.node(size))
    text = Proof(logged.index, tuple(hashes), entry.encode(), head).encode().decode()
    return ProofView(path, logged.sha256, logged.index, size, text, _signer_of(head))


def hashes_of(index: int, entry: Entry, head: Head, node: Node) -> list[bytes]:
    """Proof that an entry is in the log with `head`, checked before it is given out.

    Raises `LogInvalid` when the tiles do not lead from the entry to the root.
    """
    stated = head.checkpoint
    hashes = inclusion_proof(index, stated.size, node)
    try:
        check_inclusion(index, stated.size, leaf_hash(entry.encode()), hashes, stated.root)
    except ProofInvalid as error:
        raise _damaged_tiles() from error
    return hashes


def _logged(archive: Archive, subject: str) -> tuple[str, Logged]:
    """Path of a record or manifest, and where the log has it."""
    present_head(archive)
    index = archive.log.index()
    if layout.is_plate_id(subject):
        manifest = index.manifest(subject)
        if manifest is not None:
            return f"{layout.plate_folder(subject)}/{layout.MANIFEST}", manifest
    elif layout.is_run_id(subject):
        found = index.find_run(subject)
        if found is not None:
            return f"{layout.run_folder(found[0], subject)}/{layout.RECORD}", found[1]
    else:
        raise UsageError(
            f"neither a run nor a plate: {subject}",
            "As: ledgerkit log prove plate-001, or the id of a run: ledgerkit query "
            '"SELECT run_id FROM runs"',
        )
    raise MissingInput(
        f"{subject} is not in the log",
        "Only what was committed is logged: see ledgerkit status and ledgerkit audit.",
    )


def keygen(name: str, path: Path) -> KeyView:
    """Make a key pair: the secret half in a new file outside every repository, mode 0600."""
    refuse_inside(path)
    signer = new_signer(name)
    write_signer(path, signer)
    return KeyView(name, signer.verifier.text(), str(path))


def signer_file(path: Path) -> Signer:
    """The signer key in a file. Raises `UsageError` for one inside a repository or open to others."""
    refuse_inside(path)
    return read_signer(path)


def verifier_keys(given: str) -> list[Verifier]:
    """Verifier keys from the key itself, or from a file with one a line. Raises `NoteInvalid`."""
    try:
        return [parse_verifier(given)]
    except NoteInvalid:
        if not os.path.isfile(given):
            raise
    lines = read_outside(Path(given), 1 << 16).decode("utf-8", "replace").splitlines()
    return [parse_verifier(line) for line in lines if line.strip()]


def read_head(path: Path) -> Head:
    """A checkpoint that somebody kept. Raises `UsageError`, `ProofInvalid`, `NoteInvalid`."""
    try:
        return parse_head(read_outside(path, 2 << 20).decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ProofInvalid(f"{path} is no checkpoint: it is not UTF-8") from error
    except LedgerkitError as error:
        raise type(error)(f"{path}: {error.message}", error.hint) from error


def verify_file(
    path: Path,
    trusted: Trusted | None = None,
    records: list[Path] | None = None,
    answer: Path | None = None,
) -> VerifiedView:
    """What a file proves: a `.tlog-proof`, a proof of consistency, of an answer, or a checkpoint.

    Needs neither repository nor network. Raises `ProofInvalid`, `NoteInvalid`, `UsageError`.
    """
    held = (trusted or Trusted()).held()
    data = read_outside(path)
    given = [read_outside(one) for one in records or ()]
    if is_answer_proof(data):
        lines = read_outside(answer) if answer else None
        return verify_answer(parse_answer_proof(data), held, given, lines)
    if answer is not None:
        raise UsageError(f"{path} is no proof of an answer, so --answer has no meaning")
    if data.startswith(HEADER.encode()):
        return verify_inclusion(parse_proof(data), held, given)
    if given:
        raise UsageError(f"{path} proves no record, so --record has no meaning")
    if data.startswith(b"old "):
        return verify_consistency(parse_consistency(data), held)
    return verify_head(read_head(path), held)


def read_outside(path: Path, max_bytes: int = MAX_FILE_BYTES) -> bytes:
    """All bytes of a file that the user named. Raises `UsageError`."""
    try:
        with open(path, "rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    if len(data) > max_bytes:
        raise UsageError(f"{path} is larger than {max_bytes} bytes: it is nothing of this kind")
    return data


def refuse_inside(path: Path) -> None:
    """Raise `UsageError` for a path inside a repository, whichever repository it is."""
    absolute = path.resolve()
    for folder in absolute.parents:
        if (folder / layout.PLATES).is_dir():
            raise UsageError(
                f"{path} lies inside the repository {folder}",
                "Keys, checkpoints and proofs are kept elsewhere: there they are worth something.",
            )


def write_outside(path: Path, data: bytes) -> None:
    """Write a file outside every repository, as a whole or not at all. Raises `UsageError`."""
    refuse_inside(path)
    if path.exists() and not path.is_file():  # a pipe or a terminal
        path.write_bytes(data)
        return
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        try:
            with open(beside, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, path)
        except OSError:
            with contextlib.suppress(OSError):
                beside.unlink()
            raise
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
