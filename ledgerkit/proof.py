"""Proof files and how they are checked offline: inclusion of a record, growth of the log.

Pure: bytes in, verdict out; neither repository nor network is needed. A proof of inclusion is a C2SP
tlog-proof (https://c2sp.org/tlog-proof) whose extra data is the log's entry; a proof of consistency
has the form of the body that a C2SP tlog-witness is sent (https://c2sp.org/tlog-witness): the old
size, the hashes, the new checkpoint. A checkpoint is C2SP tlog-checkpoint text, signed or not.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from ledgerkit.canonical import sha256_hex
from ledgerkit.errors import LedgerkitError, UsageError
from ledgerkit.log import Entry, LogIndex, decode_entry
from ledgerkit.merkle import (
    HASH_BYTES,
    Checkpoint,
    ProofInvalid,
    check_consistency,
    check_inclusion,
    leaf_hash,
    parse_checkpoint,
)
from ledgerkit.note import Note, NoteInvalid, Verifier, check_note, decode_base64, parse_note

HEADER = "c2sp.org/tlog-proof@v1"
MAX_HASHES = 63
"""No tree that a checkpoint can state is higher; tlog-witness has the same limit."""
MAX_PROOF_BYTES = 2 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
UNPROVED = (
    "that what a record says was true when it was written, or that nothing was left out of it"
)


@dataclass(frozen=True, slots=True)
class Head:
    """A checkpoint as somebody wrote it: its text to the byte, what it states, its signatures."""

    text: str
    checkpoint: Checkpoint
    note: Note | None


@dataclass(frozen=True, slots=True)
class Proof:
    """That one entry is in the log with a certain checkpoint: a `.tlog-proof`."""

    index: int
    hashes: tuple[bytes, ...]
    entry: bytes
    head: Head

    def encode(self) -> bytes:
        lines = [HEADER, f"extra {_base64(self.entry)}", f"index {self.index}"]
        return _document(lines, self.hashes, self.head)


@dataclass(frozen=True, slots=True)
class Consistency:
    """That the log of `head` begins with the log that had `old` entries."""

    old: int
    hashes: tuple[bytes, ...]
    head: Head

    def encode(self) -> bytes:
        return _document([f"old {self.old}"], self.hashes, self.head)


@dataclass(frozen=True)
class Held:
    """What a verifier holds from elsewhere, and trusts: keys, a checkpoint, how the log grew."""

    keys: tuple[Verifier, ...] = ()
    head: Head | None = None
    growth: Consistency | None = None


@dataclass(frozen=True)
class VerifiedView:
    """What a file proves, and what it does not.

    `trusted` says whether a key or a checkpoint that the verifier holds vouches for the checkpoint;
    without one, the file agrees with itself and no more.
    """

    kind: str
    origin: str
    size: int
    root: str
    entries: int = 0
    signed_by: list[str] = field(default_factory=list)
    trusted: bool = False
    proved: list[str] = field(default_factory=list)
    not_proved: list[str] = field(default_factory=list)


def parse_head(text: str) -> Head:
    """A checkpoint and nothing else: its three lines, perhaps signed. Raises `ProofInvalid`, `NoteInvalid`."""
    note = parse_note(text) if "\n\n" in text else None
    body = note.text if note else text
    checkpoint = parse_checkpoint(body)
    if body != checkpoint.text():
        raise ProofInvalid(
            "the checkpoint is followed by other lines: expected origin, size, root, and nothing "
            "more but an empty line and signatures"
        )
    if not checkpoint.origin.isprintable():
        raise ProofInvalid(f"the checkpoint's origin is not printable: {checkpoint.origin!r}")
    return Head(text, checkpoint, note)


def parse_proof(data: bytes) -> Proof:
    """A `.tlog-proof` as `Proof.encode` writes it. Raises `ProofInvalid`, `NoteInvalid`."""
    lines, head = _parts(data, "proof")
    if lines[0] != HEADER:
        raise ProofInvalid(f"not a proof: its first line must be {HEADER}")
    extra, rest = (lines[1], lines[2:]) if len(lines) > 1 else ("", [])
    if not extra.startswith("extra "):
        raise ProofInvalid(
            "the proof carries no entry, so no leaf can be computed from it",
            "Proofs that `ledgerkit log prove` writes have the entry in their line `extra`.",
        )
    entry = decode_base64(extra.removeprefix("extra "), "the entry in the proof")
    if not rest or not rest[0].startswith("index "):
        raise ProofInvalid("the proof's third line must be `index` and a number")
    index = _number(rest[0].removeprefix("index "), "the index")
    return Proof(index, _hashes(rest[1:]), entry, head)


def parse_consistency(data: bytes) -> Consistency:
    """A proof of consistency. Raises `ProofInvalid`, `NoteInvalid`."""
    lines, head = _parts(data, "proof of consistency")
    if not lines[0].startswith("old "):
        raise ProofInvalid("not a proof of consistency: its first line must be `old` and a size")
    old = _number(lines[0].removeprefix("old "), "the old size")
    return Consistency(old, _hashes(lines[1:]), head)


def _parts(data: bytes, what: str) -> tuple[list[str], Head]:
    """The lines before the first empty one, and the checkpoint behind it."""
    if len(data) > MAX_PROOF_BYTES:
        raise ProofInvalid(f"a {what} of {len(data)} bytes is over the limit of {MAX_PROOF_BYTES}")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ProofInvalid(f"not a {what}: its byte {error.start} is no UTF-8") from error
    above, empty, below = text.partition("\n\n")
    if not empty or not above:
        raise ProofInvalid(f"not a {what}: expected lines, an empty line, and a checkpoint")
    return above.split("\n"), parse_head(below)


def _hashes(lines: Sequence[str]) -> tuple[bytes, ...]:
    if len(lines) > MAX_HASHES:
        raise ProofInvalid(f"a proof of {len(lines)} hashes is longer than any tree is high")
    found = tuple(decode_base64(line, f"hash {at} of the proof") for at, line in enumerate(lines))
    if any(len(one) != HASH_BYTES for one in found):
        raise ProofInvalid(f"a hash of the proof does not have {HASH_BYTES} bytes")
    return found


def _number(text: str, what: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise ProofInvalid(f"{what} is no number: {text[:40]!r}")
    return int(text)


def _document(lines: list[str], hashes: Sequence[bytes], head: Head) -> bytes:
    return "\n".join([*lines, *map(_base64, hashes), "", head.text]).encode()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def entry_of(data: bytes) -> Entry:
    """A log's entry from its canonical bytes. Raises `ProofInvalid`."""
    try:
        LogIndex().add([data])
        entry = decode_entry(data)
    except LedgerkitError as error:
        raise ProofInvalid(f"the proof's entry is no entry of such a log: {error}") from error
    if not _SHA256.fullmatch(entry.sha256):
        raise ProofInvalid("the proof's entry states no SHA-256")
    if entry.encode() != data:
        raise ProofInvalid("the proof's entry is not canonical JSON")
    return entry


