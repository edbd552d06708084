"""Run one operation over plain files, without a repository: for tests of operations.

`run_operation` hands an operation inputs made from local files and rows, and returns everything it
produced. It checks the same promises that the engine relies on: names given once, nothing read
that was not declared.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, BinaryIO

from ledgerkit.errors import MissingInput
from ledgerkit.kept import KeptHere

if TYPE_CHECKING:
    import pyarrow as pa

    from ledgerkit.handles import Kept, OutputFile, Row


@dataclass(frozen=True)
class LocalFile:
    """An input file on the local disk, outside any repository."""

    local: Path
    path: str

    @property
    def bytes(self) -> int:
        return self.local.stat().st_size

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.local.read_bytes()).hexdigest()

    def open(self) -> BinaryIO:
        return self.local.open("rb")

    def open_header(self) -> BinaryIO:
        return self.local.open("rb")


@dataclass(frozen=True)
class LocalInputs:
    """Inputs made from local files by role, and from rows or Arrow tables by table name."""

    plate_id: str | None
    by_role: Mapping[str, list[Path]] = field(default_factory=dict)
    by_table: Mapping[str, Any] = field(default_factory=dict)
    by_model: Mapping[str, Path] = field(default_factory=dict)

    def model(self, name: str) -> Path:
        if name not in self.by_model:
            raise MissingInput(f"no model {name} among the inputs")
        return self.by_model[name]

    def model_sha256(self, name: str) -> str:
        """A digest of all files of the folder; the store's leaves out texts."""
        found = hashlib.sha256()
        for path in sorted(self.model(name).rglob("*")):
            found.update(path.read_bytes() if path.is_file() else b"")
        return found.hexdigest()

    def files(self, role: str) -> list[LocalFile]:
        return [LocalFile(path, path.name) for path in sorted(self.by_role.get(role, []))]

    def file(self, role: str) -> LocalFile:
        files = self.files(role)
        if len(files) != 1:
            raise MissingInput(f"expected one file with role {role}, got {len(files)}")
        return files[0]

    def tables(self, table: str) -> Iterator[pa.Table]:
        import pyarrow as pa

        if table not in self.by_table:
            raise MissingInput(f"no table {table} among the inputs")
        given = self.by_table[table]
        for one in (
            given
            if isinstance(given, list) and given and isinstance(given[0], pa.Table)
            else [given]
        ):
            yield (
                one
                if isinstance(one, pa.Table)
                else pa.Table.from_pylist([dict(row) for row in one])
            )

    def rows(self, table: str) -> Iterator[dict[str, Any]]:
        for one in self.tables(table):
            yield from one.to_pylist()

    def image(self, tile: Row) -> LocalFile:
        """The file named by the row's `file`, among the files with the role `image`; else the source."""
        if tile["file"] is None:
            return self.file("source")
        for found in self.files("image"):
            if found.local.name == Path(tile["file"]).name:
                return found
        raise MissingInput(f"no image {tile['file']} among the inputs")


@dataclass
class LocalOutputFile:
    """One produced file, in memory."""

    name: str
    role: str
    media_type: str
    in_cache: bool
    buffer: io.BytesIO = field(default_factory=io.BytesIO)
    pixels_sha256: str | None = None

    def write(self, data: bytes | memoryview) -> int:
        return self.buffer.write(data)

    def pixels(self, sha256: str) -> None:
        self.pixels_sha256 = sha256

    @property
    def data(self) -> bytes:
        return self.buffer.getvalue()


@dataclass
class Produced:
    """Everything an operation gave, kept in memory; it is itself the `Outputs` of the operation."""

    row_tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    arrow_tables: dict[str, pa.Table] = field(default_factory=dict)
    documents: dict[str, Any] = field(default_factory=dict)
    file_outputs: dict[str, LocalOutputFile] = field(default_factory=dict)
    gates: list[tuple[str, str, bool, float | None, str]] = field(default_factory=list)
    failed_items: list[tuple[str, Exception]] = field(default_factory=list)
    computed_on: str = "cpu"
    heard: list[tuple[int, int]] = field(default_factory=list)
    """What the operation said of its progress."""
    kept: Kept = field(default_factory=KeptHere)
    """What an interrupted try had finished: give the former one's to go on."""

    def rows(self, table: str, rows: Iterable[Row]) -> None:
        self.row_tables.setdefault(table, []).extend(dict(row) for row in rows)

    def table(self, table: str, data: pa.Table) -> None:
        if table in self.arrow_tables:
            raise ValueError(f"table {table} was written twice")
        self.arrow_tables[table] = data

    def document(self, name: str, role: str, value: Any) -> None:
        self.documents[name] = value

    @contextmanager
    def _new(self, name: str, role: str, media_type: str, in_cache: bool) -> Iterator[OutputFile]:
        if name in self.file_outputs:
            raise ValueError(f"output {name} was written twice")
        made = LocalOutputFile(name, role, media_type, in_cache)
        self.file_outputs[name] = made
        yield made

    def open(self, name: str, role: str, media_type: str) -> Any:
        return self._new(name, role, media_type, False)

    def cache(self, name: str, role: str, media_type: str) -> Any:
        return self._new(name, role, media_type, True)

    def gate(self, gate: str, check: str, passed: bool, value: float | None, message: str) -> None:
        self.gates.append((gate, check, passed, value, message))

    def failed(self, item: str, error: Exception) -> None:
        self.failed_items.append((item, error))

    def progress(self, done: int, total: int) -> None:
        self.heard.append((done, total))

    def device(self, name: str) -> None:
        self.computed_on = name


def run_operation(
    operation: ModuleType,
    *,
    plate_id: str | None = "plate-001",
    files: Mapping[str, list[Path]] | None = None,
    tables: Mapping[str, Any] | None = None,
    models: Mapping[str, Path] | None = None,
    kept: Kept | None = None,
    **parameters: Any,
) -> Produced:
    """Run `operation` over local `files` (by role) and `tables` (rows or Arrow, by name).

    `models` are folders by the names of their models; `kept` is what an interrupted try had finished.
    """
    produced = Produced() if kept is None else Produced(kept=kept)
    inputs = LocalInputs(plate_id, files or {}, tables or {}, models or {})
    operation.run(inputs, operation.Parameters(**parameters), produced)
    return produced
