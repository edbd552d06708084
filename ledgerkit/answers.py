"""Answers that others can hold on to: their digest, the proof of their records, how to cite them.

The digest of an answer is SHA-256 over its canonical lines: first the columns, an array of pairs of
name and type, then every row as an array, each line canonical JSON (RFC 8785), the rows sorted by
their bytes. So it depends neither on the order in which rows came nor on the file they were kept in.
"""

from __future__ import annotations

import base64
import datetime
import decimal
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ledgerkit import layout, software
from ledgerkit.answer_proof import Answer, AnswerHead, Column, encode_answer_proof
from ledgerkit.canonical import MAX_SAFE_INTEGER, canonical_bytes, sha256_hex
from ledgerkit.errors import DigestMismatch, MissingInput, QueryRefused, UsageError
from ledgerkit.ledger.document import LEDGER_FILE, ledger_document
from ledgerkit.log import Entry, LogIndex
from ledgerkit.merkle import TILE_WIDTH
from ledgerkit.note import Signer
from ledgerkit.proof import Head
from ledgerkit.proving import hashes_of, present_head
from ledgerkit.query import Limits, behind, query_arrow
from ledgerkit.repository import Archive

if TYPE_CHECKING:
    import pyarrow as pa

_INDEX = re.compile(r"log_index(es)?(_[0-9]+)?", re.ASCII)
_RUN = re.compile(r"([a-z_]+_)?run_id(_[0-9]+)?", re.ASCII)
_PLATE = re.compile(r"plate_id(_[0-9]+)?", re.ASCII)
_ATTEMPTS = 3
HOW_TO_ASK = (
    "Ask for it: SELECT ..., log_index FROM ...; of an aggregate, for the records behind it: "
    "SELECT ..., list(log_index) AS log_indexes FROM ... GROUP BY ..."
)


@dataclass(frozen=True)
class AnswerProofView:
    """A proof of the records behind an answer that was made."""

    records: int
    rows: int
    sha256: str
    size: int
    root: str
    found_by: list[str]
    text: str


@dataclass(frozen=True)
class CitationView:
    """What a paper needs to cite an answer. `accessed` is what the caller says, never a clock."""

    repository: str
    log_size: int
    log_root: str
    query: str
    columns: list[str]
    rows: int
    answer_sha256: str
    ledger_sha256: str
    software: dict[str, str]
    ledger_software: dict[str, str]
    accessed: str | None = None

    @property
    def checkpoint(self) -> str:
        """The three lines of the checkpoint."""
        return f"{self.repository}\n{self.log_size}\n{self.log_root}\n"


@dataclass(frozen=True)
class _Asked:
    """An answer, and the ledgers and log that gave it."""

    table: pa.Table
    head: Head
    ledger_sha256: str
    ledger_software: dict[str, str]


def canonical_answer(table: pa.Table) -> bytes:
    """The canonical lines of an answer. Raises `QueryRefused` for a type that has no canonical form."""
    first = [[field.name, _family(field.type, field.name)] for field in table.schema]
    rows = sorted(
        canonical_bytes([_value(one) for one in row])
        for batch in table.to_batches(max_chunksize=1 << 14)
        for row in zip(*(column.to_pylist() for column in batch.columns), strict=True)
    )
    return b"\n".join([canonical_bytes(first), *rows]) + b"\n"


def _family(kind: Any, name: str) -> str:
    """What a type is called in the canonical form: by what it holds, not by its width."""
    import pyarrow.types as is_

    if is_.is_list(kind) or is_.is_large_list(kind) or is_.is_fixed_size_list(kind):
        return f"list<{_family(kind.value_type, name)}>"
    if is_.is_struct(kind):
        inner = ",".join(f"{one.name}:{_family(one.type, name)}" for one in kind)
        return f"struct<{inner}>"
    if is_.is_dictionary(kind):
        return _family(kind.value_type, name)
    families = {
        "null": is_.is_null,
        "boolean": is_.is_boolean,
        "integer": is_.is_integer,
        "number": is_.is_floating,
        "decimal": is_.is_decimal,
        "text": lambda one: is_.is_string(one) or is_.is_large_string(one),
        "bytes": lambda one: is_.is_binary(one) or is_.is_large_binary(one),
        "date": is_.is_date,
        "timestamp": lambda one: is_.is_timestamp(one) and one.unit != "ns",
    }
    for family, matches in families.items():
        if matches(kind):
            return family
    raise QueryRefused(
        f"the column {name} of type {kind} has no canonical form", "Turn it into text: x::VARCHAR"
    )