def verify_inclusion(proof: Proof, held: Held, records: Sequence[bytes] = ()) -> VerifiedView:
    """What a `.tlog-proof` proves to somebody who holds `held`, and perhaps the record itself.

    Raises `ProofInvalid`, `NoteInvalid` when anything in it, or anything given, disagrees.
    """
    head = proof.head.checkpoint
    entry = entry_of(proof.entry)
    check_inclusion(proof.index, head.size, leaf_hash(proof.entry), proof.hashes, head.root)
    named = f"{entry.path} with SHA-256 {entry.sha256}"
    proved = [f"{named} is entry {proof.index} of the log with the checkpoint below"]
    for data in records:
        found = sha256_hex(data)
        if found != entry.sha256:
            raise ProofInvalid(
                f"the record given has SHA-256 {found}, the entry in the log says {entry.sha256}",
                f"Give the file that was {entry.path}, byte for byte.",
            )
        proved.append(f"the record given is {entry.path}, unchanged")
    open_ = [] if records else ["that a file you have is this record: give it with --record FILE"]
    return verified("inclusion", proof.head, held, proved, [*open_, UNPROVED], entries=1)


def verify_consistency(proof: Consistency, held: Held) -> VerifiedView:
    """What a proof of consistency proves to somebody who holds the old checkpoint.

    Raises `UsageError` without one, `ProofInvalid`, `NoteInvalid` when anything disagrees.
    """
    if held.head is None:
        raise UsageError(
            "a proof of consistency says nothing without the old checkpoint",
            "Give the one that you hold: --checkpoint FILE",
        )
    old, new = held.head.checkpoint, proof.head.checkpoint
    check_growth(old, proof)
    proved = [
        f"the log with the checkpoint below holds all {old.size} entries of the checkpoint you "
        f"hold, unchanged and in their places, and {new.size - old.size} more"
    ]
    files = "that the files which the entries name are still there and unchanged: ledgerkit verify"
    grown = Held(held.keys, held.head, proof)
    return verified("consistency", proof.head, grown, proved, [files, UNPROVED])


