"""What an operation is given and what it gives back: read-only inputs, staged outputs.

These are protocols: the engine implements them over a repository, tests implement them over a
folder. An operation sees nothing else of the world.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import pyarrow as pa

Row = Mapping[str, Any]


class InputFile(Protocol):
    """One file that a run reads. Its bytes have the recorded digest, or opening it fails."""

    @property
    def path(self) -> str:
        """Path below the repository's root, for messages and records."""

    @property
    def bytes(self) -> int:
        """Size in bytes."""

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes, 64 lower-case hex digits, as evidenced before this run."""

    def open(self) -> BinaryIO:
        """A seekable file object over a real descriptor, at position 0, its digest checked.

        Reads the file once to hash it (`checked: full` in the record). Raises `DigestMismatch`.
        """

    def open_header(self) -> BinaryIO:
        """The same without hashing: for operations that read headers only (`checked: size`)."""


class Inputs(Protocol):
    """Everything that one task may read."""

    @property
    def plate_id(self) -> str | None:
        """The plate this task is about; None when its subject is the collection."""

    def file(self, role: str) -> InputFile:
        """The one input file with this role. Raises `MissingInput`."""

    def files(self, role: str) -> list[InputFile]:
        """All input files with this role, sorted by path."""

    def rows(self, table: str) -> Iterator[dict[str, Any]]:
        """Rows of the input tables of this name, in the order of their files."""

    def tables(self, table: str) -> Iterator[pa.Table]:
        """The same as Arrow, one table per input file: for vectors, by the million."""

    def model(self, name: str) -> Path:
        """Folder of a model that the operation's `models` names: plain files, to be loaded from there.

        Its bytes were compared with the digest in the record before any work started.
        Raises `MissingInput`.
        """

    def model_sha256(self, name: str) -> str:
        """The digest of that model's weights and settings, as the record pins it.

        Raises `MissingInput`.
        """

    def image(self, tile: Row) -> InputFile:
        """The file whose pixels a row of `tiles` describes: a derivative, or the source itself."""


class OutputFile(Protocol):
    """A file being written: digested as it is written, named once, never reopened."""

    def write(self, data: bytes | memoryview) -> int:
        """Append bytes."""

    def pixels(self, sha256: str) -> None:
        """State the digest of the decoded pixels (`imaging.pixels.pixels_sha256`) of this image."""


class Kept(Protocol):
    """What an interrupted try of this very task had finished: same inputs, parameters, libraries."""

    def get(self, key: str) -> bytes | None:
        """A value as it was put; None where there is none, or it is damaged."""

    def put(self, key: str, value: bytes) -> None:
        """Keep a value until the run is committed; where the disk refuses, nothing is kept."""


class Outputs(Protocol):
    """Where a task puts what it made. Nothing is visible to anybody before the run is committed."""

    def rows(self, table: str, rows: Iterable[Row]) -> None:
        """Rows for a ledger table, without the run and log columns (canonical JSON lines)."""

    def table(self, table: str, data: pa.Table) -> None:
        """Rows for a ledger table as Arrow, without the run and log columns (Parquet)."""

    def document(self, name: str, role: str, value: Any) -> None:
        """A JSON document `outputs/<name>`, written in canonical form."""

    def open(self, name: str, role: str, media_type: str) -> AbstractContextManager[OutputFile]:
        """A new file `outputs/<name>`, kept for ever with the record."""

    def cache(self, name: str, role: str, media_type: str) -> AbstractContextManager[OutputFile]:
        """A new file `cache/<run_id>/<name>`: derived pixels that a re-run can make again."""

    def gate(self, gate: str, check: str, passed: bool, value: float | None, message: str) -> None:
        """A check of the operation's own result, kept in the record."""

    def failed(self, item: str, error: Exception) -> None:
        """An item that could not be done: the run is then `partial`, the item and why stand in it.

        Where nothing could be done, raise instead: that is a failed run.
        """

    @property
    def kept(self) -> Kept:
        """Where a task of many steps keeps those that are done, so that it goes on after a crash."""

    def progress(self, done: int, total: int) -> None:
        """Say how far a long task is."""

    def device(self, name: str) -> None:
        """What computed where it was not the processor, as `cuda NVIDIA H100`; kept in the record."""