def _value(value: Any) -> Any:
    """A value as canonical JSON holds it; the column's type says what text stands for."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, int):
        return value if -MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, datetime.datetime) and value.tzinfo is not None:
        return value.astimezone(datetime.UTC).isoformat()
    if isinstance(value, (datetime.datetime, datetime.date)):
        return value.isoformat()
    if isinstance(value, dict):
        return [_value(one) for one in value.values()]
    return [_value(one) for one in value]


def _answer(table: pa.Table) -> Answer:
    lines = canonical_answer(table)
    columns = [Column(field.name, _family(field.type, field.name)) for field in table.schema]
    return Answer(columns, table.num_rows, sha256_hex(lines))


def _ask(archive: Archive, sql: str, limits: Limits, signer: Signer | None = None) -> _Asked:
    """Ask while the ledgers say all that the log holds, with one thread so that sums come out alike.

    Raises `MissingInput` while the ledgers are behind the log, `QueryRefused`.
    """
    alone = Limits(limits.memory, limits.seconds, 1)
    for _ in range(_ATTEMPTS):
        head = present_head(archive, signer)
        document = ledger_document(archive.tree)
        stated = (head.checkpoint.size, base64.b64encode(head.checkpoint.root).decode())
        if document is None or (document["log_size"], document["log_root"]) != stated:
            raise MissingInput(
                f"{behind(archive) or 'the ledgers are not those of this log'}: an answer that is "
                "proved or cited is that of the whole log",
                "Rebuild them with: ledgerkit consolidate",
            )
        digest = sha256_hex(archive.tree.read(LEDGER_FILE))
        _check_tables(archive, document)
        table = query_arrow(archive, sql, limits=alone)
        if ledger_document(archive.tree) == document:
            return _Asked(table, head, digest, dict(sorted(document["versions"].items())))
    raise QueryRefused(
        "the ledgers were rebuilt while the query ran, three times over",
        "Try again when consolidate is done.",
    )


def _check_tables(archive: Archive, document: dict[str, Any]) -> None:
    """Raise `DigestMismatch` unless every table is, to the byte, the one that `ledger.json` lists.

    A citation names `ledger.json` alone, so what it lists must be what was asked.
    """
    for name, table in document["tables"].items():
        path = f"{layout.LEDGER}/{table['file']}"
        found = archive.tree.digest(path).sha256
        if found != table["sha256"]:
            raise DigestMismatch(
                f"{path}: {LEDGER_FILE} says SHA-256 {table['sha256']} for {name}, found {found}",
                "Somebody changed the ledgers: rebuild them with: ledgerkit consolidate",
            )


def _software() -> dict[str, str]:
    """What asked."""
    from importlib.metadata import version

    return {"ledgerkit": software.VERSION, "duckdb": version("duckdb")}


def prove_answer(
    archive: Archive, sql: str, limits: Limits | None = None, signer: Signer | None = None
) -> tuple[pa.Table, AnswerProofView]:
    """The answer, and the proof that the records behind its rows are in the log.

    Raises `UsageError` when no column says which records they are, `MissingInput` while the ledgers
    are behind the log.
    """
    asked = _ask(archive, sql, limits or Limits(), signer)
    index = archive.log.index()
    indexes, found_by = _records_behind(asked.table, index)
    size, root = asked.head.checkpoint.size, base64.b64encode(asked.head.checkpoint.root).decode()
    if indexes and not 0 <= min(indexes) <= max(indexes) < size:
        raise UsageError(
            f"the answer names entry {max(indexes)} of a log of {size}",
            "log_index is counted from 0.",
        )
    answer = _answer(asked.table)
    head = AnswerHead(
        answer,
        asked.head.text,
        found_by,
        asked.ledger_sha256,
        sql,
        len(indexes),
        "answer.proof.v1",
        _software(),
        asked.ledger_software,
    )
    data = encode_answer_proof(head, _proved(archive, sorted(indexes), asked.head))
    view = AnswerProofView(
        len(indexes), answer.rows, answer.sha256, size, root, found_by, data.decode()
    )
    return asked.table, view


def _proved(
    archive: Archive, indexes: list[int], head: Head
) -> Iterator[tuple[int, Entry, list[bytes]]]:
    """Entries and their proofs; a bundle is read once for all entries in it."""
    bundle, number = [], -1
    size = head.checkpoint.size
    node = archive.log.node(size)
    for index in indexes:
        if index // TILE_WIDTH != number:
            number = index // TILE_WIDTH
            start = number * TILE_WIDTH
            bundle = list(archive.log.entries(start, min(start + TILE_WIDTH, size)))
        entry = bundle[index % TILE_WIDTH]
        yield index, entry, hashes_of(index, entry, head, node)


def _records_behind(table: pa.Table, index: LogIndex) -> tuple[set[int], list[str]]:
    """Log indexes of the records that the rows name, and the columns that name them.

    A plate alone stands for its manifest: what runs found out about it is not in that.
    """
    names = [name for name in table.column_names if _INDEX.fullmatch(name) or _RUN.fullmatch(name)]
    names = names or [name for name in table.column_names if _PLATE.fullmatch(name)]
    if not names:
        raise UsageError(
            "no column of the answer says which records it is from: there is neither log_index "
            "nor log_indexes, run_id or plate_id",
            HOW_TO_ASK,
        )
    found: set[int] = set()
    for number, row in enumerate(table.select(names).to_pylist()):
        here = {one for name, value in row.items() for one in _indexes(name, value, index)}
        if not here:
            raise UsageError(
                f"row {number + 1} of the answer names no record in {', '.join(names)}", HOW_TO_ASK
            )
        found |= here
    return found, names


def _indexes(name: str, value: Any, index: LogIndex) -> Iterator[int]:
    values = value if isinstance(value, list) else [value]
    for one in values:
        if one is None:
            continue
        if _INDEX.fullmatch(name):
            if not isinstance(one, int):
                raise UsageError(f"the column {name} holds {one!r}, which is no index of the log")
            yield one
            continue
        logged = index.manifest(one) if _PLATE.fullmatch(name) else None
        run = None if _PLATE.fullmatch(name) else index.find_run(str(one))
        if run is not None:
            logged = run[1]
        if logged is None:
            raise UsageError(
                f"the column {name} names {one!r}, which is not in the log", HOW_TO_ASK
            )
        yield logged.index


def cite(
    archive: Archive, sql: str, accessed: str | None = None, limits: Limits | None = None
) -> CitationView:
    """What to write down so that somebody else can ask again and compare.

    Raises `MissingInput` while the ledgers are behind the log, `QueryRefused`.
    """
    asked = _ask(archive, sql, limits or Limits())
    answer = _answer(asked.table)
    stated = asked.head.checkpoint
    return CitationView(
        stated.origin,
        stated.size,
        base64.b64encode(stated.root).decode(),
        sql,
        [column.name for column in answer.columns],
        answer.rows,
        answer.sha256,
        asked.ledger_sha256,
        _software(),
        asked.ledger_software,
        accessed,
    )


def versions_of(citation: CitationView) -> str:
    """The versions in one line: what asked, and what wrote the ledgers."""
    asked, wrote = (
        ", ".join(f"{name} {text}" for name, text in some.items())
        for some in (citation.software, citation.ledger_software)
    )
    return f"{asked}; ledgers written with {wrote}"


def rows_of(citation: CitationView) -> str:
    return "1 row" if citation.rows == 1 else f"{citation.rows} rows"


def bibtex(citation: CitationView) -> str:
    """The citation as a BibTeX entry `@misc`; its key is made from the answer's digest."""
    note = (
        f"Answer of {rows_of(citation)} with SHA-256 {citation.answer_sha256} to the query: "
        f"{' '.join(citation.query.split())}. Checkpoint of {citation.log_size} entries with root "
        f"{citation.log_root}; ledger.json with SHA-256 {citation.ledger_sha256}; "
        f"{versions_of(citation)}"
    )
    fields = {"title": f"Plate archive {citation.repository}", "note": note}
    if citation.accessed:
        fields["urldate"] = citation.accessed
    lines = [f"  {name} = {{{_escaped(text)}}}," for name, text in fields.items()]
    return "\n".join([f"@misc{{ledgerkit-{citation.answer_sha256[:12]},", *lines, "}\n"])


_BIBTEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{one: f"\\{one}" for one in "{}%#$&_"},
}


def _escaped(text: str) -> str:
    return "".join(_BIBTEX.get(one, one) for one in text)
