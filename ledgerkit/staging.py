"""The outputs of one task in its staging folder: written once, checked against their schemas.

Nothing here is visible to anybody before the run is committed. A row that breaks its table's schema
fails the task that wrote it, not the ledgers later.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ledgerkit import schema
from ledgerkit.canonical import canonical_bytes, canonical_lines
from ledgerkit.durable import StagedFile
from ledgerkit.errors import CommitFailed, InvalidRecord
from ledgerkit.kept import KeptFolder, KeptHere
from ledgerkit.layout import name_key, written_path

if TYPE_CHECKING:
    import pyarrow as pa

    from ledgerkit.handles import Kept, Row

JSON_LINES = "application/jsonl"
PARQUET = "application/vnd.apache.parquet"
PART = "pyramid-"
"""What roles begin with that are parts of the run's output with the role `pyramid`.

A pyramid of a 500-megapixel plate has some 2,700 files. The record lists and digests each one; what
is meant to be read by people, the ledger `artifacts` and the gates of a re-run, has one row for them.
"""
_heard: ContextVar[Callable[[int, int], None] | None] = ContextVar("heard", default=None)


@contextlib.contextmanager
def hearing(report: Callable[[int, int], None] | None) -> Iterator[None]:
    """Meanwhile `report` gets what tasks in this process say of their progress: done and total."""
    token = _heard.set(report)
    try:
        yield
    finally:
        _heard.reset(token)


@dataclass(frozen=True, slots=True)
class Artifact:
    """One staged file: `name` below the run's folder (`outputs/...`) or its cache (`cache/...`)."""

    name: str
    role: str
    media_type: str
    bytes: int
    sha256: str
    xxh3_128: str
    pixels_sha256: str | None = None


class FailedItem(NamedTuple):
    """An item of a task that could not be done, and why."""

    item: str
    error: str
    message: str


def cache_of(folder: Path) -> Path:
    """Where the derived pixels of a run staged in `folder` lie."""
    return folder.with_name(f"{folder.name}.cache")


class _Writer:
    """An output file that an operation writes to; it may state the digest of its pixels."""

    def __init__(self, path: Path) -> None:
        self.staged = StagedFile(path)
        self.pixels_sha256: str | None = None

    def write(self, data: bytes | memoryview) -> int:
        return self.staged.write(data)

    def pixels(self, sha256: str) -> None:
        self.pixels_sha256 = sha256


class StagedOutputs:
    """Outputs of one task: `folder` becomes the run's folder, `folder.cache` its cache.

    `kept` is the folder of what an interrupted try had finished; without one nothing outlives the task.
    """

    def __init__(self, folder: Path, kept: Path | None = None) -> None:
        self.folder = folder
        self.kept: Kept = KeptHere() if kept is None else KeptFolder(kept)
        self.artifacts: list[Artifact] = []
        self.gates: list[dict[str, Any]] = []
        self.failed_items: list[FailedItem] = []
        self.computed_on = "cpu"
        self._rows: dict[str, list[bytes]] = {}
        self._taken: set[str] = set()

    def rows(self, table: str, rows: Iterable[Row]) -> None:
        """Rows for a table. Raises `InvalidRecord` for one that breaks the schema."""
        lines = canonical_lines(dict(row) for row in rows)
        schema.decode_rows(table, lines, f"output {table}")
        self._rows.setdefault(table, []).append(lines)

    def table(self, table: str, data: pa.Table) -> None:
        """A whole table as Parquet. Raises `InvalidRecord` where it breaks the schema."""
        import io

        import pyarrow.parquet as pq

        shaped = (
            data.select(schema.arrow_schema(table, stored=True).names)
            if set(data.column_names) >= set(schema.columns(table, stored=True))
            else data
        )
        with contextlib.suppress(ValueError):
            shaped = shaped.cast(schema.arrow_schema(table, stored=True))
        schema.check_table(table, shaped, f"output {table}", stored=True)
        buffer = io.BytesIO()
        pq.write_table(shaped.combine_chunks(), buffer, compression="zstd", row_group_size=1 << 16)
        self._write(f"outputs/{table}.parquet", f"table:{table}", PARQUET, buffer.getvalue())

    def document(self, name: str, role: str, value: Any) -> None:
        """A JSON document in canonical form."""
        self._write(f"outputs/{name}", role, "application/json", canonical_bytes(value))

    @contextlib.contextmanager
    def open(self, name: str, role: str, media_type: str) -> Iterator[_Writer]:
        """A new file kept with the record."""
        with self._new(f"outputs/{name}", role, media_type) as writer:
            yield writer

    @contextlib.contextmanager
    def cache(self, name: str, role: str, media_type: str) -> Iterator[_Writer]:
        """A new file of derived pixels."""
        with self._new(f"cache/{name}", role, media_type) as writer:
            yield writer

    def gate(self, gate: str, check: str, passed: bool, value: float | None, message: str) -> None:
        """A check of the operation's own result."""
        self.gates.append(
            {
                "gate": gate,
                "check": check,
                "passed": bool(passed),
                "value": None if value is None else float(value),
                "message": message,
            }
        )

    def failed(self, item: str, error: Exception) -> None:
        """An item that could not be done. Errors of the disk are no property of it, and raised."""
        if isinstance(error, CommitFailed):
            raise error
        said = (str(error) or type(error).__name__)[:2000]
        self.failed_items.append(FailedItem(item, type(error).__name__, said))

    def progress(self, done: int, total: int) -> None:
        """Say how far a long task is, to whom it may concern."""
        if report := _heard.get():
            report(done, total)

    def device(self, name: str) -> None:
        """What computed."""
        self.computed_on = name

    def close(self) -> list[Artifact]:
        """Write what is left; all staged files, sorted by name."""
        for table, parts in sorted(self._rows.items()):
            self._write(f"outputs/{table}.jsonl", f"table:{table}", JSON_LINES, b"".join(parts))
        self._rows = {}
        return sorted(self.artifacts, key=lambda artifact: artifact.name)

    def _path(self, name: str) -> Path:
        written_path(name)
        return (
            cache_of(self.folder) / name.removeprefix("cache/")
            if name.startswith("cache/")
            else self.folder / name
        )

    def _write(self, name: str, role: str, media_type: str, data: bytes) -> None:
        with self._new(name, role, media_type) as writer:
            writer.write(data)

    @contextlib.contextmanager
    def _new(self, name: str, role: str, media_type: str) -> Iterator[_Writer]:
        key = name_key(name)
        if key in self._taken:
            raise InvalidRecord(f"output {name} was written twice")
        self._taken.add(key)
        writer = _Writer(self._path(name))
        try:
            yield writer
        finally:
            digests = writer.staged.close()
        self.artifacts.append(
            Artifact(
                name,
                role,
                media_type,
                digests.bytes,
                digests.sha256,
                digests.xxh3_128,
                writer.pixels_sha256,
            )
        )
