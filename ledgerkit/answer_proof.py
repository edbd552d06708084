"""Proof that the records behind the rows of an answer are in the log: one file, checked offline.

The file is canonical JSON lines: first a head (`answer.proof.v1`) with the query, the digest of its
answer and the checkpoint, then one line a record (`answer.record.v1`) with the log's entry, its index
and its proof of inclusion, in the order of the log. Pure: bytes in, verdict out.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, Literal

import msgspec

from ledgerkit.canonical import canonical_bytes, sha256_hex
from ledgerkit.errors import LimitExceeded
from ledgerkit.log import Entry
from ledgerkit.merkle import ProofInvalid, check_inclusion, leaf_hash
from ledgerkit.note import decode_base64
from ledgerkit.proof import UNPROVED, Head, Held, VerifiedView, entry_of, parse_head, verified

MAX_ANSWER_BYTES = 1 << 30
_BEGINS = b'{"answer":'
"""What a file of this kind begins with: the first key of its first line."""
_ALL = (
    "that these are all the records behind the answer: the list is that of whoever made the file, by "
    "the columns that the query asked for (of a plate that was amended, ask for log_indexes)"
)
_DERIVED = (
    "that the query gives this answer: have the ledgers rebuilt from these records, by somebody "
    "else if need be (ledgerkit consolidate --at CHECKPOINT), and ask again. Sums, counts and "
    "other aggregates are proved in no other way"
)


class Column(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A column of the answer."""

    name: str
    type: str


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was answered: columns, number of rows, SHA-256 over the canonical lines of all rows."""

    columns: list[Column]
    rows: int
    sha256: str


class AnswerHead(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The first line: what was asked and answered, of which ledgers, under which checkpoint."""

    answer: Answer
    checkpoint: str
    found_by: list[str]
    ledger_sha256: str
    query: str
    records: int
    schema_version: Literal["answer.proof.v1"]
    software: dict[str, str]
    ledger_software: dict[str, str]


class RecordLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One record: its entry in the log, where it stands, the hashes from its leaf to the root."""

    entry: Entry
    index: int
    proof: list[str]


class AnswerProof(msgspec.Struct, frozen=True):
    """The whole file."""

    head: AnswerHead
    records: list[RecordLine]


def is_answer_proof(data: bytes) -> bool:
    return data.startswith(_BEGINS)


def encode_answer_proof(
    head: AnswerHead, records: Iterable[tuple[int, Entry, Sequence[bytes]]]
) -> bytes:
    """The file for these records, which must be sorted by index."""
    lines = [canonical_bytes(msgspec.to_builtins(head))]
    for index, entry, hashes in records:
        proof = [base64.b64encode(one).decode() for one in hashes]
        lines.append(canonical_bytes(msgspec.to_builtins(RecordLine(entry, index, proof))))
    return b"\n".join(lines) + b"\n"


def parse_answer_proof(data: bytes) -> AnswerProof:
    """A file as `encode_answer_proof` writes it. Raises `ProofInvalid`, `LimitExceeded`."""
    if len(data) > MAX_ANSWER_BYTES:
        raise LimitExceeded(f"a proof of {len(data)} bytes is over {MAX_ANSWER_BYTES}")
    if not data.endswith(b"\n"):
        raise ProofInvalid("the proof breaks off: its last line is not closed")
    first, *rest = data[:-1].split(b"\n")
    head = _line(first, AnswerHead, 0)
    records = [_line(line, RecordLine, number) for number, line in enumerate(rest, 1)]
    if len(records) != head.records:
        raise ProofInvalid(f"the proof promises {head.records} records and holds {len(records)}")
    indexes = [one.index for one in records]
    if any(one >= two for one, two in pairwise(indexes)):
        raise ProofInvalid("the records of the proof are not sorted, or one stands there twice")
    return AnswerProof(head, records)


def _line(data: bytes, kind: type[Any], number: int) -> Any:
    try:
        found = msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ProofInvalid(f"line {number + 1} of the proof: {error}") from error
    if canonical_bytes(msgspec.to_builtins(found)) != data:
        raise ProofInvalid(f"line {number + 1} of the proof is not canonical JSON")
    return found


def verify_answer(
    proof: AnswerProof, held: Held, records: Sequence[bytes] = (), answer: bytes | None = None
) -> VerifiedView:
    """What the file proves to somebody who holds `held`, perhaps some records, perhaps the answer.

    `answer` are the canonical lines of the answer. Raises `ProofInvalid`, `NoteInvalid`.
    """
    head = parse_head(proof.head.checkpoint)
    logged = {one.entry.sha256: one.entry.path for one in proof.records}
    for one in proof.records:
        _check(one, head)
    runs = sum(one.entry.kind == "run" for one in proof.records)
    proved = [
        f"the {len(proof.records)} records listed in this file (runs: {runs}, manifests: "
        f"{len(proof.records) - runs}, said to be found by {', '.join(proof.head.found_by)}) are "
        "entries of the log with the checkpoint below"
    ]
    for data in records:
        found = sha256_hex(data)
        if found not in logged:
            raise ProofInvalid(f"the record given, with SHA-256 {found}, is none of those proved")
        proved.append(f"a record given is {logged[found]}, unchanged")
    if answer is not None:
        found = sha256_hex(answer)
        if found != proof.head.answer.sha256:
            raise ProofInvalid(
                f"the answer given has SHA-256 {found}, the proof is of {proof.head.answer.sha256}",
                "Write it with: ledgerkit query SQL --format canonical -o FILE",
            )
        proved.append("the answer given is the one that the proof was made for")
    return verified("answer", head, held, proved, [_ALL, _DERIVED, UNPROVED], len(proof.records))


def _check(one: RecordLine, head: Head) -> None:
    try:
        entry = one.entry.encode()
        entry_of(entry)
        hashes = [decode_base64(text, "a hash") for text in one.proof]
        stated = head.checkpoint
        check_inclusion(one.index, stated.size, leaf_hash(entry), hashes, stated.root)
    except ProofInvalid as error:
        raise ProofInvalid(f"entry {one.index} ({one.entry.path!r}): {error}") from error