def verify_head(head: Head, held: Held) -> VerifiedView:
    """What a checkpoint alone proves. Raises `UsageError` where nothing is held to compare it with."""
    if not held.keys and held.head is None:
        raise UsageError(
            "a checkpoint proves nothing by itself",
            "Give a key that should have signed it (--key), or one that you hold (--checkpoint).",
        )
    return verified("checkpoint", head, held, [], [f"anything about a record; and {UNPROVED}"])


def verified(
    kind: str, head: Head, held: Held, proved: list[str], open_: list[str], entries: int = 0
) -> VerifiedView:
    """The verdict: what was proved and what not, and whether what is held vouches for the checkpoint.

    Raises `ProofInvalid`, `NoteInvalid` when the checkpoint disagrees with what is held.
    """
    stated = head.checkpoint
    vouched, signed = [], []
    if held.keys:
        if head.note is None:
            raise NoteInvalid(
                "the checkpoint is not signed, so no key can vouch for it",
                "Compare it with a checkpoint that you hold: --checkpoint FILE",
            )
        signed = [one.signer for one in check_note(head.note, held.keys)]
        vouched.append(f"the checkpoint is signed by {', '.join(signed)}")
    if held.head is not None:
        vouched.append(_compared(head, held.head.checkpoint, held.growth))
    unvouched = [] if vouched else [_nobody_vouches(head)]
    return VerifiedView(
        kind,
        stated.origin,
        stated.size,
        _base64(stated.root),
        entries,
        signed,
        bool(vouched),
        [*proved, *vouched],
        [*unvouched, *open_],
    )


def _nobody_vouches(head: Head) -> str:
    signers = ", ".join(one.signer for one in head.note.signatures) if head.note else ""
    seen = f"its signatures were not checked: {signers}" if signers else "it is unsigned"
    return (
        f"that the checkpoint is the archive's ({seen}): anybody can make a log that agrees with "
        "itself. Give --key VKEY, or --checkpoint FILE with one that you hold"
    )


def _compared(head: Head, mine: Checkpoint, growth: Consistency | None) -> str:
    """Compare a checkpoint with one that is held; the sentence that says what that shows."""
    stated = head.checkpoint
    if stated.origin != mine.origin:
        raise ProofInvalid(
            f"the checkpoint is of another log: {stated.origin}, you hold one of {mine.origin}"
        )
    if stated.size == mine.size:
        if stated.root != mine.root:
            raise ProofInvalid(
                f"two logs of {mine.size} entries with different roots: the checkpoint is not the "
                "one you hold",
                "One of the two histories was rewritten. Keep both: together they are the evidence.",
            )
        return "the checkpoint is the one you hold"
    old, new = sorted((stated, mine), key=lambda one: one.size)
    if growth is None:
        raise ProofInvalid(
            f"the checkpoint has {stated.size} entries, the one you hold {mine.size}: whether one "
            "log became the other needs a proof of consistency",
            "Have it made with: ledgerkit log consistency OLD -o FILE, and give --consistency FILE",
        )
    if growth.head.checkpoint != new:
        raise ProofInvalid(
            f"the proof of consistency leads to another checkpoint, of "
            f"{growth.head.checkpoint.size} entries: expected the one of {new.size}"
        )
    check_growth(old, growth)
    return (
        f"the checkpoint continues the one you hold, of {mine.size} entries"
        if mine is old
        else f"the checkpoint you hold, of {mine.size} entries, continues this one"
    )


def check_growth(old: Checkpoint, growth: Consistency) -> None:
    """Raise `ProofInvalid` unless `growth` leads from `old` to its own checkpoint."""
    new = growth.head.checkpoint
    if old.origin != new.origin:
        raise ProofInvalid(
            f"these are two logs: the old checkpoint is of {old.origin}, the new of {new.origin}"
        )
    if growth.old != old.size:
        raise ProofInvalid(
            f"the proof of consistency begins at {growth.old} entries, the old checkpoint at {old.size}"
        )
    check_consistency(old.size, new.size, growth.hashes, old.root, new.root)
